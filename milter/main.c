/*
 * mxhold-milter: the second gate in front of Postfix: authorised domains and the real size of
 * messages, by the milter protocol. This file reads options and configuration; the rest is in
 * milter.c.
 */
#include "core/conf.h"
#include "core/daemon.h"
#include "core/log.h"
#include "milter/milter.h"

#include <sysexits.h>

int
main(int argc, char **argv)
{
	static const struct daemon_about about = {
	    .name = "mxhold-milter",
	    .purpose = "Judges recipients and the size of messages for Postfix (milter protocol).",
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
	return milter_run(conf, options.config, options.foreground);
}
