/*
 * Fuzzes queued/maillog. Whatever comes: texts lie within the line, ids are ids, and a recipient
 * or a reply that imitates a line stays what it is (the input is also put into a line, as reply).
 */
#include "queued/maillog.h"

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#define NOW 1793577600

static void
check_within(const struct maillog_text *text, const char *line, size_t length)
{
	FUZZ_HOLDS(text->at == NULL || (text->at >= line && text->at <= line + length &&
					   text->length <= (size_t)(line + length - text->at)));
}

static void
check_event(const struct maillog_event *event, const char *line, size_t length)
{
	check_within(&event->tag, line, length);
	check_within(&event->address, line, length);
	check_within(&event->relay, line, length);
	check_within(&event->sender, line, length);
	check_within(&event->client, line, length);
	check_within(&event->reply, line, length);
	FUZZ_HOLDS((event->kind == MAILLOG_NONE) == (event->queue_id[0] == '\0'));
	FUZZ_HOLDS(
	    strspn(event->queue_id, "0123456789ABCDEFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz") ==
	    strlen(event->queue_id));
	FUZZ_HOLDS(event->code == 0 || (event->code >= 200 && event->code <= 599));
	FUZZ_HOLDS((event->kind != MAILLOG_PASSED && event->kind != MAILLOG_ANSWERED) ||
		   (event->tag.length > 5 &&
		       memcmp(event->tag.at + event->tag.length - 5, "/smtp", 5) == 0));
	if (event->kind != MAILLOG_DELIVERY)
		return;
	FUZZ_HOLDS((event->result == ATTEMPT_SENT) == (event->status == MAILLOG_SENT));
	FUZZ_HOLDS(event->result != ATTEMPT_REFUSED || event->code >= 500);
}

/* A reply says what it likes: recipient, relay and status stay ours. */
static void
check_reply(const char *bytes, size_t size)
{
	char line[4096];
	struct maillog_event event;
	const int length = snprintf(line, sizeof(line),
	    "Nov  1 02:03:04 eu postfix/smtp[9]: 4QkT3z0V1Wz5s: to=<a@b.example>, "
	    "relay=m[203.0.113.5]:25, "
	    "delay=1, delays=1/0/0/0, dsn=4.2.0, status=deferred (host m[203.0.113.5] said: 450 "
	    "%.*s "
	    "(in reply to RCPT TO command))",
	    (int)(size < 3000 ? size : 3000), bytes);

	FUZZ_HOLDS(maillog_line(line, (size_t)length, NOW, &event));
	FUZZ_HOLDS(event.kind == MAILLOG_DELIVERY && event.result == ATTEMPT_DEFERRED);
	FUZZ_HOLDS(event.stage == MAILLOG_STAGE_RCPT && event.code == 450);
	FUZZ_HOLDS(event.address.length == 11 && event.relay.length == 17);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data;
	struct maillog_event event;

	(void)maillog_line(line, size, NOW, &event);
	check_event(&event, line, size);
	const bool understood = event.kind != MAILLOG_NONE;
	if (memchr(line, '\0', size) == NULL)
		check_reply(line, size);
	fuzz_outcome(understood);
	return 0;
}
