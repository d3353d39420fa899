/*
 * ship_journal: see ship_journal.h.
 */
#include "sync/ship_journal.h"

#include "sync/ship_batch.h"
#include "sync/ship_link.h"

#include "core/log.h"
#include "core/spool.h"
#include "core/trap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 1000        /* into the spool, when there was nothing */
#define TAKE_MS 60000       /* for the answer to a batch */
#define ASK_MS 10000        /* ... to a question */
#define COUNT_LEAST_MS 5000 /* between two counts of what is left */
#define COUNT_SHARE 50      /* of the time it took */
#define FAULT_MS 10000      /* after a fault in the spool */
#define FAULTS_MOST 20
#define DAILY_MS 86400000   /* upkeep */
#define LEFT_OVER_MS 600000 /* ... when something was left */
#define DAY_SECONDS 86400

enum phase { PHASE_NONE, PHASE_ASK, PHASE_TAKE, PHASE_MAINTAIN };

struct ship_journal {
	const struct conf *conf;
	struct shipper_status *status;
	struct ship_link *link;
	struct spool_reader *reader;
	struct ship_batch batch;
	bool ready; /* `batch` is to be sent */
	unsigned limit;
	char identity[40]; /* of the spool; "": none yet */
	uint64_t shipped;
	bool asked; /* the journal has said what it has of this spool, on this connection */
	enum phase phase;
	int64_t look_at, count_at, maintain_at;
	int64_t trust_at; /* the spool is not read before: it faulted */
	unsigned faults;
};

int64_t
ship_journal_days(const struct conf *conf)
{
	int64_t held = conf->relay.queue_lifetime / DAY_SECONDS + 2;

	return conf->journal.retention_days > held ? conf->journal.retention_days : held;
}

/* --- the spool ------------------------------------------------------------------------------ */

static void
set_spool_problem(struct ship_journal *journal, const char *why)
{
	if (strcmp(journal->status->spool_error, why) != 0 && why[0] != '\0')
		log_event(LOG_ERR, "spool-not-readable", kv("error", why));
	snprintf(journal->status->spool_error, sizeof journal->status->spool_error, "%s", why);
}

/*
 * All reading of the spool. A file that is broken, or cut off while it is mapped, faults: that ends
 * the reading, not the process, which has figures to report too. What was open then stays so until
 * the process ends, which is why it ends after a while.
 */
static bool
guarded(struct ship_journal *journal, void (*work)(void *context))
{
	if (pump_now() < journal->trust_at)
		return false;
	if (trap_run(work, journal))
		return true;
	set_spool_problem(journal, "reading the spool faults: its file is broken");
	journal->trust_at = pump_now() + FAULT_MS;
	journal->ready = false;
	if (++journal->faults == FAULTS_MOST)
		_exit(EX_SOFTWARE);
	return false;
}

/* False: there is none that can be read. */
static bool
know_spool(struct ship_journal *journal)
{
	char identity[40];

	switch (spool_identity(journal->reader, identity)) {
	case SPOOL_OK: break;
	case SPOOL_NOT_FOUND: set_spool_problem(journal, ""); return false;
	default: set_spool_problem(journal, "the spool cannot be opened"); return false;
	}
	if (strcmp(identity, journal->identity) == 0)
		return true;
	if (journal->identity[0] != '\0')
		log_event(LOG_NOTICE, "spool-changed", kv("identity", identity));
	memcpy(journal->identity, identity, sizeof journal->identity);
	journal->shipped = spool_shipped(journal->conf->paths.state_dir, identity);
	journal->asked = false;
	return true;
}

/* Numbers mean something within one spool only: was it replaced while it was read? */
static bool
is_same_spool(struct ship_journal *journal)
{
	char identity[40];

	return spool_identity(journal->reader, identity) == SPOOL_OK &&
	       strcmp(identity, journal->identity) == 0;
}

