/*
 * Tests of core/log: escaping, and whole lines as they come out on stderr. No value may forge
 * another field or another line.
 */
#include "core/log.h"

#include "tests/unit/table.h"

#include <fcntl.h>
#include <unistd.h>

#define LINE_LIMIT 2000

static char captured[10000];

/* From here on stderr is a file that captured_text reads. */
static int
capture(void)
{
	char path[] = "/tmp/mxhold-test-log-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	log_open("mxhold-test", true);
	return fd;
}

static const char *
captured_text(int fd)
{
	ssize_t length = pread(fd, captured, sizeof(captured) - 1, 0);

	ck_assert_int_gt(length, 0);
	captured[length] = '\0';
	return captured;
}

/* The line behind "time mxhold-test[pid]: ", which is checked. */
static const char *
captured_event(int fd)
{
	const char *text = captured_text(fd);
	char prefix[100];
	int year, month, day, hour, minute, second, milli, at = 0;

	ck_assert_int_eq(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour,
			     &minute, &second, &milli, &at),
	    7);
	ck_assert_int_eq(at, 25);
	snprintf(prefix, sizeof(prefix), "mxhold-test[%ld]: ", (long)getpid());
	ck_assert_msg(strncmp(text + at, prefix, strlen(prefix)) == 0, "%s", text);
	return text + at + strlen(prefix);
}

START_TEST(test_escape)
{
	static const struct {
		const char *in;
		size_t length;
		const char *out;
	} cases[] = {
	    {"example.com", 11, "example.com"},
	    {"a@b.example", 11, "a@b.example"},
	    {"[192.0.2.1]:25", 14, "[192.0.2.1]:25"},
	    {"a=b", 3, "a=b"},
	    {"", 0, "\"\""},
	    {"a b", 3, "\"a b\""},
	    {" ", 1, "\" \""},
	    {"\"", 1, "\"\\\"\""},
	    {"'", 1, "\"'\""},
	    {"a\\b", 3, "\"a\\\\b\""},
	    {"a\nb", 3, "\"a\\x0ab\""},
	    {"\r\n\t", 3, "\"\\x0d\\x0a\\x09\""},
	    {"a\0b", 3, "\"a\\x00b\""},
	    {"\x1b[31m", 5, "\"\\x1b[31m\""},
	    {"\x7f", 1, "\"\\x7f\""},
	    {"b\xc3\xbc", 3, "\"b\\xc3\\xbc\""},
	    {"\xff", 1, "\"\\xff\""},
	    {"x rule=12", 9, "\"x rule=12\""},
	};
	char out[100];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = log_escape(out, sizeof(out), cases[i].in, cases[i].length);
		ck_assert_str_eq(out, cases[i].out);
		ck_assert_uint_eq(n, strlen(cases[i].out));
	}
}
END_TEST

/* Whatever the room: never past it, always ended, never half an escape, the quote always closed. */
START_TEST(test_escape_every_size)
{
	static const char in[] = "ab \n\"\\\xff z";

	for (size_t size = 0; size < 40; size++) {
		char *out = malloc(size > 0 ? size : 1);
		size_t n = log_escape(out, size, in, strlen(in));
		if (size == 0) {
			ck_assert_uint_eq(n, 0);
		} else {
			ck_assert_uint_lt(n, size);
			ck_assert_uint_eq(strlen(out), n);
		}
		if (n > 0) {
			ck_assert(n >= 2 && out[0] == '"' && out[n - 1] == '"');
			ck_assert_msg(
			    strncmp(out, "\"ab \\x0a\\\"\\\\\\xff z", n - 1) == 0, "%s", out);
		}
		free(out);
	}
	char out[5];
	ck_assert_uint_eq(log_escape(out, sizeof(out), "plain", 5), 4);
	ck_assert_str_eq(out, "plai");
}
END_TEST

START_TEST(test_line)
{
	int fd = capture();

	log_event(LOG_INFO, "decision", kv("domain", "example.com"), kv_number("rule", -5),
	    kv("client", NULL), kv_bytes("raw", "a b\nevent=x", 11));
	ck_assert_str_eq(captured_event(fd),
	    "event=decision domain=example.com rule=-5 client=\"\" raw=\"a b\\x0aevent=x\"\n");
}
END_TEST

START_TEST(test_event_alone)
{
	int fd = capture();

	log_event(LOG_INFO, "ready");
	ck_assert_str_eq(captured_event(fd), "event=ready\n");
}
END_TEST

START_TEST(test_extreme_numbers)
{
	int fd = capture();

	log_event(LOG_INFO, "x", kv_number("a", 9223372036854775807LL),
	    kv_number("b", -9223372036854775807LL - 1), kv_number("c", 0));
	ck_assert_str_eq(
	    captured_event(fd), "event=x a=9223372036854775807 b=-9223372036854775808 c=0\n");
}
END_TEST

/* _i is the length of a value: around the limit the line is whole, or cut and marked so. */
START_TEST(test_cut)
{
	char value[3000];
	int fd = capture();

	memset(value, _i % 2 == 0 ? 'v' : '\n', sizeof(value));
	log_event(LOG_INFO, "x", kv_bytes("value", value, (size_t)_i), kv("after", "z"),
	    kv_number("n", 1));
	const char *line = captured_event(fd);
	size_t length = strlen(line) - 1;
	ck_assert_uint_le(length, LINE_LIMIT);
	ck_assert_msg(strchr(line, '\n') == line + length, "one line");
	bool whole = strstr(line, " after=z n=1\n") != NULL;
	bool marked = length > 6 && strcmp(line + length - 6, " cut=1\n") == 0;
	ck_assert_msg(whole != marked, "%d: %s", _i, line);
	if (_i < 400)
		ck_assert(whole);
	if (_i > 2000)
		ck_assert(marked);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_escape);
	tcase_add_test(tests, test_escape_every_size);
	tcase_add_test(tests, test_line);
	tcase_add_test(tests, test_event_alone);
	tcase_add_test(tests, test_extreme_numbers);
	tcase_add_loop_test(tests, test_cut, 395, 400);
	tcase_add_loop_test(tests, test_cut, 480, 500);
	tcase_add_loop_test(tests, test_cut, 1955, 2010);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
