/*
 * Tests of milter/herald and its backlog: what mxhold-queued is told, when it is away, hangs, or is
 * another process than before. A socket in a folder of our own stands for it.
 */
#include "milter/backlog.h"
#include "milter/herald.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];
static struct sockaddr_un name;
static struct herald *herald;
static struct roster roster;
static int fd = -1;
static int64_t now_ms = 5000;
static char heard[65536];

static void
reader_open(void)
{
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	(void)unlink(name.sun_path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
}

/* As another process says that it reads now. */
static void
reader_marks(void)
{
	static time_t at = 1000000;
	const struct timespec times[2] = {{.tv_sec = ++at}, {.tv_sec = at}};

	ck_assert_int_eq(utimensat(AT_FDCWD, name.sun_path, times, 0), 0);
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test-herald.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	name.sun_family = AF_UNIX;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/queue-ask", folder);
	reader_open();
	herald = herald_new(folder);
	ck_assert_ptr_nonnull(herald);
	memset(&roster, 0, sizeof(roster));
}

static void
teardown(void)
{
	herald_free(herald);
	roster_clear(&roster);
	free(roster.addresses);
	if (fd >= 0)
		close(fd);
	(void)unlink(name.sun_path);
	(void)rmdir(folder);
}

/* What was said since, without the empty ones; each datagram ends with "|". */
static const char *
hear(void)
{
	char text[4096];
	size_t used = 0;
	ssize_t length;

	heard[0] = '\0';
	while ((length = recv(fd, text, sizeof(text), 0)) >= 0)
		if (length > 0 && used + (size_t)length + 2 < sizeof(heard))
			used += (size_t)snprintf(
			    heard + used, sizeof(heard) - used, "%.*s|", (int)length, text);
	return heard;
}

static void
tell(const char *id)
{
	roster_clear(&roster);
	roster_add(&roster, id, NULL, "a@c.example");
	roster_add(&roster, id, NULL, "b@c.example");
	herald_tell(herald, &roster);
}

static bool
turn(int64_t ms)
{
	now_ms += ms;
	return herald_turn(herald, now_ms);
}

#define SAID(id) "recipient " id " a@c.example\nrecipient " id " b@c.example\n|"

START_TEST(test_at_once)
{
	tell("X1");
	ck_assert_str_eq(hear(), SAID("X1"));
	for (int i = 0; i < 5; i++)
		ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), ""); /* once */
}
END_TEST

/* Another process begins to read: it hears what the one before had heard, in its order, and once.
 * Its mark is seen at the next look; what is told in between comes to it twice. */
START_TEST(test_another_reader)
{
	tell("X1");
	tell("X2");
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X1") SAID("X2"));
	reader_marks();
	tell("X3");
	ck_assert_str_eq(hear(), SAID("X3"));
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X1") SAID("X2") SAID("X3"));
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), "");
	reader_marks();
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X1") SAID("X2") SAID("X3"));
}
END_TEST

/* Parent and child are gone for hours: what the child read last is told to the next one, and before
 * what it was never told. Also where what was sent had not been read (1). */
START_TEST(test_away)
{
	tell("X1");
	if (_i == 0)
		ck_assert_str_eq(hear(), SAID("X1"));
	ck_assert(!turn(1000));
	close(fd);
	tell("X2");
	for (int i = 0; i < 3 * 3600; i++)
		ck_assert(!turn(1000));
	ck_assert_int_eq(unlink(name.sun_path), 0);
	tell("X3");
	ck_assert(!turn(1000));
	reader_open();
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X1") SAID("X2") SAID("X3"));
}
END_TEST

/* The child is gone, and the next one waits for hours until it may read, or hangs: the parent keeps
 * the socket, and nobody reads. */
START_TEST(test_nobody_reads)
{
	tell("X1");
	ck_assert_str_eq(hear(), SAID("X1"));
	for (int i = 0; i < 3 * 3600; i++)
		ck_assert(!turn(1000));
	(void)hear();
	reader_marks();
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X1"));
}
END_TEST

