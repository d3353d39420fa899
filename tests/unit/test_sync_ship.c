/*
 * test_sync_ship: what is shipped, without anybody to ship it to: batches of the spool's rows, and
 * the figures of the queue as whole reports and as changes.
 */
#include "sync/figures.h"
#include "sync/ship_batch.h"
#include "sync/ship_journal.h"
#include "tests/unit/table.h"

#include "core/journal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1763800000

/* --- batches ---------------------------------------------------------------------------------- */

static bool
add(struct ship_batch *batch, uint64_t seq, const char *text)
{
	const struct spool_entry entry = {
	    .key = "k", .key_length = 1, .text = text, .length = strlen(text), .seq = seq};

	return ship_batch_add(&entry, batch);
}

START_TEST(test_batch_text)
{
	struct ship_batch batch = {.text = NULL};
	struct journal_row row = {.queue_id = "4XrT", .recipient = "a@b.example", .attempts = 3};
	char *text = journal_row_print(&row, true);
	json_t *array;

	ship_batch_begin(&batch, 10, 4);
	ck_assert(ship_batch_end(&batch));
	ck_assert_str_eq(batch.text, "[]");
	ck_assert_uint_eq(batch.up_to, 4);
	ship_batch_begin(&batch, 10, 4);
	ck_assert(add(&batch, 5, text));
	ck_assert(add(&batch, 9, "{\"kind\":\"event\"}"));
	ck_assert(ship_batch_end(&batch));
	array = json_loads(batch.text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_uint_eq(json_array_size(array), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(array, 0), "seq")), 5);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(array, 0), "attempts")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(array, 1), "seq")), 9);
	ck_assert(batch.rows == 2 && batch.up_to == 9);
	json_decref(array);
	free(text);
	ship_batch_free(&batch);
}
END_TEST

START_TEST(test_batch_bounds)
{
	struct ship_batch batch = {.text = NULL};
	char *big = malloc(SHIP_BATCH_BYTES + 1);

	ship_batch_begin(&batch, 2, 0);
	ck_assert(add(&batch, 1, "{\"a\":1}") && add(&batch, 2, "{\"a\":1}"));
	ck_assert(!add(&batch, 3, "{\"a\":1}"));
	ck_assert_uint_eq(batch.up_to, 2); /* what it did not take, the next one gets */
	memset(big, ' ', SHIP_BATCH_BYTES);
	big[0] = '{';
	big[SHIP_BATCH_BYTES - 1] = '}';
	big[SHIP_BATCH_BYTES] = '\0';
	ship_batch_begin(&batch, 10, 0);
	ck_assert_msg(add(&batch, 1, big), "one row is always taken, whatever its size");
	ck_assert(!add(&batch, 2, "{\"a\":1}"));
	ck_assert(ship_batch_end(&batch));
	ck_assert_uint_eq(batch.rows, 1);
	free(big);
	ship_batch_free(&batch);
}
END_TEST

/* What would break the array is passed over, and so is the row that was found to be bad. */
START_TEST(test_batch_passes_over)
{
	struct ship_batch batch = {.text = NULL};
	const struct spool_entry nul = {
	    .key = "k", .key_length = 1, .text = "{\"a\":\0}", .length = 7, .seq = 3};

	batch.skip = 4;
	ship_batch_begin(&batch, 10, 0);
	ck_assert(add(&batch, 1, "words") && add(&batch, 2, "{}") && ship_batch_add(&nul, &batch) &&
		  add(&batch, 4, "{\"b\":1}") && add(&batch, 5, "{\"c\":1}"));
	ck_assert(ship_batch_end(&batch));
	ck_assert_str_eq(batch.text, "[{\"seq\":5,\"c\":1}]");
	ck_assert(batch.rows == 1 && batch.up_to == 5);
	ship_batch_free(&batch);
}
END_TEST

