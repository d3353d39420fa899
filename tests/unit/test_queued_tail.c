/*
 * Tests of queued/tail: each way in which a log is rotated, while it is read and while nobody
 * reads; cut lines, long lines, holes; and a journalctl of the test's own. Lines are `removed` of
 * numbered ids; what was read is shown as those numbers.
 */
#include "queued/tail.h"

#include "tests/unit/table.h"

#include <sys/stat.h>
#include <unistd.h>

#define NOW 1793577600

static char directory[64], path[128], seen[65536], position[TAIL_POSITION_SIZE];
static struct tail *tail;
static int refuse_at;

static void
setup(void)
{
	setenv("TZ", "UTC", 1);
	snprintf(directory, sizeof(directory), "/tmp/test-tail.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/mail.log", directory);
	tail = tail_new(path);
	seen[0] = position[0] = '\0';
	refuse_at = -1;
}

static void
shell(const char *script)
{
	char command[1024];

	ck_assert_int_lt(
	    snprintf(command, sizeof(command), "set -e; cd %s; %s", directory, script), 1024);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static void
teardown(void)
{
	char command[128];

	tail_free(tail);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static void
append_bytes(const char *name, const char *bytes, size_t length)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", directory, name);
	FILE *file = fopen(full, "a");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
	fclose(file);
}

/* The lines from `first` to `last`. */
static void
append(const char *name, int first, int last)
{
	char line[128];

	for (int i = first; i <= last; i++) {
		const int length = snprintf(
		    line, sizeof(line), "Nov  1 02:03:04 eu postfix/qmgr[1]: %05d: removed\n", i);
		append_bytes(name, line, (size_t)length);
	}
}

static bool
visit(const struct maillog_event *event, void *context)
{
	const size_t used = strlen(seen);

	(void)context;
	if (event->kind == MAILLOG_NONE)
		return true;
	if (atoi(event->queue_id) == refuse_at)
		return false;
	snprintf(seen + used, sizeof(seen) - used, "%d ", atoi(event->queue_id));
	return true;
}

/* Reads until there is no more, `most` lines at a time. */
static enum tail_state
read_most(unsigned most)
{
	enum tail_state state;
	int turns = 0;

	do {
		state = tail_read(tail, NOW, most, visit, NULL);
		ck_assert_int_lt(++turns, 1000);
	} while (state == TAIL_MORE);
	return state;
}

static void
expect(const char *numbers)
{
	ck_assert_int_eq(read_most(3), TAIL_END);
	ck_assert_str_eq(seen, numbers);
	seen[0] = '\0';
}

static void
restart(void)
{
	ck_assert(tail_position(tail, position));
	tail_free(tail);
	tail = tail_new(path);
	tail_seek(tail, position);
}

START_TEST(test_grows)
{
	append("mail.log", 1, 3);
	expect("1 2 3 ");
	expect("");
	append("mail.log", 4, 5);
	expect("4 5 ");
	restart();
	expect("");
	append("mail.log", 6, 7);
	restart();
	expect("6 7 ");
}
END_TEST

START_TEST(test_each_position)
{
	append("mail.log", 1, 9);
	for (int i = 1; i <= 9; i++) { /* a restart behind each line */
		ck_assert_int_eq(tail_read(tail, NOW, 1, visit, NULL), TAIL_MORE);
		restart();
	}
	expect("1 2 3 4 5 6 7 8 9 ");
}
END_TEST

START_TEST(test_stopped)
{
	append("mail.log", 1, 5);
	refuse_at = 3;
	ck_assert_int_eq(read_most(10), TAIL_STOPPED);
	ck_assert_int_eq(read_most(10), TAIL_STOPPED);
	ck_assert_str_eq(seen, "1 2 ");
	restart(); /* the position is in front of it */
	refuse_at = -1;
	expect("1 2 3 4 5 ");
}
END_TEST

START_TEST(test_renamed)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	shell("mv mail.log mail.log.1");
	append("mail.log.1", 3, 3); /* its writer has not heard of it yet */
	expect("3 ");
	shell("touch mail.log");
	append("mail.log.1", 4, 4);
	expect("4 ");
	append("mail.log.1", 5, 5);
	append("mail.log", 6, 6);
	expect("5 6 ");
	append("mail.log", 7, 7);
	expect("7 ");
}
END_TEST

