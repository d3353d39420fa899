/*
 * Tests of core/decide: the cases of tests/data/decisions.txt, what inherits from whom, and what
 * holds for every answer. The facts of a case are an ordinary case's with those of its line
 * changed.
 */
#include "core/decide.h"

#include "tests/unit/table.h"

#include <stdint.h>

#define NOW 1700000000

static struct table cases;

struct setting {
	struct decide_facts facts;
	struct domain_record domain;
	struct customer_record customer;
	struct state_facts state;
	char region[REGION_SIZE];
};

static void
setting_init(struct setting *s)
{
	memset(s, 0, sizeof(*s));
	strcpy(s->domain.customer, "acme");
	strcpy(s->customer.regions, "eu us");
	strcpy(s->region, "eu");
	s->facts = (struct decide_facts){
	    .snapshot_usable = true,
	    .contact_fresh = true,
	    .address_plain = true,
	    .domain_known = KNOWN_YES,
	    .domain = &s->domain,
	    .customer = &s->customer,
	    .region = s->region,
	    .now = NOW,
	    .queue_lifetime = 432000,
	    .declared_size = UINT64_MAX,
	};
}

/* The number of `word` in a list, which ends with NULL. A word that is not there fails the test. */
static int
choice(const char *word, const char *const words[])
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	ck_abort_msg("unknown word: %s", word);
	return -1;
}

static const char *const no_yes[] = {"no", "yes", "unclear", NULL};
static const char *const local_bytes[] = {"ascii", "8bit", "control", NULL};
static const char *const forms[] = {"odd", "plain", NULL};
static const char *const oversizes[] = {"inherit", "reject", "defer", NULL};
static const char *const primary_ups[] = {"inherit", "accept", "defer", NULL};
static const char *const mx_checks[] = {"inherit", "on", "off", NULL};
static const char *const mx_states[] = {"unknown", "named", "not-named", NULL};
static const char *const primaries[] = {"down", "up", NULL};

/* Blanks between names cannot stand in a word: the file has commas, and "-" for nothing. */
static void
set_list(char *out, size_t size, const char *value)
{
	ck_assert(strlen(value) < size);
	strcpy(out, strcmp(value, "-") == 0 ? "" : value);
	for (char *at = out; (at = strchr(at, ',')) != NULL;)
		*at = ' ';
}

/* Facts that domain and customer have alike. */
struct common {
	bool *suspended;
	int64_t *retired_at;
	char *regions;
	struct limits *limits;
};

static void
set_common(struct common c, const char *key, const char *value)
{
	const uint64_t number = strtoull(value, NULL, 10);

	if (strcmp(key, "retired") == 0)
		*c.retired_at = NOW - strtoll(value, NULL, 10);
	else if (strcmp(key, "suspended") == 0)
		*c.suspended = choice(value, no_yes) == 1;
	else if (strcmp(key, "regions") == 0)
		set_list(c.regions, REGIONS_SIZE, value);
	else if (strcmp(key, "size") == 0)
		c.limits->size_limit = number;
	else if (strcmp(key, "messages") == 0)
		c.limits->quota_messages = number;
	else if (strcmp(key, "bytes") == 0)
		c.limits->quota_bytes = number;
	else if (strcmp(key, "oversize") == 0)
		c.limits->oversize = (enum oversize)choice(value, oversizes);
	else if (strcmp(key, "primary_up") == 0)
		c.limits->when_primary_up = (enum primary_up)choice(value, primary_ups);
	else if (strcmp(key, "mx_check") == 0)
		c.limits->mx_check = (enum mx_check)choice(value, mx_checks);
	else
		ck_abort_msg("unknown fact: %s", key);
}

