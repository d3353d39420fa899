/*
 * serve: see serve.h. In: a listening socket, lines. Out: jobs, answers of one line, and a line in
 * the log before and after each job. client_set_state() is the one place where a client's state
 * changes.
 */
#include "helper/serve.h"

#include "core/log.h"
#include "core/supervise.h"
#include "helper/confine.h"
#include "helper/job.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define RUNNING 4           /* jobs at once */
#define WAITING 40          /* clients whose job waits or runs; the others get "busy" */
#define TICK_MS 60000       /* the loop looks at its clock at least so often */
#define ACCEPT_PAUSE_MS 100 /* after accept failed for want of descriptors or memory */
#define FIND_AGAIN_MS 1000  /* postsuper was not found: looked for again at a request */

enum client_state { CLIENT_NONE, CLIENT_READING, CLIENT_WAITING, CLIENT_RUNNING };

struct client {
	enum client_state state;
	int fd;           /* -1: it went away while its job ran */
	int64_t deadline; /* READING */
	uint64_t number;  /* order of arrival */
	pid_t pid;
	uid_t uid;
	size_t used;
	char line[HELPER_LINE_MAX];
	struct helper_request request;
	struct job job;
};

struct serve {
	const struct serve_setup *setup;
	char postsuper[PATH_MAX]; /* "": not found */
	int64_t find_at, accept_at;
	uint64_t numbers;
	bool stopping;
	struct client client[SERVE_CLIENTS];
};

static volatile sig_atomic_t ended;

static void
on_sigterm(int signal)
{
	(void)signal;
	ended = 1;
}

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- clients ------------------------------------------------------------------------------------
 */

static void
client_set_state(struct client *client, enum client_state state)
{
	if (state == CLIENT_NONE && client->fd >= 0) {
		(void)close(client->fd);
		client->fd = -1;
	}
	client->state = state;
}

static size_t
count(const struct serve *serve, enum client_state state)
{
	size_t number = 0;

	for (size_t i = 0; i < SERVE_CLIENTS; i++)
		number += serve->client[i].state == state;
	return number;
}

/* The one that came first. NULL: none. */
static struct client *
oldest(struct serve *serve, enum client_state state)
{
	struct client *found = NULL;

	for (size_t i = 0; i < SERVE_CLIENTS; i++) {
		struct client *client = &serve->client[i];
		if (client->state == state && (found == NULL || client->number < found->number))
			found = client;
	}
	return found;
}

