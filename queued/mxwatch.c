/*
 * mxwatch: see mxwatch.h. A pass walks all rows once, then rests; a change of the rows begins the
 * next one at once. It rests less while no reading succeeds: a resolver that was started after us,
 * or came back, is not waited for long. The rate is a bucket of tokens: one a reading.
 */
#include "queued/mxwatch.h"

#include "core/domain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_ROWS 1000     /* a tick */
#define REST_MS 600000      /* between two passes when nothing changes */
#define CHANGE_REST_MS 1000 /* when something did */
#define MISSES 3            /* in a row: nothing can be read */
#define RETRY_MS 30000      /* then; doubled with each pass, up to REST_MS */
#define SECOND_MS 5000      /* between the first and the second look at what is not named */
#define SWEEP_MS 10000      /* between two looks for alerts whose rows have gone */
#define LOST_MS 120000      /* a reading without an answer: its place is free again */
#define RATE_LEAST 20       /* readings a second */
#define RATE_FIRST 250      /* until a pass has counted the rows: ten million take half a day */
#define RATE_MOST 500
#define ASK_LEAST_AGE 60 /* seconds: a fact as young as that is not read again for policyd */

#define KEPT_LOOKS 32    /* rows of which nothing was told: so many are looked at in a tick */
#define FAILED_ROOM 1024 /* rows that are remembered as unreadable: the walk passes them over */

enum reading_state { READING_FREE, READING_OPEN, READING_AGAIN };

struct reading {
	enum reading_state state;
	char row[DOMAIN_SIZE];
	bool second;      /* the first one said: not named */
	int64_t since_ms; /* OPEN: when it began; AGAIN: when it is to begin */
};

struct failed {
	uint32_t row; /* its hash; 0: free */
	int64_t until_ms;
};

struct mxwatch {
	struct mxwatch_ports ports;
	struct failed failed[FAILED_ROOM];
	int64_t interval;
	struct reading readings[MXWATCH_READINGS];
	size_t open;
	char kept[MXWATCH_KEPT][DOMAIN_SIZE]; /* what was wrong with these was not told */
	size_t kept_count, kept_next;         /* the next one that is looked at */

	bool walking;
	char after[DOMAIN_SIZE]; /* the row that was looked at last */
	int64_t rest_ms;         /* when the last pass ended; INT64_MIN: there was none */
	unsigned missed;         /* readings since the last that said something */
	unsigned retries;        /* passes since then */
	uint64_t serial;         /* of the rows when this pass began */
	uint64_t rows;           /* seen in this pass */
	uint64_t swept;          /* serial of the rows when alerts were swept */
	int64_t sweep_ms;        /* when they were; INT64_MIN: never */

	int64_t rate;   /* readings a second */
	int64_t tokens; /* thousandths */
	int64_t filled_ms;

	struct queued_time now;
	bool full; /* of this slice: no place, or no token */
};

struct mxwatch *
mxwatch_new(const struct mxwatch_setup *setup)
{
	struct mxwatch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->ports = setup->ports;
	watch->interval = setup->interval;
	watch->rate = RATE_FIRST;
	watch->filled_ms = INT64_MIN;
	watch->rest_ms = INT64_MIN;
	watch->sweep_ms = INT64_MIN;
	watch->missed = MISSES; /* until the first that says something */
	return watch;
}

void
mxwatch_free(struct mxwatch *watch)
{
	free(watch);
}

size_t
mxwatch_open(const struct mxwatch *watch)
{
	return watch->open;
}

/* --- rate and places ------------------------------------------------------------------------- */

static void
fill_bucket(struct mxwatch *watch)
{
	const int64_t passed =
	    watch->filled_ms == INT64_MIN ? 1000 : watch->now.ms - watch->filled_ms;
	const int64_t most = watch->rate * 1000;

	watch->filled_ms = watch->now.ms;
	if (passed < 0)
		return;
	watch->tokens = passed > 1000 ? most : watch->tokens + passed * watch->rate;
	if (watch->tokens > most)
		watch->tokens = most;
}

static struct reading *
find_reading(struct mxwatch *watch, const char *row)
{
	for (size_t i = 0; i < MXWATCH_READINGS; i++)
		if (watch->readings[i].state != READING_FREE &&
		    strcmp(watch->readings[i].row, row) == 0)
			return &watch->readings[i];
	return NULL;
}

static struct reading *
find_free(struct mxwatch *watch)
{
	for (size_t i = 0; watch->open < MXWATCH_READINGS && i < MXWATCH_READINGS; i++)
		if (watch->readings[i].state == READING_FREE)
			return &watch->readings[i];
	return NULL;
}

/* The one place where a reading changes its state. */
static void
set_state(struct mxwatch *watch, struct reading *reading, enum reading_state state, int64_t at_ms)
{
	watch->open += reading->state == READING_FREE && state != READING_FREE;
	watch->open -= reading->state != READING_FREE && state == READING_FREE;
	reading->state = state;
	reading->since_ms = at_ms;
}

