/*
 * row: one line of the feed (COPY text format, PostgreSQL manual, section "COPY", "Text Format";
 * columns as docs/feed.md fixes them) into a record of the snapshot.
 *
 * Pure. In: the bytes of one line as they came. Out: a row; a row that this relay cannot use, with
 * the reason (SQL admits what we do not: it has no IDNA tables, and may be newer than we are); or a
 * refusal, when the line is not the authority's speech at all (a column too many, a broken escape).
 * It never guesses: a row that it does not know entirely (an unknown flag, a name that is not in
 * normal form) is not used, since a misread row would turn mail away.
 */
#ifndef MXHOLD_SYNC_ROW_H
#define MXHOLD_SYNC_ROW_H

#include "core/records.h"

#include <stddef.h>

#define ROW_LINE_MAX                                                                               \
	16384 /* bytes; the longest legal row is below 8 KiB, escapes may double it                \
	       */

#define ROW_STEPS 7 /* of a version: see docs/feed.md */

enum row_kind { ROW_RELAY, ROW_CUSTOMER, ROW_DOMAIN };

enum row_fault {
	ROW_SOUND,
	ROW_BAD_KEY,    /* `key` is for people only: cut, and with '?' for what is not printable */
	ROW_BAD_RECORD, /* the key can be used, the record not */
};

struct row {
	enum row_kind kind;
	char key[DOMAIN_SIZE];
	bool present; /* false: gone; no record, but for: */
	bool told;    /* a domain that is gone, and the record as it was last */
	enum row_fault fault;
	const char *why; /* the fault in words; static */
	/* A change: its place (docs/feed.md); version 0 elsewhere. */
	uint64_t version;
	unsigned step;
	const char *customer; /* as it came, NULL: none; points into the line */
	union {
		struct relay_record relay;
		struct customer_record customer;
		struct domain_record domain;
	} record;
};

/*
 * Parses one line, its newline included, in place. On false the line cannot be read: *error is a
 * static text, and the line is no longer what it was.
 */
bool row_parse(char *line, size_t length, struct row *out, const char **error)
    __attribute__((warn_unused_result));

/* "relay", "customer", "domain": also the argument of mxhold.feed_full. */
const char *row_kind_name(enum row_kind kind);

#endif
