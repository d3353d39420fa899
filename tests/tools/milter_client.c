/*
 * milter_client: speaks the milter protocol (version 6, libmilter's mfdef.h) to a milter on an
 * AF_UNIX socket, in place of an MTA: by the letter, at speed, or with malice.
 *
 *   milter_client SOCKET script               commands on standard input, one a line (below)
 *   milter_client SOCKET load [-n MESSAGES] [-c SESSIONS] [-b BODY] [-k PER_SESSION]
 *                             [-r RECIPIENT] [-x]
 *   milter_client SOCKET idle [-n COUNT] [-t SECONDS] [-H]
 *
 * load: sends well-formed transactions over SESSIONS connections at once, a new connection after
 * PER_SESSION messages. With -x every tenth is given up (ABORT), every tenth breaks off (close).
 * Prints `messages=N refused=N failed=N rate=N/s`, before it a line for each failure (when, in
 * which step, why); fails when a reply is not "continue". idle: opens COUNT connections and says
 * nothing (with -H: half a packet) for SECONDS, then prints how many of them were still open.
 *
 * Commands of a script, each with the reply that it prints:
 *
 *   negotiate [PROTOCOL]     the options offered, hexadecimal (default 1fffff)
 *   macro STAGE NAME VALUE... | mail ARG... | rcpt ARG... | eom | unknown TEXT
 *   header NAME [VALUE] | eoh | body COUNT | abort | quit        no reply is waited for
 *   raw HEX... | fill BYTE COUNT                                 octets as they are
 *   closed                   waits up to 5 s for the milter to close: `closed` or `open`
 *   again                    a new connection
 *
 * In arguments, %20 and the like stand for an octet. Every wait ends after 10 s: `timeout`.
 */
#include <ctype.h>
#include <errno.h>
#include <libmilter/mfdef.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX 65536
#define WAIT_MS 10000
#define WORDS_MAX 64
#define PACKET_MAX 70000
#define LOAD_FAILURES_SHOWN 20

static const char *socket_path;

static void
die(const char *what)
{
	fprintf(stderr, "milter_client: %s: %s\n", what, strerror(errno));
	exit(EX_IOERR);
}

/* --- packets --------------------------------------------------------------------------- */

struct packet {
	size_t length; /* of what follows the four octets of length */
	unsigned char bytes[PACKET_MAX];
};

static void
packet_begin(struct packet *packet, char command)
{
	packet->length = 1;
	packet->bytes[4] = (unsigned char)command;
}

static void
packet_add(struct packet *packet, const void *bytes, size_t length)
{
	if (4 + packet->length + length > sizeof(packet->bytes)) {
		errno = EMSGSIZE;
		die("packet");
	}
	memcpy(packet->bytes + 4 + packet->length, bytes, length);
	packet->length += length;
}

/* A string with its NUL. */
static void
packet_text(struct packet *packet, const char *text)
{
	packet_add(packet, text, strlen(text) + 1);
}

static void
packet_number(struct packet *packet, uint32_t number)
{
	const unsigned char octets[] = {(unsigned char)(number >> 24),
	    (unsigned char)(number >> 16), (unsigned char)(number >> 8), (unsigned char)number};

	packet_add(packet, octets, sizeof(octets));
}

static bool
send_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		const ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);

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
packet_send(int fd, struct packet *packet)
{
	const uint32_t length = (uint32_t)packet->length;

	packet->bytes[0] = (unsigned char)(length >> 24);
	packet->bytes[1] = (unsigned char)(length >> 16);
	packet->bytes[2] = (unsigned char)(length >> 8);
	packet->bytes[3] = (unsigned char)length;
	return send_all(fd, packet->bytes, 4 + packet->length);
}

static bool
read_all(int fd, void *out, size_t length)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char *at = out;

	while (length > 0) {
		ssize_t got;

		if (poll(&wait, 1, WAIT_MS) <= 0) {
			errno = ETIMEDOUT;
			return false;
		}
		got = read(fd, at, length);
		if (got <= 0) {
			if (got == 0)
				errno = ECONNRESET;
			return false;
		}
		at += got;
		length -= (size_t)got;
	}
	return true;
}

