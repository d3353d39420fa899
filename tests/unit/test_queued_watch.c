/*
 * Tests of queued/watch against a world that is played here: rows, DNS answers, primaries and a
 * clock are data. What the watch does is written down as lines, and compared.
 */
#include "queued/watch.h"

#include "tests/unit/table.h"

#include <time.h>

#define PROBES 4096

struct world {
	struct watch *watch;
	struct event_sink sink;
	struct queued_time now;
	struct fleet *fleet;
	/* what rows say */
	struct watch_row row;
	bool own_hops;  /* each hundred of domains has a next hop of its own */
	unsigned share; /* own_hops: how many domains share one; 0: a hundred */
	enum watch_row_result row_result;
	bool restored;       /* an alert of an outage, told by a former process */
	unsigned standing;   /* others that it told, 1 << kind */
	const char *on_hold; /* messages, by an operator: their ids, which are single letters */
	/* what was done */
	char did[65536];
	struct state_domain former; /* the one of a former process, for `watched` */
	struct state_domain state;  /* the last one put for `watched` */
	char watched[DOMAIN_SIZE], flushing[DOMAIN_SIZE];
	char raised[ALERT_TEXT_SIZE]; /* the text of the last alert */
	char outage[ALERT_TEXT_SIZE]; /* and of the last of that kind */
	unsigned puts, probes_started, flushes, judged;
	/* what is under way */
	struct {
		uint64_t id;
		struct probe_target target;
		int64_t since;
	} probe[PROBES];
	size_t probing;
	struct {
		char name[DOMAIN_SIZE];
		enum resolver_type type;
	} ask[64];
	size_t asking;
	uint32_t ttl; /* of answers */
	bool quiet;   /* nothing is written down */
};

static void
note(struct world *world, const char *what, const char *argument)
{
	size_t used = strlen(world->did);

	if (!world->quiet)
		(void)snprintf(world->did + used, sizeof(world->did) - used, "%s%s %s",
		    used > 0 ? "; " : "", what, argument);
}

static enum watch_row_result
port_row(void *context, const char *domain, struct watch_row *out)
{
	const struct world *world = context;

	*out = world->row;
	if (out->owner[0] == '\0')
		(void)snprintf(out->owner, sizeof(out->owner), "%s", domain);
	if (world->own_hops)
		(void)snprintf(out->next_hops, sizeof(out->next_hops), "[192.0.2.1]:%u",
		    1025 + (unsigned)atoi(domain + 1) / (world->share > 0 ? world->share : 100));
	return world->row_result;
}

static const struct fleet *
port_fleet(void *context)
{
	const struct world *world = context;

	return world->fleet;
}

static bool
port_resolve(void *context, const char *name, enum resolver_type type, bool fresh)
{
	struct world *world = context;

	ck_assert_uint_lt(world->asking, 64);
	(void)snprintf(world->ask[world->asking].name, DOMAIN_SIZE, "%s", name);
	world->ask[world->asking++].type = type;
	note(world,
	    type == RESOLVER_MX  ? fresh ? "fresh mx" : "mx"
	    : type == RESOLVER_A ? fresh ? "fresh a" : "a"
				 : "aaaa",
	    name);
	return true;
}

static bool
port_probe(void *context, uint64_t id, const struct probe_target *target)
{
	struct world *world = context;
	char text[IP_TEXT_SIZE];

	ck_assert_uint_lt(world->probing, PROBES);
	world->probe[world->probing].id = id;
	world->probe[world->probing].since = world->now.ms;
	world->probe[world->probing++].target = *target;
	world->probes_started++;
	note(world, "probe", ip_format(&target->address, text));
	return true;
}

static void
port_flush_domain(void *context, const char *domain, uint64_t messages)
{
	struct world *world = context;

	(void)messages;
	world->flushes++;
	note(world, "flush", domain);
}

static void
port_flush_id(void *context, const char *id, bool late)
{
	note(context, late ? "late" : "try", id);
}

static bool
port_flushing(void *context, const char *domain)
{
	const struct world *world = context;

	return strcmp(world->flushing, domain) == 0;
}

static bool
port_on_hold(void *context, const char *id)
{
	const struct world *world = context;

	return world->on_hold != NULL && id[1] == '\0' && strchr(world->on_hold, id[0]) != NULL;
}

static void
port_mended(void *context, const char *domain)
{
	note(context, "mended", domain);
}

static void
port_list(void *context)
{
	note(context, "list", "all");
}

static bool
port_get_state(void *context, const char *name, struct state_domain *out)
{
	const struct world *world = context;

	*out = world->former;
	return strcmp(name, world->watched) == 0 && world->former.counted_at != 0;
}

static void
port_put_state(void *context, const char *name, const struct state_domain *record)
{
	struct world *world = context;

	world->puts++;
	if (strcmp(name, world->watched) == 0)
		world->state = *record;
}

static const char *
kind_name(enum alert_kind kind)
{
	static const char *const names[ALERT_KINDS] = {"outage", "retention", "breaker",
	    "wrong-host", "quota", "unaccounted", "mx", "spool", "spool-damaged", "log"};

	return names[kind];
}

static void
port_raise(void *context, const struct alert *alert)
{
	struct world *of = context;
	char text[64];

	(void)snprintf(of->raised, sizeof(of->raised), "%s", alert->text);
	if (alert->kind == ALERT_OUTAGE)
		(void)snprintf(of->outage, sizeof(of->outage), "%s", alert->text);
	(void)snprintf(text, sizeof(text), "%s %u", kind_name(alert->kind), alert->level);
	note(context, alert->reworded ? "reword" : "raise", text);
}

static void
port_end(void *context, enum alert_kind kind, const char *domain)
{
	struct world *of = context;

	(void)domain;
	of->standing &= ~(1u << kind);
	note(context, "end", kind_name(kind));
}

static bool
port_restored(void *context, enum alert_kind kind, const char *domain)
{
	struct world *of = context;

	(void)domain;
	of->judged++;
	return (of->restored && (kind == ALERT_OUTAGE || kind == ALERT_RETENTION)) ||
	       (of->standing & 1u << kind) != 0;
}

static void
port_changed(void *context, const char *domain)
{
	(void)context;
	(void)domain;
}

static double
port_random(void *context)
{
	(void)context;
	return 0.5;
}

static struct world world;

static void
set_up_with(int64_t interval_ms)
{
	const struct watch_setup setup = {.primary = {.interval_ms = interval_ms,
					      .long_interval_ms = 2 * interval_ms,
					      .confirmations = 3},
	    .probes = 2000,
	    .use4 = true,
	    .use6 = false,
	    .port = 25,
	    .ports = {.row = port_row,
		.fleet = port_fleet,
		.resolve = port_resolve,
		.probe = port_probe,
		.flush_domain = port_flush_domain,
		.flush_id = port_flush_id,
		.flushing = port_flushing,
		.on_hold = port_on_hold,
		.mended = port_mended,
		.list = port_list,
		.get_state = port_get_state,
		.put_state = port_put_state,
		.raise = port_raise,
		.end = port_end,
		.restored = port_restored,
		.changed = port_changed,
		.random = port_random,
		.context = &world}};

	memset(&world, 0, sizeof(world));
	world.row_result = WATCH_ROW_FOUND;
	world.ttl = 300;
	world.row.retention = 432000;
	world.now = (struct queued_time){.ms = 1000000, .wall = 1700000000};
	world.fleet = fleet_new("relay1");
	ck_assert(fleet_add(world.fleet, "relay1", "eu.mx.example", "203.0.113.1"));
	(void)strcpy(world.watched, "a.example");
	(void)strcpy(world.row.next_hops, "[192.0.2.1]");
	world.watch = watch_new(&setup);
	world.sink = watch_sink(world.watch);
	watch_set_time(world.watch, world.now);
}

static void
set_up(void)
{
	set_up_with(5000);
}

static void
tear_down(void)
{
	watch_free(world.watch);
	fleet_free(world.fleet);
}

/* --- what happens
 * ------------------------------------------------------------------------------------- */

static void
restored(const char *domain, const char *id, int64_t age_s, uint32_t refusals)
{
	const struct event_held event = {.domain = domain,
	    .queue_id = id,
	    .accepted_at = (world.now.wall - age_s) * 1000000,
	    .size = 1000,
	    .refusals = refusals};

	world.sink.held(world.sink.context, &event);
}

static void
held(const char *domain, const char *id, int64_t age_s)
{
	restored(domain, id, age_s, 0);
}

static void
left(const char *domain, const char *id)
{
	const struct event_left event = {
	    .domain = domain, .queue_id = id, .size = 1000, .outcome = OUTCOME_DELIVERED};

	world.sink.left(world.sink.context, &event);
}

static void
answered_at(const char *domain, const char *id, enum attempt_result result, unsigned code,
    const char *enhanced, const char *primary)
{
	const struct event_attempt event = {.domain = domain,
	    .queue_id = id,
	    .result = result,
	    .code = code,
	    .enhanced = enhanced,
	    .reply = "words",
	    .unknown_user = strcmp(enhanced, "5.1.1") == 0,
	    .primary = primary,
	    .at = world.now.wall * 1000000};

	world.sink.attempt(world.sink.context, &event);
}

static void
answered(const char *domain, const char *id, enum attempt_result result, unsigned code,
    const char *enhanced)
{
	answered_at(domain, id, result, code, enhanced, "mx[192.0.2.1]:25");
}

static void
attempt(const char *domain, const char *id, enum attempt_result result)
{
	if (result == ATTEMPT_REFUSED)
		answered(domain, id, result, 554, "5.7.1");
	else
		answered(domain, id, result, 250, "2.0.0");
}

static void
set_clock(int64_t ms)
{
	world.now.wall += ms / 1000 - world.now.ms / 1000;
	world.now.ms = ms;
}

static void
tick_for(int64_t ms)
{
	int64_t end = world.now.ms + ms, next;
	unsigned again = 0; /* a tick does a bounded amount of work */

	while ((next = watch_tick(world.watch, world.now)) <= end) {
		again = next > world.now.ms ? 0 : again + 1;
		ck_assert_msg(again < 10, "what is due does not end");
		set_clock(next > world.now.ms ? next : world.now.ms);
	}
	set_clock(end);
	(void)watch_tick(world.watch, world.now);
}

/* Answers all probes that are under way. */
static void
answer(enum probe_outcome outcome)
{
	struct probe_finding finding = {.outcome = outcome, .reason = "by the test"};
	size_t count = world.probing;
	uint64_t ids[PROBES];

	for (size_t i = 0; i < count; i++)
		ids[i] = world.probe[i].id;
	world.probing = 0;
	for (size_t i = 0; i < count; i++)
		watch_probed(world.watch, ids[i], &finding, world.now);
	(void)watch_tick(world.watch, world.now);
}

/* The same: of two servers, or more, the one at `address` is something else. */
static void
answer_two(const char *address, enum probe_outcome outcome, enum probe_outcome others)
{
	const struct probe_finding wrong = {.outcome = outcome, .reason = "by the test"};
	const struct probe_finding good = {.outcome = others, .reason = "by the test"};
	const size_t count = world.probing;

	world.probing = 0;
	for (size_t i = 0; i < count; i++) {
		char text[IP_TEXT_SIZE];
		const bool is =
		    strcmp(ip_format(&world.probe[i].target.address, text), address) == 0;

		watch_probed(world.watch, world.probe[i].id, is ? &wrong : &good, world.now);
	}
	(void)watch_tick(world.watch, world.now);
}

static void
answer_as(const char *address, enum probe_outcome outcome)
{
	answer_two(address, outcome, PROBE_GOOD);
}

static void
go_on_with_stranger(int64_t ms, const char *stranger)
{
	for (int64_t i = 0; i < ms; i += 500) {
		tick_for(500);
		if (world.probing > 0)
			answer_as(stranger, PROBE_WRONG_HOST);
	}
}

/* Ticks in small steps, answering each probe at once. */
static void
go_on(int64_t ms, enum probe_outcome outcome)
{
	for (int64_t i = 0; i < ms; i += 500) {
		tick_for(500);
		if (world.probing > 0)
			answer(outcome);
	}
}

static void
expect(const char *wanted)
{
	ck_assert_str_eq(world.did, wanted);
	world.did[0] = '\0';
}

static void
resolved(const char *name, enum resolver_type type, const char *record)
{
	struct dns_record records[1];
	struct route_answer come = {
	    .outcome = RESOLVER_FOUND, .ttl = world.ttl, .records = records, .count = 1};
	char text[256];

	(void)snprintf(text, sizeof(text), "x. 300 IN %s", record);
	ck_assert(dns_text_parse(text, strlen(text), &records[0]));
	watch_resolved(world.watch, name, type, &come, world.now);
	(void)watch_tick(world.watch, world.now);
}

/* --- tests
 * -------------------------------------------------------------------------------------------- */

/* Ends the probes that are done: `port` answers within 10 ms, nobody else ever. */
static void
answer_as_black_hole(uint16_t port)
{
	const struct probe_finding good = {.outcome = PROBE_GOOD};
	const struct probe_finding none = {.outcome = PROBE_DOWN, .reason = "no answer in time"};

	for (size_t i = 0; i < world.probing;) {
		const bool answers = world.probe[i].target.port == port;
		const int64_t takes = answers ? 10 : world.probe[i].target.connect_ms;
		const uint64_t id = world.probe[i].id;

		if (world.now.ms - world.probe[i].since < takes) {
			i++;
			continue;
		}
		world.probe[i] = world.probe[--world.probing];
		watch_probed(world.watch, id, answers ? &good : &none, world.now);
	}
	(void)watch_tick(world.watch, world.now);
}

/* A new process knows since when it is as it is, where it is so still and was looked at lately. */
static const struct {
	enum primary_state former;
	int64_t age; /* of the former record */
	enum probe_outcome found;
	bool kept;
} formers[] = {
    {PRIMARY_DOWN, 60, PROBE_DOWN, true},
    {PRIMARY_WRONG_HOST, 60, PROBE_WRONG_HOST, true},
    {PRIMARY_UP, 60, PROBE_GOOD, true},
    {PRIMARY_DOWN, 60, PROBE_BUSY, false},
    {PRIMARY_DOWN, 60, PROBE_GOOD, false},
    {PRIMARY_UNKNOWN, 60, PROBE_DOWN, false},
    {PRIMARY_DOWN, STATE_COUNTS_AGE + 1, PROBE_DOWN, false},
};

