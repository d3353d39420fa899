/*
 * roster: the recipients of a transaction that were accepted, for mxhold-queued. Pure but for
 * malloc.
 *
 * Of a message that is thrown away behind our back (header_checks with DISCARD, another milter) the
 * log names one recipient only. Whoever accepted them knows them all: see milter/herald.
 */
#ifndef MXHOLD_MILTER_ROSTER_H
#define MXHOLD_MILTER_ROSTER_H

#include "milter/content.h"

struct roster {                               /* all zero: nobody yet */
	char queue_id[CONTENT_QUEUE_ID_SIZE]; /* "" until it is known: from the second recipient on
					       */
	size_t count;
	char *addresses; /* each ends with a NUL */
	size_t length, room;
};

/*
 * One was accepted: macros i and {rcpt_addr}, NULL where they are missing, and what RCPT TO said.
 * {rcpt_addr} is in lower case; where it is the argument but for that, it is told as it was sent,
 * which is how the log spells it. Without memory it is left out.
 */
void roster_add(
    struct roster *roster, const char *queue_id, const char *argument, const char *address);
/* Is there somebody whom the log would not name? */
bool roster_wanted(const struct roster *roster) __attribute__((warn_unused_result));
/*
 * As lines "recipient QUEUEID ADDRESS\n", as many as fit; *at is where to go on, 0 at the first
 * call. Returns the octets, 0 at the end. What fits into no line is left out.
 */
size_t roster_print(const struct roster *roster, size_t *at, char *out, size_t size);
/* The transaction is over. */
void roster_clear(struct roster *roster);

#endif
