/*
 * tail_journal: the log in systemd's journal, through `journalctl --follow --output=json` as a
 * child (see tail.h; the fields: systemd.journal-fields(7), and "Journal Export Formats" for the
 * JSON).
 *
 * A child that ends is started anew, with growing pauses, behind the last line that was taken. A
 * cursor that the journal no longer knows is given up, and the time of the last line stands in for
 * it.
 */
#include "queued/tail_inner.h"

#include "queued/child.h"

#include <errno.h>
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
#define PAUSE_MOST_MS 30000

struct tail_journal {
	const char *command;
	char *problem;
	struct child child;
	char cursor[CURSOR_SIZE];   /* of the last line taken */
	int64_t at;                 /* its time, microseconds */
	int64_t start_ms, pause_ms; /* by the monotonic clock: not before; the last pause */
	bool lines;                 /* this child said something */
	bool no_cursor;             /* the journal does not know it */
	bool skipping;
	size_t used, taken; /* bytes in the buffer; those of lines that were given */
	char buffer[BUFFER_SIZE];
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the child -----------------------------------------------------------------------------------
 */

static bool
child_begin(struct tail_journal *journal)
{
	char after[CURSOR_SIZE + 32];
	char *argv[] = {(char *)(uintptr_t)journal->command, (char *)(uintptr_t) "--follow",
	    (char *)(uintptr_t) "--no-tail", (char *)(uintptr_t) "--output=json",
	    (char *)(uintptr_t) "--all", (char *)(uintptr_t) "--quiet", after,
	    (char *)(uintptr_t) "SYSLOG_FACILITY=2", NULL};

	if (journal->cursor[0] != '\0' && !journal->no_cursor)
		snprintf(after, sizeof(after), "--after-cursor=%s", journal->cursor);
	else if (journal->at > 0)
		snprintf(after, sizeof(after), "--since=@%" PRId64, journal->at / 1000000 + 1);
	else
		snprintf(after, sizeof(after), "--boot");
	journal->lines = false;
	journal->used = journal->taken = 0;
	journal->skipping = false;
	if (child_start(&journal->child, argv))
		return true;
	snprintf(journal->problem, TAIL_PROBLEM_SIZE, "%s: %s", journal->command, strerror(errno));
	return false;
}

/* It has ended: why, and when the next one may begin. */
static void
child_over(struct tail_journal *journal)
{
	char words[200];
	const ssize_t got = read(journal->child.err, words, sizeof(words) - 1);

	words[got > 0 ? got : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	child_stop(&journal->child);
	if (strstr(words, "cursor") != NULL)
		journal->no_cursor = true;
	snprintf(journal->problem, TAIL_PROBLEM_SIZE, "%s ended: %s%s", journal->command,
	    words[0] != '\0' ? words : "without a word",
	    strstr(words, "ermission") != NULL
		? ": mxhold-queued's user must be in group systemd-journal or adm"
		: "");
	journal->pause_ms = journal->lines                          ? 100
			    : journal->pause_ms < PAUSE_MOST_MS / 2 ? journal->pause_ms * 2 + 100
								    : PAUSE_MOST_MS;
	journal->start_ms = clock_ms() + journal->pause_ms;
}

/* --- lines
 * ------------------------------------------------------------------------------------------ */

/* A field's text; bytes that are no text come as an array of numbers. */
static size_t
field_text(const json_t *object, const char *name, char *out, size_t size)
{
	const json_t *value = json_object_get(object, name), *one;
	size_t used = 0, i;

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

/* False: the visitor would not take it. */
static bool
object_give(struct tail_journal *journal, const json_t *object, const struct tail_visit *visit)
{
	static char message[TAIL_LINE_MAX];
	char tag[256], text[CURSOR_SIZE];
	struct maillog_event event;
	size_t length = field_text(object, "__REALTIME_TIMESTAMP", text, sizeof(text) - 1);

	text[length] = '\0';
	const int64_t at = strtoll(text, NULL, 10);
	const size_t tag_length = field_text(object, "SYSLOG_IDENTIFIER", tag, sizeof(tag));
	length = field_text(object, "MESSAGE", message, sizeof(message));
	maillog_message(tag, tag_length, message, length, at, &event);
	if (!visit->visit(&event, visit->context))
		return false;
	length = field_text(object, "__CURSOR", text, sizeof(text) - 1);
	text[length] = '\0';
	snprintf(journal->cursor, sizeof(journal->cursor), "%s", text);
	journal->no_cursor = false;
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

static enum tail_state
child_read(struct tail_journal *journal)
{
	buffer_make_room(journal);
	const ssize_t got = read(journal->child.out, journal->buffer + journal->used,
	    sizeof(journal->buffer) - journal->used);

	if (got > 0) {
		journal->used += (size_t)got;
		return TAIL_MORE;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return TAIL_END;
	child_over(journal);
	return TAIL_MISSING;
}

enum tail_state
tail_journal_read(struct tail_journal *journal, const struct tail_visit *visit)
{
	unsigned left = visit->most;
	enum tail_state state = TAIL_MORE;

	if (journal->child.pid == 0 && (clock_ms() < journal->start_ms || !child_begin(journal)))
		return TAIL_MISSING;
	while (state == TAIL_MORE && left > 0) {
		state = lines_give(journal, visit, &left);
		if (state == TAIL_END)
			state = child_read(journal);
	}
	if (state == TAIL_END && journal->lines)
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
