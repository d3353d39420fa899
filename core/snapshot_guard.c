/*
 * snapshot_guard: looks at a snapshot in a child process. LMDB trusts its file: a broken page can
 * end the process that reads it (SIGBUS, SIGSEGV, an assertion), or send it round in circles. The
 * one writer must outlive that, or it could never load anew.
 *
 * In: STATE_DIR. Out: what the child found; a child that died or did not answer in time found the
 * file damaged (core/guard.h).
 */
#include "core/guard.h"
#include "core/snapshot_format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OPEN_DEADLINE_MS 15000
#define WALK_DEADLINE_MS 600000

/* One transaction that touches what every write touches, and is given up. */
static int
rehearse_transaction(MDB_env *env)
{
	struct snapshot_databases databases;
	struct snapshot_state state;
	MDB_txn *txn;
	MDB_dbi extra;
	int code = mdb_txn_begin(env, NULL, 0, &txn);

	if (code != 0)
		return code;
	code = snapshot_databases_open(txn, true, &databases);
	if (code == 0)
		code = mdb_dbi_open(txn, "rehearsal", MDB_CREATE, &extra);
	if (code == 0 && snapshot_state_get(txn, databases.meta, &state, &code) == SNAPSHOT_OK)
		code = snapshot_state_put(txn, databases.meta, &state);
	mdb_txn_abort(txn);
	return code;
}

/* A file that can be read may still end the process that writes to it: better this one. */
static void
rehearse(const char *state_dir, struct snapshot_inspection *found)
{
	char path[4096];
	MDB_env *env = NULL;
	int code = mdb_env_create(&env);

	snprintf(path, sizeof(path), "%s/%s", state_dir, SNAPSHOT_DIRECTORY);
	if (code == 0)
		code = mdb_env_set_maxdbs(env, 2 + SNAPSHOT_SETS * SNAPSHOT_KINDS);
	if (code == 0)
		code = mdb_env_open(env, path, MDB_NOTLS, 0600);
	if (code == 0)
		code = rehearse_transaction(env);
	if (code != 0 && code != MDB_MAP_FULL) {
		found->opened = snapshot_lmdb_result(code);
		snprintf(found->problem, sizeof(found->problem), "trying to write: %s",
		    mdb_strerror(code));
	}
	if (env != NULL)
		mdb_env_close(env);
}

struct look {
	const char *state_dir;
	bool every_row;
};

static void
look(void *answer, const void *context)
{
	const struct look *about = context;
	struct snapshot_inspection *found = answer;

	snapshot_inspect(about->state_dir, about->every_row, found);
	if (!about->every_row && found->opened == SNAPSHOT_OK)
		rehearse(about->state_dir, found);
}

void
snapshot_inspect_safely(const char *state_dir, bool every_row, struct snapshot_inspection *out)
{
	const struct look about = {.state_dir = state_dir, .every_row = every_row};
	struct guard_task task = {
	    .look = look,
	    .context = &about,
	    .deadline_ms = every_row ? WALK_DEADLINE_MS : OPEN_DEADLINE_MS,
	};

	switch (guard_run(&task, out, sizeof(*out))) {
	case GUARD_ANSWERED: return;
	case GUARD_DIED:
		out->opened = SNAPSHOT_DAMAGED;
		snprintf(out->problem, sizeof(out->problem), "reading it ends a process (%s)",
		    strsignal(task.signal));
		return;
	case GUARD_SILENT:
		out->opened = SNAPSHOT_DAMAGED;
		snprintf(out->problem, sizeof(out->problem), "reading it does not end");
		return;
	case GUARD_FAILED: break;
	}
	out->opened = SNAPSHOT_UNUSABLE;
	snprintf(
	    out->problem, sizeof(out->problem), "a process to look at it: %s", strerror(errno));
}
