/*
 * test_sync_backlog: the order in which changes are read, against a small authority in memory that
 * goes on committing: nothing is passed over, nothing is claimed too early, what is small never
 * waits for what is large.
 */
#include "sync/backlog.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSIONS 130

/* Version v has sizes[v] rows, all of step 5, with the keys 000000000, 000000001, ... */
struct authority {
	unsigned sizes[VERSIONS];
	unsigned taken[VERSIONS]; /* rows that the relay has, in order */
	uint64_t newest;
};

struct relay {
	struct backlog backlog;
	struct snapshot_meta meta;
	unsigned pages;
};

static struct feed_state
state_of(const struct authority *authority)
{
	struct feed_state state = {.version = authority->newest};

	snprintf(state.stamp, sizeof state.stamp, "s%d", (int)authority->newest);
	return state;
}

/* Tells rows of one version from behind a place. */
static void
tell(struct authority *authority, struct relay *relay, struct backlog_page *page, uint64_t version)
{
	bool inside = page->behind.version == version && page->behind.step == 5;
	unsigned from = inside ? (unsigned)atoi(page->behind.key) + 1 : 0, told;
	static struct row row = {.kind = ROW_DOMAIN, .present = true, .step = 5}; /* it is large */
	bool good = true;

	row.version = version;

	for (told = 0; told < page->each && page->rows < page->most; told++, from++) {
		if (from >= authority->sizes[version])
			break;
		snprintf(row.key, sizeof row.key, "%09u", from);
		good = good && backlog_row(&relay->backlog, page, &row) &&
		       from <= authority->taken[version];
		if (from == authority->taken[version])
			authority->taken[version]++;
	}
	if (!good) /* no assertion for each version: Check notes every one in a file */
		ck_abort_msg("version %d: a row is refused or passed over", (int)version);
}

static void
check_claim(const struct authority *authority, const struct relay *relay)
{
	char stamp[16];
	uint64_t version = 1;

	while (version <= relay->meta.version &&
	       authority->taken[version] == authority->sizes[version])
		version++;
	ck_assert_uint_eq(version, relay->meta.version + 1); /* the first that is not whole */
	snprintf(stamp, sizeof stamp, "s%d", (int)relay->meta.version);
	if (relay->meta.version > 0)
		ck_assert_str_eq(relay->meta.stamp, stamp);
	ck_assert_uint_eq(relay->meta.newest, authority->newest);
}

static void
read_page(struct authority *authority, struct relay *relay)
{
	const struct feed_state state = state_of(authority);
	struct backlog_page page;
	int64_t heard_at;
	uint64_t version, was = relay->meta.version;

	backlog_attach(&relay->backlog, &relay->meta);
	page = backlog_next(&relay->backlog, state.version);
	for (version = page.since + 1; version <= page.until; version++)
		tell(authority, relay, &page, version);
	ck_assert_uint_le(page.rows, BACKLOG_PAGE);
	backlog_end(&relay->backlog, &page, &state, 1000 + (int64_t)state.version);
	backlog_claim(&relay->backlog, &state, &relay->meta, &heard_at);
	ck_assert_uint_ge(relay->meta.version, was);
	ck_assert_int_eq(
	    heard_at, relay->meta.version > was ? 1000 + (int64_t)relay->meta.version : -1);
	relay->pages++;
	check_claim(authority, relay);
}

static void
commit(struct authority *authority, unsigned size)
{
	authority->sizes[++authority->newest] = size;
}

static void
read_all(struct authority *authority, struct relay *relay)
{
	unsigned most = relay->pages + 10000;

	while (relay->meta.version < authority->newest) {
		read_page(authority, relay);
		ck_assert_uint_lt(relay->pages, most);
	}
}

START_TEST(small_ones_take_one_page)
{
	struct authority authority = {.newest = 0};
	struct relay relay = {.pages = 0};
	unsigned i;

	for (i = 0; i < 15; i++)
		commit(&authority, i * 10);
	read_page(&authority, &relay);
	ck_assert_uint_eq(relay.meta.version, authority.newest);
}
END_TEST

START_TEST(a_small_one_does_not_wait)
{
	struct authority authority = {.newest = 0};
	struct relay relay = {.pages = 0};

	commit(&authority, 3);
	commit(&authority, 1000000);
	commit(&authority, 2);
	read_page(&authority, &relay); /* before and behind the large one */
	ck_assert_uint_eq(authority.taken[1], 3);
	ck_assert_uint_eq(authority.taken[3], 2);
	ck_assert_uint_eq(relay.meta.version, 0);
	read_page(&authority, &relay);
	read_page(&authority, &relay);
	commit(&authority, 1); /* beside its pages: the next reading, or the one behind it */
	read_page(&authority, &relay);
	read_page(&authority, &relay);
	ck_assert_uint_eq(authority.taken[4], 1);
	ck_assert_uint_lt(authority.taken[2], 100000);
	read_all(&authority, &relay);
	ck_assert_uint_le(relay.pages, 55);
}
END_TEST

