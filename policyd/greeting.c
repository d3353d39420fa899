/*
 * greeting: see greeting.h. It looks at codes, at what stands behind them, and at one keyword.
 */
#include "policyd/greeting.h"

#include <string.h>
#include <strings.h>

#define CODE 3 /* digits; behind them '-', or a blank where it is the last line of a reply */

static bool
has_code(const char *line, size_t length, const char *code)
{
	return length >= CODE && memcmp(line, code, CODE) == 0 &&
	       (length == CODE || line[CODE] == ' ' || line[CODE] == '-');
}

static bool
is_last(const char *line, size_t length)
{
	return length <= CODE || line[CODE] != '-';
}

static bool
offers_starttls(const char *line, size_t length)
{
	static const char keyword[] = "STARTTLS";
	const size_t whole = CODE + 1 + strlen(keyword);

	return length >= whole && strncasecmp(line + CODE + 1, keyword, strlen(keyword)) == 0 &&
	       (length == whole || line[whole] == ' ');
}

/* A line of the reply to EHLO; one that is refused is followed by HELO. */
static void
note_ehlo(struct greeting *greeting, const char *line, size_t length)
{
	const bool taken = has_code(line, length, "250");

	greeting->offers = greeting->offers || (taken && offers_starttls(line, length));
	if (taken && is_last(line, length))
		greeting->place = greeting->offers ? GREETING_OFFERED : GREETING_SESSION;
}

static bool
note_220(struct greeting *greeting, bool last)
{
	const bool first =
	    greeting->place != GREETING_INSIDE && greeting->place != GREETING_OFFERED;

	greeting->offers = false;
	if (last)
		greeting->place = GREETING_PAST;
	else if (first)
		greeting->place = GREETING_INSIDE;
	return first;
}

bool
greeting_note(struct greeting *greeting, const char *line, size_t length)
{
	if (has_code(line, length, "220"))
		return note_220(greeting, is_last(line, length));
	switch (greeting->place) {
	case GREETING_AWAITED: break; /* one that does not greet is not gone on with */
	case GREETING_PAST: note_ehlo(greeting, line, length); break;
	case GREETING_INSIDE:
	case GREETING_OFFERED:
	case GREETING_SESSION: greeting->place = GREETING_SESSION; break;
	}
	return false;
}
