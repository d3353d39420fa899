/*
 * desk: see desk.h. In: a listening socket, lines. Out: calls of the ports, lines of JSON.
 * client_set_state() is the one place where a client's state changes.
 */
#include "queued/desk.h"

#include "core/helper_request.h"
#include "core/log.h"
#include "core/state.h"
#include "queued/changes.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_US 100000 /* after accept failed for want of descriptors or memory */
#define UNREAD_MOST 65536      /* answers that are not read yet put off the next request */

/* --- requests -----------------------------------------------------------------------------------
 */

enum { MAY_DOMAIN = 1, MAY_ID = 2, NEEDS_ONE = 4, NEEDS_UNTIL = 8, ACTS = 16 };

static const struct {
	const char *name;
	unsigned how;
} commands[DESK_DOS] = {
    [DESK_PING] = {"ping", 0},
    [DESK_STATUS] = {"status", 0},
    [DESK_LIST] = {"list", 0},
    [DESK_SHOW] = {"show", MAY_DOMAIN | MAY_ID | NEEDS_ONE},
    [DESK_HOLD] = {"hold", MAY_DOMAIN | MAY_ID | NEEDS_ONE | NEEDS_UNTIL | ACTS},
    [DESK_RELEASE] = {"release", MAY_DOMAIN | MAY_ID | NEEDS_ONE | ACTS},
    [DESK_FLUSH] = {"flush", MAY_DOMAIN | NEEDS_ONE | ACTS},
    [DESK_DROP] = {"drop", MAY_DOMAIN | MAY_ID | NEEDS_ONE | ACTS},
    [DESK_PRIMARIES] = {"primaries", MAY_DOMAIN},
    [DESK_PROBE] = {"probe", MAY_DOMAIN | NEEDS_ONE | ACTS},
    [DESK_MX] = {"mx", MAY_DOMAIN | NEEDS_ONE | ACTS},
    [DESK_WATCH] = {"watch", MAY_DOMAIN},
    [DESK_ALERTS] = {"alerts", 0},
};

static bool
take_do(const json_t *value, struct desk_request *out)
{
	const char *name = json_string_value(value);

	for (enum desk_do what = 0; name != NULL && what < DESK_DOS; what++)
		if (strcmp(name, commands[what].name) == 0) {
			out->what = what;
			return true;
		}
	return false;
}

static bool
take_domain(const json_t *value, struct desk_request *out)
{
	return json_is_string(value) &&
	       domain_normalise(json_string_value(value), json_string_length(value), out->domain);
}

static bool
take_id(const json_t *value, struct desk_request *out)
{
	if (!json_is_string(value) ||
	    !helper_queue_id(json_string_value(value), json_string_length(value)))
		return false;
	(void)snprintf(out->id, sizeof(out->id), "%s", json_string_value(value));
	return true;
}

static bool
take_until(const json_t *value, struct desk_request *out)
{
	if (json_is_null(value))
		out->until = HOLD_FOREVER;
	else
		out->until = json_integer_value(value); /* 0: no number */
	return out->until > 0 && (out->until <= HOLD_LAST || json_is_null(value));
}

static bool
take_reason(const json_t *value, struct desk_request *out)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value) &&
	       journal_text(out->reason, sizeof(out->reason), json_string_value(value),
		   json_string_length(value));
}

static bool
take_silent(const json_t *value, struct desk_request *out)
{
	out->silent = json_is_true(value);
	return json_is_boolean(value);
}

static bool
take_limit(const json_t *value, struct desk_request *out)
{
	const json_int_t limit = json_integer_value(value);

	out->limit = (size_t)limit;
	return limit > 0 && limit <= DESK_SHOWN;
}

static bool
take_ask(const json_t *value, struct desk_request *out)
{
	out->ask = json_is_true(value);
	return json_is_boolean(value);
}

static bool
take_newest(const json_t *value, struct desk_request *out)
{
	out->newest = json_integer_value(value);
	return out->newest > 0;
}

