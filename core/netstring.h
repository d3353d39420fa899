/*
 * netstring: `5:hello,` as Postfix's socketmap speaks it (socketmap_table(5)). Pure, bounded.
 */
#ifndef MXHOLD_CORE_NETSTRING_H
#define MXHOLD_CORE_NETSTRING_H

#include <stddef.h>

#define NETSTRING_MAX 100000 /* bytes of payload, the limit of socketmap_table(5) */
#define NETSTRING_HEADER 7   /* "100000:" */

enum netstring_result { NETSTRING_OK, NETSTRING_MORE, NETSTRING_BAD };

struct netstring {
	const char *payload; /* points into the caller's data */
	size_t length;
	size_t consumed; /* bytes of data that this netstring took, with length, colon and comma */
};

/* `max` bounds the payload: more than that is NETSTRING_BAD as soon as the length is known. */
enum netstring_result netstring_decode(
    const char *data, size_t length, size_t max, struct netstring *out);

/* Returns the length written, or 0 when it does not fit (nothing is written then). */
size_t netstring_encode(char *out, size_t size, const char *payload, size_t length);

#endif
