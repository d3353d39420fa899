/*
 * Tests of core/mx_judge by the table tests/data/mx_judge.txt, of the size of DNS answers, and of
 * core/mta_sts.
 */
#include "core/mx_judge.h"

#include "tests/unit/table.h"

static struct table cases;
static struct mx_facts facts;
static struct mx_verdict verdict;
static struct mta_sts_policy policy;
static struct mx_relay relays[3];
static struct ip own, relay_2;
static char words[64][300]; /* that facts point to */
static size_t word_count;
static char wanted_rows[400];

static const struct {
	char letter;
	const char *name, *address;
} known[] = {
    {'P', "mail.customer.example", "198.51.100.25"},
    {'Q', "mail2.customer.example", "198.51.100.26"},
    {'E', "eu.mx.backup.example", "192.0.2.11"},
    {'H', "hk.mx.backup.example", "192.0.2.12"},
};

static void
address_of(struct mx_host *host, const char *text)
{
	host->lookup = RESOLVER_FOUND;
	host->address_count = 1;
	ck_assert_msg(ip_parse(text, &host->addresses[0]), "%s", text);
}

/* NAME, and what follows it. */
static void
take_host(struct mx_host *host, char *text)
{
	char mark = '\0', *rest = strpbrk(text, "=~!");
	struct ip literal;

	if (rest != NULL) {
		mark = *rest;
		*rest++ = '\0';
	}
	address_of(host, "198.51.100.99");
	host->null_mx = strcmp(text, ".") == 0;
	host->odd = ip_parse(text, &literal);
	if (!host->null_mx)
		snprintf(host->name, sizeof(host->name), "%s", text);
	for (size_t i = 0; i < 4; i++)
		if (text[0] == known[i].letter && text[1] == '\0') {
			strcpy(host->name, known[i].name);
			address_of(host, known[i].address);
		}
	if (mark == '=') {
		host->address_count = 0;
		for (char *one = strtok(rest, "+"); one != NULL; one = strtok(NULL, "+")) {
			char *fenced = strchr(one, '*');

			if (fenced != NULL)
				*fenced = '\0';
			host->fenced[host->address_count] = fenced != NULL ? "some address" : NULL;
			ck_assert(ip_parse(one, &host->addresses[host->address_count++]));
		}
	}
	if (mark == '~')
		strcpy(host->canonical, rest);
	if (mark == '!' && strcmp(rest, "half") == 0) {
		host->half = true;
	} else if (mark == '!') {
		host->address_count = 0;
		host->lookup = strcmp(rest, "fail") == 0     ? RESOLVER_CANNOT_TELL
			       : strcmp(rest, "nodata") == 0 ? RESOLVER_NODATA
							     : RESOLVER_NXDOMAIN;
	}
}

static void
take_sts(char *value)
{
	char *patterns = strchr(value, ':'), text[600];
	const char *problem;

	facts.sts = strcmp(value, "absent") == 0   ? MX_STS_ABSENT
		    : strcmp(value, "fail") == 0   ? MX_STS_CANNOT_TELL
		    : strcmp(value, "broken") == 0 ? MX_STS_BROKEN
						   : MX_STS_POLICY;
	if (facts.sts != MX_STS_POLICY)
		return;
	*patterns++ = '\0';
	int used =
	    snprintf(text, sizeof(text), "version: STSv1\nmode: %s\nmax_age: 86400\n", value);
	for (char *one = strtok(patterns, ","); one != NULL; one = strtok(NULL, ","))
		used += snprintf(text + used, sizeof(text) - (size_t)used, "mx: %s\n", one);
	ck_assert_msg(mta_sts_policy_parse(text, (size_t)used, &policy, &problem), "%s", problem);
	facts.policy = &policy;
}

