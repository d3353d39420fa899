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
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OPEN_DEADLINE_MS 15000
#define WALK_DEADLINE_MS 600000

/* --- the header -------------------------------------------------------------------------- */

#define LMDB_MAGIC 0xBEEFC0DEu
#define PAGE_LEAST 512u
#define PAGE_MOST 65536u

/* What the first two pages begin with: struct MDB_page and MDB_meta of LMDB 0.9 (mdb.c). */
struct header {
	uint64_t page[2];
	uint32_t magic, version;
	uint64_t address, map_size;
	struct {
		uint32_t page_size; /* of the first database; the second has none */
		uint16_t flags, depth;
		uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
	} databases[2];
	uint64_t last_page, transaction;
};

/* What is no header of LMDB's at all, or is not there, is for LMDB to refuse. */
static bool
header_exceeds(int file, off_t at, uint64_t most)
{
	struct header header;

	if (pread(file, &header, sizeof(header), at) != (ssize_t)sizeof(header) ||
	    header.magic != LMDB_MAGIC)
		return false;
	const uint32_t page_size = header.databases[0].page_size;
	return page_size < PAGE_LEAST || page_size > PAGE_MOST || header.map_size > most ||
	       header.last_page >= most / page_size;
}

bool
snapshot_header_exceeds(const char *state_dir, uint64_t most)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", state_dir, SNAPSHOT_DATA);
	const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		return false;
	const bool exceeds = header_exceeds(file, 0, most) ||
			     header_exceeds(file, (off_t)sysconf(_SC_PAGESIZE), most);
	close(file);
	return exceeds;
}

/* --- in a child --------------------------------------------------------------------------- */

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
