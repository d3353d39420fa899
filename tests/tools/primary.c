/*
 * primary: a customer's own mail server, for tests: it can be up, down, and wrong in every way.
 *
 * In: SMTP (RFC 5321; PIPELINING, SIZE, 8BITMIME) on the given addresses, commands on a control
 * socket. Out: each message as a file with its envelope, one line per recipient in a ledger,
 * written before the 250 is sent. Only CRLF ends a line and only CRLF.CRLF a message, so that
 * whatever a relay lets through shows up as it is. Everything is bounded: sessions, lines,
 * recipients, bytes.
 *
 *   primary -c CONTROL [-d STORE] -l LEDGER [-s BYTES] ADDRESS:PORT...   without STORE: the ledger
 * alone primary -C CONTROL COMMAND...        sends one command and prints the answer
 *
 * Commands: `up`, `down` (listeners and sessions are gone; connections are refused), `reset` (every
 * stage well again), `count`, `at STAGE ACTION`, where STAGE is banner, ehlo, starttls, mail, rcpt,
 * data, end or quit, and ACTION `ok`, `stall` (never answers), `drop` (RST), `lose` (end: stores,
 * then RST instead of the 250), `reply TEXT` ("550 5.1.1 no such user"), `slow MS` (answers well,
 * so much later), or at rcpt alone: `grey SECONDS` (450 until so long after a recipient's first
 * try) and `unknown PREFIX` (550 5.1.1 to users whose names begin so, all others are known).
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <search.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 32
#define SESSIONS_MAX 512
#define RECIPIENTS_MAX 1000
#define LINE_SIZE 4096
#define CHUNK_SIZE 65536
#define TEXT_SIZE 512
#define ID_SIZE 256
#define SIZE_DEFAULT (64u << 20)
#define IDLE_SECONDS 300

enum stage {
	STAGE_BANNER,
	STAGE_EHLO,
	STAGE_STARTTLS,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_END,
	STAGE_QUIT,
	STAGE_COUNT,
};

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_BANNER] = "banner",
    [STAGE_EHLO] = "ehlo",
    [STAGE_STARTTLS] = "starttls",
    [STAGE_MAIL] = "mail",
    [STAGE_RCPT] = "rcpt",
    [STAGE_DATA] = "data",
    [STAGE_END] = "end",
    [STAGE_QUIT] = "quit",
};

enum action {
	ACTION_OK,
	ACTION_STALL,
	ACTION_DROP,
	ACTION_LOSE,
	ACTION_REPLY,
	ACTION_SLOW,
	ACTION_GREY,
	ACTION_UNKNOWN,
	ACTION_COUNT,
};

static const char *const action_names[ACTION_COUNT] = {
    [ACTION_OK] = "ok",
    [ACTION_STALL] = "stall",
    [ACTION_DROP] = "drop",
    [ACTION_LOSE] = "lose",
    [ACTION_REPLY] = "reply",
    [ACTION_SLOW] = "slow",
    [ACTION_GREY] = "grey",
    [ACTION_UNKNOWN] = "unknown",
};

struct behaviour {
	enum action action;
	char text[TEXT_SIZE]; /* from ACTION_REPLY on: the word behind it */
};

/* A recipient on the grey list, since when; in a tree of <search.h>. */
struct grey {
	time_t since;
	char recipient[];
};

struct session;

struct primary {
	struct event_base *base;
	struct evconnlistener *listeners[ADDRESSES_MAX];
	const char *addresses[ADDRESSES_MAX];
	size_t address_count;
	struct behaviour at[STAGE_COUNT];
	struct session *sessions; /* list */
	size_t session_count;
	const char *store;
	int ledger;
	size_t size_limit;
	void *grey; /* tree of struct grey */
	uint64_t connections, messages, recipients;
};

enum mode { MODE_COMMANDS, MODE_CONTENT, MODE_STALLED };

struct session {
	struct primary *primary;
	struct bufferevent *bev;
	struct session *next, **link;
	enum mode mode;
	enum mode mode_after; /* ACTION_SLOW: when it has answered */
	struct event *late;   /* the timer of that; NULL: never needed so far */
	char late_reply[TEXT_SIZE];
	char client[64];
	char helo[TEXT_SIZE];
	bool has_sender;
	char sender[TEXT_SIZE];
	char *recipients[RECIPIENTS_MAX];
	size_t recipient_count;
	struct evbuffer *content;
	bool line_open; /* the last byte of content was not the end of a line */
	bool too_big;
};

