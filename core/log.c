/*
 * log: see log.h. A line is put together on the stack and handed over in one call, so that lines of
 * several processes never mix; it goes to the socket of syslogd (in the form of syslog(3)), or with
 * a time and the process to stderr.
 *
 * syslog(3) itself would wait for ever for a syslogd that is stopped, and with it all mail: here
 * whoever does not take a line within WAIT_MS gets none for MUTE_MS, and is then told how many were
 * lost.
 *
 * It must never write a byte of a value that could end the line or begin another field, and a line
 * that was cut says so with ` cut=1`.
 */
#include "core/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2000
#define CUT_MARK " cut=1"
#define WAIT_MS 20
#define MUTE_MS 1000

static const char *log_ident = "mxhold";
static bool log_to_stderr = true;
static const char *log_path = "/dev/log";

static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	int fd;              /* to syslogd; -1: not connected */
	int64_t muted_until; /* milliseconds, monotonic */
	long long lost;
} sink = {.fd = -1};

void
log_open(const char *ident, bool to_stderr)
{
	log_ident = ident;
	log_to_stderr = to_stderr;
}

void
log_set_socket(const char *path)
{
	log_path = path;
}

void
log_after_fork(void)
{
	sink.fd = -1;
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

/* --- handing over ----------------------------------------------------------------- */

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Is there room within WAIT_MS? A signal does not shorten that, nor do many make it longer. */
static bool
writable_soon(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	const int64_t end = clock_ms() + WAIT_MS;
	int64_t left = WAIT_MS;
	int ready;

	do {
		ready = poll(&wait, 1, left > 0 ? (int)left : 0);
		left = end - clock_ms();
	} while (ready < 0 && errno == EINTR && left > 0);
	return ready > 0 && (wait.revents & POLLOUT) != 0;
}

/* A pipe with room takes a line of less than PIPE_BUF bytes without waiting. */
static bool
write_stderr(const char *text)
{
	char whole[LINE_MAX_BYTES + 200];
	char stamp[40];
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	int n = snprintf(whole, sizeof(whole), "%s.%03ldZ %.100s[%ld]: %s\n", stamp,
	    now.tv_nsec / 1000000, log_ident, (long)getpid(), text);
	size_t length = (size_t)n < sizeof(whole) ? (size_t)n : sizeof(whole) - 1;
	if (!writable_soon(STDERR_FILENO))
		return false;
	ssize_t written;
	do
		written = write(STDERR_FILENO, whole, length);
	while (written < 0 && errno == EINTR);
	return true;
}

static bool
syslog_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(log_path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, log_path, strlen(log_path));
	sink.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sink.fd < 0)
		return false;
	if (connect(sink.fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	(void)close(sink.fd);
	sink.fd = -1;
	return false;
}

/* Sends one datagram; after a failure of the connection (syslogd was restarted), once more. */
static bool
syslog_send(const char *bytes, size_t length)
{
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		if (sink.fd < 0 && !syslog_connect())
			return false;
		if (send(sink.fd, bytes, length, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS)
			return writable_soon(sink.fd) &&
			       send(sink.fd, bytes, length, MSG_NOSIGNAL) >= 0;
		(void)close(sink.fd);
		sink.fd = -1;
	}
	return false;
}

static bool
write_syslog(int priority, const char *text)
{
	char whole[LINE_MAX_BYTES + 200];
	char stamp[40];
	time_t now = time(NULL);
	struct tm local;

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%h %e %T", &local);
	int n = snprintf(whole, sizeof(whole), "<%d>%s %.100s[%ld]: %s", LOG_MAIL | priority, stamp,
	    log_ident, (long)getpid(), text);
	return syslog_send(whole, (size_t)n < sizeof(whole) ? (size_t)n : sizeof(whole) - 1);
}

static bool
write_line(int priority, const char *text)
{
	return log_to_stderr ? write_stderr(text) : write_syslog(priority, text);
}

/* With the lock held. */
static void
hand_over(int priority, const char *text)
{
	char lost[80];

	if (sink.lost > 0 && clock_ms() < sink.muted_until) {
		sink.lost++;
		return;
	}
	if (sink.lost > 0) {
		(void)snprintf(lost, sizeof(lost), "event=log-lost lines=%lld", sink.lost);
		if (write_line(LOG_WARNING, lost))
			sink.lost = 0;
	}
	if (sink.lost == 0 && write_line(priority, text))
		return;
	sink.lost++;
	sink.muted_until = clock_ms() + MUTE_MS;
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
	int keep = errno;
	pthread_mutex_lock(&sink_lock);
	hand_over(priority, line.text);
	pthread_mutex_unlock(&sink_lock);
	errno = keep;
}