START_TEST(test_since_of_former)
{
	const int64_t began = world.now.wall, since = began - 5000;

	world.former = (struct state_domain){.primary = formers[_i].former,
	    .primary_since = since,
	    .counted_at = began - formers[_i].age};
	held("a.example", "A", 3600);
	go_on(3000, formers[_i].found);
	ck_assert_int_ne(world.state.primary, PRIMARY_UNKNOWN);
	if (formers[_i].kept)
		ck_assert_int_eq(world.state.primary_since, since);
	else
		ck_assert_int_ge(world.state.primary_since, began);
	/* What comes then has its own time. */
	go_on(15000, formers[_i].found == PROBE_DOWN ? PROBE_BUSY : PROBE_DOWN);
	ck_assert_int_gt(world.state.primary_since, began);
}
END_TEST

START_TEST(test_since_of_former_nowhere)
{
	const int64_t since = world.now.wall - 5000;

	world.former = (struct state_domain){
	    .primary = PRIMARY_DOWN, .primary_since = since, .counted_at = world.now.wall - 60};
	(void)strcpy(world.row.next_hops, "[127.0.0.1]");
	held("a.example", "A", 3600);
	tick_for(1000);
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	ck_assert_int_eq(world.state.primary_since, since);
}
END_TEST

#define MANY 10000

/* The one that is back among thousands that swallow all is found soon. */
START_TEST(test_black_holes)
{
	char name[32];

	world.quiet = true;
	world.own_hops = true;
	world.share = 1;
	(void)strcpy(world.watched, "d7777.example");
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "d%d.example", i);
		held(name, "A", 60);
	}
	for (int64_t ms = 0; ms < 40000; ms += 50) {
		tick_for(50);
		answer_as_black_hole(0);
	}
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	const int64_t back = world.now.ms;
	while (world.state.primary != PRIMARY_UP && world.now.ms - back < 60000) {
		tick_for(50);
		answer_as_black_hole(1025 + 7777);
	}
	ck_assert_int_le(world.now.ms - back, 12000);
	ck_assert_uint_le(world.probing, 2501);
}
END_TEST

/* One canary a primary: its delivery is the proof for all of its domains. */
START_TEST(test_one_canary_for_all)
{
	held("a.example", "A", 3600);
	held("b.example", "B", 3600);
	held("c.example", "C", 3600);
	world.quiet = true;
	go_on(1500, PROBE_GOOD);
	world.quiet = false;
	world.did[0] = '\0';
	go_on(1000, PROBE_GOOD);
	ck_assert_str_eq(strstr(world.did, "try"), "try C");
	world.did[0] = '\0';
	attempt("c.example", "C", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
	ck_assert_ptr_nonnull(strstr(world.did, "flush b.example"));
	ck_assert_ptr_null(strstr(world.did, "try"));
}
END_TEST

/* From the proof on: A was the canary, B to F are in the wave. */
static void
begin_wave(void)
{
	static const char *const ids[] = {"A", "B", "C", "D", "E", "F"};

	for (size_t i = 0; i < 6; i++)
		held("a.example", ids[i], 3600 - (int64_t)i);
	world.quiet = true;
	go_on(2500, PROBE_GOOD);
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	world.quiet = false;
	world.did[0] = '\0';
}

static void
list_queue(bool good)
{
	watch_list_began(world.watch);
	watch_listed(world.watch, "a.example", "C", "deferred");
	watch_listed(world.watch, "a.example", "D", "active");
	watch_listed(world.watch, "a.example", "E", "hold");
	watch_listed(world.watch, "a.example", "F", "deferred");
	watch_listed(world.watch, "b.example", "F", "deferred");
	watch_list_ended(world.watch, good, world.now);
}

/* What a flush has missed is found by a listing, and tried; what waits, or is on hold, is not. */
START_TEST(test_missed_by_the_flush)
{
	begin_wave();
	attempt("a.example", "B", ATTEMPT_SENT);
	left("a.example", "B");
	attempt("a.example", "F", ATTEMPT_DEFERRED); /* tried: its turn is the next wave's */
	(void)strcpy(world.flushing, "a.example");
	world.quiet = true;
	go_on(9000, PROBE_GOOD);
	world.quiet = false;
	expect("");
	world.flushing[0] = '\0';
	go_on(1500, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "list all"));
	world.did[0] = '\0';
	list_queue(true);
	expect("late C");
	list_queue(true); /* nobody wanted it */
	expect("");
	attempt("a.example", "C", ATTEMPT_SENT);
	left("a.example", "C");
	go_on(4000, PROBE_GOOD); /* D is on its way: the wave goes on, and is looked at again */
	ck_assert_ptr_nonnull(strstr(world.did, "list all"));
	ck_assert_ptr_null(strstr(world.did, "flush"));
	attempt("a.example", "D", ATTEMPT_SENT);
	left("a.example", "D");
	list_queue(true);
	world.did[0] = '\0';
	go_on(9000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
	ck_assert_ptr_null(strstr(world.did, "late"));
}
END_TEST

/* Without a listing, as if there were none. */
START_TEST(test_no_listing)
{
	begin_wave();
	go_on(3500, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "list all"));
	world.did[0] = '\0';
	list_queue(false);
	expect("");
	go_on(500, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "late B"));
	world.did[0] = '\0';
	go_on(6000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
}
END_TEST

/* When an outage begins, what was delivered before it proves nothing. */
START_TEST(test_missed_is_no_proof)
{
	held("a.example", "A", 3600);
	go_on(2500, PROBE_GOOD);
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	go_on(5000, PROBE_GOOD);
	world.did[0] = '\0';
	for (int i = 0; i < 2; i++) {
		struct event_attempt missed = {.domain = i == 0 ? "a.example" : "b.example",
		    .queue_id = "B",
		    .result = ATTEMPT_UNREACHED,
		    .enhanced = "4.4.1",
		    .reply = "",
		    .primary = "", /* so says the log: relay=none */
		    .at = world.now.wall * 1000000};
		held(missed.domain, "B", 0);
		world.sink.attempt(world.sink.context, &missed);
	}
	(void)watch_tick(world.watch, world.now);
	ck_assert_ptr_null(strstr(world.did, "flush"));
}
END_TEST

/* Where that canary comes to nothing, the others send their own. */
START_TEST(test_canary_of_another_fails)
{
	held("a.example", "A", 3600);
	held("c.example", "C", 3600);
	held("b.example", "B", 3600);
	go_on(2500, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "try B"));
	attempt("b.example", "B", ATTEMPT_REFUSED);
	ck_assert_ptr_null(strstr(world.did, "try A"));
	go_on(2500, PROBE_GOOD); /* all of them at once, not one after the other */
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
	ck_assert_ptr_nonnull(strstr(world.did, "try C"));
	attempt("a.example", "A", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
	ck_assert_ptr_null(strstr(world.did, "flush b.example"));
}
END_TEST

START_TEST(test_straight_through)
{
	held("a.example", "A", 0);
	tick_for(2000);
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	tick_for(60000);
	expect("");
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	ck_assert_uint_eq(watch_count(world.watch).messages, 0);
}
END_TEST

START_TEST(test_outage_and_return)
{
	held("a.example", "B", 0);
	held("a.example", "A", 5);
	attempt("a.example", "A", ATTEMPT_UNREACHED);
	(void)watch_tick(world.watch, world.now);
	expect("probe 192.0.2.1");
	answer(PROBE_DOWN);
	expect("raise outage 0");
	tick_for(4999);
	expect("");
	tick_for(1);
	expect("probe 192.0.2.1");
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	ck_assert_uint_eq(world.state.messages, 2);
	ck_assert_uint_eq(world.state.bytes, 2000);
	ck_assert_int_eq(world.state.oldest, 1700000000 - 5);
	answer(PROBE_GOOD);
	tick_for(1000);
	answer(PROBE_GOOD);
	tick_for(1000);
	expect("probe 192.0.2.1; probe 192.0.2.1");
	answer(PROBE_GOOD);
	expect("end outage; try A");
	attempt("a.example", "A", ATTEMPT_SENT);
	expect("flush a.example");
	left("a.example", "A");
	attempt("a.example", "B", ATTEMPT_SENT);
	left("a.example", "B");
	tick_for(1000);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	tick_for(40000);
	expect("");
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	ck_assert_uint_eq(watch_count(world.watch).primaries, 0);
	ck_assert_int_eq(world.state.counted_at, 0);
}
END_TEST

/* What a former process has told ends with the last message, or with the primary's return. */
START_TEST(test_restored_mail_gone)
{
	world.restored = true;
	held("a.example", "A", 0);
	tick_for(2000);
	attempt("a.example", "A", ATTEMPT_SENT);
	expect("");
	left("a.example", "A");
	expect("end outage; end retention");
}
END_TEST

START_TEST(test_restored_primary_up)
{
	world.restored = true;
	held("a.example", "A", 0);
	attempt("a.example", "A", ATTEMPT_UNREACHED);
	(void)watch_tick(world.watch, world.now);
	expect("probe 192.0.2.1");
	answer(PROBE_GOOD);
	tick_for(1000);
	expect("probe 192.0.2.1");
	answer(PROBE_GOOD);
	tick_for(1000);
	expect("probe 192.0.2.1");
	answer(PROBE_GOOD);
	expect("end outage; try A");
}
END_TEST

/* Nobody knows yet how the primary is: what a former process told stands until that is known. */
START_TEST(test_restored_wrong_host)
{
	world.standing = 1u << ALERT_WRONG_HOST;
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	go_on(5000, PROBE_WRONG_HOST);
	ck_assert_ptr_null(strstr(world.did, "end"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
	world.did[0] = '\0';
	switch (_i) {
	case 0: go_on(30000, PROBE_GOOD); break;
	case 1: go_on(30000, PROBE_DOWN); break;
	case 2:
		left("a.example", "A");
		go_on(40000, PROBE_WRONG_HOST);
		break;
	default:
		world.row.pin_banner[0] = '\0';
		watch_rows_changed(world.watch, world.now);
		tick_for(2000);
	}
	ck_assert_ptr_nonnull(strstr(world.did, "end wrong-host"));
}
END_TEST

/* The row cannot be read when it starts: neither. */
START_TEST(test_restored_wrong_host_without_row)
{
	world.standing = 1u << ALERT_WRONG_HOST;
	world.row_result = WATCH_ROW_CANNOT_TELL;
	held("a.example", "A", 3600);
	go_on(5000, PROBE_DOWN);
	ck_assert_ptr_null(strstr(world.did, "end"));
	world.row_result = WATCH_ROW_FOUND; /* and has no pin any more */
	watch_rows_changed(world.watch, world.now);
	tick_for(2000);
	ck_assert_ptr_nonnull(strstr(world.did, "end wrong-host"));
}
END_TEST

/* R0, the oldest, to R4, all of them refused. */
static void
open_breaker(void)
{
	char id[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		held("a.example", id, 100 - i);
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	go_on(1000, PROBE_GOOD);
}

/* The breaker of a former process is closed now: its alert ends, once, until it opens again. */
START_TEST(test_restored_breaker)
{
	world.standing = 1u << ALERT_BREAKER;
	restored("a.example", "A", 3600, 3);
	go_on(500, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "end breaker"));
	world.did[0] = '\0';
	go_on(5000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "end breaker"));
	open_breaker();
	ck_assert_ptr_nonnull(strstr(world.did, "raise breaker 0"));
	ck_assert_ptr_null(strstr(world.did, "end breaker"));
}
END_TEST

START_TEST(test_old_mail_is_active_at_once)
{
	held("a.example", "A", 3600);
	(void)watch_tick(world.watch, world.now);
	expect("probe 192.0.2.1");
}
END_TEST

START_TEST(test_waiting_mail_becomes_active)
{
	held("a.example", "A", 0);
	tick_for(9999);
	expect("");
	tick_for(1);
	expect("probe 192.0.2.1");
}
END_TEST

START_TEST(test_route_by_mx)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	expect("mx a.example");
	resolved("a.example", RESOLVER_MX, "MX 10 mail.a.example.");
	expect("a mail.a.example");
	resolved("mail.a.example", RESOLVER_A, "A 9.9.9.9");
	expect("probe 9.9.9.9");
	answer(PROBE_DOWN);
	expect("raise outage 0");
	/* The address changes: the new one is probed. */
	world.quiet = true;
	tick_for(299000);
	world.quiet = false;
	world.probing = 0;
	tick_for(2000);
	resolved("a.example", RESOLVER_MX, "MX 10 mail.a.example.");
	world.did[0] = '\0';
	resolved("mail.a.example", RESOLVER_A, "A 8.8.8.8");
	expect("probe 8.8.8.8");
	ck_assert_uint_eq(watch_count(world.watch).primaries, 1);
}
END_TEST

static void
answer_questions(void)
{
	while (world.asking > 0) {
		const enum resolver_type type = world.ask[--world.asking].type;

		if (type == RESOLVER_MX)
			resolved("a.example", type, "MX 10 mail.a.example.");
		else
			resolved("mail.a.example", type, "A 9.9.9.9");
	}
}

/* Rows and routes are read again meanwhile: neither is a reason to probe, or to forget. */
static void
with_long_interval(void)
{
	tear_down();
	set_up_with(60000);
	world.ttl = 95;
}

static void
watch_ten_minutes(void)
{
	held("a.example", "A", 3600);
	for (unsigned second = 0; second < 600; second++) {
		answer_questions();
		if (world.probing > 0)
			answer(PROBE_DOWN);
		ck_assert(second < 5 || world.state.primary == PRIMARY_DOWN);
		tick_for(1000);
	}
	ck_assert_uint_ge(world.probes_started, 9);
	ck_assert_uint_le(world.probes_started, 11);
	ck_assert_int_le(world.state.primary_since, 1700000000 + 5);
}

START_TEST(test_long_interval)
{
	with_long_interval();
	watch_ten_minutes();
}
END_TEST

START_TEST(test_long_interval_by_mx)
{
	with_long_interval();
	world.row.next_hops[0] = '\0';
	watch_ten_minutes();
}
END_TEST

START_TEST(test_nowhere_is_down)
{
	struct watch_view view;

	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	expect("mx a.example");
	resolved("a.example", RESOLVER_MX, "MX 0 .");
	expect("raise outage 0");
	tick_for(1000);
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	ck_assert_str_eq(world.state.primary_reason, "a.example: null MX: it takes no mail");
	/* It is told when the DNS is asked again. */
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.next_dns_ms, world.now.ms + 299000);
	tick_for(300000);
	resolved("a.example", RESOLVER_MX, "MX 10 mail.a.example.");
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.next_dns_ms, world.now.ms); /* now */
	resolved("mail.a.example", RESOLVER_A, "A 9.9.9.9");
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.next_dns_ms, NEVER_MS);
}
END_TEST

