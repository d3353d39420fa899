/*
 * address: what the recipient of an RCPT TO is, as the Postfix policy service hands it over
 * (unquoted by Postfix, raw in case, trailing dot and UTF-8; RFC 5321 sections 4.1.2, 4.1.3).
 *
 * Pure. It tells plain `local@domain` from everything that Postfix would rewrite later (percent
 * hack, bang path, source route, no domain), so that a rule never sees another domain than the one
 * Postfix delivers to.
 */
#ifndef MXHOLD_CORE_ADDRESS_H
#define MXHOLD_CORE_ADDRESS_H

#include "core/domain.h"

enum address_form {
	ADDRESS_PLAIN,     /* local@domain, domain in normal form */
	ADDRESS_LITERAL,   /* local@[...]: never a customer's domain by itself */
	ADDRESS_NO_DOMAIN, /* no '@' and nothing that could be rewritten into one: "postmaster" */
	ADDRESS_ODD,       /* everything else */
};

enum address_bytes {       /* of a local part */
	ADDRESS_ASCII,     /* printable */
	ADDRESS_EIGHT_BIT, /* some are 0x80 or above, UTF-8 or not: needs SMTPUTF8 (RFC 6531) */
	ADDRESS_CONTROL,   /* some are below 0x20 or 0x7f: in no address (RFC 5321 section 4.1.2) */
};

/* An odd address that would be plain but for ADDRESS_CONTROL has a domain, all the same. */
struct address {
	enum address_form form;
	const char *local; /* points into the input; only for PLAIN and LITERAL */
	size_t local_length;
	char domain[DOMAIN_SIZE]; /* normal form, only for PLAIN and for CONTROL */
	enum address_bytes bytes; /* only where there is a domain; else ASCII */
};

void address_parse(const char *raw, size_t length, struct address *out);

/*
 * Calls `visit` with the normal form of everything in `raw` that could be a domain (the parts
 * between '@', '%', '!', ',', ':', quotes, brackets, blanks; a trailing dot dropped), until it
 * returns true. Returns whether it did. At most 64 candidates are visited; if there are more,
 * returns `more_means`. (Rule 0 asks whether an odd address names a known domain anywhere.)
 */
bool address_any_domain(const char *raw, size_t length, bool more_means,
    bool (*visit)(const char *domain, void *context), void *context);

#endif
