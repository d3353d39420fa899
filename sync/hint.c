/*
 * hint: see hint.h. In: names. Out: datagrams of whole lines. It must never wait.
 */
#include "sync/hint.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM 2048 /* bytes at most: as mxhold-queued reads them */

void
hint_add(struct hint *hint, const char *domain)
{
	const size_t length = strlen(domain);

	if (length >= sizeof(hint->text) - hint->used)
		return;
	memcpy(hint->text + hint->used, domain, length);
	hint->text[hint->used + length] = '\n';
	hint->used += length + 1;
}

/* Bytes of the whole lines that fit into a datagram. */
static size_t
take_lines(const char *text, size_t left)
{
	size_t length = left < DATAGRAM ? left : DATAGRAM;

	while (length > 0 && text[length - 1] != '\n')
		length--;
	return length;
}

void
hint_send(const struct hint *hint, const char *socket_dir)
{
	struct sockaddr_un queued = {.sun_family = AF_UNIX};
	const int path =
	    snprintf(queued.sun_path, sizeof(queued.sun_path), "%s/queue-ask", socket_dir);
	size_t at = 0, length;

	if (hint->used == 0 || path < 0 || (size_t)path >= sizeof(queued.sun_path))
		return;
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	while ((length = take_lines(hint->text + at, hint->used - at)) > 0 &&
	       sendto(fd, hint->text + at, length, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&queued, sizeof(queued)) >= 0)
		at += length;
	(void)close(fd);
}
