/*
 * test_sync_conninfo: connection strings taken apart as libpq would, without a connection.
 */
#include "sync/conninfo.h"
#include "tests/unit/table.h"

static const char *problem;

static const char *
value(const struct conninfo *info, const char *keyword)
{
	size_t i;

	for (i = 0; i < info->count; i++)
		if (strcmp(info->keywords[i], keyword) == 0)
			return info->values[i];
	return NULL;
}

START_TEST(test_plain)
{
	struct conninfo *info =
	    conninfo_parse("host=db.example port=5433 user=u password='a b' dbname=d", &problem);

	ck_assert_ptr_nonnull(info);
	ck_assert_uint_eq(info->host_count, 1);
	ck_assert_str_eq(info->hosts[0].host, "db.example");
	ck_assert_str_eq(info->hosts[0].port, "5433");
	ck_assert_ptr_null(info->hosts[0].address);
	ck_assert(!conninfo_host_is_direct(&info->hosts[0]));
	ck_assert_str_eq(value(info, "password"), "a b");
	ck_assert_ptr_null(value(info, "host"));
	ck_assert_ptr_null(value(info, "port"));
	ck_assert_str_eq(value(info, "keepalives_idle"), "10");
	ck_assert_str_eq(value(info, "tcp_user_timeout"), "15000");
	ck_assert_str_eq(value(info, "gssencmode"), "disable");
	conninfo_free(info);
}
END_TEST

START_TEST(test_defaults_yield)
{
	struct conninfo *info = conninfo_parse(
	    "host=/run/pg keepalives_idle=60 tcp_user_timeout=1000 gssencmode=prefer", &problem);

	ck_assert_ptr_nonnull(info);
	ck_assert(conninfo_host_is_direct(&info->hosts[0]));
	ck_assert_str_eq(value(info, "keepalives_idle"), "60");
	ck_assert_str_eq(value(info, "tcp_user_timeout"), "1000");
	ck_assert_str_eq(value(info, "gssencmode"), "prefer");
	conninfo_free(info);
}
END_TEST

START_TEST(test_lists)
{
	struct conninfo *info =
	    conninfo_parse("postgresql://u@a.example:1,192.0.2.7:2,[2001:db8::1]:3/d", &problem);

	ck_assert_ptr_nonnull(info);
	ck_assert_uint_eq(info->host_count, 3);
	ck_assert_str_eq(info->hosts[0].host, "a.example");
	ck_assert_str_eq(info->hosts[1].host, "192.0.2.7");
	ck_assert_str_eq(info->hosts[2].host, "2001:db8::1");
	ck_assert_str_eq(info->hosts[2].port, "3");
	ck_assert(!conninfo_host_is_direct(&info->hosts[0]));
	ck_assert(conninfo_host_is_direct(&info->hosts[1]));
	ck_assert(conninfo_host_is_direct(&info->hosts[2]));
	conninfo_free(info);
	info = conninfo_parse("host=a,b hostaddr=192.0.2.1,192.0.2.2 port=7", &problem);
	ck_assert_ptr_nonnull(info);
	ck_assert_uint_eq(info->host_count, 2);
	ck_assert_str_eq(info->hosts[1].address, "192.0.2.2");
	ck_assert_str_eq(info->hosts[1].port, "7");
	ck_assert(conninfo_host_is_direct(&info->hosts[1]));
	conninfo_free(info);
}
END_TEST

START_TEST(test_environment)
{
	setenv("PGHOST", "env.example", 1);
	setenv("PGPORT", "7777", 1);
	struct conninfo *info = conninfo_parse("user=u", &problem);
	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->hosts[0].host, "env.example");
	ck_assert_str_eq(info->hosts[0].port, "7777");
	conninfo_free(info);
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	info = conninfo_parse("user=u", &problem);
	ck_assert_ptr_nonnull(info);
	ck_assert_uint_eq(info->host_count, 1);
	ck_assert_ptr_null(info->hosts[0].host);
	ck_assert(conninfo_host_is_direct(&info->hosts[0]));
	conninfo_free(info);
}
END_TEST

START_TEST(test_service)
{
	char path[] = "/tmp/mxhold-service.XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");

	fputs("[backup]\nhost=service.example\nport=6543\n", file);
	fclose(file);
	setenv("PGSERVICEFILE", path, 1);
	struct conninfo *info = conninfo_parse("service=backup user=u", &problem);
	ck_assert_ptr_nonnull(info);
	ck_assert_str_eq(info->hosts[0].host, "service.example");
	ck_assert_str_eq(info->hosts[0].port, "6543");
	ck_assert_ptr_null(getenv("PGSERVICE"));
	conninfo_free(info);
	unsetenv("PGSERVICEFILE");
	remove(path);
}
END_TEST

static const char *const bad[] = {
    "host",
    "nonsense=1",
    "host=x password=sec ret",
    "postgresql://u:secret@[::1",
    "host=a,b,c hostaddr=192.0.2.1,192.0.2.2",
    "host=a,b,c port=1,2",
    "host=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
};

START_TEST(test_bad)
{
	ck_assert_ptr_null(conninfo_parse(bad[_i], &problem));
	ck_assert_ptr_nonnull(problem);
	ck_assert_ptr_null(strstr(problem, "ret"));
}
END_TEST

/* A keyword that libpq does not know is named, unless it could be a part of a password. */
static const struct {
	const char *text, *named;
} unknown[] = {
    {"hots=db.example user=u", "\"hots\""},
    {"host=a usr=u password=secret", "\"usr\""},
    {"host=a password=secret usr=u", NULL},
    {"host=a PassWord=secret usr=u", "\"PassWord\""},
    {"host=a password=se usr=u", NULL},
    {"postgresql://u:secret@a/d?usr=u", NULL},
};

START_TEST(test_unknown_keyword)
{
	ck_assert_ptr_null(conninfo_parse(unknown[_i].text, &problem));
	ck_assert_ptr_null(strstr(problem, "secret"));
	if (unknown[_i].named != NULL)
		ck_assert_ptr_nonnull(strstr(problem, unknown[_i].named));
	else
		ck_assert_ptr_null(strstr(problem, "keyword"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-conninfo");
	TCase *tcase = tcase_create("parse");

	unsetenv("PGHOST");
	unsetenv("PGPORT");
	unsetenv("PGSERVICE");
	tcase_add_test(tcase, test_plain);
	tcase_add_test(tcase, test_defaults_yield);
	tcase_add_test(tcase, test_lists);
	tcase_add_test(tcase, test_environment);
	tcase_add_test(tcase, test_service);
	tcase_add_loop_test(tcase, test_bad, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_loop_test(
	    tcase, test_unknown_keyword, 0, (int)(sizeof(unknown) / sizeof(unknown[0])));
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
