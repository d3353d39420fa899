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

/* "2.0.0": an enhanced code (RFC 3463). */
static bool
is_enhanced(const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (word[i] != '.' && (word[i] < '0' || word[i] > '9'))
			return false;
	return true;
}

/* RFC 5321, 4.2: a greeting begins with the server's name, or an address literal. */
static bool
names_a_host(const char *line, size_t length)
{
	const char *word = line + CODE + 1;
	const char *blank;

	if (length <= CODE + 1)
		return false;
	length -= CODE + 1;
	blank = memchr(word, ' ', length);
	if (blank != NULL)
		length = (size_t)(blank - word);
	if (length == 0)
		return false;
	return word[0] == '[' ||
	       (memchr(word, '.', length - 1) != NULL && !is_enhanced(word, length));
}

/* The first line of all: only one that ends the session may be anybody's. */
static bool
note_first(struct greeting *greeting, const char *line, size_t length)
{
	const bool last = is_last(line, length);

	if (last && length >= CODE && (line[0] == '4' || line[0] == '5'))
		return false;
	greeting->place = last ? GREETING_PAST : GREETING_INSIDE;
	return true;
}

static bool
note_220(struct greeting *greeting, const char *line, size_t length)
{
	const bool last = is_last(line, length);
	const bool first = greeting->place != GREETING_INSIDE &&
			   (greeting->place != GREETING_OFFERED || names_a_host(line, length));

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
	if (greeting->place == GREETING_AWAITED)
		return note_first(greeting, line, length);
	if (has_code(line, length, "220"))
		return note_220(greeting, line, length);
	switch (greeting->place) {
	case GREETING_INSIDE:
		if (is_last(line, length))
			greeting->place = GREETING_PAST;
		break;
	case GREETING_PAST: note_ehlo(greeting, line, length); break;
	case GREETING_OFFERED:
	case GREETING_SESSION: greeting->place = GREETING_SESSION; break;
	case GREETING_AWAITED: break;
	}
	return false;
}
