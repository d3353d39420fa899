/*
 * dialogue: see dialogue.h. dialogue_enter() is the one place where the stage changes. A table says
 * what is sent when a stage begins.
 */
#include "queued/dialogue.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *
dialogue_stage_name(enum dialogue_stage stage)
{
	static const char *const names[DIALOGUE_STAGES] = {
	    [DIALOGUE_CONNECT] = "connect",
	    [DIALOGUE_BANNER] = "banner",
	    [DIALOGUE_EHLO] = "EHLO",
	    [DIALOGUE_HELO_STAGE] = "HELO",
	    [DIALOGUE_STARTTLS] = "STARTTLS",
	    [DIALOGUE_HANDSHAKE] = "TLS handshake",
	    [DIALOGUE_EHLO_TLS] = "EHLO",
	    [DIALOGUE_QUIT] = "QUIT",
	    [DIALOGUE_DONE] = "done",
	};

	return names[stage];
}

/* --- stages --------------------------------------------------------------------------------------
 */

static void
reply_reset(struct dialogue *dialogue)
{
	dialogue->length = 0;
	dialogue->code = 0;
	dialogue->lines = 0;
	dialogue->bytes = 0;
	dialogue->first[0] = '\0';
}

static void
dialogue_enter(struct dialogue *dialogue, enum dialogue_stage stage)
{
	static const struct {
		const char *verb;
		bool with_name;
	} says[DIALOGUE_STAGES] = {
	    [DIALOGUE_EHLO] = {"EHLO", true},
	    [DIALOGUE_HELO_STAGE] = {"HELO", true},
	    [DIALOGUE_STARTTLS] = {"STARTTLS", false},
	    [DIALOGUE_EHLO_TLS] = {"EHLO", true},
	    [DIALOGUE_QUIT] = {"QUIT", false},
	};

	dialogue->stage = stage;
	reply_reset(dialogue);
	if (says[stage].verb == NULL)
		return;
	int n = snprintf(dialogue->out, sizeof(dialogue->out), "%s%s%s\r\n", says[stage].verb,
	    says[stage].with_name ? " " : "", says[stage].with_name ? dialogue->helo : "");
	dialogue->out_length = n > 0 && (size_t)n < sizeof(dialogue->out) ? (size_t)n : 0;
}

/* Copies words of the other side: printable ASCII, one line. */
static void
copy_words(char *out, size_t size, const char *words)
{
	size_t used = 0;

	for (; *words != '\0' && used + 1 < size; words++) {
		unsigned char byte = (unsigned char)*words;
		out[used++] = byte >= ' ' && byte < 0x7f ? (char)byte : '?';
	}
	out[used] = '\0';
}

/* Sets the finding; the stage it happened at is part of the reason. */
static void
find(struct dialogue *dialogue, enum probe_outcome outcome, unsigned code, const char *problem,
    const char *words)
{
	struct probe_finding *finding = &dialogue->finding;
	char printable[160];

	copy_words(printable, sizeof(printable), words);
	finding->outcome = outcome;
	finding->code = code;
	(void)snprintf(finding->reason, sizeof(finding->reason), "%s: %s%s%s",
	    dialogue_stage_name(dialogue->stage), problem,
	    problem[0] != '\0' && words[0] != '\0' ? ": " : "", printable);
}

/* A bad end: good manners all the same where the other side still talks SMTP. */
static void
end_bad(
    struct dialogue *dialogue, enum probe_outcome outcome, const char *problem, const char *words)
{
	bool talks = dialogue->code >= 200 && dialogue->stage != DIALOGUE_QUIT;

	if (dialogue->stage != DIALOGUE_QUIT)
		find(dialogue, outcome, dialogue->code, problem, words);
	dialogue_enter(dialogue, talks ? DIALOGUE_QUIT : DIALOGUE_DONE);
}

static void
end_good(struct dialogue *dialogue, const char *note)
{
	dialogue->finding = (struct probe_finding){.outcome = PROBE_GOOD, .code = 250};
	(void)snprintf(dialogue->finding.reason, sizeof(dialogue->finding.reason), "%s", note);
	dialogue_enter(dialogue, DIALOGUE_QUIT);
}

