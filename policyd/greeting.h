/*
 * greeting: which of the reply lines that smtp(8) reads is the first of a server's greeting? Pure.
 *
 * smtp_reply_filter (postconf(5)) asks about each line by itself, whatever command it answers, and
 * nothing says that a session has ended. The first line of a connection greets, whatever its code:
 * smtp(8) goes on with any 2xx. Later, 220 is the code of a greeting and of STARTTLS' "go ahead"
 * (RFC 5321, 4.2; RFC 3207, 4). So the lines are followed: behind the reply to EHLO that offers
 * STARTTLS a 220 answers that command, unless it begins as a greeting does, with the name of a host
 * (a connection may break there, and the next host greet); anywhere else it greets.
 */
#ifndef MXHOLD_POLICYD_GREETING_H
#define MXHOLD_POLICYD_GREETING_H

#include <stdbool.h>
#include <stddef.h>

enum greeting_place {
	GREETING_AWAITED, /* of a session nothing was said yet */
	GREETING_INSIDE,  /* its first line was not its last */
	GREETING_PAST,    /* EHLO is being answered, also once more behind STARTTLS */
	GREETING_OFFERED, /* it was, with STARTTLS */
	GREETING_SESSION, /* whatever comes then */
};

struct greeting { /* zeroed: a session begins */
	enum greeting_place place;
	bool offers; /* a line of the reply to EHLO offered STARTTLS */
};

/*
 * Takes in the next line, without its end. True: it is the first line of a greeting. One that ends
 * the session by itself (4xx, 5xx) is none.
 */
bool greeting_note(struct greeting *greeting, const char *line, size_t length)
    __attribute__((warn_unused_result));

#endif
