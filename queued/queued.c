/*
 * queued: see queued.h. In: the configuration (core/service), signals (core/supervise). Out: the
 * socket `queued` below [paths] socket_dir, by which the parent asks whether the child lives, and
 * the folder `queued` below STATE_DIR with state and spool, which only root can make there.
 */
#include "queued/queued.h"

#include "core/listener.h"
#include "core/lmdb_files.h"
#include "core/log.h"
#include "core/supervise.h"
#include "queued/clock.h"
#include "queued/desk.h"
#include "queued/mxwatch_io.h"
#include "queued/postfix.h"
#include "queued/serve.h"
#include "queued/tail.h"
#include "queued/unopened.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_MS 5000 /* how often what failed is tried again */
#define TELL_MS 60000 /* and told, where it is the same */

/* What of the folders could not be made or given; it is tried anew by and by. */
struct folders {
	bool failed;
	int error;
	const char *step;
	char path[PATH_MAX];
	int64_t tried_ms, told_ms;
};

struct queued {
	struct service *service;
	struct listener listener;
	struct listener control; /* for mxholdctl */
	uid_t readers[SERVE_READERS];
	int ask_fd; /* where policyd asks for MX records; -1: nobody hears it */
	struct folders folders;
};

/* --- STATE_DIR
 * -------------------------------------------------------------------------------------- */

/* errno says why. */
static void
failed(struct folders *folders, const char *step, const char *path)
{
	if (folders->failed) /* what came first explains the rest */
		return;
	folders->failed = true;
	folders->error = errno;
	folders->step = step;
	(void)snprintf(folders->path, sizeof(folders->path), "%s", path);
}

/*
 * STATE_DIR/queued is [users] queued's own, so that he can set aside and make anew what lies in it.
 * STATE_DIR is another user's: no link is followed.
 */
