/*
 * Fuzzes core/mx_judge: facts of all kinds, made from bytes. Whatever comes: the verdict keeps its
 * bounds and agrees with its findings, does not depend on the order in which a DNS server lists the
 * records, and the rows that would be right are found right.
 *
 * Input: a few bytes for the answer as a whole, six for each name of the table below, five for each
 * of the relays, and then two for each record: a name, and a preference.
 */
#include "core/mx_judge.h"

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL "label-of-sixty-one-bytes-so-that-four-of-them-fill-a-whole-na"
#define LISTS(of) (sizeof(of) / sizeof((of)[0]))
#define NAMES LISTS(names)
#define RELAYS 6
#define WORDS_200                                                                                  \
	"words of somebody else, of which there may be many, many more than a line of ours "       \
	"holds, "                                                                                  \
	"because nobody keeps a server from saying what it likes, as long as it likes, to us "

static const char *const names[] = {"", "customer.example", "mail.customer.example",
    "mail2.customer.example", "mail.hoster.example", "a.b.c.d.e.f.g.h.customer.example",
    LABEL "." LABEL "." LABEL "." LABEL ".abc", "198.51.100.7", "eu.mx.backup.example",
    "hk.mx.backup.example", "us.mx.backup.example", "old.mx.backup.example"};

static const char *const addresses[] = {"198.51.100.25", "198.51.100.26", "2001:db8:1::25",
    "192.0.2.11", "192.0.2.12", "::ffff:192.0.2.11"};

static const char *const name_lists[] = {"eu.mx.backup.example", "hk.mx.backup.example",
    "us.mx.backup.example", "hk.mx.backup.example eu.mx.backup.example",
    " us.mx.backup.example  old.mx.backup.example ", LABEL "." LABEL "." LABEL "." LABEL ".xyz"};

static const char *const address_lists[] = {
    "", "192.0.2.11", "192.0.2.12", "192.0.2.12 ::ffff:192.0.2.11", "2001:db8:1::25", "no address"};

static const uint16_t preferences[] = {
    0, 1, 5, 10, 20, 30, 40, 50, 100, 32767, 65500, 65515, 65525, 65530, 65534, 65535};

struct input {
	const uint8_t *at;
	size_t left;
};

struct scene {
	struct mx_facts facts;
	struct mx_host hosts[NAMES]; /* what the DNS says of each name */
	struct mx_relay relays[RELAYS];
	struct mta_sts_policy policy;
	struct ip own;
};

static unsigned
take(struct input *input, unsigned below)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++ % below;
}

/* --- facts --------------------------------------------------------------------------------------
 */

static void
take_addresses(struct input *input, struct mx_host *host)
{
	const unsigned count = take(input, 3);

	host->lookup = (enum resolver_outcome)take(input, 4);
	host->half = take(input, 8) == 1;
	for (unsigned i = 0; i < count; i++)
		FUZZ_HOLDS(ip_parse(addresses[take(input, LISTS(addresses))],
		    &host->addresses[host->address_count++]));
	if (count > 0)
		host->lookup = RESOLVER_FOUND;
	else if (host->lookup == RESOLVER_FOUND)
		host->lookup = RESOLVER_NODATA;
}

/* An alias has the addresses of what it leads to; a relay's own name is none. */
static void
take_names(struct input *input, struct scene *scene)
{
	for (size_t i = 0; i < NAMES; i++) {
		struct mx_host *host = &scene->hosts[i];
		const unsigned alias = take(input, 32);

		(void)strcpy(host->name, names[i]);
		host->null_mx = names[i][0] == '\0';
		host->odd = names[i][0] == '1';
		take_addresses(input, host);
		if (host->null_mx || host->odd || i >= 8 || alias == 0 || alias >= i ||
		    scene->hosts[alias].odd || scene->hosts[alias].canonical[0] != '\0')
			continue;
		*host = scene->hosts[alias];
		(void)strcpy(host->name, names[i]);
		(void)strcpy(host->canonical, names[alias]);
	}
}

static void
take_relays(struct input *input, struct scene *scene)
{
	const size_t count = take(input, RELAYS + 1);

	for (size_t i = 0; i < count; i++) {
		struct mx_relay *relay = &scene->relays[i];

		relay->names = name_lists[take(input, LISTS(name_lists))];
		relay->addresses = address_lists[take(input, LISTS(address_lists))];
		relay->region = "eu";
		relay->self = take(input, 8) != 1 && i == 0;
		relay->permitted = take(input, 4) != 1;
	}
	scene->facts.relays = scene->relays;
	scene->facts.relay_count = count;
	FUZZ_HOLDS(ip_parse(addresses[3], &scene->own));
	scene->facts.own = &scene->own;
	scene->facts.own_count = take(input, 2);
}

