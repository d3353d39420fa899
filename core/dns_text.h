/*
 * dns_text: one DNS resource record in the text form in which Postfix hands it to
 * smtp_dns_reply_filter (postconf(5)): `owner ttl class type data`, e.g.
 * `customer.example. 5 IN MX 100 europe.mx.backup.example.` Pure.
 */
#ifndef MXHOLD_CORE_DNS_TEXT_H
#define MXHOLD_CORE_DNS_TEXT_H

#include "core/domain.h"
#include "core/ip.h"

enum dns_type { DNS_MX, DNS_A, DNS_AAAA, DNS_OTHER };

struct dns_record {
	enum dns_type type;
	uint16_t preference;    /* MX */
	bool null_mx;           /* MX whose host is the root */
	bool host_odd;          /* MX whose host has no normal form: it cannot be a relay of ours */
	char host[DOMAIN_SIZE]; /* MX target, normal form */
	struct ip address;      /* A, AAAA; also an MX whose host is an address, family 0 if not */
};

/* False: not a record of this form (an A or AAAA without a readable address included). */
bool dns_text_parse(const char *text, size_t length, struct dns_record *out)
    __attribute__((warn_unused_result));

#endif
