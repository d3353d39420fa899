/*
 * Tests of queued/mxwatch with time as data: when rows are read, how often, and that none is said
 * not to be named before a second, fresh look.
 */
#include "queued/mxwatch.h"

#include "tests/unit/table.h"

#define ROWS 3000
#define DAY 86400

struct world {
	size_t rows;
	uint64_t serial;
	struct mxwatch_fact facts[ROWS];
	enum mx_state truth[ROWS]; /* what a reading finds */
	bool wrong[ROWS];
	char open[MXWATCH_READINGS + 1][32]; /* readings under way */
	size_t open_count, most_open, begun, fresh_ones, alerts, ends, sweeps;
	bool no_snapshot, refuse, silent;
	bool last_fresh;
};

static struct world world;
static struct mxwatch *watch;
static struct queued_time now;

static size_t
index_of(const char *row)
{
	return strtoul(row + 1, NULL, 10);
}

static bool
rows(void *context, const char *after, size_t most,
    bool (*visit)(const char *row, void *visit_context), void *visit_context, bool *end)
{
	size_t i = after[0] != '\0' ? index_of(after) + 1 : 0;
	char row[32];

	(void)context;
	*end = false;
	if (world.no_snapshot)
		return false;
	for (size_t seen = 0; seen < most && i < world.rows; seen++, i++) {
		snprintf(row, sizeof(row), "d%05zu.example", i);
		if (!visit(row, visit_context))
			return true;
	}
	*end = i >= world.rows;
	return true;
}

static bool
wanted(void *context, const char *row)
{
	(void)context;
	return index_of(row) < world.rows;
}

static uint64_t
serial(void *context)
{
	(void)context;
	return world.serial;
}

static struct mxwatch_fact
known(void *context, const char *row)
{
	(void)context;
	return index_of(row) < ROWS ? world.facts[index_of(row)] : (struct mxwatch_fact){0};
}

static void
put(void *context, const char *row, struct mxwatch_fact fact)
{
	(void)context;
	world.facts[index_of(row)] = fact;
}

static bool
start_reading(void *context, const char *row, bool fresh)
{
	(void)context;
	if (world.refuse)
		return false;
	strcpy(world.open[world.open_count++], row);
	ck_assert_uint_le(world.open_count, MXWATCH_READINGS);
	if (world.open_count > world.most_open)
		world.most_open = world.open_count;
	world.begun++;
	world.fresh_ones += fresh;
	world.last_fresh = fresh;
	return true;
}

static void
wrong(void *context, const char *row, const char *text)
{
	(void)context;
	(void)row;
	ck_assert_str_eq(text, "why");
	world.alerts++;
}

static void
right(void *context, const char *row)
{
	(void)context;
	(void)row;
	world.ends++;
}

static bool
silent(void *context, const char *row)
{
	(void)context;
	(void)row;
	return world.silent;
}

static void
swept(void *context)
{
	(void)context;
	world.sweeps++;
}

static void
set_up(void)
{
	const struct mxwatch_setup setup = {.interval = DAY,
	    .ports = {rows, wanted, serial, known, put, start_reading, wrong, right, swept, silent,
		NULL}};

	memset(&world, 0, sizeof(world));
	for (size_t i = 0; i < ROWS; i++)
		world.truth[i] = MX_STATE_NAMED;
	world.serial = 1;
	now = (struct queued_time){.ms = 1000000, .wall = 1700000000};
	watch = mxwatch_new(&setup);
	ck_assert_ptr_nonnull(watch);
}

static void
tear_down(void)
{
	mxwatch_free(watch);
}

static void
answer_all(void)
{
	while (world.open_count > 0) {
		const char *row = world.open[--world.open_count];
		const enum mx_state truth = world.truth[index_of(row)];

		mxwatch_read_done(watch, row,
		    &(struct mxwatch_finding){.state = truth,
			.judged = truth != MX_STATE_UNKNOWN,
			.wrong = world.wrong[index_of(row)],
			.text = "why"},
		    now);
	}
}

/* `seconds` pass, in ticks; readings are answered at once. */
static void
pass(int64_t seconds)
{
	for (int64_t i = 0; i < seconds * 2; i++) {
		mxwatch_tick(watch, now);
		answer_all();
		now.ms += 500;
		now.wall += i % 2;
	}
}

START_TEST(test_all_are_read_once)
{
	world.rows = 200;
	pass(60);
	ck_assert_uint_eq(world.begun, 200);
	for (size_t i = 0; i < world.rows; i++)
		ck_assert_int_eq(world.facts[i].mx, MX_STATE_NAMED);
	ck_assert_uint_eq(world.fresh_ones, 0);
	pass(3600);
	ck_assert_uint_eq(world.begun, 200);
}
END_TEST