static void
take_policy(struct input *input, struct scene *scene)
{
	struct mta_sts_policy *policy = &scene->policy;

	scene->facts.sts = (enum mx_sts)take(input, 5);
	scene->facts.sts_problem = take(input, 2) == 1 ? WORDS_200 WORDS_200 : NULL;
	policy->mode = (enum mta_sts_mode)take(input, 3);
	for (unsigned count = take(input, 5); policy->mx_count < count; policy->mx_count++)
		(void)snprintf(policy->mx[policy->mx_count], sizeof(policy->mx[0]), "%s",
		    take(input, 4) == 1 ? "*.mx.backup.example"
					: names[1 + take(input, NAMES - 1)]);
	scene->facts.policy = policy;
}

static void
take_scene(struct input *input, struct scene *scene)
{
	struct mx_facts *facts = &scene->facts;

	const size_t domain = take(input, 4) == 1 ? 6 : 1;
	facts->domain = names[domain];
	facts->mx = (enum resolver_outcome)take(input, 4);
	facts->bogus = take(input, 8) == 1;
	facts->cut = take(input, 8) == 1;
	facts->problem = take(input, 2) == 1 ? WORDS_200 WORDS_200 : NULL;
	if (take(input, 8) == 1)
		(void)strcpy(facts->canonical, "alias.example");
	facts->next_hops = take(input, 2) == 1 ? "[198.51.100.25]" : "";
	facts->next_hop_problem = take(input, 4) == 1 ? WORDS_200 WORDS_200 : NULL;
	take_policy(input, scene);
	take_names(input, scene);
	facts->itself = scene->hosts[domain];
	if (facts->mx != RESOLVER_NODATA) { /* not asked for */
		memset(&facts->itself, 0, sizeof(facts->itself));
		facts->itself.lookup = RESOLVER_NODATA;
	}
	take_relays(input, scene);
	while (facts->mx == RESOLVER_FOUND && facts->host_count < MX_HOSTS_MOST &&
	       (input->left > 0 || facts->host_count == 0)) {
		struct mx_host *host = &facts->hosts[facts->host_count++];

		*host = scene->hosts[take(input, NAMES)];
		host->preference = preferences[take(input, 16)];
	}
}

/* --- what holds --------------------------------------------------------------------------------
 */

static const struct mx_relay *
self_of(const struct mx_facts *facts)
{
	return facts->relay_count > 0 && facts->relays[0].self ? &facts->relays[0] : NULL;
}

static unsigned
count_of(const struct mx_verdict *verdict, enum mx_issue issue, enum mx_severity least)
{
	unsigned count = 0;

	for (size_t i = 0; i < verdict->finding_count; i++)
		count +=
		    verdict->findings[i].issue == issue && verdict->findings[i].severity >= least;
	return count;
}

static void
check_findings(const struct mx_facts *facts, const struct mx_verdict *verdict)
{
	enum mx_outcome outcome = MX_GOOD;

	FUZZ_HOLDS(verdict->finding_count <= MX_FINDINGS_MOST);
	for (size_t i = 0; i < verdict->finding_count; i++) {
		const struct mx_finding *finding = &verdict->findings[i];

		FUZZ_HOLDS(strcmp(mx_issue_name(finding->issue), "?") != 0);
		FUZZ_HOLDS(strcmp(mx_severity_name(finding->severity), "?") != 0);
		FUZZ_HOLDS(finding->text[0] != '\0');
		for (const char *c = finding->text; *c != '\0'; c++)
			FUZZ_HOLDS(*c >= ' ' && *c <= '~');
		if (finding->severity >= MX_WARNING)
			outcome = MX_FINDINGS;
		else if (finding->severity == MX_CANNOT_TELL && outcome == MX_GOOD)
			outcome = MX_OUTCOME_CANNOT_TELL;
	}
	FUZZ_HOLDS(verdict->outcome == outcome);
	FUZZ_HOLDS(facts->mx != RESOLVER_CANNOT_TELL || outcome != MX_GOOD);
	FUZZ_HOLDS(
	    facts->next_hop_problem == NULL || count_of(verdict, MX_ISSUE_NEXT_HOP, MX_ERROR) == 1);
}

