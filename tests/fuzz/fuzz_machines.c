/*
 * Fuzzes the state machines of mxhold-queued: what happens, and when, comes from anybody. Clocks
 * stand, go on, leap ahead, or go back (also the one that should not), and so do the log's times.
 *
 * What holds whatever comes: no machine is due again and again without end; each wait is no longer
 * than what its header says; what is held has an end; nothing leaves while the primary is not up,
 * and nothing is refused for good but under the conditions that are written down.
 *
 * Input: which machine, a byte of settings, then two bytes for each event: what, and how much.
 */
#include "queued/breaker.h"
#include "queued/primary.h"
#include "queued/refusal.h"
#include "queued/release.h"
#include "queued/retention.h"

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#define EVENTS 4096
#define START_MS 1000000
#define TURNS 40 /* acts of a machine at one moment, at most */

struct input {
	const uint8_t *at;
	size_t left;
	unsigned events;
};

struct event {
	unsigned what;  /* below 16 */
	unsigned which; /* below 16: of it */
	unsigned more;
};

static const int64_t steps[] = {0, 1, 10, 300, 999, 1000, 3000, 5000, 20000, 31000, 60000, 300000,
    600001, 3600000, 86400000, 864000000};
static const char *const ids[] = {"A", "B", "C", "D"};
static const char *const replies[] = {
    "no", "User unknown", "550 5.1.1 <user unknown@a.example>: go away", "mailbox full"};
static const char *const codes[] = {"", "5.1.1", "5.7.1", "5.1.7"};

static bool
take(struct input *input, struct event *event)
{
	if (input->left < 2 || input->events++ == EVENTS)
		return false;
	event->what = input->at[0] & 15;
	event->which = input->at[0] >> 4;
	event->more = input->at[1];
	input->at += 2;
	input->left -= 2;
	return true;
}

/* Waits are bounded by the latest time there ever was. */
static int64_t latest_ms;

static void
go_on(struct queued_time *now, unsigned which, unsigned more)
{
	const int64_t step = (more & 0xc0) == 0xc0 ? -steps[which % 16] : steps[which % 16];

	if (now->ms + step >= 0)
		now->ms += step;
	now->wall += (more & 0x20) != 0 ? -step / 1000 : step / 1000;
	if (now->ms > latest_ms)
		latest_ms = now->ms;
}

static struct event_attempt
attempt_of(const struct event *event, enum attempt_result result)
{
	return (struct event_attempt){.domain = "a.example",
	    .queue_id = ids[event->which & 3],
	    .result = result,
	    .code = result == ATTEMPT_REFUSED ? 550
		    : event->more & 1         ? 421
					      : 450,
	    .enhanced = result == ATTEMPT_REFUSED ? codes[event->more & 3] : "",
	    .reply = replies[event->more >> 2 & 3],
	    .primary = ""};
}

/* --- primary -------------------------------------------------------------------------------------
 */

static void
check_primary(const struct primary *primary, const struct primary_policy *policy)
{
	int64_t most = policy->interval_ms > policy->long_interval_ms ? policy->interval_ms
								      : policy->long_interval_ms;

	if (most < PRIMARY_UP_INTERVAL_MS)
		most = PRIMARY_UP_INTERVAL_MS;
	FUZZ_HOLDS(primary->next_ms >= 0 && primary->next_ms <= latest_ms + most / 5 * 6);
	FUZZ_HOLDS(strcmp(primary_state_name(primary->state), "?") != 0);
	FUZZ_HOLDS(primary->flaps <= PRIMARY_FLAPS_MAX && primary->bad <= 2);
	FUZZ_HOLDS(
	    primary_needed(primary, policy) <= policy->confirmations * (1 + PRIMARY_FLAPS_MAX));
	FUZZ_HOLDS(primary->since_ms <= latest_ms);
	FUZZ_HOLDS(memchr(primary->reason, '\0', sizeof(primary->reason)) != NULL);
}

