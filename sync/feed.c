/*
 * feed: see feed.h.
 */
#include "sync/feed.h"

#include "sync/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The first row may take long: the server sorts all of them, ten million perhaps, before it sends
 * one. A page of changes is collected too, but it is small.
 */
#define FULL_FIRST_MS 120000
#define SINCE_FIRST_MS 30000
#define ROWS_A_LOOK 1000 /* so often a long run of buffered rows looks at the rest of the world */
#define PROBLEM_SIZE 512

struct feed {
	struct session *session;
	struct pump *pump;
	char problem[PROBLEM_SIZE];
};

struct feed *
feed_new(struct pump *pump)
{
	struct feed *feed = calloc(1, sizeof *feed);

	if (feed == NULL)
		return NULL;
	feed->pump = pump;
	feed->session = session_new();
	if (feed->session == NULL) {
		free(feed);
		return NULL;
	}
	return feed;
}

void
feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	session_free(feed->session);
	free(feed);
}

const char *
feed_problem(const struct feed *feed)
{
	return feed->problem;
}

void
feed_blame(struct feed *feed, const char *fault)
{
	snprintf(feed->problem, sizeof feed->problem, "%s", fault);
}

bool
feed_is_open(const struct feed *feed)
{
	return session_state(feed->session) == SESSION_IDLE;
}

void
feed_close(struct feed *feed)
{
	session_close(feed->session);
}

/* `doing`: what failed, for the reader of the log. */
static enum feed_result
failed(struct feed *feed, const char *doing, const char *why)
{
	snprintf(feed->problem, sizeof feed->problem, "%s: %s", doing, why);
	return FEED_FAILED;
}

/* Waits for the session's descriptor and steps it. False: the program has to end. */
static bool
wait_once(struct feed *feed)
{
	struct pollfd want;
	int64_t deadline;
	short ready;

	session_wants(feed->session, pump_now(), &want, &deadline);
	if (pump_wait(feed->pump, want.fd, want.events, deadline, false, &ready) == PUMP_STOP)
		return false;
	session_step(feed->session, ready, pump_now());
	return true;
}

/* Waits until the session is neither dialling nor busy. */
static enum feed_result
settle(struct feed *feed, const char *doing)
{
	enum session_state state;

	for (;;) {
		state = session_state(feed->session);
		if (state == SESSION_FAILED)
			return failed(feed, doing, session_problem(feed->session));
		if (state != SESSION_DIALLING && state != SESSION_BUSY)
			return FEED_OK;
		if (!wait_once(feed))
			return FEED_STOPPED;
	}
}

/* One statement and its result. A refusal of the server is FAILED like the loss of it. */
static enum feed_result
ask(struct feed *feed, const char *doing, ExecStatusType wanted, const char *sql, int count,
    const char *const *values, int64_t patience)
{
	enum feed_result result;
	const PGresult *got;

	session_send(feed->session, sql, count, values, patience, pump_now());
	result = settle(feed, doing);
	if (result != FEED_OK)
		return result;
	got = session_result(feed->session);
	if (got != NULL && PQresultStatus(got) == wanted)
		return FEED_OK;
	if (got == NULL || PQresultStatus(got) != PGRES_FATAL_ERROR)
		return failed(feed, doing, "an unexpected kind of answer");
	return failed(feed, doing, session_problem(feed->session));
}

enum feed_result
feed_open(struct feed *feed, const char *conninfo)
{
	session_close(feed->session);
	session_dial(feed->session, conninfo, pump_now());
	return settle(feed, "connect");
}

enum feed_result
feed_listen(struct feed *feed, bool *listening)
{
	enum feed_result result;

	result = ask(
	    feed, "listen", PGRES_COMMAND_OK, "listen mxhold_feed", 0, NULL, SESSION_STATEMENT_MS);
	*listening = result == FEED_OK;
	if (result == FEED_FAILED && session_state(feed->session) == SESSION_IDLE)
		return FEED_OK;
	return result;
}

/* --- the state ------------------------------------------------------------------- */

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_TRUTH };

static const struct {
	const char *name;
	enum field_type type;
	bool null_is_empty;
	size_t offset, size;
} fields[] = {
#define AT(member) offsetof(struct feed_state, member), sizeof(((struct feed_state *)0)->member)
    {"epoch", FIELD_TEXT, false, AT(epoch)},
    {"version", FIELD_NUMBER, false, AT(version)},
    {"stamp", FIELD_TEXT, false, AT(stamp)},
    {"floor", FIELD_NUMBER, false, AT(floor)},
    {"same_history", FIELD_TRUTH, false, AT(same_history)},
    {"relay", FIELD_TEXT, true, AT(relay)},
    {"region", FIELD_TEXT, true, AT(region)},
    {"empty", FIELD_TRUTH, false, AT(empty)},
    {"confirmation", FIELD_NUMBER, false, AT(confirmation)},
    {"read_only", FIELD_TRUTH, false, AT(read_only)},
    {"server_time", FIELD_NUMBER, false, AT(server_time)},
#undef AT
};

