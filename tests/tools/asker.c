/*
 * asker: clients of policyd's sockets, polite and hostile, for its component tests.
 *
 *   asker raw SOCKET [-b MS] [-s] [-w MS]   sends standard input, prints what comes back
 *       -b MS  byte by byte, MS between them   -s  ends its sending side afterwards
 *       -w MS  gives up after MS without a byte (default 2000)
 *   asker loop SOCKET SECONDS [-k]          asks from a new connection each time (-k: from one that
 *                                           is kept as long as it lasts), without a pause
 *   asker crowd SOCKET IDLE ACTIVE SECONDS  keeps IDLE quiet connections and ACTIVE asking ones
 *   asker pipeline SOCKET COUNT             sends COUNT requests before it reads anything
 *   asker hold SOCKET COUNT MS [TEXT]       opens COUNT connections, sends TEXT on each, waits
 *
 *   asker freeze PID MS                     stops the process as a debugger does, which its parent
 *                                           is not told of
 *
 * The last part of SOCKET names the protocol: `policy` or `map`. Questions alternate between
 * customer.example, which is known, and nobody.example, which is not; every answer is compared with
 * what belongs to its question. Results are printed as key=value:
 *   answers  right ones           temp     "later", where it is not the right one
 *   wrong    any other            lost     a request without an answer
 *   refused  failed connects      max_ms   the longest wait for an answer
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_LIMIT_MS 60000

struct question {
	const char *request;
	const char *answer;
	const char *later; /* how an answer begins that puts it off */
};

#define POLICY(domain)                                                                             \
	"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.77\n"          \
	"recipient=u@" domain "\ninstance=1.1.1\nsize=0\n\n"

static const struct question policy_questions[2] = {
    {POLICY("customer.example"), "action=defer_unauth_destination\n\n", "action=DEFER_IF_REJECT "},
    {POLICY("nobody.example"), "action=DUNNO\n\n", "action=DEFER_IF_REJECT "},
};
static const struct question map_questions[2] = {
    {"30:relay_domains customer.example,", "19:OK customer.example,", "TEMP "},
    {"28:relay_domains nobody.example,", "9:NOTFOUND ,", "TEMP "},
};

static const struct question *questions = map_questions;
static const char *path;

static struct {
	uint64_t answers, temp, wrong, lost, refused, max_ms;
} result;

static uint64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
pause_ms(unsigned ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	(void)nanosleep(&pause, NULL);
}

static void
die(const char *what)
{
	fprintf(stderr, "asker: %s: %s\n", what, strerror(errno));
	exit(71);
}

static int
dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (strlen(path) >= sizeof(address.sun_path))
		die("path too long");
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	result.refused++;
	return -1;
}

/* Is length bytes of an answer all of it? */
static bool
whole(const char *reply, size_t length)
{
	if (questions == policy_questions)
		return length >= 2 && memcmp(reply + length - 2, "\n\n", 2) == 0;
	return length > 0 && reply[length - 1] == ',';
}

static void
count(const struct question *question, const char *reply, size_t length, uint64_t since)
{
	uint64_t ms = clock_ms() - since;

	if (ms > result.max_ms)
		result.max_ms = ms;
	if (length == strlen(question->answer) && memcmp(reply, question->answer, length) == 0)
		result.answers++;
	else if (memmem(reply, length, question->later, strlen(question->later)) != NULL)
		result.temp++;
	else
		result.wrong++;
}

/* One question on an open connection. False: it is broken. */
static bool
ask(int fd, const struct question *question)
{
	uint64_t since = clock_ms();
	size_t length = strlen(question->request);
	char reply[4096];
	ssize_t got;

	if (send(fd, question->request, length, MSG_NOSIGNAL) != (ssize_t)length)
		return false;
	length = 0;
	while (!whole(reply, length)) {
		got = recv(fd, reply + length, sizeof(reply) - length, 0);
		if (got <= 0)
			return false;
		length += (size_t)got;
	}
	count(question, reply, length, since);
	return true;
}

static void
print_result(void)
{
	printf("answers=%llu temp=%llu wrong=%llu lost=%llu refused=%llu max_ms=%llu\n",
	    (unsigned long long)result.answers, (unsigned long long)result.temp,
	    (unsigned long long)result.wrong, (unsigned long long)result.lost,
	    (unsigned long long)result.refused, (unsigned long long)result.max_ms);
}

/* --- raw ------------------------------------------------------------------------------ */

