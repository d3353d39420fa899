/*
 * Fuzzes core/snapshot_value. The first byte says which kind of record, the second how long the
 * key is; key and value follow. A checksum would keep a fuzzer out of the decoder, so the value is
 * also tried with the checksum that fits it. What is taken must be written back as the same bytes.
 */
#include "core/snapshot_value.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define KEY_MAX 511
#define CHECKSUM_SIZE 8u

union record {
	struct domain_record domain;
	struct customer_record customer;
	struct relay_record relay;
};

enum { DOMAIN, CUSTOMER, RELAY, KINDS };

static bool
decode(unsigned kind, const char *key, const uint8_t *value, size_t length, union record *out)
{
	const size_t key_length = strlen(key);

	switch (kind) {
	case DOMAIN: return snapshot_value_get_domain(key, key_length, value, length, &out->domain);
	case CUSTOMER:
		return snapshot_value_get_customer(key, key_length, value, length, &out->customer);
	default: return snapshot_value_get_relay(key, key_length, value, length, &out->relay);
	}
}

static size_t
encode(unsigned kind, const char *key, const union record *record, uint8_t *out)
{
	switch (kind) {
	case DOMAIN: return snapshot_value_put_domain(key, &record->domain, out);
	case CUSTOMER: return snapshot_value_put_customer(key, &record->customer, out);
	default: return snapshot_value_put_relay(key, &record->relay, out);
	}
}

static bool
try_one(unsigned kind, const char *key, const uint8_t *value, size_t length)
{
	static uint8_t again[SNAPSHOT_VALUE_MAX];
	union record record;

	memset(&record, 0x55, sizeof(record));
	if (!decode(kind, key, value, length, &record))
		return false;
	FUZZ_HOLDS(encode(kind, key, &record, again) == length);
	FUZZ_HOLDS(memcmp(again, value, length) == 0);
	return true;
}

/* Is the value taken, as it is or with the checksum that fits it? */
static bool
try_both(unsigned kind, const char *key, size_t key_length, uint8_t *value, size_t length)
{
	bool as_it_is = try_one(kind, key, value, length);

	if (length < CHECKSUM_SIZE)
		return as_it_is;
	const uint64_t fits = XXH3_64bits_withSeed(value + CHECKSUM_SIZE, length - CHECKSUM_SIZE,
	    XXH3_64bits_withSeed(key, key_length, kind + 1));
	for (size_t i = 0; i < CHECKSUM_SIZE; i++)
		value[i] = (uint8_t)(fits >> (8 * i));
	return try_one(kind, key, value, length) || as_it_is;
}

static bool
take_input(const uint8_t *data, size_t size)
{
	char key[KEY_MAX + 1];

	if (size < 2 || size - 2 < data[1])
		return false;
	const unsigned kind = data[0] % KINDS;
	const size_t key_length = data[1];
	memcpy(key, data + 2, key_length);
	key[key_length] = '\0';
	if (strlen(key) != key_length)
		return false;
	const size_t length = size - 2 - key_length;
	uint8_t *value = malloc(length > 0 ? length : 1); /* ends where it ends, for ASan */
	FUZZ_HOLDS(value != NULL);
	memcpy(value, data + 2 + key_length, length);
	bool taken = try_both(kind, key, key_length, value, length);
	free(value);
	return taken;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_outcome(take_input(data, size));
	return 0;
}
