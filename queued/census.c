/*
 * census: runs `postqueue -c DIR -j` and reads what it says (see census.h).
 *
 * In: a command's output. Out: messages, and at the end whether all of them were told. One run at a
 * time, under a deadline; what it writes to stderr becomes the reason, with the cure where that is
 * known. It never waits.
 */
#include "queued/census.h"

#include "queued/child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/buffer.h>

#define READ_MOST 262144 /* bytes a turn: the loop has other work */
#define REAP_MS 10

struct census {
	struct event_base *base;
	struct census_ports ports;
	const char *command, *config_dir;
	struct child child;
	struct event *out, *err, *deadline, *reap;
	struct evbuffer *lines;
	bool running;
	unsigned broken; /* lines that could not be read */
	char words[512]; /* first ones of its stderr */
	size_t words_length;
};

static void
census_stop(struct census *census)
{
	event_del(census->deadline);
	event_del(census->reap);
	if (census->out != NULL)
		event_free(census->out);
	if (census->err != NULL)
		event_free(census->err);
	census->out = census->err = NULL;
	child_stop(&census->child);
	evbuffer_drain(census->lines, evbuffer_get_length(census->lines));
	census->running = false;
}

static void
census_end(struct census *census, const char *problem)
{
	census_stop(census);
	census->ports.end(problem, census->ports.context);
}

/* --- why it failed
 * --------------------------------------------------------------------------------- */

static const char *
cure_of(const char *words)
{
	static const struct {
		const char *words, *cure;
	} cures[] = {
	    {"is not authorized",
		": add the directory to alternate_config_directories in the main.cf "
		"of the default instance (/etc/postfix)"},
	    {"specify a non-default config", ": add it to multi_instance_directories or "
					     "alternate_config_directories in the main.cf of the "
					     "default instance (/etc/postfix)"},
	    {"alternate_config_directories", ": see there, in /etc/postfix/main.cf"},
	    {"unable to open", ": look at the modes of the configuration and the queue"},
	    {"mail system is down", ": start Postfix"},
	    {"Permission denied", ": postqueue must be setgid postdrop"},
	};

	for (size_t i = 0; i < sizeof(cures) / sizeof(cures[0]); i++)
		if (strstr(words, cures[i].words) != NULL)
			return cures[i].cure;
	return "";
}

static void
census_judge(struct census *census, int status)
{
	char problem[1024];

	census->words[strcspn(census->words, "\n")] = '\0';
	const bool good = (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
			  (status == -1 && census->words[0] == '\0');
	if (good && census->broken == 0 && evbuffer_get_length(census->lines) == 0) {
		census_end(census, NULL);
		return;
	}
	if (!good)
		snprintf(problem, sizeof(problem), "%s -c %s -j: %s%s", census->command,
		    census->config_dir,
		    census->words[0] != '\0' ? census->words : "it failed without a word",
		    cure_of(census->words));
	else
		snprintf(problem, sizeof(problem), "%s -j: %u lines that are no messages",
		    census->command, census->broken + (census->broken == 0 ? 1 : 0));
	census_end(census, problem);
}

/* --- reading
 * --------------------------------------------------------------------------------------- */

static void
census_reap(struct census *census)
{
	const struct timeval soon = {0, REAP_MS * 1000L};
	int status;

	if (census->out != NULL || census->err != NULL)
		return;
	if (child_ended(&census->child, &status))
		census_judge(census, status);
	else
		event_add(census->reap, &soon);
}

static void
on_reap(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	census_reap(context);
}

static void
lines_take(struct census *census)
{
	char *line;
	size_t length;

	while ((line = evbuffer_readln(census->lines, &length, EVBUFFER_EOL_LF)) != NULL) {
		if (!census_parse(line, length, census->ports.message, census->ports.context))
			census->broken++;
		free(line);
	}
}

static void
on_out(evutil_socket_t fd, short what, void *context)
{
	struct census *census = context;
	const int got = evbuffer_read(census->lines, fd, READ_MOST);

	(void)what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		lines_take(census);
		if (evbuffer_get_length(census->lines) > CENSUS_LINE_MAX)
			census_end(census, "postqueue -j: a line without an end");
		return;
	}
	event_free(census->out);
	census->out = NULL;
	census_reap(census);
}

static void
on_err(evutil_socket_t fd, short what, void *context)
{
	struct census *census = context;
	char more[512];
	const ssize_t got = read(fd, more, sizeof(more));

	(void)what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		const size_t room = sizeof(census->words) - 1 - census->words_length;
		const size_t taken = (size_t)got < room ? (size_t)got : room;
		memcpy(census->words + census->words_length, more, taken);
		census->words_length += taken;
		census->words[census->words_length] = '\0';
		return;
	}
	event_free(census->err);
	census->err = NULL;
	census_reap(census);
}

static void
on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	census_end(
	    context, "postqueue -j did not end in time: is Postfix stopped, or the disk slow?");
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

struct census *
census_new(struct event_base *base, const char *config_dir, const struct census_ports *ports)
{
	struct census *census = calloc(1, sizeof(*census));

	if (census == NULL)
		return NULL;
	census->base = base;
	census->ports = *ports;
	census->command = "/usr/sbin/postqueue";
	census->config_dir = config_dir;
	census->child = CHILD_NONE;
	census->lines = evbuffer_new();
	census->deadline = evtimer_new(base, on_deadline, census);
	census->reap = evtimer_new(base, on_reap, census);
	if (census->lines != NULL && census->deadline != NULL && census->reap != NULL)
		return census;
	census_free(census);
	return NULL;
}

void
census_free(struct census *census)
{
	if (census == NULL)
		return;
	if (census->running)
		census_stop(census);
	if (census->deadline != NULL)
		event_free(census->deadline);
	if (census->reap != NULL)
		event_free(census->reap);
	if (census->lines != NULL)
		evbuffer_free(census->lines);
	free(census);
}

void
census_set_command(struct census *census, const char *path)
{
	census->command = path;
}

bool
census_running(const struct census *census)
{
	return census->running;
}

bool
census_begin(struct census *census, int deadline_s, const char **problem)
{
	const char *const argv[] = {census->command, "-c", census->config_dir, "-j", NULL};
	const struct timeval deadline = {deadline_s, 0};

	*problem = "a listing runs already";
	if (census->running)
		return false;
	census->broken = 0;
	census->words_length = 0;
	census->words[0] = '\0';
	*problem = "postqueue cannot be started";
	if (!child_start(&census->child, argv))
		return false;
	census->running = true;
	census->out =
	    event_new(census->base, census->child.out, EV_READ | EV_PERSIST, on_out, census);
	census->err =
	    event_new(census->base, census->child.err, EV_READ | EV_PERSIST, on_err, census);
	if (census->out != NULL && census->err != NULL && event_add(census->out, NULL) == 0 &&
	    event_add(census->err, NULL) == 0 && event_add(census->deadline, &deadline) == 0)
		return true;
	*problem = "out of memory";
	census_stop(census);
	return false;
}
