/*
 * mxhold-policyd: answers Postfix's questions about recipients, domains and next hops from the
 * snapshot. This file reads options and configuration; the rest is in policyd.c.
 */
#include "core/conf.h"
#include "core/daemon.h"
#include "core/log.h"
#include "policyd/policyd.h"

#include <sysexits.h>

int
main(int argc, char **argv)
{
	static const struct daemon_about about = {
	    .name = "mxhold-policyd",
	    .purpose = "Answers Postfix (policy protocol and socketmap) from the snapshot.",
	};
	struct daemon_options options;
	struct conf *conf;
	int code;

	code = daemon_options(argc, argv, &about, &options);
	if (code >= 0)
		return code;
	conf = conf_load(options.config, stderr);
	if (conf == NULL)
		return EX_CONFIG;
	if (options.check_only) {
		conf_free(conf);
		return EX_OK;
	}
	log_open(about.name, options.foreground);
	return policyd_run(conf, options.config, options.foreground);
}
