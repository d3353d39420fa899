/*
 * instances: see instances.h.
 */
#include "queued/instances.h"

#include <string.h>

static size_t
find(const struct instances *instances, const char *name)
{
	size_t i = 0;

	while (i < instances->count && strcmp(instances->names[i].name, name) != 0)
		i++;
	return i;
}

bool
instances_add(struct instances *instances, const char *name, enum instance_owner owner)
{
	const size_t length = strlen(name), at = find(instances, name);

	if (length == 0 || length >= INSTANCES_NAME_SIZE || strpbrk(name, " \t$[:") != NULL)
		return false;
	if (at == INSTANCES_MOST)
		return false;
	if (at == instances->count) {
		memcpy(instances->names[at].name, name, length + 1);
		instances->names[at].owner = owner;
		instances->count++;
	} else if (owner == INSTANCE_OURS)
		instances->names[at].owner = INSTANCE_OURS;
	return true;
}

/* Is it "NAME/" with something behind it? How long the name is, or 0. */
static size_t
fits(const char *name, const char *tag, size_t length)
{
	const size_t of_name = strlen(name);

	if (length < of_name + 2 || tag[of_name] != '/' || memcmp(tag, name, of_name) != 0)
		return 0;
	return of_name;
}

const char *
instances_other(const struct instances *instances, const char *tag, size_t length)
{
	size_t longest = 0, best = 0;

	for (size_t i = 0; i < instances->count; i++) {
		const size_t of_name = fits(instances->names[i].name, tag, length);
		if (of_name > longest) {
			longest = of_name;
			best = i;
		}
	}
	if (longest == 0 || instances->names[best].owner == INSTANCE_OURS)
		return NULL;
	return instances->names[best].name;
}

void
instances_make_ours(struct instances *instances, const char *name)
{
	const size_t at = find(instances, name);

	if (at < instances->count)
		instances->names[at].owner = INSTANCE_OURS;
}