static void
set_fact(struct setting *s, const char *key, const char *value)
{
	struct decide_facts *f = &s->facts;

	if (strcmp(key, "usable") == 0)
		f->snapshot_usable = choice(value, no_yes) == 1;
	else if (strcmp(key, "fresh") == 0)
		f->contact_fresh = choice(value, no_yes) == 1;
	else if (strcmp(key, "never") == 0)
		f->never_ours = choice(value, no_yes) == 1;
	else if (strcmp(key, "form") == 0)
		f->address_plain = choice(value, forms) == 1;
	else if (strcmp(key, "local") == 0)
		f->local_bytes = (enum address_bytes)choice(value, local_bytes);
	else if (strcmp(key, "odd") == 0)
		f->odd_names_known = (enum known)choice(value, no_yes);
	else if (strcmp(key, "known") == 0)
		f->domain_known = (enum known)choice(value, no_yes);
	else if (strcmp(key, "fleet") == 0)
		f->client_is_fleet = (enum known)choice(value, no_yes);
	else if (strcmp(key, "region") == 0)
		set_list(s->region, sizeof(s->region), value);
	else if (strcmp(key, "lifetime") == 0)
		f->queue_lifetime = strtoll(value, NULL, 10);
	else if (strcmp(key, "declared") == 0)
		f->declared_size = strtoull(value, NULL, 10);
	else if (strcmp(key, "customer") == 0)
		f->customer = NULL;
	else if (strcmp(key, "state") == 0)
		f->state = &s->state;
	else if (strcmp(key, "mx") == 0)
		s->state.mx = (enum mx_state)choice(value, mx_states);
	else if (strcmp(key, "held_messages") == 0)
		s->state.held_messages = strtoull(value, NULL, 10);
	else if (strcmp(key, "held_bytes") == 0)
		s->state.held_bytes = strtoull(value, NULL, 10);
	else if (strcmp(key, "primary") == 0)
		s->state.primary_is_up = choice(value, primaries) == 1;
	else if (strcmp(key, "trying") == 0)
		s->state.sender_keeps_trying = choice(value, no_yes) == 1;
	else
		ck_abort_msg("unknown fact: %s", key);
}

/* Reads the facts of a line, `key=value` parted by blanks. */
static void
setting_read(struct setting *s, const char *line)
{
	const struct common domain = {
	    &s->domain.suspended, &s->domain.retired_at, s->domain.regions, &s->domain.limits};
	const struct common customer = {&s->customer.suspended, &s->customer.retired_at,
	    s->customer.regions, &s->customer.limits};

	setting_init(s);
	while (line[strspn(line, " ")] != '\0') {
		char word[256];

		table_word(&line, word, sizeof(word));
		char *value = strchr(word, '=');
		ck_assert_msg(value != NULL, "no value: %s", word);
		*value++ = '\0';
		if (strncmp(word, "domain.", 7) == 0)
			set_common(domain, word + 7, value);
		else if (strncmp(word, "customer.", 9) == 0)
			set_common(customer, word + 9, value);
		else
			set_fact(s, word, value);
	}
	if (s->facts.domain_known != KNOWN_YES)
		s->facts.domain = NULL;
}

/* What holds for every answer, whatever the facts. */
static void
assert_lawful(const struct decide_facts *facts, const struct verdict *verdict)
{
	const bool answered = verdict->kind != VERDICT_PERMIT && verdict->kind != VERDICT_NOT_OURS;
	const unsigned class = verdict->code / 100;

	ck_assert_int_eq(answered, verdict->code != 0);
	ck_assert_int_eq(answered, verdict->enhanced[0] != '\0');
	ck_assert(verdict->text[0] != '\0' && strlen(verdict->text) < 80);
	ck_assert_ptr_null(strstr(verdict->text, facts->domain != NULL ? "acme" : "\n"));
	if (answered) {
		ck_assert(class == 4 || class == 5);
		ck_assert_int_eq(verdict->enhanced[0], '0' + (int)class);
	}
	ck_assert_int_eq(class == 5, verdict->kind == VERDICT_REJECT);
	if (verdict->kind == VERDICT_REJECT || verdict->kind == VERDICT_PERMIT)
		ck_assert(facts->snapshot_usable && facts->customer != NULL);
	ck_assert(decide_rule_name(verdict->rule)[0] != '?');
	ck_assert(decide_kind_name(verdict->kind)[0] != '?');
}

