/*
 * log: see log.h. A line is put together on the stack and handed over in one call, so that lines of
 * several processes never mix; it goes to syslog(3), or with a time and the process to stderr.
 *
 * It must never write a byte of a value that could end the line or begin another field, and a line
 * that was cut says so with ` cut=1`.
 */
#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2000
#define CUT_MARK " cut=1"

static const char *log_ident = "mxhold";
static bool log_to_stderr = true;

void
log_open(const char *ident, bool to_stderr)
{
	log_ident = ident;
	log_to_stderr = to_stderr;
	if (!to_stderr)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

struct log_field
kv_bytes(const char *key, const char *bytes, size_t length)
{
	return (struct log_field){.key = key, .text = bytes, .length = length};
}

struct log_field
kv(const char *key, const char *text)
{
	if (text == NULL)
		text = "";
	return kv_bytes(key, text, strlen(text));
}

struct log_field
kv_number(const char *key, long long number)
{
	return (struct log_field){.key = key, .number = number};
}

static bool
is_plain(unsigned char byte)
{
	return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '\'';
}

/* Writes one byte of a quoted value to `out` (at least 4 bytes). Returns the length. */
static size_t
escape_byte(char *out, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";

	if (byte == '"' || byte == '\\') {
		out[0] = '\\';
		out[1] = (char)byte;
		return 2;
	}
	if (byte >= ' ' && byte < 0x7f) {
		out[0] = (char)byte;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[byte >> 4];
	out[3] = hex[byte & 15];
	return 4;
}

static size_t
write_quoted(char *out, size_t size, const char *bytes, size_t length)
{
	size_t used = 0;

	if (size < sizeof("\"\"")) {
		out[0] = '\0';
		return 0;
	}
	out[used++] = '"';
	for (size_t i = 0; i < length; i++) {
		char piece[4];
		size_t n = escape_byte(piece, (unsigned char)bytes[i]);
		if (used + n + sizeof("\"") > size)
			break;
		memcpy(out + used, piece, n);
		used += n;
	}
	out[used++] = '"';
	out[used] = '\0';
	return used;
}

size_t
log_escape(char *out, size_t size, const char *bytes, size_t length)
{
	size_t plain = 0;

	if (size == 0)
		return 0;
	while (plain < length && is_plain((unsigned char)bytes[plain]))
		plain++;
	if (plain < length || length == 0)
		return write_quoted(out, size, bytes, length);
	if (length > size - 1)
		length = size - 1;
	memcpy(out, bytes, length);
	out[length] = '\0';
	return length;
}

struct line {
	char text[LINE_MAX_BYTES + 1];
	size_t used;
	bool cut;
};

/* How many bytes (with the NUL) a value may take, so that the mark still fits after it. */
static size_t
line_room(const struct line *line)
{
	return sizeof(line->text) - line->used - strlen(CUT_MARK);
}

static void
line_add_value(struct line *line, const struct log_field *field)
{
	char *out = line->text + line->used;
	size_t room = line_room(line);

	if (field->text == NULL) {
		int n = snprintf(out, room, "%lld", field->number);
		line->cut = (size_t)n >= room;
		line->used += line->cut ? room - 1 : (size_t)n;
		return;
	}
	/* The shortest escaped form of what does not fit would be as long as the room. */
	size_t n = log_escape(out, room, field->text, field->length);
	line->used += n;
	line->cut = n + sizeof("\\xff\"") > room;
}

/* Appends ` key=value`; of a field that does not fit in, as much as does. */
static void
line_add(struct line *line, const struct log_field *field)
{
	size_t key_length = strlen(field->key);
	size_t blank = line->used > 0 ? 1 : 0;

	if (line->cut)
		return;
	if (blank + key_length + sizeof("=\"\"") > line_room(line)) {
		line->cut = true;
		return;
	}
	if (blank)
		line->text[line->used++] = ' ';
	memcpy(line->text + line->used, field->key, key_length);
	line->used += key_length;
	line->text[line->used++] = '=';
	line_add_value(line, field);
}

static void
write_stderr(const char *text)
{
	char whole[LINE_MAX_BYTES + 200];
	char stamp[40];
	struct timespec now;
	struct tm utc;
	int keep = errno;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	int n = snprintf(whole, sizeof(whole), "%s.%03ldZ %.100s[%ld]: %s\n", stamp,
	    now.tv_nsec / 1000000, log_ident, (long)getpid(), text);
	size_t length = (size_t)n < sizeof(whole) ? (size_t)n : sizeof(whole) - 1;
	ssize_t written;
	do
		written = write(STDERR_FILENO, whole, length);
	while (written < 0 && errno == EINTR);
	errno = keep;
}

void
log_fields(int priority, const char *event, const struct log_field *fields)
{
	struct line line = {.used = 0};
	const struct log_field first = kv("event", event);

	line_add(&line, &first);
	for (; fields->key != NULL; fields++)
		line_add(&line, fields);
	if (line.cut) {
		memcpy(line.text + line.used, CUT_MARK, sizeof(CUT_MARK));
		line.used += strlen(CUT_MARK);
	}
	line.text[line.used] = '\0';
	if (log_to_stderr)
		write_stderr(line.text);
	else
		syslog(priority, "%s", line.text);
}
