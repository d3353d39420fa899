/*
 * deadman: see deadman.h. In: the turns of a loop. Out: SIGCONT from the kernel where they fail to
 * come. The handler sets the timers again as a turn does, so that a process whose loop is not
 * ours is held too. It must never do anything else in the handler: it runs between any two
 * instructions of its process.
 *
 * Why several timers: SIGSTOP discards a SIGCONT that is pending, so one that comes between the
 * timer and the return to the program spends the timer in vain (a periodic one too: it is started
 * again when its signal is taken). Why a handler, not SIG_IGN or SIG_DFL: with these the process
 * goes on as well, but its loop stays in poll(2), and nothing sets the timer again meanwhile.
 */
#include "core/deadman.h"

#include "core/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HANDS 4
#define HAND_APART_MS 500
#define TURN_LEAST_MS 100 /* a turn so soon after another one need not set anything */

static timer_t hands[HANDS];
static struct itimerspec hand_time[HANDS]; /* from a turn until the hand's signal */
static volatile sig_atomic_t hand_count;   /* how many are held */
static pid_t holder;
static int64_t turned_ms;

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Async-signal-safe (signal-safety(7)). */
static void
set_hands(void)
{
	for (int i = 0; i < hand_count; i++)
		(void)timer_settime(hands[i], 0, &hand_time[i], NULL);
}

/* In a forked process that holds nothing of its own the timers are unknown: EINVAL, no harm. */
static void
on_continue(int number)
{
	int keep = errno;

	(void)number;
	set_hands();
	errno = keep;
}

static bool
take_signal(void)
{
	struct sigaction action = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
	sigset_t set;

	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	return sigaction(SIGCONT, &action, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0;
}

/* As many as can be had. */
static void
make_hands(int after_ms)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};

	for (int i = 0; i < HANDS; i++) {
		const int ms = after_ms + i * HAND_APART_MS;

		if (timer_create(CLOCK_MONOTONIC, &event, &hands[i]) != 0)
			return;
		hand_time[i] = (struct itimerspec){
		    .it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}};
		hand_count = i + 1;
	}
}

bool
deadman_hold(int after_ms)
{
	if (holder == getpid())
		return true;
	holder = getpid();
	hand_count = 0; /* those of a parent are not ours */
	if (take_signal())
		make_hands(after_ms);
	if (hand_count == 0)
		log_event(LOG_WARNING, "deadman-failed", kv("error", strerror(errno)),
		    kv("effect", "if it is stopped (SIGSTOP), it stays so"));
	turned_ms = clock_ms();
	set_hands();
	return hand_count > 0;
}

void
deadman_turn(void)
{
	const int64_t now = clock_ms();

	if (hand_count == 0 || now - turned_ms < TURN_LEAST_MS)
		return;
	turned_ms = now;
	set_hands();
}
