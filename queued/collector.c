/*
 * collector: the shell around log, listing and accounts (see collector.h).
 *
 * In: the log's lines, postqueue's listings, the helper's answers, the clock. Out: transactions of
 * the spool that hold what lines caused together with the position behind them, events for the
 * watch, and messages that are to be taken out. It reads no further while the spool takes nothing:
 * the log itself is the buffer then. It never waits.
 */
#include "queued/collector.h"

#include "core/log.h"
#include "queued/account.h"
#include "queued/census.h"
#include "queued/clock.h"
#include "queued/retention.h"
#include "queued/tail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 200
#define TICK_HELD_MS 20    /* while there is mail: a canary's delivery lets a domain go */
#define SOON_MS 10         /* while journalctl reads a backlog */
#define LINES_MOST 1000    /* read in one turn */
#define COMMIT_LINES 10000 /* a transaction; each makes the disk wait, Postfix's too */
#define COMMIT_MS 1000
#define FULL_MS 5000 /* between tries while the spool takes nothing */
#define CENSUS_LEAST_MS 60000
#define CENSUS_MOST_MS 600000
#define CENSUS_NAMES_MS 5000 /* between two that are only to name recipients */
#define CENSUS_SHARE 100     /* a listing may take this part of the time */
#define CENSUS_DEADLINE_S 120
#define CENSUS_SETTLE_MS 2000 /* from a listing's end until the log must have told the same */
#define DUE_MS 30000
#define DUE_REFUSED_MS 2000 /* of those just refused */
#define DUE_MOST 200
#define ASK_PAUSE_MS 5000 /* after the helper failed; doubled while it does */
#define ASK_PAUSE_MOST_MS 30000
#define PRUNE_MS 30000
#define PRUNE_MOST 5000
#define STEADY_MS 600000 /* the clock has run evenly for so long: ages are believed */
#define LEAP_MS 60000
#define UNACCOUNTED_MS 3600000 /* the alert ends after so long without another */
#define SPOOL_ALERT_PERCENT 80
#define LOG_ALERT_MS 20000 /* so long a problem of the log stands before it is an alert */
#define FACTS_CACHED 256
#define NOTE_POSITION "position"

struct cached_facts {
	char domain[DOMAIN_SIZE];
	enum rows_answer answer;
	struct row_facts facts;
};

struct collector {
	struct event_base *base;
	const struct conf *conf;
	struct spool_writer *spool;
	struct collector_ports ports;
	struct instances instances; /* whose lines they may be */
	struct account *account;
	struct tail *tail;
	struct census *census;
	struct event *tick;
	struct event *ask; /* the helper, for what is to be taken out */
	size_t asked;      /* answers that are still to come */
	enum tail_state log;
	int64_t line_at;                   /* time of the last line, microseconds */
	unsigned lines;                    /* taken since the last commit */
	bool full;                         /* the spool takes nothing */
	char position[TAIL_POSITION_SIZE]; /* as it was committed */
	char problem[256], log_problem[256], census_problem[256];
	/* by the boot clock, milliseconds */
	int64_t commit_ms, full_ms, census_ms, census_began_ms, census_ended_ms, prune_ms;
	int64_t due_ms, due_refused_ms;
	int64_t steady_ms, unaccounted_ms, log_fine_ms;
	int64_t ask_ms;        /* the helper failed: it is not asked before */
	int64_t ask_pause_ms;  /* the last such pause; 0: it did what it was asked for */
	int64_t wall_ahead_ms; /* wall clock less boot clock, when last looked at */
	bool census_ended;     /* and waits for the log to catch up */
	bool census_names;     /* this one is only to name recipients */
	bool census_good;
	int64_t census_at; /* end of the last good one, seconds since the epoch */
	bool alert_unaccounted, alert_spool, alert_log;
	bool alert_full;                         /* it says that the spool takes nothing */
	uint64_t unaccounted;                    /* as last told */
	struct cached_facts cache[FACTS_CACHED]; /* of one search */
};

/* --- the clock is set
 * ------------------------------------------------------------------------------ */

