/*
 * maillog: what one line of Postfix's log (3.5 to 3.10) says. Pure: bytes and `now` in, an event
 * out.
 *
 * A line is read from left to right by its structure: time, host, tag, queue id, then fields in
 * Postfix's order. Recipients, senders and replies are other people's text: a quoted local part is
 * skipped as RFC 5322 quotes it, and what stands in the brackets behind `status=` is never searched
 * for fields. (Postfix must log addresses in their external form: info_log_addr_form, its default.)
 * What is not understood is no event, never a guess.
 */
#ifndef MXHOLD_QUEUED_MAILLOG_H
#define MXHOLD_QUEUED_MAILLOG_H

#include "core/journal.h"
#include "queued/events.h"

struct maillog_text { /* a part of the line; NULL, 0: absent */
	const char *at;
	size_t length;
};

enum maillog_kind {
	MAILLOG_NONE,
	MAILLOG_CLIENT,    /* smtpd, qmqpd: who sent it: address */
	MAILLOG_LOCAL,     /* pickup: from this host */
	MAILLOG_FROM,      /* qmgr: address (sender), size, recipients */
	MAILLOG_DELIVERY,  /* address (recipient), ... */
	MAILLOG_PASSED,    /* smtp: a stranger, who is passed by for the next server */
	MAILLOG_ANSWERED,  /* smtp: a server's reply to MAIL or later, before it goes on to the next
			    */
	MAILLOG_EXPIRED,   /* qmgr: too old, all recipients that are left */
	MAILLOG_REMOVED,   /* qmgr: its file is gone */
	MAILLOG_REJECTED,  /* cleanup: it never came into the queue; its sender was told */
	MAILLOG_DISCARDED, /* cleanup: it never came into the queue; thrown away after its
			      250: address (its last recipient), sender, client */
	MAILLOG_SUPER_REMOVED,  /* postsuper -d */
	MAILLOG_SUPER_REQUEUED, /* postsuper -r: it goes on under another id */
	MAILLOG_SUPER_HELD,
	MAILLOG_SUPER_RELEASED,
	MAILLOG_KINDS,
};
const char *maillog_kind_name(enum maillog_kind kind); /* "delivery", ... */

enum maillog_status { MAILLOG_SENT, MAILLOG_DEFERRED, MAILLOG_BOUNCED };

/* Where in the SMTP dialogue the primary said it. */
enum maillog_stage {
	MAILLOG_STAGE_NONE,     /* no reply of a primary */
	MAILLOG_STAGE_GREETING, /* it refuses to talk: banner, EHLO */
	MAILLOG_STAGE_MAIL,
	MAILLOG_STAGE_RCPT,
	MAILLOG_STAGE_DATA,
	MAILLOG_STAGE_END, /* of the content */
	MAILLOG_STAGE_OTHER,
};
const char *maillog_stage_name(enum maillog_stage stage); /* "rcpt", ... */

struct maillog_event {
	enum maillog_kind kind;
	int64_t at;              /* microseconds since the epoch */
	struct maillog_text tag; /* who says it: "postfix/smtp" */
	char queue_id[JOURNAL_ID_SIZE];
	char former_id[JOURNAL_ID_SIZE]; /* of a local one that postsuper -r made of another; "" */
	struct maillog_text address;     /* client, sender or recipient, without <> */
	struct maillog_text sender, client; /* of one that was thrown away */
	uint64_t size;                      /* of a sender's line */
	uint32_t recipients;
	/* of a delivery */
	int64_t delay;             /* since the message's arrival, microseconds */
	struct maillog_text relay; /* host[address]:port; "none", "local", ... */
	enum maillog_status status;
	enum attempt_result result; /* what it was for the primary */
	bool suspended;             /* no attempt: qmgr told of an earlier one */
	struct maillog_text reply;  /* the primary's own words, or Postfix's where it said none */
	enum maillog_stage stage;
	unsigned code;     /* of the reply, 0: none */
	char enhanced[16]; /* of the reply; without a reply Postfix's own: "4.4.1" */
};

/*
 * A line as it stands in a file, with or without its line feed. Traditional times have no year:
 * the one that brings it nearest to `now` (seconds since the epoch), at most a day ahead of it, in
 * local time; so are those of the hour that comes twice when summer time ends. Texts point into the
 * line. False: no line with a time and a tag; the event is then NONE.
 */
bool maillog_line(const char *line, size_t length, int64_t now, struct maillog_event *out);

/* The same of parts, as journald keeps them: `tag` is "postfix/smtp". */
void maillog_message(const char *tag, size_t tag_length, const char *message, size_t length,
    int64_t at, struct maillog_event *out);

#endif
