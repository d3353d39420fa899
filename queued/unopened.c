/*
 * unopened: see unopened.h. In: connections, lines. Out: one line of JSON to each, as the desk ends
 * a request that cannot be done. The alert is kept nowhere: the spool is what cannot be opened.
 */
#include "queued/unopened.h"

#include "queued/alert.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 16
#define CLIENT_TIMEOUT_S 10
#define LINE_MOST 65536
#define PROBLEM_SIZE 512
#define TURN_AWAY_MS (1000 / CLIENTS)

struct client {
	struct unopened *owner;
	struct bufferevent *stream; /* NULL: the place is free */
};

struct unopened {
	struct event_base *base;
	const struct conf *conf;
	struct event *on_client;
	int listen_fd;
	int64_t since_ms; /* 0: it has not failed yet */
	bool over, raised;
	char problem[PROBLEM_SIZE];
	struct alerts *alerts; /* NULL: none was needed */
	struct client clients[CLIENTS];
};

static struct client *
free_place(struct unopened *unopened)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (unopened->clients[i].stream == NULL)
			return &unopened->clients[i];
	return NULL;
}

/* Whoever finds no place waits in the socket. */
static void
listen_on(struct unopened *unopened)
{
	if (!unopened->over && free_place(unopened) != NULL)
		(void)event_add(unopened->on_client, NULL);
}

static void
client_end(struct client *client)
{
	bufferevent_free(client->stream);
	client->stream = NULL;
	listen_on(client->owner);
}

static void
on_written(struct bufferevent *stream, void *context)
{
	(void)stream;
	client_end(context);
}

static void
on_end(struct bufferevent *stream, short what, void *context)
{
	(void)stream;
	(void)what;
	client_end(context);
}

static char *
answer(const struct unopened *unopened)
{
	char error[PROBLEM_SIZE + 128];
	json_t *object;
	char *text;

	(void)snprintf(error, sizeof(error),
	    "it cannot open its stores: %s; it serves by itself when that is mended",
	    unopened->problem);
	object = json_pack("{s:b,s:s}", "end", 1, "error", error);
	if (object == NULL) /* a path that is not UTF-8 */
		object = json_pack(
		    "{s:b,s:s}", "end", 1, "error", "it cannot open its stores: its log says why");
	text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

/* The whole line is awaited: who still writes would find the connection closed, and no answer. */
static void
on_line(struct bufferevent *stream, void *context)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	const size_t length = evbuffer_get_length(input);
	struct client *client = context;
	char *text;

	if (evbuffer_search(input, "\n", 1, NULL).pos < 0) {
		if (length > LINE_MOST)
			client_end(client);
		return;
	}
	(void)evbuffer_drain(input, length);
	(void)bufferevent_disable(stream, EV_READ);
	bufferevent_setcb(stream, NULL, on_written, on_end, client);
	text = answer(client->owner);
	if (text == NULL || evbuffer_add_printf(bufferevent_get_output(stream), "%s\n", text) < 0)
		client_end(client);
	free(text);
}

static void
on_client(evutil_socket_t fd, short what, void *context)
{
	const struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
	struct unopened *unopened = context;
	struct client *client = free_place(unopened);
	const int accepted =
	    client != NULL ? accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;

	(void)what;
	if (accepted >= 0) {
		client->stream =
		    bufferevent_socket_new(unopened->base, accepted, BEV_OPT_CLOSE_ON_FREE);
		if (client->stream == NULL)
			(void)close(accepted);
	}
	if (accepted >= 0 && client->stream != NULL) {
		bufferevent_setcb(client->stream, on_line, NULL, on_end, client);
		(void)bufferevent_set_timeouts(client->stream, &limit, &limit);
		(void)bufferevent_enable(client->stream, EV_READ | EV_WRITE);
	}
	if (accepted >= 0)
		listen_on(unopened); /* else with the next failure */
}

void
unopened_turn_away(int listen_fd)
{
	static const char words[] =
	    "{\"end\":true,\"error\":\"it cannot serve: its processes die again and again, and "
	    "its log says of what; it serves by itself when that is mended\"}\n";
	char line[4096];

	for (int left = CLIENTS; left > 0; left--) {
		const int client = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct pollfd wait = {.fd = client, .events = POLLIN};

		if (client < 0)
			return;
		/* Who still writes would find the connection closed, and no answer. */
		while (poll(&wait, 1, TURN_AWAY_MS) > 0 &&
		       recv(client, line, sizeof(line), 0) == (ssize_t)sizeof(line))
			;
		(void)!send(client, words, strlen(words), MSG_NOSIGNAL);
		(void)close(client);
	}
}

struct unopened *
unopened_new(struct event_base *base, int listen_fd, const struct conf *conf)
{
	struct unopened *unopened = calloc(1, sizeof(*unopened));

	if (unopened == NULL)
		return NULL;
	unopened->base = base;
	unopened->conf = conf;
	unopened->listen_fd = listen_fd;
	unopened->on_client = event_new(base, listen_fd, EV_READ, on_client, unopened);
	for (size_t i = 0; i < CLIENTS; i++)
		unopened->clients[i].owner = unopened;
	if (unopened->on_client == NULL) {
		free(unopened);
		return NULL;
	}
	return unopened;
}

static void
alert_raise(struct unopened *unopened)
{
	const struct alerts_setup settings = {.base = unopened->base,
	    .relay = unopened->conf->relay.name,
	    .region = unopened->conf->relay.region,
	    .command = unopened->conf->alert.command};
	char text[ALERT_TEXT_SIZE];
	const struct alert alert = {.kind = ALERT_SPOOL, .domain = "", .text = text};

	unopened->raised = true;
	unopened->alerts = alerts_new(&settings);
	if (unopened->alerts == NULL)
		return;
	(void)snprintf(text, sizeof(text),
	    "state and spool cannot be opened: %.150s; nothing is watched or released",
	    unopened->problem);
	alerts_raise(unopened->alerts, &alert);
}

void
unopened_still(struct unopened *unopened, int64_t now_ms, const char *problem)
{
	if (unopened == NULL || unopened->over)
		return;
	if (unopened->since_ms == 0)
		unopened->since_ms = now_ms;
	(void)snprintf(unopened->problem, sizeof(unopened->problem), "%s", problem);
	if (unopened->listen_fd >= 0 && now_ms - unopened->since_ms >= UNOPENED_TELL_MS)
		listen_on(unopened);
	if (!unopened->raised && now_ms - unopened->since_ms >= UNOPENED_ALERT_MS)
		alert_raise(unopened);
}

void
unopened_over(struct unopened *unopened)
{
	if (unopened == NULL)
		return;
	unopened->over = true;
	(void)event_del(unopened->on_client);
	if (unopened->alerts != NULL)
		alerts_end(unopened->alerts, ALERT_SPOOL, "");
}

void
unopened_free(struct unopened *unopened)
{
	if (unopened == NULL)
		return;
	unopened->over = true;
	for (size_t i = 0; i < CLIENTS; i++)
		if (unopened->clients[i].stream != NULL)
			client_end(&unopened->clients[i]);
	event_free(unopened->on_client);
	alerts_free(unopened->alerts);
	free(unopened);
}