/* The DNS is asked, and does not tell. */
static void
go_on_untold(int64_t ms)
{
	const struct route_answer untold = {.outcome = RESOLVER_CANNOT_TELL};

	for (int64_t i = 0; i < ms; i += 500) {
		tick_for(500);
		while (world.asking > 0) {
			world.asking--;
			watch_resolved(world.watch, world.ask[world.asking].name,
			    world.ask[world.asking].type, &untold, world.now);
		}
		(void)watch_tick(world.watch, world.now);
	}
}

/* A moment of it is no outage, a minute is: with the reason, and ended as any. */
START_TEST(test_dns_outage)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	go_on_untold(59000);
	ck_assert_int_eq(world.state.primary, PRIMARY_UNKNOWN);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	go_on_untold(2000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	ck_assert_str_eq(world.raised, "mail is held, the primary is unknown: "
				       "a.example: the DNS does not tell the MX records");
	world.did[0] = '\0';
	go_on_untold(600000);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	for (unsigned second = 0; second < 30; second++) {
		answer_questions();
		go_on(1000, PROBE_GOOD);
	}
	ck_assert_ptr_nonnull(strstr(world.did, "end outage"));
	ck_assert_ptr_null(strstr(world.did, "raise"));
}
END_TEST

START_TEST(test_dns_away_for_a_moment)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	go_on_untold(40000);
	for (unsigned second = 0; second < 10; second++) {
		answer_questions();
		go_on(1000, PROBE_GOOD);
	}
	world.row.next_hops[0] = '\0';
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	go_on(20000, PROBE_GOOD);
	left("a.example", "A");
	held("b.example", "B", 3600);
	go_on_untold(40000);
	left("b.example", "B"); /* the next one begins a minute of its own */
	go_on_untold(5000);
	held("b.example", "C", 3600);
	go_on_untold(40000);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	go_on_untold(21000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	left("b.example", "C");
	ck_assert_ptr_nonnull(strstr(world.did, "end outage"));
}
END_TEST

/* Nor is there an answer: the question waits for its deadline. */
START_TEST(test_dns_silent)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	tick_for(59000);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	tick_for(2000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
}
END_TEST

START_TEST(test_soc_hold)
{
	world.row.hold_until = world.now.wall + 600;
	held("a.example", "A", 3600);
	tick_for(599000);
	expect("");
	tick_for(2000);
	expect("probe 192.0.2.1");
}
END_TEST

START_TEST(test_operator_hold)
{
	held("a.example", "A", 3600);
	go_on(10000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
	ck_assert(
	    watch_hold(world.watch, "a.example", world.now.wall + 3600, "why", true, world.now));
	tick_for(1000);
	ck_assert_int_eq(world.state.hold, HOLD_OPERATOR);
	ck_assert_str_eq(world.state.hold_reason, "why");
	ck_assert(!watch_flush(world.watch, "a.example", world.now));
	world.did[0] = '\0';
	world.probing = 0;
	go_on(600000, PROBE_DOWN);
	expect("");
	ck_assert(watch_release(world.watch, "a.example", world.now));
	ck_assert(!watch_release(world.watch, "a.example", world.now));
	go_on(5000, PROBE_GOOD);
	expect("probe 192.0.2.1; probe 192.0.2.1; probe 192.0.2.1; try A");
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* A declared maintenance: nothing is told of the domain, but what still holds when it ends. */
static void
maintenance(bool by_row, int64_t seconds)
{
	if (by_row)
		world.row.hold_until = world.now.wall + seconds;
	else
		ck_assert(watch_hold(
		    world.watch, "a.example", world.now.wall + seconds, "why", true, world.now));
}

static const bool by_whom[] = {true, false}; /* the SOC's row, the operator */

START_TEST(test_silent_wrong_host)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	maintenance(by_whom[_i], 600);
	held("a.example", "A", 3600);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	answer(PROBE_WRONG_HOST);
	go_on(590000, PROBE_WRONG_HOST);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	go_on(12000, PROBE_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
}
END_TEST

START_TEST(test_silent_dns_outage)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	maintenance(by_whom[_i], 600);
	watch_rows_changed(world.watch, world.now);
	go_on_untold(598000);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	go_on_untold(4000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
}
END_TEST

/* What was found before is not told as if it were so still. */
START_TEST(test_silent_and_mended)
{
	maintenance(by_whom[_i], 600);
	held("a.example", "A", 3600);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	answer(PROBE_DOWN);
	go_on(620000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
}
END_TEST

START_TEST(test_silent_quota)
{
	world.row.quota_messages = 1;
	maintenance(by_whom[_i], 600);
	held("a.example", "A", 3600);
	go_on(598000, PROBE_DOWN);
	expect("");
	go_on(4000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "raise quota 0"));
	left("a.example", "A");
	tick_for(1000);
	ck_assert_ptr_nonnull(strstr(world.did, "end quota"));
}
END_TEST

/* A row's hold is its subdomains' as well; an operator's is that of one name. */
START_TEST(test_silent_quota_of_subdomain)
{
	(void)strcpy(world.row.owner, "a.example");
	world.row.quota_messages = 1;
	maintenance(by_whom[_i], 600);
	held("sub.a.example", "A", 0);
	tick_for(1000);
	expect("");
	tick_for(2000);
	if (!by_whom[_i])
		ck_assert(watch_release(world.watch, "a.example", world.now));
	else
		tick_for(600000);
	tick_for(1000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise quota 0"));
}
END_TEST

START_TEST(test_silent_breaker)
{
	char id[16];

	held("a.example", "A", 100);
	maintenance(by_whom[_i], 600);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		held("a.example", id, 100 - i);
		attempt("a.example", id, ATTEMPT_REFUSED); /* they were under way */
	}
	go_on(590000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "raise"));
	go_on(12000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "raise breaker 0"));
}
END_TEST

START_TEST(test_silent_retention)
{
	maintenance(by_whom[_i], 600);
	held("a.example", "A", 432000 / 2);
	go_on(590000, PROBE_GOOD);
	expect("");
	tick_for(12000);
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 50"));
}
END_TEST

/* An operator who did not ask for silence is told. */
START_TEST(test_hold_that_is_not_silent)
{
	world.row.quota_messages = 1;
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	ck_assert(
	    watch_hold(world.watch, "a.example", world.now.wall + 600, "why", false, world.now));
	held("a.example", "A", 432000 / 2);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	answer(PROBE_WRONG_HOST);
	go_on(60000, PROBE_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise quota 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 50"));
}
END_TEST

START_TEST(test_is_silent)
{
	ck_assert(!watch_silent(world.watch, "a.example"));
	ck_assert(
	    watch_hold(world.watch, "a.example", world.now.wall + 600, "why", false, world.now));
	ck_assert(!watch_silent(world.watch, "a.example"));
	maintenance(false, 600);
	ck_assert(watch_silent(world.watch, "a.example"));
	tick_for(601000);
	ck_assert(!watch_silent(world.watch, "a.example"));
	ck_assert(!watch_silent(world.watch, "b.example"));
	maintenance(true, 600); /* of a row with no mail, too */
	ck_assert(watch_silent(world.watch, "b.example"));
}
END_TEST

/* Nobody's mail may go there: but an operator who asks is told, and then it rests. */
START_TEST(test_probe_while_held)
{
	struct watch_view view;

	held("a.example", "A", 3600);
	go_on(20000, PROBE_DOWN);
	ck_assert(
	    watch_hold(world.watch, "a.example", world.now.wall + 7200, "why", false, world.now));
	tick_for(60000);
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert(view.held && !view.endpoint[0].probed);
	world.probing = 0;
	world.did[0] = '\0';
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert(view.endpoint[0].probed);
	go_on(5000, PROBE_GOOD);
	expect("probe 192.0.2.1; probe 192.0.2.1; probe 192.0.2.1; end outage");
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.state.primary, PRIMARY_UP);
	ck_assert_int_ge(view.state.primary_at, world.now.wall - 4);
	ck_assert(!view.endpoint[0].probed);
	tick_for(600000);
	expect("");
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	go_on(5000, PROBE_DOWN); /* twice, to be believed */
	expect("probe 192.0.2.1; probe 192.0.2.1; raise outage 0");
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.state.primary, PRIMARY_DOWN);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	go_on(60000, PROBE_CANNOT_TELL); /* our own trouble: not for ever */
	ck_assert_uint_le(strlen(world.did), 4 * strlen("probe 192.0.2.1; "));
}
END_TEST

/* The same where its route is not known yet. */
START_TEST(test_probe_while_held_by_mx)
{
	world.row.next_hops[0] = '\0';
	world.row.hold_until = world.now.wall + 3600;
	held("a.example", "A", 0);
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	expect("fresh mx a.example");
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	expect("fresh a mx.customer.example");
	resolved("mx.customer.example", RESOLVER_A, "A 9.9.9.9");
	go_on(5000, PROBE_GOOD);
	expect("probe 9.9.9.9; probe 9.9.9.9; probe 9.9.9.9");
	tick_for(200);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
}
END_TEST

/* The primary has moved, and what is known of its address would hold for long yet. */
START_TEST(test_probe_of_one_that_moved)
{
	struct watch_view view;

	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 9.9.9.9");
	go_on(2000, PROBE_DOWN);
	world.did[0] = '\0';
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	expect("fresh mx a.example"); /* where it was is not asked first */
	ck_assert(watch_look(world.watch, "a.example", &view) && view.reading);
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	expect("fresh a mx.customer.example");
	resolved("mx.customer.example", RESOLVER_A, "A 8.8.8.8");
	ck_assert(watch_look(world.watch, "a.example", &view) && !view.reading);
	go_on(3000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "probe 8.8.8.8"));
	ck_assert_ptr_null(strstr(world.did, "9.9.9.9"));
	ck_assert(watch_look(world.watch, "a.example", &view));
	ck_assert_int_eq(view.state.primary, PRIMARY_UP);
	/* The DNS says nothing: what is known is asked. */
	world.did[0] = '\0';
	ck_assert(watch_probe(world.watch, "a.example", world.now));
	expect("fresh mx a.example");
	tick_for(60000);
	ck_assert_ptr_nonnull(strstr(world.did, "probe 8.8.8.8"));
}
END_TEST

