/*
 * test_supervise: a supervised server in a process of its own, which is killed, stopped, hung,
 * reloaded, made unreachable and replaced, while the test asks it by its public socket.
 *
 * The server answers each connection with one line: its pid, the generation of its configuration
 * and how often its parent has prepared something. Every wait has an end. Where a bound is not what
 * a test is about, it is so wide that a machine with no time for us does not meet it: a child that
 * is starved looks like one that hangs.
 */
#include "core/listener.h"
#include "core/supervise.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LATE_MS 15000 /* whatever is waited for comes sooner, but a busy machine is late */
#define PATH_SIZE 100

static char directory[64];
static char socket_path[PATH_SIZE];
static char pid_path[PATH_SIZE];
static char mode_path[PATH_SIZE]; /* what they are to do: "hang", "die", "slow", "refuse", "stop" */
static int toy_hang_ms, toy_drain_ms;
static pid_t parents[4];
static size_t parent_count;

struct toy {
	struct listener listener;
	int generation;
	int prepared; /* how often */
	pid_t parent;
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
pause_ms(int ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	(void)nanosleep(&pause, NULL);
}

/* --- the toy server ------------------------------------------------------------------ */

static bool
mode_is(const char *mode)
{
	char text[32] = "";
	int fd = open(mode_path, O_RDONLY);

	if (fd < 0)
		return false;
	(void)!read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	return strcmp(text, mode) == 0;
}

static void
set_mode(const char *mode)
{
	int fd = open(mode_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, mode, strlen(mode)), (ssize_t)strlen(mode));
	(void)close(fd);
}

static bool
toy_publish(void *context)
{
	struct toy *toy = context;
	struct listener made;

	if (!listener_open(&made, directory, "toy", getegid()))
		return false;
	listener_close(&toy->listener);
	toy->listener = made;
	if (mode_is("stop")) { /* published, and the pid file is still the older one's */
		set_mode("stopped");
		(void)raise(SIGSTOP);
	}
	return true;
}

static volatile sig_atomic_t told_to_end;

static void
on_term(int signal_number)
{
	(void)signal_number;
	told_to_end = 1;
}

static void
toy_answer(const struct toy *toy)
{
	char text[64];
	int fd = accept(toy->listener.fd, NULL, NULL);

	if (fd < 0)
		return;
	while (mode_is("hang"))
		pause_ms(10);
	(void)snprintf(text, sizeof(text), "%ld %d %d\n", (long)getpid(), toy->generation,
	    toy->parent == getppid() ? toy->prepared : 0);
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
	(void)close(fd);
}

/* In the parent, or `parent_pid` would be another. */
static void
toy_prepare(void *context)
{
	struct toy *toy = context;

	toy->prepared++;
	toy->parent = getpid();
}

/* Tells who waits, and his answer has no pid. */
static void
toy_failing(void *context)
{
	const struct toy *toy = context;
	struct pollfd wait = {.fd = toy->listener.fd, .events = POLLIN};

	while (poll(&wait, 1, 0) > 0) {
		const int fd = accept(toy->listener.fd, NULL, NULL);
		(void)!send(fd, "0 0 0\n", 6, MSG_NOSIGNAL);
		(void)close(fd);
	}
}

static int
toy_serve(void *context)
{
	const struct toy *toy = context;
	struct pollfd wait = {.fd = toy->listener.fd, .events = POLLIN};

	if (mode_is("die"))
		return 7;
	if (mode_is("slow")) { /* SIGTERM comes before it is seen to */
		set_mode("slowly");
		pause_ms(60000);
	}
	(void)signal(SIGTERM, on_term);
	supervise_ready();
	while (!told_to_end) {
		if (poll(&wait, 1, 20) > 0)
			toy_answer(toy);
	}
	while (poll(&wait, 1, 0) > 0) /* what is in the backlog */
		toy_answer(toy);
	return 0;
}

