/*
 * conf_value: see conf_value.h. It must never take half of a value: what follows a number, an
 * address or a name that is right up to there makes the whole value wrong.
 */
#include "core/conf_value.h"

#include "core/address.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define LIST_SEPARATORS " \t,"
#define LIST_MAX 256

static const char no_memory[] = "shorter: there is not enough memory for it";

static const char *
keep_text(const char *text, size_t length, struct conf_value *out)
{
	out->text = strndup(text, length);
	return out->text != NULL ? NULL : no_memory;
}

static const char *
parse_string(const char *text, struct conf_value *out)
{
	return keep_text(text, strlen(text), out);
}

static const char *
parse_conninfo(const char *text, struct conf_value *out)
{
	if (strchr(text, '=') == NULL && strstr(text, "://") == NULL)
		return "a connection string of libpq, such as host=db.example.net dbname=mxhold "
		       "user=relay_eu1";
	return parse_string(text, out);
}

static const char *
parse_path(const char *text, struct conf_value *out)
{
	size_t length = strlen(text);

	if (text[0] != '/' || strstr(text, "/../") != NULL ||
	    (length >= 3 && strcmp(text + length - 3, "/..") == 0))
		return "an absolute path without '..', such as /var/lib/mxhold";
	while (length > 1 && text[length - 1] == '/')
		length--;
	return keep_text(text, length, out);
}

static const char *
parse_log(const char *text, struct conf_value *out)
{
	if (strcmp(text, "journald") == 0)
		return keep_text(text, strlen(text), out);
	return parse_path(text, out) == NULL
		   ? NULL
		   : "journald, or an absolute path without '..', such as /var/log/mail.log";
}

static const char *
parse_anchor(const char *text, struct conf_value *out)
{
	if (strcmp(text, "none") == 0)
		return keep_text(text, strlen(text), out);
	return parse_path(text, out) == NULL
		   ? NULL
		   : "none, or an absolute path without '..', such as /usr/share/dns/root.key";
}

static bool
only_of(const char *text, const char *characters, size_t max)
{
	size_t length = strlen(text);

	return length > 0 && length <= max && strspn(text, characters) == length;
}

static const char *
parse_name(const char *text, struct conf_value *out)
{
	bool good = only_of(text, LOWER DIGITS ".-", 63) && strchr(".-", text[0]) == NULL &&
		    strchr(".-", text[strlen(text) - 1]) == NULL && strstr(text, "..") == NULL;

	if (!good)
		return "1 to 63 of a-z, 0-9, '.' and '-', with a letter or digit at both ends, "
		       "such as eu1";
	return parse_string(text, out);
}

static const char *
parse_region(const char *text, struct conf_value *out)
{
	if (!only_of(text, LOWER DIGITS "-", 32))
		return "1 to 32 of a-z, 0-9 and '-', such as eu";
	return parse_string(text, out);
}

static const char *
parse_account(const char *text, struct conf_value *out)
{
	bool number = only_of(text, DIGITS, 9);
	bool name =
	    only_of(text, LOWER UPPER DIGITS "_.-", 32) && strchr(DIGITS "-.", text[0]) == NULL;

	if (!number && !name)
		return "the name of a user or group, or its number";
	return parse_string(text, out);
}

static const char *
parse_mailbox(const char *text, struct conf_value *out)
{
	struct address address;

	address_parse(text, strlen(text), &address);
	if (address.form != ADDRESS_PLAIN)
		return "one full address, such as postmaster@example.com";
	return parse_string(text, out);
}

/* Up to 12 digits, so that no multiplication by a unit overflows. Returns what follows, or NULL. */
static const char *
parse_digits(const char *text, int64_t *out)
{
	size_t digits = strspn(text, DIGITS);
	int64_t value = 0;

	if (digits == 0 || digits > 12)
		return NULL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (text[i] - '0');
	*out = value;
	return text + digits;
}

/* 1 to 65535, without a leading zero, and nothing behind it. */
static bool
is_port(const char *text)
{
	int64_t port;
	const char *rest = parse_digits(text, &port);

	return rest != NULL && *rest == '\0' && text[0] != '0' && port <= 65535;
}

static const char *
parse_listen(const char *text, struct conf_value *out)
{
	static const char wanted[] = "an address and a port, such as 127.0.0.1:9325 or [::1]:9325";
	const char *colon = strrchr(text, ':');
	struct ip address;

	if (colon == NULL || !is_port(colon + 1))
		return wanted;
	bool bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
	const char *host = bracketed ? text + 1 : text;
	const char *end = bracketed ? colon - 1 : colon;
	if (!ip_parse_bytes(host, (size_t)(end - host), &address) ||
	    bracketed != (address.family == 6))
		return wanted;
	return parse_string(text, out);
}

static const char *
parse_number(const char *text, struct conf_value *out)
{
	const char *rest = parse_digits(text, &out->number);

	return rest != NULL && *rest == '\0' ? NULL : "a whole number";
}

