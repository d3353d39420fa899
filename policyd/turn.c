/*
 * turn: see turn.h. In: bytes of one client. Out: replies to it, in the order of its requests. A
 * reply is never sent in part and then given up while the client reads; a client that sends what is
 * no request is closed without a reply (Postfix then defers), as the policy protocol asks for.
 */
#include "policyd/turn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool
turn_watch(struct client *client, short what)
{
	struct server *server = client->server;

	if (client->watched == what)
		return true;
	if (client->watched != 0)
		(void)event_del(&client->event);
	client->watched = 0;
	if (what == 0)
		return true;
	if (event_assign(&client->event, server->base, client->fd, what | EV_PERSIST, turn_event,
		client) != 0 ||
	    event_add(&client->event, NULL) != 0)
		return false;
	client->watched = what;
	return true;
}

/* Reads once into server->in, behind what the client had left over. False: the client is gone. */
static bool
turn_read(struct server *server, struct turn *turn)
{
	struct client *client = turn->client;
	ssize_t got;

	if (client->in.used > 0)
		memcpy(server->in, client->in.data, client->in.used);
	turn->filled = client->in.used;
	if (client->ended || client->state == CLIENT_BEHIND)
		return true;
	got = recv(client->fd, server->in + turn->filled, TURN_READ_BYTES, MSG_DONTWAIT);
	if (got > 0)
		turn->filled += (size_t)got;
	else if (got == 0)
		client->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		return false;
	return true;
}

static void
turn_refused(struct server *server, const struct client *client)
{
	struct answer_note note;

	answer_note_begin(&note, LOG_WARNING, "client-refused");
	answer_note_add(&note, kv("protocol", client->protocol->name));
	answer_note_add(&note, kv("error", "what it sent is no request, or too long"));
	server_log(server, &note);
}

/* Answers what is whole, one request after the other. */
static enum turn_end
turn_answer(struct server *server, struct turn *turn)
{
	struct client *client = turn->client;
	const struct protocol *protocol = client->protocol;
	struct protocol_frame frame;
	struct answer_note note;
	size_t length;

	while (turn->answered < TURN_REQUESTS && TURN_OUT_BYTES - turn->used >= ANSWER_MAX) {
		char *data = server->in + turn->taken;

		switch (
		    protocol->frame(data, turn->filled - turn->taken, &client->resume, &frame)) {
		case FRAME_MORE: return TURN_MORE;
		case FRAME_BAD: turn_refused(server, client); return TURN_BAD;
		case FRAME_WHOLE: break;
		}
		length = protocol->answer(server_view(server), &client->pins, &frame, &note,
		    turn->out + turn->used, TURN_OUT_BYTES - turn->used);
		server_log(server, &note);
		if (length == 0)
			return TURN_BAD;
		turn->used += length;
		turn->taken += frame.consumed;
		client->resume = 0;
		turn->answered++;
	}
	return TURN_SLICE;
}

/*
 * Sends what is in bytes[0..length), and keeps what the socket does not take. False: the client is
 * gone, or there is no memory to keep it.
 */
static bool
turn_send(struct server *server, struct client *client, const char *bytes, size_t length)
{
	ssize_t sent = 0;

	if (length > 0) {
		sent = send(client->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent < 0)
			sent = 0;
	}
	if (length == (size_t)sent && client->out.size == 0)
		return true;
	return client_keep(&server->clients, &client->out, bytes + sent, length - (size_t)sent);
}

/* To what state did this turn lead? */
static enum client_state
turn_state(const struct turn *turn)
{
	const struct client *client = turn->client;

	if (client->out.used > 0)
		return CLIENT_WRITING;
	if (turn->filled > turn->taken)
		return turn->end == TURN_SLICE ? CLIENT_BEHIND : CLIENT_HALF;
	return client->state == CLIENT_NEW && turn->answered == 0 ? CLIENT_NEW : CLIENT_IDLE;
}

/* False: the client is to be dropped. */
static bool
turn_set_state(struct server *server, const struct turn *turn)
{
	struct client *client = turn->client;
	enum client_state state = turn_state(turn);
	bool progress = state != client->state || turn->answered > 0;

	if (client->ended && state != CLIENT_WRITING && state != CLIENT_BEHIND)
		return false;
	if (progress)
		client_set_state(&server->clients, client, state, server->now);
	if (state == CLIENT_IDLE && server->draining)
		turn_finish(client);
	if (state == CLIENT_WRITING)
		return turn_watch(client, EV_WRITE);
	if (state == CLIENT_BEHIND || client->ended)
		return turn_watch(client, 0);
	return turn_watch(client, EV_READ);
}

/* Ends a turn: sends its replies. False: the client is to be dropped. */
static bool
turn_settle(struct server *server, const struct turn *turn)
{
	return turn_send(server, turn->client, turn->out, turn->used) && turn->end != TURN_BAD &&
	       turn_set_state(server, turn);
}

void
turns_settle(struct server *server)
{
	size_t i;

	for (i = 0; i < server->due_count; i++)
		if (!turn_settle(server, &server->due[i]))
			server_drop(server, server->due[i].client);
	server->due_count = 0;
	server->out_used = 0;
}

/* Begins a turn: reads and answers. False: the client is to be dropped. */
static bool
turn_run(struct server *server, struct client *client)
{
	struct turn *turn;

	if (server->due_count == TURNS_DUE ||
	    sizeof(server->out) - server->out_used < TURN_OUT_BYTES)
		turns_settle(server);
	turn = &server->due[server->due_count];
	*turn = (struct turn){.client = client, .out = server->out + server->out_used};
	if (!turn_read(server, turn))
		return false;
	turn->end = turn_answer(server, turn);
	if ((turn->filled > turn->taken || client->in.size > 0) &&
	    !client_keep(&server->clients, &client->in, server->in + turn->taken,
		turn->filled - turn->taken))
		turn->end = TURN_BAD;
	server->out_used += turn->used;
	server->due_count++;
	return true;
}

/* The client reads again: send it what waits, then go on with what it asked meanwhile. */
static bool
turn_resume(struct server *server, struct client *client)
{
	if (!turn_send(server, client, client->out.data, client->out.used))
		return false;
	if (client->out.used > 0)
		return true;
	client_set_state(&server->clients, client, CLIENT_BEHIND, server->now);
	return turn_run(server, client);
}

void
turn_take(struct server *server, struct client *client)
{
	if (!turn_run(server, client))
		server_drop(server, client);
	turns_settle(server);
}

void
turn_event(evutil_socket_t fd, short what, void *context)
{
	struct client *client = context;
	struct server *server = client->server;

	(void)fd;
	(void)what;
	server_wake(server);
	if (client->state == CLIENT_WRITING ? !turn_resume(server, client)
					    : !turn_run(server, client))
		server_drop(server, client);
}

void
turn_finish(struct client *client)
{
	/* The client's next write fails at once; what it wrote before can still be read here. */
	(void)shutdown(client->fd, SHUT_RD);
}
