/*
 * serve: see serve.h. libmilter runs in a thread of its own; this thread watches over its end.
 *
 * libmilter's own ways to end are too rude for us: at SIGTERM it drops all sessions, and each of
 * them would get 451 for the rest of its connection. So SIGTERM is left unblocked in this thread
 * alone, and libmilter's thread that waits for the same one is kept from it (sigwait below): Linux
 * would choose that thread whenever this one has not yet seen an earlier signal, such as the
 * SIGCONT that comes with each SIGTERM. Then no further session is taken, and the process ends when
 * those that it has are over.
 *
 * To take no further session, the descriptor of the listening socket is made to stand for a
 * listening socket that nobody can reach. The real one lives on in the parent, and in the child
 * that comes after this one: nobody who connects is turned away. The same is done when descriptors
 * run out, where libmilter would spin in accept(2) for ever: this process ends, and another begins.
 */
#include "milter/serve.h"

#include "core/log.h"
#include "core/supervise.h"
#include "milter/callbacks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmilter/mfapi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* Longer than a message may take from MAIL to its final dot: the session waits all that time. */
#define SESSION_TIMEOUT_S 7210
/* A judgement needs about 16 KiB of it. A session in the middle of a packet holds a thread. */
#define THREAD_STACK ((size_t)256 * 1024)
#define DESCRIPTORS_KEPT 64 /* for the snapshot, the log, and what libraries open */
#define TICK_MS 1000
#define SOON_TICK_MS 20  /* while mxhold-queued reads what has waited for it */
#define DRAIN_TICK_MS 50 /* between two looks at who is there */
#define DRAIN_EMPTY 6    /* looks without anybody there: the end */
#define DRAIN_QUIET 60   /* looks without a transaction: who is still there is dropped */

struct server {
	const struct serve_setup *setup;
	struct census census;
	struct callbacks callbacks;
	struct sockaddr_un bound; /* to what the listening socket was */
	long descriptors;         /* more than these, and this process makes room for another */
	atomic_bool over;         /* libmilter has returned */
	int64_t drain_since;      /* 0: serving */
	int empty;                /* so many looks in a row nobody was there */
	int quiet;                /* so many nobody had a transaction */
	int code;
};

static int wake_fd = -1; /* written to by the handler of SIGTERM */

/*
 * libmilter calls this one, in place of libc's, in the one thread in which it waits for signals; it
 * has blocked them all there (start_libmilter), so none ends the wait.
 */
int
sigwait(const sigset_t *set, int *number)
{
	(void)set;
	(void)number;
	for (;;)
		(void)pause();
}

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
on_term(int signal_number)
{
	const uint64_t one = 1;
	const int error = errno;

	(void)signal_number;
	(void)!write(wake_fd, &one, sizeof(one));
	errno = error;
}

/* --- draining ----------------------------------------------------------------------- */

/* Is it a connection that was accepted at the socket with this address? */
static bool
is_taken(int fd, const struct sockaddr_un *listening)
{
	struct sockaddr_un local = {.sun_family = AF_UNSPEC};
	socklen_t size = sizeof(local), length = sizeof(int);
	int listens = 1;

	return getsockname(fd, (struct sockaddr *)&local, &size) == 0 &&
	       local.sun_family == AF_UNIX &&
	       strncmp(local.sun_path, listening->sun_path, sizeof(local.sun_path)) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens == 0;
}

/*
 * How many connections are there, also those of which no callback was told yet? -1: who knows.
 * An accepted connection has the address that its listening socket was bound to.
 */
static long
connections(const struct server *server)
{
	const struct dirent *entry;
	DIR *directory = opendir("/proc/self/fd");
	long found = 0;

	if (directory == NULL)
		return -1;
	while ((entry = readdir(directory)) != NULL) {
		if (is_taken((int)strtol(entry->d_name, NULL, 10), &server->bound))
			found++;
	}
	(void)closedir(directory);
	return found;
}

static bool
somebody_waits(const struct server *server)
{
	struct pollfd backlog = {.fd = server->setup->listener->fd, .events = POLLIN};

	return poll(&backlog, 1, 0) > 0;
}

static void
server_drain(struct server *server, const char *why, int code)
{
	const struct serve_setup *setup = server->setup;

	if (server->drain_since != 0)
		return;
	server->drain_since = clock_ms();
	server->code = code;
	/* While the name stands for this socket, others take what waits at it; else only we can. */
	if (listener_look(setup->listener) == LISTENER_OURS)
		(void)dup3(setup->dead_fd, setup->listener->fd, O_CLOEXEC);
	log_event(code == EX_OK ? LOG_INFO : LOG_ERR, "draining", kv("reason", why),
	    kv_number("sessions", atomic_load(&server->census.sessions)));
}

/* Where descriptors ran out, those who never said a word are not waited for. */
static bool
somebody_is_there(const struct server *server)
{
	return server->code == EX_OK ? connections(server) != 0
				     : atomic_load(&server->census.sessions) > 0;
}

/*
 * Ended when nobody was there at several looks: who connects may have found the name of the socket
 * just before another instance took it. Looks, not time: on a busy machine they are further apart.
 */
static bool
server_drained(struct server *server)
{
	const bool waiting = somebody_waits(server); /* first: then he is a connection */
	const bool busy = waiting || somebody_is_there(server);

	server->empty = busy ? 0 : server->empty + 1;
	server->quiet =
	    waiting || atomic_load(&server->census.transactions) > 0 ? 0 : server->quiet + 1;
	return server->empty >= DRAIN_EMPTY || server->quiet >= DRAIN_QUIET ||
	       clock_ms() - server->drain_since >= SERVE_DRAIN_MS;
}

