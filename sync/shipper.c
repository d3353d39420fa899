/*
 * shipper: see shipper.h.
 */
#include "sync/shipper.h"

#include "sync/schedule.h"
#include "sync/ship.h"

#include "core/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DYING 8          /* killed and not yet gone: a disk may hold them */
#define SILENCE_MS 30000 /* then it is replaced */
#define STEADY_MS 60000  /* after so long a death counts as the first again */

struct shipper {
	const struct conf *conf;
	pid_t pid; /* 0: none */
	int fd;    /* -1: none */
	pid_t dying[DYING];
	unsigned deaths, restarts;
	int64_t start_at, started_at, heard_at;
	struct shipper_status status;
};

struct shipper *
shipper_new(void)
{
	struct shipper *shipper = calloc(1, sizeof *shipper);

	if (shipper != NULL)
		shipper->fd = -1;
	return shipper;
}

/* Whoever was killed is waited for without waiting. */
static void
reap(struct shipper *shipper)
{
	size_t i;

	for (i = 0; i < DYING; i++)
		if (shipper->dying[i] > 0 && waitpid(shipper->dying[i], NULL, WNOHANG) != 0)
			shipper->dying[i] = 0;
}

static void
remember_dying(struct shipper *shipper, pid_t pid)
{
	size_t i = 0;

	while (i < DYING - 1 && shipper->dying[i] > 0)
		i++;
	shipper->dying[i] = pid;
}

/* SIGKILL: there is nothing that it would have to put in order. */
static void
end(struct shipper *shipper)
{
	if (shipper->pid > 0) {
		kill(shipper->pid, SIGKILL);
		remember_dying(shipper, shipper->pid);
	}
	if (shipper->fd >= 0)
		close(shipper->fd);
	shipper->pid = 0;
	shipper->fd = -1;
}

void
shipper_free(struct shipper *shipper)
{
	if (shipper == NULL)
		return;
	end(shipper);
	free(shipper);
}

void
shipper_use(struct shipper *shipper, const struct conf *conf)
{
	end(shipper);
	shipper->conf = conf;
	shipper->status = (struct shipper_status){.behind = 0};
	shipper->deaths = 0;
	shipper->start_at = 0;
}

const struct shipper_status *
shipper_status(const struct shipper *shipper)
{
	return &shipper->status;
}

bool
shipper_is_alive(const struct shipper *shipper)
{
	return shipper->pid > 0 && shipper->heard_at > shipper->started_at &&
	       pump_now() - shipper->heard_at < SILENCE_MS / 2;
}

unsigned
shipper_restarts(const struct shipper *shipper)
{
	return shipper->restarts;
}

static void
later(struct shipper *shipper, int64_t now)
{
	if (now - shipper->started_at > STEADY_MS)
		shipper->deaths = 0;
	shipper->start_at = now + schedule_backoff(++shipper->deaths, (uint32_t)random());
	shipper->restarts++;
}

static void
start(struct shipper *shipper, int64_t now)
{
	int ends[2];

	shipper->started_at = shipper->heard_at = now;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		later(shipper, now);
		return;
	}
	shipper->pid = fork();
	if (shipper->pid == 0)
		ship_run(shipper->conf, ends[1]);
	close(ends[1]);
	shipper->fd = ends[0];
	if (shipper->pid > 0)
		return;
	log_event(LOG_ERR, "shipper-not-started", kv("error", "fork failed"));
	end(shipper);
	later(shipper, now);
}

static void
replace(struct shipper *shipper, const char *why, int64_t now)
{
	log_event(LOG_ERR, "shipper-replaced", kv("why", why), kv_number("pid", shipper->pid));
	end(shipper);
	later(shipper, now);
}

/* Takes what it has said; the last counts. False: it has hung up. */
static bool
hear(struct shipper *shipper, int64_t now)
{
	struct shipper_status status;
	ssize_t got;

	for (;;) {
		got = recv(shipper->fd, &status, sizeof status, MSG_DONTWAIT);
		if (got == (ssize_t)sizeof status) {
			shipper->status = status;
			shipper->heard_at = now;
		} else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			return true;
		} else {
			return false;
		}
	}
}

static void
prepare(void *context, struct pump_set *set)
{
	struct shipper *shipper = context;

	if (shipper->conf == NULL)
		return;
	pump_set_add(set, shipper->fd, POLLIN);
	pump_set_until(set, shipper->pid > 0 ? shipper->heard_at + SILENCE_MS : shipper->start_at);
}

static void
run(void *context, const struct pump_set *set, int64_t now)
{
	struct shipper *shipper = context;

	(void)set;
	reap(shipper);
	if (shipper->conf == NULL)
		return;
	if (shipper->pid == 0 && now >= shipper->start_at)
		start(shipper, now);
	else if (shipper->pid > 0 && !hear(shipper, now))
		replace(shipper, "it ended", now);
	else if (shipper->pid > 0 && now - shipper->heard_at >= SILENCE_MS)
		replace(shipper, "it was silent", now);
}

struct pump_task
shipper_task(struct shipper *shipper)
{
	return (struct pump_task){.prepare = prepare, .run = run, .context = shipper};
}
