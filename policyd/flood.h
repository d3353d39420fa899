/*
 * flood: a token bucket that bounds how many lines a second go to the log, and counts what was left
 * out. Pure: time comes in as an argument (milliseconds of any clock that does not run backwards).
 */
#ifndef MXHOLD_POLICYD_FLOOD_H
#define MXHOLD_POLICYD_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

struct flood {
	int64_t rate;     /* lines a second */
	int64_t burst;    /* lines that may come at once */
	int64_t level;    /* thousandths of a line that are left */
	int64_t at_ms;    /* when level was right */
	int64_t left_out; /* lines since the last flood_report */
};

void flood_init(struct flood *flood, int64_t rate, int64_t burst, int64_t now_ms);
/* May one more line be written? If not, it is counted. */
bool flood_allow(struct flood *flood, int64_t now_ms);
/* How many were left out since the last call. */
int64_t flood_report(struct flood *flood);

#endif
