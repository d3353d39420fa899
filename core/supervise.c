/*
 * supervise: see supervise.h. In: signals, the end of children, the answers of the probe. Out:
 * children started, told to end, or killed, and a line in the log for each. One loop, one table of
 * children; child_set_state() is the one place where a child's state changes. It must never wait
 * for a child without a deadline, and never let a failure to start one end the parent. SIGCONT may
 * end any of its waits (core/deadman).
 */
#include "core/supervise.h"

#include "core/deadman.h"
#include "core/instance.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN 8        /* one starting, one serving, the rest ending */
#define LIVED_MS 5000     /* a child that lived so long did not die at once */
#define PAUSE_FIRST_MS 20 /* before the second restart in a row; doubled from there */
#define PAUSE_MAX_MS 1000
#define KILL_AGAIN_MS 60000 /* what a killed child that is still there gets again */
#define WAIT_MAX_MS 60000   /* for the socket of a question; its deadline comes first */
#define CONNECT_PAUSE_MS 10 /* a full backlog is tried again so often */
#define ORPHAN_MS 10000 /* a stopped child goes on then: to see SIGTERM, its parent being dead */

enum child_state { CHILD_NONE, CHILD_STARTING, CHILD_SERVING, CHILD_ENDING };

struct child {
	enum child_state state;
	pid_t pid;
	int ready_fd;     /* STARTING: readable once the child is ready; else -1 */
	int64_t since;    /* when it was started */
	int64_t deadline; /* STARTING, ENDING: it is killed then */
};

struct parent {
	const struct supervise *how;
	struct instance instance;
	struct child child[CHILDREN];
	int signal_fd;
	int64_t next_start;
	int64_t next_probe;
	int64_t pause_ms;
	bool fresh_wanted; /* a new child is to replace the one that serves */
	bool announced;    /* a child of ours has answered */
	bool stopping;
	int64_t give_up; /* stopping: when to end even if children do not */
};

static int ready_pipe = -1; /* in a child: the pipe to its parent */

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- children ---------------------------------------------------------------- */

static struct child *
child_in(struct parent *parent, enum child_state state)
{
	size_t i;

	for (i = 0; i < CHILDREN; i++) {
		if (parent->child[i].state == state)
			return &parent->child[i];
	}
	return NULL;
}

static struct child *
child_of_pid(struct parent *parent, pid_t pid)
{
	size_t i;

	for (i = 0; i < CHILDREN; i++) {
		if (parent->child[i].state != CHILD_NONE && parent->child[i].pid == pid)
			return &parent->child[i];
	}
	return NULL;
}

static void
child_set_state(struct parent *parent, struct child *child, enum child_state state)
{
	const struct supervise *how = parent->how;
	int64_t now = clock_ms();

	if (child->state == CHILD_STARTING && child->ready_fd >= 0)
		(void)close(child->ready_fd);
	if (state != CHILD_STARTING)
		child->ready_fd = -1;
	switch (state) {
	case CHILD_NONE: child->pid = 0; break;
	case CHILD_STARTING:
		child->since = now;
		child->deadline = now + 3 * (int64_t)how->hang_ms;
		break;
	case CHILD_SERVING: parent->next_probe = now; break;
	case CHILD_ENDING:
		child->deadline = now + how->drain_ms;
		(void)kill(child->pid, SIGCONT); /* a stopped one must run to see the next */
		(void)kill(child->pid, SIGTERM);
		break;
	}
	child->state = state;
}

/* Growing pauses for a child that dies at once, none for one that has lived. */
static void
parent_plan_start(struct parent *parent, int64_t lived_ms)
{
	if (lived_ms >= LIVED_MS)
		parent->pause_ms = 0;
	parent->next_start = clock_ms() + parent->pause_ms;
	parent->pause_ms = parent->pause_ms == 0 ? PAUSE_FIRST_MS : parent->pause_ms * 2;
	if (parent->pause_ms > PAUSE_MAX_MS)
		parent->pause_ms = PAUSE_MAX_MS;
}

