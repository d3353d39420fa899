/*
 * alert_book: which alerts stand, and what is to be told of them. Pure but for malloc.
 *
 * Raised: told at once; raised again: only a higher level is told; ended: told with its duration.
 * Whoever flaps is told of less: what is raised again within ALERT_AGAIN_S of its end must stand
 * for a minute, then two, four, ... before it is told, and is not told of at all when it ends
 * before that. What was taken over from a former process and is not raised anew within the kind's
 * time is ended.
 */
#ifndef MXHOLD_QUEUED_ALERT_BOOK_H
#define MXHOLD_QUEUED_ALERT_BOOK_H

#include "core/domain.h"
#include "queued/events.h"
#include "queued/heap.h"
#include "queued/keyed.h"

#define ALERT_AGAIN_S 900
#define ALERT_QUIET_S 60 /* doubled with each flap */
#define ALERT_QUIET_MAX_S 960

const char *alert_kind_name(enum alert_kind kind); /* "outage", "wrong-host", ... */
/* ALERT_KINDS: none. */
enum alert_kind alert_kind_of(const char *name);

enum alert_word { ALERT_RAISED, ALERT_ROSE, ALERT_ENDED };

struct alert_standing {
	enum alert_kind kind;
	char domain[DOMAIN_SIZE];
	unsigned level;
	char text[256];
	int64_t since; /* when it was raised, seconds since the epoch */
};

struct alert_book {
	struct keyed keyed;
	struct heap due;
	/* `at`: seconds since the epoch. The standing is valid during the call. */
	void (*tell)(
	    void *context, enum alert_word word, const struct alert_standing *standing, int64_t at);
	void *context;
	size_t standing; /* those that were told and stand */
};

void alert_book_free(struct alert_book *book);
/* `now`: seconds, wall clock. False: out of memory, and it was told all the same. */
bool alert_book_raise(struct alert_book *book, const struct alert *alert, int64_t now);
void alert_book_end(struct alert_book *book, enum alert_kind kind, const char *domain, int64_t now);
/* What a former process left standing; told by it, so not told now. */
bool alert_book_restore(
    struct alert_book *book, const struct alert_standing *standing, int64_t now);
/* Does what is due. Returns the time of the next call; INT64_MAX: none. */
int64_t alert_book_tick(struct alert_book *book, int64_t now);
void alert_book_each(struct alert_book *book,
    void (*visit)(const struct alert_standing *standing, void *context), void *context);

#endif
