/*
 * herald: see herald.h. In: rosters. Out: datagrams of whole lines. mxhold-queued may be away: what
 * it was not told waits here, the newest of it, within bounds (milter/backlog); it dies with this
 * process.
 *
 * A process of mxhold-queued that begins to read makes the socket's file look newer (or is behind
 * another file): then it is told again what the one before may not have written down. What that is,
 * time alone does not tell, since mxhold-queued may be away for hours: each second an empty
 * datagram finds out whether somebody reads, and only then what was sent grows older.
 */
#include "milter/herald.h"

#include "core/log.h"
#include "milter/backlog.h"

#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM 2048 /* octets at most: as mxhold-queued reads them */
#define BURST 128     /* datagrams of a turn: nobody who has one to tell waits for longer */
#define LOOK_MS ((int64_t)1000) /* how often it is looked who reads */

struct herald {
	struct sockaddr_un queued;
	int fd;
	/* of the thread that calls herald_turn() */
	struct stat reader; /* as the file was seen last */
	int64_t looked_ms;
	bool asked;           /* an empty datagram was sent then */
	pthread_mutex_t lock; /* of what follows */
	struct backlog backlog;
	bool told_lost; /* that datagrams were, since the socket took one: it was logged */
};

/* Is it another one? False also where there is none now. */
static bool
another_reads(struct herald *herald)
{
	const struct stat former = herald->reader;

	if (stat(herald->queued.sun_path, &herald->reader) != 0) {
		herald->reader = former;
		return false;
	}
	return former.st_ino != herald->reader.st_ino || former.st_dev != herald->reader.st_dev ||
	       former.st_mtim.tv_sec != herald->reader.st_mtim.tv_sec ||
	       former.st_mtim.tv_nsec != herald->reader.st_mtim.tv_nsec;
}

struct herald *
herald_new(const char *socket_dir)
{
	struct herald *herald = calloc(1, sizeof(*herald));

	if (herald == NULL)
		return NULL;
	backlog_init(&herald->backlog);
	herald->queued.sun_family = AF_UNIX;
	const int length = snprintf(
	    herald->queued.sun_path, sizeof(herald->queued.sun_path), "%s/queue-ask", socket_dir);
	if (length < 0 || (size_t)length >= sizeof(herald->queued.sun_path))
		herald->queued.sun_path[0] = '\0'; /* mxhold-queued has none either */
	(void)another_reads(herald);
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
tell_lost(struct herald *herald)
{
	if (herald->backlog.lost && !herald->told_lost)
		log_event(LOG_WARNING, "recipients-not-told", kv("to", "mxhold-queued"),
		    kv("effect", "what header_checks discard meanwhile has one row in the journal"),
		    kv("cure", "start mxhold-queued"));
	herald->told_lost = herald->backlog.lost;
}

void
herald_tell(struct herald *herald, const struct roster *roster)
{
	char text[DATAGRAM];
	size_t at = 0, length;

	(void)pthread_mutex_lock(&herald->lock);
	while ((length = roster_print(roster, &at, text, sizeof(text))) > 0) {
		const bool first = herald->backlog.waiting == NULL;

		backlog_add(
		    &herald->backlog, text, length, first && send_one(herald, text, length));
	}
	tell_lost(herald);
	(void)pthread_mutex_unlock(&herald->lock);
}

/* True: there is more that it would take soon. */
static bool
send_waiting(struct herald *herald)
{
	struct backlog *backlog = &herald->backlog;

	for (int i = 0; i < BURST && backlog->waiting != NULL; i++) {
		if (!send_one(herald, backlog->waiting->text, backlog->waiting->length))
			return errno == EAGAIN;
		backlog_sent(backlog);
		backlog->lost = herald->told_lost = false;
	}
	return backlog->waiting != NULL;
}

/* All that was sent was taken from the socket (or has gone with it: then nobody is told more). */
static bool
all_was_read(const struct herald *herald)
{
	int unread = 1;

	return ioctl(herald->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

static void
look(struct herald *herald, int64_t now_ms)
{
	const int64_t since = now_ms - herald->looked_ms;
	const bool another = another_reads(herald);
	const bool read = all_was_read(herald);

	herald->looked_ms = now_ms;
	(void)pthread_mutex_lock(&herald->lock);
	if (another)
		backlog_again(&herald->backlog);
	else if (herald->asked && read)
		backlog_lived(&herald->backlog, since < 2 * LOOK_MS ? since : 2 * LOOK_MS);
	const bool kept = !STAILQ_EMPTY(&herald->backlog.all);
	(void)pthread_mutex_unlock(&herald->lock);
	if (read) /* else the last one may still lie there */
		herald->asked = kept && send_one(herald, "", 0);
}

bool
herald_turn(struct herald *herald, int64_t now_ms)
{
	if (now_ms - herald->looked_ms >= LOOK_MS)
		look(herald, now_ms);
	(void)pthread_mutex_lock(&herald->lock);
	const bool more = send_waiting(herald);
	(void)pthread_mutex_unlock(&herald->lock);
	return more;
}

void
herald_free(struct herald *herald)
{
	if (herald == NULL)
		return;
	backlog_clear(&herald->backlog);
	(void)pthread_mutex_destroy(&herald->lock);
	(void)close(herald->fd);
	free(herald);
}
