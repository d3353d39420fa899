/*
 * snapshot: what the authority says, on this relay's disk, in LMDB below STATE_DIR/snapshot.
 *
 * One writer (mxhold-sync), many readers that need no database, no network and no lock. Values
 * carry a checksum over key and value; what fails it is "cannot tell", never "no". The data lie in
 * one of two sets of sub-databases; one key names the active one, so that a full load is built
 * aside and swapped in one commit. A reader must never keep a transaction open between events.
 */
#ifndef MXHOLD_CORE_SNAPSHOT_H
#define MXHOLD_CORE_SNAPSHOT_H

#include "core/fleet.h"
#include "core/records.h"

#include <sys/types.h>

enum snapshot_result {
	SNAPSHOT_OK,
	SNAPSHOT_NOT_FOUND,
	SNAPSHOT_DAMAGED,  /* this value fails its checksum or cannot be decoded */
	SNAPSHOT_UNUSABLE, /* no snapshot, another format, truncated file, LMDB error */
};

#define SNAPSHOT_EPOCH_SIZE 40
#define SNAPSHOT_STAMP_SIZE 40

struct snapshot_meta {
	char epoch[SNAPSHOT_EPOCH_SIZE]; /* of the authority */
	uint64_t version;                /* of the feed, applied */
	char stamp[SNAPSHOT_STAMP_SIZE]; /* of that version: tells histories apart */
	/* Some rows are as of this one: more than `version` while not all is there. */
	uint64_t newest;
	char newest_stamp[SNAPSHOT_STAMP_SIZE];
	uint64_t confirmation;   /* newest confirmation row that was taken into account */
	uint64_t serial;         /* grows with every commit that changed records */
	uint64_t fleet_serial;   /* grows with every change of the fleet */
	int64_t loaded_at;       /* last full load, seconds since the epoch */
	char relay[DOMAIN_SIZE]; /* this relay's row in the authority */
	char region[REGION_SIZE];
};

/* When the authority was last heard: survives clock changes, not reboots (stale after one). */
struct snapshot_contact {
	char boot_id[37];
	int64_t boot_ms; /* CLOCK_BOOTTIME, milliseconds */
};

/* --- readers --------------------------------------------------------------- */

struct snapshot;

/* Never fails for a missing file: the file is looked for at each begin. NULL: out of memory. */
struct snapshot *snapshot_new(const char *state_dir, const char *self_relay);
void snapshot_free(struct snapshot *snapshot);
/*
 * Begins a read transaction; opens the environment first where needed. Looks (at most once a
 * `boot_ms` second) whether the file was replaced or truncated, and reopens it. After a failure it
 * fails at once for 200 ms, then tries again. Records and pointers are valid until snapshot_end.
 * After anything but SNAPSHOT_OK no end is needed.
 */
enum snapshot_result snapshot_begin(struct snapshot *snapshot, int64_t boot_ms)
    __attribute__((warn_unused_result));
void snapshot_end(struct snapshot *snapshot);
const struct snapshot_meta *snapshot_meta(const struct snapshot *snapshot);
/* Why the last begin said UNUSABLE: static or owned text, never NULL. */
const char *snapshot_problem(const struct snapshot *snapshot);

enum snapshot_result snapshot_domain(
    struct snapshot *snapshot, const char *name, struct domain_record *out);
/*
 * The row that speaks for `name`: its own, else the nearest parent's with include_subdomains. Live
 * rows come before retired ones: a live parent takes in a subdomain whose own row was removed. A
 * retired parent still speaks for its subdomains (their mail may be held), and so does, as retired,
 * one that had include_subdomains until lately. *owner, when not NULL,
 * is set to the row's name (points into `name`).
 */
enum snapshot_result snapshot_domain_for(
    struct snapshot *snapshot, const char *name, struct domain_record *out, const char **owner);
enum snapshot_result snapshot_customer(
    struct snapshot *snapshot, const char *name, struct customer_record *out);
/* The fleet of this transaction; rebuilt only when it changed. NULL: damaged. Owned by snapshot. */
const struct fleet *snapshot_fleet(struct snapshot *snapshot);
/* Own addresses that the configuration names; to be called before the first begin. */
bool snapshot_own_address(struct snapshot *snapshot, const struct ip *address)
    __attribute__((warn_unused_result));
/* Milliseconds since the authority was heard; -1: not since this boot, or never. */
int64_t snapshot_contact_age(struct snapshot *snapshot, int64_t boot_ms);
int64_t snapshot_clock_boot_ms(void); /* CLOCK_BOOTTIME now */

/* Walks all domains in byte order; stops when visit returns false. */
enum snapshot_result snapshot_each_domain(struct snapshot *snapshot,
    bool (*visit)(const char *name, const struct domain_record *record, void *context),
    void *context);

/* The same for the relays of the fleet. DAMAGED: some were left out. */
enum snapshot_result snapshot_each_relay(struct snapshot *snapshot,
    bool (*visit)(const char *name, const struct relay_record *record, void *context),
    void *context) __attribute__((warn_unused_result));
/*
 * The same for the domains behind `after` ("" for the first), at most `most` of them: for those who
 * walk millions in pieces. Damaged rows are passed over. *end: there are no more.
 */
enum snapshot_result snapshot_domains_after(struct snapshot *snapshot, const char *after,
    size_t most, bool (*visit)(const char *name, const struct domain_record *record, void *context),
    void *context, bool *end) __attribute__((warn_unused_result));

/* --- the writer ------------------------------------------------------------- */

struct snapshot_writer;

