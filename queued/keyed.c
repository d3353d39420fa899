/*
 * keyed: see keyed.h. Chains in a power of two of slots; keys come from outside, so the hash has a
 * seed that is another one in each process.
 */
#include "queued/keyed.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t
hash_bytes(const void *key, size_t length)
{
	static uint64_t seed;

	if (seed == 0 && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uintptr_t)&seed;
	seed |= 1;
	return XXH3_64bits_withSeed(key, length, seed);
}

void
keyed_free(struct keyed *keyed)
{
	free(keyed->slots);
	*keyed = (struct keyed){.slots = NULL};
}

static struct keyed_node **
keyed_slot(const struct keyed *keyed, uint64_t hash)
{
	return &keyed->slots[hash & (keyed->size - 1)];
}

struct keyed_node *
keyed_find(const struct keyed *keyed, const void *key, size_t length)
{
	uint64_t hash = hash_bytes(key, length);
	struct keyed_node *node = keyed->size > 0 ? *keyed_slot(keyed, hash) : NULL;

	while (node != NULL && (node->hash != hash || node->length != length ||
				   memcmp(node->key, key, length) != 0))
		node = node->next;
	return node;
}

static bool
keyed_grow(struct keyed *keyed)
{
	struct keyed bigger = {.count = keyed->count, .size = keyed->size ? 2 * keyed->size : 64};

	bigger.slots = calloc(bigger.size, sizeof(struct keyed_node *));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < keyed->size; i++) {
		struct keyed_node *node = keyed->slots[i], *next;
		for (; node != NULL; node = next) {
			struct keyed_node **slot = keyed_slot(&bigger, node->hash);
			next = node->next;
			node->next = *slot;
			*slot = node;
		}
	}
	free(keyed->slots);
	*keyed = bigger;
	return true;
}

bool
keyed_add(struct keyed *keyed, struct keyed_node *node, const void *key, size_t length)
{
	struct keyed_node **slot;

	if (keyed->count >= keyed->size && !keyed_grow(keyed))
		return false;
	node->hash = hash_bytes(key, length);
	node->key = key;
	node->length = length;
	slot = keyed_slot(keyed, node->hash);
	node->next = *slot;
	*slot = node;
	keyed->count++;
	return true;
}

void
keyed_remove(struct keyed *keyed, struct keyed_node *node)
{
	struct keyed_node **place = keyed_slot(keyed, node->hash);

	while (*place != node)
		place = &(*place)->next;
	*place = node->next;
	keyed->count--;
}

void
keyed_each(
    struct keyed *keyed, void (*visit)(struct keyed_node *node, void *context), void *context)
{
	struct keyed_node *node, *next;

	for (size_t i = 0; i < keyed->size; i++) {
		for (node = keyed->slots[i]; node != NULL; node = next) {
			next = node->next;
			visit(node, context);
		}
	}
}
