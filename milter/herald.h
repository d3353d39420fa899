/*
 * herald: tells mxhold-queued whom a message was accepted for, by its socket `queue-ask` for
 * datagrams. From many threads at once; it never waits: what the socket does not take now is kept,
 * and sent by herald_turn(). So is what it took a short while ago, when another process of
 * mxhold-queued reads there: it knows nothing of what the former one had not written down.
 */
#ifndef MXHOLD_MILTER_HERALD_H
#define MXHOLD_MILTER_HERALD_H

#include "milter/roster.h"

#include <stdint.h>

struct herald;

/* NULL: out of memory, or no descriptor. `socket_dir` is copied. */
struct herald *herald_new(const char *socket_dir);
/* Sends it, where nothing waits. */
void herald_tell(struct herald *herald, const struct roster *roster);
/*
 * Sends what was kept, as far as the socket takes it now, and a bounded number. To be called by one
 * thread, each second, or soon where it returns true: there is more, and somebody who reads.
 * `now_ms`: of a clock that is never set.
 */
bool herald_turn(struct herald *herald, int64_t now_ms);
void herald_free(struct herald *herald);

#endif
