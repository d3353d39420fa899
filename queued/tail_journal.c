/*
 * tail_journal: the log in systemd's journal, through `journalctl --follow --output=json` as a
 * child (see tail.h; the fields: systemd.journal-fields(7), and "Journal Export Formats" for the
 * JSON).
 *
 * A child that ends is started anew, with growing pauses, at the last line that was taken. It must
 * give this very line first: where it gives another one, the journal has lost lines meanwhile
 * (vacuumed), and that is told. So is what journald itself says to have dropped of Postfix. A
 * cursor that journalctl refuses is given up, and the time of the last line stands in for it.
 */
#include "queued/tail_inner.h"

#include "queued/child.h"
#include "queued/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CURSOR_SIZE 512
#define BUFFER_SIZE                                                                                \
	(4 * TAIL_LINE_MAX) /* a message as an array of numbers takes four times as much */
#define PIPE_SIZE (1 << 20)
#define PAUSE_MOST_MS 30000
#define QUIET_MS 1000    /* nothing for so long: all was read */
#define BEGIN_MS 10000   /* the same of a child that said nothing yet: it still opens its files */
#define FRESH_US 1000000 /* a line not older is the present */
#define TOLD_MS 10000    /* what was lost is shown for so long */
#define TOLD_NEVER (-TOLD_MS - 1)
#define MESSAGE_DROPPED "a596d6fe7bfa4994828e72309e95d61e" /* SD_MESSAGE_JOURNAL_DROPPED */

static const char match_dropped[] = "MESSAGE_ID=" MESSAGE_DROPPED;

struct tail_journal {
	const char *command;
	char *problem;
	struct child child;
	char cursor[CURSOR_SIZE];   /* of the last line taken */
	int64_t at;                 /* its time, microseconds */
	int64_t start_ms, pause_ms; /* by the monotonic clock: not before; the last pause */
	int64_t heard_ms, told_ms;  /* last bytes of this child, or its start; of a loss */
	bool lines;                 /* this child said something */
	bool fresh;                 /* and something new */
	bool checking;              /* its first line must be the last one taken */
	bool no_cursor;             /* the journal does not know it */
	bool skipping;
	char words[200];    /* its last complaint */
	size_t used, taken; /* bytes in the buffer; those of lines that were given */
	char buffer[BUFFER_SIZE];
};

/* --- the child -----------------------------------------------------------------------------------
 */

/* When the next one may begin: at once after one that was of use. */
static void
pause_grow(struct tail_journal *journal)
{
	journal->pause_ms = journal->fresh                          ? 100
			    : journal->pause_ms < PAUSE_MOST_MS / 2 ? journal->pause_ms * 2 + 100
								    : PAUSE_MOST_MS;
	journal->start_ms = clock_run_ms() + journal->pause_ms;
}

static bool
child_begin(struct tail_journal *journal)
{
	char after[CURSOR_SIZE + 32];
	const char *const argv[] = {journal->command, "--follow", "--no-tail", "--output=json",
	    "--all", "--quiet", after, "SYSLOG_FACILITY=2", "+", match_dropped, NULL};

	journal->checking = journal->cursor[0] != '\0' && !journal->no_cursor;
	if (journal->checking)
		snprintf(after, sizeof(after), "--cursor=%s", journal->cursor);
	else if (journal->at > 0)
		snprintf(after, sizeof(after), "--since=@%" PRId64 ".%06" PRId64,
		    (journal->at + 1) / 1000000, (journal->at + 1) % 1000000);
	else
		snprintf(after, sizeof(after), "--boot");
	journal->lines = journal->fresh = false;
	journal->used = journal->taken = 0;
	journal->skipping = false;
	journal->words[0] = '\0';
	journal->heard_ms = clock_run_ms();
	if (child_start(&journal->child, argv)) {
		/* Room for what comes between two looks; where it is not given, 64 KiB must do. */
		(void)fcntl(journal->child.out, F_SETPIPE_SZ, PIPE_SIZE);
		return true;
	}
	snprintf(journal->problem, TAIL_PROBLEM_SIZE, "%s: %s", journal->command, strerror(errno));
	journal->told_ms = TOLD_NEVER;
	pause_grow(journal);
	return false;
}

/* Its complaints are read as they come, so that it never waits for us; the last one is kept. */
static void
words_read(struct tail_journal *journal)
{
	char words[4096], *end;
	ssize_t got;

	while ((got = read(journal->child.err, words, sizeof(words) - 1)) > 0) {
		words[got] = '\0';
		while (got > 0 && words[got - 1] == '\n')
			words[--got] = '\0';
		end = strrchr(words, '\n');
		snprintf(journal->words, sizeof(journal->words), "%.*s",
		    (int)sizeof(journal->words) - 1, end != NULL ? end + 1 : words);
	}
}

