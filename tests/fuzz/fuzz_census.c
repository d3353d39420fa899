/*
 * Fuzzes queued/census_parse. What is handed on keeps its bounds: an id is one that may be part of
 * a command, and every recipient can be asked for, also those that are none.
 */
#include "queued/census.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
check(const struct census_message *message, void *context)
{
	const char *address, *reason;
	const size_t length = strlen(message->queue_id);

	(void)context;
	FUZZ_HOLDS(length > 0 && length < JOURNAL_ID_SIZE);
	for (size_t i = 0; i < length; i++)
		FUZZ_HOLDS(strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			       message->queue_id[i]) != NULL);
	FUZZ_HOLDS(message->arrived_at >= 0 && message->queue != NULL && message->sender != NULL);
	for (size_t i = 0; i <= message->recipients; i++) {
		const bool good = census_recipient(message, i, &address, &reason);
		FUZZ_HOLDS(reason != NULL && good == (address != NULL));
		FUZZ_HOLDS(i < message->recipients || !good);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_outcome(census_parse((const char *)data, size, check, NULL));
	return 0;
}
