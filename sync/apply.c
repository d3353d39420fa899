/*
 * apply: see apply.h.
 */
#include "sync/apply.h"

#include "core/snapshot_value.h"

#include <string.h>

static bool
good(struct apply *apply, enum snapshot_result result)
{
	if (result != SNAPSHOT_OK)
		apply->result = result;
	return result == SNAPSHOT_OK;
}

bool
apply_begin(struct apply *apply)
{
	apply->result = SNAPSHOT_OK;
	return good(apply,
	    apply->load ? snapshot_load_begin(apply->writer) : snapshot_write_begin(apply->writer));
}

/* Does the feed tell what the snapshot has, but for what only the snapshot knows? */
static bool
same_domain(const char *key, const struct domain_record *told, const struct domain_record *old)
{
	struct domain_record whole = *told;
	uint8_t one[SNAPSHOT_VALUE_MAX], other[SNAPSHOT_VALUE_MAX];
	size_t length;

	whole.subdomains_retired_at = old->subdomains_retired_at;
	if (whole.hops_withheld) /* the snapshot keeps what it was told earlier */
		memcpy(whole.next_hops, old->next_hops, sizeof whole.next_hops);
	length = snapshot_value_put_domain(key, &whole, one);
	return length > 0 && length == snapshot_value_put_domain(key, old, other) &&
	       memcmp(one, other, length) == 0;
}

/*
 * The record of the active set, when there is a whole one. A damaged one counts as none: the row
 * that is about to be written replaces it.
 */
static bool
find_domain(struct apply *apply, const char *key, struct domain_record *old)
{
	return snapshot_write_get_domain(apply->writer, apply->load, key, old) == SNAPSHOT_OK;
}

static bool
put_domain(struct apply *apply, const char *key, const struct domain_record *told)
{
	struct domain_record old;
	bool had = (!apply->load || apply->compare) && find_domain(apply, key, &old);

	if (apply->compare && (!had || !same_domain(key, told, &old)))
		apply->differing++;
	if (!apply->load && (!had || old.retired_at != 0))
		apply->live++;
	if ((!apply->load || apply->compare) && (!had || old.retired_at != 0))
		hint_add(apply->hint, key);
	return good(apply, snapshot_put_domain(apply->writer, key, told, apply->now));
}

static bool
retire_domain(struct apply *apply, const char *key)
{
	struct domain_record old;

	if (!find_domain(apply, key, &old) || old.retired_at != 0)
		return true;
	old.retired_at = apply->now;
	apply->live--;
	return good(apply, snapshot_put_domain(apply->writer, key, &old, apply->now));
}

/*
 * A load tells what is gone lately; an old set that is whole knows it better, and longer than its
 * time it is not kept. Without one it counts from now, not from its removal: a relay that has not
 * heard of that may have taken mail until a moment ago. Where the row cannot be read, the names
 * below count as well.
 */
static bool
put_gone_domain(struct apply *apply, const struct row *row)
{
	struct domain_record record = {.include_subdomains = true, .tls_required = true}, old;
	enum snapshot_result known = snapshot_write_get_domain(apply->writer, true, row->key, &old);

	if (known == SNAPSHOT_OK || (known == SNAPSHOT_NOT_FOUND && apply->compare))
		return true;
	if (row->told)
		record = row->record.domain;
	record.retired_at = apply->now;
	apply->carried++;
	return good(apply, snapshot_put_domain(apply->writer, row->key, &record, apply->now));
}

static bool
retire_customer(struct apply *apply, const char *key)
{
	struct customer_record old;

	if (snapshot_write_get_customer(apply->writer, false, key, &old) != SNAPSHOT_OK ||
	    old.retired_at != 0)
		return true;
	old.retired_at = apply->now;
	return good(apply, snapshot_put_customer(apply->writer, key, &old));
}

static bool
delete_relay(struct apply *apply, const char *key)
{
	enum snapshot_result result = snapshot_delete_relay(apply->writer, key);

	return result == SNAPSHOT_NOT_FOUND || good(apply, result);
}