/* It has ended: why. */
static void
child_over(struct tail_journal *journal)
{
	words_read(journal);
	child_stop(&journal->child);
	if (strstr(journal->words, "cursor") != NULL)
		journal->no_cursor = true;
	snprintf(journal->problem, TAIL_PROBLEM_SIZE, "%s ended: %s%s", journal->command,
	    journal->words[0] != '\0' ? journal->words : "without a word",
	    strstr(journal->words, "ermission") != NULL
		? ": mxhold-queued's user must be in group systemd-journal or adm"
		: "");
	journal->told_ms = TOLD_NEVER;
	pause_grow(journal);
}

/* --- lines
 * ------------------------------------------------------------------------------------------ */

/* A field's text; bytes that are no text come as an array of numbers, and a field that stands more
 * than once as an array of its values: the first counts. */
static size_t
field_text(const json_t *object, const char *name, char *out, size_t size)
{
	const json_t *value = json_object_get(object, name), *one;
	size_t used = 0, i;

	one = json_array_get(value, 0);
	if (json_is_string(one) || json_is_array(one))
		value = one;
	if (json_is_string(value)) {
		used = json_string_length(value) < size ? json_string_length(value) : size;
		memcpy(out, json_string_value(value), used);
		return used;
	}
	json_array_foreach(value, i, one)
	{
		if (used < size)
			out[used++] = (char)json_integer_value(one);
	}
	return used;
}

static void
field_string(const json_t *object, const char *name, char *out, size_t size)
{
	out[field_text(object, name, out, size - 1)] = '\0';
}

/* The same entry? What comes before the boot's id changes when journald moves it from /run to /var.
 */
static bool
cursor_is(const char *one, const char *other)
{
	const char *one_boot = strstr(one, ";b="), *other_boot = strstr(other, ";b=");

	return one_boot != NULL && other_boot != NULL ? strcmp(one_boot, other_boot) == 0
						      : strcmp(one, other) == 0;
}

static void
loss_tell(struct tail_journal *journal, const char *words, const char *more)
{
	snprintf(
	    journal->problem, TAIL_PROBLEM_SIZE, "lines of Postfix are lost: %s%s", words, more);
	journal->told_ms = clock_run_ms();
}

