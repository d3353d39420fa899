/*
 * state_write: the one writer of the state.
 *
 * In: records. Out: commits that readers see whole or not at all. Nothing is synced to disk: what a
 * crash of the machine leaves is looked at in a child process (core/guard.h) before it is opened
 * for writing, and what is broken, or was taken away meanwhile, is made anew: all of it can be had
 * again. Nothing is written through the map: a full disk is an error code, not a signal.
 */
#include "core/guard.h"
#include "core/state_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAP_SIZE ((size_t)16 << 30)
#define TAIL_BYTES ((uint64_t)4 << 20)
#define LOOK_DEADLINE_MS 120000
#define PATH_SIZE 4096

struct state_writer {
	char *folder; /* STATE_DIR/queued */
	char directory[PATH_SIZE], data_path[PATH_SIZE + 16], lock_path[PATH_SIZE + 16];
	gid_t group;
	int lock; /* descriptor of STATE_DIR/queued/state.lock, held as long as the writer lives */
	ino_t lock_inode;
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	uint64_t opened; /* how often */
	int64_t noted;   /* in STATE_SELF */
	const char *problem;
};

static struct lmdb_place
place_of(const struct state_writer *writer)
{
	return (struct lmdb_place){.state_dir = writer->folder, .name = STATE_NAME};
}

static int
environment_create(const char *directory, MDB_env **env)
{
	int code = mdb_env_create(env);

	if (code != 0) {
		*env = NULL;
		return code;
	}
	code = lmdb_lock_file_reserve(directory, STATE_READERS);
	if (code == 0)
		code = mdb_env_set_maxreaders(*env, STATE_READERS);
	if (code == 0)
		code = mdb_env_set_mapsize(*env, MAP_SIZE);
	if (code == 0) /* 0600: nobody else opens it before modes and group are set */
		code = mdb_env_open(*env, directory, MDB_NOTLS | MDB_NOSYNC, 0600);
	return code;
}

/* --- is what lies there sound? (in a child) -------------------------------------------------- */

enum look { LOOK_SOUND = 1, LOOK_BROKEN, LOOK_FAILED };

/* Walks all that readers and the writer rely on. */
static int
walk_all(MDB_env *env)
{
	struct state_walk walk = {.visit = NULL};
	MDB_txn *txn;
	MDB_dbi dbi;
	int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (code != 0)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (code == 0)
		code = lmdb_free_list_check(env, txn);
	if (code == 0)
		code = state_walk(txn, dbi, &walk);
	mdb_txn_abort(txn);
	return code == 0 && walk.damaged > 0 ? MDB_CORRUPTED : code;
}

/* A file that can be read may still end the process that writes to it. Given up at the end. */
static int
rehearse(MDB_env *env)
{
	static const char probe[] = "probe.invalid";
	MDB_val key = {sizeof(probe) - 1, (void *)(uintptr_t)probe}, value = key;
	MDB_txn *txn;
	MDB_dbi dbi;
	int code = mdb_txn_begin(env, NULL, 0, &txn);

	if (code != 0)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (code == 0)
		code = mdb_put(txn, dbi, &key, &value, 0);
	mdb_txn_abort(txn);
	return code;
}

static void
look(void *answer, const void *context)
{
	const struct state_writer *writer = context;
	struct stat status;
	MDB_env *env = NULL;
	int code = 0;

	*(enum look *)answer = LOOK_SOUND;
	if (stat(writer->data_path, &status) != 0 ||
	    (S_ISREG(status.st_mode) && status.st_size == 0))
		return; /* there is none yet */
	if (!S_ISREG(status.st_mode) || status.st_size < LMDB_FILE_AT_LEAST)
		code = MDB_CORRUPTED;
	if (code == 0)
		code = environment_create(writer->directory, &env);
	if (code == 0 && !lmdb_file_is_whole(env))
		code = MDB_CORRUPTED;
	if (code == 0)
		code = walk_all(env);
	if (code == 0)
		code = rehearse(env);
	if (code != 0 && code != MDB_MAP_FULL && code != ENOSPC)
		*(enum look *)answer = lmdb_code_is_damage(code) ? LOOK_BROKEN : LOOK_FAILED;
	if (env != NULL)
		mdb_env_close(env);
}

/* False: it is broken. */
static bool
is_sound(const struct state_writer *writer)
{
	struct guard_task task = {.look = look, .context = writer, .deadline_ms = LOOK_DEADLINE_MS};
	enum look found;

	switch (guard_run(&task, &found, sizeof(found))) {
	case GUARD_ANSWERED: return found != LOOK_BROKEN;
	case GUARD_FAILED: return true; /* nothing was seen; opening will say what is wrong */
	case GUARD_DIED:
	case GUARD_SILENT: break;
	}
	return false;
}

