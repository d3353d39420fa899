/*
 * test_sync_unusable: the set of rows that cannot be used: what enters and leaves it, its bounds,
 * its text for PostgreSQL, and its file, also cut and overwritten.
 */
#include "sync/unusable.h"
#include "tests/unit/table.h"

#include <sys/stat.h>
#include <unistd.h>

static struct unusable set;
static char directory[] = "/tmp/mxu.XXXXXX";
static char path[sizeof directory + 10];

static void
setup(void)
{
	memcpy(directory, "/tmp/mxu.XXXXXX", sizeof directory);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/unusable", directory);
	unusable_clear(&set);
}

static void
teardown(void)
{
	unusable_clear(&set);
	unlink(path);
	rmdir(directory);
}

static void
note(enum row_kind kind, const char *key, const char *why)
{
	struct row row = {.kind = kind, .present = true, .why = why};

	row.fault = why != NULL ? ROW_BAD_KEY : ROW_SOUND;
	snprintf(row.key, sizeof row.key, "%s", key);
	unusable_note(&set, &row);
}

static void
check_array(const char *expected)
{
	char *array = unusable_array(&set);

	ck_assert_ptr_nonnull(array);
	ck_assert_str_eq(array, expected);
	free(array);
}

START_TEST(test_notes)
{
	struct row gone = {.kind = ROW_DOMAIN, .key = "b.example", .present = false};

	check_array("{}");
	note(ROW_DOMAIN, "b.example", "why");
	note(ROW_DOMAIN, "a.example", "why");
	note(ROW_CUSTOMER, "b.example", "a \"quoted\" \\ one");
	note(ROW_DOMAIN, "b.example", "another");
	note(ROW_DOMAIN, "sound.example", NULL);
	check_array("{\"customer b.example: a \\\"quoted\\\" \\\\ one\",\"domain a.example: why\","
		    "\"domain b.example: another\"}");
	ck_assert_uint_eq(unusable_count(&set), 3);
	note(ROW_DOMAIN, "a.example", NULL); /* it can be used now */
	unusable_note(&set, &gone);
	check_array("{\"customer b.example: a \\\"quoted\\\" \\\\ one\"}");
	note(ROW_CUSTOMER, "b.example", NULL);
	check_array("{}");
}
END_TEST

START_TEST(test_prefix)
{
	note(ROW_DOMAIN, "a.example.org", "why");
	note(ROW_DOMAIN, "a.example", NULL); /* is not the beginning of another */
	ck_assert_uint_eq(unusable_count(&set), 1);
}
END_TEST

START_TEST(test_bounds)
{
	char key[40], *array;
	size_t commas = 0;
	int i;

	for (i = 0; i < UNUSABLE_MOST + 50; i++) {
		snprintf(key, sizeof key, "d%d.example", i);
		note(ROW_DOMAIN, key, "why");
	}
	ck_assert_uint_eq(unusable_count(&set), UNUSABLE_MOST + 50);
	array = unusable_array(&set);
	for (i = 0; array[i] != '\0'; i++)
		commas += array[i] == ',';
	ck_assert_uint_eq(commas, UNUSABLE_TOLD - 1);
	free(array);
	ck_assert(unusable_save(&set, directory));
	ck_assert(unusable_load(&set, directory));
	ck_assert_uint_eq(unusable_count(&set), UNUSABLE_MOST + 50);
}
END_TEST

START_TEST(test_file)
{
	ck_assert(!unusable_load(&set, directory)); /* none yet */
	ck_assert(unusable_save(&set, directory));  /* an empty set is known too */
	ck_assert(unusable_load(&set, directory));
	ck_assert_uint_eq(unusable_count(&set), 0);
	note(ROW_DOMAIN, "b.example", "why");
	note(ROW_CUSTOMER, "acme", "because");
	ck_assert(set.changed);
	ck_assert(unusable_save(&set, directory));
	ck_assert(!set.changed);
	unusable_clear(&set);
	ck_assert(unusable_load(&set, directory));
	ck_assert(!set.changed);
	check_array("{\"customer acme: because\",\"domain b.example: why\"}");
	ck_assert(!unusable_save(&set, "/nonexistent"));
}
END_TEST

static const char *const garbage[] = {
    "",
    "\n",
    "garbage\n",
    "mxhold-unusable 1 1 0\n",                               /* cut */
    "mxhold-unusable 1 1 0\ndomain b.example: why",          /* cut in the line */
    "mxhold-unusable 1 0 0\ndomain b.example: why\n",        /* too much */
    "mxhold-unusable 1 2 0\ndomain b: why\ndomain a: why\n", /* out of order */
    "mxhold-unusable 1 2 0\ndomain b: why\ndomain b: why\n", /* twice */
    "mxhold-unusable 1 1 0\ndomain \001.example: why\n",     /* not printable */
    "mxhold-unusable 2 1 0\ndomain b.example: why\n",        /* another version */
    "mxhold-unusable 1 -1 0\n",
    "mxhold-unusable 1 9999999 0\n",
    "mxhold-unusable 1 1 0x1\ndomain b.example: why\n",
};

START_TEST(test_garbage)
{
	FILE *out = fopen(path, "w");

	ck_assert_ptr_nonnull(out);
	fputs(garbage[_i], out);
	fclose(out);
	note(ROW_DOMAIN, "b.example", "why");
	ck_assert_msg(!unusable_load(&set, directory), "taken: %s", garbage[_i]);
	ck_assert_uint_eq(unusable_count(&set), 0);
}
END_TEST

/* What somebody put in the way is neither read nor waited for. */
START_TEST(test_not_a_file)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!unusable_load(&set, directory));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	ck_assert(!unusable_load(&set, directory));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-unusable");
	TCase *tcase = tcase_create("set");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_notes);
	tcase_add_test(tcase, test_prefix);
	tcase_add_test(tcase, test_bounds);
	tcase_add_test(tcase, test_file);
	tcase_add_loop_test(tcase, test_garbage, 0, (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(tcase, test_not_a_file);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
