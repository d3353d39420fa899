/*
 * queue_talk: mxholdctl's side of SOCKET_DIR/queue-control (docs/queue.md): one JSON object asked,
 * objects answered, each wait with a deadline.
 */
#ifndef MXHOLD_CTL_QUEUE_TALK_H
#define MXHOLD_CTL_QUEUE_TALK_H

#include "ctl/ctl.h"
#include "ctl/text.h"

#include <jansson.h>

#define QUEUE_TALK_MS 100000 /* mxhold-queued gives an answer 90 s */

struct queue_talk { /* start with { .socket = -1 } */
	int socket;
	bool silent;       /* what is wrong goes into `problem`, and not to stderr */
	char problem[256]; /* "": nothing */
	char path[108];    /* of struct sockaddr_un */
	struct text input;
	size_t taken; /* of it */
};

/* CTL_OK, or why not. `quiet`: nothing is said where mxhold-queued is not there (UNAVAILABLE). */
int queue_talk_open(struct queue_talk *talk, const struct ctl *ctl, bool quiet)
    __attribute__((warn_unused_result));
void queue_talk_close(struct queue_talk *talk);

/* The object is valid during the call only. False: the rest is not wanted. */
typedef bool queue_visit(const json_t *object, void *context);
/*
 * Sends `request` (taken over; NULL is out of memory) and hands out each object that is answered.
 * CTL_OK; or what mxhold-queued said is wrong, which is said on stderr. `patience`: milliseconds;
 * -1: as long as it takes.
 */
int queue_talk_ask(struct queue_talk *talk, json_t *request, int patience, queue_visit *visit,
    void *context) __attribute__((warn_unused_result));

/* Who runs this: the login, for the journal. Never NULL; valid until the next call. */
const char *queue_talk_by(void);

#endif
