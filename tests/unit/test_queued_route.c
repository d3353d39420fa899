/*
 * Tests of queued/route: the zone and the cases of tests/data/queued_route.txt.
 */
#include "queued/route.h"

#include "tests/unit/table.h"

#define KEYS 128

struct entry {
	char name[DOMAIN_SIZE];
	enum resolver_type type;
	struct route_answer answer;
	struct dns_record records[8];
	bool asked;
};

static struct table lines;
static struct table cases; /* those lines that are cases */
static struct entry entries[KEYS];
static size_t entry_count;
static struct fleet *fleet;
static struct ip_network allowed;

/* The zone is read before any test runs, where Check has nothing to report to. */
static void
must(bool good, const char *text)
{
	if (good)
		return;
	fprintf(stderr, "queued_route.txt: %s\n", text);
	exit(EXIT_FAILURE);
}

static enum resolver_type
type_of(const char *text)
{
	return strcmp(text, "MX") == 0  ? RESOLVER_MX
	       : strcmp(text, "A") == 0 ? RESOLVER_A
					: RESOLVER_AAAA;
}

static struct entry *
entry_get(const char *name, enum resolver_type type)
{
	struct entry *entry;

	for (size_t i = 0; i < entry_count; i++) {
		if (entries[i].type == type && strcmp(entries[i].name, name) == 0)
			return &entries[i];
	}
	must(entry_count < KEYS, name);
	entry = &entries[entry_count++];
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->type = type;
	entry->answer = (struct route_answer){
	    .outcome = RESOLVER_NXDOMAIN, .ttl = 60, .records = entry->records};
	return entry;
}

static void
read_zone(const char *line)
{
	char name[256], type[16], rest[512], text[1024];
	struct entry *entry;

	must(sscanf(line, "%255s %15s %511[^\n]", name, type, rest) == 3, line);
	entry = entry_get(name, type_of(type));
	if (rest[0] == '!') {
		entry->answer.outcome = strcmp(rest, "!nodata") == 0     ? RESOLVER_NODATA
					: strcmp(rest, "!nxdomain") == 0 ? RESOLVER_NXDOMAIN
									 : RESOLVER_CANNOT_TELL;
		return;
	}
	(void)snprintf(text, sizeof(text), "%s 60 IN %s %s", name, type, rest);
	entry->answer.outcome = RESOLVER_FOUND;
	must(entry->answer.count < 8, line);
	must(dns_text_parse(text, strlen(text), &entry->records[entry->answer.count++]), line);
}

static const struct route_answer *
find(void *context, const char *name, enum resolver_type type)
{
	const struct entry *entry = entry_get(name, type);

	(void)context;
	return entry->asked ? &entry->answer : NULL;
}

static void
print_route(const struct route *route, char *out, size_t size)
{
	static const char *const verdicts[] = {[ROUTE_FOUND] = "",
	    [ROUTE_NOWHERE] = "nowhere: ",
	    [ROUTE_CANNOT_TELL] = "cannot-tell: ",
	    [ROUTE_NEEDS_MORE] = "needs: "};
	size_t used = (size_t)snprintf(out, size, "%s%s", verdicts[route->verdict], route->why);
	char text[IP_TEXT_SIZE];

	for (size_t i = 0; i < route->count; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s[%s]:%u", i > 0 ? " " : "",
		    route->endpoint[i].name, ip_format(&route->endpoint[i].address, text),
		    route->endpoint[i].port);
}

START_TEST(test_case)
{
	const char *line = cases.lines[_i];
	char domain[256], hops[512], found[2048];
	const struct fence_networks allow = {&allowed, 1};
	struct route_request request = {.domain = domain,
	    .next_hops = hops,
	    .fleet = fleet,
	    .allow = &allow,
	    .use4 = true,
	    .use6 = true,
	    .port = 25,
	    .find = find};
	struct route route;
	unsigned rounds = 0;

	table_word(&line, domain, sizeof(domain));
	table_word(&line, hops, sizeof(hops));
	if (strcmp(hops, "-") == 0)
		hops[0] = '\0';
	for (char *at = hops; (at = strchr(at, '_')) != NULL;)
		*at = ' ';
	route_find(&request, &route);
	while (route.verdict == ROUTE_NEEDS_MORE) {
		ck_assert_uint_gt(route.need_count, 0);
		ck_assert_uint_lt(rounds++, 4);
		for (size_t i = 0; i < route.need_count; i++)
			entry_get(route.need[i].name, route.need[i].type)->asked = true;
		route_find(&request, &route);
	}
	print_route(&route, found, sizeof(found));
	ck_assert_str_eq(found, line + strspn(line, " "));
	ck_assert_int_eq(route.count > 0, route.verdict == ROUTE_FOUND);
}
END_TEST

/* A thousand exchangers are no more work than sixteen, and the best of them are taken. */
START_TEST(test_many_exchangers)
{
	static struct dns_record many[1000];
	struct entry *entry = entry_get("many.example", RESOLVER_MX);
	const struct fence_networks none = {NULL, 0};
	struct route_request request = {.domain = "many.example",
	    .next_hops = "",
	    .fleet = fleet,
	    .allow = &none,
	    .use4 = true,
	    .port = 25,
	    .find = find};
	struct route route;

	for (unsigned i = 0; i < 1000; i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "x. 60 IN MX %u 8.8.%u.%u.", 1000 - i, i / 200,
		    i % 200 + 1);
		ck_assert(dns_text_parse(text, strlen(text), &many[i]));
	}
	entry->answer = (struct route_answer){
	    .outcome = RESOLVER_FOUND, .ttl = 60, .records = many, .count = 1000};
	entry->asked = true;
	route_find(&request, &route);
	ck_assert_int_eq(route.verdict, ROUTE_FOUND);
	ck_assert_uint_eq(route.count, ROUTE_ENDPOINTS);
	ck_assert_str_eq(route.endpoint[0].name, "8.8.4.200");
}
END_TEST

static void
split_lines(void)
{
	cases.lines = calloc((size_t)lines.count, sizeof(char *));
	for (int i = 0; i < lines.count; i++) {
		if (strncmp(lines.lines[i], "zone ", 5) == 0)
			read_zone(lines.lines[i] + 5);
		else if (strncmp(lines.lines[i], "route ", 6) == 0)
			cases.lines[cases.count++] = lines.lines[i] + 6;
	}
}

static void
make_fleet(void)
{
	fleet = fleet_new("eu1");
	if (fleet == NULL || !fleet_add(fleet, "eu1", "eu.mx.example", "203.0.113.1 9.9.9.1") ||
	    !fleet_add(fleet, "us1", "us.mx.example", "9.9.9.2") ||
	    !ip_network_parse("10.8.0.0/16", &allowed))
		abort();
}

int
main(void)
{
	Suite *suite = suite_create("queued/route");
	TCase *tcase = tcase_create("table");

	lines = table_load("tests/data/queued_route.txt");
	split_lines();
	make_fleet();
	tcase_add_loop_test(tcase, test_case, 0, cases.count);
	tcase_add_test(tcase, test_many_exchangers);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	fleet_free(fleet);
	free(cases.lines);
	table_free(&lines);
	return code;
}
