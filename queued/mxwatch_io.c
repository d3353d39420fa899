/*
 * mxwatch_io: see mxwatch_io.h. What comes in between two ticks (questions, readings) waits in
 * bounded lists, so that one transaction takes all of it.
 */
#include "queued/mxwatch_io.h"

#include "core/decide.h"
#include "core/fence.h"
#include "core/log.h"
#include "core/mx_fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ASKED_ROOM 1024 /* questions that wait for a tick */
#define READ_DEADLINE_MS 20000
#define PRIMARY "primary "
#define RECIPIENT "recipient "
#define DATAGRAMS 256 /* read at once */
#define DATAGRAM 4096 /* bytes; what is longer is cut */

struct asked {
	char row[DOMAIN_SIZE];
	bool demanded; /* by an operator */
};

struct reading { /* under way, or done and waiting for a tick */
	struct mxwatch_io *io;
	struct mx_gather *gather;   /* NULL: the DNS has said all, or free */
	struct sts_transfer *fetch; /* the policy is being fetched */
	struct mx_facts *facts;     /* what the DNS said, meanwhile */
	char row[DOMAIN_SIZE];      /* "": free */
	struct mxwatch_finding finding;
	char text[MX_TEXT_SIZE];
};

struct mxwatch_io {
	struct mxwatch_io_setup setup;
	struct mxwatch *watch;
	struct mx_fleet fleet;
	struct queued_time now;
	struct state_writer *state; /* of this tick */
	struct asked asked[ASKED_ROOM];
	size_t asked_count;
	struct reading readings[MXWATCH_READINGS];
};

/* --- the socket ------------------------------------------------------------------------------ */

int
mxwatch_ask_open(const char *socket_dir, gid_t group)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char path[sizeof(name.sun_path)];
	const int length = snprintf(path, sizeof(path), "%s/queue-ask", socket_dir);
	const int aside = snprintf(
	    name.sun_path, sizeof(name.sun_path), "%s/queue-ask.%ld", socket_dir, (long)getpid());

	if (length < 0 || aside < 0 || (size_t)aside >= sizeof(name.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	(void)unlink(name.sun_path);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0 &&
	    (group == (gid_t)-1 || lchown(name.sun_path, (uid_t)-1, group) == 0) &&
	    chmod(name.sun_path, 0660) == 0 && rename(name.sun_path, path) == 0)
		return fd;
	const int failed = errno;
	(void)unlink(name.sun_path);
	if (fd >= 0)
		close(fd);
	errno = failed;
	return -1;
}

