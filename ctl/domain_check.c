/*
 * domain_check: what this relay would answer for a domain or an address, by which rule, and on
 * which facts (see domain_check.h).
 *
 * In: mxhold.conf, the snapshot and the state, read-only; the same code judges as in policyd and
 * milter. Out: lines for a person, or one JSON object. It asks no server, and changes nothing.
 */
#include "ctl/domain_check.h"

#include "ctl/owner.h"

#include "core/fence.h"
#include "core/judge_state.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct check {
	struct ctl *ctl;
	const char *client, *size; /* options */
	char recipient[2048];
	uint64_t declared;

	struct snapshot *snapshot;
	enum snapshot_result begun;
	struct state *state;
	enum state_result state_begun;
	struct judge_time now;
	struct judgement judgement;
	struct domain_record domain; /* when judgement.known */
	struct customer_record customer;
	enum snapshot_result customer_found;
};

/* --- the question --------------------------------------------------------------------------- */

/* A bare domain is asked as an address in it. False: no mail domain. */
static bool
take_subject(struct check *check, const char *subject)
{
	char name[DOMAIN_SIZE];

	if (strchr(subject, '@') != NULL) {
		const int length =
		    snprintf(check->recipient, sizeof(check->recipient), "%s", subject);
		return length > 0 && (size_t)length < sizeof(check->recipient);
	}
	if (!domain_normalise(subject, strlen(subject), name))
		return false;
	snprintf(check->recipient, sizeof(check->recipient), "postmaster@%s", name);
	return true;
}

static bool
take_options(struct check *check, const struct ctl_usage *usage, int *code)
{
	struct ip address;
	char *end = NULL;

	check->declared = UINT64_MAX;
	if (check->client != NULL && !ip_parse(check->client, &address)) {
		*code = ctl_wrong(usage, "--client: %s is no IP address", check->client);
		return false;
	}
	if (check->size == NULL)
		return true;
	errno = 0;
	check->declared = strtoull(check->size, &end, 10);
	if (errno == 0 && end != check->size && *end == '\0' && check->size[0] != '-')
		return true;
	*code = ctl_wrong(usage, "--size: %s is no number of bytes", check->size);
	return false;
}

static bool
open_snapshot(struct check *check)
{
	const struct conf *conf = check->ctl->conf;

	check->snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	if (check->snapshot == NULL)
		return false;
	for (size_t i = 0; i < conf->relay.public_address_count; i++)
		if (!snapshot_own_address(check->snapshot, &conf->relay.public_addresses[i]))
			return false;
	check->now = (struct judge_time){(int64_t)time(NULL), snapshot_clock_boot_ms()};
	check->begun =
	    owner_snapshot_begin(check->snapshot, conf->paths.state_dir, check->now.boot_ms);
	check->state = state_new(conf->paths.state_dir);
	if (check->state == NULL)
		return false;
	check->state_begun =
	    owner_state_begin(check->state, conf->paths.state_dir, check->now.boot_ms);
	return true;
}

static bool
state_record(void *context, const char *name, struct state_domain *out)
{
	const struct check *check = context;

	return check->state_begun == STATE_OK && state_domain(check->state, name, out) == STATE_OK;
}

static void
judge(struct check *check)
{
	const struct conf *conf = check->ctl->conf;
	const struct judge_relay relay = {
	    .region = conf->relay.region,
	    .stale_after = conf->authority.stale_after,
	    .queue_lifetime = conf->relay.queue_lifetime,
	    .quota_messages = (uint64_t)conf->queue.quota_messages,
	    .quota_bytes = (uint64_t)conf->queue.quota_bytes,
	};
	const struct judge_state state = {.record = state_record, .context = check};
	const struct judge_request request = {
	    .recipient = check->recipient,
	    .recipient_length = strlen(check->recipient),
	    .client_address = check->client != NULL ? check->client : "",
	    .declared_size = check->declared,
	};

	check->judgement =
	    judge_with_state(check->snapshot, check->begun, &relay, check->now, &request, &state);
	if (!check->judgement.known)
		return;
	if (snapshot_domain_for(check->snapshot, check->judgement.domain, &check->domain, NULL) !=
	    SNAPSHOT_OK)
		check->judgement.known = false;
	else
		check->customer_found =
		    snapshot_customer(check->snapshot, check->domain.customer, &check->customer);
}

/* --- the answer as JSON: what a person reads is made of it too ---------------------------------
 */

static json_t *
text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *
number_or_null(uint64_t number)
{
	return number != 0 ? json_integer((json_int_t)number) : json_null();
}

