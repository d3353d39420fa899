/*
 * rows: limits of a domain from the snapshot (see rows.h). It holds no transaction when it returns.
 */
#include "queued/rows.h"

#include <stdio.h>
#include <string.h>

static uint64_t
first_set(uint64_t row, uint64_t customer, uint64_t preset)
{
	return row != 0 ? row : customer != 0 ? customer : preset;
}

static void
limits_resolve(const struct conf *conf, const struct limits *row, const struct limits *customer,
    struct row_facts *out)
{
	const enum refused refused =
	    row->refused != REFUSED_INHERIT ? row->refused : customer->refused;
	const int64_t most = conf->relay.queue_lifetime;
	const int64_t preset = conf->queue.retention > 0 ? conf->queue.retention : most;

	out->retention = (int64_t)first_set(row->retention, customer->retention, (uint64_t)preset);
	if (out->retention > most)
		out->retention = most;
	out->keep_refused =
	    refused == REFUSED_KEEP || (refused == REFUSED_INHERIT && conf->queue.keep_refused);
	out->quota_messages = first_set(
	    row->quota_messages, customer->quota_messages, (uint64_t)conf->queue.quota_messages);
	out->quota_bytes =
	    first_set(row->quota_bytes, customer->quota_bytes, (uint64_t)conf->queue.quota_bytes);
}

static enum rows_answer
row_read(
    struct snapshot *snapshot, const struct conf *conf, const char *domain, struct row_facts *out)
{
	struct domain_record record;
	struct customer_record customer;
	const char *owner;
	enum snapshot_result result = snapshot_domain_for(snapshot, domain, &record, &owner);

	if (result == SNAPSHOT_NOT_FOUND)
		return ROWS_OTHER;
	if (result != SNAPSHOT_OK)
		return ROWS_CANNOT_TELL;
	result = snapshot_customer(snapshot, record.customer, &customer);
	if (result == SNAPSHOT_NOT_FOUND) /* his limits went with him; the mail is still ours */
		memset(&customer, 0, sizeof(customer));
	else if (result != SNAPSHOT_OK)
		return ROWS_CANNOT_TELL;
	snprintf(out->owner, sizeof(out->owner), "%s", owner);
	limits_resolve(conf, &record.limits, &customer.limits, out);
	return ROWS_OURS;
}

enum rows_answer
rows_find(
    struct snapshot *snapshot, const struct conf *conf, const char *domain, struct row_facts *out)
{
	memset(out, 0, sizeof(*out));
	if (snapshot_begin(snapshot, snapshot_clock_boot_ms()) != SNAPSHOT_OK)
		return ROWS_CANNOT_TELL;
	const enum rows_answer answer = row_read(snapshot, conf, domain, out);
	snapshot_end(snapshot);
	return answer;
}
