/*
 * mxhold-milter: the second gate in front of Postfix: authorised domains and the real size of
 * messages, by the milter protocol. This file says what it is; core/service brings it up, and the
 * rest is in milter.c.
 */
#include "milter/milter.h"

static const char *
user(const struct conf *conf)
{
	return conf->users.milter;
}

int
main(int argc, char **argv)
{
	static const struct service_about about = {
	    .daemon = {.name = "mxhold-milter",
		.purpose =
		    "Judges recipients and the size of messages for Postfix (milter protocol)."},
	    .pid_file = "milter.pid",
	    .user = user,
	    .descriptors = 8192,
	    .run = milter_run,
	};

	return service_main(argc, argv, &about);
}
