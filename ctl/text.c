/*
 * text: growing strings, and memory that is there or ends the run (see text.h).
 */
#include "ctl/text.h"

#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
need(bool there)
{
	if (!there) {
		fputs("mxholdctl: out of memory\n", stderr);
		exit(CTL_SOFTWARE);
	}
}

void *
mem_resize(void *old, size_t count, size_t size)
{
	void *new = reallocarray(old, count > 0 ? count : 1, size);
	need(new != NULL);
	return new;
}

char *
mem_copy(const char *bytes, size_t length)
{
	char *copy = mem_resize(NULL, length + 1, 1);
	memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

char *
mem_string(const char *string)
{
	return mem_copy(string, strlen(string));
}

static void
make_room(struct text *text, size_t more)
{
	size_t wanted = text->length + more + 1;
	if (wanted <= text->room)
		return;
	text->room = wanted * 2;
	text->bytes = mem_resize(text->bytes, text->room, 1);
}

void
text_add(struct text *text, const char *bytes, size_t length)
{
	make_room(text, length);
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

void
text_puts(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void
text_format(struct text *text, const char *format, ...)
{
	char *words = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&words, format, args);
	va_end(args);
	need(length >= 0);
	text_add(text, words, (size_t)length);
	free(words);
}

/* Bytes of the last line so far. */
static size_t
column_of(const struct text *text)
{
	size_t column = 0;

	while (column < text->length && text->bytes[text->length - column - 1] != '\n')
		column++;
	return column;
}

void
text_wrap(struct text *text, const char *words, size_t width, size_t indent)
{
	size_t column = column_of(text);
	bool first = true;

	if (width == 0) {
		text_puts(text, words);
		return;
	}
	while (*(words += strspn(words, " ")) != '\0') {
		const size_t length = strcspn(words, " ");

		if (!first && column + 1 + length > width) {
			text_format(text, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			text_puts(text, " ");
			column++;
		}
		text_add(text, words, length);
		column += length;
		words += length;
		first = false;
	}
}

char *
text_take(struct text *text)
{
	char *bytes = text->bytes != NULL ? text->bytes : mem_string("");
	*text = (struct text){0};
	return bytes;
}

void
text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){0};
}

char *
mem_format(const char *format, ...)
{
	char *words = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&words, format, args);
	va_end(args);
	need(length >= 0);
	return words;
}

void
strings_add(struct strings *list, char *owned)
{
	list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = owned;
}

bool
strings_have(const struct strings *list, const char *item)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], item) == 0)
			return true;
	return false;
}

void
strings_free(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strings){0};
}
