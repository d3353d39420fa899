/*
 * conf: see conf.h. The file is read whole, handed line by line to inih, and each value goes by the
 * table `keys` into struct conf. To add a key: one line in the table, its member in conf.h, the
 * sample and mxhold.conf(5).
 *
 * What holds for the text, and where it differs from inih's defaults: a comment is a whole line
 * that begins with ';' or '#' (a ';' inside a value belongs to it: passwords); a value is never
 * continued on the next line; lines are never cut, longer ones are errors.
 */
#include "core/conf.h"

#include "core/conf_value.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)
#define LINE_MAX_BYTES 4096 /* of one line, without its end */
#define ERRORS_SHOWN 50

struct conf_key {
	const char *section;
	const char *name;
	enum conf_type type;
	bool required;
	size_t offset;       /* of its member in struct conf */
	size_t count_offset; /* lists: of the member that counts */
	const char *preset;  /* the default, as one would type it; NULL: none */
	int64_t min, max;    /* numbers and durations; paths: max is the longest */
};

#define AT(member) .offset = offsetof(struct conf, member)
#define COUNTED_BY(member) .count_offset = offsetof(struct conf, member)

/* A socket's path must fit sockaddr_un (108 bytes), with a name and a temporary suffix. */
#define SOCKET_DIR_MAX 80
#define PATH_LENGTH_MAX 1000
#define DAY INT64_C(86400)