/* --- sessions ------------------------------------------------------------------ */

static void
session_clear(struct session *session)
{
	for (size_t i = 0; i < session->recipient_count; i++)
		free(session->recipients[i]);
	session->recipient_count = 0;
	session->has_sender = false;
	session->line_open = false;
	session->too_big = false;
	evbuffer_drain(session->content, evbuffer_get_length(session->content));
}

static void
session_free(struct session *session, bool reset)
{
	struct primary *primary = session->primary;
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(
		    bufferevent_getfd(session->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
	session_clear(session);
	*session->link = session->next;
	if (session->next != NULL)
		session->next->link = session->link;
	primary->session_count--;
	if (session->late != NULL)
		event_free(session->late);
	bufferevent_free(session->bev);
	evbuffer_free(session->content);
	free(session);
}

static void
session_say(struct session *session, const char *text)
{
	evbuffer_add_printf(bufferevent_get_output(session->bev), "%s\r\n", text);
}

static void session_read(struct bufferevent *bev, void *context);

static void
session_late(evutil_socket_t fd, short what, void *context)
{
	struct session *session = context;

	(void)fd;
	(void)what;
	session->mode = session->mode_after;
	session_say(session, session->late_reply);
	bufferevent_enable(session->bev, EV_READ);
	session_read(session->bev, session);
}

/* Says `reply` after `ms`; nothing is read meanwhile. */
static void
session_say_later(struct session *session, const char *reply, unsigned long ms)
{
	const struct timeval wait = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	if (session->late == NULL)
		session->late = evtimer_new(session->primary->base, session_late, session);
	if (session->late == NULL || evtimer_add(session->late, &wait) != 0)
		errx(EX_OSERR, "out of memory");
	snprintf(session->late_reply, sizeof session->late_reply, "%s", reply);
	session->mode_after = session->mode;
	session->mode = MODE_STALLED;
	bufferevent_disable(session->bev, EV_READ);
}

/* What the stage's behaviour makes of `usual`. False: the session is gone. */
static bool
session_answer(struct session *session, enum stage stage, const char *usual)
{
	const struct behaviour *behaviour = &session->primary->at[stage];

	switch (behaviour->action) {
	case ACTION_STALL:
		session->mode = MODE_STALLED;
		bufferevent_disable(session->bev, EV_READ);
		return true;
	case ACTION_DROP:
	case ACTION_LOSE: session_free(session, true); return false;
	case ACTION_REPLY: session_say(session, behaviour->text); return true;
	case ACTION_SLOW:
		session_say_later(session, usual, strtoul(behaviour->text, NULL, 10));
		return true;
	default: session_say(session, usual); return true;
	}
}

static bool
stage_well(const struct session *session, enum stage stage)
{
	const enum action action = session->primary->at[stage].action;

	return action == ACTION_OK || action == ACTION_SLOW;
}

/* --- storing a message ----------------------------------------------------------- */

/* The value of header `name` (without colon) of the stored content; "" when it has none. */
static void
content_header(struct evbuffer *content, const char *name, char *out, size_t size)
{
	struct evbuffer_ptr at, end;
	size_t length, name_length = strlen(name);
	char line[ID_SIZE + 64];

	out[0] = '\0';
	evbuffer_ptr_set(content, &at, 0, EVBUFFER_PTR_SET);
	for (;;) {
		end = evbuffer_search_eol(content, &at, NULL, EVBUFFER_EOL_LF);
		if (end.pos < 0 || end.pos <= at.pos)
			return;
		length = (size_t)(end.pos - at.pos);
		if (length == 1)
			return; /* the empty line: CR alone */
		if (length >= sizeof line)
			length = sizeof line - 1;
		evbuffer_copyout_from(content, &at, line, length);
		line[length] = '\0';
		if (strncasecmp(line, name, name_length) == 0 && line[name_length] == ':') {
			char *value = line + name_length + 1;

			value += strspn(value, " \t");
			value[strcspn(value, "\t\r\n ")] = '\0';
			snprintf(out, size, "%s", value);
			return;
		}
		evbuffer_ptr_set(content, &at, (size_t)(end.pos + 1), EVBUFFER_PTR_SET);
	}
}

static bool
message_write(const struct session *session, const char *path)
{
	struct evbuffer *file = evbuffer_new();
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool good = fd >= 0 && file != NULL;

	if (good) {
		evbuffer_add_printf(file, "client: %s\nhelo: %s\nfrom: <%s>\n", session->client,
		    session->helo, session->sender);
		for (size_t i = 0; i < session->recipient_count; i++)
			evbuffer_add_printf(file, "to: <%s>\n", session->recipients[i]);
		evbuffer_add_printf(file, "bytes: %zu\n\n", evbuffer_get_length(session->content));
		evbuffer_add_buffer_reference(file, session->content);
	}
	while (good && evbuffer_get_length(file) > 0)
		good = evbuffer_write(file, fd) > 0;
	if (fd >= 0 && close(fd) != 0)
		good = false;
	if (file != NULL)
		evbuffer_free(file);
	return good;
}

static void
ledger_write(const struct session *session, const char *path)
{
	char id[ID_SIZE];
	struct timespec now;

	content_header(session->content, "X-Ledger-Id", id, sizeof id);
	if (id[0] == '\0')
		content_header(session->content, "Message-Id", id, sizeof id);
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < session->recipient_count; i++)
		dprintf(session->primary->ledger, "%lld.%03ld\t%s\t<%s>\t<%s>\t%zu\t%s\t%s\n",
		    (long long)now.tv_sec, now.tv_nsec / 1000000, id[0] == '\0' ? "-" : id,
		    session->sender, session->recipients[i], evbuffer_get_length(session->content),
		    session->client, path);
}

static bool
message_store(struct session *session)
{
	struct primary *primary = session->primary;
	char path[TEXT_SIZE];

	primary->messages++;
	primary->recipients += session->recipient_count;
	if (primary->store == NULL) {
		ledger_write(session, "-");
		return true;
	}
	snprintf(path, sizeof path, "%s/%06" PRIu64 ".msg", primary->store, primary->messages);
	if (!message_write(session, path)) {
		warn("%s", path);
		return false;
	}
	ledger_write(session, path);
	return true;
}

/* False: the session is gone. */
static bool
message_end(struct session *session)
{
	const enum action action = session->primary->at[STAGE_END].action;
	bool stored = false;
	bool alive;

	session->mode = MODE_COMMANDS;
	if (session->too_big) {
		session_say(session, "552 5.3.4 message too big");
		session_clear(session);
		return true;
	}
	if (stage_well(session, STAGE_END) || action == ACTION_LOSE)
		stored = message_store(session);
	if (action != ACTION_LOSE && stage_well(session, STAGE_END) && !stored) {
		session_say(session, "451 4.3.0 cannot store it");
		alive = true;
	} else
		alive = session_answer(session, STAGE_END, "250 2.0.0 stored");
	if (alive)
		session_clear(session);
	return alive;
}

/* --- commands --------------------------------------------------------------------- */

/* The path after `prefix` ("FROM:<"), up to the '>' outside quotes. */
static bool
command_path(const char *line, const char *prefix, char *out, size_t size)
{
	size_t length = 0;
	bool quoted = false;

	line += strcspn(line, " ");
	line += strspn(line, " ");
	if (strncasecmp(line, prefix, strlen(prefix)) != 0)
		return false;
	line += strlen(prefix);
	line += strspn(line, " ");
	if (*line++ != '<')
		return false;
	for (; *line != '\0' && (quoted || *line != '>'); line++) {
		if (*line == '"')
			quoted = !quoted;
		if (length + 2 >= size)
			return false;
		out[length++] = *line;
		if (*line == '\\' && line[1] != '\0')
			out[length++] = *++line;
	}
	out[length] = '\0';
	return *line == '>';
}

static bool
command_ehlo(struct session *session, const char *line)
{
	char reply[TEXT_SIZE];

	session_clear(session);
	line += strcspn(line, " ");
	line += strspn(line, " ");
	snprintf(session->helo, sizeof session->helo, "%s", line);
	snprintf(reply, sizeof reply,
	    "250-primary.example\r\n250-PIPELINING\r\n250-SIZE %zu\r\n%s250-ENHANCEDSTATUSCODES\r\n"
	    "250 8BITMIME",
	    session->primary->size_limit,
	    stage_well(session, STAGE_STARTTLS) ? "" : "250-STARTTLS\r\n");
	return session_answer(session, STAGE_EHLO, reply);
}

static bool
command_helo(struct session *session, const char *line)
{
	session_clear(session);
	snprintf(session->helo, sizeof session->helo, "%s", line + strlen("HELO"));
	return session_answer(session, STAGE_EHLO, "250 primary.example");
}

static bool
command_mail(struct session *session, const char *line)
{
	char path[TEXT_SIZE];

	if (session->has_sender || !command_path(line, "FROM:", path, sizeof path)) {
		session_say(session, "501 5.5.4 MAIL FROM:<address>, once");
		return true;
	}
	if (stage_well(session, STAGE_MAIL)) {
		session->has_sender = true;
		memcpy(session->sender, path, sizeof session->sender);
	}
	return session_answer(session, STAGE_MAIL, "250 2.1.0 sender ok");
}

static int
grey_compare(const void *a, const void *b)
{
	const struct grey *one = a, *other = b;

	return strcmp(one->recipient, other->recipient);
}

/* Since when is the recipient on the grey list? He is put there at his first try. */
static time_t
grey_since(struct primary *primary, const char *recipient)
{
	const size_t size = strlen(recipient) + 1;
	struct grey *grey = malloc(sizeof *grey + size);
	struct grey **found;

	if (grey == NULL)
		errx(EX_OSERR, "out of memory");
	grey->since = time(NULL);
	memcpy(grey->recipient, recipient, size);
	found = tsearch(grey, &primary->grey, grey_compare);
	if (found == NULL)
		errx(EX_OSERR, "out of memory");
	if (*found != grey)
		free(grey);
	return (*found)->since;
}

/* Does rcpt look at who the recipient is? */
static bool
stage_judges(const struct primary *primary)
{
	const enum action action = primary->at[STAGE_RCPT].action;

	return action == ACTION_GREY || action == ACTION_UNKNOWN;
}

/* False: *refusal is what is said to him. */
static bool
recipient_known(struct primary *primary, const char *recipient, const char **refusal)
{
	const struct behaviour *behaviour = &primary->at[STAGE_RCPT];

	switch (behaviour->action) {
	case ACTION_GREY:
		*refusal = "450 4.2.0 grey: come back later";
		return time(NULL) - grey_since(primary, recipient) >= atoi(behaviour->text);
	case ACTION_UNKNOWN:
		*refusal = "550 5.1.1 Recipient address rejected: User unknown";
		return strncmp(recipient, behaviour->text, strlen(behaviour->text)) != 0;
	default: return true;
	}
}

static bool
command_rcpt(struct session *session, const char *line)
{
	char path[TEXT_SIZE];
	const char *refusal;

	if (!session->has_sender || !command_path(line, "TO:", path, sizeof path)) {
		session_say(session, "503 5.5.1 RCPT TO:<address>, after MAIL");
		return true;
	}
	if (!recipient_known(session->primary, path, &refusal)) {
		session_say(session, refusal);
		return true;
	}
	if (session->recipient_count == RECIPIENTS_MAX) {
		session_say(session, "452 4.5.3 too many recipients");
		return true;
	}
	if (stage_well(session, STAGE_RCPT) || stage_judges(session->primary)) {
		char *copy = strdup(path);

		if (copy == NULL)
			err(EX_OSERR, "strdup");
		session->recipients[session->recipient_count++] = copy;
	}
	return session_answer(session, STAGE_RCPT, "250 2.1.5 recipient ok");
}

static bool
command_data(struct session *session, const char *line)
{
	(void)line;
	if (session->recipient_count == 0) {
		session_say(session, "554 5.5.1 no valid recipients");
		return true;
	}
	if (stage_well(session, STAGE_DATA))
		session->mode = MODE_CONTENT;
	return session_answer(session, STAGE_DATA, "354 go ahead");
}

static bool
command_starttls(struct session *session, const char *line)
{
	(void)line;
	if (stage_well(session, STAGE_STARTTLS)) {
		session_say(session, "502 5.5.1 not offered");
		return true;
	}
	return session_answer(session, STAGE_STARTTLS, "");
}

static bool
command_rset(struct session *session, const char *line)
{
	(void)line;
	session_clear(session);
	session_say(session, "250 2.0.0 forgotten");
	return true;
}

static bool
command_noop(struct session *session, const char *line)
{
	(void)line;
	session_say(session, "250 2.0.0 ok");
	return true;
}

static void
session_flushed(struct bufferevent *bev, void *context)
{
	(void)bev;
	session_free(context, false);
}

static void session_event(struct bufferevent *bev, short what, void *context);

static bool
command_quit(struct session *session, const char *line)
{
	(void)line;
	if (!session_answer(session, STAGE_QUIT, "221 2.0.0 bye"))
		return false;
	if (session->mode != MODE_STALLED) {
		session->mode = MODE_STALLED;
		bufferevent_disable(session->bev, EV_READ);
		bufferevent_setcb(session->bev, NULL, session_flushed, session_event, session);
	}
	return true;
}

static const struct command {
	const char *verb;
	bool (*run)(struct session *session, const char *line); /* false: the session is gone */
} commands[] = {
    {"EHLO", command_ehlo},
    {"HELO", command_helo},
    {"MAIL", command_mail},
    {"RCPT", command_rcpt},
    {"DATA", command_data},
    {"STARTTLS", command_starttls},
    {"RSET", command_rset},
    {"NOOP", command_noop},
    {"QUIT", command_quit},
};

static bool
command_run(struct session *session, const char *line)
{
	const size_t length = strcspn(line, " ");

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strlen(commands[i].verb) == length &&
		    strncasecmp(line, commands[i].verb, length) == 0)
			return commands[i].run(session, line);
	}
	session_say(session, "500 5.5.2 unknown command");
	return true;
}

