/*
 * fleet: see fleet.h. Two sorted arrays, of names and of addresses, searched by halves: the fleet
 * is built seldom and asked for every recipient and every DNS record.
 *
 * A name or address that this relay shares with others counts as its own. An address and its
 * IPv4-mapped form are one.
 */
#include "core/fleet.h"

#include "core/domain.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	bool self;
	union {
		char *name;
		struct ip address;
	};
};

struct set {
	int (*compare)(const struct entry *a, const struct entry *b);
	struct entry *list;
	size_t count;
	size_t room;
};

struct fleet {
	char *self;
	struct set names;
	struct set addresses;
};

static int
compare_names(const struct entry *a, const struct entry *b)
{
	return strcmp(a->name, b->name);
}

static int
compare_addresses(const struct entry *a, const struct entry *b)
{
	if (a->address.family != b->address.family)
		return a->address.family < b->address.family ? -1 : 1;
	return memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
}

/* Where `wanted` stands, or would have to stand. */
static size_t
set_position(const struct set *set, const struct entry *wanted, bool *found)
{
	size_t low = 0;
	size_t high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (set->compare(&set->list[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < set->count && set->compare(&set->list[low], wanted) == 0;
	return low;
}

static bool
set_grow(struct set *set)
{
	size_t room = set->room > 0 ? set->room * 2 : 16;

	if (set->count < set->room)
		return true;
	struct entry *list = reallocarray(set->list, room, sizeof(*list));
	if (list == NULL)
		return false;
	set->list = list;
	set->room = room;
	return true;
}

/* Makes a place for an entry that the set lacks. NULL: out of memory. */
static struct entry *
set_open(struct set *set, size_t position)
{
	if (!set_grow(set))
		return NULL;
	memmove(&set->list[position + 1], &set->list[position],
	    (set->count - position) * sizeof(*set->list));
	set->count++;
	return &set->list[position];
}

static enum fleet_member
set_member(const struct set *set, const struct entry *wanted)
{
	bool found;
	size_t position = set_position(set, wanted, &found);

	if (!found)
		return FLEET_NOT;
	return set->list[position].self ? FLEET_SELF : FLEET_OTHER;
}

struct fleet *
fleet_new(const char *self)
{
	struct fleet *fleet = calloc(1, sizeof(*fleet));

	if (fleet == NULL)
		return NULL;
	fleet->names.compare = compare_names;
	fleet->addresses.compare = compare_addresses;
	fleet->self = strdup(self);
	if (fleet->self == NULL) {
		free(fleet);
		return NULL;
	}
	return fleet;
}

void
fleet_free(struct fleet *fleet)
{
	if (fleet == NULL)
		return;
	for (size_t i = 0; i < fleet->names.count; i++)
		free(fleet->names.list[i].name);
	free(fleet->names.list);
	free(fleet->addresses.list);
	free(fleet->self);
	free(fleet);
}

static bool
add_name(struct fleet *fleet, bool self, const char *text, size_t length)
{
	char name[DOMAIN_SIZE];
	bool found;

	if (!domain_normalise_host(text, length, name))
		return false;
	const struct entry wanted = {.name = name};
	size_t position = set_position(&fleet->names, &wanted, &found);
	if (found) {
		fleet->names.list[position].self |= self;
		return true;
	}
	char *copy = strdup(name);
	struct entry *entry = copy != NULL ? set_open(&fleet->names, position) : NULL;
	if (entry == NULL) {
		free(copy);
		return false;
	}
	*entry = (struct entry){.self = self, .name = copy};
	return true;
}

static bool
add_address(struct fleet *fleet, bool self, const struct ip *address)
{
	const struct entry wanted = {.self = self, .address = ip_unmap(address)};
	bool found;

	size_t position = set_position(&fleet->addresses, &wanted, &found);
	if (found) {
		fleet->addresses.list[position].self |= self;
		return true;
	}
	struct entry *entry = set_open(&fleet->addresses, position);
	if (entry == NULL)
		return false;
	*entry = wanted;
	return true;
}

static bool
add_address_text(struct fleet *fleet, bool self, const char *text, size_t length)
{
	struct ip address;

	return ip_parse_bytes(text, length, &address) && add_address(fleet, self, &address);
}

static bool
add_each(struct fleet *fleet, bool self, const char *list,
    bool (*add)(struct fleet *fleet, bool self, const char *text, size_t length))
{
	for (list += strspn(list, " "); *list != '\0'; list += strspn(list, " ")) {
		size_t length = strcspn(list, " ");
		if (!add(fleet, self, list, length))
			return false;
		list += length;
	}
	return true;
}

bool
fleet_add(struct fleet *fleet, const char *relay, const char *names, const char *addresses)
{
	bool self = strcmp(relay, fleet->self) == 0;

	return add_each(fleet, self, names, add_name) &&
	       add_each(fleet, self, addresses, add_address_text);
}

bool
fleet_add_own_address(struct fleet *fleet, const struct ip *address)
{
	return add_address(fleet, true, address);
}

size_t
fleet_own_addresses(const struct fleet *fleet, struct ip *out, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < fleet->addresses.count && count < room; i++)
		if (fleet->addresses.list[i].self)
			out[count++] = fleet->addresses.list[i].address;
	return count;
}

enum fleet_member
fleet_name(const struct fleet *fleet, const char *normal_name)
{
	const struct entry wanted = {.name = (char *)normal_name};

	return set_member(&fleet->names, &wanted);
}

enum fleet_member
fleet_address(const struct fleet *fleet, const struct ip *address)
{
	const struct entry wanted = {.address = ip_unmap(address)};

	return set_member(&fleet->addresses, &wanted);
}
