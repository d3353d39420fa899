/*
 * stand_in: see stand_in.h. In: a listening socket, connections. Out: "alive" to each. It keeps no
 * other descriptor, and touches nothing else of its parent.
 */
#include "queued/stand_in.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUESTION_MS 1000 /* for whoever has connected */

static void
answer(int client)
{
	static const char alive[] = "alive\n";
	struct pollfd wait = {.fd = client, .events = POLLIN};
	char question[64];

	if (poll(&wait, 1, QUESTION_MS) > 0 && recv(client, question, sizeof(question), 0) > 0)
		(void)!send(client, alive, strlen(alive), MSG_NOSIGNAL);
	(void)close(client);
}

static _Noreturn void
serve(pid_t parent, int listen_fd)
{
	struct pollfd wait = {.fd = STDERR_FILENO + 1, .events = POLLIN};
	int client;

	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGALRM, SIG_DFL);
	(void)alarm(STAND_IN_S);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(listen_fd, wait.fd) < 0 ||
	    close_range((unsigned)wait.fd + 1, ~0U, 0) != 0)
		_exit(1);
	for (;;) {
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			_exit(1);
		client = accept4(wait.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0)
			answer(client);
	}
}

pid_t
stand_in_begin(int listen_fd)
{
	const pid_t parent = getpid();
	const pid_t child = fork();

	if (child == 0)
		serve(parent, listen_fd);
	return child;
}

void
stand_in_end(pid_t stand_in)
{
	if (stand_in <= 0)
		return;
	(void)kill(stand_in, SIGKILL);
	while (waitpid(stand_in, NULL, 0) < 0 && errno == EINTR)
		;
}