/* So it is where mail finds the new one first. */
START_TEST(test_delivery_elsewhere)
{
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	held("a.example", "B", 3600);
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 9.9.9.9");
	go_on(2000, PROBE_DOWN);
	world.did[0] = '\0';
	answered_at("a.example", "A", ATTEMPT_UNREACHED, 0, "", "mx[8.8.8.8]:25");
	expect("");
	answered_at("a.example", "A", ATTEMPT_SENT, 250, "2.0.0", "mx[8.8.8.8]:25");
	expect("fresh mx a.example");
	left("a.example", "A");
	left("a.example", "B");
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 8.8.8.8");
	go_on(3000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	/* Answers that change from one to the next: now and then is enough. */
	world.did[0] = '\0';
	held("a.example", "C", 0);
	answered_at("a.example", "C", ATTEMPT_SENT, 250, "2.0.0", "mx[8.8.4.4]:25");
	ck_assert_ptr_null(strstr(world.did, "fresh"));
	go_on(30000, PROBE_GOOD);
	answered_at("a.example", "C", ATTEMPT_SENT, 250, "2.0.0", "mx[8.8.4.4]:25");
	ck_assert_ptr_nonnull(strstr(world.did, "fresh mx a.example"));
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
}
END_TEST

/* Rule 10: policyd asks how a primary is of which nothing is known. */
START_TEST(test_asked_by_policyd)
{
	char name[32];

	watch_asked(world.watch, "a.example", world.now);
	tick_for(1000);
	expect(""); /* its row does not want it */
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	world.row.wants_state = true;
	watch_asked(world.watch, "a.example", world.now);
	go_on(4000, PROBE_GOOD);
	expect("probe 192.0.2.1; probe 192.0.2.1; probe 192.0.2.1");
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	world.quiet = true;
	go_on(600000, PROBE_GOOD);
	watch_asked(world.watch, "a.example", world.now); /* asked again: longer */
	go_on(890000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_int_gt(world.state.primary_at, world.now.wall - 100);
	go_on(20000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UNKNOWN);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	for (int round = 0; round < 2; round++) { /* not more than are forgotten again */
		for (int i = 0; i < 5000; i++) {
			(void)snprintf(name, sizeof(name), "d%d.example", i);
			watch_asked(world.watch, name, world.now);
		}
		ck_assert_uint_eq(watch_count(world.watch).domains, WATCH_ASKED_MOST);
		go_on(905000, PROBE_DOWN);
		ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	}
	ck_assert_str_eq(world.did, ""); /* nobody is alerted */
}
END_TEST

/* Of those that were asked about, only the ones without mail take a place. */
START_TEST(test_asked_and_got_mail)
{
	const size_t more = WATCH_ASKED_MOST + 100;
	char name[32];

	world.row.wants_state = true;
	world.quiet = true;
	for (size_t i = 0; i < WATCH_ASKED_MOST; i++) {
		(void)snprintf(name, sizeof(name), "d%zu.example", i);
		watch_asked(world.watch, name, world.now);
	}
	for (size_t i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "d%zu.example", i);
		held(name, "A", 0);
		held(name, "B", 0);
	}
	for (size_t i = WATCH_ASKED_MOST; i < more + 10; i++) {
		(void)snprintf(name, sizeof(name), "d%zu.example", i);
		watch_asked(world.watch, name, world.now);
	}
	ck_assert_uint_eq(watch_count(world.watch).domains, more);
	for (size_t i = 0; i < 100; i++) { /* they are without mail again */
		(void)snprintf(name, sizeof(name), "d%zu.example", i);
		left(name, "A");
		left(name, "B");
	}
	watch_asked(world.watch, "new.example", world.now);
	ck_assert_uint_eq(watch_count(world.watch).domains, more);
	go_on(905000, PROBE_DOWN);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	for (size_t i = 0; i < more; i++) {
		(void)snprintf(name, sizeof(name), "d%zu.example", i);
		watch_asked(world.watch, name, world.now);
	}
	ck_assert_uint_eq(watch_count(world.watch).domains, WATCH_ASKED_MOST);
}
END_TEST

/* Where the row wants it, the first delivery that goes straight through tells it. */
START_TEST(test_delivery_tells_state)
{
	world.row.wants_state = true;
	held("a.example", "A", 0);
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	tick_for(300);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	go_on(890000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_int_gt(world.state.primary_at, world.now.wall - 100);
	go_on(20000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UNKNOWN);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
}
END_TEST

/* What is ordered of a domain leaves its subdomains out: which are they? */
START_TEST(test_below)
{
	const char *names[2];
	uint64_t messages;

	(void)strcpy(world.row.owner, "row.example");
	held("a.row.example", "A", 0);
	held("b.a.row.example", "A", 0);
	held("b.a.row.example", "B", 0);
	held("c.row.example", "A", 0);
	left("c.row.example", "A");
	held("xrow.example", "A", 0);
	ck_assert_uint_eq(watch_below(world.watch, "row.example", names, 2, &messages), 2);
	ck_assert_str_ne(names[0], names[1]);
	ck_assert_uint_eq(messages, 3);
	ck_assert_uint_eq(watch_below(world.watch, "row.example", names, 1, &messages), 2);
	ck_assert_uint_eq(messages, 3);
	ck_assert_uint_eq(watch_below(world.watch, "a.row.example", names, 2, &messages), 1);
	ck_assert_str_eq(names[0], "b.a.row.example");
	ck_assert_uint_eq(messages, 2);
	ck_assert_uint_eq(watch_below(world.watch, "b.a.row.example", names, 2, &messages), 0);
	/* another row */
	ck_assert_uint_eq(watch_below(world.watch, "example", names, 2, &messages), 0);
	ck_assert_uint_eq(messages, 0);
	(void)strcpy(world.row.owner, "own.row.example");
	held("own.row.example", "A", 0);
	ck_assert_uint_eq(watch_below(world.watch, "row.example", names, 2, &messages), 2);
	/* Below a name of which nothing is known, and that has no row of its own. */
	(void)strcpy(world.row.owner, "row.example");
	held("d.e.row.example", "A", 0);
	ck_assert_uint_eq(watch_below(world.watch, "e.row.example", names, 2, &messages), 1);
	ck_assert_str_eq(names[0], "d.e.row.example");
}
END_TEST

START_TEST(test_operator_hold_ends_by_time)
{
	ck_assert(
	    watch_hold(world.watch, "a.example", world.now.wall + 100, "why", false, world.now));
	tick_for(99000);
	ck_assert_int_eq(world.state.hold, HOLD_OPERATOR);
	tick_for(2000);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* As a note or a row may say it: an end so far away that it cannot be counted in ms. */
static const int64_t far_ends[] = {
    INT64_MAX - 1, INT64_MAX / 1000, INT64_MAX / 1000 + 1000000, 9007199254740993000, 253402300799};
#define FAR_ENDS (sizeof(far_ends) / sizeof(far_ends[0]))

START_TEST(test_far_end_of_operator_hold)
{
	held("a.example", "A", 3600);
	for (size_t i = 0; i < FAR_ENDS; i++) {
		ck_assert(
		    watch_hold(world.watch, "a.example", far_ends[i], "why", true, world.now));
		tick_for(600000);
		ck_assert_int_eq(world.state.hold, HOLD_OPERATOR);
		ck_assert_int_eq(world.state.hold_until, far_ends[i]);
	}
	ck_assert(watch_hold(world.watch, "a.example", INT64_MIN, "why", true, world.now));
	tick_for(1000);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

START_TEST(test_far_end_of_soc_hold)
{
	world.row.hold_until = far_ends[0];
	held("a.example", "A", 3600);
	for (size_t i = 0; i < FAR_ENDS; i++) {
		world.row.hold_until = far_ends[i];
		watch_rows_changed(world.watch, world.now);
		tick_for(600000);
		expect("");
	}
	world.row.hold_until = 0;
	watch_rows_changed(world.watch, world.now);
	tick_for(2000);
	expect("probe 192.0.2.1");
}
END_TEST

START_TEST(test_pinned)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	tick_for(300);
	ck_assert_int_eq(world.state.hold, HOLD_NONE); /* smtp(8) would meet no one but him */
	answer(PROBE_WRONG_HOST);
	expect("probe 192.0.2.1; raise outage 0; raise wrong-host 0");
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST); /* at once */
	ck_assert_int_eq(world.state.hold_until, world.now.wall + 300);
	tick_for(300000);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert_int_gt(world.state.hold_until, world.now.wall + 200);
	ck_assert_str_eq(world.state.hold_reason, "by the test");
	/* One that was under way when the stranger came proves nothing. */
	attempt("a.example", "A", ATTEMPT_SENT);
	tick_for(300);
	ck_assert_int_eq(world.state.primary, PRIMARY_WRONG_HOST);
	world.did[0] = '\0';
	go_on(10000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_nonnull(strstr(world.did, "end wrong-host; try A"));
}
END_TEST

/* A pinned primary that is away is awaited as any other, and a delivery is proof: it had the pin.
 */
START_TEST(test_pinned_and_away)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	held("a.example", "B", 3600);
	go_on(20000, PROBE_DOWN);
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	world.did[0] = '\0';
	attempt("a.example", "A", ATTEMPT_SENT);
	tick_for(300);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	expect("end outage; flush a.example");
	left("a.example", "A");
	left("a.example", "B");
	world.did[0] = '\0';
	go_on(40000, PROBE_GOOD); /* without mail nobody looks */
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
}
END_TEST

/* What smtp(8) says of one who does not show the pin. */
static void
stranger(const char *domain, const char *id)
{
	answered_at(domain, id, ATTEMPT_UNREACHED, 0, "4.7.5", "mx[192.0.2.1]:25");
	(void)watch_tick(world.watch, world.now);
}

/* Up, with a message that waits for its turn elsewhere; the next probe is 10 s away. */
static void
pinned_and_up(void)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	go_on(2500, PROBE_GOOD);
	attempt("a.example", "A", ATTEMPT_DEFERRED);
	go_on(2000, PROBE_GOOD);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_uint_eq(world.probing, 0);
	world.did[0] = '\0';
}

/* smtp(8) meets a stranger between two probes: one is made at once, and is believed. */
START_TEST(test_pinned_and_stranger)
{
	pinned_and_up();
	held("a.example", "B", 0);
	stranger("a.example", "B");
	expect("probe 192.0.2.1");
	answer(PROBE_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
	ck_assert_int_eq(world.state.primary, PRIMARY_WRONG_HOST);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	world.did[0] = '\0';
	for (int i = 0; i < 20; i++) {
		stranger("a.example", "B"); /* what was under way */
		tick_for(100);
	}
	expect("");
	go_on(10000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_nonnull(strstr(world.did, "end wrong-host"));
	ck_assert_ptr_nonnull(strstr(world.did, "try"));
}
END_TEST

/* The first message of a domain whose mail went straight through: the same. */
START_TEST(test_pinned_and_stranger_first)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 0);
	expect("");
	stranger("a.example", "A");
	expect("probe 192.0.2.1");
	answer(PROBE_WRONG_HOST);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
}
END_TEST

/* The probe under way found the one of before: another one follows, a second later. */
START_TEST(test_pinned_and_probe_of_before)
{
	pinned_and_up();
	while (world.probing == 0)
		tick_for(100);
	held("a.example", "B", 0);
	stranger("a.example", "B");
	answer(PROBE_GOOD);
	ck_assert_uint_eq(world.probing, 0);
	tick_for(1000);
	ck_assert_uint_eq(world.probing, 1);
	answer(PROBE_WRONG_HOST);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
}
END_TEST

/* Of two behind one address one is a stranger: a probe a second at most, whatever mail there is. */
START_TEST(test_pinned_and_one_of_two)
{
	pinned_and_up();
	world.probes_started = 0;
	world.quiet = true;
	for (int i = 0; i < 1000; i++) {
		stranger("a.example", "A");
		if (world.probing > 0)
			answer(PROBE_GOOD);
		tick_for(20);
	}
	ck_assert_uint_ge(world.probes_started, 15);
	ck_assert_uint_le(world.probes_started, 25);
}
END_TEST

/* smtp(8) passed somebody by, and the second of two took the message. */
static void
passed_by(const char *domain, const char *id)
{
	const struct event_attempt event = {.domain = domain,
	    .queue_id = id,
	    .result = ATTEMPT_SENT,
	    .code = 250,
	    .enhanced = "2.0.0",
	    .reply = "words",
	    .passed = true,
	    .primary = "192.0.2.2[192.0.2.2]:25",
	    .at = world.now.wall * 1000000};

	world.sink.attempt(world.sink.context, &event);
	(void)watch_tick(world.watch, world.now);
}

static void
pin_two(void)
{
	(void)strcpy(world.row.next_hops, "[192.0.2.1], [192.0.2.2]");
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
}

/* How often does it stand there? */
static unsigned
count_of(const char *what)
{
	unsigned count = 0;

	for (const char *at = world.did; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

/* Mail goes straight through, to the other one: an alert, no hold; it ends when he is gone. */
START_TEST(test_passed_by)
{
	pin_two();
	passed_by("a.example", "A");
	expect("probe 192.0.2.1; probe 192.0.2.2");
	go_on_with_stranger(5000, "192.0.2.1");
	ck_assert_uint_eq(count_of("raise"), 1);
	ck_assert_uint_eq(count_of("raise wrong-host 0"), 1);
	ck_assert_str_eq(world.raised, "192.0.2.1[192.0.2.1]:25 is not the pinned primary, and "
				       "gets nothing: the mail goes to another one");
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_ptr_nonnull(strstr(world.state.primary_reason, "at 192.0.2.1[192.0.2.1]:25"));
	for (unsigned minute = 0; minute < 30; minute++) {
		if (minute % 10 == 0)
			passed_by("a.example", "B");
		go_on_with_stranger(60000, "192.0.2.1");
		ck_assert_int_eq(world.state.hold, HOLD_NONE);
	}
	ck_assert_uint_eq(count_of("raise") + count_of("reword") + count_of("end"), 1);
	go_on(20000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("end wrong-host"), 1);
	ck_assert_ptr_null(strstr(world.state.primary_reason, "stranger"));
	go_on(120000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("raise") + count_of("reword"), 1);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
}
END_TEST

/* A former process told of him: whether he is still there is seen without any mail. */
START_TEST(test_passed_by_before)
{
	for (int gone = 0; gone < 2; gone++) {
		pin_two();
		world.did[0] = '\0';
		world.standing = 1u << ALERT_WRONG_HOST;
		watch_passed(world.watch, "a.example", world.now);
		go_on_with_stranger(5000, gone ? "nobody" : "192.0.2.1");
		ck_assert_uint_eq(count_of("raise wrong-host 0"), !gone);
		ck_assert_uint_eq(count_of("end wrong-host"), gone);
		go_on(300000, PROBE_GOOD);
		ck_assert_uint_eq(count_of("end wrong-host"), 1);
		ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	}
}
END_TEST

/* One line of a moment: somebody looks for a while, and there is nothing to be told. */
START_TEST(test_passed_by_nobody)
{
	pin_two();
	passed_by("a.example", "A");
	go_on(180000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("raise") + count_of("end"), 0);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
	/* He does not last, or the row pins nothing: the same. */
	world.row.pin_banner[0] = '\0';
	world.did[0] = '\0';
	passed_by("a.example", "A");
	go_on(60000, PROBE_GOOD);
	expect("");
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
}
END_TEST

/* Mail that waits is not held for a stranger beside the true one: it goes there. */
START_TEST(test_stranger_beside)
{
	pin_two();
	held("a.example", "A", 3600);
	for (int i = 0; i < 50; i++) {
		tick_for(100);
		ck_assert_int_eq(world.state.hold, HOLD_NONE);
		if (world.probing > 0)
			answer_as("192.0.2.1", PROBE_WRONG_HOST);
	}
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	/* The true one goes: now nobody is there but him. The alert stands, in other words. */
	world.did[0] = '\0';
	for (int i = 0; i < 20; i++) {
		tick_for(1000);
		for (size_t j = 0; j < world.probing; j++) {
			char text[IP_TEXT_SIZE];
			ip_format(&world.probe[j].target.address, text);
			const struct probe_finding found = {.reason = "by the test",
			    .outcome =
				strcmp(text, "192.0.2.1") == 0 ? PROBE_WRONG_HOST : PROBE_DOWN};
			watch_probed(world.watch, world.probe[j].id, &found, world.now);
		}
		world.probing = 0;
	}
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	ck_assert_uint_eq(count_of("reword wrong-host 0"), 1);
	ck_assert_str_eq(
	    world.raised, "what answers is not the pinned primary: the domain is held");
	/* And is back. */
	go_on_with_stranger(30000, "192.0.2.1");
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_uint_eq(count_of("reword wrong-host 0"), 2);
	ck_assert_uint_eq(count_of("end wrong-host"), 0);
}
END_TEST

/* The backup is away, the primary's confirmations are still to come: that is no outage. */
START_TEST(test_first_of_two)
{
	(void)strcpy(world.row.next_hops, "[192.0.2.1],[192.0.2.2]");
	held("a.example", "A", 3600);
	for (int i = 0; i < 50; i++) {
		tick_for(100);
		ck_assert_int_ne(world.state.primary, PRIMARY_DOWN);
		if (world.probing > 0)
			answer_as("192.0.2.1", PROBE_DOWN);
	}
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_uint_eq(count_of("raise"), 0);
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
}
END_TEST

/* It is one as soon as both are known to be away, also where one of them answers and goes again. */
START_TEST(test_both_of_two)
{
	(void)strcpy(world.row.next_hops, "[192.0.2.1],[192.0.2.2]");
	held("a.example", "A", 3600);
	tick_for(100);
	answer_as("192.0.2.1", PROBE_DOWN);
	ck_assert_uint_eq(count_of("raise outage 0"), 0);
	go_on(20000, PROBE_DOWN);
	ck_assert_uint_eq(count_of("raise outage 0"), 1);
	for (int i = 0; i < 20; i++) {
		tick_for(1000);
		if (world.probing > 0 && i % 2 == 0)
			answer_as("192.0.2.1", PROBE_BUSY);
		else if (world.probing > 0)
			answer(PROBE_DOWN);
	}
	go_on(10000, PROBE_DOWN);
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	ck_assert_uint_eq(count_of("raise outage 0"), 1);
	ck_assert_uint_eq(count_of("end outage"), 0);
}
END_TEST

/* The other one comes back: while he is being confirmed nobody speaks for the domain, and the
 * stranger has not gone. */
START_TEST(test_stranger_stays)
{
	pin_two();
	held("a.example", "A", 3600);
	for (int i = 0; i < 20; i++) {
		tick_for(500);
		if (i % 2 == 0)
			answer_two("192.0.2.1", PROBE_WRONG_HOST, PROBE_DOWN);
	}
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert_uint_eq(count_of("raise wrong-host 0"), 1);
	for (int i = 0; i < 300; i++) {
		tick_for(100);
		answer_two("192.0.2.1", PROBE_WRONG_HOST, PROBE_GOOD);
		if (i % 5 == 0)
			attempt("a.example", "A", ATTEMPT_HELD); /* all is judged anew */
	}
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_uint_eq(count_of("end wrong-host"), 0);
	for (int i = 0; i < 300; i++) {
		tick_for(100);
		answer_two("192.0.2.1", PROBE_DOWN, PROBE_GOOD);
	}
	left("a.example", "A");
	go_on(70000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("end wrong-host"), 1);
}
END_TEST

/* A probe sees the pin, smtp(8) says time and again that it does not. */
START_TEST(test_pin_that_only_probes_see)
{
	pinned_and_up();
	for (int i = 0; i < 9; i++) {
		stranger("a.example", "A");
		ck_assert_int_eq(world.state.primary, PRIMARY_UP);
		go_on(1000, PROBE_GOOD);
	}
	ck_assert_uint_eq(count_of("raise"), 0);
	go_on(1000, PROBE_GOOD);
	stranger("a.example", "A");
	go_on(1000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("raise wrong-host 0"), 1);
	ck_assert_uint_eq(count_of("raise outage 0"), 1);
	ck_assert_int_eq(world.state.primary, PRIMARY_WRONG_HOST);
	ck_assert_str_eq(world.state.primary_reason, "up by its probes, but Postfix says: words");
	ck_assert_ptr_nonnull(strstr(world.raised, "mail waits (words): look at"));
	/* Nothing is held: a try is what will tell that it is over. */
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	world.did[0] = '\0';
	go_on(120000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
	ck_assert_uint_eq(count_of("raise") + count_of("end"), 0);
	attempt("a.example", "A", ATTEMPT_SENT);
	(void)watch_tick(world.watch, world.now);
	tick_for(300);
	ck_assert_uint_eq(count_of("end wrong-host"), 1);
	ck_assert_uint_eq(count_of("end outage"), 1);
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
}
END_TEST

/* The true one says "later", so smtp(8) goes on to the stranger, whose line it is then. */
START_TEST(test_stranger_is_last)
{
	pin_two();
	held("a.example", "A", 3600);
	go_on_with_stranger(5000, "192.0.2.1");
	for (int i = 0; i < 30; i++) {
		stranger("a.example", "A"); /* at 192.0.2.1 */
		go_on_with_stranger(1000, "192.0.2.1");
	}
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	ck_assert_uint_eq(count_of("raise wrong-host") + count_of("reword wrong-host"), 1);
	ck_assert_ptr_nonnull(strstr(world.raised, "is not the pinned primary, and gets nothing"));
	ck_assert_uint_eq(count_of("raise outage"), 0);
}
END_TEST

/* Pinned or not: Postfix has not the transport, say. */
START_TEST(test_up_and_never_reached)
{
	held("a.example", "A", 3600);
	go_on(3000, PROBE_GOOD);
	world.did[0] = '\0';
	for (int i = 0; i < 6; i++) {
		answered_at("a.example", "A", ATTEMPT_UNREACHED, 0, "4.3.0", "");
		go_on(10000, PROBE_GOOD);
	}
	ck_assert_uint_eq(count_of("raise"), 0);
	answered_at("a.example", "A", ATTEMPT_UNREACHED, 0, "4.3.0", "");
	go_on(10000, PROBE_GOOD);
	ck_assert_uint_eq(count_of("raise"), 1);
	ck_assert_uint_eq(count_of("raise outage 0"), 1);
	ck_assert_str_eq(world.outage, "mail is held, the primary is up, but Postfix does not "
				       "reach it (see mxholdctl postfix status): words");
	ck_assert_int_eq(world.state.primary, PRIMARY_UP);
	answered("a.example", "A", ATTEMPT_DEFERRED, 450, "4.2.0");
	tick_for(300);
	ck_assert_uint_eq(count_of("end outage"), 1);
}
END_TEST

/* Strangers count neither as refusals nor as "later". */
START_TEST(test_strangers_open_no_breaker)
{
	char id[16];

	pinned_and_up();
	for (int i = 0; i < 20; i++) {
		(void)snprintf(id, sizeof(id), "S%d", i);
		held("a.example", id, 0);
		stranger("a.example", id);
		if (world.probing > 0)
			answer(PROBE_GOOD);
		tick_for(100);
	}
	ck_assert_ptr_null(strstr(world.did, "raise"));
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* Its mail is offered to a stranger elsewhere: the primary may have moved, the DNS is asked. */
START_TEST(test_pinned_and_elsewhere)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	world.row.next_hops[0] = '\0';
	held("a.example", "A", 3600);
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 9.9.9.9");
	go_on(4000, PROBE_GOOD);
	world.did[0] = '\0';
	held("a.example", "B", 0);
	answered_at("a.example", "B", ATTEMPT_UNREACHED, 0, "4.7.5", "mx[8.8.8.8]:25");
	ck_assert_ptr_nonnull(strstr(world.did, "fresh mx a.example"));
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 8.8.8.8");
	go_on(1000, PROBE_WRONG_HOST);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert_ptr_nonnull(strstr(world.did, "raise wrong-host 0"));
}
END_TEST

/* Down first, and then somebody else: the outage's alert says what it is now, once. */
START_TEST(test_outage_says_why_now)
{
	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	tick_for(300);
	answer(PROBE_DOWN);
	expect("probe 192.0.2.1; raise outage 0");
	ck_assert_str_eq(world.raised, "mail is held, the primary is down: by the test");
	tick_for(6000);
	answer(PROBE_DOWN);
	expect("probe 192.0.2.1");
	tick_for(10000);
	answer(PROBE_WRONG_HOST);
	expect("probe 192.0.2.1; reword outage 0; raise wrong-host 0");
	ck_assert_str_eq(world.outage, "mail is held, the primary is wrong-host: by the test");
	tick_for(20000);
	answer(PROBE_WRONG_HOST);
	expect("probe 192.0.2.1");
	go_on(10000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "end outage"));
}
END_TEST

/* Holds of ours end 5 minutes from now by a clock that was set too, from the next tick on. */
START_TEST(test_hold_when_clock_is_set)
{
	static const int64_t leaps[] = {3600, -7200, 86400 * 365, 61, -86400 * 365};
	struct watch_view view;

	(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 3600);
	held("b.example", "B", 3600);
	go_on(1000, PROBE_WRONG_HOST);
	ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
	ck_assert(
	    watch_hold(world.watch, "b.example", world.now.wall + 600, "why", false, world.now));
	for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
		tick_for(10000);
		world.now.wall += leaps[i];
		watch_set_time(world.watch, world.now);
		(void)watch_tick(world.watch, world.now);
		ck_assert_int_eq(world.state.hold, HOLD_WRONG_HOST);
		ck_assert_int_eq(world.state.hold_until, world.now.wall + 300);
		tick_for(1500); /* an operator's ends at its time by the clock */
		ck_assert(watch_look(world.watch, "b.example", &view));
		ck_assert_int_eq(view.state.hold, HOLD_WRONG_HOST);
	}
	const unsigned puts = world.puts;
	world.now.wall += 3; /* set by a little: nothing is hurried */
	tick_for(1500);
	ck_assert_uint_eq(world.puts, puts);
}
END_TEST

START_TEST(test_breaker_holds)
{
	open_breaker();
	ck_assert_int_eq(world.state.hold, HOLD_BREAKER);
	ck_assert_ptr_nonnull(strstr(world.did, "raise breaker 0"));
	world.did[0] = '\0';
	go_on(50000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "try"));
	go_on(12000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "try R0"));
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	attempt("a.example", "R0", ATTEMPT_REFUSED);
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_BREAKER);
	world.did[0] = '\0';
	go_on(302000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "try R0"));
	ck_assert_ptr_nonnull(strstr(world.did, "try R1"));
	ck_assert_ptr_null(strstr(world.did, "mended"));
	attempt("a.example", "R1", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "mended a.example; end breaker"));
	left("a.example", "R1");
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* Until a message is tried, for at most `ms`. Its id, "": none. */
static void
next_try(int64_t ms, char id[16])
{
	const char *found = NULL;

	world.did[0] = '\0';
	for (int64_t i = 0; found == NULL && i < ms; i += 500) {
		go_on(500, PROBE_GOOD);
		found = strstr(world.did, "try ");
	}
	id[0] = '\0';
	if (found != NULL)
		(void)sscanf(found, "try %15[^;]", id);
}