START_TEST(test_copied_and_truncated)
{
	append("mail.log", 1, 3);
	expect("1 2 3 ");
	append("mail.log", 4, 5); /* not read before the copy */
	shell("cp mail.log mail.log.1; : >mail.log");
	append("mail.log", 6, 7);
	expect("4 5 6 7 ");
	/* Truncated, and grown beyond where we were. */
	shell("cp mail.log mail.log.1; : >mail.log");
	append("mail.log", 10, 30);
	ck_assert_int_eq(read_most(100), TAIL_END);
	ck_assert_msg(strncmp(seen, "10 11 ", 6) == 0, "%s", seen);
}
END_TEST

START_TEST(test_truncated_without_copy)
{
	append("mail.log", 1, 3);
	expect("1 2 3 ");
	shell(": >mail.log");
	append("mail.log", 6, 6);
	ck_assert_int_eq(tail_read(tail, NOW, 1, visit, NULL), TAIL_MORE);
	ck_assert_msg(strstr(tail_problem(tail), "no copy") != NULL, "%s", tail_problem(tail));
	expect("6 ");
	ck_assert_msg(strstr(tail_problem(tail), "no copy") != NULL, "%s", tail_problem(tail));
	ck_assert_int_eq(tail_read(tail, NOW + 3600, 1, visit, NULL), TAIL_END);
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

/* What was lost is shown for an hour, also if all is read in the turn that found it. */
START_TEST(test_loss_is_shown)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	shell("mv mail.log gone");
	append("mail.log", 9, 9);
	restart();
	expect("9 ");
	ck_assert_msg(strstr(tail_problem(tail), "gone, lines") != NULL, "%s", tail_problem(tail));
	ck_assert_int_eq(tail_read(tail, NOW + 3599, 9, visit, NULL), TAIL_END);
	ck_assert_msg(strstr(tail_problem(tail), "gone, lines") != NULL, "%s", tail_problem(tail));
	ck_assert_int_eq(tail_read(tail, NOW + 3600, 9, visit, NULL), TAIL_END);
	ck_assert_str_eq(tail_problem(tail), "");
	ck_assert_int_eq(tail_read(tail, NOW + 10, 9, visit, NULL), TAIL_END);
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

START_TEST(test_missing)
{
	ck_assert_int_eq(read_most(3), TAIL_MISSING);
	ck_assert_msg(strstr(tail_problem(tail), "No such file") != NULL, "%s", tail_problem(tail));
	append("mail.log", 1, 2);
	expect("1 2 ");
	ck_assert_str_eq(tail_problem(tail), "");
	shell("rm mail.log");
	expect("");
	append("mail.log", 3, 4);
	expect("3 4 ");
	shell("rm mail.log; mkdir mail.log");
	restart();
	ck_assert_int_eq(read_most(3), TAIL_MISSING);
	ck_assert_msg(strstr(tail_problem(tail), "no file") != NULL, "%s", tail_problem(tail));
}
END_TEST

START_TEST(test_replaced_by_shorter)
{
	append("mail.log", 1, 5);
	expect("1 2 3 4 5 ");
	append("new", 8, 9);
	shell("mv new mail.log");
	expect("8 9 ");
	append("new", 11, 11);
	shell("mv new mail.log");
	restart();
	expect("11 ");
}
END_TEST

static void
rotated_while_down(const char *script, const char *expected)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 4);
	shell(script);
	append("mail.log", 9, 9);
	restart();
	expect(expected);
	restart();
	append("mail.log", 10, 10);
	expect("10 ");
}

START_TEST(test_down_renamed)
{
	rotated_while_down("mv mail.log mail.log.1", "3 4 9 ");
}
END_TEST

START_TEST(test_down_compressed)
{
	rotated_while_down("mv mail.log mail.log.1; gzip mail.log.1", "3 4 9 ");
}
END_TEST

START_TEST(test_down_dated)
{
	rotated_while_down("mv mail.log mail.log-20261101", "3 4 9 ");
}
END_TEST

START_TEST(test_down_copied)
{
	rotated_while_down("cp mail.log mail.log.1; : >mail.log", "3 4 9 ");
}
END_TEST

