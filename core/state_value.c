/*
 * state_value: see state_value.h.
 *
 * A value is, little-endian: checksum (8 bytes), presence bits (4), then what the bits name, in the
 * order of the table `fields`: numbers (8 bytes), choices (1 byte), texts (2 bytes of length,
 * text). What is 0 or empty is absent and takes no room: millions of domains have nothing but an MX
 * fact.
 */
#include "core/state_value.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEED 201 /* another format has another one */
#define CHECKSUM_SIZE 8u
#define HEAD_SIZE 12u

enum field_kind { FIELD_NUMBER, FIELD_TIME, FIELD_CODE, FIELD_CHOICE, FIELD_TEXT };

struct field {
	enum field_kind kind;
	size_t offset;
	uint64_t most; /* choices: the last one; codes: the greatest */
};

#define AT(member) .offset = offsetof(struct state_domain, member)

static const struct field fields[] = {
    {FIELD_NUMBER, AT(messages)},
    {FIELD_NUMBER, AT(bytes)},
    {FIELD_TIME, AT(oldest)},
    {FIELD_CHOICE, AT(primary), .most = PRIMARY_WRONG_HOST},
    {FIELD_TIME, AT(primary_since)},
    {FIELD_TIME, AT(primary_at)},
    {FIELD_TEXT, AT(primary_reason)},
    {FIELD_CODE, AT(primary_code), .most = 999},
    {FIELD_CHOICE, AT(hold), .most = HOLD_WRONG_HOST},
    {FIELD_TIME, AT(hold_until)},
    {FIELD_TEXT, AT(hold_reason)},
    {FIELD_TIME, AT(counted_at)},
    {FIELD_NUMBER, AT(row_messages)},
    {FIELD_NUMBER, AT(row_bytes)},
    {FIELD_CHOICE, AT(mx), .most = MX_STATE_NOT_NAMED},
    {FIELD_TIME, AT(mx_at)},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))
_Static_assert(
    HEAD_SIZE + FIELDS * 8 + 2 * (size_t)(2 + STATE_TEXT_SIZE) <= STATE_VALUE_MAX, "it fits");
_Static_assert(sizeof(enum primary_state) == sizeof(unsigned) &&
		   sizeof(enum hold_kind) == sizeof(unsigned) &&
		   sizeof(enum mx_state) == sizeof(unsigned),
    "choices are read and written as unsigned");

static uint64_t
checksum(const void *key, size_t key_length, const uint8_t *payload, size_t length)
{
	return XXH3_64bits_withSeed(payload, length, XXH3_64bits_withSeed(key, key_length, SEED));
}

static size_t
width(enum field_kind kind)
{
	return kind == FIELD_CHOICE ? 1 : kind == FIELD_CODE ? 2 : 8;
}

/* --- one field of a record, as a number ---------------------------------------------------- */

static uint64_t
load(const struct state_domain *record, const struct field *field)
{
	const char *at = (const char *)record + field->offset;

	if (field->kind == FIELD_CODE || field->kind == FIELD_CHOICE)
		return *(const unsigned *)(const void *)at;
	return *(const uint64_t *)(const void *)at;
}

static void
store(struct state_domain *record, const struct field *field, uint64_t number)
{
	char *at = (char *)record + field->offset;

	if (field->kind == FIELD_CODE || field->kind == FIELD_CHOICE)
		*(unsigned *)(void *)at = (unsigned)number;
	else
		*(uint64_t *)(void *)at = number;
}

static bool
in_bounds(const struct field *field, uint64_t number)
{
	switch (field->kind) {
	case FIELD_CODE:
	case FIELD_CHOICE: return number <= field->most;
	case FIELD_TIME: return number <= INT64_MAX;
	case FIELD_NUMBER:
	case FIELD_TEXT: break;
	}
	return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
put_number(uint8_t *at, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(number >> (8 * i));
}

/* Appends one field. Returns the bytes it took, 0 for an absent one; false in *sound: no such. */
static size_t
put_field(uint8_t *at, const struct state_domain *record, const struct field *field, bool *sound)
{
	if (field->kind == FIELD_TEXT) {
		const char *text = (const char *)record + field->offset;
		const size_t length = strnlen(text, STATE_TEXT_SIZE);

		*sound = length < STATE_TEXT_SIZE;
		if (length == 0 || !*sound)
			return 0;
		put_number(at, length, 2);
		memcpy(at + 2, text, length);
		return length + 2;
	}
	const uint64_t number = load(record, field);
	*sound = in_bounds(field, number);
	if (number == 0 || !*sound)
		return 0;
	put_number(at, number, width(field->kind));
	return width(field->kind);
}

size_t
state_value_put(const char *key, const struct state_domain *record, uint8_t out[STATE_VALUE_MAX])
{
	size_t used = HEAD_SIZE;
	uint32_t bits = 0;
	bool sound = true;

	for (size_t i = 0; i < FIELDS; i++) {
		const size_t took = put_field(out + used, record, &fields[i], &sound);

		if (!sound)
			return 0;
		if (took > 0)
			bits |= (uint32_t)1 << i;
		used += took;
	}
	put_number(out + CHECKSUM_SIZE, bits, 4);
	put_number(out, checksum(key, strlen(key), out + CHECKSUM_SIZE, used - CHECKSUM_SIZE), 8);
	return used;
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint64_t
take_number(const uint8_t *at, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes; i++)
		number |= (uint64_t)at[i] << (8 * i);
	return number;
}

/* Takes one field that is there. Returns the bytes it took, 0: it is not sound. */
static size_t
take_field(const uint8_t *at, size_t left, struct state_domain *record, const struct field *field)
{
	if (field->kind == FIELD_TEXT) {
		const size_t length = left >= 2 ? (size_t)take_number(at, 2) : 0;
		char *text = (char *)record + field->offset;

		if (length == 0 || length >= STATE_TEXT_SIZE || length > left - 2 ||
		    memchr(at + 2, '\0', length) != NULL)
			return 0;
		memcpy(text, at + 2, length);
		text[length] = '\0';
		return length + 2;
	}
	const size_t bytes = width(field->kind);
	const uint64_t number = left >= bytes ? take_number(at, bytes) : 0;
	if (number == 0 || !in_bounds(field, number))
		return 0;
	store(record, field, number);
	return bytes;
}

bool
state_value_get(
    const void *key, size_t key_length, const void *value, size_t length, struct state_domain *out)
{
	const uint8_t *bytes = value;
	size_t used = HEAD_SIZE;

	memset(out, 0, sizeof(*out));
	if (length < HEAD_SIZE || length > STATE_VALUE_MAX ||
	    take_number(bytes, 8) !=
		checksum(key, key_length, bytes + CHECKSUM_SIZE, length - CHECKSUM_SIZE))
		return false;
	const uint32_t bits = (uint32_t)take_number(bytes + CHECKSUM_SIZE, 4);
	if (bits >> FIELDS != 0)
		return false;
	for (size_t i = 0; i < FIELDS; i++) {
		if (!(bits >> i & 1))
			continue;
		const size_t took = take_field(bytes + used, length - used, out, &fields[i]);
		if (took == 0)
			return false;
		used += took;
	}
	return used == length;
}
