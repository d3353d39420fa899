/*
 * sender: a sending mail server with a ledger, for tests: what did each recipient get as an answer?
 *
 * In: a list of recipients with labels, how many messages, how fast, over how many sessions. Out:
 * in the ledger each reply to each recipient and, at the end, what became of him; on stdout a
 * summary by label. As a real MTA it tries again after 4xx, a lost connection or silence, until
 * `-g` seconds after the last new message, and never after 250 or 5xx. Each message carries an
 * X-Ledger-Id.
 *
 *   sender -s ADDRESS:PORT -r RECIPIENTS -l LEDGER [options]
 *     -n N      messages in all (default 100)     -q RATE   new messages a second (0: at once)
 *     -m M      sessions at most (10)             -k K      recipients a message (1)
 *     -b B      messages a session (10)           -z BYTES  size of the body (2000)
 *     -f FROM   sender (sender@out.example)       -i PREFIX of the ids (m)
 *     -w MS     wait before trying again (1000)   -g S      goes on trying for (60)
 *     -t S      patience for one reply (30)       -h HELO   (sender.out.example)
 *
 * SIGUSR1: no new messages from now on, `-g` counts from here. SIGTERM: ends at once.
 *
 * RECIPIENTS: a line `LABEL ADDRESS` each, used in turn. The ledger has tab-separated lines
 * `time id <recipient> label attempt stage code text`; stage `final` has code 250, 5xx, or 0: never
 * answered for good. Exit status 0 says only that it ran; the ledger says the rest.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>

#include <err.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define LABELS_MAX 32
#define TARGETS_MAX 10000
#define SESSIONS_MAX 500
#define MESSAGES_MAX 10000000
#define RECIPIENTS_MAX 100
#define TEXT_SIZE 512
#define TICK_MS 10

struct target {
	char address[TEXT_SIZE];
	size_t label;
};

struct label {
	char name[64];
	uint64_t accepted, refused, pending, deferrals;
};

enum fate { FATE_PENDING, FATE_ACCEPTED, FATE_REFUSED };

struct recipient {
	const struct target *target;
	enum fate fate;
	unsigned last_code;
};

struct message {
	struct message *next; /* in the queue of those to be tried again */
	uint64_t number;
	unsigned attempt;
	int64_t due_ms;
	struct recipient recipients[]; /* options.per_message of them */
};

struct options {
	const char *server, *recipients, *ledger, *from, *prefix, *helo;
	uint64_t messages;
	double rate;
	unsigned sessions, per_message, reuse, wait_ms, grace_s, patience_s;
	size_t body;
};

enum phase { PHASE_BANNER, PHASE_EHLO, PHASE_MAIL, PHASE_RCPT, PHASE_DATA, PHASE_END, PHASE_QUIT };

static const char *const phase_names[] = {
    [PHASE_BANNER] = "banner",
    [PHASE_EHLO] = "ehlo",
    [PHASE_MAIL] = "mail",
    [PHASE_RCPT] = "rcpt",
    [PHASE_DATA] = "data",
    [PHASE_END] = "end",
    [PHASE_QUIT] = "quit",
};

struct sender;

struct session {
	struct sender *sender;
	struct bufferevent *bev; /* NULL: the slot is free */
	enum phase phase;
	struct message *message;
	unsigned at;     /* recipient whose RCPT is under way */
	unsigned agreed; /* recipients with 250 in this transaction */
	bool taken[RECIPIENTS_MAX];
	unsigned used; /* messages over this connection */
};

struct sender {
	struct options options;
	struct event_base *base;
	struct target *targets;
	size_t target_count;
	struct label labels[LABELS_MAX];
	size_t label_count;
	struct session *slots;
	unsigned open;
	struct message *again, **again_end; /* due in this order, since the wait is constant */
	uint64_t made, unfinished, lost, attempts;
	int64_t started_ms, last_made_ms;
	FILE *ledger;
	struct sockaddr_storage address;
	int address_length;
};

