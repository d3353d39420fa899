/*
 * child: see child.h. It touches only the process that it started, by its number.
 */
#include "queued/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
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

/* Default signals and none blocked, as our loop may have it otherwise. */
static int
attributes_set(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int code;

	sigemptyset(&none);
	sigfillset(&all);
	code = posix_spawnattr_setsigmask(attributes, &none);
	if (code == 0)
		code = posix_spawnattr_setsigdefault(attributes, &all);
	if (code == 0)
		code = posix_spawnattr_setflags(
		    attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return code;
}

static int
spawn(struct child *child, char *const argv[], int out, int err)
{
	static char *const environment[] = {
	    (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	    (char *)(uintptr_t) "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code = posix_spawn_file_actions_init(&actions);

	if (code != 0)
		return code;
	code = posix_spawnattr_init(&attributes);
	if (code == 0) {
		code = attributes_set(&attributes);
		if (code == 0)
			code = posix_spawn_file_actions_addopen(
			    &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		if (code == 0)
			code = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
		if (code == 0)
			code = posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
		if (code == 0) /* libraries need not mark theirs */
			code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
		if (code == 0)
			code = posix_spawn(
			    &child->pid, argv[0], &actions, &attributes, argv, environment);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return code;
}

bool
child_start(struct child *child, char *const argv[])
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
	const int code = spawn(child, argv, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	child->out = out[0];
	child->err = err[0];
	if (code == 0)
		return true;
	child->pid = 0;
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
