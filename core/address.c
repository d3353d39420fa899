/*
 * address: see address.h. What it calls plain is what Postfix's trivial-rewrite(8) leaves as it is
 * (with its defaults swap_bangpath, allow_percent_hack and append_at_myorigin).
 *
 * It must never call an address plain whose domain is not the one to which Postfix delivers.
 */
#include "core/address.h"

#include "core/ip.h"

#include <string.h>
#include <strings.h>

#define CANDIDATES_MAX 64

static bool
has_control(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];
		if (byte < ' ' || byte == 0x7f)
			return true;
	}
	return false;
}

static bool
has_eight_bit(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] >= 0x80)
			return true;
	}
	return false;
}

/* Does it hold a byte at which Postfix would part it into another local part and domain? */
static bool
has_routing(const char *text, size_t length)
{
	return memchr(text, '%', length) != NULL || memchr(text, '!', length) != NULL ||
	       memchr(text, '@', length) != NULL;
}

/* RFC 5321 section 4.1.3: [192.0.2.1] or [IPv6:2001:db8::1]. */
static bool
is_literal(const char *text, size_t length)
{
	static const char tag[] = "IPv6:";
	struct ip ip;

	if (length < 3 || text[0] != '[' || text[length - 1] != ']')
		return false;
	text++;
	length -= 2;
	if (length > strlen(tag) && strncasecmp(text, tag, strlen(tag)) == 0)
		return ip_parse_bytes(text + strlen(tag), length - strlen(tag), &ip) &&
		       ip.family == 6;
	return ip_parse_bytes(text, length, &ip) && ip.family == 4;
}

static enum address_form
find_form(const char *raw, size_t length, struct address *out)
{
	if (length == 0)
		return ADDRESS_ODD;
	const char *at = memrchr(raw, '@', length);
	if (at == NULL)
		return has_control(raw, length) || has_routing(raw, length) ? ADDRESS_ODD
									    : ADDRESS_NO_DOMAIN;
	out->local = raw;
	out->local_length = (size_t)(at - raw);
	if (out->local_length == 0 || has_routing(raw, out->local_length))
		return ADDRESS_ODD;
	const char *domain = at + 1;
	size_t domain_length = length - out->local_length - 1;
	const bool control = has_control(raw, out->local_length);
	if (has_control(domain, domain_length))
		return ADDRESS_ODD;
	if (!domain_normalise(domain, domain_length, out->domain))
		return !control && is_literal(domain, domain_length) ? ADDRESS_LITERAL
								     : ADDRESS_ODD;
	out->bytes = control                                 ? ADDRESS_CONTROL
		     : has_eight_bit(raw, out->local_length) ? ADDRESS_EIGHT_BIT
							     : ADDRESS_ASCII;
	return control ? ADDRESS_ODD : ADDRESS_PLAIN;
}

void
address_parse(const char *raw, size_t length, struct address *out)
{
	*out = (struct address){.form = ADDRESS_ODD};
	out->form = find_form(raw, length, out);
	if (out->form != ADDRESS_PLAIN && out->form != ADDRESS_LITERAL) {
		out->local = NULL;
		out->local_length = 0;
	}
}

/* May the byte stand in a domain, in any spelling? All others part candidates. */
static bool
is_domain_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
	       (unsigned char)byte >= 0x80;
}

bool
address_any_domain(const char *raw, size_t length, bool more_means,
    bool (*visit)(const char *domain, void *context), void *context)
{
	char domain[DOMAIN_SIZE];
	unsigned visited = 0;
	size_t start = 0;

	while (start < length) {
		while (start < length && (!is_domain_byte(raw[start]) || raw[start] == '.'))
			start++;
		size_t end = start;
		while (end < length && is_domain_byte(raw[end]))
			end++;
		size_t last = end;
		while (last > start && raw[last - 1] == '.')
			last--;
		if (domain_normalise(raw + start, last - start, domain)) {
			if (visited++ == CANDIDATES_MAX)
				return more_means;
			if (visit(domain, context))
				return true;
		}
		start = end;
	}
	return false;
}
