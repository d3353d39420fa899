/*
 * turn: what the server and the turns of its clients share. Private to server.c and turn.c.
 *
 * A turn is one client's share of a pass of the event loop: one read, at most TURN_REQUESTS
 * answers, one write. What is left over waits in the client's buffers for the next pass, so that
 * one client with ten thousand requests does not hold up the others.
 *
 * The writes of several turns follow on each other: whoever is woken by the first reply finds the
 * others when it is through with that, instead of going to sleep and being woken for each.
 */
#ifndef MXHOLD_POLICYD_TURN_H
#define MXHOLD_POLICYD_TURN_H

#include "core/policy_request.h"
#include "policyd/client.h"
#include "policyd/flood.h"
#include "policyd/server.h"

#define TURN_REQUESTS 32
#define TURN_READ_BYTES 16384
/* What a client may have left over, and what one more read brings. */
#define TURN_IN_BYTES (2 * POLICY_REQUEST_MAX + TURN_READ_BYTES)
#define TURN_OUT_BYTES (TURN_REQUESTS * 512 + ANSWER_MAX)
#define TURNS_DUE 16 /* answered, before their replies are sent */

enum turn_end {
	TURN_MORE,  /* nothing whole is left */
	TURN_SLICE, /* there may be more, but its share of this pass is used up */
	TURN_BAD,   /* close, after the replies that are due */
};

struct turn {
	struct client *client;
	char *out;     /* its replies, in server->out */
	size_t used;   /* bytes of them */
	size_t filled; /* bytes that were in server->in */
	size_t taken;  /* of them, answered */
	size_t answered;
	enum turn_end end;
};

/* Permits, which are many, must not push out of the log what was refused. */
enum { FLOOD_INFO, FLOOD_NOTICE, SERVER_FLOODS };

struct server {
	struct event_base *base;
	struct clients clients;
	struct answer_relay relay;
	struct answer_view view;
	struct flood flood[SERVER_FLOODS];
	struct event listener[PROTOCOL_KINDS];
	const struct listener *socket; /* PROTOCOL_KINDS of them */
	struct event on_term;
	struct event on_tick;   /* once a second, more often while draining */
	struct event on_resume; /* pending: the listeners pause */
	int64_t now;            /* milliseconds, monotonic; of this pass of the loop */
	int64_t draining_since;
	size_t limit;   /* of clients */
	bool awake;     /* `now` is that of this pass */
	bool view_open; /* the view is that of this pass */
	bool draining;
	bool problem_told;          /* the log knows that there is no snapshot */
	struct turn due[TURNS_DUE]; /* answered, and to be sent together */
	size_t due_count;
	size_t out_used; /* by them */
	char in[TURN_IN_BYTES];
	char out[2 * TURN_OUT_BYTES];
};

/* To be called first in every callback: sets the time of this pass of the loop. */
void server_wake(struct server *server);
/* The state of the world for this pass of the loop; a transaction begins where there is none. */
const struct answer_view *server_view(struct server *server);
void server_log(struct server *server, struct answer_note *note);
/* Ends a client for good. */
void server_drop(struct server *server, struct client *client);

/* What to wait for: EV_READ, EV_WRITE, or 0 for nothing. False: libevent refuses. */
bool turn_watch(struct client *client, short what);
/* libevent's callback for a client: it can be read from, or (while WRITING) written to. */
void turn_event(evutil_socket_t fd, short what, void *client);
/* Sends the replies of all turns that are due. To be called before anybody looks at clients. */
void turns_settle(struct server *server);
/* Gives a client its next turn at once, BEHIND or not. */
void turn_take(struct server *server, struct client *client);
/* Asks a client to send no more: what it has sent is answered, then the connection is closed. */
void turn_finish(struct client *client);

#endif
