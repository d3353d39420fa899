/*
 * ip: see ip.h. Addresses come in and go out as text of RFC 4291 section 2.2 and dotted quads.
 *
 * The table below is IANA's "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose
 * Address Registry" (RFC 6890, RFC 8190) with multicast (RFC 5771, RFC 4291) and what has never
 * been given out as unicast. The longest prefix that holds an address decides. An entry whose
 * column "Globally Reachable" is True is global, with one exception: addresses that carry an IPv4
 * address inside (NAT64's 64:ff9b::/96) are reserved, since they would name a private or fleet
 * address in another spelling.
 */
#include "core/ip.h"

#include <arpa/inet.h>
#include <string.h>

struct special {
	uint8_t family;
	uint8_t prefix;
	uint8_t bytes[16];
	enum ip_class class;
};

#define V4(a, b, c, d, length, what)                                                               \
	{                                                                                          \
		.family = 4, .prefix = (length), .bytes = {(a), (b), (c), (d)}, .class = (what)    \
	}
#define V6(g0, g1, g2, g3, length, what)                                                           \
	{                                                                                          \
		.family = 6, .prefix = (length),                                                   \
		.bytes = {(g0) >> 8, (g0)&0xff, (g1) >> 8, (g1)&0xff, (g2) >> 8, (g2)&0xff,        \
		    (g3) >> 8, (g3)&0xff},                                                         \
		.class = (what)                                                                    \
	}
/* A single address: its first two groups, and its last. */
#define V6_HOST(g0, g1, g7, what)                                                                  \
	{                                                                                          \
		.family = 6, .prefix = 128,                                                        \
		.bytes = {(g0) >> 8, (g0)&0xff, (g1) >> 8,                                         \
		    (g1)&0xff, [14] = (g7) >> 8, [15] = (g7)&0xff},                                \
		.class = (what)                                                                    \
	}

