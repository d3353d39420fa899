/*
 * tcp_proxy: stands between a client and a server on the loopback and spoils the stream from the
 * server, as a file tells it (read again all the time, so that a test can change its mind).
 *
 * usage: tcp_proxy PORT SERVER_PORT MODE_FILE
 *
 *   pass      hands everything on
 *   slow N    at most N bytes a second from the server
 *   stall N   N bytes of each connection, then silence
 *   cut N     N bytes of each connection, then a reset
 *   garbage   answers with noise instead of asking the server
 *   mute      takes connections and says nothing
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS 64
#define TICK_MS 20
#define CHUNK 65536

enum mode { PASS, SLOW, STALL, CUT, GARBAGE, MUTE };

static const char *const mode_names[] = {
    [PASS] = "pass",
    [SLOW] = "slow",
    [STALL] = "stall",
    [CUT] = "cut",
    [GARBAGE] = "garbage",
    [MUTE] = "mute",
};

struct pair {
	int client, server; /* client -1: free */
	long passed;        /* bytes from the server */
	bool spoken;
};

static struct pair pairs[PAIRS];
static enum mode mode;
static long argument;
static double allowance; /* bytes that may still come from servers (slow) */

static void
read_mode(const char *path)
{
	char line[64] = "", word[16] = "";
	FILE *file = fopen(path, "r");
	size_t i;

	if (file == NULL)
		return;
	if (fgets(line, sizeof(line), file) != NULL &&
	    sscanf(line, "%15s %ld", word, &argument) >= 1)
		for (i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
			if (strcmp(word, mode_names[i]) == 0)
				mode = (enum mode)i;
	fclose(file);
}

static int
open_socket(int port, bool listening)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listening
		? bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 64) != 0
		: connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
end_pair(struct pair *pair, bool reset)
{
	const struct linger at_once = {.l_onoff = 1};

	if (reset)
		setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(pair->client);
	if (pair->server >= 0)
		close(pair->server);
	pair->client = pair->server = -1;
}

static void
take_client(int listener, int server_port)
{
	int client = accept(listener, NULL, NULL), i;

	for (i = 0; i < PAIRS && client >= 0; i++) {
		if (pairs[i].client >= 0)
			continue;
		pairs[i] = (struct pair){.client = client, .server = -1};
		if (mode != GARBAGE && mode != MUTE)
			pairs[i].server = open_socket(server_port, false);
		if (mode != GARBAGE && mode != MUTE && pairs[i].server < 0)
			end_pair(&pairs[i], true);
		return;
	}
	if (client >= 0)
		close(client);
}

/* How many bytes may be handed on from this server now; 0: none. */
static long
permitted(const struct pair *pair)
{
	switch (mode) {
	case SLOW: return allowance < CHUNK ? (long)allowance : CHUNK;
	case STALL:
	case CUT: return pair->passed >= argument ? 0 : argument - pair->passed;
	case MUTE: return 0;
	default: return CHUNK;
	}
}

static bool
hand_on(int from, int to, long most, long *count)
{
	static char buffer[CHUNK];
	ssize_t got = read(from, buffer, (size_t)(most < CHUNK ? most : CHUNK)), sent, done = 0;

	if (got <= 0)
		return false;
	for (; done < got; done += sent) {
		sent = write(to, buffer + done, (size_t)(got - done));
		if (sent <= 0)
			return false;
	}
	*count += got;
	return true;
}

static void
serve(struct pair *pair, short client_ready, short server_ready)
{
	static const char noise[] = "220 ready\r\n\0\xff\xfeR\x7f\xff\xff\xff";
	long ignored = 0, before = pair->passed;
	bool good = true;

	if (pair->server < 0 && mode == GARBAGE && !pair->spoken) {
		pair->spoken = true;
		good = write(pair->client, noise, sizeof(noise)) > 0;
	} else if (pair->server < 0 && client_ready != 0) {
		static char drain[CHUNK];
		good = read(pair->client, drain, sizeof(drain)) > 0;
	} else if (pair->server >= 0 && client_ready != 0) {
		good = hand_on(pair->client, pair->server, CHUNK, &ignored);
	}
	if (good && server_ready != 0)
		good = hand_on(pair->server, pair->client, permitted(pair), &pair->passed);
	allowance -= (double)(pair->passed - before);
	if (!good)
		end_pair(pair, false);
	else if (mode == CUT && pair->passed >= argument)
		end_pair(pair, true);
}

static void
turn(int listener, int server_port)
{
	struct pollfd fds[1 + 2 * PAIRS] = {{.fd = listener, .events = POLLIN}};
	int i;

	for (i = 0; i < PAIRS; i++) {
		fds[1 + 2 * i] = (struct pollfd){.fd = pairs[i].client, .events = POLLIN};
		fds[2 + 2 * i] = (struct pollfd){.fd = -1, .events = POLLIN};
		if (pairs[i].client >= 0 && permitted(&pairs[i]) > 0)
			fds[2 + 2 * i].fd = pairs[i].server;
	}
	poll(fds, 1 + 2 * PAIRS, TICK_MS);
	for (i = 0; i < PAIRS; i++)
		if (pairs[i].client >= 0)
			serve(&pairs[i], fds[1 + 2 * i].revents, fds[2 + 2 * i].revents);
	if (fds[0].revents != 0)
		take_client(listener, server_port);
}

int
main(int argc, char **argv)
{
	struct timespec last, now;
	int i, listener;

	if (argc != 4) {
		fprintf(stderr, "usage: %s PORT SERVER_PORT MODE_FILE\n", argv[0]);
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < PAIRS; i++)
		pairs[i].client = pairs[i].server = -1;
	listener = open_socket(atoi(argv[1]), true);
	if (listener < 0) {
		perror(argv[1]);
		return 69;
	}
	clock_gettime(CLOCK_MONOTONIC, &last);
	for (;;) {
		read_mode(argv[3]);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (mode == SLOW)
			allowance +=
			    (double)argument * ((double)(now.tv_sec - last.tv_sec) +
						   (double)(now.tv_nsec - last.tv_nsec) / 1e9);
		if (mode != SLOW || allowance > (double)argument)
			allowance = mode == SLOW ? (double)argument : 0;
		last = now;
		turn(listener, atoi(argv[2]));
	}
}