START_TEST(test_daily_and_spread)
{
	size_t early;

	world.rows = 200;
	pass(60);
	now.ms += (DAY - DAY / 10 - 120) * INT64_C(1000);
	now.wall += DAY - DAY / 10 - 120;
	pass(10);
	ck_assert_uint_eq(world.begun, 200); /* not before nine tenths of the interval */
	now.ms += DAY / 20 * INT64_C(1000);
	now.wall += DAY / 20;
	pass(60);
	early = world.begun - 200;
	ck_assert_uint_gt(early, 50); /* half of them, by and by */
	ck_assert_uint_lt(early, 150);
	now.ms += DAY / 20 * INT64_C(1000);
	now.wall += DAY / 20;
	pass(700);
	ck_assert_uint_eq(world.begun, 400); /* each once, and none twice */
}
END_TEST

START_TEST(test_rate)
{
	world.rows = ROWS;
	pass(5);
	ck_assert_uint_le(world.begun, 250 * 6);
	ck_assert_uint_ge(world.begun, 250 * 4);
	pass(20);
	ck_assert_uint_eq(world.begun, ROWS);
	ck_assert_uint_le(world.most_open, MXWATCH_READINGS);
	for (size_t i = 0; i < ROWS; i++) /* all of them are due at once: no haste any more */
		world.facts[i].at = 0;
	now.ms += 600000;
	pass(10);
	ck_assert_uint_le(world.begun, ROWS + 20 * 11);
	ck_assert_uint_ge(world.begun, ROWS + 20 * 9);
}
END_TEST

START_TEST(test_no_more_than_there_are_places)
{
	world.rows = 1000;
	for (int i = 0; i < 100; i++) { /* nobody answers */
		mxwatch_tick(watch, now);
		now.ms += 500;
	}
	ck_assert_uint_eq(world.open_count, MXWATCH_WALKED);
	for (unsigned i = MXWATCH_WALKED; i < MXWATCH_READINGS; i++) { /* the rest is for these */
		char row[32];

		snprintf(row, sizeof(row), "d%05u.example", i);
		ck_assert(mxwatch_asked(watch, row, now));
	}
	ck_assert(!mxwatch_asked(watch, "d00999.example", now));
	ck_assert_uint_eq(mxwatch_open(watch), MXWATCH_READINGS);
	world.open_count = 0;
	now.ms += 120000; /* lost: their places are free again, and they are still due */
	pass(800);
	ck_assert_uint_eq(mxwatch_open(watch), 0);
	for (size_t i = 0; i < world.rows; i++)
		ck_assert_int_eq(world.facts[i].mx, MX_STATE_NAMED);
}
END_TEST

START_TEST(test_new_row)
{
	world.rows = 10;
	pass(30);
	world.rows = 11;
	pass(30);
	ck_assert_uint_eq(world.begun, 10); /* nobody knows yet */
	world.serial++;
	pass(3);
	ck_assert_uint_eq(world.begun, 11);
}
END_TEST

START_TEST(test_not_named_needs_two_looks)
{
	world.rows = 3;
	world.truth[1] = MX_STATE_NOT_NAMED;
	pass(4);
	ck_assert_uint_eq(world.begun, 3);
	ck_assert_int_eq(world.facts[1].mx, MX_STATE_UNKNOWN);
	ck_assert_int_eq(world.facts[2].mx, MX_STATE_NAMED);
	pass(4);
	ck_assert_uint_eq(world.begun, 4);
	ck_assert(world.last_fresh);
	ck_assert_int_eq(world.facts[1].mx, MX_STATE_NOT_NAMED);
	/* From now on one look will do. */
	now.wall += DAY;
	now.ms += DAY * INT64_C(1000);
	world.facts[0].at = world.facts[2].at = now.wall;
	pass(3);
	ck_assert_uint_eq(world.begun, 5);
	ck_assert_int_ge(world.facts[1].at, now.wall - 5);
}
END_TEST

START_TEST(test_second_look_differs)
{
	world.rows = 1;
	world.truth[0] = MX_STATE_NOT_NAMED;
	pass(2);
	world.truth[0] = _i == 0 ? MX_STATE_NAMED : MX_STATE_UNKNOWN;
	pass(10);
	ck_assert_int_eq(world.facts[0].mx, _i == 0 ? MX_STATE_NAMED : MX_STATE_UNKNOWN);
}
END_TEST

