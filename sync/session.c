/*
 * session: see session.h. libpq blocks in PQconnectPoll (resolving names), PQgetResult (while busy)
 * and PQfinish (flushing a blocking socket): names are resolved beside it, PQgetResult is only
 * called when PQisBusy denies, and the socket is non-blocking and shut down before PQfinish.
 */
#include "sync/session.h"

#include "core/log.h"
#include "sync/conninfo.h"
#include "sync/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PROBLEM_SIZE 400
/* With TLS, bytes may wait inside OpenSSL, where poll() cannot see them: look this often. */
#define TLS_LOOK_MS 50

struct session {
	enum session_state state;
	int64_t deadline;
	char problem[PROBLEM_SIZE];
	PGconn *conn;
	/* dialling */
	struct conninfo *info;
	size_t host; /* of info->hosts, the one that is tried */
	struct resolve resolve;
	char addresses[RESOLVE_ADDRESSES][RESOLVE_TEXT];
	size_t address_count, address;
	PostgresPollingStatusType dial_wants;
	/* a statement */
	bool flushed;
	PGresult *result;
	char *row;
};

struct session *
session_new(void)
{
	return calloc(1, sizeof(struct session));
}

void
session_free(struct session *session)
{
	if (session == NULL)
		return;
	session_close(session);
	free(session);
}

enum session_state
session_state(const struct session *session)
{
	return session->state;
}

const char *
session_problem(const struct session *session)
{
	return session->problem;
}

