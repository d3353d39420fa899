/*
 * herald: tells mxhold-queued whom a message was accepted for, by its socket `queue-ask` for
 * datagrams. From many threads at once; it never waits: what the socket does not take now is kept,
 * and sent by herald_turn().
 */
#ifndef MXHOLD_MILTER_HERALD_H
#define MXHOLD_MILTER_HERALD_H

#include "milter/roster.h"

struct herald;

/* NULL: out of memory, or no descriptor. `socket_dir` is copied. */
struct herald *herald_new(const char *socket_dir);
/* Sends what it can. */
void herald_tell(struct herald *herald, const struct roster *roster);
/* Sends what was kept, as far as the socket takes it now. To be called now and then. */
void herald_turn(struct herald *herald);
void herald_free(struct herald *herald);

#endif
