/*
 * row: see row.h. A line is cut into its columns, each is unescaped in place, and a table of
 * columns and flags turns them into a record. It never reads outside the line.
 */
#include "sync/row.h"

#include "core/fleet.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PIN_HEX_DIGITS 64 /* SHA-256 */

enum column {
	COLUMN_KIND,
	COLUMN_KEY,
	COLUMN_PRESENT,
	COLUMN_CUSTOMER,
	COLUMN_REGIONS,
	COLUMN_FLAGS,
	COLUMN_SIZE_LIMIT,
	COLUMN_RETENTION,
	COLUMN_QUOTA_MESSAGES,
	COLUMN_QUOTA_BYTES,
	COLUMN_NEXT_HOPS,
	COLUMN_NAMES,
	COLUMN_ADDRESSES,
	COLUMN_HOLD_UNTIL,
	COLUMN_HOLD_REASON,
	COLUMN_PIN_CERTIFICATE,
	COLUMN_PIN_BANNER,
	COLUMNS_FULL,
	COLUMN_VERSION = COLUMNS_FULL, /* of a change only */
	COLUMN_STEP,
	COLUMNS,
};

enum flag {
	FLAG_SUBDOMAINS = 1,
	FLAG_SUSPENDED = 2,
	FLAG_HOPS_WITHHELD = 4,
	FLAG_TLS = 8,
	FLAG_OVERSIZE_REJECT = 16,
	FLAG_OVERSIZE_DEFER = 32,
	FLAG_PRIMARY_ACCEPT = 64,
	FLAG_PRIMARY_DEFER = 128,
	FLAG_MX_ON = 256,
	FLAG_MX_OFF = 512,
	FLAG_REFUSED_JUDGE = 1024,
	FLAG_REFUSED_KEEP = 2048,
	FLAG_ALL = 4095,
};

static const char *const kind_names[] = {
    [ROW_RELAY] = "relay",
    [ROW_CUSTOMER] = "customer",
    [ROW_DOMAIN] = "domain",
};