static const struct special specials[] = {
    V4(0, 0, 0, 0, 8, IP_UNSPECIFIED),      /* this network, RFC 791 */
    V4(10, 0, 0, 0, 8, IP_PRIVATE),         /* RFC 1918 */
    V4(100, 64, 0, 0, 10, IP_SHARED),       /* RFC 6598 */
    V4(127, 0, 0, 0, 8, IP_LOOPBACK),       /* RFC 1122 */
    V4(169, 254, 0, 0, 16, IP_LINK_LOCAL),  /* RFC 3927 */
    V4(172, 16, 0, 0, 12, IP_PRIVATE),      /* RFC 1918 */
    V4(192, 0, 0, 0, 24, IP_RESERVED),      /* IETF protocol assignments, RFC 6890 */
    V4(192, 0, 0, 9, 32, IP_GLOBAL),        /* PCP anycast, RFC 7723 */
    V4(192, 0, 0, 10, 32, IP_GLOBAL),       /* TURN anycast, RFC 8155 */
    V4(192, 0, 2, 0, 24, IP_DOCUMENTATION), /* RFC 5737 */
    V4(192, 88, 99, 0, 24, IP_RESERVED),    /* 6to4 relay anycast, deprecated, RFC 7526 */
    V4(192, 168, 0, 0, 16, IP_PRIVATE),     /* RFC 1918 */
    V4(198, 18, 0, 0, 15, IP_RESERVED),     /* benchmarking, RFC 2544 */
    V4(198, 51, 100, 0, 24, IP_DOCUMENTATION), V4(203, 0, 113, 0, 24, IP_DOCUMENTATION),
    V4(224, 0, 0, 0, 4, IP_MULTICAST), /* RFC 5771 */
    V4(240, 0, 0, 0, 4, IP_RESERVED),  /* RFC 1112; with 255.255.255.255 */

    V6(0, 0, 0, 0, 0, IP_RESERVED),    /* never given out: all but 2000::/3 */
    V6(0x2000, 0, 0, 0, 3, IP_GLOBAL), /* global unicast, RFC 4291 */
    V6(0, 0, 0, 0, 96, IP_MAPPED),     /* IPv4-compatible, deprecated, RFC 4291 */
    V6_HOST(0, 0, 0, IP_UNSPECIFIED),  /* ::, RFC 4291 */
    V6_HOST(0, 0, 1, IP_LOOPBACK),     /* ::1, RFC 4291 */
    {.family = 6, .prefix = 96, .bytes = {[10] = 0xff, [11] = 0xff}, .class = IP_MAPPED},
    V6(0x64, 0xff9b, 0, 0, 96, IP_RESERVED),       /* NAT64, RFC 6052: see above */
    V6(0x64, 0xff9b, 1, 0, 48, IP_RESERVED),       /* local-use NAT64, RFC 8215 */
    V6(0x100, 0, 0, 0, 64, IP_RESERVED),           /* discard-only, RFC 6666 */
    V6(0x100, 0, 0, 1, 64, IP_RESERVED),           /* dummy prefix, RFC 9780 */
    V6(0x2001, 0, 0, 0, 23, IP_RESERVED),          /* IETF protocol assignments, RFC 2928 */
    V6(0x2001, 0, 0, 0, 32, IP_RESERVED),          /* Teredo, RFC 4380 */
    V6_HOST(0x2001, 1, 1, IP_GLOBAL),              /* PCP anycast, RFC 7723 */
    V6_HOST(0x2001, 1, 2, IP_GLOBAL),              /* TURN anycast, RFC 8155 */
    V6_HOST(0x2001, 1, 3, IP_GLOBAL),              /* DNS-SD SRP anycast, RFC 9665 */
    V6(0x2001, 2, 0, 0, 48, IP_RESERVED),          /* benchmarking, RFC 5180 */
    V6(0x2001, 3, 0, 0, 32, IP_GLOBAL),            /* AMT, RFC 7450 */
    V6(0x2001, 4, 0x112, 0, 48, IP_GLOBAL),        /* AS112, RFC 7535 */
    V6(0x2001, 0x10, 0, 0, 28, IP_RESERVED),       /* ORCHID, deprecated, RFC 4843 */
    V6(0x2001, 0x20, 0, 0, 28, IP_GLOBAL),         /* ORCHIDv2, RFC 7343 */
    V6(0x2001, 0x30, 0, 0, 28, IP_GLOBAL),         /* drone remote ID, RFC 9374 */
    V6(0x2001, 0xdb8, 0, 0, 32, IP_DOCUMENTATION), /* RFC 3849 */
    V6(0x2002, 0, 0, 0, 16, IP_RESERVED),          /* 6to4, RFC 3056: carries IPv4 */
    V6(0x3fff, 0, 0, 0, 20, IP_DOCUMENTATION),     /* RFC 9637 */
    V6(0x5f00, 0, 0, 0, 16, IP_RESERVED),          /* SRv6 SIDs, RFC 9602 */
    V6(0xfc00, 0, 0, 0, 7, IP_PRIVATE),            /* unique local, RFC 4193 */
    V6(0xfe80, 0, 0, 0, 10, IP_LINK_LOCAL),        /* RFC 4291 */
    V6(0xfec0, 0, 0, 0, 10, IP_PRIVATE),           /* site-local, deprecated, RFC 3879 */
    V6(0xff00, 0, 0, 0, 8, IP_MULTICAST),          /* RFC 4291 */
};

static const char *const class_names[] = {
    [IP_GLOBAL] = "global",
    [IP_UNSPECIFIED] = "unspecified",
    [IP_LOOPBACK] = "loopback",
    [IP_PRIVATE] = "private",
    [IP_SHARED] = "shared",
    [IP_LINK_LOCAL] = "link-local",
    [IP_MULTICAST] = "multicast",
    [IP_MAPPED] = "ipv4-mapped",
    [IP_DOCUMENTATION] = "documentation",
    [IP_RESERVED] = "reserved",
};

