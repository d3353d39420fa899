/*
 * policyd: see policyd.h. In: the configuration, signals (through core/supervise). Out: the sockets
 * `policy` and `map` below [paths] socket_dir, which outlive every child.
 */
#include "policyd/policyd.h"

#include "core/listener.h"
#include "core/log.h"
#include "core/netstring.h"
#include "core/supervise.h"
#include "policyd/server.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#define DESCRIPTORS_WANTED 32768

/* "mxhold.invalid" is no domain of anybody (RFC 2606); any reply shows that the child lives. */
#define ASK_MAP "28:relay_domains mxhold.invalid,"
#define ASK_POLICY "request=smtpd_access_policy\nprotocol_state=CONNECT\n\n"

struct policyd {
	struct conf *conf;
	const char *config;
	char socket_dir[PATH_MAX]; /* as it was at the start: another one needs a restart */
	struct daemon_identity identity;
	struct listener listener[PROTOCOL_KINDS];
	char pid_path[PATH_MAX + 16];
};

/* --- what the parent does for core/supervise --------------------------------------------- */

static bool
policyd_publish(void *context)
{
	struct policyd *policyd = context;
	struct listener made;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++) {
		if (!listener_open(&made, policyd->socket_dir, protocol_of(i)->name,
			policyd->identity.socket_gid))
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
	struct server_setup setup = {.conf = policyd->conf};
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++)
		setup.listen_fd[i] = policyd->listener[i].fd;
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
		if (answer == SUPERVISE_UNREACHABLE && !listener_directory(policyd->socket_dir))
			return SUPERVISE_CANNOT_TELL;
		if (answer != SUPERVISE_ANSWERED)
			return answer;
	}
	return SUPERVISE_ANSWERED;
}

/* What a new configuration cannot change while we run. */
static void
policyd_tell_fixed(const struct policyd *policyd, const struct conf *conf)
{
	if (strcmp(policyd->socket_dir, conf->paths.socket_dir) != 0)
		log_event(LOG_WARNING, "restart-needed", kv("key", "[paths] socket_dir"),
		    kv("still", policyd->socket_dir));
	if (policyd->identity.change &&
	    (strcmp(policyd->conf->users.policyd, conf->users.policyd) != 0 ||
		strcmp(policyd->conf->users.group, conf->users.group) != 0 ||
		strcmp(policyd->conf->users.socket_group, conf->users.socket_group) != 0))
		log_event(LOG_WARNING, "restart-needed", kv("key", "[users]"));
}

static void
policyd_log_errors(char *errors)
{
	char *line, *rest = errors;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line != '\0')
			log_event(LOG_ERR, "configuration-error", kv("error", line));
	}
}

static bool
policyd_reload(void *context)
{
	struct policyd *policyd = context;
	char *errors = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&errors, &length);
	struct conf *conf;

	if (stream == NULL)
		return false;
	conf = conf_load(policyd->config, stream);
	(void)fclose(stream);
	if (conf == NULL)
		policyd_log_errors(errors);
	free(errors);
	if (conf == NULL)
		return false;
	policyd_tell_fixed(policyd, conf);
	conf_free(policyd->conf);
	policyd->conf = conf;
	return true;
}

static void
policyd_cleanup(void *context)
{
	const struct policyd *policyd = context;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++)
		listener_remove(&policyd->listener[i]);
}

/* --- start ----------------------------------------------------------------------------------- */

/* As many descriptors as we may have; as root, as many as we want. */
static void
policyd_raise_limit(void)
{
	struct rlimit limit, more;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	more = (struct rlimit){DESCRIPTORS_WANTED, DESCRIPTORS_WANTED};
	if (limit.rlim_max < DESCRIPTORS_WANTED && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_event(LOG_WARNING, "limit-not-raised", kv("limit", "RLIMIT_NOFILE"));
}

static bool
policyd_prepare(struct policyd *policyd)
{
	const struct conf *conf = policyd->conf;
	size_t i;

	for (i = 0; i < PROTOCOL_KINDS; i++)
		policyd->listener[i].fd = -1;
	if (!daemon_resolve(conf, conf->users.policyd, &policyd->identity))
		return false;
	(void)snprintf(
	    policyd->socket_dir, sizeof(policyd->socket_dir), "%s", conf->paths.socket_dir);
	(void)snprintf(
	    policyd->pid_path, sizeof(policyd->pid_path), "%s/policyd.pid", policyd->socket_dir);
	return listener_directory(policyd->socket_dir);
}

int
policyd_run(struct conf *conf, const char *config, bool foreground)
{
	struct policyd policyd = {.conf = conf, .config = config};
	struct supervise supervise = {
	    .name = "mxhold-policyd",
	    .pid_path = policyd.pid_path,
	    .identity = &policyd.identity,
	    .publish = policyd_publish,
	    .serve = policyd_serve,
	    .probe = policyd_probe,
	    .reload = policyd_reload,
	    .cleanup = policyd_cleanup,
	    .context = &policyd,
	    .probe_interval_ms = 1000,
	    .hang_ms = 3000,
	    .drain_ms = 30000,
	};
	int code = EX_NOUSER;

	if (policyd_prepare(&policyd)) {
		policyd_raise_limit();
		code = EX_OSERR;
		if (foreground || daemon_detach())
			code = supervise_run(&supervise);
	}
	conf_free(policyd.conf);
	return code;
}
