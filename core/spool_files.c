/*
 * spool_files: the spool as files: the writer's lock, the directory, modes and group, proving that
 * it can be read, and setting a broken one aside.
 *
 * A broken LMDB file can kill whoever reads it (SIGBUS), or make him wait for ever (a broken
 * mutex): so all of it is read in a child process first, under a deadline. Nothing is ever removed
 * but lock.mdb, which holds no data.
 */
#include "core/spool_store.h"

#include "core/lmdb_env.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSPECT_SECONDS 20 /* without a sign of life */
#define INSPECT_ROWS 1000  /* between two signs */
#define ASIDE_MOST 100000
#define DATA_FILE SPOOL_DIRECTORY "/data.mdb"
#define LOCK_FILE SPOOL_DIRECTORY "/lock.mdb"

int
spool_lock_take(const char *state_dir)
{
	char path[SPOOL_PATH_SIZE];

	if (!spool_path(state_dir, SPOOL_WRITER_LOCK, path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	const int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) == 0)
		return lock;
	const int failed = errno;
	close(lock);
	errno = failed;
	return -1;
}

static bool
directory_make(const char *state_dir, const char *name)
{
	char path[SPOOL_PATH_SIZE];

	return spool_path(state_dir, name, path) && (mkdir(path, 0750) == 0 || errno == EEXIST);
}

bool
spool_directory_make(const char *state_dir)
{
	return directory_make(state_dir, QUEUED_FOLDER) &&
	       directory_make(state_dir, SPOOL_DIRECTORY);
}

bool
spool_permissions_set(const char *state_dir, gid_t group)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{SPOOL_DIRECTORY, 0750}, {DATA_FILE, 0640}, {LOCK_FILE, 0660}};
	bool all = true;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[SPOOL_PATH_SIZE];
		struct stat status;
		if (!spool_path(state_dir, files[i].name, path) || stat(path, &status) != 0)
			return false;
		if (group != (gid_t)-1 && status.st_gid != group &&
		    chown(path, (uid_t)-1, group) != 0)
			all = false;
		if ((status.st_mode & 07777) != files[i].mode && chmod(path, files[i].mode) != 0)
			all = false;
	}
	return all;
}

bool
spool_files_set_aside(const char *state_dir, char out[SPOOL_PATH_SIZE])
{
	char from[SPOOL_PATH_SIZE];

	if (!spool_path(state_dir, SPOOL_DIRECTORY, from))
		return false;
	for (int i = 1; i < ASIDE_MOST; i++) {
		char name[sizeof(SPOOL_DIRECTORY) + 32];
		snprintf(name, sizeof(name), "%s.damaged.%d", SPOOL_DIRECTORY, i);
		if (!spool_path(state_dir, name, out))
			return false;
		if (access(out, F_OK) != 0 && errno == ENOENT)
			return rename(from, out) == 0;
	}
	errno = EEXIST;
	return false;
}

/* --- in the child
 * --------------------------------------------------------------------------------- */

/* INSPECT_ERRNO and above: as INSPECT_ENVIRONMENT, of that errno. */
enum inspect_exit {
	INSPECT_GOOD = 0,
	INSPECT_DAMAGED = 10,
	INSPECT_ENVIRONMENT = 11,
	INSPECT_ERRNO = 100
};

/* One more is read: tells the parent now and then. */
static void
inspect_step(int progress, uint64_t *count)
{
	if (++*count % INSPECT_ROWS == 0 && write(progress, ".", 1) != 1)
		_exit(INSPECT_ENVIRONMENT);
}

static bool
entries_good(MDB_txn *txn, MDB_dbi dbi, int progress)
{
	uint64_t count = 0;
	struct spool_entry entry;
	MDB_cursor *cursor;
	MDB_val key, value;
	int code = mdb_cursor_open(txn, dbi, &cursor);

	if (code != 0)
		return false;
	for (code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); code == 0;
	     code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		if (!spool_entry_take(&key, &value, &entry))
			return false;
		inspect_step(progress, &count);
	}
	return code == MDB_NOTFOUND;
}

