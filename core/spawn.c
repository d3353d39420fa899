/*
 * spawn: see spawn.h. posix_spawn(3) with all that has to be said each time.
 */
#include "core/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

/* Where the stream comes from, or goes to. */
static int
add_stream(posix_spawn_file_actions_t *actions, int stream, int fd)
{
	const int access = stream == STDIN_FILENO ? O_RDONLY : O_WRONLY;

	return fd == SPAWN_NOTHING
		   ? posix_spawn_file_actions_addopen(actions, stream, "/dev/null", access, 0)
		   : posix_spawn_file_actions_adddup2(actions, fd, stream);
}

/* Descriptors that libraries did not mark would stay open without the last one. */
static int
set_actions(posix_spawn_file_actions_t *actions, const struct spawn *how)
{
	int error = add_stream(actions, STDIN_FILENO, how->in);

	if (error == 0)
		error = add_stream(actions, STDOUT_FILENO, how->out);
	if (error == 0)
		error = add_stream(actions, STDERR_FILENO, how->err);
	if (error == 0 && how->apart)
		error = posix_spawn_file_actions_addchdir_np(actions, "/");
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
	return error;
}

static int
set_attributes(posix_spawnattr_t *attributes, const struct spawn *how)
{
	const int group = how->apart ? POSIX_SPAWN_SETPGROUP : 0;
	sigset_t none, all;
	int error;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	error = posix_spawnattr_setflags(
	    attributes, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
	if (error == 0)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (error == 0)
		error = posix_spawnattr_setsigmask(attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	return error;
}

int
spawn_start(const struct spawn *how, pid_t *pid)
{
	const char *const environment[] = {
	    how->path != NULL ? how->path : SPAWN_PATH, "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);
	pid_t child;

	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error == 0) {
		error = set_actions(&actions, how);
		if (error == 0)
			error = set_attributes(&attributes, how);
		if (error == 0) /* it does not write to what the last two point to */
			error = posix_spawnp(&child, how->argv[0], &actions, &attributes,
			    (char *const *)how->argv, (char *const *)environment);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	if (error == 0)
		*pid = child;
	return error;
}
