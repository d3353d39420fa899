/*
 * protocol: how each of the two sockets frames its requests, and who answers them. Pure.
 */
#ifndef MXHOLD_POLICYD_PROTOCOL_H
#define MXHOLD_POLICYD_PROTOCOL_H

#include "policyd/answer.h"

enum protocol_frame_result { FRAME_WHOLE, FRAME_MORE, FRAME_BAD };

struct protocol_frame {
	char *payload; /* of the request, in the caller's data */
	size_t length;
	size_t consumed; /* bytes of data, with the frame around the payload */
};

struct protocol {
	const char *name; /* of the socket, and for the log */
	/*
	 * Finds the first request in data[0..length). *resume belongs to that data: 0 at first, and
	 * whenever its start changes. Longer than the protocol allows is BAD, whole or not.
	 */
	enum protocol_frame_result (*frame)(
	    char *data, size_t length, size_t *resume, struct protocol_frame *out);
	/* As in answer.h: the length of the reply, or 0 to close. */
	size_t (*answer)(const struct answer_view *view, struct pin_session *session,
	    const struct protocol_frame *request, struct answer_note *note, char *out, size_t size);
};

enum protocol_kind { PROTOCOL_POLICY, PROTOCOL_MAP, PROTOCOL_KINDS };

/* A constant table. */
const struct protocol *protocol_of(enum protocol_kind kind);

#endif