/* "No such user" to everybody: when that is over, nobody waits the ten minutes of one who does not
 * exist. */
START_TEST(test_surge_is_over)
{
	char id[16];

	open_breaker();
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		answered("a.example", id, ATTEMPT_REFUSED, 550, "5.1.1");
	}
	held("a.example", "NEW", 10);
	next_try(70000, id);
	ck_assert_str_eq(id, "NEW");
	attempt("a.example", "NEW", ATTEMPT_SENT);
	left("a.example", "NEW");
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
}
END_TEST

static void
expect_try(int64_t ms, const char *wanted)
{
	char id[16];

	next_try(ms, id);
	ck_assert_str_eq(id, wanted);
}

/* One mailbox that is full does not keep the others back, once the primary takes their mail. */
START_TEST(test_breaker_and_full_mailbox)
{
	char id[16];
	unsigned tries = 0;

	open_breaker();
	while (world.state.hold == HOLD_BREAKER && tries < 10) {
		next_try(3600000, id);
		tries++;
		if (strcmp(id, "R0") == 0) {
			answered("a.example", id, ATTEMPT_DEFERRED, 452, "4.2.2");
		} else {
			attempt("a.example", id, ATTEMPT_SENT);
			left("a.example", id);
		}
		go_on(1000, PROBE_GOOD);
	}
	ck_assert_uint_eq(tries, 2);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_nonnull(strstr(world.did, "end breaker"));
}
END_TEST

/* Whatever became of it, a message that was tried comes last: all have their turn. */
START_TEST(test_breaker_goes_round)
{
	open_breaker();
	held("a.example", "NEW", 50); /* not refused: it goes first */
	expect_try(3600000, "NEW");
	answered("a.example", "NEW", ATTEMPT_DEFERRED, 452, "4.2.2");
	expect_try(3600000, "R0"); /* no line of it in the log */
	go_on(60000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_BREAKER);
	expect_try(3600000, "R1");
	attempt("a.example", "R1", ATTEMPT_HELD); /* nobody was asked: once more, soon */
	expect_try(40000, "R1");
	attempt("a.example", "R1", ATTEMPT_HELD);
	expect_try(3600000, "R2");
	attempt("a.example", "R2", ATTEMPT_REFUSED);
	ck_assert(watch_release(world.watch, "a.example", world.now));
	expect_try(5000, "R3");
	attempt("a.example", "R3", ATTEMPT_REFUSED);
	expect_try(3600000, "R4");
	attempt("a.example", "R4", ATTEMPT_REFUSED);
	expect_try(3600000, "NEW");
	answered("a.example", "NEW", ATTEMPT_DEFERRED, 452, "4.2.2");
	expect_try(3600000, "R0");
}
END_TEST

/* Five messages, each refused once more, whoever had them offered. */
static void
refuse_again(void)
{
	char id[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		attempt("a.example", id, ATTEMPT_REFUSED);
		go_on(500, PROBE_GOOD);
	}
}

/* What the wave after a surge offers, and is refused again, is no new surge. */
START_TEST(test_surge_leaves_spam)
{
	open_breaker();
	held("a.example", "NEW", 50);
	expect_try(3600000, "NEW");
	attempt("a.example", "NEW", ATTEMPT_SENT);
	left("a.example", "NEW");
	for (int i = 0; i < 3; i++) {
		world.did[0] = '\0';
		refuse_again();
		ck_assert_int_eq(world.state.hold, HOLD_NONE);
		ck_assert_ptr_null(strstr(world.did, "raise breaker"));
		go_on(700000, PROBE_GOOD);
	}
	refuse_again();
	held("a.example", "R5", 0); /* new ones are */
	attempt("a.example", "R5", ATTEMPT_REFUSED);
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	for (char id[] = "A"; id[0] <= 'D'; id[0]++) {
		held("a.example", id, 0);
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_BREAKER);
}
END_TEST

/* Spam of many hours, refused together when an outage is over: neither. */
START_TEST(test_old_spam_and_outage)
{
	char id[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		held("a.example", id, 0);
		attempt("a.example", id, ATTEMPT_REFUSED);
		go_on(3600000, PROBE_GOOD);
	}
	held("a.example", "NEW", 0);
	answered("a.example", "NEW", ATTEMPT_UNREACHED, 0, "4.4.1");
	go_on(7200000, PROBE_DOWN);
	expect_try(60000, "NEW");
	attempt("a.example", "NEW", ATTEMPT_SENT);
	left("a.example", "NEW");
	world.did[0] = '\0';
	refuse_again();
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_null(strstr(world.did, "raise breaker"));
}
END_TEST

/* Another process saw how they were refused. They come last, at once, one at a time. */
START_TEST(test_spam_and_restart)
{
	char id[16];

	for (int i = 0; i < 6; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		restored("a.example", id, 7200 - i, 3);
	}
	restored("a.example", "NEW", 3600, 0);
	expect_try(60000, "NEW");
	answered("a.example", "NEW", ATTEMPT_REFUSED, 554, "5.7.1");
	for (int i = 0; i < 6; i++) {
		ck_assert_ptr_nonnull(strstr(world.did, "try R"));
		(void)sscanf(strstr(world.did, "try R"), "try %15[^;]", id);
		world.did[0] = '\0';
		attempt("a.example", id, ATTEMPT_REFUSED);
		ck_assert_ptr_null(strstr(world.did, "try"));
		go_on(16000, PROBE_GOOD);
	}
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
	ck_assert_ptr_null(strstr(world.did, "raise breaker"));
}
END_TEST