/* Nothing expires by a clock that has just been set, and no refusal of before counts. */
static bool
clock_is_steady(struct collector *collector, int64_t now_ms)
{
	const int64_t ahead = clock_wall_us() / 1000 - now_ms;
	const int64_t leap = ahead - collector->wall_ahead_ms;

	collector->wall_ahead_ms = ahead;
	if (leap > LEAP_MS || leap < -LEAP_MS) {
		if (collector->steady_ms != 0) {
			log_event(LOG_WARNING, "clock-set", kv_number("seconds", leap / 1000),
			    kv("effect", "nothing expires for 10 minutes; refusals count anew"));
			account_clock_set(collector->account, clock_wall_us());
		}
		collector->steady_ms = now_ms;
	}
	return now_ms - collector->steady_ms >= STEADY_MS;
}

/* --- telling
 * ---------------------------------------------------------------------------------------- */

static void
problem_note(char *place, size_t size, const char *event, const char *problem)
{
	if (strncmp(place, problem, size - 1) == 0)
		return;
	snprintf(place, size, "%s", problem);
	if (place[0] != '\0')
		log_event(LOG_WARNING, event, kv("problem", place));
}

static void
alert_tell(struct collector *collector, enum alert_kind kind, bool *raised, bool now,
    unsigned level, const char *text)
{
	const struct alert alert = {.kind = kind,
	    .domain = "",
	    .level = level,
	    .text = text,
	    .more = kind == ALERT_UNACCOUNTED};

	if (*raised == now)
		return;
	*raised = now;
	if (collector->ports.alert != NULL)
		collector->ports.alert(collector->ports.context, &alert, now);
}

/* How full it is, or why it takes nothing. */
static void
spool_words(const struct collector *collector, const struct spool_usage *usage, unsigned percent,
    char out[ALERT_TEXT_SIZE])
{
	const bool read_only = strstr(collector->problem, strerror(EROFS)) != NULL;

	if (!collector->full)
		snprintf(out, ALERT_TEXT_SIZE,
		    "the journal's spool is %u %% full (%" PRIu64 " rows wait to be shipped)",
		    percent, usage->rows);
	else if (percent >= SPOOL_ALERT_PERCENT)
		snprintf(out, ALERT_TEXT_SIZE,
		    "the journal's spool cannot be written: %.120s (%" PRIu64
		    " rows wait to be shipped); the log waits until they are",
		    collector->problem, usage->rows);
	else
		snprintf(out, ALERT_TEXT_SIZE,
		    "the journal's spool cannot be written: %.80s; the log waits: make %s of "
		    "%.80s%s",
		    collector->problem, read_only ? "the file system" : "room on the disk",
		    collector->conf->paths.state_dir, read_only ? " writable" : "");
}

/* That it takes nothing is told also where the alert stands because it is nearly full. */
static void
spool_watch(struct collector *collector)
{
	struct spool_usage usage;
	char text[ALERT_TEXT_SIZE];

	if (spool_usage(collector->spool, &usage) != SPOOL_OK || usage.limit == 0)
		return;
	const unsigned percent = (unsigned)(usage.bytes * 100 / usage.limit);
	if (collector->full && !collector->alert_full)
		collector->alert_spool = false;
	collector->alert_full = collector->full;
	spool_words(collector, &usage, percent, text);
	alert_tell(collector, ALERT_SPOOL, &collector->alert_spool,
	    collector->full || percent >= SPOOL_ALERT_PERCENT, collector->full ? 100 : percent,
	    text);
}

static void
unaccounted_watch(struct collector *collector, int64_t now_ms)
{
	const struct account_counts counts = account_counts(collector->account);
	const bool more = counts.unaccounted > collector->unaccounted;
	char text[ALERT_TEXT_SIZE];

	if (more) {
		collector->unaccounted_ms = now_ms;
		collector->alert_unaccounted = false; /* each loss is told, not the first only */
	}
	snprintf(text, sizeof(text),
	    "%" PRIu64 " recipients left the queue without a line in the log (%" PRIu64
	    " since the start); the last: %s, of %s",
	    counts.unaccounted - collector->unaccounted, counts.unaccounted, counts.lost_id,
	    counts.lost_domain);
	collector->unaccounted = counts.unaccounted;
	alert_tell(collector, ALERT_UNACCOUNTED, &collector->alert_unaccounted,
	    counts.unaccounted > 0 && now_ms - collector->unaccounted_ms < UNACCOUNTED_MS, 0, text);
}

