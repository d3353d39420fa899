/*
 * test_queued_stand_in: it answers while its parent is busy, and not behind that.
 */
#include "queued/stand_in.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_un name = {.sun_family = AF_UNIX};

static int
listener(void)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* A name of the kernel's choice, of no file. */
	socklen_t length = sizeof(name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

/* What is answered within `ms`. */
static const char *
ask(int ms)
{
	static char said[64];
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const socklen_t length = offsetof(struct sockaddr_un, sun_path) + 6;
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, length), 0);
	ck_assert_int_eq(write(fd, "?\n", 2), 2);
	memset(said, 0, sizeof(said));
	if (poll(&wait, 1, ms) > 0)
		ck_assert_int_ge(read(fd, said, sizeof(said) - 1), 0);
	close(fd);
	return said;
}

START_TEST(test_answers)
{
	const int fd = listener();
	const pid_t stand_in = stand_in_begin(fd);

	ck_assert_int_gt(stand_in, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(ask(10000), "alive\n");
	stand_in_end(stand_in);
	ck_assert_str_eq(ask(200), "");
	ck_assert_int_eq(waitpid(stand_in, NULL, 0), -1);
	stand_in_end(-1);
	close(fd);
}
END_TEST

/* A parent that is killed does not go on answering. */
START_TEST(test_ends_with_its_parent)
{
	int ends[2];
	char byte;
	const int fd = listener();

	ck_assert_int_eq(pipe(ends), 0);
	const pid_t parent = fork();
	if (parent == 0) {
		(void)fcntl(ends[1], F_SETFD, 0);
		_exit(stand_in_begin(fd) > 0 && strcmp(ask(10000), "alive\n") == 0 ? 0 : 1);
	}
	int status = 0;
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	ck_assert_int_eq(status, 0);
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 0);
	for (int tries = 0; tries < 100 && strcmp(ask(100), "alive\n") == 0; tries++)
		;
	ck_assert_str_eq(ask(200), "");
	close(ends[0]);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stand-in");
	TCase *part = tcase_create("all");

	tcase_set_timeout(part, 60);
	tcase_add_test(part, test_answers);
	tcase_add_test(part, test_ends_with_its_parent);
	suite_add_tcase(suite, part);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
