/*
 * statedir: see statedir.h. As root it works in a directory that another user owns: no link is
 * followed on the way to a file, and only a plain file with one name changes hands.
 */
#include "sync/statedir.h"

#include "core/lmdb_files.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 300 /* of 10 ms */

/* What sync, and core on its behalf, keep there: files and folders, and what lies in a folder. */
static const char *const ours[] = {
    "sync.lock", "snapshot.lock", "snapshot", "snapshot.damaged", "unusable", "unusable.new"};
static const char *const inside[] = {"data.mdb", "lock.mdb"};

static bool
failed(const char *what, const char *path)
{
	log_event(LOG_ERR, "state-dir-failed", kv("step", what), kv("path", path),
	    kv("error", strerror(errno)));
	return false;
}

/* `name` has no slash: of a path, open(2) would follow all links but the last. */
static bool
give(int directory, const char *name, const struct daemon_identity *identity)
{
	bool good = true;
	size_t i;
	int fd;

	if (!lmdb_give_one(directory, name, identity->uid, identity->gid))
		return failed("chown", name);
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return true; /* no folder: nothing lies in it */
	for (i = 0; good && i < sizeof inside / sizeof inside[0]; i++)
		good = lmdb_give_one(fd, inside[i], identity->uid, identity->gid) ||
		       failed("chown", inside[i]);
	close(fd);
	return good;
}

bool
statedir_prepare(const char *path, const struct daemon_identity *identity)
{
	bool good = true;
	size_t i;
	int fd;

	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		return failed("mkdir", path);
	if (!identity->change)
		return true;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed("open", path);
	if (fchown(fd, identity->uid, identity->gid) != 0 || fchmod(fd, 0750) != 0)
		good = failed("chown", path);
	for (i = 0; good && i < sizeof ours / sizeof ours[0]; i++)
		good = give(fd, ours[i], identity);
	close(fd);
	return good;
}

int
statedir_lock(const char *path, const struct daemon_identity *identity)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	char name[PATH_MAX];
	int fd, tries;

	snprintf(name, sizeof name, "%s/sync.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0) {
		(void)failed("open", name);
		return -1;
	}
	if (identity->change && !lmdb_give_opened(fd, identity->uid, identity->gid))
		(void)failed("chown", name);
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		nanosleep(&pause, NULL);
	}
	log_event(LOG_ERR, "another-instance", kv("lock", name),
	    kv("error", "another mxhold-sync is running with this state_dir"));
	close(fd);
	return -1;
}

void
statedir_write_pid(int lock)
{
	char text[24];
	int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length)
		(void)failed("write", "sync.lock");
}
