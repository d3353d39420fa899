/*
 * Tests of milter/roster: whom a message was accepted for, and as which lines that is told.
 */
#include "milter/roster.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct roster roster;
static char text[4096];

static void
setup(void)
{
	memset(&roster, 0, sizeof(roster));
}

static void
teardown(void)
{
	free(roster.addresses);
}

/* All lines, in pieces of `size` octets at most, with "|" between two. */
static const char *
printed(size_t size)
{
	char piece[4096];
	size_t at = 0, length;

	text[0] = '\0';
	while ((length = roster_print(&roster, &at, piece, size)) > 0)
		snprintf(
		    text + strlen(text), sizeof(text) - strlen(text), "%.*s|", (int)length, piece);
	return text;
}

START_TEST(test_two)
{
	ck_assert(!roster_wanted(&roster));
	roster_add(&roster, NULL, NULL, "a@c.example");
	ck_assert(!roster_wanted(&roster)); /* the log names one */
	roster_add(&roster, "4QkT3z", NULL, "b@c.example");
	ck_assert(roster_wanted(&roster));
	ck_assert_str_eq(
	    printed(4096), "recipient 4QkT3z a@c.example\nrecipient 4QkT3z b@c.example\n|");
	/* each line whole: size is one more than the line */
	ck_assert_str_eq(
	    printed(30), "recipient 4QkT3z a@c.example\n|recipient 4QkT3z b@c.example\n|");
	ck_assert_str_eq(printed(29), ""); /* they fit into none */
}
END_TEST

START_TEST(test_unknown_id)
{
	roster_add(&roster, NULL, NULL, "a@c.example");
	roster_add(&roster, NULL, NULL, "b@c.example");
	ck_assert(!roster_wanted(&roster));
	roster_add(&roster, "4QkT3z", NULL, NULL); /* nobody, yet the id is known */
	ck_assert(roster_wanted(&roster));
}
END_TEST

/* A transaction has nothing of the one before, not its id either. */
START_TEST(test_clear)
{
	roster_add(&roster, "OLD", NULL, "a@c.example");
	roster_add(&roster, "OLD", NULL, "b@c.example");
	roster_clear(&roster);
	ck_assert_str_eq(printed(4096), "");
	roster_add(&roster, NULL, NULL, "c@c.example");
	roster_add(&roster, NULL, NULL, "d@c.example");
	ck_assert(!roster_wanted(&roster));
}
END_TEST

/* Who writes an address makes no lines; one that is too long for a datagram keeps no other back. */
START_TEST(test_hostile)
{
	char longest[5000];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	roster_add(&roster, "4QkT3z", NULL, "\"a\nrecipient X v@c.example\"@c.example");
	roster_add(&roster, "4QkT3z", NULL, longest);
	roster_add(&roster, "4QkT3z", NULL, "");
	roster_add(&roster, "4QkT3z", NULL, "b@c.example");
	ck_assert_str_eq(printed(2048),
	    "recipient 4QkT3z \"a recipient X v@c.example\"@c.example\n|"
	    "recipient 4QkT3z b@c.example\n|");
}
END_TEST

/* As it was sent, since the log spells it so too; where the MTA made it another address, that. */
START_TEST(test_spelling)
{
	static const struct {
		const char *argument, *address, *line;
	} cases[] = {
	    {"<U.Ser@C.Example>", "u.ser@c.example", "U.Ser@C.Example"},
	    {"<U@C.Example.>", "u@c.example", "U@C.Example"},
	    {"U@c.example", "u@c.example", "U@c.example"},
	    {"<\"J D\"@c.example>", "\"j d\"@c.example", "\"J D\"@c.example"},
	    {"<@hop.example:U@c.example>", "u@c.example", "u@c.example"},
	    {"<U%c.example@hop.example>", "u@c.example", "u@c.example"},
	    {"<u@c.example.evil>", "u@c.example", "u@c.example"},
	    {"<u@c.exampl>", "u@c.example", "u@c.example"},
	    {"<", "u@c.example", "u@c.example"},
	    {"", "u@c.example", "u@c.example"},
	};
	char line[128];

	roster_add(&roster, "4QkT3z", cases[_i].argument, cases[_i].address);
	snprintf(line, sizeof(line), "recipient 4QkT3z %s\n|", cases[_i].line);
	ck_assert_str_eq(printed(2048), line);
}
END_TEST

/* More recipients than there is room for: memory stays within bounds. */
START_TEST(test_many)
{
	char address[64];

	for (int i = 0; i < 100000; i++) {
		snprintf(address, sizeof(address), "recipient%d@customer.example", i);
		roster_add(&roster, "4QkT3z", NULL, address);
	}
	ck_assert_uint_le(roster.room, 262144);
	ck_assert_uint_ge(roster.count, 5000);
	roster_clear(&roster);
	ck_assert_ptr_null(roster.addresses);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("roster");
	TCase *part = tcase_create("roster");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(part, setup, teardown);
	tcase_add_test(part, test_two);
	tcase_add_test(part, test_unknown_id);
	tcase_add_test(part, test_clear);
	tcase_add_test(part, test_hostile);
	tcase_add_loop_test(part, test_spelling, 0, 10);
	tcase_add_test(part, test_many);
	suite_add_tcase(suite, part);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
