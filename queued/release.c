/*
 * release: see release.h. release_enter() is the one place where the stage changes.
 */
#include "queued/release.h"

#include <stdio.h>
#include <string.h>

const char *
release_stage_name(enum release_stage stage)
{
	static const char *const names[RELEASE_STAGES] = {
	    [RELEASE_IDLE] = "idle",
	    [RELEASE_CANARY] = "canary",
	    [RELEASE_DRAIN] = "drain",
	    [RELEASE_PAUSE] = "pause",
	};

	return names[stage];
}

struct release
release_new(void)
{
	return (struct release){.next_ms = NEVER_MS};
}

static void
release_enter(struct release *release, enum release_stage stage, int64_t next_ms)
{
	release->stage = stage;
	release->next_ms = next_ms;
	release->round.canary[0] = '\0';
}

void
release_stop(struct release *release)
{
	*release = release_new();
}

/* --- pauses ------------------------------------------------------------------------------------
 */

static int64_t
doubled(int64_t length, unsigned step, int64_t max)
{
	while (step-- > 0 && length < max)
		length *= 2;
	return length < max ? length : max;
}

int64_t
release_refused_pause(unsigned refusals, bool unknown_user)
{
	return doubled(unknown_user ? RELEASE_UNKNOWN_MS : RELEASE_REFUSED_MS,
	    refusals > 0 ? refusals - 1 : 0, RELEASE_REFUSED_MAX_MS);
}

static unsigned
next_step(unsigned step)
{
	return step < 20 ? step + 1 : step;
}

static enum release_act
pause_until(struct release *release, enum release_why why, int64_t until, bool proved)
{
	release->pause.why = why;
	release->pause.proved = proved;
	release_enter(release, RELEASE_PAUSE, until);
	return RELEASE_NOTHING;
}

/* Refusals stay refusals for long: a message is not offered again and again. */
static enum release_act
pause_refused(struct release *release, int64_t due_ms, struct queued_time now)
{
	const int64_t first = now.ms + RELEASE_SPACE_MS, last = now.ms + RELEASE_LOOK_MS;

	if (due_ms < first)
		due_ms = first;
	return pause_until(release, RELEASE_FOR_REFUSED, due_ms < last ? due_ms : last, false);
}

static enum release_act
pause_growing(struct release *release, bool proved, struct queued_time now)
{
	int64_t length = doubled(RELEASE_PAUSE_MS, release->pause.step, RELEASE_PAUSE_MAX_MS);

	release->pause.step = next_step(release->pause.step);
	return pause_until(release, RELEASE_FOR_OTHERS, now.ms + length, proved);
}

/* Nobody said "later", so it may be well again at any moment. */
static enum release_act
pause_short(struct release *release, struct queued_time now)
{
	int64_t length = doubled(RELEASE_PAUSE_MS, release->pause.short_step, RELEASE_SHORT_MAX_MS);

	release->pause.short_step = next_step(release->pause.short_step);
	return pause_until(release, RELEASE_FOR_OTHERS, now.ms + length, false);
}

/* --- canaries ----------------------------------------------------------------------------------
 */

static enum release_act
round_begin(struct release *release, struct queued_time now)
{
	release->round = (struct release_round){.canaries = 0};
	release->held_ms = 0;
	release->wave.listing = false;
	release_enter(release, RELEASE_CANARY, now.ms + RELEASE_CANARY_MS);
	return RELEASE_TRY;
}

enum release_act
release_start(struct release *release, struct queued_time now)
{
	if (release->stage != RELEASE_IDLE)
		return RELEASE_NOTHING;
	release_stop(release);
	return round_begin(release, now);
}

/* `sure`: it begins with a delivery. */
static enum release_act
wave_begin(struct release *release, bool sure, struct queued_time now)
{
	release->wave =
	    (struct release_flush){.sure = sure, .active_ms = now.ms, .listed_ms = now.ms};
	release->pause.short_step = 0;
	release->held_ms = 0;
	release_enter(release, RELEASE_DRAIN, now.ms + RELEASE_QUIET_MS);
	return RELEASE_FLUSH;
}