static void
give_home(struct folders *folders, const char *home, const struct daemon_identity *identity)
{
	const int directory = open(home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const bool done =
	    directory >= 0 &&
	    (!identity->change || (fchown(directory, identity->uid, identity->gid) == 0 &&
				      fchmod(directory, 0750) == 0));
	const int problem = errno;

	if (directory >= 0)
		close(directory);
	errno = problem;
	if (!done)
		failed(folders, "give", home);
}

/* A store below it and what its writer needs beside it, made over to him. */
static void
make_store(struct folders *folders, const char *home, const char *name,
    const struct daemon_identity *identity)
{
	const struct lmdb_place place = {.state_dir = home, .name = name};
	char path[PATH_MAX];

	if (identity->change ? lmdb_give(&place, identity->uid, identity->gid)
			     : lmdb_directory_make(&place))
		return;
	const int problem = errno;
	(void)snprintf(path, sizeof(path), "%.3000s/%s", home, name);
	errno = problem;
	failed(folders, identity->change ? "give" : "mkdir", path);
}

/* What is wrong with one store keeps the other from nothing. */
static void
make_folders(struct folders *folders, const char *path, const struct daemon_identity *identity)
{
	char home[PATH_MAX];
	const int length = snprintf(home, sizeof(home), "%s/" QUEUED_FOLDER, path);

	folders->failed = false;
	errno = ENAMETOOLONG;
	if (length <= 0 || (size_t)length >= sizeof(home))
		failed(folders, "name", path);
	else if (mkdir(path, 0750) != 0 && errno != EEXIST)
		failed(folders, "mkdir", path);
	else if (mkdir(home, 0750) != 0 && errno != EEXIST)
		failed(folders, "mkdir", home);
	else {
		give_home(folders, home, identity);
		make_store(folders, home, "state", identity);
		make_store(folders, home, "spool", identity);
	}
}

/*
 * Makes and gives what is missing. What cannot be had is told, now and then, and keeps nobody from
 * serving: the child tells who asks what it cannot open.
 */
static void
prepare_folders(struct queued *queued)
{
	const int64_t now = clock_boot_ms();
	struct folders *folders = &queued->folders;
	const struct folders before = *folders;

	make_folders(folders, queued->service->conf->paths.state_dir, &queued->service->identity);
	folders->tried_ms = now;
	if (!folders->failed) {
		if (before.failed)
			log_event(LOG_NOTICE, "state-dir-made", kv("path", before.path));
		return;
	}
	if (before.failed && before.error == folders->error &&
	    strcmp(before.path, folders->path) == 0 && now - folders->told_ms < TELL_MS)
		return;
	folders->told_ms = now;
	log_event(LOG_ERR, "state-dir-failed", kv("step", folders->step), kv("path", folders->path),
	    kv("error", strerror(folders->error)), kv("effect", "it is tried again by and by"));
}

/* What only root can do, a child that cannot open its stores waits for. */
static void
look_at_folders(struct queued *queued)
{
	char home[PATH_MAX];
	struct stat status;

	if (clock_boot_ms() - queued->folders.tried_ms < AGAIN_MS)
		return;
	(void)snprintf(
	    home, sizeof(home), "%.4000s/" QUEUED_FOLDER, queued->service->conf->paths.state_dir);
	if (queued->folders.failed || lstat(home, &status) != 0)
		prepare_folders(queued);
}

/* --- groups
 * ----------------------------------------------------------------------------------------- */

static void
join_group(struct daemon_identity *identity, gid_t group)
{
	if (group == (gid_t)-1 || group == 0 || identity->also_count == DAEMON_ALSO)
		return;
	for (size_t i = 0; i < identity->also_count; i++) {
		if (identity->also[i] == group)
			return;
	}
	identity->also[identity->also_count++] = group;
}

/* Who may read systemd's journal; (gid_t)-1: there is no such group here. */
static gid_t
journal_group(void)
{
	const struct group *entry = getgrnam("systemd-journal");

	return entry != NULL ? entry->gr_gid : (gid_t)-1;
}

/*
 * What the child needs beside its own: the group of the log, to read it, and that of Postfix's
 * setgid commands, which lends no rights to a process without new privileges.
 */
static void
join_groups(struct service *service)
{
	struct daemon_identity *identity = &service->identity;
	struct postfix_settings postfix;
	struct stat log;

	if (!identity->change)
		return;
	identity->also_count = 0;
	if (strcmp(service->conf->paths.maillog, TAIL_JOURNALD) == 0)
		join_group(identity, journal_group());
	else if (stat(service->conf->paths.maillog, &log) == 0 && (log.st_mode & S_IRGRP) != 0)
		join_group(identity, log.st_gid);
	(void)postfix_read(service->conf->paths.postfix_config_dir, "localhost", &postfix);
	join_group(identity, postfix_group(postfix.postqueue));
}

/* --- what the parent does for core/supervise
 * --------------------------------------------------------- */

/* Without it the relay refuses no less and no more; facts are only read at their time. */
static void
make_ask_socket(struct queued *queued)
{
	const struct service *service = queued->service;
	const int made = mxwatch_ask_open(
	    service->socket_dir, service->identity.change ? service->identity.gid : (gid_t)-1);

	if (made < 0) {
		log_event(LOG_WARNING, "ask-socket-failed", kv("error", strerror(errno)));
		return;
	}
	if (queued->ask_fd >= 0)
		close(queued->ask_fd);
	queued->ask_fd = made;
}

static bool
open_control(struct queued *queued)
{
	const struct service *service = queued->service;
	struct listener made;

	if (!listener_open(&made, service->socket_dir, DESK_SOCKET, service->identity.gid))
		return false;
	listener_close(&queued->control);
	queued->control = made;
	return true;
}

/* The other daemons' users; one that is not to be found reads nothing either. */
static void
find_readers(const struct conf *conf, uid_t readers[SERVE_READERS])
{
	const char *const users[SERVE_READERS] = {
	    conf->users.sync, conf->users.policyd, conf->users.milter};
	struct daemon_identity identity;

	for (size_t i = 0; i < SERVE_READERS; i++) {
		readers[i] = (uid_t)-1;
		if (daemon_resolve(conf, users[i], &identity) && identity.change)
			readers[i] = identity.uid;
	}
}

static bool
queued_publish(void *context)
{
	struct queued *queued = context;
	struct listener made;

	if (!listener_open(
		&made, queued->service->socket_dir, "queued", queued->service->identity.socket_gid))
		return false;
	join_groups(queued->service);
	find_readers(queued->service->conf, queued->readers);
	listener_close(&queued->listener);
	queued->listener = made;
	make_ask_socket(queued);
	return open_control(queued);
}

/* What an operator restored as root would keep the child waiting. */
static void
queued_prepare(void *context)
{
	prepare_folders(context);
}

static void
queued_failing(void *context)
{
	const struct queued *queued = context;

	unopened_turn_away(queued->control.fd);
}

static int
queued_serve(void *context)
{
	const struct queued *queued = context;
	struct serve_setup setup = {.conf = queued->service->conf,
	    .socket_dir = queued->service->socket_dir,
	    .group = queued->service->identity.change ? queued->service->identity.gid : (gid_t)-1,
	    .parent_gives = queued->service->identity.change,
	    .ask_fd = queued->ask_fd,
	    .control_fd = queued->control.fd,
	    .alive_fd = queued->listener.fd};

	memcpy(setup.readers, queued->readers, sizeof(setup.readers));
	return serve_run(&setup);
}

static enum supervise_reply
judge_alive(const char *reply, size_t length)
{
	static const char expected[] = "alive\n";
	size_t whole = strlen(expected);

	if (length > whole || memcmp(reply, expected, length) != 0)
		return SUPERVISE_REPLY_BAD;
	return length == whole ? SUPERVISE_REPLY_GOOD : SUPERVISE_REPLY_MORE;
}

static enum supervise_answer
queued_probe(void *context, int hang_ms, int wake_fd)
{
	struct queued *queued = context;
	const struct supervise_question question = {
	    .path = queued->listener.path, .bytes = "?\n", .length = 2, .judge = judge_alive};
	enum supervise_answer answer = supervise_ask(&question, hang_ms, wake_fd);

	look_at_folders(queued);
	/* Somebody else answered: a newer instance, which will tell us to end. */
	if (answer != SUPERVISE_UNREACHABLE && listener_look(&queued->listener) == LISTENER_OTHERS)
		return SUPERVISE_CANNOT_TELL;
	if (answer == SUPERVISE_UNREACHABLE && !listener_directory(queued->service->socket_dir))
		return SUPERVISE_CANNOT_TELL;
	return answer;
}

static bool
queued_reload(void *context)
{
	const struct queued *queued = context;

	if (!service_reload(queued->service))
		return false;
	join_groups(queued->service);
	return true;
}

static void
queued_cleanup(void *context)
{
	const struct queued *queued = context;

	listener_remove(&queued->listener);
	listener_remove(&queued->control);
}

int
queued_run(struct service *service)
{
	struct queued queued = {
	    .service = service, .listener = {.fd = -1}, .control = {.fd = -1}, .ask_fd = -1};
	const struct supervise supervise = {
	    .name = service->about->daemon.name,
	    .pid_path = service->pid_path,
	    .identity = &service->identity,
	    .publish = queued_publish,
	    .prepare = queued_prepare,
	    .failing = queued_failing,
	    .serve = queued_serve,
	    .probe = queued_probe,
	    .reload = queued_reload,
	    .cleanup = queued_cleanup,
	    .context = &queued,
	    .probe_interval_ms = 1000,
	    .hang_ms = 10000,
	    .drain_ms = 10000,
	};

	return supervise_run(&supervise);
}
