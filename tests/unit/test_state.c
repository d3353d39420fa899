/*
 * Tests of core/state: every field is read back; what is damaged, cut, replaced or missing is "not
 * known", and never the end of the process; a writer that was killed leaves what it had committed;
 * and what counts at a given time, as tables.
 */
#include "core/state_value.h"
#include "core/trap.h"

#include "tests/unit/other_kinds.h"
#include "tests/unit/snapshot_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>

static const struct state_domain full = {
    .messages = 1,
    .bytes = UINT64_MAX,
    .oldest = 2,
    .primary = PRIMARY_WRONG_HOST,
    .primary_since = 3,
    .primary_at = 4,
    .primary_reason = "another certificate",
    .primary_code = 554,
    .hold = HOLD_BREAKER,
    .hold_until = HOLD_FOREVER,
    .hold_reason = "refusals",
    .counted_at = 5,
    .row_messages = 6,
    .row_bytes = 7,
    .mx = MX_STATE_NOT_NAMED,
    .mx_at = 8,
};

static void
assert_same(const struct state_domain *a, const struct state_domain *b)
{
	ck_assert_uint_eq(a->messages, b->messages);
	ck_assert_uint_eq(a->bytes, b->bytes);
	ck_assert_int_eq(a->oldest, b->oldest);
	ck_assert_int_eq(a->primary, b->primary);
	ck_assert_int_eq(a->primary_since, b->primary_since);
	ck_assert_int_eq(a->primary_at, b->primary_at);
	ck_assert_str_eq(a->primary_reason, b->primary_reason);
	ck_assert_uint_eq(a->primary_code, b->primary_code);
	ck_assert_int_eq(a->hold, b->hold);
	ck_assert_int_eq(a->hold_until, b->hold_until);
	ck_assert_str_eq(a->hold_reason, b->hold_reason);
	ck_assert_int_eq(a->counted_at, b->counted_at);
	ck_assert_uint_eq(a->row_messages, b->row_messages);
	ck_assert_uint_eq(a->row_bytes, b->row_bytes);
	ck_assert_int_eq(a->mx, b->mx);
	ck_assert_int_eq(a->mx_at, b->mx_at);
}

/* --- the value ------------------------------------------------------------------------------ */

static uint8_t value[STATE_VALUE_MAX];

