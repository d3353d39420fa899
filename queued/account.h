/*
 * account: the messages and recipients in the queue, and what became of them. Pure but for malloc:
 * events of the log, listings of the queue and the helper's acts in; rows of the journal, and
 * events for the watch, out.
 *
 * Each recipient of ours gets one outcome. One that left without a line (it is missing from two
 * listings in a row, though all of the log up to beyond the listing was read) is unaccounted. A
 * line of a delivery that comes later still counts: it is the truth.
 *
 * All times are microseconds since the epoch, as the log or the caller gives them; nothing here
 * relies on their running forwards, but where they leap account_clock_set() is to be called.
 */
#ifndef MXHOLD_QUEUED_ACCOUNT_H
#define MXHOLD_QUEUED_ACCOUNT_H

#include "queued/census.h"
#include "queued/events.h"
#include "queued/maillog.h"
#include "queued/refusal.h"
#include "queued/rows.h"

#define ACCOUNT_PENDING "pending/" /* note: a message whose recipients are not known yet */
#define ACCOUNT_INTENT "intent/"   /* note: a message that is to be taken out, why and for whom */
#define ACCOUNT_NAMELESS 5000000   /* so long a message may be without a recipient's line */
#define ACCOUNT_TOLD 60000000      /* so long a recipient told by mxhold-milter is kept, at least */
#define ACCOUNT_COALESCE 300000000 /* a row that only counts attempts is written so often */

struct account;

struct account_ports {
	struct event_sink sink; /* members may be NULL */
	enum rows_answer (*row)(void *context, const char *domain, struct row_facts *out);
	void *context;
};

struct account *account_new(const struct account_ports *ports); /* NULL: out of memory */
void account_free(struct account *account);

/* --- in ------------------------------------------------------------------------------------- */

/* False: it cannot be told now whose mail this is (or out of memory): give it again later. */
bool account_event(struct account *account, const struct maillog_event *event)
    __attribute__((warn_unused_result));

/*
 * mxhold-milter says: whoever sent this message was told that this recipient is accepted. Of what
 * is thrown away before it comes into the queue (header_checks, DISCARD) the log names one
 * recipient: the others are known from here, whichever comes first. Kept until the log has told
 * more of it, or for ACCOUNT_TOLD.
 */
void account_told(
    struct account *account, const char *queue_id, const char *address, size_t length, int64_t now);
/* All of the log that is there was read: what it should have spoken of by now is forgotten. */
void account_told_turn(struct account *account, int64_t now);

/*
 * The clock was set, and says `now` since: the refusals and deliveries of before count no more,
 * because nobody knows what time has passed since then; nor, where it was set forward, those that
 * are read late.
 */
void account_clock_set(struct account *account, int64_t now);

/* The refusals of what is held for the domain count no more: its primary was not well. */
void account_refusals_anew(struct account *account, const char *domain);

/* Has it a message of this id, and did a listing of this process show it? */
enum account_knows { ACCOUNT_UNKNOWN, ACCOUNT_KNOWN, ACCOUNT_LISTED };
enum account_knows account_knows(const struct account *account, const char *queue_id);

/* Does an operator hold the message (postsuper -h), by the log or a listing that began after that?
 */
bool account_on_hold(const struct account *account, const char *queue_id);

/* A listing begins: what becomes known from now on, it need not have. */
void account_census_begin(struct account *account);
void account_census_message(
    struct account *account, const struct census_message *message, int64_t now);
/*
 * It is at its end, and all of the log up to beyond that was read. Not complete: it proves
 * nothing. Returns how many messages it lacked that may still be found by the next one.
 */
size_t account_census_end(struct account *account, bool complete, int64_t now);
/*
 * Is there a message that came a while ago, and no line has named a recipient of it? Its first
 * attempt takes long (a primary that swallows all); a listing names them.
 */
bool account_wants_names(const struct account *account, int64_t now);

/* --- restoring, before anything else comes in ---------------------------------------------------
 */

