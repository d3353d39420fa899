/*
 * hint: names of domains that are new in the snapshot, for mxhold-queued, which then reads their MX
 * records before those of all others. Nobody waits for it, and lost is fine: it comes to every row.
 */
#ifndef MXHOLD_SYNC_HINT_H
#define MXHOLD_SYNC_HINT_H

#include <stddef.h>

#define HINT_SIZE 16384 /* bytes of names that are told at once: what is beyond is not */

struct hint { /* begin with {.used = 0} */
	size_t used;
	char text[HINT_SIZE]; /* one name a line */
};

void hint_add(struct hint *hint, const char *domain);
/* To SOCKET_DIR/queue-ask, in a few datagrams. */
void hint_send(const struct hint *hint, const char *socket_dir);

#endif