struct reply {
	char command;
	size_t length;
	char data[REPLY_MAX + 1];
};

static bool
reply_read(int fd, struct reply *reply)
{
	unsigned char head[5];
	uint32_t length;

	if (!read_all(fd, head, sizeof(head)))
		return false;
	length =
	    (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
	if (length < 1 || length - 1 > REPLY_MAX) {
		errno = EPROTO;
		return false;
	}
	reply->command = (char)head[4];
	reply->length = length - 1;
	reply->data[reply->length] = '\0';
	return read_all(fd, reply->data, reply->length);
}

static int
dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(socket_path) >= sizeof(address.sun_path))
		die(socket_path);
	memcpy(address.sun_path, socket_path, strlen(socket_path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void
put_negotiation(struct packet *packet, uint32_t protocol)
{
	packet_begin(packet, SMFIC_OPTNEG);
	packet_number(packet, SMFI_PROT_VERSION);
	packet_number(packet, SMFI_CURR_ACTS);
	packet_number(packet, protocol);
}

/* --- script ------------------------------------------------------------------------------ */

struct script {
	int fd;
	size_t words;
	char *word[WORDS_MAX];
	struct packet packet;
	struct reply reply;
};

static void
print_negotiation(const struct reply *reply)
{
	const unsigned char *d = (const unsigned char *)reply->data;
	uint32_t number[3] = {0};

	for (size_t i = 0; i < 3 && reply->length >= MILTER_OPTLEN; i++, d += 4)
		number[i] =
		    (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
	printf("options version=%u actions=%x protocol=%x\n", number[0], number[1], number[2]);
}

static void
script_print_reply(struct script *script)
{
	struct reply *reply = &script->reply;

	if (!reply_read(script->fd, reply)) {
		printf("%s\n", errno == ETIMEDOUT ? "timeout" : "closed");
		return;
	}
	switch (reply->command) {
	case SMFIR_CONTINUE: puts("continue"); break;
	case SMFIR_ACCEPT: puts("accept"); break;
	case SMFIR_TEMPFAIL: puts("tempfail"); break;
	case SMFIR_REJECT: puts("reject"); break;
	case SMFIR_REPLYCODE: puts(reply->data); break;
	case SMFIC_OPTNEG: print_negotiation(reply); break;
	default: printf("reply %c\n", reply->command); break;
	}
}

static bool
script_send(struct script *script)
{
	if (packet_send(script->fd, &script->packet))
		return true;
	puts("closed");
	return false;
}

static void
do_negotiate(struct script *script)
{
	const char *given = script->words > 1 ? script->word[1] : "1fffff";

	put_negotiation(&script->packet, (uint32_t)strtoul(given, NULL, 16));
	if (script_send(script))
		script_print_reply(script);
}

static void
send_words(struct script *script, char command, size_t first)
{
	packet_begin(&script->packet, command);
	for (size_t i = first; i < script->words; i++)
		packet_text(&script->packet, script->word[i]);
	(void)script_send(script);
}

static void
do_macro(struct script *script)
{
	packet_begin(&script->packet, SMFIC_MACRO);
	packet_add(&script->packet, script->word[1], 1);
	for (size_t i = 2; i < script->words; i++)
		packet_text(&script->packet, script->word[i]);
	(void)script_send(script);
}

static void
do_mail(struct script *script)
{
	send_words(script, SMFIC_MAIL, 1);
	script_print_reply(script);
}

static void
do_rcpt(struct script *script)
{
	send_words(script, SMFIC_RCPT, 1);
	script_print_reply(script);
}

static void
do_unknown(struct script *script)
{
	send_words(script, SMFIC_UNKNOWN, 1);
	script_print_reply(script);
}

static void
do_header(struct script *script)
{
	packet_begin(&script->packet, SMFIC_HEADER);
	packet_text(&script->packet, script->word[1]);
	packet_text(&script->packet, script->words > 2 ? script->word[2] : "");
	(void)script_send(script);
}

static void
do_eoh(struct script *script)
{
	send_words(script, SMFIC_EOH, script->words);
}

static void
do_body(struct script *script)
{
	static const unsigned char octets[MILTER_CHUNK_SIZE];
	unsigned long long left = strtoull(script->word[1], NULL, 10);

	while (left > 0) {
		const size_t chunk = left < sizeof(octets) ? (size_t)left : sizeof(octets);

		packet_begin(&script->packet, SMFIC_BODY);
		packet_add(&script->packet, octets, chunk);
		if (!script_send(script))
			return;
		left -= chunk;
	}
}

static void
do_eom(struct script *script)
{
	send_words(script, SMFIC_BODYEOB, script->words);
	script_print_reply(script);
}

static void
do_abort(struct script *script)
{
	send_words(script, SMFIC_ABORT, script->words);
}

static void
do_quit(struct script *script)
{
	send_words(script, SMFIC_QUIT, script->words);
}

static void
do_raw(struct script *script)
{
	unsigned char octets[WORDS_MAX];
	size_t length = 0;

	for (size_t i = 1; i < script->words; i++)
		octets[length++] = (unsigned char)strtoul(script->word[i], NULL, 16);
	if (!send_all(script->fd, octets, length))
		puts("closed");
}

static void
do_fill(struct script *script)
{
	char block[4096];
	unsigned long left = strtoul(script->word[2], NULL, 10);

	memset(block, (int)strtoul(script->word[1], NULL, 16), sizeof(block));
	while (left > 0) {
		const size_t chunk = left < sizeof(block) ? left : sizeof(block);

		if (!send_all(script->fd, block, chunk)) {
			puts("closed");
			return;
		}
		left -= chunk;
	}
}

static void
do_closed(struct script *script)
{
	struct pollfd wait = {.fd = script->fd, .events = POLLIN};
	char octet;
	bool closed = poll(&wait, 1, 5000) > 0 && recv(script->fd, &octet, 1, 0) <= 0;

	puts(closed ? "closed" : "open");
}

static void
do_again(struct script *script)
{
	if (script->fd >= 0)
		(void)close(script->fd);
	script->fd = dial();
	if (script->fd < 0)
		puts("refused");
}

static const struct verb {
	const char *name;
	void (*run)(struct script *script);
	size_t words; /* at least */
} verbs[] = {
    {"negotiate", do_negotiate, 1},
    {"macro", do_macro, 2},
    {"mail", do_mail, 1},
    {"rcpt", do_rcpt, 1},
    {"unknown", do_unknown, 1},
    {"header", do_header, 2},
    {"eoh", do_eoh, 1},
    {"body", do_body, 2},
    {"eom", do_eom, 1},
    {"abort", do_abort, 1},
    {"quit", do_quit, 1},
    {"raw", do_raw, 2},
    {"fill", do_fill, 3},
    {"closed", do_closed, 1},
    {"again", do_again, 1},
};

static void
decode_percent(char *word)
{
	char *out = word;

	for (; *word != '\0'; word++) {
		char hex[3] = {0};

		if (*word == '%' && isxdigit((unsigned char)word[1]) &&
		    isxdigit((unsigned char)word[2])) {
			memcpy(hex, word + 1, 2);
			*out++ = (char)strtoul(hex, NULL, 16);
			word += 2;
		} else {
			*out++ = *word;
		}
	}
	*out = '\0';
}

static void
script_line(struct script *script, char *line)
{
	char *rest = line, *word;

	script->words = 0;
	while ((word = strtok_r(rest, " \t\n", &rest)) != NULL && script->words < WORDS_MAX) {
		decode_percent(word);
		script->word[script->words++] = word;
	}
	if (script->words == 0 || script->word[0][0] == '#')
		return;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, script->word[0]) == 0 &&
		    script->words >= verbs[i].words) {
			verbs[i].run(script);
			fflush(stdout);
			return;
		}
	}
	fprintf(stderr, "milter_client: not understood: %s\n", script->word[0]);
	exit(EX_USAGE);
}

