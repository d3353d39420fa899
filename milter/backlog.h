/*
 * backlog: the datagrams for mxhold-queued, in their order: those that wait, and before them those
 * that it was sent a short while ago, since another process of it may have to hear them again. Pure
 * but for malloc; not for several threads at once.
 */
#ifndef MXHOLD_MILTER_BACKLOG_H
#define MXHOLD_MILTER_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * So long what was sent is kept, in time in which its reader was seen to live. mxhold-queued has
 * written it down within seconds, but where the log or a snapshot keeps it waiting.
 */
#define BACKLOG_KEPT_MS ((int64_t)600 * 1000)
#define BACKLOG_MOST ((size_t)4 * 1024 * 1024) /* octets of memory; beyond, the oldest go */

struct datagram {
	STAILQ_ENTRY(datagram) next;
	int64_t sent_ms; /* when it was sent first, as `lived_ms`; -1: not yet */
	size_t length;
	char text[];
};

struct backlog {
	STAILQ_HEAD(datagrams, datagram) all;
	struct datagram *waiting; /* the first that waits; all behind it do too. NULL: none */
	size_t size;
	int64_t lived_ms; /* the time in which the reader was seen to live */
	bool lost;        /* one that was never sent had to go */
};

void backlog_init(struct backlog *backlog);
void backlog_clear(struct backlog *backlog);
/* One more, which waits, or (`sent`) is kept only. Out of memory it is not. */
void backlog_add(struct backlog *backlog, const char *text, size_t length, bool sent);
/* The first that waits was sent. */
void backlog_sent(struct backlog *backlog);
/* All that are kept wait again: somebody else reads now. */
void backlog_again(struct backlog *backlog);
/* The reader has lived on for so long: what is too old, and waits no more, is forgotten. */
void backlog_lived(struct backlog *backlog, int64_t ms);

#endif
