/*
 * control: see control.h.
 */
#include "sync/control.h"

#include "core/instance.h"
#include "core/listener.h"
#include "core/log.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_SIZE 64
#define CLIENT_MS 2000
#define JOB_MS 600000
#define ACCEPT_PAUSE_MS 1000 /* after accept failed for want of descriptors or memory */

enum client_state { CLIENT_NONE, CLIENT_READING, CLIENT_WAITING, CLIENT_WRITING };

struct client {
	enum client_state state;
	int fd;
	int64_t deadline;
	enum control_job job;
	bool taken; /* the job that is under way counts for this client */
	char line[LINE_SIZE];
	size_t used;
	char *answer;
	size_t length, sent;
};

struct control {
	struct pump *pump;
	const struct status *status;
	struct listener listener;
	bool open;
	int64_t accept_at;
	struct client clients[CONTROL_CLIENTS];
};

struct control *
control_new(struct pump *pump, const struct status *status)
{
	struct control *control = calloc(1, sizeof *control);

	if (control == NULL)
		return NULL;
	control->pump = pump;
	control->status = status;
	return control;
}

bool
control_open(struct control *control, const char *state_dir, gid_t group)
{
	char path[PATH_MAX];
	int lock;

	snprintf(path, sizeof path, "%s/control", state_dir);
	lock = instance_lock(path);
	if (lock < 0)
		return false;
	control->open = listener_open(&control->listener, state_dir, "control", group);
	instance_unlock(lock);
	return control->open;
}

static void
drop(struct client *client)
{
	if (client->state == CLIENT_NONE)
		return;
	close(client->fd);
	free(client->answer);
	*client = (struct client){.state = CLIENT_NONE};
}

void
control_free(struct control *control)
{
	size_t i;

	if (control == NULL)
		return;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		drop(&control->clients[i]);
	if (control->open) {
		listener_remove(&control->listener);
		listener_close(&control->listener);
	}
	free(control);
}

/* --- answers ------------------------------------------------------------------------ */

/* Takes over `answer` (malloc; NULL: out of memory). */
static void
reply(struct client *client, char *answer)
{
	size_t length = answer != NULL ? strlen(answer) : 0;

	if (answer == NULL) {
		drop(client);
		return;
	}
	answer[length] = '\n'; /* instead of the NUL: the length counts from here on */
	client->answer = answer;
	client->length = length + 1;
	client->sent = 0;
	client->job = CONTROL_NONE;
	client->state = CLIENT_WRITING;
	client->deadline = pump_now() + CLIENT_MS;
}

static void
reply_error(struct client *client, const char *text)
{
	json_t *object = json_pack("{s:s}", "error", text);

	reply(client, json_dumps(object, JSON_COMPACT));
	json_decref(object);
}

static char *
job_answer(const struct control *control, bool ok, const char *detail)
{
	char *status = status_json(control->status, pump_now()), *answer = NULL;
	json_t *inner = status != NULL ? json_loads(status, 0, NULL) : NULL;
	json_t *object =
	    json_pack("{s:b, s:s, s:o*}", "ok", (int)ok, "detail", detail, "status", inner);

	if (object != NULL)
		answer = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(object);
	free(status);
	return answer;
}

static bool
waits_for(const struct client *client, enum control_job job)
{
	return client->state == CLIENT_WAITING && client->job == job;
}

bool
control_take(struct control *control, enum control_job job)
{
	bool any = false;
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		if (!waits_for(&control->clients[i], job))
			continue;
		control->clients[i].taken = true;
		any = true;
	}
	return any;
}

void
control_done(struct control *control, enum control_job job, bool ok, const char *detail)
{
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (waits_for(&control->clients[i], job) && control->clients[i].taken)
			reply(&control->clients[i], job_answer(control, ok, detail));
}

/* --- requests ------------------------------------------------------------------------- */

static unsigned
waiting(const struct control *control)
{
	unsigned count = 0;
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		count += control->clients[i].state == CLIENT_WAITING;
	return count;
}

