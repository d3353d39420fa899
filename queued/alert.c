/*
 * alert: see alert.h. In: what alert_book finds to be told, and operators' acts. Out: rows and
 * notes in the spool, lines of the log, texts for the command. What the spool does not take now
 * waits, bounded, and is tried again.
 */
#include "queued/alert.h"

#include "core/log.h"
#include "queued/alert_command.h"
#include "queued/alert_queue.h"
#include "queued/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NOTE_PREFIX "alert/"
#define COMMAND_PREFIX "command/" /* texts that wait for the command, by id */
#define EVENT_PREFIX "!event/"
#define WRITE_MS 100        /* what comes together is written together */
#define WRITE_AGAIN_MS 5000 /* after the spool could not be written */
#define WRITE_MOST 500      /* rows of one transaction */
#define TICK_MAX_MS 60000

struct pending { /* what is not in the spool yet: a row, and an alert's note that goes with it */
	struct alert_item item;
	char id[ALERT_ID_SIZE]; /* of the row */
	char *row;              /* NULL: none */
	char *note;             /* NULL, if noted: it is to be removed */
	bool noted;             /* the alert's note changes with the row */
	bool too_late;          /* what waited for the command as `id` is to be removed */
};

struct alerts {
	struct alerts_setup setup;
	struct alert_book book;
	struct alert_command *command; /* NULL: none */
	struct event *on_tick, *on_write;
	struct alert_queue pending;
	size_t too_late; /* texts of a former process that no command can be given */
	bool failing;    /* the spool; said once */
};

static void
set_timer(struct event *timer, int64_t ms)
{
	const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)evtimer_add(timer, &wait);
}

/* --- what waits for the spool -------------------------------------------------------------------
 */

static void
drop(struct alert_item *item)
{
	struct pending *pending = KEYED_OWNER(item, struct pending, item);

	free(pending->row);
	free(pending->note);
	free(pending);
}

/* Takes `row` over. NULL: out of memory, or there is no spool. */
static struct pending *
pending_new(struct alerts *alerts, const char *id, char *row)
{
	struct pending *pending = NULL;

	if (alerts->setup.spool != NULL && (pending = calloc(1, sizeof(*pending))) == NULL)
		alerts->pending.lost++;
	if (pending == NULL) {
		free(row);
		return NULL;
	}
	(void)snprintf(pending->id, sizeof(pending->id), "%s", id);
	pending->row = row;
	return pending;
}

static void
write_soon(void *context)
{
	struct alerts *alerts = context;

	if (evtimer_pending(alerts->on_write, NULL) == 0)
		set_timer(alerts->on_write, WRITE_MS);
}

static bool
to_write(const struct alerts *alerts)
{
	return alerts->pending.first != NULL ||
	       (alerts->command != NULL && alert_command_count(alerts->command).changes > 0);
}

static enum spool_result
put_row(struct spool_writer *spool, const struct pending *pending, int64_t now_us)
{
	char key[SPOOL_KEY_MAX];

	(void)snprintf(key, sizeof(key), EVENT_PREFIX "%s", pending->id);
	const struct spool_entry entry = {.key = key,
	    .key_length = strlen(key),
	    .text = pending->row,
	    .length = strlen(pending->row),
	    .final = true};
	return spool_put(spool, &entry, now_us);
}

static enum spool_result
put_note(struct spool_writer *spool, const struct pending *pending)
{
	char key[SPOOL_KEY_MAX];

	(void)snprintf(key, sizeof(key), NOTE_PREFIX "%s/%s",
	    alert_kind_name(pending->item.key.kind), pending->item.key.domain);
	return spool_note(
	    spool, key, pending->note, pending->note != NULL ? strlen(pending->note) : 0);
}

static enum spool_result
put_command(struct spool_writer *spool, const char *id, const char *note)
{
	char key[SPOOL_KEY_MAX];

	(void)snprintf(key, sizeof(key), COMMAND_PREFIX "%s", id);
	return spool_note(spool, key, note, note != NULL ? strlen(note) : 0);
}

