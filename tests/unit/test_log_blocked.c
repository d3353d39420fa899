/*
 * test_log_blocked: nobody reads the log: a full pipe as stderr, a syslogd that is stopped,
 * restarted, or absent. The program that logs must go on, and say later how much was lost.
 */
#include "core/log.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A machine that has no time for us takes so long; each line that waits would take many times that.
 */
#define MANY_MS 3000
#define ONE_MS 1000

static char directory[64];
static char path[80];

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t
log_many(int lines)
{
	int64_t before = clock_ms();
	int i;

	for (i = 0; i < lines; i++)
		log_event(LOG_INFO, "test", kv_number("line", i), kv("filler", "0123456789"));
	return clock_ms() - before;
}

static int
open_syslogd(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	(void)unlink(path);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool
next_line(int fd, char line[3000])
{
	ssize_t got = recv(fd, line, 2999, 0);

	line[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static void
set_up(void)
{
	(void)snprintf(directory, sizeof(directory), "/tmp/mxhold-log.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/log", directory);
	log_set_socket(path);
	log_open("tester", false);
}

static void
tear_down(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

START_TEST(test_syslog_form)
{
	int fd = open_syslogd();
	char line[3000], expected[100];

	log_event(LOG_NOTICE, "hello", kv("to", "a b"));
	ck_assert(next_line(fd, line));
	(void)snprintf(
	    expected, sizeof(expected), " tester[%ld]: event=hello to=\"a b\"", (long)getpid());
	ck_assert_int_eq(strncmp(line, "<21>", 4), 0); /* mail.notice */
	ck_assert_str_eq(line + strlen("<21>Nov 21 20:00:00"), expected);
	(void)close(fd);
}
END_TEST

START_TEST(test_stopped_syslogd_does_not_block)
{
	struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
	int fd = open_syslogd();
	char line[3000];
	int lines = 0, lost = 0, n;

	ck_assert_int_lt(log_many(5000), MANY_MS);
	while (next_line(fd, line))
		lines++;
	ck_assert_int_gt(lines, 0);
	ck_assert_int_lt(lines, 5000);
	(void)nanosleep(&pause, NULL);
	ck_assert_int_lt(log_many(1), ONE_MS);
	while (next_line(fd, line)) {
		if (sscanf(strstr(line, "]: "), "]: event=log-lost lines=%d", &n) == 1)
			lost = n;
	}
	ck_assert_int_eq(lines + lost, 5000);
	(void)close(fd);
}
END_TEST

START_TEST(test_restarted_syslogd_is_found)
{
	int fd = open_syslogd();
	char line[3000];

	log_event(LOG_INFO, "first", kv_number("n", 1));
	ck_assert(next_line(fd, line));
	(void)close(fd);
	fd = open_syslogd();
	log_event(LOG_INFO, "second", kv_number("n", 2));
	ck_assert(next_line(fd, line));
	ck_assert_ptr_nonnull(strstr(line, "event=second"));
	(void)close(fd);
}
END_TEST

START_TEST(test_absent_syslogd_does_not_block)
{
	ck_assert_int_lt(log_many(5000), MANY_MS);
}
END_TEST

START_TEST(test_full_pipe_does_not_block)
{
	int ends[2], keep = dup(STDERR_FILENO);
	int64_t took;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_open("tester", true);
	took = log_many(5000); /* some 500 KB, into 64 */
	ck_assert_int_eq(dup2(keep, STDERR_FILENO), STDERR_FILENO);
	ck_assert_int_lt(took, MANY_MS);
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)close(keep);
}
END_TEST

static int drained_end;

/* Makes room while the writer waits for some. */
static void
drain(int signal_number)
{
	char bytes[4096];

	(void)signal_number;
	while (read(drained_end, bytes, sizeof(bytes)) > 0)
		;
}

START_TEST(test_signal_does_not_end_the_wait)
{
	struct itimerval soon = {.it_value.tv_usec = 3000};
	struct sigaction action = {.sa_handler = drain};
	int ends[2], keep = dup(STDERR_FILENO);
	char line[3000];
	ssize_t got;

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	memset(line, 'x', sizeof(line));
	while (write(ends[1], line, 1) > 0)
		;
	drained_end = ends[0];
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_open("tester", true);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
	log_event(LOG_INFO, "waited", kv_number("n", 1));
	ck_assert_int_eq(dup2(keep, STDERR_FILENO), STDERR_FILENO);
	got = read(ends[0], line, sizeof(line) - 1);
	ck_assert_int_gt(got, 0);
	line[got] = '\0';
	ck_assert_ptr_nonnull(strstr(line, "event=waited"));
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)close(keep);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_blocked");
	TCase *tcase = tcase_create("log_blocked");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, test_syslog_form);
	tcase_add_test(tcase, test_stopped_syslogd_does_not_block);
	tcase_add_test(tcase, test_restarted_syslogd_is_found);
	tcase_add_test(tcase, test_absent_syslogd_does_not_block);
	tcase_add_test(tcase, test_full_pipe_does_not_block);
	tcase_add_test(tcase, test_signal_does_not_end_the_wait);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
