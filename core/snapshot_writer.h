/*
 * snapshot_writer: the writer's own data, shared by the files that make it up (snapshot_write.c,
 * snapshot_carry.c, snapshot_files.c) and by nobody else.
 */
#ifndef MXHOLD_CORE_SNAPSHOT_WRITER_H
#define MXHOLD_CORE_SNAPSHOT_WRITER_H

#include "core/snapshot_format.h"

enum writer_mode { WRITER_IDLE, WRITER_CHANGE, WRITER_LOAD };

struct snapshot_writer {
	char *state_dir;
	int lock; /* descriptor of STATE_DIR/snapshot.lock, held as long as the writer lives */
	size_t map_size;
	MDB_env *env;
	size_t page_size;
	struct snapshot_databases databases;
	struct snapshot_state state; /* as committed */
	bool loaded;                 /* there is such a state */

	enum writer_mode mode;
	MDB_txn *txn;
	bool records_changed;
	bool fleet_changed;
	bool append[SNAPSHOT_KINDS]; /* a load's keys have come in order so far */
	bool file_damaged;           /* LMDB said so since the transaction began */
	char problem[SNAPSHOT_PROBLEM_SIZE];
};

/* Notes the problem in words and returns `result`. */
enum snapshot_result snapshot_writer_fail(struct snapshot_writer *writer,
    enum snapshot_result result, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for LMDB's code: OK and NOT_FOUND for 0 and MDB_NOTFOUND, else DAMAGED or UNUSABLE. */
enum snapshot_result snapshot_writer_code(
    struct snapshot_writer *writer, const char *what, int code);

/* The rows that this transaction writes: of the idle set in a load, else of the active one. */
MDB_dbi snapshot_writer_rows(const struct snapshot_writer *writer, enum snapshot_kind kind);
MDB_dbi snapshot_writer_active_rows(const struct snapshot_writer *writer, enum snapshot_kind kind);

/* What a new row takes over from the row that it replaces. Returns whether it changed anything. */
bool snapshot_inherit(const struct domain_record *old, struct domain_record *record, int64_t now);

/* --- files (snapshot_files.c) ------------------------------------------------------------ */

/* Takes STATE_DIR/snapshot.lock. -1: errno is set; EWOULDBLOCK: another writer has it. */
int snapshot_lock_take(const char *state_dir);
/* Makes the directory where it is missing. False: errno is set; ENOTDIR: what is there is none. */
bool snapshot_directory_make(const char *state_dir);
/*
 * Sets modes and group of directory, data.mdb and lock.mdb, as far as this user may. Returns NULL,
 * or what is still not as it should be (static text).
 */
const char *snapshot_permissions_set(const char *state_dir, gid_t group);
/*
 * To be called before lock.mdb is made anew. Readers that still hold the old one would not be seen
 * through the new one, and their pages would be written over: so data.mdb becomes another file with
 * the same bytes, which they find out within a second, while what they hold stays as it is. Does
 * nothing where lock.mdb is there. False: errno is set.
 */
bool snapshot_lock_file_renew(const char *state_dir);

#endif
