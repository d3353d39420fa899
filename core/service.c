/*
 * service: see service.h. What a new configuration cannot change is fixed here at the start; the
 * rest of it is taken whole or not at all.
 */
#include "core/service.h"

#include "core/listener.h"
#include "core/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

/* --- the configuration -------------------------------------------------------------------- */

/* Logs each line. */
static void
log_errors(char *errors)
{
	char *line, *rest = errors;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line != '\0')
			log_event(LOG_ERR, "configuration-error", kv("error", line));
	}
}

struct conf *
service_read_conf(const char *config, service_check *check, const void *context)
{
	char *errors = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&errors, &length);
	struct conf *conf;

	if (stream == NULL)
		return NULL;
	conf = conf_load(config, stream);
	if (conf != NULL && check != NULL && !check(conf, config, stream, context)) {
		conf_free(conf);
		conf = NULL;
	}
	if (fclose(stream) == 0 && conf == NULL)
		log_errors(errors);
	free(errors);
	return conf;
}

static void
tell_fixed(const struct service *service, const struct conf *conf)
{
	const struct conf *now = service->conf;
	const struct service_about *about = service->about;

	if (strcmp(service->socket_dir, conf->paths.socket_dir) != 0)
		log_event(LOG_WARNING, "restart-needed", kv("key", "[paths] socket_dir"),
		    kv("still", service->socket_dir));
	if (service->identity.change &&
	    (strcmp(about->user(now), about->user(conf)) != 0 ||
		strcmp(now->users.group, conf->users.group) != 0 ||
		strcmp(now->users.socket_group, conf->users.socket_group) != 0))
		log_event(LOG_WARNING, "restart-needed", kv("key", "[users]"));
}

bool
service_reload(struct service *service)
{
	struct conf *conf = service_read_conf(service->config, NULL, NULL);

	if (conf == NULL)
		return false;
	tell_fixed(service, conf);
	conf_free(service->conf);
	service->conf = conf;
	return true;
}

/* --- start ---------------------------------------------------------------------------------- */

/* As many descriptors as are wanted, or as we may have; root may have more than its limit says. */
static void
raise_limit(rlim_t wanted)
{
	struct rlimit limit, more = {wanted, wanted};

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < wanted && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_event(LOG_WARNING, "limit-not-raised", kv("limit", "RLIMIT_NOFILE"));
}

/* EX_OK, or the code to end with: the error was logged. */
static int
prepare(struct service *service)
{
	const struct service_about *about = service->about;
	const struct conf *conf = service->conf;

	if (!daemon_resolve(conf, about->user(conf), &service->identity))
		return EX_NOUSER;
	(void)snprintf(
	    service->socket_dir, sizeof(service->socket_dir), "%s", conf->paths.socket_dir);
	(void)snprintf(service->pid_path, sizeof(service->pid_path), "%s/%s", service->socket_dir,
	    about->pid_file);
	return listener_directory(service->socket_dir) ? EX_OK : EX_CANTCREAT;
}

static int
come_up(struct service *service, bool foreground)
{
	const int code = prepare(service);

	if (code != EX_OK)
		return code;
	raise_limit(service->about->descriptors);
	if (!foreground && !daemon_detach())
		return EX_OSERR;
	return service->about->run(service);
}

int
service_main(int argc, char **argv, const struct service_about *about)
{
	struct service service = {.about = about};
	struct daemon_options options;
	int code;

	code = daemon_options(argc, argv, &about->daemon, &options);
	if (code >= 0)
		return code;
	service.config = options.config;
	service.conf = conf_load(options.config, stderr);
	if (service.conf == NULL)
		return EX_CONFIG;
	code = EX_OK;
	if (!options.check_only) {
		log_open(about->daemon.name, options.foreground);
		code = come_up(&service, options.foreground);
	}
	conf_free(service.conf);
	return code;
}
