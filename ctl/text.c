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

void *
mem_resize(void *old, size_t count, size_t size)
{
	void *new = reallocarray(old, count > 0 ? count : 1, size);
	if (new == NULL) {
		fputs("mxholdctl: out of memory\n", stderr);
		exit(CTL_SOFTWARE);
	}
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

__attribute__((format(printf, 2, 0), nonnull)) static void
format_list(struct text *text, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return;
	make_room(text, (size_t)length);
	vsnprintf(text->bytes + text->length, (size_t)length + 1, format, args);
	text->length += (size_t)length;
}

void
text_format(struct text *text, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	format_list(text, format, args);
	va_end(args);
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
	struct text text = {0};
	va_list args;
	va_start(args, format);
	format_list(&text, format, args);
	va_end(args);
	return text_take(&text);
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
