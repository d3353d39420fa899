/*
 * snapshot_format: the records "state" and "contact", the names of the databases, and what the
 * reader and the writer of a snapshot both need of LMDB. It decides nothing.
 */
#include "core/snapshot_format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define KEY_STATE "state"
#define KEY_CONTACT "contact"
#define SEED_STATE 101
#define SEED_CONTACT 102

/* The records "state" and "contact" as bytes. Fixed width, little-endian, text padded with NUL. */
struct cursor {
	uint8_t *at;
	const uint8_t *from;
};

static void
put(struct cursor *cursor, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*cursor->at++ = (uint8_t)(number >> (8 * i));
}

static void
put_text(struct cursor *cursor, const char *text, size_t size)
{
	const size_t length = strnlen(text, size - 1);

	memcpy(cursor->at, text, length);
	memset(cursor->at + length, 0, size - length);
	cursor->at += size;
}

static uint64_t
take(struct cursor *cursor, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes; i++)
		number |= (uint64_t)*cursor->from++ << (8 * i);
	return number;
}

static void
take_text(struct cursor *cursor, char *out, size_t size)
{
	memcpy(out, cursor->from, size);
	out[size - 1] = '\0';
	cursor->from += size;
}

#define STATE_BYTES                                                                                \
	(4 + 8 + 4 + (8 + 4) * SNAPSHOT_KINDS + SNAPSHOT_EPOCH_SIZE +                              \
	    2 * (8 + SNAPSHOT_STAMP_SIZE) + 4 * 8 + DOMAIN_SIZE + REGION_SIZE)
_Static_assert(STATE_BYTES <= SNAPSHOT_STATE_SIZE, "the record fits its buffer");

size_t
snapshot_state_encode(const struct snapshot_state *state, uint8_t out[SNAPSHOT_STATE_SIZE])
{
	const struct snapshot_meta *meta = &state->meta;
	struct cursor cursor = {.at = out + 12};

	put(&cursor, state->active, 4);
	for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++)
		put(&cursor, state->entries[kind], 8);
	for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++)
		put(&cursor, state->heads[kind], 4);
	put_text(&cursor, meta->epoch, sizeof(meta->epoch));
	put(&cursor, meta->version, 8);
	put_text(&cursor, meta->stamp, sizeof(meta->stamp));
	put(&cursor, meta->newest, 8);
	put_text(&cursor, meta->newest_stamp, sizeof(meta->newest_stamp));
	put(&cursor, meta->confirmation, 8);
	put(&cursor, meta->serial, 8);
	put(&cursor, meta->fleet_serial, 8);
	put(&cursor, (uint64_t)meta->loaded_at, 8);
	put_text(&cursor, meta->relay, sizeof(meta->relay));
	put_text(&cursor, meta->region, sizeof(meta->region));

	cursor.at = out;
	put(&cursor, SNAPSHOT_FORMAT, 4);
	put(&cursor, XXH3_64bits_withSeed(out + 12, STATE_BYTES - 12, SEED_STATE), 8);
	return STATE_BYTES;
}

enum snapshot_result
snapshot_state_decode(const void *bytes, size_t length, struct snapshot_state *out)
{
	struct snapshot_meta *meta = &out->meta;
	struct cursor cursor = {.from = bytes};

	if (length < 4)
		return SNAPSHOT_DAMAGED;
	if (take(&cursor, 4) != SNAPSHOT_FORMAT)
		return SNAPSHOT_UNUSABLE;
	if (length != STATE_BYTES ||
	    take(&cursor, 8) !=
		XXH3_64bits_withSeed((const uint8_t *)bytes + 12, length - 12, SEED_STATE))
		return SNAPSHOT_DAMAGED;
	const uint64_t active = take(&cursor, 4);
	if (active >= SNAPSHOT_SETS)
		return SNAPSHOT_DAMAGED;
	out->active = (enum snapshot_set)active;
	for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++)
		out->entries[kind] = take(&cursor, 8);
	for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++)
		out->heads[kind] = (uint32_t)take(&cursor, 4);
	take_text(&cursor, meta->epoch, sizeof(meta->epoch));
	meta->version = take(&cursor, 8);
	take_text(&cursor, meta->stamp, sizeof(meta->stamp));
	meta->newest = take(&cursor, 8);
	take_text(&cursor, meta->newest_stamp, sizeof(meta->newest_stamp));
	meta->confirmation = take(&cursor, 8);
	meta->serial = take(&cursor, 8);
	meta->fleet_serial = take(&cursor, 8);
	meta->loaded_at = (int64_t)take(&cursor, 8);
	take_text(&cursor, meta->relay, sizeof(meta->relay));
	take_text(&cursor, meta->region, sizeof(meta->region));
	return SNAPSHOT_OK;
}

#define CONTACT_BYTES (8 + 37 + 8)
_Static_assert(CONTACT_BYTES <= SNAPSHOT_CONTACT_SIZE, "the record fits its buffer");

