/*
 * schedule: when to try again, and when the nightly comparison falls due. Pure: time and chance
 * come in as numbers.
 */
#ifndef MXHOLD_SYNC_SCHEDULE_H
#define MXHOLD_SYNC_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_BACKOFF_FIRST_MS 200
#define SCHEDULE_BACKOFF_MOST_MS 10000

/*
 * How long to wait before the next attempt after `failures` failed ones in a row (1 or more):
 * doubling from 0.2 s to 10 s, of which `chance` (any number, evenly spread) takes away up to a
 * half, so that a fleet does not return in step.
 */
int64_t schedule_backoff(unsigned failures, uint32_t chance);

/*
 * The next time of the nightly comparison after `now` (seconds since the epoch): once a night,
 * between 01:00 and 05:00 by the local clock (`utc_offset` seconds east), at a moment that is
 * always the same for one relay.
 */
int64_t schedule_nightly(int64_t now, long utc_offset, const char *relay);

/* Is it time? Also where `next` is days away, as no night is: the clock was set back. */
bool schedule_is_due(int64_t now, int64_t next);

#endif
