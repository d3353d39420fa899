/*
 * heap: see heap.h.
 */
#include "queued/heap.h"

#include <stdlib.h>

void
heap_free(struct heap *heap)
{
	free(heap->nodes);
	*heap = (struct heap){.nodes = NULL};
}

static void
heap_place(struct heap *heap, struct heap_node *node, size_t place)
{
	heap->nodes[place] = node;
	node->place = place;
}

static void
heap_up(struct heap *heap, struct heap_node *node)
{
	size_t place = node->place;

	while (place > 1 && heap->nodes[place / 2]->key > node->key) {
		heap_place(heap, heap->nodes[place / 2], place);
		place /= 2;
	}
	heap_place(heap, node, place);
}

static void
heap_down(struct heap *heap, struct heap_node *node)
{
	size_t place = node->place;

	for (;;) {
		size_t child = 2 * place;
		if (child > heap->count)
			break;
		if (child < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (heap->nodes[child]->key >= node->key)
			break;
		heap_place(heap, heap->nodes[child], place);
		place = child;
	}
	heap_place(heap, node, place);
}

void
heap_move(struct heap *heap, struct heap_node *node, int64_t key)
{
	node->key = key;
	heap_up(heap, node);
	heap_down(heap, node);
}

bool
heap_set(struct heap *heap, struct heap_node *node, int64_t key)
{
	if (node->place == 0) {
		if (heap->count + 2 > heap->room) {
			size_t room = heap->room != 0 ? 2 * heap->room : 16;
			struct heap_node **more =
			    realloc(heap->nodes, room * sizeof(struct heap_node *));
			if (more == NULL)
				return false;
			heap->nodes = more;
			heap->room = room;
		}
		heap_place(heap, node, ++heap->count);
	}
	heap_move(heap, node, key);
	return true;
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *last;
	size_t place = node->place;

	if (place == 0)
		return;
	last = heap->nodes[heap->count--];
	node->place = 0;
	if (last == node)
		return;
	heap_place(heap, last, place);
	heap_up(heap, last);
	heap_down(heap, last);
}

struct heap_node *
heap_first(const struct heap *heap)
{
	return heap->count > 0 ? heap->nodes[1] : NULL;
}
