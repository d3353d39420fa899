/*
 * Fuzzes core/netstring: what is decoded is what would have been encoded, a good netstring that is
 * not all there is waited for, and a small limit never lets more through.
 */
#include "core/netstring.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void
check_decoded(const char *data, const struct netstring *got)
{
	struct netstring part;
	size_t room = got->length + NETSTRING_HEADER + 1;
	char *again = malloc(room);

	FUZZ_HOLDS(netstring_encode(again, room, got->payload, got->length) == got->consumed);
	FUZZ_HOLDS(memcmp(again, data, got->consumed) == 0);
	FUZZ_HOLDS(netstring_encode(again, got->consumed - 1, got->payload, got->length) == 0);
	for (size_t length = 0; length < got->consumed; length += 1 + length / 16)
		FUZZ_HOLDS(netstring_decode(data, length, NETSTRING_MAX, &part) == NETSTRING_MORE);
	if (got->length > 0)
		FUZZ_HOLDS(
		    netstring_decode(data, got->consumed, got->length - 1, &part) == NETSTRING_BAD);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct netstring got;
	bool any = false;
	size_t at = 0;

	while (netstring_decode(text + at, size - at, NETSTRING_MAX, &got) == NETSTRING_OK) {
		FUZZ_HOLDS(got.consumed <= size - at);
		FUZZ_HOLDS(got.payload + got.length + 1 == text + at + got.consumed);
		check_decoded(text + at, &got);
		at += got.consumed;
		any = true;
	}
	fuzz_outcome(any);
	return 0;
}
