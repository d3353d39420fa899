/*
 * snapshot_value: records to bytes and back.
 *
 * A value is, little-endian: checksum (8 bytes), presence bits (4), then in this order what the
 * bits name: customer (length byte, text), retired_at, subdomains_retired_at, size_limit,
 * quota_messages, quota_bytes (8 each), retention (4), regions, next_hops (2 bytes of length,
 * text), hold_until (8), hold_reason, pin_certificate, pin_banner, names, addresses (2 bytes of
 * length, text). Nothing is padded and nothing absent takes room: a plain domain of a customer
 * `acme` takes 17 bytes. The checksum (XXH3) covers the kind of record, the key and all that
 * follows it, so that no value passes as another kind's or another key's.
 *
 * Decoding reads nothing outside the value, and takes only what encoding could have written.
 */
#include "core/snapshot_value.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum kind { KIND_DOMAIN = 1, KIND_CUSTOMER = 2, KIND_RELAY = 3 };

/* Presence bits. Those of flags and of limits' enums stand for themselves. */
enum {
	HAS_INCLUDE_SUBDOMAINS = 1u << 0,
	HAS_SUSPENDED = 1u << 1,
	HAS_TLS_REQUIRED = 1u << 2,
	HAS_HOPS_WITHHELD = 1u << 3,
	SHIFT_OVERSIZE = 4, /* two bits each */
	SHIFT_PRIMARY_UP = 6,
	SHIFT_MX_CHECK = 8,
	HAS_RETIRED_AT = 1u << 10,
	HAS_SUBDOMAINS_RETIRED_AT = 1u << 11,
	HAS_SIZE_LIMIT = 1u << 12,
	HAS_QUOTA_MESSAGES = 1u << 13,
	HAS_QUOTA_BYTES = 1u << 14,
	HAS_RETENTION = 1u << 15,
	HAS_REGIONS = 1u << 16,
	HAS_NEXT_HOPS = 1u << 17,
	HAS_NAMES = 1u << 18,
	HAS_ADDRESSES = 1u << 19,
	SHIFT_REFUSED = 20, /* two bits */
	HAS_HOLD_UNTIL = 1u << 22,
	HAS_HOLD_REASON = 1u << 23,
	HAS_PIN_CERTIFICATE = 1u << 24,
	HAS_PIN_BANNER = 1u << 25,
};

#define BITS_LIMITS                                                                                \
	(0x3fu << SHIFT_OVERSIZE | 3u << SHIFT_REFUSED | HAS_SIZE_LIMIT | HAS_QUOTA_MESSAGES |     \
	    HAS_QUOTA_BYTES | HAS_RETENTION)
#define BITS_DOMAIN                                                                                \
	(HAS_INCLUDE_SUBDOMAINS | HAS_SUSPENDED | HAS_TLS_REQUIRED | HAS_HOPS_WITHHELD |           \
	    HAS_RETIRED_AT | HAS_SUBDOMAINS_RETIRED_AT | BITS_LIMITS | HAS_REGIONS |               \
	    HAS_NEXT_HOPS | HAS_HOLD_UNTIL | HAS_HOLD_REASON | HAS_PIN_CERTIFICATE |               \
	    HAS_PIN_BANNER)
#define BITS_CUSTOMER (HAS_SUSPENDED | HAS_RETIRED_AT | BITS_LIMITS | HAS_REGIONS)
#define BITS_RELAY (HAS_NAMES | HAS_ADDRESSES)

#define CHECKSUM_SIZE 8u
#define BITS_SIZE 4u

static uint64_t
checksum(enum kind kind, const void *key, size_t key_length, const uint8_t *payload,
    size_t payload_length)
{
	return XXH3_64bits_withSeed(
	    payload, payload_length, XXH3_64bits_withSeed(key, key_length, (uint64_t)kind));
}

/* --- writing ----------------------------------------------------------------- */

struct writer {
	uint8_t *out;
	size_t used;
	uint32_t bits;
	bool bad; /* a field is out of its bounds */
};

