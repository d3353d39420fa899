/*
 * postfix_talk: small blocking conversations over sockets, each with a deadline in milliseconds.
 */
#ifndef MXHOLD_CTL_POSTFIX_TALK_H
#define MXHOLD_CTL_POSTFIX_TALK_H

#include <stdbool.h>
#include <stddef.h>

/* -1: no connection. Reads and writes on the descriptor time out after `ms`. */
int talk_unix(const char *path, int ms);
/*
 * Tries again until `ms` are over: a server that was told to reload comes back. `source`: the
 * numeric address to come from, of the same family; NULL: any.
 */
int talk_tcp(const char *host, const char *port, const char *source, int ms);
void talk_close(int fd); /* -1 is nothing */

bool talk_write(int fd, const void *bytes, size_t length);
/* Exactly `length` bytes. */
bool talk_read(int fd, void *bytes, size_t length, int ms);
/* Up to and including `end`; NUL-terminated. False also when it does not fit. */
bool talk_until(int fd, const char *end, char *out, size_t size, int ms);
/* The payload of one netstring, NUL-terminated. */
bool talk_netstring(int fd, char *out, size_t size, int ms);
/* One SMTP reply, of one or several lines; `out` gets its last line. */
bool talk_reply(int fd, char *out, size_t size, int ms);
/* Everything until the other side closes, cut at size - 1 bytes. */
size_t talk_to_end(int fd, char *out, size_t size);

#endif
