/*
 * ship_journal: rows of the spool to the journal of the region ([journal] conninfo).
 *
 * In: the spool, by its numbers. Out: calls of mxhold_journal.take, and STATE_DIR/shipped. What
 * counts as shipped is what both this file and the journal itself say: a journal that was restored
 * from an older copy gets again what the spool still has. A batch that is not answered is sent
 * again; taking rows twice changes nothing. A row that PostgreSQL cannot take is found by halving
 * the batch, written to the log in full, and passed over: it must not stop all others.
 */
#ifndef MXHOLD_SYNC_SHIP_JOURNAL_H
#define MXHOLD_SYNC_SHIP_JOURNAL_H

#include "sync/pump.h"
#include "sync/shipper.h"

#include "core/conf.h"

struct ship_journal;

/* `conf` (with a [journal] conninfo) and `status` are kept by reference. NULL: out of memory. */
struct ship_journal *ship_journal_new(const struct conf *conf, struct shipper_status *status);
void ship_journal_free(struct ship_journal *journal);
struct pump_task ship_journal_task(struct ship_journal *journal);
/* Why it fails at present; "" where it does not. */
const char *ship_journal_problem(const struct ship_journal *journal);
/* Counts what is left, where that is due, also while an answer is waited for: to be called now and
   then. */
void ship_journal_count(struct ship_journal *journal, int64_t now);
/* How many days the journal is asked to keep: not fewer than a message may be held. */
int64_t ship_journal_days(const struct conf *conf);

#endif
