/*
 * collect: runs the collector alone, for tests/queued/collector.sh: all domains that end in
 * .example are ours, and what is to be taken out is taken out by postsuper at once.
 *
 *   collect CONFIG SECONDS  collects, printing events, until SIGTERM or for so long
 *                           (and its status: when it has changed, and at the end)
 *   collect CONFIG rows     prints the spool's rows: queue id, recipient, outcome, attempts, ...
 *   collect CONFIG ship     the same for those not yet shipped, which then are
 */
#include "core/log.h"
#include "queued/collector.h"
#include "queued/postfix.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct conf *conf;
static struct collector *collector;
static struct instances instances;

static enum rows_answer
row_of(void *context, const char *domain, struct row_facts *out)
{
	const char *dot = strrchr(domain, '.');

	(void)context;
	memset(out, 0, sizeof(*out));
	snprintf(out->owner, sizeof(out->owner), "%s", domain);
	out->retention = conf->relay.queue_lifetime;
	return dot != NULL && strcmp(dot, ".example") == 0 ? ROWS_OURS : ROWS_OTHER;
}

static void
on_held(void *context, const struct event_held *event)
{
	(void)context;
	printf("held %s %s\n", event->domain, event->queue_id);
}

static void
on_left(void *context, const struct event_left *event)
{
	(void)context;
	printf("left %s %s %s\n", event->domain, event->queue_id,
	    journal_outcome_name(event->outcome));
}

static bool
take_out(void *context, const struct collector_act *act)
{
	char command[512];

	(void)context;
	snprintf(command, sizeof(command), "postsuper -c %s -d %s 2>/dev/null",
	    conf->paths.postfix_config_dir, act->queue_id);
	const int status = system(command);
	printf("taken out %s %s %d\n", act->queue_id, journal_outcome_name(act->outcome), status);
	collector_taken_out(
	    collector, act->queue_id, status == 0 ? COLLECTOR_TAKEN_OUT : COLLECTOR_FAILED);
	return true;
}

static void
on_alert(void *context, const struct alert *alert, bool raised)
{
	(void)context;
	printf("alert %d %s %s\n", (int)alert->kind, raised ? "raised" : "ended", alert->text);
}

static void
on_signal(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(context);
}

static bool
print_row(const struct spool_entry *entry, void *context)
{
	struct journal_row row;

	*(uint64_t *)context = entry->seq;
	if (journal_row_parse(entry->text, entry->length, &row))
		printf(
		    "%s %s %s attempts=%u refusals=%u by=%s size=%llu sender=%s client=%s code=%s "
		    "primary=%s reply=%s\n",
		    row.queue_id, row.recipient, journal_outcome_name(row.outcome), row.attempts,
		    row.refusals, row.by, (unsigned long long)row.size, row.sender, row.client,
		    row.code, row.primary, row.reply);
	return true;
}

static int
print_rows(bool ship)
{
	struct spool_reader *reader = spool_reader_new(conf->paths.state_dir);
	char identity[40];
	uint64_t last = 0;

	if (reader == NULL || spool_identity(reader, identity) != SPOOL_OK)
		return 1;
	if (ship)
		last = spool_shipped(conf->paths.state_dir, identity);
	const enum spool_result result = spool_read(reader, last, print_row, &last);
	spool_reader_free(reader);
	if (result != SPOOL_OK)
		return 1;
	return !ship || spool_set_shipped(conf->paths.state_dir, identity, last) ? 0 : 1;
}

/* Text of one line. */
static void
status_text(char *out, size_t size)
{
	struct collector_status status;

	collector_status(collector, &status);
	snprintf(out, size,
	    "log=%s recipients=%llu messages=%llu unaccounted=%llu census=%d "
	    "problem=%s",
	    status.log, (unsigned long long)status.recipients, (unsigned long long)status.messages,
	    (unsigned long long)status.unaccounted, status.census_at != 0, status.problem);
}

static void
on_look(evutil_socket_t fd, short what, void *context)
{
	static char told[1024];
	char now[1024];

	(void)fd;
	(void)what;
	(void)context;
	status_text(now, sizeof(now));
	if (strcmp(now, told) == 0)
		return;
	strcpy(told, now);
	printf("status %s\n", now);
}

static int
collect(long seconds)
{
	const struct collector_ports ports = {.sink = {.held = on_held, .left = on_left},
	    .row = row_of,
	    .take_out = take_out,
	    .instances = &instances,
	    .alert = on_alert};
	const struct timeval end = {seconds, 0}, half = {0, 500000};
	const char *problem = "";
	char text[1024];
	struct event_base *base = event_base_new();
	struct spool_writer *spool = spool_writer_open(
	    conf->paths.state_dir, (gid_t)-1, (size_t)conf->queue.spool_size, &problem);

	postfix_instances(conf->paths.postfix_config_dir, &instances);
	if (base != NULL && spool != NULL)
		collector = collector_new(base, conf, spool, &ports, &problem);
	if (collector == NULL || !collector_start(collector)) {
		fprintf(stderr, "collect: %s\n", problem);
		return 1;
	}
	struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
	struct event *look = event_new(base, -1, EV_PERSIST, on_look, NULL);
	event_add(term, NULL);
	event_add(look, &half);
	event_base_loopexit(base, &end);
	event_base_dispatch(base);
	status_text(text, sizeof(text));
	printf("status %s\n", text);
	event_free(look);
	event_free(term);
	collector_free(collector);
	spool_writer_close(spool);
	event_base_free(base);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc != 3 ||
	    (atol(argv[2]) <= 0 && strcmp(argv[2], "rows") != 0 && strcmp(argv[2], "ship") != 0))
		return 64;
	setlinebuf(stdout);
	log_open("collect", true);
	conf = conf_load(argv[1], stderr);
	if (conf == NULL)
		return 78;
	const bool rows = strcmp(argv[2], "rows") == 0, ship = strcmp(argv[2], "ship") == 0;
	const int status = rows || ship ? print_rows(ship) : collect(atol(argv[2]));
	conf_free(conf);
	return status;
}
