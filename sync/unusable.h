/*
 * unusable: the rows that the authority tells and this relay cannot use, by name and with the
 * reason, so that the SOC sees them (docs/feed.md, the heartbeat). They outlive a restart in
 * STATE_DIR/unusable, since changes tell only what changed; a full load builds the set anew.
 */
#ifndef MXHOLD_SYNC_UNUSABLE_H
#define MXHOLD_SYNC_UNUSABLE_H

#include "sync/row.h"

#define UNUSABLE_MOST 1000 /* known by name; more are only counted */
#define UNUSABLE_TOLD 100  /* of them in a heartbeat */

struct unusable {
	char *entries[UNUSABLE_MOST]; /* "domain xn--x.example: why", sorted; owned */
	size_t count;
	uint64_t more; /* beyond those: at least so many since the last load */
	bool changed;  /* since it was saved or loaded */
};

/* Takes note of a row as the authority tells it now: a sound one, or one that is gone, leaves. */
void unusable_note(struct unusable *set, const struct row *row);
void unusable_clear(struct unusable *set);
uint64_t unusable_count(const struct unusable *set);
/* The first UNUSABLE_TOLD as the text of a PostgreSQL array; the caller frees. NULL: no memory. */
char *unusable_array(const struct unusable *set) __attribute__((warn_unused_result));

/* False: errno is set, and the former file stays. */
bool unusable_save(struct unusable *set, const char *state_dir) __attribute__((warn_unused_result));
/* False: there is no such file, or it is not what was saved; the set is empty then. */
bool unusable_load(struct unusable *set, const char *state_dir) __attribute__((warn_unused_result));

#endif
