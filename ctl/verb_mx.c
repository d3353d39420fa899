/*
 * verb_mx: `mxholdctl mx check DOMAIN`: the domain's MX records, row by row, as they are and as
 * they should be; the lines to paste into the zone; the relays' addresses that the customer's
 * server should let pass.
 *
 * In: mxhold.conf, the snapshot, the DNS, an MTA-STS policy over HTTPS. Out: lines for a person, or
 * one JSON object. core/mx_judge judges. It changes nothing, but asks mxhold-queued to read them
 * anew, too: what that knows decides about mail.
 */
#include "ctl/owner.h"
#include "ctl/queue_talk.h"
#include "ctl/sub_verb.h"
#include "ctl/text.h"

#include "core/decide.h"
#include "core/fence.h"
#include "core/mx_fleet.h"
#include "core/mx_gather.h"
#include "core/state.h"
#include "core/sts_fetch.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXIT_FINDINGS 1
#define DEADLINE_MS 15000
#define WIDTH 80       /* of lines on a terminal; what is to be pasted stays whole */
#define QUEUED_MS 5000 /* that mxhold-queued is given to say yes */

struct check {
	struct ctl *ctl;
	const char *server;       /* option */
	bool no_reread;           /* option */
	bool reread;              /* mxhold-queued reads them anew */
	char reread_problem[256]; /* why not; "": nobody wanted it */
	char domain[DOMAIN_SIZE], owner[DOMAIN_SIZE];
	enum mx_state row_is; /* of `owner`, as it was read last, where `domain` is below it */

	struct snapshot *snapshot;
	struct domain_record row;
	struct mx_fleet fleet;
	const struct fleet *fence; /* of the snapshot */
	char hop_problem[512];

	bool answered, fetched;
	struct mx_facts facts;
	struct mta_sts_policy policy;
	char sts_problem[256];
	struct mx_verdict verdict;
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- what the snapshot says
 * ----------------------------------------------------------------------- */

/* What the fence says against a next hop of the row. */
static const char *
next_hop_problem(struct check *check)
{
	const struct conf *conf = check->ctl->conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};
	const char *at = check->row.next_hops;

	while (*(at += strspn(at, ", ")) != '\0') {
		const size_t length = strcspn(at, ", ");
		const struct fence_verdict verdict =
		    fence_next_hop(at, length, check->fence, &allow);

		if (verdict.drop) {
			snprintf(check->hop_problem, sizeof(check->hop_problem), "%.*s: %s",
			    (int)length, at, verdict.reason);
			return check->hop_problem;
		}
		at += length;
	}
	return NULL;
}

/* The relays read the MX records of rows only. */
static bool
below_row(const struct check *check)
{
	return strcmp(check->domain, check->owner) != 0;
}

static int
read_row(struct check *check)
{
	struct customer_record customer;
	const char *owner = NULL;

	switch (snapshot_domain_for(check->snapshot, check->domain, &check->row, &owner)) {
	case SNAPSHOT_OK: break;
	case SNAPSHOT_NOT_FOUND:
		ctl_say("%s: no row of this relay's snapshot speaks for it", check->domain);
		return CTL_DATA;
	case SNAPSHOT_DAMAGED:
	case SNAPSHOT_UNUSABLE:
		ctl_say("%s: its row cannot be read", check->domain);
		return CTL_UNAVAILABLE;
	}
	snprintf(check->owner, sizeof(check->owner), "%s", owner);
	const bool known =
	    snapshot_customer(check->snapshot, check->row.customer, &customer) == SNAPSHOT_OK;
	check->fence = snapshot_fleet(check->snapshot);
	if (check->fence == NULL ||
	    !mx_fleet_load(&check->fleet, check->snapshot, check->ctl->conf->relay.name)) {
		ctl_say("the fleet's records cannot be read");
		return CTL_UNAVAILABLE;
	}
	mx_fleet_permit(&check->fleet, &check->row, known ? &customer : NULL);
	check->facts.next_hop_problem = next_hop_problem(check);
	if (below_row(check))
		check->facts.unjudged = "it judges the row's own name only";
	else if (decide_limits(&check->row, known ? &customer : NULL).mx_check == MX_CHECK_OFF)
		check->facts.unjudged = "mx_check is off";
	return CTL_OK;
}

