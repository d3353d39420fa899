/*
 * ship_batch: rows of the spool on their way to the journal, as the one JSON array that
 * mxhold_journal.take gets.
 *
 * In: entries of the spool in the order of their numbers. Out: text within its bounds, and up to
 * which number it reaches. It never looks into a row: whether it can be used is PostgreSQL's
 * to say, and a row that cannot is found by halving the batch.
 */
#ifndef MXHOLD_SYNC_SHIP_BATCH_H
#define MXHOLD_SYNC_SHIP_BATCH_H

#include "core/spool.h"

#define SHIP_BATCH_ROWS 500
#define SHIP_BATCH_BYTES 262144 /* but always one row */

struct ship_batch {
	char *text; /* complete after ship_batch_end; owned */
	size_t length, room;
	unsigned rows;  /* in the text */
	unsigned limit; /* of them */
	uint64_t up_to; /* number of the last row that was seen */
	uint64_t skip;  /* a row that is left out; 0: none */
	bool failed;    /* out of memory */
};

/* Empties it; `after`: what it reaches to without a row. */
void ship_batch_begin(struct ship_batch *batch, unsigned limit, uint64_t after);
/* For spool_read; `context` is the batch. False: it is full, and has not taken the row. */
bool ship_batch_add(const struct spool_entry *entry, void *context);
/* Ends the text. False: out of memory. */
bool ship_batch_end(struct ship_batch *batch) __attribute__((warn_unused_result));
void ship_batch_free(struct ship_batch *batch);

/* How many rows the next batch may have after one of `rows`, which went well or was refused. */
unsigned ship_batch_next_limit(unsigned rows, bool refused);

#endif