static bool
start(struct mxwatch *watch, struct reading *reading, bool fresh)
{
	if (watch->tokens < 1000 || !watch->ports.read(watch->ports.context, reading->row, fresh))
		return false;
	watch->tokens -= 1000;
	set_state(watch, reading, READING_OPEN, watch->now.ms);
	return true;
}

/* Begins a first reading. False: no place, no token, or it could not be asked. */
static bool
begin(struct mxwatch *watch, const char *row, bool fresh)
{
	struct reading *reading = find_free(watch);

	if (find_reading(watch, row) != NULL)
		return true;
	if (reading == NULL || strlen(row) >= DOMAIN_SIZE)
		return false;
	memcpy(reading->row, row, strlen(row) + 1);
	reading->second = false;
	return start(watch, reading, fresh);
}

/* --- the walk ----------------------------------------------------------------------------------
 */

/* FNV-1a; never 0. */
static uint32_t
hash_of(const char *row)
{
	uint32_t hash = 2166136261u;

	for (; *row != '\0'; row++)
		hash = (hash ^ (uint8_t)*row) * 16777619u;
	return hash != 0 ? hash : 1;
}

/* Spreads rows over a tenth of the interval. */
static int64_t
jitter(const char *row, int64_t interval)
{
	return interval / 10 * (hash_of(row) % 1024) / 1024;
}

/* How long it rests now. */
static int64_t
rest_length(const struct mxwatch *watch)
{
	int64_t length = RETRY_MS;

	for (unsigned i = 0; i < watch->retries && length < REST_MS; i++)
		length *= 2;
	return watch->missed >= MISSES && length < REST_MS ? length : REST_MS;
}

static bool
failed_lately(const struct mxwatch *watch, const char *row)
{
	const uint32_t hash = hash_of(row);
	const struct failed *failed = &watch->failed[hash % FAILED_ROOM];

	return failed->row == hash && watch->now.ms < failed->until_ms;
}

/* Where nothing can be read, it is read again in the pass after the next rest. */
static void
note_failed(struct mxwatch *watch, const char *row)
{
	const uint32_t hash = hash_of(row);

	watch->missed++;
	watch->failed[hash % FAILED_ROOM] =
	    (struct failed){.row = hash, .until_ms = watch->now.ms + rest_length(watch) / 3 * 2};
}

static bool
is_due(const struct mxwatch *watch, const char *row)
{
	const struct mxwatch_fact fact = watch->ports.known(watch->ports.context, row);

	return fact.at <= 0 || fact.at > watch->now.wall ||
	       watch->now.wall - fact.at >= watch->interval - jitter(row, watch->interval);
}

static bool
visit_row(const char *row, void *context)
{
	struct mxwatch *watch = context;

	if (strlen(row) >= sizeof(watch->after))
		return true; /* no domain has such a name */
	if (is_due(watch, row) && !failed_lately(watch, row) &&
	    (watch->open >= MXWATCH_WALKED || !begin(watch, row, false))) {
		watch->full = true; /* this row comes first in the next slice */
		return false;
	}
	watch->rows++;
	memcpy(watch->after, row, strlen(row) + 1);
	return true;
}

/* All rows twice in an interval would be possible: so the interval is kept. */
static void
end_pass(struct mxwatch *watch)
{
	int64_t rate = (int64_t)(watch->rows * 2 / (uint64_t)watch->interval) + 1;

	if (rate < RATE_LEAST)
		rate = RATE_LEAST;
	watch->rate = rate < RATE_MOST ? rate : RATE_MOST;
	watch->walking = false;
	watch->rest_ms = watch->now.ms;
}

static bool
rests(const struct mxwatch *watch, bool changed)
{
	const int64_t length = changed ? CHANGE_REST_MS : rest_length(watch);

	return watch->rest_ms != INT64_MIN && watch->now.ms - watch->rest_ms < length;
}

static void
walk(struct mxwatch *watch)
{
	bool end = false;

	if (!watch->walking) {
		const uint64_t serial = watch->ports.serial(watch->ports.context);

		if (rests(watch, serial != watch->serial))
			return;
		if (watch->missed >= MISSES && watch->rest_ms != INT64_MIN &&
		    !rests(watch, false) && rest_length(watch) < REST_MS)
			watch->retries++;
		watch->serial = serial;
		watch->walking = true;
		watch->rows = 0;
		watch->after[0] = '\0';
	}
	watch->full = false;
	if (watch->ports.rows(
		watch->ports.context, watch->after, SLICE_ROWS, visit_row, watch, &end) &&
	    end && !watch->full)
		end_pass(watch);
}