START_TEST(test_case)
{
	const char *line = cases.lines[_i];
	char kind[20], rule[8], code[8], enhanced[8];
	struct setting setting;

	table_word(&line, kind, sizeof(kind));
	table_word(&line, rule, sizeof(rule));
	table_word(&line, code, sizeof(code));
	table_word(&line, enhanced, sizeof(enhanced));
	setting_read(&setting, line);
	const struct verdict verdict = decide_recipient(&setting.facts);
	ck_assert_msg(strcmp(decide_kind_name(verdict.kind), kind) == 0 &&
			  (int)verdict.rule == atoi(rule) && verdict.code == (unsigned)atoi(code) &&
			  strcmp(verdict.enhanced, strcmp(enhanced, "-") == 0 ? "" : enhanced) == 0,
	    "%s: got %s %d %u %s", cases.lines[_i], decide_kind_name(verdict.kind),
	    (int)verdict.rule, verdict.code, verdict.enhanced);
	assert_lawful(&setting.facts, &verdict);
}
END_TEST

/* Without a usable snapshot no case of the table is answered with 5xx, or permitted. */
START_TEST(test_never_5xx_without_snapshot)
{
	for (int i = 0; i < cases.count; i++) {
		const char *line = cases.lines[i];
		char word[20];
		struct setting setting;

		for (int skip = 0; skip < 4; skip++)
			table_word(&line, word, sizeof(word));
		setting_read(&setting, line);
		setting.facts.snapshot_usable = false;
		const struct verdict verdict = decide_recipient(&setting.facts);
		ck_assert(verdict.kind ==
			  (setting.facts.never_ours ? VERDICT_NOT_OURS : VERDICT_CANNOT_TELL));
	}
}
END_TEST

/* A contact that was missed changes the answer for unknown domains alone. */
START_TEST(test_staleness_touches_the_unknown_alone)
{
	for (int i = 0; i < cases.count; i++) {
		const char *line = cases.lines[i];
		char word[20];
		struct setting setting;

		for (int skip = 0; skip < 4; skip++)
			table_word(&line, word, sizeof(word));
		setting_read(&setting, line);
		setting.facts.contact_fresh = true;
		const struct verdict fresh = decide_recipient(&setting.facts);
		setting.facts.contact_fresh = false;
		const struct verdict stale = decide_recipient(&setting.facts);
		if (fresh.rule == RULE_UNKNOWN && !setting.facts.never_ours)
			ck_assert_int_eq(stale.rule, RULE_UNKNOWN_STALE);
		else
			ck_assert(fresh.rule == stale.rule && fresh.kind == stale.kind);
	}
}
END_TEST

START_TEST(test_limits_inherit)
{
	struct setting s;

	setting_init(&s);
	struct limits limits = decide_limits(&s.domain, NULL);
	ck_assert_uint_eq(limits.size_limit, SIZE_LIMIT_DEFAULT);
	ck_assert_uint_eq(limits.quota_messages, 0);
	ck_assert_uint_eq(limits.quota_bytes, 0);
	ck_assert_uint_eq(limits.retention, 0);
	ck_assert_int_eq(limits.oversize, OVERSIZE_REJECT);
	ck_assert_int_eq(limits.when_primary_up, PRIMARY_UP_ACCEPT);
	ck_assert_int_eq(limits.mx_check, MX_CHECK_ON);

	s.customer.limits = (struct limits){
	    1, 2, 3, 4, OVERSIZE_DEFER, PRIMARY_UP_DEFER, MX_CHECK_OFF, REFUSED_KEEP};
	limits = decide_limits(&s.domain, &s.customer);
	ck_assert_uint_eq(limits.size_limit, 1);
	ck_assert_uint_eq(limits.quota_messages, 2);
	ck_assert_uint_eq(limits.quota_bytes, 3);
	ck_assert_uint_eq(limits.retention, 4);
	ck_assert_int_eq(limits.oversize, OVERSIZE_DEFER);
	ck_assert_int_eq(limits.when_primary_up, PRIMARY_UP_DEFER);
	ck_assert_int_eq(limits.mx_check, MX_CHECK_OFF);
	ck_assert_int_eq(limits.refused, REFUSED_KEEP);

	s.domain.limits = (struct limits){
	    10, 20, 30, UINT32_MAX, OVERSIZE_REJECT, PRIMARY_UP_ACCEPT, MX_CHECK_ON, REFUSED_JUDGE};
	limits = decide_limits(&s.domain, &s.customer);
	ck_assert_uint_eq(limits.size_limit, 10);
	ck_assert_uint_eq(limits.quota_messages, 20);
	ck_assert_uint_eq(limits.quota_bytes, 30);
	ck_assert_uint_eq(limits.retention, UINT32_MAX);
	ck_assert_int_eq(limits.oversize, OVERSIZE_REJECT);
	ck_assert_int_eq(limits.when_primary_up, PRIMARY_UP_ACCEPT);
	ck_assert_int_eq(limits.mx_check, MX_CHECK_ON);
	ck_assert_int_eq(limits.refused, REFUSED_JUDGE);
}
END_TEST