/* A log that is being rotated is away for a moment; what was lost is shown for an hour. */
static void
log_watch(struct collector *collector, int64_t now_ms)
{
	if (collector->log_problem[0] == '\0')
		collector->log_fine_ms = now_ms;
	alert_tell(collector, ALERT_LOG, &collector->alert_log,
	    now_ms - collector->log_fine_ms >= LOG_ALERT_MS, 0, collector->log_problem);
}

/* --- transactions
 * ----------------------------------------------------------------------------------- */

struct writing {
	struct collector *collector;
	int64_t now;
	enum spool_result result;
};

static bool
write_row(
    void *context, const char *key, size_t key_length, const struct journal_row *row, bool final)
{
	struct writing *writing = context;
	char *text = journal_row_print(row, !final);

	writing->result = SPOOL_UNUSABLE;
	if (text == NULL)
		return false;
	const struct spool_entry entry = {.key = key,
	    .key_length = key_length,
	    .text = text,
	    .length = strlen(text),
	    .final = final};
	writing->result = spool_put(writing->collector->spool, &entry, writing->now);
	free(text);
	return writing->result == SPOOL_OK;
}

static bool
write_note(void *context, const char *name, const struct journal_row *row)
{
	struct writing *writing = context;
	char *text = row != NULL ? journal_row_print(row, true) : NULL;

	writing->result = SPOOL_UNUSABLE;
	if (row != NULL && text == NULL)
		return false;
	writing->result =
	    spool_note(writing->collector->spool, name, text, text != NULL ? strlen(text) : 0);
	free(text);
	return writing->result == SPOOL_OK;
}

/* Rows, notes and the position that they go with, in one transaction. */
static enum spool_result
commit_write(struct collector *collector, bool all, const char *position)
{
	struct writing writing = {.collector = collector, .now = clock_wall_us()};
	const struct account_writer writer = {
	    .row = write_row, .note = write_note, .context = &writing};

	writing.result = spool_begin(collector->spool);
	if (writing.result != SPOOL_OK)
		return writing.result;
	if (account_write(collector->account, writing.now, all, SIZE_MAX, &writer) &&
	    position[0] != '\0')
		writing.result =
		    spool_note(collector->spool, NOTE_POSITION, position, strlen(position));
	if (writing.result == SPOOL_OK)
		return spool_commit(collector->spool);
	spool_abort(collector->spool);
	return writing.result;
}

static void
full_set(struct collector *collector, enum spool_result result, int64_t now_ms)
{
	if (result == SPOOL_OK) {
		if (collector->full)
			log_event(LOG_NOTICE, "spool-writable", kv("effect", "the log is read on"));
		collector->full = false;
		collector->problem[0] = '\0';
		return;
	}
	collector->full = true;
	collector->full_ms = now_ms;
	problem_note(collector->problem, sizeof(collector->problem), "spool-not-writable",
	    spool_writer_problem(collector->spool));
}

static bool
commit(struct collector *collector, bool all)
{
	char position[TAIL_POSITION_SIZE];
	const int64_t now_ms = clock_boot_ms();

	if (!tail_position(collector->tail, position))
		position[0] = '\0';
	const enum spool_result result = commit_write(collector, all, position);
	account_written(collector->account, result == SPOOL_OK);
	full_set(collector, result, now_ms);
	if (result != SPOOL_OK)
		return false;
	snprintf(collector->position, sizeof(collector->position), "%s", position);
	collector->lines = 0;
	collector->commit_ms = now_ms;
	return true;
}

/* --- taking out
 * ------------------------------------------------------------------------------------ */

