/*
 * Tests of core/service: the configuration that is checked, refused, and read anew; what the start
 * fixes. The daemons' own suites (policyd-*, milter-*) see the rest of it at work.
 */
#include "core/service.h"

#include "core/log.h"

#include "tests/unit/table.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define LOGGED 4000

static char directory[] = "/tmp/mxv.XXXXXX";
static char config[sizeof directory + 10];
static int (*during)(struct service *service); /* what the service does while it runs */

/* Writes the configuration; `region` "" makes a bad one. */
static void
write_config(const char *region, const char *sockets, const char *user)
{
	FILE *out = fopen(config, "w");

	ck_assert_ptr_nonnull(out);
	fprintf(out, "[relay]\nname = a\nregion = %s\n[paths]\nsocket_dir = %s/%s\n", region,
	    directory, sockets);
	fprintf(out, "[users]\npolicyd = %s\ngroup = 64100\nsocket_group = 64100\n", user);
	ck_assert_int_eq(fclose(out), 0);
}

static const char *
user(const struct conf *conf)
{
	return conf->users.policyd;
}

static int
run(struct service *service)
{
	return during != NULL ? during(service) : 77;
}

/* Standard error goes to a file from here on. */
static int
capture(void)
{
	char path[] = "/tmp/mxv-log.XXXXXX";
	int file = mkstemp(path);

	ck_assert_int_ge(file, 0);
	unlink(path);
	ck_assert_int_eq(dup2(file, STDERR_FILENO), STDERR_FILENO);
	return file;
}

/* What was logged since the last call. */
static const char *
logged(int file)
{
	static char text[LOGGED];
	static off_t seen;
	ssize_t length = pread(file, text, sizeof(text) - 1, seen);

	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	seen += length;
	return text;
}

static int
service(const char *option)
{
	static const struct service_about about = {
	    .daemon = {.name = "mxhold-test", .purpose = "tests"},
	    .pid_file = "test.pid",
	    .user = user,
	    .descriptors = 300,
	    .run = run,
	};
	char *argv[] = {(char *)"mxhold-test", (char *)option, (char *)"-c", (char *)config, NULL};

	return service_main(4, argv, &about);
}

static void
setup(void)
{
	memcpy(directory, "/tmp/mxv.XXXXXX", sizeof directory);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(config, sizeof config, "%s/conf", directory);
	during = NULL;
	write_config("europe", "sockets", "64101");
}

static void
teardown(void)
{
	char sockets[sizeof directory + 10];

	snprintf(sockets, sizeof sockets, "%s/sockets", directory);
	rmdir(sockets);
	unlink(config);
	rmdir(directory);
}

START_TEST(test_codes)
{
	ck_assert_int_eq(service("-n"), EX_OK);
	ck_assert_int_eq(service("-f"), 77);
	ck_assert_int_eq(service("-x"), EX_USAGE);
	write_config("", "sockets", "64101");
	ck_assert_int_eq(service("-n"), EX_CONFIG);
	ck_assert_int_eq(service("-f"), EX_CONFIG);
	write_config("europe", "no/such/parent", "64101");
	ck_assert_int_eq(service("-f"), EX_CANTCREAT);
	write_config("europe", "conf", "64101"); /* a file */
	ck_assert_int_eq(service("-f"), EX_CANTCREAT);
	write_config("europe", "sockets", "mxhold-nobody-is-this");
	ck_assert_int_eq(service("-f"), geteuid() == 0 ? EX_NOUSER : 77);
}
END_TEST

/* Where others than root may write, they could put a socket of their own in the place of ours. */
START_TEST(test_socket_directory)
{
	static const struct {
		mode_t mode;
		uid_t owner;
		bool good;
	} cases[] = {
	    {0755, 0, true},
	    {0750, 0, true},
	    {02755, 0, true},
	    {0775, 0, false},
	    {0757, 0, false},
	    {01777, 0, false},
	    {0755, 64101, false},
	};
	char sockets[sizeof directory + 10];
	const int log = capture();

	if (geteuid() != 0)
		return; /* asks nothing: see test_start */
	snprintf(sockets, sizeof sockets, "%s/sockets", directory);
	ck_assert_int_eq(mkdir(sockets, 0755), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(chown(sockets, cases[i].owner, 0), 0);
		ck_assert_int_eq(chmod(sockets, cases[i].mode), 0);
		ck_assert_int_eq(service("-f"), cases[i].good ? 77 : EX_CANTCREAT);
		const char *text = logged(log);
		ck_assert_msg(
		    cases[i].good == (strstr(text, "event=directory-refused") == NULL), "%s", text);
		ck_assert(cases[i].good || strstr(text, " cure=") != NULL);
	}
	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert_int_eq(chmod(config, 0644), 0);
	ck_assert_int_eq(setresuid(64101, 64101, 0), 0);
	ck_assert_int_eq(service("-f"), 77);     /* not as root: its own will do */
	ck_assert_int_eq(setresuid(0, 0, 0), 0); /* what was made can be removed again */
}
END_TEST

