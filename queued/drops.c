/*
 * drops: see drops.h. In: what the collector holds. Out: collector_drop() for its messages, which
 * records them on the disk before they are taken out.
 */
#include "queued/drops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROP_SLICE 500 /* messages in one turn of the loop, and one transaction */

struct drop { /* messages that are being recorded */
	struct drop *next;
	size_t next_id; /* the first that is not yet */
	struct drops_found found;
	drops_done *done;
	void *context;
	char by[64];
	char (*ids)[JOURNAL_ID_SIZE];
};

struct drops {
	struct collector *collector;
	struct event *on_turn;
	struct drop *first;
};

struct candidate {
	char id[JOURNAL_ID_SIZE];
	bool shared; /* it is for recipients of another domain too */
	uint64_t size;
	int64_t accepted_at;
};

struct candidates {
	const char *domain;
	int64_t newest; /* only those; 0: all */
	struct candidate *all;
	size_t count, room;
	bool failed;
};

static int
compare(const void *a, const void *b)
{
	const struct candidate *first = a, *second = b;

	return strcmp(first->id, second->id);
}

static bool
gather(const struct journal_row *row, void *context)
{
	struct candidates *found = context;

	if (found->newest > 0 && row->accepted_at > found->newest)
		return true;
	if (found->count == found->room) {
		const size_t room = found->room == 0 ? 64 : found->room * 2;
		struct candidate *more = realloc(found->all, room * sizeof(*more));
		if (more == NULL) {
			found->failed = true;
			return false;
		}
		found->all = more;
		found->room = room;
	}
	struct candidate *next = &found->all[found->count++];
	*next = (struct candidate){.size = row->size, .accepted_at = row->accepted_at};
	memcpy(next->id, row->queue_id, sizeof(next->id));
	return true;
}

static bool
mark_shared(const struct journal_row *row, void *context)
{
	struct candidates *found = context;
	struct candidate key = {.shared = false}, *hit;

	if (strcmp(row->domain, found->domain) == 0)
		return true;
	memcpy(key.id, row->queue_id, sizeof(key.id));
	hit = bsearch(&key, found->all, found->count, sizeof(key), compare);
	if (hit != NULL)
		hit->shared = true;
	return true;
}

/* One entry a message, in the order of the ids. */
static void
make_unique(struct candidates *found)
{
	size_t kept = 0;

	qsort(found->all, found->count, sizeof(*found->all), compare);
	for (size_t i = 0; i < found->count; i++)
		if (kept == 0 || compare(&found->all[kept - 1], &found->all[i]) != 0)
			found->all[kept++] = found->all[i];
	found->count = kept;
}

static void
drop_free(struct drop *drop)
{
	free(drop->ids);
	free(drop);
}

/* False: that was the last of it. */
static bool
record_slice(struct collector *collector, struct drop *drop)
{
	const size_t left = drop->found.messages - drop->next_id;
	const size_t count = left < DROP_SLICE ? left : DROP_SLICE;
	size_t taken;

	drop->found.failed = !collector_drop(collector,
	    (const char(*)[JOURNAL_ID_SIZE]) & drop->ids[drop->next_id], count, drop->by, &taken);
	drop->found.taken += taken;
	drop->next_id += count;
	return !drop->found.failed && drop->next_id < drop->found.messages;
}

/* Some in each turn of the loop. */
static void
on_turn(evutil_socket_t fd, short what, void *context)
{
	const struct timeval soon = {0, 0};
	struct drops *drops = context;
	struct drop *drop = drops->first;

	(void)fd;
	(void)what;
	if (drop == NULL)
		return;
	if (!record_slice(drops->collector, drop)) {
		drops->first = drop->next;
		drop->done(drop->context, &drop->found);
		drop_free(drop);
	}
	if (drops->first != NULL)
		(void)evtimer_add(drops->on_turn, &soon);
}

/* What there is of `found->domain`, which the caller frees. False: out of memory. */
static bool
find(const struct drops *drops, struct candidates *found)
{
	collector_each_held(drops->collector, found->domain, NULL, gather, found);
	if (found->failed || found->count == 0)
		return !found->failed;
	make_unique(found);
	collector_each_held(drops->collector, NULL, NULL, mark_shared, found);
	return true;
}

/* NULL: out of memory. */
static struct drop *
drop_new(const struct candidates *found, const char *by)
{
	struct drop *drop = calloc(1, sizeof(*drop));

	if (drop == NULL || (drop->ids = calloc(found->count + 1, sizeof(*drop->ids))) == NULL) {
		free(drop);
		return NULL;
	}
	for (size_t i = 0; i < found->count; i++)
		if (found->all[i].shared)
			drop->found.shared++;
		else
			memcpy(
			    drop->ids[drop->found.messages++], found->all[i].id, JOURNAL_ID_SIZE);
	(void)snprintf(drop->by, sizeof(drop->by), "%s", by);
	return drop;
}

static void
drop_start(struct drops *drops, struct drop *drop)
{
	const struct timeval soon = {0, 0};
	struct drop **last = &drops->first;

	while (*last != NULL)
		last = &(*last)->next;
	*last = drop;
	(void)evtimer_add(drops->on_turn, &soon);
}

enum drops_result
drops_domain(struct drops *drops, const struct drops_order *order, drops_done *done, void *context)
{
	struct candidates found = {.domain = order->domain, .newest = order->newest};
	struct drop *drop = NULL;

	const bool good = find(drops, &found);
	const bool any = !good || found.count > 0;
	if (good && any)
		drop = drop_new(&found, order->by);
	free(found.all);
	if (!any)
		return DROPS_NONE;
	if (drop == NULL)
		return DROPS_NO_MEMORY;
	drop->done = done;
	drop->context = context;
	drop_start(drops, drop);
	return DROPS_BEGUN;
}

bool
drops_count(const struct drops *drops, const char *domain, struct drops_count *out)
{
	struct candidates found = {.domain = domain};
	const bool good = find(drops, &found);

	*out = (struct drops_count){.messages = 0};
	for (size_t i = 0; good && i < found.count; i++) {
		const struct candidate *one = &found.all[i];
		if (one->accepted_at > out->newest)
			out->newest = one->accepted_at;
		out->shared += one->shared;
		out->messages += !one->shared;
		out->bytes += one->shared ? 0 : one->size;
	}
	free(found.all);
	return good;
}

/* --- life ------------------------------------------------------------------------------------ */

struct drops *
drops_new(struct event_base *base, struct collector *collector)
{
	struct drops *drops = calloc(1, sizeof(*drops));

	if (drops == NULL)
		return NULL;
	drops->collector = collector;
	drops->on_turn = evtimer_new(base, on_turn, drops);
	if (drops->on_turn != NULL)
		return drops;
	free(drops);
	return NULL;
}

void
drops_free(struct drops *drops)
{
	struct drop *drop;

	if (drops == NULL)
		return;
	event_free(drops->on_turn);
	while ((drop = drops->first) != NULL) {
		drops->first = drop->next;
		drop_free(drop);
	}
	free(drops);
}
