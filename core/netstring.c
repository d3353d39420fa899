/*
 * netstring: see netstring.h. The form is D. J. Bernstein's (cr.yp.to/proto/netstrings.txt): a
 * decimal length without leading zeros, a colon, the payload, a comma.
 *
 * It looks at no byte beyond what it was given, keeps nothing between calls, and never waits for
 * more bytes of a netstring that is wrong or too long already.
 */
#include "core/netstring.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Reads the length and its colon. On OK, *header is the number of bytes they took. */
static enum netstring_result
read_header(const char *data, size_t length, size_t max, size_t *payload, size_t *header)
{
	size_t value = 0;
	size_t i = 0;

	for (; i < length && data[i] >= '0' && data[i] <= '9'; i++) {
		bool leading_zero = i == 1 && data[0] == '0';
		if (leading_zero || i >= NETSTRING_HEADER - 1)
			return NETSTRING_BAD;
		value = value * 10 + (size_t)(data[i] - '0');
		if (value > max)
			return NETSTRING_BAD;
	}
	if (i == length)
		return NETSTRING_MORE;
	if (i == 0 || data[i] != ':')
		return NETSTRING_BAD;
	*payload = value;
	*header = i + 1;
	return NETSTRING_OK;
}

enum netstring_result
netstring_decode(const char *data, size_t length, size_t max, struct netstring *out)
{
	size_t payload, header;

	if (max > NETSTRING_MAX)
		max = NETSTRING_MAX;
	enum netstring_result result = read_header(data, length, max, &payload, &header);
	if (result != NETSTRING_OK)
		return result;
	if (length - header <= payload)
		return NETSTRING_MORE;
	if (data[header + payload] != ',')
		return NETSTRING_BAD;
	out->payload = data + header;
	out->length = payload;
	out->consumed = header + payload + 1;
	return NETSTRING_OK;
}

size_t
netstring_encode(char *out, size_t size, const char *payload, size_t length)
{
	char header[NETSTRING_HEADER + 1];

	if (length > NETSTRING_MAX)
		return 0;
	size_t written = (size_t)snprintf(header, sizeof(header), "%zu:", length);
	if (size < written + length + 1)
		return 0;
	memcpy(out, header, written);
	if (length > 0)
		memcpy(out + written, payload, length);
	out[written + length] = ',';
	return written + length + 1;
}
