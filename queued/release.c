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
	release->canary[0] = '\0';
}

void
release_stop(struct release *release)
{
	*release = release_new();
}

/* --- pauses ------------------------------------------------------------------------------------
 */

static int64_t
pause_length(unsigned step, int64_t max)
{
	int64_t length = RELEASE_PAUSE_MS;

	while (step-- > 0 && length < max)
		length *= 2;
	return length < max ? length : max;
}

static enum release_act
pause_until(struct release *release, int64_t until, bool proved)
{
	release->proved = proved;
	release_enter(release, RELEASE_PAUSE, until);
	return RELEASE_NOTHING;
}

/* Refusals stay refusals for long: a message is not offered again and again. */
static enum release_act
pause_refused(struct release *release, bool proved, struct queued_time now)
{
	int64_t length = RELEASE_REFUSED_MS;

	for (unsigned i = 0; i < release->refusals && length < RELEASE_REFUSED_MAX_MS; i++)
		length *= 2;
	if (length > RELEASE_REFUSED_MAX_MS)
		length = RELEASE_REFUSED_MAX_MS;
	if (release->refusals < 20)
		release->refusals++;
	return pause_until(release, now.ms + length, proved);
}

static enum release_act
pause_growing(struct release *release, bool proved, struct queued_time now)
{
	int64_t length = pause_length(release->step, RELEASE_PAUSE_MAX_MS);

	if (release->step < 20)
		release->step++;
	return pause_until(release, now.ms + length, proved);
}

/* --- canaries ----------------------------------------------------------------------------------
 */

static enum release_act
round_begin(struct release *release, struct queued_time now)
{
	release->canaries = 0;
	release->later = 0;
	release->held_ms = 0;
	release_enter(release, RELEASE_CANARY, now.ms + RELEASE_CANARY_MS);
	return RELEASE_TRY;
}

enum release_act
release_start(struct release *release, struct queued_time now)
{
	if (release->stage != RELEASE_IDLE)
		return RELEASE_NOTHING;
	release->step = 0;
	release->refusals = 0;
	return round_begin(release, now);
}

static enum release_act
wave_begin(struct release *release, struct queued_time now)
{
	release->sent = release->deferred = release->refused = release->unheard = 0;
	release->attempts = release->before = release->listings = 0;
	release->listing = release->singly = release->blind = false;
	release->active_ms = release->listed_ms = now.ms;
	release->held_ms = 0;
	release_enter(release, RELEASE_DRAIN, now.ms + RELEASE_QUIET_MS);
	return RELEASE_FLUSH;
}

enum release_act
release_start_proved(struct release *release, struct queued_time now)
{
	if (release->stage != RELEASE_IDLE)
		return RELEASE_NOTHING;
	release->step = 0;
	release->refusals = 0;
	return wave_begin(release, now);
}

static enum release_act
canary_next(struct release *release, struct queued_time now)
{
	if (release->canaries >= RELEASE_CANARIES)
		return release->later > 0 ? pause_growing(release, false, now)
					  : pause_refused(release, false, now);
	release_enter(release, RELEASE_CANARY, now.ms + RELEASE_CANARY_MS);
	return RELEASE_TRY;
}

enum release_act
release_tried(struct release *release, const char *id, struct queued_time now)
{
	if (release->stage != RELEASE_CANARY)
		return RELEASE_NOTHING;
	if (id == NULL)
		return release->later > 0 ? pause_growing(release, false, now)
					  : pause_refused(release, false, now);
	release->canaries++;
	(void)snprintf(release->canary, sizeof(release->canary), "%s", id);
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
	release->later++;
	if (release->later < RELEASE_LATER && code != 421)
		return canary_next(release, now);
	if (code == 421)
		return pause_growing(release, false, now);
	if (release->step < 20)
		release->step++;
	return wave_begin(release, now);
}

static enum release_act
canary_attempt(struct release *release, const struct event_attempt *attempt, struct queued_time now)
{
	bool ours = strcmp(release->canary, attempt->queue_id) == 0;

	if (attempt->result == ATTEMPT_SENT) {
		release->step = 0;
		return wave_begin(release, now);
	}
	if (!ours)
		return RELEASE_NOTHING;
	switch (attempt->result) {
	case ATTEMPT_DEFERRED: return canary_later(release, attempt->code, now);
	case ATTEMPT_REFUSED: return canary_next(release, now);
	case ATTEMPT_HELD: return pause_until(release, now.ms + RELEASE_HELD_MS, false);
	case ATTEMPT_UNREACHED: (void)pause_growing(release, false, now); return RELEASE_PROBE;
	case ATTEMPT_SENT: break;
	}
	return RELEASE_NOTHING;
}

