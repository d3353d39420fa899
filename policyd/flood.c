/*
 * flood: see flood.h. In: the time. Out: yes or no. It must never overflow however long it slept,
 * nor give more than `burst` lines at once.
 */
#include "policyd/flood.h"

void
flood_init(struct flood *flood, int64_t rate, int64_t burst, int64_t now_ms)
{
	*flood =
	    (struct flood){.rate = rate, .burst = burst, .level = burst * 1000, .at_ms = now_ms};
}

bool
flood_allow(struct flood *flood, int64_t now_ms)
{
	int64_t full = flood->burst * 1000;
	int64_t passed = now_ms - flood->at_ms;

	if (passed > 0) {
		/* A bucket that has had time to fill is full: no product of a long time. */
		if (passed > full / flood->rate || flood->level + passed * flood->rate > full)
			flood->level = full;
		else
			flood->level += passed * flood->rate;
		flood->at_ms = now_ms;
	}
	if (flood->level < 1000) {
		flood->left_out++;
		return false;
	}
	flood->level -= 1000;
	return true;
}

int64_t
flood_report(struct flood *flood)
{
	int64_t left_out = flood->left_out;

	flood->left_out = 0;
	return left_out;
}
