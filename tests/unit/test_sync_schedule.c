/*
 * test_sync_schedule: back-off and the nightly hour.
 */
#include "sync/schedule.h"
#include "tests/unit/table.h"

#define DAY 86400

START_TEST(test_backoff)
{
	static const int64_t most[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};

	for (unsigned n = 0; n < sizeof(most) / sizeof(most[0]); n++) {
		ck_assert_int_eq(schedule_backoff(n + 1, 0), most[n]);
		for (uint32_t chance = 0; chance < 20000; chance += 7) {
			const int64_t wait = schedule_backoff(n + 1, chance);
			ck_assert_int_le(wait, most[n]);
			ck_assert_int_ge(wait, most[n] / 2);
		}
	}
	ck_assert_int_eq(schedule_backoff(4000000000u, 0), 10000);
	ck_assert_int_eq(schedule_backoff(0, 0), 200);
}
END_TEST

/* Seconds since local midnight. */
static int64_t
of_day(int64_t at, long offset)
{
	return (((at + offset) % DAY) + DAY) % DAY;
}

START_TEST(test_nightly)
{
	static const long offsets[] = {0, 3600, -36000, 50400};
	char name[16];

	for (unsigned o = 0; o < 4; o++) {
		for (unsigned n = 0; n < 200; n++) {
			const int64_t now = 1700000000 + (int64_t)n * 4321;
			snprintf(name, sizeof(name), "relay%u", n);
			const int64_t next = schedule_nightly(now, offsets[o], name);
			ck_assert_int_gt(next, now);
			ck_assert_int_le(next, now + DAY);
			ck_assert_int_ge(of_day(next, offsets[o]), 3600);
			ck_assert_int_lt(of_day(next, offsets[o]), 5 * 3600);
			/* once a night, at the same moment */
			ck_assert_int_eq(schedule_nightly(next, offsets[o], name), next + DAY);
			ck_assert_int_eq(schedule_nightly(next - 1, offsets[o], name), next);
		}
	}
}
END_TEST

START_TEST(test_due)
{
	const int64_t now = 1700000000, next = schedule_nightly(now, 0, "eu1");

	ck_assert(!schedule_is_due(next - 1, next));
	ck_assert(schedule_is_due(next, next));
	ck_assert(schedule_is_due(next + 1, next));
	/* a clock that was wrong by years, and was set right: not only after those years */
	ck_assert(schedule_is_due(now - INT64_C(315360000), next));
	/* by an hour, at the end of summer: no night twice */
	ck_assert(!schedule_is_due(now - 3600, now + DAY));
}
END_TEST

START_TEST(test_nightly_spreads)
{
	ck_assert_int_ne(schedule_nightly(1700000000, 0, "europe-1"),
	    schedule_nightly(1700000000, 0, "europe-2"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-schedule");
	TCase *tcase = tcase_create("times");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_backoff);
	tcase_add_test(tcase, test_nightly);
	tcase_add_test(tcase, test_due);
	tcase_add_test(tcase, test_nightly_spreads);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