static enum supervise_reply
toy_judge(const char *reply, size_t length)
{
	return reply[length - 1] == '\n' ? SUPERVISE_REPLY_GOOD : SUPERVISE_REPLY_MORE;
}

static enum supervise_answer
toy_probe(void *context, int hang_ms, int wake_fd)
{
	const struct toy *toy = context;
	const struct supervise_question question = {
	    .path = toy->listener.path, .bytes = "?", .length = 1, .judge = toy_judge};
	enum supervise_answer answer = supervise_ask(&question, hang_ms, wake_fd);

	if (answer != SUPERVISE_UNREACHABLE && listener_look(&toy->listener) == LISTENER_OTHERS)
		return SUPERVISE_CANNOT_TELL;
	return answer;
}

static bool
toy_reload(void *context)
{
	struct toy *toy = context;

	if (mode_is("refuse"))
		return false;
	toy->generation++;
	return true;
}

static void
toy_cleanup(void *context)
{
	const struct toy *toy = context;

	listener_remove(&toy->listener);
}

static pid_t
start_toy(int generation)
{
	struct toy toy = {.listener = {.fd = -1}, .generation = generation};
	const struct supervise supervise = {
	    .name = "toy",
	    .pid_path = pid_path,
	    .publish = toy_publish,
	    .prepare = toy_prepare,
	    .failing = toy_failing,
	    .serve = toy_serve,
	    .probe = toy_probe,
	    .reload = toy_reload,
	    .cleanup = toy_cleanup,
	    .context = &toy,
	    .probe_interval_ms = 50,
	    .hang_ms = toy_hang_ms,
	    .drain_ms = toy_drain_ms,
	};
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		if (getenv("TEST_LOG") == NULL)
			(void)dup2(null, STDERR_FILENO);
		exit(supervise_run(&supervise));
	}
	parents[parent_count++] = pid;
	return pid;
}

/* --- the test's side ----------------------------------------------------------------- */

struct answer {
	long pid;
	int generation, prepared;
};

/* Asks once. Returns 0, or an errno; ENODATA for an end without an answer. */
static int
ask(struct answer *answer)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = LATE_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64] = "";
	int error = 0;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		error = errno;
	else if (recv(fd, text, sizeof(text) - 1, 0) <= 0)
		error = ENODATA;
	else if (sscanf(text, "%ld %d %d", &answer->pid, &answer->generation, &answer->prepared) !=
		 3)
		error = EBADMSG;
	(void)close(fd);
	return error;
}

/* Asks until somebody other than `not_pid` answers with `generation`, at most `ms`. */
static long
wait_answer(long not_pid, int generation, int ms)
{
	int64_t until = clock_ms() + ms;
	struct answer answer;

	while (clock_ms() < until) {
		if (ask(&answer) == 0 && answer.pid != not_pid && answer.generation == generation)
			return answer.pid;
		pause_ms(5);
	}
	ck_abort_msg("no answer of another process in %d ms", ms);
	return -1;
}

