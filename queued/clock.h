/*
 * clock: the time. Only the shells read it; the pure parts of mxhold-queued are given it.
 *
 * Which clock: what is told to others, kept on the disk or compared with the log goes by the wall
 * clock, which may be set. Waits and ages go by the boot clock, which nobody sets, and which counts
 * a host's sleep: a hold that is due is due. Only where another process is given time to answer
 * does the run clock count, which stands still while the host sleeps: so did the other one.
 */
#ifndef MXHOLD_QUEUED_CLOCK_H
#define MXHOLD_QUEUED_CLOCK_H

#include <stdint.h>

struct queued_time {
	int64_t ms;   /* clock_boot_ms() */
	int64_t wall; /* seconds since the epoch */
};

#define NEVER_MS INT64_MAX

struct queued_time clock_now(void);
int64_t clock_wall_us(void); /* CLOCK_REALTIME, microseconds since the epoch */
int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME, milliseconds */
int64_t clock_run_ms(void);  /* CLOCK_MONOTONIC, milliseconds */

#endif
