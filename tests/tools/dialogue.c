/*
 * dialogue: one raw SMTP session, driven line by line, for tests: also for what no client would
 * say.
 *
 * In: lines on stdin. Out: for each of them exactly one line on stdout, so that a script can write
 * a line, do something else in between, and read the answer. The first line is the banner's. It
 * never hangs: each wait ends after `-t` seconds with `(silence)`.
 *
 *   dialogue [-t SECONDS] [-v] ADDRESS PORT      -v: also shows the dialogue on stderr (`C: `, `S:
 * `)
 *
 * A plain line is sent with CRLF and answered by the server's reply, a reply of several lines
 * joined by " / ". Lines that start with `!`: !send TEXT     sends the bytes of TEXT (escapes \r \n
 * \t \0 \\ \xHH), reads nothing: `sent` !fill N        sends N bytes of content in lines of 78
 * bytes: `sent` !long N        sends one line of N bytes, without its end: `sent` !read reads one
 * reply !quiet MS      reads for so long: `(nothing)`, or the reply that came !sleep MS `slept`
 *   !reset         ends the connection by RST: `(reset)`
 * The replies can also be `(closed)` and `(silence)`.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 65536
#define INPUT_SIZE 65536
#define FILL_LINE 78

struct dialogue {
	int fd;
	int patience_ms;
	bool show;
	bool closed;
	char input[INPUT_SIZE]; /* bytes of the server that are not told yet */
	size_t length;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* --- the server's side ----------------------------------------------------------- */

/* More bytes by `deadline`? */
static bool
dialogue_fill(struct dialogue *dialogue, int64_t deadline)
{
	struct pollfd poll_fd = {.fd = dialogue->fd, .events = POLLIN};
	const int64_t left = deadline - now_ms();
	ssize_t got;

	if (dialogue->closed || dialogue->length == sizeof dialogue->input)
		return false;
	if (poll(&poll_fd, 1, left > 0 ? (int)left : 0) != 1)
		return false;
	got = recv(dialogue->fd, dialogue->input + dialogue->length,
	    sizeof dialogue->input - dialogue->length, 0);
	if (got <= 0) {
		dialogue->closed = true;
		return false;
	}
	dialogue->length += (size_t)got;
	return true;
}

/* One line of the server, without its end. False: none came. */
static bool
dialogue_line(struct dialogue *dialogue, int64_t deadline, char *out)
{
	char *end;
	size_t used;

	while ((end = memchr(dialogue->input, '\n', dialogue->length)) == NULL)
		if (!dialogue_fill(dialogue, deadline))
			return false;
	used = (size_t)(end - dialogue->input) + 1;
	snprintf(out, INPUT_SIZE, "%.*s", (int)strcspn(dialogue->input, "\r\n"), dialogue->input);
	dialogue->length -= used;
	memmove(dialogue->input, dialogue->input + used, dialogue->length);
	if (dialogue->show)
		fprintf(stderr, "  S: %s\n", out);
	return true;
}

/* Prints one reply as one line. */
static void
dialogue_reply(struct dialogue *dialogue, int wait_ms, const char *nothing)
{
	static char line[INPUT_SIZE];
	const int64_t deadline = now_ms() + wait_ms;
	const char *between = "";

	for (;;) {
		if (!dialogue_line(dialogue, deadline, line)) {
			printf("%s%s\n", between, dialogue->closed ? "(closed)" : nothing);
			break;
		}
		printf("%s%s", between, line);
		between = " / ";
		if (strlen(line) < 4 || line[3] != '-') {
			putchar('\n');
			break;
		}
	}
	fflush(stdout);
}

