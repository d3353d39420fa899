/*
 * session: one connection to PostgreSQL in which nothing ever blocks: a state machine over libpq's
 * asynchronous calls, with a deadline on every wait. It does not poll: whoever drives it asks what
 * it wants, waits, and calls session_step.
 *
 * Deadlines: 5 s to resolve a host and 5 s for each address; for a statement what the caller says;
 * in a COPY that much for the first byte, then SESSION_IDLE_MS without a byte.
 */
#ifndef MXHOLD_SYNC_SESSION_H
#define MXHOLD_SYNC_SESSION_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define SESSION_CONNECT_MS 5000
#define SESSION_STATEMENT_MS 5000
#define SESSION_IDLE_MS 15000

enum session_state {
	SESSION_CLOSED,
	SESSION_DIALLING,
	SESSION_IDLE,    /* ready for a statement; the last one's result may be taken */
	SESSION_BUSY,    /* a statement is under way */
	SESSION_COPYING, /* rows of a COPY are coming */
	SESSION_FAILED,  /* session_problem says why; only session_close is left */
};

struct session;

/* NULL: out of memory. */
struct session *session_new(void);
void session_free(struct session *session);

enum session_state session_state(const struct session *session);
/* Why it failed, or why the last statement was refused. One line, never NULL, never a password. */
const char *session_problem(const struct session *session);

/* What to wait for; fd -1: for nothing but the deadline. */
void session_wants(
    const struct session *session, int64_t now, struct pollfd *out, int64_t *deadline);
/* Goes on after a wait: `ready` is what poll said (0: nothing, perhaps the deadline has passed). */
void session_step(struct session *session, short ready, int64_t now);

/* Starts dialling; from CLOSED only. */
void session_dial(struct session *session, const char *conninfo, int64_t now);
/* Starts one statement with text parameters; from IDLE only. */
void session_send(struct session *session, const char *sql, int count, const char *const *values,
    int64_t patience_ms, int64_t now);
/* The last statement's result, NULL where there is none; the session keeps it until the next. */
const PGresult *session_result(const struct session *session);

enum session_row { SESSION_ROW, SESSION_ROW_WAIT, SESSION_ROW_END };
/*
 * While COPYING: the next row, or WAIT (go on with session_step), or END (the state then is BUSY,
 * and later IDLE with the COPY's result, or FAILED). The row is valid until the next call.
 */
enum session_row session_copy_row(struct session *session, char **row, size_t *length, int64_t now);

/* Takes one notification; *version is its payload as a number, UINT64_MAX where it is none. */
bool session_notice(struct session *session, uint64_t *version);

/* At once and without waiting for the peer. */
void session_close(struct session *session);

#endif
