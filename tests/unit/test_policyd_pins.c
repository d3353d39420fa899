/*
 * test_policyd_pins: which lines greet (tests/data/greetings.txt), and which rows a next hop is of.
 * Pure.
 */
#include "policyd/greeting.h"
#include "policyd/pin_hops.h"
#include "policyd/pins.h"

#include "tests/unit/table.h"

static struct table table;

START_TEST(test_greetings)
{
	struct greeting greeting = {.place = GREETING_AWAITED};
	const char *line = table.lines[_i];
	char marks[64];

	table_word(&line, marks, sizeof(marks));
	line += strspn(line, " ");
	for (size_t i = 0; marks[i] != '\0'; i++) {
		ck_assert_msg(line[0] == '|', "line %zu is missing: %s", i + 1, table.lines[_i]);
		line++;
		const size_t length = strcspn(line, "|");
		ck_assert_msg(greeting_note(&greeting, line, length) == (marks[i] == 'g'),
		    "line %zu: %s", i + 1, table.lines[_i]);
		line += length;
	}
	ck_assert_msg(line[0] == '\0', "more lines than marks: %s", table.lines[_i]);
}
END_TEST

/* --- next hops ------------------------------------------------------------------------------- */

static char found[4096];

static void
note_name(const char *name, void *context)
{
	(void)context;
	(void)strcat(found, name);
	(void)strcat(found, " ");
}

static const char *
rows_of(const struct pin_hops *hops, const char *hop)
{
	found[0] = '\0';
	pin_hops_each(hops, hop, strlen(hop), note_name, NULL);
	return found;
}

static void
add(struct pin_hops *hops, const char *hop, const char *name)
{
	ck_assert(pin_hops_add(hops, hop, strlen(hop), name));
}

START_TEST(test_hops)
{
	struct pin_hops *hops = pin_hops_new();

	ck_assert_str_eq(rows_of(hops, "[mx.example]"), "");
	add(hops, "[MX.example]", "b.example");
	add(hops, "[mx.example]", "a.example");
	add(hops, "[mx.example]", "b.example");
	add(hops, "[mx.example]:25", "c.example");
	ck_assert_str_eq(rows_of(hops, "[mx.EXAMPLE]"), "a.example b.example ");
	ck_assert_str_eq(rows_of(hops, "[mx.example]:25"), "c.example ");
	ck_assert_str_eq(rows_of(hops, "mx.example"), "");
	pin_hops_free(hops);
	pin_hops_free(NULL);
}
END_TEST

START_TEST(test_hops_too_long)
{
	struct pin_hops *hops = pin_hops_new();
	char hop[PIN_HOP_SIZE + 1];

	memset(hop, 'a', sizeof(hop));
	hop[PIN_HOP_SIZE] = '\0';
	ck_assert(!pin_hops_add(hops, hop, PIN_HOP_SIZE, "a.example"));
	ck_assert_str_eq(rows_of(hops, hop), "");
	ck_assert(pin_hops_add(hops, hop, PIN_HOP_SIZE - 1, "a.example"));
	ck_assert_str_eq(rows_of(hops, hop + 1), "a.example ");
	pin_hops_free(hops);
}
END_TEST

/* Rows change for months: it does not grow for ever, and says that it has to be read anew. */
START_TEST(test_hops_bounded)
{
	struct pin_hops *hops = pin_hops_new();
	char hop[32];
	int i;

	ck_assert(!pin_hops_complete(hops));
	add(hops, "[first]", "a.example");
	pin_hops_completed(hops);
	for (i = 0; i < 1000000 && pin_hops_complete(hops); i++) {
		(void)snprintf(hop, sizeof(hop), "[%d]", i);
		add(hops, hop, "a.example");
	}
	ck_assert_int_gt(i, 1000);
	ck_assert_int_lt(i, 100000);
	ck_assert_str_eq(rows_of(hops, "[first]"), "");
	ck_assert_str_eq(rows_of(hops, hop), "a.example "); /* the one that emptied it is in */
	pin_hops_free(hops);
}
END_TEST

/* --- banners --------------------------------------------------------------------------------- */

START_TEST(test_banner_shown)
{
	struct pin_demand demand = {.rows = 1};

	ck_assert(pin_banner_shown(&demand, "220", 3));
	demand.banners = 2;
	(void)strcpy(demand.banner[0], "mx.example ESMTP");
	(void)strcpy(demand.banner[1], "new");
	ck_assert(pin_banner_shown(&demand, "220 mx.example ESMTP", 20));
	ck_assert(pin_banner_shown(&demand, "220-mx.example ESMTP Postfix", 28));
	ck_assert(pin_banner_shown(&demand, "220 new", 7));
	ck_assert(!pin_banner_shown(&demand, "220 mx.example ESMTP", 19));
	ck_assert(!pin_banner_shown(&demand, "220 stranger", 12));
	ck_assert(!pin_banner_shown(&demand, "220", 3));
	ck_assert(!pin_banner_shown(&demand, "220  new", 8));
	ck_assert(!pin_banner_shown(&demand, "220 ?ew", 7));
	(void)strcpy(demand.banner[1], "m\xc3\xbcx");
	ck_assert(pin_banner_shown(&demand, "220 m\xc3\xbcx", 8));
	ck_assert(pin_banner_shown(&demand, "220 m??x", 8));
	ck_assert(!pin_banner_shown(&demand, "220 m?x", 7));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policyd_pins");
	TCase *tests = tcase_create("pins");

	table = table_load("tests/data/greetings.txt");
	tcase_add_loop_test(tests, test_greetings, 0, table.count);
	tcase_add_test(tests, test_hops);
	tcase_add_test(tests, test_hops_too_long);
	tcase_add_test(tests, test_hops_bounded);
	tcase_add_test(tests, test_banner_shown);
	suite_add_tcase(suite, tests);
	const int result = table_run(suite);
	table_free(&table);
	return result;
}