static bool
ask_helper(void *context, const char *queue_id, enum journal_outcome outcome, const char *by)
{
	struct collector *collector = context;
	const struct collector_act act = {.queue_id = queue_id, .outcome = outcome, .by = by};

	if (collector->asked >= COLLECTOR_AT_ONCE)
		return false; /* an answer lets the next one go */
	/* While it fails, one at a time finds out whether it still does. */
	if (collector->ask_pause_ms > 0 &&
	    (collector->asked > 0 || clock_boot_ms() < collector->ask_ms))
		return false;
	collector->asked++; /* the answer may come before take_out returns */
	if (collector->ports.take_out(collector->ports.context, &act))
		return true;
	collector->asked--;
	return false;
}

static void
intents_ask(struct collector *collector)
{
	if (collector->ports.take_out != NULL)
		account_each_intent(collector->account, ask_helper, collector);
}

static void
on_ask(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	intents_ask(context);
}

/* The next is asked for: soon, or, where the helper fails, when it may have come to itself. */
static void
ask_later(struct collector *collector, bool failed)
{
	const int64_t now_ms = clock_boot_ms(), twice = collector->ask_pause_ms * 2;
	struct timeval wait = {0, 0};

	if (!failed) {
		collector->ask_pause_ms = collector->ask_ms = 0;
	} else {
		if (now_ms >= collector->ask_ms) { /* not one of those asked beside the first */
			collector->ask_pause_ms = twice == 0                  ? ASK_PAUSE_MS
						  : twice < ASK_PAUSE_MOST_MS ? twice
									      : ASK_PAUSE_MOST_MS;
			collector->ask_ms = now_ms + collector->ask_pause_ms;
		}
		wait.tv_sec = (collector->ask_ms - now_ms) / 1000 + 1;
	}
	(void)evtimer_add(collector->ask, &wait);
}

static enum rows_answer
facts_find(struct collector *collector, const char *domain, const struct row_facts **out)
{
	size_t slot = 0;

	for (const char *at = domain; *at != '\0'; at++)
		slot = slot * 31 + (unsigned char)*at;
	struct cached_facts *cached = &collector->cache[slot % FACTS_CACHED];
	if (strcmp(cached->domain, domain) != 0) {
		snprintf(cached->domain, sizeof(cached->domain), "%s", domain);
		cached->answer =
		    collector->ports.row(collector->ports.context, domain, &cached->facts);
	}
	*out = &cached->facts;
	return cached->answer;
}

struct search {
	struct collector *collector;
	int64_t now;
	bool steady;
};

static bool
is_refused(const struct search *search, const struct account_history *history,
    const struct row_facts *facts)
{
	const struct collector *collector = search->collector;
	const struct refusal_limits limits = refusal_limits(collector->conf, facts->keep_refused);

	return refusal_is_final(&history->refusals, &limits) &&
	       (collector->ports.may_refuse == NULL ||
		   collector->ports.may_refuse(collector->ports.context, history->domain));
}

static enum account_fate
judge(void *context, const struct account_history *history)
{
	const struct search *search = context;
	const struct row_facts *facts;

	if (facts_find(search->collector, history->domain, &facts) != ROWS_OURS)
		return FATE_KEEP; /* its limits are not known now */
	if (is_refused(search, history, facts))
		return FATE_REFUSED;
	if (search->steady && retention_is_over(history->accepted_at, facts->retention,
				  search->collector->conf->relay.queue_lifetime, search->now))
		return FATE_EXPIRED;
	return FATE_KEEP;
}

/*
 * All messages each half minute; soon those that were just refused, where the log has no more to
 * say of them: after a restart their primary's health would have to be seen anew.
 */
static void
due_turn(struct collector *collector, int64_t now_ms)
{
	const bool all = now_ms - collector->due_ms >= DUE_MS;
	const bool refused = now_ms - collector->due_refused_ms >= DUE_REFUSED_MS;
	struct search search = {.collector = collector, .now = clock_wall_us()};

	if (!all && !(refused && collector->log == TAIL_END))
		return;
	collector->due_refused_ms = now_ms;
	if (all)
		collector->due_ms = now_ms;
	search.steady = clock_is_steady(collector, now_ms);
	if (collector->ports.take_out == NULL || collector->full)
		return;
	memset(collector->cache, 0, sizeof(collector->cache));
	if ((all ? account_find_due : account_find_refused)(
		collector->account, DUE_MOST, judge, &search) > 0)
		(void)commit(collector, false);
	intents_ask(collector);
}