/* Up: proved by so many good probes in a row. No more: by two bad ones, or a stranger. */
static bool
primary_probe(struct primary *primary, const struct primary_policy *policy,
    const struct event *event, struct queued_time now, unsigned *good, unsigned *bad)
{
	const struct primary before = *primary;
	const struct probe_finding finding = {
	    .outcome = (enum probe_outcome)(event->which % 6), .code = 250, .reason = "words"};
	const bool changed =
	    primary_probed(primary, policy, &finding, now, (double)event->more / 255);

	FUZZ_HOLDS(changed == (primary->state != before.state));
	FUZZ_HOLDS(primary->next_ms > now.ms);
	if (finding.outcome == PROBE_CANNOT_TELL) {
		FUZZ_HOLDS(!changed && primary->good == before.good && primary->bad == before.bad);
		return changed;
	}
	*good = finding.outcome == PROBE_GOOD ? *good + 1 : 0;
	*bad = finding.outcome == PROBE_GOOD ? 0 : *bad + 1;
	FUZZ_HOLDS(finding.outcome != PROBE_WRONG_HOST || primary->state == PRIMARY_WRONG_HOST);
	FUZZ_HOLDS(finding.outcome == PROBE_GOOD || primary->state != PRIMARY_UP ||
		   (before.state == PRIMARY_UP && *bad < 2));
	if (changed && primary->state == PRIMARY_UP)
		FUZZ_HOLDS(
		    *good >= primary_needed(&before, policy) && *good >= policy->confirmations);
	if (changed && before.state == PRIMARY_UP)
		FUZZ_HOLDS(*bad >= 2 || finding.outcome == PROBE_WRONG_HOST);
	return changed;
}

/* However it stands: so many good probes, and it is up. */
static void
check_recovers(struct primary *primary, const struct primary_policy *policy, struct queued_time now)
{
	const struct probe_finding good = {.outcome = PROBE_GOOD};
	const unsigned needed = primary_needed(primary, policy);

	for (unsigned i = 0; i < needed; i++) {
		now.ms = primary->next_ms > now.ms ? primary->next_ms : now.ms;
		(void)primary_probed(primary, policy, &good, now, 0.5);
	}
	FUZZ_HOLDS(primary->state == PRIMARY_UP);
}

static bool
run_primary(struct input *input, unsigned settings)
{
	const struct primary_policy policy = {.interval_ms = 1000 + (settings & 15) * 1000,
	    .long_interval_ms = 1000 + (settings >> 4) * 5000,
	    .confirmations = 1 + (settings & 3)};
	struct queued_time now = {.ms = START_MS, .wall = 1700000000};
	struct primary primary = primary_new(now);
	unsigned good = 0, bad = 0;
	bool moved = false;
	struct event event;

	while (take(input, &event)) {
		const enum primary_state before = primary.state;

		if (event.what < 8)
			go_on(&now, event.what * 2 + (event.which & 1), event.more);
		if (event.what < 12) {
			moved |= primary_probe(&primary, &policy, &event, now, &good, &bad);
		} else if (event.what < 14) {
			moved |= primary_delivered(&primary, now);
			FUZZ_HOLDS((primary.state == PRIMARY_UP) == (before != PRIMARY_WRONG_HOST));
			if (before != PRIMARY_WRONG_HOST)
				good = bad = 0;
		} else if (event.what == 15) {
			primary_hurry(&primary, now.ms);
			FUZZ_HOLDS(primary.state == before);
			FUZZ_HOLDS(before == PRIMARY_WRONG_HOST || primary.next_ms <= now.ms);
		} else {
			primary_missed(&primary, now);
			FUZZ_HOLDS(primary.state == before);
			FUZZ_HOLDS(
			    before != PRIMARY_UP || primary.next_ms <= now.ms + PRIMARY_SPACING_MS);
		}
		check_primary(&primary, &policy);
	}
	check_recovers(&primary, &policy, now);
	return moved;
}

/* --- release -------------------------------------------------------------------------------------
 */

