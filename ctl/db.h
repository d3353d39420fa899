/*
 * db: the SOC's connection to the authority, for mxholdctl's verbs that read or write rows.
 *
 * Which one: -d CONNINFO, else the environment's MXHOLD_DB, else libpq's defaults (PGHOST,
 * PGSERVICE,
 * ...). Never the relay's own conninfo: that login cannot edit. Every wait has a deadline, as a
 * stopped PostgreSQL still takes connections. With -v each statement is shown on stderr before it
 * runs; with `dry` it is shown and not run. What fails is said on stderr in the server's words.
 */
#ifndef MXHOLD_CTL_DB_H
#define MXHOLD_CTL_DB_H

#include "ctl/ctl.h"

#include <libpq-fe.h>

struct db {
	PGconn *connection;
	bool verbose;
	bool dry;
	int code;            /* a ctl_exit for the last failure */
	char sqlstate[6];    /* of it; "" when there was none */
	char constraint[64]; /* that it broke; "" when none */
};

/* False: said why; db->code is the exit code. db_close in any case. */
bool db_open(struct db *db, const struct ctl *ctl, bool dry) __attribute__((warn_unused_result));
void db_close(struct db *db);

/*
 * Runs `sql` (several statements, too). The result of the last one, which the caller clears, or
 * NULL: said why. Dry: NULL with db->code CTL_OK.
 */
PGresult *db_run(struct db *db, const char *sql) __attribute__((warn_unused_result));
/* The same for what is asked beside the point: not shown, and run also when dry. */
PGresult *db_ask(struct db *db, const char *sql) __attribute__((warn_unused_result));
/* The same with one parameter of bytes ($1). */
PGresult *db_ask_bytes(struct db *db, const char *sql, const char *bytes, size_t length)
    __attribute__((warn_unused_result));
/* Runs a query of any length; `row` gets each of its rows as it comes. */
bool db_each(struct db *db, const char *sql, void (*row)(const PGresult *row, void *context),
    void *context) __attribute__((warn_unused_result));

/* SQL with %s for values, each of them quoted as a literal; NULL becomes null. The caller frees. */
char *db_format(struct db *db, const char *format, ...);
/* Rows that the statement of `result` changed. */
unsigned long db_changed(PGresult *result);

/* One row to stdout: `name: value` lines, or one JSON object. */
void db_print_row(const PGresult *result, int row, bool json);

#endif