/* A walk over millions may last for hours: this does not wait for its end. */
static void
sweep(struct mxwatch *watch)
{
	const uint64_t serial = watch->ports.serial(watch->ports.context);
	const int64_t rest = serial != watch->swept ? SWEEP_MS : REST_MS;

	if (watch->sweep_ms != INT64_MIN && watch->now.ms - watch->sweep_ms < rest)
		return;
	watch->swept = serial;
	watch->sweep_ms = watch->now.ms;
	watch->ports.sweep(watch->ports.context);
}

/* --- silence -----------------------------------------------------------------------------------
 */

static void
keep(struct mxwatch *watch, const char *row)
{
	for (size_t i = 0; i < watch->kept_count; i++)
		if (strcmp(watch->kept[i], row) == 0)
			return;
	if (watch->kept_count < MXWATCH_KEPT)
		(void)snprintf(watch->kept[watch->kept_count++], DOMAIN_SIZE, "%s", row);
}

/* Is it still to be kept? Where the silence has ended, a reading says what is to be told. */
static bool
stays_kept(struct mxwatch *watch, const char *row)
{
	if (!watch->ports.wanted(watch->ports.context, row))
		return false;
	return watch->ports.silent(watch->ports.context, row) || !begin(watch, row, true);
}

static void
look_at_kept(struct mxwatch *watch)
{
	for (size_t i = 0; i < KEPT_LOOKS && i < watch->kept_count; i++) {
		if (watch->kept_next >= watch->kept_count)
			watch->kept_next = 0;
		if (stays_kept(watch, watch->kept[watch->kept_next]))
			watch->kept_next++;
		else if (watch->kept_next != --watch->kept_count)
			memcpy(watch->kept[watch->kept_next], watch->kept[watch->kept_count],
			    DOMAIN_SIZE);
	}
}

/* --- what comes in -------------------------------------------------------------------------------
 */

void
mxwatch_tick(struct mxwatch *watch, struct queued_time now)
{
	watch->now = now;
	fill_bucket(watch);
	for (size_t i = 0; i < MXWATCH_READINGS; i++) {
		struct reading *reading = &watch->readings[i];

		if (reading->state == READING_AGAIN && now.ms >= reading->since_ms)
			(void)start(watch, reading, true);
		else if (reading->state == READING_OPEN && now.ms - reading->since_ms >= LOST_MS)
			set_state(watch, reading, READING_FREE, 0);
	}
	look_at_kept(watch);
	walk(watch);
	sweep(watch);
}

static void
tell_alert(struct mxwatch *watch, const char *row, const struct mxwatch_finding *finding)
{
	if (!finding->judged)
		return;
	if (finding->wrong && watch->ports.silent(watch->ports.context, row))
		keep(watch, row);
	else if (finding->wrong)
		watch->ports.wrong(watch->ports.context, row, finding->text);
	else
		watch->ports.right(watch->ports.context, row);
}

void
mxwatch_read_done(struct mxwatch *watch, const char *row, const struct mxwatch_finding *finding,
    struct queued_time now)
{
	struct reading *reading = find_reading(watch, row);

	watch->now = now;
	if (reading == NULL || reading->state != READING_OPEN)
		return;
	if (finding->state == MX_STATE_NOT_NAMED && !reading->second &&
	    watch->ports.known(watch->ports.context, row).mx != MX_STATE_NOT_NAMED) {
		reading->second = true;
		set_state(watch, reading, READING_AGAIN, now.ms + SECOND_MS);
		return;
	}
	set_state(watch, reading, READING_FREE, 0);
	/* What could not be told changes nothing: it is read again by and by. */
	if (finding->state == MX_STATE_UNKNOWN) {
		note_failed(watch, row);
	} else {
		watch->ports.put(watch->ports.context, row,
		    (struct mxwatch_fact){.mx = finding->state, .at = now.wall});
		watch->missed = watch->retries = 0;
	}
	tell_alert(watch, row, finding);
}

bool
mxwatch_demand(struct mxwatch *watch, const char *row, struct queued_time now)
{
	watch->now = now;
	fill_bucket(watch);
	if (!watch->ports.wanted(watch->ports.context, row))
		return false;
	const struct reading *reading = find_reading(watch, row);
	return (reading == NULL || reading->state != READING_OPEN) && begin(watch, row, true);
}

/* Is it worth a reading before its time? */
static bool
is_worth_asking(const struct mxwatch *watch, const char *row)
{
	const struct mxwatch_fact fact = watch->ports.known(watch->ports.context, row);
	const int64_t now = watch->now.wall;

	if (fact.at <= 0)
		return !failed_lately(watch, row);
	return fact.mx == MX_STATE_NOT_NAMED && (fact.at > now || now - fact.at >= ASK_LEAST_AGE);
}

bool
mxwatch_asked(struct mxwatch *watch, const char *row, struct queued_time now)
{
	watch->now = now;
	fill_bucket(watch);
	return !is_worth_asking(watch, row) || !watch->ports.wanted(watch->ports.context, row) ||
	       begin(watch, row, true);
}
