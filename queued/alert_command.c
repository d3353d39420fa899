/*
 * alert_command: see alert_command.h. In: texts. Out: child processes, and a line in the log for
 * each that does not end well.
 */
#include "queued/alert_command.h"

#include "core/log.h"
#include "core/spawn.h"
#include "queued/alert_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct text {
	struct alert_item item;
	struct text *next, *previous; /* of the changes */
	struct alert_command *command;
	enum alert_word word;
	bool waits, kept, change; /* change: waits, and is not kept; or the reverse */
	char id[ALERT_ID_SIZE];
	char *text;
};

struct run {
	struct alert_command *command;
	pid_t pid; /* 0: free */
	int pid_fd;
	struct event *event; /* its end, or its deadline */
};

struct alert_command {
	struct event_base *base;
	const char *path;
	struct timeval deadline;
	alert_command_changed *changed; /* NULL: nothing is kept */
	void *context;
	struct alert_queue waiting;
	struct text *first, *last; /* the changes */
	uint64_t said_lost;
	struct run run[ALERT_COMMANDS];
	struct alert_command_counts counts;
};

static void
text_free(struct text *text)
{
	free(text->text);
	free(text);
}

/* --- what is kept, and what is not -------------------------------------------------------------
 */

static void
change_add(struct alert_command *command, struct text *text)
{
	text->change = true;
	text->next = NULL;
	text->previous = command->last;
	if (command->last != NULL)
		command->last->next = text;
	else
		command->first = text;
	command->last = text;
	command->counts.changes++;
	command->changed(command->context);
}

static void
change_remove(struct alert_command *command, struct text *text)
{
	if (text->previous != NULL)
		text->previous->next = text->next;
	else
		command->first = text->next;
	if (text->next != NULL)
		text->next->previous = text->previous;
	else
		command->last = text->previous;
	text->change = false;
	command->counts.changes--;
}

static void
text_waits(struct alert_command *command, struct text *text)
{
	text->waits = true;
	if (!text->kept && command->changed != NULL)
		change_add(command, text);
}

/* It was started, or is lost: what is kept of it is to go, and it goes after that. */
static void
text_gone(struct alert_command *command, struct text *text)
{
	text->waits = false;
	if (text->change)
		change_remove(command, text);
	if (text->kept && command->changed != NULL)
		change_add(command, text);
	else
		text_free(text);
}

static void
text_drop(struct alert_item *item)
{
	struct text *text = KEYED_OWNER(item, struct text, item);

	text_gone(text->command, text);
}

size_t
alert_command_changes(
    const struct alert_command *command, size_t most, alert_command_visit *visit, void *context)
{
	const struct text *text = command->first;
	size_t count = 0;

	for (; text != NULL && count < most; text = text->next, count++) {
		const struct alert_command_change change = {.id = text->id,
		    .word = text->word,
		    .kind = text->item.key.kind,
		    .domain = text->item.key.domain,
		    .text = text->waits ? text->text : NULL};
		if (!visit(context, &change))
			break;
	}
	return count;
}

void
alert_command_kept(struct alert_command *command, size_t count)
{
	for (struct text *text = command->first, *next; count > 0 && text != NULL;
	     count--, text = next) {
		next = text->next;
		change_remove(command, text);
		text->kept = text->waits;
		if (!text->waits)
			text_free(text);
	}
}

/* --- life ------------------------------------------------------------------------------------- */

struct alert_command *
alert_command_new(
    struct event_base *base, const char *path, alert_command_changed *changed, void *context)
{
	struct alert_command *command = calloc(1, sizeof(*command));

	if (command == NULL)
		return NULL;
	command->base = base;
	command->path = path;
	command->changed = changed;
	command->context = context;
	command->deadline.tv_sec = ALERT_COMMAND_S;
	command->waiting = (struct alert_queue){.most = ALERT_WAITING, .drop = text_drop};
	return command;
}

void
alert_command_set_deadline(struct alert_command *command, int milliseconds)
{
	command->deadline = (struct timeval){milliseconds / 1000, milliseconds % 1000 * 1000L};
}

struct alert_command_counts
alert_command_count(const struct alert_command *command)
{
	struct alert_command_counts counts = command->counts;

	counts.waiting = command->waiting.count;
	counts.lost = command->waiting.lost;
	for (const struct text *text = command->first; text != NULL; text = text->next)
		counts.unkept += text->waits ? 1 : 0;
	return counts;
}

/* --- a run --------------------------------------------------------------------------------------
 */

/* A descriptor from which `text` can be read. -1: errno is set. */
static int
pipe_of(const char *text)
{
	const size_t length = strlen(text);
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	const bool whole = write(ends[1], text, length) == (ssize_t)length;
	(void)close(ends[1]);
	if (whole)
		return ends[0];
	(void)close(ends[0]);
	errno = EIO;
	return -1;
}

static void
failed(struct alert_command *command, const char *what, const char *why, int number)
{
	command->counts.failed++;
	log_event(LOG_WARNING, "alert-command-failed", kv("command", command->path),
	    kv("error", what), kv("reason", why), kv_number("number", number));
}

static void start_more(struct alert_command *command);