/* An open row of the spool, and its key there. Tells the sink `held`. */
bool account_restore(struct account *account, const char *key, size_t key_length,
    const struct journal_row *row) __attribute__((warn_unused_result));
/* A note of ours, by its name. */
bool account_restore_note(struct account *account, const char *name, const struct journal_row *row)
    __attribute__((warn_unused_result));

/* --- out: rows and notes -------------------------------------------------------------------------
 */

struct account_writer {
	/* False: it could not be written; the rest is not tried. */
	bool (*row)(void *context, const char *key, size_t key_length,
	    const struct journal_row *row, bool final);
	/* NULL row: the note is to be removed. */
	bool (*note)(void *context, const char *name, const struct journal_row *row);
	void *context;
};
/*
 * Hands out what changed: first attempts, refusals, outcomes at once, the rest when it has waited
 * for ACCOUNT_COALESCE (`all`: now), at most `most`. Then account_written() says whether it is on
 * the disk; what is not comes again.
 */
bool account_write(struct account *account, int64_t now, bool all, size_t most,
    const struct account_writer *writer) __attribute__((warn_unused_result));
void account_written(struct account *account, bool committed);
/* Is there something to be written at once? */
bool account_is_dirty(const struct account *account);

/* --- taking out --------------------------------------------------------------------------------
 */

enum account_fate { FATE_KEEP, FATE_REFUSED, FATE_EXPIRED };

struct account_history { /* of one recipient that is held */
	const char *domain;
	const char *queue_id;
	int64_t accepted_at;
	struct refusal_history refusals;
};
/*
 * Finds messages of which each recipient that is left is due, and records the intent (a note, with
 * the next write). Only what the last listing showed, with no recipient that is not ours, counts.
 * At most `most`; returns how many.
 */
size_t account_find_due(struct account *account, size_t most,
    enum account_fate (*judge)(void *context, const struct account_history *history),
    void *context);
/* The same among the messages that were refused since they were last looked at here. */
size_t account_find_refused(struct account *account, size_t most,
    enum account_fate (*judge)(void *context, const struct account_history *history),
    void *context);
/* An operator's; the first one counts. False: no such message, or out of memory. */
bool account_intend(struct account *account, const char *queue_id, enum journal_outcome outcome,
    const char *by) __attribute__((warn_unused_result));
/* Intents that are on the disk and were not yet asked for; `ask` returning true marks them so. */
void account_each_intent(struct account *account,
    bool (*ask)(void *context, const char *queue_id, enum journal_outcome outcome, const char *by),
    void *context);
/*
 * The helper's answer. Done, or it never came: the log's line has the intent's outcome; where a
 * listing that begins from now on shows the message, an operator's intent is asked for again, and
 * a judged one forgotten. Failed: an operator's is kept, behind the others, and asked for again; a
 * judged one is forgotten, and judged anew. Gone: an operator's is kept until a listing shows the
 * message (then it is asked for again), or it has left.
 */
void account_intent_answered(struct account *account, const char *queue_id);
void account_intent_failed(struct account *account, const char *queue_id);
void account_intent_gone(struct account *account, const char *queue_id);
/* The intent is forgotten. */
void account_intent_drop(struct account *account, const char *queue_id);
/* So are operators' intents that are not on the disk: these could not be written. */
void account_intents_undo(struct account *account);

/* --- looking -------------------------------------------------------------------------------------
 */

/* Each held recipient, of `domain` and `queue_id` where not NULL, until visit returns false. */
void account_each_held(struct account *account, const char *domain, const char *queue_id,
    bool (*visit)(const struct journal_row *row, void *context), void *context);
/* How many messages of a domain an operator holds one by one (see account_on_hold). */
size_t account_count_on_hold(const struct account *account, const char *domain);

struct account_counts {
	uint64_t messages;    /* known, other people's too */
	uint64_t held;        /* recipients */
	uint64_t unaccounted; /* left without a line, since the start; the last of them: */
	const char *lost_domain, *lost_id;
};
struct account_counts account_counts(const struct account *account);

#endif