const char *
row_kind_name(enum row_kind kind)
{
	return kind_names[kind];
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Reads one escape after its backslash; *at is moved behind it. -1: the column ends there. */
static int
unescape_one(const char **at, const char *end)
{
	static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
	int value = 0, digits;
	const char *hit;

	if (*at == end)
		return -1;
	if (is_octal(**at)) {
		for (digits = 0; digits < 3 && *at < end && is_octal(**at); digits++)
			value = value * 8 + (*(*at)++ - '0');
		return value & 0xff;
	}
	if (**at == 'x' && end - *at > 1 && hex_digit((*at)[1]) >= 0) {
		(*at)++;
		for (digits = 0; digits < 2 && *at < end && hex_digit(**at) >= 0; digits++)
			value = value * 16 + hex_digit(*(*at)++);
		return value;
	}
	hit = **at != '\0' ? strchr(from, **at) : NULL;
	value = (unsigned char)(hit != NULL ? to[hit - from] : **at);
	(*at)++;
	return value;
}

/*
 * Unescapes the column [start, end) in place and ends it with NUL (at most at *end, which is a
 * separator). Sets *out to NULL for \N. False for a NUL byte or a lone backslash.
 */
static bool
unescape(char *start, char *end, const char **out)
{
	const char *at = start;
	char *to = start;
	int value;

	*out = NULL;
	if (end - start == 2 && start[0] == '\\' && start[1] == 'N')
		return true;
	while (at < end) {
		value = (unsigned char)*at++;
		if (value == '\\')
			value = unescape_one(&at, end);
		if (value <= 0)
			return false;
		*to++ = (char)value;
	}
	*to = '\0';
	*out = start;
	return true;
}

/* line[length] must be writable: the last column's NUL goes there. */
static bool
split(char *line, size_t length, const char *columns[COLUMNS], const char **error)
{
	char *start = line, *end, *stop = line + length;
	size_t count = 0;

	for (;;) {
		end = memchr(start, '\t', (size_t)(stop - start));
		if (end == NULL)
			end = stop;
		if (count == COLUMNS) {
			*error = "too many columns";
			return false;
		}
		if (!unescape(start, end, &columns[count++])) {
			*error = "a NUL byte or a broken escape";
			return false;
		}
		if (end == stop)
			break;
		start = end + 1;
	}
	if (count == COLUMNS_FULL)
		columns[COLUMN_VERSION] = columns[COLUMN_STEP] = NULL;
	else if (count < COLUMNS)
		*error = "too few columns";
	return count == COLUMNS_FULL || count == COLUMNS;
}

/* Copies a text without control characters; NULL is the empty text. */
static bool
copy_text(char *out, size_t size, const char *text)
{
	size_t i;

	if (text == NULL)
		text = "";
	for (i = 0; text[i] != '\0'; i++) {
		if (i + 1 >= size || (unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
		out[i] = text[i];
	}
	out[i] = '\0';
	return true;
}

/* A decimal number from 0 to `most`; NULL is 0 (inherit). */
static bool
copy_number(uint64_t *out, uint64_t most, const char *text)
{
	char *end;
	unsigned long long value;

	*out = 0;
	if (text == NULL)
		return true;
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value > most)
		return false;
	*out = value;
	return true;
}

/* Of two flags that exclude each other: 0 for neither, 1 for the first, 2 for the second. */
static int
choice(uint64_t flags, enum flag first, enum flag second)
{
	return (flags & first) != 0 ? 1 : (flags & second) != 0 ? 2 : 0;
}

static bool
flags_agree(uint64_t flags)
{
	static const uint64_t pairs[] = {FLAG_OVERSIZE_REJECT | FLAG_OVERSIZE_DEFER,
	    FLAG_PRIMARY_ACCEPT | FLAG_PRIMARY_DEFER, FLAG_MX_ON | FLAG_MX_OFF,
	    FLAG_REFUSED_JUDGE | FLAG_REFUSED_KEEP};
	size_t i;

	for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if ((flags & pairs[i]) == pairs[i])
			return false;
	return true;
}

static bool
read_flags(const char *columns[COLUMNS], uint64_t *flags, const char **error)
{
	*error = "flags are no number, contradict each other, or hold one that is not known here";
	return copy_number(flags, FLAG_ALL, columns[COLUMN_FLAGS]) && flags_agree(*flags);
}

static bool
read_limits(const char *columns[COLUMNS], uint64_t flags, struct limits *out, const char **error)
{
	uint64_t retention;

	*error = "a limit is no number or out of bounds";
	if (!copy_number(&out->size_limit, INT64_MAX, columns[COLUMN_SIZE_LIMIT]) ||
	    !copy_number(&out->quota_messages, INT64_MAX, columns[COLUMN_QUOTA_MESSAGES]) ||
	    !copy_number(&out->quota_bytes, INT64_MAX, columns[COLUMN_QUOTA_BYTES]) ||
	    !copy_number(&retention, UINT32_MAX, columns[COLUMN_RETENTION]))
		return false;
	out->retention = (uint32_t)retention;
	out->oversize = (enum oversize)choice(flags, FLAG_OVERSIZE_REJECT, FLAG_OVERSIZE_DEFER);
	out->when_primary_up =
	    (enum primary_up)choice(flags, FLAG_PRIMARY_ACCEPT, FLAG_PRIMARY_DEFER);
	out->mx_check = (enum mx_check)choice(flags, FLAG_MX_ON, FLAG_MX_OFF);
	out->refused = (enum refused)choice(flags, FLAG_REFUSED_JUDGE, FLAG_REFUSED_KEEP);
	return true;
}

static bool
read_hold(const char *columns[COLUMNS], struct domain_record *out, const char **error)
{
	uint64_t until;

	*error = "the hold's end is no time, or its reason is too long or not readable";
	if (!copy_number(&until, INT64_MAX, columns[COLUMN_HOLD_UNTIL]) ||
	    !copy_text(out->hold_reason, sizeof out->hold_reason, columns[COLUMN_HOLD_REASON]))
		return false;
	out->hold_until = (int64_t)until;
	return true;
}

/* A certificate that could not be compared would shut the primary out for ever. */
static bool
is_certificate(const char *text)
{
	size_t length = strspn(text, "0123456789abcdef");

	return text[length] == '\0' && (length == 0 || length == PIN_HEX_DIGITS);
}

static bool
read_pins(const char *columns[COLUMNS], struct domain_record *out, const char **error)
{
	*error = "a pin is too long or not readable";
	return copy_text(out->pin_certificate, sizeof out->pin_certificate,
		   columns[COLUMN_PIN_CERTIFICATE]) &&
	       is_certificate(out->pin_certificate) &&
	       copy_text(out->pin_banner, sizeof out->pin_banner, columns[COLUMN_PIN_BANNER]);
}

static bool
read_domain(const char *columns[COLUMNS], struct domain_record *out, const char **error)
{
	uint64_t flags;

	*out = (struct domain_record){.retired_at = 0};
	if (!read_flags(columns, &flags, error) ||
	    !read_limits(columns, flags, &out->limits, error) || !read_hold(columns, out, error) ||
	    !read_pins(columns, out, error))
		return false;
	out->include_subdomains = (flags & FLAG_SUBDOMAINS) != 0;
	out->suspended = (flags & FLAG_SUSPENDED) != 0;
	out->hops_withheld = (flags & FLAG_HOPS_WITHHELD) != 0;
	out->tls_required = (flags & FLAG_TLS) != 0;
	*error = "customer, regions or next hops are missing or too long";
	return columns[COLUMN_CUSTOMER] != NULL && columns[COLUMN_CUSTOMER][0] != '\0' &&
	       copy_text(out->customer, sizeof out->customer, columns[COLUMN_CUSTOMER]) &&
	       copy_text(out->regions, sizeof out->regions, columns[COLUMN_REGIONS]) &&
	       copy_text(out->next_hops, sizeof out->next_hops, columns[COLUMN_NEXT_HOPS]);
}

static bool
read_customer(const char *columns[COLUMNS], struct customer_record *out, const char **error)
{
	uint64_t flags;

	*out = (struct customer_record){.retired_at = 0};
	if (!read_flags(columns, &flags, error) ||
	    !read_limits(columns, flags, &out->limits, error))
		return false;
	out->suspended = (flags & FLAG_SUSPENDED) != 0;
	*error = "regions are too long";
	return copy_text(out->regions, sizeof out->regions, columns[COLUMN_REGIONS]);
}

/* Can the fence be built from them? */
static bool
fleet_takes(const struct relay_record *relay)
{
	struct fleet *fleet = fleet_new("");
	bool good = fleet != NULL && fleet_add(fleet, "relay", relay->names, relay->addresses);

	fleet_free(fleet);
	return good;
}

static bool
read_relay(const char *columns[COLUMNS], struct relay_record *out, const char **error)
{
	*out = (struct relay_record){.region = ""};
	*error = "region, names or addresses are missing, too long or not readable";
	return columns[COLUMN_REGIONS] != NULL && columns[COLUMN_REGIONS][0] != '\0' &&
	       copy_text(out->region, sizeof out->region, columns[COLUMN_REGIONS]) &&
	       copy_text(out->names, sizeof out->names, columns[COLUMN_NAMES]) &&
	       copy_text(out->addresses, sizeof out->addresses, columns[COLUMN_ADDRESSES]) &&
	       fleet_takes(out);
}

static bool
read_kind(const char *text, enum row_kind *out)
{
	size_t i;

	for (i = 0; text != NULL && i < sizeof kind_names / sizeof kind_names[0]; i++) {
		if (strcmp(text, kind_names[i]) == 0) {
			*out = (enum row_kind)i;
			return true;
		}
	}
	return false;
}

/* For people: cut to its room, and with '?' for what a log, or a list of names, could not hold. */
static void
show_key(char out[DOMAIN_SIZE], const char *text)
{
	size_t i;

	for (i = 0; text[i] != '\0' && i + 1 < DOMAIN_SIZE; i++)
		out[i] = text[i];
	out[i] = '\0';
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] <= ' ' || out[i] >= 0x7f || out[i] == ':')
			out[i] = '?';
}

