/*
 * Tests of queued/census: lines by tests/data/census.txt, and the runner with a postqueue of the
 * test's own: cut output, errors with their cure, a command that hangs.
 */
#include "queued/census.h"

#include "tests/unit/table.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct table lines;
static char directory[64], command[128], ended[1024], seen[65536];
static int messages;
static struct event_base *base;

static void
say(const struct census_message *message, void *context)
{
	const char *address, *reason;
	size_t used;

	(void)context;
	messages++;
	used = strlen(seen);
	snprintf(seen + used, sizeof(seen) - used, "%s %s %lld %llu <%s>", message->queue,
	    message->queue_id, (long long)message->arrived_at / 1000000,
	    (unsigned long long)message->size, message->sender);
	for (size_t i = 0; i < message->recipients; i++) {
		used = strlen(seen);
		if (census_recipient(message, i, &address, &reason))
			snprintf(seen + used, sizeof(seen) - used, " <%s>(%s)", address, reason);
	}
}

/* "> line", "= what it says" or "= broken" */
START_TEST(test_line)
{
	const char *line = lines.lines[2 * _i] + 2, *expected = lines.lines[2 * _i + 1] + 2;

	seen[0] = '\0';
	if (!census_parse(line, strlen(line), say, NULL))
		snprintf(seen, sizeof(seen), "broken");
	ck_assert_msg(
	    strcmp(seen, expected) == 0, "%s\n  got      %s\n  expected %s", line, seen, expected);
}
END_TEST

/* --- the runner ----------------------------------------------------------------------------------
 */

static void
on_end(const char *problem, void *context)
{
	(void)context;
	snprintf(ended, sizeof(ended), "%s", problem != NULL ? problem : "complete");
	event_base_loopbreak(base);
}

static const struct census_ports ports = {.message = say, .end = on_end};

static void
postqueue(const char *script)
{
	FILE *file = fopen(command, "w");

	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	ck_assert_int_eq(chmod(command, 0700), 0);
}

static void
setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/test-census.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(command, sizeof(command), "%s/postqueue", directory);
	base = event_base_new();
	messages = 0;
	seen[0] = ended[0] = '\0';
}

static void
teardown(void)
{
	unlink(command);
	rmdir(directory);
	event_base_free(base);
}

static void
run(const char *script, int deadline)
{
	struct census *census = census_new(base, "/etc/postfix-x", &ports);
	const char *problem;

	postqueue(script);
	census_set_command(census, command);
	ck_assert(census_begin(census, deadline, &problem));
	ck_assert(census_running(census));
	ck_assert(!census_begin(census, deadline, &problem));
	event_base_dispatch(base);
	ck_assert(!census_running(census));
	census_free(census);
}

#define MESSAGE                                                                                    \
	"{\"queue_name\":\"deferred\",\"queue_id\":\"4QkT3z0V1Wz5s\",\"arrival_time\":1,"          \
	"\"message_size\":2,\"sender\":\"\",\"recipients\":[{\"address\":\"a@b.example\"}]}"

START_TEST(test_complete)
{
	run("test \"$*\" = '-c /etc/postfix-x -j' || exit 3\n"
	    "i=0; while [ $i -lt 500 ]; do echo '" MESSAGE "'; i=$((i + 1)); done",
	    10);
	ck_assert_str_eq(ended, "complete");
	ck_assert_int_eq(messages, 500);
	run("exit 0", 10);
	ck_assert_str_eq(ended, "complete");
}
END_TEST

START_TEST(test_not_complete)
{
	run("printf '%s' '" MESSAGE "'", 10); /* no line feed: it was cut */
	ck_assert_str_ne(ended, "complete");
	run("echo '" MESSAGE "'; echo '{\"queue_id\":'", 10);
	ck_assert_msg(strstr(ended, "1 lines") != NULL, "%s", ended);
	run("echo '" MESSAGE "'; kill -9 $$", 10);
	ck_assert_msg(strstr(ended, "without a word") != NULL, "%s", ended);
	run("echo 'postqueue: fatal: Queue report unavailable - mail system is down' >&2; exit 69",
	    10);
	ck_assert_msg(strstr(ended, "start Postfix") != NULL, "%s", ended);
	run("echo 'fatal: /etc/x is not authorized by alternate_config_directories' >&2; exit 1",
	    10);
	ck_assert_msg(
	    strstr(ended, "alternate_config_directories in the main.cf") != NULL, "%s", ended);
}
END_TEST

START_TEST(test_deadline)
{
	const time_t began = time(NULL);

	run("echo '" MESSAGE "'; exec sleep 20", 1);
	ck_assert_msg(strstr(ended, "in time") != NULL, "%s", ended);
	ck_assert_int_lt(time(NULL) - began, 10);
	ck_assert_int_eq(messages, 1);
}
END_TEST

START_TEST(test_no_command)
{
	struct census *census = census_new(base, "/etc/postfix", &ports);
	const char *problem = NULL;

	census_set_command(census, "/nonexistent/postqueue");
	if (census_begin(census, 10, &problem)) { /* under valgrind it is seen a little later */
		event_base_dispatch(base);
		ck_assert_msg(strstr(ended, "/nonexistent/postqueue") != NULL, "%s", ended);
	} else
		ck_assert_ptr_nonnull(problem);
	census_free(census);
}
END_TEST

/* Freed in the middle: the command ends, and nobody is called. */
START_TEST(test_freed)
{
	struct census *census = census_new(base, "/etc/postfix", &ports);
	const char *problem;

	postqueue("exec sleep 20");
	census_set_command(census, command);
	ck_assert(census_begin(census, 30, &problem));
	census_free(census);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_str_eq(ended, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("census");
	TCase *parser = tcase_create("lines"), *runner = tcase_create("runner");

	lines = table_load("tests/data/census.txt");
	tcase_add_loop_test(parser, test_line, 0, lines.count / 2);
	suite_add_tcase(suite, parser);
	tcase_add_checked_fixture(runner, setup, teardown);
	tcase_set_timeout(runner, 30);
	tcase_add_test(runner, test_complete);
	tcase_add_test(runner, test_not_complete);
	tcase_add_test(runner, test_deadline);
	tcase_add_test(runner, test_no_command);
	tcase_add_test(runner, test_freed);
	suite_add_tcase(suite, runner);
	const int status = table_run(suite);
	table_free(&lines);
	return status;
}
