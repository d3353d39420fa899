/*
 * stand_in: a process that says to our parent that we live, while we are busy with what has an end
 * but may last: proving a large spool, or copying it, on a slow disk. Without it the parent would
 * kill us in the midst of it, and again and again.
 */
#ifndef MXHOLD_QUEUED_STAND_IN_H
#define MXHOLD_QUEUED_STAND_IN_H

#include <sys/types.h>

#define STAND_IN_S 900 /* it ends by itself: what lasts longer hangs */

/* Answers at `listen_fd` until stand_in_end(), or until we die. -1: there is none. */
pid_t stand_in_begin(int listen_fd);
void stand_in_end(pid_t stand_in);

#endif