static int
check_start(struct service *running)
{
	char expected[200];
	struct rlimit limit;
	struct stat found;

	snprintf(expected, sizeof expected, "%s/sockets", directory);
	ck_assert_str_eq(running->socket_dir, expected);
	ck_assert_int_eq(stat(expected, &found), 0);
	snprintf(expected, sizeof expected, "%s/sockets/test.pid", directory);
	ck_assert_str_eq(running->pid_path, expected);
	ck_assert_str_eq(running->conf->relay.region, "europe");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, 300);
	ck_assert(running->identity.change == (geteuid() == 0));
	ck_assert(!running->identity.change || running->identity.uid == 64101);
	return 3;
}

START_TEST(test_start)
{
	const struct rlimit few = {100, 5000};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	during = check_start;
	ck_assert_int_eq(service("-f"), 3);
}
END_TEST

static int
check_limit(struct service *running)
{
	struct rlimit limit;

	(void)running;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_ge(limit.rlim_cur, 200); /* 300 where the hard limit may be raised */
	return 5;
}

/* Less than is wanted is no reason not to serve. */
START_TEST(test_limit)
{
	const struct rlimit few = {100, 200};

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	during = check_limit;
	ck_assert_int_eq(service("-f"), 5);
}
END_TEST

static int
check_reload(struct service *running)
{
	int log = capture();

	write_config("asia", "sockets", "64101");
	ck_assert(service_reload(running));
	ck_assert_str_eq(running->conf->relay.region, "asia");
	ck_assert_str_eq(logged(log), "");

	write_config("", "sockets", "64101");
	ck_assert(!service_reload(running));
	ck_assert_str_eq(running->conf->relay.region, "asia");
	ck_assert_ptr_nonnull(strstr(logged(log), "event=configuration-error error="));

	write_config("europe", "elsewhere", "64199");
	ck_assert(service_reload(running));
	const char *text = logged(log);
	ck_assert_ptr_nonnull(strstr(text, "event=restart-needed key=\"[paths] socket_dir\""));
	ck_assert(
	    (strstr(text, "event=restart-needed key=[users]") != NULL) == running->identity.change);
	ck_assert_ptr_nonnull(strstr(running->socket_dir, "/sockets"));
	ck_assert_str_eq(running->conf->relay.region, "europe");

	ck_assert_int_eq(unlink(config), 0);
	ck_assert(!service_reload(running));
	ck_assert_str_eq(running->conf->relay.region, "europe");
	return 4;
}

START_TEST(test_reload)
{
	during = check_reload;
	ck_assert_int_eq(service("-f"), 4);
}
END_TEST

static bool
only_europe(const struct conf *conf, const char *path, FILE *errors, const void *context)
{
	ck_assert_ptr_eq(context, config);
	if (strcmp(conf->relay.region, "europe") == 0)
		return true;
	fprintf(errors, "%s: only europe\n%s: really\n", path, path);
	return false;
}

START_TEST(test_check)
{
	int log = capture();
	struct conf *conf;

	log_open("mxhold-test", true);
	conf = service_read_conf(config, only_europe, config);
	ck_assert_ptr_nonnull(conf);
	conf_free(conf);
	ck_assert_str_eq(logged(log), "");
	write_config("asia", "sockets", "64101");
	ck_assert_ptr_null(service_read_conf(config, only_europe, config));
	const char *text = strstr(logged(log), "event=configuration-error");
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "only europe"));
	text = strstr(text + 1, "event=configuration-error"); /* each line is an event */
	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(strstr(text, "really"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service");
	TCase *tcase = tcase_create("service");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_codes);
	tcase_add_test(tcase, test_socket_directory);
	tcase_add_test(tcase, test_start);
	tcase_add_test(tcase, test_limit);
	tcase_add_test(tcase, test_reload);
	tcase_add_test(tcase, test_check);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
