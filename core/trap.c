/*
 * trap: see trap.h. The handlers are set at the first use and stay; a fault that is nobody's work
 * goes to the handler that was there before. Each thread has a trap of its own: such a signal is
 * delivered to the thread that caused it.
 */
#include "core/trap.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t armed;

static const int faults[] = {SIGBUS, SIGSEGV};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))
static struct sigaction former[FAULTS];

static void
handle(int number)
{
	if (armed)
		siglongjmp(back, 1);
	for (size_t i = 0; i < FAULTS; i++) /* it happens again when we return, and is theirs */
		if (faults[i] == number)
			(void)sigaction(number, &former[i], NULL);
}

static void
install(void)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_NODEFER};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < FAULTS; i++)
		(void)sigaction(faults[i], &action, &former[i]);
}

bool
trap_run(void (*work)(void *context), void *context)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install);
	/* The mask need not be saved: SA_NODEFER leaves it as it was, and that saves a call of the
	   system on each use. */
	if (sigsetjmp(back, 0) != 0) {
		armed = 0;
		return false;
	}
	armed = 1;
	work(context);
	armed = 0;
	return true;
}

_Noreturn void
trap_give_up(void)
{
	if (armed)
		siglongjmp(back, 1);
	abort();
}
