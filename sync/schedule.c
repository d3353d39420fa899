/*
 * schedule: see schedule.h.
 */
#include "sync/schedule.h"

#define DAY 86400
#define NIGHT_BEGINS 3600
#define NIGHT_LENGTH 14400

int64_t
schedule_backoff(unsigned failures, uint32_t chance)
{
	int64_t wait = SCHEDULE_BACKOFF_FIRST_MS;

	while (failures-- > 1 && wait < SCHEDULE_BACKOFF_MOST_MS)
		wait *= 2;
	if (wait > SCHEDULE_BACKOFF_MOST_MS)
		wait = SCHEDULE_BACKOFF_MOST_MS;
	return wait - (int64_t)(chance % (uint32_t)(wait / 2 + 1));
}

/* FNV-1a, 32 bits: spreads names over the night; nothing depends on its quality. */
static uint32_t
spread(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

int64_t
schedule_nightly(int64_t now, long utc_offset, const char *relay)
{
	int64_t local = now + utc_offset;
	int64_t midnight = local - ((local % DAY) + DAY) % DAY;
	int64_t due = midnight + NIGHT_BEGINS + (int64_t)(spread(relay) % NIGHT_LENGTH);

	if (due <= local)
		due += DAY;
	return due - utc_offset;
}

bool
schedule_is_due(int64_t now, int64_t next)
{
	return now >= next || next - now > INT64_C(2) * DAY;
}