/*
 * SIGKILL works at once, or never (a process that waits for a dead disk, or is traced): nobody
 * waits for it before the next child is started.
 */
static void
child_kill(struct parent *parent, struct child *child, const char *why)
{
	log_event(LOG_WARNING, "child-killed", kv("daemon", parent->how->name),
	    kv_number("pid", child->pid), kv("reason", why));
	(void)kill(child->pid, SIGKILL);
	if (child->state != CHILD_ENDING) {
		parent_plan_start(parent, clock_ms() - child->since);
		child_set_state(parent, child, CHILD_ENDING);
	}
	child->deadline = clock_ms() + KILL_AGAIN_MS;
}

/* In the new process. Does not return. */
static void
child_run(struct parent *parent, pid_t parent_pid)
{
	const struct supervise *how = parent->how;
	sigset_t none;
	size_t i;

	for (i = 0; i < CHILDREN; i++) {
		if (parent->child[i].state == CHILD_STARTING)
			(void)close(parent->child[i].ready_fd);
	}
	(void)close(parent->signal_fd);
	instance_forget(&parent->instance);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL); /* until serve() sees to it, the parent's way is not ours */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (how->identity != NULL && !daemon_drop(how->identity))
		exit(EX_NOPERM);
	/* After the change of user, which would clear it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent_pid)
		exit(EX_OSERR);
	(void)deadman_hold(ORPHAN_MS); /* without it, it still serves */
	exit(how->serve(how->context));
}

static bool
child_fork(struct parent *parent, struct child *child)
{
	pid_t parent_pid = getpid();
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		(void)close(ends[0]);
		ready_pipe = ends[1];
		child_run(parent, parent_pid);
	}
	(void)close(ends[1]);
	if (pid < 0) {
		(void)close(ends[0]);
		return false;
	}
	child->pid = pid;
	child->ready_fd = ends[0];
	child_set_state(parent, child, CHILD_STARTING);
	return true;
}

static void
parent_start_child(struct parent *parent)
{
	struct child *child = child_in(parent, CHILD_NONE);

	if (child == NULL) { /* all are ending: the first of them must make room */
		child_kill(parent, child_in(parent, CHILD_ENDING), "too many are ending");
		parent->next_start = clock_ms() + PAUSE_FIRST_MS;
		return;
	}
	if (parent->how->prepare != NULL)
		parent->how->prepare(parent->how->context);
	if (!child_fork(parent, child)) {
		log_event(LOG_ERR, "child-start-failed", kv("daemon", parent->how->name),
		    kv("error", strerror(errno)));
		parent_plan_start(parent, 0);
		return;
	}
	parent->fresh_wanted = false;
	log_event(LOG_INFO, "child-started", kv("daemon", parent->how->name),
	    kv_number("pid", child->pid));
}

static void
parent_child_ready(struct parent *parent, struct child *child)
{
	struct child *former = child_in(parent, CHILD_SERVING);

	if (former != NULL)
		child_set_state(parent, former, CHILD_ENDING);
	child_set_state(parent, child, CHILD_SERVING);
}

static void
parent_read_ready(struct parent *parent, struct child *child)
{
	char byte;
	ssize_t got = read(child->ready_fd, &byte, 1);

	if (got == 1) {
		parent_child_ready(parent, child);
	} else if (got == 0) { /* it died, or will not say: its deadline counts */
		(void)close(child->ready_fd);
		child->ready_fd = -1;
	}
}