/* Rule 8 refuses by it: only where all was read, and none of it names this relay. */
static void
check_state(const struct mx_facts *facts, const struct mx_verdict *verdict)
{
	const struct mx_relay *self = self_of(facts);

	FUZZ_HOLDS(verdict->state == mx_judge_state(facts));
	FUZZ_HOLDS(self != NULL || verdict->state == MX_STATE_UNKNOWN);
	if (verdict->state != MX_STATE_NOT_NAMED)
		return;
	FUZZ_HOLDS(facts->mx != RESOLVER_CANNOT_TELL && !facts->cut && !facts->bogus);
	FUZZ_HOLDS(!self->permitted || count_of(verdict, MX_ISSUE_NOT_NAMED, MX_ERROR) == 1);
	for (size_t i = 0; i < facts->host_count; i++) {
		const struct mx_host *host = &facts->hosts[i];

		FUZZ_HOLDS(host->null_mx || host->odd ||
			   (!host->half && host->lookup != RESOLVER_CANNOT_TELL &&
			       !records_list_has(self->names, host->name)));
	}
}

static void
check_row(const char *domain, const struct mx_row *row)
{
	char line[MX_LINE_SIZE];

	FUZZ_HOLDS(memchr(row->host, '\0', sizeof(row->host)) != NULL);
	FUZZ_HOLDS(strcmp(mx_role_name(row->role), "?") != 0);
	FUZZ_HOLDS(strlen(mx_zone_line(domain, row, line)) < MX_LINE_SIZE - 1);
	FUZZ_HOLDS(strchr(line, '\n') == NULL && strstr(line, " IN MX ") != NULL);
}

/* Sorted, none twice; the customer's server in front, the relays at one preference, it again. */
static void
check_expected(const struct mx_facts *facts, const struct mx_verdict *verdict)
{
	const struct mx_row *row = verdict->expected, *relay = NULL;
	const size_t count = verdict->expected_count;

	FUZZ_HOLDS(count <= MX_ROWS_MOST);
	FUZZ_HOLDS((count > 0) == (facts->mx != RESOLVER_CANNOT_TELL));
	for (size_t i = 0; i < count; i++) {
		check_row(facts->domain, &row[i]);
		FUZZ_HOLDS(i == 0 || row[i - 1].preference < row[i].preference ||
			   (row[i - 1].preference == row[i].preference &&
			       strcmp(row[i - 1].host, row[i].host) < 0));
		FUZZ_HOLDS(row[i].role <= MX_ROLE_RELAY);
		FUZZ_HOLDS(row[i].host[0] != '\0' || row[i].role == MX_ROLE_PRIMARY);
		if (row[i].role != MX_ROLE_PRIMARY && relay == NULL)
			relay = &row[i];
		FUZZ_HOLDS(relay == NULL || (row[i].role == MX_ROLE_PRIMARY) ==
						(row[i].preference != relay->preference));
	}
	FUZZ_HOLDS(count == 0 ||
		   (row[0].role == MX_ROLE_PRIMARY && row[count - 1].role == MX_ROLE_PRIMARY));
	bool permitted = false;
	for (size_t i = 0; i < facts->relay_count; i++)
		permitted = permitted || facts->relays[i].permitted;
	FUZZ_HOLDS(count == 0 || permitted == (relay != NULL));
}

static void
check_found(const struct mx_facts *facts, const struct mx_verdict *verdict)
{
	const struct mx_relay *self = self_of(facts);

	FUZZ_HOLDS(
	    verdict->found_count == (facts->mx != RESOLVER_CANNOT_TELL ? facts->host_count : 0));
	for (size_t i = 0; i < verdict->found_count; i++)
		check_row(facts->domain, &verdict->found[i]);
	/* Where all is good there is nothing to correct. */
	if (verdict->outcome != MX_GOOD || self == NULL || !self->permitted)
		return;
	for (size_t i = 0; i < verdict->found_count; i++)
		FUZZ_HOLDS(verdict->found[i].matches);
	for (size_t i = 0; i < verdict->expected_count; i++)
		FUZZ_HOLDS(verdict->expected[i].matches);
}

/* --- the same facts in another order ------------------------------------------------------------
 */

