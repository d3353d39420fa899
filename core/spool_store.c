/*
 * spool_store: the form of what is stored in the spool (see spool_store.h).
 *
 * In: keys and values as LMDB hands them out. Out: entries that passed their checksum (XXH3 over
 * key and value), or "damaged". It writes nothing.
 */
#include "core/spool_store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECKSUM_SIZE 8

int
spool_databases_open(MDB_txn *txn, bool make, struct spool_databases *out)
{
	static const char *const names[SPOOL_DATABASES] = {
	    [SPOOL_ROWS] = "rows",
	    [SPOOL_ORDER] = "order",
	    [SPOOL_DONE] = "done",
	    [SPOOL_NOTES] = "notes",
	    [SPOOL_META] = "meta",
	};
	int code = 0;

	for (size_t i = 0; code == 0 && i < SPOOL_DATABASES; i++)
		code = mdb_dbi_open(txn, names[i], make ? MDB_CREATE : 0, &out->dbi[i]);
	return code;
}

void
spool_number_put(uint8_t out[8], uint64_t number)
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		out[i] = (uint8_t)number;
}

static uint64_t
number_get(const uint8_t *bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < 8; i++)
		number = number << 8 | bytes[i];
	return number;
}

bool
spool_number_take(const MDB_val *value, uint64_t *out)
{
	if (value->mv_size != 8)
		return false;
	*out = number_get(value->mv_data);
	return true;
}

static uint64_t
checksum(const void *key, size_t key_length, const uint8_t *head, const void *text, size_t length)
{
	const uint64_t of_key = XXH3_64bits_withSeed(key, key_length, key_length);
	const uint64_t of_head =
	    XXH3_64bits_withSeed(head + CHECKSUM_SIZE, SPOOL_HEAD_SIZE - CHECKSUM_SIZE, of_key);

	return XXH3_64bits_withSeed(text, length, of_head);
}

void
spool_head_put(uint8_t head[SPOOL_HEAD_SIZE], const struct spool_entry *entry)
{
	spool_number_put(head + CHECKSUM_SIZE, entry->seq);
	head[SPOOL_HEAD_SIZE - 1] = entry->final ? SPOOL_FLAG_FINAL : 0;
	spool_number_put(
	    head, checksum(entry->key, entry->key_length, head, entry->text, entry->length));
}

bool
spool_entry_take(const MDB_val *key, const MDB_val *stored, struct spool_entry *out)
{
	const uint8_t *head = stored->mv_data;

	if (stored->mv_size < SPOOL_HEAD_SIZE || head[SPOOL_HEAD_SIZE - 1] > SPOOL_FLAG_FINAL)
		return false;
	*out = (struct spool_entry){
	    .key = key->mv_data,
	    .key_length = key->mv_size,
	    .text = (const char *)head + SPOOL_HEAD_SIZE,
	    .length = stored->mv_size - SPOOL_HEAD_SIZE,
	    .seq = number_get(head + CHECKSUM_SIZE),
	    .final = head[SPOOL_HEAD_SIZE - 1] == SPOOL_FLAG_FINAL,
	};
	return number_get(head) ==
	       checksum(out->key, out->key_length, head, out->text, out->length);
}

bool
spool_row_take(MDB_txn *txn, const struct spool_databases *databases, const MDB_val *number,
    MDB_val *key, struct spool_entry *out)
{
	MDB_val stored;
	uint64_t seq;

	return spool_number_take(number, &seq) &&
	       mdb_get(txn, databases->dbi[SPOOL_ROWS], key, &stored) == 0 &&
	       spool_entry_take(key, &stored, out) && out->seq == seq;
}

bool
spool_files_plain(const char *path)
{
	char data[SPOOL_PATH_SIZE];
	struct stat status;

	if (stat(path, &status) != 0)
		return true; /* for others to find fault with */
	return S_ISDIR(status.st_mode) && (!spool_path(path, "data.mdb", data) ||
					      lstat(data, &status) != 0 || S_ISREG(status.st_mode));
}

bool
spool_path(const char *state_dir, const char *name, char out[SPOOL_PATH_SIZE])
{
	const int length = snprintf(out, SPOOL_PATH_SIZE, "%s/%s", state_dir, name);

	return length > 0 && length < SPOOL_PATH_SIZE;
}
