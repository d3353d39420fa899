/*
 * instance: see instance.h. In: the path of a pid file. Out: the lock on it, and a signal to
 * the process that held it before. It never signals a process that the kernel does not name as
 * holder of the lock at that moment (a pidfd is taken between two looks).
 */
#include "core/instance.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 500 /* of 10 ms */

static bool
instance_failed(const char *what, const char *path)
{
	log_event(LOG_ERR, "pid-file-failed", kv("step", what), kv("path", path),
	    kv("error", strerror(errno)));
	return false;
}

int
instance_lock(const char *path)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];
	int fd, tries;

	(void)snprintf(directory, sizeof(directory), "%.*s",
	    slash == NULL ? 1 : (int)(slash - path) + 1, slash == NULL ? "." : path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		(void)instance_failed("open", directory);
		return -1;
	}
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		(void)nanosleep(&pause, NULL);
	}
	(void)instance_failed("lock", directory);
	(void)close(fd);
	return -1;
}

void
instance_unlock(int lock)
{
	if (lock >= 0)
		(void)close(lock);
}

static struct flock
instance_whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* Who holds the lock on this file, other than ourselves? 0: nobody that we can see. */
static pid_t
instance_holder(int fd)
{
	struct flock lock = instance_whole_file();

	if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
		return 0;
	return lock.l_pid;
}

static bool
instance_write(int fd, const char *path)
{
	struct flock lock = instance_whole_file();

	if (fcntl(fd, F_SETLK, &lock) != 0)
		return instance_failed("lock", path);
	if (dprintf(fd, "%ld\n", (long)getpid()) < 0)
		return instance_failed("write", path);
	return true;
}

struct instance
instance_new(const char *path)
{
	return (struct instance){.path = path, .fd = -1, .older_fd = -1};
}

static bool
instance_is_ours(const struct instance *instance)
{
	struct stat ours, there;

	return instance->fd >= 0 && fstat(instance->fd, &ours) == 0 &&
	       lstat(instance->path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static void
instance_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Writes and locks a new pid file at `aside` and renames it into place. Its descriptor, or -1. */
static int
instance_put(const char *aside, const char *path)
{
	int fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0) {
		(void)instance_failed("open", aside);
		return -1;
	}
	if (instance_write(fd, aside)) {
		if (rename(aside, path) == 0)
			return fd;
		(void)instance_failed("rename", path);
	}
	(void)unlink(aside);
	(void)close(fd);
	return -1;
}

bool
instance_claim(struct instance *instance)
{
	char aside[PATH_MAX];
	int fd, older;

	if (instance->path == NULL || instance_is_ours(instance))
		return true;
	if (snprintf(aside, sizeof(aside), "%s.new", instance->path) >= (int)sizeof(aside)) {
		errno = ENAMETOOLONG;
		return instance_failed("name", instance->path);
	}
	(void)unlink(aside);
	older = open(instance->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	fd = instance_put(aside, instance->path);
	if (fd < 0) {
		instance_close(&older);
		return false;
	}
	if (older >= 0) { /* else the one that we knew before may still have to be told */
		instance_close(&instance->older_fd);
		instance->older_fd = older;
	}
	instance_close(&instance->fd);
	instance->fd = fd;
	return true;
}

pid_t
instance_end_older(struct instance *instance)
{
	pid_t pid = 0;
	int process;

	if (instance->path == NULL || instance->older_fd < 0)
		return 0;
	pid = instance_holder(instance->older_fd);
	process = pid > 0 && pid != getpid() ? pidfd_open(pid, 0) : -1;
	/* A stopped one must run to see SIGTERM. */
	if (process < 0 || instance_holder(instance->older_fd) != pid ||
	    pidfd_send_signal(process, SIGCONT, NULL, 0) != 0 ||
	    pidfd_send_signal(process, SIGTERM, NULL, 0) != 0)
		pid = 0;
	if (process >= 0)
		(void)close(process);
	instance_close(&instance->older_fd);
	return pid;
}

void
instance_forget(struct instance *instance)
{
	instance_close(&instance->fd);
	instance_close(&instance->older_fd);
}

/* Has a newer one taken over? (Else the pid file is ours, or was removed.) */
static bool
instance_is_overtaken(const struct instance *instance)
{
	struct stat there;

	return instance->fd >= 0 && !instance_is_ours(instance) &&
	       lstat(instance->path, &there) == 0;
}

void
instance_release(struct instance *instance)
{
	if (instance->path != NULL && instance_is_ours(instance))
		(void)unlink(instance->path);
	else if (instance->path != NULL && instance_is_overtaken(instance))
		(void)instance_end_older(instance);
	instance_close(&instance->fd);
}