/* The first line of a child: true if it is the last one taken, and so not to be taken again. */
static bool
line_is_known(struct tail_journal *journal, const json_t *object)
{
	char cursor[CURSOR_SIZE], when[40] = "";
	const time_t at = (time_t)(journal->at / 1000000);
	struct tm parts;

	journal->checking = false;
	field_string(object, "__CURSOR", cursor, sizeof(cursor));
	if (cursor_is(cursor, journal->cursor))
		return true;
	if (gmtime_r(&at, &parts) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
	loss_tell(journal, "systemd's journal was cut and no longer has those from ", when);
	return false;
}

/* journald says what it threw away (RateLimitBurst), with the unit's name. */
static void
dropped_tell(struct tail_journal *journal, const json_t *object)
{
	char id[64], words[160];

	field_string(object, "MESSAGE_ID", id, sizeof(id));
	field_string(object, "MESSAGE", words, sizeof(words));
	if (strcmp(id, MESSAGE_DROPPED) == 0 && strstr(words, "postfix") != NULL)
		loss_tell(journal, "journald: ", words);
}

/* False: the visitor would not take it. */
static bool
object_give(struct tail_journal *journal, const json_t *object, const struct tail_visit *visit)
{
	static char message[TAIL_LINE_MAX];
	char tag[256], text[CURSOR_SIZE];
	struct maillog_event event;

	if (journal->checking && line_is_known(journal, object))
		return true;
	field_string(object, "__REALTIME_TIMESTAMP", text, sizeof(text));
	const int64_t at = strtoll(text, NULL, 10);
	const size_t tag_length = field_text(object, "SYSLOG_IDENTIFIER", tag, sizeof(tag));
	const size_t length = field_text(object, "MESSAGE", message, sizeof(message));
	maillog_message(tag, tag_length, message, length, at, &event);
	if (!visit->visit(&event, visit->context))
		return false;
	dropped_tell(journal, object);
	field_string(object, "__CURSOR", journal->cursor, sizeof(journal->cursor));
	journal->no_cursor = false;
	journal->fresh = true;
	journal->at = at;
	return true;
}

static bool
line_give(
    struct tail_journal *journal, const char *line, size_t length, const struct tail_visit *visit)
{
	json_t *object = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
	const bool taken = !json_is_object(object) || object_give(journal, object, visit);

	json_decref(object);
	return taken;
}

static enum tail_state
lines_give(struct tail_journal *journal, const struct tail_visit *visit, unsigned *left)
{
	char *feed;

	while (*left > 0 && (feed = memchr(journal->buffer + journal->taken, '\n',
				 journal->used - journal->taken)) != NULL) {
		const char *line = journal->buffer + journal->taken;
		if (!journal->skipping && !line_give(journal, line, (size_t)(feed - line), visit))
			return TAIL_STOPPED;
		journal->skipping = false;
		journal->lines = true;
		journal->taken = (size_t)(feed + 1 - journal->buffer);
		--*left;
	}
	return *left == 0 ? TAIL_MORE : TAIL_END;
}

/* Room at the buffer's end; a line that fills all of it is passed over. */
static void
buffer_make_room(struct tail_journal *journal)
{
	memmove(journal->buffer, journal->buffer + journal->taken, journal->used - journal->taken);
	journal->used -= journal->taken;
	journal->taken = 0;
	if (journal->used < sizeof(journal->buffer))
		return;
	journal->skipping = true;
	journal->used = 0;
}

/* Nothing is there just now: is that all, or has journalctl only not come so far? */
static enum tail_state
pause_state(const struct tail_journal *journal, int64_t now)
{
	const int64_t quiet_ms = clock_run_ms() - journal->heard_ms;

	if (journal->fresh && journal->at >= now * 1000000 - FRESH_US)
		return TAIL_END;
	return quiet_ms >= (journal->lines ? QUIET_MS : BEGIN_MS) ? TAIL_END : TAIL_LATER;
}

static enum tail_state
child_read(struct tail_journal *journal, int64_t now)
{
	words_read(journal);
	buffer_make_room(journal);
	const ssize_t got = read(journal->child.out, journal->buffer + journal->used,
	    sizeof(journal->buffer) - journal->used);

	if (got > 0) {
		journal->used += (size_t)got;
		journal->heard_ms = clock_run_ms();
		return TAIL_MORE;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return pause_state(journal, now);
	child_over(journal);
	return TAIL_MISSING;
}

enum tail_state
tail_journal_read(struct tail_journal *journal, const struct tail_visit *visit)
{
	unsigned left = visit->most;
	enum tail_state state = TAIL_MORE;

	if (journal->child.pid == 0 &&
	    (clock_run_ms() < journal->start_ms || !child_begin(journal)))
		return TAIL_MISSING;
	while (state == TAIL_MORE && left > 0) {
		state = lines_give(journal, visit, &left);
		if (state == TAIL_END)
			state = child_read(journal, visit->now);
	}
	if (journal->lines && state != TAIL_MISSING && clock_run_ms() - journal->told_ms > TOLD_MS)
		journal->problem[0] = '\0';
	return state;
}

/* --- life
 * ------------------------------------------------------------------------------------------- */

struct tail_journal *
tail_journal_new(char *problem)
{
	struct tail_journal *journal = calloc(1, sizeof(*journal));

	if (journal == NULL)
		return NULL;
	journal->command = "/usr/bin/journalctl";
	journal->problem = problem;
	journal->told_ms = TOLD_NEVER;
	journal->child = CHILD_NONE;
	return journal;
}

void
tail_journal_free(struct tail_journal *journal)
{
	if (journal == NULL)
		return;
	child_stop(&journal->child);
	free(journal);
}

void
tail_journal_command(struct tail_journal *journal, const char *path)
{
	journal->command = path;
}

void
tail_journal_seek(struct tail_journal *journal, const char *position)
{
	static const char head[] = "journald ";
	char *cursor;

	child_stop(&journal->child);
	journal->cursor[0] = '\0';
	journal->at = 0;
	if (strncmp(position, head, sizeof(head) - 1) != 0)
		return;
	errno = 0;
	const int64_t at = strtoll(position + sizeof(head) - 1, &cursor, 10);
	if (errno != 0 || *cursor++ != ' ')
		return;
	journal->at = at;
	if (strlen(cursor) < sizeof(journal->cursor))
		snprintf(journal->cursor, sizeof(journal->cursor), "%s", cursor);
}

bool
tail_journal_position(const struct tail_journal *journal, char out[TAIL_POSITION_SIZE])
{
	out[0] = '\0';
	if (journal->cursor[0] == '\0')
		return false;
	snprintf(out, TAIL_POSITION_SIZE, "journald %" PRId64 " %s", journal->at, journal->cursor);
	return true;
}