/*
 * Creates STATE_DIR/snapshot where missing (directory 0750, data 0640, lock 0660, group `group`
 * unless (gid_t)-1). map_size: bytes of address space (0: 64 GiB). Anything but OK sets *problem
 * (static text, valid until the next call); with OK it is NULL, or says what is amiss all the same
 * (a mode or group that this user cannot set). DAMAGED: snapshot_set_aside and a new try cure it.
 * UNUSABLE: they do not (another writer, no permission, no room). A process that has a writer open
 * must not read the same snapshot through snapshot_new (LMDB: one environment once a process).
 */
enum snapshot_result snapshot_writer_open(const char *state_dir, gid_t group, size_t map_size,
    struct snapshot_writer **out, const char **problem) __attribute__((warn_unused_result));
void snapshot_writer_close(struct snapshot_writer *writer);
/* Why the last call on `writer` failed. Never NULL; valid until the next call. */
const char *snapshot_writer_problem(const struct snapshot_writer *writer);
/*
 * Has the last transaction met a page that LMDB cannot use? One such read spoils the transaction,
 * whatever was done about it (LMDB: MDB_BAD_TXN from there on).
 */
bool snapshot_writer_found_damage(const struct snapshot_writer *writer);
/*
 * Renames STATE_DIR/snapshot to snapshot.damaged (an older one is removed; one that cannot be
 * removed stays, and the name becomes snapshot.damaged.1 to .9). The writer must be closed.
 * False: errno is set; EWOULDBLOCK: a living writer has it.
 */
bool snapshot_set_aside(const char *state_dir) __attribute__((warn_unused_result));
/*
 * For a lock.mdb that is not the one that the writer had open: removes it. The next
 * snapshot_writer_open makes a new one, and data.mdb another file with the same rows, so that
 * readers of the old files go on with them for a second and then open the new ones. The writer must
 * be closed. False: errno is set.
 */
bool snapshot_lock_file_discard(const char *state_dir) __attribute__((warn_unused_result));

/* A change transaction on the active set. Every call may fail with UNUSABLE: then abort. */
enum snapshot_result snapshot_write_begin(struct snapshot_writer *writer);
/* A load goes into the idle set, which is emptied first; sorted keys (bytewise) are fastest. */
enum snapshot_result snapshot_load_begin(struct snapshot_writer *writer);
/* A load of many rows may commit part of its work now, invisibly, and go on. */
enum snapshot_result snapshot_load_checkpoint(struct snapshot_writer *writer);
/* Sees this transaction's own writes; `from_active` reads the active set during a load. */
enum snapshot_result snapshot_write_get_domain(
    struct snapshot_writer *writer, bool from_active, const char *name, struct domain_record *out);
enum snapshot_result snapshot_write_get_customer(struct snapshot_writer *writer, bool from_active,
    const char *name, struct customer_record *out);
enum snapshot_result snapshot_write_get_relay(
    struct snapshot_writer *writer, bool from_active, const char *name, struct relay_record *out);
/*
 * `now`: since when, in seconds since the epoch, the row's subdomains are retired, if it had them
 * in and this record has not. (In a load, snapshot_load_carry_over sees to that, at its own `now`.)
 */
enum snapshot_result snapshot_put_domain(struct snapshot_writer *writer, const char *name,
    const struct domain_record *record, int64_t now);
enum snapshot_result snapshot_put_customer(
    struct snapshot_writer *writer, const char *name, const struct customer_record *record);
enum snapshot_result snapshot_put_relay(
    struct snapshot_writer *writer, const char *name, const struct relay_record *record);
enum snapshot_result snapshot_delete_domain(struct snapshot_writer *writer, const char *name);
enum snapshot_result snapshot_delete_customer(struct snapshot_writer *writer, const char *name);
enum snapshot_result snapshot_delete_relay(struct snapshot_writer *writer, const char *name);
/*
 * The last step of a load: carries over, as retired at `now`, every domain (and the customers they
 * name) of the active set that the new set lacks; those retired for longer than `queue_lifetime`
 * seconds go. Next hops that the feed withholds are kept from the old record. *carried counts them.
 */
enum snapshot_result snapshot_load_carry_over(
    struct snapshot_writer *writer, int64_t now, int64_t queue_lifetime, uint64_t *carried);
/* Commits with `meta` (serials are kept by the writer itself); after a load the sets swap. */
enum snapshot_result snapshot_commit(
    struct snapshot_writer *writer, const struct snapshot_meta *meta);
void snapshot_abort(struct snapshot_writer *writer);
/*
 * Says that the authority was heard at `boot_ms`: a small transaction of its own, or, while a
 * change or a load is open, a part of that: seen with its commit or its next checkpoint.
 */
enum snapshot_result snapshot_put_contact(struct snapshot_writer *writer, int64_t boot_ms);
/* The meta of the active set; NOT_FOUND before the first load. */
enum snapshot_result snapshot_writer_meta(
    struct snapshot_writer *writer, struct snapshot_meta *out);
/* Removes domains retired before `now - queue_lifetime`. For a change transaction. */
enum snapshot_result snapshot_purge_retired(
    struct snapshot_writer *writer, int64_t now, int64_t queue_lifetime, uint64_t *purged);

struct snapshot_census {
	uint64_t domains, retired, customers, relays, damaged;
};
/*
 * Reads and checks every value of the active set, in a child process that may die of it. DAMAGED
 * when any fails; a full load cures that while the sound rows go on serving. UNUSABLE: the file
 * itself is broken: close, set aside, open, load.
 */
enum snapshot_result snapshot_verify(
    struct snapshot_writer *writer, struct snapshot_census *census);

#endif