/* However many rows a batch has, halving finds the bad one, and it grows again. */
START_TEST(test_batch_limits)
{
	unsigned limit = SHIP_BATCH_ROWS, steps = 0;

	for (; limit > 1; steps++) {
		ck_assert_uint_lt(ship_batch_next_limit(limit, true), limit);
		limit = ship_batch_next_limit(limit, true);
	}
	ck_assert_uint_le(steps, 10);
	ck_assert_uint_eq(ship_batch_next_limit(1, true), 1);
	for (steps = 0; limit < SHIP_BATCH_ROWS; steps++)
		limit = ship_batch_next_limit(limit, false);
	ck_assert_uint_eq(limit, SHIP_BATCH_ROWS);
	ck_assert_uint_le(steps, 10);
}
END_TEST

START_TEST(test_days)
{
	struct conf conf = {.journal = {.retention_days = 21}};

	conf.relay.queue_lifetime = 5 * 86400;
	ck_assert_int_eq(ship_journal_days(&conf), 21);
	conf.relay.queue_lifetime = 30 * 86400;
	ck_assert_int_eq(ship_journal_days(&conf), 32);
}
END_TEST

/* --- figures ------------------------------------------------------------------------------------
 */

struct named {
	const char *name;
	struct state_domain record;
};

#define HELD(domain, count)                                                                        \
	{                                                                                          \
		domain,                                                                            \
		{                                                                                  \
			.messages = (count), .oldest = NOW - 9, .counted_at = NOW                  \
		}                                                                                  \
	}

static struct figures figures;

static void
look(const struct named *all, size_t count, bool whole)
{
	figures_begin(&figures, whole, NOW);
	for (size_t i = 0; i < count; i++)
		ck_assert(figures_visit(all[i].name, &all[i].record, &figures));
	ck_assert(figures_end(&figures));
}

/* The names of a part, those that are gone with a minus. */
static const char *
names(size_t part)
{
	static char out[4096];
	json_t *array = json_loads(figures.parts[part].rows, 0, NULL), *row;
	size_t i;

	ck_assert_msg(json_is_array(array), "%s", figures.parts[part].rows);
	out[0] = '\0';
	json_array_foreach(array, i, row)
	{
		strcat(out, json_object_get(row, "messages") != NULL ? "+" : "-");
		strcat(out, json_string_value(json_object_get(row, "domain")));
	}
	json_decref(array);
	return out;
}

START_TEST(test_changes)
{
	static const struct named first[] = {HELD("a.example", 1), HELD("b.example", 2),
	    HELD("d.example", 3)},
				  second[] = {HELD("b.example", 2), HELD("c.example", 1),
				      HELD("d.example", 4)};

	look(first, 3, true);
	ck_assert_uint_eq(figures.part_count, 1);
	ck_assert(figures.parts[0].whole && figures.parts[0].behind[0] == '\0' &&
		  figures.parts[0].up_to[0] == '\0');
	ck_assert_str_eq(names(0), "+a.example+b.example+d.example");
	figures_told(&figures);
	look(first, 3, false);
	ck_assert_uint_eq(figures.part_count, 0);
	figures_told(&figures);
	look(second, 3, false);
	ck_assert_uint_eq(figures.part_count, 1);
	ck_assert(!figures.parts[0].whole);
	ck_assert_str_eq(names(0), "-a.example+c.example+d.example");
	/* It was not taken: the same is told again. */
	look(second, 3, false);
	ck_assert_str_eq(names(0), "-a.example+c.example+d.example");
	figures_told(&figures);
	look(NULL, 0, false);
	ck_assert_str_eq(names(0), "-b.example-c.example-d.example");
	look(NULL, 0, true);
	ck_assert_str_eq(names(0), "");
	ck_assert_uint_eq(figures.part_count, 1);
	figures_clear(&figures);
}
END_TEST