/* --- reading ------------------------------------------------------------------------ */

/* Takes `length` bytes of `input` into the content, unless the message is too big already. */
static void
content_take(struct session *session, struct evbuffer *input, size_t length)
{
	if (evbuffer_get_length(session->content) + length > session->primary->size_limit) {
		session->too_big = true;
		evbuffer_drain(input, length);
	} else
		evbuffer_remove_buffer(input, session->content, length);
}

/* One step of a message's content. False: more bytes are needed, or the session is gone. */
static bool
content_step(struct session *session, struct evbuffer *input)
{
	size_t eol_length;
	struct evbuffer_ptr eol =
	    evbuffer_search_eol(input, NULL, &eol_length, EVBUFFER_EOL_CRLF_STRICT);
	char start[2] = {0, 0};

	if (eol.pos < 0) {
		if (evbuffer_get_length(input) < CHUNK_SIZE)
			return false;
		content_take(session, input, evbuffer_get_length(input) - 1);
		session->line_open = true;
		return true;
	}
	evbuffer_copyout(input, start, sizeof start);
	if (!session->line_open && start[0] == '.') {
		if (eol.pos == 1) {
			evbuffer_drain(input, 3);
			return message_end(session);
		}
		evbuffer_drain(input, 1);
		eol.pos--;
	}
	content_take(session, input, (size_t)eol.pos + 2);
	session->line_open = false;
	return true;
}

