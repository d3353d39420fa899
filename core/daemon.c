/*
 * daemon: see daemon.h. What every mxhold daemon does alike before it serves: its options, its
 * user, the background, and the word to systemd that it is ready (sd_notify(3), without the
 * library).
 *
 * It must never go on with more rights than it was told to keep: each step of dropping root is
 * checked, and so is that there is no way back.
 */
#include "core/daemon.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

/* --- options -------------------------------------------------------------------- */

static void
print_help(const struct daemon_about *about)
{
	printf("usage: %s [-fn] [-c FILE]\n"
	       "%s\n"
	       "\n"
	       "  -c, --config FILE   the configuration (default %s)\n"
	       "  -f, --foreground    stay in the foreground and log to stderr\n"
	       "  -n, --check         check the configuration, print its errors, and exit:\n"
	       "                      0 when it is good, else 78\n"
	       "  -V, --version       print the version\n"
	       "  -h, --help          print this help\n"
	       "\n"
	       "SIGTERM ends it, SIGHUP makes it read its configuration anew.\n",
	    about->name, about->purpose, CONF_DEFAULT_PATH);
}

/* The configuration is read again at SIGHUP, when the working directory is another: "/". */
static bool
make_absolute(const char **path)
{
	static char absolute[PATH_MAX];
	char here[PATH_MAX];

	if (**path == '/')
		return true;
	if (getcwd(here, sizeof(here)) == NULL)
		return false;
	int n = snprintf(absolute, sizeof(absolute), "%s/%s", here, *path);
	if (n < 0 || (size_t)n >= sizeof(absolute))
		return false;
	*path = absolute;
	return true;
}

static int
usage_error(const struct daemon_about *about)
{
	fprintf(stderr, "Try '%s --help'.\n", about->name);
	return EX_USAGE;
}

int
daemon_options(int argc, char **argv, const struct daemon_about *about, struct daemon_options *out)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"foreground", no_argument, NULL, 'f'},
	    {"check", no_argument, NULL, 'n'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	*out = (struct daemon_options){.config = CONF_DEFAULT_PATH};
	optind = 0; /* glibc: begin anew, whatever was parsed before */
	while ((option = getopt_long(argc, argv, "c:fnVh", options, NULL)) != -1) {
		switch (option) {
		case 'c': out->config = optarg; break;
		case 'f': out->foreground = true; break;
		case 'n': out->check_only = true; break;
		case 'V': printf("%s %s\n", about->name, MXHOLD_VERSION); return EX_OK;
		case 'h': print_help(about); return EX_OK;
		default: return usage_error(about);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: no argument is taken, and there is '%s'\n", about->name,
		    argv[optind]);
		return usage_error(about);
	}
	if (!make_absolute(&out->config)) {
		fprintf(stderr, "%s: -c: the path is too long, or there is no current directory\n",
		    about->name);
		return EX_USAGE;
	}
	return -1;
}

/* --- users ------------------------------------------------------------------------ */

/* The number that `text` is, where it is one that a user or group can have. */
static bool
is_number(const char *text, unsigned long *out)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	*out = strtoul(text, &end, 10);
	return *end == '\0' && *out < UINT32_MAX; /* (uid_t)-1 is nobody's */
}

static bool
resolve_user(const char *user, uid_t *out)
{
	unsigned long number;

	if (is_number(user, &number)) {
		*out = (uid_t)number;
	} else {
		const struct passwd *entry = getpwnam(user);
		if (entry == NULL) {
			log_event(LOG_ERR, "user-unknown", kv("user", user),
			    kv("cure",
				"adduser --system --no-create-home --ingroup mxhold USER, or "
				"name another one in [users]"));
			return false;
		}
		*out = entry->pw_uid;
	}
	if (*out != 0)
		return true;
	log_event(LOG_ERR, "user-refused", kv("user", user),
	    kv("cure", "name a user of its own in [users]: this one would keep root's rights"));
	return false;
}

static bool
resolve_group(const char *group, gid_t *out)
{
	unsigned long number;

	if (is_number(group, &number)) {
		*out = (gid_t)number;
	} else {
		const struct group *entry = getgrnam(group);
		if (entry == NULL) {
			log_event(LOG_ERR, "group-unknown", kv("group", group),
			    kv("cure", "addgroup --system GROUP, or name another one in [users]"));
			return false;
		}
		*out = entry->gr_gid;
	}
	if (*out != 0)
		return true;
	log_event(LOG_ERR, "group-refused", kv("group", group),
	    kv("cure", "name a group of its own in [users]: this one would keep root's rights"));
	return false;
}

bool
daemon_resolve(const struct conf *conf, const char *user, struct daemon_identity *out)
{
	*out = (struct daemon_identity){
	    .uid = geteuid(), .gid = getegid(), .socket_gid = getegid(), .change = geteuid() == 0};
	if (!out->change)
		return true;
	return resolve_user(user, &out->uid) && resolve_group(conf->users.group, &out->gid) &&
	       resolve_group(conf->users.socket_group, &out->socket_gid);
}