/* Who asks, by his own words: one word of printable ASCII for the helper's line and the log. */
static bool
take_by(const json_t *value, struct desk_request *out)
{
	const char *by = json_string_value(value);

	if (by == NULL)
		return false;
	(void)snprintf(out->by, sizeof(out->by), "%.40s", by);
	for (char *c = out->by; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			*c = '_';
	return true;
}

static const struct {
	const char *name;
	bool (*take)(const json_t *value, struct desk_request *out);
	const char *error;
} fields[] = {
    {"do", take_do, "\"do\" is none that is known"},
    {"domain", take_domain, "\"domain\" is no mail domain"},
    {"id", take_id, "\"id\" is no queue id"},
    {"until", take_until,
	"\"until\" must be a time in seconds since 1970, at most 253402300799 (the end of the year "
	"9999), or null"},
    {"reason", take_reason, "\"reason\" must be a text of at most 255 bytes"},
    {"silent", take_silent, "\"silent\" must be true or false"},
    {"limit", take_limit, "\"limit\" must be a number from 1 to 10000"},
    {"ask", take_ask, "\"ask\" must be true or false"},
    {"newest", take_newest, "\"newest\" must be a time in microseconds since 1970"},
    {"by", take_by, "\"by\" must be a text"},
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* What is wrong with it; NULL: nothing. */
static const char *
take_field(const char *name, const json_t *value, struct desk_request *out)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(name, fields[i].name) == 0)
			return fields[i].take(value, out) ? NULL : fields[i].error;
	return "a field is not known";
}

/* Is it whole? What is missing or too much; NULL: nothing. */
static const char *
judge_request(const struct desk_request *request, int64_t now)
{
	const unsigned how = commands[request->what].how;
	const bool domain = request->domain[0] != '\0', id = request->id[0] != '\0';

	if (domain && id)
		return "\"domain\" and \"id\" exclude each other";
	if ((domain && (how & MAY_DOMAIN) == 0) || (id && (how & MAY_ID) == 0))
		return "that is not done for a domain or id of this kind";
	if ((how & NEEDS_ONE) != 0 && !domain && !id)
		return (how & MAY_ID) != 0 ? "\"domain\" or \"id\" is missing"
					   : "\"domain\" is missing";
	if ((request->ask || request->newest != 0) && (request->what != DESK_DROP || !domain))
		return "\"ask\" and \"newest\" are for the drop of a domain";
	if ((how & NEEDS_UNTIL) != 0 && domain && request->until == 0)
		return "\"until\" is missing: a time, or null for until it is released";
	if (request->until != 0 && request->until <= now)
		return "\"until\" is in the past";
	return NULL;
}

bool
desk_parse(
    const char *line, size_t length, int64_t now, struct desk_request *out, const char **error)
{
	json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL), *value;
	const char *name;

	memset(out, 0, sizeof(*out));
	out->what = DESK_DOS;
	out->limit = DESK_SHOWN;
	*error = json_is_object(object) ? NULL : "that is no JSON object";
	json_object_foreach(object, name, value)
	{
		if (*error == NULL)
			*error = take_field(name, value, out);
	}
	if (*error == NULL && out->what == DESK_DOS)
		*error = "\"do\" is missing";
	if (*error == NULL)
		*error = judge_request(out, now);
	if (out->by[0] == '\0')
		(void)snprintf(out->by, sizeof(out->by), "-");
	json_decref(object);
	return *error == NULL;
}

/* --- clients ------------------------------------------------------------------------------------
 */

enum client_state {
	CLIENT_NONE,
	CLIENT_READY,    /* for a line */
	CLIENT_LATER,    /* its answer comes later */
	CLIENT_WATCHING, /* it gets what changes */
	CLIENT_CLOSING,  /* what it has not read is sent; nothing more is heard */
};

struct client {
	struct desk *desk;
	enum client_state state;
	struct bufferevent *stream;
	struct event *deadline; /* of LATER */
	bool hung_up;           /* it sends nothing more; what it has sent is carried out */
	uid_t uid;
	uint64_t ticket;           /* of the request that is put off */
	uint64_t arrival;          /* order of the last request */
	char watched[DOMAIN_SIZE]; /* "": all */
	struct changes changes;    /* what it has not been shown yet */
};

struct desk_reply {
	struct desk *desk;
	struct evbuffer *out;
	bool failed; /* out of memory, or too much */
};

struct desk {
	struct desk_setup setup;
	struct event *on_listen, *on_pause;
	uint64_t tickets, arrivals;
	struct timeval writing; /* how long nobody need read */
	struct client client[DESK_CLIENTS];
};

static const struct timeval idle = {.tv_sec = DESK_IDLE_S}, later = {.tv_sec = DESK_LATER_S};

static void
client_free(struct client *client)
{
	if (client->stream != NULL)
		bufferevent_free(client->stream);
	if (client->deadline != NULL)
		event_free(client->deadline);
	client->stream = NULL;
	client->deadline = NULL;
	changes_free(&client->changes);
}