static int
run_script(void)
{
	static struct script script;
	char line[4096];

	script.fd = -1;
	do_again(&script);
	while (fgets(line, sizeof(line), stdin) != NULL)
		script_line(&script, line);
	if (script.fd >= 0)
		(void)close(script.fd);
	return EX_OK;
}

/* --- load ---------------------------------------------------------------------------------- */

static struct load {
	long messages;
	long sessions;
	size_t body;
	long per_session;
	const char *recipient;
	double began;
	bool odd; /* some transactions are given up, some connections break off */
	atomic_long started;
	atomic_long refused;
	atomic_long failed;
} load = {.messages = 1000, .sessions = 1, .body = 2000, .per_session = 50};

static double
clock_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* By errno. `command`: what was sent, or 0: the connection was not made. */
static bool
load_failed(char command, const char *where)
{
	if (atomic_fetch_add(&load.failed, 1) < LOAD_FAILURES_SHOWN)
		printf("failed at %.3f s: %c, %s: %s\n", clock_s() - load.began,
		    command == '\0' ? '-' : command, where, strerror(errno));
	return false;
}

/* For what has no reply. */
static bool
load_tell(int fd, struct packet *packet)
{
	return packet_send(fd, packet) || load_failed((char)packet->bytes[4], "send");
}

