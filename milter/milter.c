/*
 * milter: see milter.h. In: the configuration (core/service), signals (core/supervise). Out: the
 * socket `milter` below [paths] socket_dir, which outlives every child: who connects while one is
 * replaced waits for the next.
 */
#include "milter/milter.h"

#include "core/listener.h"
#include "core/log.h"
#include "core/supervise.h"
#include "milter/probe.h"
#include "milter/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct milter {
	struct service *service;
	struct listener listener;
	int dead_fd;
};

/* --- what the parent does for core/supervise ------------------------------------------- */

static int
dead_socket_failed(const char *path)
{
	log_event(LOG_ERR, "listen-failed", kv("path", path), kv("error", strerror(errno)));
	return -1;
}

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
	if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return dead_socket_failed(directory);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return dead_socket_failed(address.sun_path);
	(void)unlink(address.sun_path);
	old = umask(0777);
	good = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	umask(old);
	good = good && unlink(address.sun_path) == 0 && listen(fd, 1) == 0;
	if (good)
		return fd;
	(void)dead_socket_failed(address.sun_path);
	(void)close(fd);
	return -1;
}

static bool
milter_publish(void *context)
{
	struct milter *milter = context;
	struct listener made;

	if (milter->dead_fd < 0)
		milter->dead_fd = open_dead_socket(milter->service->socket_dir);
	if (milter->dead_fd < 0 || !listener_open(&made, milter->service->socket_dir, "milter",
				       milter->service->identity.socket_gid))
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
	    .conf = milter->service->conf,
	    .listener = &milter->listener,
	    .socket_dir = milter->service->socket_dir,
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

static bool
milter_reload(void *context)
{
	const struct milter *milter = context;

	return service_reload(milter->service);
}

static void
milter_cleanup(void *context)
{
	const struct milter *milter = context;

	listener_remove(&milter->listener);
}

int
milter_run(struct service *service)
{
	struct milter milter = {.service = service, .listener = {.fd = -1}, .dead_fd = -1};
	const struct supervise supervise = {
	    .name = service->about->daemon.name,
	    .pid_path = service->pid_path,
	    .identity = &service->identity,
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
	const int code = supervise_run(&supervise);

	listener_close(&milter.listener);
	if (milter.dead_fd >= 0)
		(void)close(milter.dead_fd);
	return code;
}