static bool
command_step(struct session *session, struct evbuffer *input)
{
	size_t length;
	char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_CRLF_STRICT);
	bool alive;

	if (line == NULL) {
		if (evbuffer_get_length(input) <= LINE_SIZE)
			return false;
		session_free(session, true);
		return false;
	}
	if (length > LINE_SIZE || memchr(line, '\0', length) != NULL) {
		session_say(session, "500 5.5.2 line too long, or with NUL");
		alive = true;
	} else
		alive = command_run(session, line);
	free(line);
	return alive;
}

static void
session_read(struct bufferevent *bev, void *context)
{
	struct session *session = context;
	struct evbuffer *input = bufferevent_get_input(bev);
	bool more = true;

	/* A step that returns false may have freed the session. */
	while (more) {
		switch (session->mode) {
		case MODE_COMMANDS: more = command_step(session, input); break;
		case MODE_CONTENT: more = content_step(session, input); break;
		default: more = false; break;
		}
	}
}

static void
session_event(struct bufferevent *bev, short what, void *context)
{
	(void)bev;
	(void)what;
	session_free(context, false);
}

static void
session_start(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
    int length, void *context)
{
	struct primary *primary = context;
	struct session *session = calloc(1, sizeof *session);
	const struct timeval idle = {.tv_sec = IDLE_SECONDS};

	(void)listener;
	primary->connections++;
	if (primary->session_count == SESSIONS_MAX || session == NULL) {
		free(session);
		close(fd);
		return;
	}
	session->primary = primary;
	session->content = evbuffer_new();
	session->bev = bufferevent_socket_new(primary->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (session->content == NULL || session->bev == NULL)
		errx(EX_OSERR, "out of memory");
	getnameinfo(address, (socklen_t)length, session->client, sizeof session->client, NULL, 0,
	    NI_NUMERICHOST);
	session->next = primary->sessions;
	session->link = &primary->sessions;
	if (session->next != NULL)
		session->next->link = &session->next;
	primary->sessions = session;
	primary->session_count++;
	bufferevent_setcb(session->bev, session_read, NULL, session_event, session);
	bufferevent_set_timeouts(session->bev, &idle, &idle);
	bufferevent_setwatermark(session->bev, EV_READ, 0, 4 * CHUNK_SIZE);
	bufferevent_enable(session->bev, EV_READ | EV_WRITE);
	session_answer(session, STAGE_BANNER, "220 primary.example ESMTP");
}

/* --- up and down ------------------------------------------------------------------------ */

static void
primary_up(struct primary *primary)
{
	for (size_t i = 0; i < primary->address_count; i++) {
		struct sockaddr_storage address;
		int length = sizeof address;
		unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC;

		if (primary->listeners[i] != NULL)
			continue;
		if (evutil_parse_sockaddr_port(
			primary->addresses[i], (struct sockaddr *)&address, &length) != 0)
			errx(EX_USAGE, "%s: not ADDRESS:PORT", primary->addresses[i]);
		/* IPv4 and IPv6 are bound apart; the option is an error on an IPv4 socket. */
		if (address.ss_family == AF_INET6)
			flags |= LEV_OPT_BIND_IPV6ONLY;
		primary->listeners[i] = evconnlistener_new_bind(primary->base, session_start,
		    primary, flags, 128, (struct sockaddr *)&address, length);
		if (primary->listeners[i] == NULL)
			err(EX_UNAVAILABLE, "%s", primary->addresses[i]);
	}
}

/* A reply that the ledger speaks of has been sent: who loses it would rightly send again. */
static void
primary_drop_sessions(struct primary *primary)
{
	while (primary->sessions != NULL) {
		struct bufferevent *bev = primary->sessions->bev;

		(void)evbuffer_write(bufferevent_get_output(bev), bufferevent_getfd(bev));
		session_free(primary->sessions, true);
	}
}

static void
primary_down(struct primary *primary)
{
	for (size_t i = 0; i < primary->address_count; i++) {
		if (primary->listeners[i] != NULL)
			evconnlistener_free(primary->listeners[i]);
		primary->listeners[i] = NULL;
	}
	primary_drop_sessions(primary);
}

/* --- control ------------------------------------------------------------------------------ */

static int
name_find(const char *const *names, int count, const char *name, size_t length)
{
	for (int i = 0; i < count; i++)
		if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0)
			return i;
	return -1;
}