/* Keeps a text as one line: line ends and control characters become blanks. */
static void
set_problem(struct session *session, const char *text)
{
	size_t length;
	char *c;

	snprintf(session->problem, sizeof session->problem, "%s", text);
	for (c = session->problem; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	length = strlen(session->problem);
	while (length > 0 && session->problem[length - 1] == ' ')
		session->problem[--length] = '\0';
}

static void
drop_connection(struct session *session)
{
	PQfreemem(session->row);
	session->row = NULL;
	PQclear(session->result);
	session->result = NULL;
	if (session->conn == NULL)
		return;
	if (PQsocket(session->conn) >= 0)
		shutdown(PQsocket(session->conn), SHUT_RDWR);
	PQfinish(session->conn);
	session->conn = NULL;
}

static void
fail(struct session *session, const char *why)
{
	set_problem(session, why);
	drop_connection(session);
	session->state = SESSION_FAILED;
}

static void
fail_by_libpq(struct session *session)
{
	set_problem(session, PQerrorMessage(session->conn));
	drop_connection(session);
	session->state = SESSION_FAILED;
}

void
session_close(struct session *session)
{
	drop_connection(session);
	resolve_stop(&session->resolve);
	conninfo_free(session->info);
	session->info = NULL;
	session->state = SESSION_CLOSED;
}

/* --- dialling ---------------------------------------------------------------- */

static void next_host(struct session *session, int64_t now);

/* What the server says unasked (a notice, or why it ends the connection); libpq would print it. */
static void
note_notice(void *context, const PGresult *result)
{
	(void)context;
	log_event(LOG_NOTICE, "server-notice",
	    kv("severity", PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED)),
	    kv("message", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

/* Dials one address of the present host (NULL: libpq's own way, for sockets). */
static bool
dial_address(struct session *session, const char *address, int64_t now)
{
	struct conninfo *info = session->info;
	const struct conninfo_host *host = &info->hosts[session->host];
	const char *const words[] = {"host", "hostaddr", "port"};
	const char *const texts[] = {host->host, address, host->port};
	size_t i, place = info->count;

	for (i = 0; i < 3; i++) {
		if (texts[i] == NULL)
			continue;
		info->keywords[place] = words[i];
		info->values[place++] = texts[i];
	}
	info->keywords[place] = NULL;
	info->values[place] = NULL;
	session->deadline = now + SESSION_CONNECT_MS;
	session->dial_wants = PGRES_POLLING_WRITING;
	session->conn = PQconnectStartParams(info->keywords, info->values, 0);
	if (session->conn == NULL) {
		set_problem(session, "out of memory");
		return false;
	}
	PQsetNoticeReceiver(session->conn, note_notice, NULL);
	if (PQstatus(session->conn) != CONNECTION_BAD)
		return true;
	set_problem(session, PQerrorMessage(session->conn));
	drop_connection(session);
	return false;
}

static void
next_address(struct session *session, int64_t now)
{
	while (session->address < session->address_count)
		if (dial_address(session, session->addresses[session->address++], now))
			return;
	session->host++;
	next_host(session, now);
}

/* Goes on to the next host that can be dialled or resolved; FAILED after the last. */
static void
next_host(struct session *session, int64_t now)
{
	const struct conninfo_host *host;

	for (; session->host < session->info->host_count; session->host++) {
		host = &session->info->hosts[session->host];
		session->address = session->address_count = 0;
		if (conninfo_host_is_direct(host)) {
			if (dial_address(session, host->address, now))
				return;
		} else if (resolve_start(&session->resolve, host->host)) {
			session->deadline = now + SESSION_CONNECT_MS;
			return;
		} else {
			set_problem(session, "no helper process could be started");
		}
	}
	session->state = SESSION_FAILED;
}

void
session_dial(struct session *session, const char *conninfo, int64_t now)
{
	const char *problem;

	session->problem[0] = '\0';
	session->host = 0;
	session->state = SESSION_DIALLING;
	session->info = conninfo_parse(conninfo, &problem);
	if (session->info == NULL)
		fail(session, problem);
	else
		next_host(session, now);
}

static void
step_resolve(struct session *session, short ready, int64_t now)
{
	enum resolve_state state = RESOLVE_PENDING;

	if (ready != 0)
		state =
		    resolve_step(&session->resolve, session->addresses, &session->address_count);
	if (state == RESOLVE_DONE) {
		next_address(session, now);
		return;
	}
	if (state == RESOLVE_PENDING && now < session->deadline)
		return;
	set_problem(session, state == RESOLVE_FAILED
				 ? "the host's name cannot be resolved"
				 : "the host's name was not resolved within 5 s");
	resolve_stop(&session->resolve);
	session->host++;
	next_host(session, now);
}

static void
step_connect(struct session *session, short ready, int64_t now)
{
	if (ready != 0)
		session->dial_wants = PQconnectPoll(session->conn);
	if (session->dial_wants == PGRES_POLLING_OK) {
		if (PQsetnonblocking(session->conn, 1) != 0) {
			fail_by_libpq(session);
			return;
		}
		session->state = SESSION_IDLE;
		return;
	}
	if (session->dial_wants != PGRES_POLLING_FAILED && now < session->deadline)
		return;
	set_problem(session, session->dial_wants == PGRES_POLLING_FAILED
				 ? PQerrorMessage(session->conn)
				 : "no connection within 5 s");
	drop_connection(session);
	next_address(session, now);
}

/* --- statements ---------------------------------------------------------------- */

void
session_send(struct session *session, const char *sql, int count, const char *const *values,
    int64_t patience_ms, int64_t now)
{
	int sent;

	PQclear(session->result);
	session->result = NULL;
	session->state = SESSION_BUSY;
	session->deadline = now + patience_ms;
	session->flushed = false;
	if (count == 0)
		sent = PQsendQuery(session->conn, sql);
	else
		sent = PQsendQueryParams(session->conn, sql, count, NULL, values, NULL, NULL, 0);
	if (sent != 1)
		fail_by_libpq(session);
	else
		session_step(session, 0, now);
}

const PGresult *
session_result(const struct session *session)
{
	return session->result;
}

/* Takes results as long as libpq has whole ones. */
static void
take_results(struct session *session)
{
	PGresult *result;

	while (!PQisBusy(session->conn)) {
		result = PQgetResult(session->conn);
		if (result == NULL) {
			session->state = SESSION_IDLE;
			return;
		}
		PQclear(session->result);
		session->result = result;
		switch (PQresultStatus(result)) {
		case PGRES_COPY_OUT: session->state = SESSION_COPYING; return;
		case PGRES_COPY_IN:
		case PGRES_COPY_BOTH: fail(session, "the server asks for data"); return;
		case PGRES_FATAL_ERROR:
		case PGRES_BAD_RESPONSE: set_problem(session, PQresultErrorMessage(result)); break;
		default: break;
		}
	}
}

static void
step_statement(struct session *session, short ready, int64_t now)
{
	int flushed;

	if (((ready & ~POLLOUT) != 0 || PQsslInUse(session->conn)) &&
	    PQconsumeInput(session->conn) != 1) {
		fail_by_libpq(session);
		return;
	}
	if (!session->flushed) {
		flushed = PQflush(session->conn);
		if (flushed < 0) {
			fail_by_libpq(session);
			return;
		}
		session->flushed = flushed == 0;
	}
	if (session->state == SESSION_BUSY)
		take_results(session);
	if ((ready & POLLIN) != 0 && session->state == SESSION_COPYING)
		session->deadline = now + SESSION_IDLE_MS;
	if ((session->state == SESSION_BUSY || session->state == SESSION_COPYING) &&
	    now >= session->deadline)
		fail(session, "no answer in time");
}

enum session_row
session_copy_row(struct session *session, char **row, size_t *length, int64_t now)
{
	int got;

	PQfreemem(session->row);
	session->row = NULL;
	got = PQgetCopyData(session->conn, &session->row, 1);
	if (got > 0) {
		*row = session->row;
		*length = (size_t)got;
		return SESSION_ROW;
	}
	if (got == 0)
		return SESSION_ROW_WAIT;
	if (got == -1) {
		session->state = SESSION_BUSY;
		session->deadline = now + SESSION_STATEMENT_MS;
		take_results(session);
	} else {
		fail_by_libpq(session);
	}
	return SESSION_ROW_END;
}

bool
session_notice(struct session *session, uint64_t *version)
{
	PGnotify *notify = session->conn != NULL ? PQnotifies(session->conn) : NULL;
	char *end;

	if (notify == NULL)
		return false;
	*version = strtoull(notify->extra, &end, 10);
	if (end == notify->extra || *end != '\0')
		*version = UINT64_MAX;
	PQfreemem(notify);
	return true;
}

/* --- driving ------------------------------------------------------------------- */

static short
events(const struct session *session)
{
	switch (session->state) {
	case SESSION_DIALLING:
		if (session->resolve.pid > 0)
			return POLLIN;
		return session->dial_wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
	case SESSION_BUSY:
	case SESSION_COPYING: return session->flushed ? POLLIN : POLLIN | POLLOUT;
	default: return POLLIN;
	}
}

void
session_wants(const struct session *session, int64_t now, struct pollfd *out, int64_t *deadline)
{
	bool waiting = session->state == SESSION_DIALLING || session->state == SESSION_BUSY ||
		       session->state == SESSION_COPYING;

	out->fd = session->resolve.pid > 0 ? session->resolve.fd
		  : session->conn != NULL  ? PQsocket(session->conn)
					   : -1;
	out->events = events(session);
	out->revents = 0;
	*deadline = waiting ? session->deadline : INT64_MAX;
	if (waiting && session->state != SESSION_DIALLING && PQsslInUse(session->conn) &&
	    now + TLS_LOOK_MS < *deadline)
		*deadline = now + TLS_LOOK_MS;
}

/* Between statements only notices may come, or the end. */
static void
step_idle(struct session *session, short ready)
{
	if (ready != 0 && PQconsumeInput(session->conn) != 1)
		fail_by_libpq(session);
}

void
session_step(struct session *session, short ready, int64_t now)
{
	switch (session->state) {
	case SESSION_DIALLING:
		if (session->resolve.pid > 0)
			step_resolve(session, ready, now);
		else
			step_connect(session, ready, now);
		break;
	case SESSION_IDLE: step_idle(session, ready); break;
	case SESSION_BUSY:
	case SESSION_COPYING: step_statement(session, ready, now); break;
	default: break;
	}
}
