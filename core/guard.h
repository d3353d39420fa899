/*
 * guard: lets a child process do what may kill or hang the process that does it: LMDB trusts its
 * file, and a broken page can end whoever reads it (SIGBUS, SIGSEGV, an assertion), or send him
 * round in circles.
 */
#ifndef MXHOLD_CORE_GUARD_H
#define MXHOLD_CORE_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum guard_end {
	GUARD_ANSWERED,
	GUARD_DIED,   /* of a signal */
	GUARD_SILENT, /* it ended without an answer, or did not end in time */
	GUARD_FAILED, /* there was no child: errno is set */
};

struct guard_task {
	/* In the child: fills in `answer` (plain data). It may open an environment of its own, but
	   not use one that the parent has open (LMDB: never across fork). */
	void (*look)(void *answer, const void *context);
	const void *context;
	int64_t deadline_ms; /* how long it may take */
	int signal;          /* out: what it died of */
};

/* `answer` holds `size` bytes, zeroed first; only GUARD_ANSWERED says that it was filled in. */
enum guard_end guard_run(struct guard_task *task, void *answer, size_t size)
    __attribute__((warn_unused_result));

#endif
