/*
 * Tests of core/address: the cases of tests/data/addresses.txt, and the walk over everything in an
 * odd address that could be a domain.
 */
#include "core/address.h"

#include "tests/unit/table.h"

static struct table cases;

static const char *const form_names[] = {
    [ADDRESS_PLAIN] = "plain",
    [ADDRESS_LITERAL] = "literal",
    [ADDRESS_NO_DOMAIN] = "no-domain",
    [ADDRESS_ODD] = "odd",
};

START_TEST(test_case)
{
	const char *line = cases.lines[_i];
	char form[20], domain[512], input[TABLE_LINE_SIZE];
	struct address address;

	table_word(&line, form, sizeof(form));
	table_word(&line, domain, sizeof(domain));
	size_t length = table_rest(&line, input, sizeof(input));
	memset(&address, 'X', sizeof(address));
	address_parse(input, length, &address);
	ck_assert_msg(strcmp(form_names[address.form], form) == 0, "%s: got %s", cases.lines[_i],
	    form_names[address.form]);
	if (strcmp(domain, "-") == 0)
		domain[0] = '\0';
	ck_assert_str_eq(address.form == ADDRESS_PLAIN ? address.domain : "", domain);
	if (address.form == ADDRESS_PLAIN || address.form == ADDRESS_LITERAL) {
		ck_assert_ptr_eq(address.local, input);
		ck_assert(address.local_length > 0 && input[address.local_length] == '@');
	} else {
		ck_assert_ptr_null(address.local);
		ck_assert_uint_eq(address.local_length, 0);
	}
}
END_TEST

/* What a local part is made of. An odd address has a domain where nothing but control is odd in it.
 */
static const struct bytes_case {
	const char *raw;
	enum address_form form;
	enum address_bytes bytes;
	const char *domain;
} bytes_cases[] = {
    {"user@example.com", ADDRESS_PLAIN, ADDRESS_ASCII, "example.com"},
    {"two words?~@example.com", ADDRESS_PLAIN, ADDRESS_ASCII, "example.com"},
    {"a@b\xc3\xbc"
     "cher.example",
	ADDRESS_PLAIN, ADDRESS_ASCII, "xn--bcher-kva.example"},
    {"\xd0\xb8\xd0\xb2@Example.com.", ADDRESS_PLAIN, ADDRESS_EIGHT_BIT, "example.com"},
    {"\xc0\x80@example.com", ADDRESS_PLAIN, ADDRESS_EIGHT_BIT, "example.com"},
    {"u\x80@example.com", ADDRESS_PLAIN, ADDRESS_EIGHT_BIT, "example.com"},
    {"\xff@example.com", ADDRESS_PLAIN, ADDRESS_EIGHT_BIT, "example.com"},
    {"a\tb@Example.com.", ADDRESS_ODD, ADDRESS_CONTROL, "example.com"},
    {"\x01@example.com", ADDRESS_ODD, ADDRESS_CONTROL, "example.com"},
    {"\x1f\xc3\xbc@example.com", ADDRESS_ODD, ADDRESS_CONTROL, "example.com"},
    {"u\x7f@example.com", ADDRESS_ODD, ADDRESS_CONTROL, "example.com"},
    {"\x01%b.example@example.com", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"\x01@b.example@example.com", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"\xc3\xbc%b.example@example.com", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"u@example.com\x01", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"\x01@[192.0.2.1]", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"\xc3\xbc@[192.0.2.1]", ADDRESS_LITERAL, ADDRESS_ASCII, NULL},
    {"u\x01", ADDRESS_ODD, ADDRESS_ASCII, NULL},
    {"\xc3\xbc", ADDRESS_NO_DOMAIN, ADDRESS_ASCII, NULL},
};

START_TEST(test_bytes)
{
	const struct bytes_case *c = &bytes_cases[_i];
	struct address address;

	memset(&address, 'X', sizeof(address));
	address_parse(c->raw, strlen(c->raw), &address);
	ck_assert_int_eq(address.form, c->form);
	ck_assert_int_eq(address.bytes, c->bytes);
	if (c->domain != NULL)
		ck_assert_str_eq(address.domain, c->domain);
}
END_TEST

struct walk {
	char seen[4096]; /* names, a blank after each */
	const char *stop_at;
	unsigned count;
};

