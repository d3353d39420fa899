/*
 * deadman: a dead man's handle. A process that was stopped (SIGSTOP, SIGTSTP) goes on by itself.
 *
 * A stopped process can do nothing about it, and a watcher of the same name is stopped along with
 * it (`pkill -STOP`). The kernel can: a timer of the process (timer_create(2)) sends it SIGCONT,
 * unless it is set back in time; and generating SIGCONT is what makes a stopped process go on
 * (signal(7)), whatever becomes of the signal.
 */
#ifndef MXHOLD_CORE_DEADMAN_H
#define MXHOLD_CORE_DEADMAN_H

#include <stdbool.h>

#define DEADMAN_AFTER_MS 2000 /* for a loop that turns every second */
#define DEADMAN_TURN_MS 1000

/*
 * From now on this process goes on `after_ms` after it was stopped, or up to three times 500 ms
 * later, if it is stopped again in the moment of going on. Takes SIGCONT for itself, unblocks it,
 * and gives it a handler: a wait such as poll(2) may end with EINTR. A loop that calls
 * deadman_turn() oftener than every `after_ms` sees no signal while it turns; without that there is
 * one every `after_ms`.
 *
 * Timers are not inherited: each process holds its own, after its last fork. Called again in one
 * process, it changes nothing. False: it was logged, and a stop lasts until somebody ends it.
 */
bool deadman_hold(int after_ms);

/* To be called in each turn of the process's loop, in the thread that called deadman_hold. Cheap.
   Does nothing where nothing is held. */
void deadman_turn(void);

#endif