static int64_t
clock_ms(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* --- ledger --------------------------------------------------------------------- */

static void
ledger_line(struct sender *sender, const struct message *message, const struct recipient *recipient,
    const char *stage, unsigned code, const char *text)
{
	const int64_t now = clock_ms(CLOCK_REALTIME);

	fprintf(sender->ledger,
	    "%" PRId64 ".%03" PRId64 "\t%s-%" PRIu64 "\t<%s>\t%s\t%u\t%s\t%u\t%s\n", now / 1000,
	    now % 1000, sender->options.prefix, message->number, recipient->target->address,
	    sender->labels[recipient->target->label].name, message->attempt, stage, code, text);
}

static void
recipient_settle(struct sender *sender, const struct message *message, struct recipient *recipient,
    const char *stage, unsigned code, const char *text)
{
	struct label *label = &sender->labels[recipient->target->label];

	ledger_line(sender, message, recipient, stage, code, text);
	recipient->last_code = code;
	if (code / 100 == 5)
		recipient->fate = FATE_REFUSED;
	else if (code / 100 != 2)
		label->deferrals++;
}

/* One answer that counts for every recipient who is still waiting (or was taken in, if `taken`). */
static void
message_settle(
    struct session *session, bool taken, const char *stage, unsigned code, const char *text)
{
	struct sender *sender = session->sender;
	struct message *message = session->message;

	for (unsigned i = 0; i < sender->options.per_message; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (recipient->fate != FATE_PENDING || (taken && !session->taken[i]))
			continue;
		recipient_settle(sender, message, recipient, stage, code, text);
		if (taken && code / 100 == 2)
			recipient->fate = FATE_ACCEPTED;
	}
}

/* --- messages ----------------------------------------------------------------------- */

static struct message *
message_new(struct sender *sender)
{
	const unsigned count = sender->options.per_message;
	struct message *message =
	    calloc(1, sizeof *message + count * sizeof message->recipients[0]);

	if (message == NULL)
		err(EX_OSERR, "message");
	message->number = ++sender->made;
	for (unsigned i = 0; i < count; i++)
		message->recipients[i].target =
		    &sender->targets[((message->number - 1) * count + i) % sender->target_count];
	sender->unfinished++;
	sender->last_made_ms = clock_ms(CLOCK_MONOTONIC);
	return message;
}

/* The next message whose time has come, or NULL. */
static struct message *
message_next(struct sender *sender)
{
	const struct options *options = &sender->options;
	const int64_t now = clock_ms(CLOCK_MONOTONIC);
	struct message *message = sender->again;

	if (message != NULL && message->due_ms <= now) {
		sender->again = message->next;
		if (sender->again == NULL)
			sender->again_end = &sender->again;
		return message;
	}
	if (sender->made < options->messages &&
	    (options->rate <= 0 || sender->made <= (uint64_t)((double)(now - sender->started_ms) /
							      1000 * options->rate)))
		return message_new(sender);
	return NULL;
}

static void
message_count(struct sender *sender, const struct message *message)
{
	for (unsigned i = 0; i < sender->options.per_message; i++) {
		const struct recipient *recipient = &message->recipients[i];
		struct label *label = &sender->labels[recipient->target->label];

		switch (recipient->fate) {
		case FATE_ACCEPTED: label->accepted++; break;
		case FATE_REFUSED: label->refused++; break;
		default: label->pending++; break;
		}
		ledger_line(sender, message, recipient, "final",
		    recipient->fate == FATE_PENDING ? 0 : recipient->last_code, "");
	}
}

/* After a transaction: finished, or to be tried again later. */
static void
message_release(struct session *session)
{
	struct sender *sender = session->sender;
	struct message *message = session->message;
	bool waiting = false;

	session->message = NULL;
	for (unsigned i = 0; i < sender->options.per_message; i++)
		waiting = waiting || message->recipients[i].fate == FATE_PENDING;
	if (!waiting) {
		message_count(sender, message);
		free(message);
		sender->unfinished--;
		return;
	}
	message->due_ms = clock_ms(CLOCK_MONOTONIC) + sender->options.wait_ms;
	message->next = NULL;
	*sender->again_end = message;
	sender->again_end = &message->next;
}

/* --- sessions -------------------------------------------------------------------------- */

static void
session_close(struct session *session)
{
	if (session->message != NULL)
		message_release(session);
	bufferevent_free(session->bev);
	session->bev = NULL;
	session->sender->open--;
}

/* The connection ended, or nothing came in time, while something was under way. */
static void
session_lost(struct session *session, const char *why)
{
	if (session->message != NULL) {
		session->sender->lost++;
		message_settle(
		    session, session->phase == PHASE_END, phase_names[session->phase], 0, why);
	}
	session_close(session);
}

static void session_command(struct session *session, enum phase phase, const char *format,
    const char *argument) __attribute__((format(printf, 3, 0)));
static void
session_command(struct session *session, enum phase phase, const char *format, const char *argument)
{
	session->phase = phase;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	evbuffer_add_printf(bufferevent_get_output(session->bev), format, argument);
#pragma GCC diagnostic pop
}

static void
session_mail(struct session *session)
{
	session->message->attempt++;
	session->sender->attempts++;
	session->agreed = 0;
	session->at = 0;
	memset(session->taken, 0, sizeof session->taken);
	session_command(session, PHASE_MAIL, "MAIL FROM:<%s>\r\n", session->sender->options.from);
}

/* The next RCPT, or DATA, or the end of this transaction. */
static void
session_next_recipient(struct session *session)
{
	const unsigned count = session->sender->options.per_message;

	while (
	    session->at < count && session->message->recipients[session->at].fate != FATE_PENDING)
		session->at++;
	if (session->at < count)
		session_command(session, PHASE_RCPT, "RCPT TO:<%s>\r\n",
		    session->message->recipients[session->at].target->address);
	else if (session->agreed > 0)
		session_command(session, PHASE_DATA, "%s\r\n", "DATA");
	else {
		message_release(session);
		session_command(session, PHASE_QUIT, "%s\r\n", "QUIT");
	}
}

static void
session_content(struct session *session)
{
	static const char line[] =
	    "0123456789 abcdefghij klmnopqrst uvwxyz ABCD EFGHIJ KLMNOPQR STUVWXYZ!\r\n";
	struct evbuffer *out = bufferevent_get_output(session->bev);
	const struct options *options = &session->sender->options;
	size_t left = options->body;

	evbuffer_add_printf(out,
	    "From: <%s>\r\nTo: undisclosed-recipients:;\r\nSubject: ledger %s-%" PRIu64 "\r\n"
	    "Message-Id: <%s-%" PRIu64 "@ledger.example>\r\nX-Ledger-Id: %s-%" PRIu64 "\r\n\r\n",
	    options->from, options->prefix, session->message->number, options->prefix,
	    session->message->number, options->prefix, session->message->number);
	while (left > 0) {
		const size_t part = left < sizeof line - 1 ? left : sizeof line - 1;

		evbuffer_add(out, line + (sizeof line - 1 - part), part);
		left -= part;
	}
	session_command(session, PHASE_END, "%s", options->body < 2 ? "\r\n.\r\n" : ".\r\n");
}

static void
session_rcpt_reply(struct session *session, unsigned code, const char *text)
{
	struct message *message = session->message;

	recipient_settle(
	    session->sender, message, &message->recipients[session->at], "rcpt", code, text);
	if (code / 100 == 2) {
		session->taken[session->at] = true;
		session->agreed++;
	}
	session->at++;
	session_next_recipient(session);
}

/* After a refusal of the whole: what must not be tried again is finished. */
static void
session_give_up(struct session *session, bool taken, unsigned code, const char *text)
{
	message_settle(session, taken, phase_names[session->phase], code, text);
	message_release(session);
	session_command(session, PHASE_QUIT, "%s\r\n", "QUIT");
}

static void
session_end_reply(struct session *session, unsigned code, const char *text)
{
	struct sender *sender = session->sender;

	message_settle(session, true, "end", code, text);
	message_release(session);
	if (++session->used < sender->options.reuse)
		session->message = message_next(sender);
	if (session->message != NULL)
		session_mail(session);
	else
		session_command(session, PHASE_QUIT, "%s\r\n", "QUIT");
}

static void
session_reply(struct session *session, unsigned code, const char *text)
{
	const unsigned class = code / 100;

	switch (session->phase) {
	case PHASE_BANNER:
		if (class == 2)
			session_command(
			    session, PHASE_EHLO, "EHLO %s\r\n", session->sender->options.helo);
		break;
	case PHASE_EHLO:
		if (class == 2)
			session_mail(session);
		break;
	case PHASE_MAIL:
		if (class == 2)
			session_next_recipient(session);
		break;
	case PHASE_RCPT:
		/* 421 ends the session, so it counts for the rest too. */
		if (code != 421) {
			session_rcpt_reply(session, code, text);
			return;
		}
		break;
	case PHASE_DATA:
		if (class == 3) {
			session_content(session);
			return;
		}
		break;
	case PHASE_END: session_end_reply(session, code, text); return;
	case PHASE_QUIT: session_close(session); return;
	}
	if (class != 2)
		session_give_up(session, session->phase == PHASE_DATA, code, text);
}

static void
session_read(struct bufferevent *bev, void *context)
{
	struct session *session = context;
	struct evbuffer *input = bufferevent_get_input(bev);
	char *line;

	while (session->bev == bev &&
	       (line = evbuffer_readln(input, NULL, EVBUFFER_EOL_CRLF)) != NULL) {
		const unsigned code = (unsigned)strtoul(line, NULL, 10);

		if (strlen(line) < 4 || line[3] != '-')
			session_reply(session, code, strlen(line) > 4 ? line + 4 : "");
		free(line);
	}
}

static void
session_event(struct bufferevent *bev, short what, void *context)
{
	(void)bev;
	if ((what & BEV_EVENT_CONNECTED) != 0)
		return;
	session_lost(context,
	    (what & BEV_EVENT_TIMEOUT) != 0 ? "(silence)" : "(connection lost or refused)");
}

static void
session_start(struct sender *sender, struct session *session, struct message *message)
{
	const struct timeval patience = {.tv_sec = sender->options.patience_s};

	session->sender = sender;
	session->message = message;
	session->phase = PHASE_BANNER;
	session->used = 0;
	session->bev = bufferevent_socket_new(sender->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (session->bev == NULL)
		errx(EX_OSERR, "out of memory");
	sender->open++;
	bufferevent_setcb(session->bev, session_read, NULL, session_event, session);
	bufferevent_set_timeouts(session->bev, &patience, &patience);
	bufferevent_enable(session->bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(
		session->bev, (struct sockaddr *)&sender->address, sender->address_length) != 0 &&
	    session->bev != NULL)
		session_lost(session, "(cannot connect)");
}

/* --- the whole ----------------------------------------------------------------------------- */

static bool
sender_finished(const struct sender *sender)
{
	const struct options *options = &sender->options;

	if (sender->made < options->messages)
		return false;
	return sender->unfinished == 0 ||
	       clock_ms(CLOCK_MONOTONIC) > sender->last_made_ms + options->grace_s * 1000LL;
}

static void
sender_tick(evutil_socket_t fd, short what, void *context)
{
	struct sender *sender = context;

	(void)fd;
	(void)what;
	if (sender_finished(sender)) {
		event_base_loopbreak(sender->base);
		return;
	}
	for (unsigned i = 0; i < sender->options.sessions; i++) {
		struct message *message;

		if (sender->slots[i].bev != NULL)
			continue;
		message = message_next(sender);
		if (message == NULL)
			return;
		session_start(sender, &sender->slots[i], message);
	}
}

/* No new messages; what is under way comes to its end. */
static void
sender_enough(evutil_socket_t signal, short what, void *context)
{
	struct sender *sender = context;

	(void)signal;
	(void)what;
	sender->options.messages = sender->made;
	sender->last_made_ms = clock_ms(CLOCK_MONOTONIC);
}

static void
sender_stop(evutil_socket_t signal, short what, void *context)
{
	struct sender *sender = context;

	(void)signal;
	(void)what;
	event_base_loopbreak(sender->base);
}

static struct event *
sender_event(struct sender *sender, int number, short what, event_callback_fn run, int every_ms)
{
	const struct timeval every = {.tv_usec = every_ms * 1000};
	struct event *event = event_new(sender->base, number, what | EV_PERSIST, run, sender);

	if (event == NULL || event_add(event, every_ms > 0 ? &every : NULL) != 0)
		errx(EX_OSERR, "event");
	return event;
}

static void
sender_run(struct sender *sender)
{
	struct event *events[3];

	sender->base = event_base_new();
	if (sender->base == NULL)
		errx(EX_OSERR, "event_base_new");
	sender->again_end = &sender->again;
	sender->started_ms = clock_ms(CLOCK_MONOTONIC);
	events[0] = sender_event(sender, -1, 0, sender_tick, TICK_MS);
	events[1] = sender_event(sender, SIGTERM, EV_SIGNAL, sender_stop, 0);
	events[2] = sender_event(sender, SIGUSR1, EV_SIGNAL, sender_enough, 0);
	event_base_dispatch(sender->base);
	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		event_free(events[i]);
}

/* Whoever has no final answer by now is written down as such. */
static void
sender_finish(struct sender *sender)
{
	for (unsigned i = 0; i < sender->options.sessions; i++)
		if (sender->slots[i].bev != NULL)
			session_lost(&sender->slots[i], "(ended)");
	while (sender->again != NULL) {
		struct message *message = sender->again;

		sender->again = message->next;
		message_count(sender, message);
		free(message);
	}
	event_base_free(sender->base);
	printf("messages=%" PRIu64 " attempts=%" PRIu64 " lost=%" PRIu64 "\n", sender->made,
	    sender->attempts, sender->lost);
	for (size_t i = 0; i < sender->label_count; i++) {
		const struct label *label = &sender->labels[i];

		printf("label=%s accepted=%" PRIu64 " refused=%" PRIu64 " pending=%" PRIu64
		       " deferrals=%" PRIu64 "\n",
		    label->name, label->accepted, label->refused, label->pending, label->deferrals);
	}
	if (fclose(sender->ledger) != 0)
		err(EX_IOERR, "%s", sender->options.ledger);
}

static size_t
label_find(struct sender *sender, const char *name)
{
	for (size_t i = 0; i < sender->label_count; i++)
		if (strcmp(sender->labels[i].name, name) == 0)
			return i;
	if (sender->label_count == LABELS_MAX)
		errx(EX_USAGE, "more than %d labels", LABELS_MAX);
	snprintf(
	    sender->labels[sender->label_count].name, sizeof sender->labels[0].name, "%s", name);
	return sender->label_count++;
}

static void
targets_read(struct sender *sender)
{
	FILE *file = fopen(sender->options.recipients, "r");
	char name[64], address[TEXT_SIZE];

	if (file == NULL)
		err(EX_NOINPUT, "%s", sender->options.recipients);
	sender->targets = calloc(TARGETS_MAX, sizeof *sender->targets);
	if (sender->targets == NULL)
		err(EX_OSERR, "targets");
	while (sender->target_count < TARGETS_MAX &&
	       fscanf(file, " %63s %511[^\n]", name, address) == 2) {
		struct target *target = &sender->targets[sender->target_count++];

		memcpy(target->address, address, sizeof target->address);
		target->label = label_find(sender, name);
	}
	fclose(file);
	if (sender->target_count == 0)
		errx(EX_DATAERR, "%s: no line `LABEL ADDRESS`", sender->options.recipients);
}

static void
usage(void)
{
	fputs("usage: sender -s ADDRESS:PORT -r RECIPIENTS -l LEDGER [-n N] [-q RATE] [-m M]\n"
	      "              [-k K] [-b B] [-z BYTES] [-f FROM] [-i PREFIX] [-w MS] [-g S]\n"
	      "              [-t S] [-h HELO]\n",
	    stderr);
	exit(EX_USAGE);
}

static unsigned
number(const char *text, unsigned long most)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value > most)
		errx(EX_USAGE, "%s: not a number up to %lu", text, most);
	return (unsigned)value;
}