/* Nothing else is left to ask with: it is not asked more often than by the release. */
START_TEST(test_breaker_is_polite)
{
	unsigned tries = 0;
	char id[16];

	open_breaker();
	for (int i = 1; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		left("a.example", id);
	}
	const int64_t end = world.now.ms + 86400000;
	while (world.now.ms < end) {
		next_try(end - world.now.ms, id);
		if (id[0] == '\0')
			continue;
		ck_assert_str_eq(id, "R0");
		attempt("a.example", id, ATTEMPT_REFUSED);
		tries++;
	}
	ck_assert_uint_ge(tries, 24);
	ck_assert_uint_le(tries, 24 + 6);
	ck_assert_int_eq(world.state.hold, HOLD_BREAKER);
	expect_try(3700000, "R0");
	attempt("a.example", "R0", ATTEMPT_REFUSED);
	held("a.example", "NEW", 0); /* it is asked for instead, as ever */
	attempt("a.example", "NEW", ATTEMPT_HELD);
	expect_try(902000, "NEW");
	answered("a.example", "NEW", ATTEMPT_DEFERRED, 452, "4.2.2");
	left("a.example", "NEW");
	ck_assert(
	    watch_release(world.watch, "a.example", world.now)); /* and whoever wants it gets it */
	expect_try(3000, "R0");
	attempt("a.example", "R0", ATTEMPT_SENT);
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* A primary that is taken down to be mended, and comes up: a message is tried then. */
START_TEST(test_breaker_and_mended_primary)
{
	char id[16];

	open_breaker();
	for (int i = 0; i < 3; i++) {
		next_try(3600000, id);
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	go_on(60000, PROBE_DOWN);
	ck_assert_int_eq(world.state.primary, PRIMARY_DOWN);
	next_try(15000, id);
	ck_assert_str_eq(id, "R3");
	attempt("a.example", id, ATTEMPT_REFUSED);
	next_try(600000, id); /* once */
	ck_assert_str_eq(id, "");
	go_on(60000, PROBE_DOWN);
	next_try(15000, id);
	ck_assert_str_eq(id, "R4");
	attempt("a.example", id, ATTEMPT_SENT);
	left("a.example", id);
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* The fifth refusal opens the breaker: a good message behind those is tried first, and not last. */
START_TEST(test_breaker_and_next_canary)
{
	char id[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		held("a.example", id, 3600 - i);
	}
	held("a.example", "GOOD", 3000);
	expect_try(60000, "R0");
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "R%d", i);
		world.did[0] = '\0';
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	ck_assert_ptr_null(strstr(world.did, "try"));
	expect_try(62000, "GOOD");
}
END_TEST

/* A canary that meets our own hold was not offered to anybody: its turn was none. */
START_TEST(test_hold_gives_turn_back)
{
	held("a.example", "A", 3600);
	expect_try(60000, "A");
	attempt("a.example", "A", ATTEMPT_HELD);
	open_breaker();
	expect_try(62000, "A");
	if (_i == 1) { /* what it got before counts */
		answered("a.example", "A", ATTEMPT_DEFERRED, 451, "4.3.0");
		attempt("a.example", "A", ATTEMPT_HELD); /* by Postfix's own try */
		expect_try(3600000, "R0");
		return;
	}
	attempt("a.example", "A", ATTEMPT_HELD);
	expect_try(32000, "A");
	attempt("a.example", "A", ATTEMPT_HELD);
	expect_try(62000, "R0"); /* twice: others, too */
}
END_TEST

/* A release that came to nothing begins with another message; refused ones still come last. */
START_TEST(test_release_goes_round)
{
	held("a.example", "R", 7200);
	attempt("a.example", "R", ATTEMPT_REFUSED);
	go_on(600500, PROBE_DOWN);
	held("a.example", "A", 3600);
	held("a.example", "B", 1800);
	held("a.example", "C", 900);
	expect_try(10000, "A");
	answered("a.example", "A", ATTEMPT_DEFERRED, 421, "4.7.0");
	expect_try(6000, "B");
	attempt("a.example", "B", ATTEMPT_UNREACHED);
	expect_try(20000, "C");
	answered("a.example", "C", ATTEMPT_DEFERRED, 452, "4.2.2");
	ck_assert_ptr_nonnull(strstr(world.did, "try A"));
	answered("a.example", "A", ATTEMPT_DEFERRED, 452, "4.2.2");
	ck_assert_ptr_nonnull(strstr(world.did, "try B"));
	attempt("a.example", "B", ATTEMPT_REFUSED);
	ck_assert_ptr_nonnull(strstr(world.did, "try R"));
	attempt("a.example", "R", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
}
END_TEST

/* Messages that an operator holds are nobody's canaries, as long as he does. */
START_TEST(test_release_and_messages_on_hold)
{
	world.on_hold = "AB";
	held("a.example", "A", 3600);
	held("a.example", "B", 1800);
	held("a.example", "C", 900);
	expect_try(5000, "C");
	attempt("a.example", "C", ATTEMPT_REFUSED);
	ck_assert_ptr_null(strstr(world.did, "try A"));
	go_on(590000, PROBE_GOOD);
	world.on_hold = "B";
	expect_try(20000, "A");
	attempt("a.example", "A", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
}
END_TEST

/* A domain that has only such does not make the others of its primary wait. */
START_TEST(test_all_messages_on_hold)
{
	world.on_hold = "A";
	held("b.example", "B", 3600);
	held("a.example", "A", 3600);
	expect_try(2500, "B");
	attempt("b.example", "B", ATTEMPT_REFUSED);
	go_on(30000, PROBE_GOOD);
	ck_assert_ptr_null(strstr(world.did, "try A"));
}
END_TEST

START_TEST(test_breaker_and_messages_on_hold)
{
	open_breaker();
	world.on_hold = "A";
	held("a.example", "A", 7200);
	held("a.example", "B", 50);
	expect_try(3600000, "B");
	attempt("a.example", "B", ATTEMPT_HELD);
	world.on_hold = "AB"; /* it was to be tried once more */
	expect_try(40000, "R0");
	attempt("a.example", "R0", ATTEMPT_SENT);
	ck_assert_ptr_nonnull(strstr(world.did, "mended a.example; end breaker"));
}
END_TEST

/* Where a flush had no effect, those that can leave are tried. */
START_TEST(test_no_effect_and_messages_on_hold)
{
	world.on_hold = "BD";
	begin_wave();
	go_on(3500, PROBE_GOOD);
	list_queue(false);
	world.did[0] = '\0';
	go_on(1000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "late C"));
	ck_assert_ptr_nonnull(strstr(world.did, "late F"));
	ck_assert_ptr_null(strstr(world.did, "late B"));
	ck_assert_ptr_null(strstr(world.did, "late D"));
}
END_TEST

/* Until the primary has been up for a moment, and the domain has nothing to wait for. */
static void
hold_refused(const char *id, const char *enhanced)
{
	held("a.example", id, 3600);
	expect_try(5000, id);
	answered("a.example", id, ATTEMPT_REFUSED, 550, enhanced);
	world.did[0] = '\0';
}

static unsigned
count_tries(int64_t ms)
{
	unsigned tries = 0;
	char id[16];
	const int64_t end = world.now.ms + ms;

	while (world.now.ms < end) {
		next_try(end - world.now.ms, id);
		tries += id[0] != '\0';
	}
	return tries;
}

/* A primary that takes the connection and says nothing: tried again and again, and soon. */
START_TEST(test_lost_canaries)
{
	char id[16];

	held("a.example", "A", 3600);
	held("a.example", "B", 3500);
	if (_i == 1)
		held("a.example", "C", 3400);
	for (int i = 0; i < 40; i++) {
		next_try(81000, id);
		ck_assert_msg(id[0] != '\0', "no try %d", i);
	}
	go_on(20000, PROBE_GOOD);
	world.did[0] = '\0';
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	expect("flush a.example");
}
END_TEST

/* Its line comes late, and says that the connection timed out: the moment for another try. */
START_TEST(test_lost_canary_speaks)
{
	held("a.example", "A", 3600);
	expect_try(5000, "A");
	for (int i = 0; i < 8; i++)
		(void)count_tries(30000);
	go_on(25000, PROBE_GOOD);
	if (_i == 0)
		attempt("a.example", "A", ATTEMPT_UNREACHED);
	else
		answered("a.example", "A", ATTEMPT_DEFERRED, 451, "4.3.0");
	expect_try(1500, "A");
}
END_TEST

/* The same while it is tried once more, which had no effect: Postfix still had it in hand. */
START_TEST(test_lost_canary_speaks_in_its_turn)
{
	held("a.example", "A", 3600);
	expect_try(5000, "A");
	for (int i = 0; i < 4; i++)
		expect_try(90000, "A");
	attempt("a.example", "A", ATTEMPT_UNREACHED);
	expect_try(1500, "A");
	answered("a.example", "A", ATTEMPT_DEFERRED, 421, "4.3.2"); /* but this is its own */
	ck_assert_uint_eq(count_tries(4000), 0);
}
END_TEST

/* In a wave it is found by a listing, and tried once more, since the primary is well by now. */
START_TEST(test_lost_canary_in_a_wave)
{
	held("a.example", "C", 3600);
	expect_try(5000, "C");
	held("a.example", "A", 100);
	expect_try(30000, "A");
	attempt("a.example", "A", ATTEMPT_SENT);
	left("a.example", "A");
	attempt("a.example", "C", ATTEMPT_UNREACHED);
	world.did[0] = '\0';
	go_on(2000, PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(world.did, "list all"));
	world.did[0] = '\0';
	list_queue(true);
	expect("late C");
}
END_TEST

/* Half broken for some seconds: what was refused is offered again soon, and opens the way. */
START_TEST(test_refused_for_a_moment)
{
	char id[16];

	held("a.example", "A", 3600);
	held("a.example", "B", 3500);
	expect_try(5000, "A");
	attempt("a.example", "A", ATTEMPT_REFUSED);
	ck_assert_ptr_nonnull(strstr(world.did, "try B"));
	attempt("a.example", "B", ATTEMPT_REFUSED);
	next_try(29000, id);
	ck_assert_str_eq(id, "");
	next_try(2000, id);
	ck_assert_str_ne(id, "");
	world.did[0] = '\0';
	attempt("a.example", id, ATTEMPT_SENT);
	left("a.example", id);
	expect("flush a.example");
}
END_TEST

/* One at a time, each after pauses that grow. */
START_TEST(test_refused_for_long)
{
	unsigned tries = 0;
	char id[16];
	const int64_t begin = world.now.ms;

	for (int i = 0; i < 4; i++) {
		(void)snprintf(id, sizeof(id), "%c", 'A' + i);
		held("a.example", id, 3600 - i);
	}
	while (world.now.ms - begin < 7200000) {
		next_try(3600000, id);
		tries++;
		ck_assert_ptr_null(strstr(strstr(world.did, "try") + 1, "try"));
		while (strstr(world.did, "try ") != NULL) {
			(void)sscanf(strstr(world.did, "try "), "try %15[^;]", id);
			world.did[0] = '\0';
			attempt("a.example", id, ATTEMPT_REFUSED);
		}
	}
	ck_assert_uint_ge(tries, 20);
	ck_assert_uint_le(tries, 40);
	ck_assert_int_ne(world.state.hold, HOLD_BREAKER);
}
END_TEST

/* Spam that the primary will never take: hourly in the end, though other mail is taken. */
START_TEST(test_spam_for_days)
{
	unsigned tries = 0, flushes = 0;

	hold_refused("S", "5.7.1");
	for (int64_t i = 0; i < 5 * 86400; i += 10) {
		go_on(10000, PROBE_GOOD);
		if (strstr(world.did, "try S") != NULL || strstr(world.did, "flush") != NULL) {
			attempt("a.example", "S", ATTEMPT_REFUSED);
			tries++;
		}
		world.did[0] = '\0';
		if (i % 60 == 0) {
			held("a.example", "N", 0);
			attempt("a.example", "N", ATTEMPT_SENT);
			left("a.example", "N");
			flushes += world.did[0] != '\0';
		}
	}
	ck_assert_uint_ge(tries, 100);
	ck_assert_uint_le(tries, 5 * 24 + 8);
	ck_assert_uint_le(flushes, 8);
}
END_TEST

/* Too few for a surge: the next that is taken tells that the primary is mended. */
START_TEST(test_mended_without_surge)
{
	hold_refused("A", "5.1.1");
	held("a.example", "B", 3600);
	expect_try(60000, "B");
	answered("a.example", "B", ATTEMPT_REFUSED, 550, "5.1.1");
	ck_assert_uint_eq(count_tries(60000), 0);
	attempt("a.example", "N", ATTEMPT_SENT); /* it was never held */
	ck_assert_ptr_nonnull(strstr(world.did, "flush a.example"));
	go_on(1000, PROBE_GOOD);
	answered("a.example", "A", ATTEMPT_REFUSED, 550, "5.1.1"); /* by itself, and no news */
	answered("a.example", "B", ATTEMPT_REFUSED, 550, "5.1.1");
	go_on(5000, PROBE_GOOD);
	world.did[0] = '\0';
	held("a.example", "N", 0);
	attempt("a.example", "N", ATTEMPT_SENT);
	left("a.example", "N");
	expect("");
	ck_assert_uint_eq(count_tries(600000), 0);
}
END_TEST

START_TEST(test_unknown_user_waits)
{
	hold_refused("G", "5.1.1");
	ck_assert_uint_eq(count_tries(599000), 0);
	expect_try(62000, "G");
	answered("a.example", "G", ATTEMPT_REFUSED, 550, "5.1.1");
	ck_assert_uint_eq(count_tries(1199000), 0);
	expect_try(62000, "G");
}
END_TEST

/* Other mail of the domain is taken. */
static void
others_taken(void)
{
	world.did[0] = '\0';
	held("a.example", "N", 0);
	attempt("a.example", "N", ATTEMPT_SENT);
	left("a.example", "N");
}

/* The first delivery after a message was refused has it offered again at once: refused then, too.
 */
static void
refused_when_well(const char *id, const char *enhanced)
{
	others_taken();
	expect("flush a.example");
	answered("a.example", id, ATTEMPT_REFUSED, 550, enhanced);
	world.did[0] = '\0';
}

/* By each delivery that came after a gap long enough for it. Then it is owed none any more. */
static void
refused_each_time(const char *id)
{
	refused_when_well(id, "5.1.1");
	for (int64_t pause = 30000; pause <= 1920000; pause *= 2) {
		go_on(pause / 2, PROBE_GOOD);
		others_taken();
		expect(""); /* so soon after it */
		go_on(pause / 2, PROBE_GOOD);
		refused_when_well(id, "5.1.1");
	}
	go_on(2000000, PROBE_GOOD);
	others_taken();
	expect("");
}

START_TEST(test_owed_not_for_ever)
{
	hold_refused("G", "5.1.1");
	refused_each_time("G");
}
END_TEST

/* It knows nobody but for moments: in the first of them the one message that it refused goes. */
START_TEST(test_known_in_moments)
{
	static const int64_t phases[] = {100, 2000, 7000, 61000, 599000, 600000, 3600000, 10800000};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		const int64_t good = world.now.ms + phases[i];
		char id[16];

		hold_refused("G", "5.1.1");
		while (world.now.ms < good) {
			next_try(good - world.now.ms, id);
			if (id[0] != '\0')
				answered("a.example", id, ATTEMPT_REFUSED, 550, "5.1.1");
		}
		others_taken();
		expect("flush a.example");
		attempt("a.example", "G", ATTEMPT_SENT);
		left("a.example", "G");
		tear_down();
		set_up();
	}
}
END_TEST

/* The first moment was over too soon: the message goes in the next one, if it lasts. */
START_TEST(test_known_in_short_moments)
{
	hold_refused("G", "5.1.1");
	refused_when_well("G", "5.1.1");
	go_on(20000, PROBE_GOOD);
	for (int i = 0; i < 2; i++) { /* it was refused a moment ago */
		others_taken();
		expect("");
		go_on(5000, PROBE_GOOD);
	}
	others_taken();
	expect("flush a.example");
	attempt("a.example", "G", ATTEMPT_SENT);
	left("a.example", "G");
}
END_TEST

/* It was offered so late that the moment was over, perhaps: the next one counts. */
START_TEST(test_known_in_moments_missed)
{
	hold_refused("G", "5.1.1");
	for (int i = 0; i < 3; i++) {
		others_taken();
		expect("flush a.example");
		go_on(61000, PROBE_GOOD);
		answered("a.example", "G", ATTEMPT_REFUSED, 550, "5.1.1");
		go_on(200000, PROBE_GOOD); /* that wave, with its lost listing, is over */
	}
}
END_TEST

/* A busy domain: what is refused for good is offered at once a single time, however often mail is
 * taken, and whatever else is refused meanwhile. */
static unsigned
count_busy(int64_t seconds, int64_t step, const char *enhanced)
{
	unsigned tries = 0;

	hold_refused("S", enhanced);
	for (int64_t i = 0; i < seconds; i += step) {
		go_on(step * 1000, PROBE_GOOD);
		attempt("a.example", "N", ATTEMPT_SENT); /* straight through */
		if (strstr(world.did, " S") != NULL || strstr(world.did, "flush") != NULL) {
			answered("a.example", "S", ATTEMPT_REFUSED, 550, enhanced);
			tries++;
		}
		world.did[0] = '\0';
		if (i % 900 == 0) {
			held("a.example", "T", 0);
			attempt("a.example", "T", ATTEMPT_REFUSED);
			left("a.example", "T");
		}
	}
	tear_down();
	set_up();
	return tries;
}

START_TEST(test_refused_on_busy_domain)
{
	ck_assert_uint_le(count_busy(7200, 1, "5.1.1"), 5);
	ck_assert_uint_le(count_busy(7200, 1, "5.7.1"), 10);
	ck_assert_uint_le(count_busy(432000, 10, "5.1.1"), 5 * 24 + 8);
	ck_assert_uint_le(count_busy(432000, 10, "5.7.1"), 5 * 24 + 9);
}
END_TEST

/*
 * Where mail is taken seldom a delivery is news: who is refused need wait half as long only. Not
 * where there was one a while ago.
 */
START_TEST(test_ghost_and_news)
{
	hold_refused("G", "5.1.1");
	refused_each_time("G");
	expect_try(62000, "G"); /* half an hour is over, and it is looked at each minute */
	answered("a.example", "G", ATTEMPT_REFUSED, 550, "5.1.1");
	go_on(60000, PROBE_GOOD);
	others_taken();
	ck_assert_uint_eq(count_tries(3500000), 0);
	expect_try(130000, "G");
}
END_TEST

/* A refused message in the queue keeps nobody else's back, and is not offered with them. */
START_TEST(test_ghost_and_blip)
{
	hold_refused("G", "5.1.1");
	refused_each_time("G");
	expect_try(62000, "G");
	answered("a.example", "G", ATTEMPT_REFUSED, 550, "5.1.1");
	go_on(60000, PROBE_GOOD);
	for (int i = 0; i < 3; i++) {
		held("a.example", "N", 0);
		attempt("a.example", "N", i == 1 ? ATTEMPT_DEFERRED : ATTEMPT_UNREACHED);
		held("a.example", "M", 0);
		attempt("a.example", "M", ATTEMPT_UNREACHED);
		expect_try(3000, "N");
		world.did[0] = '\0';
		attempt("a.example", "N", ATTEMPT_SENT);
		left("a.example", "N");
		expect("late M");
		attempt("a.example", "M", ATTEMPT_SENT);
		left("a.example", "M");
		ck_assert_uint_eq(count_tries(60000), 0);
		ck_assert_ptr_null(strstr(world.did, "flush"));
	}
	expect_try(3480000, "G");
}
END_TEST

/* Of several recipients one does not exist, and another was put off: the message has to go again.
 */
START_TEST(test_ghost_in_company)
{
	held("a.example", "A", 3600);
	held("a.example", "A", 3600);
	expect_try(5000, "A");
	answered("a.example", "A", ATTEMPT_REFUSED, 550, "5.1.1");
	answered("a.example", "A", ATTEMPT_DEFERRED, 451, "4.7.1");
	expect_try(10000, "A");
}
END_TEST

/* Two recipients, refused together in the end: as polite as with one, whatever the first attempt
 * met, */
START_TEST(test_refused_in_company)
{
	static const enum attempt_result first[] = {ATTEMPT_UNREACHED, ATTEMPT_DEFERRED};
	unsigned tries = 0;

	held("a.example", "A", 3600);
	held("a.example", "A", 3600);
	for (int i = 0; i < 2; i++)
		answered("a.example", "A", first[_i], 451, "4.3.0");
	for (int64_t i = 0; i < 86400; i += 5) {
		go_on(5000, PROBE_GOOD);
		if (strstr(world.did, "try A") != NULL || strstr(world.did, "flush") != NULL) {
			attempt("a.example", "A", ATTEMPT_REFUSED);
			attempt("a.example", "A", ATTEMPT_REFUSED);
			tries++;
		}
		world.did[0] = '\0';
	}
	ck_assert_uint_ge(tries, 24);
	ck_assert_uint_le(tries, 24 + 8);
}
END_TEST

/* and not while one of them is told "later" in the same attempt, whoever is answered first. */
START_TEST(test_put_off_in_company)
{
	unsigned tries = 0;

	held("a.example", "A", 3600);
	held("a.example", "A", 3600);
	for (int64_t i = 0; i < 7200; i += 5) {
		go_on(5000, PROBE_GOOD);
		if (strstr(world.did, "try A") != NULL || strstr(world.did, "flush") != NULL) {
			if (_i == 0)
				attempt("a.example", "A", ATTEMPT_REFUSED);
			answered("a.example", "A", ATTEMPT_DEFERRED, 452, "4.2.2");
			if (_i == 1)
				attempt("a.example", "A", ATTEMPT_REFUSED);
			tries++;
		}
		world.did[0] = '\0';
	}
	ck_assert_uint_ge(tries, 20); /* each five minutes, not each hour, */
	ck_assert_uint_le(tries, 150);
	while (tries-- > 0 && strstr(world.did, "try A") == NULL)
		go_on(5000, PROBE_GOOD);
	attempt("a.example", "A", ATTEMPT_REFUSED);
	attempt("a.example", "A", ATTEMPT_REFUSED);
	expect_try(301000, "A"); /* and what is refused then begins anew */
	attempt("a.example", "A", ATTEMPT_REFUSED);
	attempt("a.example", "A", ATTEMPT_REFUSED);
	ck_assert_uint_eq(count_tries(29000), 0);
	expect_try(62000, "A");
}
END_TEST

static void
move_primary(void)
{
	world.did[0] = '\0';
	(void)strcpy(world.row.next_hops, "[192.0.2.2]");
	watch_rows_changed(world.watch, world.now);
}

/* The row names another server: what the old one refused says nothing of that. */
START_TEST(test_breaker_and_another_primary)
{
	char id[16];

	open_breaker();
	for (int i = 0; i < 3; i++) {
		next_try(3600000, id);
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	ck_assert_ptr_null(strstr(world.did, "mended"));
	world.row.retention++;
	watch_rows_changed(world.watch, world.now);
	ck_assert_uint_eq(count_tries(30000), 0);
	ck_assert_ptr_null(strstr(world.did, "mended"));
	move_primary();
	go_on(10000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "mended a.example"));
	ck_assert_ptr_null(strstr(world.did, "try"));
	expect_try(15000, "R3"); /* it is up */
	ck_assert_ptr_null(strstr(world.did, "mended"));
	answered_at("a.example", "R3", ATTEMPT_REFUSED, 554, "5.7.1", "mx[192.0.2.2]:25");
	ck_assert_uint_eq(count_tries(290000), 0); /* as after its first refusal */
	expect_try(20000, "R4");
	answered_at("a.example", "R4", ATTEMPT_SENT, 250, "2.0.0", "mx[192.0.2.2]:25");
	left("a.example", "R4");
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* The same by MX records: not before the DNS has told where the new one is. */
START_TEST(test_breaker_and_another_primary_by_mx)
{
	open_breaker();
	world.did[0] = '\0';
	world.row.next_hops[0] = '\0';
	watch_rows_changed(world.watch, world.now);
	ck_assert_uint_eq(count_tries(5000), 0);
	resolved("a.example", RESOLVER_MX, "MX 10 mx.customer.example.");
	resolved("mx.customer.example", RESOLVER_A, "A 9.9.9.9");
	expect_try(10000, "R0");
}
END_TEST

START_TEST(test_refused_and_another_primary)
{
	hold_refused("G", "5.1.1");
	go_on(5000, PROBE_GOOD);
	move_primary();
	expect_try(10000, "G");
	answered_at("a.example", "G", ATTEMPT_REFUSED, 550, "5.1.1", "mx[192.0.2.2]:25");
	ck_assert_uint_eq(count_tries(590000), 0);
}
END_TEST

/* Refusals of two servers are no surge of one. */
START_TEST(test_surge_and_another_primary)
{
	for (char id[] = "A"; id[0] <= 'D'; id[0]++) {
		held("a.example", id, 3600);
		attempt("a.example", id, ATTEMPT_REFUSED);
	}
	go_on(1000, PROBE_GOOD);
	move_primary();
	go_on(5000, PROBE_GOOD);
	held("a.example", "E", 0);
	answered_at("a.example", "E", ATTEMPT_REFUSED, 554, "5.7.1", "mx[192.0.2.2]:25");
	go_on(1000, PROBE_GOOD);
	ck_assert_int_eq(world.state.hold, HOLD_NONE);
}
END_TEST

/* A delivery ends a pause at once; one that brought nothing is no reason for the next. */
START_TEST(test_delivery_ends_a_pause)
{
	held("a.example", "A", 3600);
	for (int i = 0; i < 6; i++) {
		expect_try(200000, "A");
		answered("a.example", "A", ATTEMPT_DEFERRED, 421, "4.3.2");
	}
	go_on(10000, PROBE_GOOD);
	world.did[0] = '\0';
	held("a.example", "N", 0);
	attempt("a.example", "N", ATTEMPT_SENT);
	left("a.example", "N");
	expect("flush a.example");
	answered("a.example", "A", ATTEMPT_DEFERRED, 452, "4.2.2");
	go_on(5000, PROBE_GOOD);
	world.did[0] = '\0';
	held("a.example", "N", 0);
	attempt("a.example", "N", ATTEMPT_SENT);
	left("a.example", "N");
	expect("");
}
END_TEST

/* A full mailbox among mail that is taken, or greylisting of all that is new: no storm. */
START_TEST(test_no_storm)
{
	unsigned tries = 0, flushes = 0;
	char id[16];

	held("a.example", "A", 3600);
	for (int64_t i = 0; i < 86400; i += 5) {
		go_on(5000, PROBE_GOOD);
		const char *tried = strstr(world.did, "try ");
		if (tried != NULL && sscanf(tried, "try %15[^;]", id) == 1) {
			answered("a.example", id, ATTEMPT_DEFERRED, 452, "4.2.2");
			tries++;
		}
		world.did[0] = '\0';
		(void)snprintf(id, sizeof(id), "N%d", (int)(i % 1000));
		held("a.example", id, 0);
		answered("a.example", id, _i == 0 ? ATTEMPT_SENT : ATTEMPT_DEFERRED, 450, "4.2.0");
		if (_i == 0 || i > 2000)
			left("a.example", id);
		if (world.flushes != flushes)
			answered("a.example", "A", ATTEMPT_DEFERRED, 452, "4.2.2");
		flushes = world.flushes;
	}
	ck_assert_msg(world.flushes < 320, "%d: %u flushes, %u tries", _i, world.flushes, tries);
	ck_assert_uint_lt(tries, 1000);
}
END_TEST

START_TEST(test_rows_and_quota)
{
	(void)strcpy(world.watched, "row.example");
	(void)strcpy(world.row.owner, "row.example");
	world.row.quota_messages = 3;
	held("a.row.example", "A", 0);
	held("b.row.example", "A", 0);
	held("b.row.example", "A", 0); /* a second recipient of the same message */
	tick_for(300);
	ck_assert_uint_eq(world.state.row_messages, 2);
	ck_assert_uint_eq(world.state.messages, 0);
	expect("");
	held("row.example", "C", 0);
	tick_for(300);
	expect("raise quota 0");
	ck_assert_uint_eq(world.state.row_messages, 3);
	ck_assert_uint_eq(world.state.row_bytes, 3000);
	ck_assert_uint_eq(world.state.messages, 1);
	left("b.row.example", "A");
	tick_for(300);
	expect("");
	left("b.row.example", "A");
	tick_for(300);
	expect("end quota");
	ck_assert_uint_eq(world.state.row_messages, 2);
}
END_TEST

/* A row's quota counts what all its domains hold; nobody's, or none's, is not reached. */
START_TEST(test_over_quota)
{
	world.row.quota_messages = 2;
	(void)strcpy(world.row.owner, "a.example");
	held("a.example", "A", 0);
	ck_assert(!watch_over_quota(world.watch, "a.example"));
	held("b.a.example", "B", 0);
	ck_assert(watch_over_quota(world.watch, "a.example"));
	ck_assert(!watch_over_quota(world.watch, "b.a.example"));
	left("a.example", "A");
	ck_assert(!watch_over_quota(world.watch, "a.example"));
}
END_TEST

START_TEST(test_retention_levels)
{
	world.row.retention = 100000;
	held("a.example", "A", 49000);
	go_on(61000, PROBE_DOWN);
	ck_assert_ptr_null(strstr(world.did, "retention"));
	go_on(1000000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 50"));
	world.now.wall += 31000;
	world.did[0] = '\0';
	go_on(61000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 80"));
	left("a.example", "A");
	ck_assert_ptr_nonnull(strstr(world.did, "end retention"));
}
END_TEST

/* When it came is not known. */
START_TEST(test_retention_of_no_arrival)
{
	held("a.example", "A", world.now.wall);
	go_on(130000, PROBE_DOWN);
	ck_assert_ptr_null(strstr(world.did, "retention"));
}
END_TEST

START_TEST(test_no_row_nothing_done)
{
	world.row_result = WATCH_ROW_NONE;
	held("a.example", "A", 3600);
	attempt("a.example", "A", ATTEMPT_UNREACHED);
	tick_for(600000);
	expect("");
}
END_TEST

/* Its row is deleted while its mail is held: each alert of it ends, and none is raised. */
static void
row_deleted(bool pinned)
{
	world.row.retention = 100000;
	world.row.quota_messages = 1;
	if (pinned)
		(void)strcpy(world.row.pin_banner, "mail.customer.example");
	held("a.example", "A", 85000);
	go_on(61000, pinned ? PROBE_WRONG_HOST : PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 80"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise quota 0"));
	ck_assert((strstr(world.did, "raise wrong-host 0") != NULL) == pinned);
	world.did[0] = '\0';
	world.row_result = WATCH_ROW_CANNOT_TELL;
	watch_rows_changed(world.watch, world.now);
	go_on(10000, PROBE_DOWN);
	ck_assert_ptr_null(strstr(world.did, "end outage"));
	ck_assert_ptr_null(strstr(world.did, "end retention"));
	ck_assert_ptr_null(strstr(world.did, "end quota"));
	world.did[0] = '\0';
	world.row_result = WATCH_ROW_NONE;
	watch_rows_changed(world.watch, world.now);
	go_on(10000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "end outage"));
	ck_assert_ptr_nonnull(strstr(world.did, "end retention"));
	ck_assert_ptr_nonnull(strstr(world.did, "end quota"));
	world.did[0] = '\0';
	attempt("a.example", "A", ATTEMPT_UNREACHED);
	go_on(300000, PROBE_DOWN);
	expect("");
	world.row_result = WATCH_ROW_FOUND; /* and comes back */
	watch_rows_changed(world.watch, world.now);
	go_on(10000, PROBE_DOWN);
	ck_assert_ptr_nonnull(strstr(world.did, "raise outage 0"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise retention 80"));
	ck_assert_ptr_nonnull(strstr(world.did, "raise quota 0"));
}

START_TEST(test_row_deleted)
{
	row_deleted(false);
}
END_TEST

START_TEST(test_row_deleted_pinned)
{
	row_deleted(true);
}
END_TEST

START_TEST(test_shared_primary)
{
	char domain[32];

	for (int i = 0; i < 1000; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i);
		held(domain, "A", 3600);
	}
	(void)watch_tick(world.watch, world.now);
	ck_assert_uint_eq(world.probes_started, 1);
	ck_assert_uint_eq(watch_count(world.watch).primaries, 1);
	world.quiet = true;
	go_on(60000, PROBE_DOWN);
	ck_assert_uint_lt(world.probes_started, 14);
	go_on(10000, PROBE_GOOD);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i);
		attempt(domain, "A", ATTEMPT_SENT);
		left(domain, "A");
	}
	ck_assert_uint_eq(world.flushes, 1000);
	go_on(60000, PROBE_GOOD);
	ck_assert_uint_eq(watch_count(world.watch).domains, 0);
}
END_TEST

/* What one domain misses and another one has taken makes no work for all that share the primary. */
START_TEST(test_missed_and_sent_in_turns)
{
	char domain[32], id[16];

	world.quiet = true;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i);
		held(domain, "A", 3600);
		(void)snprintf(id, sizeof(id), "B%d", i);
		held(domain, id, 3600);
	}
	go_on(2500, PROBE_GOOD);
	attempt("d0.example", "A", ATTEMPT_SENT);
	ck_assert_uint_ge(world.flushes, 999); /* not the one whose canary is out */
	world.judged = 0;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", 500 + i);
		attempt(domain, "A", ATTEMPT_UNREACHED);
		(void)snprintf(domain, sizeof(domain), "d%d.example", 100 + i);
		attempt(domain, "A", ATTEMPT_SENT);
		left(domain, "A");
	}
	ck_assert_uint_lt(world.judged, 100 * 20);
}
END_TEST