START_TEST(test_cannot_tell)
{
	world.rows = 1;
	world.facts[0] = (struct mxwatch_fact){MX_STATE_NAMED, now.wall - DAY};
	world.truth[0] = MX_STATE_UNKNOWN;
	pass(5);
	ck_assert_int_eq(world.facts[0].mx, MX_STATE_NAMED);
	ck_assert_uint_eq(world.begun, 1);
	for (int i = 0; i < 20; i++) { /* changes come all the time: it is not asked all the time */
		world.serial++;
		pass(3);
	}
	ck_assert_uint_le(world.begun, 4);
	const size_t begun = world.begun;
	world.truth[0] = MX_STATE_NAMED;
	pass(1300);
	ck_assert_uint_eq(world.begun, begun + 1);
	ck_assert_uint_eq(world.ends, 1);
	ck_assert_uint_eq(world.alerts, 0);
}
END_TEST

/* The resolver starts after us: all is known soon after it. It is away for long: few ask in vain.
 */
START_TEST(test_nothing_can_be_told)
{
	world.rows = 5;
	for (size_t i = 0; i < world.rows; i++)
		world.truth[i] = MX_STATE_UNKNOWN;
	pass(_i == 0 ? 20 : 7200);
	ck_assert_uint_le(world.begun, _i == 0 ? 5 : 5 * (4 + 12));
	for (size_t i = 0; i < world.rows; i++)
		world.truth[i] = MX_STATE_NAMED;
	pass(_i == 0 ? 15 : 605);
	for (size_t i = 0; i < world.rows; i++)
		ck_assert_int_eq(world.facts[i].mx, MX_STATE_NAMED);
}
END_TEST

/* One row of many cannot be read: it is not read oftener than before for that. */
START_TEST(test_one_cannot_be_told)
{
	world.rows = 5;
	world.truth[4] = MX_STATE_UNKNOWN;
	pass(3);
	for (int i = 0; i < 100; i++) { /* the others are */
		world.facts[i % 4].at = 0;
		world.serial++;
		pass(36);
	}
	ck_assert_uint_ge(world.begun, 105);
	ck_assert_uint_le(world.begun, 105 + 12);
}
END_TEST

START_TEST(test_asked_by_policyd)
{
	world.rows = 2;
	world.truth[0] = MX_STATE_NOT_NAMED;
	pass(20);
	ck_assert_uint_eq(world.begun, 3);
	ck_assert(mxwatch_asked(watch, "d00000.example", now)); /* read a moment ago */
	ck_assert(mxwatch_asked(watch, "d00001.example", now)); /* named */
	ck_assert(mxwatch_asked(watch, "d00009.example", now)); /* no row */
	ck_assert_uint_eq(world.begun, 3);
	now.wall += 500;
	now.ms += 500000;
	ck_assert(mxwatch_asked(watch, "d00000.example", now));
	ck_assert(mxwatch_asked(watch, "d00000.example", now)); /* under way */
	ck_assert_uint_eq(world.begun, 4);
	ck_assert(world.last_fresh);
	world.truth[0] = MX_STATE_NAMED;
	answer_all();
	ck_assert_int_eq(world.facts[0].mx, MX_STATE_NAMED);
}
END_TEST

START_TEST(test_new_before_the_backlog)
{
	world.rows = ROWS;
	mxwatch_tick(watch, now); /* it has begun */
	answer_all();
	ck_assert_uint_lt(world.begun, ROWS / 2);
	now.ms += 500;
	ck_assert(mxwatch_asked(watch, "d02999.example", now));
	answer_all();
	ck_assert_int_eq(world.facts[2999].mx, MX_STATE_NAMED);
	ck_assert_int_eq(world.facts[1500].mx, MX_STATE_UNKNOWN);
	/* One that cannot be read is not asked for again and again. */
	world.truth[2998] = MX_STATE_UNKNOWN;
	ck_assert(mxwatch_asked(watch, "d02998.example", now));
	answer_all();
	const size_t begun = world.begun;
	ck_assert(mxwatch_asked(watch, "d02998.example", now));
	ck_assert_uint_eq(world.begun, begun);
	/* One that does not name us: the second look is not behind the backlog either. */
	world.truth[2997] = MX_STATE_NOT_NAMED;
	ck_assert(mxwatch_asked(watch, "d02997.example", now));
	answer_all();
	now.ms += 5000;
	mxwatch_tick(watch, now);
	answer_all();
	ck_assert_int_eq(world.facts[2997].mx, MX_STATE_NOT_NAMED);
}
END_TEST

START_TEST(test_demand)
{
	world.rows = 2;
	pass(5);
	ck_assert(!mxwatch_demand(watch, "d00009.example", now));
	ck_assert(mxwatch_demand(watch, "d00001.example", now));
	ck_assert_uint_eq(world.begun, 3);
	ck_assert(world.last_fresh);
	/* One that is being read: what it finds may be older than what the operator did. */
	ck_assert(!mxwatch_demand(watch, "d00001.example", now));
	answer_all();
	ck_assert(mxwatch_demand(watch, "d00001.example", now));
	ck_assert_uint_eq(world.begun, 4);
	world.refuse = true;
	ck_assert(!mxwatch_demand(watch, "d00000.example", now));
}
END_TEST

