/*
 * Tests of core/spool: order and replacement of rows, notes, pruning, a full map, kill -9 in the
 * middle of commits, a reader beside the writer, damaged files. Whoever reads while a writer lives
 * does so in a process of its own, as LMDB wants it.
 */
#include "core/spool.h"

#include "tests/unit/other_kinds.h"
#include "tests/unit/table.h"

#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAP ((size_t)8 << 20)
#define SECOND 1000000

static char directory[64];

static void
setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/test-spool.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void
teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static const char *
path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static struct spool_writer *
open_sized(size_t map_size)
{
	const char *problem;
	struct spool_writer *writer = spool_writer_open(directory, (gid_t)-1, map_size, &problem);

	ck_assert_msg(writer != NULL, "%s", problem);
	ck_assert_ptr_null(problem);
	return writer;
}

static struct spool_writer *
open_writer(void)
{
	return open_sized(MAP);
}

static enum spool_result
put_text(struct spool_writer *writer, const char *key, const char *text, bool final, int64_t at)
{
	const struct spool_entry entry = {.key = key,
	    .key_length = strlen(key),
	    .text = text,
	    .length = strlen(text),
	    .final = final};

	return spool_put(writer, &entry, at);
}

static void
put(struct spool_writer *writer, const char *key, const char *text, bool final)
{
	ck_assert_int_eq(put_text(writer, key, text, final, SECOND), SPOOL_OK);
}

static void
begin(struct spool_writer *writer)
{
	ck_assert_int_eq(spool_begin(writer), SPOOL_OK);
}

static void
commit(struct spool_writer *writer)
{
	ck_assert_int_eq(spool_commit(writer), SPOOL_OK);
}

/* --- what a reader sees, as text: "key=text;" ------------------------------------------------- */

static char seen[65536];
static uint64_t last_seq;

static bool
note_entry(const struct spool_entry *entry, void *context)
{
	const size_t used = strlen(seen);

	(void)context;
	snprintf(seen + used, sizeof(seen) - used, "%.*s=%.*s%s;", (int)entry->key_length,
	    entry->key, (int)entry->length, entry->text, entry->final ? "!" : "");
	ck_assert(entry->seq == 0 || entry->seq > last_seq);
	if (entry->seq > 0)
		last_seq = entry->seq;
	return true;
}

static const char *
read_after(uint64_t after)
{
	struct spool_reader *reader = spool_reader_new(directory);

	seen[0] = '\0';
	last_seq = after;
	ck_assert_int_eq(spool_read(reader, after, note_entry, NULL), SPOOL_OK);
	spool_reader_free(reader);
	return seen;
}

static const char *
identity_of(void)
{
	static char identity[40];
	struct spool_reader *reader = spool_reader_new(directory);

	ck_assert_int_eq(spool_identity(reader, identity), SPOOL_OK);
	ck_assert_uint_eq(strlen(identity), 32);
	spool_reader_free(reader);
	return identity;
}

START_TEST(test_rows)
{
	struct spool_writer *writer = open_writer();
	struct spool_entry entry;

	ck_assert_str_eq(spool_set_aside(writer), "");
	begin(writer);
	put(writer, "a", "1", false);
	put(writer, "b", "1", true);
	put(writer, "c", "1", false);
	commit(writer);
	begin(writer);
	put(writer, "a", "2", true);
	ck_assert_int_eq(spool_get(writer, "a", 1, &entry), SPOOL_OK);
	ck_assert(entry.final && entry.length == 1 && entry.text[0] == '2');
	ck_assert_int_eq(spool_get(writer, "none", 4, &entry), SPOOL_NOT_FOUND);
	commit(writer);
	begin(writer);
	put(writer, "d", "lost", false);
	spool_abort(writer);
	spool_writer_close(writer);
	ck_assert_str_eq(read_after(0), "b=1!;c=1;a=2!;");
	ck_assert_str_eq(read_after(3), "a=2!;");
	ck_assert_str_eq(read_after(4), "");
	ck_assert_str_eq(read_after(UINT64_MAX), "");
}
END_TEST

