/*
 * queue_talk: see queue_talk.h.
 */
#include "ctl/queue_talk.h"

#include "core/snapshot.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "queue-control"
#define SEND_MS 10000

static void __attribute__((format(printf, 2, 3)))
tell(struct queue_talk *talk, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(talk->problem, sizeof(talk->problem), format, arguments);
	va_end(arguments);
	if (!talk->silent)
		ctl_say("%s", talk->problem);
}

static int
unreachable(struct queue_talk *talk, const char *why)
{
	tell(talk, "mxhold-queued does not answer at %s: %s", talk->path, why);
	return CTL_UNAVAILABLE;
}

int
queue_talk_open(struct queue_talk *talk, const struct ctl *ctl, bool quiet)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *directory = ctl->conf->paths.socket_dir;

	*talk = (struct queue_talk){.socket = -1, .silent = talk->silent};
	if ((size_t)snprintf(talk->path, sizeof(talk->path), "%s/" SOCKET_NAME, directory) >=
	    sizeof(talk->path)) {
		tell(talk, "%s/" SOCKET_NAME ": too long for the path of a socket", directory);
		return CTL_CONFIG;
	}
	memcpy(address.sun_path, talk->path, sizeof(address.sun_path));
	talk->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (talk->socket < 0) {
		tell(talk, "socket: %s", strerror(errno));
		return CTL_OSERR;
	}
	if (connect(talk->socket, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return CTL_OK;
	const int error = errno;
	close(talk->socket);
	talk->socket = -1;
	if (quiet && error != EACCES)
		return CTL_UNAVAILABLE;
	return unreachable(talk, error == EACCES
				     ? "no permission: it needs root, or the group of [users] group"
				     : strerror(error));
}

void
queue_talk_close(struct queue_talk *talk)
{
	if (talk->socket >= 0)
		close(talk->socket);
	talk->socket = -1;
	text_free(&talk->input);
}

/* `deadline` in boot milliseconds; -1: none. */
static bool
wait_for(const struct queue_talk *talk, short events, int64_t deadline)
{
	struct pollfd wait = {.fd = talk->socket, .events = events};
	int ready, left = -1;

	do {
		if (deadline >= 0) {
			const int64_t until = deadline - snapshot_clock_boot_ms();
			left = until > 0 ? (int)until : 0;
		}
		ready = poll(&wait, 1, left);
	} while (ready < 0 && errno == EINTR);
	return ready > 0;
}

static int
send_text(struct queue_talk *talk, const char *bytes, size_t length)
{
	const int64_t deadline = snapshot_clock_boot_ms() + SEND_MS;

	while (length > 0) {
		const ssize_t sent = send(talk->socket, bytes, length, MSG_NOSIGNAL);
		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
		} else if (errno != EAGAIN && errno != EINTR) {
			return unreachable(talk, strerror(errno));
		} else if (!wait_for(talk, POLLOUT, deadline)) {
			return unreachable(talk, "it takes no request in time");
		}
	}
	return CTL_OK;
}

/* The next line, without its line feed; NULL: it is not all there yet. */
static char *
take_line(struct queue_talk *talk, size_t *length)
{
	char *begin = talk->input.bytes + talk->taken, *end;
	const size_t have = talk->input.length - talk->taken;

	end = have > 0 ? memchr(begin, '\n', have) : NULL;
	if (end != NULL) {
		*length = (size_t)(end - begin);
		talk->taken += *length + 1;
		return begin;
	}
	if (talk->taken > 0) { /* what was taken makes room */
		memmove(talk->input.bytes, begin, have);
		talk->input.length = have;
		talk->taken = 0;
	}
	return NULL;
}

static int
receive(struct queue_talk *talk, int64_t deadline)
{
	char block[65536];

	if (!wait_for(talk, POLLIN, deadline))
		return unreachable(talk, "no answer in time");
	const ssize_t got = recv(talk->socket, block, sizeof(block), 0);
	if (got > 0)
		text_add(&talk->input, block, (size_t)got);
	else if (got == 0 || (errno != EINTR && errno != EAGAIN))
		return unreachable(talk, got == 0 ? "it hung up" : strerror(errno));
	return CTL_OK;
}

static int
said(struct queue_talk *talk, const char *error)
{
	if (error == NULL)
		return CTL_OK;
	tell(talk, "mxhold-queued: %s", error);
	/* To look, and not to act: it refuses. Or it cannot do anything for anybody. */
	if (strncmp(error, "you may", 7) == 0 || strncmp(error, "it cannot open", 14) == 0 ||
	    strncmp(error, "it cannot serve", 15) == 0)
		return CTL_UNAVAILABLE;
	return strncmp(error, "busy", 4) == 0 || strstr(error, "helper") != NULL ? CTL_TEMPFAIL
										 : CTL_DATA;
}

/* -1: go on; else the end, as an exit code. */
static int
take_object(
    struct queue_talk *talk, const char *line, size_t length, queue_visit *visit, void *context)
{
	json_t *object = json_loadb(line, length, 0, NULL);
	int code = -1;

	if (!json_is_object(object))
		code = unreachable(talk, "its answer is no JSON");
	else if (json_is_true(json_object_get(object, "end")))
		code = said(talk, json_string_value(json_object_get(object, "error")));
	else if (visit != NULL && !visit(object, context))
		code = CTL_OK;
	json_decref(object);
	return code;
}

int
queue_talk_ask(
    struct queue_talk *talk, json_t *request, int patience, queue_visit *visit, void *context)
{
	const int64_t deadline = patience < 0 ? -1 : snapshot_clock_boot_ms() + patience;
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL, *line;
	size_t length;
	int code, end = -1;

	json_decref(request);
	if (text == NULL) {
		tell(talk, "out of memory, or a text that is not UTF-8");
		return CTL_SOFTWARE;
	}
	code = send_text(talk, text, strlen(text));
	if (code == CTL_OK)
		code = send_text(talk, "\n", 1);
	free(text);
	while (code == CTL_OK && end < 0) {
		if ((line = take_line(talk, &length)) != NULL)
			end = take_object(talk, line, length, visit, context);
		else
			code = receive(talk, deadline);
	}
	return code != CTL_OK ? code : end;
}

const char *
queue_talk_by(void)
{
	static char number[32];
	const struct passwd *entry;
	const char *login = getuid() == 0 ? getenv("SUDO_USER") : NULL;

	if (login == NULL || *login == '\0')
		login = getlogin();
	if (login != NULL && *login != '\0')
		return login;
	if ((entry = getpwuid(getuid())) != NULL)
		return entry->pw_name;
	(void)snprintf(number, sizeof(number), "uid%u", (unsigned)getuid());
	return number;
}
