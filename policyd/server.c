/*
 * server: see server.h. In: connections, SIGTERM, the clock. Out: turns for clients (turn.c), and
 * an end for those that cost too much or take too long. It must never wait for anything but its
 * events, nor hold a transaction of the snapshot while it waits.
 */
#include "policyd/server.h"

#include "core/supervise.h"
#include "policyd/turn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 16384
#define DESCRIPTORS_KEPT 64ul /* for the snapshot, the log, and what libraries open */
#define BUFFERED_MAX (32u << 20)
#define ACCEPTS 64 /* at once, before clients get their turn */
#define EVICTIONS 8

#define IDLE_MS 600000 /* Postfix keeps a connection for 100 to 300 s */
#define HALF_MS 30000
#define WRITING_MS 30000
#define PAUSE_MS 100
#define TICK_MS 1000
#define DRAIN_TICK_MS 50
#define DRAIN_NEW_MS 1000  /* while draining, for the first request of a new client */
#define DRAIN_HALF_MS 5000 /* for the rest of a request that has begun */
#define DRAIN_MS 10000
#define DRAIN_LEAST_MS 150 /* for those whose connect(2) met the old socket */

#define LOG_RATE 200 /* lines a second */
#define LOG_BURST 1000

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct timeval
timeval_ms(long ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

void
server_wake(struct server *server)
{
	if (!server->awake)
		server->now = clock_ms();
	server->awake = true;
}

/* --- log --------------------------------------------------------------------------- */

void
server_log(struct server *server, struct answer_note *note)
{
	bool info = note->priority >= LOG_INFO;

	if (note->event != NULL &&
	    flood_allow(&server->flood[info ? FLOOD_INFO : FLOOD_NOTICE], server->now))
		answer_note_log(note);
}

static void
server_log_left_out(struct server *server)
{
	int64_t info = flood_report(&server->flood[FLOOD_INFO]);
	int64_t notice = flood_report(&server->flood[FLOOD_NOTICE]);

	if (info > 0 || notice > 0)
		log_event(LOG_WARNING, "log-left-out", kv_number("permits", info),
		    kv_number("others", notice));
}

/* --- the snapshot -------------------------------------------------------------------- */

static void
server_tell_problem(struct server *server)
{
	bool problem = server->view.begun != SNAPSHOT_OK;

	if (problem == server->problem_told)
		return;
	server->problem_told = problem;
	if (problem)
		log_event(LOG_ERR, "snapshot-unusable",
		    kv("problem", snapshot_problem(server->view.snapshot)));
	else
		log_event(LOG_NOTICE, "snapshot-usable",
		    kv_number("version", (long long)snapshot_meta(server->view.snapshot)->version));
}

const struct answer_view *
server_view(struct server *server)
{
	struct answer_view *view = &server->view;

	if (server->view_open)
		return view;
	view->now.wall = (int64_t)time(NULL);
	view->now.boot_ms = snapshot_clock_boot_ms();
	view->begun = snapshot_begin(view->snapshot, view->now.boot_ms);
	facts_begin(view->facts, view->now);
	server->view_open = true;
	server_tell_problem(server);
	return view;
}

static void
server_close_view(struct server *server)
{
	if (server->view_open && server->view.begun == SNAPSHOT_OK)
		snapshot_end(server->view.snapshot);
	facts_end(server->view.facts);
	server->view_open = false;
}

/* --- clients --------------------------------------------------------------------------- */

void
server_drop(struct server *server, struct client *client)
{
	(void)turn_watch(client, 0);
	client_free(&server->clients, client);
}

static struct client *
longest(struct clients *clients, enum client_state a, enum client_state b)
{
	struct client *first = clients_first(clients, a);
	struct client *other = clients_first(clients, b);

	if (first == NULL || (other != NULL && other->since < first->since))
		return other;
	return first;
}

/* Makes room for one more client: the longest idle one goes, else the slowest. */
static bool
server_make_room(struct server *server)
{
	struct clients *clients = &server->clients;
	size_t before = clients->count;
	struct client *client;
	int tries;

	for (tries = 0; tries < EVICTIONS && clients->count == before; tries++) {
		client = longest(clients, CLIENT_IDLE, CLIENT_NEW);
		if (client != NULL) { /* a request of it that is under way is still answered */
			turn_finish(client);
			turn_take(server, client);
			continue;
		}
		client = longest(clients, CLIENT_HALF, CLIENT_WRITING);
		if (client == NULL)
			return false;
		server_drop(server, client);
	}
	return clients->count < before;
}

static void
server_expire(struct server *server, enum client_state state, int64_t after_ms)
{
	struct client *client;

	while ((client = clients_first(&server->clients, state)) != NULL &&
	       server->now - client->since >= after_ms)
		server_drop(server, client);
}

/* Those that have been quiet for too long are told so, and closed when they have seen it. */
static void
server_finish(struct server *server, enum client_state state, int64_t after_ms)
{
	struct client *client, *next;

	for (client = clients_first(&server->clients, state);
	     client != NULL && server->now - client->since >= after_ms; client = next) {
		next = TAILQ_NEXT(client, link);
		turn_finish(client);
	}
}

/* Each client that is behind gets one turn. */
static void
server_take_behind(struct server *server)
{
	struct client_list *behind = &server->clients.in_state[CLIENT_BEHIND];
	struct client *last = TAILQ_LAST(behind, client_list), *client;

	if (last == NULL)
		return;
	server_wake(server);
	do {
		client = TAILQ_FIRST(behind);
		turn_take(server, client);
	} while (client != last);
}

/* Bytes that wait for slow clients are bounded in sum: the slowest pays. */
static void
server_bound_memory(struct server *server)
{
	struct client *client;

	while (server->clients.buffered > BUFFERED_MAX) {
		client = longest(&server->clients, CLIENT_WRITING, CLIENT_HALF);
		if (client == NULL)
			return;
		server_drop(server, client);
	}
}

/* --- listening --------------------------------------------------------------------------- */

static void
server_pause(struct server *server, const char *why)
{
	struct timeval pause = timeval_ms(PAUSE_MS);
	size_t i;

	if (event_pending(&server->on_resume, EV_TIMEOUT, NULL))
		return;
	for (i = 0; i < PROTOCOL_KINDS; i++)
		(void)event_del(&server->listener[i]);
	(void)event_add(&server->on_resume, &pause);
	if (flood_allow(&server->flood[FLOOD_NOTICE], server->now))
		log_event(LOG_WARNING, "accept-paused", kv("error", why));
}

static void
server_resume(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;
	size_t i;

	(void)fd;
	(void)what;
	if (server->draining)
		return;
	for (i = 0; i < PROTOCOL_KINDS; i++)
		(void)event_add(&server->listener[i], NULL);
}

static void
server_welcome(struct server *server, int fd, const struct protocol *protocol)
{
	struct client *client = client_new(&server->clients, fd, server->now);

	if (client == NULL) {
		(void)close(fd);
		return;
	}
	client->server = server;
	client->protocol = protocol;
	if (!turn_watch(client, EV_READ))
		server_drop(server, client);
}

/* May accept be tried again at once after this error? */
static bool
server_accept_failed(struct server *server, int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED: return true;
	case EAGAIN: return false;
	case EMFILE:
		if (server_make_room(server))
			return true;
		break;
	default: break;
	}
	server_pause(server, strerror(error));
	return false;
}

