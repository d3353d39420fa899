/*
 * text: growing strings for mxholdctl. Running out of memory ends the program with CTL_SOFTWARE and
 * a word on stderr: it is a tool of one run, and every change of a file is repairable (see
 * postfix_store.h).
 */
#ifndef MXHOLD_CTL_TEXT_H
#define MXHOLD_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text { /* start with { 0 }; bytes is NUL-terminated as soon as anything was added */
	char *bytes;
	size_t length, room;
};

void text_add(struct text *text, const char *bytes, size_t length);
void text_puts(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds words so that no line is longer than `width` columns, where a word is not longer itself;
   lines that it begins are indented. `width` 0: as they are. */
void text_wrap(struct text *text, const char *words, size_t width, size_t indent);
/* The bytes, never NULL; the caller frees them, and `text` is empty again. */
char *text_take(struct text *text);
void text_free(struct text *text);

/* These never return NULL. */
void *mem_resize(void *old, size_t count, size_t size);
char *mem_copy(const char *bytes, size_t length);
char *mem_string(const char *string);
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A list of strings that it owns. */
struct strings {
	char **items;
	size_t count;
};
void strings_add(struct strings *list, char *owned);
bool strings_have(const struct strings *list, const char *item);
void strings_free(struct strings *list);

#endif