static void
parent_child_ended(struct parent *parent, struct child *child, int status)
{
	bool expected = child->state == CHILD_ENDING;

	log_event(expected ? LOG_INFO : LOG_ERR, expected ? "child-ended" : "child-died",
	    kv("daemon", parent->how->name), kv_number("pid", child->pid),
	    kv_number(WIFSIGNALED(status) ? "signal" : "code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
	if (!expected)
		parent_plan_start(parent, clock_ms() - child->since);
	child_set_state(parent, child, CHILD_NONE);
	if (!expected && !parent->stopping && parent->pause_ms == PAUSE_MAX_MS &&
	    child_in(parent, CHILD_SERVING) == NULL && parent->how->failing != NULL)
		parent->how->failing(parent->how->context);
}

static void
parent_reap(struct parent *parent)
{
	struct child *child;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		child = child_of_pid(parent, pid);
		if (child == NULL)
			continue;
		if (WIFSTOPPED(status))
			child_kill(parent, child, "stopped");
		else
			parent_child_ended(parent, child, status);
	}
}

/* --- what the parent does ------------------------------------------------------ */

static bool
parent_publish(struct parent *parent)
{
	const struct supervise *how = parent->how;
	bool done;
	int lock = -1;

	if (how->pid_path != NULL && (lock = instance_lock(how->pid_path)) < 0)
		return false;
	done = how->publish == NULL || how->publish(how->context);
	if (done)
		done = instance_claim(&parent->instance);
	instance_unlock(lock);
	return done;
}

static void
parent_stop(struct parent *parent)
{
	const struct supervise *how = parent->how;
	size_t i;
	int lock = -1;

	if (parent->stopping)
		return;
	parent->stopping = true;
	parent->give_up = clock_ms() + how->drain_ms + 2 * (int64_t)how->hang_ms;
	daemon_notify("STOPPING=1");
	log_event(LOG_INFO, "stopping", kv("daemon", how->name));
	if (how->pid_path != NULL)
		lock = instance_lock(how->pid_path);
	if (how->cleanup != NULL && (how->pid_path == NULL || lock >= 0))
		how->cleanup(how->context);
	if (lock >= 0)
		instance_release(&parent->instance);
	instance_unlock(lock);
	for (i = 0; i < CHILDREN; i++) {
		if (parent->child[i].state == CHILD_STARTING ||
		    parent->child[i].state == CHILD_SERVING)
			child_set_state(parent, &parent->child[i], CHILD_ENDING);
	}
}

static void
parent_reload(struct parent *parent)
{
	const struct supervise *how = parent->how;
	bool taken;

	if (parent->stopping || how->reload == NULL)
		return;
	taken = how->reload(how->context);
	log_event(taken ? LOG_NOTICE : LOG_ERR, taken ? "reloaded" : "reload-refused",
	    kv("daemon", how->name));
	if (taken)
		parent->fresh_wanted = true;
}

static void
parent_announce(struct parent *parent)
{
	pid_t older = instance_end_older(&parent->instance);

	parent->announced = true;
	log_event(LOG_NOTICE, "serving", kv("daemon", parent->how->name));
	if (older > 0)
		log_event(LOG_NOTICE, "took-over", kv("daemon", parent->how->name),
		    kv_number("from", older));
	daemon_notify("READY=1");
}

static void
parent_probe(struct parent *parent, struct child *child)
{
	const struct supervise *how = parent->how;
	enum supervise_answer answer = SUPERVISE_ANSWERED;

	if (how->probe != NULL)
		answer = how->probe(how->context, how->hang_ms, parent->signal_fd);
	parent->next_probe = clock_ms() + how->probe_interval_ms;
	switch (answer) {
	case SUPERVISE_ANSWERED:
		if (!parent->announced)
			parent_announce(parent);
		break;
	case SUPERVISE_SILENT: child_kill(parent, child, "no answer"); break;
	case SUPERVISE_UNREACHABLE:
		log_event(LOG_WARNING, "unreachable", kv("daemon", how->name));
		if (parent_publish(parent))
			parent->fresh_wanted = true;
		break;
	case SUPERVISE_CANNOT_TELL: break;
	}
}

static void
parent_signals(struct parent *parent)
{
	struct signalfd_siginfo info;

	while (read(parent->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT: parent_stop(parent); break;
		case SIGHUP: parent_reload(parent); break;
		default: break; /* SIGCHLD: reaped in every turn */
		}
	}
}

static void
parent_act(struct parent *parent)
{
	struct child *serving = child_in(parent, CHILD_SERVING);
	struct child *starting = child_in(parent, CHILD_STARTING);
	int64_t now = clock_ms();
	size_t i;

	for (i = 0; i < CHILDREN; i++) {
		struct child *child = &parent->child[i];

		if (child->state == CHILD_STARTING && now >= child->deadline)
			child_kill(parent, child, "not ready");
		if (child->state == CHILD_ENDING && now >= child->deadline)
			child_kill(parent, child, "did not end");
	}
	if (parent->stopping || starting != NULL)
		return;
	if ((serving == NULL || parent->fresh_wanted) && now >= parent->next_start)
		parent_start_child(parent);
	else if (serving != NULL && now >= parent->next_probe)
		parent_probe(parent, serving);
}

/* Milliseconds until parent_act or deadman_turn has something to do. */
static int
parent_wait_ms(struct parent *parent)
{
	int64_t now = clock_ms(), next = now + DEADMAN_TURN_MS;
	bool starting = child_in(parent, CHILD_STARTING) != NULL;
	bool serving = child_in(parent, CHILD_SERVING) != NULL;
	size_t i;

	for (i = 0; i < CHILDREN; i++) {
		const struct child *child = &parent->child[i];

		if ((child->state == CHILD_STARTING || child->state == CHILD_ENDING) &&
		    child->deadline < next)
			next = child->deadline;
	}
	if (parent->stopping && parent->give_up < next)
		next = parent->give_up;
	if (!parent->stopping && !starting) {
		if ((!serving || parent->fresh_wanted) && parent->next_start < next)
			next = parent->next_start;
		if (serving && parent->next_probe < next)
			next = parent->next_probe;
	}
	return next <= now ? 0 : (int)(next - now);
}

static bool
parent_ended(const struct parent *parent)
{
	size_t i;

	if (!parent->stopping)
		return false;
	for (i = 0; i < CHILDREN; i++) {
		if (parent->child[i].state != CHILD_NONE)
			return clock_ms() >= parent->give_up;
	}
	return true;
}

static void
parent_loop(struct parent *parent)
{
	struct child *starting;
	struct pollfd wait[2];

	while (!parent_ended(parent)) {
		starting = child_in(parent, CHILD_STARTING);
		wait[0] = (struct pollfd){.fd = parent->signal_fd, .events = POLLIN};
		wait[1] = (struct pollfd){
		    .fd = starting == NULL ? -1 : starting->ready_fd,
		    .events = POLLIN,
		};
		(void)poll(wait, 2, parent_wait_ms(parent));
		deadman_turn();
		if (starting != NULL && wait[1].revents != 0)
			parent_read_ready(parent, starting);
		parent_signals(parent);
		parent_reap(parent);
		parent_act(parent);
	}
}

static bool
parent_take_signals(struct parent *parent)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide the end of children */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
		return false;
	parent->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return parent->signal_fd >= 0;
}

