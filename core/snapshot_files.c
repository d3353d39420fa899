/*
 * snapshot_files: the snapshot as files: the writer's lock, the directory, modes and group, and
 * setting a broken one aside. It never looks inside.
 */
#include "core/snapshot_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

static bool
path_in(const char *state_dir, const char *name, char out[PATH_SIZE])
{
	const int length = snprintf(out, PATH_SIZE, "%s/%s", state_dir, name);

	if (length > 0 && length < PATH_SIZE)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

int
snapshot_lock_take(const char *state_dir)
{
	char path[PATH_SIZE];

	if (!path_in(state_dir, SNAPSHOT_WRITER_LOCK, path))
		return -1;
	const int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) == 0)
		return lock;
	const int failed = errno;
	close(lock);
	errno = failed;
	return -1;
}

bool
snapshot_directory_make(const char *state_dir)
{
	char path[PATH_SIZE];

	return path_in(state_dir, SNAPSHOT_DIRECTORY, path) &&
	       (mkdir(path, 0750) == 0 || errno == EEXIST);
}

static bool
has(const struct stat *status, mode_t mode, gid_t group)
{
	return (status->st_mode & 07777) == mode && (group == (gid_t)-1 || status->st_gid == group);
}

static bool
permissions_set_one(const char *path, mode_t mode, gid_t group)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return false;
	if (has(&status, mode, group))
		return true;
	/* Neither need succeed: the owner may be another, and root alone gives files away. */
	if (group != (gid_t)-1 && status.st_gid != group && chown(path, (uid_t)-1, group) != 0 &&
	    errno != EPERM)
		return false;
	if (chmod(path, mode) != 0 && errno != EPERM)
		return false;
	return stat(path, &status) == 0 && has(&status, mode, group);
}

const char *
snapshot_permissions_set(const char *state_dir, gid_t group)
{
	static const struct {
		const char *name;
		mode_t mode;
		const char *wrong;
	} files[] = {
	    {SNAPSHOT_DIRECTORY, 0750,
		"mode or group of the snapshot's directory is not as configured"},
	    {SNAPSHOT_DATA, 0640, "mode or group of data.mdb is not as configured"},
	    {SNAPSHOT_LOCK, 0660, "mode or group of lock.mdb is not as configured"},
	};
	const char *wrong = NULL;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[PATH_SIZE];

		if (!path_in(state_dir, files[i].name, path) ||
		    !permissions_set_one(path, files[i].mode, group))
			wrong = files[i].wrong;
	}
	return wrong;
}

/* Removes an environment that was set aside: two files and their directory. */
static bool
remove_aside(const char *state_dir)
{
	static const char *const names[] = {"/data.mdb", "/lock.mdb"};
	char directory[PATH_SIZE], path[PATH_SIZE + 16];

	if (!path_in(state_dir, SNAPSHOT_ASIDE, directory))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, names[i]);
		if (unlink(path) != 0 && errno != ENOENT)
			return false;
	}
	return rmdir(directory) == 0 || errno == ENOENT;
}

bool
snapshot_set_aside(const char *state_dir)
{
	char from[PATH_SIZE], to[PATH_SIZE];

	if (!path_in(state_dir, SNAPSHOT_DIRECTORY, from) ||
	    !path_in(state_dir, SNAPSHOT_ASIDE, to))
		return false;
	const int lock = snapshot_lock_take(state_dir);
	if (lock < 0)
		return false;
	const bool done = remove_aside(state_dir) && (rename(from, to) == 0 || errno == ENOENT);
	const int failed = errno;
	close(lock);
	errno = failed;
	return done;
}
