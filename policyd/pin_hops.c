/*
 * pin_hops: see pin_hops.h. A tree (tsearch(3)) of next hops, each with a tree of names.
 */
#include "policyd/pin_hops.h"

#include <ctype.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define SPARE 10000 /* pairs that may be added before it is emptied, at least */

struct hop {
	char key[PIN_HOP_SIZE]; /* first: what is searched for is a key alone */
	void *names;
};

struct pin_hops {
	void *root;
	size_t pairs, limit;
	uint64_t changes;
	bool complete;
};

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
hop_free(void *node)
{
	struct hop *hop = node;

	tdestroy(hop->names, free);
	free(hop);
}

static void
empty(struct pin_hops *hops)
{
	tdestroy(hops->root, hop_free);
	*hops = (struct pin_hops){.limit = SPARE, .changes = hops->changes};
}

struct pin_hops *
pin_hops_new(void)
{
	struct pin_hops *hops = malloc(sizeof(*hops));

	if (hops != NULL)
		*hops = (struct pin_hops){.limit = SPARE};
	return hops;
}

void
pin_hops_free(struct pin_hops *hops)
{
	if (hops == NULL)
		return;
	empty(hops);
	free(hops);
}

/* In lower case. False: too long. */
static bool
make_key(const char *hop, size_t length, char key[PIN_HOP_SIZE])
{
	if (length >= PIN_HOP_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		key[i] = (char)tolower((unsigned char)hop[i]);
	key[length] = '\0';
	return true;
}

static struct hop *
hop_of(const struct pin_hops *hops, const char *key)
{
	struct hop *const *found = tfind(key, &hops->root, compare);

	return found != NULL ? *found : NULL;
}

static struct hop *
hop_add(struct pin_hops *hops, const char *key)
{
	struct hop *hop = calloc(1, sizeof(*hop));

	if (hop == NULL)
		return NULL;
	memcpy(hop->key, key, strlen(key) + 1);
	if (tsearch(hop, &hops->root, compare) != NULL)
		return hop;
	free(hop);
	return NULL;
}

static bool
name_add(struct hop *hop, const char *name)
{
	char *copy = strdup(name);

	if (copy != NULL && tsearch(copy, &hop->names, compare) != NULL)
		return true;
	free(copy);
	return false;
}

bool
pin_hops_add(struct pin_hops *hops, const char *hop, size_t length, const char *name)
{
	char key[PIN_HOP_SIZE];
	struct hop *place;

	if (!make_key(hop, length, key))
		return false;
	place = hop_of(hops, key);
	if (place != NULL && tfind(name, &place->names, compare) != NULL)
		return true;
	if (hops->complete && hops->pairs >= hops->limit) {
		empty(hops);
		place = NULL;
	}
	if (place == NULL)
		place = hop_add(hops, key);
	if (place == NULL || !name_add(place, name))
		return false;
	hops->pairs++;
	hops->changes++;
	return true;
}

struct visitor {
	void (*visit)(const char *name, void *context);
	void *context;
};

/* For twalk_r(3): a leaf is come to once, any other node three times. */
static void
visit_name(const void *node, VISIT which, void *context)
{
	const struct visitor *visitor = context;
	const char *const *name = node;

	if (which == postorder || which == leaf)
		visitor->visit(*name, visitor->context);
}

void
pin_hops_each(const struct pin_hops *hops, const char *hop, size_t length,
    void (*visit)(const char *name, void *context), void *context)
{
	struct visitor visitor = {.visit = visit, .context = context};
	const struct hop *place = NULL;
	char key[PIN_HOP_SIZE];

	if (make_key(hop, length, key))
		place = hop_of(hops, key);
	if (place != NULL)
		twalk_r(place->names, visit_name, &visitor);
}

uint64_t
pin_hops_changes(const struct pin_hops *hops)
{
	return hops->changes;
}

bool
pin_hops_complete(const struct pin_hops *hops)
{
	return hops->complete;
}

void
pin_hops_completed(struct pin_hops *hops)
{
	hops->complete = true;
	hops->limit = 2 * hops->pairs + SPARE;
}
