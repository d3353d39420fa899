/*
 * mxhold-queued: watches the queue: probes primaries, releases mail, keeps the journal. This file
 * says what it is; core/service brings it up, and the rest is in queued.c.
 */
#include "queued/queued.h"

static const char *
user(const struct conf *conf)
{
	return conf->users.queued;
}

int
main(int argc, char **argv)
{
	static const struct service_about about = {
	    .daemon = {.name = "mxhold-queued",
		.purpose =
		    "Watches the queue: probes primaries, releases mail, keeps the journal."},
	    .pid_file = "queued.pid",
	    .user = user,
	    .descriptors = 16384,
	    .run = queued_run,
	};

	return service_main(argc, argv, &about);
}