/* Every row by its number, and every number has its row. */
static bool
order_good(MDB_txn *txn, const struct spool_databases *databases, int progress)
{
	uint64_t count = 0;
	MDB_cursor *cursor;
	MDB_val number, key;
	MDB_stat rows, order;
	int code = mdb_cursor_open(txn, databases->dbi[SPOOL_ORDER], &cursor);

	if (code != 0 || mdb_stat(txn, databases->dbi[SPOOL_ROWS], &rows) != 0 ||
	    mdb_stat(txn, databases->dbi[SPOOL_ORDER], &order) != 0 ||
	    rows.ms_entries != order.ms_entries)
		return false;
	for (code = mdb_cursor_get(cursor, &number, &key, MDB_FIRST); code == 0;
	     code = mdb_cursor_get(cursor, &number, &key, MDB_NEXT)) {
		struct spool_entry entry;
		if (!spool_row_take(txn, databases, &number, &key, &entry))
			return false;
		inspect_step(progress, &count);
	}
	return code == MDB_NOTFOUND;
}

/* What can be read may still end the process that writes to it. The transaction is given up. */
static bool
can_write(MDB_txn *txn, const struct spool_databases *databases)
{
	static const char probe[] = "probe";
	MDB_val key = {.mv_size = sizeof(probe) - 1, .mv_data = (void *)(uintptr_t)probe};
	MDB_val value = key;

	for (size_t i = 0; i < SPOOL_DATABASES; i++) {
		const int code = mdb_put(txn, databases->dbi[i], &key, &value, 0);
		if (code == MDB_MAP_FULL || code == ENOSPC || code == ENOMEM)
			return true;
		if (code != 0)
			return false;
	}
	return true;
}

/* LMDB shows it to those who only read. */
static enum inspect_exit
inspect_free_list(MDB_env *env)
{
	MDB_txn *txn;
	int dead;

	(void)mdb_reader_check(env, &dead);
	int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (code == MDB_READERS_FULL || code == ENOMEM)
		return INSPECT_ENVIRONMENT;
	if (code == 0) {
		code = lmdb_free_list_check(env, txn);
		mdb_txn_abort(txn);
	}
	return code == 0 ? INSPECT_GOOD : INSPECT_DAMAGED;
}

/* A file that no spool was ever made in: an empty one is no damage. */
static enum inspect_exit
inspect_databases(MDB_env *env, int progress)
{
	struct spool_databases databases;
	MDB_txn *txn;
	MDB_stat all;
	const enum inspect_exit free_list = inspect_free_list(env);

	if (free_list != INSPECT_GOOD)
		return free_list;
	int code = mdb_txn_begin(env, NULL, 0, &txn);
	if (code != 0)
		return INSPECT_ENVIRONMENT;
	code = spool_databases_open(txn, false, &databases);
	if (code == MDB_NOTFOUND && mdb_env_stat(env, &all) == 0 && all.ms_entries == 0)
		return INSPECT_GOOD;
	if (code != 0 || !order_good(txn, &databases, progress) ||
	    !entries_good(txn, databases.dbi[SPOOL_NOTES], progress) || !can_write(txn, &databases))
		return INSPECT_DAMAGED;
	mdb_txn_abort(txn);
	return INSPECT_GOOD;
}

static int
inspect_here(const char *path, int progress)
{
	MDB_env *env;

	if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, SPOOL_DATABASES) != 0 ||
	    mdb_env_set_maxreaders(env, SPOOL_READERS) != 0)
		return INSPECT_ENVIRONMENT;
	const int code = mdb_env_open(env, path, MDB_NOTLS, 0600);
	if (code == EACCES || code == EPERM || code == ENOSPC || code == ENOMEM || code == EMFILE ||
	    code == EROFS)
		return INSPECT_ERRNO + code;
	return code == 0 ? inspect_databases(env, progress) : INSPECT_DAMAGED;
}

/* --- its parent ---------------------------------------------------------------------------------
 */

