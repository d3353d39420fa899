/*
 * content: how large is a message, as far as a milter can tell? (mxhold-milter(8), SIZE)
 *
 * Counted are the octets of the message as sent after DATA or BDAT, dot-stuffing undone and without
 * the final dot line, with every line end as CRLF. What the MTA adds itself does not count. Where
 * the MTA does not show what was sent, the count is the smaller of what it may have been.
 */
#ifndef MXHOLD_MILTER_CONTENT_H
#define MXHOLD_MILTER_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_QUEUE_ID_SIZE 33 /* Postfix: at most 20 octets */
#define CONTENT_HOST_SIZE 256

struct content { /* all zero: no octet yet */
	uint64_t header_bytes;
	uint64_t body_bytes;
	uint64_t header_fields;
	/* The last Message-Id field that Postfix may have made itself, and what stood before it. */
	uint64_t bytes_before_id;
	uint64_t fields_before_id;
	char queue_id[CONTENT_QUEUE_ID_SIZE];
	char host[CONTENT_HOST_SIZE];
};

/*
 * One field: its name, and all that follows the colon, the leading blank included
 * (SMFIP_HDR_LEADSPC), lines of a folded one separated by LF or CRLF.
 */
void content_header(struct content *content, const char *name, const char *value);
void content_body(struct content *content, size_t length);
/* At end of message. `queue_id` and `host` are macros `i` and `j`, NULL where they are missing. */
uint64_t content_total(const struct content *content, const char *queue_id, const char *host);

#endif