bool
mxwatch_ask_mark(const char *socket_dir)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	const int length = snprintf(path, sizeof(path), "%s/queue-ask", socket_dir);

	if (length < 0 || (size_t)length >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	return utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
keep_question(struct mxwatch_io *io, const char *row, bool demanded)
{
	for (size_t i = 0; i < io->asked_count; i++)
		if (strcmp(io->asked[i].row, row) == 0) {
			io->asked[i].demanded = io->asked[i].demanded || demanded;
			return true;
		}
	if (io->asked_count == ASKED_ROOM)
		return false;
	struct asked *asked = &io->asked[io->asked_count++];
	snprintf(asked->row, sizeof(asked->row), "%s", row);
	asked->demanded = demanded;
	return true;
}

/* What stands behind the word that the line begins with; NULL: another line. */
static const char *
behind(const char *line, size_t length, const char *word)
{
	const size_t size = strlen(word);

	return length > size && memcmp(line, word, size) == 0 ? line + size : NULL;
}

/* "QUEUEID ADDRESS" */
static void
pass_recipient(struct mxwatch_io *io, const char *text, size_t length)
{
	char queue_id[JOURNAL_ID_SIZE];
	const char *blank = memchr(text, ' ', length);
	const size_t size = blank != NULL ? (size_t)(blank - text) : 0;

	if (size == 0 || size >= sizeof(queue_id) || size + 1 >= length)
		return;
	memcpy(queue_id, text, size);
	queue_id[size] = '\0';
	io->setup.recipient_told(io->setup.context, queue_id, blank + 1, length - size - 1);
}

static void
keep_line(struct mxwatch_io *io, const char *line, size_t length)
{
	const char *primary = behind(line, length, PRIMARY);
	const char *recipient = behind(line, length, RECIPIENT);
	char row[DOMAIN_SIZE];

	if (recipient != NULL)
		pass_recipient(io, recipient, length - (size_t)(recipient - line));
	else if (primary == NULL && domain_normalise(line, length, row))
		(void)keep_question(io, row, false);
	else if (primary != NULL &&
		 domain_normalise(primary, length - (size_t)(primary - line), row))
		io->setup.primary_asked(io->setup.context, row);
}

/* One name a line; whatever else is said or asked begins with a word. */
static void
keep_lines(struct mxwatch_io *io, const char *text, size_t length)
{
	while (length > 0) {
		const char *end = memchr(text, '\n', length);
		const size_t line = end != NULL ? (size_t)(end - text) : length;
		const size_t used = end != NULL ? line + 1 : line;

		keep_line(io, text, line);
		text += used;
		length -= used;
	}
}

void
mxwatch_io_asked(struct mxwatch_io *io)
{
	char text[DATAGRAM];

	for (unsigned i = 0; i < DATAGRAMS; i++) {
		const ssize_t length = recv(io->setup.ask_fd, text, sizeof(text), MSG_DONTWAIT);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return;
		keep_lines(io, text, (size_t)length);
	}
}

/* --- rows --------------------------------------------------------------------------------------
 */

/* Does rule 8 hold for it? What other rules refuse before, or mx_check leaves out, is not read. */
static bool
is_watched(
    struct mxwatch_io *io, const struct domain_record *record, struct customer_record *customer)
{
	return record->retired_at == 0 && !record->suspended &&
	       snapshot_customer(io->setup.snapshot, record->customer, customer) == SNAPSHOT_OK &&
	       customer->retired_at == 0 && !customer->suspended &&
	       decide_region_permitted(record, customer, io->setup.conf->relay.region) &&
	       decide_limits(record, customer).mx_check != MX_CHECK_OFF;
}

bool
mxwatch_io_demand(struct mxwatch_io *io, const char *domain)
{
	char name[DOMAIN_SIZE];
	struct domain_record record;
	struct customer_record customer;
	const char *row = NULL;

	return domain_normalise(domain, strlen(domain), name) &&
	       io->setup.need_snapshot(io->setup.context) &&
	       io->setup.need_state(io->setup.context) != NULL &&
	       snapshot_domain_for(io->setup.snapshot, name, &record, &row) == SNAPSHOT_OK &&
	       is_watched(io, &record, &customer) && keep_question(io, row, true);
}

struct visit {
	struct mxwatch_io *io;
	bool (*visit)(const char *row, void *context);
	void *context;
};

static bool
visit_domain(const char *name, const struct domain_record *record, void *context)
{
	const struct visit *visit = context;
	struct customer_record customer;

	return !is_watched(visit->io, record, &customer) || visit->visit(name, visit->context);
}

static bool
port_rows(void *context, const char *after, size_t most,
    bool (*visit)(const char *row, void *visit_context), void *visit_context, bool *end)
{
	struct mxwatch_io *io = context;
	struct visit about = {.io = io, .visit = visit, .context = visit_context};

	return snapshot_domains_after(io->setup.snapshot, after, most, visit_domain, &about, end) ==
	       SNAPSHOT_OK;
}

static bool
port_wanted(void *context, const char *row)
{
	struct mxwatch_io *io = context;
	struct domain_record record;
	struct customer_record customer;

	return snapshot_domain(io->setup.snapshot, row, &record) == SNAPSHOT_OK &&
	       is_watched(io, &record, &customer);
}

static uint64_t
port_serial(void *context)
{
	const struct mxwatch_io *io = context;

	/* A state that was made anew knows no fact: that is as if all rows had changed. */
	return snapshot_meta(io->setup.snapshot)->serial + (state_writer_renewed(io->state) << 48);
}

/* --- the state -----------------------------------------------------------------------------------
 */

static struct mxwatch_fact
port_known(void *context, const char *row)
{
	struct mxwatch_io *io = context;
	struct state_domain record;

	if (state_write_get(io->state, row, &record) != STATE_OK)
		return (struct mxwatch_fact){.mx = MX_STATE_UNKNOWN};
	return (struct mxwatch_fact){.mx = record.mx, .at = record.mx_at};
}

static void
port_put(void *context, const char *row, struct mxwatch_fact fact)
{
	struct mxwatch_io *io = context;
	struct state_domain record;

	if (state_write_get(io->state, row, &record) != STATE_OK)
		memset(&record, 0, sizeof(record));
	if (record.mx != fact.mx)
		log_event(LOG_NOTICE, "mx-fact", kv("domain", row),
		    kv("relay", fact.mx == MX_STATE_NAMED ? "named" : "not-named"));
	record.mx = fact.mx;
	record.mx_at = fact.at;
	if (state_write_put(io->state, row, &record) != STATE_OK)
		log_event(LOG_ERR, "state-failed", kv("what", "mx fact"), kv("domain", row));
}

static void
port_wrong(void *context, const char *row, const char *text)
{
	struct mxwatch_io *io = context;
	const struct alert alert = {.kind = ALERT_MX, .domain = row, .text = text};

	io->setup.raise(io->setup.context, &alert);
}

static void
port_right(void *context, const char *row)
{
	struct mxwatch_io *io = context;

	io->setup.end(io->setup.context, ALERT_MX, row);
}

/* What cannot be told now is kept. */
static bool
keeps_alert(const char *row, void *context)
{
	struct mxwatch_io *io = context;
	struct domain_record record;
	struct customer_record customer;
	const enum snapshot_result result = snapshot_domain(io->setup.snapshot, row, &record);

	if (result != SNAPSHOT_OK)
		return result != SNAPSHOT_NOT_FOUND;
	return is_watched(io, &record, &customer);
}

static void
port_sweep(void *context)
{
	struct mxwatch_io *io = context;

	io->setup.sweep(io->setup.context, ALERT_MX, keeps_alert, io);
}

static bool
port_silent(void *context, const char *row)
{
	struct mxwatch_io *io = context;

	return io->setup.silent(io->setup.context, row);
}

/* --- readings
 * ------------------------------------------------------------------------------------- */

/* What the snapshot adds to what the DNS said. False: it cannot be told now. */
static bool
judge_with_row(
    struct mxwatch_io *io, const char *row, struct mx_facts *facts, struct mx_verdict *out)
{
	const struct conf *conf = io->setup.conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};
	const struct fleet *fleet = snapshot_fleet(io->setup.snapshot);
	struct domain_record record;
	struct customer_record customer;

	if (fleet == NULL || snapshot_domain(io->setup.snapshot, row, &record) != SNAPSHOT_OK ||
	    !is_watched(io, &record, &customer) ||
	    !mx_fleet_load(&io->fleet, io->setup.snapshot, conf->relay.name))
		return false;
	mx_fleet_permit(&io->fleet, &record, &customer);
	mx_fleet_fence(facts, fleet, &allow);
	facts->relays = io->fleet.relays;
	facts->relay_count = io->fleet.count;
	facts->own = conf->relay.public_addresses;
	facts->own_count = conf->relay.public_address_count;
	facts->next_hops = record.next_hops;
	mx_judge(facts, out);
	return true;
}

