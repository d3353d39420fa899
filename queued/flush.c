/*
 * flush: see flush.h. Jobs wait in a heap, by kind and size; a job that runs has a question to
 * flush(8), or a child process with a pipe for its complaints, and a timer.
 */
#include "queued/flush.h"

#include "core/log.h"
#include "core/spawn.h"
#include "queued/flush_ask.h"
#include "queued/heap.h"
#include "queued/keyed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENT_SIZE 256
#define COMPLAINT_SIZE 256
#define TELL_S 60      /* failures are logged at most so often */
#define NO_STATUS (-1) /* of no process that has ended */

struct job {
	struct keyed_node node; /* waiting: by its argument */
	struct heap_node order;
	struct flush *flush;
	const char *option; /* "-s", "-i" */
	struct flush_ask *ask;
	pid_t pid; /* 0: no process */
	int complaint_fd;
	struct event *timer;
	struct job *next; /* of those that run */
	char argument[ARGUMENT_SIZE];
};

struct flush {
	struct event_base *base;
	struct event *on_child;
	struct timeval deadline;
	char *postqueue, *config_dir;
	char *socket;   /* of flush(8); NULL: it is not asked */
	time_t strange; /* when it did not speak as we do; 0: it does */
	struct keyed waiting;
	struct heap order;
	struct job *running;
	size_t running_count;
	time_t told;
	struct flush_counts counts;
};

static void start_waiting(struct flush *flush);

/* --- the end of a job
 * ------------------------------------------------------------------------------ */

static void
job_free(struct job *job)
{
	if (job->timer != NULL)
		event_free(job->timer);
	flush_ask_free(job->ask);
	if (job->complaint_fd >= 0)
		close(job->complaint_fd);
	free(job);
}

static void
tell_failure(struct flush *flush, const struct job *job, int status)
{
	char complaint[COMPLAINT_SIZE] = "";
	time_t now = time(NULL);
	ssize_t length =
	    job->complaint_fd >= 0 ? read(job->complaint_fd, complaint, sizeof(complaint) - 1) : -1;

	flush->counts.failed++;
	if (now - flush->told < TELL_S && now >= flush->told)
		return;
	flush->told = now;
	complaint[length > 0 ? length : 0] = '\0';
	complaint[strcspn(complaint, "\n")] = '\0';
	log_event(LOG_WARNING, "flush-failed", kv("option", job->option),
	    kv("argument", job->argument), kv_number("status", status), kv("error", complaint));
}

static void
job_ended(struct flush *flush, struct job **place, int status)
{
	struct job *job = *place;

	*place = job->next;
	flush->running_count--;
	flush->counts.done++;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		tell_failure(flush, job, status);
	job_free(job);
}

/* Others have children, too: only ours are asked for. */
static void
child_ended(evutil_socket_t signal_number, short what, void *context)
{
	struct flush *flush = context;
	struct job **place = &flush->running;
	int status;

	(void)signal_number;
	(void)what;
	while (*place != NULL) {
		pid_t pid = (*place)->pid > 0 ? waitpid((*place)->pid, &status, WNOHANG) : 0;
		if (pid > 0 || (pid < 0 && errno == ECHILD))
			job_ended(flush, place, pid > 0 ? status : 0);
		else
			place = &(*place)->next;
	}
	start_waiting(flush);
}

static struct job **
place_of(const struct job *job)
{
	struct job **place = &job->flush->running;

	while (*place != job)
		place = &(*place)->next;
	return place;
}

static void
job_late(evutil_socket_t fd, short what, void *context)
{
	const struct job *job = context;
	struct flush *flush = job->flush;

	(void)fd;
	(void)what;
	if (job->pid > 0) {
		(void)kill(job->pid, SIGKILL);
		return;
	}
	job_ended(flush, place_of(job), NO_STATUS);
	start_waiting(flush);
}

/* --- the start of a job
 * ---------------------------------------------------------------------------- */

static bool
job_spawn(struct job *job)
{
	const char *const argv[] = {
	    job->flush->postqueue, "-c", job->flush->config_dir, job->option, job->argument, NULL};
	struct spawn how = {.argv = argv, .in = SPAWN_NOTHING, .out = SPAWN_NOTHING};
	int pipes[2], error;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	how.err = pipes[1];
	error = spawn_start(&how, &job->pid);
	close(pipes[1]);
	job->complaint_fd = pipes[0];
	errno = error;
	return error == 0;
}

/* Where flush(8) would not, or cannot be asked by us, postqueue does it, or says why not. */
static void
job_answered(enum flush_answer answer, void *context)
{
	struct job *job = context;
	struct flush *flush = job->flush;

	job->ask = NULL;
	if (answer == FLUSH_STRANGE) {
		flush->strange = time(NULL);
		log_event(LOG_NOTICE, "flush-not-asked", kv("socket", flush->socket),
		    kv("reason", "it does not answer as expected"),
		    kv("effect", "postqueue is run for each domain"));
	}
	if (answer == FLUSH_DONE || !job_spawn(job))
		job_ended(flush, place_of(job), answer == FLUSH_DONE ? 0 : NO_STATUS);
	start_waiting(flush);
}