static void
tell(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* --- our side --------------------------------------------------------------------------- */

static void
dialogue_send(struct dialogue *dialogue, const char *bytes, size_t length)
{
	const int64_t deadline = now_ms() + dialogue->patience_ms;

	while (length > 0 && now_ms() < deadline) {
		struct pollfd poll_fd = {.fd = dialogue->fd, .events = POLLOUT};
		ssize_t sent;

		if (poll(&poll_fd, 1, 100) != 1)
			continue;
		sent = send(dialogue->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return; /* the next read says `(closed)` */
		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
		}
	}
}

static int
hex(char digit)
{
	const char *digits = "0123456789abcdef";
	const char *at = digit == '\0' ? NULL : strchr(digits, digit | 0x20);

	return at == NULL ? -1 : (int)(at - digits);
}

/* Undoes the escapes in place and returns the length: bytes may be NUL. */
static size_t
unescape(char *text)
{
	static const char from[] = "rnt0\\", to[] = "\r\n\t\0\\";
	char *out = text;

	for (char *in = text; *in != '\0'; in++) {
		const char *known;

		if (*in != '\\' || in[1] == '\0') {
			*out++ = *in;
			continue;
		}
		in++;
		known = strchr(from, *in);
		if (known != NULL)
			*out++ = to[known - from];
		else if (*in == 'x' && hex(in[1]) >= 0 && hex(in[2]) >= 0) {
			*out++ = (char)(hex(in[1]) * 16 + hex(in[2]));
			in += 2;
		} else
			*out++ = *in;
	}
	return (size_t)(out - text);
}

static void
dialogue_fill_content(struct dialogue *dialogue, size_t bytes, bool one_line)
{
	static char block[FILL_LINE * 512];

	memset(block, 'x', sizeof block);
	for (size_t i = FILL_LINE; !one_line && i <= sizeof block; i += FILL_LINE)
		memcpy(block + i - 2, "\r\n", 2);
	while (bytes > 0) {
		const size_t part = bytes < sizeof block ? bytes : sizeof block;

		/* The last part ends with a line's end: it is cut from the block's end. */
		dialogue_send(dialogue, block + sizeof block - part, part);
		bytes -= part;
	}
}

static void
dialogue_abort(struct dialogue *dialogue)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(dialogue->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(dialogue->fd);
	dialogue->fd = -1;
	dialogue->closed = true;
	dialogue->length = 0;
}

static void
dialogue_plain(struct dialogue *dialogue, char *line)
{
	const size_t length = strlen(line);

	memcpy(line + length, "\r\n", 3);
	dialogue_send(dialogue, line, length + 2);
	dialogue_reply(dialogue, dialogue->patience_ms, "(silence)");
}

static void
dialogue_special(struct dialogue *dialogue, char *line)
{
	char *argument = line + strcspn(line, " ");
	const size_t verb = (size_t)(argument - line);
	unsigned long value;

	argument += *argument == ' ';
	value = strtoul(argument, NULL, 10);
	if (strncmp(line, "send", verb) == 0) {
		dialogue_send(dialogue, argument, unescape(argument));
		tell("sent");
	} else if (strncmp(line, "fill", verb) == 0 || strncmp(line, "long", verb) == 0) {
		dialogue_fill_content(dialogue, value, line[0] == 'l');
		tell("sent");
	} else if (strncmp(line, "read", verb) == 0)
		dialogue_reply(dialogue, dialogue->patience_ms, "(silence)");
	else if (strncmp(line, "quiet", verb) == 0)
		dialogue_reply(dialogue, (int)value, "(nothing)");
	else if (strncmp(line, "sleep", verb) == 0) {
		usleep((useconds_t)value * 1000);
		tell("slept");
	} else if (strncmp(line, "reset", verb) == 0) {
		dialogue_abort(dialogue);
		tell("(reset)");
	} else
		errx(EX_USAGE, "!%s: unknown", line);
}

static int
dialogue_connect(const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *address;
	int fd = -1;
	const int status = getaddrinfo(host, port, &hints, &address);

	if (status != 0)
		errx(EX_USAGE, "%s %s: %s", host, port, gai_strerror(status));
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
		printf("(no connection: %s)\n", strerror(errno));
		exit(EX_UNAVAILABLE);
	}
	freeaddrinfo(address);
	return fd;
}

int
main(int argc, char **argv)
{
	static struct dialogue dialogue = {.patience_ms = 30000};
	static char line[LINE_SIZE];
	int option;

	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "t:v")) != -1) {
		switch (option) {
		case 't': dialogue.patience_ms = atoi(optarg) * 1000; break;
		case 'v': dialogue.show = true; break;
		default: optind = argc;
		}
	}
	if (argc - optind != 2) {
		fputs("usage: dialogue [-t SECONDS] [-v] ADDRESS PORT\n", stderr);
		return EX_USAGE;
	}
	dialogue.fd = dialogue_connect(argv[optind], argv[optind + 1]);
	dialogue_reply(&dialogue, dialogue.patience_ms, "(silence)");
	while (fgets(line, sizeof line - 2, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (dialogue.show)
			fprintf(stderr, "  C: %.200s\n", line);
		if (line[0] == '!')
			dialogue_special(&dialogue, line + 1);
		else
			dialogue_plain(&dialogue, line);
	}
	return 0;
}
