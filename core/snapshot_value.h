/*
 * snapshot_value: records to bytes and back, with a checksum over key and value (XXH3, 64 bits).
 * Pure. Decoding bounds every length; whatever does not fit is damaged.
 */
#ifndef MXHOLD_CORE_SNAPSHOT_VALUE_H
#define MXHOLD_CORE_SNAPSHOT_VALUE_H

#include "core/records.h"

#define SNAPSHOT_VALUE_MAX 8192

/* Return the length written to out, or 0 when a field is out of its bounds. */
size_t snapshot_value_put_domain(
    const char *key, const struct domain_record *record, uint8_t out[SNAPSHOT_VALUE_MAX]);
size_t snapshot_value_put_customer(
    const char *key, const struct customer_record *record, uint8_t out[SNAPSHOT_VALUE_MAX]);
size_t snapshot_value_put_relay(
    const char *key, const struct relay_record *record, uint8_t out[SNAPSHOT_VALUE_MAX]);

/* False: damaged. `key` need not be NUL-terminated. */
bool snapshot_value_get_domain(const void *key, size_t key_length, const void *value, size_t length,
    struct domain_record *out) __attribute__((warn_unused_result));
bool snapshot_value_get_customer(const void *key, size_t key_length, const void *value,
    size_t length, struct customer_record *out) __attribute__((warn_unused_result));
bool snapshot_value_get_relay(const void *key, size_t key_length, const void *value, size_t length,
    struct relay_record *out) __attribute__((warn_unused_result));

#endif
