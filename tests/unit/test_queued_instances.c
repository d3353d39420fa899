/*
 * Tests of queued/instances by tests/data/instances.txt, and of what it takes for a name.
 */
#include "queued/instances.h"

#include "tests/unit/table.h"

static struct table tags;

static void
add_all(struct instances *instances, char *names, enum instance_owner owner)
{
	const char *name;

	while ((name = strsep(&names, ",")) != NULL)
		if (name[0] != '\0')
			ck_assert(instances_add(instances, name, owner));
}

/* Whose a tag is, in whatever order the names were learned. */
static void
expect(const char *line, bool ours_first)
{
	const char *at = line;
	char expected[64], tag[64], ours[128], others[128];
	struct instances instances = {.count = 0};

	table_word(&at, expected, sizeof(expected));
	table_word(&at, tag, sizeof(tag));
	table_word(&at, ours, sizeof(ours));
	table_word(&at, others, sizeof(others));
	if (ours_first)
		add_all(&instances, ours, INSTANCE_OURS);
	add_all(&instances, others, INSTANCE_OTHERS);
	if (!ours_first)
		add_all(&instances, ours, INSTANCE_OURS);
	/* What stands behind a tag in a line does not count. */
	const size_t length = strlen(tag);
	char *exact = malloc(length > 0 ? length : 1);
	memcpy(exact, tag, length);
	const char *got = instances_other(&instances, exact, length);
	ck_assert_msg(strcmp(got != NULL ? got : "ours", expected) == 0, "%s: %s", line,
	    got != NULL ? got : "ours");
	free(exact);
}

START_TEST(test_tag)
{
	expect(tags.lines[_i], true);
	expect(tags.lines[_i], false);
}
END_TEST

START_TEST(test_make_ours)
{
	struct instances instances = {.count = 0};
	const char *name;

	ck_assert(instances_add(&instances, "postfix-in", INSTANCE_OURS));
	ck_assert(instances_add(&instances, "postfix", INSTANCE_OTHERS));
	ck_assert(instances_add(&instances, "postfix-out", INSTANCE_OTHERS));
	name = instances_other(&instances, "postfix/smtp", 12);
	ck_assert_str_eq(name, "postfix");
	instances_make_ours(&instances, name);
	ck_assert_ptr_null(instances_other(&instances, "postfix/smtp", 12));
	ck_assert_str_eq(instances_other(&instances, "postfix-out/smtp", 16), "postfix-out");
}
END_TEST

START_TEST(test_names)
{
	static const char *const bad[] = {"", "post fix", "postfix/$service_name", "a[1]", "a:b",
	    "0123456789012345678901234567890123456789012345678901234567890123"};
	struct instances instances = {.count = 0};
	char name[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert(!instances_add(&instances, bad[i], INSTANCE_OTHERS));
	ck_assert(instances_add(&instances, bad[5] + 1, INSTANCE_OTHERS));
	for (int i = 1; i < INSTANCES_MOST; i++) {
		snprintf(name, sizeof(name), "postfix-%d", i);
		ck_assert(instances_add(&instances, name, INSTANCE_OTHERS));
	}
	ck_assert(!instances_add(&instances, "one-more", INSTANCE_OTHERS));
	ck_assert(instances_add(&instances, "postfix-7", INSTANCE_OURS));
	ck_assert_ptr_null(instances_other(&instances, "postfix-7/qmgr", 14));
	ck_assert_ptr_null(instances_other(&instances, "one-more/qmgr", 13));
	ck_assert_str_eq(instances_other(&instances, "postfix-127/qmgr", 16), "postfix-127");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("instances");
	TCase *part = tcase_create("names");

	tags = table_load("tests/data/instances.txt");
	tcase_add_loop_test(part, test_tag, 0, tags.count);
	tcase_add_test(part, test_make_ours);
	tcase_add_test(part, test_names);
	suite_add_tcase(suite, part);
	const int status = table_run(suite);
	table_free(&tags);
	return status;
}