static void
client_set_state(struct client *client, enum client_state state)
{
	const struct timeval *writing = &client->desk->writing;

	client->state = state;
	if (state != CLIENT_LATER && client->deadline != NULL)
		(void)event_del(client->deadline);
	switch (state) {
	case CLIENT_NONE:
		client_free(client);
		(void)event_add(client->desk->on_listen, NULL);
		break;
	case CLIENT_READY:
		client->arrival = ++client->desk->arrivals;
		(void)bufferevent_set_timeouts(client->stream, &idle, writing);
		break;
	case CLIENT_LATER: (void)event_add(client->deadline, &later); /* FALLTHROUGH */
	case CLIENT_WATCHING: (void)bufferevent_set_timeouts(client->stream, NULL, writing); break;
	case CLIENT_CLOSING: (void)bufferevent_disable(client->stream, EV_READ); break;
	}
}

static size_t
unread(const struct client *client)
{
	return client->stream == NULL ? 0
				      : evbuffer_get_length(bufferevent_get_output(client->stream));
}

static size_t
unread_by_all(const struct desk *desk)
{
	size_t total = 0;

	for (size_t i = 0; i < DESK_CLIENTS; i++)
		total += unread(&desk->client[i]);
	return total;
}

static size_t
watchers(const struct desk *desk)
{
	size_t count = 0;

	for (size_t i = 0; i < DESK_CLIENTS; i++)
		count += desk->client[i].state == CLIENT_WATCHING;
	return count;
}

/* --- answers ------------------------------------------------------------------------------------
 */

bool
desk_say_text(struct desk_reply *reply, char *text)
{
	if (text == NULL || reply->failed || evbuffer_add_printf(reply->out, "%s\n", text) < 0 ||
	    evbuffer_get_length(reply->out) > DESK_BYTES)
		reply->failed = true;
	free(text);
	return !reply->failed;
}

bool
desk_say(struct desk_reply *reply, json_t *object)
{
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return desk_say_text(reply, text);
}

static void
say_end(struct client *client, const char *error)
{
	struct desk_reply reply = {
	    .desk = client->desk, .out = bufferevent_get_output(client->stream)};

	(void)desk_say(&reply, json_pack("{s:b, s:s?}", "end", 1, "error", error));
}

static void
finish(struct client *client, const char *error)
{
	say_end(client, error);
	client_set_state(client, CLIENT_READY);
}

/* Text of an error that is not ours: json_pack takes UTF-8 only. */
static void
clean(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* --- carrying out --------------------------------------------------------------------------- */

static bool
may_act(const struct desk *desk, uid_t uid)
{
	for (size_t i = 0; i < desk->setup.reader_count; i++)
		if (desk->setup.readers[i] == uid)
			return false;
	return true;
}

static void
run(struct client *client, const struct desk_request *request)
{
	const struct desk_ports *ports = &client->desk->setup.ports;
	struct desk_reply reply = {
	    .desk = client->desk, .out = bufferevent_get_output(client->stream)};
	char error[256] = "";

	client->ticket = ++client->desk->tickets;
	switch (ports->run(ports->context, request, client->ticket, &reply, error)) {
	case DESK_DONE:
		finish(client, reply.failed ? "that is more than can be told" : NULL);
		break;
	case DESK_ERROR:
		clean(error);
		finish(client, error);
		break;
	case DESK_LATER: client_set_state(client, CLIENT_LATER); break;
	}
}

/* What cannot be watched is refused at once; there is no other answer to it. */
static void
begin_watch(struct client *client, const struct desk_request *request)
{
	const struct desk_ports *ports = &client->desk->setup.ports;
	struct desk_reply reply = {
	    .desk = client->desk, .out = bufferevent_get_output(client->stream)};
	char error[256] = "";

	if (ports->run(ports->context, request, 0, &reply, error) != DESK_DONE) {
		clean(error);
		finish(client, error);
		return;
	}
	memcpy(client->watched, request->domain, sizeof(client->watched));
	client_set_state(client, CLIENT_WATCHING);
}

static void
take_line(struct client *client, const char *line, size_t length)
{
	struct desk *desk = client->desk;
	struct desk_request request;
	struct timeval now;
	const char *error;
	char said[sizeof(request.by)];

	(void)evutil_gettimeofday(&now, NULL);
	if (!desk_parse(line, length, now.tv_sec, &request, &error)) {
		finish(client, error);
		return;
	}
	request.uid = client->uid;
	memcpy(said, request.by, sizeof(said));
	(void)snprintf(
	    request.by, sizeof(request.by), "%.40s(uid=%u)", said, (unsigned)client->uid);
	if ((commands[request.what].how & ACTS) != 0 && !may_act(desk, client->uid)) {
		log_event(LOG_WARNING, "order-refused", kv("do", commands[request.what].name),
		    kv_number("uid", client->uid));
		finish(client, "you may look, and not act");
	} else if (request.what == DESK_PING) {
		finish(client, NULL);
	} else if (request.what == DESK_WATCH && watchers(desk) >= DESK_WATCHERS) {
		finish(client, "busy: too many are watching");
	} else if (request.what == DESK_WATCH) {
		begin_watch(client, &request);
	} else if (unread_by_all(desk) > DESK_BYTES / 2) {
		finish(client, "busy: answers that nobody reads are waiting");
	} else {
		run(client, &request);
	}
}

/* Whoever hung up goes when all that he asked is answered. */
static void
close_hung_up(struct client *client)
{
	struct evbuffer *input = bufferevent_get_input(client->stream);
	const bool asks = client->state == CLIENT_LATER ||
			  (client->state == CLIENT_READY &&
			      evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_CRLF).pos >= 0);

	if (!asks)
		client_set_state(client, unread(client) > 0 ? CLIENT_CLOSING : CLIENT_NONE);
}

