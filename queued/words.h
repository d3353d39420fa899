/*
 * words: texts that many hold and that are kept once (100,000 messages, one "Connection refused").
 * Counted references. Pure but for malloc.
 */
#ifndef MXHOLD_QUEUED_WORDS_H
#define MXHOLD_QUEUED_WORDS_H

#include "queued/keyed.h"

struct words {
	struct keyed keyed;
};

/* The kept text, NUL-terminated, with one reference more. NULL: out of memory. */
const char *words_take(struct words *words, const char *text);
/* Gives one reference back. NULL is nothing. */
void words_drop(struct words *words, const char *text);
void words_free(struct words *words); /* with all texts that are left */

#endif