static bool
has_a_label(const char *name)
{
	return strncmp(name, "xn--", 4) == 0 || strstr(name, ".xn--") != NULL;
}

/* NULL, or why nothing can be known by this key. */
static const char *
key_fault(enum row_kind kind, const char *text, char out[DOMAIN_SIZE])
{
	/* A customer's must fit where domains name him. */
	size_t size = kind == ROW_CUSTOMER ? CUSTOMER_SIZE : DOMAIN_SIZE;
	char normal[DOMAIN_SIZE];

	if (!copy_text(out, size, text))
		return "the name is too long, or holds control characters";
	if (kind != ROW_DOMAIN ||
	    (domain_normalise(out, strlen(out), normal) && strcmp(out, normal) == 0))
		return NULL;
	return has_a_label(out) ? "the name holds an xn-- label that is no valid A-label"
				: "the name is not that of a mail domain in normal form";
}

static bool
read_place(const char *columns[COLUMNS], struct row *out, const char **error)
{
	uint64_t step;

	*error = "version or step is no number";
	if ((columns[COLUMN_VERSION] == NULL) != (columns[COLUMN_STEP] == NULL) ||
	    !copy_number(&out->version, INT64_MAX, columns[COLUMN_VERSION]) ||
	    !copy_number(&step, ROW_STEPS, columns[COLUMN_STEP]))
		return false;
	out->step = (unsigned)step;
	out->customer = columns[COLUMN_CUSTOMER];
	return true;
}