/* "a b" as ["a", "b"]. */
static json_t *
list_json(const char *list)
{
	json_t *array = json_array();

	while (*(list += strspn(list, " ")) != '\0') {
		const size_t length = strcspn(list, " ");

		json_array_append_new(array, json_stringn(list, length));
		list += length;
	}
	return array;
}

/* Each next hop of the row, and what the fence says to it. */
static json_t *
hops_json(struct check *check)
{
	const struct conf *conf = check->ctl->conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};
	const struct fleet *fleet = snapshot_fleet(check->snapshot);
	const char *at = check->domain.next_hops;
	json_t *array = json_array();

	while (*(at += strspn(at, ", ")) != '\0') {
		const size_t length = strcspn(at, ", ");
		const char *opinion = "cannot tell: the fleet's records are damaged";

		if (fleet != NULL) {
			const struct fence_verdict verdict =
			    fence_next_hop(at, length, fleet, &allow);
			opinion = verdict.drop ? verdict.reason : "may be used";
		}
		json_array_append_new(array,
		    json_pack("{s:o, s:s}", "hop", json_stringn(at, length), "fence", opinion));
		at += length;
	}
	return array;
}

static json_t *
limits_json(const struct limits *limits)
{
	return json_pack("{s:I, s:s, s:o, s:o, s:s, s:s}", "size_limit",
	    (json_int_t)limits->size_limit, "oversize",
	    limits->oversize == OVERSIZE_DEFER ? "defer" : "reject", "quota_messages",
	    number_or_null(limits->quota_messages), "quota_bytes",
	    number_or_null(limits->quota_bytes), "when_primary_up",
	    limits->when_primary_up == PRIMARY_UP_DEFER ? "defer" : "accept", "mx_check",
	    limits->mx_check == MX_CHECK_OFF ? "off" : "on");
}

static const char *
customer_state(const struct check *check)
{
	switch (check->customer_found) {
	case SNAPSHOT_OK:
		return check->customer.retired_at != 0 ? "retired"
		       : check->customer.suspended     ? "suspended"
						       : "active";
	case SNAPSHOT_NOT_FOUND: return "missing";
	case SNAPSHOT_DAMAGED:
	case SNAPSHOT_UNUSABLE: break;
	}
	return "damaged";
}

/* What mxhold-queued knows, and which of it counts now. Null: nothing. */
static json_t *
queue_json(struct check *check)
{
	static const char *const mx_names[] = {
	    [MX_STATE_UNKNOWN] = "unknown",
	    [MX_STATE_NAMED] = "named",
	    [MX_STATE_NOT_NAMED] = "not named",
	};
	struct state_domain row, domain;
	const bool row_found = state_record(check, check->judgement.owner, &row);
	const bool domain_found = state_record(check, check->judgement.domain, &domain);
	const struct state_facts facts =
	    state_facts_at(row_found ? &row : NULL, domain_found ? &domain : NULL, check->now.wall);
	const bool held = domain_found && state_held(&domain, check->now.wall);
	const bool own = judge_mx_counts(&check->judgement);

	if (!row_found && !domain_found)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:b, s:s, s:o, s:s}", "mx",
	    mx_names[own ? facts.mx : MX_STATE_UNKNOWN], "mx_read_at",
	    (json_int_t)(own && row_found ? row.mx_at : 0), "held_messages",
	    (json_int_t)facts.held_messages, "held_bytes", (json_int_t)facts.held_bytes, "primary",
	    primary_state_name(domain_found ? domain.primary : PRIMARY_UNKNOWN), "primary_is_up",
	    (int)facts.primary_is_up, "hold", held ? hold_kind_name(domain.hold) : "none",
	    "hold_until",
	    held && domain.hold_until != HOLD_FOREVER ? json_integer(domain.hold_until)
						      : json_null(),
	    "hold_reason", held ? domain.hold_reason : "");
}

static void
add_row_json(struct check *check, json_t *object)
{
	const struct domain_record *domain = &check->domain;
	const bool have_customer = check->customer_found == SNAPSHOT_OK;

	json_object_update_new(object,
	    json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:o}", "owner",
		check->judgement.owner, "customer", domain->customer, "customer_state",
		customer_state(check), "customer_regions",
		have_customer ? list_json(check->customer.regions) : json_null(), "domain_regions",
		list_json(domain->regions), "include_subdomains", (int)domain->include_subdomains,
		"suspended", (int)domain->suspended, "tls_required", (int)domain->tls_required,
		"next_hops_withheld", (int)domain->hops_withheld, "retired_at",
		number_or_null((uint64_t)domain->retired_at), "next_hops", hops_json(check),
		"limits", limits_json(&check->judgement.limits)));
	json_object_update_new(
	    object, json_pack("{s:o, s:s, s:o}", "maintenance_until",
			number_or_null((uint64_t)domain->hold_until), "maintenance_reason",
			domain->hold_reason, "queue", queue_json(check)));
}

