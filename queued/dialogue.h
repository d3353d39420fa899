/*
 * dialogue: the words of a probe (RFC 5321, RFC 3207): banner, EHLO (HELO where it is refused),
 * STARTTLS where a delivery would use it, EHLO, QUIT. Never an envelope. Bytes in, bytes out; pure.
 *
 * Whatever comes is bounded: a line beyond 2,048 bytes is cut, a reply has at most 256 lines and 64
 * KiB. Words of the other side end up, cut and made printable, in the finding.
 */
#ifndef MXHOLD_QUEUED_DIALOGUE_H
#define MXHOLD_QUEUED_DIALOGUE_H

#include "queued/primary.h"

#define DIALOGUE_LINE 2048
#define DIALOGUE_REPLY_LINES 256
#define DIALOGUE_REPLY_BYTES 65536
#define DIALOGUE_HELO 256

struct dialogue_setup {
	const char *helo;        /* name to say in EHLO */
	bool tls_required;       /* delivery needs TLS (row.tls_required) */
	const char *pin_banner;  /* "": none */
	bool pinned_certificate; /* the caller compares it after the handshake */
};

enum dialogue_stage {
	DIALOGUE_CONNECT,
	DIALOGUE_BANNER,
	DIALOGUE_EHLO,
	DIALOGUE_HELO_STAGE,
	DIALOGUE_STARTTLS,
	DIALOGUE_HANDSHAKE, /* the caller does it, then calls dialogue_tls_done() */
	DIALOGUE_EHLO_TLS,
	DIALOGUE_QUIT,
	DIALOGUE_DONE,
	DIALOGUE_STAGES,
};
const char *dialogue_stage_name(enum dialogue_stage stage);

struct dialogue {
	enum dialogue_stage stage;
	struct probe_finding finding; /* true once the stage is QUIT or DONE */
	char helo[DIALOGUE_HELO];
	char pin_banner[PIN_SIZE];
	bool tls_required, pinned_certificate;
	/* of the reply that is being read */
	char line[DIALOGUE_LINE];
	size_t length; /* of the line; above DIALOGUE_LINE: it is cut */
	unsigned code, lines;
	size_t bytes;
	bool starttls;             /* offered */
	char first[DIALOGUE_LINE]; /* first line of the reply, without its code */
	/* what to send */
	char out[DIALOGUE_HELO + 32];
	size_t out_length;
};

void dialogue_init(struct dialogue *dialogue, const struct dialogue_setup *setup);
/* The connection is made. */
void dialogue_connected(struct dialogue *dialogue);
/*
 * Bytes from the other side. Returns how many were taken: it stops where there is something to
 * send first (the caller sends `out` and sets out_length to 0), and where nobody listens (DONE; or
 * HANDSHAKE: what is left is dropped, it was not said within TLS).
 */
size_t dialogue_feed(struct dialogue *dialogue, const char *bytes, size_t length);
/* The handshake: worked; failed (`problem`); or showed another certificate than the pinned one. */
enum dialogue_tls { DIALOGUE_TLS_GOOD, DIALOGUE_TLS_FAILED, DIALOGUE_TLS_STRANGER };
void dialogue_tls_done(struct dialogue *dialogue, enum dialogue_tls result, const char *problem);
/* The connection could not be made, was lost, or there was no answer in time. */
void dialogue_lost(struct dialogue *dialogue, const char *problem);
/* Our own trouble, before anything was said. */
void dialogue_cannot_tell(struct dialogue *dialogue, const char *problem);

#endif