static void
put_number(struct writer *writer, uint64_t number, size_t bytes)
{
	if (writer->bad || SNAPSHOT_VALUE_MAX - writer->used < bytes) {
		writer->bad = true;
		return;
	}
	for (size_t i = 0; i < bytes; i++)
		writer->out[writer->used++] = (uint8_t)(number >> (8 * i));
}

static void
put_text(struct writer *writer, const char *text, size_t size, size_t length_bytes)
{
	const size_t length = strnlen(text, size);

	if (length == size || SNAPSHOT_VALUE_MAX - writer->used < length + length_bytes) {
		writer->bad = true;
		return;
	}
	put_number(writer, length, length_bytes);
	memcpy(writer->out + writer->used, text, length);
	writer->used += length;
}

static void
put_optional_number(struct writer *writer, uint32_t bit, uint64_t number, size_t bytes)
{
	if (number == 0)
		return;
	writer->bits |= bit;
	put_number(writer, number, bytes);
}

static void
put_optional_time(struct writer *writer, uint32_t bit, int64_t time)
{
	if (time < 0)
		writer->bad = true;
	put_optional_number(writer, bit, (uint64_t)time, 8);
}

static void
put_optional_text(struct writer *writer, uint32_t bit, const char *text, size_t size)
{
	if (text[0] == '\0')
		return;
	writer->bits |= bit;
	put_text(writer, text, size, 2);
}

static void
put_choice(struct writer *writer, unsigned shift, unsigned choice)
{
	if (choice > 2)
		writer->bad = true;
	else
		writer->bits |= choice << shift;
}

static void
put_flag(struct writer *writer, uint32_t bit, bool set)
{
	if (set)
		writer->bits |= bit;
}

static void
put_limits(struct writer *writer, const struct limits *limits)
{
	put_choice(writer, SHIFT_OVERSIZE, (unsigned)limits->oversize);
	put_choice(writer, SHIFT_PRIMARY_UP, (unsigned)limits->when_primary_up);
	put_choice(writer, SHIFT_MX_CHECK, (unsigned)limits->mx_check);
	put_choice(writer, SHIFT_REFUSED, (unsigned)limits->refused);
	put_optional_number(writer, HAS_SIZE_LIMIT, limits->size_limit, 8);
	put_optional_number(writer, HAS_QUOTA_MESSAGES, limits->quota_messages, 8);
	put_optional_number(writer, HAS_QUOTA_BYTES, limits->quota_bytes, 8);
	put_optional_number(writer, HAS_RETENTION, limits->retention, 4);
}

static struct writer
writer_start(uint8_t out[SNAPSHOT_VALUE_MAX])
{
	return (struct writer){.out = out, .used = CHECKSUM_SIZE + BITS_SIZE};
}

/* Writes bits and checksum in front. Returns the whole length, 0 when a field was out of bounds. */
static size_t
writer_finish(struct writer *writer, enum kind kind, const char *key)
{
	const size_t length = writer->used;

	if (writer->bad)
		return 0;
	writer->used = CHECKSUM_SIZE;
	put_number(writer, writer->bits, BITS_SIZE);
	writer->used = 0;
	put_number(writer,
	    checksum(kind, key, strlen(key), writer->out + CHECKSUM_SIZE, length - CHECKSUM_SIZE),
	    CHECKSUM_SIZE);
	return length;
}

size_t
snapshot_value_put_domain(
    const char *key, const struct domain_record *record, uint8_t out[SNAPSHOT_VALUE_MAX])
{
	struct writer writer = writer_start(out);

	put_flag(&writer, HAS_INCLUDE_SUBDOMAINS, record->include_subdomains);
	put_flag(&writer, HAS_SUSPENDED, record->suspended);
	put_flag(&writer, HAS_TLS_REQUIRED, record->tls_required);
	put_flag(&writer, HAS_HOPS_WITHHELD, record->hops_withheld);
	put_text(&writer, record->customer, sizeof(record->customer), 1);
	put_optional_time(&writer, HAS_RETIRED_AT, record->retired_at);
	put_optional_time(&writer, HAS_SUBDOMAINS_RETIRED_AT, record->subdomains_retired_at);
	put_limits(&writer, &record->limits);
	put_optional_text(&writer, HAS_REGIONS, record->regions, sizeof(record->regions));
	put_optional_text(&writer, HAS_NEXT_HOPS, record->next_hops, sizeof(record->next_hops));
	put_optional_time(&writer, HAS_HOLD_UNTIL, record->hold_until);
	put_optional_text(
	    &writer, HAS_HOLD_REASON, record->hold_reason, sizeof(record->hold_reason));
	put_optional_text(
	    &writer, HAS_PIN_CERTIFICATE, record->pin_certificate, sizeof(record->pin_certificate));
	put_optional_text(&writer, HAS_PIN_BANNER, record->pin_banner, sizeof(record->pin_banner));
	return writer_finish(&writer, KIND_DOMAIN, key);
}

