/*
 * state_value: a domain's record of the state to bytes and back, with a checksum over key and value
 * (XXH3, 64 bits). Pure. Decoding bounds every length and takes only what encoding could have
 * written.
 */
#ifndef MXHOLD_CORE_STATE_VALUE_H
#define MXHOLD_CORE_STATE_VALUE_H

#include "core/state.h"

#define STATE_VALUE_MAX 1024

/* Returns the length written to out, or 0 when a field is out of its bounds. */
size_t state_value_put(
    const char *key, const struct state_domain *record, uint8_t out[STATE_VALUE_MAX]);
/* False: damaged. `key` need not be NUL-terminated. */
bool state_value_get(const void *key, size_t key_length, const void *value, size_t length,
    struct state_domain *out) __attribute__((warn_unused_result));

#endif