enum release_act
release_start_proved(struct release *release, struct queued_time now)
{
	if (release->stage != RELEASE_IDLE)
		return RELEASE_NOTHING;
	release_stop(release);
	return wave_begin(release, true, now);
}

static enum release_act
round_end(struct release *release, int64_t due_ms, struct queued_time now)
{
	if (release->round.later > 0)
		return pause_growing(release, false, now);
	if (release->round.lost > 0 || due_ms <= now.ms)
		return pause_short(release, now);
	return pause_refused(release, due_ms, now);
}

static enum release_act
canary_next(struct release *release, struct queued_time now)
{
	if (release->round.canaries >= RELEASE_CANARIES)
		return round_end(release, now.ms, now);
	release_enter(release, RELEASE_CANARY, now.ms + RELEASE_CANARY_MS);
	return RELEASE_TRY;
}

enum release_act
release_tried(struct release *release, const struct release_canary *canary, struct queued_time now)
{
	if (release->stage != RELEASE_CANARY)
		return RELEASE_NOTHING;
	if (canary->id == NULL)
		return round_end(release, canary->due_ms, now);
	release->round.canaries++;
	release->round.again = canary->again;
	(void)snprintf(release->round.canary, sizeof(release->round.canary), "%s", canary->id);
	release->next_ms = now.ms + RELEASE_CANARY_MS;
	return RELEASE_NOTHING;
}

/*
 * "Later", after more of them: perhaps greylisting, for which each message has to be seen once. So
 * all of them are tried; but not where the server turns whole connections away (421).
 */
static enum release_act
canary_later(struct release *release, unsigned code, struct queued_time now)
{
	release->round.later++;
	if (release->round.later < RELEASE_LATER && code != 421)
		return canary_next(release, now);
	if (code == 421)
		return pause_growing(release, false, now);
	return wave_begin(release, false, now); /* whose end makes the pause grow */
}

/* Refused once more: that is enough for now, whatever else waits that was refused before. */
static enum release_act
canary_refused(struct release *release, struct queued_time now)
{
	if (!release->round.again)
		return canary_next(release, now);
	return release->round.later > 0 || release->round.lost > 0
		   ? round_end(release, now.ms, now)
		   : pause_refused(release, now.ms, now);
}

static bool
is_put_off(const struct event_attempt *attempt)
{
	return attempt->result == ATTEMPT_DEFERRED || attempt->result == ATTEMPT_UNREACHED;
}

/* One that was lost can be tried again: it is perhaps the only one. What it says is of long ago. */
static enum release_act
heard_late(struct release *release, const struct event_attempt *attempt, struct queued_time now)
{
	if (release->next_ms > now.ms + RELEASE_SOON_MS && !release->wave.listing)
		release->next_ms = now.ms + RELEASE_SOON_MS;
	return attempt->result == ATTEMPT_UNREACHED ? RELEASE_PROBE : RELEASE_NOTHING;
}

static enum release_act
canary_late(
    struct release *release, const struct event_attempt *attempt, bool ours, struct queued_time now)
{
	if (ours)
		(void)pause_until(release, RELEASE_FOR_OTHERS, now.ms + RELEASE_SOON_MS, false);
	return heard_late(release, attempt, now);
}

static enum release_act
canary_attempt(struct release *release, const struct event_attempt *attempt, enum release_news news,
    struct queued_time now)
{
	bool ours = strcmp(release->round.canary, attempt->queue_id) == 0;

	if (attempt->result == ATTEMPT_SENT) {
		release->pause.step = 0;
		if (ours)
			release->pause.news_step = 0;
		return wave_begin(release, true, now);
	}
	if (news == RELEASE_LATE && is_put_off(attempt))
		return canary_late(release, attempt, ours, now);
	if (!ours)
		return RELEASE_NOTHING;
	switch (attempt->result) {
	case ATTEMPT_DEFERRED: return canary_later(release, attempt->code, now);
	case ATTEMPT_REFUSED: return canary_refused(release, now);
	case ATTEMPT_HELD:
		return pause_until(release, RELEASE_FOR_HOLD, now.ms + RELEASE_HELD_MS, false);
	case ATTEMPT_UNREACHED: (void)pause_short(release, now); return RELEASE_PROBE;
	case ATTEMPT_SENT: break;
	}
	return RELEASE_NOTHING;
}