void
collector_taken_out(struct collector *collector, const char *queue_id, enum collector_answer answer)
{
	collector->asked -= collector->asked > 0;
	switch (answer) {
	case COLLECTOR_TAKEN_OUT: /* its line in the log says the rest */
	case COLLECTOR_UNSURE: account_intent_answered(collector->account, queue_id); break;
	case COLLECTOR_GONE: account_intent_gone(collector->account, queue_id); break;
	case COLLECTOR_FAILED: account_intent_failed(collector->account, queue_id); break;
	}
	ask_later(collector, answer == COLLECTOR_FAILED || answer == COLLECTOR_UNSURE);
}

bool
collector_drop(struct collector *collector, const char (*ids)[JOURNAL_ID_SIZE], size_t count,
    const char *by, size_t *taken)
{
	*taken = 0;
	if (collector->ports.take_out == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
		*taken += account_intend(collector->account, ids[i], OUTCOME_REMOVED, by);
	if (*taken > 0 && !commit(collector, false)) {
		account_intents_undo(collector->account);
		*taken = 0;
		return false;
	}
	intents_ask(collector);
	return true;
}

/* --- the log ------------------------------------------------------------------------------------
 */

/*
 * Another instance's line? Messages that are known here are ours whatever the tag says: the name
 * may have been ours when the line was written, or be ours now, if the configuration was changed
 * and Postfix not yet started anew. One that our own listing shows proves the latter.
 */
static bool
is_other_instances(struct collector *collector, const struct maillog_event *event)
{
	const char *name = instances_other(&collector->instances, event->tag.at, event->tag.length);

	if (name == NULL)
		return false;
	switch (account_knows(collector->account, event->queue_id)) {
	case ACCOUNT_UNKNOWN: return true;
	case ACCOUNT_KNOWN: return false;
	case ACCOUNT_LISTED: break;
	}
	log_event(LOG_WARNING, "syslog-name-ours", kv("name", name),
	    kv("queue_id", event->queue_id),
	    kv("effect", "lines of this name are no longer left out"),
	    kv("cure", "start Postfix anew where its syslog_name was changed, then "
		       "mxhold-queued"));
	instances_make_ours(&collector->instances, name);
	return false;
}

static bool
take_event(const struct maillog_event *event, void *context)
{
	struct collector *collector = context;

	if (!is_other_instances(collector, event) && !account_event(collector->account, event))
		return false;
	if (event->at > 0)
		collector->line_at = event->at;
	collector->lines++;
	return true;
}

static bool
position_moved(const struct collector *collector)
{
	char position[TAIL_POSITION_SIZE];

	return tail_position(collector->tail, position) &&
	       strcmp(position, collector->position) != 0;
}

/* With no journal to ship to, the spool is all there is of it: the oldest rows make room. */
static bool
spool_keeps_newest(struct collector *collector)
{
	struct spool_usage usage;

	return collector->conf->journal.conninfo == NULL &&
	       spool_usage(collector->spool, &usage) == SPOOL_OK && usage.limit > 0 &&
	       usage.bytes / 3 * 4 >= usage.limit;
}

static void
prune(struct collector *collector, int64_t now_ms)
{
	const int64_t now = clock_wall_us();
	const int64_t kept = collector->conf->journal.retention_days * 86400 * 1000000;
	const bool crowded = spool_keeps_newest(collector);
	struct spool_pruned pruned;

	const int64_t before = crowded                              ? now + 1
			       : clock_is_steady(collector, now_ms) ? now - kept
								    : 0;
	const enum spool_result result =
	    spool_prune(collector->spool, PRUNE_MOST, now, before, &pruned);
	collector->prune_ms =
	    result == SPOOL_OK && pruned.more ? now_ms - PRUNE_MS + COMMIT_MS : now_ms;
	if (pruned.dropped > 0)
		log_event(LOG_WARNING, "journal-dropped",
		    kv_number("rows", (long long)pruned.dropped),
		    kv("reason", crowded ? "[queue] spool_size is nearly reached, and there is no "
					   "[journal] conninfo"
					 : "nobody shipped them for [journal] retention_days"));
	spool_watch(collector);
}

static void
log_read(struct collector *collector, int64_t now_ms)
{
	if (collector->full && now_ms - collector->full_ms < FULL_MS)
		return;
	if (collector->full)
		prune(collector, now_ms);
	if (!collector->full && collector->lines < COMMIT_LINES) {
		const unsigned room = COMMIT_LINES - collector->lines;
		collector->log = tail_read(collector->tail, clock_wall_us() / 1000000,
		    room < LINES_MOST ? room : LINES_MOST, take_event, collector);
	}
	problem_note(collector->log_problem, sizeof(collector->log_problem), "log-problem",
	    tail_problem(collector->tail));
	const bool due = collector->lines >= COMMIT_LINES || collector->full ||
			 now_ms - collector->commit_ms >= COMMIT_MS;
	if (due && (account_is_dirty(collector->account) || position_moved(collector))) {
		(void)commit(collector, false);
		intents_ask(collector);
	}
}

/* --- listings ------------------------------------------------------------------------------------
 */

static void
census_message(const struct census_message *message, void *context)
{
	struct collector *collector = context;

	account_census_message(collector->account, message, clock_wall_us());
}

static void
census_end(const char *problem, void *context)
{
	struct collector *collector = context;

	collector->census_ended_ms = clock_boot_ms();
	collector->census_ended = true;
	collector->census_good = problem == NULL;
	problem_note(collector->census_problem, sizeof(collector->census_problem), "census-problem",
	    problem != NULL ? problem : "");
}

static void
census_start(struct collector *collector, int64_t now_ms)
{
	const char *problem;

	if (!collector->census_names)
		collector->census_ms = now_ms + CENSUS_LEAST_MS;
	account_census_begin(collector->account);
	collector->census_began_ms = now_ms;
	if (!census_begin(collector->census, CENSUS_DEADLINE_S, &problem))
		census_end(problem, collector);
}

/* When is the next? Messages that this one lacked want another one soon. */
static void
census_schedule(struct collector *collector, size_t suspects)
{
	const int64_t took = collector->census_ended_ms - collector->census_began_ms;
	const int64_t share = took * CENSUS_SHARE;
	int64_t pause = share > CENSUS_LEAST_MS ? share : CENSUS_LEAST_MS;

	if (pause > CENSUS_MOST_MS && suspects == 0)
		pause = CENSUS_MOST_MS;
	if (collector->census_ms > collector->census_ended_ms + pause)
		return;
	collector->census_ms = collector->census_ended_ms + pause;
}

/* The log was read to its end at a time that lies behind the listing's: they can be compared. */
static void
census_compare(struct collector *collector, int64_t now_ms)
{
	const bool settled = now_ms - collector->census_ended_ms >= CENSUS_SETTLE_MS;
	size_t suspects = 0;

	if (!collector->census_ended || !settled)
		return;
	if (collector->census_good && collector->log != TAIL_END && collector->log != TAIL_MISSING)
		return;
	collector->census_ended = false;
	if (collector->census_names) {
		collector->census_names = false;
		(void)account_census_end(collector->account, false, clock_wall_us());
		return;
	}
	if (collector->census_good && collector->log == TAIL_END) {
		suspects = account_census_end(collector->account, true, clock_wall_us());
		intents_ask(collector);
		collector->census_at = clock_wall_us() / 1000000;
	} else
		(void)account_census_end(collector->account, false, clock_wall_us());
	census_schedule(collector, suspects);
}

void
collector_told(
    struct collector *collector, const char *queue_id, const char *address, size_t length)
{
	account_told(collector->account, queue_id, address, length, clock_wall_us());
}

void
collector_census_soon(struct collector *collector)
{
	const int64_t took = collector->census_ended_ms - collector->census_began_ms;
	const int64_t earliest = collector->census_ended_ms + took * CENSUS_SHARE;

	if (collector->census_ms > earliest)
		collector->census_ms = earliest;
}

/*
 * A message whose first attempt takes long is in no line of the log: a listing names it. It proves
 * nothing about what it lacks, since it may follow another one closely.
 */
static bool
names_are_due(const struct collector *collector, int64_t now_ms)
{
	const int64_t took = collector->census_ended_ms - collector->census_began_ms;
	const int64_t share = took * CENSUS_SHARE;
	const int64_t pause = share > CENSUS_NAMES_MS ? share : CENSUS_NAMES_MS;

	return collector->log == TAIL_END && now_ms >= collector->census_ended_ms + pause &&
	       account_wants_names(collector->account, clock_wall_us());
}

static void
census_turn(struct collector *collector, int64_t now_ms)
{
	census_compare(collector, now_ms);
	if (collector->census_ended || census_running(collector->census))
		return;
	if (now_ms < collector->census_ms && !names_are_due(collector, now_ms))
		return;
	collector->census_names = now_ms < collector->census_ms;
	census_start(collector, now_ms);
}

/* --- the turn
 * ------------------------------------------------------------------------------------- */

static void
tick(struct collector *collector)
{
	const int64_t now_ms = clock_boot_ms();

	(void)clock_is_steady(collector, now_ms); /* a leap is seen before lines that follow it */
	log_read(collector, now_ms);
	if (collector->log == TAIL_END)
		account_told_turn(collector->account, clock_wall_us());
	census_turn(collector, now_ms);
	due_turn(collector, now_ms);
	if (now_ms - collector->prune_ms >= PRUNE_MS)
		prune(collector, now_ms);
	unaccounted_watch(collector, now_ms);
	log_watch(collector, now_ms);
}

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
	struct collector *collector = context;
	struct timeval next = {0, TICK_MS * 1000L};

	(void)fd;
	(void)what;
	tick(collector);
	if (collector->log == TAIL_MORE && !collector->full)
		next.tv_usec = 0;
	else if (collector->log == TAIL_LATER && !collector->full)
		next.tv_usec = SOON_MS * 1000L;
	else if (account_counts(collector->account).messages > 0)
		next.tv_usec = TICK_HELD_MS * 1000L;
	event_add(collector->tick, &next);
}

