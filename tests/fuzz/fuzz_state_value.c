/*
 * Fuzzes core/state_value: the first byte says how long the key is; key and value follow. A
 * checksum would keep a fuzzer out of the decoder, so the value is also tried with the one that
 * fits it. What is taken must be written back as the same bytes, and must count for nothing that it
 * does not say.
 */
#include "core/state_value.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECKSUM_SIZE 8u
#define SEED 201

static bool
try_one(const char *key, const uint8_t *value, size_t length)
{
	static uint8_t again[STATE_VALUE_MAX];
	struct state_domain record;

	memset(&record, 0x55, sizeof(record));
	if (!state_value_get(key, strlen(key), value, length, &record))
		return false;
	FUZZ_HOLDS(state_value_put(key, &record, again) == length);
	FUZZ_HOLDS(memcmp(again, value, length) == 0);
	const struct state_facts facts = state_facts_at(&record, &record, 1700000000);
	FUZZ_HOLDS(facts.mx == MX_STATE_UNKNOWN || facts.mx == record.mx);
	FUZZ_HOLDS(!facts.primary_is_up || record.primary == PRIMARY_UP);
	FUZZ_HOLDS(!state_held(&record, 1700000000) || record.hold != HOLD_NONE);
	return true;
}

static bool
take_input(const uint8_t *data, size_t size)
{
	char key[256];

	if (size < 1 || size - 1 < data[0])
		return false;
	memcpy(key, data + 1, data[0]);
	key[data[0]] = '\0';
	if (strlen(key) != data[0])
		return false;
	const size_t length = size - 1 - data[0];
	uint8_t *value = malloc(length > 0 ? length : 1); /* ends where it ends, for ASan */
	FUZZ_HOLDS(value != NULL);
	memcpy(value, data + 1 + data[0], length);
	bool taken = try_one(key, value, length);
	if (length >= CHECKSUM_SIZE) {
		const uint64_t fits = XXH3_64bits_withSeed(value + CHECKSUM_SIZE,
		    length - CHECKSUM_SIZE, XXH3_64bits_withSeed(key, strlen(key), SEED));
		for (size_t i = 0; i < CHECKSUM_SIZE; i++)
			value[i] = (uint8_t)(fits >> (8 * i));
		taken = try_one(key, value, length) || taken;
	}
	free(value);
	return taken;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_outcome(take_input(data, size));
	return 0;
}