/* Its status; a child that shows no sign of life is killed. */
static int
child_wait(pid_t child, int progress)
{
	struct pollfd fd = {.fd = progress, .events = POLLIN};
	char signs[64];
	int status = -1, ready;

	do {
		ready = poll(&fd, 1, INSPECT_SECONDS * 1000);
	} while ((ready < 0 && errno == EINTR) ||
		 (ready > 0 && read(progress, signs, sizeof(signs)) > 0));
	if (ready <= 0)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static enum spool_found
inspect_in_child(const char *path, int lock)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return SPOOL_FOUND_CANNOT_TELL;
	const pid_t child = fork();
	if (child == 0) {
		/* Should its parent be killed, it must neither keep his lock nor go on. */
		close(lock);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		_exit(inspect_here(path, ends[1]));
	}
	close(ends[1]);
	const int status = child > 0 ? child_wait(child, ends[0]) : -1;
	close(ends[0]);
	errno = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) > INSPECT_ERRNO)
		errno = WEXITSTATUS(status) - INSPECT_ERRNO;
	if (child < 0 || status == -1 || errno != 0 ||
	    (WIFEXITED(status) && WEXITSTATUS(status) == INSPECT_ENVIRONMENT))
		return SPOOL_FOUND_CANNOT_TELL;
	return WIFEXITED(status) && WEXITSTATUS(status) == INSPECT_GOOD ? SPOOL_FOUND_GOOD
									: SPOOL_FOUND_DAMAGED;
}

/* A lock.mdb that can be mapped. False: errno is set. */
static bool
lock_file_ready(const struct lmdb_place *place, const char *path)
{
	if (!lmdb_lock_file_renew(place))
		return false;
	errno = lmdb_lock_file_reserve(path, SPOOL_READERS);
	return errno == 0;
}

enum spool_found
spool_inspect(const char *state_dir, int lock_held)
{
	const struct lmdb_place place = {.state_dir = state_dir, .name = SPOOL_DIRECTORY};
	char path[SPOOL_PATH_SIZE], lock[SPOOL_PATH_SIZE];

	errno = ENAMETOOLONG;
	if (!spool_path(state_dir, SPOOL_DIRECTORY, path) ||
	    !spool_path(state_dir, LOCK_FILE, lock))
		return SPOOL_FOUND_CANNOT_TELL;
	if (!spool_files_plain(path))
		return SPOOL_FOUND_DAMAGED;
	if (!lock_file_ready(&place, path))
		return SPOOL_FOUND_CANNOT_TELL;
	const enum spool_found found = inspect_in_child(path, lock_held);
	if (found != SPOOL_FOUND_DAMAGED)
		return found;
	/* Perhaps only the lock file is. Who reads by the old one must not be overwritten. */
	if (unlink(lock) != 0)
		return found;
	if (!lock_file_ready(&place, path))
		return SPOOL_FOUND_CANNOT_TELL;
	return inspect_in_child(path, lock_held);
}

/* --- while it is open ---------------------------------------------------------------------------
 */

/* LMDB's magic and format, which never change: where they are others, so are the mutexes behind
   them, and to take one could last for ever. */
static bool
lock_head_read(int lock, uint64_t *out)
{
	return pread(lock, out, sizeof(*out), 0) == (ssize_t)sizeof(*out);
}

bool
spool_files_note(const char *state_dir, struct spool_files *files)
{
	char data[SPOOL_PATH_SIZE], lock[SPOOL_PATH_SIZE];
	struct stat data_status, lock_status;

	errno = ENAMETOOLONG;
	if (!spool_path(state_dir, DATA_FILE, data) || !spool_path(state_dir, LOCK_FILE, lock))
		return false;
	files->lock = open(lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (files->lock < 0 || fstat(files->lock, &lock_status) != 0 ||
	    !lock_head_read(files->lock, &files->lock_head) || stat(data, &data_status) != 0)
		return false;
	files->lock_inode = lock_status.st_ino;
	files->data_inode = data_status.st_ino;
	files->data_size = data_status.st_size;
	return true;
}

bool
spool_files_lock_broken(const struct spool_files *files)
{
	uint64_t head;

	return files->lock >= 0 &&
	       (!lock_head_read(files->lock, &head) || head != files->lock_head);
}

const char *
spool_files_changed(const char *state_dir, struct spool_files *files)
{
	char data[SPOOL_PATH_SIZE], lock[SPOOL_PATH_SIZE];
	struct stat status;

	if (!spool_path(state_dir, DATA_FILE, data) || !spool_path(state_dir, LOCK_FILE, lock))
		return NULL;
	if (stat(data, &status) != 0 || status.st_ino != files->data_inode)
		return "data.mdb is missing, or another file";
	if (status.st_size < files->data_size)
		return "data.mdb was cut";
	files->data_size = status.st_size;
	if (stat(lock, &status) != 0 || status.st_ino != files->lock_inode)
		return "lock.mdb is missing, or another file";
	return spool_files_lock_broken(files) ? "lock.mdb was overwritten" : NULL;
}
