/*
 * buffer: bytes that wait in memory for more of a request, or for a client to read. It takes no
 * memory while it is empty, so that ten thousand idle clients cost next to nothing.
 */
#ifndef MXHOLD_POLICYD_BUFFER_H
#define MXHOLD_POLICYD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *data;
	size_t used;
	size_t size;
};

/* Replaces what the buffer holds; `bytes` may lie inside it. False: out of memory, unchanged. */
bool buffer_set(struct buffer *buffer, const char *bytes, size_t length)
    __attribute__((warn_unused_result));
void buffer_free(struct buffer *buffer);

#endif