/* One line after the other, as long as what is answered is read. */
static void
take_lines(struct client *client)
{
	struct evbuffer *input = bufferevent_get_input(client->stream);
	size_t length;
	char *line;

	while (client->state == CLIENT_READY && unread(client) < UNREAD_MOST &&
	       (line = evbuffer_readln(input, &length, EVBUFFER_EOL_CRLF)) != NULL) {
		if (length <= DESK_LINE_MAX)
			take_line(client, line, length);
		else
			finish(client, "the line is too long");
		free(line);
	}
	if (client->state == CLIENT_READY && unread(client) < UNREAD_MOST &&
	    evbuffer_get_length(input) > DESK_LINE_MAX) {
		say_end(client, "the line is too long");
		client_set_state(client, CLIENT_CLOSING);
	}
	if (client->state == CLIENT_WATCHING)
		(void)evbuffer_drain(input, evbuffer_get_length(input));
	if (client->hung_up)
		close_hung_up(client);
}

static void
on_read(struct bufferevent *stream, void *context)
{
	(void)stream;
	take_lines(context);
}

/* As much as he reads: what waits is shown as it is then. */
static void
show_changes(struct client *client)
{
	const struct desk_ports *ports = &client->desk->setup.ports;
	char domain[DOMAIN_SIZE];

	while (client->state == CLIENT_WATCHING && unread(client) < UNREAD_MOST &&
	       changes_take(&client->changes, domain)) {
		struct desk_reply reply = {
		    .desk = client->desk, .out = bufferevent_get_output(client->stream)};
		ports->view(ports->context, domain, &reply);
		if (reply.failed)
			client_set_state(client, CLIENT_NONE);
	}
}

/* All that was answered is sent. */
static void
on_written(struct bufferevent *stream, void *context)
{
	struct client *client = context;

	(void)stream;
	if (client->state == CLIENT_CLOSING)
		client_set_state(client, CLIENT_NONE);
	else if (client->state == CLIENT_WATCHING)
		show_changes(client);
	else
		take_lines(client);
}

static void
on_end(struct bufferevent *stream, short what, void *context)
{
	struct client *client = context;

	(void)stream;
	/* Whoever asks and closes his side still reads: `printf ... | nc -N`. */
	client->hung_up = (what & BEV_EVENT_EOF) != 0;
	if (client->hung_up && client->state != CLIENT_WATCHING)
		take_lines(client);
	else
		client_set_state(client, CLIENT_NONE);
}

static void
on_deadline(evutil_socket_t fd, short what, void *context)
{
	struct client *client = context;

	(void)fd;
	(void)what;
	if (client->state == CLIENT_LATER)
		finish(client, "there was no answer in time");
}

/* Whose request is put off. NULL: he has gone. */
static struct client *
client_of(struct desk *desk, uint64_t ticket)
{
	for (size_t i = 0; i < DESK_CLIENTS; i++)
		if (desk->client[i].state == CLIENT_LATER && desk->client[i].ticket == ticket)
			return &desk->client[i];
	return NULL;
}