/* --- opening -------------------------------------------------------------------------------------
 */

static void
environment_close(struct state_writer *writer)
{
	state_write_abort(writer);
	if (writer->env != NULL)
		mdb_env_close(writer->env);
	writer->env = NULL;
}

static int
environment_open(struct state_writer *writer)
{
	struct stat status;
	MDB_txn *txn;
	int code = environment_create(writer->directory, &writer->env);

	if (code == 0)
		code = lmdb_file_extend(writer->env, TAIL_BYTES);
	if (code == 0)
		code = mdb_txn_begin(writer->env, NULL, 0, &txn);
	if (code == 0) {
		code = mdb_dbi_open(txn, NULL, 0, &writer->dbi);
		if (code == 0)
			code = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	if (code == 0 && stat(writer->lock_path, &status) == 0)
		writer->lock_inode = status.st_ino;
	return code;
}

/* `what` stands behind the path; the code is LMDB's, or an errno. */
static const char *
words(const char *path, const char *what, int code)
{
	static char out[PATH_SIZE + 160];

	(void)snprintf(out, sizeof(out), "%s%s: %s", path, what, mdb_strerror(code));
	return out;
}

static bool
fail(struct state_writer *writer, const char *what, int code)
{
	writer->problem = words(writer->directory, what, code);
	return false;
}

/* Opens what is there, or makes it anew where it is broken. False: `problem` says why. */
static bool
prepare(struct state_writer *writer)
{
	const struct lmdb_place place = place_of(writer);

	if (!lmdb_directory_make(&place) &&
	    (errno != ENOTDIR || !lmdb_remove(&place) || !lmdb_directory_make(&place)))
		return fail(writer, "", errno);
	if (!lmdb_lock_file_renew(&place))
		return fail(writer, "/lock.mdb cannot be made anew", errno);
	int code = lmdb_lock_file_reserve(writer->directory, STATE_READERS);
	if (code != 0)
		return fail(writer, "/lock.mdb", code);
	if (!is_sound(writer) && (!lmdb_remove(&place) || !lmdb_directory_make(&place)))
		return fail(writer, ": it is damaged, and cannot be removed", errno);
	code = environment_open(writer);
	if (code != 0) {
		environment_close(writer);
		return fail(writer, "", code);
	}
	writer->opened++;
	writer->noted = 0;
	writer->problem = lmdb_permissions_set(&place, writer->group);
	return true;
}

uint64_t
state_writer_renewed(const struct state_writer *writer)
{
	return writer->opened > 0 ? writer->opened - 1 : 0;
}

static bool
set_paths(struct state_writer *writer, const char *state_dir)
{
	const int length = snprintf(
	    writer->directory, sizeof(writer->directory), "%s/%s", state_dir, STATE_DIRECTORY);

	if (length < 0 || (size_t)length >= sizeof(writer->directory))
		return false;
	snprintf(writer->data_path, sizeof(writer->data_path), "%s/data.mdb", writer->directory);
	snprintf(writer->lock_path, sizeof(writer->lock_path), "%s/lock.mdb", writer->directory);
	if (asprintf(&writer->folder, "%s/" QUEUED_FOLDER, state_dir) < 0)
		writer->folder = NULL;
	return writer->folder != NULL;
}

/* False: `problem` says why. */
static bool
lock_take(struct state_writer *writer, const char *state_dir)
{
	const struct lmdb_place folder = {.state_dir = state_dir, .name = QUEUED_FOLDER};
	const struct lmdb_place place = place_of(writer);

	if (!lmdb_directory_make(&folder)) { /* what is no folder, or a link, is not ours */
		writer->problem = words(writer->folder, "", errno);
		return false;
	}
	writer->lock = lmdb_lock_take(&place);
	if (writer->lock >= 0)
		return true;
	writer->problem = errno == EWOULDBLOCK
			      ? "another mxhold-queued is writing it"
			      : words(writer->folder, "/" STATE_NAME ".lock", errno);
	return false;
}

struct state_writer *
state_writer_open(const char *state_dir, gid_t group, const char **problem)
{
	struct state_writer *writer = calloc(1, sizeof(*writer));

	*problem = "out of memory";
	if (writer == NULL)
		return NULL;
	writer->lock = -1;
	writer->group = group;
	if (!set_paths(writer, state_dir)) {
		state_writer_close(writer);
		return NULL;
	}
	const bool ready = lock_take(writer, state_dir) && prepare(writer);
	*problem = writer->problem;
	if (ready)
		return writer;
	state_writer_close(writer);
	return NULL;
}

void
state_writer_close(struct state_writer *writer)
{
	if (writer == NULL)
		return;
	environment_close(writer);
	if (writer->lock >= 0)
		close(writer->lock);
	free(writer->folder);
	free(writer);
}

/* --- transactions --------------------------------------------------------------------------------
 */

/* Did somebody take the files away, or cut them? */
static bool
is_current(const struct state_writer *writer)
{
	struct stat status;

	return lmdb_file_is_current(writer->env, writer->data_path) &&
	       lmdb_file_is_whole(writer->env) && stat(writer->lock_path, &status) == 0 &&
	       status.st_ino == writer->lock_inode;
}

static int
transaction_begin(struct state_writer *writer)
{
	int dead;
	int code = mdb_reader_check(writer->env, &dead);

	if (code == 0)
		code = lmdb_file_extend(writer->env, TAIL_BYTES);
	return code != 0 ? code : mdb_txn_begin(writer->env, NULL, 0, &writer->txn);
}

enum state_result
state_write_begin(struct state_writer *writer)
{
	state_write_abort(writer);
	if (writer->env != NULL && !is_current(writer))
		environment_close(writer);
	if (writer->env == NULL && !prepare(writer))
		return STATE_UNUSABLE;
	int code = transaction_begin(writer);
	if (code == MDB_PANIC || lmdb_code_is_damage(code)) {
		environment_close(writer);
		if (!prepare(writer))
			return STATE_UNUSABLE;
		code = transaction_begin(writer);
	}
	if (code == 0)
		return STATE_OK;
	writer->txn = NULL;
	return STATE_UNUSABLE;
}

enum state_result
state_write_put(struct state_writer *writer, const char *name, const struct state_domain *record)
{
	uint8_t bytes[STATE_VALUE_MAX];
	MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value = {0, bytes};

	value.mv_size = state_value_put(name, record, bytes);
	if (writer->txn == NULL || key.mv_size == 0 || key.mv_size > STATE_KEY_MAX ||
	    value.mv_size == 0)
		return STATE_UNUSABLE;
	return mdb_put(writer->txn, writer->dbi, &key, &value, 0) == 0 ? STATE_OK : STATE_UNUSABLE;
}

enum state_result
state_write_get(struct state_writer *writer, const char *name, struct state_domain *out)
{
	MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value;

	if (writer->txn == NULL || key.mv_size == 0 || key.mv_size > STATE_KEY_MAX)
		return STATE_UNUSABLE;
	const int code = mdb_get(writer->txn, writer->dbi, &key, &value);
	if (code == MDB_NOTFOUND)
		return STATE_NOT_FOUND;
	return code == 0 && state_value_get(name, key.mv_size, value.mv_data, value.mv_size, out)
		   ? STATE_OK
		   : STATE_UNUSABLE;
}

enum state_result
state_write_delete(struct state_writer *writer, const char *name)
{
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};

	if (writer->txn == NULL || key.mv_size == 0 || key.mv_size > STATE_KEY_MAX)
		return STATE_UNUSABLE;
	const int code = mdb_del(writer->txn, writer->dbi, &key, NULL);
	return code == 0 ? STATE_OK : code == MDB_NOTFOUND ? STATE_NOT_FOUND : STATE_UNUSABLE;
}

/* That the writer is there is a record too, but not one for each commit. */
static bool
note_time(struct state_writer *writer)
{
	const struct state_domain self = {.counted_at = (int64_t)time(NULL)};

	if (self.counted_at >= writer->noted && self.counted_at - writer->noted < STATE_WRITTEN_S)
		return true;
	if (self.counted_at < 0 || state_write_put(writer, STATE_SELF, &self) != STATE_OK)
		return false;
	writer->noted = self.counted_at;
	return true;
}

enum state_result
state_write_commit(struct state_writer *writer)
{
	if (writer->txn == NULL)
		return STATE_UNUSABLE;
	if (!note_time(writer)) {
		state_write_abort(writer);
		return STATE_UNUSABLE;
	}
	const int code = mdb_txn_commit(writer->txn);
	writer->txn = NULL;
	if (code == 0)
		(void)!lmdb_file_extend(writer->env, TAIL_BYTES);
	return code == 0 ? STATE_OK : STATE_UNUSABLE;
}

void
state_write_abort(struct state_writer *writer)
{
	if (writer->txn != NULL)
		mdb_txn_abort(writer->txn);
	writer->txn = NULL;
}
