/*
 * dns_text: see dns_text.h. The form is that of Postfix's dns_strrecord(): fields parted by one
 * blank, the owner and an MX host with their trailing dot. It must never read half a record: what
 * follows a complete one makes it unreadable.
 */
#include "core/dns_text.h"

#include <string.h>
#include <strings.h>

struct field {
	const char *text;
	size_t length;
};

/* Cuts the next field off what is left; its length is 0 where there is none. */
static struct field
next_field(struct field *rest)
{
	struct field field = {.text = rest->text};
	const char *blank = memchr(rest->text, ' ', rest->length);
	size_t taken;

	field.length = blank != NULL ? (size_t)(blank - rest->text) : rest->length;
	taken = blank != NULL ? field.length + 1 : field.length;
	rest->text += taken;
	rest->length -= taken;
	return field;
}

static bool
field_is(const struct field *field, const char *word)
{
	return field->length == strlen(word) && strncasecmp(field->text, word, field->length) == 0;
}

/* Digits only, at most `max`. */
static bool
field_number(const struct field *field, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < field->length; i++) {
		char digit = field->text[i];
		if (digit < '0' || digit > '9')
			return false;
		value = value * 10 + (uint64_t)(digit - '0');
		if (value > max)
			return false;
	}
	*out = (uint32_t)value;
	return field->length > 0;
}

/*
 * The host of an MX record. Postfix takes one that is a numeric address as this address, without
 * asking the DNS for it: so it is told as one.
 */
static void
read_host(const struct field *host, struct dns_record *out)
{
	size_t length = host->length;

	out->null_mx = length == 1 && host->text[0] == '.';
	out->host_odd = !out->null_mx && !domain_normalise_host(host->text, length, out->host);
	if (length > 1 && host->text[length - 1] == '.')
		length--;
	if (!ip_parse_host(host->text, length, &out->address))
		out->address.family = 0;
}

static bool
parse_mx(struct field rest, struct dns_record *out)
{
	uint32_t preference;
	struct field number = next_field(&rest);

	if (!field_number(&number, UINT16_MAX, &preference))
		return false;
	if (rest.length == 0 || memchr(rest.text, ' ', rest.length) != NULL)
		return false;
	out->preference = (uint16_t)preference;
	read_host(&rest, out);
	return true;
}

static bool
parse_address(struct field rest, uint8_t family, struct dns_record *out)
{
	return ip_parse_bytes(rest.text, rest.length, &out->address) &&
	       out->address.family == family;
}

bool
dns_text_parse(const char *text, size_t length, struct dns_record *out)
{
	struct field rest = {.text = text, .length = length};
	struct field owner = next_field(&rest);
	struct field ttl = next_field(&rest);
	struct field class = next_field(&rest);
	struct field type = next_field(&rest);
	uint32_t seconds;

	*out = (struct dns_record){.type = DNS_OTHER};
	if (owner.length == 0 || !field_number(&ttl, UINT32_MAX, &seconds) ||
	    !field_is(&class, "IN") || type.length == 0)
		return false;
	if (field_is(&type, "MX")) {
		out->type = DNS_MX;
		return parse_mx(rest, out);
	}
	if (field_is(&type, "A")) {
		out->type = DNS_A;
		return parse_address(rest, 4, out);
	}
	if (field_is(&type, "AAAA")) {
		out->type = DNS_AAAA;
		return parse_address(rest, 6, out);
	}
	return true;
}
