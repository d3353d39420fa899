/*
 * Tests of core/spawn with real processes: what they get, and what they do not get.
 */
#include "core/spawn.h"

#include "tests/unit/table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[4096];

/* Runs it, and returns its exit status; what it wrote to `stream` is in said. */
static int
run(struct spawn how, int stream)
{
	int ends[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	how.out = stream == STDOUT_FILENO ? ends[1] : SPAWN_NOTHING;
	how.err = stream == STDERR_FILENO ? ends[1] : SPAWN_NOTHING;
	ck_assert_int_eq(spawn_start(&how, &pid), 0);
	(void)close(ends[1]);
	while ((got = read(ends[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)got;
	said[used] = '\0';
	(void)close(ends[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
run_script(const char *script, struct spawn how, int stream)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	how.argv = argv;
	return run(how, stream);
}

START_TEST(test_environment)
{
	const char *const argv[] = {"env", NULL};
	struct spawn how = {.argv = argv, .in = SPAWN_NOTHING};

	(void)setenv("MAIL_CONFIG", "/elsewhere", 1);
	ck_assert_int_eq(run(how, STDOUT_FILENO), 0);
	ck_assert_str_eq(said, SPAWN_PATH "\nLC_ALL=C\n");
	how.path = SPAWN_PATH_LOCAL;
	ck_assert_int_eq(run(how, STDOUT_FILENO), 0);
	ck_assert_str_eq(said, SPAWN_PATH_LOCAL "\nLC_ALL=C\n");
}
END_TEST

/* Also not those that a library did not mark, and none that is given twice. */
START_TEST(test_descriptors)
{
	const int fd = fcntl(open("/dev/null", O_RDONLY | O_CLOEXEC), F_DUPFD, 50);

	ck_assert_int_ge(fd, 50);
	ck_assert_int_eq(run_script("for fd in /proc/self/fd/*; do case ${fd##*/} in [012]) ;; "
				    "*) readlink $fd;; esac; done; cat; readlink /proc/$$/fd/0 "
				    "/proc/$$/fd/2",
			     (struct spawn){.in = SPAWN_NOTHING}, STDOUT_FILENO),
	    0);
	ck_assert_str_eq(said, "/dev/null\n/dev/null\n");
	(void)close(fd);
}
END_TEST

START_TEST(test_streams)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(write(ends[1], "in\n", 3), 3);
	(void)close(ends[1]);
	ck_assert_int_eq(
	    run_script("cat >&2; echo out; exit 7", (struct spawn){.in = ends[0]}, STDERR_FILENO),
	    7);
	ck_assert_str_eq(said, "in\n");
	(void)close(ends[0]);
}
END_TEST

/* Ours are blocked and ignored: its are not. */
START_TEST(test_signals)
{
	sigset_t set, before;

	(void)signal(SIGTERM, SIG_IGN);
	(void)sigfillset(&set);
	(void)sigprocmask(SIG_BLOCK, &set, &before);
	ck_assert_int_eq(run_script("kill -TERM $$; sleep 9; echo ignored",
			     (struct spawn){.in = SPAWN_NOTHING}, STDOUT_FILENO),
	    -1);
	ck_assert_str_eq(said, "");
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)signal(SIGTERM, SIG_DFL);
}
END_TEST

START_TEST(test_apart)
{
	char own[32];

	(void)snprintf(own, sizeof(own), "%d ", (int)getpgrp());
	ck_assert_int_eq(chdir("/tmp"), 0);
	ck_assert_int_eq(run_script("echo $(cut -d' ' -f5 /proc/$$/stat) $$ $(pwd)",
			     (struct spawn){.in = SPAWN_NOTHING}, STDOUT_FILENO),
	    0);
	ck_assert_ptr_nonnull(strstr(said, " /tmp\n"));
	ck_assert_int_eq(strncmp(said, own, strlen(own)), 0);
	ck_assert_int_eq(run_script("[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && pwd",
			     (struct spawn){.in = SPAWN_NOTHING, .apart = true}, STDOUT_FILENO),
	    0);
	ck_assert_str_eq(said, "/\n");
}
END_TEST

/* It is told at once; but under valgrind, whose vfork(2) is a fork(2), by the child's exit status.
 */
static void
fails(const struct spawn *how, int expected)
{
	pid_t pid = 17;
	int status = 0;
	const int error = spawn_start(how, &pid);

	if (error != 0) {
		ck_assert_int_eq(error, expected);
		ck_assert_int_eq(pid, 17);
	} else {
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 127);
	}
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
}

START_TEST(test_failure)
{
	static const char *const missing[] = {"/nowhere/program", NULL};
	static const char *const present[] = {"/bin/true", NULL};
	struct spawn how = {
	    .argv = missing, .in = SPAWN_NOTHING, .out = SPAWN_NOTHING, .err = SPAWN_NOTHING};

	fails(&how, ENOENT);
	how.argv = present;
	how.out = 1000; /* no such descriptor */
	fails(&how, EBADF);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("core/spawn");
	TCase *tcase = tcase_create("processes");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_environment);
	tcase_add_test(tcase, test_descriptors);
	tcase_add_test(tcase, test_streams);
	tcase_add_test(tcase, test_signals);
	tcase_add_test(tcase, test_apart);
	tcase_add_test(tcase, test_failure);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
