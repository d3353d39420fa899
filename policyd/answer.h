/*
 * answer: what policyd says to one request of Postfix, as functions of the snapshot and the time.
 *
 * In: the bytes of one whole request. Out: the bytes of the reply, and what the log should know. No
 * descriptor, no clock. Sources: SMTPD_POLICY_README, access(5), socketmap_table(5), transport(5).
 * It must never answer 5xx, "not found" or DUNNO for what could not be told, and never send an
 * empty action.
 */
#ifndef MXHOLD_POLICYD_ANSWER_H
#define MXHOLD_POLICYD_ANSWER_H

#include "core/fence.h"
#include "core/log.h"
#include "core/policy_request.h"
#include "policyd/facts.h"
#include "policyd/pins.h"

#define ANSWER_MAX 4096         /* bytes of the longest reply, with its frame */
#define ANSWER_MAP_KEY_MAX 8192 /* bytes of a map request that we read */
#define ANSWER_NOTE_FIELDS 12
#define ANSWER_NOTE_TEXT 256

struct answer_relay { /* from the configuration */
	struct judge_relay judge;
	struct fence_networks allow;
};

struct answer_view { /* one batch of requests sees one state of the world */
	struct snapshot *snapshot;
	enum snapshot_result begun; /* by snapshot_begin */
	struct judge_time now;
	const struct answer_relay *relay;
	struct facts *facts; /* NULL: nothing is known beside the snapshot */
	struct pins *pins;
};

/*
 * A line for the log. Fields point into the request and into this struct: it is logged before the
 * request's bytes go, and never copied. `describe` adds fields only if the line is written at all.
 */
struct answer_note {
	const char *event; /* NULL: nothing to log */
	int priority;
	void (*describe)(struct answer_note *note); /* NULL: the fields are there */
	struct log_field fields[ANSWER_NOTE_FIELDS + 1];
	size_t count;
	struct judgement judgement;
	struct policy_request request;
	char text[ANSWER_NOTE_TEXT]; /* for a value that would not live long enough */
};

/*
 * Answers one policy request, data[0..length) with its empty line, which is changed in place.
 * Writes at most `size` bytes; returns their number, or 0: close the connection without a reply.
 */
size_t answer_policy(const struct answer_view *view, char *data, size_t length,
    struct answer_note *note, char *out, size_t size) __attribute__((warn_unused_result));

/*
 * Answers one socketmap request, the payload of its netstring, with a netstring. 0: as above.
 * `session` is the connection's, zeroed when it is made.
 */
size_t answer_map(const struct answer_view *view, struct pin_session *session, const char *data,
    size_t length, struct answer_note *note, char *out, size_t size)
    __attribute__((warn_unused_result));

/* Writes a note to the log. */
void answer_note_log(struct answer_note *note);
/* For the two files that make notes. */
void answer_note_begin(struct answer_note *note, int priority, const char *event);
void answer_note_add(struct answer_note *note, struct log_field field);

#endif
