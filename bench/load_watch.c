/*
 * load_watch: what the benchmark of the feed asks where shell is too coarse.
 *
 *   load_watch follow CONNINFO MAP CUSTOMER PREFIX COUNT PAUSE_MS
 *       commits changes in the authority, one after another, and asks the socketmap MAP every
 *       0.2 ms until the answer has changed, as Postfix would see it. Each turn is two commits: a
 *       domain of CUSTOMER is added (named after PREFIX), and its next hops are set. COUNT turns,
 *       0: until SIGTERM. A line for each commit:
 *         KIND BEGAN_MS COMMIT_US ANSWER_US
 *       KIND is `new` or `hops`, BEGAN_MS the wall clock when COMMIT was sent, COMMIT_US the time
 *       until it returned, ANSWER_US until the answer had changed, both from when it was sent.
 *   load_watch warm MAP COUNT
 *       asks once for each of d00000000.bench.example up to COUNT, 64 questions at a time; each
 * must be found. Prints the questions a second.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ASK_EVERY_NS 200000
#define PATIENCE_NS (300 * UINT64_C(1000000000))
#define BATCH 64
#define NEXT_HOP "[203.0.113.5]:25"

static volatile sig_atomic_t stopping;

static void
stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "load_watch: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
pause_ns(uint64_t ns)
{
	const struct timespec pause = {
	    .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

	(void)nanosleep(&pause, NULL);
}

/* --- the map ----------------------------------------------------------------------------- */

struct map {
	int fd;
	char bytes[8192];
	size_t used;
};

