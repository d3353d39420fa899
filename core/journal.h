/*
 * journal: a row of the regional journal (one recipient of one message, or one event), as plain
 * data and as JSON text; the spool keeps the text, the shipper hands it to PostgreSQL as it is.
 * Pure, on jansson. Text that is not UTF-8 is written with each wrong byte as U+FFFD.
 */
#ifndef MXHOLD_CORE_JOURNAL_H
#define MXHOLD_CORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum journal_outcome { /* 0: still held */
	OUTCOME_HELD,
	OUTCOME_DELIVERED,
	OUTCOME_REFUSED,
	OUTCOME_EXPIRED,
	OUTCOME_REMOVED,
	OUTCOME_UNACCOUNTED,
};
const char *journal_outcome_name(enum journal_outcome outcome); /* "held", "delivered", ... */

#define JOURNAL_ID_SIZE 32
#define JOURNAL_ADDRESS_SIZE 440 /* sender and recipient; longer ones are cut with a hash */
#define JOURNAL_TEXT_SIZE 512

/* Times are microseconds since the epoch, 0: not known. */
struct journal_row {
	char queue_id[JOURNAL_ID_SIZE];
	char recipient[JOURNAL_ADDRESS_SIZE];
	char domain[256]; /* of the recipient, normal form */
	char sender[JOURNAL_ADDRESS_SIZE];
	char client[64]; /* address of the client */
	uint64_t size;
	int64_t accepted_at; /* from the long queue id, where it is one */
	int64_t first_attempt, last_attempt;
	uint32_t attempts;
	enum journal_outcome outcome;
	int64_t outcome_at;
	char by[64];                   /* removed: who; refused, expired: "" */
	char primary[256];             /* host[address]:port of the last attempt */
	char reply[JOURNAL_TEXT_SIZE]; /* its last words */
	char code[16]; /* its last enhanced code, or its reply code: "5.1.1", "421" */
	/* how refused so far: what mxhold-queued needs after a restart; not shipped */
	uint32_t refusals;
	int64_t first_refusal, last_refusal;
	uint32_t unknown_user; /* 1: they said that there is no such user */
};

/*
 * JSON of one row: {"kind":"message","queue_id":...}; NULL: out of memory. The caller frees.
 * `all`: with what is not shipped.
 */
char *journal_row_print(const struct journal_row *row, bool all)
    __attribute__((warn_unused_result));
/* False: it is none, or a field is missing, of another type or out of its bounds. */
bool journal_row_parse(const char *text, size_t length, struct journal_row *out)
    __attribute__((warn_unused_result));

/*
 * Copies `length` bytes as text: a NUL byte becomes '?'; what does not fit is cut between two UTF-8
 * characters. Always NUL-terminated. False: it was cut.
 */
bool journal_text(char *out, size_t size, const char *bytes, size_t length);
/* The same for an address: a longer one ends in `~` and 16 hexadecimal digits of its hash. */
void journal_address(char out[JOURNAL_ADDRESS_SIZE], const char *bytes, size_t length);

/*
 * The key of a row in the spool: queue id, NUL, recipient. In it each byte outside printable ASCII
 * is a '?', because the log and the queue's listing do not spell such recipients alike. Returns
 * its length.
 */
#define JOURNAL_KEY_SIZE (JOURNAL_ID_SIZE + JOURNAL_ADDRESS_SIZE)
size_t journal_key(char out[JOURNAL_KEY_SIZE], const char *queue_id, const char *recipient);

/* Arrival time of a long queue id (Postfix: enable_long_queue_ids), microseconds; 0: not one. */
int64_t journal_queue_id_time(const char *queue_id);

#endif