START_TEST(test_down_twice)
{
	append("a", 5, 6);
	rotated_while_down(
	    "mv mail.log mail.log.2; gzip mail.log.2; mv a mail.log.1; "
	    "touch -d '1 hour ago' mail.log.2.gz; touch -d '1 minute ago' mail.log.1",
	    "3 4 5 6 9 ");
}
END_TEST

/* The log is a link: it is rotated where that leads. */
static void
make_link(void)
{
	shell("mkdir real; touch real/mail.log; ln -s real/mail.log mail.log");
}

START_TEST(test_link_down)
{
	static const char *const scripts[] = {
	    "mv real/mail.log real/mail.log.1",
	    "mv real/mail.log real/mail.log.1; gzip real/mail.log.1",
	    "cp real/mail.log real/mail.log.1; : >real/mail.log",
	    "mv real/mail.log mail.log.1", /* beside the link */
	};

	make_link();
	rotated_while_down(scripts[_i], "3 4 9 ");
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

/* It leads elsewhere since, and what was read was rotated away meanwhile. */
START_TEST(test_link_switched)
{
	make_link();
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 4);
	shell("mv real/mail.log real/mail.log.2; touch -d '1 hour ago' real/mail.log.2");
	append("real/mail.log.1", 5, 6);
	append("two.log", 9, 9);
	shell("ln -sfn two.log mail.log");
	expect("3 4 5 6 9 ");
	restart();
	append("mail.log", 10, 10);
	expect("10 ");
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

/* The folder is a link: each rotated file is found by two names, and read once. */
START_TEST(test_link_to_folder)
{
	shell("mkdir real; ln -s real log; touch -d '2 hours ago' real/mail.log.3");
	tail_free(tail);
	snprintf(path, sizeof(path), "%s/log/mail.log", directory);
	tail = tail_new(path);
	append("log/mail.log", 1, 2);
	expect("1 2 ");
	append("log/mail.log", 3, 4);
	shell("mv real/mail.log real/mail.log.2; touch -d '1 hour ago' real/mail.log.2");
	append("log/mail.log.1", 5, 6);
	append("log/mail.log", 9, 9);
	restart();
	expect("3 4 5 6 9 ");
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

/* However many older ones there are: names of dates sort the newest one last. */
START_TEST(test_down_many)
{
	char name[64];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "mail.log-20250%03d", i);
		append(name, 1000 + i, 1000 + i);
	}
	shell("touch -d '2 days ago' mail.log-*");
	append("b", 5, 5);
	rotated_while_down("mv mail.log mail.log-20261101; mv b mail.log-20261102; "
			   "touch -d '1 day ago' mail.log-20261101",
	    "3 4 5 9 ");
	ck_assert_str_eq(tail_problem(tail), "");
}
END_TEST

/* Renamed, but its writer has not been told yet: he goes on in the renamed one. */
START_TEST(test_down_not_told)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 3);
	shell("mv mail.log mail.log.1; : >mail.log");
	restart();
	expect("3 ");
	append("mail.log.1", 4, 4);
	expect("4 ");
	restart();
	append("mail.log.1", 5, 5);
	append("mail.log", 9, 9);
	expect("5 9 ");
}
END_TEST

/* The same, and it is not there yet; or it was copied. */
START_TEST(test_down_no_new_one)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 3);
	shell("mv mail.log mail.log-20261101");
	restart();
	expect("3 ");
	append("mail.log-20261101", 4, 4);
	expect("4 ");
	append("mail.log", 5, 5);
	expect("5 ");
	append("mail.log", 6, 6);
	shell("cp mail.log mail.log-20261102; : >mail.log");
	restart();
	expect("6 ");
	append("mail.log", 7, 7);
	expect("7 ");
}
END_TEST

/* Twice, while nobody looked, though the first one is still open. */
START_TEST(test_renamed_twice)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 4);
	shell("mv mail.log mail.log.1");
	append("mail.log", 5, 6);
	shell("gzip mail.log.1; mv mail.log.1.gz mail.log.2.gz; mv mail.log mail.log.1");
	append("mail.log", 7, 7);
	expect("3 4 5 6 7 ");
	append("mail.log", 8, 8);
	shell("mv mail.log mail.log.0");
	append("mail.log", 9, 9);
	shell("mv mail.log mail.log-1; : >mail.log");
	expect("8 9 ");
	append("mail.log", 10, 10);
	expect("10 ");
}
END_TEST

