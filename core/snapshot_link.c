/*
 * snapshot_link: the chain of the rows (see snapshot_link.h).
 *
 * In: a cursor of a write transaction, and a row. Out: the row and the one before it, linked. LMDB
 * hands out pointers into pages that the next write moves: whatever is needed later is copied.
 */
#include "core/snapshot_link.h"

#include "core/snapshot_value.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define LINK_SIZE 4u
#define SEED_LINK 200u

struct key_copy {
	char bytes[SNAPSHOT_KEY_MAX];
	MDB_val key; /* points to bytes */
	bool there;
};

uint32_t
snapshot_link(enum snapshot_kind kind, const MDB_val *key, const MDB_val *next)
{
	const MDB_val none = snapshot_key("");
	const MDB_val *from = key != NULL ? key : &none, *to = next != NULL ? next : &none;

	return (uint32_t)XXH3_64bits_withSeed(to->mv_data, to->mv_size,
	    XXH3_64bits_withSeed(from->mv_data, from->mv_size, SEED_LINK + kind));
}

bool
snapshot_link_take(const MDB_val *stored, uint32_t *link, MDB_val *value)
{
	const uint8_t *bytes = stored->mv_data;

	if (stored->mv_size < LINK_SIZE)
		return false;
	*link = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
		(uint32_t)bytes[3] << 24;
	value->mv_data = (char *)stored->mv_data + LINK_SIZE;
	value->mv_size = stored->mv_size - LINK_SIZE;
	return true;
}

int
snapshot_key_compare(const MDB_val *a, const MDB_val *b)
{
	const size_t common = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
	const int order = memcmp(a->mv_data, b->mv_data, common);

	return order != 0 ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static int
copy_key(const MDB_val *key, struct key_copy *out)
{
	if (key->mv_size > sizeof(out->bytes))
		return MDB_CORRUPTED;
	memcpy(out->bytes, key->mv_data, key->mv_size);
	out->key = (MDB_val){.mv_size = key->mv_size, .mv_data = out->bytes};
	out->there = true;
	return 0;
}

/* Moves the cursor and copies the key there. No row there is no failure: out->there is false. */
static int
move(MDB_cursor *cursor, MDB_cursor_op op, MDB_val key, struct key_copy *out)
{
	MDB_val value;
	const int code = mdb_cursor_get(cursor, &key, &value, op);

	out->there = false;
	return code == 0 ? copy_key(&key, out) : code == MDB_NOTFOUND ? 0 : code;
}

static int
write_row(MDB_cursor *cursor, MDB_val key, uint32_t link, const void *value, size_t length,
    unsigned flags)
{
	uint8_t bytes[LINK_SIZE + SNAPSHOT_VALUE_MAX];
	MDB_val stored = {.mv_size = LINK_SIZE + length, .mv_data = bytes};

	if (length > SNAPSHOT_VALUE_MAX)
		return MDB_BAD_VALSIZE;
	for (size_t i = 0; i < LINK_SIZE; i++)
		bytes[i] = (uint8_t)(link >> (8 * i));
	memcpy(bytes + LINK_SIZE, value, length);
	return mdb_cursor_put(cursor, &key, &stored, flags);
}

/* Links the row that the cursor stands on to `next`. One that is too damaged is left as it is. */
static int
relink(MDB_cursor *cursor, enum snapshot_kind kind, const struct key_copy *row, const MDB_val *next)
{
	uint8_t bytes[SNAPSHOT_VALUE_MAX];
	MDB_val key, stored, value;
	uint32_t old;
	const int code = mdb_cursor_get(cursor, &key, &stored, MDB_GET_CURRENT);

	if (code != 0 || !snapshot_link_take(&stored, &old, &value) ||
	    value.mv_size > sizeof(bytes))
		return code;
	memcpy(bytes, value.mv_data, value.mv_size);
	return write_row(cursor, row->key, snapshot_link(kind, &row->key, next), bytes,
	    value.mv_size, MDB_CURRENT);
}

int
snapshot_link_head(MDB_cursor *cursor, enum snapshot_kind kind, uint32_t *link)
{
	struct key_copy first;
	const int code = move(cursor, MDB_FIRST, (MDB_val){0, NULL}, &first);

	if (code == 0)
		*link = snapshot_link(kind, NULL, first.there ? &first.key : NULL);
	return code;
}

/* Gives the row that is there already another value; its neighbours stay. */
static int
replace(MDB_cursor *cursor, enum snapshot_kind kind, const MDB_val *key, const void *value,
    size_t length)
{
	struct key_copy next;
	int code = move(cursor, MDB_NEXT, *key, &next);

	if (code != 0)
		return code;
	return write_row(cursor, *key, snapshot_link(kind, key, next.there ? &next.key : NULL),
	    value, length, 0);
}

int
snapshot_link_put(
    MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key, const void *value, size_t length)
{
	struct key_copy next, before;
	int code = move(cursor, MDB_SET_RANGE, key, &next);

	if (code != 0)
		return code;
	if (next.there && snapshot_key_compare(&next.key, &key) == 0)
		return replace(cursor, kind, &key, value, length);
	code = move(cursor, next.there ? MDB_PREV : MDB_LAST, key, &before);
	if (code == 0 && before.there)
		code = relink(cursor, kind, &before, &key);
	if (code != 0)
		return code;
	return write_row(cursor, key, snapshot_link(kind, &key, next.there ? &next.key : NULL),
	    value, length, 0);
}

int
snapshot_link_append(
    MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key, const void *value, size_t length)
{
	struct key_copy last;
	int code = move(cursor, MDB_LAST, key, &last);

	if (code == 0 && last.there) {
		if (snapshot_key_compare(&last.key, &key) >= 0)
			return MDB_KEYEXIST;
		code = relink(cursor, kind, &last, &key);
	}
	if (code != 0)
		return code;
	return write_row(cursor, key, snapshot_link(kind, &key, NULL), value, length, MDB_APPEND);
}

int
snapshot_link_delete(MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key)
{
	struct key_copy next, before;
	MDB_val value, same = key;
	int code = mdb_cursor_get(cursor, &same, &value, MDB_SET);

	if (code != 0)
		return code;
	code = move(cursor, MDB_NEXT, key, &next);
	if (code == 0)
		code = mdb_cursor_get(cursor, &same, &value, MDB_SET);
	if (code == 0)
		code = move(cursor, MDB_PREV, key, &before);
	if (code == 0 && before.there)
		code = relink(cursor, kind, &before, next.there ? &next.key : NULL);
	if (code == 0)
		code = mdb_cursor_get(cursor, &same, &value, MDB_SET);
	return code == 0 ? mdb_cursor_del(cursor, 0) : code;
}
