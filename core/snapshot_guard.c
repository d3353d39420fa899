/*
 * snapshot_guard: looks at a snapshot in a child process. LMDB trusts its file: a broken page can
 * end the process that reads it (SIGBUS, SIGSEGV, an assertion), or send it round in circles. The
 * one writer must outlive that, or it could never load anew.
 *
 * In: STATE_DIR. Out: what the child found; a child that died or did not answer in time found the
 * file damaged. The child shares nothing with its parent but a pipe: it opens an environment of
 * its own (LMDB: never across fork) and leaves by _exit.
 */
#include "core/snapshot_format.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
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

static _Noreturn void
child_main(pid_t parent, int out, const char *state_dir, bool every_row)
{
	static const int deadly[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT};
	struct snapshot_inspection found;

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	snapshot_inspect(state_dir, every_row, &found);
	if (!every_row && found.opened == SNAPSHOT_OK)
		rehearse(state_dir, &found);
	_exit(write(out, &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : 1);
}

/* Reads one whole answer, or returns false at the end of the file or at the deadline. */
static bool
read_answer(int in, int64_t deadline_ms, struct snapshot_inspection *out)
{
	size_t have = 0;

	while (have < sizeof(*out)) {
		const int64_t left = deadline_ms - snapshot_clock_boot_ms();
		struct pollfd wait = {.fd = in, .events = POLLIN};

		if (left <= 0)
			return false;
		const int ready = poll(&wait, 1, (int)left);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return false;
		const ssize_t got = read(in, (char *)out + have, sizeof(*out) - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static void
reap(pid_t child, struct snapshot_inspection *out, bool answered)
{
	int status = 0;

	if (!answered)
		kill(child, SIGKILL); /* it hangs, or it is dead already */
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return;
	if (!answered && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		snprintf(out->problem, sizeof(out->problem), "reading it ends a process (%s)",
		    strsignal(WTERMSIG(status)));
}

static void
system_failed(struct snapshot_inspection *out, const char *what)
{
	out->opened = SNAPSHOT_UNUSABLE;
	snprintf(out->problem, sizeof(out->problem), "%s: %s", what, strerror(errno));
}

void
snapshot_inspect_safely(const char *state_dir, bool every_row, struct snapshot_inspection *out)
{
	const int64_t deadline =
	    snapshot_clock_boot_ms() + (every_row ? WALK_DEADLINE_MS : OPEN_DEADLINE_MS);
	const pid_t self = getpid();
	int ends[2];

	memset(out, 0, sizeof(*out));
	if (pipe2(ends, O_CLOEXEC) != 0) {
		system_failed(out, "pipe");
		return;
	}
	const pid_t child = fork();
	if (child == 0)
		child_main(self, ends[1], state_dir, every_row);
	close(ends[1]);
	if (child < 0) {
		system_failed(out, "fork");
	} else {
		const bool answered = read_answer(ends[0], deadline, out);

		if (!answered) {
			memset(out, 0, sizeof(*out));
			out->opened = SNAPSHOT_DAMAGED;
			snprintf(out->problem, sizeof(out->problem), "reading it does not end");
		}
		reap(child, out, answered);
	}
	close(ends[0]);
}