/* Who reads on and on has written down what he was told long ago. */
START_TEST(test_old)
{
	tell("X1");
	for (int64_t ms = 0; ms < BACKLOG_KEPT_MS - 5000; ms += 1000) {
		(void)hear();
		ck_assert(!turn(1000));
	}
	(void)hear();
	tell("X2");
	reader_marks();
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X2") SAID("X1") SAID("X2"));
	for (int i = 0; i < 10; i++) {
		ck_assert(!turn(1000));
		(void)hear();
	}
	reader_marks();
	ck_assert(!turn(1000));
	ck_assert_str_eq(hear(), SAID("X2"));
}
END_TEST

/* More than the socket takes: the rest comes as it is read, in order, and nothing is dropped. */
START_TEST(test_many)
{
	char id[16], expected[128];
	unsigned heard_count = 0;
	bool more = true;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(id, sizeof(id), "X%04u", i);
		tell(id);
		(void)hear();
	}
	reader_marks();
	for (unsigned turns = 0; more; turns++) {
		ck_assert_uint_lt(turns, 3000);
		more = turn(turns == 0 ? 1000 : 20);
		hear();
		for (const char *at = heard; *at != '\0'; heard_count++) {
			snprintf(id, sizeof(id), "X%04u", heard_count);
			snprintf(expected, sizeof(expected),
			    "recipient %s a@c.example\nrecipient %s b@c.example\n|", id, id);
			ck_assert_int_eq(strncmp(at, expected, strlen(expected)), 0);
			at += strlen(expected);
		}
	}
	ck_assert_uint_eq(heard_count, 3000);
}
END_TEST

/* --- the backlog ------------------------------------------------------------------------------ */

static struct backlog backlog;

static size_t
count(void)
{
	const struct datagram *datagram;
	size_t found = 0;

	STAILQ_FOREACH(datagram, &backlog.all, next)
	found++;
	return found;
}

/* Memory is bounded, whether somebody reads or not; it is a loss only of what was never sent. */
START_TEST(test_bound)
{
	char text[1000];

	memset(text, 'x', sizeof(text));
	backlog_init(&backlog);
	for (int i = 0; i < 10000; i++)
		backlog_add(&backlog, text, sizeof(text), _i == 0);
	ck_assert_uint_le(backlog.size, BACKLOG_MOST);
	ck_assert_uint_gt(backlog.size, BACKLOG_MOST - 2000);
	ck_assert(backlog.lost == (_i == 1));
	ck_assert(backlog.waiting == (_i == 0 ? NULL : STAILQ_FIRST(&backlog.all)));
	backlog_again(&backlog);
	for (int i = 0; i < 10; i++) /* those behind have moved on */
		backlog_add(&backlog, text, 1, false);
	ck_assert_ptr_eq(backlog.waiting, STAILQ_FIRST(&backlog.all));
	backlog_clear(&backlog);
	ck_assert_uint_eq(backlog.size, 0);
	ck_assert_ptr_null(backlog.waiting);
}
END_TEST

/* What waits is never too old; sent again it is as old as at its first time: a reader who dies of
 * it is rid of it some time. */
START_TEST(test_age)
{
	backlog_init(&backlog);
	backlog_add(&backlog, "a", 1, false);
	backlog_lived(&backlog, 10 * BACKLOG_KEPT_MS);
	ck_assert_uint_eq(count(), 1);
	backlog_sent(&backlog);
	ck_assert_ptr_null(backlog.waiting);
	backlog_lived(&backlog, BACKLOG_KEPT_MS - 1);
	backlog_again(&backlog);
	backlog_lived(&backlog, 1);
	ck_assert_uint_eq(count(), 1);
	backlog_sent(&backlog);
	backlog_lived(&backlog, 0);
	ck_assert_uint_eq(count(), 0);
	backlog_again(&backlog);
	ck_assert_ptr_null(backlog.waiting);
	backlog_clear(&backlog);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("herald");
	TCase *part = tcase_create("herald"), *alone = tcase_create("backlog");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(part, setup, teardown);
	tcase_add_test(part, test_at_once);
	tcase_add_test(part, test_another_reader);
	tcase_add_loop_test(part, test_away, 0, 2);
	tcase_add_test(part, test_nobody_reads);
	tcase_add_test(part, test_old);
	tcase_add_test(part, test_many);
	suite_add_tcase(suite, part);
	tcase_add_loop_test(alone, test_bound, 0, 2);
	tcase_add_test(alone, test_age);
	suite_add_tcase(suite, alone);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