/* The relay's quota holds where neither row nor customer says. */
START_TEST(test_quota_of_the_relay)
{
	struct state_facts state = {.held_messages = 10, .held_bytes = 1000};
	struct setting s;

	setting_init(&s);
	s.facts.state = &state;
	ck_assert_int_eq(decide_recipient(&s.facts).rule, RULE_AUTHORISED);
	s.facts.quota_messages = 10;
	ck_assert_int_eq(decide_recipient(&s.facts).rule, RULE_QUOTA);
	s.customer.limits.quota_messages = 11;
	ck_assert_int_eq(decide_recipient(&s.facts).rule, RULE_AUTHORISED);
	s.facts.quota_bytes = 1000;
	ck_assert_int_eq(decide_recipient(&s.facts).rule, RULE_QUOTA);
	s.domain.limits.quota_bytes = 1001;
	ck_assert_int_eq(decide_recipient(&s.facts).rule, RULE_AUTHORISED);
}
END_TEST

/* At the end of the message the limit is exact: nobody rounds up what was counted. */
START_TEST(test_content_size)
{
	struct limits limits = {.size_limit = 1000, .oversize = OVERSIZE_REJECT};

	ck_assert_int_eq(decide_content_size(&limits, 0).kind, VERDICT_PERMIT);
	ck_assert_int_eq(decide_content_size(&limits, 1000).kind, VERDICT_PERMIT);
	struct verdict verdict = decide_content_size(&limits, 1001);
	ck_assert_int_eq(verdict.kind, VERDICT_REJECT);
	ck_assert_int_eq(verdict.rule, RULE_SIZE);
	ck_assert_uint_eq(verdict.code, 552);
	ck_assert_str_eq(verdict.enhanced, "5.3.4");
	limits.oversize = OVERSIZE_DEFER;
	verdict = decide_content_size(&limits, UINT64_MAX);
	ck_assert_int_eq(verdict.kind, VERDICT_DEFER);
	ck_assert_uint_eq(verdict.code, 452);
	ck_assert_str_eq(verdict.enhanced, "4.3.4");
}
END_TEST

START_TEST(test_region_permitted)
{
	struct setting s;

	setting_init(&s);
	ck_assert(decide_region_permitted(&s.domain, &s.customer, "us"));
	ck_assert(!decide_region_permitted(&s.domain, NULL, "us"));
	ck_assert(!decide_region_permitted(&s.domain, &s.customer, NULL));
	ck_assert(!decide_region_permitted(&s.domain, &s.customer, ""));
	ck_assert(!decide_region_permitted(&s.domain, &s.customer, "u"));
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(decide_rule_name(RULE_REGION), "region");
	ck_assert_str_eq(decide_rule_name((enum decide_rule)99), "?");
	ck_assert_str_eq(decide_kind_name(VERDICT_CANNOT_TELL), "cannot-tell");
	ck_assert_str_eq(decide_kind_name((enum verdict_kind)99), "?");
}
END_TEST

int
main(void)
{
	cases = table_load("tests/data/decisions.txt");
	Suite *suite = suite_create("decide");
	TCase *tests = tcase_create("core");
	tcase_add_loop_test(tests, test_case, 0, cases.count);
	tcase_add_test(tests, test_never_5xx_without_snapshot);
	tcase_add_test(tests, test_staleness_touches_the_unknown_alone);
	tcase_add_test(tests, test_limits_inherit);
	tcase_add_test(tests, test_quota_of_the_relay);
	tcase_add_test(tests, test_content_size);
	tcase_add_test(tests, test_region_permitted);
	tcase_add_test(tests, test_names);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	table_free(&cases);
	return status;
}