/* Changes user and groups. Returns the call that failed (errno is set), or NULL. */
static const char *
change_identity(const struct daemon_identity *identity)
{
	gid_t groups[2 + DAEMON_ALSO] = {identity->gid, identity->socket_gid};

	for (size_t i = 0; i < identity->also_count; i++)
		groups[2 + i] = identity->also[i];
	if (setgroups(2 + identity->also_count, groups) != 0)
		return "setgroups";
	if (setresgid(identity->gid, identity->gid, identity->gid) != 0)
		return "setresgid";
	if (setresuid(identity->uid, identity->uid, identity->uid) != 0)
		return "setresuid";
	return NULL;
}

/* Is there a way back to root? Tries each. */
static bool
root_is_gone(const struct daemon_identity *identity)
{
	uid_t real, effective, saved;
	gid_t real_group, effective_group, saved_group;

	if (getresuid(&real, &effective, &saved) != 0 ||
	    getresgid(&real_group, &effective_group, &saved_group) != 0)
		return false;
	if (real != identity->uid || effective != identity->uid || saved != identity->uid)
		return false;
	if (real_group != identity->gid || effective_group != identity->gid ||
	    saved_group != identity->gid)
		return false;
	return setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 && setegid(0) != 0;
}

/*
 * Libraries look into $HOME (libpq: ~/.postgresql, ~/.pgpass, and a file there that it may not read
 * is an error): root's is another's home from now on.
 */
static bool
change_home(const struct daemon_identity *identity)
{
	const struct passwd *entry = getpwuid(identity->uid);
	bool has_home = entry != NULL && entry->pw_dir != NULL && entry->pw_dir[0] == '/';

	return setenv("HOME", has_home ? entry->pw_dir : "/nonexistent", 1) == 0;
}

bool
daemon_drop(const struct daemon_identity *identity)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		log_event(LOG_ERR, "drop-failed", kv("call", "prctl(PR_SET_NO_NEW_PRIVS)"),
		    kv("error", strerror(errno)));
		return false;
	}
	if (!identity->change)
		return true;
	const char *call = change_home(identity) ? change_identity(identity) : "setenv";
	if (call != NULL) {
		log_event(LOG_ERR, "drop-failed", kv("call", call), kv("error", strerror(errno)),
		    kv_number("uid", identity->uid), kv_number("gid", identity->gid),
		    kv("cure", "start it as root with CAP_SETUID and CAP_SETGID, or as its user"));
		return false;
	}
	if (!root_is_gone(identity)) {
		log_event(LOG_ERR, "drop-failed", kv("error", "root could be had again"),
		    kv_number("uid", identity->uid), kv_number("gid", identity->gid));
		return false;
	}
	return true;
}

/* --- background -------------------------------------------------------------------- */

/* The parent ends without running what was registered for exit: that is the child's. */
static bool
leave_parent(void)
{
	pid_t child = fork();

	if (child > 0)
		_exit(EX_OK);
	return child == 0;
}

bool
daemon_detach(void)
{
	fflush(NULL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool good =
	    null >= 0 && leave_parent() && setsid() >= 0 && leave_parent() && chdir("/") == 0;

	for (int fd = STDIN_FILENO; good && fd <= STDERR_FILENO; fd++)
		good = dup2(null, fd) == fd;
	if (!good)
		log_event(LOG_ERR, "detach-failed", kv("error", strerror(errno)));
	if (null > STDERR_FILENO)
		close(null);
	return good;
}

/* --- readiness ----------------------------------------------------------------------- */

/* An abstract name begins with '@' in the variable, with NUL in the address. */
static bool
notify_address(const char *path, struct sockaddr_un *out, socklen_t *length)
{
	size_t path_length = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || path_length < 2 ||
	    path_length >= sizeof(out->sun_path))
		return false;
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, path, path_length);
	if (path[0] == '@')
		out->sun_path[0] = '\0';
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
	return true;
}

/* With a time limit on the socket, SA_RESTART does not count (signal(7)). */
static bool
notify_send(int fd, const char *state, const struct sockaddr_un *address, socklen_t length)
{
	ssize_t sent;

	do
		sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		    (const struct sockaddr *)address, length);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)strlen(state);
}

void
daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const struct timeval patience = {.tv_sec = 1};
	struct sockaddr_un address;
	socklen_t length;

	if (path == NULL)
		return;
	if (!notify_address(path, &address, &length)) {
		log_event(LOG_WARNING, "notify-failed", kv("socket", path),
		    kv("error", "no path and no abstract name"));
		return;
	}
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool sent = fd >= 0 &&
		    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
		    notify_send(fd, state, &address, length);
	if (!sent)
		log_event(
		    LOG_WARNING, "notify-failed", kv("socket", path), kv("error", strerror(errno)));
	if (fd >= 0)
		close(fd);
}
