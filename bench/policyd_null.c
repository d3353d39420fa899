/*
 * policyd_null: the yardstick for policyd: a server of the policy protocol on bare epoll that
 * decides nothing. One read, one constant reply for each empty line, one write.
 *
 *   policyd_null SOCKET
 *
 * It assumes what the benchmark's client does: whole requests, and replies that are read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 256

static const char action[] = "action=defer_unauth_destination\n\n";

static void
answer(int fd)
{
	static char in[16384], out[16384];
	ssize_t length = recv(fd, in, sizeof(in), MSG_DONTWAIT);
	size_t used = 0;
	ssize_t i;

	if (length == 0 || (length < 0 && errno != EAGAIN)) {
		(void)close(fd);
		return;
	}
	for (i = 1; i < length; i++) {
		if (in[i] == '\n' && in[i - 1] == '\n' && used + sizeof(action) < sizeof(out)) {
			memcpy(out + used, action, sizeof(action) - 1);
			used += sizeof(action) - 1;
		}
	}
	if (used > 0)
		(void)!send(fd, out, used, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int epoll = epoll_create1(0);
	int count, i, fd;

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 64;
	memcpy(address.sun_path, argv[1], strlen(argv[1]));
	(void)unlink(argv[1]);
	event.data.fd = listener;
	if (listener < 0 || epoll < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1024) != 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
		perror("policyd_null");
		return 71;
	}
	for (;;) {
		count = epoll_wait(epoll, events, EVENTS, -1);
		for (i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				answer(events[i].data.fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				event.data.fd = fd;
				(void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
			}
		}
	}
}