static void
map_open(struct map *map, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		die(path, "path too long");
	memcpy(address.sun_path, path, strlen(path));
	map->used = 0;
	map->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (map->fd < 0 || connect(map->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die(path, strerror(errno));
}

static size_t
netstring(char *out, size_t size, const char *text)
{
	return (size_t)snprintf(out, size, "%zu:%s,", strlen(text), text);
}

static void
map_send(const struct map *map, const char *bytes, size_t length)
{
	if (send(map->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("send", strerror(errno));
}

/* The length of the netstring that the buffer begins with, 0 as long as it is not whole. */
static size_t
map_whole(struct map *map, char **text, size_t *length)
{
	char *end;

	map->bytes[map->used] = '\0';
	*length = strtoul(map->bytes, &end, 10);
	if (*end != ':' || end == map->bytes)
		return 0;
	*text = end + 1;
	if (*length + 1 > map->used - (size_t)(*text - map->bytes))
		return 0;
	return (size_t)(*text - map->bytes) + *length + 1;
}

/* The next reply, as text. */
static void
map_take(struct map *map, char *out, size_t size)
{
	size_t whole, length;
	ssize_t got;
	char *text;

	while ((whole = map_whole(map, &text, &length)) == 0) {
		got = recv(map->fd, map->bytes + map->used, sizeof(map->bytes) - 1 - map->used, 0);
		if (got <= 0)
			die("recv", got == 0 ? "the connection was closed" : strerror(errno));
		map->used += (size_t)got;
	}
	if (length >= size)
		die("a reply", "is too long");
	memcpy(out, text, length);
	out[length] = '\0';
	memmove(map->bytes, map->bytes + whole, map->used - whole);
	map->used -= whole;
}

/* Asks until the reply is `wanted`. */
static void
map_await(struct map *map, const char *question, const char *wanted)
{
	const uint64_t end = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	char request[512], reply[1024];
	const size_t length = netstring(request, sizeof(request), question);

	for (;;) {
		map_send(map, request, length);
		map_take(map, reply, sizeof(reply));
		if (strcmp(reply, wanted) == 0)
			return;
		if (clock_ns(CLOCK_MONOTONIC) > end)
			die(question, reply);
		pause_ns(ASK_EVERY_NS);
	}
}

/* --- follow ------------------------------------------------------------------------------ */

static void
run_sql(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
}

struct change {
	const char *kind;
	const char *sql;
	const char *question;
	const char *wanted;
};

static void
follow_one(PGconn *conn, struct map *map, const struct change *change)
{
	uint64_t wall, sent, returned;

	run_sql(conn, "begin");
	run_sql(conn, change->sql);
	wall = clock_ns(CLOCK_REALTIME);
	sent = clock_ns(CLOCK_MONOTONIC);
	run_sql(conn, "commit");
	returned = clock_ns(CLOCK_MONOTONIC);
	map_await(map, change->question, change->wanted);
	printf("%s %llu %llu %llu\n", change->kind, (unsigned long long)(wall / 1000000),
	    (unsigned long long)((returned - sent) / 1000),
	    (unsigned long long)((clock_ns(CLOCK_MONOTONIC) - sent) / 1000));
	(void)fflush(stdout);
}

static void
follow_turn(PGconn *conn, struct map *map, const char *customer, const char *name)
{
	char insert[512], update[512], domain[256], address[256], found[256];
	const struct change added = {"new", insert, domain, found};
	const struct change hops = {"hops", update, address, "OK mxhold:" NEXT_HOP};

	(void)snprintf(insert, sizeof(insert),
	    "insert into mxhold.domain (name, customer) values ('%s', '%s')", name, customer);
	(void)snprintf(update, sizeof(update),
	    "update mxhold.domain set next_hops = '" NEXT_HOP "' where name = '%s'", name);
	(void)snprintf(domain, sizeof(domain), "relay_domains %s", name);
	(void)snprintf(address, sizeof(address), "transport user@%s", name);
	(void)snprintf(found, sizeof(found), "OK %s", name);
	follow_one(conn, map, &added);
	follow_one(conn, map, &hops);
}

static int
follow(char **argv)
{
	const unsigned long count = strtoul(argv[4], NULL, 10);
	const uint64_t pause = strtoull(argv[5], NULL, 10) * 1000000u;
	PGconn *conn = PQconnectdb(argv[0]);
	struct map map;
	unsigned long i;
	char name[128];

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	map_open(&map, argv[1]);
	for (i = 0; !stopping && (count == 0 || i < count); i++) {
		(void)snprintf(name, sizeof(name), "%.60s-%06lu.example", argv[3], i);
		follow_turn(conn, &map, argv[2], name);
		pause_ns(pause);
	}
	PQfinish(conn);
	return 0;
}

/* --- warm -------------------------------------------------------------------------------- */

static int
warm(char **argv)
{
	const unsigned long count = strtoul(argv[1], NULL, 10);
	const uint64_t began = clock_ns(CLOCK_MONOTONIC);
	char question[64], requests[BATCH * 80], reply[1024];
	unsigned long first, i, last;
	struct map map;
	size_t length;

	map_open(&map, argv[0]);
	for (first = 0; first < count; first = last) {
		last = first + BATCH < count ? first + BATCH : count;
		for (length = 0, i = first; i < last; i++) {
			(void)snprintf(
			    question, sizeof(question), "relay_domains d%08lu.bench.example", i);
			length += netstring(requests + length, sizeof(requests) - length, question);
		}
		map_send(&map, requests, length);
		for (i = first; i < last; i++) {
			map_take(&map, reply, sizeof(reply));
			if (strncmp(reply, "OK ", 3) != 0)
				die("a domain is not found", reply);
		}
	}
	printf("%.0f\n", (double)count * 1e9 / (double)(clock_ns(CLOCK_MONOTONIC) - began));
	return 0;
}

int
main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = stop};

	(void)sigaction(SIGTERM, &action, NULL);
	if (argc == 8 && strcmp(argv[1], "follow") == 0)
		return follow(argv + 2);
	if (argc == 4 && strcmp(argv[1], "warm") == 0)
		return warm(argv + 2);
	fputs("usage: load_watch follow CONNINFO MAP CUSTOMER PREFIX COUNT PAUSE_MS\n"
	      "       load_watch warm MAP COUNT\n",
	    stderr);
	return 64;
}