#define FIELDS (sizeof fields / sizeof fields[0])

static bool
read_number(const char *text, uint64_t *out)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool
read_field(const PGresult *from, size_t i, struct feed_state *out)
{
	char *place = (char *)out + fields[i].offset;
	int column = PQfnumber(from, fields[i].name);
	const char *text;

	if (column < 0 || (PQgetisnull(from, 0, column) && !fields[i].null_is_empty))
		return false;
	text = PQgetvalue(from, 0, column); /* "" for null */
	switch (fields[i].type) {
	case FIELD_NUMBER: return read_number(text, (uint64_t *)(void *)place);
	case FIELD_TRUTH:
		*(bool *)place = text[0] == 't';
		return strcmp(text, "t") == 0 || strcmp(text, "f") == 0;
	default: return (size_t)snprintf(place, fields[i].size, "%s", text) < fields[i].size;
	}
}

static enum feed_result
read_state(struct feed *feed, struct feed_state *out)
{
	const PGresult *from = session_result(feed->session);
	char why[64];
	size_t i;

	memset(out, 0, sizeof *out);
	if (PQntuples(from) != 1)
		return failed(feed, "feed_state", "not one row");
	for (i = 0; i < FIELDS; i++) {
		if (read_field(from, i, out))
			continue;
		snprintf(why, sizeof why, "column %s is missing or odd", fields[i].name);
		return failed(feed, "feed_state", why);
	}
	if (out->epoch[0] == '\0')
		return failed(feed, "feed_state", "no epoch");
	return FEED_OK;
}

/* Empties the queue of notices: several are one. */
static bool
newer_notice(struct feed *feed, uint64_t version)
{
	uint64_t told;
	bool newer = false;

	while (session_notice(feed->session, &told))
		newer = newer || told > version;
	return newer;
}

enum feed_result
feed_begin(
    struct feed *feed, const struct snapshot_meta *meta, struct feed_state *out, int64_t *read_at)
{
	char version[24];
	const char *const values[] = {version, meta != NULL ? meta->newest_stamp : ""};
	enum feed_result result;

	snprintf(
	    version, sizeof version, "%llu", (unsigned long long)(meta != NULL ? meta->newest : 0));
	(void)newer_notice(feed, UINT64_MAX); /* the state tells it all */
	/* To compile the plan of feed_full takes longer than it saves: 0.8 s of 2 s. */
	result = ask(feed, "begin", PGRES_COMMAND_OK,
	    "begin transaction isolation level repeatable read, read only;"
	    " set local jit = off",
	    0, NULL, SESSION_STATEMENT_MS);
	if (result == FEED_OK)
		result = ask(feed, "feed_state", PGRES_TUPLES_OK,
		    "select epoch, version, stamp, floor, same_history, relay, region, empty,"
		    " confirmation, read_only, extract(epoch from server_time)::bigint as"
		    " server_time from mxhold.feed_state($1::bigint, $2::text)",
		    2, values, SESSION_STATEMENT_MS);
	*read_at = pump_now();
	return result == FEED_OK ? read_state(feed, out) : result;
}

enum feed_result
feed_end(struct feed *feed)
{
	return ask(feed, "commit", PGRES_COMMAND_OK, "commit", 0, NULL, SESSION_STATEMENT_MS);
}

enum feed_result
feed_maintain(struct feed *feed)
{
	enum feed_result result;

	result = ask(feed, "feed_maintain", PGRES_TUPLES_OK, "select mxhold.feed_maintain()", 0,
	    NULL, SESSION_STATEMENT_MS);
	if (result == FEED_FAILED && session_state(feed->session) == SESSION_IDLE)
		return FEED_OK;
	return result;
}

/* --- rows ------------------------------------------------------------------------- */

struct copy {
	feed_visit *visit;
	void *context;
	uint64_t rows;
};

static enum feed_result
take_row(struct feed *feed, struct copy *copy, char *line, size_t length)
{
	struct row row;
	const char *error;

	if (!row_parse(line, length, &row, &error))
		return failed(feed, "a row of the feed cannot be read", error);
	copy->rows++;
	return copy->visit(&row, copy->context) ? FEED_OK : FEED_REFUSED;
}

/* Takes rows that are there already: until there is none, or the COPY has ended, or enough. */
static enum feed_result
take_rows(struct feed *feed, struct copy *copy, enum session_row *last)
{
	enum feed_result result;
	char *line;
	size_t length;
	unsigned left;

	for (left = ROWS_A_LOOK; left > 0; left--) {
		*last = session_copy_row(feed->session, &line, &length, pump_now());
		if (*last != SESSION_ROW)
			return FEED_OK;
		result = take_row(feed, copy, line, length);
		if (result != FEED_OK)
			return result;
	}
	return FEED_OK;
}

