/*
 * desk: SOCKET_DIR/queue-control, where mxholdctl asks and orders: one JSON object a line in;
 * objects, one a line, out, and behind each request's a last one, {"end":true,"error":null|TEXT}.
 * On libevent. Clients, their lines, their answers and their time are bounded; what they send is
 * checked here, so that the ports get requests that are whole.
 */
#ifndef MXHOLD_QUEUED_DESK_H
#define MXHOLD_QUEUED_DESK_H

#include "core/domain.h"
#include "core/journal.h"

#include <event2/event.h>
#include <jansson.h>
#include <sys/types.h>

#define DESK_SOCKET "queue-control"
#define DESK_CLIENTS 32
#define DESK_WATCHERS 16 /* of them: whoever watches stays */
#define DESK_LINE_MAX 8192
#define DESK_IDLE_S 60         /* without a request under way */
#define DESK_WRITE_S 30        /* without reading what is answered */
#define DESK_LATER_S 90        /* for an answer that comes later */
#define DESK_BYTES (64u << 20) /* of answers not yet read, all clients together */
#define DESK_SHOWN 10000       /* recipients that one request shows at most */

enum desk_do {
	DESK_PING,
	DESK_STATUS,
	DESK_LIST,
	DESK_SHOW,
	DESK_HOLD,
	DESK_RELEASE,
	DESK_FLUSH,
	DESK_DROP,
	DESK_PRIMARIES,
	DESK_PROBE,
	DESK_MX,
	DESK_WATCH,
	DESK_ALERTS,
	DESK_DOS,
};

struct desk_request {
	enum desk_do what;
	char domain[DOMAIN_SIZE]; /* normal form; "": none */
	char id[JOURNAL_ID_SIZE]; /* "": none */
	int64_t until;            /* seconds since the epoch, to HOLD_LAST; HOLD_FOREVER */
	char reason[256];
	bool silent;
	size_t limit;   /* 1 to DESK_SHOWN */
	bool ask;       /* drop: what would be taken out? Nothing is */
	int64_t newest; /* drop: what was accepted later stays; microseconds; 0: all goes */
	char by[64];    /* what the caller says of himself, and his uid */
	uid_t uid;      /* by the kernel */
};

/* False: not one; *error says why (static text). Pure. `until` must lie after `now`. */
bool desk_parse(const char *line, size_t length, int64_t now, struct desk_request *out,
    const char **error) __attribute__((warn_unused_result));

struct desk;
struct desk_reply; /* valid during the call of `run` or `view` only */

/* One line of the answer. Takes `object` over; NULL is out of memory. False: no more, please. */
bool desk_say(struct desk_reply *reply, json_t *object);
/* The same of an object that is text already (malloc). */
bool desk_say_text(struct desk_reply *reply, char *text);

enum desk_end {
	DESK_DONE,
	DESK_ERROR, /* *error says why */
	DESK_LATER, /* desk_finish() will be called with `ticket` */
};

struct desk_ports {
	/* All but ping. Of watch: may it begin? It says nothing, and nothing comes later. `error`:
	   up to 256 bytes. */
	enum desk_end (*run)(void *context, const struct desk_request *request, uint64_t ticket,
	    struct desk_reply *reply, char error[256]);
	/* Says what there is to see of a domain, for those who watch. */
	void (*view)(void *context, const char *domain, struct desk_reply *reply);
	void *context;
};

/*
 * `listen_fd`: non-blocking, the caller's. `readers`: users who may look and not act (the other
 * daemons), kept by reference. NULL: out of memory.
 */
struct desk_setup {
	struct event_base *base;
	int listen_fd;
	const uid_t *readers;
	size_t reader_count;
	struct desk_ports ports;
};
struct desk *desk_new(const struct desk_setup *setup) __attribute__((warn_unused_result));
void desk_free(struct desk *desk);
/* One line of the answer to a request that was put off, before its end. Takes `object` over. */
void desk_tell(struct desk *desk, uint64_t ticket, json_t *object);
/* The answer to a request that was put off; one whose client has gone is nothing. NULL: done. */
void desk_finish(struct desk *desk, uint64_t ticket, const char *error);
/* Another DESK_WRITE_S for clients to come, in milliseconds (tests). */
void desk_set_patience(struct desk *desk, int milliseconds);
/* Something of a domain has changed. Who watches is shown it as he reads: each domain once, as it
   is then. */
void desk_changed(struct desk *desk, const char *domain);

#endif