static void
check_release(const struct release *release)
{
	const bool idle = release->stage == RELEASE_IDLE;

	FUZZ_HOLDS(release->stage < RELEASE_STAGES);
	FUZZ_HOLDS(idle == (release->next_ms == NEVER_MS));
	FUZZ_HOLDS(idle || release->next_ms <= latest_ms + RELEASE_REFUSED_MAX_MS);
	FUZZ_HOLDS(
	    release->stage != RELEASE_CANARY || release->next_ms <= latest_ms + RELEASE_CANARY_MS);
	FUZZ_HOLDS(
	    release->stage != RELEASE_DRAIN || release->next_ms <= latest_ms + RELEASE_LOST_MS);
	FUZZ_HOLDS(release->round.canaries <= RELEASE_CANARIES &&
		   release->round.later <= RELEASE_CANARIES);
}

/* What the caller would answer to RELEASE_TRY. */
static struct release_canary
canary_of(unsigned more, struct queued_time now)
{
	const bool none = (more & 1) == 0;

	return (struct release_canary){.id = none ? NULL : ids[(more >> 1) & 3],
	    .again = (more & 8) != 0,
	    .due_ms = none && (more & 16) != 0 ? now.ms + (int64_t)(more >> 5) * 60000 : NEVER_MS};
}

/* Does what it asks for. What it asks for next is done too, for there may be more. */
static void
release_act(struct release *release, enum release_act act, const struct event *event,
    struct queued_time now)
{
	for (unsigned i = 0; act != RELEASE_NOTHING; i++) {
		FUZZ_HOLDS(i < TURNS && release->stage != RELEASE_IDLE);
		FUZZ_HOLDS(act != RELEASE_FLUSH || release->stage == RELEASE_DRAIN);
		FUZZ_HOLDS(act != RELEASE_TRY || release->stage == RELEASE_CANARY);
		FUZZ_HOLDS(act != RELEASE_LIST || release->stage == RELEASE_DRAIN);
		FUZZ_HOLDS(act != RELEASE_TRY_SOME || release->stage == RELEASE_PAUSE);
		const struct release_canary canary = canary_of(event->more, now);
		if (act == RELEASE_TRY)
			act = release_tried(release, &canary, now);
		else if (act == RELEASE_FLUSH && (event->more & 32) != 0)
			act = release_empty(release, now);
		else
			act = RELEASE_NOTHING;
	}
}

static void
release_ticks(struct release *release, const struct event *event, struct queued_time now)
{
	const struct release_wave wave = {
	    .untried = event->more & 2 ? 3 : 0, .busy = (event->more & 4) != 0};

	for (unsigned i = 0; now.ms >= release->next_ms; i++) {
		FUZZ_HOLDS(i < TURNS);
		const enum release_stage stage = release->stage;
		const enum release_act act = release_tick(release, &wave, now);

		/* A wave begins behind a pause, or a canary that came through. */
		FUZZ_HOLDS(act != RELEASE_FLUSH || stage == RELEASE_PAUSE);
		release_act(release, act, event, now);
		check_release(release);
	}
}

static enum release_news
news_of(const struct event *event)
{
	return (enum release_news)(event->more / 5 % 4);
}

/* The primary is away, or the domain is held: whatever comes, nothing is done. */
static void
check_stopped(const struct release *stopped, const struct event *event, struct queued_time now)
{
	struct release release = *stopped;
	const struct release_wave wave = {.untried = 9};
	const struct event_attempt attempt =
	    attempt_of(event, (enum attempt_result)(event->more % 5));

	FUZZ_HOLDS(release.stage == RELEASE_IDLE && release.next_ms == NEVER_MS);
	const struct release_canary canary = canary_of(event->more | 1, now);
	FUZZ_HOLDS(release_attempt(&release, &attempt, news_of(event), now) == RELEASE_NOTHING);
	FUZZ_HOLDS(release_left(&release, ids[event->which & 3], now) == RELEASE_NOTHING);
	FUZZ_HOLDS(release_tried(&release, &canary, now) == RELEASE_NOTHING);
	FUZZ_HOLDS(release_empty(&release, now) == RELEASE_NOTHING);
	release_flushing(&release, now);
	release_listed(&release, true, true, now);
	FUZZ_HOLDS(release_tick(&release, &wave, now) == RELEASE_NOTHING);
	FUZZ_HOLDS(memcmp(&release, stopped, sizeof(release)) == 0);
}

