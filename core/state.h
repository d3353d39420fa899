/*
 * state: what mxhold-queued knows about each domain, on this relay's disk, in LMDB below
 * STATE_DIR/queued/state.
 *
 * One writer (mxhold-queued), many readers (mxhold-policyd for rules 8 to 10 and for holds,
 * mxhold-sync for the counts, mxholdctl). All of it can be had again, so a broken one is thrown
 * away. A reader that finds none, or a damaged record, has no facts: that never refuses.
 * Values carry a checksum over key and value. Keys are names in normal form.
 */
#ifndef MXHOLD_CORE_STATE_H
#define MXHOLD_CORE_STATE_H

#include "core/records.h"

#include <sys/types.h>

#define STATE_TEXT_SIZE 256

/* What is known of a primary (docs/queue.md). UNKNOWN is 0: nothing known. */
enum primary_state {
	PRIMARY_UNKNOWN,
	PRIMARY_UP,
	PRIMARY_DOWN,
	PRIMARY_BUSY,       /* answers 4xx */
	PRIMARY_BROKEN,     /* answers 5xx */
	PRIMARY_WRONG_HOST, /* not the pinned one */
};
const char *primary_state_name(enum primary_state state); /* "up", "wrong-host", ... */

enum hold_kind { HOLD_NONE, HOLD_OPERATOR, HOLD_BREAKER, HOLD_WRONG_HOST };
const char *hold_kind_name(enum hold_kind kind);

#define HOLD_FOREVER INT64_MAX /* until released */
#define HOLD_LAST 253402300799 /* the last end that an operator may say: of the year 9999 */

/*
 * All times are seconds since the epoch, 0: never. Facts of a recipient domain and facts of a row
 * (marked) lie in one record; where the two names are the same, it has both.
 */
struct state_domain {
	/* by recipient domain */
	uint64_t messages, bytes; /* held now */
	int64_t oldest;           /* arrival of the oldest one held */
	enum primary_state primary;
	int64_t primary_since, primary_at;    /* changed, last confirmed */
	char primary_reason[STATE_TEXT_SIZE]; /* for people: may hold the primary's words */
	unsigned primary_code;                /* SMTP reply code of the last probe, 0: none */
	enum hold_kind hold;
	int64_t hold_until; /* HOLD_FOREVER: until released */
	char hold_reason[STATE_TEXT_SIZE];
	int64_t counted_at; /* when counts were last true */
	/* by row */
	uint64_t row_messages, row_bytes; /* of all its recipient domains */
	enum mx_state mx;
	int64_t mx_at; /* when it was read */
};

#define STATE_COUNTS_AGE 600 /* seconds that counts, primary_is_up and MX facts count for */
#define STATE_PRIMARY_AGE 120
#define STATE_MX_AGE 900
#define STATE_WRITTEN_S 5 /* a commit notes the time where it was noted longer ago than this */

enum state_result { STATE_OK, STATE_NOT_FOUND, STATE_UNUSABLE };

/* --- readers: as snapshot's; a transaction is short and never kept across a wait ------------- */

struct state;

struct state *state_new(const char *state_dir); /* NULL: out of memory */
void state_free(struct state *state);
/* After anything but OK no end is needed. Looks once a `boot_ms` second for a replaced file. */
enum state_result state_begin(struct state *state, int64_t boot_ms)
    __attribute__((warn_unused_result));
void state_end(struct state *state);
enum state_result state_domain(struct state *state, const char *name, struct state_domain *out)
    __attribute__((warn_unused_result));
/* When the writer was there last (seconds): to it all records are true, but for STATE_WRITTEN_S. */
enum state_result state_written_at(struct state *state, int64_t *at)
    __attribute__((warn_unused_result));
/* Walks all records in byte order; stops when visit returns false. */
enum state_result state_each(struct state *state,
    bool (*visit)(const char *name, const struct state_domain *record, void *context),
    void *context);

/*
 * Pure: what of these records counts at `now`, for the rules. `row` and `domain` may be NULL (not
 * found) and may be the same. sender_keeps_trying is left false.
 */
struct state_facts state_facts_at(
    const struct state_domain *row, const struct state_domain *domain, int64_t now);
/* Pure: is it known at `now` how the primary is? `domain` may be NULL. */
bool state_primary_known(const struct state_domain *domain, int64_t now);
/* Pure: does a hold count at `now`? */
bool state_held(const struct state_domain *domain, int64_t now);

/* --- the writer ---------------------------------------------------------------------------------
 */

struct state_writer;

/* Makes STATE_DIR/queued/state where missing (0750, data 0640, lock 0660, `group` unless
   (gid_t)-1); a damaged one is removed and made anew. NULL: *problem says why. */
struct state_writer *state_writer_open(const char *state_dir, gid_t group, const char **problem)
    __attribute__((warn_unused_result));
void state_writer_close(struct state_writer *writer);
/*
 * Files that were taken away, cut or found broken since are made anew here, without a word:
 * state_writer_renewed() counts how often, and all records are then to be written again.
 */
enum state_result state_write_begin(struct state_writer *writer)
    __attribute__((warn_unused_result));
uint64_t state_writer_renewed(const struct state_writer *writer);
enum state_result state_write_put(struct state_writer *writer, const char *name,
    const struct state_domain *record) __attribute__((warn_unused_result));
enum state_result state_write_get(struct state_writer *writer, const char *name,
    struct state_domain *out) __attribute__((warn_unused_result));
enum state_result state_write_delete(struct state_writer *writer, const char *name)
    __attribute__((warn_unused_result));
/* One with nothing in it tells readers that the writer is there. */
enum state_result state_write_commit(struct state_writer *writer)
    __attribute__((warn_unused_result));
void state_write_abort(struct state_writer *writer);

#endif