int
supervise_run(const struct supervise *supervise)
{
	struct parent parent = {
	    .how = supervise,
	    .instance = instance_new(supervise->pid_path),
	    .signal_fd = -1,
	};

	if (!parent_take_signals(&parent)) {
		log_event(LOG_ERR, "start-failed", kv("daemon", supervise->name),
		    kv("error", strerror(errno)));
		return EX_OSERR;
	}
	(void)deadman_hold(DEADMAN_AFTER_MS); /* before anybody can find what is published */
	if (!parent_publish(&parent)) {
		(void)close(parent.signal_fd);
		return EX_CANTCREAT;
	}
	parent_loop(&parent);
	(void)close(parent.signal_fd);
	log_event(LOG_NOTICE, "stopped", kv("daemon", supervise->name));
	return EX_OK;
}

void
supervise_ready(void)
{
	if (ready_pipe < 0)
		return;
	(void)!write(ready_pipe, "", 1);
	(void)close(ready_pipe);
	ready_pipe = -1;
}

/* --- asking -------------------------------------------------------------------- */

struct asking {
	const struct supervise_question *question;
	int64_t deadline;
	int wake_fd;
	int fd;
	bool lost; /* the connection ended before the answer: worth another one */
};

/* Waits for events on the socket, at most pause_ms of what is left. False: give up, *why is set. */
static bool
asking_wait(const struct asking *asking, short events, int64_t pause_ms, enum supervise_answer *why)
{
	struct pollfd wait[2] = {
	    {.fd = asking->wake_fd, .events = POLLIN},
	    {.fd = events == 0 ? -1 : asking->fd, .events = events},
	};
	int64_t left = asking->deadline - clock_ms();

	*why = SUPERVISE_SILENT;
	if (left <= 0)
		return false;
	(void)poll(wait, 2, (int)(left < pause_ms ? left : pause_ms));
	*why = SUPERVISE_CANNOT_TELL;
	return wait[0].revents == 0;
}

