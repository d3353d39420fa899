/*
 * mxhold-policyd: answers Postfix's questions about recipients, domains and next hops from the
 * snapshot. This file says what it is; core/service brings it up, and the rest is in policyd.c.
 */
#include "policyd/policyd.h"

static const char *
user(const struct conf *conf)
{
	return conf->users.policyd;
}

int
main(int argc, char **argv)
{
	static const struct service_about about = {
	    .daemon = {.name = "mxhold-policyd",
		.purpose = "Answers Postfix (policy protocol and socketmap) from the snapshot."},
	    .pid_file = "policyd.pid",
	    .user = user,
	    .descriptors = 32768,
	    .run = policyd_run,
	};

	return service_main(argc, argv, &about);
}
