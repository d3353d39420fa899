/*
 * alert_book: which alerts stand, and what is to be told of them. Pure but for malloc.
 *
 * Raised: told at once; raised again: only a higher level is told, or what says that there is more,
 * but the last words are what stands; reworded: nothing is told; ended: told with its duration.
 * Whoever flaps is told of less: what is raised again within ALERT_AGAIN_MS of its end must stand
 * for a minute, then two, four, ... before it is told, and is not told of at all when it ends
 * before that. What was taken over from a former process and is not raised anew within the kind's
 * time is ended.
 */
#ifndef MXHOLD_QUEUED_ALERT_BOOK_H
#define MXHOLD_QUEUED_ALERT_BOOK_H

#include "core/domain.h"
#include "queued/clock.h"
#include "queued/events.h"
#include "queued/heap.h"
#include "queued/keyed.h"

#define ALERT_AGAIN_MS 900000
#define ALERT_QUIET_MS 60000 /* doubled with each flap */
#define ALERT_QUIET_MAX_MS 960000

const char *alert_kind_name(enum alert_kind kind); /* "outage", "wrong-host", ... */
/* ALERT_KINDS: none. */
enum alert_kind alert_kind_of(const char *name);

enum alert_word { ALERT_RAISED, ALERT_ROSE, ALERT_ENDED };

struct alert_standing {
	enum alert_kind kind;
	char domain[DOMAIN_SIZE];
	unsigned level;
	char text[ALERT_TEXT_SIZE]; /* printable ASCII */
	int64_t since;              /* when it was raised, seconds since the epoch */
};

typedef void alert_tell(void *context, enum alert_word word, const struct alert_standing *standing);
typedef void alert_visit(const struct alert_standing *standing, void *context);
typedef bool alert_keep(const char *domain, void *context);

struct alert_book { /* start with tell and context set, all else 0 */
	struct keyed keyed;
	struct heap due;
	alert_tell *tell; /* the standing is valid during the call only */
	void *context;
	size_t standing; /* those that were told and stand */
};

void alert_book_free(struct alert_book *book);
/* Out of memory it is told, and not remembered. */
void alert_book_raise(struct alert_book *book, const struct alert *alert, struct queued_time now);
void alert_book_end(
    struct alert_book *book, enum alert_kind kind, const char *domain, struct queued_time now);
/* Ends those of `kind`, told or not yet, whose domain is not to be kept. */
void alert_book_sweep(struct alert_book *book, enum alert_kind kind, alert_keep *keep,
    void *context, struct queued_time now);
/* Was it left standing by a former process, and not raised anew since? */
bool alert_book_restored(const struct alert_book *book, enum alert_kind kind, const char *domain);
/* What a former process left standing: told by it, so not told now. */
void alert_book_restore(
    struct alert_book *book, const struct alert_standing *standing, struct queued_time now);
/* Does what is due. Returns the time (ms) of the next call; NEVER_MS: none. */
int64_t alert_book_tick(struct alert_book *book, struct queued_time now);
/* What was told and stands. */
void alert_book_each(struct alert_book *book, alert_visit *visit, void *context);

#endif