static bool
asking_connect(const struct asking *asking, enum supervise_answer *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*why = SUPERVISE_UNREACHABLE;
	if (strlen(asking->question->path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, asking->question->path, strlen(asking->question->path));
	while (connect(asking->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) /* EAGAIN: the backlog is full, which is not its absence */
			return false;
		if (!asking_wait(asking, 0, CONNECT_PAUSE_MS, why))
			return false;
		*why = SUPERVISE_UNREACHABLE;
	}
	return true;
}

static bool
asking_send(struct asking *asking, enum supervise_answer *why)
{
	const char *bytes = asking->question->bytes;
	size_t sent = 0;
	ssize_t done;

	while (sent < asking->question->length) {
		done = send(asking->fd, bytes + sent, asking->question->length - sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done > 0) {
			sent += (size_t)done;
		} else if (errno != EAGAIN && errno != EINTR) {
			asking->lost = true;
			return false;
		} else if (!asking_wait(asking, POLLOUT, WAIT_MAX_MS, why)) {
			return false;
		}
	}
	return true;
}

static enum supervise_answer
asking_receive(struct asking *asking)
{
	enum supervise_answer why;
	char reply[4096];
	size_t length = 0;
	ssize_t got;

	while (length < sizeof(reply)) {
		got = recv(asking->fd, reply + length, sizeof(reply) - length, MSG_DONTWAIT);
		if (got > 0) {
			length += (size_t)got;
			switch (asking->question->judge(reply, length)) {
			case SUPERVISE_REPLY_GOOD: return SUPERVISE_ANSWERED;
			case SUPERVISE_REPLY_BAD: return SUPERVISE_SILENT;
			case SUPERVISE_REPLY_MORE: break;
			}
		} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			asking->lost = true;
			return SUPERVISE_SILENT;
		} else if (!asking_wait(asking, POLLIN, WAIT_MAX_MS, &why)) {
			return why;
		}
	}
	return SUPERVISE_SILENT;
}

static enum supervise_answer
asking_once(struct asking *asking)
{
	enum supervise_answer answer;

	asking->lost = false;
	asking->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (asking->fd < 0)
		return SUPERVISE_CANNOT_TELL;
	if (asking_connect(asking, &answer) && asking_send(asking, &answer))
		answer = asking_receive(asking);
	(void)close(asking->fd);
	return answer;
}

enum supervise_answer
supervise_ask(const struct supervise_question *question, int hang_ms, int wake_fd)
{
	struct asking asking = {
	    .question = question,
	    .deadline = clock_ms() + hang_ms,
	    .wake_fd = wake_fd,
	};
	enum supervise_answer answer, why;

	/* A former child that is ending may have taken the connection and closed it. */
	while ((answer = asking_once(&asking)), asking.lost) {
		if (!asking_wait(&asking, 0, CONNECT_PAUSE_MS, &why))
			return why;
	}
	return answer;
}
