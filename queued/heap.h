/*
 * heap: a binary heap of nodes that lie in their owners' structs, smallest key first. A node knows
 * its place, so that any of them can be moved or taken out in logarithmic time. Pure but for
 * malloc.
 */
#ifndef MXHOLD_QUEUED_HEAP_H
#define MXHOLD_QUEUED_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t key;
	size_t place; /* 1 and above; 0: in no heap */
};

struct heap {
	struct heap_node **nodes; /* nodes[1] to nodes[count] */
	size_t count, room;
};

void heap_free(struct heap *heap); /* the nodes are their owners' */
/* Puts a node in, or moves it to its new key. False: out of memory, and nothing has changed. */
bool heap_set(struct heap *heap, struct heap_node *node, int64_t key)
    __attribute__((warn_unused_result));
/* Moves a node that is in. */
void heap_move(struct heap *heap, struct heap_node *node, int64_t key);
/* Takes a node out, if it is in. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The node with the smallest key; NULL: there is none. */
struct heap_node *heap_first(const struct heap *heap);

/* The struct that `node` is the member `member` of. */
#define HEAP_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
