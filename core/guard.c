/*
 * guard: see guard.h. The child shares nothing with its parent but a pipe, dies with it, dumps no
 * core and leaves by _exit. The parent waits for the answer until the deadline, then kills it.
 */
#include "core/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void
child_main(pid_t parent, int out, const struct guard_task *task, void *answer, size_t size)
{
	static const int deadly[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT};

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	task->look(answer, task->context);
	_exit(write(out, answer, size) == (ssize_t)size ? 0 : 1);
}

/* Reads one whole answer, or returns false at the end of the file or at the deadline. */
static bool
read_answer(int in, int64_t deadline_ms, void *answer, size_t size)
{
	size_t have = 0;

	while (have < size) {
		const int64_t left = deadline_ms - clock_ms();
		struct pollfd wait = {.fd = in, .events = POLLIN};

		if (left <= 0)
			return false;
		const int ready = poll(&wait, 1, (int)left);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return false;
		const ssize_t got = read(in, (char *)answer + have, size - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

/* What the child died of; 0: of nothing, or of our own SIGKILL. */
static int
reap(pid_t child, bool answered)
{
	int status = 0;

	if (!answered)
		kill(child, SIGKILL); /* it hangs, or it is dead already */
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL ? WTERMSIG(status) : 0;
}

enum guard_end
guard_run(struct guard_task *task, void *answer, size_t size)
{
	const int64_t deadline_ms = clock_ms() + task->deadline_ms;
	const pid_t self = getpid();
	int ends[2];

	memset(answer, 0, size);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return GUARD_FAILED;
	const pid_t child = fork();
	if (child == 0)
		child_main(self, ends[1], task, answer, size);
	const int failed = errno;
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		errno = failed;
		return GUARD_FAILED;
	}
	const bool answered = read_answer(ends[0], deadline_ms, answer, size);
	close(ends[0]);
	task->signal = reap(child, answered);
	if (answered)
		return GUARD_ANSWERED;
	memset(answer, 0, size);
	return task->signal != 0 ? GUARD_DIED : GUARD_SILENT;
}
