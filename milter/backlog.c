/*
 * backlog: see backlog.h. In: texts, and what became of them. Out: which is the next to be sent. It
 * must never grow beyond its bound, nor let one overtake another.
 */
#include "milter/backlog.h"

#include <stdlib.h>
#include <string.h>

static size_t
weight(const struct datagram *datagram)
{
	return sizeof(*datagram) + datagram->length;
}

static void
drop_first(struct backlog *backlog)
{
	struct datagram *first = STAILQ_FIRST(&backlog->all);

	if (first == backlog->waiting)
		backlog->waiting = STAILQ_NEXT(first, next);
	STAILQ_REMOVE_HEAD(&backlog->all, next);
	backlog->size -= weight(first);
	free(first);
}

void
backlog_init(struct backlog *backlog)
{
	memset(backlog, 0, sizeof(*backlog));
	STAILQ_INIT(&backlog->all);
}

void
backlog_clear(struct backlog *backlog)
{
	while (!STAILQ_EMPTY(&backlog->all))
		drop_first(backlog);
}

static void
make_room(struct backlog *backlog)
{
	while (backlog->size > BACKLOG_MOST) {
		if (STAILQ_FIRST(&backlog->all)->sent_ms < 0)
			backlog->lost = true;
		drop_first(backlog);
	}
}

void
backlog_add(struct backlog *backlog, const char *text, size_t length, bool sent)
{
	struct datagram *datagram = malloc(sizeof(*datagram) + length);

	if (datagram == NULL)
		return;
	memcpy(datagram->text, text, length);
	datagram->length = length;
	datagram->sent_ms = sent ? backlog->lived_ms : -1;
	STAILQ_INSERT_TAIL(&backlog->all, datagram, next);
	backlog->size += weight(datagram);
	if (!sent && backlog->waiting == NULL)
		backlog->waiting = datagram;
	make_room(backlog);
}

/* The time of the first time stays: what a reader dies of is not told for ever. */
void
backlog_sent(struct backlog *backlog)
{
	if (backlog->waiting->sent_ms < 0)
		backlog->waiting->sent_ms = backlog->lived_ms;
	backlog->waiting = STAILQ_NEXT(backlog->waiting, next);
}

void
backlog_again(struct backlog *backlog)
{
	backlog->waiting = STAILQ_FIRST(&backlog->all);
}

void
backlog_lived(struct backlog *backlog, int64_t ms)
{
	const struct datagram *first;

	backlog->lived_ms += ms;
	while ((first = STAILQ_FIRST(&backlog->all)) != NULL && first != backlog->waiting &&
	       backlog->lived_ms - first->sent_ms >= BACKLOG_KEPT_MS)
		drop_first(backlog);
}