static const struct {
	struct state_domain record;
	const char *row; /* NULL: nothing to tell */
} told[] = {
    {{.messages = 0}, NULL},
    {{.primary = PRIMARY_UP, .primary_since = 5, .primary_code = 220}, NULL},
    {{.mx = MX_STATE_NAMED, .mx_at = NOW, .row_messages = 7}, NULL},
    {{.hold = HOLD_BREAKER, .hold_until = NOW}, NULL}, /* it is over */
    {{.messages = 3,
	 .bytes = 70,
	 .oldest = 9,
	 .primary = PRIMARY_DOWN,
	 .primary_since = 8,
	 .primary_code = 421,
	 .primary_reason = "words",
	 .hold_reason = "words"},
	"{\"domain\":\"x.example\",\"messages\":3,\"bytes\":70,\"oldest\":9,\"primary\":\"down\","
	"\"since\":8,\"code\":421,\"hold\":null,\"until\":0}"},
    {{.primary = PRIMARY_WRONG_HOST, .primary_code = 7, .oldest = 9},
	"{\"domain\":\"x.example\",\"messages\":0,\"bytes\":0,\"oldest\":0,\"primary\":\"wrong-"
	"host\",\"since\":0,\"code\":0,\"hold\":null,\"until\":0}"},
    {{.hold = HOLD_OPERATOR, .hold_until = HOLD_FOREVER, .primary = PRIMARY_UP},
	"{\"domain\":\"x.example\",\"messages\":0,\"bytes\":0,\"oldest\":0,\"primary\":\"up\","
	"\"since\":0,\"code\":0,\"hold\":\"operator\",\"until\":9223372036854775807}"},
    {{.messages = UINT64_MAX, .bytes = UINT64_MAX},
	"{\"domain\":\"x.example\",\"messages\":9223372036854775807,\"bytes\":"
	"9223372036854775807,\"oldest\":0,\"primary\":\"unknown\",\"since\":0,\"code\":0,"
	"\"hold\":null,\"until\":0}"},
};

START_TEST(test_told)
{
	char want[512];

	figures_begin(&figures, true, NOW);
	ck_assert(figures_visit("x.example", &told[_i].record, &figures));
	ck_assert(figures_end(&figures));
	snprintf(want, sizeof(want), "[%s]", told[_i].row != NULL ? told[_i].row : "");
	ck_assert_str_eq(figures.parts[0].rows, want);
	figures_clear(&figures);
}
END_TEST

/* Parts of a whole report: together all names, each behind the one before, the last to the end. */
START_TEST(test_parts)
{
	enum { COUNT = 2 * FIGURES_PART + 1 };
	const struct state_domain record = {.messages = 1, .counted_at = NOW};
	char name[DOMAIN_SIZE];
	size_t rows = 0;

	figures_begin(&figures, true, NOW);
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "d%05d.example", i);
		ck_assert(figures_visit(name, &record, &figures));
	}
	ck_assert(figures_end(&figures));
	ck_assert_uint_eq(figures.part_count, 3);
	for (size_t i = 0; i < 3; i++) {
		json_t *array = json_loads(figures.parts[i].rows, 0, NULL);

		rows += json_array_size(array);
		json_decref(array);
		ck_assert(figures.parts[i].whole);
		ck_assert_str_eq(figures.parts[i].behind, i > 0 ? figures.parts[i - 1].up_to : "");
	}
	ck_assert_str_eq(figures.parts[0].up_to, "d00499.example");
	ck_assert_str_eq(figures.parts[2].up_to, "");
	ck_assert_uint_eq(rows, COUNT);
	figures_clear(&figures);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-ship");
	TCase *tcase = tcase_create("ship");

	tcase_add_test(tcase, test_batch_text);
	tcase_add_test(tcase, test_batch_bounds);
	tcase_add_test(tcase, test_batch_passes_over);
	tcase_add_test(tcase, test_batch_limits);
	tcase_add_test(tcase, test_days);
	tcase_add_test(tcase, test_changes);
	tcase_add_loop_test(tcase, test_told, 0, (int)(sizeof(told) / sizeof(told[0])));
	tcase_add_test(tcase, test_parts);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