static const struct conf_key keys[] = {
    {"relay", "name", CONF_NAME, AT(relay.name), .required = true},
    {"relay", "region", CONF_REGION, AT(relay.region), .required = true},
    {"relay", "public_addresses", CONF_ADDRESSES, AT(relay.public_addresses),
	COUNTED_BY(relay.public_address_count)},
    {"relay", "dedicated", CONF_BOOL, AT(relay.dedicated), .preset = "no"},
    {"relay", "postmaster", CONF_MAILBOX, AT(relay.postmaster)},
    {"relay", "queue_lifetime", CONF_DURATION, AT(relay.queue_lifetime), .preset = "5d", .min = 1,
	.max = 100 * DAY},

    {"authority", "conninfo", CONF_CONNINFO, AT(authority.conninfo)},
    {"authority", "poll_interval", CONF_SECONDS, AT(authority.poll_interval), .preset = "10s",
	.min = 1, .max = 3600},
    {"authority", "stale_after", CONF_SECONDS, AT(authority.stale_after), .preset = "60s", .min = 2,
	.max = 30 * DAY},

    {"report", "conninfo", CONF_CONNINFO, AT(report.conninfo)},

    {"journal", "conninfo", CONF_CONNINFO, AT(journal.conninfo)},
    {"journal", "retention_days", CONF_NUMBER, AT(journal.retention_days), .preset = "21", .min = 1,
	.max = 3650},

    {"paths", "state_dir", CONF_PATH, AT(paths.state_dir), .preset = "/var/lib/mxhold",
	.max = PATH_LENGTH_MAX},
    {"paths", "socket_dir", CONF_PATH, AT(paths.socket_dir), .preset = "/var/spool/postfix/mxhold",
	.max = SOCKET_DIR_MAX},
    {"paths", "postfix_config_dir", CONF_PATH, AT(paths.postfix_config_dir),
	.preset = "/etc/postfix", .max = PATH_LENGTH_MAX},
    {"paths", "maillog", CONF_LOG, AT(paths.maillog), .preset = "/var/log/mail.log",
	.max = PATH_LENGTH_MAX},

    {"fence", "allow", CONF_NETWORKS, AT(fence.allow), COUNTED_BY(fence.allow_count)},

    {"status", "listen", CONF_LISTEN, AT(status.listen)},

    {"queue", "probe_interval", CONF_SECONDS, AT(queue.probe_interval), .preset = "5s", .min = 1,
	.max = 3600},
    {"queue", "probe_interval_long", CONF_SECONDS, AT(queue.probe_interval_long), .preset = "10s",
	.min = 1, .max = 3600},
    {"queue", "confirmations", CONF_NUMBER, AT(queue.confirmations), .preset = "3", .min = 1,
	.max = 100},
    {"queue", "concurrency", CONF_NUMBER, AT(queue.concurrency), .preset = "2000", .min = 1,
	.max = 10000},
    {"queue", "retention", CONF_DURATION, AT(queue.retention), .min = 1, .max = 100 * DAY},
    {"queue", "quota_messages", CONF_NUMBER, AT(queue.quota_messages), .preset = "0",
	.max = INT64_MAX},
    {"queue", "quota_bytes", CONF_NUMBER, AT(queue.quota_bytes), .preset = "0", .max = INT64_MAX},
    {"queue", "keep_refused", CONF_BOOL, AT(queue.keep_refused), .preset = "no"},
    {"queue", "unknown_user_tries", CONF_NUMBER, AT(queue.unknown_user_tries), .preset = "2",
	.min = 1, .max = 1000},
    {"queue", "unknown_user_interval", CONF_DURATION, AT(queue.unknown_user_interval),
	.preset = "10m", .min = 1, .max = 100 * DAY},
    {"queue", "refused_tries", CONF_NUMBER, AT(queue.refused_tries), .preset = "3", .min = 1,
	.max = 1000},
    {"queue", "refused_after", CONF_DURATION, AT(queue.refused_after), .preset = "2h", .min = 1,
	.max = 100 * DAY},
    {"queue", "sender_retry", CONF_DURATION, AT(queue.sender_retry), .preset = "5m", .min = 1,
	.max = DAY},
    {"queue", "mx_interval", CONF_DURATION, AT(queue.mx_interval), .preset = "1d", .min = 1,
	.max = 30 * DAY},
    {"queue", "trust_anchor", CONF_ANCHOR, AT(queue.trust_anchor), .max = PATH_LENGTH_MAX},
    {"queue", "spool_size", CONF_NUMBER, AT(queue.spool_size), .preset = "4294967296",
	.min = 1 << 20, .max = INT64_C(1) << 44},

    {"alert", "command", CONF_PATH, AT(alert.command), .max = PATH_LENGTH_MAX},

    {"users", "group", CONF_ACCOUNT, AT(users.group), .preset = "mxhold"},
    {"users", "socket_group", CONF_ACCOUNT, AT(users.socket_group), .preset = "postfix"},
    {"users", "sync", CONF_ACCOUNT, AT(users.sync), .preset = "mxhold-sync"},
    {"users", "policyd", CONF_ACCOUNT, AT(users.policyd), .preset = "mxhold-policyd"},
    {"users", "milter", CONF_ACCOUNT, AT(users.milter), .preset = "mxhold-milter"},
    {"users", "queued", CONF_ACCOUNT, AT(users.queued), .preset = "mxhold-queued"},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* What is known while a file is read. */
struct load {
	struct conf *conf;
	const char *name; /* of the file */
	FILE *errors;
	unsigned error_count;

	const char *text;
	size_t length;
	size_t at;                /* next line's first byte */
	unsigned line;            /* number of the line at hand, from 1 */
	bool section_seen;        /* a line that begins with '[' */
	bool section_known;       /* else its keys are passed over: the section was the error */
	unsigned seen[KEY_COUNT]; /* line on which the key was set; 0: not set */
};

static void fault(struct load *load, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
fault(struct load *load, unsigned line, const char *format, ...)
{
	va_list arguments;

	if (++load->error_count > ERRORS_SHOWN)
		return;
	fprintf(load->errors, "%s:%u: ", load->name, line);
	va_start(arguments, format);
	vfprintf(load->errors, format, arguments);
	va_end(arguments);
	fputc('\n', load->errors);
}

/* A piece of the file as an error may show it: escaped, and not too much of it. */
struct shown {
	char text[100];
};

static struct shown
show(const char *bytes, size_t length)
{
	struct shown shown = {.text = ""};

	log_escape(shown.text, sizeof(shown.text), bytes, length);
	return shown;
}

/* --- one value --------------------------------------------------------------- */

static void *
member(struct conf *conf, size_t offset)
{
	return (char *)conf + offset;
}

static bool
is_whole(enum conf_type type)
{
	return type == CONF_DURATION || type == CONF_SECONDS || type == CONF_NUMBER;
}

static void
store(struct conf *conf, const struct conf_key *key, const struct conf_value *value)
{
	void *slot = member(conf, key->offset);

	if (is_whole(key->type)) {
		*(int64_t *)slot = value->number;
	} else if (key->type == CONF_BOOL) {
		*(bool *)slot = value->truth;
	} else if (key->type == CONF_ADDRESSES) {
		*(struct ip **)slot = value->addresses;
		*(size_t *)member(conf, key->count_offset) = value->count;
	} else if (key->type == CONF_NETWORKS) {
		*(struct ip_network **)slot = value->networks;
		*(size_t *)member(conf, key->count_offset) = value->count;
	} else {
		*(char **)slot = value->text;
	}
}

/* Is what was read within the key's bounds? If not, says so. */
static bool
within_bounds(
    struct load *load, unsigned line, const struct conf_key *key, const struct conf_value *value)
{
	const char *unit = key->type == CONF_NUMBER ? "" : " seconds";

	if (is_whole(key->type) && (value->number < key->min || value->number > key->max)) {
		fault(load, line, "[%s] %s is %lld%s; it must be from %lld to %lld", key->section,
		    key->name, (long long)value->number, unit, (long long)key->min,
		    (long long)key->max);
		return false;
	}
	if ((key->type == CONF_PATH || key->type == CONF_LOG || key->type == CONF_ANCHOR) &&
	    strlen(value->text) > (size_t)key->max) {
		fault(load, line, "[%s] %s has %zu bytes; it must be a path of at most %lld",
		    key->section, key->name, strlen(value->text), (long long)key->max);
		free(value->text);
		return false;
	}
	return true;
}

static void
set_key(struct load *load, unsigned line, const struct conf_key *key, const char *text)
{
	struct conf_value value;
	const char *wanted = conf_value_parse(key->type, text, &value);

	if (wanted == NULL) {
		if (within_bounds(load, line, key, &value))
			store(load->conf, key, &value);
	} else if (key->type == CONF_CONNINFO) {
		fault(load, line, "[%s] %s must be %s", key->section, key->name, wanted);
	} else {
		fault(load, line, "[%s] %s = %s: must be %s", key->section, key->name,
		    show(text, strlen(text)).text, wanted);
	}
}

/* --- the lines ---------------------------------------------------------------- */

/* The keys of a section (or, without one, the sections), for a message: "name, region, ...". */
static const char *
list_known(const char *section, char *out, size_t size)
{
	const char *last = "";
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < KEY_COUNT && used < size; i++) {
		const char *word = section != NULL ? keys[i].name : keys[i].section;
		if ((section != NULL && strcmp(section, keys[i].section) != 0) ||
		    strcmp(word, last) == 0)
			continue;
		used +=
		    (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", word);
		last = word;
	}
	return out;
}

static bool
section_exists(const char *name, size_t length)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strlen(keys[i].section) == length && memcmp(keys[i].section, name, length) == 0)
			return true;
	}
	return false;
}

