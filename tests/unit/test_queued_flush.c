/*
 * Tests of queued/flush with a postqueue of our own: a script that writes down how it was called.
 */
#include "queued/flush.h"

#include "tests/unit/table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], script[128], calls[128];
static struct event_base *base;
static struct flush *flush;

static void
write_script(const char *body)
{
	FILE *file = fopen(script, "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "#!/bin/sh\n%s", body);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(script, 0755), 0);
}

static void
set_up(void)
{
	(void)strcpy(directory, "/tmp/mxhold-fl.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(script, sizeof(script), "%s/postqueue", directory);
	(void)snprintf(calls, sizeof(calls), "%s/calls", directory);
	base = event_base_new();
	flush = flush_new(base, script, "/etc/pf");
	ck_assert_ptr_nonnull(flush);
}

static void
tear_down(void)
{
	flush_free(flush);
	event_base_free(base);
	(void)unlink(script);
	(void)unlink(calls);
	(void)rmdir(directory);
}

static void
finish(void)
{
	while (flush_count(flush).running + flush_count(flush).waiting > 0)
		ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* What was called, one line a call. */
static const char *
called(void)
{
	static char text[65536];
	FILE *file = fopen(calls, "r");
	size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file != NULL)
		fclose(file);
	text[length] = '\0';
	return text;
}

static void
note_calls(const char *and_then)
{
	char body[512];

	(void)snprintf(body, sizeof(body), "echo \"$@\" >>%s\n%s\n", calls, and_then);
	write_script(body);
}

START_TEST(test_calls)
{
	note_calls("");
	flush_domain(flush, "a.example", 3);
	finish();
	flush_id(flush, "4jX7N259Zjz1cHy5", false);
	finish();
	ck_assert_str_eq(called(), "-c /etc/pf -s a.example\n-c /etc/pf -i 4jX7N259Zjz1cHy5\n");
	ck_assert_uint_eq(flush_count(flush).done, 2);
	ck_assert_uint_eq(flush_count(flush).failed, 0);
}
END_TEST

/* Libraries need not mark their descriptors. */
START_TEST(test_descriptors)
{
	const int fd = fcntl(open("/dev/null", O_RDONLY | O_CLOEXEC), F_DUPFD, 50);

	ck_assert_int_ge(fd, 50);
	note_calls("for fd in /proc/$$/fd/*; do [ ${fd##*/} -lt 50 ] || exit 1; done");
	flush_domain(flush, "a.example", 1);
	finish();
	(void)close(fd);
	ck_assert_uint_eq(flush_count(flush).done, 1);
	ck_assert_uint_eq(flush_count(flush).failed, 0);
}
END_TEST

/* While four run, what waits is sorted: ids first, then the smallest domain, late ids last; and is
 * there once.
 */
START_TEST(test_order)
{
	note_calls("sleep 0.2");
	for (int i = 0; i < FLUSH_AT_ONCE; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "run%d.example", i);
		flush_domain(flush, name, 1);
	}
	ck_assert_uint_eq(flush_count(flush).running, FLUSH_AT_ONCE);
	note_calls("sleep 0.05");
	flush_id(flush, "LATE999999", true);
	flush_domain(flush, "flood.example", 50000);
	for (int i = 0; i < 5; i++)
		flush_domain(flush, "small.example", 2);
	flush_id(flush, "AAAAAAAAAA", false);
	ck_assert_uint_eq(flush_count(flush).waiting, 4);
	ck_assert(flush_has_domain(flush, "run1.example"));
	ck_assert(flush_has_domain(flush, "flood.example"));
	ck_assert(!flush_has_domain(flush, "other.example"));
	ck_assert_uint_eq(flush_count(flush).running, FLUSH_AT_ONCE);
	finish();
	ck_assert_uint_eq(flush_count(flush).done, FLUSH_AT_ONCE + 4);
	ck_assert(!flush_has_domain(flush, "flood.example"));
	ck_assert_ptr_nonnull(strstr(called(), "flood.example"));
	ck_assert_ptr_nonnull(strstr(called(), "small.example"));
}
END_TEST

/* Where all that is held may go, one call does for all. */
START_TEST(test_all)
{
	char name[32];

	note_calls("sleep 0.05");
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "d%d.example", i);
		flush_set_held(flush, _i == 0 ? 40 : _i == 1 ? 41 : 0);
		flush_domain(flush, name, 2);
	}
	finish();
	if (_i == 0)
		ck_assert_ptr_nonnull(strstr(called(), "-c /etc/pf -f\n"));
	else /* one message is another domain's, or nobody knows */
		ck_assert_ptr_null(strstr(called(), " -f"));
	ck_assert_uint_eq(flush_count(flush).done, _i == 0 ? FLUSH_AT_ONCE + 1 : 20);
	note_calls("");
	flush_domain(
	    flush, "last.example", 2); /* what was asked for is forgotten when it is done */
	finish();
	ck_assert_ptr_nonnull(strstr(called(), "-s last.example"));
}
END_TEST

START_TEST(test_failure_is_survived)
{
	note_calls("echo 'fatal: no' >&2; exit 75");
	flush_domain(flush, "a.example", 1);
	finish();
	ck_assert_uint_eq(flush_count(flush).failed, 1);
	ck_assert_int_eq(unlink(script), 0);
	flush_domain(flush, "b.example", 1);
	finish(); /* at once, but not under valgrind */
	ck_assert_uint_eq(flush_count(flush).failed, 2);
	ck_assert_uint_eq(flush_count(flush).running, 0);
}
END_TEST

START_TEST(test_odd_arguments)
{
	static const char *const odd[] = {
	    "", "-f", "a b", "a;b", "../x", "a\nb", "$(id)", "a/b", "\xff"};

	note_calls("");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		flush_domain(flush, odd[i], 1);
		flush_id(flush, odd[i], i % 2 == 0);
	}
	ck_assert_uint_eq(flush_count(flush).running + flush_count(flush).waiting, 0);
	ck_assert_str_eq(called(), "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/flush");
	TCase *tcase = tcase_create("postqueue");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_calls);
	tcase_add_test(tcase, test_descriptors);
	tcase_add_test(tcase, test_order);
	tcase_add_loop_test(tcase, test_all, 0, 3);
	tcase_add_test(tcase, test_failure_is_survived);
	tcase_add_test(tcase, test_odd_arguments);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