static void
take_word(char *word)
{
	char *value = strchr(word, '=');
	const size_t key = value != NULL ? (size_t)(value - word) : strlen(word);

	value = value != NULL ? value + 1 : word + key;
#define IS(text) (key == strlen(text) && memcmp(word, text, key) == 0)
	if (word[0] >= '0' && word[0] <= '9') {
		struct mx_host *host = &facts.hosts[facts.host_count++];
		char *name = NULL;

		host->preference = (uint16_t)strtoul(word, &name, 10);
		ck_assert(*name == ':');
		take_host(host, name + 1);
	} else if (IS("dns")) {
		facts.mx = strcmp(value, "fail") == 0     ? RESOLVER_CANNOT_TELL
			   : strcmp(value, "nodata") == 0 ? RESOLVER_NODATA
							  : RESOLVER_NXDOMAIN;
	} else if (IS("itself")) {
		if (strcmp(value, "fail") == 0)
			facts.itself.lookup = RESOLVER_CANNOT_TELL;
		else
			address_of(&facts.itself, value);
	} else if (IS("alias")) {
		strcpy(facts.canonical, value);
	} else if (IS("permit")) {
		relays[0].permitted = relays[1].permitted = strstr(value, "eu") != NULL;
		relays[2].permitted = strstr(value, "hk") != NULL;
	} else if (IS("sts")) {
		take_sts(value);
	} else if (IS("hops")) {
		facts.next_hops = value;
	} else if (IS("rows")) {
		strcpy(wanted_rows, value);
	} else if (IS("bogus")) {
		facts.bogus = true;
	} else if (IS("cut")) {
		facts.cut = true;
	} else if (IS("unjudged")) {
		facts.unjudged = value;
	} else if (IS("hop-refused")) {
		facts.next_hop_problem = "name of a relay of the fleet";
	} else {
		ck_abort_msg("what is %s?", word);
	}
}

static void
set_up(void)
{
	memset(&facts, 0, sizeof(facts));
	relays[0] = (struct mx_relay){.names = "eu.mx.backup.example",
	    .addresses = "192.0.2.11 2001:db8::11",
	    .region = "eu",
	    .self = true,
	    .permitted = true};
	relays[1] = (struct mx_relay){.names = "eu.mx.backup.example",
	    .addresses = "192.0.2.13",
	    .region = "eu",
	    .permitted = true};
	relays[2] = (struct mx_relay){.names = "hk.mx.backup.example",
	    .addresses = "192.0.2.12",
	    .region = "hk",
	    .permitted = true};
	ck_assert(ip_parse("192.0.2.211", &own) && ip_parse("192.0.2.13", &relay_2));
	facts.domain = "customer.example";
	facts.mx = RESOLVER_FOUND;
	facts.itself.lookup = RESOLVER_NODATA;
	strcpy(facts.itself.name, "customer.example");
	facts.next_hops = "";
	facts.relays = relays;
	facts.relay_count = 3;
	facts.own = &own;
	facts.own_count = 1;
	word_count = 0;
	wanted_rows[0] = '\0';
}

/* Each issue once, sorted as they were found, with commas. */
static void
issues_of(char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < verdict.finding_count; i++) {
		const char *name = mx_issue_name(verdict.findings[i].issue);

		if (strstr(out, name) == NULL)
			used += (size_t)snprintf(
			    out + used, size - used, "%s%s", used > 0 ? "," : "", name);
	}
	if (out[0] == '\0')
		strcpy(out, "-");
}

/* Do both lists hold the same words? Their order does not count. */
static bool
same_set(const char *a, const char *b)
{
	char copy[1000];
	size_t total = 0;

	snprintf(copy, sizeof(copy), "%s", a);
	for (char *one = strtok(copy, ","); one != NULL; one = strtok(NULL, ",")) {
		const char *at = strstr(b, one);

		if (at == NULL)
			return false;
		total += strlen(one) + 1;
	}
	return total == strlen(b) + 1;
}

static void
rows_of(char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < verdict.expected_count; i++) {
		const struct mx_row *row = &verdict.expected[i];
		const char *host = row->host[0] != '\0' ? row->host : "?";
		char letter[2] = "";

		for (size_t k = 0; k < 4; k++)
			if (strcmp(host, known[k].name) == 0)
				letter[0] = known[k].letter;
		used += (size_t)snprintf(out + used, size - used, "%s%u:%s", used > 0 ? "," : "",
		    (unsigned)row->preference, letter[0] != '\0' ? letter : host);
	}
}

