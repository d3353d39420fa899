/*
 * postfix_live: does it really work? Questions to the sockets as Postfix's user, and to Postfix.
 *
 * Nothing here changes anything but `live_reload`; the dialogue with smtpd ends before DATA. Every
 * wait has a deadline.
 */
#ifndef MXHOLD_CTL_POSTFIX_LIVE_H
#define MXHOLD_CTL_POSTFIX_LIVE_H

#include "ctl/postfix_facts.h"

enum live_result {
	LIVE_GOOD,
	LIVE_NO_SNAPSHOT, /* the daemons answer, but cannot decide yet: all mail would wait */
	LIVE_BAD,
};

struct live {
	const struct pf_facts *facts;
	bool special_allowed; /* [fence] allow holds 0.0.0.0 */
	bool verbose;
	char *why; /* what is wrong; the caller frees */
};

/* Policy, the maps and the milter, by their sockets and by postmap(1). */
enum live_result live_sockets(struct live *live);
/* postconf's warnings, for comparison. NULL: it failed, live->why says how. */
char *live_warnings(struct live *live);
/* postfix check, and no warning of postconf that `before` does not have. */
bool live_configuration(struct live *live, const char *before);
bool live_is_running(const struct live *live);
bool live_reload(struct live *live);
/*
 * A dialogue with the first smtpd of master.cf, up to RCPT; and another, from an address of this
 * host that is not in mynetworks, where there is one: it must not relay for a stranger.
 */
bool live_smtp(struct live *live, bool has_snapshot);

/* Is a reply of smtpd one of a server that cannot decide? Pure. */
bool live_reply_is_broken(const char *reply, bool has_snapshot);

#endif