static json_t *
snapshot_json(struct check *check)
{
	if (check->begun != SNAPSHOT_OK)
		return json_pack(
		    "{s:b, s:s}", "usable", 0, "problem", snapshot_problem(check->snapshot));
	const struct snapshot_meta *meta = snapshot_meta(check->snapshot);
	const int64_t age = snapshot_contact_age(check->snapshot, check->now.boot_ms);
	return json_pack("{s:b, s:I, s:o, s:o}", "usable", 1, "version", (json_int_t)meta->version,
	    "contact_age_ms", age >= 0 ? json_integer(age) : json_null(), "fresh",
	    json_boolean(age >= 0 && age / 1000 < check->ctl->conf->authority.stale_after));
}

static json_t *
answer_json(struct check *check)
{
	const struct verdict *verdict = &check->judgement.verdict;
	json_t *object = json_pack("{s:s, s:o, s:s, s:i, s:s, s:o, s:o, s:s, s:s, s:s, s:o}",
	    "recipient", check->recipient, "domain", text_or_null(check->judgement.domain),
	    "verdict", decide_kind_name(verdict->kind), "rule", (int)verdict->rule, "rule_name",
	    decide_rule_name(verdict->rule), "code", number_or_null(verdict->code), "enhanced",
	    text_or_null(verdict->enhanced), "text", verdict->text, "relay",
	    check->ctl->conf->relay.name, "region", check->ctl->conf->relay.region, "snapshot",
	    snapshot_json(check));

	if (object != NULL && check->judgement.known)
		add_row_json(check, object);
	return object;
}

/* --- the answer for a person
 * ---------------------------------------------------------------------- */

static void
print_list(const char *label, const char *list, const char *none)
{
	printf("  %-16s %s\n", label, list[0] != '\0' ? list : none);
}