/* `STAGE ACTION [TEXT]` */
static bool
control_at(struct primary *primary, const char *words)
{
	size_t length = strcspn(words, " ");
	const int stage = name_find(stage_names, STAGE_COUNT, words, length);
	int action;

	words += length;
	words += strspn(words, " ");
	length = strcspn(words, " ");
	action = name_find(action_names, ACTION_COUNT, words, length);
	words += length;
	words += strspn(words, " ");
	if (stage < 0 || action < 0 || (action >= ACTION_REPLY) != (*words != '\0') ||
	    (action == ACTION_LOSE && stage != STAGE_END) ||
	    (action >= ACTION_GREY && stage != STAGE_RCPT))
		return false;
	primary->at[stage].action = (enum action)action;
	snprintf(primary->at[stage].text, TEXT_SIZE, "%s", words);
	return true;
}

static void
control_run(struct primary *primary, const char *line, struct evbuffer *out)
{
	bool good = true;

	if (strcmp(line, "up") == 0)
		primary_up(primary);
	else if (strcmp(line, "down") == 0)
		primary_down(primary);
	else if (strcmp(line, "reset") == 0) {
		memset(primary->at, 0, sizeof primary->at);
		primary_drop_sessions(primary);
	} else if (strncmp(line, "at ", 3) == 0)
		good = control_at(primary, line + 3);
	else if (strcmp(line, "count") == 0) {
		evbuffer_add_printf(out,
		    "connections=%" PRIu64 " messages=%" PRIu64 " recipients=%" PRIu64 "\n",
		    primary->connections, primary->messages, primary->recipients);
		return;
	} else
		good = false;
	evbuffer_add_printf(out, "%s\n", good ? "ok" : "error: unknown command");
}

