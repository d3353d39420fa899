/*
 * refusal: when has a primary refused a recipient for good? Pure.
 *
 * A refusal alone is not believed: a primary that was rebuilt with an empty user table says "no
 * such user" to everyone. It counts when it was repeated over a time, and the server that said it
 * last was well just then: after the first refusal, and shortly before this one, that server took
 * other mail of the same domain. So what was refused only while nothing was taken is offered once
 * more before it is taken out, and of two servers the good one proves nothing for the other. And
 * one refusal at least came right after such a delivery: a server that knows nobody but for moments
 * was then asked in one of them. What was believed once stays so: later refusals, of which nobody
 * knows how the server was, take nothing from it.
 *
 * Mail of the domain is any, that for another recipient of the same message too: a server that
 * takes one and refuses the other in the same transaction tells them apart. What the log has in the
 * very second of the first refusal does not count: it may have been before it, or under way when
 * the server broke.
 */
#ifndef MXHOLD_QUEUED_REFUSAL_H
#define MXHOLD_QUEUED_REFUSAL_H

#include "core/conf.h"
#include "queued/maillog.h"

/*
 * Microseconds. The server was well when it refused if it took mail of the domain so shortly
 * before. A shorter time would miss what a quiet domain gets; in a longer one the server may have
 * been rebuilt.
 */
#define REFUSAL_WELL 600000000
/*
 * But it may have known somebody for a moment only: once the message was refused so shortly after
 * a delivery. The first one after a refusal has it offered again at once (queued/watch_queue.c).
 */
#define REFUSAL_SOON 30000000

enum refusal_kind { REFUSAL_OTHER, REFUSAL_UNKNOWN_USER };

/*
 * What a 5xx says: no such user (5.1.1, 5.1.10, or, in reply to RCPT TO, words that known servers
 * use for it), or anything else. What stands in <> is an address, and not the server's words.
 */
enum refusal_kind refusal_kind(
    enum maillog_stage stage, unsigned code, const char *enhanced, const char *reply);

/* The same of a line of the log. */
enum refusal_kind refusal_kind_of(const struct maillog_event *event);

/* Refusals of one recipient, all of one kind, with none of another answer between them. */
struct refusal_history {
	enum refusal_kind kind;
	uint32_t count;
	int64_t first, last; /* microseconds */
	bool soon;           /* one of them came right after the server took other mail */
	uint32_t proven;     /* the first so many of them: who gave their last was well then */
	int64_t proven_last;
};

/*
 * Takes in one answer of the primary. A 5xx at the greeting speaks of the relay and not of the
 * recipient: no change. A 4xx to the recipient or the message, and a refusal of another kind,
 * begin anew; times that run backwards do too. (Where the clock was set forward, account does so.)
 * `taken`: when the server that gave it last took mail of the domain, 0: not known.
 */
void refusal_note(
    struct refusal_history *history, const struct maillog_event *event, int64_t taken);

struct refusal_limits {
	bool keep; /* never take out */
	uint32_t unknown_user_tries, other_tries;
	int64_t unknown_user_seconds, other_seconds; /* from the first to the last, at least */
};
struct refusal_limits refusal_limits(const struct conf *conf, bool keep);

/* Is it refused for good? */
bool refusal_is_final(const struct refusal_history *history, const struct refusal_limits *limits)
    __attribute__((warn_unused_result));

#endif