static void
server_accept(struct server *server, enum protocol_kind socket, int most)
{
	int fd, tries;

	for (tries = 0; tries < most; tries++) {
		if (server->clients.count >= server->limit && !server_make_room(server)) {
			server_pause(server, "too many clients");
			return;
		}
		fd = accept4(server->socket[socket].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			server_welcome(server, fd, protocol_of(socket));
		else if (!server_accept_failed(server, errno))
			return;
	}
}

static void
server_on_accept(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;

	(void)what;
	server_wake(server);
	turns_settle(server);
	server_accept(server,
	    fd == server->socket[PROTOCOL_POLICY].fd ? PROTOCOL_POLICY : PROTOCOL_MAP, ACCEPTS);
}

/* --- time, and the end --------------------------------------------------------------------- */

static void
server_accept_all(struct server *server)
{
	for (int i = 0; i < PROTOCOL_KINDS; i++)
		server_accept(server, i, CLIENTS_MAX);
}

/*
 * Those who found the old socket just before it was replaced: nobody else will ever accept them.
 * While the name stands for this socket, they are the next child's.
 */
static void
server_accept_rest(struct server *server)
{
	for (int i = 0; i < PROTOCOL_KINDS; i++) {
		if (listener_look(&server->socket[i]) != LISTENER_OURS)
			server_accept(server, i, CLIENTS_MAX);
	}
}

static void
server_on_term(evutil_socket_t fd, short what, void *context)
{
	struct timeval tick = timeval_ms(DRAIN_TICK_MS);
	struct server *server = context;
	size_t i;

	(void)fd;
	(void)what;
	server_wake(server);
	turns_settle(server);
	if (server->draining)
		return;
	server->draining = true;
	server->draining_since = server->now;
	for (i = 0; i < PROTOCOL_KINDS; i++)
		(void)event_del(&server->listener[i]);
	(void)event_del(&server->on_resume);
	server_accept_all(server);
	server_finish(server, CLIENT_IDLE, 0);
	(void)event_add(&server->on_tick, &tick);
}

static void
server_on_tick(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;
	int64_t since;

	(void)fd;
	(void)what;
	server_wake(server);
	turns_settle(server);
	server_expire(server, CLIENT_HALF, HALF_MS);
	server_expire(server, CLIENT_WRITING, WRITING_MS);
	server_finish(server, CLIENT_IDLE, IDLE_MS);
	server_finish(server, CLIENT_NEW, IDLE_MS);
	server_log_left_out(server);
	if (!server->draining)
		return;
	server_accept_rest(server);
	since = server->now - server->draining_since;
	if (since >= DRAIN_NEW_MS)
		server_finish(server, CLIENT_NEW, 0);
	if (since >= DRAIN_HALF_MS)
		server_expire(server, CLIENT_HALF, 0);
	if (since >= DRAIN_MS)
		server_expire(server, CLIENT_WRITING, 0);
}

/* Drained: nobody is there, and nobody was on his way while the last tick was waited for. */
static bool
server_is_done(const struct server *server)
{
	return server->draining && server->clients.count == 0 &&
	       server->now - server->draining_since >= DRAIN_LEAST_MS;
}

static void
server_loop(struct server *server)
{
	int flags;

	while (!server_is_done(server)) {
		flags = EVLOOP_ONCE;
		if (clients_first(&server->clients, CLIENT_BEHIND) != NULL)
			flags |= EVLOOP_NONBLOCK;
		server->awake = false;
		(void)event_base_loop(server->base, flags);
		turns_settle(server);
		server_take_behind(server);
		server_bound_memory(server);
		server_close_view(server);
	}
}

/* --- start --------------------------------------------------------------------------------- */

static bool
server_add_events(struct server *server)
{
	struct timeval tick = timeval_ms(TICK_MS);
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++) {
		if (event_assign(&server->listener[i], server->base, server->socket[i].fd,
			EV_READ | EV_PERSIST, server_on_accept, server) != 0 ||
		    event_add(&server->listener[i], NULL) != 0)
			return false;
	}
	return event_assign(&server->on_term, server->base, SIGTERM, EV_SIGNAL | EV_PERSIST,
		   server_on_term, server) == 0 &&
	       event_add(&server->on_term, NULL) == 0 &&
	       event_assign(
		   &server->on_tick, server->base, -1, EV_PERSIST, server_on_tick, server) == 0 &&
	       event_add(&server->on_tick, &tick) == 0 &&
	       event_assign(&server->on_resume, server->base, -1, 0, server_resume, server) == 0;
}

