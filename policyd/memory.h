/*
 * memory: who was sent away by rule 10, and when he first came: a table of fixed size in which
 * (network, sender, recipient) is a keyed hash, in a file that outlives children and restarts.
 *
 * The core is pure: a block of memory, a key, the time. Two processes may use one file at once. It
 * must never be the reason why a sender is refused for ever: what is damaged is made anew, and
 * where senders are more than the table holds, they are taken.
 */
#ifndef MXHOLD_POLICYD_MEMORY_H
#define MXHOLD_POLICYD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_FILE "senders" /* in the directory that memory_open() is given */

/* --- pure ------------------------------------------------------------------------------------ */

#define MEMORY_WAYS 8        /* places for one key; the one seen longest ago goes */
#define MEMORY_SECRET 192    /* bytes of the hash's key */
#define MEMORY_FORGET 172800 /* seconds after which a sender is new again: two days */
#define MEMORY_CROWDED 21600 /* one seen within six hours is not pushed out by another */

struct memory_table; /* how it lies in memory */

/* Bytes of a table of `sets` (a power of two). */
size_t memory_table_size(size_t sets);
/* Makes a table in zeroed memory of that size, aligned to 64 bytes. */
void memory_table_init(
    struct memory_table *table, size_t sets, const uint8_t secret[MEMORY_SECRET]);
/* Is it a table of `sets` that may be used? */
bool memory_table_sound(const struct memory_table *table, size_t size, size_t sets);
/* The hash of who asks for what. `client` is an address as text: his network counts, /24 or /64. */
uint64_t memory_table_key(const struct memory_table *table, const char *client, const char *sender,
    const char *recipient, size_t recipient_length);
/*
 * Notes that he is here at `now` (seconds since the epoch). True: he may be taken: he was first
 * here at least `retry_after` seconds ago, or there is no place to remember him.
 */
bool memory_table_visit(struct memory_table *table, uint64_t key, int64_t now, int64_t retry_after);

/* --- in a file ------------------------------------------------------------------------------- */

struct memory;

/*
 * DIRECTORY/senders, made where it is missing or damaged; where it cannot be made, that is tried
 * again at a visit, once a second. NULL: out of memory.
 */
struct memory *memory_open(const char *directory);
/* Is there a file now? */
bool memory_usable(const struct memory *memory);
/* Why not, by errno, when it was tried last; 0: there is one, or another process was at it. */
int memory_failed(const struct memory *memory);
void memory_close(struct memory *memory);
/*
 * memory_table_visit for one of policyd's questions. True also where the file was taken away or cut
 * in the meantime; then a new one is made at the next call.
 */
bool memory_visit(struct memory *memory, const char *client, const char *sender,
    const char *recipient, size_t recipient_length, int64_t now, int64_t retry_after);

#endif
