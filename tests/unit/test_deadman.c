/*
 * test_deadman: processes that hold a dead man's handle are stopped, and go on.
 *
 * Each test works on a child of its own, whose state the kernel tells us by waitpid(2). Bounds from
 * above are wide: a busy machine is late.
 */
#include "core/deadman.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AFTER_MS 300
#define LAST_HAND_MS (AFTER_MS + 3 * 500)
#define LATE_MS 10000

/* What the child tells; in memory that both see. */
struct told {
	volatile sig_atomic_t ready;
	volatile sig_atomic_t turns;
	volatile sig_atomic_t interrupted; /* waits that a signal ended */
	volatile sig_atomic_t longest_ms;  /* between two turns */
	int64_t before_ms, held_ms;        /* when it took hold: not before, and not after */
};

static struct told *told;
static pid_t held;

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

/* --- children ------------------------------------------------------------------------ */

static void
turn_forever(void)
{
	int64_t before, now = clock_ms();

	(void)deadman_hold(AFTER_MS);
	told->ready = 1;
	for (;;) {
		if (poll(NULL, 0, 20) < 0 && errno == EINTR)
			told->interrupted = told->interrupted + 1;
		before = now;
		now = clock_ms();
		if (now - before > told->longest_ms)
			told->longest_ms = (int)(now - before);
		deadman_turn();
		told->turns = told->turns + 1;
	}
}

/* A loop that knows nothing of the handle, as libevent's or libmilter's. */
static void
wait_forever(void)
{
	(void)deadman_hold(AFTER_MS);
	told->ready = 1;
	for (;;) {
		(void)poll(NULL, 0, -1);
		told->turns = told->turns + 1;
	}
}

/* As if each SIGSTOP came after the timer's SIGCONT and before the process could take that. */
static void
never_take_signals(void)
{
	sigset_t all;

	told->before_ms = clock_ms();
	(void)deadman_hold(AFTER_MS);
	told->held_ms = clock_ms();
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	told->ready = 1;
	for (;;)
		(void)poll(NULL, 0, 1000);
}

static void
without_timers(void)
{
	const struct rlimit none = {0, 0};

	(void)close(STDERR_FILENO);
	(void)open("/dev/null", O_WRONLY);
	if (setrlimit(RLIMIT_SIGPENDING, &none) != 0)
		_exit(2);
	if (deadman_hold(AFTER_MS))
		_exit(1);
	deadman_turn();
	_exit(0);
}

static void
start(void (*live)(void))
{
	int64_t until = clock_ms() + LATE_MS;

	held = fork();
	ck_assert_int_ge(held, 0);
	if (held == 0) {
		live();
		_exit(0);
	}
	while (!told->ready && clock_ms() < until)
		pause_ms(5);
	ck_assert(told->ready);
}

/* Waits for the child to stop (WUNTRACED) or to go on (WCONTINUED). False: not within `ms`. */
static bool
changes(int option, int ms)
{
	int64_t until = clock_ms() + ms;
	int status;

	while (clock_ms() < until) {
		if (waitpid(held, &status, WNOHANG | option) == held)
			return option == WUNTRACED ? WIFSTOPPED(status) : WIFCONTINUED(status);
		pause_ms(2);
	}
	return false;
}

/* Stops it, and waits until it goes on. How long that took, in ms. */
static int
stop_once(void)
{
	int64_t before = clock_ms();

	ck_assert_int_eq(kill(held, SIGSTOP), 0);
	ck_assert(changes(WUNTRACED, LATE_MS));
	ck_assert(changes(WCONTINUED, LATE_MS));
	return (int)(clock_ms() - before);
}

static bool
turns_again(void)
{
	int64_t until = clock_ms() + LATE_MS;
	int before = told->turns;

	while (told->turns == before && clock_ms() < until)
		pause_ms(5);
	return told->turns != before;
}

static void
set_up(void)
{
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne((void *)told, MAP_FAILED);
	held = 0;
}

static void
tear_down(void)
{
	if (held > 0) {
		(void)kill(held, SIGKILL);
		(void)waitpid(held, NULL, 0);
	}
	(void)munmap(told, sizeof(*told));
}

/* --- tests --------------------------------------------------------------------------- */

START_TEST(test_stopped_process_goes_on_each_time)
{
	start(turn_forever);
	for (int i = 0; i < 5; i++) {
		(void)stop_once();
		ck_assert(turns_again());
	}
}
END_TEST

START_TEST(test_a_stop_lasts_some_time)
{
	int lasted = 0;

	start(turn_forever);
	/* It turned 20 ms ago, and its timers are set at most every 100 ms. On a busy machine it
	   may not have turned for long: one of several stops does. */
	for (int i = 0; i < 5 && lasted < AFTER_MS - 100 - 40; i++) {
		pause_ms(200);
		lasted = stop_once();
	}
	ck_assert_int_ge(lasted, AFTER_MS - 100 - 40);
}
END_TEST

START_TEST(test_no_signal_comes_while_it_turns)
{
	start(turn_forever);
	pause_ms(4 * AFTER_MS);
	ck_assert_int_gt(told->turns, 0);
	/* On a machine so busy that it did not turn in time, a signal is right. */
	ck_assert(told->interrupted == 0 || told->longest_ms > AFTER_MS - 100);
}
END_TEST

START_TEST(test_a_loop_without_turns_is_held_too)
{
	start(wait_forever);
	for (int i = 0; i < 5; i++) {
		(void)stop_once();
		ck_assert(turns_again());
	}
}
END_TEST

START_TEST(test_stopped_again_in_the_moment_of_going_on)
{
	int stops = 0;

	start(never_take_signals);
	/* Not in the last moments: on a busy machine the stop could come after the last of the
	 * timers. */
	while (clock_ms() < told->before_ms + LAST_HAND_MS - 450) {
		(void)stop_once();
		stops++;
	}
	ck_assert_int_gt(stops, 0);
	/* That many timers there are: what takes no signals is not held for ever. */
	while (clock_ms() < told->held_ms + LAST_HAND_MS + 500)
		pause_ms(20);
	ck_assert_int_eq(kill(held, SIGSTOP), 0);
	ck_assert(changes(WUNTRACED, LATE_MS));
	ck_assert(!changes(WCONTINUED, 1000));
}
END_TEST

START_TEST(test_a_forked_process_has_a_handle_of_its_own)
{
	pid_t outer = fork();
	int status;

	ck_assert_int_ge(outer, 0);
	if (outer == 0) { /* holds one, and so does its child */
		if (!deadman_hold(60000) || !deadman_hold(60000))
			_exit(1);
		start(turn_forever);
		(void)stop_once();
		(void)kill(held, SIGKILL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(outer, &status, 0), outer);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_without_timers_it_says_so_and_goes_on)
{
	int status;

	held = fork();
	ck_assert_int_ge(held, 0);
	if (held == 0)
		without_timers();
	ck_assert_int_eq(waitpid(held, &status, 0), held);
	held = 0;
	ck_assert_int_eq(status, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("deadman");
	TCase *tcase = tcase_create("deadman");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_stopped_process_goes_on_each_time);
	tcase_add_test(tcase, test_a_stop_lasts_some_time);
	tcase_add_test(tcase, test_no_signal_comes_while_it_turns);
	tcase_add_test(tcase, test_a_loop_without_turns_is_held_too);
	tcase_add_test(tcase, test_stopped_again_in_the_moment_of_going_on);
	tcase_add_test(tcase, test_a_forked_process_has_a_handle_of_its_own);
	tcase_add_test(tcase, test_without_timers_it_says_so_and_goes_on);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
