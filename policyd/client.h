/*
 * client: one connection, and the lists in which the server keeps all of them.
 *
 * Each list is in the order in which its members came to it, so that the first is always the one
 * that has been there longest. client_set_state() is the one place where a state changes.
 */
#ifndef MXHOLD_POLICYD_CLIENT_H
#define MXHOLD_POLICYD_CLIENT_H

#include "policyd/buffer.h"
#include "policyd/protocol.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>

enum client_state {
	CLIENT_NEW,     /* has sent nothing yet */
	CLIENT_IDLE,    /* all that it asked is answered */
	CLIENT_HALF,    /* a part of a request is here */
	CLIENT_WRITING, /* replies wait for it to read */
	CLIENT_BEHIND,  /* requests of it wait for its next turn */
	CLIENT_STATES
};

TAILQ_HEAD(client_list, client);

struct client {
	struct event event;
	TAILQ_ENTRY(client) link;
	struct server *server;
	const struct protocol *protocol;
	struct pin_session pins;
	struct buffer in;  /* what was read and not yet answered */
	struct buffer out; /* WRITING: what was answered and not yet sent */
	size_t resume;     /* belongs to `in`: protocol_frame's */
	int64_t since;     /* when it came to its state (milliseconds, monotonic) */
	enum client_state state;
	int fd;
	short watched; /* what the event waits for: EV_READ, EV_WRITE, 0 */
	bool ended;    /* it will send no more */
};

struct clients {
	struct client_list in_state[CLIENT_STATES];
	size_t count;
	size_t buffered; /* bytes of all buffers */
};

void clients_init(struct clients *clients);
/* Takes the descriptor over when it succeeds. NULL: out of memory. */
struct client *client_new(struct clients *clients, int fd, int64_t now);
/* Closes and frees. The event must have been deleted. */
void client_free(struct clients *clients, struct client *client);
/* Puts it last in the list of the state, also if it was in that state already. */
void client_set_state(
    struct clients *clients, struct client *client, enum client_state state, int64_t now);
struct client *clients_first(struct clients *clients, enum client_state state);
/* Replaces a buffer of a client. False: out of memory. */
bool client_keep(struct clients *clients, struct buffer *buffer, const char *bytes, size_t length)
    __attribute__((warn_unused_result));

#endif