/* The lowest free descriptor tells how many are taken, at least. */
static bool
descriptors_run_out(const struct server *server)
{
	const int lowest = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);

	if (lowest >= 0)
		(void)close(lowest);
	return lowest < 0 || lowest >= server->descriptors;
}

static void
server_loop(struct server *server)
{
	struct pollfd wait = {.fd = wake_fd, .events = POLLIN};
	bool soon = false;

	while (server->drain_since == 0 || !server_drained(server)) {
		const int tick = server->drain_since != 0 ? DRAIN_TICK_MS
				 : soon                   ? SOON_TICK_MS
							  : TICK_MS;
		const bool woken = poll(&wait, 1, tick) > 0;
		uint64_t count;

		soon = herald_turn(server->callbacks.herald, clock_ms());
		if (atomic_load(&server->over))
			return;
		if (woken) {
			(void)!read(wake_fd, &count, sizeof(count));
			server_drain(server, "SIGTERM", EX_OK);
		} else if (descriptors_run_out(server)) {
			server_drain(server, "descriptors ran out", EX_TEMPFAIL);
		}
	}
}

/* --- start ------------------------------------------------------------------------------ */

static bool
failed(const char *step, int error)
{
	log_event(LOG_ERR, "start-failed", kv("step", step), kv("error", strerror(error)));
	return false;
}

static void *
run_libmilter(void *context)
{
	struct server *server = context;

	if (smfi_main() != MI_SUCCESS)
		log_event(LOG_ERR, "milter-failed", kv("cure", "see libmilter's own line above"));
	atomic_store(&server->over, true);
	on_term(0);
	return NULL;
}

/* Threads of libmilter have no attributes of their own: they get the default ones. */
static bool
set_thread_stack(void)
{
	pthread_attr_t attributes;
	int error;

	error = pthread_attr_init(&attributes);
	if (error == 0) {
		error = pthread_attr_setstacksize(&attributes, THREAD_STACK);
		if (error == 0)
			error = pthread_setattr_default_np(&attributes);
		(void)pthread_attr_destroy(&attributes);
	}
	return error == 0 || failed("thread stack", error);
}

/* All threads but this one block all signals; libmilter's own waits for some. */
static bool
start_libmilter(struct server *server)
{
	struct sigaction action = {.sa_handler = on_term};
	pthread_t thread;
	sigset_t all, before;
	int error;

	sigemptyset(&action.sa_mask);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0 || sigaction(SIGTERM, &action, NULL) != 0)
		return failed("signals", errno);
	sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	error = pthread_create(&thread, NULL, run_libmilter, server);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return failed("thread", error);
	(void)pthread_detach(thread);
	return true;
}

/* "fd:7": Debian's libmilter takes a descriptor, and leaves names in the file system alone. */
static bool
hand_over_socket(const struct listener *listener)
{
	char where[32];

	(void)snprintf(where, sizeof(where), "fd:%d", listener->fd);
	if (smfi_setconn(where) != MI_SUCCESS || smfi_setbacklog(LISTENER_BACKLOG) != MI_SUCCESS ||
	    smfi_settimeout(SESSION_TIMEOUT_S) != MI_SUCCESS)
		return failed("libmilter", EINVAL);
	if (smfi_opensocket(false) == MI_SUCCESS)
		return true;
	log_event(LOG_ERR, "start-failed", kv("step", "smfi_opensocket"), kv("socket", where),
	    kv("cure", "libmilter must know sockets of the form fd:NUMBER, as Debian's does"));
	return false;
}

static void
set_bounds(struct server *server)
{
	struct rlimit limit = {1024, 1024};

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > INT32_MAX)
		limit.rlim_cur = INT32_MAX;
	server->descriptors = (long)limit.rlim_cur - DESCRIPTORS_KEPT;
	server->census.session_limit = server->descriptors - server->descriptors / 4;
}

static bool
server_start(struct server *server)
{
	const struct conf *conf = server->setup->conf;
	struct callbacks *callbacks = &server->callbacks;
	socklen_t size = sizeof(server->bound);

	if (getsockname(server->setup->listener->fd, (struct sockaddr *)&server->bound, &size) != 0)
		return failed("getsockname", errno);
	callbacks->lookup = lookup_new(conf);
	if (callbacks->lookup == NULL)
		return failed("snapshot", ENOMEM);
	callbacks->herald = herald_new(server->setup->socket_dir);
	if (callbacks->herald == NULL)
		return failed("socket of mxhold-queued", errno);
	callbacks->census = &server->census;
	callbacks->rules = (struct session_rules){
	    .judge = lookup_judge,
	    .own_name = lookup_own_name,
	    .context = callbacks->lookup,
	    .dedicated = conf->relay.dedicated,
	};
	set_bounds(server);
	return set_thread_stack() && callbacks_register(callbacks) &&
	       hand_over_socket(server->setup->listener) && start_libmilter(server);
}

int
serve_run(const struct serve_setup *setup)
{
	/* Threads may use it until the process is gone: it is not on this thread's stack. */
	static struct server server;

	server = (struct server){.setup = setup, .code = EX_SOFTWARE};
	if (!server_start(&server))
		return EX_OSERR;
	supervise_ready();
	server_loop(&server);
	return server.code;
}
