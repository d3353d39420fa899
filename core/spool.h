/*
 * spool: what mxhold-queued must not lose, in LMDB below STATE_DIR/queued/spool: journal rows and
 * events until they are shipped, rows of messages still held, where it stood in the log, operators'
 * holds.
 *
 * One writer (mxhold-queued); readers: the shipper of mxhold-sync, mxholdctl. Row = (key, text,
 * seq): each change of a row gives it the next seq and drops the older text, so the shipper reads
 * by seq and ships only what is newest. The shipper writes what it has shipped to a file of its own
 * (STATE_DIR/shipped: one decimal number and the spool's identity, by rename); the writer then
 * removes rows that are final and shipped. Commits are synced: with LMDB's durability.
 */
#ifndef MXHOLD_CORE_SPOOL_H
#define MXHOLD_CORE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum spool_result { SPOOL_OK, SPOOL_NOT_FOUND, SPOOL_FULL, SPOOL_UNUSABLE };

#define SPOOL_KEY_MAX 480

struct spool_entry {
	const char *key; /* valid until the next call */
	size_t key_length;
	const char *text; /* JSON, one object */
	size_t length;
	uint64_t seq;
	bool final; /* no further change will come: may go once shipped */
};

/* --- the writer ------------------------------------------------------------------------------ */

struct spool_writer;

/*
 * Makes STATE_DIR/queued/spool where missing (0750, data 0640, lock 0660, `group` unless
 * (gid_t)-1). One that is damaged is renamed to spool.damaged.N (never removed: it holds what was
 * not shipped) and a new one made; spool_set_aside then says so. What is there is read and checked
 * in a child process, as a broken file may kill who reads it: no threads yet, please. `map_size`:
 * bytes of disk at most; puts are refused as FULL a little earlier, so that there is room to note
 * and to remove. NULL: *problem says why (static text; another writer, no permission, no room).
 */
struct spool_writer *spool_writer_open(const char *state_dir, gid_t group, size_t map_size,
    const char **problem) __attribute__((warn_unused_result));
void spool_writer_close(struct spool_writer *writer);
/* Where a damaged one was put when this writer was opened; "": none was. */
const char *spool_set_aside(const struct spool_writer *writer);
/*
 * False: its files were taken away, cut or overwritten, or found broken by LMDB or by a row's
 * checksum; *why says so. What is written now would be found by nobody. Whoever writes ends, and
 * opens it anew: what is left is proven then, or set aside. Looks at the files by name.
 */
bool spool_writer_sound(struct spool_writer *writer, const char **why);
/* Why the last call failed. Never NULL; valid until the next call. */
const char *spool_writer_problem(const struct spool_writer *writer);

/* After FULL or UNUSABLE of anything but prune and get_note: abort. Nothing of it was written. */
enum spool_result spool_begin(struct spool_writer *writer) __attribute__((warn_unused_result));
enum spool_result spool_commit(struct spool_writer *writer) __attribute__((warn_unused_result));
void spool_abort(struct spool_writer *writer);
/* `now_us`: by the clock; final rows are dropped by it when nobody ships (spool_prune). */
enum spool_result spool_put(struct spool_writer *writer, const struct spool_entry *entry,
    int64_t now_us) __attribute__((warn_unused_result));
/* The row's present text (within a transaction); valid until the next write. */
enum spool_result spool_get(struct spool_writer *writer, const char *key, size_t key_length,
    struct spool_entry *out) __attribute__((warn_unused_result));
/* Small records of the writer's own, by name: position in the log, holds. NULL text removes. */
enum spool_result spool_note(struct spool_writer *writer, const char *name, const char *text,
    size_t length) __attribute__((warn_unused_result));
/* Copies at most `size` bytes; *length is what it has. */
enum spool_result spool_get_note(struct spool_writer *writer, const char *name, char *out,
    size_t size, size_t *length) __attribute__((warn_unused_result));
/*
 * Removes final rows that the shipper says it has shipped, and those put before `unshipped_before`
 * (microseconds; 0: no time counts) that nobody shipped for so long ([journal] retention_days).
 * Rows put when the clock was ahead count as put now. Looks at `most` rows at most, *more: there
 * may be others to do. A transaction of its own. *dropped counts the unshipped ones. Each call also
 * proves the row that is to be shipped next, some others in turn, and what it removes: UNUSABLE
 * where one fails its checksum, and the writer is no longer sound.
 */
struct spool_pruned {
	uint64_t removed, dropped;
	bool more;
};
enum spool_result spool_prune(struct spool_writer *writer, unsigned most, int64_t now_us,
    int64_t unshipped_before, struct spool_pruned *out) __attribute__((warn_unused_result));
/* All rows that are not final, at start, within a transaction. Stops when visit returns false. */
enum spool_result spool_each_open(struct spool_writer *writer,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context);
/* All notes whose name begins with `prefix`, in the order of their names; key: the whole name. */
enum spool_result spool_each_note(struct spool_writer *writer, const char *prefix,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context);
/* Bytes in use, bytes at which puts are refused, and how many rows there are. */
struct spool_usage {
	uint64_t bytes, limit, rows;
};
enum spool_result spool_usage(struct spool_writer *writer, struct spool_usage *out)
    __attribute__((warn_unused_result));

/* --- readers (the shipper) ------------------------------------------------------------------- */

struct spool_reader;

struct spool_reader *spool_reader_new(const char *state_dir); /* NULL: out of memory */
void spool_reader_free(struct spool_reader *reader);
/*
 * Rows with a seq above `after`, in its order, until visit returns false; a short transaction,
 * ended on return. NOT_FOUND: there is no spool. It ends in front of a row that fails its checksum,
 * with UNUSABLE: those before it were visited, and nobody may count it or later ones as seen.
 */
enum spool_result spool_read(struct spool_reader *reader, uint64_t after,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context);
/* Random identity of this spool: another one means that numbers begin anew. */
enum spool_result spool_identity(struct spool_reader *reader, char out[40]);
/* What was shipped last, by STATE_DIR/shipped; 0: nothing, or of another spool. */
uint64_t spool_shipped(const char *state_dir, const char *identity);
bool spool_set_shipped(const char *state_dir, const char *identity, uint64_t seq)
    __attribute__((warn_unused_result));

#endif
