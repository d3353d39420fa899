/*
 * shipper: a process of mxhold-sync's own that ships the journal and reports the queue's figures.
 *
 * It is apart because nothing of that may delay the feed or a heartbeat: it reads spool and state
 * from a disk that may be slow, counts millions of rows, and may be killed by a broken file. This
 * is the parent's side, served in its pump: it starts the process, hears each second how it is
 * getting on, and replaces it when it dies or falls silent. They talk over a socket of their own;
 * when the parent is gone, so is the process.
 */
#ifndef MXHOLD_SYNC_SHIPPER_H
#define MXHOLD_SYNC_SHIPPER_H

#include "sync/pump.h"

#include "core/conf.h"

#define SHIPPER_TEXT_SIZE 240

/* One message from the process: how it is. Times are seconds since the epoch, 0: never. */
struct shipper_status {
	bool looked;      /* into the spool: `behind` is known */
	uint64_t behind;  /* rows of the spool that the journal has not */
	uint64_t shipped; /* since the process was started */
	uint64_t refused; /* rows that the journal could not take */
	int64_t shipped_at;
	char journal_error[SHIPPER_TEXT_SIZE]; /* at present; "": none */
	char spool_error[SHIPPER_TEXT_SIZE];
	uint64_t domains; /* with something to report */
	int64_t told_at;
	char figures_error[SHIPPER_TEXT_SIZE];
};

struct shipper;

/* NULL: out of memory. */
struct shipper *shipper_new(void);
/* Ends the process too, without waiting for it. */
void shipper_free(struct shipper *shipper);
/* Works by `conf` from now on (kept by reference): a process that is there is replaced. */
void shipper_use(struct shipper *shipper, const struct conf *conf);
struct pump_task shipper_task(struct shipper *shipper);
/* What it said last; all 0 before. */
const struct shipper_status *shipper_status(const struct shipper *shipper);
/* It has been heard lately. */
bool shipper_is_alive(const struct shipper *shipper);
/* How often it had to be started again. */
unsigned shipper_restarts(const struct shipper *shipper);

#endif