/* Lets the pump serve the rest: a wait for more bytes, or, with rows at hand, a glance. */
static bool
breathe(struct feed *feed, enum session_row last)
{
	short ready;

	if (last == SESSION_ROW_WAIT)
		return wait_once(feed);
	return pump_wait(feed->pump, -1, 0, pump_now(), false, &ready) != PUMP_STOP;
}

/* The COPY counts its rows: as many must have come. */
static enum feed_result
check_copy(struct feed *feed, const struct copy *copy, const char *doing)
{
	PGresult *got = (PGresult *)session_result(feed->session); /* PQcmdTuples only reads */
	uint64_t told;

	if (got == NULL || PQresultStatus(got) != PGRES_COMMAND_OK)
		return failed(feed, doing, session_problem(feed->session));
	if (!read_number(PQcmdTuples(got), &told) || told != copy->rows)
		return failed(feed, doing, "rows are missing");
	return FEED_OK;
}

static enum feed_result
copy_rows(struct feed *feed, const char *doing, const char *sql, int64_t patience,
    feed_visit *visit, void *context)
{
	struct copy copy = {.visit = visit, .context = context};
	enum session_row last = SESSION_ROW_WAIT;
	enum feed_result result;

	result = ask(feed, doing, PGRES_COPY_OUT, sql, 0, NULL, patience);
	while (result == FEED_OK) {
		result = take_rows(feed, &copy, &last);
		if (result != FEED_OK || last == SESSION_ROW_END)
			break;
		if (!breathe(feed, last))
			return FEED_STOPPED;
		if (session_state(feed->session) == SESSION_FAILED)
			return failed(feed, doing, session_problem(feed->session));
	}
	if (result == FEED_OK)
		result = settle(feed, doing);
	return result == FEED_OK ? check_copy(feed, &copy, doing) : result;
}

enum feed_result
feed_full(struct feed *feed, enum row_kind kind, feed_visit *visit, void *context)
{
	char sql[96];

	snprintf(sql, sizeof sql, "copy (select * from mxhold.feed_full('%s')) to stdout",
	    row_kind_name(kind));
	return copy_rows(feed, "feed_full", sql, FULL_FIRST_MS, visit, context);
}

/* A name as an expression of SQL that needs no quoting, whatever its bytes are. */
static void
hex(char out[2 * DOMAIN_SIZE], const char *name)
{
	char *to = out;

	for (*to = '\0'; *name != '\0'; name++)
		to += sprintf(to, "%02x", (unsigned char)*name);
}

enum feed_result
feed_since(struct feed *feed, const struct backlog_page *page, feed_visit *visit, void *context)
{
	char sql[320 + 4 * DOMAIN_SIZE], customer[2 * DOMAIN_SIZE], key[2 * DOMAIN_SIZE];

	hex(customer, page->behind.customer);
	hex(key, page->behind.key);
	snprintf(sql, sizeof sql,
	    "copy (select * from mxhold.feed_since(%llu, %llu, %u,"
	    " convert_from('\\x%s', 'UTF8'), convert_from('\\x%s', 'UTF8'), %u, %u)) to stdout",
	    (unsigned long long)page->since, (unsigned long long)page->until, page->behind.step,
	    customer, key, page->each, page->most);
	return copy_rows(feed, "feed_since", sql, SINCE_FIRST_MS, visit, context);
}

enum feed_result
feed_gone(struct feed *feed, feed_visit *visit, void *context)
{
	return copy_rows(feed, "feed_gone", "copy (select * from mxhold.feed_gone()) to stdout",
	    FULL_FIRST_MS, visit, context);
}

/* --- between rounds ------------------------------------------------------------------ */

enum feed_idle
feed_idle(struct feed *feed, uint64_t version, int64_t deadline)
{
	struct pollfd want;
	int64_t unused;
	short ready;

	for (;;) {
		if (session_state(feed->session) != SESSION_IDLE) {
			failed(feed, "connection lost", session_problem(feed->session));
			return FEED_IDLE_LOST;
		}
		if (newer_notice(feed, version))
			return FEED_IDLE_NOTICE;
		session_wants(feed->session, pump_now(), &want, &unused);
		switch (pump_wait(feed->pump, want.fd, want.events, deadline, true, &ready)) {
		case PUMP_STOP: return FEED_IDLE_STOP;
		case PUMP_WAKE: return FEED_IDLE_WAKE;
		case PUMP_TIMEOUT: return FEED_IDLE_DUE;
		default: session_step(feed->session, ready, pump_now()); break;
		}
	}
}