/* Waits for a child of this test to end. Its exit status, or -1 when it does not in time. */
static int
wait_end(pid_t pid, int ms)
{
	int64_t until = clock_ms() + ms;
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 && clock_ms() < until)
		pause_ms(5);
	if (got != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static bool
gone(long pid, int ms)
{
	int64_t until = clock_ms() + ms;

	while (clock_ms() < until) {
		if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
			return true;
		pause_ms(5);
	}
	return false;
}

/* Waits until `pid` has put its pid file into place. */
static void
wait_pid_file(pid_t pid)
{
	int64_t until = clock_ms() + LATE_MS;
	char text[32] = "";
	int fd;

	while (atol(text) != pid && clock_ms() < until) {
		pause_ms(5);
		fd = open(pid_path, O_RDONLY);
		if (fd < 0)
			continue;
		(void)!read(fd, text, sizeof(text) - 1);
		(void)close(fd);
	}
	ck_assert_int_eq(atol(text), pid);
}

static void
set_up(void)
{
	(void)snprintf(directory, sizeof(directory), "/tmp/mxhold-sup.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(socket_path, sizeof(socket_path), "%s/toy", directory);
	(void)snprintf(pid_path, sizeof(pid_path), "%s/toy.pid", directory);
	(void)snprintf(mode_path, sizeof(mode_path), "%s/mode", directory);
	parent_count = 0;
	toy_hang_ms = toy_drain_ms = 2 * LATE_MS;
	set_mode("");
}

static void
tear_down(void)
{
	char command[160];
	size_t i;

	for (i = 0; i < parent_count; i++) {
		(void)kill(parents[i], SIGCONT);
		(void)kill(parents[i], SIGTERM);
		if (wait_end(parents[i], LATE_MS) == -1)
			(void)kill(parents[i], SIGKILL);
	}
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	(void)!system(command);
}

START_TEST(test_serves_and_ends)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);
	struct stat status;

	ck_assert_int_ne(child, parent);
	ck_assert_int_eq(stat(socket_path, &status), 0);
	ck_assert_int_eq(status.st_mode & 07777, 0660);
	ck_assert_int_eq(kill(parent, SIGTERM), 0);
	ck_assert_int_eq(wait_end(parent, LATE_MS), 0);
	ck_assert(gone(child, LATE_MS));
	ck_assert_int_ne(stat(socket_path, &status), 0);
	ck_assert_int_ne(stat(pid_path, &status), 0);
}
END_TEST

START_TEST(test_prepares_before_each_child)
{
	struct answer answer;

	(void)start_toy(1);
	const long first = wait_answer(0, 1, LATE_MS);
	ck_assert_int_eq(ask(&answer), 0);
	ck_assert_int_eq(answer.prepared, 1);
	ck_assert_int_eq(kill((pid_t)first, SIGKILL), 0);
	(void)wait_answer(first, 1, LATE_MS);
	ck_assert_int_eq(ask(&answer), 0);
	ck_assert_int_eq(answer.prepared, 2);
}
END_TEST

/* Does a descriptor of `pid` stand for a file whose path begins with `path`? */
static bool
holds(long pid, const char *path)
{
	char name[PATH_SIZE], link[256];
	bool found = false;
	int fd;

	for (fd = 0; fd < 64 && !found; fd++) {
		ssize_t length;

		(void)snprintf(name, sizeof(name), "/proc/%ld/fd/%d", pid, fd);
		length = readlink(name, link, sizeof(link) - 1);
		if (length < 0)
			continue;
		link[length] = '\0';
		found = strncmp(link, path, strlen(path)) == 0;
	}
	return found;
}

/* A child serves strangers: it must not be able to write what others read as the parent's pid. */
START_TEST(test_child_cannot_write_the_pid_file)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS), other;

	ck_assert(holds(parent, pid_path));
	ck_assert(!holds(child, pid_path));
	/* Nor the one of the instance that it takes over from. */
	(void)start_toy(2);
	other = wait_answer(child, 2, LATE_MS);
	ck_assert(!holds(other, pid_path));
	ck_assert_int_eq(wait_end(parent, LATE_MS), 0);
}
END_TEST

static volatile sig_atomic_t *handler_ran; /* shared with all processes of the test */

static void
on_term_of_the_parents_program(int signal_number)
{
	(void)signal_number;
	*handler_ran = 1;
}

