/*
 * Tests of core/domain: the cases of tests/data/domains.txt, and properties that hold for each.
 */
#include "core/domain.h"

#include "tests/unit/table.h"

static struct table cases;

/* Whatever a refusal leaves behind must be the empty text, so the buffer is dirty before. */
static bool
normalise(const char *text, size_t length, char out[DOMAIN_SIZE])
{
	char *exact = malloc(length > 0 ? length : 1); /* so that a byte too far is seen */
	memcpy(exact, text, length);
	memset(out, 'X', DOMAIN_SIZE);
	bool good = domain_normalise(exact, length, out);
	free(exact);
	return good;
}

START_TEST(test_case)
{
	const char *line = cases.lines[_i];
	char expected[512], input[TABLE_LINE_SIZE], got[DOMAIN_SIZE], again[DOMAIN_SIZE];

	table_word(&line, expected, sizeof(expected));
	size_t length = table_rest(&line, input, sizeof(input));
	bool good = normalise(input, length, got);
	if (strcmp(expected, "-") == 0) {
		ck_assert_msg(!good, "%s: taken as %s", cases.lines[_i], got);
		ck_assert_str_eq(got, "");
		return;
	}
	ck_assert_msg(good, "%s: refused", cases.lines[_i]);
	ck_assert_msg(strcmp(got, expected) == 0, "%s: got %s", cases.lines[_i], got);
	/* A normal form is its own normal form. */
	ck_assert(normalise(got, strlen(got), again));
	ck_assert_str_eq(again, got);
}
END_TEST

START_TEST(test_host)
{
	char out[DOMAIN_SIZE];

	ck_assert(domain_normalise_host("MX_1.Example.", 13, out));
	ck_assert_str_eq(out, "mx_1.example");
	ck_assert(domain_normalise_host("localhost", 9, out));
	ck_assert_str_eq(out, "localhost");
	ck_assert(domain_normalise_host("127.0.0.1.", 10, out));
	ck_assert_str_eq(out, "127.0.0.1");
	ck_assert_msg(domain_normalise_host("XN--ZZ.example", 14, out), "DNS holds any A-label");
	ck_assert_str_eq(out, "xn--zz.example");
	ck_assert(!domain_normalise_host(".", 1, out));
	ck_assert_str_eq(out, "");
	ck_assert(!domain_normalise_host("", 0, out));
	ck_assert(!domain_normalise_host("a b", 3, out));
	ck_assert(!domain_normalise_host("::1", 3, out));
}
END_TEST

START_TEST(test_parent)
{
	const char *name = "a.b.example";
	const char *parent = domain_parent(name);

	ck_assert_ptr_eq(parent, name + 2);
	parent = domain_parent(parent);
	ck_assert_str_eq(parent, "example");
	ck_assert_ptr_null(domain_parent(parent));
}
END_TEST

int
main(void)
{
	cases = table_load("tests/data/domains.txt");
	Suite *suite = suite_create("domain");
	TCase *tests = tcase_create("core");
	tcase_add_loop_test(tests, test_case, 0, cases.count);
	tcase_add_test(tests, test_host);
	tcase_add_test(tests, test_parent);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	table_free(&cases);
	return status;
}