/* Names change under whoever reads rotated ones. */
START_TEST(test_down_renamed_meanwhile)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 4);
	shell("mv mail.log mail.log.2; touch -d '2 hours ago' mail.log.2");
	append("mail.log.1", 5, 6);
	shell("touch -d '1 hour ago' mail.log.1");
	append("mail.log", 7, 8);
	restart();
	ck_assert_int_eq(tail_read(tail, NOW, 1, visit, NULL), TAIL_MORE);
	shell("mv mail.log.2 mail.log.3; mv mail.log.1 mail.log.2; mv mail.log mail.log.1");
	append("mail.log", 9, 9);
	expect("3 4 5 6 7 8 9 ");
}
END_TEST

START_TEST(test_down_being_compressed)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 4);
	shell("mv mail.log mail.log.1; gzip <mail.log.1 | head -c -12 >mail.log.1.gz");
	append("mail.log", 9, 9);
	restart();
	expect("3 4 9 ");
}
END_TEST

START_TEST(test_down_gone)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	shell("rm mail.log");
	append("mail.log", 9, 9);
	restart();
	(void)tail_read(tail, NOW, 1, visit, NULL);
	ck_assert_msg(strstr(tail_problem(tail), "gone") != NULL, "%s", tail_problem(tail));
	expect("9 ");
}
END_TEST

/* Killed while a rotated file was read. */
START_TEST(test_down_again)
{
	append("mail.log", 1, 2);
	expect("1 2 ");
	append("mail.log", 3, 6);
	shell("mv mail.log mail.log.1; gzip mail.log.1");
	append("mail.log", 9, 9);
	for (int i = 0; i < 4; i++) {
		restart();
		ck_assert_int_eq(tail_read(tail, NOW, 1, visit, NULL), TAIL_MORE);
	}
	restart();
	expect("3 4 5 6 9 ");
}
END_TEST

START_TEST(test_partial)
{
	static const char line[] = "Nov  1 02:03:04 eu postfix/qmgr[1]: 00007: removed\n";

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		append_bytes("mail.log", line + i, 1);
		ck_assert_int_eq(read_most(10), TAIL_END);
		ck_assert_str_eq(seen, i + 2 == sizeof(line) ? "7 " : "");
		restart();
	}
	/* The last line of a renamed file never gets its end. */
	append_bytes("mail.log", line, 20);
	ck_assert_int_eq(read_most(10), TAIL_END);
	shell("mv mail.log mail.log.1");
	append("mail.log", 8, 8);
	ck_assert_int_eq(read_most(10), TAIL_END);
	ck_assert_str_eq(seen, "7 8 ");
}
END_TEST

START_TEST(test_long_lines)
{
	static const size_t lengths[] = {TAIL_LINE_MAX - 1, TAIL_LINE_MAX, TAIL_LINE_MAX + 1,
	    3 * TAIL_LINE_MAX, 3 * TAIL_LINE_MAX + 17};
	static char filler[4 * TAIL_LINE_MAX];

	memset(filler, 'x', sizeof(filler));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		append("mail.log", 1, 1);
		append_bytes("mail.log", filler, lengths[i]);
		ck_assert_int_eq(read_most(10), TAIL_END);
		/* What follows looks like a line, and is within the long one. */
		append_bytes(
		    "mail.log", "Nov  1 02:03:04 eu postfix/qmgr[1]: 00666: removed\n", 51);
		append("mail.log", 2, 2);
		restart();
		expect("1 2 ");
	}
}
END_TEST

START_TEST(test_holes)
{
	char zeros[5000] = {0};

	append("mail.log", 1, 1);
	append_bytes("mail.log", zeros, sizeof(zeros));
	append("mail.log", 2, 2);
	append_bytes("mail.log", "a\0b\n\0\n\n", 7);
	append("mail.log", 3, 3);
	expect("1 2 3 ");
}
END_TEST

START_TEST(test_bad_positions)
{
	static const char *const bad[] = {"", "file", "file 1 2 3", "file 1 99999 0 0",
	    "file -1 0 0 -5", "file 1 1 0 5 more", "file 1 1 0 9999999999999999999",
	    "file 99999999999999999999999 0 0 0", "journald 5 s=1", "\xff\xff"};

	append("mail.log", 1, 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tail_seek(tail, bad[i]);
		expect("1 2 ");
	}
}
END_TEST

