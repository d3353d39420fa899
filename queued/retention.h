/*
 * retention: how long mail may wait, and how much of that time has gone. Pure. Times are
 * microseconds since the epoch, lengths seconds.
 */
#ifndef MXHOLD_QUEUED_RETENTION_H
#define MXHOLD_QUEUED_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Is mail that arrived at `accepted_at` to be taken out as expired? Not where the retention is the
 * queue's own lifetime (or above): there Postfix does it, after a last attempt. An arrival that is
 * not known, or lies ahead, is never due.
 */
bool retention_is_over(int64_t accepted_at, int64_t retention, int64_t queue_lifetime, int64_t now);

/* Of what is held, how much of its retention has the oldest used: 0, 50, 80 or 95 (percent). */
unsigned retention_level(int64_t oldest, int64_t retention, int64_t now);

#endif