static void
release_event(struct release *release, const struct event *event, struct queued_time now)
{
	const struct event_attempt attempt =
	    attempt_of(event, (enum attempt_result)(event->more % 5));

	switch (event->what) {
	case 0:
	case 1: release_act(release, release_start(release, now), event, now); break;
	case 2: release_act(release, release_start_proved(release, now), event, now); break;
	case 3: release_stop(release); break;
	case 4:
		release_act(release, release_left(release, ids[event->which & 3], now), event, now);
		break;
	case 5: release_flushing(release, now); break;
	case 6: release_listed(release, event->more & 1, event->more & 2, now); break;
	case 7:
	case 8:
	case 9:
	case 10:
		release_act(
		    release, release_attempt(release, &attempt, news_of(event), now), event, now);
		break;
	default: break;
	}
}

static bool
run_release(struct input *input, unsigned settings)
{
	struct queued_time now = {.ms = START_MS, .wall = 1700000000};
	struct release release = release_new();
	bool moved = false;
	struct event event;

	(void)settings;
	while (take(input, &event)) {
		if (event.what > 10)
			go_on(&now, event.which, event.more);
		release_ticks(&release, &event, now);
		release_event(&release, &event, now);
		check_release(&release);
		moved |= release.stage != RELEASE_IDLE;
		if (release.stage == RELEASE_IDLE)
			check_stopped(&release, &event, now);
	}
	return moved;
}

/* --- breaker -------------------------------------------------------------------------------------
 */

struct breaking {
	struct breaker breaker;
	struct queued_time now;
	unsigned refused; /* since it was closed last */
	bool held;
};

static void
check_breaker(const struct breaking *of)
{
	static const int64_t most[BREAKER_STAGES] = {[BREAKER_OPEN] = 15 * 60000,
	    [BREAKER_LIFTED] = BREAKER_HELD_MS,
	    [BREAKER_TRYING] = BREAKER_VERDICT_MS};
	const struct breaker *breaker = &of->breaker;

	FUZZ_HOLDS(breaker->stage < BREAKER_STAGES);
	FUZZ_HOLDS((breaker->stage == BREAKER_CLOSED) == (breaker->next_ms == NEVER_MS));
	FUZZ_HOLDS(breaker->stage == BREAKER_CLOSED ||
		   breaker->next_ms <= latest_ms + most[breaker->stage]);
	FUZZ_HOLDS(breaker_holds(breaker) == (breaker->stage == BREAKER_OPEN));
	/* What was told of the hold, and the end of it. */
	FUZZ_HOLDS(of->held == (breaker->stage != BREAKER_CLOSED));
}

static void
breaker_done(struct breaking *of, enum breaker_act act, const char *id)
{
	for (unsigned i = 0; act != BREAKER_NOTHING; i++) {
		FUZZ_HOLDS(i < TURNS);
		FUZZ_HOLDS(act != BREAKER_HOLD || of->breaker.stage == BREAKER_OPEN);
		FUZZ_HOLDS(act != BREAKER_LIFT || of->breaker.stage == BREAKER_LIFTED);
		/* It opens for refusals alone, and for some of them. */
		FUZZ_HOLDS(act != BREAKER_HOLD || of->held || of->refused >= BREAKER_REFUSED);
		if (act == BREAKER_HOLD)
			of->held = true;
		if (act == BREAKER_CLOSE) {
			of->held = false;
			of->refused = 0;
		}
		act =
		    act == BREAKER_TRY ? breaker_tried(&of->breaker, id, of->now) : BREAKER_NOTHING;
	}
}

static void
breaker_ticks(struct breaking *of, const char *id)
{
	for (unsigned i = 0; of->now.ms >= of->breaker.next_ms; i++) {
		FUZZ_HOLDS(i < TURNS);
		const enum breaker_stage stage = of->breaker.stage;
		const enum breaker_act act = breaker_tick(&of->breaker, of->now);

		/* Never tried but behind a lifted hold. */
		FUZZ_HOLDS(act != BREAKER_TRY || stage == BREAKER_LIFTED);
		breaker_done(of, act, id);
		check_breaker(of);
	}
}