/* A policy that cannot be read keeps nobody from judging what the DNS says. */
static bool
is_judged(const struct mx_verdict *verdict)
{
	if (verdict->outcome != MX_OUTCOME_CANNOT_TELL)
		return true;
	for (size_t i = 0; i < verdict->finding_count; i++)
		if (verdict->findings[i].severity == MX_CANNOT_TELL &&
		    verdict->findings[i].issue != MX_ISSUE_STS_DNS)
			return false;
	return true;
}

/* The first error; warnings and what could not be told are no alert. */
static void
take_verdict(struct reading *reading, const struct mx_verdict *verdict)
{
	reading->finding.state = verdict->state;
	reading->finding.judged = is_judged(verdict);
	for (size_t i = 0; i < verdict->finding_count; i++)
		if (verdict->findings[i].severity == MX_ERROR) {
			reading->finding.wrong = true;
			snprintf(
			    reading->text, sizeof(reading->text), "%s", verdict->findings[i].text);
			return;
		}
}

static void
judge_reading(struct reading *reading, struct mx_facts *facts)
{
	static struct mx_verdict verdict;
	struct mxwatch_io *io = reading->io;

	reading->finding = (struct mxwatch_finding){.text = reading->text};
	if (io->setup.need_snapshot(io->setup.context) &&
	    judge_with_row(io, reading->row, facts, &verdict))
		take_verdict(reading, &verdict);
}

static void
on_fetched(
    enum mx_sts result, const struct mta_sts_policy *policy, const char *problem, void *context)
{
	struct reading *reading = context;
	struct mx_facts *facts = reading->facts;

	reading->fetch = NULL;
	reading->facts = NULL;
	facts->domain = reading->row;
	facts->sts = result;
	facts->policy = policy;
	facts->sts_problem = problem;
	judge_reading(reading, facts);
	free(facts);
}

/* False: it is not fetched now. */
static bool
fetch_policy(struct reading *reading, const struct mx_facts *facts)
{
	struct mxwatch_io *io = reading->io;
	struct ip addresses[MX_ADDRESSES_MOST];
	const struct conf *conf = io->setup.conf;
	const struct fence_networks allow = {conf->fence.allow, conf->fence.allow_count};
	const struct fleet *fleet =
	    io->setup.need_snapshot(io->setup.context) ? snapshot_fleet(io->setup.snapshot) : NULL;
	const size_t count =
	    fleet != NULL ? mx_fleet_reachable(&facts->sts_host, fleet, &allow, addresses) : 0;

	reading->facts = malloc(sizeof(*facts));
	if (reading->facts == NULL)
		return false;
	*reading->facts = *facts;
	reading->facts->problem = NULL;
	reading->fetch =
	    sts_fetch(io->setup.fetcher, reading->row, addresses, count, on_fetched, reading);
	if (reading->fetch != NULL)
		return true;
	free(reading->facts);
	reading->facts = NULL;
	return false;
}

