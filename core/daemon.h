/*
 * daemon: what every mxhold daemon does alike: options, dropping root, readiness.
 */
#ifndef MXHOLD_CORE_DAEMON_H
#define MXHOLD_CORE_DAEMON_H

#include "core/conf.h"

#include <sys/types.h>

struct daemon_about {
	const char *name;    /* "mxhold-sync" */
	const char *purpose; /* one line for --help */
};

struct daemon_options {
	const char *config; /* -c, --config; default CONF_DEFAULT_PATH */
	bool foreground;    /* -f: stay in the foreground, log to stderr */
	bool check_only;    /* -n: check the configuration and exit: 0, or 78 (EX_CONFIG) */
};

/*
 * Parses argv (getopt_long: -c FILE, -f, -n, -V, -h). Prints help, version or a usage error itself.
 * Returns -1 to go on, or the exit code (0 or 64).
 */
int daemon_options(int argc, char **argv, const struct daemon_about *about,
    struct daemon_options *out) __attribute__((warn_unused_result));

#define DAEMON_ALSO 4

struct daemon_identity {
	uid_t uid;
	gid_t gid;               /* [users] group */
	gid_t socket_gid;        /* [users] socket_group */
	gid_t also[DAEMON_ALSO]; /* further groups, as the program needs them; set by it */
	size_t also_count;
	bool change; /* started as root: there is something to drop */
};

/*
 * Resolves users and groups (names or numbers). Not started as root: change is false and nothing is
 * looked up. False: the error, with its cure, was logged.
 */
bool daemon_resolve(const struct conf *conf, const char *user, struct daemon_identity *out)
    __attribute__((warn_unused_result));
/*
 * Drops to uid/gid for good (with gid, socket_gid and `also` as only groups), no new privileges.
 * $HOME becomes the user's, or /nonexistent where he has none.
 */
bool daemon_drop(const struct daemon_identity *identity) __attribute__((warn_unused_result));

/* Double fork, session, /dev/null on 0 to 2. In the parent it does not return. */
bool daemon_detach(void) __attribute__((warn_unused_result));

/* sd_notify(3) without the library: does nothing where NOTIFY_SOCKET is unset. "READY=1" */
void daemon_notify(const char *state);

#endif
