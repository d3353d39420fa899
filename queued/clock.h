/*
 * clock: the time that the pure parts of mxhold-queued are given. Waits go by the monotonic clock,
 * which nobody sets; what is told to others goes by the wall clock.
 */
#ifndef MXHOLD_QUEUED_CLOCK_H
#define MXHOLD_QUEUED_CLOCK_H

#include <stdint.h>

struct queued_time {
	int64_t ms;   /* CLOCK_BOOTTIME, milliseconds */
	int64_t wall; /* seconds since the epoch */
};

#define NEVER_MS INT64_MAX

#endif
