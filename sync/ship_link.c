/*
 * ship_link: see ship_link.h.
 */
#include "sync/ship_link.h"

#include "sync/schedule.h"
#include "sync/session.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ship_link {
	struct ship_user user;
	const char *conninfo;
	struct session *session;
	bool sent; /* a statement is under way */
	unsigned failures;
	int64_t retry_at;
	char problem[SHIP_PROBLEM_SIZE];
};

struct ship_link *
ship_link_new(const struct ship_user *user, const char *conninfo)
{
	struct ship_link *link = calloc(1, sizeof *link);

	if (link == NULL)
		return NULL;
	link->user = *user;
	link->conninfo = conninfo;
	link->session = session_new();
	if (link->session != NULL)
		return link;
	free(link);
	return NULL;
}

void
ship_link_free(struct ship_link *link)
{
	if (link == NULL)
		return;
	session_free(link->session);
	free(link);
}

const char *
ship_link_problem(const struct ship_link *link)
{
	return link->problem;
}

static void
log_change(const struct ship_link *link, const char *end, int priority, struct log_field field)
{
	char event[64];

	snprintf(event, sizeof event, "%s-%s", link->user.name, end);
	log_event(priority, event, field);
}

void
ship_link_good(struct ship_link *link)
{
	if (link->problem[0] != '\0')
		log_change(link, "restored", LOG_NOTICE, kv_number("failures", link->failures));
	link->problem[0] = '\0';
	link->failures = 0;
}

static void
hang_up(struct ship_link *link)
{
	session_close(link->session);
	link->sent = false;
	link->user.lost(link->user.context);
}

void
ship_link_fail(struct ship_link *link, const char *why, int64_t now)
{
	char text[SHIP_PROBLEM_SIZE];

	snprintf(text, sizeof text, "%s", why != NULL ? why : session_problem(link->session));
	if (strcmp(text, link->problem) != 0)
		log_change(link, "failed", LOG_WARNING, kv("error", text));
	memcpy(link->problem, text, sizeof text);
	link->retry_at = now + schedule_backoff(++link->failures, (uint32_t)random());
	hang_up(link);
}

void
ship_link_send(struct ship_link *link, const char *sql, int count, const char *const *values,
    int64_t patience_ms, int64_t now)
{
	link->sent = true;
	session_send(link->session, sql, count, values, patience_ms, now);
}

static bool
is_idle(const struct ship_link *link)
{
	enum session_state state = session_state(link->session);

	return state == SESSION_CLOSED || state == SESSION_IDLE;
}

static void
prepare(void *context, struct pump_set *set)
{
	struct ship_link *link = context;
	int64_t now = pump_now(), deadline = INT64_MAX, when;
	struct pollfd want;

	if (session_state(link->session) != SESSION_CLOSED) {
		session_wants(link->session, now, &want, &deadline);
		pump_set_add(set, want.fd, want.events);
		pump_set_until(set, deadline);
	}
	if (!is_idle(link) || link->sent)
		return;
	if (link->user.wants(link->user.context, now, &when))
		when = now;
	if (session_state(link->session) == SESSION_CLOSED && when < link->retry_at)
		when = link->retry_at;
	pump_set_until(set, when);
}

static void
turn(struct ship_link *link, int64_t now)
{
	const PGresult *result = NULL;
	int64_t when;

	if (link->sent) {
		link->sent = false;
		result = session_result(link->session);
		if (result == NULL)
			ship_link_fail(link, NULL, now);
		else
			link->user.turn(link->user.context, result, now);
	} else if (link->user.wants(link->user.context, now, &when)) {
		link->user.turn(link->user.context, NULL, now);
	}
}

/* Who loses a connection that he did not use dials again when he needs one. */
static void
failed(struct ship_link *link, bool in_use, int64_t now)
{
	if (in_use)
		ship_link_fail(link, NULL, now);
	else
		hang_up(link);
}

static void
run(void *context, const struct pump_set *set, int64_t now)
{
	struct ship_link *link = context;
	bool in_use = link->sent || session_state(link->session) != SESSION_IDLE;
	struct pollfd want;
	int64_t deadline, when;

	if (session_state(link->session) == SESSION_CLOSED) {
		if (now >= link->retry_at && link->user.wants(link->user.context, now, &when))
			session_dial(link->session, link->conninfo, now);
	} else {
		session_wants(link->session, now, &want, &deadline);
		session_step(link->session, pump_set_ready(set, want.fd), now);
	}
	if (session_state(link->session) == SESSION_FAILED)
		failed(link, in_use, now);
	else if (session_state(link->session) == SESSION_IDLE)
		turn(link, now);
}

struct pump_task
ship_link_task(struct ship_link *link)
{
	return (struct pump_task){.prepare = prepare, .run = run, .context = link};
}