/* A handler that the parent's program had set before is not run in a child that is told to end. */
START_TEST(test_child_that_starts_ends_at_once)
{
	int64_t until = clock_ms() + LATE_MS;
	pid_t parent;

	handler_ran = mmap(
	    NULL, sizeof(*handler_ran), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne((void *)handler_ran, MAP_FAILED);
	set_mode("slow");
	ck_assert(signal(SIGTERM, on_term_of_the_parents_program) != SIG_ERR);
	parent = start_toy(1);
	while (!mode_is("slowly") && clock_ms() < until)
		pause_ms(5);
	ck_assert(mode_is("slowly"));
	ck_assert_int_eq(kill(parent, SIGTERM), 0);
	ck_assert_int_eq(wait_end(parent, LATE_MS), 0); /* it need not be killed: that is later */
	ck_assert_int_eq(*handler_ran, 0);
}
END_TEST

START_TEST(test_killed_child_is_replaced_and_no_connection_is_refused)
{
	struct answer answer;
	int i, refused = 0;
	long child;

	(void)start_toy(1);
	child = wait_answer(0, 1, LATE_MS);
	ck_assert_int_eq(kill((pid_t)child, SIGKILL), 0);
	for (i = 0; i < 200; i++) {
		int error = ask(&answer);

		if (error == ECONNREFUSED || error == ENOENT)
			refused++;
	}
	ck_assert_int_eq(refused, 0);
	(void)wait_answer(child, 1, LATE_MS);
}
END_TEST

START_TEST(test_stopped_child_is_replaced)
{
	int64_t before;
	long child;

	(void)start_toy(1);
	child = wait_answer(0, 1, LATE_MS);
	before = clock_ms();
	ck_assert_int_eq(kill((pid_t)child, SIGSTOP), 0);
	(void)wait_answer(child, 1, LATE_MS);
	ck_assert_int_lt(clock_ms() - before, toy_hang_ms); /* that it hangs is another matter */
	ck_assert(gone(child, LATE_MS));
}
END_TEST

START_TEST(test_stopped_parent_goes_on)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	ck_assert_int_eq(kill(parent, SIGSTOP), 0);
	ck_assert_int_eq(kill((pid_t)child, SIGKILL), 0);
	(void)wait_answer(child, 1, LATE_MS);
}
END_TEST

START_TEST(test_stopped_parent_and_child_heal)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(kill(parent, SIGSTOP), 0);
		ck_assert_int_eq(kill((pid_t)child, SIGSTOP), 0);
		child = wait_answer(child, 1, LATE_MS);
	}
}
END_TEST

/* Its parent can neither kill it nor wait for it: it goes on by itself, and sees SIGTERM. */
START_TEST(test_stopped_child_of_a_dead_parent_ends)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	ck_assert_int_eq(kill(parent, SIGSTOP), 0);
	ck_assert_int_eq(kill((pid_t)child, SIGSTOP), 0);
	ck_assert_int_eq(kill(parent, SIGKILL), 0);
	ck_assert_int_eq(wait_end(parent, LATE_MS), 1000 + SIGKILL);
	ck_assert(gone(child, 10000 + LATE_MS));
}
END_TEST

START_TEST(test_hung_child_is_replaced)
{
	long child;

	toy_hang_ms = 1000;
	(void)start_toy(1);
	child = wait_answer(0, 1, LATE_MS);
	set_mode("hang");
	ck_assert(gone(child, LATE_MS));
	set_mode("");
	(void)wait_answer(child, 1, LATE_MS);
}
END_TEST

START_TEST(test_child_that_dies_at_once_is_tried_again_slowly)
{
	struct answer answer;
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);
	struct stat status;

	set_mode("die");
	ck_assert_int_eq(kill((pid_t)child, SIGKILL), 0);
	pause_ms(500);
	ck_assert_int_eq(stat(socket_path, &status), 0); /* connections queue meanwhile */
	ck_assert_int_eq(waitpid(parent, NULL, WNOHANG), 0);
	ck_assert_int_eq(ask(&answer), 0); /* by the parent, in the end */
	ck_assert_int_eq(answer.pid, 0);
	set_mode("");
	ck_assert_int_gt(wait_answer(0, 1, LATE_MS), 0);
}
END_TEST

START_TEST(test_reload_takes_the_new_configuration)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	ck_assert_int_eq(kill(parent, SIGHUP), 0);
	(void)wait_answer(child, 2, LATE_MS);
	ck_assert(gone(child, LATE_MS));
}
END_TEST