START_TEST(test_numbers_go_on)
{
	struct spool_pruned pruned;
	struct spool_writer *writer = open_writer();

	begin(writer);
	put(writer, "a", "1", true);
	commit(writer);
	spool_writer_close(writer);
	ck_assert(spool_set_shipped(directory, identity_of(), 1));
	writer = open_writer();
	ck_assert_int_eq(spool_prune(writer, 100, SECOND, 0, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 1);
	ck_assert_uint_eq(pruned.dropped, 0);
	spool_writer_close(writer);
	ck_assert_str_eq(read_after(0), "");
	writer = open_writer();
	begin(writer);
	put(writer, "b", "1", true);
	commit(writer);
	spool_writer_close(writer);
	/* An empty spool gives no number twice: 1 is shipped, and this one is not. */
	ck_assert_str_eq(read_after(1), "b=1!;");
}
END_TEST

static bool
stop_at_once(const struct spool_entry *entry, void *context)
{
	note_entry(entry, context);
	return false;
}

START_TEST(test_open_rows_and_notes)
{
	struct spool_writer *writer = open_writer();
	char text[4];
	size_t length;

	begin(writer);
	put(writer, "a", "1", false);
	put(writer, "b", "1", true);
	put(writer, "c", "1", false);
	ck_assert_int_eq(spool_note(writer, "hold/x.example", "h", 1), SPOOL_OK);
	ck_assert_int_eq(spool_note(writer, "hold/y.example", "i", 1), SPOOL_OK);
	ck_assert_int_eq(spool_note(writer, "position", "12345", 5), SPOOL_OK);
	commit(writer);
	seen[0] = '\0';
	last_seq = 0;
	ck_assert_int_eq(spool_each_open(writer, note_entry, NULL), SPOOL_OK);
	ck_assert_str_eq(seen, "a=1;c=1;");
	seen[0] = '\0';
	last_seq = 0;
	ck_assert_int_eq(spool_each_open(writer, stop_at_once, NULL), SPOOL_OK);
	ck_assert_str_eq(seen, "a=1;");
	seen[0] = '\0';
	ck_assert_int_eq(spool_each_note(writer, "hold/", note_entry, NULL), SPOOL_OK);
	ck_assert_str_eq(seen, "hold/x.example=h;hold/y.example=i;");
	ck_assert_int_eq(spool_get_note(writer, "position", text, sizeof(text), &length), SPOOL_OK);
	ck_assert_uint_eq(length, 5);
	ck_assert_int_eq(memcmp(text, "1234", 4), 0);
	begin(writer);
	ck_assert_int_eq(spool_note(writer, "position", NULL, 0), SPOOL_OK);
	ck_assert_int_eq(spool_note(writer, "never", NULL, 0), SPOOL_OK);
	commit(writer);
	ck_assert_int_eq(
	    spool_get_note(writer, "position", text, sizeof(text), &length), SPOOL_NOT_FOUND);
	spool_writer_close(writer);
}
END_TEST

START_TEST(test_prune)
{
	struct spool_writer *writer = open_writer();
	struct spool_pruned pruned;

	begin(writer);
	ck_assert_int_eq(put_text(writer, "old", "", true, 1 * SECOND), SPOOL_OK);
	ck_assert_int_eq(put_text(writer, "open", "", false, 1 * SECOND), SPOOL_OK);
	ck_assert_int_eq(put_text(writer, "ahead", "", true, 900 * SECOND), SPOOL_OK);
	ck_assert_int_eq(put_text(writer, "young", "", true, 50 * SECOND), SPOOL_OK);
	commit(writer);
	/* Nobody ships: what is older than 10 s goes; the one from the future is dated anew. */
	ck_assert_int_eq(spool_prune(writer, 100, 60 * SECOND, 10 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 1);
	ck_assert_uint_eq(pruned.dropped, 1);
	ck_assert_int_eq(spool_prune(writer, 1, 100 * SECOND, 61 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 1);
	ck_assert_int_eq(spool_prune(writer, 100, 100 * SECOND, 0, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 0);
	spool_writer_close(writer);
	ck_assert_str_eq(read_after(0), "open=;young=!;");
}
END_TEST

/* Many were put while the clock was ahead: they go together, and not one by one. */
START_TEST(test_prune_many_ahead)
{
	struct spool_writer *writer = open_writer();
	struct spool_pruned pruned;
	char key[32];

	begin(writer);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "ahead%d", i);
		ck_assert_int_eq(put_text(writer, key, "", true, 900 * SECOND), SPOOL_OK);
	}
	commit(writer);
	ck_assert_int_eq(spool_prune(writer, 100, 60 * SECOND, 10 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 0); /* as if they had been put now */
	ck_assert_int_eq(spool_prune(writer, 100, 65 * SECOND, 60 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 0);
	begin(writer);
	ck_assert_int_eq(put_text(writer, "young", "", true, 80 * SECOND), SPOOL_OK);
	commit(writer);
	ck_assert_int_eq(spool_prune(writer, 100, 100 * SECOND, 61 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 50);
	/* Where the newest only are kept nothing waits. */
	begin(writer);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "ahead%d", i);
		ck_assert_int_eq(put_text(writer, key, "", true, 900 * SECOND), SPOOL_OK);
	}
	commit(writer);
	ck_assert_int_eq(
	    spool_prune(writer, 30, 100 * SECOND, 100 * SECOND + 1, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 30);
	ck_assert_int_eq(
	    spool_prune(writer, 30, 100 * SECOND, 100 * SECOND + 1, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 21);
	spool_writer_close(writer);
}
END_TEST

/* More than one pass looks at; `renewed`: another process goes on after the second one. */
static void
expect_dated(bool renewed)
{
	struct spool_writer *writer = open_writer();
	struct spool_pruned pruned;
	char key[32];
	int64_t now = 60 * SECOND;

	begin(writer);
	ck_assert_int_eq(put_text(writer, "young", "", true, now - SECOND), SPOOL_OK);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "ahead%d", i);
		ck_assert_int_eq(put_text(writer, key, "", true, 900 * SECOND), SPOOL_OK);
	}
	commit(writer);
	for (int pass = 0; pass == 0 || pruned.more; pass++, now += SECOND) {
		ck_assert_int_lt(pass, 20);
		if (pass == 2 && renewed) {
			spool_writer_close(writer);
			writer = open_writer();
		}
		ck_assert_int_eq(
		    spool_prune(writer, 10, now, now - 50 * SECOND, &pruned), SPOOL_OK);
		ck_assert_uint_eq(pruned.removed, 0);
	}
	/* All go as if they had been put then. */
	ck_assert_int_eq(spool_prune(writer, 100, now + SECOND, now, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 51);
	ck_assert(!pruned.more);
	spool_writer_close(writer);
}

START_TEST(test_prune_ahead_in_passes)
{
	expect_dated(false);
	expect_dated(true);
}
END_TEST

/* While the clock is not believed nothing goes by it, nor is dated by it. */
START_TEST(test_prune_clock_behind)
{
	struct spool_writer *writer = open_writer();
	struct spool_pruned pruned;

	begin(writer);
	ck_assert_int_eq(put_text(writer, "a", "", true, 900 * SECOND), SPOOL_OK);
	ck_assert_int_eq(put_text(writer, "b", "", true, 901 * SECOND), SPOOL_OK);
	commit(writer);
	ck_assert_int_eq(spool_prune(writer, 100, 1 * SECOND, 0, &pruned), SPOOL_OK);
	ck_assert_int_eq(spool_prune(writer, 100, 902 * SECOND, 800 * SECOND, &pruned), SPOOL_OK);
	ck_assert_uint_eq(pruned.removed, 0);
	spool_writer_close(writer);
}
END_TEST

START_TEST(test_shipped_file)
{
	static const char *const broken[] = {"", "12", "12 me", "x me\n", "-1 me\n", "12 other\n",
	    "99999999999999999999999999 me\n", "12 me\n\n more", "\0\0\0"};

	ck_assert_uint_eq(spool_shipped(directory, "me"), 0);
	ck_assert(spool_set_shipped(directory, "me", 42));
	ck_assert(spool_set_shipped(directory, "me", UINT64_MAX - 1));
	ck_assert_uint_eq(spool_shipped(directory, "me"), UINT64_MAX - 1);
	ck_assert_uint_eq(spool_shipped(directory, "other"), 0);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		FILE *file = fopen(path_of("shipped"), "w");
		fputs(broken[i], file);
		fclose(file);
		const uint64_t got = spool_shipped(directory, "me");
		ck_assert_msg(
		    got == 0 || (i == 7 && got == 12), "%zu: %llu", i, (unsigned long long)got);
	}
}
END_TEST

/* --- full
 * ------------------------------------------------------------------------------------------ */

START_TEST(test_full)
{
	struct spool_writer *writer = open_sized(1 << 20);
	struct spool_pruned pruned;
	struct spool_usage usage;
	char key[32], text[1000];
	int committed = 0, held = 0;
	enum spool_result result = SPOOL_OK;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	while (result == SPOOL_OK && committed < 10000) {
		begin(writer);
		for (int i = 0; result == SPOOL_OK && i < 10; i++) {
			snprintf(key, sizeof(key), "%08d", committed + i);
			result = put_text(writer, key, text, true, SECOND);
		}
		if (result == SPOOL_OK) {
			commit(writer);
			committed += 10;
		} else
			spool_abort(writer);
	}
	ck_assert_int_eq(result, SPOOL_FULL);
	ck_assert_int_gt(committed, 300);
	/* Full means full for rows; a note still fits, and nothing is lost. */
	begin(writer);
	ck_assert_int_eq(spool_note(writer, "position", text, 100), SPOOL_OK);
	commit(writer);
	ck_assert_int_eq(spool_usage(writer, &usage), SPOOL_OK);
	ck_assert_uint_eq(usage.rows, (uint64_t)committed);
	ck_assert_uint_gt(usage.bytes, usage.limit / 10 * 9);
	/* What is shipped goes, and there is room again. */
	spool_writer_close(writer);
	ck_assert(spool_set_shipped(directory, identity_of(), (uint64_t)committed / 2));
	writer = open_sized(1 << 20);
	for (held = committed; held > committed / 2; held -= (int)pruned.removed) {
		ck_assert_int_eq(spool_prune(writer, 50, SECOND, 0, &pruned), SPOOL_OK);
		ck_assert_uint_gt(pruned.removed, 0);
	}
	begin(writer);
	put(writer, "new", text, false);
	commit(writer);
	ck_assert_int_eq(spool_usage(writer, &usage), SPOOL_OK);
	ck_assert_uint_eq(usage.rows, (uint64_t)(committed - committed / 2 + 1));
	spool_writer_close(writer);
}
END_TEST

/* --- kill -9
 * --------------------------------------------------------------------------------------- */

/* Transaction n puts the rows n.0 to n.9 and notes n. Never ends by itself. */
static void
write_for_ever(void)
{
	const char *problem;
	struct spool_writer *writer = spool_writer_open(directory, (gid_t)-1, 32 * MAP, &problem);
	char text[32] = "0", key[32];
	size_t length;

	if (writer == NULL ||
	    spool_get_note(writer, "n", text, sizeof(text) - 1, &length) == SPOOL_UNUSABLE)
		_exit(1);
	for (int n = atoi(text) + 1;; n++) {
		if (spool_begin(writer) != SPOOL_OK)
			_exit(2);
		for (int i = 0; i < 10; i++) {
			snprintf(key, sizeof(key), "%d.%d", n, i);
			if (put_text(writer, key, "row", i % 2 == 0, SECOND) != SPOOL_OK)
				_exit(3);
		}
		snprintf(text, sizeof(text), "%d", n);
		if (spool_note(writer, "n", text, sizeof(text)) != SPOOL_OK ||
		    spool_commit(writer) != SPOOL_OK)
			_exit(4);
	}
}

static bool
count_entry(const struct spool_entry *entry, void *context)
{
	(void)entry;
	++*(int *)context;
	return true;
}

START_TEST(test_kill)
{
	struct timespec pause = {0, 0};
	int before = 0;

	srand((unsigned)getpid());
	/* Where the machine has no time for the writer, he gets more rounds. */
	for (int round = 0; round < 25 || (before == 0 && round < 500); round++) {
		int status, rows = 0;
		const pid_t child = fork();
		if (child == 0)
			write_for_ever();
		pause.tv_nsec = 5000000 + rand() % 40000000;
		nanosleep(&pause, NULL);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		ck_assert_msg(WIFSIGNALED(status), "the writer ended with %d", status);
		struct spool_reader *reader = spool_reader_new(directory);
		const enum spool_result result = spool_read(reader, 0, count_entry, &rows);
		ck_assert(result == SPOOL_OK || (result == SPOOL_NOT_FOUND && before == 0));
		spool_reader_free(reader);
		ck_assert_int_eq(rows % 10, 0);
		ck_assert_int_ge(rows, before);
		before = rows;
	}
	ck_assert_int_gt(before, 0);
	struct spool_writer *writer = open_writer();
	char text[32];
	size_t length;
	ck_assert_str_eq(spool_set_aside(writer), "");
	ck_assert_int_eq(spool_get_note(writer, "n", text, sizeof(text), &length), SPOOL_OK);
	ck_assert_int_eq(atoi(text) * 10, before);
	spool_writer_close(writer);
}
END_TEST

/* --- a reader beside the writer ------------------------------------------------------------------
 */

START_TEST(test_reader_beside)
{
	struct spool_writer *writer = open_writer();
	int status, last = 0;

	spool_writer_close(writer);
	const pid_t child = fork();
	if (child == 0)
		write_for_ever();
	struct spool_reader *reader = spool_reader_new(directory);
	/* Where the machine has no time for the writer, he is waited for. */
	for (int i = 0; i < 200 || (last == 0 && i < 40000); i++) {
		int rows = 0;
		ck_assert_int_eq(spool_read(reader, 0, count_entry, &rows), SPOOL_OK);
		ck_assert_int_eq(rows % 10, 0);
		ck_assert_int_ge(rows, last);
		last = rows;
		const struct timespec pause = {0, 500000};
		nanosleep(&pause, NULL);
	}
	spool_reader_free(reader);
	ck_assert_int_gt(last, 0);
	ck_assert_int_eq(waitpid(child, &status, WNOHANG), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
}
END_TEST

START_TEST(test_one_writer)
{
	struct spool_writer *writer = open_writer();
	const char *problem;

	ck_assert_ptr_null(spool_writer_open(directory, (gid_t)-1, MAP, &problem));
	ck_assert_msg(strstr(problem, "another mxhold-queued") != NULL, "%s", problem);
	spool_writer_close(writer);
	spool_writer_close(open_writer());
}
END_TEST

/* --- damage --------------------------------------------------------------------------------------
 */

static void
make_some(void)
{
	struct spool_writer *writer = open_writer();
	char key[32];

	begin(writer);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key%05d", i);
		put(writer, key, "a row that will be damaged", false);
	}
	commit(writer);
	spool_writer_close(writer);
}

/* Overwrites `length` bytes from `offset` with what is no LMDB page. */
static void
damage(const char *name, off_t offset, size_t length)
{
	const int file = open(path_of(name), O_RDWR);
	char garbage[4096];

	memset(garbage, 0xa5, sizeof(garbage));
	ck_assert_int_ge(file, 0);
	for (size_t done = 0; done < length; done += sizeof(garbage))
		ck_assert_int_gt(pwrite(file, garbage, sizeof(garbage), offset + (off_t)done), 0);
	close(file);
}

/* The newest entry of LMDB's list of free pages, its database 0. */
static size_t
free_list_entry(char *out, size_t size)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;

	ck_assert_int_eq(mdb_env_create(&env), 0);
	ck_assert_int_eq(mdb_env_open(env, path_of("queued/spool"), MDB_RDONLY, 0), 0);
	ck_assert_int_eq(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	ck_assert_int_eq(mdb_cursor_open(txn, 0, &cursor), 0);
	ck_assert_int_eq(mdb_cursor_get(cursor, &key, &value, MDB_LAST), 0);
	ck_assert_uint_le(value.mv_size, size);
	ck_assert_uint_ge(value.mv_size, 2 * sizeof(size_t));
	const size_t length = value.mv_size;
	memcpy(out, value.mv_data, length);
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	return length;
}

/* Writes the number of a page that is none into it. */
static void
break_free_list(void)
{
	static char file_bytes[MAP];
	const size_t wrong = SIZE_MAX / 2;
	char entry[4096];
	const size_t length = free_list_entry(entry, sizeof(entry));
	const int file = open(path_of("queued/spool/data.mdb"), O_RDWR);
	const ssize_t have = pread(file, file_bytes, sizeof(file_bytes), 0);
	int changed = 0;

	ck_assert_int_gt(have, 0);
	for (char *at = file_bytes;
	     (at = memmem(at, (size_t)(file_bytes + have - at), entry, length)) != NULL;
	     at++, changed++)
		ck_assert_int_gt(
		    pwrite(file, &wrong, sizeof(wrong), at - file_bytes + (ssize_t)sizeof(size_t)),
		    0);
	ck_assert_int_gt(changed, 0);
	close(file);
}

static void
expect_set_aside(const char *where)
{
	struct spool_writer *writer = open_writer();
	struct stat status;
	int rows = 0;

	ck_assert_str_eq(spool_set_aside(writer), path_of(where));
	ck_assert_int_eq(stat(path_of(where), &status), 0);
	ck_assert_int_eq(spool_each_open(writer, count_entry, &rows), SPOOL_OK);
	ck_assert_int_eq(rows, 0);
	begin(writer);
	put(writer, "new", "row", false);
	commit(writer);
	spool_writer_close(writer);
	ck_assert_str_eq(read_after(0), "new=row;");
}

/* Writes one byte over the beginning of `words`, in old copies of pages too. */
static void
damage_words(const char *words)
{
	static char bytes[MAP];
	const int file = open(path_of("queued/spool/data.mdb"), O_RDWR);
	const ssize_t have = pread(file, bytes, sizeof(bytes), 0);
	int changed = 0;

	ck_assert_int_gt(have, 0);
	for (char *at = bytes;
	     (at = memmem(at, (size_t)(bytes + have - at), words, strlen(words))) != NULL;
	     at++, changed++)
		ck_assert_int_eq(pwrite(file, "#", 1, at - bytes), 1);
	ck_assert_int_gt(changed, 0);
	close(file);
}

static void
put_three(struct spool_writer *writer)
{
	begin(writer);
	put(writer, "a", "the first", true);
	put(writer, "b", "the second", false);
	put(writer, "c", "the third", true);
	commit(writer);
}

/* Whoever counts what he has read by its numbers must not count a row that he was not shown. */
START_TEST(test_reading_ends_at_damage)
{
	struct spool_writer *writer = open_writer();
	struct spool_reader *reader = spool_reader_new(directory);

	put_three(writer);
	spool_writer_close(writer);
	damage_words("the second");
	for (uint64_t after = 0; after < 2; after++) {
		seen[0] = '\0';
		last_seq = after;
		ck_assert_int_eq(spool_read(reader, after, note_entry, NULL), SPOOL_UNUSABLE);
		ck_assert_str_eq(seen, after == 0 ? "a=the first!;" : "");
	}
	spool_reader_free(reader);
	ck_assert_str_eq(read_after(2), "c=the third!;");
}
END_TEST

/* The writer finds a damaged row while it is open, removes nothing, and a new one sets it aside. */
static const struct {
	const char *words;
	uint64_t shipped; /* the shipper says so */
	int rows;         /* put before those three, and sound */
	int passes;       /* until it is found, at most */
} damaged_rows[] = {
    {"the first", 0, 0, 1}, {"the second", 1, 0, 1}, {"the third", 0, 0, 1},
    {"the first", 3, 0, 1},       /* to be removed */
    {"the first", 3500, 3500, 1}, /* to be shipped next, behind many others */
    {"the third", 0, 3500, 4},    /* not yet, but in turn */
};

START_TEST(test_damaged_row_while_open)
{
	spool_writer_close(open_writer());
	ck_assert(spool_set_shipped(directory, identity_of(), damaged_rows[_i].shipped));
	struct spool_writer *writer = open_writer();
	struct spool_pruned pruned;
	enum spool_result result = SPOOL_OK;
	const char *why;
	char key[32];
	int passes = 0;

	begin(writer);
	for (int i = 0; i < damaged_rows[_i].rows; i++) {
		snprintf(key, sizeof(key), "key%05d", i);
		put(writer, key, "sound", false);
	}
	commit(writer);
	put_three(writer);
	damage_words(damaged_rows[_i].words);
	for (; result == SPOOL_OK && passes < 100; passes++)
		result = spool_prune(writer, 100, 2 * SECOND, 0, &pruned);
	ck_assert_int_eq(result, SPOOL_UNUSABLE);
	ck_assert_int_le(passes, damaged_rows[_i].passes);
	ck_assert_uint_eq(pruned.removed, 0);
	ck_assert(!spool_writer_sound(writer, &why));
	ck_assert_int_eq(spool_begin(writer), SPOOL_UNUSABLE);
	spool_writer_close(writer);
	expect_set_aside("queued/spool.damaged.1");
}
END_TEST

START_TEST(test_damaged_pages)
{
	make_some();
	damage("queued/spool/data.mdb", 2 * 4096, 8 * 4096);
	expect_set_aside("queued/spool.damaged.1");
	make_some();
	damage("queued/spool/data.mdb", 0, 2 * 4096);
	expect_set_aside("queued/spool.damaged.2");
	/* One wrong byte in one row. */
	make_some();
	damage_words("will be damaged");
	expect_set_aside("queued/spool.damaged.3");
}
END_TEST

START_TEST(test_truncated)
{
	make_some();
	ck_assert_int_eq(truncate(path_of("queued/spool/data.mdb"), 3 * 4096), 0);
	expect_set_aside("queued/spool.damaged.1");
}
END_TEST

static void
expect_unusable(void)
{
	struct spool_reader *reader = spool_reader_new(directory);

	ck_assert_int_eq(spool_read(reader, 0, count_entry, NULL), SPOOL_UNUSABLE);
	spool_reader_free(reader);
}

START_TEST(test_other_kinds)
{
	char where[40];
	unsigned aside = 0;

	for (unsigned kind = 0; kind < other_kinds(); kind++) {
		make_some();
		make_other_kind(kind, path_of("queued/spool/data.mdb"));
		expect_unusable();
		snprintf(where, sizeof(where), "queued/spool.damaged.%u", ++aside);
		expect_set_aside(where);
		if (kind == 2)
			continue; /* a folder it is to be */
		ck_assert_int_eq(unlink(path_of("queued/spool/data.mdb")), 0);
		ck_assert_int_eq(unlink(path_of("queued/spool/lock.mdb")), 0);
		make_other_kind(kind, path_of("queued/spool"));
		expect_unusable();
		snprintf(where, sizeof(where), "queued/spool.damaged.%u", ++aside);
		expect_set_aside(where);
	}
}
END_TEST

/* A hole in what is mapped would be a signal where the disk is full. */
START_TEST(test_lock_has_its_blocks)
{
	struct stat status;

	make_some();
	ck_assert_int_eq(stat(path_of("queued/spool/lock.mdb"), &status), 0);
	ck_assert_int_ge(status.st_blocks * 512, status.st_size);
}
END_TEST

START_TEST(test_lock_of_other_kinds)
{
	for (unsigned kind = 0; kind < other_kinds(); kind++) {
		int rows = 0;

		make_some();
		make_other_kind(kind, path_of("queued/spool/lock.mdb"));
		struct spool_writer *writer = open_writer();
		ck_assert_str_eq(spool_set_aside(writer), "");
		ck_assert_int_eq(spool_each_open(writer, count_entry, &rows), SPOOL_OK);
		ck_assert_int_eq(rows, 500);
		spool_writer_close(writer);
	}
}
END_TEST

START_TEST(test_broken_lock)
{
	make_some();
	damage("queued/spool/lock.mdb", 0, 8192);
	struct spool_writer *writer = open_writer();
	int rows = 0;
	ck_assert_str_eq(spool_set_aside(writer), "");
	ck_assert_int_eq(spool_each_open(writer, count_entry, &rows), SPOOL_OK);
	ck_assert_int_eq(rows, 500);
	spool_writer_close(writer);
}
END_TEST

/* The inode of the spool's data.mdb. */
static ino_t
data_inode(void)
{
	struct stat status;

	ck_assert_int_eq(stat(path_of("queued/spool/data.mdb"), &status), 0);
	return status.st_ino;
}

/* Readers of an old lock.mdb are not seen through a new one: their pages must not be reused. */
START_TEST(test_lock_made_anew)
{
	struct spool_writer *writer;
	int rows = 0;

	make_some();
	const ino_t first = data_inode();
	ck_assert_int_eq(unlink(path_of("queued/spool/lock.mdb")), 0);
	writer = open_writer();
	ck_assert_str_eq(spool_set_aside(writer), "");
	ck_assert_uint_ne(data_inode(), first);
	ck_assert_int_eq(spool_each_open(writer, count_entry, &rows), SPOOL_OK);
	ck_assert_int_eq(rows, 500);
	spool_writer_close(writer);
}
END_TEST

/* A reader that stays: its process holds lock.mdb, so that nobody can tell that he is alone. */
static pid_t
reader_that_stays(void)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	const pid_t child = fork();
	if (child == 0) {
		MDB_env *env;
		MDB_txn *txn;
		if (mdb_env_create(&env) != 0 ||
		    mdb_env_open(env, path_of("queued/spool"), MDB_RDONLY | MDB_NOTLS, 0) != 0 ||
		    mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
			_exit(1);
		_exit(write(ends[1], "", 1) == 1 ? pause() : 1);
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return child;
}

START_TEST(test_broken_lock_of_a_reader)
{
	struct spool_writer *writer;
	int rows = 0;

	make_some();
	const ino_t first = data_inode();
	const pid_t reader = reader_that_stays();
	damage("queued/spool/lock.mdb", 0, 4096);
	writer = open_writer();
	ck_assert_str_eq(spool_set_aside(writer), "");
	ck_assert_uint_ne(data_inode(), first);
	ck_assert_int_eq(spool_each_open(writer, count_entry, &rows), SPOOL_OK);
	ck_assert_int_eq(rows, 500);
	spool_writer_close(writer);
	kill(reader, SIGKILL);
	ck_assert_int_eq(waitpid(reader, NULL, 0), reader);
}
END_TEST

/* What becomes of the files while the writer has them open. */
static void
take_away(void)
{
	char away[256];

	snprintf(away, sizeof(away), "%s", path_of("away"));
	ck_assert_int_eq(rename(path_of("queued/spool"), away), 0);
}

static void
cut(void)
{
	ck_assert_int_eq(truncate(path_of("queued/spool/data.mdb"), 4096), 0);
}

static void
remove_lock(void)
{
	ck_assert_int_eq(unlink(path_of("queued/spool/lock.mdb")), 0);
}

static void
overwrite_lock(void)
{
	damage("queued/spool/lock.mdb", 0, 4096);
}

static void
overwrite_metas(void)
{
	damage("queued/spool/data.mdb", 0, 2 * 4096);
}

static void (*const mishaps[])(void) = {
    take_away, cut, remove_lock, overwrite_lock, overwrite_metas};

/* In a child, which leaves by _exit: what is broken is left open. Its exit code. */
static int
after_mishap(void (*mishap)(void))
{
	const char *why = NULL;
	struct spool_writer *writer = open_writer();
	const bool before = spool_writer_sound(writer, &why);

	mishap();
	if (!before || spool_begin(writer) == SPOOL_OK)
		return 1;
	if (spool_writer_sound(writer, &why) || why == NULL)
		return 2;
	spool_writer_close(writer);
	return 0;
}

/* Nothing is written to what nobody would find. */
START_TEST(test_mishap_while_open)
{
	int status = 0;

	make_some();
	const pid_t child = fork();
	if (child == 0)
		_exit(after_mishap(mishaps[_i]));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	/* Whoever opens it anew has a spool again. */
	struct spool_writer *writer = open_writer();
	begin(writer);
	put(writer, "new", "row", false);
	commit(writer);
	spool_writer_close(writer);
}
END_TEST

/* LMDB's list of free pages is read by nobody but the writer, whom a wrong one may kill. */
START_TEST(test_damaged_free_list)
{
	struct spool_writer *writer;
	char key[32];

	make_some();
	writer = open_writer();
	for (int turn = 0; turn < 3; turn++) { /* pages become free */
		begin(writer);
		for (int i = 0; i < 500; i += 3) {
			snprintf(key, sizeof(key), "key%05d", i);
			put(writer, key, turn == 1 ? "another text" : "a third text", false);
		}
		commit(writer);
	}
	spool_writer_close(writer);
	break_free_list();
	expect_set_aside("queued/spool.damaged.1");
}
END_TEST

START_TEST(test_modes)
{
	struct stat status;

	umask(077);
	spool_writer_close(open_writer());
	ck_assert_int_eq(stat(path_of("queued/spool"), &status), 0);
	ck_assert_int_eq(status.st_mode & 07777, 0750);
	ck_assert_int_eq(stat(path_of("queued/spool/data.mdb"), &status), 0);
	ck_assert_int_eq(status.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(path_of("queued/spool/lock.mdb"), &status), 0);
	ck_assert_int_eq(status.st_mode & 07777, 0660);
}
END_TEST

START_TEST(test_no_spool)
{
	struct spool_reader *reader = spool_reader_new(directory);
	char identity[40];
	const char *problem;

	ck_assert_int_eq(spool_read(reader, 0, count_entry, NULL), SPOOL_NOT_FOUND);
	ck_assert_int_eq(spool_identity(reader, identity), SPOOL_NOT_FOUND);
	spool_reader_free(reader);
	ck_assert_ptr_null(spool_writer_open("/nonexistent/x", (gid_t)-1, MAP, &problem));
	ck_assert_msg(strstr(problem, "No such file") != NULL, "%s", problem);
}
END_TEST

int
main(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} tests[] = {
	    {"rows", test_rows},
	    {"numbers", test_numbers_go_on},
	    {"notes", test_open_rows_and_notes},
	    {"prune", test_prune},
	    {"prune many ahead", test_prune_many_ahead},
	    {"prune ahead in passes", test_prune_ahead_in_passes},
	    {"prune clock behind", test_prune_clock_behind},
	    {"shipped", test_shipped_file},
	    {"full", test_full},
	    {"kill", test_kill},
	    {"reader", test_reader_beside},
	    {"one-writer", test_one_writer},
	    {"pages", test_damaged_pages},
	    {"reading-damage", test_reading_ends_at_damage},
	    {"truncated", test_truncated},
	    {"other kinds", test_other_kinds},
	    {"lock of other kinds", test_lock_of_other_kinds},
	    {"lock blocks", test_lock_has_its_blocks},
	    {"lock", test_broken_lock},
	    {"lock-anew", test_lock_made_anew},
	    {"lock-of-reader", test_broken_lock_of_a_reader},
	    {"free-list", test_damaged_free_list},
	    {"modes", test_modes},
	    {"none", test_no_spool},
	};
	Suite *suite = suite_create("spool");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		TCase *part = tcase_create(tests[i].name);
		tcase_add_checked_fixture(part, setup, teardown);
		tcase_set_timeout(part, 60);
		tcase_add_test(part, tests[i].test);
		suite_add_tcase(suite, part);
	}
	TCase *part = tcase_create("mishap");
	tcase_add_checked_fixture(part, setup, teardown);
	tcase_add_loop_test(
	    part, test_mishap_while_open, 0, (int)(sizeof(mishaps) / sizeof(mishaps[0])));
	suite_add_tcase(suite, part);
	part = tcase_create("damaged row");
	tcase_add_checked_fixture(part, setup, teardown);
	tcase_set_timeout(part, 60);
	tcase_add_loop_test(part, test_damaged_row_while_open, 0,
	    (int)(sizeof(damaged_rows) / sizeof(damaged_rows[0])));
	suite_add_tcase(suite, part);
	return table_run(suite);
}
