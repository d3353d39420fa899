/*
 * figures: what of the state the authority is told, and what of it has changed. Pure.
 *
 * In: the state's records in the order of their names. Out: JSON arrays for mxhold.queue_report, in
 * parts of a bounded size. A record that has nothing to tell (nothing held, no hold, no primary
 * that is ill) is not told; one that had, and has no longer, is told as gone.
 */
#ifndef MXHOLD_SYNC_FIGURES_H
#define MXHOLD_SYNC_FIGURES_H

#include "core/state.h"

#define FIGURES_PART 500 /* rows at most */

/* A whole part stands for all names behind `behind`, up to `up_to`. */
struct figures_part {
	char *rows; /* JSON */
	bool whole;
	char behind[DOMAIN_SIZE];
	char up_to[DOMAIN_SIZE]; /* "": to the end */
};

/* A name that was told, and a hash of what was told of it. */
struct figures_known {
	char *name;
	uint64_t hash;
};

struct figures_list {
	struct figures_known *known; /* in the order of names */
	size_t count, room;
};

struct figures {
	struct figures_list old, now;
	size_t old_at; /* how far `old` has been compared */
	struct figures_part *parts;
	size_t part_count;
	bool whole;
	/* while it looks */
	int64_t clock;
	char *rows; /* of the part that is being made */
	size_t length, room, row_count;
	char last[DOMAIN_SIZE]; /* the part before it ended here */
	bool failed;            /* out of memory */
};

/* Begins a look at all records. `whole`: tells them all, whatever was told; `now`: seconds. */
void figures_begin(struct figures *figures, bool whole, int64_t now);
/* For state_each; `context` is the figures. */
bool figures_visit(const char *name, const struct state_domain *record, void *context);
/* Ends it: `parts` is complete (a whole look has one part at least). False: out of memory. */
bool figures_end(struct figures *figures) __attribute__((warn_unused_result));
/* The parts were told and taken. */
void figures_told(struct figures *figures);
/* Frees everything; what was told counts as not told. */
void figures_clear(struct figures *figures);

#endif
