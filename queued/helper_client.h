/*
 * helper_client: asks mxhold-helper to take a message out, or to hold or release it. A connection a
 * request, on libevent, each within a bounded time; it never blocks and never tries again.
 */
#ifndef MXHOLD_QUEUED_HELPER_CLIENT_H
#define MXHOLD_QUEUED_HELPER_CLIENT_H

#include "core/helper_request.h"

#include <event2/event.h>

#define HELPER_CLIENT_AT_ONCE 16
#define HELPER_CLIENT_ORDERS 8 /* of them: operators', whatever is being taken out */
#define HELPER_CLIENT_S 60     /* the helper gives postsuper(1) 30 s, and others may be before us */
#define HELPER_CLIENT_PING_MS 5000 /* a ping waits for nothing */

struct helper_client;

/* `socket_dir`: [paths] socket_dir, kept by reference. NULL: out of memory. */
struct helper_client *helper_client_new(struct event_base *base, const char *socket_dir);
/* Ends what is under way: `done` is called no more. */
void helper_client_free(struct helper_client *client);

/* Another deadline, in milliseconds, where it is the shorter one (tests). */
void helper_client_set_deadline(struct helper_client *client, int milliseconds);

/* `text`: why it failed or is unsure, else "". Both strings are valid during the call only. */
typedef void helper_done(
    void *context, const char *queue_id, enum helper_answer answer, const char *text);
/*
 * `done` is called once, later, from the event loop. False: it will not be called, because as many
 * as may be are under way, or the request is none; ask again later.
 */
bool helper_client_ask(struct helper_client *client, const struct helper_request *request,
    helper_done *done, void *context) __attribute__((warn_unused_result));
size_t helper_client_under_way(const struct helper_client *client);

#endif
