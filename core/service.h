/*
 * service: what the daemons under core/supervise do alike around it: options, configuration and its
 * reload, user, directory of the sockets, pid file, limit of descriptors, background.
 */
#ifndef MXHOLD_CORE_SERVICE_H
#define MXHOLD_CORE_SERVICE_H

#include "core/daemon.h"

#include <limits.h>
#include <stdio.h>

struct service;

struct service_about {
	struct daemon_about daemon;
	const char *pid_file;                         /* its name, below the sockets' directory */
	const char *(*user)(const struct conf *conf); /* the user to serve as, of [users] */
	unsigned descriptors;                         /* as many open files are wanted */
	/* Runs until the end, in the background or where the operator wants it; the exit code. */
	int (*run)(struct service *service);
};

struct service {
	const struct service_about *about;
	struct conf *conf;         /* the present one; owned */
	const char *config;        /* its file */
	char socket_dir[PATH_MAX]; /* as it was at the start: another one needs a restart */
	char pid_path[PATH_MAX + 32];
	struct daemon_identity identity;
};

/* A whole main(): returns the exit code of the process. */
int service_main(int argc, char **argv, const struct service_about *about);

/*
 * Reads the configuration anew (at SIGHUP, in the parent) and says what of it needs a restart.
 * False: the errors were logged, and the present one stays.
 */
bool service_reload(struct service *service) __attribute__((warn_unused_result));

/*
 * Reads a configuration while running: each error is logged. `check` (NULL: none) may refuse what
 * could be read, and writes why. NULL: refused. The caller frees.
 */
typedef bool service_check(
    const struct conf *conf, const char *config, FILE *errors, const void *context);
struct conf *service_read_conf(const char *config, service_check *check, const void *context)
    __attribute__((warn_unused_result));

#endif