static bool
load_ask(int fd, struct packet *packet, struct reply *reply)
{
	if (!load_tell(fd, packet))
		return false;
	if (!reply_read(fd, reply))
		return load_failed((char)packet->bytes[4], "reply");
	if (reply->command != SMFIR_CONTINUE && reply->command != SMFIC_OPTNEG)
		atomic_fetch_add(&load.refused, 1);
	return true;
}

static void
put_texts(struct packet *packet, char command, const char *const *texts)
{
	packet_begin(packet, command);
	for (; *texts != NULL; texts++)
		packet_text(packet, *texts);
}

static void
put_macros(struct packet *packet, char stage, const char *const *texts)
{
	packet_begin(packet, SMFIC_MACRO);
	packet_add(packet, &stage, 1);
	for (; *texts != NULL; texts++)
		packet_text(packet, *texts);
}

static bool
load_envelope(int fd, struct packet *packet, struct reply *reply)
{
	static const char *const mail[] = {"<a@sender.example>", "SIZE=2100", NULL};
	const char *const macros[] = {"j", "mx.example", "{client_addr}", "192.0.2.9",
	    "{rcpt_addr}", load.recipient, "{rcpt_mailer}", "mxhold", NULL};
	const char *const rcpt[] = {load.recipient, NULL};

	put_texts(packet, SMFIC_MAIL, mail);
	if (!load_ask(fd, packet, reply))
		return false;
	put_macros(packet, SMFIC_RCPT, macros);
	if (!load_tell(fd, packet))
		return false;
	put_texts(packet, SMFIC_RCPT, rcpt);
	return load_ask(fd, packet, reply);
}

static bool
load_content(int fd, struct packet *packet, struct reply *reply)
{
	static const char *const header[] = {"Subject", " a message of the load test", NULL};
	static const char *const macros[] = {"i", "4XyZ1234567890", "j", "mx.example", NULL};
	static const unsigned char octets[MILTER_CHUNK_SIZE];
	size_t left = load.body;

	put_texts(packet, SMFIC_HEADER, header);
	if (!load_tell(fd, packet))
		return false;
	for (; left > 0; left -= packet->length - 1) {
		packet_begin(packet, SMFIC_BODY);
		packet_add(packet, octets, left < sizeof(octets) ? left : sizeof(octets));
		if (!load_tell(fd, packet))
			return false;
	}
	put_macros(packet, SMFIC_BODYEOB, macros);
	if (!load_tell(fd, packet))
		return false;
	packet_begin(packet, SMFIC_BODYEOB);
	return load_ask(fd, packet, reply);
}

/* One transaction. False: the connection is of no further use. */
static bool
load_message(int fd, long number, struct packet *packet, struct reply *reply)
{
	if (!load_envelope(fd, packet, reply))
		return false;
	if (load.odd && number % 10 == 3) {
		packet_begin(packet, SMFIC_ABORT);
		return load_tell(fd, packet);
	}
	if (load.odd && number % 10 == 7)
		return false;
	return load_content(fd, packet, reply);
}