size_t
snapshot_value_put_customer(
    const char *key, const struct customer_record *record, uint8_t out[SNAPSHOT_VALUE_MAX])
{
	struct writer writer = writer_start(out);

	put_flag(&writer, HAS_SUSPENDED, record->suspended);
	put_optional_time(&writer, HAS_RETIRED_AT, record->retired_at);
	put_limits(&writer, &record->limits);
	put_optional_text(&writer, HAS_REGIONS, record->regions, sizeof(record->regions));
	return writer_finish(&writer, KIND_CUSTOMER, key);
}

size_t
snapshot_value_put_relay(
    const char *key, const struct relay_record *record, uint8_t out[SNAPSHOT_VALUE_MAX])
{
	struct writer writer = writer_start(out);

	put_text(&writer, record->region, sizeof(record->region), 1);
	put_optional_text(&writer, HAS_NAMES, record->names, sizeof(record->names));
	put_optional_text(&writer, HAS_ADDRESSES, record->addresses, sizeof(record->addresses));
	return writer_finish(&writer, KIND_RELAY, key);
}

/* --- reading ----------------------------------------------------------------- */

struct reader {
	const uint8_t *at;
	size_t left;
	uint32_t bits;
	bool bad;
};

static uint64_t
take_number(struct reader *reader, size_t bytes)
{
	uint64_t number = 0;

	if (reader->bad || reader->left < bytes) {
		reader->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		number |= (uint64_t)reader->at[i] << (8 * i);
	reader->at += bytes;
	reader->left -= bytes;
	return number;
}

/* `size` bytes at `out`, with the NUL; always terminated. */
static void
take_text(struct reader *reader, char *out, size_t size, size_t length_bytes)
{
	const size_t length = (size_t)take_number(reader, length_bytes);

	out[0] = '\0';
	if (reader->bad || length >= size || length > reader->left ||
	    memchr(reader->at, '\0', length) != NULL) {
		reader->bad = true;
		return;
	}
	memcpy(out, reader->at, length);
	out[length] = '\0';
	reader->at += length;
	reader->left -= length;
}

/* A number that is there is not 0: each record has one form only. */
static uint64_t
take_optional_number(struct reader *reader, uint32_t bit, size_t bytes)
{
	if (!(reader->bits & bit))
		return 0;
	const uint64_t number = take_number(reader, bytes);
	if (number == 0)
		reader->bad = true;
	return number;
}

static int64_t
take_optional_time(struct reader *reader, uint32_t bit)
{
	const uint64_t time = take_optional_number(reader, bit, 8);

	if (time > INT64_MAX) {
		reader->bad = true;
		return 0;
	}
	return (int64_t)time;
}

static void
take_optional_text(struct reader *reader, uint32_t bit, char *out, size_t size)
{
	out[0] = '\0';
	if (!(reader->bits & bit))
		return;
	take_text(reader, out, size, 2);
	if (out[0] == '\0')
		reader->bad = true;
}

static unsigned
take_choice(struct reader *reader, unsigned shift)
{
	const unsigned choice = reader->bits >> shift & 3u;

	if (choice > 2)
		reader->bad = true;
	return choice;
}

static void
take_limits(struct reader *reader, struct limits *out)
{
	out->oversize = (enum oversize)take_choice(reader, SHIFT_OVERSIZE);
	out->when_primary_up = (enum primary_up)take_choice(reader, SHIFT_PRIMARY_UP);
	out->mx_check = (enum mx_check)take_choice(reader, SHIFT_MX_CHECK);
	out->refused = (enum refused)take_choice(reader, SHIFT_REFUSED);
	out->size_limit = take_optional_number(reader, HAS_SIZE_LIMIT, 8);
	out->quota_messages = take_optional_number(reader, HAS_QUOTA_MESSAGES, 8);
	out->quota_bytes = take_optional_number(reader, HAS_QUOTA_BYTES, 8);
	out->retention = (uint32_t)take_optional_number(reader, HAS_RETENTION, 4);
}

/* Checks the checksum and takes the bits; `allowed` are those that this kind may have. */
static struct reader
reader_start(enum kind kind, uint32_t allowed, const void *key, size_t key_length,
    const void *value, size_t length)
{
	struct reader reader = {.at = value, .left = length};
	const uint64_t stored = take_number(&reader, CHECKSUM_SIZE);

	if (reader.bad || stored != checksum(kind, key, key_length, reader.at, reader.left))
		reader.bad = true;
	reader.bits = (uint32_t)take_number(&reader, BITS_SIZE);
	if (reader.bits & ~allowed)
		reader.bad = true;
	return reader;
}

static bool
reader_finish(const struct reader *reader)
{
	return !reader->bad && reader->left == 0;
}

bool
snapshot_value_get_domain(
    const void *key, size_t key_length, const void *value, size_t length, struct domain_record *out)
{
	struct reader reader =
	    reader_start(KIND_DOMAIN, BITS_DOMAIN, key, key_length, value, length);

	out->include_subdomains = reader.bits & HAS_INCLUDE_SUBDOMAINS;
	out->suspended = reader.bits & HAS_SUSPENDED;
	out->tls_required = reader.bits & HAS_TLS_REQUIRED;
	out->hops_withheld = reader.bits & HAS_HOPS_WITHHELD;
	take_text(&reader, out->customer, sizeof(out->customer), 1);
	out->retired_at = take_optional_time(&reader, HAS_RETIRED_AT);
	out->subdomains_retired_at = take_optional_time(&reader, HAS_SUBDOMAINS_RETIRED_AT);
	take_limits(&reader, &out->limits);
	take_optional_text(&reader, HAS_REGIONS, out->regions, sizeof(out->regions));
	take_optional_text(&reader, HAS_NEXT_HOPS, out->next_hops, sizeof(out->next_hops));
	out->hold_until = take_optional_time(&reader, HAS_HOLD_UNTIL);
	take_optional_text(&reader, HAS_HOLD_REASON, out->hold_reason, sizeof(out->hold_reason));
	take_optional_text(
	    &reader, HAS_PIN_CERTIFICATE, out->pin_certificate, sizeof(out->pin_certificate));
	take_optional_text(&reader, HAS_PIN_BANNER, out->pin_banner, sizeof(out->pin_banner));
	return reader_finish(&reader);
}

bool
snapshot_value_get_customer(const void *key, size_t key_length, const void *value, size_t length,
    struct customer_record *out)
{
	struct reader reader =
	    reader_start(KIND_CUSTOMER, BITS_CUSTOMER, key, key_length, value, length);

	out->suspended = reader.bits & HAS_SUSPENDED;
	out->retired_at = take_optional_time(&reader, HAS_RETIRED_AT);
	take_limits(&reader, &out->limits);
	take_optional_text(&reader, HAS_REGIONS, out->regions, sizeof(out->regions));
	return reader_finish(&reader);
}

bool
snapshot_value_get_relay(
    const void *key, size_t key_length, const void *value, size_t length, struct relay_record *out)
{
	struct reader reader = reader_start(KIND_RELAY, BITS_RELAY, key, key_length, value, length);

	take_text(&reader, out->region, sizeof(out->region), 1);
	take_optional_text(&reader, HAS_NAMES, out->names, sizeof(out->names));
	take_optional_text(&reader, HAS_ADDRESSES, out->addresses, sizeof(out->addresses));
	return reader_finish(&reader);
}