/* 4xx or 5xx, or a code that this stage does not have. */
static void
end_refused(struct dialogue *dialogue)
{
	char words[DIALOGUE_LINE + 8];
	unsigned code = dialogue->code;

	(void)snprintf(words, sizeof(words), "%u %s", code, dialogue->first);
	end_bad(dialogue, code >= 400 && code < 500 ? PROBE_BUSY : PROBE_BROKEN, "", words);
}

/* --- replies -------------------------------------------------------------------------------------
 */

static bool
reply_good(const struct dialogue *dialogue)
{
	return dialogue->code >= 200 && dialogue->code < 300;
}

static void
take_banner(struct dialogue *dialogue)
{
	const char *pin = dialogue->pin_banner;

	if (!reply_good(dialogue))
		end_refused(dialogue);
	else if (pin[0] != '\0' && strncmp(dialogue->first, pin, strlen(pin)) != 0)
		end_bad(dialogue, PROBE_WRONG_HOST, "not the pinned banner", dialogue->first);
	else
		dialogue_enter(dialogue, DIALOGUE_EHLO);
}

/* Behind the greeting in plain text. */
static void
after_greeting(struct dialogue *dialogue, bool starttls)
{
	if (starttls)
		dialogue_enter(dialogue, DIALOGUE_STARTTLS);
	else if (dialogue->pinned_certificate)
		end_bad(dialogue, PROBE_WRONG_HOST,
		    "its certificate is pinned, and it offers no STARTTLS", "");
	else if (dialogue->tls_required)
		end_bad(dialogue, PROBE_BROKEN, "TLS is required, and it offers no STARTTLS", "");
	else
		end_good(dialogue, "");
}

static void
take_ehlo(struct dialogue *dialogue)
{
	if (reply_good(dialogue))
		after_greeting(dialogue, dialogue->starttls);
	else if (dialogue->code >= 500)
		dialogue_enter(dialogue, DIALOGUE_HELO_STAGE);
	else
		end_refused(dialogue);
}

static void
take_helo(struct dialogue *dialogue)
{
	if (reply_good(dialogue))
		after_greeting(dialogue, false);
	else
		end_refused(dialogue);
}

/* Deliveries with optional TLS go on without it. */
static void
take_starttls(struct dialogue *dialogue)
{
	if (dialogue->code == 220)
		dialogue_enter(dialogue, DIALOGUE_HANDSHAKE);
	else if (dialogue->tls_required || dialogue->pinned_certificate)
		end_refused(dialogue);
	else
		end_good(dialogue, "it offers STARTTLS and refuses it; deliveries go without TLS");
}

static void
take_ehlo_tls(struct dialogue *dialogue)
{
	if (reply_good(dialogue))
		end_good(dialogue, "");
	else
		end_refused(dialogue);
}

static void
take_quit(struct dialogue *dialogue)
{
	dialogue_enter(dialogue, DIALOGUE_DONE);
}

static void
take_reply(struct dialogue *dialogue)
{
	static void (*const takes[DIALOGUE_STAGES])(struct dialogue *) = {
	    [DIALOGUE_BANNER] = take_banner,
	    [DIALOGUE_EHLO] = take_ehlo,
	    [DIALOGUE_HELO_STAGE] = take_helo,
	    [DIALOGUE_STARTTLS] = take_starttls,
	    [DIALOGUE_EHLO_TLS] = take_ehlo_tls,
	    [DIALOGUE_QUIT] = take_quit,
	};

	if (dialogue->code == 421 && dialogue->stage != DIALOGUE_QUIT)
		end_refused(dialogue);
	else
		takes[dialogue->stage](dialogue);
}

/* --- lines ---------------------------------------------------------------------------------------
 */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Code of the line, 0: it has none. */
static unsigned
line_code(const char *line, size_t length)
{
	if (length < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) ||
	    !is_digit(line[2]) || (length > 3 && line[3] != ' ' && line[3] != '-'))
		return 0;
	return (unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 +
	       (unsigned)(line[2] - '0');
}

static void
note_keyword(struct dialogue *dialogue, const char *text)
{
	if (dialogue->stage == DIALOGUE_EHLO && strncasecmp(text, "STARTTLS", 8) == 0 &&
	    (text[8] == '\0' || text[8] == ' '))
		dialogue->starttls = true;
}

static void
end_endless(struct dialogue *dialogue)
{
	dialogue->code = 0;
	end_bad(dialogue, PROBE_BROKEN, "a reply without end", "");
}

