/*
 * serve: the child of mxhold-helper: one loop that takes a request a connection, has it carried out
 * (job.h), and answers. Slow, silent and foreign clients cost a place for a bounded time, and
 * nothing else.
 */
#ifndef MXHOLD_HELPER_SERVE_H
#define MXHOLD_HELPER_SERVE_H

#include <sys/types.h>

#define SERVE_CLIENTS 64   /* at once; more wait in the backlog */
#define SERVE_LINE_MS 2000 /* for the request */

struct serve_setup {
	int listen_fd;
	uid_t uid; /* who may ask, beside root */
	const char *config_dir;
};

/* Runs until SIGTERM; what has begun is brought to its end. Returns the exit code. */
int serve_requests(const struct serve_setup *setup);

#endif
