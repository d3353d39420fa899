/*
 * Fuzzes core/conf: every file is either refused with an error, or gives a configuration in which
 * all that the programs rely on holds.
 */
#include "core/conf.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

#define DAY 86400

static FILE *errors;
static unsigned long error_bytes;

static ssize_t
count_bytes(void *cookie, const char *bytes, size_t size)
{
	(void)cookie;
	FUZZ_HOLDS(memchr(bytes, '\0', size) == NULL);
	error_bytes += size;
	return (ssize_t)size;
}

static void
check_queue(const struct conf *conf)
{
	FUZZ_HOLDS(conf->queue.probe_interval >= 1 && conf->queue.probe_interval_long >= 1);
	FUZZ_HOLDS(conf->queue.confirmations >= 1 && conf->queue.concurrency >= 1);
	FUZZ_HOLDS(conf->queue.retention >= 0 && conf->queue.retention <= 100 * DAY);
	FUZZ_HOLDS(conf->queue.quota_messages >= 0 && conf->queue.quota_bytes >= 0);
	FUZZ_HOLDS(conf->queue.unknown_user_tries >= 1 && conf->queue.refused_tries >= 1);
	FUZZ_HOLDS(conf->queue.unknown_user_interval >= 1 && conf->queue.refused_after >= 1);
	FUZZ_HOLDS(conf->queue.sender_retry >= 1 && conf->queue.mx_interval >= 1);
	FUZZ_HOLDS(conf->queue.spool_size >= 1 << 20);
	FUZZ_HOLDS(conf->alert.command == NULL || conf->alert.command[0] == '/');
}

static void
check_conf(const struct conf *conf)
{
	FUZZ_HOLDS(strlen(conf->relay.name) >= 1 && strlen(conf->relay.name) <= 63);
	FUZZ_HOLDS(strlen(conf->relay.region) >= 1 && strlen(conf->relay.region) <= 32);
	FUZZ_HOLDS(
	    (conf->relay.public_addresses != NULL) == (conf->relay.public_address_count > 0));
	FUZZ_HOLDS(conf->relay.queue_lifetime >= 1 && conf->relay.queue_lifetime <= 100 * DAY);
	FUZZ_HOLDS(conf->authority.poll_interval >= 1);
	FUZZ_HOLDS(conf->authority.stale_after >= 2 * conf->authority.poll_interval);
	FUZZ_HOLDS(conf->authority.conninfo == NULL || conf->report.conninfo != NULL);
	FUZZ_HOLDS(conf->journal.retention_days >= 1);
	FUZZ_HOLDS(conf->paths.state_dir[0] == '/');
	FUZZ_HOLDS(conf->paths.maillog[0] == '/' || strcmp(conf->paths.maillog, "journald") == 0);
	FUZZ_HOLDS(conf->paths.postfix_config_dir[0] == '/');
	FUZZ_HOLDS(conf->paths.socket_dir[0] == '/' && strlen(conf->paths.socket_dir) <= 80);
	for (size_t i = 0; i < conf->fence.allow_count; i++)
		FUZZ_HOLDS(conf->fence.allow[i].prefix > 0);
	FUZZ_HOLDS(conf->users.group[0] != '\0' && conf->users.socket_group[0] != '\0');
	FUZZ_HOLDS(conf->users.sync[0] != '\0' && conf->users.policyd[0] != '\0');
	FUZZ_HOLDS(conf->users.milter[0] != '\0' && conf->users.queued[0] != '\0');
	check_queue(conf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const cookie_io_functions_t functions = {.write = count_bytes};

	if (errors == NULL)
		errors = fopencookie(NULL, "w", functions);
	FUZZ_HOLDS(errors != NULL);
	error_bytes = 0;
	struct conf *conf = conf_parse((const char *)data, size, "fuzz.conf", errors);
	fflush(errors);
	FUZZ_HOLDS((conf == NULL) == (error_bytes > 0));
	if (conf != NULL)
		check_conf(conf);
	fuzz_outcome(conf != NULL);
	conf_free(conf);
	return 0;
}
