/*
 * flush_ask: see flush_ask.h. Two answers are waited for: the name of the protocol, upon which the
 * question is sent, and its status. Both are compared as a whole with what is expected; whatever
 * is longer, shorter or other is strange.
 */
#include "queued/flush_ask.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MOST 64
#define PROTOCOL_S 2 /* servers before 3.6 would wait for us, as we for them */

/* With the NUL that ends the list: that of the literal. */
#define PROTOCOL "protocol\0queue_flush_protocol\0"
#define STATUS "status\0"
#define STATUS_DONE "status\0000\0"

struct flush_ask {
	struct bufferevent *stream;
	flush_answered answered;
	void *context;
	bool asked;
	char kind;
	char value[];
};

void
flush_ask_free(struct flush_ask *ask)
{
	if (ask == NULL)
		return;
	if (ask->stream != NULL)
		bufferevent_free(ask->stream);
	free(ask);
}

static void
end(struct flush_ask *ask, enum flush_answer answer)
{
	const flush_answered answered = ask->answered;
	void *context = ask->context;

	flush_ask_free(ask);
	answered(answer, context);
}

static bool
put(struct evbuffer *out, const char *text)
{
	return evbuffer_add(out, text, strlen(text) + 1) == 0;
}

static bool
send_question(struct flush_ask *ask)
{
	struct evbuffer *out = bufferevent_get_output(ask->stream);
	const bool site = ask->kind == 's';

	return put(out, "request") && put(out, site ? "send_site" : "send_file") &&
	       put(out, site ? "site" : "queue_id") && put(out, ask->value) && put(out, "");
}

/* A list ends with two NULs, and no name or value of these is empty. */
static bool
is_whole(const char *text, size_t length)
{
	return length >= 2 && text[length - 1] == '\0' && text[length - 2] == '\0';
}

static enum flush_answer
judge(const char *text, size_t length)
{
	if (length == sizeof(STATUS_DONE) && memcmp(text, STATUS_DONE, length) == 0)
		return FLUSH_DONE;
	return length > sizeof(STATUS) && memcmp(text, STATUS, sizeof(STATUS) - 1) == 0
		   ? FLUSH_DECLINED
		   : FLUSH_STRANGE;
}

static void
on_input(struct bufferevent *stream, void *context)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct flush_ask *ask = context;
	char text[ANSWER_MOST];
	const ev_ssize_t copied = evbuffer_copyout(input, text, sizeof(text));
	const size_t length = copied > 0 ? (size_t)copied : 0;

	if (!is_whole(text, length)) {
		if (length == sizeof(text))
			end(ask, FLUSH_STRANGE);
		return;
	}
	if (ask->asked) {
		end(ask, judge(text, length));
		return;
	}
	if (length != sizeof(PROTOCOL) || memcmp(text, PROTOCOL, length) != 0 ||
	    evbuffer_drain(input, length) != 0 || !send_question(ask)) {
		end(ask, FLUSH_STRANGE);
		return;
	}
	ask->asked = true;
	(void)bufferevent_set_timeouts(stream, NULL, NULL);
}

static void
on_end(struct bufferevent *stream, short what, void *context)
{
	(void)stream;
	(void)what;
	end(context, FLUSH_STRANGE);
}

/* Connected, or -1: a local socket answers at once, also when its backlog is full. */
static int
open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t length = strlen(path);
	int fd;

	if (length >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, length + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

struct flush_ask *
flush_ask_new(struct event_base *base, const char *socket_path, char kind, const char *value,
    flush_answered answered, void *context)
{
	const size_t size = strlen(value) + 1;
	struct flush_ask *ask = calloc(1, sizeof(*ask) + size);
	const struct timeval limit = {.tv_sec = PROTOCOL_S};
	const int fd = ask != NULL ? open_socket(socket_path) : -1;

	if (fd < 0) {
		free(ask);
		return NULL;
	}
	ask->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (ask->stream == NULL) {
		(void)close(fd);
		free(ask);
		return NULL;
	}
	ask->kind = kind;
	ask->answered = answered;
	ask->context = context;
	memcpy(ask->value, value, size);
	bufferevent_setcb(ask->stream, on_input, NULL, on_end, ask);
	if (bufferevent_set_timeouts(ask->stream, &limit, NULL) == 0 &&
	    bufferevent_enable(ask->stream, EV_READ | EV_WRITE) == 0)
		return ask;
	flush_ask_free(ask);
	return NULL;
}