static void *
load_session(void *unused)
{
	struct packet *packet = malloc(sizeof(*packet));
	struct reply *reply = malloc(sizeof(*reply));
	long number, used = 0;
	int fd = -1;

	(void)unused;
	if (packet == NULL || reply == NULL)
		die("memory");
	while ((number = atomic_fetch_add(&load.started, 1)) < load.messages) {
		if (fd < 0 || used >= load.per_session) {
			if (fd >= 0)
				(void)close(fd);
			used = 0;
			fd = dial();
			put_negotiation(packet, SMFI_CURR_PROT);
			if (fd < 0) {
				(void)load_failed('\0', "connect");
				continue;
			}
			if (!load_ask(fd, packet, reply)) {
				(void)close(fd);
				fd = -1;
				continue;
			}
		}
		used++;
		if (!load_message(fd, number, packet, reply)) {
			(void)close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	free(packet);
	free(reply);
	return NULL;
}

static int
run_load(int argc, char **argv)
{
	static pthread_t threads[1024];
	double took;
	int option;

	load.began = clock_s();
	load.recipient = "u@customer.example";
	while ((option = getopt(argc, argv, "n:c:b:k:r:x")) != -1) {
		switch (option) {
		case 'n': load.messages = atol(optarg); break;
		case 'c': load.sessions = atol(optarg); break;
		case 'b': load.body = (size_t)atol(optarg); break;
		case 'k': load.per_session = atol(optarg); break;
		case 'r': load.recipient = optarg; break;
		case 'x': load.odd = true; break;
		default: return EX_USAGE;
		}
	}
	if (load.sessions < 1 || load.sessions > 1024)
		return EX_USAGE;
	for (long i = 0; i < load.sessions; i++) {
		if (pthread_create(&threads[i], NULL, load_session, NULL) != 0)
			die("thread");
	}
	for (long i = 0; i < load.sessions; i++)
		(void)pthread_join(threads[i], NULL);
	took = clock_s() - load.began;
	printf("messages=%ld refused=%ld failed=%ld rate=%.0f/s\n", load.messages, load.refused,
	    load.failed, (double)load.messages / took);
	return load.refused == 0 && load.failed == 0 ? EX_OK : EX_UNAVAILABLE;
}

/* --- idle ----------------------------------------------------------------------------------- */

static bool
still_open(int fd)
{
	char octet;

	return recv(fd, &octet, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static int
run_idle(int argc, char **argv)
{
	static const unsigned char half[] = {0, 0, 0, 13, 'O', 0, 0};
	long count = 1000, seconds = 1, made = 0, left = 0;
	bool halves = false;
	int option, *fds;

	while ((option = getopt(argc, argv, "n:t:H")) != -1) {
		switch (option) {
		case 'n': count = atol(optarg); break;
		case 't': seconds = atol(optarg); break;
		case 'H': halves = true; break;
		default: return EX_USAGE;
		}
	}
	(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)count + 64, (rlim_t)count + 64});
	fds = calloc((size_t)count, sizeof(*fds));
	if (fds == NULL)
		die("memory");
	for (; made < count && (fds[made] = dial()) >= 0; made++) {
		if (halves)
			(void)send_all(fds[made], half, sizeof(half));
	}
	printf("opened=%ld\n", made);
	fflush(stdout);
	sleep((unsigned)seconds);
	for (long i = 0; i < made; i++)
		left += still_open(fds[i]);
	printf("open=%ld\n", left);
	free(fds);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: milter_client SOCKET script|load|idle [OPTION...]\n");
		return EX_USAGE;
	}
	socket_path = argv[1];
	argv += 2;
	argc -= 2;
	if (strcmp(argv[0], "script") == 0)
		return run_script();
	if (strcmp(argv[0], "load") == 0)
		return run_load(argc, argv);
	if (strcmp(argv[0], "idle") == 0)
		return run_idle(argc, argv);
	fprintf(stderr, "milter_client: what is %s?\n", argv[0]);
	return EX_USAGE;
}
