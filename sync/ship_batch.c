/*
 * ship_batch: see ship_batch.h.
 */
#include "sync/ship_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 40 /* `,{"seq":18446744073709551615,` and the end */

static bool
make_room(struct ship_batch *batch, size_t more)
{
	size_t room = batch->room > 0 ? batch->room : 65536;
	char *text;

	while (room - batch->length < more)
		room *= 2;
	if (room == batch->room)
		return true;
	text = realloc(batch->text, room);
	if (text == NULL) {
		batch->failed = true;
		return false;
	}
	batch->text = text;
	batch->room = room;
	return true;
}

static void
put(struct ship_batch *batch, const char *bytes, size_t length)
{
	if (!make_room(batch, length + 1))
		return;
	memcpy(batch->text + batch->length, bytes, length);
	batch->length += length;
	batch->text[batch->length] = '\0';
}

void
ship_batch_begin(struct ship_batch *batch, unsigned limit, uint64_t after)
{
	batch->length = 0;
	batch->rows = 0;
	batch->limit = limit;
	batch->up_to = after;
	batch->failed = false;
	put(batch, "[", 1);
}

bool
ship_batch_add(const struct spool_entry *entry, void *context)
{
	struct ship_batch *batch = context;
	char head[HEAD_SIZE];
	int length;

	if (batch->rows >= batch->limit ||
	    (batch->rows > 0 && batch->length + entry->length > SHIP_BATCH_BYTES))
		return false;
	/* What is no object with members, or holds a NUL, would end the whole text. */
	if (entry->seq != batch->skip && entry->length > 2 && entry->text[0] == '{' &&
	    memchr(entry->text, '\0', entry->length) == NULL) {
		length = snprintf(head, sizeof head, "%s{\"seq\":%" PRIu64 ",",
		    batch->rows > 0 ? "," : "", entry->seq);
		put(batch, head, (size_t)length);
		put(batch, entry->text + 1, entry->length - 1);
		batch->rows++;
	}
	batch->up_to = entry->seq;
	return !batch->failed;
}

bool
ship_batch_end(struct ship_batch *batch)
{
	put(batch, "]", 1);
	return !batch->failed;
}

void
ship_batch_free(struct ship_batch *batch)
{
	free(batch->text);
	*batch = (struct ship_batch){.text = NULL};
}

unsigned
ship_batch_next_limit(unsigned rows, bool refused)
{
	if (refused)
		return rows > 1 ? rows / 2 : 1;
	return rows < SHIP_BATCH_ROWS / 2 ? rows * 2 + 1 : SHIP_BATCH_ROWS;
}
