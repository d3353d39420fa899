/*
 * mxhold-helper: deletes, holds or releases one message of Postfix's queue at a time, for
 * mxhold-queued, which must not be root. This file says what it is; core/service brings it up, and
 * the rest is in helper.c.
 */
#include "helper/helper.h"

static const char *
user(const struct conf *conf)
{
	return conf->users.queued; /* who may ask; the helper itself stays root */
}

int
main(int argc, char **argv)
{
	static const struct service_about about = {
	    .daemon = {.name = "mxhold-helper",
		.purpose = "Runs postsuper(1) for mxhold-queued, one queue id at a time."},
	    .pid_file = "helper.pid",
	    .user = user,
	    .descriptors = 256,
	    .run = helper_run,
	};

	return service_main(argc, argv, &about);
}
