/*
 * supervise: a small parent that keeps one serving child alive and answering.
 *
 * The parent owns what must outlive a child (listening sockets, the pid file, root where there is
 * any), asks the child a question every second through its real socket, and kills and replaces a
 * child that dies, or does not answer within `hang_ms`: Postfix waits 100 s for a hung server, for
 * each lookup. A child that dies at once again and again is restarted with growing pauses (to 1 s).
 */
#ifndef MXHOLD_CORE_SUPERVISE_H
#define MXHOLD_CORE_SUPERVISE_H

#include <stdbool.h>
#include <sys/types.h>

struct supervise {
	const char *name;     /* for the log: "mxhold-policyd" */
	const char *pid_path; /* NULL: none. A living older instance is told to end (SIGTERM) once
				 our child answers: so a restart drops no connection attempt */
	/* In the child: serves until SIGTERM, ends what it took, returns the exit code. */
	int (*serve)(void *context);
	/* In the parent, blocking up to `hang_ms`: does the child answer? */
	bool (*probe)(void *context, int hang_ms);
	/* In the parent at SIGHUP: read the configuration anew; false keeps the old one. After true
	   a new child is started and, once it answers, the old one gets SIGTERM. */
	bool (*reload)(void *context);
	/* In the parent when it ends: remove what is ours (a socket only if it is still our inode).
	 */
	void (*cleanup)(void *context);
	void *context;
	int probe_interval_ms; /* 1000 */
	int hang_ms;           /* 3000 */
	int drain_ms;          /* how long an old child may go on serving after SIGTERM: 30000 */
};

/* Runs until SIGTERM or SIGINT. Returns the process's exit code. */
int supervise_run(const struct supervise *supervise);

#endif
