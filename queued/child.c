/*
 * child: see child.h. It touches only the process that it started, by its number.
 */
#include "queued/child.h"

#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool
pipe_make(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
		return true;
	close(ends[0]);
	close(ends[1]);
	return false;
}

bool
child_start(struct child *child, const char *const argv[])
{
	int out[2], err[2];

	*child = CHILD_NONE;
	if (!pipe_make(out))
		return false;
	if (!pipe_make(err)) {
		close(out[0]);
		close(out[1]);
		return false;
	}
	const struct spawn how = {.argv = argv, .in = SPAWN_NOTHING, .out = out[1], .err = err[1]};
	const int code = spawn_start(&how, &child->pid);
	close(out[1]);
	close(err[1]);
	child->out = out[0];
	child->err = err[0];
	if (code == 0)
		return true;
	child_stop(child);
	errno = code;
	return false;
}

bool
child_ended(struct child *child, int *status)
{
	pid_t got;

	*status = -1;
	if (child->pid == 0)
		return true;
	do {
		got = waitpid(child->pid, status, WNOHANG);
	} while (got < 0 && errno == EINTR);
	if (got == 0)
		return false;
	if (got < 0)
		*status = -1;
	child->pid = 0;
	return true;
}

void
child_stop(struct child *child)
{
	int status;

	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (child->out >= 0)
		close(child->out);
	if (child->err >= 0)
		close(child->err);
	*child = CHILD_NONE;
}