/* --- journald
 * --------------------------------------------------------------------------------------- */

static void
journalctl(const char *script)
{
	FILE *file;
	char full[256];

	snprintf(full, sizeof(full), "%s/journalctl", directory);
	file = fopen(full, "w");
	fprintf(file, "#!/bin/sh\necho \"$@\" >>%s/asked\n%s\n", directory, script);
	fclose(file);
	ck_assert_int_eq(chmod(full, 0700), 0);
}

/* Until it is in this state and the lines are those: each of a script's may come by itself. */
static enum tail_state
journal_read(enum tail_state until, const char *lines)
{
	enum tail_state state = TAIL_END;

	for (int i = 0; i < 2000; i++) {
		state = tail_read(tail, NOW, 2, visit, NULL);
		if (state == until && strcmp(seen, lines) == 0)
			break;
		usleep(10000);
	}
	return state;
}

#define ENTRY(cursor, id)                                                                          \
	"echo '{\"__CURSOR\":\"" cursor "\",\"__REALTIME_TIMESTAMP\":\"1793500000000000\","        \
	"\"SYSLOG_IDENTIFIER\":\"postfix/qmgr\",\"MESSAGE\":\"" id ": removed\"}'\n"

START_TEST(test_journald)
{
	char command[256];

	tail_free(tail);
	tail = tail_new(TAIL_JOURNALD);
	snprintf(command, sizeof(command), "%s/journalctl", directory);
	tail_set_journalctl(tail, command);
	journalctl(ENTRY("s=1", "00001") "echo 'no json'\n" ENTRY("s=2", "00002") "exec sleep 60");
	ck_assert_int_eq(journal_read(TAIL_END, "1 2 "), TAIL_END);
	ck_assert_str_eq(seen, "1 2 ");
	ck_assert(tail_position(tail, position));
	ck_assert_str_eq(position, "journald 1793500000000000 s=2");
	/* It dies, and is started again behind the last line. */
	tail_free(tail);
	tail = tail_new(TAIL_JOURNALD);
	tail_set_journalctl(tail, command);
	tail_seek(tail, position);
	seen[0] = '\0';
	journalctl(ENTRY("s=2", "00002") ENTRY("s=3", "00003") "exit 1");
	ck_assert_int_eq(journal_read(TAIL_MISSING, "3 "), TAIL_MISSING);
	ck_assert_msg(strstr(tail_problem(tail), "ended") != NULL, "%s", tail_problem(tail));
	ck_assert_str_eq(seen, "3 "); /* not the line that was taken before */
	seen[0] = '\0';
	/* An entry that is no text comes as numbers. Its first line is another: some are lost. */
	journalctl(
	    "echo '{\"__CURSOR\":\"s=4\",\"__REALTIME_TIMESTAMP\":\"1793500000000001\","
	    "\"SYSLOG_IDENTIFIER\":\"postfix/qmgr\",\"MESSAGE\":[48,48,48,48,52,58,32,114,101,"
	    "109,111,118,101,100]}'\nexec sleep 60");
	ck_assert_int_eq(journal_read(TAIL_END, "4 "), TAIL_END);
	ck_assert_str_eq(seen, "4 ");
	ck_assert_str_eq(tail_problem(tail), "lines of Postfix are lost: systemd's journal was cut "
					     "and no longer has those from 2026-11-01T02:26:40Z");
	shell("grep -q -- '--boot' asked; grep -q -- '--cursor=s=2 ' asked; "
	      "grep -q -- '--cursor=s=3 ' asked");
}
END_TEST

START_TEST(test_journald_cursor_gone)
{
	char command[256];

	tail_free(tail);
	tail = tail_new(TAIL_JOURNALD);
	snprintf(command, sizeof(command), "%s/journalctl", directory);
	tail_set_journalctl(tail, command);
	tail_seek(tail, "journald 1793500000000000 s=gone");
	journalctl("case $* in *--cursor*) echo 'Failed to seek to cursor' >&2; exit 1 ;; "
		   "esac\n" ENTRY("s=5", "00005") "exec sleep 60");
	ck_assert_int_eq(journal_read(TAIL_END, "5 "), TAIL_END);
	ck_assert_str_eq(seen, "5 ");
	shell("grep -q -- '--since=@1793500000.000001 ' asked");
}
END_TEST

