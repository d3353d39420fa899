/*
 * helper: see helper.h. In: the configuration (core/service), signals (core/supervise). Out: the
 * socket, which outlives every child. The parent reads no request.
 */
#include "helper/helper.h"

#include "core/helper_request.h"
#include "core/listener.h"
#include "core/log.h"
#include "core/supervise.h"
#include "helper/serve.h"

#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define ASK "ping\n"
#define DRAIN_MS 35000 /* a job that has begun may come to its end */

struct helper {
	struct service *service;
	struct listener listener;
};

static bool
helper_publish(void *context)
{
	struct helper *helper = context;
	struct listener made;

	/* Its group is mxhold's, not Postfix's: no daemon of Postfix has anything to ask here. */
	if (!listener_open(
		&made, helper->service->socket_dir, HELPER_SOCKET, helper->service->identity.gid))
		return false;
	listener_close(&helper->listener);
	helper->listener = made;
	return true;
}

static int
helper_serve(void *context)
{
	const struct helper *helper = context;
	const struct serve_setup setup = {
	    .listen_fd = helper->listener.fd,
	    .uid = helper->service->identity.uid,
	    .config_dir = helper->service->conf->paths.postfix_config_dir,
	};

	return serve_requests(&setup);
}

static enum supervise_reply
judge_reply(const char *reply, size_t length)
{
	static const char expected[] = "ok\n";
	const size_t whole = strlen(expected);

	if (length > whole || memcmp(reply, expected, length) != 0)
		return SUPERVISE_REPLY_BAD;
	return length == whole ? SUPERVISE_REPLY_GOOD : SUPERVISE_REPLY_MORE;
}

static enum supervise_answer
helper_probe(void *context, int hang_ms, int wake_fd)
{
	const struct helper *helper = context;
	const struct supervise_question question = {.path = helper->listener.path,
	    .bytes = ASK,
	    .length = strlen(ASK),
	    .judge = judge_reply};
	const enum supervise_answer answer = supervise_ask(&question, hang_ms, wake_fd);

	/* Somebody else answered: a newer instance, which will tell us to end. */
	if (answer != SUPERVISE_UNREACHABLE && listener_look(&helper->listener) == LISTENER_OTHERS)
		return SUPERVISE_CANNOT_TELL;
	if (answer == SUPERVISE_UNREACHABLE && !listener_directory(helper->service->socket_dir))
		return SUPERVISE_CANNOT_TELL;
	return answer;
}

static bool
helper_reload(void *context)
{
	const struct helper *helper = context;

	return service_reload(helper->service);
}

static void
helper_cleanup(void *context)
{
	const struct helper *helper = context;

	listener_remove(&helper->listener);
}

int
helper_run(struct service *service)
{
	struct helper helper = {.service = service, .listener = {.fd = -1}};
	const struct supervise supervise = {
	    .name = service->about->daemon.name,
	    .pid_path = service->pid_path,
	    .publish = helper_publish,
	    .serve = helper_serve,
	    .probe = helper_probe,
	    .reload = helper_reload,
	    .cleanup = helper_cleanup,
	    .context = &helper,
	    .probe_interval_ms = 1000,
	    .hang_ms = 3000,
	    .drain_ms = DRAIN_MS,
	};

	if (geteuid() != 0) {
		log_event(LOG_ERR, "start-failed", kv("daemon", supervise.name),
		    kv("error", "postsuper(1) is for root alone"), kv("cure", "start it as root"));
		return EX_NOPERM;
	}
	return supervise_run(&supervise);
}
