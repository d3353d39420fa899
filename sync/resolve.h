/*
 * resolve: the addresses of a host, asked by a helper process, since getaddrinfo(3) has no deadline
 * and may take half a minute. The helper is killed when it takes too long.
 */
#ifndef MXHOLD_SYNC_RESOLVE_H
#define MXHOLD_SYNC_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RESOLVE_ADDRESSES 8
#define RESOLVE_TEXT 64 /* one address with its NUL; a scope may follow a link-local one */

struct resolve {
	pid_t pid; /* 0: none */
	int fd;
	size_t length;
	char text[RESOLVE_ADDRESSES * RESOLVE_TEXT];
};

enum resolve_state { RESOLVE_PENDING, RESOLVE_DONE, RESOLVE_FAILED };

/* Starts a helper for `host`. False: errno. */
bool resolve_start(struct resolve *resolve, const char *host) __attribute__((warn_unused_result));
/*
 * To be called when `fd` is readable. DONE: out[0..*count) are numeric addresses, in getaddrinfo's
 * order, and the helper is gone.
 */
enum resolve_state resolve_step(
    struct resolve *resolve, char out[RESOLVE_ADDRESSES][RESOLVE_TEXT], size_t *count);
/* Ends the helper, where there is one. */
void resolve_stop(struct resolve *resolve);

#endif
