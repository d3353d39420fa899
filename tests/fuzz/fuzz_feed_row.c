/*
 * Fuzzes sync/row: one line of the feed. What is sound must be what the snapshot can hold: a key
 * and fields within their bounds, in a value that reads back; what is not must say why.
 */
#include "sync/row.h"

#include "core/snapshot_value.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void
check_present(const struct row *row)
{
	const size_t key = strlen(row->key);
	uint8_t value[SNAPSHOT_VALUE_MAX];
	struct customer_record customer;
	struct domain_record domain;
	struct relay_record relay;
	size_t length;

	switch (row->kind) {
	case ROW_RELAY:
		length = snapshot_value_put_relay(row->key, &row->record.relay, value);
		FUZZ_HOLDS(snapshot_value_get_relay(row->key, key, value, length, &relay));
		break;
	case ROW_CUSTOMER:
		length = snapshot_value_put_customer(row->key, &row->record.customer, value);
		FUZZ_HOLDS(snapshot_value_get_customer(row->key, key, value, length, &customer));
		break;
	default:
		length = snapshot_value_put_domain(row->key, &row->record.domain, value);
		FUZZ_HOLDS(snapshot_value_get_domain(row->key, key, value, length, &domain));
		FUZZ_HOLDS(domain.retired_at == 0 && domain.customer[0] != '\0');
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size > 0 ? size : 1); /* exact: the sanitizer sees each byte beyond */
	const char *error = NULL;
	struct row row;

	if (size > 0)
		memcpy(line, data, size);
	const bool good = row_parse(line, size, &row, &error);
	FUZZ_HOLDS(good || error != NULL);
	if (good)
		FUZZ_HOLDS((row.fault == ROW_SOUND) == (row.why == NULL));
	if (good)
		FUZZ_HOLDS(row.key[0] != '\0' && strlen(row.key) < sizeof(row.key));
	if (good && row.told)
		FUZZ_HOLDS(!row.present && row.kind == ROW_DOMAIN && row.fault == ROW_SOUND);
	if (good && (row.present || row.told) && row.fault == ROW_SOUND)
		check_present(&row);
	free(line);
	fuzz_outcome(good);
	return 0;
}
