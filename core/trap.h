/*
 * trap: runs a piece of work that must not end the process, whatever the file behind a map is like:
 * a page that is gone (SIGBUS) or wild pointers in a broken one (SIGSEGV) end the work, not us.
 *
 * Only for work that can be given up at any instruction: it takes no lock that others wait for, and
 * what it leaves half done is thrown away (an LMDB reader's environment).
 */
#ifndef MXHOLD_CORE_TRAP_H
#define MXHOLD_CORE_TRAP_H

#include <stdbool.h>

/* False: the work was ended by a fault (or by trap_give_up). Not for use within itself. */
bool trap_run(void (*work)(void *context), void *context) __attribute__((warn_unused_result));
/* Within the work: ends it. (LMDB's assertions come here.) Elsewhere: abort. */
_Noreturn void trap_give_up(void);

#endif