START_TEST(test_alerts)
{
	world.rows = 2;
	world.wrong[1] = true;
	pass(5);
	ck_assert_uint_eq(world.alerts, 1);
	ck_assert_uint_eq(world.ends, 1);
	world.wrong[1] = false;
	ck_assert(mxwatch_demand(watch, "d00001.example", now));
	answer_all();
	ck_assert_uint_eq(world.ends, 2);
}
END_TEST

/* A row that has gone is never read again: its alert is looked for by itself. */
START_TEST(test_sweeps)
{
	world.rows = ROWS;
	pass(1);
	ck_assert_uint_eq(world.sweeps, 1);
	pass(120);
	ck_assert_uint_eq(world.sweeps, 1);
	world.serial++;
	pass(1);
	ck_assert_uint_eq(world.sweeps, 2);
	for (int i = 0; i < 100; i++) { /* changes come all the time, and the walk has no end */
		world.serial++;
		world.facts[i].at = 0;
		pass(1);
	}
	ck_assert_uint_ge(world.sweeps, 2 + 9);
	ck_assert_uint_le(world.sweeps, 2 + 11);
	pass(10);
	const size_t sweeps = world.sweeps;
	pass(1200); /* without a change, now and then */
	ck_assert_uint_eq(world.sweeps, sweeps + 2);
}
END_TEST

/* In a declared maintenance nothing is told; when it ends the records are read again. */
START_TEST(test_silence)
{
	world.rows = 400;
	for (size_t i = 0; i < world.rows; i++)
		world.wrong[i] = true;
	world.silent = true;
	pass(60);
	ck_assert_uint_eq(world.begun, 400);
	ck_assert_uint_eq(world.alerts, 0);
	for (size_t i = 0; i < world.rows; i++)
		world.wrong[i] = i % 2 == 1;
	world.silent = false;
	pass(60);
	/* More than are remembered are told at their next reading. */
	ck_assert_uint_eq(world.begun, 400 + MXWATCH_KEPT);
	ck_assert_uint_eq(world.alerts, MXWATCH_KEPT / 2);
	ck_assert_uint_eq(world.ends, MXWATCH_KEPT / 2);
	pass(60);
	ck_assert_uint_eq(world.begun, 400 + MXWATCH_KEPT);
}
END_TEST

START_TEST(test_silence_of_no_row)
{
	world.rows = 2;
	world.wrong[1] = true;
	world.silent = true;
	pass(3);
	ck_assert(mxwatch_demand(watch, "d00001.example", now)); /* kept once */
	answer_all();
	world.rows = 1;
	world.silent = false;
	pass(10);
	ck_assert_uint_eq(world.begun, 3);
	ck_assert_uint_eq(world.alerts, 0);
}
END_TEST

START_TEST(test_no_snapshot_and_clocks)
{
	world.rows = 1;
	world.no_snapshot = true;
	pass(5);
	ck_assert_uint_eq(world.begun, 0);
	world.no_snapshot = false;
	pass(2);
	ck_assert_uint_eq(world.begun, 1);
	now.wall -= 1000000; /* set back: a fact from the future is none */
	pass(700);
	ck_assert_uint_eq(world.begun, 2);
	mxwatch_read_done(watch, "d00777.example", /* nobody asked */
	    &(struct mxwatch_finding){.state = MX_STATE_NOT_NAMED}, now);
	ck_assert_int_eq(world.facts[777].mx, MX_STATE_UNKNOWN);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mxwatch");
	TCase *tests = tcase_create("schedule");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, test_all_are_read_once);
	tcase_add_test(tests, test_daily_and_spread);
	tcase_add_test(tests, test_rate);
	tcase_add_test(tests, test_no_more_than_there_are_places);
	tcase_add_test(tests, test_new_row);
	tcase_add_test(tests, test_not_named_needs_two_looks);
	tcase_add_loop_test(tests, test_second_look_differs, 0, 2);
	tcase_add_test(tests, test_cannot_tell);
	tcase_add_loop_test(tests, test_nothing_can_be_told, 0, 2);
	tcase_add_test(tests, test_one_cannot_be_told);
	tcase_add_test(tests, test_asked_by_policyd);
	tcase_add_test(tests, test_new_before_the_backlog);
	tcase_add_test(tests, test_demand);
	tcase_add_test(tests, test_alerts);
	tcase_add_test(tests, test_sweeps);
	tcase_add_test(tests, test_silence);
	tcase_add_test(tests, test_silence_of_no_row);
	tcase_add_test(tests, test_no_snapshot_and_clocks);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
