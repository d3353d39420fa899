/*
 * row: one line of the feed (COPY text format, PostgreSQL manual, section "COPY", "Text Format";
 * columns as docs/feed.md fixes them) into a record of the snapshot.
 *
 * Pure. In: the bytes of one line as they came. Out: a row, or a refusal that names the fault. It
 * never guesses: what it does not know entirely (a column too many, an unknown flag, a name that is
 * not in normal form) is refused, since a misread row would turn mail away.
 */
#ifndef MXHOLD_SYNC_ROW_H
#define MXHOLD_SYNC_ROW_H

#include "core/records.h"

#include <stddef.h>

#define ROW_LINE_MAX                                                                               \
	16384 /* bytes; the longest legal row is below 8 KiB, escapes may double it                \
	       */

enum row_kind { ROW_RELAY, ROW_CUSTOMER, ROW_DOMAIN };

struct row {
	enum row_kind kind;
	char key[DOMAIN_SIZE];
	bool present; /* false: gone; no record */
	union {
		struct relay_record relay;
		struct customer_record customer;
		struct domain_record domain;
	} record;
};

/*
 * Parses one line, its newline included, in place. On false, *error is a static text and
 * the line is no longer what it was.
 */
bool row_parse(char *line, size_t length, struct row *out, const char **error)
    __attribute__((warn_unused_result));

/* "relay", "customer", "domain": also the argument of mxhold.feed_full. */
const char *row_kind_name(enum row_kind kind);

#endif
