/*
 * snapshot_carry: what outlives its row. Mail that was taken under a row may lie in the queue for
 * the whole queue lifetime; until then the row must go on speaking for it, as retired, or it would
 * leave by the stock transport, unfenced. So no row leaves a snapshot but through retired.
 *
 * In: the old rows and the new ones. Out: the new ones, and with them what is retired. A damaged
 * old row that the new set lacks is retired by its name alone; old rows out of order are not read.
 */
#include "core/snapshot_link.h"
#include "core/snapshot_value.h"
#include "core/snapshot_writer.h"

#include <string.h>

#define CHECKPOINT_ROWS 100000u

static bool
expired(int64_t retired_at, int64_t now, int64_t queue_lifetime)
{
	return retired_at != 0 && now > retired_at && now - retired_at >= queue_lifetime;
}

bool
snapshot_inherit(const struct domain_record *old, struct domain_record *record, int64_t now)
{
	bool changed = false;

	if (record->hops_withheld && record->next_hops[0] == '\0' && old->next_hops[0] != '\0') {
		memcpy(record->next_hops, old->next_hops, sizeof(record->next_hops));
		changed = true;
	}
	if (!record->include_subdomains && record->subdomains_retired_at == 0) {
		if (!old->include_subdomains)
			record->subdomains_retired_at = old->subdomains_retired_at;
		else
			record->subdomains_retired_at =
			    old->retired_at != 0 ? old->retired_at : now;
		changed = changed || record->subdomains_retired_at != 0;
	}
	return changed;
}

/* --- at the end of a load ------------------------------------------------------------------- */

struct carry {
	struct snapshot_writer *writer;
	int64_t now, queue_lifetime;
	MDB_cursor *old, *new;
	MDB_val new_key, new_value;
	bool new_ended;
	char name[SNAPSHOT_KEY_MAX + 1]; /* of the old row in hand */
	size_t name_length;
	char customer[CUSTOMER_SIZE]; /* seen to last */
	uint64_t carried;
	unsigned written; /* since the last checkpoint */
};

static int
new_get(struct carry *carry, MDB_cursor_op op)
{
	const int code = mdb_cursor_get(carry->new, &carry->new_key, &carry->new_value, op);

	carry->new_ended = code == MDB_NOTFOUND;
	return carry->new_ended ? 0 : code;
}

/* Order of the old row in hand against the new one: -1, 0, 1. */
static int
order(const struct carry *carry)
{
	if (carry->new_ended)
		return -1;
	const size_t a = carry->name_length, b = carry->new_key.mv_size;
	const int bytes = memcmp(carry->name, carry->new_key.mv_data, a < b ? a : b);

	return bytes != 0 ? bytes : (a > b) - (a < b);
}

/* The record that is stored, behind its link. */
static bool
decode(const MDB_val *key, const MDB_val *stored, struct domain_record *out)
{
	MDB_val value;
	uint32_t link;

	return snapshot_link_take(stored, &link, &value) &&
	       snapshot_value_get_domain(
		   key->mv_data, key->mv_size, value.mv_data, value.mv_size, out);
}

static MDB_val
row_key(struct carry *carry)
{
	return (MDB_val){.mv_size = carry->name_length, .mv_data = carry->name};
}

static int
put_new(struct carry *carry, const struct domain_record *record)
{
	uint8_t bytes[SNAPSHOT_VALUE_MAX];
	const size_t length = snapshot_value_put_domain(carry->name, record, bytes);

	if (length == 0)
		return MDB_BAD_VALSIZE;
	carry->written++;
	return snapshot_link_put(carry->new, SNAPSHOT_DOMAIN, row_key(carry), bytes, length);
}

/* The customer that a retired domain names must stay too, or nothing could be told of it. */
static int
carry_customer(struct carry *carry, const char *name)
{
	struct snapshot_writer *writer = carry->writer;
	struct customer_record record;
	MDB_val key = snapshot_key(name), value;

	if (name[0] == '\0' || strcmp(name, carry->customer) == 0)
		return 0;
	memcpy(carry->customer, name, strlen(name) + 1);
	const int code =
	    mdb_get(writer->txn, snapshot_writer_rows(writer, SNAPSHOT_CUSTOMER), &key, &value);
	if (code != MDB_NOTFOUND)
		return code;
	if (snapshot_write_get_customer(writer, true, name, &record) != SNAPSHOT_OK)
		return 0; /* the domain is retired: rule 5 does not ask for him */
	if (record.retired_at == 0)
		record.retired_at = carry->now;
	return snapshot_put_customer(writer, name, &record) == SNAPSHOT_OK ? 0 : MDB_BAD_TXN;
}

