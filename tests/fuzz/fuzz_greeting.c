/*
 * Fuzzes policyd/greeting with the lines of sessions: a 220 greets unless STARTTLS was offered in
 * the line's own session or a greeting goes on, and nothing else ever greets.
 */
#include "policyd/greeting.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool
is_220(const char *line, size_t length)
{
	return length >= 3 && memcmp(line, "220", 3) == 0 &&
	       (length == 3 || line[3] == ' ' || line[3] == '-');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct greeting greeting = {.place = GREETING_AWAITED};
	const char *text = (const char *)data, *end = text + size;
	bool any = false;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const size_t length = (size_t)((newline != NULL ? newline : end) - text);
		const enum greeting_place before = greeting.place;
		const bool first = greeting_note(&greeting, text, length);

		FUZZ_HOLDS(before == GREETING_AWAITED || !first ||
			   (is_220(text, length) && before != GREETING_INSIDE));
		FUZZ_HOLDS(before != GREETING_AWAITED || first || text[0] == '4' || text[0] == '5');
		FUZZ_HOLDS(first || !is_220(text, length) || before == GREETING_INSIDE ||
			   before == GREETING_OFFERED);
		FUZZ_HOLDS(greeting.place != GREETING_OFFERED || before == GREETING_PAST ||
			   before == GREETING_OFFERED);
		any = any || first;
		text += length + (newline != NULL);
	}
	fuzz_outcome(any);
	return 0;
}
