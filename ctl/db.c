/*
 * db: the SOC's connection to the authority (see db.h). On libpq's asynchronous calls and poll(2).
 *
 * In: SQL. Out: results, or words on stderr and an exit code. It never waits without an end, and
 * never shows a password: the connection's parameters are not printed.
 */
#include "ctl/db.h"

#include "core/snapshot.h"
#include "ctl/text.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 10000
#define ANSWER_MS 60000 /* without a byte from the server */
#define MANY_MS 600000  /* for migrations and the like: an index over 10 million rows */

/* Types of columns (pg_type.h; they are part of the protocol and do not change). */
enum { TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_JSON = 114 };

/* --- connecting --------------------------------------------------------------------------- */

static bool
fail(struct db *db, int code, const char *words)
{
	db->code = code;
	ctl_say("%s", words);
	return false;
}

/* libpq's message without its newline at the end. */
static bool
fail_with(struct db *db, int code, const char *what)
{
	const char *message = PQerrorMessage(db->connection);
	size_t length = strlen(message);

	while (length > 0 && message[length - 1] == '\n')
		length--;
	db->code = code;
	ctl_say("%s: %.*s", what, (int)length, message);
	return false;
}

static bool
wait_socket(PGconn *connection, short events, int64_t deadline)
{
	struct pollfd wait = {.fd = PQsocket(connection), .events = events};
	int ready;

	do {
		const int64_t left = deadline - snapshot_clock_boot_ms();
		ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
	} while (ready < 0 && errno == EINTR);
	return ready > 0;
}

static bool
finish_connecting(struct db *db)
{
	const int64_t deadline = snapshot_clock_boot_ms() + CONNECT_MS;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(db->connection) == CONNECTION_BAD)
		return fail_with(db, CTL_UNAVAILABLE, "no connection to the authority");
	while (state != PGRES_POLLING_OK) {
		const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (!wait_socket(db->connection, events, deadline))
			return fail(db, CTL_UNAVAILABLE,
			    "no connection to the authority: it does not answer within 10 s");
		state = PQconnectPoll(db->connection);
		if (state == PGRES_POLLING_FAILED)
			return fail_with(db, CTL_UNAVAILABLE, "no connection to the authority");
	}
	return true;
}

/* A notice of the server: NOTICE and WARNING are for the operator. */
static void
show_notice(void *context, const PGresult *result)
{
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	(void)context;
	if (text != NULL)
		ctl_say("note: %s", text);
	if (hint != NULL)
		ctl_say("  hint: %s", hint);
}

bool
db_open(struct db *db, const struct ctl *ctl, bool dry)
{
	const char *conninfo = ctl->conninfo != NULL ? ctl->conninfo : getenv("MXHOLD_DB");

	*db = (struct db){.verbose = ctl->verbose || dry, .dry = dry, .code = CTL_OK};
	db->connection = PQconnectStart(conninfo != NULL ? conninfo : "");
	if (db->connection == NULL)
		return fail(db, CTL_SOFTWARE, "out of memory");
	if (!finish_connecting(db))
		return false;
	PQsetNoticeReceiver(db->connection, show_notice, NULL);
	PGresult *set =
	    db_ask(db, "set client_encoding = 'UTF8'; set client_min_messages = notice; "
		       "set application_name = 'mxholdctl'");
	PQclear(set);
	return set != NULL;
}

void
db_close(struct db *db)
{
	PQfinish(db->connection);
	db->connection = NULL;
}

/* --- failures in words ------------------------------------------------------------------------ */

static int
code_of(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		int code;
	} codes[] = {
	    {"22", CTL_DATA},        /* a value that cannot be */
	    {"23", CTL_DATA},        /* a constraint */
	    {"54", CTL_DATA},        /* a limit of ours */
	    {"40", CTL_TEMPFAIL},    /* deadlock, serialization */
	    {"55P03", CTL_TEMPFAIL}, /* a lock was not to be had */
	    {"57014", CTL_TEMPFAIL}, /* statement timeout */
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strncmp(sqlstate, codes[i].prefix, strlen(codes[i].prefix)) == 0)
			return codes[i].code;
	return CTL_UNAVAILABLE;
}

