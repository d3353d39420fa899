/*
 * pin_hops: which rows pin the server at a next hop? smtp(8) asks about a pinned primary by its
 * next hop, and a row's own ones do not tell the row. So what `transport` answered is remembered,
 * by the rows that named it; what a process before this one answered is found by whoever reads all
 * rows once. Pure but for malloc.
 */
#ifndef MXHOLD_POLICYD_PIN_HOPS_H
#define MXHOLD_POLICYD_PIN_HOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIN_HOP_SIZE 272 /* "[name]:port", with NUL; longer ones are not remembered */

struct pin_hops;

struct pin_hops *pin_hops_new(void); /* NULL: out of memory */
void pin_hops_free(struct pin_hops *hops);
/*
 * Remembers that the row `name` has the next hop hop[0..length), in whatever case. Twice does no
 * harm. False: out of memory, or too long.
 */
bool pin_hops_add(struct pin_hops *hops, const char *hop, size_t length, const char *name)
    __attribute__((warn_unused_result));
/* Calls `visit` for each row that named it, once; they may have changed since. */
void pin_hops_each(const struct pin_hops *hops, const char *hop, size_t length,
    void (*visit)(const char *name, void *context), void *context);
/* How often was something added? */
uint64_t pin_hops_changes(const struct pin_hops *hops);
/*
 * Were all rows read into it? They have to be read again when rows that changed had left more in it
 * than there were, and it was emptied.
 */
bool pin_hops_complete(const struct pin_hops *hops);
void pin_hops_completed(struct pin_hops *hops);

#endif
