/*
 * Tests of queued/flush with a postqueue of our own, a script that writes down how it was called,
 * and a flush(8) of our own, which is told what to say.
 */
#include "queued/flush.h"

#include "tests/unit/table.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], script[128], calls[128], socket_path[128];
static pid_t server;
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
	(void)snprintf(socket_path, sizeof(socket_path), "%s/flush", directory);
	base = event_base_new();
	flush = flush_new(
	    &(struct flush_setup){.base = base, .postqueue = script, .config_dir = "/etc/pf"});
	ck_assert_ptr_nonnull(flush);
}

static void
tear_down(void)
{
	flush_free(flush);
	event_base_free(base);
	if (server > 0) {
		(void)kill(server, SIGKILL);
		(void)waitpid(server, NULL, 0);
	}
	(void)unlink(socket_path);
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

/* While some run, what waits is sorted: ids first, then the smallest domain, late ids last; and is
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

/* --- flush(8) --------------------------------------------------------------------------------- */

#define BANNER "protocol\0queue_flush_protocol\0"
#define DONE "status\0000\0"

struct speech {
	const char *banner, *answer; /* with the NULs that they end with; NULL: nothing is said */
	size_t banner_length, answer_length;
	size_t piece;      /* said in pieces of so many octets */
	bool listens;      /* else nobody is at the socket */
	bool postqueue;    /* it is expected to be run */
	bool strange;      /* and flush(8) not asked the next time */
	unsigned failures; /* expected */
};
#define SAYS(banner, answer) (banner), (answer), sizeof(banner), sizeof(answer)

static void
say(int fd, const char *text, size_t length, size_t piece)
{
	for (size_t at = 0; at < length; at += piece) {
		const size_t left = length - at;
		(void)!write(fd, text + at, left < piece ? left : piece);
		(void)usleep(piece < length ? 2000 : 0);
	}
}

/* One client after the other; what they ask is written down with a `|` for each NUL. */
static void
serve(int listening, const struct speech *speech)
{
	char question[512] = "";

	for (;;) {
		const int fd = accept(listening, NULL, NULL);
		FILE *file = fopen(calls, "a");
		size_t used = 0;
		ssize_t got;

		if (speech->banner != NULL)
			say(fd, speech->banner, speech->banner_length, speech->piece);
		while (used < sizeof(question) &&
		       (used < 2 || question[used - 1] != '\0' || question[used - 2] != '\0') &&
		       (got = read(fd, question + used, sizeof(question) - used)) > 0)
			used += (size_t)got;
		for (size_t i = 0; i < used; i++)
			(void)fputc(question[i] == '\0' ? '|' : question[i], file);
		if (used > 0)
			(void)fputs("\n", file);
		(void)fclose(file);
		if (speech->answer != NULL)
			say(fd, speech->answer, speech->answer_length, speech->piece);
		if (speech->answer != NULL)
			(void)close(fd);
	}
}

static void
start_server(const struct speech *speech)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int listening = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	if (speech->listens)
		ck_assert_int_eq(listen(listening, 20), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		serve(listening, speech);
	}
	(void)close(listening);
	flush_free(flush);
	flush = flush_new(&(struct flush_setup){.base = base,
	    .postqueue = script,
	    .config_dir = "/etc/pf",
	    .socket = socket_path,
	    .deadline_s = 4});
	ck_assert_ptr_nonnull(flush);
}

#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static const struct speech speeches[] = {
    {SAYS(BANNER, DONE), 100, true, false, false, 0},
    {SAYS(BANNER, DONE), 1, true, false, false, 0}, /* octet by octet */
    {SAYS(BANNER, "status\0003\0"), 100, true, true, false, 0},
    {SAYS(BANNER, "status\000-1\0"), 100, true, true, false, 0},
    {SAYS(BANNER, "other\0000\0"), 100, true, true, true, 0},
    {SAYS(BANNER, LONG), 100, true, true, true, 0},
    {SAYS("protocol\0showq_protocol\0", DONE), 100, true, true, true, 0},
    {SAYS("220 mail.example ESMTP\0", DONE), 100, true, true, true, 0},
    {SAYS(BANNER "more\0", DONE), 100, true, true, true, 0},
    {SAYS(LONG, DONE), 100, true, true, true, 0},
    {SAYS("", ""), 100, false, true, false, 0},              /* refuses connections */
    {NULL, DONE, 0, sizeof(DONE), 100, true, true, true, 0}, /* waits for us (Postfix before 3.6) */
    {BANNER, NULL, sizeof(BANNER), 0, 100, true, false, false, 1}, /* falls silent */
};

START_TEST(test_server)
{
	const struct speech *speech = &speeches[_i];
	const bool asked = speech->listens && !speech->strange;

	note_calls("");
	start_server(speech);
	flush_domain(flush, "a.example", 3);
	finish();
	if (speech->failures == 0)
		flush_id(flush, "4jX7N259Zjz1cHy5", false);
	finish();
	ck_assert_uint_eq(flush_count(flush).failed, speech->failures);
	ck_assert_int_eq(strstr(called(), "-c /etc/pf -s a.example\n") != NULL, speech->postqueue);
	if (speech->failures > 0)
		return;
	ck_assert_uint_eq(flush_count(flush).done, 2);
	ck_assert_int_eq(
	    strstr(called(), "-c /etc/pf -i 4jX7N259Zjz1cHy5\n") != NULL, speech->postqueue);
	ck_assert_int_eq(
	    strstr(called(), "request|send_file|queue_id|4jX7N259Zjz1cHy5||\n") != NULL, asked);
	if (asked)
		ck_assert_ptr_nonnull(strstr(called(), "request|send_site|site|a.example||\n"));
}
END_TEST

/* It ends while a question is under way. */
START_TEST(test_server_goes)
{
	const struct speech good = {SAYS(BANNER, DONE), 100, true, false, false, 0};

	note_calls("");
	start_server(&good);
	flush_domain(flush, "a.example", 3);
	finish();
	(void)kill(server, SIGSTOP);
	flush_domain(flush, "b.example", 3);
	ck_assert(flush_has_domain(flush, "b.example"));
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	server = 0;
	finish();
	flush_domain(flush, "c.example", 3);
	finish();
	ck_assert_str_eq(called(), "request|send_site|site|a.example||\n-c /etc/pf -s b.example\n"
				   "-c /etc/pf -s c.example\n");
	ck_assert_uint_eq(flush_count(flush).done, 3);
	ck_assert_uint_eq(flush_count(flush).failed, 0);
}
END_TEST

/* Freed with questions under way, and others that wait (the sanitizers look on). */
START_TEST(test_free_early)
{
	const struct speech silent = {NULL, NULL, 0, 0, 100, true, false, false, 0};
	char name[32];

	note_calls("");
	start_server(&silent);
	for (int i = 0; i < 2 * FLUSH_AT_ONCE; i++) {
		(void)snprintf(name, sizeof(name), "run%d.example", i);
		flush_domain(flush, name, 1);
	}
	ck_assert_uint_eq(flush_count(flush).running, FLUSH_AT_ONCE);
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
	tcase_add_test(tcase, test_failure_is_survived);
	tcase_add_test(tcase, test_odd_arguments);
	tcase_add_loop_test(tcase, test_server, 0, sizeof(speeches) / sizeof(speeches[0]));
	tcase_add_test(tcase, test_server_goes);
	tcase_add_test(tcase, test_free_early);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
