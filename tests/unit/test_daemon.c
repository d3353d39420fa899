/*
 * Tests of core/daemon: options, users, dropping root (where the test is root), the background and
 * sd_notify. Check runs each test in a process of its own, so a test may drop what it has.
 */
#include "core/daemon.h"

#include "core/log.h"

#include "tests/unit/table.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct daemon_about about = {"mxhold-test", "tests what daemons do alike"};
static char captured[4000];

/* From here on what goes to `fd` (1 or 2) is kept in a file. */
static int
capture(int fd)
{
	char path[] = "/tmp/mxhold-test-daemon-XXXXXX";
	int file = mkstemp(path);

	ck_assert_int_ge(file, 0);
	unlink(path);
	ck_assert_int_eq(dup2(file, fd), fd);
	return file;
}

static const char *
captured_text(int file)
{
	fflush(NULL);
	ssize_t length = pread(file, captured, sizeof(captured) - 1, 0);
	ck_assert_int_ge(length, 0);
	captured[length] = '\0';
	return captured;
}

/* Calls daemon_options with up to four arguments. */
static int
options(struct daemon_options *out, const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)about.name, (char *)a, (char *)b, (char *)c, (char *)d, NULL};
	int argc = 1;

	while (argv[argc] != NULL)
		argc++;
	return daemon_options(argc, argv, &about, out);
}

START_TEST(test_options)
{
	struct daemon_options got;

	ck_assert_int_eq(options(&got, NULL, NULL, NULL, NULL), -1);
	ck_assert_str_eq(got.config, CONF_DEFAULT_PATH);
	ck_assert(!got.foreground && !got.check_only);
	ck_assert_int_eq(options(&got, "-fn", "-c", "/x", NULL), -1);
	ck_assert_str_eq(got.config, "/x");
	ck_assert(got.foreground && got.check_only);
	ck_assert_int_eq(options(&got, "--config=/y", "--foreground", "--check", NULL), -1);
	ck_assert_str_eq(got.config, "/y");
	ck_assert(got.foreground && got.check_only);
}
END_TEST

/* After daemon_detach the working directory is "/": a relative path must mean the same file. */
START_TEST(test_relative_config)
{
	struct daemon_options got;

	ck_assert_int_eq(chdir("/usr"), 0);
	ck_assert_int_eq(options(&got, "-c", "a/b.conf", NULL, NULL), -1);
	ck_assert_str_eq(got.config, "/usr/a/b.conf");
}
END_TEST

START_TEST(test_version)
{
	struct daemon_options got;
	int file = capture(STDOUT_FILENO);

	ck_assert_int_eq(options(&got, "-V", NULL, NULL, NULL), 0);
	ck_assert_str_eq(captured_text(file), "mxhold-test " MXHOLD_VERSION "\n");
}
END_TEST

START_TEST(test_help)
{
	struct daemon_options got;
	int file = capture(STDOUT_FILENO);

	ck_assert_int_eq(options(&got, "--help", NULL, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(captured_text(file), "usage: mxhold-test [-fn] [-c FILE]\n"));
	ck_assert_ptr_nonnull(strstr(captured, about.purpose));
}
END_TEST

START_TEST(test_usage_errors)
{
	struct daemon_options got;
	int file = capture(STDERR_FILENO);

	ck_assert_int_eq(options(&got, "-x", NULL, NULL, NULL), 64);
	ck_assert_int_eq(options(&got, "-c", NULL, NULL, NULL), 64);
	ck_assert_int_eq(options(&got, "--nonsense", NULL, NULL, NULL), 64);
	ck_assert_int_eq(options(&got, "-f", "file", NULL, NULL), 64);
	ck_assert_ptr_nonnull(strstr(captured_text(file), "there is 'file'"));
}
END_TEST

static struct conf *
conf_with_users(const char *group, const char *socket_group)
{
	struct conf *conf = calloc(1, sizeof(*conf));

	conf->users.group = strdup(group);
	conf->users.socket_group = strdup(socket_group);
	return conf;
}

/* Is `user` refused, with a line that says `why`? */
static void
assert_refused(const char *user, const char *group, const char *why)
{
	struct conf *conf = conf_with_users(group, "64105");
	struct daemon_identity identity;
	int file = capture(STDERR_FILENO);

	ck_assert(!daemon_resolve(conf, user, &identity));
	ck_assert_msg(strstr(captured_text(file), why) != NULL, "%s", captured);
	ck_assert_ptr_nonnull(strstr(captured, " cure="));
	conf_free(conf);
	close(file);
}

START_TEST(test_resolve)
{
	struct conf *conf = conf_with_users("64100", "daemon");
	struct daemon_identity identity;

	ck_assert(daemon_resolve(conf, "64101", &identity));
	ck_assert(identity.change && identity.uid == 64101 && identity.gid == 64100);
	ck_assert_uint_eq(identity.socket_gid, getgrnam("daemon")->gr_gid);
	conf_free(conf);
	assert_refused("mxhold-nobody-is-this", "64100",
	    "event=user-unknown user=mxhold-nobody-is-this cure=\"adduser --system ");
	assert_refused("64101", "mxhold-no-group",
	    "event=group-unknown group=mxhold-no-group cure=\"addgroup --system ");
	assert_refused("root", "64100", "event=user-refused user=root ");
	assert_refused("0", "64100", "event=user-refused user=0 ");
	assert_refused("64101", "root", "event=group-refused group=root ");
	/* As 32 bits they would be root, user 1, nobody, and what is left of a full register. */
	assert_refused("4294967296", "64100", "event=user-unknown user=4294967296 ");
	assert_refused("4294967297", "64100", "event=user-unknown user=4294967297 ");
	assert_refused("4294967295", "64100", "event=user-unknown user=4294967295 ");
	assert_refused("64101", "99999999999999999999", "event=group-unknown ");
}
END_TEST

static bool
no_new_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

START_TEST(test_drop)
{
	const struct daemon_identity identity = {
	    .uid = 64101, .gid = 64100, .socket_gid = 64105, .change = true};
	gid_t groups[8];

	ck_assert_int_eq(setenv("HOME", "/root", 1), 0);
	ck_assert(daemon_drop(&identity));
	ck_assert_str_eq(getenv("HOME"), "/nonexistent");
	ck_assert(getuid() == 64101 && geteuid() == 64101);
	ck_assert(getgid() == 64100 && getegid() == 64100);
	ck_assert_int_eq(getgroups(8, groups), 2);
	ck_assert(groups[0] == 64100 && groups[1] == 64105);
	ck_assert_int_ne(setuid(0), 0);
	ck_assert_int_ne(setgid(0), 0);
	ck_assert_int_lt(open("/etc/shadow", O_RDONLY), 0);
	ck_assert(no_new_privileges());
}
END_TEST

/* A way back must be seen: here it is that nothing changes at all. */
START_TEST(test_drop_to_root)
{
	const struct daemon_identity identity = {
	    .uid = 0, .gid = 0, .socket_gid = 0, .change = true};
	int file = capture(STDERR_FILENO);

	ck_assert(!daemon_drop(&identity));
	ck_assert_ptr_nonnull(strstr(captured_text(file), "event=drop-failed"));
}
END_TEST

/* Without root: nobody to become, nothing is looked up, and a drop that cannot be done fails. */
START_TEST(test_not_root)
{
	const struct daemon_identity wanted = {
	    .uid = 64103, .gid = 64100, .socket_gid = 64105, .change = true};
	struct conf *conf = conf_with_users("mxhold-no-group", "mxhold-no-group");
	struct daemon_identity identity;
	int file = capture(STDERR_FILENO);

	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(64102, 64102, 64102), 0);
	ck_assert(daemon_resolve(conf, "mxhold-nobody-is-this", &identity));
	ck_assert(!identity.change && identity.uid == geteuid());
	ck_assert(daemon_drop(&identity));
	ck_assert(no_new_privileges());
	ck_assert(!daemon_drop(&wanted));
	ck_assert_ptr_nonnull(strstr(captured_text(file), "event=drop-failed call=setgroups"));
	conf_free(conf);
}
END_TEST

