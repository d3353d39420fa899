/*
 * clock: see clock.h.
 */
#include "queued/clock.h"

#include <time.h>

static int64_t
clock_in(clockid_t id, int64_t unit)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * unit + now.tv_nsec / (1000000000 / unit);
}

struct queued_time
clock_now(void)
{
	return (struct queued_time){.ms = clock_boot_ms(), .wall = clock_in(CLOCK_REALTIME, 1)};
}

int64_t
clock_wall_us(void)
{
	return clock_in(CLOCK_REALTIME, 1000000);
}

int64_t
clock_boot_ms(void)
{
	return clock_in(CLOCK_BOOTTIME, 1000);
}

int64_t
clock_run_ms(void)
{
	return clock_in(CLOCK_MONOTONIC, 1000);
}
