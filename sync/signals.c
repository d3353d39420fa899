/*
 * signals: see signals.h. Everything in a handler is async-signal-safe (signal-safety(7)).
 */
#include "sync/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CRASHES "MXHOLD_SYNC_CRASHES"
#define CRASH_STACK 65536
#define STOP_PATIENCE_NS 700000000L

static volatile sig_atomic_t stop_wanted, reload_wanted;
static pid_t own_pid; /* a forked helper inherits the handlers, but must not act on them */
static int wake_fd = -1;
static timer_t stop_timer;
static bool stop_timer_set;
static unsigned crashes;
static char **arguments;
static char **crash_environ; /* the environment of the next start after a crash */
static char crash_entry[sizeof CRASHES + 16];
static char crash_stack[CRASH_STACK];

/* Writes "MXHOLD_SYNC_CRASHES=N" for the next start. */
static void
write_crash_entry(unsigned count)
{
	snprintf(crash_entry, sizeof crash_entry, CRASHES "=%u", count);
}

void
signals_start(void)
{
	const char *text = getenv(CRASHES);
	sigset_t none;
	size_t count = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	crashes = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;
	unsetenv(CRASHES);
	write_crash_entry(crashes + 1);
	while (environ[count] != NULL)
		count++;
	crash_environ = calloc(count + 2, sizeof *crash_environ);
	if (crash_environ == NULL)
		return;
	memcpy(crash_environ, environ, count * sizeof *crash_environ);
	crash_environ[count] = crash_entry;
}

void
signals_arguments(char **next)
{
	arguments = next;
}

unsigned
signals_crashes(void)
{
	return crashes;
}

void
signals_crashes_forget(void)
{
	crashes = 0;
	write_crash_entry(1);
}

static void
wake(void)
{
	static const uint64_t one = 1;
	ssize_t ignored = write(wake_fd, &one, sizeof one);

	(void)ignored;
}

static void
on_stop(int number)
{
	static const struct itimerspec patience = {.it_value = {0, STOP_PATIENCE_NS}};

	(void)number;
	if (getpid() != own_pid)
		_exit(0);
	stop_wanted = 1;
	if (stop_timer_set)
		timer_settime(stop_timer, 0, &patience, NULL);
	wake();
}

static void
on_hangup(int number)
{
	(void)number;
	reload_wanted = 1;
	wake();
}

static void
on_patience_ended(int number)
{
	(void)number;
	_exit(0);
}

static void
on_crash(int number)
{
	static const char text[] = "mxhold-sync: crashed; starting anew\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);

	(void)ignored;
	if (getpid() == own_pid && crashes < SIGNALS_CRASHES_MAX && crash_environ != NULL &&
	    arguments != NULL)
		execve("/proc/self/exe", arguments, crash_environ);
	signal(number, SIG_DFL);
	raise(number);
	_exit(70);
}

static const struct {
	void (*handler)(int);
	int number;
	int flags;
} handlers[] = {
    {on_stop, SIGTERM, SA_RESTART},
    {on_stop, SIGINT, SA_RESTART},
    {on_hangup, SIGHUP, SA_RESTART},
    {on_patience_ended, SIGALRM, 0},
    {SIG_IGN, SIGPIPE, 0},
    {on_crash, SIGBUS, SA_ONSTACK | SA_NODEFER},
    {on_crash, SIGSEGV, SA_ONSTACK | SA_NODEFER},
    {on_crash, SIGABRT, SA_ONSTACK | SA_NODEFER},
};

#define HANDLERS (sizeof handlers / sizeof handlers[0])

bool
signals_install(void)
{
	const stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct sigaction action;
	size_t i;

	own_pid = getpid();
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wake_fd < 0 || sigaltstack(&stack, NULL) != 0)
		return false;
	stop_timer_set = timer_create(CLOCK_MONOTONIC, &event, &stop_timer) == 0;
	for (i = 0; i < HANDLERS; i++) {
		memset(&action, 0, sizeof action);
		sigemptyset(&action.sa_mask);
		action.sa_handler = handlers[i].handler;
		action.sa_flags = handlers[i].flags;
		if (sigaction(handlers[i].number, &action, NULL) != 0)
			return false;
	}
	return stop_timer_set;
}

void
signals_default(void)
{
	size_t i;

	for (i = 0; i < HANDLERS; i++)
		signal(handlers[i].number, SIG_DFL);
}

bool
signals_stop(void)
{
	return stop_wanted != 0;
}

bool
signals_reload(void)
{
	bool wanted = reload_wanted != 0;

	reload_wanted = 0;
	return wanted;
}

int
signals_fd(void)
{
	return wake_fd;
}

void
signals_drain(void)
{
	uint64_t count;
	ssize_t ignored = read(wake_fd, &count, sizeof count);

	(void)ignored;
}
