/*
 * domain: mail domains in their one normal form: lower-case A-labels without a trailing dot.
 *
 * In: bytes as they come by SMTP or from an operator. Out: the normal form (RFC 5321 section 2.3.5,
 * RFC 5891; U-labels through libidn2, non-transitional), or a refusal. Pure. It must never let two
 * spellings of one domain come out different.
 */
#ifndef MXHOLD_CORE_DOMAIN_H
#define MXHOLD_CORE_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_MAX 253
#define DOMAIN_SIZE (DOMAIN_MAX + 1)

/*
 * Normalises length bytes at `text` into `out`. One trailing dot is dropped; labels are 1 to 63 of
 * [a-z0-9-] (an underscore is refused), not starting or ending with '-', at least two labels,
 * the last no number (digits, or 0x and hexadecimal ones). Returns false, with out[0] = '\0', for
 * what cannot be a mail domain.
 */
bool domain_normalise(const char *text, size_t length, char out[DOMAIN_SIZE])
    __attribute__((warn_unused_result));

/* The same for the name of a host in DNS text (MX target): one label and underscores are allowed.
 */
bool domain_normalise_host(const char *text, size_t length, char out[DOMAIN_SIZE])
    __attribute__((warn_unused_result));

/* The parent of a normal name ("b.example" of "a.b.example"), or NULL. Points into `name`. */
const char *domain_parent(const char *name);

#endif
