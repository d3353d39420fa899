/*
 * state: the readers' side of the state.
 *
 * In: STATE_DIR and names. Out: what mxhold-queued knows, or that nothing is known. The state is
 * not synced to disk, so a machine that lost its power may leave any nonsense in it: whatever
 * touches the map runs in a trap (core/trap.h), and what is caught there means "nothing is known"
 * for a second, never a daemon that dies of a file that nobody needs.
 */
#include "core/state_format.h"
#include "core/trap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK_INTERVAL_MS 1000 /* how often the file itself is looked at */
#define NEVER_MS INT64_MIN

struct state {
	char *directory, *data_path, *lock_path;

	MDB_env *env; /* NULL: not open */
	MDB_txn *txn; /* reset between state_end and state_begin */
	MDB_dbi dbi;
	int64_t checked_ms;        /* when the files were last looked at, or opening was tried */
	enum state_result problem; /* without env: why */
	bool active;
};

/* What runs in the trap. */
struct task {
	struct state *state;
	const char *name;
	struct state_domain *out;
	struct state_walk *walk;
	enum state_result result;
};

/* --- life ------------------------------------------------------------------------------------ */

static char *
join(const char *directory, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

struct state *
state_new(const char *state_dir)
{
	struct state *state = calloc(1, sizeof(*state));

	if (state == NULL)
		return NULL;
	state->checked_ms = NEVER_MS;
	state->problem = STATE_NOT_FOUND;
	state->directory = join(state_dir, STATE_DIRECTORY);
	state->data_path = join(state_dir, STATE_DIRECTORY "/data.mdb");
	state->lock_path = join(state_dir, STATE_DIRECTORY "/lock.mdb");
	if (state->directory != NULL && state->data_path != NULL && state->lock_path != NULL)
		return state;
	state_free(state);
	return NULL;
}

static void
close_task(void *context)
{
	struct state *state = ((struct task *)context)->state;

	if (state->txn != NULL)
		mdb_txn_abort(state->txn);
	if (state->env != NULL)
		mdb_env_close(state->env);
}

/* Closes what is open. Where even that faults, it is left to the end of the process. */
static void
close_environment(struct state *state, enum state_result problem)
{
	struct task task = {.state = state};

	(void)!trap_run(close_task, &task);
	state->env = NULL;
	state->txn = NULL;
	state->active = false;
	state->problem = problem;
}

void
state_free(struct state *state)
{
	if (state == NULL)
		return;
	if (state->env != NULL)
		close_environment(state, STATE_UNUSABLE);
	free(state->directory);
	free(state->data_path);
	free(state->lock_path);
	free(state);
}

/* --- opening --------------------------------------------------------------------------------- */

static void
on_assertion(MDB_env *env, const char *message)
{
	(void)env;
	(void)message;
	trap_give_up();
}

/* A reader must neither create nor map what is not right. */
static enum state_result
look_at_files(const struct state *state)
{
	struct stat status;

	if (stat(state->data_path, &status) != 0 || stat(state->lock_path, &status) != 0)
		return STATE_NOT_FOUND;
	return stat(state->data_path, &status) == 0 && S_ISREG(status.st_mode) &&
		       status.st_size >= LMDB_FILE_AT_LEAST
		   ? STATE_OK
		   : STATE_UNUSABLE;
}

static int
open_environment(struct state *state)
{
	int code = mdb_env_create(&state->env);

	if (code != 0) {
		state->env = NULL;
		return code;
	}
	(void)mdb_env_set_assert(state->env, on_assertion);
	code = mdb_env_set_maxreaders(state->env, STATE_READERS);
	if (code == 0)
		code = mdb_env_open(state->env, state->directory, MDB_RDONLY | MDB_NOTLS, 0640);
	if (code == 0 && !lmdb_file_is_whole(state->env))
		code = MDB_CORRUPTED;
	if (code == 0)
		code = mdb_txn_begin(state->env, NULL, MDB_RDONLY, &state->txn);
	if (code == 0)
		code = mdb_dbi_open(state->txn, NULL, 0, &state->dbi);
	if (code == 0)
		mdb_txn_reset(state->txn);
	return code;
}

/* Slots of readers that died are given back when they run out. */
static int
open_with_readers_checked(struct state *state)
{
	const int code = open_environment(state);
	int dead;

	if (code != MDB_READERS_FULL || mdb_reader_check(state->env, &dead) != 0 || dead == 0)
		return code;
	mdb_env_close(state->env);
	state->env = NULL;
	return open_environment(state);
}

static void
begin_task(void *context)
{
	struct task *task = context;
	struct state *state = task->state;

	if (state->env == NULL) {
		task->result = look_at_files(state);
		if (task->result != STATE_OK)
			return;
		task->result = STATE_UNUSABLE;
		if (open_with_readers_checked(state) != 0)
			return;
	}
	task->result = mdb_txn_renew(state->txn) == 0 ? STATE_OK : STATE_UNUSABLE;
}

static bool
is_current(struct state *state)
{
	struct stat status;

	return stat(state->lock_path, &status) == 0 &&
	       lmdb_file_is_current(state->env, state->data_path) && lmdb_file_is_whole(state->env);
}

static void
check_task(void *context)
{
	struct task *task = context;

	task->result = is_current(task->state) ? STATE_OK : STATE_NOT_FOUND;
}

static bool
due(const struct state *state, int64_t boot_ms)
{
	return state->checked_ms == NEVER_MS || boot_ms < state->checked_ms ||
	       boot_ms - state->checked_ms >= CHECK_INTERVAL_MS;
}

enum state_result
state_begin(struct state *state, int64_t boot_ms)
{
	struct task task = {.state = state, .result = STATE_UNUSABLE};

	state_end(state);
	if (due(state, boot_ms)) {
		state->checked_ms = boot_ms;
		if (state->env != NULL && (!trap_run(check_task, &task) || task.result != STATE_OK))
			close_environment(state, STATE_UNUSABLE);
	} else if (state->env == NULL) {
		return state->problem;
	}
	task.result = STATE_UNUSABLE;
	if (!trap_run(begin_task, &task))
		task.result = STATE_UNUSABLE;
	if (task.result != STATE_OK)
		close_environment(state, task.result);
	state->active = task.result == STATE_OK;
	return task.result;
}

void
state_end(struct state *state)
{
	if (!state->active)
		return;
	mdb_txn_reset(state->txn);
	state->active = false;
}

/* --- records --------------------------------------------------------------------------------- */

static void
get_task(void *context)
{
	struct task *task = context;
	MDB_val key = {strlen(task->name), (void *)(uintptr_t)task->name}, value;

	switch (mdb_get(task->state->txn, task->state->dbi, &key, &value)) {
	case 0:
		task->result = state_value_get(key.mv_data, key.mv_size, value.mv_data,
				   value.mv_size, task->out)
				   ? STATE_OK
				   : STATE_UNUSABLE;
		break;
	case MDB_NOTFOUND: task->result = STATE_NOT_FOUND; break;
	default: task->result = STATE_UNUSABLE; break;
	}
}

static void
each_task(void *context)
{
	struct task *task = context;
	const int code = state_walk(task->state->txn, task->state->dbi, task->walk);

	task->result = code == 0 && task->walk->damaged == 0 ? STATE_OK : STATE_UNUSABLE;
}

/* Runs it; a fault ends this transaction and all that is open. */
static enum state_result
run(struct state *state, void (*work)(void *context), struct task *task)
{
	task->result = STATE_UNUSABLE;
	if (!state->active)
		return STATE_UNUSABLE;
	if (trap_run(work, task))
		return task->result;
	close_environment(state, STATE_UNUSABLE);
	return STATE_UNUSABLE;
}

enum state_result
state_domain(struct state *state, const char *name, struct state_domain *out)
{
	struct task task = {.state = state, .name = name, .out = out};

	if (name[0] == '\0' || strlen(name) > STATE_KEY_MAX)
		return STATE_NOT_FOUND;
	return run(state, get_task, &task);
}

enum state_result
state_written_at(struct state *state, int64_t *at)
{
	struct state_domain self;
	const enum state_result result = state_domain(state, STATE_SELF, &self);

	*at = result == STATE_OK ? self.counted_at : 0;
	return result;
}

int
state_walk(MDB_txn *txn, MDB_dbi dbi, struct state_walk *walk)
{
	char last[STATE_KEY_MAX + 1] = "";
	struct state_domain record;
	MDB_val key, value;
	MDB_cursor *cursor;
	bool more = true;
	int code = mdb_cursor_open(txn, dbi, &cursor);

	if (code != 0)
		return code;
	while (more && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		char name[STATE_KEY_MAX + 1];

		if (key.mv_size == 0 || key.mv_size > STATE_KEY_MAX) {
			code = MDB_CORRUPTED;
			break;
		}
		memcpy(name, key.mv_data, key.mv_size);
		name[key.mv_size] = '\0';
		if (strcmp(last, name) >= 0) { /* out of order: perhaps a loop */
			code = MDB_CORRUPTED;
			break;
		}
		memcpy(last, name, sizeof(last));
		if (!state_value_get(name, key.mv_size, value.mv_data, value.mv_size, &record))
			walk->damaged++;
		else if (strcmp(name, STATE_SELF) != 0)
			more = walk->visit == NULL || walk->visit(name, &record, walk->context);
	}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

enum state_result
state_each(struct state *state,
    bool (*visit)(const char *name, const struct state_domain *record, void *context),
    void *context)
{
	struct state_walk walk = {.visit = visit, .context = context};
	struct task task = {.state = state, .walk = &walk};

	return run(state, each_task, &task);
}