static void
fill_batch(void *context)
{
	struct ship_journal *journal = context;
	enum spool_result result;

	if (!know_spool(journal))
		return;
	ship_batch_begin(&journal->batch, journal->limit, journal->shipped);
	result = spool_read(journal->reader, journal->shipped, ship_batch_add, &journal->batch);
	set_spool_problem(journal, result == SPOOL_UNUSABLE ? "rows of the spool are damaged" : "");
	if (!ship_batch_end(&journal->batch) || !is_same_spool(journal))
		return;
	/* What is in front of a bad row goes. */
	journal->ready = journal->batch.up_to > journal->shipped;
	if (!journal->ready && result == SPOOL_OK)
		journal->status->behind = 0;
}

static bool
count_row(const struct spool_entry *entry, void *context)
{
	(void)entry;
	++*(uint64_t *)context;
	return true;
}

static void
count_rows(void *context)
{
	struct ship_journal *journal = context;
	uint64_t count = 0;
	const enum spool_result result =
	    spool_read(journal->reader, journal->shipped, count_row, &count);

	/* What is behind a bad row is not seen, but not shipped either. */
	if (result != SPOOL_UNUSABLE || count > journal->status->behind)
		journal->status->behind = count;
}

static void
look(struct ship_journal *journal)
{
	journal->ready = false;
	if (!guarded(journal, fill_batch))
		return;
	if (journal->ready && !journal->status->looked)
		(void)guarded(journal, count_rows);
	journal->status->looked = true;
}

/* To know costs a look at all of it: a small part of the time goes into that. */
void
ship_journal_count(struct ship_journal *journal, int64_t now)
{
	int64_t took;

	if (now < journal->count_at || journal->identity[0] == '\0')
		return;
	(void)guarded(journal, count_rows);
	took = pump_now() - now;
	journal->count_at =
	    now + (took * COUNT_SHARE > COUNT_LEAST_MS ? took * COUNT_SHARE : COUNT_LEAST_MS);
}

static bool
wants(void *context, int64_t now, int64_t *when)
{
	struct ship_journal *journal = context;

	if (!journal->ready && now >= journal->look_at) {
		journal->look_at = now + LOOK_MS;
		look(journal);
	}
	*when = journal->look_at < journal->maintain_at ? journal->look_at : journal->maintain_at;
	return journal->ready || now >= journal->maintain_at;
}

/* --- the journal ---------------------------------------------------------------------------- */

static void
send_phase(struct ship_journal *journal, enum phase phase, int64_t now)
{
	char number[24], days[24];
	const char *const asks[] = {journal->identity};
	const char *const takes[] = {journal->batch.text, journal->identity, number};
	const char *const maintains[] = {days};

	snprintf(number, sizeof number, "%" PRIu64, journal->batch.up_to);
	snprintf(days, sizeof days, "%" PRId64, ship_journal_days(journal->conf));
	journal->phase = phase;
	switch (phase) {
	case PHASE_ASK:
		ship_link_send(
		    journal->link, "select mxhold_journal.taken($1::text)", 1, asks, ASK_MS, now);
		break;
	case PHASE_TAKE:
		ship_link_send(journal->link,
		    "select mxhold_journal.take($1::jsonb, $2::text, $3::bigint)", 3, takes,
		    TAKE_MS, now);
		break;
	case PHASE_MAINTAIN:
		ship_link_send(journal->link, "select mxhold_journal.maintain($1::integer)", 1,
		    maintains, TAKE_MS, now);
		break;
	default: break;
	}
}

static void
say_next(struct ship_journal *journal, int64_t now)
{
	if (journal->ready)
		send_phase(journal, journal->asked ? PHASE_TAKE : PHASE_ASK, now);
	else if (now >= journal->maintain_at)
		send_phase(journal, PHASE_MAINTAIN, now);
}

/* An older copy of the journal knows less than we have shipped: it gets that again. */
static void
take_answer(struct ship_journal *journal, const PGresult *result)
{
	uint64_t known = strtoull(PQgetvalue(result, 0, 0), NULL, 10);

	journal->asked = true;
	if (known >= journal->shipped)
		return;
	log_event(LOG_WARNING, "journal-behind", kv_number("shipped", (long long)journal->shipped),
	    kv_number("known", (long long)known), kv("effect", "rows are shipped again"));
	journal->shipped = known;
	journal->limit = SHIP_BATCH_ROWS;
	look(journal);
}