/* --- waves ---------------------------------------------------------------------------------------
 */

static enum release_act
wave_attempt(struct release *release, const struct event_attempt *attempt, struct queued_time now)
{
	release->active_ms = now.ms;
	release->attempts++;
	switch (attempt->result) {
	case ATTEMPT_SENT: release->sent++; break;
	case ATTEMPT_DEFERRED: release->deferred++; break;
	case ATTEMPT_REFUSED: release->refused++; break;
	case ATTEMPT_HELD: release->held_ms = now.ms; break;
	case ATTEMPT_UNREACHED: release->unheard++; return RELEASE_PROBE;
	}
	return RELEASE_NOTHING;
}

/* The wave is over, and there is mail left. */
static enum release_act
wave_end(struct release *release, struct queued_time now)
{
	unsigned later = release->deferred + release->unheard;
	int64_t held_until = release->held_ms + RELEASE_HELD_MS;

	if (release->sent + later + release->refused == 0 && release->held_ms == 0) {
		(void)pause_growing(release, true, now);
		return RELEASE_TRY_SOME;
	}
	if (release->sent > 0 && release->sent >= later)
		release->step = 0;
	if (release->held_ms != 0)
		return pause_until(release, held_until > now.ms ? held_until : now.ms, true);
	if (release->refused > 0 && later == 0)
		return pause_refused(release, release->sent > 0, now);
	return pause_growing(release, release->sent > 0, now);
}

static int64_t
list_due(const struct release *release, bool busy)
{
	int64_t stalled = release->active_ms + (busy ? RELEASE_BUSY_MS : RELEASE_STALL_MS);
	int64_t pause = RELEASE_LIST_MS;

	for (unsigned i = 0; i < release->listings && pause < RELEASE_LIST_MAX_MS; i++)
		pause *= 2;
	if (pause > RELEASE_LIST_MAX_MS)
		pause = RELEASE_LIST_MAX_MS;
	return stalled > release->listed_ms + pause ? stalled : release->listed_ms + pause;
}

static enum release_act
wave_list(struct release *release, struct queued_time now)
{
	if (release->listings < 20)
		release->listings++;
	release->listing = true;
	release->listed_ms = now.ms;
	release->next_ms = now.ms + RELEASE_LOST_MS;
	return RELEASE_LIST;
}

static enum release_act
wave_tick(struct release *release, const struct release_wave *wave, struct queued_time now)
{
	int64_t due = release->active_ms + RELEASE_QUIET_MS;

	if (release->listing) { /* next_ms has come, and no answer */
		release->listing = false;
		release->blind = true;
	}
	if (wave->untried > 0 && !release->blind) {
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
release_attempt(
    struct release *release, const struct event_attempt *attempt, struct queued_time now)
{
	if (release->stage == RELEASE_CANARY)
		return canary_attempt(release, attempt, now);
	if (release->stage == RELEASE_DRAIN)
		return wave_attempt(release, attempt, now);
	return RELEASE_NOTHING;
}

enum release_act
release_left(struct release *release, const char *id, struct queued_time now)
{
	if (release->stage == RELEASE_CANARY && strcmp(release->canary, id) == 0)
		return canary_next(release, now);
	return RELEASE_NOTHING;
}

void
release_flushing(struct release *release, struct queued_time now)
{
	if (release->stage == RELEASE_DRAIN)
		release->active_ms = now.ms;
}

void
release_listed(struct release *release, bool good, bool singly, struct queued_time now)
{
	if (release->stage != RELEASE_DRAIN || !release->listing)
		return;
	release->listing = false;
	release->next_ms = now.ms;
	/* What was tried singly the last time had no effect, either. */
	if (!good || (release->singly && release->before == release->attempts))
		release->blind = true;
	if (!singly)
		return;
	release->singly = true;
	release->before = release->attempts;
	release->listings = 0;
	release->active_ms = now.ms;
}

enum release_act
release_tick(struct release *release, const struct release_wave *wave, struct queued_time now)
{
	if (now.ms < release->next_ms)
		return RELEASE_NOTHING;
	switch (release->stage) {
	case RELEASE_CANARY: return canary_next(release, now);
	case RELEASE_PAUSE:
		return release->proved ? wave_begin(release, now) : round_begin(release, now);
	case RELEASE_DRAIN: return wave_tick(release, wave, now);
	case RELEASE_IDLE:
	case RELEASE_STAGES: break;
	}
	release->next_ms = NEVER_MS;
	return RELEASE_NOTHING;
}