/* A line that begins with '['. inih would take what is between the brackets, whatever it is. */
static void
check_section(struct load *load, const char *line, size_t length)
{
	const char *close = memchr(line, ']', length);
	char known[200];

	load->section_seen = true;
	load->section_known = false;
	if (close == NULL || close != line + length - 1)
		fault(load, load->line, "%s: a section is a line of its own, such as [relay]",
		    show(line, length).text);
	else if (!section_exists(line + 1, length - 2))
		fault(load, load->line, "unknown section %s; there are: %s",
		    show(line, length).text, list_known(NULL, known, sizeof(known)));
	else
		load->section_known = true;
}

/* Looks for what inih would cut or pass over. False: the line was reported, and is left out. */
static bool
check_line(struct load *load, const char *line, size_t length)
{
	if (length > LINE_MAX_BYTES) {
		fault(load, load->line, "the line has %zu bytes; at most %d are read: shorten it",
		    length, LINE_MAX_BYTES);
		return false;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)line[i];
		if ((byte < ' ' && byte != '\t') || byte == 0x7f) {
			fault(load, load->line,
			    "byte %zu is a control character (0x%02x); the file must be text",
			    i + 1, byte);
			return false;
		}
	}
	return true;
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* The reader that inih calls in place of fgets: one line a call, empty where it was refused. */
static char *
read_line(char *out, int size, void *stream)
{
	struct load *load = stream;
	const char *line = load->text + load->at;
	size_t left = load->length - load->at;

	if (left == 0 || size < LINE_MAX_BYTES + 2)
		return NULL;
	const char *end = memchr(line, '\n', left);
	size_t length = end != NULL ? (size_t)(end - line) : left;
	load->at += end != NULL ? length + 1 : length;
	load->line++;
	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (load->line == 1 && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3; /* a byte order mark, as some editors write */
		length -= 3;
	}
	for (; length > 0 && is_blank(line[length - 1]); length--)
		;
	for (; length > 0 && is_blank(line[0]); length--)
		line++;
	if (!check_line(load, line, length))
		length = 0;
	if (length > 0 && line[0] == '[')
		check_section(load, line, length);
	memcpy(out, line, length);
	out[length] = '\n';
	out[length + 1] = '\0';
	return out;
}

