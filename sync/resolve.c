/*
 * resolve: see resolve.h. The helper closes everything that it inherits but its pipe (above all
 * the lock of the only instance), writes one address a line, and ends.
 */
#include "sync/resolve.h"

#include "sync/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void help(int fd, const char *host) __attribute__((noreturn));

static void
help(int fd, const char *host)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL, *a;
	char text[RESOLVE_TEXT];
	size_t count = 0;

	signals_default();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, 3) != 3 || close_range(4, ~0U, 0) != 0 ||
	    getaddrinfo(host, NULL, &hints, &list) != 0)
		_exit(1);
	for (a = list; a != NULL && count < RESOLVE_ADDRESSES; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text - 1, NULL, 0,
			NI_NUMERICHOST) != 0)
			continue;
		dprintf(3, "%s\n", text);
		count++;
	}
	_exit(0);
}

bool
resolve_start(struct resolve *resolve, const char *host)
{
	int ends[2];

	resolve_stop(resolve);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	resolve->pid = fork();
	if (resolve->pid == 0)
		help(ends[1], host);
	close(ends[1]);
	resolve->fd = ends[0];
	resolve->length = 0;
	if (resolve->pid > 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
		return true;
	if (resolve->pid > 0)
		resolve_stop(resolve);
	else
		close(ends[0]);
	resolve->pid = 0;
	return false;
}

/* The lines of what the helper wrote. */
static size_t
lines(struct resolve *resolve, char out[RESOLVE_ADDRESSES][RESOLVE_TEXT])
{
	char *line, *rest = resolve->text;
	size_t count = 0;

	resolve->text[resolve->length] = '\0';
	while (count < RESOLVE_ADDRESSES && (line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '\0' || strlen(line) >= RESOLVE_TEXT)
			continue;
		memcpy(out[count++], line, strlen(line) + 1);
	}
	return count;
}

enum resolve_state
resolve_step(struct resolve *resolve, char out[RESOLVE_ADDRESSES][RESOLVE_TEXT], size_t *count)
{
	size_t room = sizeof resolve->text - 1 - resolve->length;
	ssize_t got = 0;

	if (room > 0)
		got = read(resolve->fd, resolve->text + resolve->length, room);
	if (got > 0) {
		resolve->length += (size_t)got;
		return RESOLVE_PENDING;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return RESOLVE_PENDING;
	*count = lines(resolve, out);
	resolve_stop(resolve);
	return *count > 0 ? RESOLVE_DONE : RESOLVE_FAILED;
}

void
resolve_stop(struct resolve *resolve)
{
	if (resolve->pid <= 0)
		return;
	kill(resolve->pid, SIGKILL);
	while (waitpid(resolve->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(resolve->fd);
	resolve->pid = 0;
}
