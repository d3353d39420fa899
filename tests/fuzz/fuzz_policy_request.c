/*
 * Fuzzes core/policy_request as policyd uses it: bytes come in pieces, requests one after the
 * other.
 */
#include "core/policy_request.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* The end of the first request must not depend on the pieces in which it came. */
static size_t
length_in_pieces(const char *data, size_t size, size_t piece)
{
	size_t resume = 0;

	for (size_t have = piece < size ? piece : size;; have += piece) {
		if (have > size)
			have = size;
		size_t length = policy_request_length(data, have, &resume);
		if (length > 0 || have == size)
			return length;
	}
}

static void
check_value(const char *value, const char *buffer, size_t length)
{
	if (value[0] == '\0')
		return;
	FUZZ_HOLDS(value > buffer && value < buffer + length);
	FUZZ_HOLDS(memchr(value, '\0', (size_t)(buffer + length - value)) != NULL);
	FUZZ_HOLDS(strchr(value, '\n') == NULL);
}

static bool
parse_one(const char *data, size_t length)
{
	struct policy_request request;
	const char *error = NULL;
	char *copy = malloc(length);

	memcpy(copy, data, length);
	bool good = policy_request_parse(copy, length, &request, &error);
	FUZZ_HOLDS(good == (error == NULL));
	if (good) {
		const char *values[] = {request.request, request.protocol_state,
		    request.protocol_name, request.client_address, request.helo_name,
		    request.sender, request.recipient, request.queue_id, request.instance};
		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
			check_value(values[i], copy, length);
	}
	free(copy);
	return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	bool any = false;

	for (size_t at = 0, length; at < size; at += length) {
		length = length_in_pieces(text + at, size - at, size - at);
		FUZZ_HOLDS(length == length_in_pieces(text + at, size - at, 7));
		FUZZ_HOLDS(length <= size - at);
		if (length == 0)
			break;
		any = parse_one(text + at, length) || any;
	}
	fuzz_outcome(any);
	return 0;
}