static bool
server_open_base(struct server *server)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return false;
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		server->base = event_base_new_with_config(config);
	event_config_free(config);
	return server->base != NULL && server_add_events(server);
}

static bool
server_open_snapshot(struct server *server, const struct conf *conf)
{
	size_t i;

	server->view.snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	server->view.facts = facts_new(conf);
	server->view.pins = pins_new();
	if (server->view.snapshot == NULL || server->view.facts == NULL ||
	    server->view.pins == NULL)
		return false;
	for (i = 0; i < conf->relay.public_address_count; i++) {
		if (!snapshot_own_address(server->view.snapshot, &conf->relay.public_addresses[i]))
			return false;
	}
	return true;
}

static void
server_prepare(struct server *server, const struct server_setup *setup)
{
	const struct conf *conf = setup->conf;
	struct rlimit files;
	size_t i;

	clients_init(&server->clients);
	server_wake(server);
	for (i = 0; i < SERVER_FLOODS; i++)
		flood_init(&server->flood[i], LOG_RATE, LOG_BURST, server->now);
	server->socket = setup->listener;
	server->relay = (struct answer_relay){
	    .judge = {.region = conf->relay.region,
		.stale_after = conf->authority.stale_after,
		.queue_lifetime = conf->relay.queue_lifetime,
		.quota_messages = (uint64_t)conf->queue.quota_messages,
		.quota_bytes = (uint64_t)conf->queue.quota_bytes},
	    .allow = {.list = conf->fence.allow, .count = conf->fence.allow_count},
	};
	server->view.relay = &server->relay;
	server->limit = CLIENTS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    files.rlim_cur < CLIENTS_MAX + DESCRIPTORS_KEPT)
		server->limit = files.rlim_cur > 2 * DESCRIPTORS_KEPT
				    ? (size_t)files.rlim_cur - DESCRIPTORS_KEPT
				    : DESCRIPTORS_KEPT;
}

int
server_run(const struct server_setup *setup)
{
	struct server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return EX_OSERR;
	server_prepare(server, setup);
	if (!server_open_base(server) || !server_open_snapshot(server, setup->conf)) {
		log_event(LOG_ERR, "start-failed", kv("error", strerror(errno)));
		return EX_OSERR;
	}
	supervise_ready();
	server_loop(server);
	server_log_left_out(server);
	snapshot_free(server->view.snapshot);
	facts_free(server->view.facts);
	pins_free(server->view.pins);
	event_base_free(server->base);
	free(server);
	return EX_OK;
}