/* The grandchild tells by a pipe: its parent, session, directory, and where its output goes. */
START_TEST(test_detach)
{
	struct {
		pid_t pid, session;
		bool good, root_directory, no_output;
	} told = {.pid = 0};
	int ends[2];
	char directory[10], output[20] = "";
	int status;

	ck_assert_int_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		told.good = daemon_detach();
		told.pid = getpid();
		told.session = getsid(0);
		told.root_directory =
		    getcwd(directory, sizeof(directory)) != NULL && strcmp(directory, "/") == 0;
		ssize_t n = readlink("/proc/self/fd/2", output, sizeof(output) - 1);
		told.no_output = n > 0 && strcmp(output, "/dev/null") == 0;
		_exit(write(ends[1], &told, sizeof(told)) == sizeof(told) ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the parent ends at once");
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &told, sizeof(told)), sizeof(told));
	ck_assert(told.good && told.root_directory && told.no_output);
	ck_assert_int_ne(told.pid, child);
	ck_assert_int_ne(told.session, getsid(0));
	ck_assert_msg(told.session != told.pid, "no session leader, so no terminal ever");
}
END_TEST

/* Binds a datagram socket at `path` ('@': abstract). */
static int
bind_notify(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 5};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

START_TEST(test_notify)
{
	char path[100];
	char got[100] = "";

	for (int abstract = 0; abstract <= 1; abstract++) {
		snprintf(path, sizeof(path), "%s/mxhold-test-%ld", abstract ? "@" : "/tmp",
		    (long)getpid());
		int fd = bind_notify(path);
		setenv("NOTIFY_SOCKET", path, 1);
		daemon_notify("READY=1");
		ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
		ck_assert_int_eq(n, 7);
		ck_assert_str_eq(got, "READY=1");
		close(fd);
		if (!abstract)
			unlink(path);
	}
}
END_TEST

/* What is wrong with the socket is said, and stops nothing. */
START_TEST(test_notify_faults)
{
	char longest[300];
	int file = capture(STDERR_FILENO);

	unsetenv("NOTIFY_SOCKET");
	daemon_notify("READY=1");
	ck_assert_str_eq(captured_text(file), "");
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	daemon_notify("READY=1");
	ck_assert_ptr_nonnull(strstr(captured_text(file), "No such file or directory"));
	setenv("NOTIFY_SOCKET", "relative", 1);
	daemon_notify("READY=1");
	ck_assert_ptr_nonnull(strstr(captured_text(file), "socket=relative"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	daemon_notify("READY=1");
	ck_assert_ptr_nonnull(strstr(captured_text(file), "no path and no abstract name"));
}
END_TEST

int
main(void)
{
	/* Also where a checker wants one process: the next test would have no rights left. */
	setenv("CK_FORK", "yes", 1);
	Suite *suite = suite_create("daemon");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_options);
	tcase_add_test(tests, test_relative_config);
	tcase_add_test(tests, test_version);
	tcase_add_test(tests, test_help);
	tcase_add_test(tests, test_usage_errors);
	if (geteuid() == 0) {
		tcase_add_test(tests, test_resolve);
		tcase_add_test(tests, test_drop);
		tcase_add_test(tests, test_drop_to_root);
	}
	tcase_add_test(tests, test_not_root);
	tcase_add_test(tests, test_detach);
	tcase_add_test(tests, test_notify);
	tcase_add_test(tests, test_notify_faults);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
