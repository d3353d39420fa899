/*
 * mksnapshot: builds a snapshot without a database, for tests and benchmarks.
 *
 *   mksnapshot [-u] [-s] [-n COUNT] [-r RELAY] [-R REGION] [-g GID] STATE_DIR [FILE]
 *
 * It makes STATE_DIR/snapshot (STATE_DIR must be there) out of FILE ("-": standard input; without
 * FILE, out of nothing), as a full load, or with -u as a change of what is there. Lines of FILE:
 *
 *   relay    NAME REGION [names=A,B] [addresses=X,Y]
 *   customer NAME [regions=A,B] [LIMITS] [suspended] [retired=SECONDS_AGO]
 *   domain   NAME CUSTOMER [regions=A,B] [hops=A,B] [LIMITS] [suspended] [retired=SECONDS_AGO]
 *            [subdomains] [tls] [withheld] [hold=SECONDS_FROM_NOW|forever]
 *   delete   relay|customer|domain NAME                  (with -u)
 *
 * LIMITS: size=BYTES, oversize=reject|defer, messages=N, bytes=N, unchecked (mx_check off). '#'
 * begins a comment.
 *
 *   -n COUNT   also the domains d00000000.bench.example up to COUNT, of customer `bench`, which is
 *              permitted in REGION
 *   -r, -R     this relay, as the authority would name it (default relay1, eu)
 *   -s         the authority has not been heard (else: just now)
 *   -g GID     the group of the files
 */
#include "core/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 24
#define CHECKPOINT 200000

struct options {
	bool update;
	bool stale;
	uint64_t count;
	const char *relay;
	const char *region;
	gid_t group;
	const char *state_dir;
	const char *file;
};

struct words {
	char *word[WORDS_MAX];
	size_t count;
	size_t line;
};

static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "mksnapshot: %s: %s\n", what, detail);
	exit(EX_DATAERR);
}

static void
must(enum snapshot_result result, const char *what)
{
	if (result != SNAPSHOT_OK)
		die(what, "the snapshot refuses");
}

/* The value of `name=value` among the words from `from` on, or NULL. */
static char *
value_of(const struct words *words, const char *name)
{
	size_t length = strlen(name), i;

	for (i = 1; i < words->count; i++) {
		if (strncmp(words->word[i], name, length) == 0 && words->word[i][length] == '=')
			return words->word[i] + length + 1;
	}
	return NULL;
}

static bool
has(const struct words *words, const char *flag)
{
	size_t i;

	for (i = 1; i < words->count; i++) {
		if (strcmp(words->word[i], flag) == 0)
			return true;
	}
	return false;
}

static uint64_t
number_of(const struct words *words, const char *name)
{
	const char *value = value_of(words, name);

	return value == NULL ? 0 : strtoull(value, NULL, 10);
}

/* "A,B" of `name=A,B` with `separator` for the commas. */
static void
list_of(const struct words *words, const char *name, const char *separator, char *out, size_t size)
{
	char *value = value_of(words, name), *item, *rest = value;
	size_t used = 0;

	out[0] = '\0';
	if (value == NULL)
		return;
	while ((item = strsep(&rest, ",")) != NULL) {
		used += (size_t)snprintf(
		    out + used, size - used, "%s%s", used == 0 ? "" : separator, item);
		if (used >= size)
			die("too long", name);
	}
}

static int64_t
retired_of(const struct words *words)
{
	return value_of(words, "retired") == NULL
		   ? 0
		   : (int64_t)time(NULL) - (int64_t)number_of(words, "retired");
}

static int64_t
hold_of(const struct words *words)
{
	const char *value = value_of(words, "hold");

	if (value == NULL)
		return 0;
	return strcmp(value, "forever") == 0
		   ? INT64_MAX
		   : (int64_t)time(NULL) + (int64_t)number_of(words, "hold");
}

static struct limits
limits_of(const struct words *words)
{
	const char *oversize = value_of(words, "oversize");

	return (struct limits){
	    .size_limit = number_of(words, "size"),
	    .quota_messages = number_of(words, "messages"),
	    .quota_bytes = number_of(words, "bytes"),
	    .oversize = oversize == NULL                 ? OVERSIZE_INHERIT
			: strcmp(oversize, "defer") == 0 ? OVERSIZE_DEFER
							 : OVERSIZE_REJECT,
	    .mx_check = has(words, "unchecked") ? MX_CHECK_OFF : MX_CHECK_INHERIT,
	};
}

static void
put_relay(struct snapshot_writer *writer, const struct words *words)
{
	struct relay_record record = {.region = ""};

	(void)snprintf(record.region, sizeof(record.region), "%s", words->word[2]);
	list_of(words, "names", " ", record.names, sizeof(record.names));
	list_of(words, "addresses", " ", record.addresses, sizeof(record.addresses));
	must(snapshot_put_relay(writer, words->word[1], &record), words->word[1]);
}

static void
put_customer(struct snapshot_writer *writer, const struct words *words)
{
	struct customer_record record = {
	    .suspended = has(words, "suspended"),
	    .retired_at = retired_of(words),
	    .limits = limits_of(words),
	};

	list_of(words, "regions", " ", record.regions, sizeof(record.regions));
	must(snapshot_put_customer(writer, words->word[1], &record), words->word[1]);
}

