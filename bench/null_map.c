/*
 * null_map: the yardstick for policyd's socketmaps: bare epoll, one read, constant replies, one
 * write. A domain in `relay_domains` and an address in `transport` are found, all else is not.
 *
 *   null_map SOCKET
 *
 * It assumes what Postfix does: one whole request at a time, and replies that are read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 256

static const char *
reply_to(const char *request)
{
	const char *map = strchr(request, ':');

	if (map != NULL && strncmp(map, ":relay_domains ", 15) == 0 && strchr(map, '*') == NULL)
		return "4:OK x,";
	if (map != NULL && strncmp(map, ":transport ", 11) == 0 && strchr(map, '@') != NULL)
		return "10:OK mxhold:,";
	return "9:NOTFOUND ,";
}

static void
answer(int fd)
{
	char request[4096];
	ssize_t length = recv(fd, request, sizeof(request) - 1, MSG_DONTWAIT);
	const char *reply;

	if (length == 0 || (length < 0 && errno != EAGAIN)) {
		(void)close(fd);
		return;
	}
	if (length < 0)
		return;
	request[length] = '\0';
	reply = reply_to(request);
	(void)!send(fd, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int epoll = epoll_create1(0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 64;
	memcpy(address.sun_path, argv[1], strlen(argv[1]));
	(void)unlink(argv[1]);
	event.data.fd = listener;
	if (listener < 0 || epoll < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1024) != 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
		perror("null_map");
		return 71;
	}
	for (;;) {
		const int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				answer(events[i].data.fd);
				continue;
			}
			event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (event.data.fd >= 0)
				(void)epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		}
	}
}
