/*
 * apply: rows of the feed into the snapshot: a few into the active set, or all into the idle one.
 *
 * What vanishes is not removed but retired: held mail needs its row (docs/feed.md, snapshot.h).
 * Of a row whose record cannot be used nobody can tell what holds: mail for it is deferred, what is
 * held goes by the old record, and a relay stays behind the fence as it was known.
 * A page of changes is one transaction. A load is committed in batches, which stay invisible until
 * its end.
 */
#ifndef MXHOLD_SYNC_APPLY_H
#define MXHOLD_SYNC_APPLY_H

#include "sync/hint.h"
#include "sync/row.h"

#include "core/snapshot.h"

#define APPLY_BATCH 20000 /* rows a transaction of a load */

struct apply {
	struct snapshot_writer *writer;
	bool load;         /* into the idle set */
	bool compare;      /* a load: count what differs from the active set */
	int64_t now;       /* seconds since the epoch */
	const char *relay; /* own row's name */
	struct hint *hint; /* gets the names of domains that are new */
	/* results */
	uint64_t rows, domains, differing, carried;
	uint64_t passed; /* domains whose names cannot be used: no recipient can be theirs */
	int64_t live;    /* change of the number of domains that are not retired */
	bool own_row;    /* the relay's own row was among them */
	enum snapshot_result result;
};

/* The fields above "results" are set by the caller. */
bool apply_begin(struct apply *apply) __attribute__((warn_unused_result));
/* False: apply->result says why; then apply_abort. */
bool apply_row(struct apply *apply, const struct row *row) __attribute__((warn_unused_result));
/* Carries over (a load) and commits with `meta`. */
bool apply_end(struct apply *apply, const struct snapshot_meta *meta, int64_t queue_lifetime)
    __attribute__((warn_unused_result));
void apply_abort(struct apply *apply);

#endif
