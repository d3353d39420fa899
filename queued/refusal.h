/*
 * refusal: when has a primary refused a recipient for good? Pure.
 *
 * A refusal alone is not believed: a primary that was rebuilt with an empty user table says "no
 * such user" to everyone. It counts when it was repeated over a time, and when the primary was well
 * around it: it took other mail of the same domain after the first refusal, refused this one again
 * then, and took mail of the domain shortly before the last one, or after it. So what was refused
 * only while nothing was taken is offered once more before it is taken out, and a domain that gets
 * little mail need not wait for another one. What was believed once stays so: later refusals, of
 * which nobody knows how the primary was, take nothing from it.
 *
 * Mail of the domain is any, that for another recipient of the same message too: a primary that
 * takes one and refuses the other in the same transaction tells them apart. What the log has in the
 * very second of the first refusal does not count: it may have been before it, or under way when
 * the primary broke.
 */
#ifndef MXHOLD_QUEUED_REFUSAL_H
#define MXHOLD_QUEUED_REFUSAL_H

#include "core/conf.h"
#include "queued/maillog.h"

/*
 * Microseconds. The primary was well when it refused if it took mail of the domain so shortly
 * before. A shorter time would miss what a quiet domain gets; in a longer one the primary may have
 * been rebuilt.
 */
#define REFUSAL_WELL 600000000

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
	bool again; /* it was refused once more after the primary had taken mail of the domain */
	uint32_t proven; /* the first so many of them: `again`, and it was well around their last */
	int64_t proven_last;
};

/*
 * Takes in one answer of the primary. A 5xx at the greeting speaks of the relay and not of the
 * recipient: no change. A 4xx to the recipient or the message, and a refusal of another kind,
 * begin anew; times that run backwards do too. (Where the clock was set forward, account does so.)
 * `taken`: when the primary last took mail of the domain, 0: not known.
 */
void refusal_note(
    struct refusal_history *history, const struct maillog_event *event, int64_t taken);

struct refusal_limits {
	bool keep; /* never take out */
	uint32_t unknown_user_tries, other_tries;
	int64_t unknown_user_seconds, other_seconds; /* from the first to the last, at least */
};
struct refusal_limits refusal_limits(const struct conf *conf, bool keep);

/* Is it refused for good? `taken`: as above. */
bool refusal_is_final(const struct refusal_history *history, const struct refusal_limits *limits,
    int64_t taken) __attribute__((warn_unused_result));

#endif
