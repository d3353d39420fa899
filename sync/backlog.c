/*
 * backlog: see backlog.h.
 */
#include "sync/backlog.h"

#include <stdio.h>
#include <string.h>

void
backlog_attach(struct backlog *backlog, const struct snapshot_meta *meta)
{
	if (backlog->version == meta->version && backlog->newest == meta->newest &&
	    backlog->swept >= meta->version)
		return;
	*backlog = (struct backlog){
	    .version = meta->version, .newest = meta->newest, .swept = meta->version};
}

struct backlog_page
backlog_next(const struct backlog *backlog, uint64_t newest)
{
	const struct backlog_place *first = &backlog->large[0];
	bool may_sweep = newest > backlog->swept && backlog->count < BACKLOG_LARGE;

	if (backlog->count == 0 || (may_sweep && !backlog->rest_next))
		return (struct backlog_page){.sweep = true,
		    .since = backlog->swept,
		    .until = newest,
		    .each = BACKLOG_EACH,
		    .most = BACKLOG_PAGE};
	return (struct backlog_page){.since = first->version - 1,
	    .until = first->version,
	    .behind = *first,
	    .last = *first,
	    .each = BACKLOG_PAGE,
	    .most = BACKLOG_PAGE};
}

/* All of the page's last version that it tells has been seen: is there more of it? */
static void
version_over(struct backlog *backlog, struct backlog_page *page)
{
	if (!page->sweep || page->of_version < page->each || page->stopped != 0)
		return;
	if (backlog->count < BACKLOG_LARGE)
		backlog->large[backlog->count++] = page->last;
	else
		page->stopped = page->last.version;
}

bool
backlog_row(struct backlog *backlog, struct backlog_page *page, const struct row *row)
{
	struct backlog_place *last = &page->last;

	if (row->version <= page->since || row->version > page->until ||
	    row->version < last->version || page->rows == page->most)
		return false;
	if (row->version != last->version) {
		version_over(backlog, page);
		page->of_version = 0;
	}
	page->rows++;
	page->of_version++;
	last->version = row->version;
	last->step = row->step;
	snprintf(last->customer, sizeof last->customer, "%s",
	    row->customer != NULL ? row->customer : "");
	snprintf(last->key, sizeof last->key, "%s", row->key);
	return true;
}

static void
end_sweep(struct backlog *backlog, struct backlog_page *page, uint64_t newest)
{
	bool full = page->rows == page->most, whole;

	version_over(backlog, page);
	whole = page->of_version == page->each; /* the last one: as much as a sweep takes */
	if (page->stopped != 0)
		backlog->swept = page->stopped - 1;
	else if (full)
		backlog->swept = whole ? page->last.version : page->last.version - 1;
	else
		backlog->swept = newest;
}

static void
end_rest(struct backlog *backlog, const struct backlog_page *page)
{
	if (page->rows == page->most) {
		backlog->large[0] = page->last;
		return;
	}
	backlog->count--;
	memmove(&backlog->large[0], &backlog->large[1], backlog->count * sizeof backlog->large[0]);
}

void
backlog_end(struct backlog *backlog, const struct backlog_page *page,
    const struct feed_state *state, int64_t heard_at)
{
	struct backlog_page last = *page;
	struct backlog_mark *mark = &backlog->mark;

	if (page->sweep)
		end_sweep(backlog, &last, page->until);
	else
		end_rest(backlog, page);
	backlog->rest_next = page->sweep;
	if (backlog->swept < state->version || (mark->version != 0 && backlog->count > 0))
		return;
	mark->version = state->version;
	mark->heard_at = heard_at;
	memcpy(mark->stamp, state->stamp, sizeof mark->stamp);
}

void
backlog_claim(struct backlog *backlog, const struct feed_state *state, struct snapshot_meta *meta,
    int64_t *heard_at)
{
	struct backlog_mark *mark = &backlog->mark;

	*heard_at = -1;
	if (mark->version != 0 &&
	    (backlog->count == 0 || backlog->large[0].version > mark->version)) {
		meta->version = mark->version;
		memcpy(meta->stamp, mark->stamp, sizeof meta->stamp);
		*heard_at = mark->heard_at;
		mark->version = 0;
	}
	meta->newest = state->version;
	memcpy(meta->newest_stamp, state->stamp, sizeof meta->newest_stamp);
	backlog->version = meta->version;
	backlog->newest = meta->newest;
}