static bool
job_ask(struct job *job)
{
	const struct flush *flush = job->flush;
	const time_t now = time(NULL);

	if (flush->socket == NULL || (flush->strange != 0 && now >= flush->strange &&
					 now - flush->strange < FLUSH_STRANGE_S))
		return false;
	job->ask = flush_ask_new(
	    flush->base, flush->socket, job->option[1], job->argument, job_answered, job);
	return job->ask != NULL;
}

static void
job_start(struct flush *flush, struct job *job)
{
	job->timer = evtimer_new(flush->base, job_late, job);
	if (job->timer == NULL || (!job_ask(job) && !job_spawn(job))) {
		flush->counts.failed++;
		log_event(LOG_WARNING, "flush-failed", kv("argument", job->argument),
		    kv("error", strerror(errno)));
		job_free(job);
		return;
	}
	(void)evtimer_add(job->timer, &flush->deadline);
	job->next = flush->running;
	flush->running = job;
	flush->running_count++;
}

static struct job *
take_waiting(struct flush *flush, struct heap_node *node)
{
	struct job *job = HEAP_OWNER(node, struct job, order);

	heap_remove(&flush->order, &job->order);
	keyed_remove(&flush->waiting, &job->node);
	return job;
}

static void
start_waiting(struct flush *flush)
{
	struct heap_node *node;

	while (flush->running_count < FLUSH_AT_ONCE && (node = heap_first(&flush->order)) != NULL)
		job_start(flush, take_waiting(flush, node));
}

/* --- what is asked for
 * ----------------------------------------------------------------------------- */

/* An argument must not be taken for an option, and has no odd characters. */
static bool
is_safe(const char *argument)
{
	size_t length = strlen(argument);

	return length > 0 && length < ARGUMENT_SIZE && argument[0] != '-' &&
	       strspn(argument, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				".-_") == length;
}

static struct job *
job_new(struct flush *flush, const char *option, const char *argument, int64_t order)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->flush = flush;
	job->option = option;
	job->complaint_fd = -1;
	(void)snprintf(job->argument, sizeof(job->argument), "%s", argument);
	if (!heap_set(&flush->order, &job->order, order)) {
		free(job);
		return NULL;
	}
	if (keyed_add(&flush->waiting, &job->node, job->argument, strlen(job->argument)))
		return job;
	heap_remove(&flush->order, &job->order);
	free(job);
	return NULL;
}

static void
enqueue(struct flush *flush, const char *option, const char *argument, int64_t order)
{
	if (!is_safe(argument) || keyed_find(&flush->waiting, argument, strlen(argument)) != NULL)
		return;
	if (flush->waiting.count >= FLUSH_WAITING ||
	    job_new(flush, option, argument, order) == NULL) {
		flush->counts.dropped++;
		return;
	}
	start_waiting(flush);
}

void
flush_domain(struct flush *flush, const char *domain, uint64_t messages)
{
	if (messages == 0)
		messages = 1;
	enqueue(flush, "-s", domain, messages < INT64_MAX ? (int64_t)messages : INT64_MAX - 1);
}

void
flush_id(struct flush *flush, const char *queue_id, bool late)
{
	enqueue(flush, "-i", queue_id, late ? INT64_MAX : 0);
}

bool
flush_has_domain(const struct flush *flush, const char *domain)
{
	for (const struct job *job = flush->running; job != NULL; job = job->next)
		if (strcmp(job->argument, domain) == 0)
			return true;
	return keyed_find(&flush->waiting, domain, strlen(domain)) != NULL;
}

struct flush_counts
flush_count(const struct flush *flush)
{
	struct flush_counts counts = flush->counts;

	counts.waiting = flush->waiting.count;
	counts.running = flush->running_count;
	return counts;
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static bool
copy_setup(struct flush *flush, const struct flush_setup *setup)
{
	const bool asks = setup->socket != NULL && setup->socket[0] != '\0';

	flush->base = setup->base;
	flush->deadline.tv_sec = setup->deadline_s > 0 ? setup->deadline_s : FLUSH_DEADLINE_S;
	flush->postqueue = strdup(setup->postqueue);
	flush->config_dir = strdup(setup->config_dir);
	flush->socket = asks ? strdup(setup->socket) : NULL;
	return flush->postqueue != NULL && flush->config_dir != NULL &&
	       (flush->socket != NULL || !asks);
}

struct flush *
flush_new(const struct flush_setup *setup)
{
	struct flush *flush = calloc(1, sizeof(*flush));

	if (flush == NULL)
		return NULL;
	flush->on_child = evsignal_new(setup->base, SIGCHLD, child_ended, flush);
	if (copy_setup(flush, setup) && flush->on_child != NULL &&
	    event_add(flush->on_child, NULL) == 0)
		return flush;
	flush_free(flush);
	return NULL;
}

void
flush_free(struct flush *flush)
{
	struct heap_node *node;
	struct job *job;

	if (flush == NULL)
		return;
	while ((node = heap_first(&flush->order)) != NULL) {
		job = HEAP_OWNER(node, struct job, order);
		heap_remove(&flush->order, node);
		job_free(job);
	}
	while ((job = flush->running) != NULL) {
		flush->running = job->next;
		if (job->pid > 0)
			(void)kill(job->pid, SIGTERM);
		job_free(job);
	}
	heap_free(&flush->order);
	keyed_free(&flush->waiting);
	if (flush->on_child != NULL)
		event_free(flush->on_child);
	free(flush->socket);
	free(flush->postqueue);
	free(flush->config_dir);
	free(flush);
}
