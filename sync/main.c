/*
 * mxhold-sync: keeps this relay's snapshot equal to what the authority says. See mxhold-sync(8).
 *
 * Here is only how it comes up: options, configuration, state directory, lock, background, user.
 */
#include "sync/signals.h"
#include "sync/statedir.h"
#include "sync/sync.h"

#include "core/log.h"

#include <stdio.h>
#include <sysexits.h>

static const struct daemon_about about = {
    .name = "mxhold-sync",
    .purpose = "Keeps the snapshot of authorised domains equal to the authority's tables.",
};

static struct conf *
load(const struct daemon_options *options)
{
	struct conf *conf = conf_load(options->config, stderr);

	if (conf != NULL && sync_check_conf(conf, options->config, stderr))
		return conf;
	if (conf != NULL)
		conf_free(conf);
	return NULL;
}

/* The arguments of a new start after a crash: the path is absolute, unlike perhaps the first one.
 */
static void
remember_arguments(char *name, const struct daemon_options *options)
{
	static char config_flag[] = "-c", foreground_flag[] = "-f";
	static char *arguments[5];

	arguments[0] = name;
	arguments[1] = config_flag;
	arguments[2] = (char *)options->config; /* execve only reads it */
	arguments[3] = options->foreground ? foreground_flag : NULL;
	signals_arguments(arguments);
}

static bool
go_to_background(const struct daemon_options *options)
{
	/* After a crash it is there already, and a supervisor knows its process id. */
	return options->foreground || signals_crashes() > 0 || daemon_detach();
}

int
main(int argc, char **argv)
{
	struct daemon_identity identity;
	struct daemon_options options;
	struct conf *conf;
	int code, lock;

	signals_start();
	code = daemon_options(argc, argv, &about, &options);
	if (code >= 0)
		return code;
	remember_arguments(argv[0], &options);
	conf = load(&options);
	if (conf == NULL || options.check_only)
		return conf == NULL ? EX_CONFIG : EX_OK;
	log_open(about.name, options.foreground);
	if (!daemon_resolve(conf, conf->users.sync, &identity))
		return EX_CONFIG;
	if (!statedir_prepare(conf->paths.state_dir, &identity))
		return EX_CANTCREAT;
	lock = statedir_lock(conf->paths.state_dir, &identity);
	if (lock < 0)
		return EX_TEMPFAIL;
	if (!go_to_background(&options) || (identity.change && !daemon_drop(&identity)))
		return EX_OSERR;
	statedir_write_pid(lock);
	if (!signals_install())
		return EX_OSERR;
	return sync_run(conf, options.config, identity.change ? identity.gid : (gid_t)-1);
}