static int
read_snapshot(struct check *check)
{
	const struct conf *conf = check->ctl->conf;

	check->snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	if (check->snapshot == NULL) {
		ctl_say("out of memory");
		return CTL_SOFTWARE;
	}
	for (size_t i = 0; i < conf->relay.public_address_count; i++)
		if (!snapshot_own_address(check->snapshot, &conf->relay.public_addresses[i]))
			return CTL_SOFTWARE;
	if (owner_snapshot_begin(
		check->snapshot, conf->paths.state_dir, snapshot_clock_boot_ms()) != SNAPSHOT_OK) {
		ctl_say("%s", snapshot_problem(check->snapshot));
		return CTL_UNAVAILABLE;
	}
	const int code = read_row(check);
	snapshot_end(check->snapshot);
	return code;
}

/* Of a name below a row: what mxhold-queued has read of the row's own records, if that counts. */
static void
read_row_state(struct check *check)
{
	const char *state_dir = check->ctl->conf->paths.state_dir;
	struct state *state = below_row(check) ? state_new(state_dir) : NULL;
	struct state_domain row;

	if (state == NULL)
		return;
	if (owner_state_begin(state, state_dir, snapshot_clock_boot_ms()) == STATE_OK) {
		if (state_domain(state, check->owner, &row) == STATE_OK && row.mx_at != 0)
			check->row_is = row.mx;
		state_end(state);
	}
	state_free(state);
}

/* --- what the DNS says
 * ------------------------------------------------------------------------------- */

static void
on_gathered(struct mx_facts *facts, void *context)
{
	struct check *check = context;
	const char *hop_problem = check->facts.next_hop_problem;
	const char *unjudged = check->facts.unjudged;

	check->facts = *facts;
	check->facts.problem = facts->problem != NULL ? strdup(facts->problem) : NULL;
	check->facts.domain = check->domain;
	check->facts.next_hop_problem = hop_problem;
	check->facts.unjudged = unjudged;
	check->answered = true;
}

/* Lets the resolver, which answers everything by its deadline, go on for a second at most. */
static void
resolver_step(struct resolver *resolver)
{
	struct pollfd ready = {.fd = resolver_fd(resolver), .events = POLLIN};
	int64_t wait = resolver_wait_ms(resolver, clock_ms());

	if (wait < 0 || wait > 1000)
		wait = 1000;
	(void)poll(&ready, 1, (int)wait);
	resolver_process(resolver, clock_ms());
}

static void
on_fetched(
    enum mx_sts result, const struct mta_sts_policy *policy, const char *problem, void *context)
{
	struct check *check = context;

	check->facts.sts = result;
	if (policy != NULL)
		check->policy = *policy;
	snprintf(check->sts_problem, sizeof(check->sts_problem), "%s", problem);
	check->fetched = true;
}

static void
wait_for_policy(struct check *check, struct sts_fetcher *fetcher)
{
	while (!check->fetched) {
		struct pollfd ready = {.fd = sts_fetcher_fd(fetcher), .events = POLLIN};
		const int64_t wait = sts_fetcher_wait_ms(fetcher, clock_ms());

		(void)poll(&ready, 1, wait < 0 || wait > 1000 ? 1000 : (int)wait);
		sts_fetcher_process(fetcher, clock_ms());
	}
}

/* Over HTTPS; with an end (STS_FETCH_DEADLINE_MS). Behind the fence, as mxhold-queued. */
static void
read_policy(struct check *check)
{
	const struct conf *conf = check->ctl->conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};
	const struct mx_host *host = &check->facts.sts_host;
	struct ip addresses[MX_ADDRESSES_MOST];
	const size_t count = mx_fleet_reachable(host, check->fence, &allow, addresses);
	struct sts_fetcher *fetcher = sts_fetcher_new();

	check->facts.sts = MX_STS_CANNOT_TELL;
	check->facts.sts_problem = check->sts_problem;
	snprintf(check->sts_problem, sizeof(check->sts_problem), "%s",
	    host->address_count == 0 ? "no address of its web server was found"
	    : count == 0 ? "its web server has no address that a relay may connect to (the fence)"
			 : "out of memory");
	if (fetcher != NULL && count > 0 &&
	    sts_fetch(fetcher, check->domain, addresses, count, on_fetched, check) != NULL)
		wait_for_policy(check, fetcher);
	sts_fetcher_free(fetcher);
}

