/*
 * flush_ask: one question to flush(8), over the socket by which postqueue(1) asks it for `-s` and
 * `-i`. A question takes 0.1 ms, a process of postqueue 7 ms, which is most of what a drain of many
 * small domains costs beside the deliveries.
 *
 * The exchange (attributes, each name and value ended by NUL, a list of them by one NUL more) is
 * Postfix's own and no published interface. Since 3.6 its servers say first which protocol they
 * speak, so that processes of different releases find out. Nothing is sent to one that does not say
 * just what we expect, within two seconds; the caller then runs postqueue. It never blocks.
 */
#ifndef MXHOLD_QUEUED_FLUSH_ASK_H
#define MXHOLD_QUEUED_FLUSH_ASK_H

#include <event2/event.h>

enum flush_answer {
	FLUSH_DONE,
	FLUSH_DECLINED, /* flush(8) would not; postqueue knows the words for it */
	FLUSH_STRANGE,  /* it could not be reached, or does not speak as we do */
};

struct flush_ask;
/* The question is over when it is called, and not to be freed. */
typedef void (*flush_answered)(enum flush_answer answer, void *context);

/*
 * `socket_path`: of flush(8); `kind`: 's', the mail of the domain `value`, or 'i', the message with
 * that queue id. NULL: it cannot be asked now. `answered` is called from the loop, and not after
 * flush_ask_free(). Once the question is sent there is no deadline.
 */
struct flush_ask *flush_ask_new(struct event_base *base, const char *socket_path, char kind,
    const char *value, flush_answered answered, void *context);
void flush_ask_free(struct flush_ask *ask); /* NULL: nothing */

#endif