static void
assert_round_trip(const struct state_domain *in)
{
	struct state_domain out;
	const size_t length = state_value_put("a.example", in, value);

	ck_assert_uint_gt(length, 0);
	memset(&out, 0x55, sizeof(out));
	ck_assert(state_value_get("a.example", 9, value, length, &out));
	assert_same(in, &out);
	ck_assert(!state_value_get("b.example", 9, value, length, &out));
	for (size_t cut = 0; cut < length; cut++)
		ck_assert(!state_value_get("a.example", 9, value, cut, &out));
	for (size_t bit = 0; bit < length * 8; bit++) {
		value[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!state_value_get("a.example", 9, value, length, &out));
		value[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

START_TEST(test_value)
{
	struct state_domain record = {.messages = 0};

	assert_round_trip(&record);
	assert_round_trip(&full);
	record = full;
	memset(record.primary_reason, 'r', STATE_TEXT_SIZE - 1);
	memset(record.hold_reason, 'h', STATE_TEXT_SIZE - 1);
	assert_round_trip(&record);
	record = (struct state_domain){.mx = MX_STATE_NAMED, .mx_at = 1700000000};
	ck_assert_uint_le(state_value_put("a.example", &record, value), 21);
}
END_TEST

START_TEST(test_value_out_of_bounds)
{
	struct state_domain record = {.hold_until = -1};

	ck_assert_uint_eq(state_value_put("a", &record, value), 0);
	record = (struct state_domain){.primary = (enum primary_state)6};
	ck_assert_uint_eq(state_value_put("a", &record, value), 0);
	record = (struct state_domain){.primary_code = 1000};
	ck_assert_uint_eq(state_value_put("a", &record, value), 0);
	memset(record.hold_reason, 'x', sizeof(record.hold_reason)); /* no NUL */
	record.primary_code = 0;
	ck_assert_uint_eq(state_value_put("a", &record, value), 0);
}
END_TEST

/* --- the files ------------------------------------------------------------------------------- */

static struct state_writer *
state_open(void)
{
	const char *problem;
	struct state_writer *writer = state_writer_open(state_dir, (gid_t)-1, &problem);

	if (writer == NULL)
		fprintf(stderr, "%s\n", problem);
	must(writer != NULL && problem == NULL);
	return writer;
}

static void
write_full(void)
{
	const struct state_domain small = {.messages = 4};
	struct state_writer *writer = state_open();

	must(state_write_begin(writer) == STATE_OK);
	must(state_write_put(writer, "a.example", &full) == STATE_OK);
	must(state_write_put(writer, "b.example", &small) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	state_writer_close(writer);
}

static int64_t now_ms = 1000000;

static struct state *
reader(void)
{
	struct state *state = state_new(state_dir);

	ck_assert_ptr_nonnull(state);
	return state;
}

/* Begins so much later that the files are looked at again. */
static enum state_result
later(struct state *state)
{
	now_ms += 2000;
	return state_begin(state, now_ms);
}

static void
path_of(const char *name, char out[128])
{
	snprintf(out, 128, "%s/queued/state/%s", state_dir, name);
}

START_TEST(test_absent)
{
	struct state *state = reader();
	struct state_domain record;

	ck_assert_int_eq(later(state), STATE_NOT_FOUND);
	ck_assert_int_eq(state_begin(state, now_ms + 1), STATE_NOT_FOUND);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_UNUSABLE);
	in_child(write_full);
	ck_assert_int_eq(state_begin(state, now_ms + 2), STATE_NOT_FOUND);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
	assert_same(&record, &full);
	ck_assert_int_eq(state_domain(state, "c.example", &record), STATE_NOT_FOUND);
	ck_assert_int_eq(state_domain(state, "", &record), STATE_NOT_FOUND);
	state_free(state);
}
END_TEST

static bool
collect(const char *name, const struct state_domain *record, void *context)
{
	char *names = context;

	(void)record;
	strcat(names, name);
	strcat(names, " ");
	return strcmp(name, "b.example") != 0;
}

static void
write_more(void)
{
	struct state_writer *writer = state_open();
	struct state_domain record;

	must(state_write_begin(writer) == STATE_OK);
	must(state_write_get(writer, "a.example", &record) == STATE_OK);
	must(record.messages == full.messages);
	must(state_write_delete(writer, "a.example") == STATE_OK);
	must(state_write_delete(writer, "a.example") == STATE_NOT_FOUND);
	must(state_write_get(writer, "a.example", &record) == STATE_NOT_FOUND);
	must(state_write_put(writer, "c.example", &full) == STATE_OK);
	must(state_write_put(writer, "", &full) == STATE_UNUSABLE);
	must(state_write_commit(writer) == STATE_OK);
	must(state_write_begin(writer) == STATE_OK);
	must(state_write_delete(writer, "c.example") == STATE_OK);
	state_write_abort(writer);
	must(state_write_put(writer, "d.example", &full) == STATE_UNUSABLE);
	must(state_write_commit(writer) == STATE_UNUSABLE);
	state_writer_close(writer);
}

START_TEST(test_walk_and_change)
{
	char names[256] = "";
	struct state *state = reader();

	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	in_child(write_more);
	ck_assert_int_eq(state_each(state, collect, names), STATE_OK);
	ck_assert_str_eq(names, "a.example b.example "); /* as it was when we began */
	ck_assert_int_eq(state_begin(state, now_ms + 1), STATE_OK);
	names[0] = '\0';
	ck_assert_int_eq(state_each(state, collect, names), STATE_OK);
	ck_assert_str_eq(names, "b.example ");
	state_free(state);
}
END_TEST

static void
write_nothing(void)
{
	struct state_writer *writer = state_open();

	must(state_write_begin(writer) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	state_writer_close(writer);
}

/* That the writer is there is told without a record too, and is none itself. */
START_TEST(test_written_at)
{
	char names[256] = "";
	struct state *state = reader();
	const int64_t before = (int64_t)time(NULL);
	int64_t at = -1;

	in_child(write_nothing);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_written_at(state, &at), STATE_OK);
	ck_assert_int_ge(at, before);
	ck_assert_int_le(at, (int64_t)time(NULL));
	ck_assert_int_eq(state_each(state, collect, names), STATE_OK);
	ck_assert_str_eq(names, "");
	state_free(state);
}
END_TEST

static void
second_writer(void)
{
	const char *problem;

	must(state_writer_open(state_dir, (gid_t)-1, &problem) == NULL);
	must(strstr(problem, "another") != NULL);
}

START_TEST(test_one_writer)
{
	struct state_writer *writer = state_open();

	in_child(second_writer);
	state_writer_close(writer);
	in_child(write_full);
}
END_TEST

START_TEST(test_modes)
{
	static const struct {
		const char *name;
		mode_t mode;
	} wanted[] = {{".", 0750}, {"data.mdb", 0640}, {"lock.mdb", 0660}};

	in_child(write_full);
	for (size_t i = 0; i < 3; i++) {
		struct stat status;
		char path[128];

		path_of(wanted[i].name, path);
		ck_assert_int_eq(stat(path, &status), 0);
		ck_assert_uint_eq(status.st_mode & 07777, wanted[i].mode);
	}
}
END_TEST

/* A hole in what is mapped would be a signal where the disk is full. */
START_TEST(test_lock_has_its_blocks)
{
	struct stat status;
	char path[128];

	in_child(write_full);
	path_of("lock.mdb", path);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(stat(path, &status), 0);
		ck_assert_int_ge(status.st_blocks * 512, status.st_size);
		const int lock = open(path, O_RDWR | O_CLOEXEC); /* as one that LMDB made alone */
		ck_assert_int_eq(ftruncate(lock, 0), 0);
		ck_assert_int_eq(ftruncate(lock, status.st_size), 0);
		close(lock);
		in_child(write_full);
	}
}
END_TEST

static void
expect_problem(const char *suffix)
{
	char wanted[160];
	const char *problem = NULL;

	(void)snprintf(wanted, sizeof(wanted), "%s/queued%s", state_dir, suffix);
	ck_assert_ptr_null(state_writer_open(state_dir, (gid_t)-1, &problem));
	ck_assert_str_eq(problem, wanted);
}

START_TEST(test_problem_names_the_path)
{
	char home[128], lock[160];

	(void)snprintf(home, sizeof(home), "%s/queued", state_dir);
	(void)snprintf(lock, sizeof(lock), "%s/state.lock", home);
	ck_assert_int_eq(symlink("/nowhere", home), 0);
	expect_problem(": Not a directory");
	ck_assert_int_eq(unlink(home), 0);
	ck_assert_int_eq(close(open(home, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	expect_problem(": Not a directory");
	ck_assert_int_eq(unlink(home), 0);
	ck_assert_int_eq(mkdir(home, 0750), 0);
	ck_assert_int_eq(mkdir(lock, 0750), 0);
	expect_problem("/state.lock: Is a directory");
	ck_assert_int_eq(rmdir(lock), 0);
	in_child(write_full);
}
END_TEST

/* Writes over every byte that says so; what is there stays as long as it was. */
static void
scribble(const char *name, const char *what, size_t length)
{
	char path[128], *bytes;
	struct stat status;

	path_of(name, path);
	const int file = open(path, O_RDWR);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(fstat(file, &status), 0);
	bytes = malloc((size_t)status.st_size);
	ck_assert_int_eq(pread(file, bytes, (size_t)status.st_size, 0), status.st_size);
	char *at = memmem(bytes, (size_t)status.st_size, what, length);
	ck_assert_ptr_nonnull(at);
	for (; at != NULL;
	     at = memmem(at + 1, (size_t)(status.st_size - (at + 1 - bytes)), what, length))
		ck_assert_int_eq(pwrite(file, "#", 1, at - bytes), 1);
	free(bytes);
	close(file);
}

START_TEST(test_damaged_value)
{
	struct state *state = reader();
	struct state_domain record;
	char names[256] = "";

	in_child(write_full);
	scribble("data.mdb", "another certificate", 19);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_UNUSABLE);
	ck_assert_int_eq(state_domain(state, "b.example", &record), STATE_OK);
	ck_assert_int_eq(state_each(state, collect, names), STATE_UNUSABLE);
	ck_assert_str_eq(names, "b.example ");
	state_end(state);
	in_child(write_full); /* the writer finds it, and makes it anew */
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
	state_free(state);
}
END_TEST

/* Cut to `_i` pages while a reader has it open, in a transaction: nothing is known, nobody dies. */
START_TEST(test_truncated)
{
	struct state *state = reader();
	struct state_domain record;
	char path[128];

	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	path_of("data.mdb", path);
	ck_assert_int_eq(truncate(path, _i * 4096), 0);
	const enum state_result found = state_domain(state, "a.example", &record);
	ck_assert(found == STATE_UNUSABLE || _i >= 3);
	ck_assert_int_eq(later(state), _i < 3 ? STATE_UNUSABLE : STATE_OK);
	if (_i < 3)
		ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_UNUSABLE);
	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
	state_free(state);
}
END_TEST

/* Pages full of 0x55 instead of rows: LMDB asserts, or runs off. */
START_TEST(test_garbage)
{
	struct state *state = reader();
	struct state_domain record;
	char path[128], page[4096];
	struct stat status;

	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	path_of("data.mdb", path);
	const int file = open(path, O_RDWR);
	ck_assert_int_eq(fstat(file, &status), 0);
	memset(page, 0x55, sizeof(page));
	for (off_t at = _i == 0 ? 8192 : 0; at < 5 * 4096; at += 4096)
		ck_assert_int_eq(pwrite(file, page, 4096, at), 4096);
	close(file);
	ck_assert_int_ne(state_domain(state, "a.example", &record), STATE_OK);
	(void)!later(state);
	ck_assert_int_ne(state_domain(state, "a.example", &record), STATE_OK);
	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
	state_free(state);
}
END_TEST

/* By the next writer; nobody waits. */
static void
expect_made_anew(struct state *state)
{
	struct state_domain record;

	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
}

START_TEST(test_other_kinds)
{
	struct state *state = reader();
	char path[128], folder[128];

	snprintf(folder, sizeof(folder), "%s/queued/state", state_dir);
	for (unsigned kind = 0; kind < other_kinds(); kind++) {
		in_child(write_full);
		path_of("data.mdb", path);
		make_other_kind(kind, path);
		ck_assert_int_ne(later(state), STATE_OK);
		expect_made_anew(state);
		path_of("lock.mdb", path);
		make_other_kind(kind, path);
		expect_made_anew(state);
		ck_assert_int_eq(unlink(path), 0);
		path_of("data.mdb", path);
		ck_assert_int_eq(unlink(path), 0);
		make_other_kind(kind, folder);
		ck_assert_int_ne(later(state), STATE_OK);
		expect_made_anew(state);
	}
	state_free(state);
}
END_TEST

/* Whatever keeps the writer's lock from being taken, its name is said. */
START_TEST(test_lock_is_named)
{
	char folder[100], path[128];
	const char *problem;

	snprintf(folder, sizeof(folder), "%s/queued", state_dir);
	snprintf(path, sizeof(path), "%s/state.lock", folder);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	make_other_kind(1, path);
	ck_assert_ptr_null(state_writer_open(state_dir, (gid_t)-1, &problem));
	ck_assert_msg(strncmp(problem, path, strlen(path)) == 0, "%s", problem);
}
END_TEST

START_TEST(test_replaced)
{
	struct state *state = reader();
	struct state_domain record;
	char command[256];

	in_child(write_full);
	ck_assert_int_eq(later(state), STATE_OK);
	snprintf(command, sizeof(command), "rm -r '%s/queued/state'", state_dir);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_OK);
	ck_assert_int_eq(later(state), STATE_NOT_FOUND);
	in_child(write_full);
	in_child(write_more);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "a.example", &record), STATE_NOT_FOUND);
	ck_assert_int_eq(state_domain(state, "c.example", &record), STATE_OK);
	state_free(state);
}
END_TEST

