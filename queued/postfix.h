/*
 * postfix: what mxhold-queued has to know of the Postfix it watches: where its commands are, by
 * which name, addresses and protocols the transport `mxhold` delivers, and what other instances
 * there are. Asks postconf(1), with a deadline; to be called at the start only.
 */
#ifndef MXHOLD_QUEUED_POSTFIX_H
#define MXHOLD_QUEUED_POSTFIX_H

#include "queued/instances.h"
#include "queued/probe.h"

#include <limits.h>
#include <sys/types.h>

struct postfix_settings {
	char postqueue[PATH_MAX];
	char flush_socket[PATH_MAX]; /* of flush(8); "": not known, or not everybody may flush */
	struct probe_sender sender;  /* HELO name, addresses to bind to */
	bool use4, use6;             /* inet_protocols */
};

/*
 * False: postconf could not be asked or knows no such directory; it was logged, and *out holds
 * what is likely (`host`: this relay's name, for HELO).
 */
bool postfix_read(const char *config_dir, const char *host, struct postfix_settings *out);
/*
 * The names by which this instance and the others of the host (postmulti(1)) log. What cannot be
 * learned is missing; with nothing known of this one, or with no other one, *out is empty. Two that
 * cannot be told apart are logged.
 */
void postfix_instances(const char *config_dir, struct instances *out);
/* The group that may talk to Postfix's sockets (that of the setgid postqueue); (gid_t)-1: none. */
gid_t postfix_group(const char *postqueue);

#endif