static int
read_dns(struct check *check)
{
	struct resolver_setup setup = {.server = check->server};
	const char *problem;
	const char *anchor = check->ctl->conf->queue.trust_anchor;

	if (!resolver_use_anchor(&setup, anchor))
		ctl_say("the trust anchor %s cannot be read: DNSSEC is not checked", anchor);
	struct resolver *resolver = resolver_new(&setup, &problem);
	if (resolver == NULL) {
		ctl_say("no DNS can be asked: %s", problem);
		return CTL_UNAVAILABLE;
	}
	while (resolver_proving(resolver))
		resolver_step(resolver);
	const struct mx_gather_question question = {.domain = check->domain,
	    .fresh = true,
	    .sts = true,
	    .deadline_ms = clock_ms() + DEADLINE_MS,
	    .done = on_gathered,
	    .context = check};
	if (mx_gather_start(resolver, &question) == NULL) {
		resolver_free(resolver);
		ctl_say("out of memory");
		return CTL_SOFTWARE;
	}
	while (!check->answered)
		resolver_step(resolver);
	resolver_free(resolver);
	if (check->facts.sts == MX_STS_POLICY)
		read_policy(check);
	return CTL_OK;
}

static void
judge(struct check *check)
{
	const struct conf *conf = check->ctl->conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};

	mx_fleet_fence(&check->facts, check->fence, &allow);
	check->facts.policy = &check->policy;
	check->facts.relays = check->fleet.relays;
	check->facts.relay_count = check->fleet.count;
	check->facts.own = conf->relay.public_addresses;
	check->facts.own_count = conf->relay.public_address_count;
	check->facts.next_hops = check->row.next_hops;
	mx_judge(&check->facts, &check->verdict);
}

/* Says to mxhold-queued of this relay, if it is there and we may, that there may be something new.
 */
static void
ask_queued(struct check *check)
{
	struct queue_talk talk = {.socket = -1, .silent = true};

	if (check->no_reread)
		return;
	check->reread = queue_talk_open(&talk, check->ctl, false) == CTL_OK &&
			queue_talk_ask(&talk,
			    json_pack("{s:s, s:s, s:s}", "do", "mx", "domain", check->domain, "by",
				queue_talk_by()),
			    QUEUED_MS, NULL, NULL) == CTL_OK;
	snprintf(check->reread_problem, sizeof(check->reread_problem), "%s", talk.problem);
	queue_talk_close(&talk);
}

/* --- addresses that the customer should let pass
 * ------------------------------------------------------ */

/* Calls for each address of each relay that may hold this domain's mail, once. */
static void
each_relay_address(
    struct check *check, void (*take)(const struct ip *address, void *context), void *context)
{
	const struct conf *conf = check->ctl->conf;
	struct ip seen[256];
	size_t count = 0;

	for (size_t i = 0; i < check->fleet.count; i++) {
		const struct mx_relay *relay = &check->fleet.relays[i];
		const char *at = relay->permitted ? relay->addresses : "";
		size_t own = relay->self && relay->permitted ? conf->relay.public_address_count : 0;

		while (count < sizeof(seen) / sizeof(seen[0])) {
			struct ip address;
			size_t k = 0;

			if (*(at += strspn(at, " ")) != '\0') {
				const size_t length = strcspn(at, " ");

				if (!ip_parse_bytes(at, length, &address))
					address.family = 0;
				at += length;
			} else if (own > 0) {
				address = conf->relay.public_addresses[--own];
			} else {
				break;
			}
			while (k < count && !ip_equal(&seen[k], &address))
				k++;
			if (k < count || address.family == 0)
				continue;
			seen[count++] = address;
			take(&address, context);
		}
	}
}

static void
add_address(const struct ip *address, void *context)
{
	char text[IP_TEXT_SIZE];

	json_array_append_new(context, json_string(ip_format(address, text)));
}

static void
add_spf_term(const struct ip *address, void *context)
{
	char text[IP_TEXT_SIZE], term[IP_TEXT_SIZE + 8];

	snprintf(
	    term, sizeof(term), "ip%u:%s", (unsigned)address->family, ip_format(address, text));
	json_array_append_new(context, json_string(term));
}

