/*
 * retention: see retention.h. No state, no clock.
 */
#include "queued/retention.h"

#include <stddef.h>

bool
retention_is_over(int64_t accepted_at, int64_t retention, int64_t queue_lifetime, int64_t now)
{
	if (accepted_at <= 0 || retention <= 0 || retention >= queue_lifetime || now < accepted_at)
		return false;
	return (now - accepted_at) / 1000000 >= retention;
}

unsigned
retention_level(int64_t oldest, int64_t retention, int64_t now)
{
	static const unsigned levels[] = {95, 80, 50};

	if (oldest <= 0 || retention <= 0 || now <= oldest)
		return 0;
	const int64_t age = (now - oldest) / 1000000;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (age / retention > 0 || age * 100 / retention >= (int64_t)levels[i])
			return levels[i];
	return 0;
}