static const char *const outcomes[] = {
    [MX_GOOD] = "good", [MX_FINDINGS] = "findings", [MX_OUTCOME_CANNOT_TELL] = "cannot-tell"};
static const char *const states[] = {
    [MX_STATE_UNKNOWN] = "unknown", [MX_STATE_NAMED] = "named", [MX_STATE_NOT_NAMED] = "not-named"};

START_TEST(test_table)
{
	const char *line = cases.lines[_i];
	char outcome[20], state[20], issues[300], found[600], rows[2000] = "", bar[4];

	table_word(&line, outcome, sizeof(outcome));
	table_word(&line, state, sizeof(state));
	table_word(&line, issues, sizeof(issues));
	table_word(&line, bar, sizeof(bar));
	ck_assert_str_eq(bar, "|");
	while (line[strspn(line, " ")] != '\0') {
		table_word(&line, words[word_count], sizeof(words[0]));
		take_word(words[word_count++]);
	}
	mx_judge(&facts, &verdict);
	issues_of(found, sizeof(found));
	ck_assert_msg(strcmp(outcomes[verdict.outcome], outcome) == 0, "%s: %s (%s)",
	    cases.lines[_i], outcomes[verdict.outcome], found);
	ck_assert_msg(strcmp(states[verdict.state], state) == 0, "%s: %s", cases.lines[_i],
	    states[verdict.state]);
	ck_assert_msg(same_set(found, issues), "%s: %s", cases.lines[_i], found);
	rows_of(rows, sizeof(rows));
	if (wanted_rows[0] != '\0')
		ck_assert_msg(strcmp(rows, wanted_rows) == 0, "%s: %s", cases.lines[_i], rows);
	for (size_t i = 0; i < verdict.finding_count; i++)
		ck_assert_ptr_null(strchr(verdict.findings[i].text, '\n'));
	/* What is proposed must itself be right, once it is in the zone. */
	if (verdict.expected_count == 0 || verdict.expected[0].host[0] == '\0')
		return;
	struct mx_verdict proposed = verdict;
	facts.mx = RESOLVER_FOUND;
	facts.sts = MX_STS_NOT_ASKED;
	facts.bogus = facts.cut = false;
	facts.canonical[0] = '\0';
	facts.next_hop_problem = NULL;
	memset(facts.hosts, 0, sizeof(facts.hosts));
	facts.host_count = proposed.expected_count;
	for (size_t i = 0; i < facts.host_count; i++) {
		char name[DOMAIN_SIZE];

		strcpy(name, proposed.expected[i].host);
		take_host(&facts.hosts[i], name);
		facts.hosts[i].preference = proposed.expected[i].preference;
		if (proposed.expected[i].role == MX_ROLE_SELF) {
			address_of(&facts.hosts[i], "192.0.2.11");
			facts.hosts[i].addresses[facts.hosts[i].address_count++] = relay_2;
		}
		if (proposed.expected[i].role == MX_ROLE_RELAY)
			address_of(&facts.hosts[i], "192.0.2.12");
	}
	mx_judge(&facts, &verdict);
	for (size_t i = 0; i < verdict.finding_count; i++)
		ck_assert_msg(verdict.findings[i].severity == MX_NOTE ||
				  verdict.findings[i].issue == MX_ISSUE_SIZE,
		    "%s: what is proposed is wrong itself: %s", cases.lines[_i],
		    verdict.findings[i].text);
}
END_TEST

/* Sizes counted by hand: RFC 1035, 4.1. */
START_TEST(test_sizes)
{
	take_word(strcpy(words[0], "10:P"));
	mx_judge(&facts, &verdict);
	/* header 12, "customer.example" 18, type and class 4; record 12 + 2, "mail" 5, pointer 2 */
	ck_assert_uint_eq(verdict.found_size, 12 + 18 + 4 + 14 + 5 + 2);
	take_word(strcpy(words[1], "20:P")); /* the same name again: a pointer */
	take_word(strcpy(words[2], "30:E")); /* "eu.mx.backup" 3+3+7, "example" is there: pointer */
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(verdict.found_size, 12 + 18 + 4 + (14 + 7) + (14 + 2) + (14 + 13 + 2));
}
END_TEST