/* Ends a client. The answer is short: what its socket does not take at once is lost to it. */
static void
client_answer(struct client *client, enum helper_answer answer, const char *text)
{
	char line[HELPER_ANSWER_MAX + 16];
	int length = 0;

	switch (answer) {
	case HELPER_DONE: length = snprintf(line, sizeof(line), "ok\n"); break;
	case HELPER_GONE: length = snprintf(line, sizeof(line), "gone\n"); break;
	case HELPER_FAILED:
	case HELPER_UNSURE: length = snprintf(line, sizeof(line), "failed %s\n", text); break;
	}
	if (client->fd >= 0)
		(void)send(client->fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
	client_set_state(client, CLIENT_NONE);
}

static void
log_refused(const struct client *client, const char *why)
{
	log_event(LOG_WARNING, "request-refused", kv("reason", why), kv_number("uid", client->uid),
	    kv_number("pid", client->pid), kv_bytes("line", client->line, client->used));
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void
job_ended(struct client *client, enum helper_answer answer, const char *text)
{
	static const char *const names[] = {
	    [HELPER_DONE] = "ok", [HELPER_GONE] = "gone", [HELPER_FAILED] = "failed"};

	log_event(answer == HELPER_FAILED ? LOG_ERR : LOG_INFO, "done",
	    kv("do", helper_verb_name(client->request.verb)),
	    kv("queue_id", client->request.queue_id), kv("answer", names[answer]),
	    kv("error", text));
	client_answer(client, answer, text);
}

static bool
know_postsuper(struct serve *serve, int64_t now)
{
	if (serve->postsuper[0] != '\0')
		return true;
	if (now < serve->find_at)
		return false;
	serve->find_at = now + FIND_AGAIN_MS;
	if (job_find_postsuper(
		serve->setup->config_dir, serve->postsuper, sizeof(serve->postsuper)))
		return true;
	serve->postsuper[0] = '\0';
	return false;
}

static void
start_job(struct serve *serve, struct client *client, int64_t now)
{
	/* First the log: what is done to somebody's mail is known, whatever happens to us then. */
	log_event(LOG_NOTICE, "doing", kv("do", helper_verb_name(client->request.verb)),
	    kv("queue_id", client->request.queue_id), kv("why", client->request.why),
	    kv("by", client->request.by), kv_number("uid", client->uid),
	    kv_number("pid", client->pid));
	if (!know_postsuper(serve, now)) {
		job_ended(client, HELPER_FAILED, "postsuper is not to be found");
		return;
	}
	if (!job_start(
		&client->job, serve->postsuper, serve->setup->config_dir, &client->request, now)) {
		job_ended(client, HELPER_FAILED, strerror(errno));
		serve->postsuper[0] = '\0';
		return;
	}
	client_set_state(client, CLIENT_RUNNING);
}

static void
start_jobs(struct serve *serve, int64_t now)
{
	struct client *client;

	while (count(serve, CLIENT_RUNNING) < RUNNING &&
	       (client = oldest(serve, CLIENT_WAITING)) != NULL)
		start_job(serve, client, now);
}

/* --- requests ------------------------------------------------------------------------------- */

static void
take_line(struct serve *serve, struct client *client, size_t length)
{
	if (!helper_request_parse(client->line, length, &client->request)) {
		log_refused(client, "it is no request");
		client_answer(client, HELPER_FAILED, "that is no request");
	} else if (client->request.verb == HELPER_PING) {
		client_answer(client, HELPER_DONE, "");
	} else if (count(serve, CLIENT_WAITING) + count(serve, CLIENT_RUNNING) >= WAITING) {
		client_answer(client, HELPER_FAILED, "busy: too many requests are under way");
	} else {
		client_set_state(client, CLIENT_WAITING);
	}
}

static void
read_line(struct serve *serve, struct client *client)
{
	char *end;
	ssize_t got = recv(client->fd, client->line + client->used,
	    sizeof(client->line) - client->used, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		client_set_state(client, CLIENT_NONE);
		return;
	}
	client->used += (size_t)got;
	end = memchr(client->line, '\n', client->used);
	if (end != NULL) {
		take_line(serve, client, (size_t)(end - client->line));
	} else if (client->used == sizeof(client->line)) {
		log_refused(client, "the line is too long");
		client_answer(client, HELPER_FAILED, "that is no request");
	}
}

/* Whoever waits may go away: his job is not begun then; one that has begun comes to its end. */
static void
watch_waiting(struct client *client)
{
	char rest[64];
	const ssize_t got = recv(client->fd, rest, sizeof(rest), MSG_DONTWAIT);

	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (client->state == CLIENT_WAITING) {
		client_set_state(client, CLIENT_NONE);
		return;
	}
	(void)close(client->fd);
	client->fd = -1;
}

/* --- connections ---------------------------------------------------------------------------- */

static bool
may_ask(const struct serve *serve, struct client *client)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	client->uid = peer.uid;
	client->pid = peer.pid;
	return peer.uid == 0 || peer.uid == serve->setup->uid;
}

/* A place for a new one; whoever has been silent for longest makes room. */
static struct client *
place(struct serve *serve)
{
	struct client *client = oldest(serve, CLIENT_NONE);

	if (client == NULL && (client = oldest(serve, CLIENT_READING)) != NULL)
		client_set_state(client, CLIENT_NONE);
	return client;
}

static void
take_clients(struct serve *serve, int64_t now)
{
	for (int taken = 0; taken < SERVE_CLIENTS; taken++) {
		const int fd =
		    accept4(serve->setup->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				serve->accept_at = now + ACCEPT_PAUSE_MS;
			return;
		}
		struct client *client = place(serve);
		if (client == NULL) { /* cannot be: WAITING leaves room */
			(void)close(fd);
			return;
		}
		*client = (struct client){.state = CLIENT_READING,
		    .fd = fd,
		    .deadline = now + SERVE_LINE_MS,
		    .number = ++serve->numbers};
		if (!may_ask(serve, client)) {
			log_refused(client, "neither root nor [users] queued");
			client_answer(client, HELPER_FAILED, "you may not ask");
		}
	}
}

/* --- the loop ------------------------------------------------------------------------------- */

enum { SLOT_CLIENT, SLOT_END, SLOT_OUTPUT, SLOTS };

#define WAIT_LISTEN ((size_t)SERVE_CLIENTS * SLOTS) /* the last one */

struct waiting {
	struct pollfd fds[WAIT_LISTEN + 1]; /* SLOTS for each client */
};

static void
prepare_client(const struct client *client, struct pollfd slot[SLOTS], int64_t *until)
{
	const bool runs = client->state == CLIENT_RUNNING;

	slot[SLOT_CLIENT] =
	    (struct pollfd){.fd = client->state == CLIENT_NONE ? -1 : client->fd, .events = POLLIN};
	slot[SLOT_END] = (struct pollfd){.fd = runs ? client->job.pid_fd : -1, .events = POLLIN};
	slot[SLOT_OUTPUT] = (struct pollfd){.fd = runs ? client->job.output : -1, .events = POLLIN};
	if (client->state == CLIENT_READING && client->deadline < *until)
		*until = client->deadline;
	if (runs && client->job.deadline < *until)
		*until = client->job.deadline;
}

static void
prepare(const struct serve *serve, struct waiting *wait, int64_t *until)
{
	const bool open = !serve->stopping && *until - TICK_MS >= serve->accept_at;

	wait->fds[WAIT_LISTEN] =
	    (struct pollfd){.fd = open ? serve->setup->listen_fd : -1, .events = POLLIN};
	if (!serve->stopping && !open && serve->accept_at < *until)
		*until = serve->accept_at;
	for (size_t i = 0; i < SERVE_CLIENTS; i++)
		prepare_client(&serve->client[i], &wait->fds[i * SLOTS], until);
}

static void
run_client(struct serve *serve, struct client *client, const struct pollfd slot[SLOTS], int64_t now)
{
	char text[HELPER_ANSWER_MAX];
	enum helper_answer answer;

	if (client->state == CLIENT_RUNNING) {
		if (slot[SLOT_OUTPUT].revents != 0)
			job_read(&client->job);
		if (now >= client->job.deadline)
			job_kill(&client->job);
		if (slot[SLOT_END].revents != 0) {
			answer = job_end(&client->job, &client->request, text);
			job_ended(client, answer, text);
			return;
		}
	}
	if (client->state == CLIENT_READING && slot[SLOT_CLIENT].revents != 0)
		read_line(serve, client);
	else if (client->state != CLIENT_NONE && slot[SLOT_CLIENT].revents != 0)
		watch_waiting(client);
	if (client->state == CLIENT_READING && (now >= client->deadline || serve->stopping))
		client_set_state(client, CLIENT_NONE);
}

static bool
has_ended(struct serve *serve)
{
	serve->stopping = ended != 0;
	return serve->stopping && count(serve, CLIENT_NONE) == SERVE_CLIENTS;
}

static void
loop(struct serve *serve, const sigset_t *while_waiting)
{
	struct waiting wait;
	struct timespec patience;
	int64_t now, until;

	while (!has_ended(serve)) {
		now = clock_ms();
		until = now + TICK_MS;
		prepare(serve, &wait, &until);
		until = until > now ? until - now : 0;
		patience = (struct timespec){until / 1000, until % 1000 * 1000000};
		if (ppoll(wait.fds, WAIT_LISTEN + 1, &patience, while_waiting) < 0)
			continue; /* a signal: what poll says does not count */
		now = clock_ms();
		for (size_t i = 0; i < SERVE_CLIENTS; i++)
			run_client(serve, &serve->client[i], &wait.fds[i * SLOTS], now);
		if (wait.fds[WAIT_LISTEN].revents != 0)
			take_clients(serve, now);
		start_jobs(serve, now);
	}
}

int
serve_requests(const struct serve_setup *setup)
{
	static struct serve serve;
	const struct sigaction action = {.sa_handler = on_sigterm};
	sigset_t blocked, former;

	serve = (struct serve){.setup = setup};
	for (size_t i = 0; i < SERVE_CLIENTS; i++)
		serve.client[i].fd = -1;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	/* SIGTERM comes only while it waits: no job is started that nobody knows of. */
	if (sigprocmask(SIG_BLOCK, &blocked, &former) != 0 ||
	    sigaction(SIGTERM, &action, NULL) != 0)
		return EX_OSERR;
	(void)signal(SIGCHLD, SIG_DFL);
	sigdelset(&former, SIGTERM);
	if (!confine())
		return EX_OSERR;
	(void)know_postsuper(&serve, clock_ms()); /* else at the first request: it was logged */
	supervise_ready();
	loop(&serve, &former);
	return EX_OK;
}
