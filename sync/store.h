/*
 * store: the snapshot as sync keeps it: opened, verified, set aside when it is beyond use, purged.
 * It fills in what `status` says of the snapshot.
 */
#ifndef MXHOLD_SYNC_STORE_H
#define MXHOLD_SYNC_STORE_H

#include "sync/status.h"

#include <sys/stat.h>

struct store {
	const char *state_dir;
	gid_t group;
	struct status *status;
	struct snapshot_writer *writer; /* NULL: not open */
	bool lost;   /* a snapshot was set aside, and none has taken its place yet */
	bool cure;   /* some values are damaged: a full load is wanted */
	bool broken; /* the last write met a page that LMDB cannot use */
	char problem[256];
	struct stat seen; /* data.mdb after our own last write; st_ino 0: not looked at yet */
	int lock_fd;      /* of lock.mdb, while the writer is open; -1: it could not be opened */
	struct stat lock; /* lock.mdb as it was when we opened it */
	uint64_t lock_head;
};

/* Opens where it is not open, and verifies; sets aside what cannot be used. False: logged. */
bool store_open(struct store *store) __attribute__((warn_unused_result));
void store_close(struct store *store);
/* Sets the snapshot aside without looking at it. */
void store_set_aside(struct store *store, const char *why);
/*
 * Cheap, for each round: is the file the one that we wrote last? One that was truncated or replaced
 * is closed, as is one whose lock.mdb is gone or replaced; one that somebody wrote to is verified.
 * False: store_open has to look at it.
 */
bool store_check(struct store *store) __attribute__((warn_unused_result));
/* After our own writes, also those that failed half-way: this is the file as we left it. */
void store_note(struct store *store);
/* Checks every value. False: the snapshot was set aside, or cannot be read. */
bool store_verify(struct store *store);
/*
 * After a write that failed: says so in the log. Where it was not for want of room, the snapshot is
 * closed: opening it anew tells whether it is whole; where it is damaged beyond a cure, it is set
 * aside.
 */
void store_write_failed(struct store *store, const char *doing);
/* Reads the meta anew, after a commit. */
void store_look(struct store *store);
/* Retires nothing, removes what has been retired for longer than `lifetime` seconds. */
bool store_purge(struct store *store, int64_t now, int64_t lifetime)
    __attribute__((warn_unused_result));
/* A commit that changes nothing but the meta. */
bool store_put_meta(struct store *store, const struct snapshot_meta *meta)
    __attribute__((warn_unused_result));
/* Was heard at `boot_ms`. */
bool store_put_contact(struct store *store, int64_t boot_ms) __attribute__((warn_unused_result));

#endif
