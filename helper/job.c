/*
 * job: see job.h. In: a request that was checked. Out: postsuper(1) started with exactly one queue
 * id, and what became of it.
 */
#include "helper/job.h"

#include "core/log.h"
#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POSTCONF_MS 2000 /* less than the parent waits for an answer */
#define READS_MOST 64    /* of 1 KiB, a turn */

static const struct {
	const char *option;  /* of postsuper */
	const char *summary; /* "Deleted: 1 message" */
} acts[HELPER_VERBS] = {
    [HELPER_PING] = {NULL, NULL},
    [HELPER_DELETE] = {"-d", "Deleted: "},
    [HELPER_HOLD] = {"-h", "Placed on hold: "},
    [HELPER_RELEASE] = {"-H", "Released from hold: "},
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- a child ------------------------------------------------------------------------------------
 */

/* Starts argv with its `stream` in job->output (no MAIL_CONFIG: what counts is said by -c). False:
   errno is set. */
static bool
job_spawn(struct job *job, const char *const argv[], int stream, int64_t deadline)
{
	int ends[2], error;

	*job = (struct job){.pid_fd = -1, .output = -1, .deadline = deadline};
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	const struct spawn how = {.argv = argv,
	    .in = SPAWN_NOTHING,
	    .out = stream == STDOUT_FILENO ? ends[1] : SPAWN_NOTHING,
	    .err = stream == STDERR_FILENO ? ends[1] : SPAWN_NOTHING,
	    .apart = true};
	error = spawn_start(&how, &job->pid);
	(void)close(ends[1]);
	job->output = ends[0];
	if (error == 0) {
		(void)fcntl(job->output, F_SETFL, O_NONBLOCK);
		job->pid_fd = (int)syscall(SYS_pidfd_open, job->pid, 0);
		if (job->pid_fd >= 0)
			return true;
		error = errno;
		(void)kill(-job->pid, SIGKILL);
		(void)waitpid(job->pid, NULL, 0);
	}
	(void)close(job->output);
	job->output = -1;
	errno = error;
	return false;
}

/* The last words are kept: the summary is among them. */
static void
keep_words(struct job *job, const char *bytes, size_t length)
{
	const size_t room = sizeof(job->words) - 1;

	if (length > room) {
		bytes += length - room;
		length = room;
	}
	if (job->used + length > room) {
		const size_t gone = job->used + length - room;
		memmove(job->words, job->words + gone, job->used - gone);
		job->used -= gone;
	}
	memcpy(job->words + job->used, bytes, length);
	job->used += length;
	job->words[job->used] = '\0';
}

void
job_read(struct job *job)
{
	char bytes[1024];
	ssize_t got;

	/* Whoever writes faster than we read must not keep us from everything else. */
	for (unsigned i = 0; i < READS_MOST && job->output >= 0; i++) {
		got = read(job->output, bytes, sizeof(bytes));
		if (got > 0) {
			keep_words(job, bytes, (size_t)got);
		} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			(void)close(job->output);
			job->output = -1;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

void
job_kill(struct job *job)
{
	job->killed = true;
	job->deadline = INT64_MAX;
	(void)kill(-job->pid, SIGKILL);
}

static int
job_reap(struct job *job)
{
	int status = 0;

	job_read(job);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)close(job->pid_fd);
	if (job->output >= 0)
		(void)close(job->output);
	job->pid_fd = job->output = -1;
	return status;
}

/* --- postsuper ------------------------------------------------------------------------------ */

bool
job_start(struct job *job, const char *postsuper, const char *config_dir,
    const struct helper_request *request, int64_t now_ms)
{
	const char *const argv[] = {
	    postsuper, "-c", config_dir, acts[request->verb].option, request->queue_id, NULL};

	return job_spawn(job, argv, STDERR_FILENO, now_ms + JOB_DEADLINE_MS);
}

/* The last line of `words`, for people: it tells best what went wrong. */
static void
last_words(const char *words, char text[HELPER_ANSWER_MAX])
{
	size_t end = strlen(words), begin;

	while (end > 0 && words[end - 1] == '\n')
		end--;
	begin = end;
	while (begin > 0 && words[begin - 1] != '\n')
		begin--;
	(void)snprintf(text, HELPER_ANSWER_MAX, "%.*s", (int)(end - begin), words + begin);
}

enum helper_answer
job_judge(const struct helper_request *request, int status, const char *words,
    char text[HELPER_ANSWER_MAX])
{
	const char *summary = acts[request->verb].summary, *said = NULL;

	text[0] = '\0';
	for (const char *at = words; (at = strstr(at, summary)) != NULL; at += strlen(summary))
		said = at + strlen(summary);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && said != NULL) {
		if (strncmp(said, "1 message", 9) == 0)
			return HELPER_DONE;
		if (strncmp(said, "0 messages", 10) == 0)
			return HELPER_GONE;
	}
	if (WIFSIGNALED(status))
		(void)snprintf(
		    text, HELPER_ANSWER_MAX, "postsuper died of signal %d", WTERMSIG(status));
	else
		last_words(words, text);
	if (text[0] == '\0')
		(void)snprintf(text, HELPER_ANSWER_MAX, "postsuper said nothing");
	return HELPER_FAILED;
}

enum helper_answer
job_end(struct job *job, const struct helper_request *request, char text[HELPER_ANSWER_MAX])
{
	const int status = job_reap(job);
	enum helper_answer answer = job_judge(request, status, job->words, text);

	if (job->killed && answer == HELPER_FAILED)
		(void)snprintf(text, HELPER_ANSWER_MAX, "postsuper did not end within %d s",
		    JOB_DEADLINE_MS / 1000);
	return answer;
}

/* --- where it is ------------------------------------------------------------------------------ */

static bool
is_roots(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == 0 &&
	       (status.st_mode & 022) == 0 && (status.st_mode & 0111) != 0;
}

/* What `argv` writes, without its line feed. False: it did not end well, or in time. */
static bool
ask(const char *const argv[], char *answer, size_t size)
{
	struct job job;
	struct pollfd wait;
	int status;

	if (!job_spawn(&job, argv, STDOUT_FILENO, clock_ms() + POSTCONF_MS))
		return false;
	wait = (struct pollfd){.fd = job.pid_fd, .events = POLLIN};
	for (int64_t left; (left = job.deadline - clock_ms()) > 0;)
		if (poll(&wait, 1, (int)left) > 0)
			break;
	if (wait.revents == 0)
		job_kill(&job);
	status = job_reap(&job);
	job.words[strcspn(job.words, "\n")] = '\0';
	(void)snprintf(answer, size, "%s", job.words);
	return status == 0;
}

bool
job_find_postsuper(const char *config_dir, char *path, size_t size)
{
	static const char *const postconf[] = {
	    "/usr/sbin/postconf", "/usr/local/sbin/postconf", "/sbin/postconf"};
	char directory[JOB_OUTPUT_MAX];

	for (size_t i = 0; i < sizeof(postconf) / sizeof(postconf[0]); i++) {
		const char *const argv[] = {
		    postconf[i], "-c", config_dir, "-h", "command_directory", NULL};
		if (!is_roots(postconf[i]) || !ask(argv, directory, sizeof(directory)))
			continue;
		const int length = snprintf(path, size, "%s/postsuper", directory);
		if (path[0] == '/' && length > 0 && (size_t)length < size && is_roots(path))
			return true;
	}
	log_event(LOG_ERR, "postsuper-not-found", kv("config_dir", config_dir),
	    kv("cure", "see [paths] postfix_config_dir, and postconf command_directory: postsuper "
		       "there must be root's, and nobody else's to write to"));
	return false;
}
