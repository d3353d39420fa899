/*
 * herald: see herald.h. In: rosters. Out: datagrams of whole lines. mxhold-queued may be away: what
 * it was not told waits here, the newest of it, within bounds; it dies with this process.
 */
#include "milter/herald.h"

#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM 2048                       /* octets at most: as mxhold-queued reads them */
#define KEPT_MOST ((size_t)4 * 1024 * 1024) /* octets that wait; beyond, the oldest are dropped */

struct datagram {
	STAILQ_ENTRY(datagram) next;
	size_t length;
	char text[];
};

struct herald {
	struct sockaddr_un queued;
	int fd;
	pthread_mutex_t lock; /* of what follows */
	STAILQ_HEAD(datagrams, datagram) kept;
	size_t kept_size;
	bool dropped; /* some were, since the socket took one: it was logged */
};

struct herald *
herald_new(const char *socket_dir)
{
	struct herald *herald = calloc(1, sizeof(*herald));

	if (herald == NULL)
		return NULL;
	STAILQ_INIT(&herald->kept);
	herald->queued.sun_family = AF_UNIX;
	const int length = snprintf(
	    herald->queued.sun_path, sizeof(herald->queued.sun_path), "%s/queue-ask", socket_dir);
	if (length < 0 || (size_t)length >= sizeof(herald->queued.sun_path))
		herald->queued.sun_path[0] = '\0'; /* mxhold-queued has none either */
	herald->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (herald->fd >= 0 && pthread_mutex_init(&herald->lock, NULL) == 0)
		return herald;
	if (herald->fd >= 0)
		(void)close(herald->fd);
	free(herald);
	return NULL;
}

/* False: not now. */
static bool
send_one(const struct herald *herald, const char *text, size_t length)
{
	return sendto(herald->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&herald->queued, sizeof(herald->queued)) >= 0;
}

static void
drop_first(struct herald *herald)
{
	struct datagram *first = STAILQ_FIRST(&herald->kept);

	STAILQ_REMOVE_HEAD(&herald->kept, next);
	herald->kept_size -= first->length;
	free(first);
}

/* True: nothing waits any more. */
static bool
send_kept(struct herald *herald)
{
	struct datagram *first;

	while ((first = STAILQ_FIRST(&herald->kept)) != NULL) {
		if (!send_one(herald, first->text, first->length))
			return false;
		herald->dropped = false;
		drop_first(herald);
	}
	return true;
}

static void
keep(struct herald *herald, const char *text, size_t length)
{
	struct datagram *datagram = malloc(sizeof(*datagram) + length);

	if (datagram == NULL)
		return;
	memcpy(datagram->text, text, length);
	datagram->length = length;
	STAILQ_INSERT_TAIL(&herald->kept, datagram, next);
	herald->kept_size += length;
	if (herald->kept_size > KEPT_MOST && !herald->dropped) {
		herald->dropped = true;
		log_event(LOG_WARNING, "recipients-not-told", kv("to", "mxhold-queued"),
		    kv("effect", "what header_checks discard meanwhile has one row in the journal"),
		    kv("cure", "start mxhold-queued"));
	}
	while (herald->kept_size > KEPT_MOST)
		drop_first(herald);
}

void
herald_tell(struct herald *herald, const struct roster *roster)
{
	char text[DATAGRAM];
	size_t at = 0, length;

	(void)pthread_mutex_lock(&herald->lock);
	while ((length = roster_print(roster, &at, text, sizeof(text))) > 0)
		if (!send_kept(herald) || !send_one(herald, text, length))
			keep(herald, text, length);
	(void)pthread_mutex_unlock(&herald->lock);
}

void
herald_turn(struct herald *herald)
{
	(void)pthread_mutex_lock(&herald->lock);
	(void)send_kept(herald);
	(void)pthread_mutex_unlock(&herald->lock);
}

void
herald_free(struct herald *herald)
{
	if (herald == NULL)
		return;
	while (!STAILQ_EMPTY(&herald->kept))
		drop_first(herald);
	(void)pthread_mutex_destroy(&herald->lock);
	(void)close(herald->fd);
	free(herald);
}
