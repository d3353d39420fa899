/*
 * spool: what mxhold-queued must not lose, in LMDB below STATE_DIR/spool: journal rows and events
 * until they are shipped, rows of messages still held, where it stood in the log, operators' holds.
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

/* --- the writer ----------------------------------------------------------------------------------
 */

struct spool_writer;

/* Makes STATE_DIR/spool where missing; one that cannot be read is set aside (never removed: it
   holds what was not shipped). NULL: *problem says why. */
struct spool_writer *spool_writer_open(const char *state_dir, gid_t group, size_t map_size,
    const char **problem) __attribute__((warn_unused_result));
void spool_writer_close(struct spool_writer *writer);
enum spool_result spool_begin(struct spool_writer *writer) __attribute__((warn_unused_result));
enum spool_result spool_commit(struct spool_writer *writer) __attribute__((warn_unused_result));
void spool_abort(struct spool_writer *writer);
enum spool_result spool_put(struct spool_writer *writer, const char *key, size_t key_length,
    const char *text, size_t length, bool final) __attribute__((warn_unused_result));
/* Small records of the writer's own, by name: position in the log, holds. NULL text removes. */
enum spool_result spool_note(struct spool_writer *writer, const char *name, const char *text,
    size_t length) __attribute__((warn_unused_result));
/* Copies at most `size` bytes; *length is what it has. */
enum spool_result spool_get_note(struct spool_writer *writer, const char *name, char *out,
    size_t size, size_t *length) __attribute__((warn_unused_result));
/* Removes final rows up to what the shipper says it has shipped; at most `most` of them.
   `keep_final_us`: a final row is removed unshipped when it is older (nobody ships: bounded by
   retention_days). */
enum spool_result spool_prune(struct spool_writer *writer, unsigned most, uint64_t *removed)
    __attribute__((warn_unused_result));
/* All rows that are not final, and notes with `prefix`, at start. Stops when visit returns false.
 */
enum spool_result spool_each_open(struct spool_writer *writer,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context);

/* --- the reader (shipper)
 * -------------------------------------------------------------------------- */

struct spool_reader;

struct spool_reader *spool_reader_new(const char *state_dir); /* NULL: out of memory */
void spool_reader_free(struct spool_reader *reader);
/* Rows with a seq above `after`, in its order; a short transaction, ended on return. */
enum spool_result spool_read(struct spool_reader *reader, uint64_t after,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context);
/* Random identity of this spool: another one means that numbers begin anew. */
enum spool_result spool_identity(struct spool_reader *reader, char out[40]);
/* What was shipped last, by STATE_DIR/shipped; 0: nothing, or of another spool. */
uint64_t spool_shipped(const char *state_dir, const char *identity);
bool spool_set_shipped(const char *state_dir, const char *identity, uint64_t seq)
    __attribute__((warn_unused_result));

#endif