static bool
visit(const char *domain, void *context)
{
	struct walk *walk = context;

	strncat(walk->seen, domain, sizeof(walk->seen) - strlen(walk->seen) - 2);
	strcat(walk->seen, " ");
	walk->count++;
	return walk->stop_at != NULL && strcmp(domain, walk->stop_at) == 0;
}

static void
assert_walk(const char *raw, const char *expected)
{
	struct walk walk = {.count = 0};

	ck_assert(!address_any_domain(raw, strlen(raw), true, visit, &walk));
	ck_assert_msg(strcmp(walk.seen, expected) == 0, "%s: saw %s", raw, walk.seen);
}

START_TEST(test_walk)
{
	assert_walk("", "");
	assert_walk("postmaster", "");
	assert_walk("user@Customer.Example", "customer.example ");
	assert_walk("user%customer.example@relay.example", "customer.example relay.example ");
	assert_walk("customer.example!user@relay.example", "customer.example relay.example ");
	assert_walk("user@customer.example@relay.example", "customer.example relay.example ");
	assert_walk("@a.example,@b.example:u@c.example", "a.example b.example c.example ");
	assert_walk("\"user@customer.example\"@relay.example", "customer.example relay.example ");
	assert_walk("user%customer.example.", "customer.example ");
	assert_walk("user%customer.example...", "customer.example ");
	assert_walk("user%..customer.example", "customer.example ");
	assert_walk("user@[customer.example]", "customer.example ");
	assert_walk("user(customer.example)%x", "customer.example ");
	assert_walk("<user%customer.example>", "customer.example ");
	assert_walk("user%'customer.example'", "customer.example ");
	assert_walk("user%customer.example x\tb.example\r\nc.example",
	    "customer.example b.example c.example ");
	assert_walk("user%b\xc3\xbc"
		    "cher.example",
	    "xn--bcher-kva.example ");
	assert_walk("first.last%customer.example", "first.last customer.example ");
	assert_walk("user%customer.example=x.example/y.example;z.example\\w.example",
	    "customer.example x.example y.example z.example w.example ");
	assert_walk("a%_x.example%-y.example%1.2", "");
}
END_TEST

START_TEST(test_walk_passes_nul)
{
	static const char raw[] = "a%b.example\0c.example";
	struct walk walk = {.count = 0};

	ck_assert(!address_any_domain(raw, sizeof(raw) - 1, true, visit, &walk));
	ck_assert_str_eq(walk.seen, "b.example c.example ");
}
END_TEST

START_TEST(test_walk_stops)
{
	static const char raw[] = "a.example%b.example%c.example";
	struct walk walk = {.stop_at = "b.example"};

	ck_assert(address_any_domain(raw, strlen(raw), false, visit, &walk));
	ck_assert_str_eq(walk.seen, "a.example b.example ");
}
END_TEST

/* 64 candidates are looked at; the answer for one more is the caller's. */
START_TEST(test_walk_bound)
{
	char raw[2000] = "";
	struct walk walk = {.count = 0};

	for (int i = 0; i < 64; i++)
		strcat(raw, "%d.example");
	ck_assert(!address_any_domain(raw, strlen(raw), true, visit, &walk));
	ck_assert_uint_eq(walk.count, 64);
	strcat(raw, "%nodomain%another");
	ck_assert(!address_any_domain(raw, strlen(raw), true, visit, &walk));
	strcat(raw, "%e.example");
	memset(&walk, 0, sizeof(walk));
	ck_assert(address_any_domain(raw, strlen(raw), true, visit, &walk));
	ck_assert_uint_eq(walk.count, 64);
	ck_assert(!address_any_domain(raw, strlen(raw), false, visit, &walk));
}
END_TEST

int
main(void)
{
	cases = table_load("tests/data/addresses.txt");
	Suite *suite = suite_create("address");
	TCase *tests = tcase_create("core");
	tcase_add_loop_test(tests, test_case, 0, cases.count);
	tcase_add_loop_test(tests, test_bytes, 0, sizeof(bytes_cases) / sizeof(bytes_cases[0]));
	tcase_add_test(tests, test_walk);
	tcase_add_test(tests, test_walk_passes_nul);
	tcase_add_test(tests, test_walk_stops);
	tcase_add_test(tests, test_walk_bound);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	table_free(&cases);
	return status;
}