static bool
put(struct spool_writer *spool, const struct pending *pending, int64_t now_us)
{
	return (pending->row == NULL || put_row(spool, pending, now_us) == SPOOL_OK) &&
	       (!pending->noted || put_note(spool, pending) == SPOOL_OK) &&
	       (!pending->too_late || put_command(spool, pending->id, NULL) == SPOOL_OK);
}

static const char *const words[] = {
    [ALERT_RAISED] = "raised", [ALERT_ROSE] = "rose", [ALERT_ENDED] = "ended"};

struct change_put {
	struct spool_writer *spool;
	bool refused;
};

static bool
put_change(void *context, const struct alert_command_change *change)
{
	struct change_put *changes = context;
	json_t *object = NULL;
	char *note = NULL;

	if (change->text != NULL) {
		object = json_pack("{s:s, s:s, s:s, s:s}", "word", words[change->word], "kind",
		    alert_kind_name(change->kind), "domain", change->domain, "text", change->text);
		note = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	}
	changes->refused = (change->text != NULL && note == NULL) ||
			   put_command(changes->spool, change->id, note) != SPOOL_OK;
	free(note);
	json_decref(object);
	return !changes->refused;
}

/* Changes of what waits for the command are written before the rows: what stands when the process
   dies has then been told, or will be. */
static bool
put_some(struct alerts *alerts, size_t *changed, size_t *rows)
{
	struct change_put changes = {.spool = alerts->setup.spool};
	const struct alert_item *item = alerts->pending.first;
	const int64_t now_us = clock_wall_us();

	*changed = *rows = 0;
	if (alerts->command != NULL)
		*changed = alert_command_changes(alerts->command, WRITE_MOST, put_change, &changes);
	if (changes.refused)
		return false;
	for (; item != NULL && *changed + *rows < WRITE_MOST; item = item->next, ++*rows)
		if (!put(changes.spool, KEYED_OWNER(item, const struct pending, item), now_us))
			return false;
	return true;
}

/* Writes some of what waits, in one transaction. False: the spool refuses, and all of it waits. */
static bool
write_some(struct alerts *alerts)
{
	struct spool_writer *spool = alerts->setup.spool;
	size_t changed, rows;

	if (spool_begin(spool) != SPOOL_OK)
		return false;
	if (!put_some(alerts, &changed, &rows)) {
		spool_abort(spool);
		return false;
	}
	if (spool_commit(spool) != SPOOL_OK)
		return false;
	if (alerts->command != NULL)
		alert_command_kept(alerts->command, changed);
	while (rows-- > 0)
		drop(alert_queue_take(&alerts->pending));
	return true;
}

static void
write_rows(struct alerts *alerts)
{
	const bool written = write_some(alerts);

	if (!written && !alerts->failing)
		log_event(LOG_ERR, "alerts-not-written",
		    kv("error", spool_writer_problem(alerts->setup.spool)),
		    kv("effect", "they wait, and are tried again"));
	alerts->failing = !written;
	if (to_write(alerts))
		set_timer(alerts->on_write, alerts->failing ? WRITE_AGAIN_MS : 0);
}

static void
on_write(evutil_socket_t fd, short what, void *context)
{
	struct alerts *alerts = context;

	(void)fd;
	(void)what;
	if (to_write(alerts))
		write_rows(alerts);
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Unique, and in the order of time. */
static void
make_id(char out[ALERT_ID_SIZE], int64_t us)
{
	uint64_t chance = 0;

	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != (ssize_t)sizeof(chance))
		chance = (uint64_t)random() << 32 ^ (uint64_t)random();
	(void)snprintf(out, ALERT_ID_SIZE, "%016llx-%016llx", (unsigned long long)us,
	    (unsigned long long)chance);
}

