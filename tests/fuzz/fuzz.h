/*
 * fuzz: what each libFuzzer target (fuzz_NAME.c) says of an input. A fuzz target that never gets
 * past the first check of its parser proves nothing: so each one calls fuzz_outcome once an input,
 * and both `make fuzz` and the replay of its corpus (corpus/NAME/) fail unless both outcomes
 * occurred.
 */
#ifndef MXHOLD_TESTS_FUZZ_FUZZ_H
#define MXHOLD_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry: each target defines it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Did the parser accept the input, or refuse it? */
void fuzz_outcome(bool accepted);

struct fuzz_counts {
	unsigned long accepted, refused;
};
struct fuzz_counts fuzz_counts(void);

/* What must hold for every input: else the process aborts, which both ways of running report. */
#define FUZZ_HOLDS(condition) fuzz_holds((condition), #condition, __FILE__, __LINE__)
void fuzz_holds(bool condition, const char *text, const char *file, int line);

#endif