void
desk_tell(struct desk *desk, uint64_t ticket, json_t *object)
{
	struct client *client = client_of(desk, ticket);

	if (client == NULL) {
		json_decref(object);
		return;
	}
	struct desk_reply reply = {.desk = desk, .out = bufferevent_get_output(client->stream)};
	(void)desk_say(&reply, object);
}

void
desk_finish(struct desk *desk, uint64_t ticket, const char *error)
{
	struct client *client = client_of(desk, ticket);
	char text[256] = "";

	if (error != NULL) {
		(void)snprintf(text, sizeof(text), "%s", error);
		clean(text);
	}
	if (client == NULL)
		return;
	finish(client, error != NULL ? text : NULL);
	take_lines(client);
}

void
desk_changed(struct desk *desk, const char *domain)
{
	for (size_t i = 0; i < DESK_CLIENTS; i++) {
		struct client *client = &desk->client[i];
		if (client->state != CLIENT_WATCHING ||
		    (client->watched[0] != '\0' && strcmp(client->watched, domain) != 0))
			continue;
		if (changes_add(&client->changes, domain))
			show_changes(client);
		else
			client_set_state(client, CLIENT_NONE);
	}
}

/* --- connections -------------------------------------------------------------------------------
 */

static struct client *
place(struct desk *desk)
{
	struct client *oldest = NULL;

	for (size_t i = 0; i < DESK_CLIENTS; i++) {
		struct client *client = &desk->client[i];
		if (client->state == CLIENT_NONE)
			return client;
		if (client->state == CLIENT_READY &&
		    (oldest == NULL || client->arrival < oldest->arrival))
			oldest = client;
	}
	if (oldest != NULL) /* whoever has been silent for longest makes room */
		client_set_state(oldest, CLIENT_NONE);
	return oldest;
}

static void
client_start(struct desk *desk, struct client *client, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t length = sizeof(peer);

	*client = (struct client){.desk = desk, .state = CLIENT_NONE};
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	client->uid = peer.uid;
	client->stream = bufferevent_socket_new(desk->setup.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (client->stream == NULL) {
		(void)close(fd);
		return;
	}
	client->deadline = evtimer_new(desk->setup.base, on_deadline, client);
	bufferevent_setcb(client->stream, on_read, on_written, on_end, client);
	/* What is not taken stays with the sender. */
	bufferevent_setwatermark(client->stream, EV_READ, 0, (size_t)2 * DESK_LINE_MAX);
	if (client->deadline == NULL || bufferevent_enable(client->stream, EV_READ | EV_WRITE) != 0)
		client_free(client);
	else
		client_set_state(client, CLIENT_READY);
}

static void
on_listen(evutil_socket_t listener, short what, void *context)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
	struct desk *desk = context;
	struct client *client = place(desk);
	int fd;

	(void)what;
	if (client == NULL) { /* until one leaves */
		(void)event_del(desk->on_listen);
		return;
	}
	fd = accept4((int)listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		client_start(desk, client, fd);
	} else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
		(void)event_del(desk->on_listen);
		(void)evtimer_add(desk->on_pause, &pause);
	}
}

static void
on_pause(evutil_socket_t fd, short what, void *context)
{
	struct desk *desk = context;

	(void)fd;
	(void)what;
	(void)event_add(desk->on_listen, NULL);
}

/* --- life ------------------------------------------------------------------------------------ */

struct desk *
desk_new(const struct desk_setup *setup)
{
	struct desk *desk = calloc(1, sizeof(*desk));

	if (desk == NULL)
		return NULL;
	desk->setup = *setup;
	desk->writing.tv_sec = DESK_WRITE_S;
	desk->on_listen =
	    event_new(setup->base, setup->listen_fd, EV_READ | EV_PERSIST, on_listen, desk);
	desk->on_pause = evtimer_new(setup->base, on_pause, desk);
	if (desk->on_listen != NULL && desk->on_pause != NULL &&
	    event_add(desk->on_listen, NULL) == 0)
		return desk;
	desk_free(desk);
	return NULL;
}

void
desk_set_patience(struct desk *desk, int milliseconds)
{
	desk->writing = (struct timeval){milliseconds / 1000, milliseconds % 1000 * 1000L};
}

void
desk_free(struct desk *desk)
{
	if (desk == NULL)
		return;
	for (size_t i = 0; i < DESK_CLIENTS; i++)
		client_free(&desk->client[i]);
	if (desk->on_listen != NULL)
		event_free(desk->on_listen);
	if (desk->on_pause != NULL)
		event_free(desk->on_pause);
	free(desk);
}