static void
options_read(struct options *options, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "s:r:l:n:q:m:k:b:z:f:i:w:g:t:h:")) != -1) {
		switch (option) {
		case 's': options->server = optarg; break;
		case 'r': options->recipients = optarg; break;
		case 'l': options->ledger = optarg; break;
		case 'n': options->messages = number(optarg, MESSAGES_MAX); break;
		case 'q': options->rate = strtod(optarg, NULL); break;
		case 'm': options->sessions = number(optarg, SESSIONS_MAX); break;
		case 'k': options->per_message = number(optarg, RECIPIENTS_MAX); break;
		case 'b': options->reuse = number(optarg, 1000000); break;
		case 'z': options->body = number(optarg, 100u << 20); break;
		case 'f': options->from = optarg; break;
		case 'i': options->prefix = optarg; break;
		case 'w': options->wait_ms = number(optarg, 3600000); break;
		case 'g': options->grace_s = number(optarg, 86400); break;
		case 't': options->patience_s = number(optarg, 3600); break;
		case 'h': options->helo = optarg; break;
		default: usage();
		}
	}
	if (options->server == NULL || options->recipients == NULL || options->ledger == NULL ||
	    options->sessions == 0 || options->per_message == 0 || optind != argc)
		usage();
}

int
main(int argc, char **argv)
{
	static struct sender sender = {
	    .options = {.from = "sender@out.example",
		.prefix = "m",
		.helo = "sender.out.example",
		.messages = 100,
		.sessions = 10,
		.per_message = 1,
		.reuse = 10,
		.wait_ms = 1000,
		.grace_s = 60,
		.patience_s = 30,
		.body = 2000},
	    .address_length = sizeof(struct sockaddr_storage),
	};

	signal(SIGPIPE, SIG_IGN);
	options_read(&sender.options, argc, argv);
	if (evutil_parse_sockaddr_port(sender.options.server, (struct sockaddr *)&sender.address,
		&sender.address_length) != 0)
		errx(EX_USAGE, "%s: not ADDRESS:PORT", sender.options.server);
	targets_read(&sender);
	sender.ledger = fopen(sender.options.ledger, "w");
	if (sender.ledger == NULL)
		err(EX_CANTCREAT, "%s", sender.options.ledger);
	sender.slots = calloc(sender.options.sessions, sizeof *sender.slots);
	if (sender.slots == NULL)
		err(EX_OSERR, "slots");
	sender_run(&sender);
	sender_finish(&sender);
	free(sender.slots);
	free(sender.targets);
	return 0;
}