static void
take_line(struct dialogue *dialogue)
{
	size_t length =
	    dialogue->length < DIALOGUE_LINE ? dialogue->length : (size_t)DIALOGUE_LINE - 1;
	char *line = dialogue->line;

	while (length > 0 && line[length - 1] == '\r')
		length--;
	line[length] = '\0';
	dialogue->length = 0;
	dialogue->lines++;
	unsigned code = line_code(line, length);
	const char *text = length > 4 ? line + 4 : "";
	if (code == 0) {
		dialogue->code = 0;
		end_bad(dialogue, PROBE_BROKEN, "this is not SMTP", line);
		return;
	}
	dialogue->code = code; /* RFC 5321 4.2.1: the last line's counts, if they differ */
	if (dialogue->lines == 1)
		(void)snprintf(dialogue->first, sizeof(dialogue->first), "%s", text);
	else
		note_keyword(dialogue, text);
	if (length <= 3 || line[3] == ' ')
		take_reply(dialogue);
	else if (dialogue->lines >= DIALOGUE_REPLY_LINES)
		end_endless(dialogue);
}

static bool
listens(const struct dialogue *dialogue)
{
	return dialogue->stage != DIALOGUE_DONE && dialogue->stage != DIALOGUE_HANDSHAKE &&
	       dialogue->stage != DIALOGUE_CONNECT;
}

size_t
dialogue_feed(struct dialogue *dialogue, const char *bytes, size_t length)
{
	size_t i = 0;

	while (i < length && listens(dialogue) && dialogue->out_length == 0) {
		char byte = bytes[i++];
		if (byte == '\n') {
			take_line(dialogue);
			continue;
		}
		if (dialogue->length < DIALOGUE_LINE - 1)
			dialogue->line[dialogue->length++] = byte != '\0' ? byte : '?';
		if (++dialogue->bytes >= DIALOGUE_REPLY_BYTES)
			end_endless(dialogue);
	}
	return i;
}

/* --- what the caller tells -----------------------------------------------------------------------
 */

void
dialogue_init(struct dialogue *dialogue, const struct dialogue_setup *setup)
{
	memset(dialogue, 0, sizeof(*dialogue));
	dialogue->stage = DIALOGUE_CONNECT;
	dialogue->tls_required = setup->tls_required;
	dialogue->pinned_certificate = setup->pinned_certificate;
	(void)snprintf(dialogue->helo, sizeof(dialogue->helo), "%s", setup->helo);
	(void)snprintf(dialogue->pin_banner, sizeof(dialogue->pin_banner), "%s", setup->pin_banner);
}

void
dialogue_connected(struct dialogue *dialogue)
{
	if (dialogue->stage == DIALOGUE_CONNECT)
		dialogue_enter(dialogue, DIALOGUE_BANNER);
}

void
dialogue_tls_done(struct dialogue *dialogue, enum dialogue_tls result, const char *problem)
{
	if (dialogue->stage != DIALOGUE_HANDSHAKE)
		return;
	if (result == DIALOGUE_TLS_GOOD) {
		dialogue_enter(dialogue, DIALOGUE_EHLO_TLS);
		return;
	}
	if (result == DIALOGUE_TLS_STRANGER)
		find(dialogue, PROBE_WRONG_HOST, 0, "not the pinned certificate", problem);
	else if (dialogue->pinned_certificate)
		find(dialogue, PROBE_WRONG_HOST, 0, "its certificate is pinned, and TLS fails",
		    problem);
	else if (dialogue->tls_required)
		find(dialogue, PROBE_BROKEN, 0, "TLS is required, and fails", problem);
	else
		find(dialogue, PROBE_GOOD, 250, "it fails; deliveries go without TLS", problem);
	dialogue_enter(dialogue, DIALOGUE_DONE);
}

void
dialogue_lost(struct dialogue *dialogue, const char *problem)
{
	if (dialogue->stage == DIALOGUE_DONE)
		return;
	if (dialogue->stage != DIALOGUE_QUIT)
		find(dialogue, PROBE_DOWN, 0, problem, "");
	dialogue_enter(dialogue, DIALOGUE_DONE);
}

void
dialogue_cannot_tell(struct dialogue *dialogue, const char *problem)
{
	if (dialogue->stage == DIALOGUE_DONE || dialogue->stage == DIALOGUE_QUIT)
		return;
	find(dialogue, PROBE_CANNOT_TELL, 0, problem, "");
	dialogue_enter(dialogue, DIALOGUE_DONE);
}