static size_t
find_key(const char *section, const char *name)
{
	size_t i = 0;

	while (i < KEY_COUNT &&
	       (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].name, name) != 0))
		i++;
	return i;
}

/* inih's handler: a line of the form name = value. Its errors are ours, so it says 1 (good). */
static int
take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct load *load = user;
	char known[200];

	if (!load->section_seen) {
		fault(load, load->line,
		    "%s stands before any section; a line such as [relay] must come first",
		    show(name, strlen(name)).text);
		return 1;
	}
	if (!load->section_known)
		return 1;
	size_t i = find_key(section, name);
	if (value == NULL)
		fault(load, load->line, "%s: a line must be key = value, a [section] or a comment",
		    show(name, strlen(name)).text);
	else if (i == KEY_COUNT)
		fault(load, load->line, "unknown key %s; [%s] has: %s",
		    show(name, strlen(name)).text, section,
		    list_known(section, known, sizeof(known)));
	else if (load->seen[i] != 0)
		fault(load, load->line, "[%s] %s was set on line %u already; remove one of the two",
		    section, name, load->seen[i]);
	else if (value[0] == '\0')
		fault(load, load->line, "[%s] %s is empty; give it a value, or leave the line out",
		    section, name);
	else
		set_key(load, load->line, &keys[i], value);
	if (i < KEY_COUNT && load->seen[i] == 0)
		load->seen[i] = load->line;
	return 1;
}

/* Debian's inih takes these at run time. They are the same for every call. */
static void
set_up_inih(void)
{
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	ini_allow_no_value = true; /* so that the handler sees and reports them */
	ini_allow_bom = false;     /* read_line sees to it */
	ini_use_stack = false;     /* whose size is fixed at 200 */
	ini_allow_realloc = false;
	ini_max_line = LINE_MAX_BYTES + 3;
	ini_initial_alloc = LINE_MAX_BYTES + 3;
}

/* --- the whole ----------------------------------------------------------------- */

static void
fill_presets(struct load *load)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (load->seen[i] != 0)
			continue;
		if (keys[i].required)
			fault(load, load->line, "[%s] %s is missing; it has no default",
			    keys[i].section, keys[i].name);
		else if (keys[i].preset != NULL)
			set_key(load, load->line, &keys[i], keys[i].preset);
	}
	if (load->conf->report.conninfo == NULL && load->conf->authority.conninfo != NULL) {
		load->conf->report.conninfo = strdup(load->conf->authority.conninfo);
		if (load->conf->report.conninfo == NULL)
			fault(load, load->line, "there is not enough memory");
	}
}

