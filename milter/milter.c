/*
 * milter: see milter.h. In: the configuration, signals (through core/supervise). Out: the socket
 * `milter` below [paths] socket_dir, which outlives every child: who connects while one is replaced
 * waits for the next.
 */
#include "milter/milter.h"

#include "core/listener.h"
#include "core/log.h"
#include "core/supervise.h"
#include "milter/probe.h"
#include "milter/serve.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define DESCRIPTORS_WANTED 8192

struct milter {
	struct conf *conf;
	const char *config;
	char socket_dir[PATH_MAX]; /* as it was at the start: another one needs a restart */
	struct daemon_identity identity;
	struct listener listener;
	int dead_fd;
	char pid_path[PATH_MAX + sizeof("/milter.pid")];
};

/* --- what the parent does for core/supervise ------------------------------------------- */

/*
 * A listening socket that nobody can reach, as its name is gone at once; until then, its mode lets
 * nobody in. (An abstract name could be connected to by anybody.)
 */
static int
open_dead_socket(const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t old;
	bool good;
	int fd, length;

	length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/milter.none.%ld",
	    directory, (long)getpid());
	if (length < 0 || (size_t)length >= sizeof(address.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)unlink(address.sun_path);
	old = umask(0777);
	good = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	umask(old);
	good = good && unlink(address.sun_path) == 0 && listen(fd, 1) == 0;
	if (good)
		return fd;
	log_event(
	    LOG_ERR, "listen-failed", kv("path", address.sun_path), kv("error", strerror(errno)));
	(void)close(fd);
	return -1;
}

static bool
milter_publish(void *context)
{
	struct milter *milter = context;
	struct listener made;

	if (milter->dead_fd < 0)
		milter->dead_fd = open_dead_socket(milter->socket_dir);
	if (milter->dead_fd < 0 ||
	    !listener_open(&made, milter->socket_dir, "milter", milter->identity.socket_gid))
		return false;
	listener_close(&milter->listener);
	milter->listener = made;
	return true;
}

static int
milter_serve(void *context)
{
	const struct milter *milter = context;
	const struct serve_setup setup = {
	    .conf = milter->conf,
	    .listener = &milter->listener,
	    .dead_fd = milter->dead_fd,
	};

	return serve_run(&setup);
}

static enum supervise_answer
milter_probe(void *context, int hang_ms, int wake_fd)
{
	const struct milter *milter = context;
	enum supervise_answer answer;

	answer = probe_milter(milter->listener.path, hang_ms, wake_fd);
	/* Somebody else answered: a newer instance, which will tell us to end. */
	if (answer != SUPERVISE_UNREACHABLE && listener_look(&milter->listener) == LISTENER_OTHERS)
		return SUPERVISE_CANNOT_TELL;
	return answer;
}

/* What a new configuration cannot change while we run. */
static void
milter_tell_fixed(const struct milter *milter, const struct conf *conf)
{
	if (strcmp(milter->socket_dir, conf->paths.socket_dir) != 0)
		log_event(LOG_WARNING, "restart-needed", kv("key", "[paths] socket_dir"),
		    kv("still", milter->socket_dir));
	if (milter->identity.change &&
	    (strcmp(milter->conf->users.milter, conf->users.milter) != 0 ||
		strcmp(milter->conf->users.group, conf->users.group) != 0 ||
		strcmp(milter->conf->users.socket_group, conf->users.socket_group) != 0))
		log_event(LOG_WARNING, "restart-needed", kv("key", "[users]"));
}

static void
log_errors(char *errors)
{
	char *line, *rest = errors;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line != '\0')
			log_event(LOG_ERR, "configuration-error", kv("error", line));
	}
}

static bool
milter_reload(void *context)
{
	struct milter *milter = context;
	char *errors = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&errors, &length);
	struct conf *conf;

	if (stream == NULL)
		return false;
	conf = conf_load(milter->config, stream);
	(void)fclose(stream);
	if (conf == NULL)
		log_errors(errors);
	free(errors);
	if (conf == NULL)
		return false;
	milter_tell_fixed(milter, conf);
	conf_free(milter->conf);
	milter->conf = conf;
	return true;
}

static void
milter_cleanup(void *context)
{
	const struct milter *milter = context;

	listener_remove(&milter->listener);
}

/* --- start --------------------------------------------------------------------------------- */

/* As many descriptors as we may have, up to what we want; as root, as many as we want. */
static void
raise_limit(void)
{
	struct rlimit limit, more = {DESCRIPTORS_WANTED, DESCRIPTORS_WANTED};

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	limit.rlim_cur =
	    limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : (rlim_t)DESCRIPTORS_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_event(LOG_WARNING, "limit-not-raised", kv("limit", "RLIMIT_NOFILE"));
}

static bool
milter_prepare(struct milter *milter)
{
	const struct conf *conf = milter->conf;

	if (!daemon_resolve(conf, conf->users.milter, &milter->identity))
		return false;
	(void)snprintf(
	    milter->socket_dir, sizeof(milter->socket_dir), "%s", conf->paths.socket_dir);
	(void)snprintf(
	    milter->pid_path, sizeof(milter->pid_path), "%s/milter.pid", milter->socket_dir);
	return listener_directory(milter->socket_dir);
}

int
milter_run(struct conf *conf, const char *config, bool foreground)
{
	struct milter milter = {
	    .conf = conf, .config = config, .listener = {.fd = -1}, .dead_fd = -1};
	const struct supervise supervise = {
	    .name = "mxhold-milter",
	    .pid_path = milter.pid_path,
	    .identity = &milter.identity,
	    .publish = milter_publish,
	    .serve = milter_serve,
	    .probe = milter_probe,
	    .reload = milter_reload,
	    .cleanup = milter_cleanup,
	    .context = &milter,
	    .probe_interval_ms = 1000,
	    .hang_ms = 3000,
	    .drain_ms = SERVE_DRAIN_MS + 5000,
	};
	int code = EX_NOUSER;

	if (milter_prepare(&milter)) {
		raise_limit();
		code = EX_OSERR;
		if (foreground || daemon_detach())
			code = supervise_run(&supervise);
	}
	listener_close(&milter.listener);
	if (milter.dead_fd >= 0)
		(void)close(milter.dead_fd);
	conf_free(milter.conf);
	return code;
}
