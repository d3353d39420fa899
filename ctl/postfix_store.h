/*
 * postfix_store: what apply keeps of main.cf and master.cf, and how files are replaced.
 *
 * Below CONFIG_DIR/mxhold-saved (mode 0700): for each of the two files
 *
 *   NAME.original   before mxhold was first applied: rollback brings it back
 *   NAME.before     before the last apply: a failed or killed apply brings it back
 *   NAME.applied    as the last apply wrote it: what differs from it was edited by somebody
 *
 * and `record`: what is going on (applying, applied, rolling-back), with the overlay's version,
 * whether the operator confirmed that the relay is shared, and a checksum of each copy that may be
 * brought back: one that is not what was saved is never put in place of a live file. The record is
 * written before the first file is touched, and after the last check: a run that is killed leaves a
 * state that the next one recognises. Copies keep mode, owner and time of change. Files are
 * replaced whole (temporary file, fsync, rename); a symbolic link is followed, and stays.
 */
#ifndef MXHOLD_CTL_POSTFIX_STORE_H
#define MXHOLD_CTL_POSTFIX_STORE_H

#include "ctl/text.h"

#include <stdbool.h>
#include <stddef.h>

enum store_state {
	STORE_NONE,    /* not applied */
	STORE_APPLIED, /* applied, both files as apply wrote them */
	STORE_EDITED,  /* applied, and edited since */
	STORE_HALF,    /* an apply or a rollback was killed; `repairable` says whether by itself */
	STORE_DAMAGED, /* copies are missing, or not what was saved: `damage` */
};

enum store_file { STORE_MAIN, STORE_MASTER };
#define STORE_FILES 2
enum store_copy { STORE_ORIGINAL, STORE_BEFORE };
#define STORE_COPIES 2

struct store {
	char *config_dir;
	char *folder;
	int lock; /* descriptor, -1 without */
	enum store_state state;
	bool rolling_back; /* HALF: it was a rollback */
	bool repairable;   /* HALF: no file holds anything but what mxhold wrote or saved */
	bool mixed;        /* somebody's edits went into .applied by a later apply */
	bool shared;       /* --shared was said at an apply to a shared relay: not asked again */
	char *version;     /* of the overlay */
	char *at;          /* when: ISO 8601 */
	char *overlay;     /* path of the overlay that was applied; "" where not recorded */
	char *damage;      /* DAMAGED: which copy, and what is wrong with it */
	char *sums[STORE_FILES][STORE_COPIES]; /* of the copies; "" where not recorded */
};

enum store_opened { STORE_OPEN, STORE_BUSY /* another run has the lock */, STORE_UNREADABLE };
/* Reads the state. `exclusive` takes the lock. Not STORE_OPEN: said why. */
enum store_opened store_open(struct store *store, const char *config_dir, bool exclusive)
    __attribute__((warn_unused_result));
void store_close(struct store *store);
const char *store_state_name(enum store_state state);

/* Path of the live file or of a copy ("original", ...). The caller frees. */
char *store_path(const struct store *store, enum store_file file, const char *copy);
const char *store_file_name(enum store_file file);

struct store_new { /* what apply will write */
	const char *bytes[STORE_FILES];
	size_t lengths[STORE_FILES];
	const char *version, *overlay; /* of the overlay; its path */
	bool shared;                   /* confirmed as a shared relay */
};

/*
 * Saves what is there, and the new bytes; the record says `applying`. A killed run (HALF) is gone
 * on with: its copies of what was before it stay, so that nothing of the overlay is away in
 * between.
 */
/* False: said why; no live file was touched, and the state is as before if the disk lets it. */
bool store_begin(struct store *store, const struct store_new *new)
    __attribute__((warn_unused_result));
/* Replaces the live files by the new bytes (master.cf first), where they differ. */
bool store_write(const struct store *store) __attribute__((warn_unused_result));
/* The record says `applied`. */
bool store_finish(struct store *store) __attribute__((warn_unused_result));
/* Notes the confirmation in the record of what is applied already, where it is not there yet. */
bool store_note_shared(struct store *store) __attribute__((warn_unused_result));
/* Takes a begun apply back, or ends a killed one: the files are as before it. */
bool store_undo(struct store *store) __attribute__((warn_unused_result));
/* Brings the originals back. The record is gone only when store_forget was called. */
bool store_rollback(struct store *store) __attribute__((warn_unused_result));
bool store_forget(struct store *store) __attribute__((warn_unused_result));
/* Puts the live files beside themselves as NAME.edited, before a forced rollback. */
bool store_keep_edited(const struct store *store) __attribute__((warn_unused_result));

#endif
