/*
 * fuzz: see fuzz.h. Linked with every target. Under libFuzzer the counts are printed when it ends,
 * as `accepted: N refused: N`, for tests/fuzz/run.sh.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static struct fuzz_counts counts;

static void
print_counts(void)
{
	fprintf(stderr, "accepted: %lu refused: %lu\n", counts.accepted, counts.refused);
}

void
fuzz_outcome(bool accepted)
{
	if (counts.accepted + counts.refused == 0)
		atexit(print_counts);
	if (accepted)
		counts.accepted++;
	else
		counts.refused++;
}

struct fuzz_counts
fuzz_counts(void)
{
	return counts;
}

void
fuzz_holds(bool condition, const char *text, const char *file, int line)
{
	if (condition)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
	abort();
}