static void
check_same(const struct mx_verdict *one, const struct mx_verdict *other)
{
	FUZZ_HOLDS(one->outcome == other->outcome && one->state == other->state);
	FUZZ_HOLDS(one->found_count == other->found_count &&
		   memcmp(one->found, other->found, sizeof(one->found)) == 0);
	FUZZ_HOLDS(one->expected_count == other->expected_count &&
		   memcmp(one->expected, other->expected, sizeof(one->expected)) == 0);
	FUZZ_HOLDS(
	    one->found_size == other->found_size && one->expected_size == other->expected_size);
	for (enum mx_issue issue = 0; issue < MX_ISSUES && one->finding_count < MX_FINDINGS_MOST;
	     issue++)
		for (enum mx_severity least = MX_NOTE; least <= MX_ERROR; least++)
			FUZZ_HOLDS(count_of(one, issue, least) == count_of(other, issue, least));
}

static void
check_order(const struct mx_facts *facts, const struct mx_verdict *verdict)
{
	static struct mx_facts turned;
	static struct mx_verdict again;

	turned = *facts;
	memset(&again, 0x55, sizeof(again));
	mx_judge(&turned, &again);
	FUZZ_HOLDS(memcmp(verdict, &again, sizeof(again)) == 0);
	for (size_t i = 0; i < facts->host_count; i++)
		turned.hosts[i] = facts->hosts[facts->host_count - 1 - i];
	mx_judge(&turned, &again);
	check_same(verdict, &again);
	for (size_t i = 0; i < facts->host_count; i++)
		turned.hosts[i] = facts->hosts[(i + facts->host_count / 2) % facts->host_count];
	mx_judge(&turned, &again);
	check_same(verdict, &again);
}

/* --- what is proposed, judged -----------------------------------------------------------------
 */

static struct mx_host
host_named(const struct scene *scene, const char *name)
{
	for (size_t i = 0; i < NAMES; i++)
		if (strcmp(scene->hosts[i].name, name) == 0)
			return scene->hosts[i];
	struct mx_host host = {.lookup = RESOLVER_NODATA};
	(void)snprintf(host.name, sizeof(host.name), "%s", name);
	return host;
}

static void
check_proposal(const struct scene *scene, const struct mx_verdict *verdict)
{
	static const enum mx_issue cured[] = {MX_ISSUE_NO_MX, MX_ISSUE_NULL_MX,
	    MX_ISSUE_NULL_MX_MIXED, MX_ISSUE_NOT_NAMED, MX_ISSUE_REGION, MX_ISSUE_RELAY_MISSING,
	    MX_ISSUE_EQUAL, MX_ISSUE_NOT_FIRST, MX_ISSUE_NOT_LAST, MX_ISSUE_PREFERENCES,
	    MX_ISSUE_TARGET_ODD, MX_ISSUE_TARGET_ALIAS, MX_ISSUE_NO_PRIMARY};
	static struct mx_facts facts;
	static struct mx_verdict again;

	if (verdict->expected_count == 0 || verdict->expected_count > MX_HOSTS_MOST)
		return;
	facts = scene->facts;
	facts.mx = RESOLVER_FOUND;
	facts.cut = facts.bogus = false;
	facts.host_count = verdict->expected_count;
	for (size_t i = 0; i < facts.host_count; i++) {
		if (verdict->expected[i].host[0] == '\0')
			return; /* nobody knows the customer's server */
		facts.hosts[i] = host_named(scene, verdict->expected[i].host);
		facts.hosts[i].preference = verdict->expected[i].preference;
	}
	mx_judge(&facts, &again);
	for (size_t i = 0; i < sizeof(cured) / sizeof(cured[0]); i++)
		FUZZ_HOLDS(count_of(&again, cured[i], MX_NOTE) == 0);
	FUZZ_HOLDS(self_of(&facts) == NULL || !self_of(&facts)->permitted ||
		   again.state == MX_STATE_NAMED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scene scene;
	static struct mx_verdict verdict;
	struct input input = {data, size};

	memset(&scene, 0, sizeof(scene));
	take_scene(&input, &scene);
	mx_judge(&scene.facts, &verdict);
	check_findings(&scene.facts, &verdict);
	check_state(&scene.facts, &verdict);
	check_expected(&scene.facts, &verdict);
	check_found(&scene.facts, &verdict);
	check_order(&scene.facts, &verdict);
	check_proposal(&scene, &verdict);
	fuzz_outcome(verdict.outcome == MX_GOOD);
	return 0;
}