bool
ip_parse(const char *text, struct ip *out)
{
	*out = (struct ip){.family = 0};
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		out->family = 4;
	else if (inet_pton(AF_INET6, text, out->bytes) == 1)
		out->family = 6;
	else
		*out = (struct ip){.family = 0};
	return out->family != 0;
}

bool
ip_parse_bytes(const char *text, size_t length, struct ip *out)
{
	char copy[IP_TEXT_SIZE];

	*out = (struct ip){.family = 0};
	if (length >= sizeof(copy) || memchr(text, '\0', length) != NULL)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return ip_parse(copy, out);
}

bool
ip_parse_host(const char *text, size_t length, struct ip *out)
{
	static const char numeric[] = "0123456789abcdefABCDEFxX.";
	const char *zone = memchr(text, '%', length);
	char copy[IP_TEXT_SIZE];
	struct in_addr old_form;

	if (zone != NULL)
		return ip_parse_bytes(text, (size_t)(zone - text), out) && out->family == 6;
	if (ip_parse_bytes(text, length, out))
		return true;
	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (strspn(copy, numeric) != length || inet_aton(copy, &old_form) == 0)
		return false;
	out->family = 4;
	memcpy(out->bytes, &old_form.s_addr, 4);
	return true;
}

/* Are the first `bits` bits of a and b the same? */
static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static unsigned
family_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* One to three digits without a leading zero, at most `max`. */
static bool
parse_prefix(const char *text, unsigned max, uint8_t *out)
{
	unsigned value = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 3 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
		return false;
	for (; *text != '\0'; text++)
		value = value * 10 + (unsigned)(*text - '0');
	if (value > max)
		return false;
	*out = (uint8_t)value;
	return true;
}

static bool
host_bits_zero(const struct ip_network *network)
{
	struct ip masked = network->base;
	unsigned bits = network->prefix;

	for (unsigned i = 0; i < sizeof(masked.bytes); i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
		if (keep < 8)
			masked.bytes[i] &= (uint8_t)(0xff00u >> keep);
	}
	return memcmp(masked.bytes, network->base.bytes, sizeof(masked.bytes)) == 0;
}

bool
ip_network_parse(const char *text, struct ip_network *out)
{
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

	*out = (struct ip_network){.prefix = 0};
	if (!ip_parse_bytes(text, length, &out->base))
		return false;
	unsigned max = family_bits(out->base.family);
	out->prefix = (uint8_t)max;
	if (slash != NULL && !parse_prefix(slash + 1, max, &out->prefix))
		return false;
	return host_bits_zero(out);
}

bool
ip_network_contains(const struct ip_network *network, const struct ip *address)
{
	return address->family != 0 && network->base.family == address->family &&
	       same_bits(network->base.bytes, address->bytes, network->prefix);
}

bool
ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct ip
ip_unmap(const struct ip *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ip plain = {.family = 4};

	if (address->family != 6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
		return *address;
	memcpy(plain.bytes, address->bytes + sizeof(mapped), 4);
	return plain;
}

const char *
ip_format(const struct ip *address, char out[IP_TEXT_SIZE])
{
	int family = address->family == 4 ? AF_INET : AF_INET6;

	if (address->family == 0 || inet_ntop(family, address->bytes, out, IP_TEXT_SIZE) == NULL)
		out[0] = '\0';
	return out;
}

enum ip_class
ip_classify(const struct ip *address)
{
	enum ip_class class = address->family == 4 ? IP_GLOBAL : IP_RESERVED;
	int longest = -1;

	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
		const struct special *special = &specials[i];
		if (special->family == address->family && special->prefix > longest &&
		    same_bits(special->bytes, address->bytes, special->prefix)) {
			class = special->class;
			longest = special->prefix;
		}
	}
	return class;
}

const char *ip_class_name(enum ip_class class)
{
	return class_names[class];
}
