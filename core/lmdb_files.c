/*
 * lmdb_files: an LMDB environment as files (see lmdb_files.h): the writer's lock, the directory,
 * modes and group, setting a broken one aside, and a new lock.mdb. It never looks inside.
 */
#include "core/lmdb_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define TREE_DEPTH 16
#define DATA_NAME "data.mdb"
#define DATA_NEW "data.mdb.new"
#define LOCK_NAME "lock.mdb"
#define LOCK_ASIDE "lock.mdb.damaged"
#define LMDB_IN_THE_WAY "in-the-way"

/* STATE_DIR/NAME with `suffix` behind it. */
static bool
path_in(const struct lmdb_place *place, const char *suffix, char out[PATH_SIZE])
{
	const int length =
	    snprintf(out, PATH_SIZE, "%s/%s%s", place->state_dir, place->name, suffix);

	if (length > 0 && length < PATH_SIZE)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

int
lmdb_lock_take(const struct lmdb_place *place)
{
	char path[PATH_SIZE];

	if (!path_in(place, ".lock", path))
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
lmdb_directory_make(const struct lmdb_place *place)
{
	char path[PATH_SIZE];
	struct stat status;

	if (!path_in(place, "", path))
		return false;
	if (mkdir(path, 0750) == 0)
		return true;
	if (errno != EEXIST || lstat(path, &status) != 0)
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
lmdb_permissions_set(const struct lmdb_place *place, gid_t group)
{
	static const struct {
		const char *suffix;
		mode_t mode;
		const char *wrong;
	} files[] = {
	    {"", 0750, "mode or group of its directory is not as configured"},
	    {"/" DATA_NAME, 0640, "mode or group of data.mdb is not as configured"},
	    {"/" LOCK_NAME, 0660, "mode or group of lock.mdb is not as configured"},
	};
	const char *wrong = NULL;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[PATH_SIZE];

		if (!path_in(place, files[i].suffix, path) ||
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
lmdb_set_aside(const struct lmdb_place *place)
{
	char aside[NAME_MAX + 1];
	const int lock = lmdb_lock_take(place);

	if (lock < 0)
		return false;
	snprintf(aside, sizeof(aside), "%s.damaged", place->name);
	const int state = open(place->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool done = state >= 0 && move_aside(state, place->name, aside);
	const int failed = errno;
	if (state >= 0)
		close(state);
	close(lock);
	errno = failed;
	return done;
}

/* What the owner of a folder or of a file must be allowed. */
static mode_t
owner_mode(const struct stat *status)
{
	return S_ISDIR(status->st_mode) ? S_IRWXU : S_IRUSR | S_IWUSR;
}

/* A folder, or a plain file with one name: another name may be somebody else's. */
static bool
may_be_given(const struct stat *status)
{
	return S_ISDIR(status->st_mode) || (S_ISREG(status->st_mode) && status->st_nlink == 1);
}

bool
lmdb_give_opened(int file, uid_t uid, gid_t gid)
{
	struct stat status;

	if (fstat(file, &status) != 0)
		return false;
	if (!may_be_given(&status))
		return true;
	const mode_t mode = (status.st_mode & 07777) | owner_mode(&status);
	return fchown(file, uid, gid) == 0 &&
	       (mode == (status.st_mode & 07777) || fchmod(file, mode) == 0);
}

bool
lmdb_give_one(int parent, const char *name, uid_t uid, gid_t gid)
{
	struct stat status;

	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	if (!S_ISLNK(status.st_mode) && !may_be_given(&status))
		return true; /* to open it could wait for ever, or do something */
	const int file = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT;
	const bool done = lmdb_give_opened(file, uid, gid);
	const int failed = errno;
	close(file);
	errno = failed;
	return done;
}

static bool
give_inside(int state, const char *name, uid_t uid, gid_t gid)
{
	const int directory = openat(state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (directory < 0)
		return errno == ENOTDIR; /* its writer says so, or mends it */
	const bool done = lmdb_give_one(directory, DATA_NAME, uid, gid) &&
			  lmdb_give_one(directory, LOCK_NAME, uid, gid);
	const int failed = errno;
	close(directory);
	errno = failed;
	return done;
}

/* Where it is missing; whatever else has its name stays. */
static bool
lock_make(int state, const char *name)
{
	const int lock =
	    openat(state, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (lock >= 0)
		close(lock);
	return lock >= 0 || errno == EEXIST;
}

bool
lmdb_give(const struct lmdb_place *place, uid_t uid, gid_t gid)
{
	char lock_name[NAME_MAX + 1];
	const int state = open(place->state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	snprintf(lock_name, sizeof(lock_name), "%s.lock", place->name);
	const bool done =
	    state >= 0 && (mkdirat(state, place->name, 0750) == 0 || errno == EEXIST) &&
	    lock_make(state, lock_name) && lmdb_give_one(state, lock_name, uid, gid) &&
	    give_inside(state, place->name, uid, gid) &&
	    lmdb_give_one(state, place->name, uid, gid);
	const int failed = errno;
	if (state >= 0)
		close(state);
	errno = failed;
	return done;
}

bool
lmdb_denied(const struct lmdb_place *place, char *out, size_t size)
{
	static const struct {
		const char *suffix;
		int mode;
	} parts[] = {{"", R_OK | W_OK | X_OK}, {"/" DATA_NAME, R_OK | W_OK},
	    {"/" LOCK_NAME, R_OK | W_OK}, {".lock", R_OK | W_OK}};
	char path[PATH_SIZE];
	struct stat status;

	(void)snprintf(out, size, "%s", place->state_dir);
	/* What lies above is others' to mend; so is what is no folder. */
	if (lstat(out, &status) != 0 || !S_ISDIR(status.st_mode))
		return false;
	if (faccessat(AT_FDCWD, out, R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		return errno == EACCES;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!path_in(place, parts[i].suffix, path) ||
		    faccessat(AT_FDCWD, path, parts[i].mode, AT_EACCESS) == 0 || errno != EACCES)
			continue;
		(void)snprintf(out, size, "%s", path);
		return true;
	}
	return false;
}

/* Removes what lies in a directory, though the directory itself may have to stay. */
static bool
empty_named(int parent, const char *name)
{
	struct stat status;
	const int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = directory >= 0 ? fdopendir(directory) : NULL;

	if (list == NULL) {
		if (directory >= 0)
			close(directory);
		return false;
	}
	const bool done =
	    fstat(directory, &status) == 0 && empty_directory(list, status.st_dev, TREE_DEPTH);
	const int failed = errno;
	closedir(list);
	errno = failed;
	return done;
}

bool
lmdb_remove(const struct lmdb_place *place)
{
	const int state = open(place->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool done = state >= 0 && (remove_tree(state, place->name, TREE_DEPTH) ||
					    empty_named(state, place->name) ||
					    move_aside(state, place->name, LMDB_IN_THE_WAY));
	const int failed = errno;

	if (state >= 0)
		close(state);
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

/* Is there room for as much as the file takes? (What fills the disk first is told at once.) */
static bool
has_room(int directory, const struct stat *status)
{
	struct statvfs disk;

	if (fstatvfs(directory, &disk) != 0)
		return true;
	if ((uint64_t)disk.f_bavail * disk.f_frsize > (uint64_t)status->st_blocks * 512)
		return true;
	errno = ENOSPC;
	return false;
}

/* Makes data.mdb another file with the same bytes, mode and group. */
static bool
data_renew(int directory, int from, const struct stat *status)
{
	if (!remove_tree(directory, DATA_NEW, TREE_DEPTH) || !has_room(directory, status))
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
lmdb_lock_file_renew(const struct lmdb_place *place)
{
	char path[PATH_SIZE];

	if (!path_in(place, "", path))
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

/* What LMDB gives it: a line of the cache for each reader, and two for itself; and two to spare. */
static off_t
lock_file_size(unsigned readers)
{
	return (off_t)(readers + 4) * 64;
}

/* The size stays as it is: only LMDB knows whether somebody has it open. */
static int
blocks_reserve(int lock, unsigned readers)
{
	const off_t wanted = lock_file_size(readers);
	struct stat status;
	int done;

	if (fstat(lock, &status) != 0)
		return errno;
	if (!S_ISREG(status.st_mode))
		return 0; /* for others to find fault with */
	do {
		done = fallocate(lock, FALLOC_FL_KEEP_SIZE, 0,
		    status.st_size > wanted ? status.st_size : wanted);
	} while (done != 0 && errno == EINTR);
	return done != 0 && (errno == ENOSPC || errno == EDQUOT) ? errno : 0;
}

int
lmdb_lock_file_reserve(const char *directory, unsigned readers)
{
	char path[PATH_SIZE];
	const int length = snprintf(path, sizeof(path), "%s/" LOCK_NAME, directory);

	if (length <= 0 || length >= PATH_SIZE)
		return ENAMETOOLONG;
	/* 0600: nobody else opens it before modes and group are set */
	const int lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (lock < 0) /* else LMDB finds the fault, and its caller knows what to do about it */
		return errno == ENOSPC || errno == EDQUOT ? errno : 0;
	const int failed = blocks_reserve(lock, readers);
	close(lock);
	return failed;
}

bool
lmdb_lock_file_discard(const struct lmdb_place *place)
{
	char path[PATH_SIZE];

	if (!path_in(place, "", path))
		return false;
	const int lock = lmdb_lock_take(place);
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
