/*
 * postfix_run: runs one program with a deadline (see postfix_run.h).
 */
#include "ctl/postfix_run.h"

#include "ctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX (64u << 20)

static long long
now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static _Noreturn void
become(const char *const *argv, const char *mail_config, int out, int err)
{
	int null = open("/dev/null", O_RDONLY);
	setpgid(0, 0);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	setenv("LC_ALL", "C", 1);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (mail_config != NULL)
		setenv("MAIL_CONFIG", mail_config, 1);
	else
		unsetenv("MAIL_CONFIG");
	execvp(argv[0], (char *const *)argv);
	dprintf(2, "%s: cannot be run\n", argv[0]);
	_exit(127);
}

/* Reads what there is. False: this pipe is at its end. */
static bool
take(int fd, struct text *into)
{
	char block[16384];
	ssize_t got = read(fd, block, sizeof(block));
	if (got > 0 && into->length < OUTPUT_MAX)
		text_add(into, block, (size_t)got);
	return got > 0 || (got < 0 && errno == EINTR);
}

/* Reads both pipes to their end. False: the deadline came first. */
static bool
read_all(int out, int err, struct text texts[2], long long deadline)
{
	struct pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		long long left = deadline - now_ms();
		if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR))
			return false;
		for (int i = 0; i < 2; i++)
			if (fds[i].fd >= 0 && fds[i].revents != 0 && !take(fds[i].fd, &texts[i]))
				fds[i].fd = -1;
	}
	return true;
}

static bool
wait_until(pid_t pid, int *status, long long deadline)
{
	while (waitpid(pid, status, WNOHANG) == 0) {
		if (now_ms() >= deadline)
			return false;
		usleep(2000);
	}
	return true;
}

static void
say_command(const char *const *argv)
{
	fputs("+", stderr);
	for (; *argv != NULL; argv++)
		fprintf(stderr, " %s", *argv);
	fputc('\n', stderr);
}

struct run_result
run_program(const char *const *argv, const char *mail_config, int seconds, bool verbose)
{
	struct run_result result = {0};
	struct text texts[2] = {{0}, {0}};
	int out[2], err[2], status = 0;
	long long deadline = now_ms() + seconds * 1000LL;
	if (verbose)
		say_command(argv);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		result.output = mem_string("");
		result.errors = mem_string("no pipe\n");
		return result;
	}
	pid_t pid = fork();
	if (pid == 0)
		become(argv, mail_config, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	bool whole = pid > 0 && read_all(out[0], err[0], texts, deadline) &&
		     wait_until(pid, &status, deadline);
	if (pid > 0 && !whole) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		text_format(&texts[1], "%s did not end within %d s\n", argv[0], seconds);
	}
	close(out[0]);
	close(err[0]);
	result.ended = whole && WIFEXITED(status) && WEXITSTATUS(status) != 127;
	result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	result.length = texts[0].length;
	result.cut = result.length >= OUTPUT_MAX;
	result.output = text_take(&texts[0]);
	result.errors = text_take(&texts[1]);
	return result;
}

void
run_free(struct run_result *result)
{
	free(result->output);
	free(result->errors);
	*result = (struct run_result){0};
}