/* What must hold between keys. Called only when each of them is right by itself. */
static void
check_together(struct load *load)
{
	const struct conf *conf = load->conf;
	unsigned line = load->seen[find_key("authority", "stale_after")];

	if (line == 0)
		line = load->seen[find_key("authority", "poll_interval")];
	if (conf->authority.stale_after < 2 * conf->authority.poll_interval)
		fault(load, line,
		    "[authority] stale_after (%lld s) must be at least twice poll_interval "
		    "(%lld s), or the relay counts as stale between two polls",
		    (long long)conf->authority.stale_after,
		    (long long)conf->authority.poll_interval);
}

static void
read_lines(struct load *load)
{
	set_up_inih();
	int result = ini_parse_stream(read_line, load, take_pair, load);
	if (result < 0)
		fault(load, load->line, "there is not enough memory to read it");
	else if (result > 0 && load->error_count == 0)
		fault(
		    load, (unsigned)result, "a line must be key = value, a [section] or a comment");
	if (load->line == 0)
		load->line = 1;
}

struct conf *
conf_parse(const char *text, size_t length, const char *name, FILE *errors)
{
	struct load load = {.name = name, .errors = errors, .text = text, .length = length};

	load.conf = calloc(1, sizeof(*load.conf));
	if (load.conf == NULL) {
		fprintf(errors, "%s:0: there is not enough memory to read it\n", name);
		return NULL;
	}
	read_lines(&load);
	fill_presets(&load);
	if (load.error_count == 0)
		check_together(&load);
	if (load.error_count == 0)
		return load.conf;
	if (load.error_count > ERRORS_SHOWN)
		fprintf(errors, "%s:%u: %u errors in all; the first %d are shown\n", name,
		    load.line, load.error_count, ERRORS_SHOWN);
	conf_free(load.conf);
	return NULL;
}

/* Why the file could not be read, and what helps. */
static void
explain_open(const char *path, int error, FILE *errors)
{
	const char *cure = "see the error";

	if (error == ENOENT)
		cure = "name the file with -c, or make one from mxhold.conf.sample";
	else if (error == EACCES)
		cure = "make it readable for this user (root:mxhold, mode 0640)";
	fprintf(errors, "%s:0: cannot be read: %s; %s\n", path, strerror(error), cure);
}

/* Opens a regular file. Anything else could block, or never end. Returns -1 after an error. */
static int
open_regular(const char *path, FILE *errors)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &status) != 0) {
		explain_open(path, errno, errors);
	} else if (!S_ISREG(status.st_mode)) {
		fprintf(errors, "%s:0: is %s; it must be a plain file\n", path,
		    S_ISDIR(status.st_mode) ? "a directory" : "no plain file");
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Reads up to `size` bytes. Returns how many, or -1 with errno. */
static ssize_t
read_all(int fd, char *out, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t n = read(fd, out + used, size - used);
		if (n == 0)
			break;
		if (n > 0)
			used += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)used;
}

struct conf *
conf_load(const char *path, FILE *errors)
{
	struct conf *conf = NULL;
	int fd = open_regular(path, errors);

	if (fd < 0)
		return NULL;
	char *text = malloc(FILE_MAX + 1);
	ssize_t length = text != NULL ? read_all(fd, text, FILE_MAX + 1) : -1;
	if (length < 0)
		explain_open(path, errno, errors);
	else if ((size_t)length > FILE_MAX)
		fprintf(
		    errors, "%s:0: is larger than 1 MiB; this cannot be the right file\n", path);
	else
		conf = conf_parse(text, (size_t)length, path, errors);
	free(text);
	close(fd);
	return conf;
}

void
conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		bool owns_memory = !is_whole(keys[i].type) && keys[i].type != CONF_BOOL;
		if (owns_memory)
			free(*(void **)member(conf, keys[i].offset));
	}
	free(conf);
}
