/*
 * postfix_entries: reads what stands in a lookup table, entry by entry.
 *
 * A table of patterns or networks is read as text, as header_checks(5) and access(5) describe it;
 * one that postmap(1) can walk is walked, or else its source is read. It changes nothing.
 */
#ifndef MXHOLD_CTL_POSTFIX_ENTRIES_H
#define MXHOLD_CTL_POSTFIX_ENTRIES_H

#include "ctl/postfix_facts.h"

/* `key`: a key or a pattern, with its delimiters. Both strings last for the call only. */
typedef void entries_visit(const char *key, const char *result, void *context);

/* Calls `visit` for each entry of `table` (type:name). False: it cannot be read, or not whole. */
bool entries_each(const struct pf_facts *facts, const char *table, bool verbose,
    entries_visit *visit, void *context) __attribute__((warn_unused_result));

/* The table without `proxy:`. Pure. */
const char *entries_name(const char *table);
/* Does the table stand in the setting itself (inline:, static:, regexp:{...})? Pure. */
bool entries_in_setting(const char *table);
/* Is it one of patterns, which see whole strings only (regexp:, pcre:)? Pure. */
bool entries_of_patterns(const char *table);

/* The result of one logical line of a table: what stands behind key or pattern; "" for none. Pure.
 */
const char *entries_result(const char *line, bool is_pattern);

#endif