static void
wait_for_job(struct control *control, struct client *client, enum control_job job)
{
	if (waiting(control) == CONTROL_WAITING) {
		reply_error(client, "busy: too many wait for a job already");
		return;
	}
	client->job = job;
	client->taken = false;
	client->state = CLIENT_WAITING;
	client->deadline = pump_now() + JOB_MS;
	control->pump->wake = true;
}

static void
obey(struct control *control, struct client *client)
{
	if (strcmp(client->line, "status") == 0)
		reply(client, status_json(control->status, pump_now()));
	else if (strcmp(client->line, "verify") == 0)
		wait_for_job(control, client, CONTROL_VERIFY);
	else if (strcmp(client->line, "reload") == 0)
		wait_for_job(control, client, CONTROL_RELOAD);
	else
		reply_error(client, "not a request: say status, verify or reload");
}

static void
read_line(struct control *control, struct client *client)
{
	ssize_t got;
	char *end;

	got = recv(client->fd, client->line + client->used, sizeof client->line - client->used, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(client);
		return;
	}
	client->used += (size_t)got;
	end = memchr(client->line, '\n', client->used);
	if (end == NULL && client->used < sizeof client->line)
		return;
	if (end == NULL)
		end = client->line; /* longer than any request: answered as an empty one */
	else if (end > client->line && end[-1] == '\r')
		end--;
	*end = '\0';
	obey(control, client);
}

static void
write_answer(struct client *client)
{
	ssize_t sent = send(
	    client->fd, client->answer + client->sent, client->length - client->sent, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent > 0)
		client->sent += (size_t)sent;
	if (sent <= 0 || client->sent == client->length)
		drop(client);
}

/* Whoever waits may go away; what he sends meanwhile is of no interest. */
static void
watch_waiting(struct client *client)
{
	char rest[64];
	ssize_t got = recv(client->fd, rest, sizeof rest, MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		drop(client);
}

/* --- in the pump ------------------------------------------------------------------------ */

static struct client *
free_client(struct control *control)
{
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (control->clients[i].state == CLIENT_NONE)
			return &control->clients[i];
	return NULL;
}

static void
take_clients(struct control *control, int64_t now)
{
	struct client *client;
	int fd;

	while ((client = free_client(control)) != NULL) {
		fd = accept4(control->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				control->accept_at = now + ACCEPT_PAUSE_MS;
			return;
		}
		*client =
		    (struct client){.state = CLIENT_READING, .fd = fd, .deadline = now + CLIENT_MS};
	}
}

static void
prepare(void *context, struct pump_set *set)
{
	struct control *control = context;
	struct client *client;
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		client = &control->clients[i];
		if (client->state == CLIENT_NONE)
			continue;
		pump_set_add(set, client->fd, client->state == CLIENT_WRITING ? POLLOUT : POLLIN);
		pump_set_until(set, client->deadline);
	}
	if (!control->open || free_client(control) == NULL)
		return;
	if (pump_now() >= control->accept_at)
		pump_set_add(set, control->listener.fd, POLLIN);
	else
		pump_set_until(set, control->accept_at);
}

static void
serve(struct control *control, struct client *client, short ready, int64_t now)
{
	if (ready != 0) {
		switch (client->state) {
		case CLIENT_READING: read_line(control, client); break;
		case CLIENT_WAITING: watch_waiting(client); break;
		default: write_answer(client); break;
		}
	}
	if (client->state != CLIENT_NONE && now >= client->deadline)
		drop(client);
}

static void
run(void *context, const struct pump_set *set, int64_t now)
{
	struct control *control = context;
	struct client *client;
	size_t i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		client = &control->clients[i];
		if (client->state != CLIENT_NONE)
			serve(control, client, pump_set_ready(set, client->fd), now);
	}
	if (control->open && pump_set_ready(set, control->listener.fd) != 0)
		take_clients(control, now);
}

struct pump_task
control_task(struct control *control)
{
	return (struct pump_task){.prepare = prepare, .run = run, .context = control};
}