START_TEST(test_replayed_log_proves_nothing)
{
	struct event_attempt old = {.domain = "a.example",
	    .queue_id = "A",
	    .result = ATTEMPT_SENT,
	    .enhanced = "",
	    .reply = "",
	    .primary = "mx[192.0.2.1]:25",
	    .at = (world.now.wall - 3600) * 1000000};

	held("a.example", "A", 7200);
	(void)watch_tick(world.watch, world.now);
	answer(PROBE_DOWN);
	world.did[0] = '\0';
	world.sink.attempt(world.sink.context, &old);
	expect("");
}
END_TEST

/* 10,000 domains with 100,000 messages on 100 primaries that are down: a minute costs little. */
START_TEST(test_cost)
{
	char domain[32], id[16];
	struct timespec begin, end;

	world.quiet = true;
	world.own_hops = true;
	for (int i = 0; i < 100000; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i % 10000);
		(void)snprintf(id, sizeof(id), "M%d", i);
		held(domain, id, 3600);
	}
	go_on(10000, PROBE_DOWN);
	ck_assert_uint_eq(watch_count(world.watch).primaries, 100);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	go_on(60000, PROBE_DOWN);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double took =
	    (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	ck_assert_msg(took < 3.0, "a minute cost %.2f s", took);
}
END_TEST