START_TEST(test_refused_reload_keeps_the_old_one)
{
	struct answer answer;
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	set_mode("refuse");
	ck_assert_int_eq(kill(parent, SIGHUP), 0);
	pause_ms(200);
	ck_assert_int_eq(ask(&answer), 0);
	ck_assert_int_eq(answer.pid, child);
	ck_assert_int_eq(answer.generation, 1);
}
END_TEST

START_TEST(test_reload_under_load_drops_nothing)
{
	pid_t parent = start_toy(1);
	struct answer answer = {.generation = 1};
	int64_t until;
	int i, failed = 0;

	(void)wait_answer(0, 1, LATE_MS);
	for (i = 0; i < 3000; i++) {
		if (i % 500 == 250)
			(void)kill(parent, SIGHUP);
		if (ask(&answer) != 0)
			failed++;
	}
	until = clock_ms() + LATE_MS;
	ck_assert_int_eq(failed, 0);
	/* Signals that come close together are one, and on a busy machine none was seen yet. */
	while (answer.generation == 1 && clock_ms() < until) {
		pause_ms(5);
		ck_assert_int_eq(ask(&answer), 0);
	}
	ck_assert_int_gt(answer.generation, 1);
}
END_TEST

START_TEST(test_removed_socket_is_published_again)
{
	long child;

	(void)start_toy(1);
	child = wait_answer(0, 1, LATE_MS);
	ck_assert_int_eq(unlink(socket_path), 0);
	(void)wait_answer(child, 1, LATE_MS);
	ck_assert(gone(child, LATE_MS));
}
END_TEST

START_TEST(test_newer_instance_takes_over_without_a_gap)
{
	pid_t older = start_toy(1), newer;
	struct answer answer;
	int i, failed = 0;

	(void)wait_answer(0, 1, LATE_MS);
	newer = start_toy(5);
	for (i = 0; i < 2000; i++) {
		if (ask(&answer) != 0)
			failed++;
	}
	ck_assert_int_eq(failed, 0);
	ck_assert_int_eq(wait_end(older, LATE_MS), 0);
	(void)wait_answer(0, 5, LATE_MS);
	ck_assert_int_eq(kill(newer, SIGTERM), 0);
	ck_assert_int_eq(wait_end(newer, LATE_MS), 0);
	ck_assert_int_eq(ask(&answer), ENOENT);
}
END_TEST

START_TEST(test_newer_instance_takes_over_from_a_stopped_one)
{
	pid_t older = start_toy(1);

	(void)wait_answer(0, 1, LATE_MS);
	ck_assert_int_eq(kill(older, SIGSTOP), 0);
	(void)start_toy(5);
	(void)wait_answer(0, 5, LATE_MS);
	ck_assert_int_eq(wait_end(older, LATE_MS), 0);
	(void)wait_answer(0, 5, LATE_MS);
}
END_TEST

START_TEST(test_newer_instance_stopped_as_it_publishes_goes_on)
{
	pid_t older = start_toy(1);

	(void)wait_answer(0, 1, LATE_MS);
	set_mode("stop");
	(void)start_toy(5);
	(void)wait_answer(0, 5, LATE_MS);
	ck_assert(mode_is("stopped"));
	ck_assert_int_eq(wait_end(older, LATE_MS), 0);
	(void)wait_answer(0, 5, LATE_MS);
}
END_TEST

/* Of several that are started at once, one may be ended before it could end the one before it. */
START_TEST(test_overtaken_instance_ends_the_one_before)
{
	pid_t older = start_toy(1), overtaken;

	(void)wait_answer(0, 1, LATE_MS);
	set_mode("die");
	overtaken = start_toy(5);
	wait_pid_file(overtaken);
	set_mode("");
	(void)start_toy(6);
	(void)wait_answer(0, 6, LATE_MS);
	ck_assert_int_eq(wait_end(overtaken, LATE_MS), 0);
	ck_assert_int_eq(wait_end(older, LATE_MS), 0);
	(void)wait_answer(0, 6, LATE_MS);
}
END_TEST

