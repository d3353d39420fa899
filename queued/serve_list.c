/*
 * serve_list: listings of the queue for the watch, which wants to know where those messages are
 * that were not tried in a wave. One at a time, and at most a fifth of the time.
 */
#include "queued/serve_inner.h"

#include "core/domain.h"

#include <string.h>

#define LIST_DEADLINE_S 30 /* with the pause behind it less than RELEASE_LOST_MS */
#define LIST_SHARE 4       /* a listing is followed by a pause of so many times what it took */
#define LIST_LEAST_MS 500

static void
list_ended(const char *problem, void *context)
{
	struct serve *serve = context;

	serve_enter(serve);
	serve->list_ended_ms = serve->now.ms;
	if (problem != NULL)
		log_event(LOG_WARNING, "listing-failed", kv("error", problem));
	watch_list_ended(serve->watch, problem == NULL, serve->now);
	if (serve->list_wanted)
		serve_list(serve);
	serve_leave(serve);
}

/* For each line: nothing is done here that needs a store. */
static void
list_message(const struct census_message *message, void *context)
{
	struct serve *serve = context;
	char domain[DOMAIN_SIZE];
	const char *address, *reason, *at;

	for (size_t i = 0; i < message->recipients; i++) {
		if (!census_recipient(message, i, &address, &reason))
			continue;
		at = strrchr(address, '@');
		if (at != NULL && domain_normalise(at + 1, strlen(at + 1), domain))
			watch_listed(serve->watch, domain, message->queue_id, message->queue);
	}
}

static void
list_begin(struct serve *serve)
{
	const char *problem;

	serve->list_wanted = false;
	serve->list_began_ms = serve->now.ms;
	log_event(LOG_INFO, "listing");
	watch_list_began(serve->watch);
	if (!census_begin(serve->list, LIST_DEADLINE_S, &problem))
		list_ended(problem, serve);
}

static void
on_list(evutil_socket_t fd, short what, void *context)
{
	struct serve *serve = context;

	(void)fd;
	(void)what;
	serve_enter(serve);
	if (serve->list_wanted && !census_running(serve->list))
		list_begin(serve);
	serve_leave(serve);
}

void
serve_list(void *context)
{
	struct serve *serve = context;
	int64_t pause = (serve->list_ended_ms - serve->list_began_ms) * LIST_SHARE;
	int64_t wait;

	serve->list_wanted = true;
	if (census_running(serve->list))
		return;
	if (pause < LIST_LEAST_MS)
		pause = LIST_LEAST_MS;
	wait = serve->list_ended_ms + pause - serve->now.ms;
	if (serve->list_ended_ms == 0 || wait < 0)
		wait = 0;
	if (!evtimer_pending(serve->on_list, NULL))
		serve_set_timer(serve->on_list, wait);
}

bool
serve_list_start(struct serve *serve)
{
	const struct census_ports ports = {
	    .message = list_message, .end = list_ended, .context = serve};

	serve->list = census_new(serve->base, serve->conf->paths.postfix_config_dir, &ports);
	serve->on_list = evtimer_new(serve->base, on_list, serve);
	if (serve->list == NULL || serve->on_list == NULL)
		return false;
	census_set_command(serve->list, serve->postfix.postqueue);
	return true;
}

void
serve_list_free(struct serve *serve)
{
	census_free(serve->list);
	if (serve->on_list != NULL)
		event_free(serve->on_list);
}
