/*
 * supervise: a small parent that keeps one serving child alive and answering.
 *
 * The parent owns what must outlive a child (listening sockets, the pid file, root where there is
 * any), asks the child a question every second through its real socket, and kills and replaces a
 * child that dies, is stopped, or does not answer within `hang_ms`: Postfix waits 100 s for a hung
 * server, for each lookup. A child that dies at once again and again is restarted with growing
 * pauses (to 1 s). When the parent dies, the kernel sends the child SIGTERM.
 *
 * A parent that is stopped goes on by itself after two seconds (core/deadman), and then sees to a
 * child that was stopped with it. A stopped child whose parent is dead goes on after ten, and ends.
 */
#ifndef MXHOLD_CORE_SUPERVISE_H
#define MXHOLD_CORE_SUPERVISE_H

#include "core/daemon.h"

#include <stdbool.h>
#include <stddef.h>

enum supervise_answer {
	SUPERVISE_ANSWERED,
	SUPERVISE_SILENT,      /* no answer in time, or a wrong one: the child is replaced */
	SUPERVISE_UNREACHABLE, /* nobody can reach its public name: it is published again */
	SUPERVISE_CANNOT_TELL, /* wake_fd became readable, or another instance answered */
};

struct supervise {
	const char *name;     /* for the log: "mxhold-policyd" */
	const char *pid_path; /* NULL: none. A living older instance is told to end (SIGTERM) once
				 our child answers: so a restart drops no connection attempt */
	/* What each child drops to before it serves. NULL: nothing. */
	const struct daemon_identity *identity;
	/*
	 * In the parent, before the first child and again after SUPERVISE_UNREACHABLE: make what
	 * outlives children, such as listening sockets under their public names. Called under
	 * instance_lock(pid_path). NULL: nothing to do.
	 */
	bool (*publish)(void *context);
	/*
	 * In the parent before each child is started: what a child needs and may not make, such as
	 * files of its own that an operator restored as root. A failure is the caller's to log, and
	 * the child starts all the same. NULL: nothing to do.
	 */
	void (*prepare)(void *context);
	/*
	 * In the parent, about once a second while every child dies at once and none serves: who
	 * has connected meanwhile may be told. NULL: nothing to do.
	 */
	void (*failing)(void *context);
	/*
	 * In the child: calls supervise_ready() once it can answer (SIGTERM handled by then),
	 * serves until SIGTERM, ends what it took, returns the exit code. SIGINT and SIGHUP are
	 * ignored, as the parent sees to them; SIGPIPE is ignored. SIGCONT comes now and then
	 * (core/deadman): waits may end with EINTR.
	 */
	int (*serve)(void *context);
	/*
	 * In the parent, blocking up to `hang_ms`: does the child answer? Returns CANNOT_TELL early
	 * when wake_fd becomes readable (a signal waits). See supervise_ask. NULL: never asked.
	 */
	enum supervise_answer (*probe)(void *context, int hang_ms, int wake_fd);
	/* In the parent at SIGHUP: read the configuration anew; false keeps the old one. After true
	   a new child is started and, once it is ready, the old one gets SIGTERM. */
	bool (*reload)(void *context);
	/* In the parent when it begins to end, under the lock: remove public names that are ours.
	 */
	void (*cleanup)(void *context);
	void *context;
	int probe_interval_ms; /* 1000 */
	int hang_ms;           /* 3000; also what a child may take until it is ready, threefold */
	int drain_ms;          /* how long an old child may go on serving after SIGTERM: 30000 */
};

/* Runs until SIGTERM or SIGINT. Returns the process's exit code. */
int supervise_run(const struct supervise *supervise);

/* In a child: it can answer now. Does nothing elsewhere. */
void supervise_ready(void);

/* --- for probes -------------------------------------------------------------- */

enum supervise_reply { SUPERVISE_REPLY_MORE, SUPERVISE_REPLY_GOOD, SUPERVISE_REPLY_BAD };

struct supervise_question {
	const char *path; /* of an AF_UNIX stream socket */
	const void *bytes;
	size_t length;
	enum supervise_reply (*judge)(const char *reply, size_t length);
};

/*
 * Connects, sends, reads up to 4 KiB until `judge` is satisfied; all of it within hang_ms. A
 * connection that ends before the answer is tried again.
 */
enum supervise_answer supervise_ask(
    const struct supervise_question *question, int hang_ms, int wake_fd);

#endif
