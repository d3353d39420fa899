/*
 * changes: names of which something is to be told, each once, in the order in which they came. Pure
 * but for malloc.
 */
#ifndef MXHOLD_QUEUED_CHANGES_H
#define MXHOLD_QUEUED_CHANGES_H

#include "core/domain.h"
#include "queued/keyed.h"

struct change;

struct changes { /* all 0: none */
	struct keyed names;
	struct change *first, *last;
};

/* One that waits already keeps its place. False: out of memory. */
bool changes_add(struct changes *changes, const char *name) __attribute__((warn_unused_result));
/* The first is taken out. False: there is none. */
bool changes_take(struct changes *changes, char name[DOMAIN_SIZE]);
/* Forgets all; it may be used again. */
void changes_free(struct changes *changes);

#endif