/* --- the answer as JSON: what a person reads is made of it too
 * ------------------------------------------ */

/* `matches`: what it is called that the other side has it; null where that was not compared. */
static json_t *
rows_json(const struct mx_row *rows, size_t count, const char *matches, bool compared)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
		    array, json_pack("{s:i, s:s, s:s, s:o}", "preference", (int)rows[i].preference,
			       "host", rows[i].host, "role", mx_role_name(rows[i].role), matches,
			       compared ? json_boolean(rows[i].matches) : json_null()));
	return array;
}

static json_t *
findings_json(const struct mx_verdict *verdict)
{
	json_t *array = json_array();

	for (size_t i = 0; i < verdict->finding_count; i++)
		json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "severity",
						 mx_severity_name(verdict->findings[i].severity),
						 "issue", mx_issue_name(verdict->findings[i].issue),
						 "text", verdict->findings[i].text));
	return array;
}

static json_t *
zone_json(const struct check *check)
{
	char line[MX_LINE_SIZE];
	json_t *array = json_array();

	for (size_t i = 0; i < check->verdict.expected_count; i++)
		json_array_append_new(array,
		    json_string(mx_zone_line(check->domain, &check->verdict.expected[i], line)));
	return array;
}

static const char *
sts_name(const struct check *check)
{
	switch (check->facts.sts) {
	case MX_STS_POLICY: return mta_sts_mode_name(check->policy.mode);
	case MX_STS_ABSENT: return "absent";
	case MX_STS_BROKEN: return "broken";
	case MX_STS_NOT_ASKED:
	case MX_STS_CANNOT_TELL: break;
	}
	return "unreadable";
}

static json_t *
answer_json(struct check *check)
{
	static const char *const outcomes[] = {[MX_GOOD] = "good",
	    [MX_FINDINGS] = "findings",
	    [MX_OUTCOME_CANNOT_TELL] = "cannot-tell"};
	static const char *const states[] = {[MX_STATE_UNKNOWN] = "unknown",
	    [MX_STATE_NAMED] = "named",
	    [MX_STATE_NOT_NAMED] = "not-named"};
	const struct mx_verdict *verdict = &check->verdict;
	json_t *addresses = json_array(), *spf = json_array();

	each_relay_address(check, add_address, addresses);
	each_relay_address(check, add_spf_term, spf);
	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:o, s:i, s:i, s:s, "
			 "s:s, s:o, s:o, s:b, s:s}",
	    "domain", check->domain, "row", check->owner, "row_is",
	    below_row(check) ? json_string(states[check->row_is]) : json_null(), "relay",
	    check->ctl->conf->relay.name, "outcome", outcomes[verdict->outcome], "relay_is",
	    states[verdict->state], "findings", findings_json(verdict), "found",
	    rows_json(verdict->found, verdict->found_count, "expected", !verdict->cut), "expected",
	    rows_json(verdict->expected, verdict->expected_count, "found", true), "complete",
	    (int)!verdict->cut, "zone", zone_json(check), "answer_bytes", (int)verdict->found_size,
	    "expected_bytes", (int)verdict->expected_size, "dnssec",
	    resolver_dnssec_name(check->facts.dnssec), "mta_sts", sts_name(check),
	    "relay_addresses", addresses, "spf_terms", spf, "reread", (int)check->reread,
	    "reread_problem", check->reread_problem);
}

/* --- the answer for a person
 * ------------------------------------------------------------------------------ */

struct line { /* of both lists as one */
	const struct mx_row *row;
	char mark; /* as it should be, to be added (+), to be removed (-), not compared (?) */
};

static int
compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->row->preference != y->row->preference)
		return x->row->preference < y->row->preference ? -1 : 1;
	const int order = strcmp(x->row->host, y->row->host);
	return order != 0 ? order : x->mark - y->mark;
}

static size_t
longer(size_t length, const char *text)
{
	return strlen(text) > length ? strlen(text) : length;
}

