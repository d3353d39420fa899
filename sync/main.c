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

/* Comes up and serves. Takes over `conf`. */
static int
run(struct conf *conf, const struct daemon_options *options)
{
	struct daemon_identity identity;
	int code = EX_OK, lock;

	if (!daemon_resolve(conf, conf->users.sync, &identity))
		code = EX_NOUSER;
	else if (!statedir_prepare(conf->paths.state_dir, &identity))
		code = EX_CANTCREAT;
	else if ((lock = statedir_lock(conf->paths.state_dir, &identity)) < 0)
		code = EX_TEMPFAIL;
	else if (!go_to_background(options) || (identity.change && !daemon_drop(&identity)))
		code = EX_OSERR;
	else
		statedir_write_pid(lock);
	if (code == EX_OK && !signals_install())
		code = EX_OSERR;
	if (code == EX_OK)
		return sync_run(conf, options->config, identity.change ? identity.gid : (gid_t)-1);
	conf_free(conf);
	return code;
}

int
main(int argc, char **argv)
{
	struct daemon_options options;
	struct conf *conf;
	int code;

	signals_start();
	code = daemon_options(argc, argv, &about, &options);
	if (code >= 0)
		return code;
	remember_arguments(argv[0], &options);
	conf = load(&options);
	if (conf == NULL)
		return EX_CONFIG;
	if (options.check_only) {
		conf_free(conf);
		return EX_OK;
	}
	log_open(about.name, options.foreground);
	return run(conf, &options);
}