static bool
read_head(const char *columns[COLUMNS], struct row *out, const char **error)
{
	const char *key = columns[COLUMN_KEY], *present = columns[COLUMN_PRESENT];

	*error = "kind is not relay, customer or domain";
	if (!read_kind(columns[COLUMN_KIND], &out->kind))
		return false;
	*error = "there is no key";
	if (key == NULL || key[0] == '\0')
		return false;
	*error = "present is neither t nor f";
	if (present == NULL || (strcmp(present, "t") != 0 && strcmp(present, "f") != 0))
		return false;
	out->present = present[0] == 't';
	out->told = false;
	out->why = key_fault(out->kind, key, out->key);
	out->fault = out->why != NULL ? ROW_BAD_KEY : ROW_SOUND;
	if (out->fault == ROW_BAD_KEY)
		show_key(out->key, key);
	return true;
}

static void
read_record(const char *columns[COLUMNS], struct row *out)
{
	const char *why = NULL;
	bool good;

	switch (out->kind) {
	case ROW_RELAY: good = read_relay(columns, &out->record.relay, &why); break;
	case ROW_CUSTOMER: good = read_customer(columns, &out->record.customer, &why); break;
	default: good = read_domain(columns, &out->record.domain, &why); break;
	}
	if (!good) {
		out->fault = ROW_BAD_RECORD;
		out->why = why;
	}
}

bool
row_parse(char *line, size_t length, struct row *out, const char **error)
{
	const char *columns[COLUMNS];

	*error = "the line is empty, too long or without its newline";
	if (length < 2 || length > ROW_LINE_MAX || line[length - 1] != '\n')
		return false;
	if (!split(line, length - 1, columns, error) || !read_head(columns, out, error) ||
	    !read_place(columns, out, error))
		return false;
	if (out->present && out->fault == ROW_SOUND)
		read_record(columns, out);
	else if (out->fault == ROW_SOUND && out->kind == ROW_DOMAIN &&
		 columns[COLUMN_CUSTOMER] != NULL)
		out->told = read_domain(columns, &out->record.domain, error);
	return true;
}