/* How many findings of this issue have both texts; also: that its severity is the one wanted. */
static size_t
count_findings(enum mx_issue issue, enum mx_severity severity, const char *text, const char *also)
{
	size_t count = 0;

	for (size_t i = 0; i < verdict.finding_count; i++) {
		const struct mx_finding *finding = &verdict.findings[i];

		if (finding->issue != issue || strstr(finding->text, text) == NULL ||
		    strstr(finding->text, also) == NULL)
			continue;
		ck_assert_int_eq(finding->severity, severity);
		count++;
	}
	return count;
}

/* What is to be added must be in the policy before; a host of both lists is told of once. */
START_TEST(test_policy_first)
{
	take_word(strcpy(words[0], "10:P"));
	take_word(strcpy(words[1], "20:E"));
	take_word(strcpy(words[2], "sts=enforce:mail.customer.example"));
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_STS_RELAY, MX_ERROR, "eu.mx.backup.example",
			      "add `mx: eu.mx.backup.example`"),
	    1);
	ck_assert_uint_eq(count_findings(MX_ISSUE_STS_RELAY, MX_WARNING, "hk.mx.backup.example",
			      "add `mx: hk.mx.backup.example` to it before"),
	    1);
	ck_assert_uint_eq(count_findings(MX_ISSUE_STS_PRIMARY, MX_ERROR, "", ""), 0);
}
END_TEST

/* Where nothing can be delivered it is an error, with each address; else a warning. */
START_TEST(test_fenced)
{
	take_word(strcpy(words[0], "10:P=127.0.0.1*+10.0.0.1*"));
	take_word(strcpy(words[1], "20:E"));
	take_word(strcpy(words[2], "30:P=127.0.0.1*+10.0.0.1*"));
	take_word(strcpy(words[3], "30:Q"));
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_TARGET_FENCED, MX_ERROR,
			      "mail.customer.example: 127.0.0.1 (some address), 10.0.0.1 (some "
			      "address); ",
			      "it expires"),
	    1);
	take_word(strcpy(words[4], "15:Q"));
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_TARGET_FENCED, MX_WARNING,
			      "mail.customer.example: 127.0.0.1", ""),
	    1);
	/* As many addresses as there are, each as long as can be. */
	for (size_t i = 0; i < MX_ADDRESSES_MOST; i++) {
		ck_assert(ip_parse(
		    "fe80:1111:2222:3333:4444:5555:6666:7777", &facts.hosts[0].addresses[i]));
		facts.hosts[0].fenced[i] = "address of another relay";
	}
	facts.hosts[0].address_count = MX_ADDRESSES_MOST;
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_TARGET_FENCED, MX_WARNING,
			      "mail.customer.example: fe80:", "7777 (address of another relay)"),
	    1);
}
END_TEST

/* "It takes no mail" only where rule 8 defers it. */
START_TEST(test_not_named)
{
	take_word(strcpy(words[0], "10:P"));
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_NOT_NAMED, MX_ERROR, "(eu.mx.backup.example)",
			      ": it takes no mail for this domain"),
	    1);
	facts.unjudged = "mx_check is off";
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(count_findings(MX_ISSUE_NOT_NAMED, MX_ERROR, "(eu.mx.backup.example)",
			      "senders do not find it (rule 8 defers no mail that comes: mx_check "
			      "is off)"),
	    1);
	ck_assert_uint_eq(count_findings(MX_ISSUE_NOT_NAMED, MX_ERROR, "takes no mail", ""), 0);
}
END_TEST

/* The same records in another order: the same rows and words. */
START_TEST(test_any_order)
{
	static const char *const hosts[] = {"10:Q", "10:P", "20:H", "20:E"};
	struct mx_verdict first;

	for (size_t i = 0; i < 4; i++)
		take_word(strcpy(words[i], hosts[i]));
	mx_judge(&facts, &first);
	facts.host_count = 0;
	memset(facts.hosts, 0, sizeof(facts.hosts));
	for (size_t i = 0; i < 4; i++)
		take_word(strcpy(words[i], hosts[3 - i]));
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(verdict.expected_count, first.expected_count);
	for (size_t i = 0; i < first.expected_count; i++) {
		ck_assert_str_eq(verdict.expected[i].host, first.expected[i].host);
		ck_assert_uint_eq(verdict.expected[i].preference, first.expected[i].preference);
	}
	ck_assert_str_eq(verdict.expected[4].host, "mail.customer.example");
}
END_TEST