/* How many seconds the unit stands for; 0: it is none. */
static int64_t
unit_seconds(const char *unit)
{
	static const char letters[] = "smhd";
	static const int64_t seconds[] = {1, 60, 3600, 86400};
	const char *found = *unit != '\0' ? strchr(letters, *unit) : NULL;

	return found != NULL && unit[1] == '\0' ? seconds[found - letters] : 0;
}

/* Postfix takes a bare 5 as 5 days in one place and 5 seconds in another: here it has a unit. */
static const char *
parse_duration(const char *text, struct conf_value *out)
{
	const char *rest = parse_digits(text, &out->number);
	int64_t unit = rest != NULL ? unit_seconds(rest) : 0;

	if (unit == 0)
		return "a whole number and its unit (s, m, h or d), such as 5d";
	out->number *= unit;
	return NULL;
}

/* The same where nobody would think of another unit than seconds. */
static const char *
parse_seconds(const char *text, struct conf_value *out)
{
	if (parse_number(text, out) == NULL || parse_duration(text, out) == NULL)
		return NULL;
	return "a whole number of seconds, or with a unit (s, m, h or d), such as 60s";
}

static const char *
parse_bool(const char *text, struct conf_value *out)
{
	out->truth = strcasecmp(text, "yes") == 0;
	return out->truth || strcasecmp(text, "no") == 0 ? NULL : "yes or no";
}

/* Cuts the next item of a list off *text. NULL: the end, or an item longer than any address. */
static const char *
next_item(const char **text, char item[64])
{
	*text += strspn(*text, LIST_SEPARATORS);
	size_t length = strcspn(*text, LIST_SEPARATORS);
	if (length == 0 || length >= 64)
		return NULL;
	memcpy(item, *text, length);
	item[length] = '\0';
	*text += length;
	return item;
}

static bool
at_end(const char *text)
{
	return text[strspn(text, LIST_SEPARATORS)] == '\0';
}

static bool
is_unicast(const struct ip *address)
{
	enum ip_class class = ip_classify(address);

	return class != IP_UNSPECIFIED && class != IP_MULTICAST && class != IP_MAPPED;
}

static const char *
parse_addresses(const char *text, struct conf_value *out)
{
	static const char wanted[] = "up to 256 unicast addresses, separated by blanks or commas, "
				     "such as 203.0.113.5 2001:db8::25";
	char item[64];
	size_t count = 0;
	bool good = true;

	struct ip *list = calloc(LIST_MAX, sizeof(*list));
	if (list == NULL)
		return no_memory;
	while (good && count < LIST_MAX && next_item(&text, item) != NULL) {
		good = ip_parse(item, &list[count]) && is_unicast(&list[count]);
		count++;
	}
	if (!good || count == 0 || !at_end(text)) {
		free(list);
		return wanted;
	}
	out->addresses = list;
	out->count = count;
	return NULL;
}

static const char *
parse_networks(const char *text, struct conf_value *out)
{
	static const char wanted[] =
	    "up to 256 networks, separated by blanks or commas, the bits after the prefix zero, "
	    "such as 10.8.0.0/16 fd00:8::/32 (not all addresses: that is no fence)";
	char item[64];
	size_t count = 0;
	bool good = true;

	struct ip_network *list = calloc(LIST_MAX, sizeof(*list));
	if (list == NULL)
		return no_memory;
	while (good && count < LIST_MAX && next_item(&text, item) != NULL) {
		good = ip_network_parse(item, &list[count]) && list[count].prefix > 0;
		count++;
	}
	if (!good || count == 0 || !at_end(text)) {
		free(list);
		return wanted;
	}
	out->networks = list;
	out->count = count;
	return NULL;
}

const char *
conf_value_parse(enum conf_type type, const char *text, struct conf_value *out)
{
	static const char *(*const parsers[])(const char *, struct conf_value *) = {
	    [CONF_STRING] = parse_string,
	    [CONF_CONNINFO] = parse_conninfo,
	    [CONF_PATH] = parse_path,
	    [CONF_LOG] = parse_log,
	    [CONF_ANCHOR] = parse_anchor,
	    [CONF_NAME] = parse_name,
	    [CONF_REGION] = parse_region,
	    [CONF_ACCOUNT] = parse_account,
	    [CONF_MAILBOX] = parse_mailbox,
	    [CONF_LISTEN] = parse_listen,
	    [CONF_DURATION] = parse_duration,
	    [CONF_SECONDS] = parse_seconds,
	    [CONF_NUMBER] = parse_number,
	    [CONF_BOOL] = parse_bool,
	    [CONF_ADDRESSES] = parse_addresses,
	    [CONF_NETWORKS] = parse_networks,
	};

	*out = (struct conf_value){.count = 0};
	return parsers[type](text, out);
}
