/*
 * policyd: see policyd.h. In: the configuration (core/service), signals (core/supervise). Out: the
 * sockets `policy` and `map` below [paths] socket_dir, which outlive every child.
 */
#include "policyd/policyd.h"

#include "core/listener.h"
#include "core/lmdb_files.h"
#include "core/netstring.h"
#include "core/supervise.h"
#include "policyd/memory.h"
#include "policyd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "mxhold.invalid" is no domain of anybody (RFC 2606); any reply shows that the child lives. */
#define ASK_MAP "28:relay_domains mxhold.invalid,"
#define ASK_POLICY "request=smtpd_access_policy\nprotocol_state=CONNECT\n\n"

struct policyd {
	struct service *service;
	struct listener listener[PROTOCOL_KINDS];
};

/* --- what the parent does for core/supervise --------------------------------------------- */

/*
 * STATE_DIR/policyd, where the child keeps its memory. As root it is given to the child's user. A
 * failure is said, and costs no more than that memory. STATE_DIR too where it is missing, since
 * nobody says that mxhold-sync starts first; to him it is given when he does.
 */
static void
policyd_prepare(void *context)
{
	const struct policyd *policyd = context;
	const struct service *service = policyd->service;
	const struct daemon_identity *identity = &service->identity;
	char path[PATH_MAX];
	const int length =
	    snprintf(path, sizeof(path), "%s/" FACTS_DIRECTORY, service->conf->paths.state_dir);
	int directory = -1;

	(void)mkdir(service->conf->paths.state_dir, 0750);
	if (length > 0 && (size_t)length < sizeof(path) &&
	    (mkdir(path, 0700) == 0 || errno == EEXIST))
		directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0 ||
	    (identity->change &&
		(!lmdb_give_one(directory, MEMORY_FILE, identity->uid, identity->gid) ||
		    !lmdb_give_opened(directory, identity->uid, identity->gid))))
		log_event(
		    LOG_WARNING, "memory-unusable", kv("path", path), kv("error", strerror(errno)));
	if (directory >= 0)
		close(directory);
}

static bool
policyd_publish(void *context)
{
	struct policyd *policyd = context;
	struct listener made;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++) {
		if (!listener_open(&made, policyd->service->socket_dir, protocol_of(i)->name,
			policyd->service->identity.socket_gid))
			return false;
		listener_close(&policyd->listener[i]);
		policyd->listener[i] = made;
	}
	return true;
}

static int
policyd_serve(void *context)
{
	const struct policyd *policyd = context;
	const struct server_setup setup = {
	    .conf = policyd->service->conf, .listener = policyd->listener};

	return server_run(&setup);
}

static enum supervise_reply
judge_map_reply(const char *reply, size_t length)
{
	struct netstring netstring;

	switch (netstring_decode(reply, length, NETSTRING_MAX, &netstring)) {
	case NETSTRING_OK: return SUPERVISE_REPLY_GOOD;
	case NETSTRING_MORE: return SUPERVISE_REPLY_MORE;
	case NETSTRING_BAD: break;
	}
	return SUPERVISE_REPLY_BAD;
}

static enum supervise_reply
judge_policy_reply(const char *reply, size_t length)
{
	static const char expected[] = "action=DUNNO\n\n";
	size_t whole = strlen(expected);

	if (length > whole || memcmp(reply, expected, length) != 0)
		return SUPERVISE_REPLY_BAD;
	return length == whole ? SUPERVISE_REPLY_GOOD : SUPERVISE_REPLY_MORE;
}

static const struct supervise_question questions[PROTOCOL_KINDS] = {
    [PROTOCOL_POLICY] = {.bytes = ASK_POLICY,
	.length = sizeof(ASK_POLICY) - 1,
	.judge = judge_policy_reply},
    [PROTOCOL_MAP] = {.bytes = ASK_MAP, .length = sizeof(ASK_MAP) - 1, .judge = judge_map_reply},
};

static enum supervise_answer
policyd_probe(void *context, int hang_ms, int wake_fd)
{
	const struct policyd *policyd = context;
	struct supervise_question question;
	enum supervise_answer answer;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++) {
		question = questions[i];
		question.path = policyd->listener[i].path;
		answer = supervise_ask(&question, hang_ms, wake_fd);
		/* Somebody else answered: a newer instance, which will tell us to end. */
		if (answer != SUPERVISE_UNREACHABLE &&
		    listener_look(&policyd->listener[i]) == LISTENER_OTHERS)
			return SUPERVISE_CANNOT_TELL;
		if (answer == SUPERVISE_UNREACHABLE &&
		    !listener_directory(policyd->service->socket_dir))
			return SUPERVISE_CANNOT_TELL;
		if (answer != SUPERVISE_ANSWERED)
			return answer;
	}
	return SUPERVISE_ANSWERED;
}

static bool
policyd_reload(void *context)
{
	const struct policyd *policyd = context;

	return service_reload(policyd->service);
}

static void
policyd_cleanup(void *context)
{
	const struct policyd *policyd = context;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++)
		listener_remove(&policyd->listener[i]);
}

int
policyd_run(struct service *service)
{
	struct policyd policyd = {.service = service};
	const struct supervise supervise = {
	    .name = service->about->daemon.name,
	    .pid_path = service->pid_path,
	    .identity = &service->identity,
	    .publish = policyd_publish,
	    .prepare = policyd_prepare,
	    .serve = policyd_serve,
	    .probe = policyd_probe,
	    .reload = policyd_reload,
	    .cleanup = policyd_cleanup,
	    .context = &policyd,
	    .probe_interval_ms = 1000,
	    .hang_ms = 3000,
	    .drain_ms = 30000,
	};
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++)
		policyd.listener[i].fd = -1;
	return supervise_run(&supervise);
}