/* --- restoring
 * ------------------------------------------------------------------------------------- */

struct restore {
	struct account *account;
	bool good;
};

static bool
restore_row(const struct spool_entry *entry, void *context)
{
	struct restore *restore = context;
	struct journal_row row;

	if (!journal_row_parse(entry->text, entry->length, &row))
		return true; /* another kind of row */
	restore->good = account_restore(restore->account, entry->key, entry->key_length, &row);
	return restore->good;
}

static bool
restore_note(const struct spool_entry *entry, void *context)
{
	struct restore *restore = context;
	struct journal_row row;
	char name[SPOOL_KEY_MAX + 1];

	if (!journal_row_parse(entry->text, entry->length, &row))
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)entry->key_length, entry->key);
	restore->good = account_restore_note(restore->account, name, &row);
	return restore->good;
}

static const char *
restore_all(struct collector *collector)
{
	struct restore restore = {.account = collector->account, .good = true};
	size_t length = 0;

	enum spool_result result = spool_each_open(collector->spool, restore_row, &restore);
	if (result == SPOOL_OK)
		result = spool_each_note(collector->spool, ACCOUNT_PENDING, restore_note, &restore);
	if (result == SPOOL_OK)
		result = spool_each_note(collector->spool, ACCOUNT_INTENT, restore_note, &restore);
	if (!restore.good)
		return "out of memory";
	if (result == SPOOL_OK)
		result = spool_get_note(collector->spool, NOTE_POSITION, collector->position,
		    sizeof(collector->position) - 1, &length);
	if (result != SPOOL_OK && result != SPOOL_NOT_FOUND)
		return spool_writer_problem(collector->spool);
	if (length >= sizeof(collector->position))
		length = 0;
	collector->position[length] = '\0';
	tail_seek(collector->tail, collector->position);
	return NULL;
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static bool
parts_make(struct collector *collector)
{
	const struct account_ports account = {.sink = collector->ports.sink,
	    .row = collector->ports.row,
	    .context = collector->ports.context};
	const struct census_ports census = {
	    .message = census_message, .end = census_end, .context = collector};

	collector->account = account_new(&account);
	collector->tail = tail_new(collector->conf->paths.maillog);
	collector->census =
	    census_new(collector->base, collector->conf->paths.postfix_config_dir, &census);
	collector->tick = evtimer_new(collector->base, on_tick, collector);
	collector->ask = evtimer_new(collector->base, on_ask, collector);
	if (collector->census != NULL && collector->ports.postqueue != NULL)
		census_set_command(collector->census, collector->ports.postqueue);
	return collector->account != NULL && collector->tail != NULL && collector->census != NULL &&
	       collector->tick != NULL && collector->ask != NULL;
}

static void
parts_free(struct collector *collector)
{
	if (collector->tick != NULL)
		event_free(collector->tick);
	if (collector->ask != NULL)
		event_free(collector->ask);
	census_free(collector->census);
	tail_free(collector->tail);
	account_free(collector->account);
	free(collector);
}

struct collector *
collector_new(struct event_base *base, const struct conf *conf, struct spool_writer *spool,
    const struct collector_ports *ports, const char **problem)
{
	struct collector *collector = calloc(1, sizeof(*collector));

	*problem = "out of memory";
	if (collector == NULL)
		return NULL;
	collector->base = base;
	collector->conf = conf;
	collector->spool = spool;
	collector->ports = *ports;
	if (ports->instances != NULL)
		collector->instances = *ports->instances;
	*problem = parts_make(collector) ? restore_all(collector) : "out of memory";
	if (*problem == NULL)
		return collector;
	parts_free(collector);
	return NULL;
}

void
collector_free(struct collector *collector)
{
	if (collector == NULL)
		return;
	if (!commit(collector, true))
		log_event(LOG_WARNING, "collector-not-written",
		    kv("problem", spool_writer_problem(collector->spool)),
		    kv("effect", "the log is read again from the last position"));
	parts_free(collector);
}

bool
collector_start(struct collector *collector)
{
	const struct timeval at_once = {0, 0};
	const int64_t now_ms = clock_boot_ms();

	(void)clock_is_steady(collector, now_ms);
	collector->steady_ms = collector->log_fine_ms = now_ms;
	collector->due_ms = collector->due_refused_ms = collector->prune_ms = now_ms;
	collector->census_ms = now_ms;
	return event_add(collector->tick, &at_once) == 0;
}

/* --- looking -------------------------------------------------------------------------------------
 */

void
collector_refusals_anew(struct collector *collector, const char *domain)
{
	account_refusals_anew(collector->account, domain);
}

bool
collector_on_hold(const struct collector *collector, const char *queue_id)
{
	return account_on_hold(collector->account, queue_id);
}

size_t
collector_count_on_hold(const struct collector *collector, const char *domain)
{
	return account_count_on_hold(collector->account, domain);
}

void
collector_each_held(struct collector *collector, const char *domain, const char *queue_id,
    bool (*visit)(const struct journal_row *row, void *context), void *context)
{
	account_each_held(collector->account, domain, queue_id, visit, context);
}

void
collector_status(struct collector *collector, struct collector_status *out)
{
	const struct account_counts counts = account_counts(collector->account);
	const char *problem = collector->problem[0] != '\0'       ? collector->problem
			      : collector->log_problem[0] != '\0' ? collector->log_problem
								  : collector->census_problem;

	memset(out, 0, sizeof(*out));
	out->log = collector->full                  ? "waiting"
		   : collector->log == TAIL_MISSING ? "missing"
		   : collector->log == TAIL_STOPPED ? "waiting"
						    : "following";
	out->log_at = collector->line_at;
	out->caught_up = collector->log == TAIL_END;
	out->census_at = collector->census_at;
	out->recipients = counts.held;
	out->messages = counts.messages;
	out->unaccounted = counts.unaccounted;
	if (spool_usage(collector->spool, &out->spool) != SPOOL_OK)
		memset(&out->spool, 0, sizeof(out->spool));
	snprintf(out->problem, sizeof(out->problem), "%s", problem);
}