static json_t *
time_text(int64_t seconds)
{
	const time_t when = (time_t)seconds;
	char text[32] = "";
	struct tm parts;

	if (gmtime_r(&when, &parts) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_string(text);
}

static json_t *
duration_of(enum alert_word word, const struct alert_standing *standing, int64_t now)
{
	if (word != ALERT_ENDED)
		return json_null();
	return json_integer(now > standing->since ? now - standing->since : 0);
}

static char *
row_text(enum alert_word word, const struct alert_standing *standing, int64_t us, const char *id)
{
	json_t *object = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:s, s:I, s:b, s:o}",
	    "kind", "event", "id", id, "at", (json_int_t)us, "event", "alert", "alert",
	    alert_kind_name(standing->kind), "domain", standing->domain, "level",
	    (int)standing->level, "text", standing->text, "since",
	    (json_int_t)standing->since * 1000000, "ended", word == ALERT_ENDED, "duration",
	    duration_of(word, standing, us / 1000000));
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static char *
command_text(const struct alerts *alerts, enum alert_word word,
    const struct alert_standing *standing, int64_t now)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:b, s:o}", "alert",
	    alert_kind_name(standing->kind), "domain", standing->domain, "relay",
	    alerts->setup.relay, "region", alerts->setup.region, "level", (int)standing->level,
	    "text", standing->text, "at", time_text(now), "since", time_text(standing->since),
	    "ended", word == ALERT_ENDED, "duration", duration_of(word, standing, now));
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(object);
	return text;
}

static char *
note_text(const struct alert_standing *standing)
{
	json_t *object = json_pack("{s:s, s:s, s:i, s:s, s:I}", "kind",
	    alert_kind_name(standing->kind), "domain", standing->domain, "level",
	    (int)standing->level, "text", standing->text, "since", (json_int_t)standing->since);
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void
tell_log(enum alert_word word, const struct alert_standing *standing, int64_t now)
{
	if (word == ALERT_ENDED)
		log_event(LOG_NOTICE, "alert-ended", kv("alert", alert_kind_name(standing->kind)),
		    kv("domain", standing->domain),
		    kv_number("duration", (long long)(now - standing->since)));
	else
		log_event(LOG_WARNING, "alert", kv("alert", alert_kind_name(standing->kind)),
		    kv("domain", standing->domain), kv_number("level", standing->level),
		    kv("text", standing->text));
}

static void
keep_alert(struct alerts *alerts, enum alert_word word, const struct alert_standing *standing,
    int64_t us, const char *id)
{
	struct pending *pending;

	pending = pending_new(alerts, id, row_text(word, standing, us, id));
	if (pending == NULL)
		return;
	pending->note = word == ALERT_ENDED ? NULL : note_text(standing);
	pending->noted = word == ALERT_ENDED || pending->note != NULL;
	if (alert_queue_add(&alerts->pending, &pending->item, word, standing))
		write_soon(alerts);
}

static void
tell(void *context, enum alert_word word, const struct alert_standing *standing)
{
	struct alerts *alerts = context;
	const int64_t us = clock_wall_us(), now = us / 1000000;
	char id[ALERT_ID_SIZE];

	make_id(id, us);
	tell_log(word, standing, now);
	keep_alert(alerts, word, standing, us, id);
	if (alerts->command != NULL)
		alert_command_run(
		    alerts->command, word, standing, id, command_text(alerts, word, standing, now));
}

static void
tick(struct alerts *alerts, struct queued_time now)
{
	const int64_t next = alert_book_tick(&alerts->book, now);
	const int64_t wait = next > now.ms ? next - now.ms : 0;

	set_timer(alerts->on_tick, wait < TICK_MAX_MS ? wait : TICK_MAX_MS);
}

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	tick(context, clock_now());
}

void
alerts_raise(struct alerts *alerts, const struct alert *alert)
{
	const struct queued_time now = clock_now();

	alert_book_raise(&alerts->book, alert, now);
	tick(alerts, now);
}

void
alerts_end(struct alerts *alerts, enum alert_kind kind, const char *domain)
{
	const struct queued_time now = clock_now();

	alert_book_end(&alerts->book, kind, domain, now);
	tick(alerts, now);
}