static void
breaker_event(struct breaking *of, const struct event *event)
{
	const struct event_attempt attempt = attempt_of(
	    event, event->what < 8 ? ATTEMPT_REFUSED : (enum attempt_result)(event->more >> 4) % 5);
	const bool was_open = breaker_holds(&of->breaker);

	if (event->what > 14) {
		const int64_t next_ms = of->breaker.next_ms;
		breaker_back(&of->breaker, of->now);
		FUZZ_HOLDS(of->breaker.next_ms <= next_ms);
		return;
	}
	if (event->what > 12) {
		FUZZ_HOLDS(breaker_hurry(&of->breaker, of->now) == was_open);
		return;
	}
	of->refused += attempt.result == ATTEMPT_REFUSED;
	breaker_done(of, breaker_attempt(&of->breaker, &attempt, of->now), NULL);
	/* What was under way when it opened neither ends nor prolongs the hold. */
	FUZZ_HOLDS(!was_open || breaker_holds(&of->breaker));
}

/* The hold has an end: nothing is left to be tried, or what is tried is taken. */
static void
check_breaker_ends(struct breaking *of, bool taken)
{
	const int64_t latest =
	    latest_ms + 15 * 60000 + BREAKER_SETTLE_MS + BREAKER_HELD_MS + 2 * BREAKER_VERDICT_MS;
	struct event_attempt attempt = {
	    .queue_id = "Z", .result = ATTEMPT_SENT, .enhanced = "", .reply = "", .primary = ""};

	for (unsigned i = 0; of->breaker.stage != BREAKER_CLOSED; i++) {
		FUZZ_HOLDS(i < TURNS);
		of->now.ms = of->breaker.next_ms > of->now.ms ? of->breaker.next_ms : of->now.ms;
		breaker_done(of, breaker_tick(&of->breaker, of->now), taken ? "Z" : NULL);
		if (of->breaker.stage == BREAKER_TRYING && strcmp(of->breaker.canary, "Z") == 0)
			breaker_done(of, breaker_attempt(&of->breaker, &attempt, of->now), NULL);
	}
	FUZZ_HOLDS(!of->held && of->now.ms <= latest + 15 * 60000);
}

static bool
run_breaker(struct input *input, unsigned settings)
{
	struct breaking of = {
	    .breaker = breaker_new(), .now = {.ms = START_MS, .wall = 1700000000}};
	bool moved = false;
	struct event event;

	while (take(input, &event)) {
		if (event.what == 12)
			go_on(&of.now, event.more, event.more);
		breaker_ticks(&of, event.more & 1 ? ids[event.which & 3] : NULL);
		if (event.what != 12)
			breaker_event(&of, &event);
		check_breaker(&of);
		moved |= of.held;
	}
	check_breaker_ends(&of, settings & 1);
	return moved;
}

/* --- refusals ------------------------------------------------------------------------------------
 */

struct noted {
	enum refusal_kind kind;
	int64_t at;
	int64_t taken; /* the last delivery before it */
};

/* By what was told since the last other answer: the last ones of one kind, in the order of time. */
static size_t
first_of_kind(const struct noted *noted, size_t count)
{
	size_t first = count;

	while (first > 0 && noted[first - 1].kind == noted[count - 1].kind &&
	       (first == count || noted[first - 1].at <= noted[first].at))
		first--;
	return first;
}

/* Is there one by which they sufficed, given shortly after a delivery that came after the first? */
static bool
may_be_final(const struct noted *noted, size_t count, const struct refusal_limits *limits)
{
	const size_t first = first_of_kind(noted, count);

	if (count == 0 || limits->keep)
		return false;
	const bool unknown = noted[count - 1].kind == REFUSAL_UNKNOWN_USER;
	const uint32_t tries = unknown ? limits->unknown_user_tries : limits->other_tries;
	const int64_t least = unknown ? limits->unknown_user_seconds : limits->other_seconds;
	for (size_t i = first; i < count; i++) {
		const bool well = noted[i].taken > noted[first].at &&
				  noted[i].taken <= noted[i].at &&
				  noted[i].taken >= noted[i].at - 600000000;

		if (well && i + 1 - first >= tries &&
		    noted[i].at - noted[first].at >= least * 1000000)
			return true;
	}
	return false;
}

