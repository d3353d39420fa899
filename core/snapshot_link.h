/*
 * snapshot_link: each row of a snapshot names its neighbour. "Not found" becomes a refusal for
 * good, so it must be proven: the row before the gap says which key comes next (a hash of both
 * keys, in the first four bytes of what is stored), and the state record says which one comes
 * first. A page that was lost, overwritten or swapped for another breaks that chain, and the answer
 * is "cannot tell". (The same idea as NSEC in DNSSEC, RFC 4034 section 4, against accidents, not
 * attackers.)
 *
 * The functions that write keep the chain whole: all writing of rows goes through them.
 */
#ifndef MXHOLD_CORE_SNAPSHOT_LINK_H
#define MXHOLD_CORE_SNAPSHOT_LINK_H

#include "core/snapshot_format.h"

/* The link of the row `key` to the row `next`. NULL for key: the head; for next: the end. */
uint32_t snapshot_link(enum snapshot_kind kind, const MDB_val *key, const MDB_val *next);

/* Takes what is stored apart. False: too short for a link. */
bool snapshot_link_take(const MDB_val *stored, uint32_t *link, MDB_val *value);

/* As LMDB sorts: bytewise, the shorter first. */
int snapshot_key_compare(const MDB_val *a, const MDB_val *b);

/* The link of the head to the first row. Returns LMDB's code. */
int snapshot_link_head(MDB_cursor *cursor, enum snapshot_kind kind, uint32_t *link);

/* These return LMDB's code. After a put the cursor stands on the row. */
int snapshot_link_put(
    MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key, const void *value, size_t length);
/* Only behind the last row, else MDB_KEYEXIST: the fast way for keys that come in order. */
int snapshot_link_append(
    MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key, const void *value, size_t length);
/* After it MDB_NEXT gives the row behind. */
int snapshot_link_delete(MDB_cursor *cursor, enum snapshot_kind kind, MDB_val key);

#endif
