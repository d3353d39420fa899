/*
 * alert_queue: what is to be told of alerts to somebody who takes it by and by, in order. Pure but
 * for malloc.
 *
 * Bounded, and yet no end is lost of an alert whose beginning was taken: beyond `most` there is
 * room for one beginning of each alert that stands, and for its end. An end that finds its
 * beginning still waiting then goes with it, so that neither is told; what else comes then is lost.
 */
#ifndef MXHOLD_QUEUED_ALERT_QUEUE_H
#define MXHOLD_QUEUED_ALERT_QUEUE_H

#include "queued/alert_book.h"

struct alert_item { /* in its owner's struct */
	struct alert_item *next, *previous;
	struct keyed_node node;
	bool open; /* a beginning whose end has not come: it is in `open` of the queue */
	struct {
		enum alert_kind kind;
		char domain[DOMAIN_SIZE];
	} key;
};

struct alert_queue { /* start with most and drop set, all else 0 */
	size_t most;
	void (*drop)(struct alert_item *item); /* of what is lost: frees it */
	struct alert_item *first, *last;
	struct keyed open;
	size_t count;
	uint64_t lost;
};

/* Takes the item over. False: it was dropped. */
bool alert_queue_add(struct alert_queue *queue, struct alert_item *item, enum alert_word word,
    const struct alert_standing *standing);
/* The same of what is no alert's. */
bool alert_queue_add_other(struct alert_queue *queue, struct alert_item *item);
/* The first is taken out, and the caller's again. NULL: there is none. */
struct alert_item *alert_queue_take(struct alert_queue *queue);
/* Drops what is left. */
void alert_queue_free(struct alert_queue *queue);

#endif