static bool
run_refusal(struct input *input, unsigned settings)
{
	const struct refusal_limits limits = {.keep = (settings & 7) == 1,
	    .unknown_user_tries = 1 + (settings >> 3 & 3),
	    .other_tries = 1 + (settings >> 5 & 3),
	    .unknown_user_seconds = (settings & 8) != 0 ? 600 : 0,
	    .other_seconds = (settings & 16) != 0 ? 7200 : 0};
	static struct noted noted[EVENTS];
	struct refusal_history history = {.kind = REFUSAL_OTHER}, alone = history;
	int64_t at = 1700000000000000, taken = 0;
	size_t count = 0;
	bool ever = false, was = false;
	struct event event;

	while (take(input, &event)) {
		const char *reply = replies[event.more & 3];
		struct maillog_event answer = {.kind = MAILLOG_DELIVERY,
		    .result =
			event.what < 9 ? ATTEMPT_REFUSED : (enum attempt_result)(event.what % 5),
		    .reply = {reply, strlen(reply)},
		    .stage = (enum maillog_stage)(event.which % 7),
		    .code = event.more & 4 ? 550 : 554};

		(void)strcpy(answer.enhanced, codes[event.more >> 3 & 3]);
		at += (event.more & 128) != 0 ? -steps[event.more >> 5 & 3] * 1000
					      : steps[event.what] * 1000;
		answer.at = at;
		if (event.what == 15)
			taken = at + (event.more & 1);
		const struct refusal_history before = history;
		refusal_note(&history, &answer, taken);
		refusal_note(&alone, &answer, 0);
		if (answer.stage != MAILLOG_STAGE_NONE && answer.stage != MAILLOG_STAGE_GREETING) {
			if (answer.result == ATTEMPT_REFUSED)
				noted[count++] = (struct noted){
				    refusal_kind(answer.stage, answer.code, answer.enhanced, reply),
				    at, taken};
			else
				count = 0;
		}
		const bool final = refusal_is_final(&history, &limits);
		FUZZ_HOLDS(final == may_be_final(noted, count, &limits));
		FUZZ_HOLDS(history.count <= count && (history.count > 0) == (count > 0));
		FUZZ_HOLDS(history.first <= history.last);
		/* What was refused only while nothing was taken, whatever is taken later. */
		FUZZ_HOLDS(!refusal_is_final(&alone, &limits));
		/* Once it is, it is until it begins anew. */
		FUZZ_HOLDS(final || !was || history.count <= before.count);
		was = final;
		ever |= final;
	}
	return ever;
}

/* --- retention -----------------------------------------------------------------------------------
 */

static bool
run_retention(struct input *input, unsigned settings)
{
	int64_t values[4] = {0}, now = 0;
	bool over = false, ever = false;
	unsigned level = 0;
	struct event event;

	(void)settings;
	for (size_t i = 0; i < sizeof(values) && take(input, &event); i += 2)
		memcpy((uint8_t *)values + i, input->at - 2, 2);
	const int64_t accepted = values[0], retention = values[1] % INT32_MAX, lifetime = values[2];
	now = values[3];
	do {
		const bool was = over;
		const unsigned before = level;

		over = retention_is_over(accepted, retention, lifetime, now);
		level = retention_level(accepted, retention, now);
		FUZZ_HOLDS(level == 0 || level == 50 || level == 80 || level == 95);
		FUZZ_HOLDS(over || !was); /* once over, for ever; and a level never falls */
		FUZZ_HOLDS(level >= before);
		FUZZ_HOLDS(!over ||
			   (now > accepted && accepted > 0 && retention < lifetime && level == 95));
		ever |= over;
		if (!take(input, &event))
			break;
	} while (
	    !__builtin_add_overflow(now, steps[event.what] * (int64_t)event.more * 1000, &now));
	return ever;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool (*const machines[])(struct input * input, unsigned settings) = {
	    run_primary, run_release, run_breaker, run_refusal, run_retention};
	struct input input = {.at = data};

	if (size < 2) {
		fuzz_outcome(false);
		return 0;
	}
	input.at += 2;
	input.left = size - 2;
	latest_ms = START_MS;
	/* Accepted: something came of it. */
	fuzz_outcome(machines[data[0] % 5](&input, data[1]));
	return 0;
}
