/*
 * spawn: starts a program that gets nothing of ours but its arguments and three streams: a clean
 * environment, no other descriptor, default signals and none blocked. No shell.
 */
#ifndef MXHOLD_CORE_SPAWN_H
#define MXHOLD_CORE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_NOTHING (-1) /* a stream: /dev/null */

/* Its PATH, and the one with what an administrator may have added. */
#define SPAWN_PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
#define SPAWN_PATH_LOCAL                                                                           \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"                           \
	"bin"

struct spawn {
	const char *const *argv; /* [0]: a path, or a name that is looked for in our own PATH; NULL
				    at the end */
	const char *path;        /* "PATH=..."; NULL: SPAWN_PATH */
	int in, out, err;        /* descriptors, or SPAWN_NOTHING */
	bool apart;              /* in a process group of its own, in the folder / */
};

/* Returns 0, and *pid is the child's, who is to be waited for; or an errno, and *pid is as it was.
 */
int spawn_start(const struct spawn *how, pid_t *pid) __attribute__((warn_unused_result));

#endif