/* While nothing is certain the end is not claimed: a journalctl that says nothing may be busy. */
START_TEST(test_journald_later)
{
	char command[256];

	tail_free(tail);
	tail = tail_new(TAIL_JOURNALD);
	snprintf(command, sizeof(command), "%s/journalctl", directory);
	tail_set_journalctl(tail, command);
	journalctl("i=0; while [ $i -lt 5000 ]; do echo 'a complaint of journalctl' >&2; "
		   "i=$((i + 1)); done\n" ENTRY("s=6", "00006") "exec sleep 60");
	ck_assert_int_eq(tail_read(tail, NOW, 2, visit, NULL), TAIL_LATER);
	/* More complaints than a pipe holds do not stop it. */
	ck_assert_int_eq(journal_read(TAIL_LATER, "6 "), TAIL_LATER);
	ck_assert_str_eq(seen, "6 ");
	ck_assert_int_eq(journal_read(TAIL_END, "6 "), TAIL_END);
	/* The entry behind which it goes on was moved to another file. In the next one fields stand
	 * twice, one of them as bytes: the first counts. */
	journalctl("echo '{\"__CURSOR\":\"s=7;b=1;m=1\",\"__REALTIME_TIMESTAMP\":\"4\","
		   "\"SYSLOG_IDENTIFIER\":\"postfix/qmgr\",\"MESSAGE\":\"00007: removed\"}'\n"
		   "echo '{\"__CURSOR\":\"s=7;b=1;m=2\",\"__REALTIME_TIMESTAMP\":\"5\","
		   "\"SYSLOG_IDENTIFIER\":[\"postfix/qmgr\",\"x\"],\"MESSAGE\":"
		   "[[48,48,48,48,56,58,32,114,101,109,111,118,101,100],\"y\"]}'\nexec sleep 60");
	seen[0] = '\0';
	tail_seek(tail, "journald 4 s=1;b=1;m=1");
	ck_assert_int_eq(journal_read(TAIL_END, "8 "), TAIL_END);
	ck_assert_str_eq(seen, "8 ");
	ck_assert_str_eq(tail_problem(tail), "");
	ck_assert(tail_position(tail, position));
	ck_assert_str_eq(position, "journald 5 s=7;b=1;m=2");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tail");
	TCase *part = tcase_create("tail");

	tcase_add_checked_fixture(part, setup, teardown);
	tcase_set_timeout(part, 30);
	tcase_add_test(part, test_grows);
	tcase_add_test(part, test_each_position);
	tcase_add_test(part, test_stopped);
	tcase_add_test(part, test_renamed);
	tcase_add_test(part, test_copied_and_truncated);
	tcase_add_test(part, test_truncated_without_copy);
	tcase_add_test(part, test_missing);
	tcase_add_test(part, test_replaced_by_shorter);
	tcase_add_test(part, test_down_renamed);
	tcase_add_test(part, test_down_compressed);
	tcase_add_test(part, test_down_dated);
	tcase_add_test(part, test_down_copied);
	tcase_add_test(part, test_down_twice);
	tcase_add_loop_test(part, test_link_down, 0, 4);
	tcase_add_test(part, test_link_switched);
	tcase_add_test(part, test_link_to_folder);
	tcase_add_test(part, test_down_many);
	tcase_add_test(part, test_loss_is_shown);
	tcase_add_test(part, test_down_not_told);
	tcase_add_test(part, test_down_no_new_one);
	tcase_add_test(part, test_renamed_twice);
	tcase_add_test(part, test_down_renamed_meanwhile);
	tcase_add_test(part, test_down_being_compressed);
	tcase_add_test(part, test_down_gone);
	tcase_add_test(part, test_down_again);
	tcase_add_test(part, test_partial);
	tcase_add_test(part, test_long_lines);
	tcase_add_test(part, test_holes);
	tcase_add_test(part, test_bad_positions);
	tcase_add_test(part, test_journald);
	tcase_add_test(part, test_journald_cursor_gone);
	tcase_add_test(part, test_journald_later);
	suite_add_tcase(suite, part);
	return table_run(suite);
}
