/*
 * pump: the one place where sync waits. The feed is sequential code; while it waits for its
 * descriptor or for a moment, the pump serves the rest (control socket, reports, signals), so that
 * nothing of that delays the feed or is delayed by it.
 */
#ifndef MXHOLD_SYNC_PUMP_H
#define MXHOLD_SYNC_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define PUMP_FDS 32
#define PUMP_TASKS 4

/* What one wait looks at. Times are milliseconds of CLOCK_BOOTTIME. */
struct pump_set {
	struct pollfd fds[PUMP_FDS];
	nfds_t count;
	int64_t deadline;
};

/* Adds a descriptor (negative: none). False: the set is full. */
bool pump_set_add(struct pump_set *set, int fd, short events);
/* Brings the deadline forward. */
void pump_set_until(struct pump_set *set, int64_t deadline);
/* What poll said of `fd`; 0: nothing, or not in the set. */
short pump_set_ready(const struct pump_set *set, int fd);

/* What is served beside the feed. Neither function may block. */
struct pump_task {
	void (*prepare)(void *context, struct pump_set *set);
	void (*run)(void *context, const struct pump_set *set, int64_t now);
	void *context;
};

struct pump {
	struct pump_task tasks[PUMP_TASKS];
	unsigned count;
	bool wake;   /* there is something to do outside the pump */
	bool reload; /* SIGHUP came */
};

enum pump_end {
	PUMP_READY,   /* the descriptor is ready */
	PUMP_TIMEOUT, /* the deadline has passed */
	PUMP_WAKE,    /* `wake` was set (only where the caller may be woken) */
	PUMP_STOP,    /* the program has to end */
};

void pump_add(struct pump *pump, const struct pump_task *task);
/* Waits for `events` on `fd` (-1: for time alone). *ready gets what came. */
enum pump_end pump_wait(struct pump *pump, int fd, short events, int64_t deadline, bool wakeable,
    short *ready) __attribute__((warn_unused_result));
int64_t pump_now(void);

#endif
