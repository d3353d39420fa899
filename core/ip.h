/*
 * ip: IPv4 and IPv6 addresses, networks, and IANA's special-purpose registries. Pure.
 */
#ifndef MXHOLD_CORE_IP_H
#define MXHOLD_CORE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ip {
	uint8_t family;    /* 4, 6, or 0: none */
	uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest is zero */
};

struct ip_network {
	struct ip base;
	uint8_t prefix; /* bits */
};

#define IP_TEXT_SIZE 46

/* What IANA's special-purpose address registries (RFC 6890 and its updates) say of an address. */
enum ip_class {
	IP_GLOBAL,
	IP_UNSPECIFIED, /* 0.0.0.0/8, :: */
	IP_LOOPBACK,
	IP_PRIVATE, /* RFC 1918, fc00::/7 */
	IP_SHARED,  /* 100.64.0.0/10 */
	IP_LINK_LOCAL,
	IP_MULTICAST,
	IP_MAPPED,        /* ::ffff:0:0/96, and IPv4-compatible ::/96 */
	IP_DOCUMENTATION, /* RFC 5737, 2001:db8::/32, 3fff::/20 */
	IP_RESERVED, /* the rest: benchmarking, 240/4, 192.0.0.0/24, NAT64, 6to4, Teredo, discard,
			... */
};

bool ip_parse(const char *text, struct ip *out) __attribute__((warn_unused_result));
bool ip_parse_bytes(const char *text, size_t length, struct ip *out)
    __attribute__((warn_unused_result));
/*
 * An address in any spelling that getaddrinfo(3) takes for a host without asking the DNS: also
 * 127.1, 0x7f000001, 2130706433 and fe80::1%eth0 (the zone is dropped). Postfix connects to these.
 */
bool ip_parse_host(const char *text, size_t length, struct ip *out)
    __attribute__((warn_unused_result));
/* "192.0.2.0/24"; a bare address is a network of itself. Host bits must be zero. */
bool ip_network_parse(const char *text, struct ip_network *out) __attribute__((warn_unused_result));
bool ip_network_contains(const struct ip_network *network, const struct ip *address);
bool ip_equal(const struct ip *a, const struct ip *b);
/* Same address, where ::ffff:192.0.2.1 equals 192.0.2.1 (a client on a dual-stack socket). */
struct ip ip_unmap(const struct ip *address);
/* Writes at most IP_TEXT_SIZE bytes with the NUL. Returns out. */
const char *ip_format(const struct ip *address, char out[IP_TEXT_SIZE]);
enum ip_class ip_classify(const struct ip *address);
const char *ip_class_name(enum ip_class class); /* "loopback", "private", ... */

#endif