static void
raw_send(int fd, int byte_ms)
{
	char bytes[65536];
	ssize_t got, i;

	while ((got = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0) {
		if (byte_ms < 0) {
			if (send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
				return;
			continue;
		}
		for (i = 0; i < got; i++) {
			if (send(fd, bytes + i, 1, MSG_NOSIGNAL) != 1)
				return;
			pause_ms((unsigned)byte_ms);
		}
	}
}

static int
run_raw(int argc, char **argv)
{
	int byte_ms = -1, wait_ms = 2000, option, fd;
	struct pollfd wait = {.events = POLLIN};
	bool end = false;
	char bytes[65536];
	ssize_t got;

	while ((option = getopt(argc, argv, "b:sw:")) != -1) {
		switch (option) {
		case 'b': byte_ms = atoi(optarg); break;
		case 's': end = true; break;
		case 'w': wait_ms = atoi(optarg); break;
		default: return 64;
		}
	}
	fd = dial();
	if (fd < 0)
		die("connect");
	raw_send(fd, byte_ms);
	if (end)
		(void)shutdown(fd, SHUT_WR);
	wait.fd = fd;
	while (poll(&wait, 1, wait_ms) > 0 && (got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		(void)fwrite(bytes, 1, (size_t)got, stdout);
	return 0;
}

/* --- loop ------------------------------------------------------------------------------- */

static int
run_loop(int argc, char **argv)
{
	bool keep = argc > 1 && strcmp(argv[1], "-k") == 0;
	uint64_t until = clock_ms() + strtoull(argv[0], NULL, 10) * 1000;
	unsigned turn;
	int fd = -1;

	for (turn = 0; clock_ms() < until; turn++) {
		if (fd < 0 && (fd = dial()) < 0) {
			pause_ms(1);
			continue;
		}
		if (!ask(fd, &questions[turn % 2])) {
			/* A kept connection may have ended between two questions: once more. */
			(void)close(fd);
			fd = keep ? dial() : -1;
			if (fd < 0 || !ask(fd, &questions[turn % 2]))
				result.lost++;
		}
		if (!keep && fd >= 0) {
			(void)close(fd);
			fd = -1;
		}
	}
	print_result();
	return 0;
}

/* --- crowd ------------------------------------------------------------------------------- */

struct asking {
	int fd;
	unsigned turn;
	uint64_t since;
};

static int
crowd_begin(struct asking *asking, size_t active)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	size_t i;

	for (i = 0; i < active; i++) {
		const char *request = questions[0].request;

		asking[i] = (struct asking){.fd = dial(), .since = clock_ms()};
		event.data.u64 = i;
		if (asking[i].fd < 0 ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, asking[i].fd, &event) != 0 ||
		    send(asking[i].fd, request, strlen(request), MSG_NOSIGNAL) < 0)
			die("active connection");
	}
	return epoll;
}

static void
crowd_turn(struct asking *asking)
{
	const struct question *question = &questions[asking->turn % 2];
	char reply[4096];
	ssize_t got = recv(asking->fd, reply, sizeof(reply), 0);

	if (got <= 0) {
		result.lost++;
		(void)close(asking->fd);
		asking->fd = -1;
		return;
	}
	count(question, reply, (size_t)got, asking->since);
	question = &questions[++asking->turn % 2];
	asking->since = clock_ms();
	(void)!send(asking->fd, question->request, strlen(question->request), MSG_NOSIGNAL);
}

static int
run_crowd(char **argv)
{
	size_t idle = strtoull(argv[0], NULL, 10), active = strtoull(argv[1], NULL, 10), i;
	struct asking *asking = calloc(active, sizeof(*asking));
	struct epoll_event events[256];
	uint64_t until;
	int epoll, ready;

	if (asking == NULL)
		die("calloc");
	for (i = 0; i < idle; i++) {
		if (dial() < 0)
			die("idle connection");
	}
	epoll = crowd_begin(asking, active);
	printf("open\n");
	(void)fflush(stdout);
	until = clock_ms() + strtoull(argv[2], NULL, 10) * 1000;
	while (clock_ms() < until) {
		ready = epoll_wait(epoll, events, 256, 100);
		for (i = 0; ready > 0 && i < (size_t)ready; i++)
			crowd_turn(&asking[events[i].data.u64]);
	}
	print_result();
	free(asking);
	return 0;
}

/* --- pipeline ------------------------------------------------------------------------------ */

/* Sends as many as the socket takes; returns how many bytes of the whole were sent so far. */
static void
pipeline_send(int fd, const char *all, size_t length, size_t *sent)
{
	ssize_t done;

	while (*sent < length) {
		done = send(fd, all + *sent, length - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done <= 0)
			return;
		*sent += (size_t)done;
	}
}

/* Compares one answer after the other with what belongs there. Returns what was consumed. */
static size_t
pipeline_compare(const char *bytes, size_t length, uint64_t total)
{
	size_t taken = 0;

	while (result.answers + result.wrong < total) {
		const char *answer = questions[(result.answers + result.wrong) % 2].answer;
		size_t size = strlen(answer);

		if (length - taken < size)
			break;
		if (memcmp(bytes + taken, answer, size) == 0)
			result.answers++;
		else
			result.wrong++;
		taken += size;
	}
	return taken;
}

static int
run_pipeline(char **argv)
{
	uint64_t total = strtoull(argv[0], NULL, 10), i;
	size_t length = 0, sent = 0, have = 0, taken;
	struct pollfd wait = {.fd = dial()};
	static char bytes[65536];
	ssize_t got;
	char *all;

	all = malloc(total * strlen(questions[0].request) + 1);
	if (wait.fd < 0 || all == NULL)
		die("pipeline");
	for (i = 0; i < total; i++) {
		memcpy(all + length, questions[i % 2].request, strlen(questions[i % 2].request));
		length += strlen(questions[i % 2].request);
	}
	for (i = 0; i < 10; i++) { /* nothing is read until no more can be sent */
		pipeline_send(wait.fd, all, length, &sent);
		pause_ms(50);
	}
	printf("unread_after=%zu\n", sent);
	while (result.answers + result.wrong < total) {
		wait.events = (short)(POLLIN | (sent < length ? POLLOUT : 0));
		if (poll(&wait, 1, 5000) <= 0)
			break;
		if (wait.revents & POLLOUT)
			pipeline_send(wait.fd, all, length, &sent);
		got = recv(wait.fd, bytes + have, sizeof(bytes) - have, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		have += got > 0 ? (size_t)got : 0;
		taken = pipeline_compare(bytes, have, total);
		memmove(bytes, bytes + taken, have - taken);
		have -= taken;
	}
	result.lost = total - result.answers - result.wrong;
	print_result();
	free(all);
	return 0;
}

/* --- hold ---------------------------------------------------------------------------------- */

static int
run_hold(int argc, char **argv)
{
	size_t number = strtoull(argv[0], NULL, 10), i, ended = 0;
	const char *text = argc > 2 ? argv[2] : "";
	int *fd = calloc(number, sizeof(*fd));
	char byte;

	if (fd == NULL)
		die("calloc");
	for (i = 0; i < number; i++) {
		fd[i] = dial();
		if (fd[i] >= 0)
			(void)!send(fd[i], text, strlen(text), MSG_NOSIGNAL);
	}
	printf("open\n");
	(void)fflush(stdout);
	pause_ms((unsigned)strtoul(argv[1], NULL, 10));
	for (i = 0; i < number; i++) {
		if (fd[i] >= 0 && recv(fd[i], &byte, 1, MSG_DONTWAIT) == 0)
			ended++;
	}
	printf(
	    "ended=%zu of=%zu refused=%llu\n", ended, number, (unsigned long long)result.refused);
	free(fd);
	return 0;
}

/* --- freeze --------------------------------------------------------------------------------- */

static int
run_freeze(char **argv)
{
	pid_t pid = (pid_t)strtol(argv[0], NULL, 10);

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0)
		die("ptrace");
	pause_ms((unsigned)strtoul(argv[1], NULL, 10));
	return 0;
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	const char *name;

	if (argc < 3)
		return 64;
	(void)signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	path = argv[2];
	name = strrchr(path, '/');
	if (name != NULL && strcmp(name, "/policy") == 0)
		questions = policy_questions;
	if (strcmp(argv[1], "raw") == 0)
		return run_raw(argc - 2, argv + 2);
	if (strcmp(argv[1], "loop") == 0 && argc >= 4)
		return run_loop(argc - 3, argv + 3);
	if (strcmp(argv[1], "crowd") == 0 && argc == 6)
		return run_crowd(argv + 3);
	if (strcmp(argv[1], "pipeline") == 0 && argc == 4)
		return run_pipeline(argv + 3);
	if (strcmp(argv[1], "hold") == 0 && argc >= 5)
		return run_hold(argc - 3, argv + 3);
	if (strcmp(argv[1], "freeze") == 0 && argc == 4)
		return run_freeze(argv + 2);
	return 64;
}
