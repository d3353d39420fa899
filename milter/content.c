/*
 * content: see content.h. Pure. In: header fields and lengths of body chunks, as Postfix hands them
 * to a milter. Out: the number of octets. It must never count more than was sent in a message that
 * ends its header with an empty line (RFC 5322, 2.1) and its lines with CRLF.
 */
#include "milter/content.h"

#include <string.h>

/* smtpd(8) puts this before a first line that is an mbox separator, so that it is a field. */
#define MAILBOX_FIELD "X-Mailbox-Line"
#define MAILBOX_ADDED (sizeof(MAILBOX_FIELD ": ") - 1)

#define CRLF_LENGTH 2
#define STAMP_LENGTH 14 /* YYYYMMDDhhmmss */

/* Octets of a value with its line ends as CRLF, the last one included. */
static uint64_t
value_length(const char *value)
{
	uint64_t length = CRLF_LENGTH;
	char before = '\0';

	for (; *value != '\0'; before = *value++) {
		if (*value == '\n' && before != '\r')
			length++;
		length++;
	}
	return length;
}

static bool
is_mailbox_line(const struct content *content, const char *name, const char *value)
{
	if (content->header_fields != 0 || strcmp(name, MAILBOX_FIELD) != 0 || value[0] != ' ')
		return false;
	value++;
	value += strspn(value, ">");
	return strncmp(value, "From ", 5) == 0;
}

/* Copies `length` bytes of text, when they fit and there are any. */
static bool
copy_part(char *out, size_t size, const char *text, size_t length)
{
	if (length == 0 || length >= size)
		return false;
	memcpy(out, text, length);
	out[length] = '\0';
	return true;
}

/*
 * For clients in local_header_rewrite_clients (the host itself), cleanup(8) completes a header at
 * its end: `Message-Id: <YYYYMMDDhhmmss.QUEUEID@HOST>`, Date, From. The queue id is not known yet
 * when the field is seen; nobody else could have known it either.
 */
static void
note_message_id(struct content *content, const char *name, const char *value)
{
	const char *end = strchr(value, '>');
	const char *at = strchr(value, '@');
	const size_t start = 2 + STAMP_LENGTH + 1; /* " <", the time, "." */

	if (strcmp(name, "Message-Id") != 0 || strncmp(value, " <", 2) != 0)
		return;
	if (strspn(value + 2, "0123456789") != STAMP_LENGTH || value[start - 1] != '.')
		return;
	if (at == NULL || end == NULL || at < value + start || end < at || end[1] != '\0')
		return;
	if (!copy_part(content->queue_id, sizeof(content->queue_id), value + start,
		(size_t)(at - (value + start))) ||
	    !copy_part(content->host, sizeof(content->host), at + 1, (size_t)(end - at) - 1)) {
		content->queue_id[0] = '\0';
		return;
	}
	content->bytes_before_id = content->header_bytes;
	content->fields_before_id = content->header_fields;
}

void
content_header(struct content *content, const char *name, const char *value)
{
	uint64_t length = strlen(name) + 1 + value_length(value);

	if (is_mailbox_line(content, name, value))
		length -= MAILBOX_ADDED;
	note_message_id(content, name, value);
	content->header_bytes += length;
	content->header_fields++;
}

void
content_body(struct content *content, size_t length)
{
	content->body_bytes += length;
}

static bool
header_was_completed(const struct content *content, const char *queue_id, const char *host)
{
	return content->queue_id[0] != '\0' && queue_id != NULL && host != NULL &&
	       strcmp(content->queue_id, queue_id) == 0 && strcmp(content->host, host) == 0;
}

uint64_t
content_total(const struct content *content, const char *queue_id, const char *host)
{
	bool completed = header_was_completed(content, queue_id, host);
	uint64_t header = completed ? content->bytes_before_id : content->header_bytes;
	uint64_t fields = completed ? content->fields_before_id : content->header_fields;

	/* Without a field, or without a body, the empty line may be there or not. */
	if (fields != 0 && content->body_bytes != 0)
		header += CRLF_LENGTH;
	return header + content->body_bytes;
}
