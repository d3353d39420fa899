/*
 * serve_pins: that a pinned primary is up counts for a while after it was seen last (policyd lets
 * mail go meanwhile), and is no more than a guess where nobody looks: what a former process said of
 * it is withdrawn at the start, what this one said at its end.
 */
#include "queued/serve_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pins {
	struct serve *serve;
	char (*name)[DOMAIN_SIZE];
	size_t count, room;
	bool full; /* out of memory */
};

/* Also where the row cannot be read, or is not there now. */
static bool
may_be_pinned(struct serve *serve, const char *domain)
{
	struct watch_row row = {.hold_until = 0};

	return serve_row(serve, domain, &row) != WATCH_ROW_FOUND ||
	       row.pin_certificate[0] != '\0' || row.pin_banner[0] != '\0';
}

static bool
has_room(struct pins *pins)
{
	const size_t room = pins->room > 0 ? 2 * pins->room : 64;
	void *name;

	if (pins->count < pins->room)
		return true;
	name = reallocarray(pins->name, room, sizeof(*pins->name));
	if (name == NULL)
		return false;
	pins->name = name;
	pins->room = room;
	return true;
}

static bool
collect(const char *name, const struct state_domain *record, void *context)
{
	struct pins *pins = context;

	if (record->primary != PRIMARY_UP || !may_be_pinned(pins->serve, name))
		return true;
	pins->full = !has_room(pins);
	if (!pins->full)
		(void)snprintf(pins->name[pins->count++], DOMAIN_SIZE, "%s", name);
	return !pins->full;
}

/* One of which mail was counted lately is watched on, so that its next message need not wait. */
static bool
withdraw(struct serve *serve, const char *name)
{
	struct state_domain record;
	bool lately;

	if (state_write_get(serve->state, name, &record) != STATE_OK)
		return false;
	lately = record.counted_at >= serve->now.wall - STATE_COUNTS_AGE;
	if (state_primary_unseen(&record) &&
	    state_write_put(serve->state, name, &record) != STATE_OK)
		return false;
	if (lately && serve->watch != NULL)
		watch_asked(serve->watch, name, serve->now);
	return serve->state != NULL; /* it may have been found broken */
}

bool
serve_withdraw_pins(struct serve *serve)
{
	struct pins pins = {.serve = serve};
	bool done = serve_need_state(serve) &&
		    state_write_each(serve->state, collect, &pins) == STATE_OK && !pins.full;

	for (size_t i = 0; done && i < pins.count; i++)
		done = withdraw(serve, pins.name[i]);
	free(pins.name);
	if (!done && serve->state != NULL)
		serve_state_fail(serve); /* opened anew, and tried again */
	return done;
}