/* --- news in a pause -----------------------------------------------------------------------------
 */

static void
pause_shorten(struct release *release, int64_t until)
{
	if (release->next_ms > until)
		release->next_ms = until;
	release->pause.why = RELEASE_FOR_OTHERS;
}

/* What is put off anew, each time, must not have the domain tried all the time. */
static void
pause_fresh(struct release *release, struct queued_time now)
{
	if (now.ms - release->pause.news_ms > RELEASE_NEWS_OLD_MS)
		release->pause.news_step = 0;
	const int64_t until =
	    now.ms + doubled(RELEASE_NEWS_MS, release->pause.news_step, RELEASE_PAUSE_MAX_MS);
	if (release->next_ms > until) {
		release->pause.news_step = next_step(release->pause.news_step);
		release->pause.news_ms = now.ms;
	}
	pause_shorten(release, until);
}

static enum release_act
pause_attempt(struct release *release, const struct event_attempt *attempt, enum release_news news,
    struct queued_time now)
{
	if (release->pause.why == RELEASE_FOR_HOLD)
		return RELEASE_NOTHING;
	if (attempt->result == ATTEMPT_SENT) {
		if (news != RELEASE_MENDED &&
		    (release->pause.vain || release->pause.why == RELEASE_FOR_REFUSED))
			return RELEASE_NOTHING;
		return wave_begin(release, true, now);
	}
	if (!is_put_off(attempt))
		return RELEASE_NOTHING;
	if (news == RELEASE_LATE)
		pause_shorten(release, now.ms + RELEASE_SOON_MS);
	else if (news == RELEASE_FRESH)
		pause_fresh(release, now);
	else
		return RELEASE_NOTHING;
	return attempt->result == ATTEMPT_UNREACHED ? RELEASE_PROBE : RELEASE_NOTHING;
}

/* --- waves ---------------------------------------------------------------------------------------
 */

static enum release_act
wave_attempt(struct release *release, const struct event_attempt *attempt, enum release_news news,
    struct queued_time now)
{
	release->wave.active_ms = now.ms;
	release->wave.attempts++;
	if (news == RELEASE_LATE && is_put_off(attempt)) {
		release->wave.listings = 0; /* it is not tried yet: a listing finds it */
		return heard_late(release, attempt, now);
	}
	switch (attempt->result) {
	case ATTEMPT_SENT: release->wave.sent++; break;
	case ATTEMPT_DEFERRED: release->wave.deferred++; break;
	case ATTEMPT_REFUSED: release->wave.refused++; break;
	case ATTEMPT_HELD: release->held_ms = now.ms; break;
	case ATTEMPT_UNREACHED: release->wave.unheard++; return RELEASE_PROBE;
	}
	return RELEASE_NOTHING;
}

/* The wave is over, and there is mail left. */
static enum release_act
wave_end(struct release *release, struct queued_time now)
{
	unsigned later = release->wave.deferred + release->wave.unheard;
	int64_t held_until = release->held_ms + RELEASE_HELD_MS;

	if (release->wave.sent + later + release->wave.refused == 0 && release->held_ms == 0) {
		(void)pause_growing(release, true, now);
		return RELEASE_TRY_SOME;
	}
	release->pause.vain = later > release->wave.sent &&
			      (release->pause.vain || release->wave.sure || release->wave.sent > 0);
	if (release->wave.sent > 0 && release->wave.sent >= later)
		release->pause.step = 0;
	if (release->held_ms != 0)
		return pause_until(
		    release, RELEASE_FOR_HOLD, held_until > now.ms ? held_until : now.ms, true);
	if (release->wave.refused > 0 && later == 0)
		return round_begin(release, now);
	return pause_growing(release, release->wave.sent > 0, now);
}

