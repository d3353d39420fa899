/*
 * snapshot_files: the snapshot as files: the writer's lock, the directory, modes and group, setting
 * a broken one aside, and a new lock.mdb. It never looks inside.
 */
#include "core/snapshot_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define TREE_DEPTH 16
#define DATA_NAME "data.mdb"
#define DATA_NEW "data.mdb.new"
#define LOCK_NAME "lock.mdb"
#define LOCK_ASIDE "lock.mdb.damaged"

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
	struct stat status;

	if (!path_in(state_dir, SNAPSHOT_DIRECTORY, path))
		return false;
	if (mkdir(path, 0750) == 0)
		return true;
	if (errno != EEXIST)
		return false;
	if (lstat(path, &status) != 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(status.st_mode);
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

/* --- what is in the way ------------------------------------------------------------------ */

static bool remove_tree(int parent, const char *name, unsigned depth);

/* What lies in it, on the same file system. */
static bool
empty_directory(DIR *list, dev_t device, unsigned depth)
{
	const struct dirent *entry;
	struct stat status;

	if (depth == 0 || fstat(dirfd(list), &status) != 0 || status.st_dev != device) {
		errno = EBUSY;
		return false;
	}
	while ((entry = readdir(list)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!remove_tree(dirfd(list), entry->d_name, depth - 1))
			return false;
	}
	return true;
}

/* Removes `name` (no slash in it) with all below it. Follows no link, enters no other disk. */
static bool
remove_tree(int parent, const char *name, unsigned depth)
{
	struct stat status;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR || fstat(parent, &status) != 0)
		return false;
	const int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0)
		return false;
	DIR *list = fdopendir(directory);
	if (list == NULL) {
		close(directory);
		return false;
	}
	const bool emptied = empty_directory(list, status.st_dev, depth);
	const int failed = errno;
	closedir(list);
	errno = failed;
	return emptied && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/*
 * Gives `name` the first of ten names (`to`, `to`.1, ...) that is free or can be made free: what an
 * operator left below the last one, and we may not remove, must not keep what is broken in its
 * place.
 */
static bool
move_aside(int parent, const char *name, const char *to)
{
	char path[64];

	for (unsigned number = 0; number < 10; number++) {
		snprintf(path, sizeof(path), number == 0 ? "%s" : "%s.%u", to, number);
		if (remove_tree(parent, path, TREE_DEPTH) &&
		    (renameat(parent, name, parent, path) == 0 || errno == ENOENT))
			return true;
	}
	return false;
}

/* Somebody else's directory cannot be emptied, but renamed. */
static bool
remove_lock_file(int directory)
{
	return remove_tree(directory, LOCK_NAME, TREE_DEPTH) ||
	       move_aside(directory, LOCK_NAME, LOCK_ASIDE);
}

bool
snapshot_set_aside(const char *state_dir)
{
	const int lock = snapshot_lock_take(state_dir);

	if (lock < 0)
		return false;
	const int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool done = state >= 0 && move_aside(state, SNAPSHOT_DIRECTORY, SNAPSHOT_ASIDE);
	const int failed = errno;
	if (state >= 0)
		close(state);
	close(lock);
	errno = failed;
	return done;
}

/* --- a new lock.mdb ------------------------------------------------------------------------ */

/* Writes all of `from` to `to`, but for its holes. */
static bool
copy_bytes(int from, int to, off_t size)
{
	static char buffer[1 << 16];
	off_t at = 0, end;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && (end = lseek(from, at, SEEK_HOLE)) > at) {
		while (at < end) {
			const size_t left = (size_t)(end - at);
			const ssize_t got =
			    pread(from, buffer, left < sizeof(buffer) ? left : sizeof(buffer), at);

			if (got <= 0 || pwrite(to, buffer, (size_t)got, at) != got)
				return false;
			at += got;
		}
	}
	return errno == ENXIO && ftruncate(to, size) == 0 && fsync(to) == 0;
}

/* Makes data.mdb another file with the same bytes, mode and group. */
static bool
data_renew(int directory, int from, const struct stat *status)
{
	if (!remove_tree(directory, DATA_NEW, TREE_DEPTH))
		return false;
	const int to =
	    openat(directory, DATA_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return false;
	bool done = copy_bytes(from, to, status->st_size);
	/* Neither need succeed: opening sets them, and says so where it cannot. */
	done = done && (fchown(to, (uid_t)-1, status->st_gid) == 0 || errno == EPERM) &&
	       fchmod(to, status->st_mode & 0777) == 0 &&
	       renameat(directory, DATA_NEW, directory, DATA_NAME) == 0;
	const int failed = errno;
	close(to);
	if (!done)
		(void)unlinkat(directory, DATA_NEW, 0);
	errno = failed;
	return done;
}

static bool
renew(int directory)
{
	struct stat status;

	if (fstatat(directory, LOCK_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(status.st_mode))
		return true;
	if (!remove_lock_file(directory))
		return false;
	const int from =
	    openat(directory, DATA_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0) /* there is none, or it is for others to find fault with */
		return true;
	const bool done = fstat(from, &status) != 0 || !S_ISREG(status.st_mode) ||
			  data_renew(directory, from, &status);
	const int failed = errno;
	close(from);
	errno = failed;
	return done;
}

bool
snapshot_lock_file_renew(const char *state_dir)
{
	char path[PATH_SIZE];

	if (!path_in(state_dir, SNAPSHOT_DIRECTORY, path))
		return false;
	const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return false;
	const bool done = renew(directory);
	const int failed = errno;
	close(directory);
	errno = failed;
	return done;
}

bool
snapshot_lock_file_discard(const char *state_dir)
{
	char path[PATH_SIZE];

	if (!path_in(state_dir, SNAPSHOT_DIRECTORY, path))
		return false;
	const int lock = snapshot_lock_take(state_dir);
	if (lock < 0)
		return false;
	const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool done = directory >= 0 && remove_lock_file(directory);
	const int failed = errno;
	if (directory >= 0)
		close(directory);
	close(lock);
	errno = failed;
	return done;
}