static void
put_domain(struct snapshot_writer *writer, const struct words *words)
{
	struct domain_record record = {
	    .include_subdomains = has(words, "subdomains"),
	    .suspended = has(words, "suspended"),
	    .tls_required = has(words, "tls"),
	    .hops_withheld = has(words, "withheld"),
	    .retired_at = retired_of(words),
	    .hold_until = hold_of(words),
	    .limits = limits_of(words),
	};

	(void)snprintf(record.customer, sizeof(record.customer), "%s", words->word[2]);
	list_of(words, "regions", " ", record.regions, sizeof(record.regions));
	list_of(words, "hops", ", ", record.next_hops, sizeof(record.next_hops));
	must(snapshot_put_domain(writer, words->word[1], &record, (int64_t)time(NULL)),
	    words->word[1]);
}

static void
delete_row(struct snapshot_writer *writer, const struct words *words)
{
	const char *kind = words->word[1], *name = words->word[2];

	if (strcmp(kind, "domain") == 0)
		must(snapshot_delete_domain(writer, name), name);
	else if (strcmp(kind, "customer") == 0)
		must(snapshot_delete_customer(writer, name), name);
	else if (strcmp(kind, "relay") == 0)
		must(snapshot_delete_relay(writer, name), name);
	else
		die("no such kind of row", kind);
}

static const struct {
	const char *name;
	size_t words; /* at least */
	void (*put)(struct snapshot_writer *writer, const struct words *words);
} line_kinds[] = {
    {"relay", 3, put_relay},
    {"customer", 2, put_customer},
    {"domain", 3, put_domain},
    {"delete", 3, delete_row},
};

static void
put_line(struct snapshot_writer *writer, char *line)
{
	struct words words = {.count = 0};
	char *word, *rest = line;
	size_t i;

	line[strcspn(line, "#\n")] = '\0';
	while ((word = strsep(&rest, " \t")) != NULL) {
		if (*word != '\0' && words.count < WORDS_MAX)
			words.word[words.count++] = word;
	}
	if (words.count == 0)
		return;
	for (i = 0; i < sizeof(line_kinds) / sizeof(line_kinds[0]); i++) {
		if (strcmp(line_kinds[i].name, words.word[0]) != 0)
			continue;
		if (words.count < line_kinds[i].words)
			die("words are missing", words.word[0]);
		line_kinds[i].put(writer, &words);
		return;
	}
	die("no such line", words.word[0]);
}

static void
put_file(struct snapshot_writer *writer, const char *name)
{
	FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
	char *line = NULL;
	size_t size = 0;

	if (file == NULL)
		die(name, strerror(errno));
	while (getline(&line, &size, file) >= 0)
		put_line(writer, line);
	free(line);
	if (file != stdin)
		(void)fclose(file);
}

static void
put_synthetic(struct snapshot_writer *writer, const struct options *options)
{
	struct customer_record customer = {.suspended = false};
	struct domain_record domain = {.customer = "bench"};
	char name[64];
	uint64_t i;

	(void)snprintf(customer.regions, sizeof(customer.regions), "%s", options->region);
	must(snapshot_put_customer(writer, "bench", &customer), "bench");
	for (i = 0; i < options->count; i++) {
		(void)snprintf(name, sizeof(name), "d%08" PRIu64 ".bench.example", i);
		must(snapshot_put_domain(writer, name, &domain, (int64_t)time(NULL)), name);
		if (!options->update && i % CHECKPOINT == CHECKPOINT - 1)
			must(snapshot_load_checkpoint(writer), "checkpoint");
	}
}

static struct options
read_options(int argc, char **argv)
{
	struct options options = {.relay = "relay1", .region = "eu", .group = (gid_t)-1};
	int option;

	while ((option = getopt(argc, argv, "usn:r:R:g:")) != -1) {
		switch (option) {
		case 'u': options.update = true; break;
		case 's': options.stale = true; break;
		case 'n': options.count = strtoull(optarg, NULL, 10); break;
		case 'r': options.relay = optarg; break;
		case 'R': options.region = optarg; break;
		case 'g': options.group = (gid_t)strtoul(optarg, NULL, 10); break;
		default: exit(EX_USAGE);
		}
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: mksnapshot [options] STATE_DIR [FILE]\n");
		exit(EX_USAGE);
	}
	options.state_dir = argv[optind];
	options.file = optind + 1 < argc ? argv[optind + 1] : NULL;
	return options;
}

int
main(int argc, char **argv)
{
	struct options options = read_options(argc, argv);
	struct snapshot_meta meta = {.version = 0};
	struct snapshot_writer *writer;
	const char *problem = "";

	if (snapshot_writer_open(options.state_dir, options.group, 0, &writer, &problem) !=
	    SNAPSHOT_OK)
		die(options.state_dir, problem);
	if (snapshot_writer_meta(writer, &meta) != SNAPSHOT_OK)
		(void)snprintf(meta.epoch, sizeof(meta.epoch), "test");
	meta.version++;
	meta.loaded_at = (int64_t)time(NULL);
	(void)snprintf(meta.relay, sizeof(meta.relay), "%s", options.relay);
	(void)snprintf(meta.region, sizeof(meta.region), "%s", options.region);
	must(options.update ? snapshot_write_begin(writer) : snapshot_load_begin(writer), "begin");
	if (options.file != NULL)
		put_file(writer, options.file);
	if (options.count > 0)
		put_synthetic(writer, &options);
	must(snapshot_commit(writer, &meta), "commit");
	if (!options.stale)
		must(snapshot_put_contact(writer, snapshot_clock_boot_ms()), "contact");
	snapshot_writer_close(writer);
	return 0;
}
