/*
 * helper_request: what mxhold-queued and mxhold-helper say to each other, one line each way, over
 * SOCKET_DIR/helper. Pure; both sides check all of it.
 *
 *   delete ID WHY BY | hold ID WHY BY | release ID WHY BY | ping
 *   ok | gone | failed TEXT
 *
 * ID is a queue id: 6 to 20 letters and digits, so never "ALL"; WHY is a word in small letters; BY
 * is who wants it, without blanks.
 */
#ifndef MXHOLD_CORE_HELPER_REQUEST_H
#define MXHOLD_CORE_HELPER_REQUEST_H

#include "core/journal.h"

#define HELPER_SOCKET "helper"
#define HELPER_LINE_MAX 160 /* of a request, with its line feed */
#define HELPER_ANSWER_MAX 256
#define HELPER_WHY_SIZE 33
#define HELPER_BY_SIZE 65

enum helper_verb { HELPER_PING, HELPER_DELETE, HELPER_HOLD, HELPER_RELEASE, HELPER_VERBS };
const char *helper_verb_name(enum helper_verb verb);

struct helper_request {
	enum helper_verb verb;
	char queue_id[JOURNAL_ID_SIZE];
	char why[HELPER_WHY_SIZE];
	char by[HELPER_BY_SIZE];
};

enum helper_answer {
	HELPER_DONE,
	HELPER_GONE, /* no such message, or nothing to do (held already, not on hold) */
	HELPER_FAILED,
	HELPER_UNSURE, /* never said: it was asked, and no answer came; it may have done it */
};

/* Is it one that postsuper(1) may be given? */
bool helper_queue_id(const char *id, size_t length);
/* `line` without its line feed. False: no request. */
bool helper_request_parse(const char *line, size_t length, struct helper_request *out)
    __attribute__((warn_unused_result));
/*
 * With its line feed and a NUL. What may not stand in `by` becomes '_'; a `by` or `why` that is
 * empty becomes "-" or "none". Returns the length; 0: the id is none, or `why` no word.
 */
size_t helper_request_print(const struct helper_request *request, char out[HELPER_LINE_MAX + 1])
    __attribute__((warn_unused_result));
/* `text` is "" but after FAILED; control characters and what does not fit are left out. */
bool helper_answer_parse(const char *line, size_t length, enum helper_answer *answer,
    char text[HELPER_ANSWER_MAX]) __attribute__((warn_unused_result));

#endif
