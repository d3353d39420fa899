/*
 * mkqueue: writes spool and state as mxhold-queued would, for tests of who reads them.
 *
 * usage: mkqueue STATE_DIR GROUP COMMAND...
 *
 *   rows COUNT FIRST AGE                    messages idFIRST..., delivered, accepted AGE seconds
 * ago row ID RECIPIENT OUTCOME ATTEMPTS AT    one image of a row; AT: accepted, seconds since 1970
 *   raw KEY TEXT                            any text
 *   state DOMAIN MESSAGES PRIMARY CODE HOLD one record; PRIMARY and HOLD as numbers of core/state.h
 *   states COUNT MESSAGES                   records d0.example ...
 *   shipped                                 prints what STATE_DIR/shipped says of this spool
 */
#include "core/spool.h"
#include "core/state.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPOOL_BYTES ((size_t)4 << 30)
#define COMMIT_ROWS 20000
#define MICRO 1000000

static struct spool_writer *
open_spool(const char *state_dir, gid_t group)
{
	const char *problem;
	struct spool_writer *writer = spool_writer_open(state_dir, group, SPOOL_BYTES, &problem);

	if (writer == NULL || spool_begin(writer) != SPOOL_OK)
		errx(1, "spool: %s", writer == NULL ? problem : spool_writer_problem(writer));
	return writer;
}

static void
close_spool(struct spool_writer *writer)
{
	if (spool_commit(writer) != SPOOL_OK)
		errx(1, "spool: %s", spool_writer_problem(writer));
	spool_writer_close(writer);
}

static void
put(struct spool_writer *writer, const char *key, size_t length, const char *text, bool final)
{
	const struct spool_entry entry = {
	    .key = key,
	    .key_length = length,
	    .text = text,
	    .length = strlen(text),
	    .final = final,
	};

	if (spool_put(writer, &entry, (int64_t)time(NULL) * MICRO) != SPOOL_OK)
		errx(1, "spool: %s", spool_writer_problem(writer));
}

static void
put_message(struct spool_writer *writer, const char *id, const char *recipient, const char *outcome,
    unsigned attempts, int64_t accepted_at)
{
	char key[SPOOL_KEY_MAX], text[2048];
	const bool final = strcmp(outcome, "held") != 0;
	const int64_t last = attempts > 0 ? accepted_at + attempts * INT64_C(60) * MICRO : 0;
	const int length = snprintf(key, sizeof(key), "%s%c%s", id, '\0', recipient);
	const char *domain = strchr(recipient, '@');

	snprintf(text, sizeof(text),
	    "{\"kind\":\"message\",\"queue_id\":\"%s\",\"recipient\":\"%s\",\"domain\":\"%s\","
	    "\"sender\":\"Sender@out.example\",\"client\":\"192.0.2.7\",\"size\":2000,"
	    "\"accepted_at\":%" PRId64 ",\"first_attempt\":%" PRId64 ",\"last_attempt\":%" PRId64
	    ",\"attempts\":%u,\"outcome\":\"%s\",\"outcome_at\":%" PRId64 ",\"by\":\"\","
	    "\"primary\":\"mx.example[203.0.113.5]:25\",\"reply\":\"250 2.0.0 Ok\","
	    "\"code\":\"2.0.0\",\"refusals\":0}",
	    id, recipient, domain != NULL ? domain + 1 : "", accepted_at, last, last, attempts,
	    outcome, final ? last : 0);
	put(writer, key, (size_t)length, text, final);
}

static void
put_rows(struct spool_writer *writer, unsigned count, unsigned first, int64_t age)
{
	const int64_t at = ((int64_t)time(NULL) - age) * MICRO;
	char id[32], recipient[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "id%09u", first + i);
		snprintf(recipient, sizeof(recipient), "user%u@d%u.example", i, i % 100);
		put_message(writer, id, recipient, "delivered", 1, at);
		if (i % COMMIT_ROWS == COMMIT_ROWS - 1 &&
		    (spool_commit(writer) != SPOOL_OK || spool_begin(writer) != SPOOL_OK))
			errx(1, "spool: %s", spool_writer_problem(writer));
	}
}

static void
put_state(struct state_writer *writer, const char *name, char **values)
{
	const int64_t now = (int64_t)time(NULL);
	const struct state_domain record = {
	    .messages = strtoull(values[0], NULL, 10),
	    .bytes = 2000 * strtoull(values[0], NULL, 10),
	    .oldest = now - 3600,
	    .primary = (enum primary_state)atoi(values[1]),
	    .primary_since = now - 3600,
	    .primary_code = (unsigned)atoi(values[2]),
	    .primary_reason = "451 words of the primary",
	    .hold = (enum hold_kind)atoi(values[3]),
	    .hold_until = atoi(values[3]) != 0 ? HOLD_FOREVER : 0,
	    .counted_at = now,
	};

	if (state_write_put(writer, name, &record) != STATE_OK)
		errx(1, "state: cannot be written");
}

static void
write_states(const char *state_dir, gid_t group, int argc, char **argv)
{
	const char *problem;
	struct state_writer *writer = state_writer_open(state_dir, group, &problem);
	char name[32], none[] = "0", down[] = "2", code[] = "421";

	if (writer == NULL || state_write_begin(writer) != STATE_OK)
		errx(1, "state: %s", writer == NULL ? problem : "cannot be written");
	if (strcmp(argv[0], "state") == 0 && argc == 6)
		put_state(writer, argv[1], argv + 2);
	for (int i = 0; strcmp(argv[0], "states") == 0 && argc == 3 && i < atoi(argv[1]); i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		put_state(writer, name, (char *[]){argv[2], down, code, none});
	}
	if (state_write_commit(writer) != STATE_OK)
		errx(1, "state: cannot be written");
	state_writer_close(writer);
}

static void
print_shipped(const char *state_dir)
{
	struct spool_reader *reader = spool_reader_new(state_dir);
	char identity[40];

	if (reader == NULL || spool_identity(reader, identity) != SPOOL_OK)
		errx(1, "there is no spool");
	printf("%" PRIu64 "\n", spool_shipped(state_dir, identity));
	spool_reader_free(reader);
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		errx(64, "usage: mkqueue STATE_DIR GROUP COMMAND...");
	const gid_t group = (gid_t)strtoul(argv[2], NULL, 10);
	const char *command = argv[3];

	if (strncmp(command, "state", 5) == 0) {
		write_states(argv[1], group, argc - 3, argv + 3);
		return 0;
	}
	if (strcmp(command, "shipped") == 0) {
		print_shipped(argv[1]);
		return 0;
	}
	struct spool_writer *writer = open_spool(argv[1], group);
	if (strcmp(command, "rows") == 0 && argc == 7)
		put_rows(writer, (unsigned)strtoul(argv[4], NULL, 10),
		    (unsigned)strtoul(argv[5], NULL, 10), strtoll(argv[6], NULL, 10));
	else if (strcmp(command, "row") == 0 && argc == 9)
		put_message(writer, argv[4], argv[5], argv[6], (unsigned)atoi(argv[7]),
		    strtoll(argv[8], NULL, 10) * MICRO);
	else if (strcmp(command, "raw") == 0 && argc == 6)
		put(writer, argv[4], strlen(argv[4]), argv[5], true);
	else
		errx(64, "%s: no such command", command);
	close_spool(writer);
	return 0;
}