static void
on_gathered(struct mx_facts *facts, void *context)
{
	struct reading *reading = context;

	reading->gather = NULL;
	if (facts->mx != RESOLVER_CANNOT_TELL && facts->sts == MX_STS_POLICY &&
	    fetch_policy(reading, facts))
		return;
	if (facts->sts == MX_STS_POLICY) {
		facts->sts = MX_STS_CANNOT_TELL;
		facts->sts_problem = "its web server could not be asked";
	}
	judge_reading(reading, facts);
}

static bool
port_read(void *context, const char *row, bool fresh)
{
	struct mxwatch_io *io = context;
	struct reading *reading = NULL;

	for (size_t i = 0; i < MXWATCH_READINGS && reading == NULL; i++)
		if (io->readings[i].row[0] == '\0')
			reading = &io->readings[i];
	if (reading == NULL)
		return false;
	reading->io = io;
	const struct mx_gather_question question = {.domain = row,
	    .fresh = fresh,
	    .sts = io->setup.fetcher != NULL,
	    .deadline_ms = io->now.ms + READ_DEADLINE_MS,
	    .done = on_gathered,
	    .context = reading};
	reading->gather = mx_gather_start(io->setup.resolver, &question);
	if (reading->gather == NULL)
		return false;
	snprintf(reading->row, sizeof(reading->row), "%s", row);
	return true;
}

/* --- life, and ticks
 * --------------------------------------------------------------------------------- */

struct mxwatch_io *
mxwatch_io_new(const struct mxwatch_io_setup *setup)
{
	struct mxwatch_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	const struct mxwatch_setup watch = {.interval = setup->conf->queue.mx_interval,
	    .ports = {.rows = port_rows,
		.wanted = port_wanted,
		.serial = port_serial,
		.known = port_known,
		.put = port_put,
		.read = port_read,
		.wrong = port_wrong,
		.right = port_right,
		.sweep = port_sweep,
		.silent = port_silent,
		.context = io}};
	io->setup = *setup;
	io->watch = mxwatch_new(&watch);
	if (io->watch != NULL)
		return io;
	free(io);
	return NULL;
}

void
mxwatch_io_free(struct mxwatch_io *io)
{
	if (io == NULL)
		return;
	for (size_t i = 0; i < MXWATCH_READINGS; i++) {
		mx_gather_cancel(io->readings[i].gather);
		sts_fetch_cancel(io->readings[i].fetch);
		free(io->readings[i].facts);
	}
	mx_fleet_free(&io->fleet);
	mxwatch_free(io->watch);
	free(io);
}

/* False: it is to wait. A row that is gone does not. */
static bool
take_question(struct mxwatch_io *io, const struct asked *asked)
{
	if (asked->demanded)
		return !port_wanted(io, asked->row) ||
		       mxwatch_demand(io->watch, asked->row, io->now);
	return mxwatch_asked(io->watch, asked->row, io->now);
}

static void
take_what_came(struct mxwatch_io *io)
{
	for (size_t i = 0; i < MXWATCH_READINGS; i++) {
		struct reading *reading = &io->readings[i];
		char row[DOMAIN_SIZE];

		if (reading->row[0] == '\0' || reading->gather != NULL || reading->fetch != NULL)
			continue;
		memcpy(row, reading->row, sizeof(row));
		reading->row[0] = '\0';
		mxwatch_read_done(io->watch, row, &reading->finding, io->now);
	}
}

/* What cannot be begun now stays. */
static void
take_questions(struct mxwatch_io *io)
{
	const size_t count = io->asked_count;

	io->asked_count = 0;
	for (size_t i = 0; i < count; i++)
		if (!take_question(io, &io->asked[i]))
			io->asked[io->asked_count++] = io->asked[i];
}

void
mxwatch_io_tick(struct mxwatch_io *io, struct queued_time now)
{
	io->now = now;
	if (!io->setup.need_snapshot(io->setup.context))
		return;
	io->state = io->setup.need_state(io->setup.context);
	if (io->state == NULL)
		return;
	take_what_came(io);
	take_questions(io);
	mxwatch_tick(io->watch, now);
	io->state = NULL;
}
