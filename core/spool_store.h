/*
 * spool_store: what the spool's writer and its readers share: names, databases, and the form of
 * a stored row. Not for other programs.
 */
#ifndef MXHOLD_CORE_SPOOL_STORE_H
#define MXHOLD_CORE_SPOOL_STORE_H

#include "core/lmdb_files.h"
#include "core/spool.h"

#include <lmdb.h>

#define SPOOL_DIRECTORY QUEUED_FOLDER "/spool"
#define SPOOL_WRITER_LOCK QUEUED_FOLDER "/spool.lock"
#define SPOOL_SHIPPED "shipped"
#define SPOOL_READERS 64
#define SPOOL_IDENTITY_SIZE 40
#define SPOOL_PATH_SIZE 4096

/*
 * rows: key -> stored row. order: seq (big-endian) -> key. done: seq of a final row -> when it was
 * put. notes: name -> stored note. meta: "format", "identity", "seq" (the last one given).
 */
enum spool_database {
	SPOOL_ROWS,
	SPOOL_ORDER,
	SPOOL_DONE,
	SPOOL_NOTES,
	SPOOL_META,
	SPOOL_DATABASES
};

struct spool_databases {
	MDB_dbi dbi[SPOOL_DATABASES];
};

/* Returns LMDB's code. `make`: in a write transaction, those that are missing. */
int spool_databases_open(MDB_txn *txn, bool make, struct spool_databases *out);

/* A row or note as it is stored: checksum over key and the rest, seq, flags, text. */
#define SPOOL_HEAD_SIZE (8 + 8 + 1)
#define SPOOL_FLAG_FINAL 1u
void spool_head_put(uint8_t head[SPOOL_HEAD_SIZE], const struct spool_entry *entry);
/* False: damaged. */
bool spool_entry_take(const MDB_val *key, const MDB_val *stored, struct spool_entry *out);
/* The row of a number, by what `order` has of it. False: damaged, or there is none. */
bool spool_row_take(MDB_txn *txn, const struct spool_databases *databases, const MDB_val *number,
    MDB_val *key, struct spool_entry *out);

void spool_number_put(uint8_t out[8], uint64_t number); /* big-endian: sorts as numbers do */
bool spool_number_take(const MDB_val *value, uint64_t *out);

/* Is the spool at `path` a folder, and its data.mdb a plain file, where they are there? To open
   anything else could wait for ever (a pipe), or do something (a device). */
bool spool_files_plain(const char *path) __attribute__((warn_unused_result));
bool spool_path(const char *state_dir, const char *name, char out[SPOOL_PATH_SIZE]);

/* --- files (spool_files.c) ---------------------------------------------------------------------
 */

enum spool_found { SPOOL_FOUND_GOOD, SPOOL_FOUND_DAMAGED, SPOOL_FOUND_CANNOT_TELL };
/* Reads and checks all of it in a child process; a lock file that is missing or broken is made
   anew (lmdb_lock_file_renew), and gets its blocks. The writer's lock, taken before, is
   `lock_held`. After CANNOT_TELL errno says why, or is 0. */
enum spool_found spool_inspect(const char *state_dir, int lock_held);
/* The descriptor of the writer's lock, or -1 with errno (EWOULDBLOCK: another writer lives). */
int spool_lock_take(const char *state_dir);
/* Renames STATE_DIR/queued/spool to the first free spool.damaged.N. False: errno is set. */
bool spool_files_set_aside(const char *state_dir, char out[SPOOL_PATH_SIZE]);
bool spool_directory_make(const char *state_dir);
bool spool_permissions_set(const char *state_dir, gid_t group);

/*
 * What the writer has open, to see whether others changed it. lock.mdb has a descriptor of its own,
 * which must outlive LMDB's: closing it gives up all POSIX locks of the process on that file.
 */
struct spool_files {
	int lock; /* -1: not open */
	uint64_t lock_head, lock_inode, data_inode;
	int64_t data_size; /* it only grows */
};
/* After the environment was opened. False: errno is set. */
bool spool_files_note(const char *state_dir, struct spool_files *files);
/* Are they what they were? NULL, or what is wrong (static text). */
const char *spool_files_changed(const char *state_dir, struct spool_files *files);
/* Is the lock.mdb that is open another than it was? */
bool spool_files_lock_broken(const struct spool_files *files);

#endif
