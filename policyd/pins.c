/*
 * pins: see pins.h. In: next hops, the snapshot. A next hop may be that of ten thousand rows, and
 * each delivery asks; so the last answers are kept as long as the snapshot stays as it is.
 */
#include "policyd/pins.h"

#include "core/domain.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NEXT_HOP_BLANKS ", \t"
#define ANSWERS 64 /* kept; a power of two */
#define CODE_AND_BLANK 4

struct answer {
	uint64_t serial, version; /* of the snapshot */
	uint64_t changes;         /* of what is remembered */
	char hop[PIN_HOP_SIZE];
	struct pin_demand demand;
};

struct pins {
	struct pin_hops *hops;
	struct answer answer[ANSWERS];
};

struct pins *
pins_new(void)
{
	struct pins *pins = calloc(1, sizeof(*pins));

	if (pins == NULL)
		return NULL;
	pins->hops = pin_hops_new();
	if (pins->hops != NULL)
		return pins;
	free(pins);
	return NULL;
}

void
pins_free(struct pins *pins)
{
	if (pins == NULL)
		return;
	pin_hops_free(pins->hops);
	free(pins);
}

void
pins_remember(struct pins *pins, const char *hop, size_t length, const char *row)
{
	/* Else its mail waits: nobody will tell what is pinned there. */
	(void)!pin_hops_add(pins->hops, hop, length, row);
}

/* --- rows ------------------------------------------------------------------------------------ */

bool
pins_row(const struct domain_record *record)
{
	return record->pin_certificate[0] != '\0' || record->pin_banner[0] != '\0';
}

/* Calls `visit` for each next hop of a list until it says true. */
static bool
any_hop(
    const char *hops, bool (*visit)(const char *hop, size_t length, void *context), void *context)
{
	for (;;) {
		size_t length;

		hops += strspn(hops, NEXT_HOP_BLANKS);
		length = strcspn(hops, NEXT_HOP_BLANKS);
		if (length == 0)
			return false;
		if (visit(hops, length, context))
			return true;
		hops += length;
	}
}

/* False: there is no place for it. */
static bool
want(char *list, size_t size, size_t *count, const char *pin)
{
	if (pin[0] == '\0')
		return true;
	for (size_t i = 0; i < *count; i++)
		if (strcmp(list + i * size, pin) == 0)
			return true;
	if (*count == PINS_MOST || strlen(pin) >= size)
		return false;
	memcpy(list + (*count)++ * size, pin, strlen(pin) + 1);
	return true;
}

static void
demand_row(struct pin_demand *demand, const struct domain_record *record)
{
	demand->rows++;
	demand->tls_required = demand->tls_required || record->tls_required;
	if (!want(demand->certificate[0], PIN_CERTIFICATE_SIZE, &demand->certificates,
		record->pin_certificate) ||
	    !want(demand->banner[0], PIN_SIZE, &demand->banners, record->pin_banner))
		demand->left_out++;
}

/* --- what is remembered ---------------------------------------------------------------------- */

struct look {
	struct pins *pins;
	struct snapshot *snapshot;
	const char *hop;
	size_t length;
	struct pin_demand *demand;
	const char *row;
	bool failed;
};

static bool
is_wanted_hop(const char *hop, size_t length, void *context)
{
	const struct look *look = context;

	return length == look->length && strncasecmp(hop, look->hop, length) == 0;
}

static void
look_at_row(const char *name, void *context)
{
	struct look *look = context;
	struct domain_record record;
	const enum snapshot_result result = snapshot_domain(look->snapshot, name, &record);

	if (result == SNAPSHOT_OK && pins_row(&record) &&
	    any_hop(record.next_hops, is_wanted_hop, look))
		demand_row(look->demand, &record);
	else if (result != SNAPSHOT_OK && result != SNAPSHOT_NOT_FOUND)
		look->failed = true;
}

static bool
remember_hop(const char *hop, size_t length, void *context)
{
	const struct look *look = context;

	pins_remember(look->pins, hop, length, look->row);
	return false;
}

static bool
remember_row(const char *name, const struct domain_record *record, void *context)
{
	struct look *look = context;

	look->row = name;
	if (pins_row(record))
		(void)any_hop(record->next_hops, remember_hop, look);
	return true;
}

/* What was resolved before this process was there is known to nobody but the rows. */
static bool
look_at_rows(struct look *look)
{
	struct pin_hops *hops = look->pins->hops;

	if (!pin_hops_complete(hops)) {
		if (snapshot_each_domain(look->snapshot, remember_row, look) == SNAPSHOT_UNUSABLE)
			return false;
		pin_hops_completed(hops);
	}
	pin_hops_each(hops, look->hop, look->length, look_at_row, look);
	return !look->failed;
}

/* --- asking ---------------------------------------------------------------------------------- */

/* The row of the domain itself, which goes by MX. */
static bool
look_at_domain(struct look *look)
{
	struct domain_record record;
	char domain[DOMAIN_SIZE];

	if (!domain_normalise(look->hop, look->length, domain))
		return true;
	switch (snapshot_domain_for(look->snapshot, domain, &record, NULL)) {
	case SNAPSHOT_OK:
		if (pins_row(&record) && record.next_hops[0] == '\0')
			demand_row(look->demand, &record);
		return true;
	case SNAPSHOT_NOT_FOUND: return true;
	case SNAPSHOT_DAMAGED:
	case SNAPSHOT_UNUSABLE: break;
	}
	return false;
}

static struct answer *
answer_place(struct pins *pins, const char *hop, size_t length)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)hop[i]) * 16777619u;
	return &pins->answer[hash & (ANSWERS - 1)];
}

bool
pins_at(struct pins *pins, struct snapshot *snapshot, const char *hop, size_t length,
    struct pin_demand *out)
{
	const struct snapshot_meta *meta = snapshot_meta(snapshot);
	struct answer *answer = answer_place(pins, hop, length);
	struct look look = {
	    .pins = pins, .snapshot = snapshot, .hop = hop, .length = length, .demand = out};

	memset(out, 0, sizeof(*out));
	if (length == 0 || length >= PIN_HOP_SIZE)
		return true;
	if (answer->demand.rows > 0 && answer->serial == meta->serial &&
	    answer->version == meta->version && answer->changes == pin_hops_changes(pins->hops) &&
	    strlen(answer->hop) == length && memcmp(answer->hop, hop, length) == 0) {
		*out = answer->demand;
		return true;
	}
	if (!look_at_domain(&look) || !look_at_rows(&look))
		return false;
	answer->serial = meta->serial;
	answer->version = meta->version;
	answer->changes = pin_hops_changes(pins->hops);
	memcpy(answer->hop, hop, length);
	answer->hop[length] = '\0';
	answer->demand = *out;
	return true;
}

/* As smtp(8) hands it out: printable ASCII is itself, anything else may be '?'. */
static bool
begins_with(const char *text, const char *pin)
{
	for (; *pin != '\0'; pin++, text++)
		if (*text != *pin && (*text != '?' || (*pin >= ' ' && *pin <= '~')))
			return false;
	return true;
}

bool
pin_banner_shown(const struct pin_demand *demand, const char *line, size_t length)
{
	if (demand->banners == 0)
		return true;
	if (length < CODE_AND_BLANK)
		return false;
	for (size_t i = 0; i < demand->banners; i++) {
		const size_t wanted = strlen(demand->banner[i]);

		if (length - CODE_AND_BLANK >= wanted &&
		    begins_with(line + CODE_AND_BLANK, demand->banner[i]))
			return true;
	}
	return false;
}