/* Each of them for the row's hold and for the operator's: by_whom. */
static void
add_silences(Suite *suite)
{
	static const TTest *const *const silences[] = {&test_silent_wrong_host,
	    &test_silent_dns_outage, &test_silent_and_mended, &test_silent_quota,
	    &test_silent_quota_of_subdomain, &test_silent_breaker, &test_silent_retention};
	TCase *tcase = tcase_create("silence");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < sizeof(silences) / sizeof(silences[0]); i++)
		tcase_add_loop_test(tcase, *silences[i], 0, 2);
	suite_add_tcase(suite, tcase);
}

static void
add_formers(Suite *suite)
{
	TCase *tcase = tcase_create("since");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(
	    tcase, test_since_of_former, 0, (int)(sizeof(formers) / sizeof(formers[0])));
	suite_add_tcase(suite, tcase);
}

int
main(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} tests[] = {
	    {"straight through", test_straight_through},
	    {"outage", test_outage_and_return},
	    {"restored, mail gone", test_restored_mail_gone},
	    {"restored, primary up", test_restored_primary_up},
	    {"restored, wrong host, no row", test_restored_wrong_host_without_row},
	    {"restored, breaker", test_restored_breaker},
	    {"old mail", test_old_mail_is_active_at_once},
	    {"waiting mail", test_waiting_mail_becomes_active},
	    {"by MX", test_route_by_mx},
	    {"long interval", test_long_interval},
	    {"long interval by MX", test_long_interval_by_mx},
	    {"nowhere", test_nowhere_is_down},
	    {"outage of the DNS", test_dns_outage},
	    {"DNS away for a moment", test_dns_away_for_a_moment},
	    {"DNS silent", test_dns_silent},
	    {"since, nowhere", test_since_of_former_nowhere},
	    {"SOC hold", test_soc_hold},
	    {"operator hold", test_operator_hold},
	    {"operator hold ends", test_operator_hold_ends_by_time},
	    {"far end, operator", test_far_end_of_operator_hold},
	    {"far end, SOC", test_far_end_of_soc_hold},
	    {"probe, held", test_probe_while_held},
	    {"probe, held, by MX", test_probe_while_held_by_mx},
	    {"asked by policyd", test_asked_by_policyd},
	    {"asked and got mail", test_asked_and_got_mail},
	    {"a delivery tells", test_delivery_tells_state},
	    {"subdomains", test_below},
	    {"not silent", test_hold_that_is_not_silent},
	    {"is silent?", test_is_silent},
	    {"pinned", test_pinned},
	    {"outage says why now", test_outage_says_why_now},
	    {"hold when clock is set", test_hold_when_clock_is_set},
	    {"pinned and away", test_pinned_and_away},
	    {"pinned, a stranger", test_pinned_and_stranger},
	    {"pinned, a stranger first", test_pinned_and_stranger_first},
	    {"pinned, a probe of before", test_pinned_and_probe_of_before},
	    {"pinned, one of two", test_pinned_and_one_of_two},
	    {"passed by", test_passed_by},
	    {"passed by before", test_passed_by_before},
	    {"passed by, nobody", test_passed_by_nobody},
	    {"first of two", test_first_of_two},
	    {"both of two", test_both_of_two},
	    {"stranger beside", test_stranger_beside},
	    {"stranger stays", test_stranger_stays},
	    {"pin that only probes see", test_pin_that_only_probes_see},
	    {"stranger is last", test_stranger_is_last},
	    {"up, never reached", test_up_and_never_reached},
	    {"strangers and the breaker", test_strangers_open_no_breaker},
	    {"pinned, elsewhere", test_pinned_and_elsewhere},
	    {"probe of one that moved", test_probe_of_one_that_moved},
	    {"delivery elsewhere", test_delivery_elsewhere},
	    {"breaker", test_breaker_holds},
	    {"surge is over", test_surge_is_over},
	    {"mended without a surge", test_mended_without_surge},
	    {"breaker, full mailbox", test_breaker_and_full_mailbox},
	    {"breaker goes round", test_breaker_goes_round},
	    {"breaker and a mended primary", test_breaker_and_mended_primary},
	    {"breaker and the next canary", test_breaker_and_next_canary},
	    {"a surge leaves spam", test_surge_leaves_spam},
	    {"old spam and an outage", test_old_spam_and_outage},
	    {"spam and a restart", test_spam_and_restart},
	    {"breaker is polite", test_breaker_is_polite},
	    {"release goes round", test_release_goes_round},
	    {"release, messages on hold", test_release_and_messages_on_hold},
	    {"all messages on hold", test_all_messages_on_hold},
	    {"breaker, messages on hold", test_breaker_and_messages_on_hold},
	    {"no effect, messages on hold", test_no_effect_and_messages_on_hold},
	    {"lost canary in its turn", test_lost_canary_speaks_in_its_turn},
	    {"lost canary in a wave", test_lost_canary_in_a_wave},
	    {"refused for a moment", test_refused_for_a_moment},
	    {"refused for long", test_refused_for_long},
	    {"spam for days", test_spam_for_days},
	    {"unknown user", test_unknown_user_waits},
	    {"breaker, another primary", test_breaker_and_another_primary},
	    {"breaker, another by MX", test_breaker_and_another_primary_by_mx},
	    {"refused, another primary", test_refused_and_another_primary},
	    {"surge, another primary", test_surge_and_another_primary},
	    {"known in moments", test_known_in_moments},
	    {"known in moments, missed", test_known_in_moments_missed},
	    {"known in short moments", test_known_in_short_moments},
	    {"owed, not for ever", test_owed_not_for_ever},
	    {"refused on a busy domain", test_refused_on_busy_domain},
	    {"ghost and news", test_ghost_and_news},
	    {"ghost and blip", test_ghost_and_blip},
	    {"ghost in company", test_ghost_in_company},
	    {"delivery ends a pause", test_delivery_ends_a_pause},
	    {"rows and quota", test_rows_and_quota},
	    {"over quota", test_over_quota},
	    {"retention", test_retention_levels},
	    {"retention, no arrival", test_retention_of_no_arrival},
	    {"no row", test_no_row_nothing_done},
	    {"row deleted", test_row_deleted},
	    {"row deleted, pinned", test_row_deleted_pinned},
	    {"shared primary", test_shared_primary},
	    {"missed and sent in turns", test_missed_and_sent_in_turns},
	    {"replayed log", test_replayed_log_proves_nothing},
	    {"one canary", test_one_canary_for_all},
	    {"failed canary", test_canary_of_another_fails},
	    {"missed by the flush", test_missed_by_the_flush},
	    {"no listing", test_no_listing},
	    {"an outage begins", test_missed_is_no_proof},
	    {"black holes", test_black_holes},
	    {"cost", test_cost},
	};
	const struct {
		const char *name;
		const TTest *test;
	} twice[] = {
	    {"refused in company", test_refused_in_company},
	    {"put off in company", test_put_off_in_company},
	    {"lost canaries", test_lost_canaries},
	    {"lost canary speaks", test_lost_canary_speaks},
	    {"no storm", test_no_storm},
	    {"a hold gives the turn back", test_hold_gives_turn_back},
	};
	Suite *suite = suite_create("queued/watch");

	/* Under valgrind (which runs without forks) times say nothing, and it would take minutes.
	 */
	const char *forks = getenv("CK_FORK");
	size_t count =
	    sizeof(tests) / sizeof(tests[0]) - (forks != NULL && strcmp(forks, "no") == 0 ? 2 : 0);
	for (size_t i = 0; i < count; i++) {
		TCase *tcase = tcase_create(tests[i].name);
		tcase_add_checked_fixture(tcase, set_up, tear_down);
		tcase_set_timeout(tcase, 60);
		tcase_add_test(tcase, tests[i].test);
		suite_add_tcase(suite, tcase);
	}
	TCase *stranger = tcase_create("restored, wrong host");
	tcase_add_checked_fixture(stranger, set_up, tear_down);
	tcase_set_timeout(stranger, 60);
	tcase_add_loop_test(stranger, test_restored_wrong_host, 0, 4);
	suite_add_tcase(suite, stranger);
	add_silences(suite);
	add_formers(suite);
	for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++) {
		TCase *tcase = tcase_create(twice[i].name);
		tcase_add_checked_fixture(tcase, set_up, tear_down);
		tcase_set_timeout(tcase, 60);
		tcase_add_loop_test(tcase, twice[i].test, 0, 2);
		suite_add_tcase(suite, tcase);
	}
	return table_run(suite);
}