static void
control_read(struct bufferevent *bev, void *context)
{
	char *line;

	while (
	    (line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF)) != NULL) {
		control_run(context, line, bufferevent_get_output(bev));
		free(line);
	}
}

static void
control_event(struct bufferevent *bev, short what, void *context)
{
	(void)what;
	(void)context;
	bufferevent_free(bev);
}

static void
control_start(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
    int length, void *context)
{
	struct primary *primary = context;
	struct bufferevent *bev = bufferevent_socket_new(primary->base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)address;
	(void)length;
	if (bev == NULL)
		errx(EX_OSERR, "out of memory");
	bufferevent_setcb(bev, control_read, NULL, control_event, primary);
	bufferevent_setwatermark(bev, EV_READ, 0, LINE_SIZE);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void
control_address(const char *path, struct sockaddr_un *out)
{
	memset(out, 0, sizeof *out);
	out->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof out->sun_path)
		errx(EX_USAGE, "%s: path too long for a socket", path);
	memcpy(out->sun_path, path, strlen(path));
}

/* `primary -C CONTROL COMMAND...`: exits 0 when the answer is not an error. */
static int
control_client(const char *path, char **words)
{
	struct sockaddr_un address;
	const struct timeval limit = {.tv_sec = 10};
	char answer[TEXT_SIZE];
	ssize_t got;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	control_address(path, &address);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		err(EX_UNAVAILABLE, "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	for (; *words != NULL; words++)
		dprintf(fd, "%s%s", *words, words[1] == NULL ? "\n" : " ");
	got = recv(fd, answer, sizeof answer - 1, 0);
	close(fd);
	if (got <= 0)
		errx(EX_UNAVAILABLE, "%s: no answer", path);
	answer[got] = '\0';
	fputs(answer, stdout);
	return strncmp(answer, "error", 5) == 0 ? EX_USAGE : 0;
}

/* --- main ------------------------------------------------------------------------------------ */

static void
primary_stop(evutil_socket_t signal, short what, void *context)
{
	struct primary *primary = context;

	(void)signal;
	(void)what;
	event_base_loopbreak(primary->base);
}

static void
primary_serve(struct primary *primary, const char *control)
{
	struct sockaddr_un address;
	struct evconnlistener *listener;
	struct event *term;

	primary->base = event_base_new();
	if (primary->base == NULL)
		errx(EX_OSERR, "event_base_new");
	control_address(control, &address);
	unlink(control);
	listener = evconnlistener_new_bind(primary->base, control_start, primary,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16, (struct sockaddr *)&address,
	    sizeof address);
	if (listener == NULL)
		err(EX_UNAVAILABLE, "%s", control);
	term = evsignal_new(primary->base, SIGTERM, primary_stop, primary);
	if (term == NULL || event_add(term, NULL) != 0)
		errx(EX_OSERR, "evsignal_new");
	primary_up(primary);
	event_base_dispatch(primary->base);
	primary_down(primary);
	evconnlistener_free(listener);
	event_free(term);
	event_base_free(primary->base);
	unlink(control);
}

static void
usage(void)
{
	fputs("usage: primary -c CONTROL [-d STORE] -l LEDGER [-s BYTES] ADDRESS:PORT...\n"
	      "       primary -C CONTROL COMMAND...\n",
	    stderr);
	exit(EX_USAGE);
}

int
main(int argc, char **argv)
{
	static struct primary primary = {.ledger = -1, .size_limit = SIZE_DEFAULT};
	const char *control = NULL, *client = NULL, *ledger = NULL;
	int option;

	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "+c:C:d:l:s:")) != -1) {
		switch (option) {
		case 'c': control = optarg; break;
		case 'C': client = optarg; break;
		case 'd': primary.store = optarg; break;
		case 'l': ledger = optarg; break;
		case 's': primary.size_limit = strtoul(optarg, NULL, 10); break;
		default: usage();
		}
	}
	if (client != NULL && optind < argc)
		return control_client(client, argv + optind);
	if (control == NULL || ledger == NULL || optind == argc || argc - optind > ADDRESSES_MAX)
		usage();
	for (; optind < argc; optind++)
		primary.addresses[primary.address_count++] = argv[optind];
	primary.ledger = open(ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (primary.ledger < 0)
		err(EX_CANTCREAT, "%s", ledger);
	primary_serve(&primary, control);
	close(primary.ledger);
	return 0;
}
