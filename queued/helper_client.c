/*
 * helper_client: see helper_client.h. In: requests. Out: one answer each; what cannot be asked has
 * failed, and what is not answered (in time) is unsure.
 */
#include "queued/helper_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CURE ": is mxhold-helper running?"

struct asking { /* a request under way */
	struct helper_client *client;
	struct bufferevent *stream; /* NULL: free */
	struct event *later;        /* the answer that is already known, or the deadline */
	helper_done *done;
	void *context;
	char queue_id[JOURNAL_ID_SIZE];
	char problem[HELPER_ANSWER_MAX]; /* "": the deadline is told */
};

struct helper_client {
	struct event_base *base;
	const char *socket_dir;
	int deadline_ms;
	size_t under_way;
	struct asking asking[HELPER_CLIENT_AT_ONCE];
};

struct helper_client *
helper_client_new(struct event_base *base, const char *socket_dir)
{
	struct helper_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->base = base;
	client->socket_dir = socket_dir;
	client->deadline_ms = HELPER_CLIENT_S * 1000;
	return client;
}

void
helper_client_set_deadline(struct helper_client *client, int milliseconds)
{
	client->deadline_ms = milliseconds;
}

static void
asking_free(struct asking *asking)
{
	if (asking->later != NULL)
		event_free(asking->later);
	bufferevent_free(asking->stream);
	asking->client->under_way--;
	*asking = (struct asking){.stream = NULL};
}

void
helper_client_free(struct helper_client *client)
{
	if (client == NULL)
		return;
	for (size_t i = 0; i < HELPER_CLIENT_AT_ONCE; i++)
		if (client->asking[i].stream != NULL)
			asking_free(&client->asking[i]);
	free(client);
}

size_t
helper_client_under_way(const struct helper_client *client)
{
	return client->under_way;
}

/* The place is free before `done` is called, so that it may ask again. */
static void
finish(struct asking *asking, enum helper_answer answer, const char *text)
{
	const struct asking was = *asking;
	char words[HELPER_ANSWER_MAX];

	(void)snprintf(words, sizeof(words), "%s", text);
	asking_free(asking);
	was.done(was.context, was.queue_id, answer, words);
}

static void
on_later(evutil_socket_t fd, short what, void *context)
{
	struct asking *asking = context;

	(void)fd;
	(void)what;
	if (asking->problem[0] != '\0')
		finish(asking, HELPER_FAILED, asking->problem);
	else
		finish(asking, HELPER_UNSURE, "the helper did not answer in time" CURE);
}

static void
on_read(struct bufferevent *stream, void *context)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct asking *asking = context;
	char text[HELPER_ANSWER_MAX];
	enum helper_answer answer;
	size_t length;
	char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);

	if (line == NULL) {
		if (evbuffer_get_length(input) > (size_t)2 * HELPER_ANSWER_MAX)
			finish(asking, HELPER_FAILED, "what answers there is no helper");
		return;
	}
	if (!helper_answer_parse(line, length, &answer, text))
		(void)snprintf(text, sizeof(text), "what answers there is no helper");
	free(line);
	finish(asking, answer, text);
}

static void
on_event(struct bufferevent *stream, short what, void *context)
{
	struct asking *asking = context;

	if ((what & BEV_EVENT_CONNECTED) != 0)
		return;
	(void)stream; /* what had an end was read before */
	finish(asking, HELPER_UNSURE, "the helper hung up");
}

static struct asking *
place(struct helper_client *client)
{
	for (size_t i = 0; i < HELPER_CLIENT_AT_ONCE; i++)
		if (client->asking[i].stream == NULL)
			return &client->asking[i];
	return NULL;
}

/* What is wrong; NULL: it is on its way. A connection within this host is there at once, or not. */
static const char *
send_request(struct asking *asking, const struct helper_request *request)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[HELPER_LINE_MAX + 1];
	const size_t length = helper_request_print(request, line);
	const int path = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" HELPER_SOCKET,
	    asking->client->socket_dir);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return strerror(errno);
	if (path < 0 || (size_t)path >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
	} else if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		if (bufferevent_setfd(asking->stream, fd) == 0 &&
		    bufferevent_write(asking->stream, line, length) == 0 &&
		    bufferevent_enable(asking->stream, EV_READ | EV_WRITE) == 0)
			return NULL;
		return "out of memory"; /* the stream closes the descriptor */
	}
	const char *problem = strerror(errno);
	(void)evutil_closesocket(fd);
	return problem;
}

static struct timeval
deadline_of(const struct helper_client *client, const struct helper_request *request)
{
	const int most =
	    request->verb == HELPER_PING ? HELPER_CLIENT_PING_MS : HELPER_CLIENT_S * 1000;
	const int ms = client->deadline_ms < most ? client->deadline_ms : most;

	return (struct timeval){ms / 1000, ms % 1000 * 1000L};
}

bool
helper_client_ask(struct helper_client *client, const struct helper_request *request,
    helper_done *done, void *context)
{
	const struct timeval now = {0, 0}, deadline = deadline_of(client, request);
	char line[HELPER_LINE_MAX + 1];
	struct asking *asking = place(client);
	const char *problem;

	if (asking == NULL || helper_request_print(request, line) == 0)
		return false;
	*asking = (struct asking){.client = client, .done = done, .context = context};
	(void)snprintf(asking->queue_id, sizeof(asking->queue_id), "%s", request->queue_id);
	asking->stream = bufferevent_socket_new(client->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (asking->stream == NULL)
		return false;
	client->under_way++;
	asking->later = evtimer_new(client->base, on_later, asking);
	if (asking->later == NULL) {
		asking_free(asking);
		return false;
	}
	bufferevent_setcb(asking->stream, on_read, NULL, on_event, asking);
	problem = send_request(asking, request);
	if (problem != NULL)
		(void)snprintf(asking->problem, sizeof(asking->problem),
		    "the helper at %s/%s: %s" CURE, client->socket_dir, HELPER_SOCKET, problem);
	(void)evtimer_add(asking->later, problem != NULL ? &now : &deadline);
	return true;
}