START_TEST(test_stale_pid_file_harms_nobody)
{
	pid_t bystander = fork();
	char text[32];
	int fd;

	if (bystander == 0) {
		pause_ms(20000);
		_exit(0);
	}
	(void)snprintf(text, sizeof(text), "%ld\n", (long)bystander);
	fd = open(pid_path, O_WRONLY | O_CREAT, 0644);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	(void)start_toy(1);
	(void)wait_answer(0, 1, LATE_MS);
	pause_ms(100);
	ck_assert_int_eq(waitpid(bystander, NULL, WNOHANG), 0);
	(void)kill(bystander, SIGKILL);
	(void)waitpid(bystander, NULL, 0);
}
END_TEST

START_TEST(test_child_ends_with_its_parent)
{
	pid_t parent = start_toy(1);
	long child = wait_answer(0, 1, LATE_MS);

	ck_assert_int_eq(kill(parent, SIGKILL), 0);
	ck_assert_int_eq(wait_end(parent, LATE_MS), 1000 + SIGKILL);
	ck_assert(gone(child, LATE_MS));
	(void)start_toy(2); /* over what the dead one left behind */
	(void)wait_answer(child, 2, LATE_MS);
}
END_TEST

START_TEST(test_ask_gives_up_for_a_signal)
{
	const struct supervise_question question = {
	    .path = socket_path, .bytes = "?", .length = 1, .judge = toy_judge};
	struct toy toy = {.listener = {.fd = -1}};
	int wake[2];

	ck_assert(toy_publish(&toy)); /* nobody accepts */
	ck_assert_int_eq(pipe(wake), 0);
	ck_assert_int_eq(supervise_ask(&question, 50, wake[0]), SUPERVISE_SILENT);
	ck_assert_int_eq(write(wake[1], "", 1), 1);
	ck_assert_int_eq(supervise_ask(&question, 5000, wake[0]), SUPERVISE_CANNOT_TELL);
	listener_remove(&toy.listener);
	ck_assert_int_eq(supervise_ask(&question, 50, wake[0]), SUPERVISE_UNREACHABLE);
	listener_close(&toy.listener);
	(void)close(wake[0]);
	(void)close(wake[1]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("supervise");
	TCase *tcase = tcase_create("supervise");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, test_serves_and_ends);
	tcase_add_test(tcase, test_prepares_before_each_child);
	tcase_add_test(tcase, test_child_cannot_write_the_pid_file);
	tcase_add_test(tcase, test_child_that_starts_ends_at_once);
	tcase_add_test(tcase, test_killed_child_is_replaced_and_no_connection_is_refused);
	tcase_add_test(tcase, test_stopped_child_is_replaced);
	tcase_add_test(tcase, test_stopped_parent_goes_on);
	tcase_add_test(tcase, test_stopped_parent_and_child_heal);
	tcase_add_test(tcase, test_stopped_child_of_a_dead_parent_ends);
	tcase_add_test(tcase, test_hung_child_is_replaced);
	tcase_add_test(tcase, test_child_that_dies_at_once_is_tried_again_slowly);
	tcase_add_test(tcase, test_reload_takes_the_new_configuration);
	tcase_add_test(tcase, test_refused_reload_keeps_the_old_one);
	tcase_add_test(tcase, test_reload_under_load_drops_nothing);
	tcase_add_test(tcase, test_removed_socket_is_published_again);
	tcase_add_test(tcase, test_newer_instance_takes_over_without_a_gap);
	tcase_add_test(tcase, test_newer_instance_takes_over_from_a_stopped_one);
	tcase_add_test(tcase, test_newer_instance_stopped_as_it_publishes_goes_on);
	tcase_add_test(tcase, test_overtaken_instance_ends_the_one_before);
	tcase_add_test(tcase, test_stale_pid_file_harms_nobody);
	tcase_add_test(tcase, test_child_ends_with_its_parent);
	tcase_add_test(tcase, test_ask_gives_up_for_a_signal);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