static void
run_ended(struct run *run, int status)
{
	struct alert_command *command = run->command;

	if (WIFSIGNALED(status))
		failed(command, "it died", "signal", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		failed(command, "it did not end well", "exit status", WEXITSTATUS(status));
	event_free(run->event);
	(void)close(run->pid_fd);
	run->pid = 0;
	command->counts.running--;
	start_more(command);
}

static void
on_run(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;
	int status = 0;

	(void)fd;
	if ((what & EV_TIMEOUT) != 0) {
		log_event(LOG_WARNING, "alert-command-killed", kv("command", run->command->path),
		    kv_number("pid", run->pid));
		(void)kill(-run->pid, SIGKILL);
		/* Its end is told by pid_fd, at once. */
		(void)event_add(run->event, &run->command->deadline);
		return;
	}
	if (waitpid(run->pid, &status, WNOHANG) == run->pid)
		run_ended(run, status);
	else
		(void)event_add(run->event, &run->command->deadline);
}

/* False: errno is set. */
static bool
run_watch(struct run *run)
{
	struct alert_command *command = run->command;

	run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->pid_fd < 0)
		return false;
	run->event = event_new(command->base, run->pid_fd, EV_READ, on_run, run);
	if (run->event != NULL && event_add(run->event, &command->deadline) == 0)
		return true;
	if (run->event != NULL)
		event_free(run->event);
	(void)close(run->pid_fd);
	errno = ENOMEM;
	return false;
}

static bool
run_start(struct run *run, const char *text)
{
	struct alert_command *command = run->command;
	const int input = pipe_of(text);
	int error = errno;

	if (input >= 0) { /* what it writes goes nowhere */
		const char *const argv[] = {command->path, NULL};
		const struct spawn how = {.argv = argv,
		    .path = SPAWN_PATH_LOCAL,
		    .in = input,
		    .out = SPAWN_NOTHING,
		    .err = SPAWN_NOTHING,
		    .apart = true};
		error = spawn_start(&how, &run->pid);
		(void)close(input);
	}
	if (error == 0 && input >= 0 && run_watch(run)) {
		command->counts.running++;
		return true;
	}
	if (input >= 0 && error == 0) { /* it runs, and nobody would see its end */
		error = errno;
		(void)kill(-run->pid, SIGKILL);
		(void)waitpid(run->pid, NULL, 0);
	}
	run->pid = 0;
	failed(command, "it could not be started", strerror(error), error);
	return false;
}

/* --- those that wait ---------------------------------------------------------------------------
 */

static void
start_more(struct alert_command *command)
{
	struct alert_item *item;

	for (size_t i = 0; i < ALERT_COMMANDS; i++) {
		struct run *run = &command->run[i];
		if (run->pid != 0)
			continue;
		if ((item = alert_queue_take(&command->waiting)) == NULL)
			return;
		run->command = command;
		struct text *text = KEYED_OWNER(item, struct text, item);
		(void)run_start(run, text->text);
		text_gone(command, text);
	}
}

static void
tell_lost(struct alert_command *command)
{
	const uint64_t lost = command->waiting.lost;

	if (lost / ALERT_WAITING == command->said_lost / ALERT_WAITING && command->said_lost != 0)
		return;
	command->said_lost = lost;
	log_event(LOG_ERR, "alert-command-lost", kv("command", command->path),
	    kv_number("lost", (long long)lost));
}

/* Takes `text` over. NULL: there is none, it is too large, or out of memory. */
static struct text *
text_new(struct alert_command *command, enum alert_word word, const char *id, char *text)
{
	struct text *made = NULL;

	if (text != NULL && strlen(text) <= ALERT_OBJECT_MAX)
		made = calloc(1, sizeof(*made));
	if (made == NULL) {
		free(text);
		return NULL;
	}
	made->command = command;
	made->word = word;
	made->text = text;
	(void)snprintf(made->id, sizeof(made->id), "%s", id);
	return made;
}

/* `text` NULL: it is lost. */
static void
add(struct alert_command *command, const struct alert_standing *standing, struct text *text)
{
	if (text == NULL) {
		command->waiting.lost++;
		tell_lost(command);
	} else if (!alert_queue_add(&command->waiting, &text->item, text->word, standing)) {
		tell_lost(command);
	} else {
		text_waits(command, text);
		start_more(command);
	}
}

void
alert_command_run(struct alert_command *command, enum alert_word word,
    const struct alert_standing *standing, const char *id, char *text)
{
	add(command, standing, text_new(command, word, id, text));
}

bool
alert_command_resume(struct alert_command *command, enum alert_word word,
    const struct alert_standing *standing, const char *id, char *text)
{
	struct text *made = text_new(command, word, id, text);

	if (made != NULL)
		made->kept = true;
	add(command, standing, made);
	return made != NULL;
}

void
alert_command_free(struct alert_command *command)
{
	struct alert_item *item;

	if (command == NULL)
		return;
	while ((item = alert_queue_take(&command->waiting)) != NULL) {
		struct text *text = KEYED_OWNER(item, struct text, item);
		if (text->change)
			change_remove(command, text);
		text_free(text);
	}
	alert_queue_free(&command->waiting);
	for (struct text *text = command->first, *next; text != NULL; text = next) {
		next = text->next;
		text_free(text);
	}
	for (size_t i = 0; i < ALERT_COMMANDS; i++) {
		if (command->run[i].pid == 0)
			continue;
		event_free(command->run[i].event);
		(void)close(command->run[i].pid_fd);
	}
	free(command);
}
