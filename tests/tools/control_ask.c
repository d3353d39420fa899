/*
 * control_ask: sends one line (or what comes on stdin, with "-") to a unix socket and prints what
 * comes back until the peer closes, for at most 30 seconds (or what the third argument says).
 *
 * usage: control_ask SOCKET REQUEST [SECONDS]
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static void
send_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
		if (sent <= 0)
			return; /* the peer may well have had enough: what it says counts */
		bytes += sent;
		length -= (size_t)sent;
	}
}

static void
send_stdin(int fd)
{
	char buffer[4096];
	size_t got;

	while ((got = fread(buffer, 1, sizeof(buffer), stdin)) > 0)
		send_all(fd, buffer, got);
}

int
main(int argc, char **argv)
{
	char buffer[4096];
	ssize_t got;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: %s SOCKET REQUEST [SECONDS]\n", argv[0]);
		return 64;
	}
	alarm(argc == 4 ? (unsigned)atoi(argv[3]) : 30);
	const int fd = dial(argv[1]);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 69;
	}
	if (strcmp(argv[2], "-") == 0) {
		send_stdin(fd);
	} else {
		send_all(fd, argv[2], strlen(argv[2]));
		send_all(fd, "\n", 1);
	}
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)got, stdout);
	return 0;
}
