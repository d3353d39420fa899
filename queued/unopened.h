/*
 * unopened: while the stores cannot be opened nothing is served; whoever asks at queue-control is
 * told why, and an alert is. What passes by itself, as when the process before is about to end,
 * is not told of: who asks waits.
 */
#ifndef MXHOLD_QUEUED_UNOPENED_H
#define MXHOLD_QUEUED_UNOPENED_H

#include "core/conf.h"

#include <event2/event.h>
#include <stdint.h>

#define UNOPENED_TELL_MS 2000   /* from when on who asks is told */
#define UNOPENED_ALERT_MS 20000 /* from when on it is an alert */

struct unopened;

/* `listen_fd`: of queue-control, non-blocking, the caller's. NULL: out of memory. */
struct unopened *unopened_new(struct event_base *base, int listen_fd, const struct conf *conf)
    __attribute__((warn_unused_result));
void unopened_free(struct unopened *unopened);

/* They could not be opened once more. `problem`: one line. NULL for `unopened`: nothing. */
void unopened_still(struct unopened *unopened, int64_t now_ms, const char *problem);
/*
 * For the parent, while each of its processes dies at once: whoever waits at `listen_fd` is told
 * so. Takes a second at most.
 */
void unopened_turn_away(int listen_fd);
/* They are open: the socket is left alone, and the alert ends. */
void unopened_over(struct unopened *unopened);

#endif
