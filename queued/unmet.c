/*
 * unmet: see unmet.h. In: attempts and time. Out: is the probe's word contradicted, and by what?
 */
#include "queued/unmet.h"

#include <string.h>

void
unmet_clear(struct unmet *unmet)
{
	*unmet = (struct unmet){.words = ""};
}

/*
 * Postfix's own codes where it did not come past the pin: 4.7.5 (certificate, handshake, banner),
 * 4.7.4 (TLS is required, and was not offered or is not there).
 */
static bool
is_of_pin(const struct event_attempt *attempt)
{
	return strcmp(attempt->enhanced, "4.7.5") == 0 || strcmp(attempt->enhanced, "4.7.4") == 0;
}

/* "lost connection", "timed out": a dialogue that broke, perhaps for that one message. */
static bool
is_broken_off(const struct event_attempt *attempt)
{
	return strcmp(attempt->enhanced, "4.4.2") == 0;
}

static void
copy_words(char out[UNMET_WORDS_SIZE], const char *words)
{
	size_t used = 0;

	for (; *words != '\0' && used + 1 < UNMET_WORDS_SIZE; words++)
		out[used++] = *words >= ' ' && *words <= '~' ? *words : '?';
	out[used] = '\0';
}

static void
run_add(struct unmet_run *run, struct queued_time now)
{
	if (run->times == 0)
		*run = (struct unmet_run){.first_ms = now.ms, .since = now.wall};
	if (run->times < UNMET_TIMES)
		run->times++;
	run->last_ms = now.ms;
}

static bool
run_tells(const struct unmet_run *run, int64_t least_ms)
{
	return run->times >= UNMET_TIMES && run->last_ms - run->first_ms >= least_ms;
}

void
unmet_attempt(
    struct unmet *unmet, const struct event_attempt *attempt, bool pinned, struct queued_time now)
{
	if (attempt->result == ATTEMPT_HELD)
		return;
	if (attempt->result != ATTEMPT_UNREACHED || attempt->answered) {
		unmet_clear(unmet);
		return;
	}
	if (is_broken_off(attempt))
		return;
	run_add(&unmet->any, now);
	if (pinned && is_of_pin(attempt))
		run_add(&unmet->pin, now);
	else
		unmet->pin = (struct unmet_run){.times = 0};
	copy_words(unmet->words, attempt->reply);
}

enum unmet_kind
unmet_kind(const struct unmet *unmet)
{
	if (run_tells(&unmet->pin, UNMET_PIN_MS))
		return UNMET_PIN;
	return run_tells(&unmet->any, UNMET_MS) ? UNMET_DELIVERY : UNMET_NOT;
}

int64_t
unmet_since(const struct unmet *unmet)
{
	switch (unmet_kind(unmet)) {
	case UNMET_NOT: break;
	case UNMET_PIN: return unmet->pin.since;
	case UNMET_DELIVERY: return unmet->any.since;
	}
	return 0;
}