/* An old row that the new set lacks. */
static int
carry_vanished(struct carry *carry, const MDB_val *stored)
{
	struct domain_record record;
	char normal[DOMAIN_SIZE];

	const MDB_val key = row_key(carry);

	if (!decode(&key, stored, &record)) {
		if (!domain_normalise(carry->name, carry->name_length, normal) ||
		    strcmp(normal, carry->name) != 0)
			return 0; /* damage in the name: nobody's domain */
		record = (struct domain_record){.retired_at = carry->now};
	}
	if (record.retired_at == 0)
		record.retired_at = carry->now;
	if (expired(record.retired_at, carry->now, carry->queue_lifetime))
		return 0;
	int code = carry_customer(carry, record.customer);
	if (code == 0)
		code = put_new(carry, &record);
	if (code == 0) {
		carry->carried++;
		code = new_get(carry, MDB_NEXT); /* back to where it stood */
	}
	return code;
}

/* An old row that the new set has too. */
static int
carry_replaced(struct carry *carry, const MDB_val *stored)
{
	struct domain_record old, record;

	const MDB_val key = row_key(carry);

	if (!decode(&key, stored, &old))
		return 0;
	if (!decode(&key, &carry->new_value, &record))
		return MDB_CORRUPTED;
	if (!snapshot_inherit(&old, &record, carry->now))
		return 0;
	if (expired(record.subdomains_retired_at, carry->now, carry->queue_lifetime))
		record.subdomains_retired_at = 0;
	const int code = put_new(carry, &record);
	return code == 0 ? new_get(carry, MDB_NEXT) : code; /* what it stood on has moved */
}

/* Takes the next old row in hand, or returns MDB_NOTFOUND. */
static int
old_next(struct carry *carry, MDB_cursor_op op, MDB_val *value)
{
	const MDB_val before = row_key(carry);
	MDB_val key = before;
	const int code = mdb_cursor_get(carry->old, &key, value, op);

	if (code != 0)
		return code;
	if (key.mv_size == 0 || key.mv_size > SNAPSHOT_KEY_MAX)
		return MDB_CORRUPTED;
	if (op == MDB_NEXT && snapshot_key_compare(&before, &key) >= 0)
		return MDB_CORRUPTED; /* out of order: by it, rows that are there would seem gone */
	memmove(carry->name, key.mv_data, key.mv_size);
	carry->name[key.mv_size] = '\0';
	carry->name_length = key.mv_size;
	return 0;
}

/* Merges both sets from carry->name on, until the old one ends or a checkpoint is due. */
static int
merge(struct carry *carry)
{
	MDB_cursor_op op = carry->name_length == 0 ? MDB_FIRST : MDB_SET_RANGE;
	MDB_val value;
	int code;

	carry->new_key = (MDB_val){.mv_size = carry->name_length, .mv_data = carry->name};
	code = new_get(carry, op);
	for (; code == 0; op = MDB_NEXT) {
		code = old_next(carry, op, &value);
		while (code == 0 && order(carry) > 0)
			code = new_get(carry, MDB_NEXT);
		if (code == 0)
			code = order(carry) < 0 ? carry_vanished(carry, &value)
						: carry_replaced(carry, &value);
		if (code == 0 && carry->written >= CHECKPOINT_ROWS)
			break;
	}
	return code;
}

static int
merge_some(struct carry *carry)
{
	struct snapshot_writer *writer = carry->writer;
	int code = mdb_cursor_open(
	    writer->txn, snapshot_writer_active_rows(writer, SNAPSHOT_DOMAIN), &carry->old);

	if (code != 0)
		return code;
	code = mdb_cursor_open(
	    writer->txn, snapshot_writer_rows(writer, SNAPSHOT_DOMAIN), &carry->new);
	if (code == 0) {
		code = merge(carry);
		mdb_cursor_close(carry->new);
	}
	mdb_cursor_close(carry->old);
	return code;
}

enum snapshot_result
snapshot_load_carry_over(
    struct snapshot_writer *writer, int64_t now, int64_t queue_lifetime, uint64_t *carried)
{
	struct carry carry = {.writer = writer, .now = now, .queue_lifetime = queue_lifetime};
	int code;