static void
copy_field(const PGresult *result, int field, char *out, size_t size)
{
	const char *text = PQresultErrorField(result, field);

	snprintf(out, size, "%s", text != NULL ? text : "");
}

static void
say_failure(struct db *db, const PGresult *result)
{
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	copy_field(result, PG_DIAG_SQLSTATE, db->sqlstate, sizeof(db->sqlstate));
	copy_field(result, PG_DIAG_CONSTRAINT_NAME, db->constraint, sizeof(db->constraint));
	db->code = code_of(db->sqlstate);
	if (text == NULL) {
		(void)fail_with(db, CTL_UNAVAILABLE, "the connection to the authority broke");
		return;
	}
	ctl_say("%s", text);
	if (detail != NULL)
		ctl_say("  detail: %s", detail);
	if (hint != NULL)
		ctl_say("  hint: %s", hint);
	if (strcmp(db->sqlstate, "3F000") == 0 || strcmp(db->sqlstate, "42P01") == 0)
		ctl_say("  hint: is this the authority's database? `mxholdctl db status` tells");
}

/* --- statements ---------------------------------------------------------------------------------
 */

/* Waits until the server has said something whole. */
static bool
wait_answer(struct db *db, int64_t patience)
{
	int64_t deadline = snapshot_clock_boot_ms() + patience;

	for (;;) {
		const int flushed = PQflush(db->connection);
		const short events = flushed == 1 ? POLLIN | POLLOUT : POLLIN;

		if (flushed < 0)
			return fail_with(
			    db, CTL_UNAVAILABLE, "the connection to the authority broke");
		if (flushed == 0 && !PQisBusy(db->connection))
			return true;
		if (!wait_socket(db->connection, events, deadline))
			return fail(db, CTL_UNAVAILABLE,
			    "the authority does not answer; what was asked of it may "
			    "yet be done");
		if (PQconsumeInput(db->connection) == 0)
			return fail_with(
			    db, CTL_UNAVAILABLE, "the connection to the authority broke");
	}
}

static bool
is_good(const PGresult *result)
{
	const ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
	       status == PGRES_SINGLE_TUPLE || status == PGRES_EMPTY_QUERY;
}

/* Collects all results; the last one is what counts, and the first failure. */
static PGresult *
collect(struct db *db, int64_t patience)
{
	PGresult *last = NULL;
	bool failed = false;

	for (;;) {
		if (!wait_answer(db, patience)) {
			failed = true;
			break;
		}
		PGresult *next = PQgetResult(db->connection);
		if (next == NULL)
			break;
		PQclear(last);
		last = next;
		if (!is_good(next) && !failed) {
			say_failure(db, next);
			failed = true;
		}
		if (PQstatus(db->connection) == CONNECTION_BAD)
			break;
	}
	if (!failed && last != NULL)
		return last;
	PQclear(last);
	return NULL;
}

static bool
sent(struct db *db, int ok)
{
	db->code = CTL_OK;
	db->sqlstate[0] = db->constraint[0] = '\0';
	return ok == 1 || fail_with(db, CTL_UNAVAILABLE, "the connection to the authority broke");
}

PGresult *
db_ask(struct db *db, const char *sql)
{
	return sent(db, PQsendQuery(db->connection, sql)) ? collect(db, ANSWER_MS) : NULL;
}

PGresult *
db_ask_bytes(struct db *db, const char *sql, const char *bytes, size_t length)
{
	static const Oid bytea = 17;
	const char *const values[] = {bytes};
	const int lengths[] = {(int)length}, formats[] = {1};

	return sent(db,
		   PQsendQueryParams(db->connection, sql, 1, &bytea, values, lengths, formats, 0))
		   ? collect(db, ANSWER_MS)
		   : NULL;
}

