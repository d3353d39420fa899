/*
 * backlog: which changes of the authority this relay has yet to take, and in which order it reads
 * them, so that what is small never waits for what is large. Pure.
 *
 * The feed tells a key's present state, and each page is read from a newer state of the database
 * than the one before: so rows may be taken in any order of their versions, and a later page never
 * brings back an older image of a row. Only the version that the snapshot claims must wait until
 * all up to it is there. A *sweep* reads on through the versions, at most BACKLOG_EACH rows of
 * each; a version that has more is *large*: its rest is read in pages, between which a sweep looks
 * for what was committed meanwhile. Nothing of this outlives the program: what was not claimed is
 * read again, which is harmless.
 */
#ifndef MXHOLD_SYNC_BACKLOG_H
#define MXHOLD_SYNC_BACKLOG_H

#include "sync/policy.h"
#include "sync/row.h"

#define BACKLOG_EACH 1000u  /* rows of one version that a sweep takes */
#define BACKLOG_PAGE 20000u /* rows of one page */
#define BACKLOG_LARGE 16    /* versions of which the rest is pending; more have to wait */

/* Behind which row of a version the next page begins (docs/feed.md). */
struct backlog_place {
	uint64_t version;
	unsigned step; /* 0: before the first */
	char customer[CUSTOMER_SIZE];
	char key[DOMAIN_SIZE];
};

/* A state of the authority, all of which the snapshot is going to hold. */
struct backlog_mark {
	uint64_t version; /* 0: none */
	char stamp[SNAPSHOT_STAMP_SIZE];
	int64_t heard_at; /* when it was read, milliseconds of CLOCK_BOOTTIME */
};

struct backlog {
	uint64_t version, newest; /* of the snapshot that this belongs to */
	uint64_t swept; /* every version up to here was told, but for the large ones' rest */
	struct backlog_place large[BACKLOG_LARGE]; /* in the order of versions */
	size_t count;
	struct backlog_mark mark;
	bool rest_next; /* sweeps and pages of a rest take turns */
};

/* One reading, at most `most` rows. */
struct backlog_page {
	bool sweep;
	uint64_t since, until;       /* versions above the one, up to the other */
	struct backlog_place behind; /* in a rest: of its one version */
	unsigned each, most;
	/* what came */
	struct backlog_place last;
	unsigned rows, of_version; /* all; and of the last one's version */
	uint64_t stopped;          /* no place was left for this large version; 0: there was */
};

/* Makes sure that it belongs to the snapshot with this meta; else it begins anew from there. */
void backlog_attach(struct backlog *backlog, const struct snapshot_meta *meta);
/* What to read next, where the authority is at `newest`. */
struct backlog_page backlog_next(const struct backlog *backlog, uint64_t newest);
/* A row of the page. False: it is none (another version, or not in order). */
bool backlog_row(struct backlog *backlog, struct backlog_page *page, const struct row *row)
    __attribute__((warn_unused_result));
/* The page was read to its end, from this state of the authority. */
void backlog_end(struct backlog *backlog, const struct backlog_page *page,
    const struct feed_state *state, int64_t heard_at);
/*
 * Sets the version of `meta` to what is complete with this page (*heard_at is set), or leaves it
 * (*heard_at is -1); `newest` becomes the state's. To be called once a page, before it is
 * committed.
 */
void backlog_claim(struct backlog *backlog, const struct feed_state *state,
    struct snapshot_meta *meta, int64_t *heard_at);

#endif