static void
print_moment(const char *label, int64_t at)
{
	char text[40];
	const time_t seconds = (time_t)at;
	struct tm utc;

	if (gmtime_r(&seconds, &utc) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
		snprintf(text, sizeof(text), "%" PRId64, at);
	printf("  %-16s %s\n", label, text);
}

static void
print_hops(const json_t *hops)
{
	const json_t *hop;
	size_t i;

	if (json_array_size(hops) == 0)
		printf("  %-16s by the domain's MX records\n", "next hops");
	json_array_foreach((json_t *)(uintptr_t)hops, i, hop)
	{
		printf("  %-16s %s: %s\n", "next hop",
		    json_string_value(json_object_get(hop, "hop")),
		    json_string_value(json_object_get(hop, "fence")));
	}
}

static void
print_limits(const struct limits *limits)
{
	printf("  %-16s %" PRIu64 " bytes; larger ones: %s\n", "size limit", limits->size_limit,
	    limits->oversize == OVERSIZE_DEFER ? "defer" : "reject");
	if (limits->quota_messages != 0)
		printf("  %-16s %" PRIu64 " messages\n", "quota", limits->quota_messages);
	if (limits->quota_bytes != 0)
		printf("  %-16s %" PRIu64 " bytes\n", "quota", limits->quota_bytes);
}

static void
print_mx(const json_t *queue, bool own)
{
	const char *mx = json_string_value(json_object_get(queue, "mx"));

	if (own)
		printf("  %-16s this relay is %s\n", "MX records",
		    strcmp(mx, "unknown") == 0 ? "not known to be named or not" : mx);
	else
		printf("  %-16s not looked at: a name below the row\n", "MX records");
}

static void
print_queue(const json_t *queue, bool own)
{
	const char *hold = json_string_value(json_object_get(queue, "hold"));

	if (hold == NULL)
		return;
	printf("  %-16s %" JSON_INTEGER_FORMAT " messages, %" JSON_INTEGER_FORMAT " bytes\n",
	    "held", json_integer_value(json_object_get(queue, "held_messages")),
	    json_integer_value(json_object_get(queue, "held_bytes")));
	printf("  %-16s %s\n", "primary", json_string_value(json_object_get(queue, "primary")));
	print_mx(queue, own);
	if (strcmp(hold, "none") != 0)
		printf("  %-16s %s: %s\n", "hold", hold,
		    json_string_value(json_object_get(queue, "hold_reason")));
}

static void
print_row(const struct check *check, const json_t *answer)
{
	const struct domain_record *domain = &check->domain;

	printf("  %-16s %s%s\n", "row", check->judgement.owner,
	    domain->include_subdomains ? " (with subdomains)" : "");
	printf("  %-16s %s (%s)\n", "customer", domain->customer, customer_state(check));
	if (check->customer_found == SNAPSHOT_OK)
		print_list("his regions", check->customer.regions, "none");
	print_list("narrowed to", domain->regions, "no: all of his");
	if (domain->suspended)
		printf("  %-16s yes\n", "suspended");
	if (domain->retired_at != 0)
		print_moment("retired", domain->retired_at);
	print_limits(&check->judgement.limits);
	if (domain->hops_withheld)
		printf("  %-16s the authority does not tell them to this region\n", "next hops");
	print_hops(json_object_get(answer, "next_hops"));
	if (domain->tls_required)
		printf("  %-16s required\n", "TLS");
	if (domain->hold_until == INT64_MAX)
		printf("  %-16s until the row is changed%s%s\n", "maintenance",
		    domain->hold_reason[0] != '\0' ? ": " : "", domain->hold_reason);
	else if (domain->hold_until != 0)
		print_moment("maintenance to", domain->hold_until);
	print_queue(json_object_get(answer, "queue"), judge_mx_counts(&check->judgement));
}

static void
print_answer(struct check *check, const json_t *answer)
{
	const struct verdict *verdict = &check->judgement.verdict;
	const json_t *age = json_object_get(json_object_get(answer, "snapshot"), "contact_age_ms");

	printf("%s: %s, rule %d (%s)\n", check->recipient, decide_kind_name(verdict->kind),
	    (int)verdict->rule, decide_rule_name(verdict->rule));
	if (verdict->code != 0)
		printf("  %-16s %u %s %s\n", "answer", verdict->code, verdict->enhanced,
		    verdict->text);
	printf("  %-16s %s, region %s\n", "relay", check->ctl->conf->relay.name,
	    check->ctl->conf->relay.region);
	if (check->judgement.known)
		print_row(check, answer);
	if (check->begun != SNAPSHOT_OK)
		printf("  %-16s %s\n", "snapshot", snapshot_problem(check->snapshot));
	else if (json_is_integer(age))
		printf("  %-16s heard %.1f s ago\n", "authority",
		    (double)json_integer_value(age) / 1000);
	else
		printf("  %-16s not heard since this machine started\n", "authority");
}

static int
exit_code(enum verdict_kind kind)
{
	switch (kind) {
	case VERDICT_PERMIT: return CTL_OK;
	case VERDICT_DEFER:
	case VERDICT_CANNOT_TELL: return CTL_TEMPFAIL;
	case VERDICT_REJECT:
	case VERDICT_NOT_OURS: break;
	}
	return CTL_UNAVAILABLE;
}

static int
answer(struct check *check)
{
	if (!open_snapshot(check)) {
		ctl_say("out of memory");
		return CTL_SOFTWARE;
	}
	judge(check);
	json_t *object = answer_json(check);
	if (object == NULL) { /* bytes that are no UTF-8 cannot stand in JSON */
		ctl_say("%s: this cannot be shown", check->recipient);
		return CTL_DATA;
	}
	if (check->ctl->json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_answer(check, object);
	}
	json_decref(object);
	return exit_code(check->judgement.verdict.kind);
}

int
domain_check(struct ctl *ctl, int argc, char **argv)
{
	struct check check = {.ctl = ctl};
	const struct ctl_option options[] = {
	    {"client", "IP", "as if this client asked", &check.client, NULL},
	    {"size", "BYTES", "as if this SIZE were declared", &check.size, NULL},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"domain check NAME|ADDRESS [--client IP] [--size BYTES]",
	    "Tells what this relay would answer, by which rule, and on which facts. Exit status:\n"
	    "0 it takes the mail, 75 it defers or cannot tell, 69 it refuses or the domain is not\n"
	    "ours, 65 this is no mail domain.\n",
	    options};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 1)
		return ctl_wrong(&usage, "one domain or address is wanted");
	if (!take_options(&check, &usage, &code))
		return code;
	if (!take_subject(&check, operands[0])) {
		ctl_say("%s: that is no name of a mail domain", operands[0]);
		return CTL_DATA;
	}
	if (!ctl_need_conf(ctl))
		return CTL_CONFIG;
	code = answer(&check);
	snapshot_free(check.snapshot);
	state_free(check.state);
	return code;
}
