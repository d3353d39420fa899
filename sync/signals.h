/*
 * signals: SIGTERM, SIGINT and SIGHUP as flags with a descriptor that wakes poll(); and what
 * happens when the snapshot's map fails under us (SIGBUS, SIGSEGV, SIGABRT): the program starts
 * itself anew, with its old arguments and a count of crashes in its environment, so that the next
 * start looks at the snapshot before it uses it.
 */
#ifndef MXHOLD_SYNC_SIGNALS_H
#define MXHOLD_SYNC_SIGNALS_H

#include <stdbool.h>

#define SIGNALS_CRASHES_MAX 5 /* crashes in a row; the next one ends the program */

/*
 * To be called first in main: takes the count of crashes out of the environment, unblocks all
 * signals and remembers the environment.
 */
void signals_start(void);
/* The arguments of the next start after a crash; they must stay. None: a crash ends the program. */
void signals_arguments(char **arguments);
/* How often this program has crashed and started anew, in a row; 0 after an ordinary start. */
unsigned signals_crashes(void);
/* All is well for some time: the next crash counts as the first again. */
void signals_crashes_forget(void);

/* Installs the handlers. False: errno. */
bool signals_install(void) __attribute__((warn_unused_result));
/* Back to the defaults, for a forked helper. */
void signals_default(void);

/*
 * SIGTERM or SIGINT came. Whatever has not ended 0.7 s later is cut off by _exit(0): nothing here
 * needs an orderly end (the snapshot is crash-safe), and nobody should have to wait for one.
 */
bool signals_stop(void);
/* SIGHUP came since the last call. */
bool signals_reload(void);
/* Becomes readable when a signal came; signals_drain empties it. */
int signals_fd(void);
void signals_drain(void);

#endif