static void
print_rows(const struct mx_verdict *verdict)
{
	size_t host = 1, role = 1;
	struct line lines[MX_HOSTS_MOST + MX_ROWS_MOST];
	size_t count = 0;

	for (size_t i = 0; i < verdict->expected_count; i++)
		lines[count++] =
		    (struct line){&verdict->expected[i], verdict->expected[i].matches ? ' ' : '+'};
	for (size_t i = 0; i < verdict->found_count; i++)
		if (!verdict->found[i].matches)
			lines[count++] =
			    (struct line){&verdict->found[i], verdict->cut ? '?' : '-'};
	qsort(lines, count, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < count; i++) {
		host = longer(host, lines[i].row->host);
		role = longer(role, mx_role_name(lines[i].row->role));
	}
	for (size_t i = 0; i < count; i++)
		printf("  %c %5u %-*s %-*s %s\n", lines[i].mark, (unsigned)lines[i].row->preference,
		    (int)(host < 40 ? host : 40),
		    lines[i].row->host[0] != '\0' ? lines[i].row->host : "?", (int)role,
		    mx_role_name(lines[i].row->role),
		    lines[i].mark == ' '   ? "as expected"
		    : lines[i].mark == '+' ? "not found"
		    : lines[i].mark == '?' ? "one of more"
					   : "not expected");
}

/* On a terminal its lines are kept short. */
static void
print_words(const char *before, size_t indent, const char *words)
{
	struct text text = {0};

	text_puts(&text, before);
	text_wrap(&text, words, isatty(STDOUT_FILENO) == 1 ? WIDTH : 0, indent);
	printf("%s\n", text.bytes);
	text_free(&text);
}

static void
print_findings(const struct mx_verdict *verdict)
{
	for (size_t i = 0; i < verdict->finding_count; i++) {
		const struct mx_finding *finding = &verdict->findings[i];
		char before[128];

		snprintf(before, sizeof(before), "%s  %-11s %s: ", i == 0 ? "\nFindings:\n" : "",
		    mx_severity_name(finding->severity), mx_issue_name(finding->issue));
		print_words(before, 14, finding->text);
	}
}

static void
print_array(const json_t *array, const char *before)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)array, i, item)
	{
		printf("%s%s", before, json_string_value(item));
	}
}

static const char *
headline(const struct mx_verdict *verdict)
{
	switch (verdict->outcome) {
	case MX_GOOD: return "the MX records are as they should be";
	case MX_FINDINGS:
		if (verdict->cut)
			return "there are more MX records than are read here";
		return mx_rows_differ(verdict) ? "the MX records need a change"
					       : "the MX records are there, but see the findings";
	case MX_OUTCOME_CANNOT_TELL: break;
	}
	return "this cannot be told now";
}

static void
print_below_row(const struct check *check)
{
	static const char *const words[] = {
	    [MX_STATE_UNKNOWN] = "it is not known here whether they name this relay",
	    [MX_STATE_NAMED] = "they name this relay",
	    [MX_STATE_NOT_NAMED] = "they do not name this relay",
	};

	char text[512];

	printf("\n%s is a name below the row %s.\n", check->domain, check->owner);
	snprintf(text, sizeof(text),
	    "The relays read the MX records of the row's own name only (%s); rule 8 defers no mail "
	    "for a name below it.",
	    words[check->row_is]);
	print_words("", 0, text);
}

static void
print_answer(const struct check *check, const json_t *answer)
{
	const struct mx_verdict *verdict = &check->verdict;

	printf("%s: %s\n", check->domain, headline(verdict));
	if (verdict->found_count + verdict->expected_count > 0) {
		printf("\nMX records (%s%zu bytes of DNS answer; %s):\n",
		    verdict->cut ? "at least " : "", verdict->found_size,
		    verdict->cut ? "? not all were read" : "+ to add, - to remove");
		print_rows(verdict);
	}
	print_findings(verdict);
	printf("\nDNSSEC: %s\nMTA-STS policy: %s\n", resolver_dnssec_name(check->facts.dnssec),
	    sts_name(check));
	if (verdict->outcome == MX_FINDINGS && mx_rows_differ(verdict)) {
		printf("\nLines for the zone, in place of all MX records of the name:\n");
		print_array(json_object_get(answer, "zone"), "\n  ");
		printf("\n");
	}
	print_words("\n", 0,
	    "The customer's server should exempt these relays from SPF, blocklists and "
	    "greylisting:");
	printf(" ");
	print_array(json_object_get(answer, "relay_addresses"), " ");
	printf("\nas terms of an SPF record:\n ");
	print_array(json_object_get(answer, "spf_terms"), " ");
	printf("\n");
	if (below_row(check))
		print_below_row(check);
	if (check->reread && below_row(check))
		printf("\nmxhold-queued reads those of %s anew now.\n", check->owner);
	else if (check->reread)
		printf("\nmxhold-queued reads them anew now.\n");
	else if (check->reread_problem[0] != '\0')
		print_words("\nThis relay does not read them anew: ", 2, check->reread_problem);
}

