/*
 * changes: see changes.h. A list, and a table of what is in it.
 */
#include "queued/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct change {
	struct keyed_node node;
	struct change *next;
	char name[];
};

bool
changes_add(struct changes *changes, const char *name)
{
	const size_t length = strlen(name);
	struct change *change;

	if (keyed_find(&changes->names, name, length) != NULL)
		return true;
	change = calloc(1, sizeof(*change) + length + 1);
	if (change == NULL)
		return false;
	memcpy(change->name, name, length);
	if (!keyed_add(&changes->names, &change->node, change->name, length)) {
		free(change);
		return false;
	}
	if (changes->first == NULL)
		changes->first = change;
	else
		changes->last->next = change;
	changes->last = change;
	return true;
}

bool
changes_take(struct changes *changes, char name[DOMAIN_SIZE])
{
	struct change *change = changes->first;

	if (change == NULL)
		return false;
	changes->first = change->next;
	keyed_remove(&changes->names, &change->node);
	(void)snprintf(name, DOMAIN_SIZE, "%s", change->name);
	free(change);
	return true;
}

void
changes_free(struct changes *changes)
{
	char name[DOMAIN_SIZE];

	while (changes_take(changes, name))
		continue;
	keyed_free(&changes->names);
}
