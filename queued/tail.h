/*
 * tail: follows Postfix's log, through rotation and restarts: a file, or systemd's journal.
 *
 * It is asked for lines (no callbacks of its own, no waiting), and says where it stands, as one
 * line of text to be stored with what the lines caused. A position is never within a line.
 *
 * A file is known again by its inode and by a fingerprint (of its first bytes): so a renamed one is
 * read to its end before the new one, a copied and truncated one from its copy, and what was
 * rotated away while nobody read (also compressed by gzip) in its order. Lines over 64 KiB are
 * passed over.
 */
#ifndef MXHOLD_QUEUED_TAIL_H
#define MXHOLD_QUEUED_TAIL_H

#include "queued/maillog.h"

#include <stddef.h>

#define TAIL_POSITION_SIZE 1024
#define TAIL_LINE_MAX 65536
#define TAIL_JOURNALD "journald"
#define TAIL_FRESH_MOST ((int64_t)64 << 20) /* without a position: the file's last bytes */

enum tail_state {
	TAIL_MORE,    /* there is, or may be, more */
	TAIL_END,     /* all that is there was read */
	TAIL_LATER,   /* nothing just now, but more may be on its way: ask again soon */
	TAIL_MISSING, /* no log, or it cannot be read: see tail_problem */
	TAIL_STOPPED, /* the visitor would not take a line: it comes again */
};

struct tail;

/* `path`: of a file, or TAIL_JOURNALD. Kept by reference. NULL: out of memory. */
struct tail *tail_new(const char *path);
void tail_free(struct tail *tail);
/* Goes on from there; "" or one that is not understood: from the beginning of what is there. */
void tail_seek(struct tail *tail, const char *position);
/* False: none yet. */
bool tail_position(const struct tail *tail, char out[TAIL_POSITION_SIZE])
    __attribute__((warn_unused_result));
/* Hands out at most `most` lines, as events. `now`: seconds since the epoch, for the year. */
enum tail_state tail_read(struct tail *tail, int64_t now, unsigned most,
    bool (*visit)(const struct maillog_event *event, void *context), void *context);
/* Why it is MISSING, or what was lost: owned text, "" where all is well. */
const char *tail_problem(const struct tail *tail);
/* Another command than /usr/bin/journalctl, kept by reference (tests). */
void tail_set_journalctl(struct tail *tail, const char *path);

#endif