size_t
snapshot_contact_encode(const struct snapshot_contact *contact, uint8_t out[SNAPSHOT_CONTACT_SIZE])
{
	struct cursor cursor = {.at = out + 8};

	put_text(&cursor, contact->boot_id, sizeof(contact->boot_id));
	put(&cursor, (uint64_t)contact->boot_ms, 8);
	cursor.at = out;
	put(&cursor, XXH3_64bits_withSeed(out + 8, CONTACT_BYTES - 8, SEED_CONTACT), 8);
	return CONTACT_BYTES;
}

bool
snapshot_contact_decode(const void *bytes, size_t length, struct snapshot_contact *out)
{
	struct cursor cursor = {.from = bytes};

	if (length != CONTACT_BYTES ||
	    take(&cursor, 8) !=
		XXH3_64bits_withSeed((const uint8_t *)bytes + 8, length - 8, SEED_CONTACT))
		return false;
	take_text(&cursor, out->boot_id, sizeof(out->boot_id));
	out->boot_ms = (int64_t)take(&cursor, 8);
	return true;
}

static const char *const row_names[SNAPSHOT_SETS][SNAPSHOT_KINDS] = {
    [SNAPSHOT_SET_0] =
	{
	    [SNAPSHOT_DOMAIN] = "domain.0",
	    [SNAPSHOT_CUSTOMER] = "customer.0",
	    [SNAPSHOT_RELAY] = "relay.0",
	},
    [SNAPSHOT_SET_1] =
	{
	    [SNAPSHOT_DOMAIN] = "domain.1",
	    [SNAPSHOT_CUSTOMER] = "customer.1",
	    [SNAPSHOT_RELAY] = "relay.1",
	},
};

int
snapshot_databases_open(MDB_txn *txn, bool create, struct snapshot_databases *out)
{
	const unsigned flags = create ? MDB_CREATE : 0;
	int code = mdb_dbi_open(txn, "meta", flags, &out->meta);

	for (size_t set = 0; set < SNAPSHOT_SETS; set++)
		for (size_t kind = 0; kind < SNAPSHOT_KINDS && code == 0; kind++)
			code =
			    mdb_dbi_open(txn, row_names[set][kind], flags, &out->rows[set][kind]);
	return code;
}

MDB_val
snapshot_key(const char *text)
{
	return (MDB_val){.mv_size = strlen(text), .mv_data = (void *)(uintptr_t)text};
}

enum snapshot_result
snapshot_state_get(MDB_txn *txn, MDB_dbi meta, struct snapshot_state *out, int *code)
{
	MDB_val key = snapshot_key(KEY_STATE), value;

	*code = mdb_get(txn, meta, &key, &value);
	if (*code == MDB_NOTFOUND)
		return SNAPSHOT_NOT_FOUND;
	if (*code != 0)
		return SNAPSHOT_UNUSABLE;
	return snapshot_state_decode(value.mv_data, value.mv_size, out);
}

int
snapshot_state_put(MDB_txn *txn, MDB_dbi meta, const struct snapshot_state *state)
{
	uint8_t bytes[SNAPSHOT_STATE_SIZE];
	MDB_val key = snapshot_key(KEY_STATE);
	MDB_val value = {.mv_size = snapshot_state_encode(state, bytes), .mv_data = bytes};

	return mdb_put(txn, meta, &key, &value, 0);
}

bool
snapshot_contact_get(MDB_txn *txn, MDB_dbi meta, struct snapshot_contact *out)
{
	MDB_val key = snapshot_key(KEY_CONTACT), value;

	return mdb_get(txn, meta, &key, &value) == 0 &&
	       snapshot_contact_decode(value.mv_data, value.mv_size, out);
}

int
snapshot_contact_put(MDB_txn *txn, MDB_dbi meta, const struct snapshot_contact *contact)
{
	uint8_t bytes[SNAPSHOT_CONTACT_SIZE];
	MDB_val key = snapshot_key(KEY_CONTACT);
	MDB_val value = {.mv_size = snapshot_contact_encode(contact, bytes), .mv_data = bytes};

	return mdb_put(txn, meta, &key, &value, 0);
}

void
snapshot_boot_id(char out[37])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	out[0] = '\0';
	if (file == NULL)
		return;
	if (fread(out, 1, 36, file) == 36)
		out[36] = '\0';
	else
		out[0] = '\0';
	fclose(file);
}

int64_t
snapshot_clock_boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t
snapshot_bytes_needed(MDB_env *env, size_t page_size)
{
	MDB_envinfo info;

	if (mdb_env_info(env, &info) != 0)
		return 0;
	return ((uint64_t)info.me_last_pgno + 1) * page_size;
}

bool
snapshot_entries_agree(
    MDB_txn *txn, const struct snapshot_databases *databases, const struct snapshot_state *state)
{
	for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++) {
		MDB_stat about;

		if (mdb_stat(txn, databases->rows[state->active][kind], &about) != 0 ||
		    about.ms_entries != state->entries[kind])
			return false;
	}
	return true;
}

enum snapshot_result
snapshot_lmdb_result(int code)
{
	switch (code) {
	case 0: return SNAPSHOT_OK;
	case MDB_NOTFOUND: return SNAPSHOT_NOT_FOUND;
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_CURSOR_FULL:
	case MDB_INCOMPATIBLE:
	case EINVAL: return SNAPSHOT_DAMAGED;
	default: return SNAPSHOT_UNUSABLE;
	}
}