/* More records than are read: nothing is said of those, and nothing proposed in their place. */
START_TEST(test_cut)
{
	take_word(strcpy(words[0], "10:P"));
	take_word(strcpy(words[1], "20:E"));
	take_word(strcpy(words[2], "cut"));
	mx_judge(&facts, &verdict);
	ck_assert(verdict.cut && !mx_rows_differ(&verdict));
	ck_assert_uint_eq(verdict.found_count, 2);
	ck_assert_uint_eq(verdict.expected_count, 0);
	ck_assert_uint_eq(verdict.expected_size, 0);
	ck_assert_uint_eq(
	    count_findings(MX_ISSUE_TOO_MANY, MX_WARNING, "more MX records than the 2", ""), 1);
}
END_TEST

START_TEST(test_no_relay_of_ours)
{
	relays[0].self = false;
	take_word(strcpy(words[0], "10:P"));
	mx_judge(&facts, &verdict);
	ck_assert_int_eq(verdict.state, MX_STATE_UNKNOWN);
	facts.relay_count = 0;
	mx_judge(&facts, &verdict);
	ck_assert_int_eq(verdict.state, MX_STATE_UNKNOWN);
}
END_TEST

/* A domain that is an alias has an address, but is no target for an MX record. */
START_TEST(test_proposal_is_no_alias)
{
	facts.mx = RESOLVER_NODATA;
	address_of(&facts.itself, "198.51.100.25");
	strcpy(facts.itself.canonical, "web.hoster.example");
	mx_judge(&facts, &verdict);
	ck_assert_str_eq(verdict.expected[0].host, "web.hoster.example");
}
END_TEST

/* The address that could not be read may be this relay's: that is not good, and not wrong. */
START_TEST(test_half_is_not_good)
{
	facts.relay_count = 1;
	take_word(strcpy(words[0], "10:P!half"));
	mx_judge(&facts, &verdict);
	ck_assert_int_eq(verdict.state, MX_STATE_UNKNOWN);
	ck_assert_int_eq(verdict.outcome, MX_OUTCOME_CANNOT_TELL);
}
END_TEST

/* However much there is to be noted: an error is not left out for it. */
START_TEST(test_errors_have_room)
{
	for (unsigned i = 0; i < MX_HOSTS_MOST; i++) {
		struct mx_host *host = &facts.hosts[facts.host_count++];

		snprintf(host->name, sizeof(host->name), "nat%u.customer.example", i);
		address_of(host, "192.0.2.11");
		host->preference = 10;
	}
	mx_judge(&facts, &verdict);
	ck_assert_uint_eq(verdict.finding_count, MX_FINDINGS_MOST);
	ck_assert_int_eq(verdict.outcome, MX_FINDINGS);
	unsigned errors = 0;
	for (size_t i = 0; i < verdict.finding_count; i++)
		errors += verdict.findings[i].issue == MX_ISSUE_NO_PRIMARY;
	ck_assert_uint_eq(errors, 1);
}
END_TEST

/* A DNS server lists the records in any order, and in another one each time. */
START_TEST(test_order_of_records)
{
	static const char *const orders[][4] = {{"10:P", "10:E", "20:Q", "20:H"},
	    {"20:Q", "20:H", "10:P", "10:E"}, {"20:H", "10:E", "20:Q", "10:P"}};
	bool error = false;

	for (size_t i = 0; i < 4; i++)
		take_word(strcpy(words[i], orders[_i][i]));
	mx_judge(&facts, &verdict);
	for (size_t i = 0; i < verdict.finding_count; i++)
		error = error || (verdict.findings[i].issue == MX_ISSUE_EQUAL &&
				     verdict.findings[i].severity == MX_ERROR);
	ck_assert_msg(error, "there is no better server than the relay at 10");
	facts.host_count = 0;
	take_word(strcpy(words[4], _i == 0 ? "10:P" : "10:Q"));
	take_word(strcpy(words[5], _i == 0 ? "10:Q" : "10:P"));
	mx_judge(&facts, &verdict);
	ck_assert_str_eq(verdict.expected[verdict.expected_count - 1].host, known[0].name);
}
END_TEST

