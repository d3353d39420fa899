/*
 * session: the second gate, as the logic of one milter session, without libmilter.
 *
 * In: the events of an SMTP session with plain arguments. Out: for each, whether there is an
 * objection, and with which reply. It asks the rules for each recipient and counts the content;
 * it has no clock, no descriptor and no allocation. It never accepts: no objection is all it says.
 */
#ifndef MXHOLD_MILTER_SESSION_H
#define MXHOLD_MILTER_SESSION_H

#include "core/judge.h"
#include "milter/content.h"

enum session_action {
	SESSION_CONTINUE, /* no objection */
	SESSION_TEMPFAIL, /* 4xx */
	SESSION_REJECT,   /* 5xx */
};

struct session_answer {
	enum session_action action;
	unsigned code;        /* 0 with CONTINUE */
	const char *enhanced; /* static */
	const char *text;     /* static, for the sender */
	const char
	    *reason; /* static, for the log: the rule, or what else decided; "" with CONTINUE */
};

/* Whom a session asks. Both answer at once, and hold nothing afterwards. */
struct session_rules {
	struct judgement (*judge)(void *context, const struct judge_request *request);
	/* Is this a published name of this very relay? False where that cannot be told. */
	bool (*own_name)(void *context, const char *normal_domain);
	void *context;
	bool dedicated; /* [relay] dedicated: every recipient is judged */
};

/*
 * What the recipients of a transaction allow. Content within `smallest` is within everybody's
 * limit; content above `largest` is above everybody's.
 */
struct session_limits {
	uint64_t smallest; /* bytes; UINT64_MAX: no limit of ours */
	uint64_t largest;
	bool defer; /* some row says `oversize = defer` */
};

struct session {
	uint64_t declared_size;   /* UINT64_MAX: not declared */
	unsigned long recipients; /* accepted by us */
	struct session_limits limits;
	struct content content;
};

struct session_recipient {
	const char *argument;       /* of RCPT TO, as sent; NULL where there is none */
	const char *address;        /* macro {rcpt_addr}, in SMTP form; NULL: missing */
	const char *mailer;         /* macro {rcpt_mailer}; NULL: missing */
	const char *host;           /* macro j, the MTA's own name; NULL: missing */
	const char *client_address; /* macro {client_addr}; NULL: missing */
};

/* Forgets the transaction: at MAIL (which does it itself), RSET, and after end of message. */
void session_reset(struct session *session);
/* `parameters`: the ESMTP parameters of MAIL, NULL-terminated. */
void session_mail(struct session *session, char *const *parameters);
struct session_answer session_recipient(struct session *session, const struct session_rules *rules,
    const struct session_recipient *recipient);
/* `queue_id` and `host`: macros i and j, NULL where they are missing. */
struct session_answer session_end_of_message(
    struct session *session, const char *queue_id, const char *host);

#endif
