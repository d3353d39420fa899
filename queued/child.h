/*
 * child: a command whose output mxhold-queued reads. No shell, a clean environment, nothing on
 * standard input, and pipes that do not block.
 */
#ifndef MXHOLD_QUEUED_CHILD_H
#define MXHOLD_QUEUED_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid;    /* 0: none */
	int out, err; /* -1: closed */
};

#define CHILD_NONE ((struct child){.pid = 0, .out = -1, .err = -1})

/* argv[0] is a path. False: errno is set, and *child is CHILD_NONE. */
bool child_start(struct child *child, const char *const argv[]) __attribute__((warn_unused_result));
/* Has it ended? *status as waitpid(2) gives it; -1 where somebody else took it. */
bool child_ended(struct child *child, int *status) __attribute__((warn_unused_result));
/* Kills it where it still runs, waits for that, closes the pipes. */
void child_stop(struct child *child);

#endif