START_TEST(test_names_and_lines)
{
	struct mx_row row = {.host = "a.example", .preference = 7};
	char line[MX_LINE_SIZE];

	ck_assert_str_eq(mx_zone_line("b.example", &row, line), "b.example. IN MX 7 a.example.");
	row.host[0] = '\0';
	ck_assert_int_eq(mx_zone_line("b.example", &row, line)[0], ';');
	for (enum mx_issue issue = 0; issue < MX_ISSUES; issue++)
		ck_assert_ptr_nonnull(mx_issue_name(issue));
	ck_assert_str_eq(mx_issue_name(MX_ISSUES), "?");
	ck_assert_str_eq(mx_severity_name(MX_ERROR), "error");
	ck_assert_str_eq(mx_role_name(MX_ROLE_SELF), "this relay");
}
END_TEST

/* --- MTA-STS -------------------------------------------------------------------------------------
 */

static const struct {
	const char *text;
	const char *id; /* NULL: none of ours */
} records[] = {
    {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
    {"v=STSv1;id=1", "1"},
    {"v=STSv1; x=y; id=ab", "ab"},
    {"v=STSv1 ; id=ab ;", "ab"},
    {"v=STSv1", NULL},
    {"v=STSv1; id=", NULL},
    {"v=STSv1; id=a-b", NULL},
    {"v=STSv1; id=123456789012345678901234567890123", NULL},
    {"v=STSv1; id=12345678901234567890123456789012", "12345678901234567890123456789012"},
    {"v=STSv2; id=1", NULL},
    {" v=STSv1; id=1", NULL},
    {"id=1; v=STSv1", NULL},
    {"v=spf1 -all", NULL},
    {"", NULL},
};

START_TEST(test_sts_record)
{
	char id[MTA_STS_ID_SIZE];
	const bool is = mta_sts_record(records[_i].text, strlen(records[_i].text), id);

	ck_assert_msg(is == (records[_i].id != NULL), "%s", records[_i].text);
	if (is)
		ck_assert_str_eq(id, records[_i].id);
}
END_TEST

#define HEAD "version: STSv1\n"
static const struct {
	const char *text;
	const char *problem; /* a part of it; NULL: valid */
	enum mta_sts_mode mode;
	size_t mx;
} policies[] = {
    {HEAD "mode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n", NULL,
	MTA_STS_ENFORCE, 2},
    {"version: STSv1\r\nmode: testing\r\nmx: mail.example.com\r\nmax_age: 1\r\n", NULL,
	MTA_STS_TESTING, 1},
    {"max_age:1\nmx:a.example\nmode:enforce\nversion:STSv1", NULL, MTA_STS_ENFORCE, 1},
    {HEAD "mode: none\nmax_age: 86400\n", NULL, MTA_STS_NONE, 0},
    {HEAD "mode: enforce\nmode: none\nmx: a.example\nmax_age: 1\n", NULL, MTA_STS_ENFORCE, 1},
    {HEAD "x-new: thing\n\nmode: testing\nmx: A.Example.\nmax_age: 9999999999\n", NULL,
	MTA_STS_TESTING, 1},
    {HEAD "mode: enforce\nmax_age: 1\n", "names no mx", 0, 0},
    {HEAD "mode: enforce\nmx: a.example\n", "no max_age", 0, 0},
    {HEAD "mx: a.example\nmax_age: 1\n", "no mode", 0, 0},
    {"mode: enforce\nmx: a.example\nmax_age: 1\n", "no version", 0, 0},
    {"version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1\n", "not STSv1", 0, 0},
    {HEAD "mode: Enforce\nmx: a.example\nmax_age: 1\n", "mode is none of", 0, 0},
    {HEAD "mode: enforce\nmx: a.example\nmax_age: -1\n", "max_age is no number", 0, 0},
    {HEAD "mode: enforce\nmx: a.example\nmax_age: 12345678901\n", "max_age is no number", 0, 0},
    {HEAD "mode: enforce\nmx: a.example\nmax_age:\n", "max_age is no number", 0, 0},
    {HEAD "mode: enforce\nmx: -\nmax_age: 1\n", "no host name", 0, 0},
    {HEAD "mode: enforce\nmx: *.*.example\nmax_age: 1\n", "no host name", 0, 0},
    {HEAD "mode: enforce\nmx: *.\nmax_age: 1\n", "no host name", 0, 0},
    {"<html><body>404</body></html>", "no version", 0, 0},
    {"", "no version", 0, 0},
};

START_TEST(test_sts_policy)
{
	const char *problem = "?";
	const bool valid =
	    mta_sts_policy_parse(policies[_i].text, strlen(policies[_i].text), &policy, &problem);

	if (policies[_i].problem != NULL) {
		ck_assert_msg(!valid && strstr(problem, policies[_i].problem) != NULL, "%s: %s",
		    policies[_i].text, problem);
		return;
	}
	ck_assert_msg(valid && problem == NULL, "%s: %s", policies[_i].text, problem);
	ck_assert_int_eq(policy.mode, policies[_i].mode);
	ck_assert_uint_eq(policy.mx_count, policies[_i].mx);
}
END_TEST

START_TEST(test_sts_permits)
{
	static const char text[] =
	    HEAD "mode: enforce\nmx: Mail.Example.COM\nmx: *.example.net\nmax_age: 1\n";
	const char *problem;

	ck_assert(mta_sts_policy_parse(text, strlen(text), &policy, &problem));
	ck_assert(mta_sts_permits(&policy, "mail.example.com"));
	ck_assert(mta_sts_permits(&policy, "a.example.net"));
	ck_assert(!mta_sts_permits(&policy, "example.net"));
	ck_assert(!mta_sts_permits(&policy, "a.b.example.net"));
	ck_assert(!mta_sts_permits(&policy, "aexample.net"));
	ck_assert(!mta_sts_permits(&policy, "mail.example.org"));
	ck_assert(!mta_sts_permits(&policy, "x"));
}
END_TEST

START_TEST(test_sts_too_much)
{
	static char text[MTA_STS_POLICY_MAX + 100];
	const char *problem;

	memset(text, 'x', sizeof(text));
	ck_assert(!mta_sts_policy_parse(text, sizeof(text), &policy, &problem));
	size_t used = (size_t)sprintf(text, HEAD "mode: enforce\nmax_age: 1\n");
	for (int i = 0; i < MTA_STS_MX_MOST + 1; i++)
		used += (size_t)sprintf(text + used, "mx: m%d.example\n", i);
	ck_assert(!mta_sts_policy_parse(text, used, &policy, &problem));
	ck_assert_ptr_nonnull(strstr(problem, "more mx"));
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("mx_judge");
	TCase *tests = tcase_create("judge"), *sts = tcase_create("mta-sts");

	cases = table_load("tests/data/mx_judge.txt");
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, test_table, 0, cases.count);
	tcase_add_test(tests, test_sizes);
	tcase_add_test(tests, test_policy_first);
	tcase_add_test(tests, test_fenced);
	tcase_add_test(tests, test_not_named);
	tcase_add_test(tests, test_any_order);
	tcase_add_test(tests, test_cut);
	tcase_add_test(tests, test_no_relay_of_ours);
	tcase_add_test(tests, test_proposal_is_no_alias);
	tcase_add_test(tests, test_half_is_not_good);
	tcase_add_test(tests, test_errors_have_room);
	tcase_add_loop_test(tests, test_order_of_records, 0, 3);
	tcase_add_test(tests, test_names_and_lines);
	suite_add_tcase(suite, tests);
	tcase_add_loop_test(sts, test_sts_record, 0, COUNT(records));
	tcase_add_loop_test(sts, test_sts_policy, 0, COUNT(policies));
	tcase_add_test(sts, test_sts_permits);
	tcase_add_test(sts, test_sts_too_much);
	suite_add_tcase(suite, sts);
	const int code = table_run(suite);
	table_free(&cases);
	return code;
}