static int
exit_code(enum mx_outcome outcome)
{
	switch (outcome) {
	case MX_GOOD: return CTL_OK;
	case MX_FINDINGS: return EXIT_FINDINGS;
	case MX_OUTCOME_CANNOT_TELL: break;
	}
	return CTL_TEMPFAIL;
}

static int
answer(struct check *check)
{
	int code = read_snapshot(check);

	if (code == CTL_OK)
		code = read_dns(check);
	if (code != CTL_OK)
		return code;
	read_row_state(check);
	judge(check);
	ask_queued(check);
	json_t *object = answer_json(check);
	if (object == NULL) {
		ctl_say("%s: this cannot be shown", check->domain);
		return CTL_SOFTWARE;
	}
	if (check->ctl->json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_answer(check, object);
	}
	json_decref(object);
	return exit_code(check->verdict.outcome);
}

/* IP[@PORT], as libunbound takes it; an IPv6 address may have a zone (fe80::1%eth0). */
static bool
is_server(const char *text)
{
	const size_t length = strcspn(text, "@"), bare = strcspn(text, "@%");
	const char *port = text + length + 1;
	struct ip address;

	if (!ip_parse_bytes(text, bare, &address) ||
	    (bare < length && (address.family != 6 || bare + 1 == length)))
		return false;
	if (text[length] == '\0')
		return true;
	return *port != '\0' && strlen(port) <= 5 && strspn(port, "0123456789") == strlen(port) &&
	       strtoul(port, NULL, 10) >= 1 && strtoul(port, NULL, 10) <= 65535;
}

static int
mx_check(struct ctl *ctl, int argc, char **argv)
{
	struct check *check = calloc(1, sizeof(*check));
	char **operands;
	int count;

	if (check == NULL)
		return CTL_SOFTWARE;
	check->ctl = ctl;
	const struct ctl_option options[] = {
	    {"server", "IP[@PORT]", "ask this DNS server; default: those of resolv.conf",
		&check->server, NULL},
	    {"no-reread", NULL, "do not ask mxhold-queued to read them anew, too", NULL,
		&check->no_reread},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"mx check DOMAIN [--server IP[@PORT]] [--no-reread]",
	    "Reads a domain's MX records now and compares them with those that a cloud backup\n"
	    "needs. Where mxhold-queued runs, and you may, it is asked to read them anew as well:\n"
	    "what it knows decides about mail. Exit status: 0 as they should be, 1 findings, 75 it "
	    "cannot be told now (DNS),\n"
	    "69 this relay's snapshot cannot be read, 65 the domain is not authorised here.\n",
	    options};
	int code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code < 0 && count != 1)
		code = ctl_wrong(&usage, "one domain is wanted");
	if (code < 0 && check->server != NULL && !is_server(check->server))
		code =
		    ctl_wrong(&usage, "--server: %s is no IP address, nor IP@PORT", check->server);
	if (code < 0 && !domain_normalise(operands[0], strlen(operands[0]), check->domain)) {
		ctl_say("%s: that is no name of a mail domain", operands[0]);
		code = CTL_DATA;
	}
	if (code < 0 && !ctl_need_conf(ctl))
		code = CTL_CONFIG;
	if (code < 0)
		code = answer(check);
	mx_fleet_free(&check->fleet);
	snapshot_free(check->snapshot);
	free((char *)(uintptr_t)check->facts.problem);
	free(check);
	return code;
}

int
ctl_verb_mx(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"check", "compare a domain's MX records with those that it should have", mx_check},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "mx", verbs, argc, argv);
}
