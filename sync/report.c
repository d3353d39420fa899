/*
 * report: see report.h.
 */
#include "sync/report.h"

#include "sync/schedule.h"
#include "sync/session.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEM_SIZE 400

struct report {
	struct session *session;
	char *conninfo;
	struct report_beat beat;
	char *unusable; /* of `beat` */
	bool pending;   /* `beat` has not been sent */
	bool sent;      /* a heartbeat is under way */
	unsigned failures;
	int64_t retry_at;
	char problem[PROBLEM_SIZE];
};

struct report *
report_new(void)
{
	struct report *report = calloc(1, sizeof *report);

	if (report == NULL)
		return NULL;
	report->session = session_new();
	if (report->session == NULL) {
		free(report);
		return NULL;
	}
	return report;
}

void
report_free(struct report *report)
{
	if (report == NULL)
		return;
	session_free(report->session);
	free(report->conninfo);
	free(report->unusable);
	free(report);
}

bool
report_to(struct report *report, const char *conninfo)
{
	char *copy;

	if (report->conninfo != NULL && strcmp(report->conninfo, conninfo) == 0)
		return true;
	copy = strdup(conninfo);
	if (copy == NULL)
		return false;
	free(report->conninfo);
	report->conninfo = copy;
	session_close(report->session);
	report->sent = false;
	report->retry_at = 0;
	return true;
}

void
report_tell(struct report *report, const struct report_beat *beat, const char *unusable)
{
	char *copy = strdup(unusable);

	if (copy == NULL) /* no memory: the next heartbeat will say it */
		return;
	free(report->unusable);
	report->unusable = copy;
	report->beat = *beat;
	report->pending = true;
}

const char *
report_problem(const struct report *report)
{
	return report->problem;
}

static void
note_failure(struct report *report, int64_t now)
{
	const char *why = session_problem(report->session);

	if (strcmp(why, report->problem) != 0)
		log_event(LOG_WARNING, "heartbeat-failed", kv("error", why));
	snprintf(report->problem, sizeof report->problem, "%s", why);
	session_close(report->session);
	report->sent = false;
	report->retry_at = now + schedule_backoff(++report->failures, (uint32_t)random());
}

static void
note_success(struct report *report)
{
	if (report->problem[0] != '\0')
		log_event(
		    LOG_NOTICE, "heartbeat-restored", kv_number("failures", report->failures));
	report->problem[0] = '\0';
	report->failures = 0;
	report->sent = false;
}

static void
send_beat(struct report *report, int64_t now)
{
	static const char software[] = "mxhold " MXHOLD_VERSION;
	char version[24], domains[24];
	const char *const values[] = {report->beat.epoch, version,
	    report->beat.held ? "held" : "ok", report->beat.detail, domains, software,
	    report->unusable};

	snprintf(version, sizeof version, "%llu", (unsigned long long)report->beat.version);
	snprintf(domains, sizeof domains, "%llu", (unsigned long long)report->beat.domains);
	report->pending = false;
	report->sent = true;
	session_send(report->session,
	    "select mxhold.heartbeat($1::text, $2::bigint, $3::text, $4::text, $5::bigint,"
	    " $6::text, $7::text[])",
	    7, values, SESSION_STATEMENT_MS, now);
}

static void
prepare(void *context, struct pump_set *set)
{
	struct report *report = context;
	struct pollfd want;
	int64_t deadline;

	if (session_state(report->session) == SESSION_CLOSED) {
		if (report->pending)
			pump_set_until(set, report->retry_at);
		return;
	}
	session_wants(report->session, pump_now(), &want, &deadline);
	pump_set_add(set, want.fd, want.events);
	pump_set_until(set, deadline);
	if (session_state(report->session) == SESSION_IDLE && report->pending)
		pump_set_until(set, 0);
}

/* The session is idle: was a heartbeat sent, and what became of it? Is there one to send? */
static void
go_on(struct report *report, int64_t now)
{
	const PGresult *got = session_result(report->session);

	if (report->sent) {
		if (got == NULL || PQresultStatus(got) != PGRES_TUPLES_OK) {
			note_failure(report, now);
			return;
		}
		note_success(report);
	}
	if (report->pending)
		send_beat(report, now);
}

static void
run(void *context, const struct pump_set *set, int64_t now)
{
	struct report *report = context;
	struct pollfd want;
	int64_t deadline;

	if (session_state(report->session) == SESSION_CLOSED) {
		if (report->pending && now >= report->retry_at && report->conninfo != NULL)
			session_dial(report->session, report->conninfo, now);
	} else {
		session_wants(report->session, now, &want, &deadline);
		session_step(report->session, pump_set_ready(set, want.fd), now);
	}
	switch (session_state(report->session)) {
	case SESSION_FAILED: note_failure(report, now); break;
	case SESSION_IDLE: go_on(report, now); break;
	default: break;
	}
}

struct pump_task
report_task(struct report *report)
{
	return (struct pump_task){.prepare = prepare, .run = run, .context = report};
}
