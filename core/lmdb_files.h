/*
 * lmdb_files: what the house's LMDB environments (snapshot, state, spool) have in common as files:
 * STATE_DIR/NAME/data.mdb and lock.mdb, and STATE_DIR/NAME.lock, which the one writer holds. Never
 * looks inside.
 */
#ifndef MXHOLD_CORE_LMDB_FILES_H
#define MXHOLD_CORE_LMDB_FILES_H

#include <stdbool.h>
#include <sys/types.h>

/* Below STATE_DIR, mxhold-queued's own: it must be able to rename what it writes (state, spool),
   and STATE_DIR is mxhold-sync's. */
#define QUEUED_FOLDER "queued"

struct lmdb_place {
	const char *state_dir;
	const char *name; /* of the environment's directory below it */
};

/* Takes STATE_DIR/NAME.lock. -1: errno is set; EWOULDBLOCK: another writer has it. */
int lmdb_lock_take(const struct lmdb_place *place) __attribute__((warn_unused_result));
/* Makes the directory where it is missing. False: errno is set. */
bool lmdb_directory_make(const struct lmdb_place *place) __attribute__((warn_unused_result));
/*
 * Sets modes (0750, data 0640, lock 0660) and group ((gid_t)-1: leaves it), as far as this user
 * may. Returns NULL, or what is still not as it should be (static text).
 */
const char *lmdb_permissions_set(const struct lmdb_place *place, gid_t group);
/*
 * To be called before lock.mdb is made anew. Readers that still hold the old one would not be seen
 * through the new one, and their pages would be written over: so data.mdb becomes another file with
 * the same bytes, which they find out within a second, while what they hold stays as it is. Does
 * nothing where lock.mdb is there. False: errno is set.
 */
bool lmdb_lock_file_renew(const struct lmdb_place *place) __attribute__((warn_unused_result));
/*
 * To be called before a writer opens the environment, and after lmdb_lock_file_renew: LMDB makes
 * lock.mdb (of `readers`) as one hole and writes to it through a map, where a full disk is a
 * signal. Here its blocks are had, or it is an errno that says that there is no room; any other
 * fault is left for LMDB to find, so 0. It opens and closes lock.mdb: no environment of the place
 * may be open in this process (POSIX locks).
 */
int lmdb_lock_file_reserve(const char *directory, unsigned readers)
    __attribute__((warn_unused_result));
/* Removes lock.mdb, under the writer's lock. False: errno is set. */
bool lmdb_lock_file_discard(const struct lmdb_place *place) __attribute__((warn_unused_result));
/*
 * Renames STATE_DIR/NAME to NAME.damaged (an older one is removed; one that cannot be removed
 * stays, and the name becomes NAME.damaged.1 to .9), under the writer's lock. False: errno is set;
 * EWOULDBLOCK: a living writer has it.
 */
bool lmdb_set_aside(const struct lmdb_place *place) __attribute__((warn_unused_result));
/*
 * For a parent that is root, before its child writes there as another user: makes STATE_DIR/NAME
 * and NAME.lock where they are missing, and gives them, with data.mdb and lock.mdb, to that user
 * (lmdb_give_one). False: errno is set.
 */
bool lmdb_give(const struct lmdb_place *place, uid_t uid, gid_t gid)
    __attribute__((warn_unused_result));
/*
 * The same of one thing: `name`, which has no slash, in the folder that is open as `parent`. Its
 * owner may read and write it afterwards. What is missing, has several names, or is neither file
 * nor folder stays as it is, and is no failure. False: errno is set (ELOOP: a link, never
 * followed).
 */
bool lmdb_give_one(int parent, const char *name, uid_t uid, gid_t gid)
    __attribute__((warn_unused_result));
/* The same of what is open. */
bool lmdb_give_opened(int file, uid_t uid, gid_t gid) __attribute__((warn_unused_result));
/*
 * For its writer that could not open it: is there something of it, or STATE_DIR itself, that this
 * user may not read and write (EACCES)? Then `out` has its path.
 */
bool lmdb_denied(const struct lmdb_place *place, char *out, size_t size);
/*
 * Removes STATE_DIR/NAME with all below it; a directory that this user may empty but not remove
 * stays. The caller holds the writer's lock. False: errno is set, and something is left of it.
 */
bool lmdb_remove(const struct lmdb_place *place) __attribute__((warn_unused_result));

#endif