void
alerts_sweep(struct alerts *alerts, enum alert_kind kind, alert_keep *wanted, void *context)
{
	const struct queued_time now = clock_now();

	alert_book_sweep(&alerts->book, kind, wanted, context, now);
	tick(alerts, now);
}

bool
alerts_restored(const struct alerts *alerts, enum alert_kind kind, const char *domain)
{
	return alert_book_restored(&alerts->book, kind, domain);
}

void
alerts_act(struct alerts *alerts, const struct alerts_act *act)
{
	const int64_t us = clock_wall_us();
	struct pending *pending;
	char id[ALERT_ID_SIZE], *text;
	json_t *object;

	log_event(LOG_NOTICE, "operator", kv("do", act->act), kv("domain", act->domain),
	    kv("queue_id", act->queue_id), kv("by", act->by), kv("text", act->text));
	make_id(id, us);
	object = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o}", "kind", "event", "id",
	    id, "at", (json_int_t)us, "event", act->act, "domain", act->domain, "queue_id",
	    act->queue_id, "by", act->by, "text", act->text, "until",
	    act->until != 0 && act->until != HOLD_FOREVER ? json_integer(act->until) : json_null());
	text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	pending = text != NULL ? pending_new(alerts, id, text) : NULL;
	if (pending != NULL && alert_queue_add_other(&alerts->pending, &pending->item))
		write_soon(alerts);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool
restore(const struct spool_entry *note, void *context)
{
	struct alerts *alerts = context;
	json_t *object = json_loadb(note->text, note->length, 0, NULL);
	const char *kind, *domain, *text;
	struct alert_standing standing = {.level = 0};
	json_int_t since;
	int level;

	if (json_unpack(object, "{s:s, s:s, s:i, s:s, s:I}", "kind", &kind, "domain", &domain,
		"level", &level, "text", &text, "since", &since) == 0 &&
	    strlen(domain) < sizeof(standing.domain)) {
		standing.kind = alert_kind_of(kind);
		standing.level = level > 0 ? (unsigned)level : 0;
		standing.since = since;
		(void)snprintf(standing.domain, sizeof(standing.domain), "%s", domain);
		(void)snprintf(standing.text, sizeof(standing.text), "%s", text);
		alert_book_restore(&alerts->book, &standing, clock_now());
	}
	json_decref(object);
	return true;
}

/* Of words[]; their number: it is none of them. */
static size_t
word_of(const char *text)
{
	size_t i = 0;

	while (i < sizeof(words) / sizeof(words[0]) && strcmp(words[i], text) != 0)
		i++;
	return i;
}

/* False: it is not what put_change() writes. */
static bool
resume_text(struct alerts *alerts, const char *id, const struct spool_entry *note)
{
	json_t *object = json_loadb(note->text, note->length, 0, NULL);
	const char *word, *kind, *domain, *text;
	struct alert_standing standing = {.level = 0};
	bool good = false;

	if (json_unpack(object, "{s:s, s:s, s:s, s:s}", "word", &word, "kind", &kind, "domain",
		&domain, "text", &text) == 0 &&
	    word_of(word) < sizeof(words) / sizeof(words[0])) {
		standing.kind = alert_kind_of(kind);
		(void)snprintf(standing.domain, sizeof(standing.domain), "%s", domain);
		good = alert_command_resume(
		    alerts->command, (enum alert_word)word_of(word), &standing, id, strdup(text));
	}
	json_decref(object);
	return good;
}

/* What waited for the command when a former process ended, in the order of its time. */
static bool
resume(const struct spool_entry *note, void *context)
{
	const size_t prefix = strlen(COMMAND_PREFIX), length = note->key_length - prefix;
	struct alerts *alerts = context;
	struct pending *pending;
	char id[ALERT_ID_SIZE] = "";

	if (length >= sizeof(id))
		return true;
	memcpy(id, note->key + prefix, length);
	if (alerts->command != NULL && resume_text(alerts, id, note))
		return true;
	alerts->too_late++;
	pending = pending_new(alerts, id, NULL);
	if (pending == NULL)
		return true;
	pending->too_late = true;
	if (alert_queue_add_other(&alerts->pending, &pending->item))
		write_soon(alerts);
	return true;
}