static void
show(const struct db *db, const char *sql)
{
	if (db->verbose)
		fprintf(stderr, "%s;\n", sql);
}

PGresult *
db_run(struct db *db, const char *sql)
{
	show(db, sql);
	db->code = CTL_OK;
	if (db->dry)
		return NULL;
	return sent(db, PQsendQuery(db->connection, sql)) ? collect(db, MANY_MS) : NULL;
}

bool
db_each(
    struct db *db, const char *sql, void (*row)(const PGresult *row, void *context), void *context)
{
	bool good = true;

	show(db, sql);
	if (!sent(db, PQsendQuery(db->connection, sql)))
		return false;
	(void)PQsetSingleRowMode(db->connection);
	for (;;) {
		if (!wait_answer(db, ANSWER_MS))
			return false;
		PGresult *result = PQgetResult(db->connection);
		if (result == NULL)
			return good;
		if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
			row(result, context);
		else if (!is_good(result) && good) {
			say_failure(db, result);
			good = false;
		}
		PQclear(result);
	}
}

unsigned long
db_changed(PGresult *result)
{
	return strtoul(PQcmdTuples(result), NULL, 10);
}

static void
add_literal(struct db *db, struct text *sql, const char *value)
{
	if (value == NULL) {
		text_puts(sql, "null");
		return;
	}
	char *quoted = PQescapeLiteral(db->connection, value, strlen(value));
	if (quoted == NULL) { /* bytes that are no UTF-8: the server would not take them either */
		(void)fail_with(db, CTL_DATA, "a value cannot be quoted");
		text_puts(sql, "null");
		return;
	}
	text_puts(sql, quoted);
	PQfreemem(quoted);
}

char *
db_format(struct db *db, const char *format, ...)
{
	struct text sql = {NULL, 0, 0};
	va_list values;

	va_start(values, format);
	for (const char *at = format; *at != '\0';) {
		const char *hole = strstr(at, "%s");

		if (hole == NULL) {
			text_puts(&sql, at);
			break;
		}
		text_add(&sql, at, (size_t)(hole - at));
		add_literal(db, &sql, va_arg(values, const char *));
		at = hole + 2;
	}
	va_end(values);
	return text_take(&sql);
}

/* --- rows on stdout ------------------------------------------------------------------------------
 */

static json_t *
value_json(const PGresult *result, int row, int column)
{
	const char *text = PQgetvalue(result, row, column);

	if (PQgetisnull(result, row, column))
		return json_null();
	switch (PQftype(result, column)) {
	case TYPE_BOOL: return json_boolean(text[0] == 't');
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8: return json_integer(strtoll(text, NULL, 10));
	case TYPE_JSON: {
		json_t *parsed = json_loads(text, JSON_DECODE_ANY, NULL);
		return parsed != NULL ? parsed : json_string(text);
	}
	default: return json_string(text);
	}
}

/* What a person reads: yes and no, and lists with commas. */
static void
print_value(const json_t *value)
{
	const json_t *item;
	size_t i;

	if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", stdout);
	else if (json_is_integer(value))
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_string(value))
		fputs(json_string_value(value), stdout);
	else if (json_is_array(value))
		json_array_foreach((json_t *)(uintptr_t)value, i, item)
		{
			fputs(i > 0 ? ", " : "", stdout);
			print_value(item);
		}
	else
		fputs("-", stdout);
}

void
db_print_row(const PGresult *result, int row, bool json)
{
	json_t *object = json_object();

	for (int column = 0; column < PQnfields(result); column++) {
		json_t *value = value_json(result, row, column);

		if (!json) {
			printf("%-18s ", PQfname(result, column));
			print_value(value);
			putchar('\n');
		}
		json_object_set_new(object, PQfname(result, column), value);
	}
	if (json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(object);
}