START_TEST(a_large_one_goes_on_beside_small_ones)
{
	struct authority authority = {.newest = 0};
	struct relay relay = {.pages = 0};

	commit(&authority, 500000);
	while (relay.meta.version < 1) {
		ck_assert_uint_lt(relay.pages, 60);
		commit(&authority, 1); /* before each page */
		read_page(&authority, &relay);
	}
	read_all(&authority, &relay);
}
END_TEST

START_TEST(borders)
{
	static const unsigned sizes[] = {0, 1, BACKLOG_EACH - 1, BACKLOG_EACH, BACKLOG_EACH + 1,
	    BACKLOG_PAGE - 1, BACKLOG_PAGE, BACKLOG_PAGE + 1, BACKLOG_PAGE + BACKLOG_EACH - 1,
	    BACKLOG_PAGE + BACKLOG_EACH, 2 * BACKLOG_PAGE + BACKLOG_EACH};
	struct authority authority = {.newest = 0};
	struct relay relay = {.pages = 0};
	size_t i;

	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		commit(&authority, sizes[i]);
	read_all(&authority, &relay);
	for (i = 0; i < 30; i++) /* a page that ends with a version, and in the middle of one */
		commit(&authority, i % 2 == 0 ? BACKLOG_EACH - 1 : BACKLOG_EACH);
	read_all(&authority, &relay);
	for (i = 0; i < 60; i++) /* more large ones than there is room for */
		commit(&authority, BACKLOG_EACH + 500);
	read_all(&authority, &relay);
}
END_TEST

START_TEST(any_order_of_sizes)
{
	static const unsigned sizes[] = {0, 1, 5, 700, BACKLOG_EACH, 1500, 30000, 45000};
	struct authority authority;
	struct relay relay;
	unsigned seed, more;

	for (seed = 1; seed <= 2; seed++) {
		memset(&authority, 0, sizeof authority);
		memset(&relay, 0, sizeof relay);
		srand(seed);
		while (authority.newest < VERSIONS - 10) {
			for (more = (unsigned)rand() % 6; more > 0; more--)
				commit(&authority, sizes[rand() % 8]);
			if (relay.meta.version < authority.newest)
				read_page(&authority, &relay);
			if (rand() % 50 == 0) /* another start */
				memset(&relay.backlog, 0, sizeof relay.backlog);
		}
		read_all(&authority, &relay);
	}
}
END_TEST

START_TEST(another_snapshot_begins_anew)
{
	struct authority authority = {.newest = 0};
	struct relay relay = {.pages = 0};

	commit(&authority, 100000);
	commit(&authority, 1);
	read_page(&authority, &relay);
	ck_assert_uint_eq(relay.backlog.count, 1);
	relay.meta = (struct snapshot_meta){.version = 1, .newest = 1};
	backlog_attach(&relay.backlog, &relay.meta);
	ck_assert_uint_eq(relay.backlog.count, 0);
	ck_assert_uint_eq(relay.backlog.swept, 1);
	ck_assert_uint_eq(relay.backlog.mark.version, 0);
}
END_TEST

START_TEST(rows_that_were_not_asked_for)
{
	struct backlog backlog = {.version = 0};
	struct backlog_page page = backlog_next(&backlog, 10);
	struct row row = {.kind = ROW_DOMAIN, .key = "a.example", .step = 5, .version = 7};

	ck_assert(backlog_row(&backlog, &page, &row));
	row.version = 6; /* backwards */
	ck_assert(!backlog_row(&backlog, &page, &row));
	row.version = 11; /* newer than the state */
	ck_assert(!backlog_row(&backlog, &page, &row));
	row.version = 0; /* no change at all */
	ck_assert(!backlog_row(&backlog, &page, &row));
	page.rows = page.most;
	row.version = 8;
	ck_assert(!backlog_row(&backlog, &page, &row));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync_backlog");
	TCase *tests = tcase_create("backlog");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, small_ones_take_one_page);
	tcase_add_test(tests, a_small_one_does_not_wait);
	tcase_add_test(tests, a_large_one_goes_on_beside_small_ones);
	tcase_add_test(tests, borders);
	tcase_add_test(tests, any_order_of_sizes);
	tcase_add_test(tests, another_snapshot_begins_anew);
	tcase_add_test(tests, rows_that_were_not_asked_for);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
