/*
 * postfix_talk: small conversations with a deadline (see postfix_talk.h).
 */
#include "ctl/postfix_talk.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static long long
now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void
set_deadline(int fd, int ms)
{
	struct timeval time = {ms / 1000, (ms % 1000) * 1000L};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

int
talk_unix(const char *path, int ms)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	set_deadline(fd, ms);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* True also where no source is wanted. */
static bool
bind_source(int fd, const char *source, int family)
{
	struct addrinfo hints = {
	    .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *list;
	if (source == NULL)
		return true;
	if (getaddrinfo(source, NULL, &hints, &list) != 0)
		return false;
	bool good = bind(fd, list->ai_addr, list->ai_addrlen) == 0;
	freeaddrinfo(list);
	return good;
}

static int
connect_once(const struct addrinfo *list, const char *source, int ms)
{
	for (; list != NULL; list = list->ai_next) {
		int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		set_deadline(fd, ms);
		if (bind_source(fd, source, list->ai_family) &&
		    connect(fd, list->ai_addr, list->ai_addrlen) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

int
talk_tcp(const char *host, const char *port, const char *source, int ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	long long deadline = now_ms() + ms;
	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	int fd = connect_once(list, source, ms);
	while (fd < 0 && now_ms() < deadline) {
		usleep(100000);
		fd = connect_once(list, source, ms);
	}
	freeaddrinfo(list);
	return fd;
}

void
talk_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

bool
talk_write(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;
	while (length > 0) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
		if (sent < 0 && errno == ENOTSOCK)
			sent = write(fd, at, length);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool
read_byte(int fd, char *byte, long long deadline)
{
	struct pollfd wait = {fd, POLLIN, 0};
	for (;;) {
		long long left = deadline - now_ms();
		if (left <= 0)
			return false;
		int ready = poll(&wait, 1, (int)left);
		if (ready == 0 || (ready < 0 && errno != EINTR))
			return false;
		if (ready > 0)
			return read(fd, byte, 1) == 1;
	}
}

bool
talk_read(int fd, void *bytes, size_t length, int ms)
{
	long long deadline = now_ms() + ms;
	for (size_t i = 0; i < length; i++)
		if (!read_byte(fd, (char *)bytes + i, deadline))
			return false;
	return true;
}

bool
talk_until(int fd, const char *end, char *out, size_t size, int ms)
{
	long long deadline = now_ms() + ms;
	size_t length = 0, tail = strlen(end);
	while (length + 1 < size && read_byte(fd, out + length, deadline)) {
		length++;
		out[length] = '\0';
		if (length >= tail && strcmp(out + length - tail, end) == 0)
			return true;
	}
	out[length] = '\0';
	return false;
}

bool
talk_netstring(int fd, char *out, size_t size, int ms)
{
	char head[16], comma;
	if (!talk_until(fd, ":", head, sizeof(head), ms))
		return false;
	char *rest;
	unsigned long length = strtoul(head, &rest, 10);
	if (!isdigit((unsigned char)head[0]) || *rest != ':' || length >= size ||
	    !talk_read(fd, out, length, ms) || !talk_read(fd, &comma, 1, ms))
		return false;
	out[length] = '\0';
	return comma == ',';
}

bool
talk_reply(int fd, char *out, size_t size, int ms)
{
	do {
		if (!talk_until(fd, "\n", out, size, ms))
			return false;
		out[strcspn(out, "\r\n")] = '\0';
	} while (strlen(out) > 3 && out[3] == '-');
	return true;
}

size_t
talk_to_end(int fd, char *out, size_t size)
{
	size_t length = 0;
	ssize_t got;
	while (length + 1 < size && ((got = read(fd, out + length, size - 1 - length)) > 0 ||
					(got < 0 && errno == EINTR)))
		if (got > 0)
			length += (size_t)got;
	out[length] = '\0';
	return length;
}