/* Files that are taken from under a living writer: it makes them anew. */
static void
write_bereft(void)
{
	struct state_writer *writer = state_open();
	char path[128], command[256];

	must(state_write_begin(writer) == STATE_OK);
	must(state_write_put(writer, "a.example", &full) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	snprintf(command, sizeof(command), "rm -r '%s/queued/state'", state_dir);
	must(system(command) == 0);
	must(state_writer_renewed(writer) == 0);
	must(state_write_begin(writer) == STATE_OK);
	must(state_writer_renewed(writer) == 1);
	must(state_write_put(writer, "b.example", &full) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	path_of("data.mdb", path);
	must(truncate(path, 0) == 0);
	must(state_write_begin(writer) == STATE_OK);
	must(state_write_put(writer, "c.example", &full) == STATE_OK);
	must(state_write_commit(writer) == STATE_OK);
	state_writer_close(writer);
}

START_TEST(test_writer_bereft)
{
	struct state *state = reader();
	struct state_domain record;

	in_child(write_bereft);
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_int_eq(state_domain(state, "c.example", &record), STATE_OK);
	ck_assert_int_eq(state_domain(state, "b.example", &record), STATE_NOT_FOUND);
	state_free(state);
}
END_TEST

/* Writes two records that say the same, for ever. */
static void
write_for_ever(void)
{
	struct state_writer *writer = state_open();

	for (uint64_t i = 1;; i++) {
		const struct state_domain record = {.messages = i};

		must(state_write_begin(writer) == STATE_OK);
		must(state_write_put(writer, "a.example", &record) == STATE_OK);
		must(state_write_put(writer, "z.example", &record) == STATE_OK);
		must(state_write_commit(writer) == STATE_OK);
	}
}

/* How many messages both records say; they must agree. */
static uint64_t
both(struct state *state)
{
	struct state_domain a, z;

	ck_assert_int_eq(state_domain(state, "a.example", &a), STATE_OK);
	ck_assert_int_eq(state_domain(state, "z.example", &z), STATE_OK);
	ck_assert_uint_eq(a.messages, z.messages);
	return a.messages;
}

START_TEST(test_writer_killed)
{
	struct state *state = reader();
	uint64_t before = 0;

	/* Where the machine has no time for the writer, he gets more turns, and longer ones. */
	for (unsigned turn = 0; turn < 12 || (before == 0 && turn < 200); turn++) {
		const pid_t child = fork();

		if (child == 0)
			write_for_ever();
		usleep(20000 + turn * 1777);
		if (later(state) == STATE_OK)
			before = both(state);
		state_end(state);
		ck_assert_int_eq(kill(child, SIGKILL), 0);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
	}
	ck_assert_int_eq(later(state), STATE_OK);
	ck_assert_uint_gt(before, 0);
	ck_assert_uint_gt(both(state), 0);
	in_child(write_full);
	state_free(state);
}
END_TEST

#define READERS 100

/* A hundred readers that die in the midst of a transaction leave room for the next. */
START_TEST(test_many_readers)
{
	struct state_domain record;

	in_child(write_full);
	for (unsigned turn = 0; turn < 3; turn++) {
		pid_t child[READERS];

		for (unsigned i = 0; i < READERS; i++) {
			child[i] = fork();
			if (child[i] != 0)
				continue;
			struct state *state = state_new(state_dir);
			_exit(state != NULL && state_begin(state, 1) == STATE_OK &&
				      state_domain(state, "a.example", &record) == STATE_OK &&
				      kill(getpid(), SIGKILL) == 0
				  ? 0
				  : 1);
		}
		for (unsigned i = 0; i < READERS; i++) {
			int status;

			ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
			ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		}
		in_child(write_full);
	}
}
END_TEST

/* --- the trap --------------------------------------------------------------------------------- */

static void
fall(void *context)
{
	*(volatile int *)context = 1;
	raise(SIGBUS);
	*(volatile int *)context = 2;
}

static void
give_up(void *context)
{
	(void)context;
	trap_give_up();
}

static void
stroll(void *context)
{
	*(int *)context = 3;
}

static void
fall_outside(void)
{
	int seen = 0;

	must(trap_run(stroll, &seen));
	raise(SIGSEGV);
	raise(SIGSEGV);
}

START_TEST(test_trap)
{
	int seen = 0;

	for (unsigned turn = 0; turn < 3; turn++) {
		ck_assert(!trap_run(fall, &seen));
		ck_assert_int_eq(seen, 1);
		ck_assert(!trap_run(give_up, &seen));
		ck_assert(trap_run(stroll, &seen));
		ck_assert_int_eq(seen, 3);
	}
	ck_assert_int_ne(child_status(fall_outside), 0); /* not ours: it kills, as it did before */
}
END_TEST

/* --- what counts -------------------------------------------------------------------------------
 */

static const struct {
	const char *what;
	struct state_domain row;
	enum mx_state mx;
	uint64_t messages, bytes;
	bool up;
} facts[] = {
    {"nothing", {.messages = 0}, MX_STATE_UNKNOWN, 0, 0, false},
    {"named now", {.mx = MX_STATE_NAMED, .mx_at = NOW}, MX_STATE_NAMED, 0, 0, false},
    {"not named now", {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW}, MX_STATE_NOT_NAMED, 0, 0, false},
    {"not named, in time", {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW - STATE_MX_AGE},
	MX_STATE_NOT_NAMED, 0, 0, false},
    {"not named, too old", {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW - STATE_MX_AGE - 1},
	MX_STATE_UNKNOWN, 0, 0, false},
    {"not named, never read", {.mx = MX_STATE_NOT_NAMED}, MX_STATE_UNKNOWN, 0, 0, false},
    {"not named, of a clock a little ahead", {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW + 60},
	MX_STATE_NOT_NAMED, 0, 0, false},
    {"not named, of the future", {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW + 61}, MX_STATE_UNKNOWN, 0,
	0, false},
    {"not named, at the end of time", {.mx = MX_STATE_NOT_NAMED, .mx_at = INT64_MAX},
	MX_STATE_UNKNOWN, 0, 0, false},
    {"counts now", {.row_messages = 7, .row_bytes = 9, .counted_at = NOW}, MX_STATE_UNKNOWN, 7, 9,
	false},
    {"counts of the domain alone", {.messages = 7, .bytes = 9, .counted_at = NOW}, MX_STATE_UNKNOWN,
	0, 0, false},
    {"counts in time", {.row_messages = 7, .counted_at = NOW - STATE_COUNTS_AGE}, MX_STATE_UNKNOWN,
	7, 0, false},
    {"counts too old", {.row_messages = 7, .counted_at = NOW - STATE_COUNTS_AGE - 1},
	MX_STATE_UNKNOWN, 0, 0, false},
    {"up now", {.primary = PRIMARY_UP, .primary_at = NOW}, MX_STATE_UNKNOWN, 0, 0, true},
    {"up in time", {.primary = PRIMARY_UP, .primary_at = NOW - STATE_PRIMARY_AGE}, MX_STATE_UNKNOWN,
	0, 0, true},
    {"up too old", {.primary = PRIMARY_UP, .primary_at = NOW - STATE_PRIMARY_AGE - 1},
	MX_STATE_UNKNOWN, 0, 0, false},
    {"up, never confirmed", {.primary = PRIMARY_UP}, MX_STATE_UNKNOWN, 0, 0, false},
    {"down", {.primary = PRIMARY_DOWN, .primary_at = NOW}, MX_STATE_UNKNOWN, 0, 0, false},
    {"busy", {.primary = PRIMARY_BUSY, .primary_at = NOW}, MX_STATE_UNKNOWN, 0, 0, false},
    {"broken", {.primary = PRIMARY_BROKEN, .primary_at = NOW}, MX_STATE_UNKNOWN, 0, 0, false},
};

START_TEST(test_facts)
{
	const struct state_facts found = state_facts_at(&facts[_i].row, &facts[_i].row, NOW);

	ck_assert_msg(found.mx == facts[_i].mx, "%s", facts[_i].what);
	ck_assert_msg(found.held_messages == facts[_i].messages, "%s", facts[_i].what);
	ck_assert_msg(found.held_bytes == facts[_i].bytes, "%s", facts[_i].what);
	ck_assert_msg(found.primary_is_up == facts[_i].up, "%s", facts[_i].what);
	ck_assert(!found.sender_keeps_trying);
}
END_TEST

START_TEST(test_facts_of_two)
{
	const struct state_domain row = {.mx = MX_STATE_NAMED,
	    .mx_at = NOW,
	    .row_messages = 3,
	    .counted_at = NOW,
	    .primary = PRIMARY_UP,
	    .primary_at = NOW};
	const struct state_domain domain = {.mx = MX_STATE_NOT_NAMED, .mx_at = NOW};
	struct state_facts found = state_facts_at(&row, &domain, NOW);

	ck_assert_int_eq(found.mx, MX_STATE_NAMED); /* by row */
	ck_assert_uint_eq(found.held_messages, 3);
	ck_assert(!found.primary_is_up); /* by recipient domain */
	found = state_facts_at(NULL, &row, NOW);
	ck_assert_int_eq(found.mx, MX_STATE_UNKNOWN);
	ck_assert_uint_eq(found.held_messages, 0);
	ck_assert(found.primary_is_up);
	found = state_facts_at(NULL, NULL, NOW);
	ck_assert(found.mx == MX_STATE_UNKNOWN && !found.primary_is_up);
}
END_TEST

static const struct {
	struct state_domain domain;
	bool held;
} holds[] = {
    {{.hold = HOLD_NONE}, false},
    {{.hold = HOLD_NONE, .hold_until = HOLD_FOREVER}, false},
    {{.hold = HOLD_OPERATOR}, false},
    {{.hold = HOLD_OPERATOR, .hold_until = HOLD_FOREVER}, true},
    {{.hold = HOLD_OPERATOR, .hold_until = NOW + 1}, true},
    {{.hold = HOLD_OPERATOR, .hold_until = NOW}, false},
    {{.hold = HOLD_BREAKER, .hold_until = NOW + 300}, true},
    {{.hold = HOLD_BREAKER, .hold_until = NOW - 1}, false},
    {{.hold = HOLD_WRONG_HOST, .hold_until = NOW + 1}, true},
};

START_TEST(test_held)
{
	ck_assert_int_eq(state_held(&holds[_i].domain, NOW), holds[_i].held);
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(primary_state_name(PRIMARY_UNKNOWN), "unknown");
	ck_assert_str_eq(primary_state_name(PRIMARY_WRONG_HOST), "wrong-host");
	ck_assert_str_eq(primary_state_name((enum primary_state)6), "?");
	ck_assert_str_eq(hold_kind_name(HOLD_NONE), "none");
	ck_assert_str_eq(hold_kind_name(HOLD_BREAKER), "breaker");
	ck_assert_str_eq(hold_kind_name((enum hold_kind)4), "?");
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("state");
	TCase *pure = tcase_create("pure");
	TCase *files = tcase_create("files");

	tcase_add_test(pure, test_value);
	tcase_add_test(pure, test_value_out_of_bounds);
	tcase_add_test(pure, test_trap);
	tcase_add_loop_test(pure, test_facts, 0, COUNT(facts));
	tcase_add_test(pure, test_facts_of_two);
	tcase_add_loop_test(pure, test_held, 0, COUNT(holds));
	tcase_add_test(pure, test_names);
	suite_add_tcase(suite, pure);
	tcase_add_checked_fixture(files, fixture_setup, fixture_teardown);
	tcase_set_timeout(files, 60);
	tcase_add_test(files, test_absent);
	tcase_add_test(files, test_walk_and_change);
	tcase_add_test(files, test_written_at);
	tcase_add_test(files, test_one_writer);
	tcase_add_test(files, test_modes);
	tcase_add_test(files, test_lock_has_its_blocks);
	tcase_add_test(files, test_problem_names_the_path);
	tcase_add_test(files, test_damaged_value);
	tcase_add_loop_test(files, test_truncated, 0, 4);
	tcase_add_loop_test(files, test_garbage, 0, 2);
	tcase_add_test(files, test_replaced);
	tcase_add_test(files, test_other_kinds);
	tcase_add_test(files, test_lock_is_named);
	tcase_add_test(files, test_writer_bereft);
	tcase_add_test(files, test_writer_killed);
	tcase_add_test(files, test_many_readers);
	suite_add_tcase(suite, files);
	return table_run(suite);
}
