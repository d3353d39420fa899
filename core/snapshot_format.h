/*
 * snapshot_format: how a snapshot lies on disk; shared by its reader and its writer, and by nobody
 * else.
 *
 * STATE_DIR/snapshot/data.mdb and lock.mdb are an LMDB environment with the databases `meta`,
 * `domain.0`, `domain.1`, `customer.0`, `customer.1`, `relay.0`, `relay.1`. `meta` holds two
 * records: "state" (format, active set, what is applied) and "contact" (when the authority was
 * heard). Both carry a checksum of their own. STATE_DIR/snapshot.lock is locked (flock) by the one
 * writer.
 */
#ifndef MXHOLD_CORE_SNAPSHOT_FORMAT_H
#define MXHOLD_CORE_SNAPSHOT_FORMAT_H

#include "core/snapshot.h"

#include <lmdb.h>

#define SNAPSHOT_FORMAT 1u
#define SNAPSHOT_DIRECTORY "snapshot"
#define SNAPSHOT_DATA "snapshot/data.mdb"
#define SNAPSHOT_LOCK "snapshot/lock.mdb"
#define SNAPSHOT_WRITER_LOCK "snapshot.lock"
#define SNAPSHOT_ASIDE "snapshot.damaged"
#define SNAPSHOT_READERS 2048u
#define SNAPSHOT_MAP_SIZE ((size_t)64 << 30)
#define SNAPSHOT_PROBLEM_SIZE 256
#define SNAPSHOT_KEY_MAX 511 /* LMDB's */

enum snapshot_kind { SNAPSHOT_DOMAIN, SNAPSHOT_CUSTOMER, SNAPSHOT_RELAY, SNAPSHOT_KINDS };
enum snapshot_set { SNAPSHOT_SET_0, SNAPSHOT_SET_1, SNAPSHOT_SETS };

struct snapshot_databases {
	MDB_dbi meta;
	MDB_dbi rows[SNAPSHOT_SETS][SNAPSHOT_KINDS];
};

/* The record "state". */
struct snapshot_state {
	enum snapshot_set active;
	uint64_t entries[SNAPSHOT_KINDS]; /* rows of the active set: an emptied tree is noticed */
	uint32_t heads[SNAPSHOT_KINDS];   /* links to the first rows (snapshot_link.h) */
	struct snapshot_meta meta;
};

#define SNAPSHOT_STATE_SIZE 512
#define SNAPSHOT_CONTACT_SIZE 64

size_t snapshot_state_encode(const struct snapshot_state *state, uint8_t out[SNAPSHOT_STATE_SIZE]);
/* UNUSABLE: another format; DAMAGED: it fails its checksum. */
enum snapshot_result snapshot_state_decode(const void *bytes, size_t length,
    struct snapshot_state *out) __attribute__((warn_unused_result));
size_t snapshot_contact_encode(
    const struct snapshot_contact *contact, uint8_t out[SNAPSHOT_CONTACT_SIZE]);
bool snapshot_contact_decode(const void *bytes, size_t length, struct snapshot_contact *out)
    __attribute__((warn_unused_result));

/* Opens all databases in `txn`; `create` makes those that are missing. Returns LMDB's code. */
int snapshot_databases_open(MDB_txn *txn, bool create, struct snapshot_databases *out)
    __attribute__((warn_unused_result));

/* A key of LMDB that points to `text`. */
MDB_val snapshot_key(const char *text);

/* One record of `meta`: OK, NOT_FOUND, DAMAGED, or UNUSABLE (format, or LMDB: *code is set). */
enum snapshot_result snapshot_state_get(MDB_txn *txn, MDB_dbi meta, struct snapshot_state *out,
    int *code) __attribute__((warn_unused_result));

/* Returns LMDB's code. */
int snapshot_state_put(MDB_txn *txn, MDB_dbi meta, const struct snapshot_state *state)
    __attribute__((warn_unused_result));
/* False: there is none, or it is damaged: the authority counts as not heard. */
bool snapshot_contact_get(MDB_txn *txn, MDB_dbi meta, struct snapshot_contact *out)
    __attribute__((warn_unused_result));
int snapshot_contact_put(MDB_txn *txn, MDB_dbi meta, const struct snapshot_contact *contact)
    __attribute__((warn_unused_result));

/* This boot's id, "" where it cannot be told. */
void snapshot_boot_id(char out[37]);

/*
 * Pages that the file must have, by its own newest meta page, in bytes. Only for a file of at
 * least two pages: it reads through the map.
 */
uint64_t snapshot_bytes_needed(MDB_env *env, size_t page_size);

/* Does each tree of the active set still hold as many rows as the writer counted? */
bool snapshot_entries_agree(
    MDB_txn *txn, const struct snapshot_databases *databases, const struct snapshot_state *state);

/* DAMAGED for codes that tell of broken files, UNUSABLE for the rest (no room, no permission). */
enum snapshot_result snapshot_lmdb_result(int code);

/* What a look at the files found. Plain data: it travels through a pipe. */
struct snapshot_inspection {
	enum snapshot_result opened; /* NOT_FOUND: no file, or no load has finished yet */
	enum snapshot_result rows;   /* when every row was asked for, and it could be opened */
	struct snapshot_census census;
	char problem[SNAPSHOT_PROBLEM_SIZE];
};

/*
 * Opens the snapshot as a reader would, and walks every row if asked. A broken file may kill the
 * process that does this.
 */
void snapshot_inspect(const char *state_dir, bool every_row, struct snapshot_inspection *out);

/*
 * Does the header of data.mdb tell of more than `most` bytes? LMDB believes it, and calls a map
 * that cannot be had "out of memory", which says nothing of the file.
 */
bool snapshot_header_exceeds(const char *state_dir, uint64_t most);

/* The same in a child process: one that dies or hangs is an answer too (DAMAGED). */
void snapshot_inspect_safely(
    const char *state_dir, bool every_row, struct snapshot_inspection *out);

#endif
