/*
 * Fuzzes queued/dialogue: a primary that says whatever it likes. The first byte chooses what is
 * required of it. It always ends, within bounds; it never says anything but its five commands; and
 * what it reports is printable.
 */
#include "queued/dialogue.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool
is_command(const struct dialogue *dialogue)
{
	static const char *const commands[] = {
	    "EHLO relay.example\r\n", "HELO relay.example\r\n", "STARTTLS\r\n", "QUIT\r\n"};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (dialogue->out_length == strlen(commands[i]) &&
		    memcmp(dialogue->out, commands[i], dialogue->out_length) == 0)
			return true;
	}
	return false;
}

static void
play(struct dialogue *dialogue, const char *bytes, size_t size, enum dialogue_tls tls)
{
	size_t at = 0, commands = 0;

	while (at < size && dialogue->stage != DIALOGUE_DONE) {
		if (dialogue->stage == DIALOGUE_HANDSHAKE) {
			dialogue_tls_done(dialogue, tls, "problem");
		} else {
			size_t taken = dialogue_feed(dialogue, bytes + at, size - at);
			FUZZ_HOLDS(taken > 0 || dialogue->stage == DIALOGUE_HANDSHAKE);
			at += taken;
		}
		if (dialogue->out_length == 0)
			continue;
		FUZZ_HOLDS(is_command(dialogue));
		FUZZ_HOLDS(++commands <= 5);
		dialogue->out_length = 0;
	}
	dialogue_lost(dialogue, "lost");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dialogue dialogue;

	if (size == 0)
		return 0;
	const struct dialogue_setup setup = {.helo = "relay.example",
	    .tls_required = (data[0] & 1) != 0,
	    .pinned_certificate = (data[0] & 2) != 0,
	    .pin_banner = (data[0] & 4) != 0 ? "mail" : ""};
	dialogue_init(&dialogue, &setup);
	dialogue_connected(&dialogue);
	play(&dialogue, (const char *)data + 1, size - 1, (enum dialogue_tls)((data[0] >> 3) % 3));
	FUZZ_HOLDS(dialogue.stage == DIALOGUE_DONE);
	FUZZ_HOLDS(memchr(dialogue.finding.reason, '\0', STATE_TEXT_SIZE) != NULL);
	for (const char *at = dialogue.finding.reason; *at != '\0'; at++)
		FUZZ_HOLDS(*at >= ' ' && *at < 0x7f);
	if ((data[0] & 2) != 0 && dialogue.finding.outcome == PROBE_GOOD)
		FUZZ_HOLDS((data[0] >> 3) % 3 == DIALOGUE_TLS_GOOD);
	fuzz_outcome(dialogue.finding.outcome == PROBE_GOOD);
	return 0;
}