	*carried = 0;
	if (writer->mode != WRITER_LOAD)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "no load is open");
	if (!writer->loaded)
		return SNAPSHOT_OK;
	while ((code = merge_some(&carry)) == 0) { /* a checkpoint is due */
		const enum snapshot_result result = snapshot_load_checkpoint(writer);

		if (result != SNAPSHOT_OK)
			return result;
		carry.written = 0;
	}
	*carried = carry.carried;
	if (code == MDB_NOTFOUND) /* the old set has ended */
		return SNAPSHOT_OK;
	return snapshot_writer_code(writer, "carrying over what is retired", code);
}

/* --- in a change ------------------------------------------------------------------------------ */

struct purge {
	struct snapshot_writer *writer;
	MDB_cursor *cursor;
	int64_t now, queue_lifetime;
	uint64_t purged;
	char name[SNAPSHOT_KEY_MAX + 1]; /* of the row in hand */
	MDB_val key;                     /* points to name */
	MDB_val value;                   /* without its link */
};

static bool
is_over(const struct purge *purge, int64_t retired_at)
{
	return expired(retired_at, purge->now, purge->queue_lifetime);
}

static int
purge_domain(struct purge *purge)
{
	struct domain_record record;
	uint8_t bytes[SNAPSHOT_VALUE_MAX];

	if (!snapshot_value_get_domain(purge->name, purge->key.mv_size, purge->value.mv_data,
		purge->value.mv_size, &record))
		return 0; /* verification and the next load see to it */
	if (is_over(purge, record.retired_at)) {
		purge->purged++;
		purge->writer->records_changed = true;
		return snapshot_link_delete(purge->cursor, SNAPSHOT_DOMAIN, purge->key);
	}
	if (!is_over(purge, record.subdomains_retired_at))
		return 0;
	record.subdomains_retired_at = 0;
	purge->writer->records_changed = true;
	return snapshot_link_put(purge->cursor, SNAPSHOT_DOMAIN, purge->key, bytes,
	    snapshot_value_put_domain(purge->name, &record, bytes));
}

static int
purge_customer(struct purge *purge)
{
	struct customer_record record;

	if (!snapshot_value_get_customer(purge->name, purge->key.mv_size, purge->value.mv_data,
		purge->value.mv_size, &record) ||
	    !is_over(purge, record.retired_at))
		return 0;
	purge->writer->records_changed = true;
	return snapshot_link_delete(purge->cursor, SNAPSHOT_CUSTOMER, purge->key);
}

/* Takes the next row in hand, or returns MDB_NOTFOUND. */
static int
purge_next(struct purge *purge)
{
	MDB_val key, stored;
	uint32_t link;
	const int code = mdb_cursor_get(purge->cursor, &key, &stored, MDB_NEXT);

	if (code != 0)
		return code;
	if (key.mv_size > SNAPSHOT_KEY_MAX)
		return MDB_CORRUPTED;
	memcpy(purge->name, key.mv_data, key.mv_size);
	purge->name[key.mv_size] = '\0';
	purge->key = (MDB_val){.mv_size = key.mv_size, .mv_data = purge->name};
	if (!snapshot_link_take(&stored, &link, &purge->value))
		purge->value.mv_size = 0; /* which no record is */
	return 0;
}

static int
purge_kind(struct purge *purge, enum snapshot_kind kind)
{
	int code = mdb_cursor_open(
	    purge->writer->txn, snapshot_writer_active_rows(purge->writer, kind), &purge->cursor);

	if (code != 0)
		return code;
	while (code == 0) {
		code = purge_next(purge);
		if (code == 0)
			code =
			    kind == SNAPSHOT_DOMAIN ? purge_domain(purge) : purge_customer(purge);
	}
	mdb_cursor_close(purge->cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

enum snapshot_result
snapshot_purge_retired(
    struct snapshot_writer *writer, int64_t now, int64_t queue_lifetime, uint64_t *purged)
{
	struct purge purge = {.writer = writer, .now = now, .queue_lifetime = queue_lifetime};

	*purged = 0;
	if (writer->mode != WRITER_CHANGE)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "no change is open");
	int code = purge_kind(&purge, SNAPSHOT_DOMAIN);
	if (code == 0)
		code = purge_kind(&purge, SNAPSHOT_CUSTOMER);
	*purged = purge.purged;
	return snapshot_writer_code(writer, "purging what is retired", code);
}
