/*
 * keyed: a hash table of nodes that lie in their owners' structs, found by bytes. It grows and
 * never shrinks. Pure but for malloc.
 */
#ifndef MXHOLD_QUEUED_KEYED_H
#define MXHOLD_QUEUED_KEYED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyed_node {
	struct keyed_node *next;
	uint64_t hash;
	const void *key; /* the owner's, for as long as it is in */
	size_t length;
};

struct keyed {
	struct keyed_node **slots;
	size_t count, size;
};

void keyed_free(struct keyed *keyed); /* the nodes are their owners' */
struct keyed_node *keyed_find(const struct keyed *keyed, const void *key, size_t length);
/* There must be no node with this key. False: out of memory. */
bool keyed_add(struct keyed *keyed, struct keyed_node *node, const void *key, size_t length)
    __attribute__((warn_unused_result));
void keyed_remove(struct keyed *keyed, struct keyed_node *node);
/* Walks all; `visit` may remove the node that it is given, and no other. */
void keyed_each(
    struct keyed *keyed, void (*visit)(struct keyed_node *node, void *context), void *context);

#define KEYED_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