static bool
read_notes(struct alerts *alerts)
{
	struct spool_writer *spool = alerts->setup.spool;

	if (spool == NULL)
		return true;
	if (spool_each_note(spool, NOTE_PREFIX, restore, alerts) == SPOOL_UNUSABLE ||
	    spool_each_note(spool, COMMAND_PREFIX, resume, alerts) == SPOOL_UNUSABLE)
		return false;
	if (alerts->too_late > 0)
		log_event(LOG_WARNING, "alert-command-lost",
		    kv_number("lost", (long long)alerts->too_late),
		    kv("reason", alerts->command == NULL
				     ? "they waited for a command, and there is none any more"
				     : "they cannot be read"));
	return true;
}

struct alerts *
alerts_new(const struct alerts_setup *setup)
{
	struct alerts *alerts = calloc(1, sizeof(*alerts));

	if (alerts == NULL)
		return NULL;
	alerts->setup = *setup;
	alerts->pending = (struct alert_queue){.most = ALERT_ROWS, .drop = drop};
	alerts->book = (struct alert_book){.tell = tell, .context = alerts};
	alerts->on_tick = evtimer_new(setup->base, on_tick, alerts);
	alerts->on_write = evtimer_new(setup->base, on_write, alerts);
	if (setup->command != NULL)
		alerts->command = alert_command_new(
		    setup->base, setup->command, setup->spool != NULL ? write_soon : NULL, alerts);
	if (alerts->on_tick == NULL || alerts->on_write == NULL ||
	    (setup->command != NULL && alerts->command == NULL)) {
		alerts_free(alerts);
		return NULL;
	}
	if (!read_notes(alerts))
		log_event(LOG_WARNING, "alerts-not-read",
		    kv("error", spool_writer_problem(setup->spool)),
		    kv("effect", "what stands is told once more"));
	tick(alerts, clock_now());
	return alerts;
}

/* What waits for the command is handed to it by the next process, if it could be kept. */
static void
leave_commands(const struct alerts *alerts)
{
	struct alert_command_counts counts = {.waiting = 0};
	size_t lost;

	if (alerts->command != NULL)
		counts = alert_command_count(alerts->command);
	lost = alerts->setup.spool != NULL ? counts.unkept : counts.waiting;
	if (lost > 0)
		log_event(LOG_ERR, "alert-command-lost", kv_number("lost", (long long)lost),
		    kv("reason", "the spool did not take them"));
	if (counts.waiting > lost)
		log_event(LOG_NOTICE, "alert-command-waits",
		    kv_number("waiting", (long long)(counts.waiting - lost)),
		    kv("effect", "the next start hands them over"));
}

void
alerts_free(struct alerts *alerts)
{
	if (alerts == NULL)
		return;
	while (to_write(alerts) && write_some(alerts))
		continue;
	leave_commands(alerts);
	alert_queue_free(&alerts->pending);
	if (alerts->on_tick != NULL)
		event_free(alerts->on_tick);
	if (alerts->on_write != NULL)
		event_free(alerts->on_write);
	alert_command_free(alerts->command);
	alert_book_free(&alerts->book);
	free(alerts);
}

void
alerts_each(struct alerts *alerts, alert_visit *visit, void *context)
{
	alert_book_each(&alerts->book, visit, context);
}

struct alerts_counts
alerts_count(const struct alerts *alerts)
{
	struct alerts_counts counts = {.standing = alerts->book.standing,
	    .waiting_rows = alerts->pending.count,
	    .lost_rows = alerts->pending.lost};

	if (alerts->command != NULL) {
		const struct alert_command_counts commands = alert_command_count(alerts->command);
		counts.waiting_commands = commands.waiting;
		counts.running = commands.running;
		counts.lost_commands = commands.lost;
		counts.failed_commands = commands.failed;
	}
	return counts;
}
