/*
 * control: SOCKET_DIR/queue-control, where mxholdctl asks and orders: one JSON object a line in;
 * objects, one a line, out, and behind each request's a last one, {"end":true,"error":null|TEXT}.
 * On libevent. Clients, their lines, their answers and their time are bounded; what they send is
 * checked here, so that the ports get requests that are whole.
 */
#ifndef MXHOLD_QUEUED_CONTROL_H
#define MXHOLD_QUEUED_CONTROL_H

#include "core/domain.h"
#include "core/journal.h"

#include <event2/event.h>
#include <jansson.h>
#include <sys/types.h>

#define CONTROL_SOCKET "queue-control"
#define CONTROL_CLIENTS 32
#define CONTROL_LINE_MAX 8192
#define CONTROL_IDLE_S 60               /* without a request under way */
#define CONTROL_WRITE_S 30              /* without reading what is answered */
#define CONTROL_LATER_S 90              /* for an answer that comes later */
#define CONTROL_BYTES (64u << 20)       /* of answers not yet read, all clients together */
#define CONTROL_STREAM_BYTES (1u << 20) /* the same, of one that watches */
#define CONTROL_SHOWN 10000             /* recipients that one request shows at most */

enum control_do {
	CONTROL_PING,
	CONTROL_STATUS,
	CONTROL_LIST,
	CONTROL_SHOW,
	CONTROL_HOLD,
	CONTROL_RELEASE,
	CONTROL_FLUSH,
	CONTROL_DROP,
	CONTROL_PRIMARIES,
	CONTROL_PROBE,
	CONTROL_MX,
	CONTROL_WATCH,
	CONTROL_ALERTS,
	CONTROL_DOS,
};

struct control_request {
	enum control_do what;
	char domain[DOMAIN_SIZE]; /* normal form; "": none */
	char id[JOURNAL_ID_SIZE]; /* "": none */
	int64_t until;            /* seconds since the epoch; HOLD_FOREVER */
	char reason[256];
	bool silent;
	size_t limit; /* 1 to CONTROL_SHOWN */
	char by[64];  /* what the caller says of himself, and his uid */
	uid_t uid;    /* by the kernel */
};

/* False: not one; *error says why (static text). Pure. `until` must lie after `now`. */
bool control_parse(const char *line, size_t length, int64_t now, struct control_request *out,
    const char **error) __attribute__((warn_unused_result));

struct control;
struct control_reply; /* valid during the call of `run` or `view` only */

/* One line of the answer. Takes `object` over; NULL is out of memory. False: no more, please. */
bool control_say(struct control_reply *reply, json_t *object);
/* The same of an object that is text already (malloc). */
bool control_say_text(struct control_reply *reply, char *text);

enum control_end {
	CONTROL_DONE,
	CONTROL_ERROR, /* *error says why */
	CONTROL_LATER, /* control_finish() will be called with `ticket` */
};

struct control_ports {
	/* All but ping and watch. `error`: up to 256 bytes. */
	enum control_end (*run)(void *context, const struct control_request *request,
	    uint64_t ticket, struct control_reply *reply, char error[256]);
	/* Says what there is to see of a domain, for those who watch. */
	void (*view)(void *context, const char *domain, struct control_reply *reply);
	void *context;
};

/*
 * `listen_fd`: non-blocking, the caller's. `readers`: users who may look and not act (the other
 * daemons), kept by reference. NULL: out of memory.
 */
struct control_setup {
	struct event_base *base;
	int listen_fd;
	const uid_t *readers;
	size_t reader_count;
	struct control_ports ports;
};
struct control *control_new(const struct control_setup *setup) __attribute__((warn_unused_result));
void control_free(struct control *control);
/* The answer to a request that was put off; one whose client has gone is nothing. NULL: done. */
void control_finish(struct control *control, uint64_t ticket, const char *error);
/* Something of a domain has changed. */
void control_changed(struct control *control, const char *domain);

#endif