/*
 * A record without a customer is a domain of which nothing can be told (decide: 450). Its names
 * below count as well, since include_subdomains may have been set.
 */
static bool
put_unclear_domain(struct apply *apply, const char *key)
{
	struct domain_record record;

	if (!find_domain(apply, key, &record))
		record = (struct domain_record){.tls_required = true};
	record.customer[0] = '\0';
	record.retired_at = 0;
	record.include_subdomains = true;
	return put_domain(apply, key, &record);
}

/* Without his record nothing can be told of his domains. */
static bool
put_unclear_customer(struct apply *apply, const char *key)
{
	enum snapshot_result result;

	if (apply->load)
		return true;
	result = snapshot_delete_customer(apply->writer, key);
	return result == SNAPSHOT_NOT_FOUND || good(apply, result);
}

/* The old record stays: better an old fence than none. */
static bool
put_unclear_relay(struct apply *apply, const char *key)
{
	struct relay_record old;

	if (!apply->load || snapshot_write_get_relay(apply->writer, true, key, &old) != SNAPSHOT_OK)
		return true;
	return good(apply, snapshot_put_relay(apply->writer, key, &old));
}

static bool
put_unclear(struct apply *apply, const struct row *row)
{
	switch (row->kind) {
	case ROW_DOMAIN: return put_unclear_domain(apply, row->key);
	case ROW_CUSTOMER: return put_unclear_customer(apply, row->key);
	default: return put_unclear_relay(apply, row->key);
	}
}

static bool
put_row(struct apply *apply, const struct row *row)
{
	if (row->fault == ROW_BAD_RECORD)
		return put_unclear(apply, row);
	switch (row->kind) {
	case ROW_DOMAIN: return put_domain(apply, row->key, &row->record.domain);
	case ROW_CUSTOMER:
		return good(
		    apply, snapshot_put_customer(apply->writer, row->key, &row->record.customer));
	default:
		return good(apply, snapshot_put_relay(apply->writer, row->key, &row->record.relay));
	}
}

static bool
drop_row(struct apply *apply, const struct row *row)
{
	if (apply->load)
		return row->kind != ROW_DOMAIN || put_gone_domain(apply, row);
	switch (row->kind) {
	case ROW_DOMAIN: return retire_domain(apply, row->key);
	case ROW_CUSTOMER: return retire_customer(apply, row->key);
	default: return delete_relay(apply, row->key);
	}
}

static void
count_row(struct apply *apply, const struct row *row)
{
	bool domain = row->kind == ROW_DOMAIN && row->present;

	apply->rows++;
	if (domain && row->fault == ROW_BAD_KEY)
		apply->passed++;
	else if (domain)
		apply->domains++;
	if (row->kind == ROW_RELAY && row->present && strcmp(row->key, apply->relay) == 0)
		apply->own_row = true;
}

/* Into the snapshot. Nothing can be known by a key that cannot be used. */
static bool
take_row(struct apply *apply, const struct row *row)
{
	if (row->fault == ROW_BAD_KEY)
		return true;
	if (row->present)
		return put_row(apply, row);
	return drop_row(apply, row);
}

bool
apply_row(struct apply *apply, const struct row *row)
{
	count_row(apply, row);
	if (!take_row(apply, row))
		return false;
	return !apply->load || apply->rows % APPLY_BATCH != 0 ||
	       good(apply, snapshot_load_checkpoint(apply->writer));
}

bool
apply_end(struct apply *apply, const struct snapshot_meta *meta, int64_t queue_lifetime)
{
	uint64_t carried = 0;

	if (apply->load && !good(apply, snapshot_load_carry_over(
					    apply->writer, apply->now, queue_lifetime, &carried)))
		return false;
	apply->carried += carried;
	return good(apply, snapshot_commit(apply->writer, meta));
}

void
apply_abort(struct apply *apply)
{
	snapshot_abort(apply->writer);
}