static int64_t
list_due(const struct release *release, bool busy)
{
	int64_t stalled = release->wave.active_ms + (busy ? RELEASE_BUSY_MS : RELEASE_STALL_MS);
	int64_t pause = RELEASE_LIST_MS;

	for (unsigned i = 0; i < release->wave.listings && pause < RELEASE_LIST_MAX_MS; i++)
		pause *= 2;
	if (pause > RELEASE_LIST_MAX_MS)
		pause = RELEASE_LIST_MAX_MS;
	return stalled > release->wave.listed_ms + pause ? stalled
							 : release->wave.listed_ms + pause;
}

static enum release_act
wave_list(struct release *release, struct queued_time now)
{
	if (release->wave.listings < 20)
		release->wave.listings++;
	release->wave.listing = true;
	release->wave.listed_ms = now.ms;
	release->next_ms = now.ms + RELEASE_LOST_MS;
	return RELEASE_LIST;
}

static enum release_act
wave_tick(struct release *release, const struct release_wave *wave, struct queued_time now)
{
	int64_t due = release->wave.active_ms + RELEASE_QUIET_MS;

	if (release->wave.listing) { /* next_ms has come, and no answer */
		release->wave.listing = false;
		release->wave.blind = true;
	}
	if (wave->untried > 0 && !release->wave.blind) {
		due = list_due(release, wave->busy);
		if (now.ms >= due)
			return wave_list(release, now);
	}
	if (now.ms >= due)
		return wave_end(release, now);
	/* Whether the primary is busy may change sooner, or the last message be tried. */
	release->next_ms = now.ms + (wave->busy ? RELEASE_STALL_MS : RELEASE_QUIET_MS);
	if (release->next_ms > due)
		release->next_ms = due;
	return RELEASE_NOTHING;
}

/* --- what comes
 * ------------------------------------------------------------------------------------ */

enum release_act
release_attempt(struct release *release, const struct event_attempt *attempt,
    enum release_news news, struct queued_time now)
{
	switch (release->stage) {
	case RELEASE_CANARY: return canary_attempt(release, attempt, news, now);
	case RELEASE_DRAIN: return wave_attempt(release, attempt, news, now);
	case RELEASE_PAUSE: return pause_attempt(release, attempt, news, now);
	case RELEASE_IDLE:
	case RELEASE_STAGES: break;
	}
	return RELEASE_NOTHING;
}

enum release_act
release_empty(struct release *release, struct queued_time now)
{
	return release->stage == RELEASE_DRAIN ? round_begin(release, now) : RELEASE_NOTHING;
}

enum release_act
release_left(struct release *release, const char *id, struct queued_time now)
{
	if (release->stage == RELEASE_CANARY && strcmp(release->round.canary, id) == 0)
		return canary_next(release, now);
	return RELEASE_NOTHING;
}

void
release_flushing(struct release *release, struct queued_time now)
{
	if (release->stage == RELEASE_DRAIN)
		release->wave.active_ms = now.ms;
}

void
release_listed(struct release *release, bool good, bool singly, struct queued_time now)
{
	if (release->stage != RELEASE_DRAIN || !release->wave.listing)
		return;
	release->wave.listing = false;
	release->next_ms = now.ms;
	/* What was tried singly the last time had no effect, either. */
	if (!good || (release->wave.singly && release->wave.before == release->wave.attempts))
		release->wave.blind = true;
	if (!singly)
		return;
	release->wave.singly = true;
	release->wave.before = release->wave.attempts;
	release->wave.listings = 0;
	release->wave.active_ms = now.ms;
}

enum release_act
release_tick(struct release *release, const struct release_wave *wave, struct queued_time now)
{
	if (now.ms < release->next_ms)
		return RELEASE_NOTHING;
	switch (release->stage) {
	case RELEASE_CANARY: release->round.lost++; return canary_next(release, now);
	case RELEASE_PAUSE:
		return release->pause.proved ? wave_begin(release, false, now)
					     : round_begin(release, now);
	case RELEASE_DRAIN: return wave_tick(release, wave, now);
	case RELEASE_IDLE:
	case RELEASE_STAGES: break;
	}
	release->next_ms = NEVER_MS;
	return RELEASE_NOTHING;
}