static void
batch_taken(struct ship_journal *journal, int64_t now)
{
	struct shipper_status *status = journal->status;
	unsigned rows = journal->batch.rows;

	journal->shipped = journal->batch.up_to;
	if (!spool_set_shipped(journal->conf->paths.state_dir, journal->identity, journal->shipped))
		log_event(LOG_ERR, "shipped-not-written", kv("file", "shipped"));
	status->shipped += rows;
	status->shipped_at = (int64_t)time(NULL);
	status->behind -= rows < status->behind ? rows : status->behind;
	journal->batch.skip = 0;
	journal->limit = ship_batch_next_limit(journal->limit, false);
	journal->look_at = now;
}

/* A value that PostgreSQL cannot take, and not a failure of it? */
static bool
is_fault_of_rows(const PGresult *result)
{
	static const char *const classes[] = {"21", "22", "23", "54"};
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	size_t i;

	for (i = 0; state != NULL && i < sizeof classes / sizeof classes[0]; i++)
		if (strncmp(state, classes[i], 2) == 0)
			return true;
	return false;
}

static void
batch_refused(struct ship_journal *journal, const PGresult *result)
{
	if (journal->batch.rows == 1) {
		journal->status->refused++;
		journal->batch.skip = journal->batch.up_to;
		log_event(LOG_ERR, "journal-row-refused",
		    kv("error", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)),
		    kv_bytes("row", journal->batch.text, journal->batch.length));
	}
	journal->limit = ship_batch_next_limit(journal->batch.rows, true);
	look(journal);
}

static void
maintained(struct ship_journal *journal, const PGresult *result, int64_t now)
{
	bool all = strcmp(PQgetvalue(result, 0, 0), "0") == 0;

	journal->maintain_at = now + (all ? DAILY_MS : LEFT_OVER_MS);
}

static void
turn(void *context, const PGresult *result, int64_t now)
{
	struct ship_journal *journal = context;
	enum phase phase = journal->phase;
	bool good = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK &&
		    PQntuples(result) == 1 && PQnfields(result) == 1;

	journal->phase = PHASE_NONE;
	if (good) {
		ship_link_good(journal->link);
		if (phase == PHASE_ASK)
			take_answer(journal, result);
		else if (phase == PHASE_TAKE)
			batch_taken(journal, now);
		else
			maintained(journal, result, now);
		if (phase == PHASE_TAKE)
			look(journal);
	} else if (result != NULL && phase == PHASE_TAKE && journal->batch.rows > 0 &&
		   is_fault_of_rows(result)) {
		batch_refused(journal, result);
	} else if (result != NULL) {
		ship_link_fail(journal->link, NULL, now);
		return;
	}
	say_next(journal, now);
}

static void
lost(void *context)
{
	struct ship_journal *journal = context;

	journal->asked = false;
	journal->phase = PHASE_NONE;
}

/* --- as a whole ----------------------------------------------------------------------------- */

struct ship_journal *
ship_journal_new(const struct conf *conf, struct shipper_status *status)
{
	struct ship_journal *journal = calloc(1, sizeof *journal);
	struct ship_user user = {
	    .name = "journal", .wants = wants, .turn = turn, .lost = lost, .context = journal};

	if (journal == NULL)
		return NULL;
	journal->conf = conf;
	journal->status = status;
	journal->limit = SHIP_BATCH_ROWS;
	journal->reader = spool_reader_new(conf->paths.state_dir);
	journal->link = ship_link_new(&user, conf->journal.conninfo);
	if (journal->reader != NULL && journal->link != NULL)
		return journal;
	ship_journal_free(journal);
	return NULL;
}

void
ship_journal_free(struct ship_journal *journal)
{
	if (journal == NULL)
		return;
	ship_link_free(journal->link);
	spool_reader_free(journal->reader);
	ship_batch_free(&journal->batch);
	free(journal);
}

struct pump_task
ship_journal_task(struct ship_journal *journal)
{
	return ship_link_task(journal->link);
}

const char *
ship_journal_problem(const struct ship_journal *journal)
{
	return ship_link_problem(journal->link);
}
