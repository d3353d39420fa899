/*
 * buffer: see buffer.h. Sizes are powers of two from 256 bytes; a buffer that holds much less than
 * its size is given back and made anew.
 */
#include "policyd/buffer.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_SMALLEST 256

static size_t
buffer_size_for(size_t length)
{
	size_t size = BUFFER_SMALLEST;

	while (size < length)
		size *= 2;
	return size;
}

bool
buffer_set(struct buffer *buffer, const char *bytes, size_t length)
{
	size_t size = buffer_size_for(length);
	char *data = buffer->data;

	if (length == 0) {
		buffer_free(buffer);
		return true;
	}
	if (size > buffer->size || size < buffer->size / 4) {
		data = malloc(size);
		if (data == NULL)
			return false;
		memcpy(data, bytes, length);
		free(buffer->data);
		buffer->data = data;
		buffer->size = size;
	} else {
		memmove(data, bytes, length);
	}
	buffer->used = length;
	return true;
}

void
buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){.data = NULL};
}
