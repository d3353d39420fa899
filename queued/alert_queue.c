/*
 * alert_queue: see alert_queue.h. A beginning that waits is found by its alert, for its end.
 */
#include "queued/alert_queue.h"

#include <stdio.h>
#include <string.h>

static void
item_close(struct alert_queue *queue, struct alert_item *item)
{
	if (item->open)
		keyed_remove(&queue->open, &item->node);
	item->open = false;
}

static void
append(struct alert_queue *queue, struct alert_item *item)
{
	item->next = NULL;
	item->previous = queue->last;
	if (queue->last != NULL)
		queue->last->next = item;
	else
		queue->first = item;
	queue->last = item;
	queue->count++;
}

static void
take_out(struct alert_queue *queue, struct alert_item *item)
{
	if (item->previous != NULL)
		item->previous->next = item->next;
	else
		queue->first = item->next;
	if (item->next != NULL)
		item->next->previous = item->previous;
	else
		queue->last = item->previous;
	queue->count--;
	item_close(queue, item);
}

static void
lose(struct alert_queue *queue, struct alert_item *item)
{
	queue->lost++;
	queue->drop(item);
}

bool
alert_queue_add(struct alert_queue *queue, struct alert_item *item, enum alert_word word,
    const struct alert_standing *standing)
{
	const bool full = queue->count >= queue->most;
	struct keyed_node *node;
	struct alert_item *begin;

	memset(&item->key, 0, sizeof(item->key));
	item->open = false;
	item->key.kind = standing->kind;
	(void)snprintf(item->key.domain, sizeof(item->key.domain), "%s", standing->domain);
	node = keyed_find(&queue->open, &item->key, sizeof(item->key));
	begin = node != NULL ? KEYED_OWNER(node, struct alert_item, node) : NULL;
	if (full && word == ALERT_ENDED && begin != NULL) {
		take_out(queue, begin);
		lose(queue, begin);
		lose(queue, item);
		return false;
	}
	if (full && (word == ALERT_ROSE || begin != NULL)) {
		lose(queue, item);
		return false;
	}
	append(queue, item);
	if (word == ALERT_ENDED && begin != NULL)
		item_close(queue, begin);
	else if (word == ALERT_RAISED && begin == NULL) /* no memory: its end will wait as well */
		item->open = keyed_add(&queue->open, &item->node, &item->key, sizeof(item->key));
	return true;
}

bool
alert_queue_add_other(struct alert_queue *queue, struct alert_item *item)
{
	item->open = false;
	if (queue->count >= queue->most) {
		lose(queue, item);
		return false;
	}
	append(queue, item);
	return true;
}

struct alert_item *
alert_queue_take(struct alert_queue *queue)
{
	struct alert_item *first = queue->first;

	if (first != NULL)
		take_out(queue, first);
	return first;
}

void
alert_queue_free(struct alert_queue *queue)
{
	struct alert_item *item;

	while ((item = alert_queue_take(queue)) != NULL)
		queue->drop(item);
	keyed_free(&queue->open);
}
