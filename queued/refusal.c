/*
 * refusal: what a 5xx means, and when it is believed (see refusal.h). It keeps nothing and knows no
 * clock: all times are the log's.
 */
#include "queued/refusal.h"

#include <ctype.h>
#include <string.h>

#define WORDS_SIZE 512

/* In lower case, without what stands in <>. */
static void
words_of(const char *reply, char out[WORDS_SIZE])
{
	bool address = false;
	size_t used = 0;

	for (; *reply != '\0' && used < WORDS_SIZE - 1; reply++) {
		if (*reply == '<')
			address = true;
		if (!address)
			out[used++] = (char)tolower((unsigned char)*reply);
		if (*reply == '>')
			address = false;
	}
	out[used] = '\0';
}

/* How servers say it who give no, or a vague, enhanced code. Lower case. */
static const char *const unknown_user_words[] = {
    "user unknown",                                   /* Sendmail, Postfix, Cyrus */
    "unknown user",                                   /* Exim, hMailServer */
    "no such user",                                   /* Exim, CommuniGate, MDaemon */
    "unrouteable address",                            /* Exim */
    "unroutable address",                             /* Exim */
    "recipnotfound",                                  /* Exchange: RESOLVER.ADR.RecipNotFound */
    "recipientnotfound",                              /* Exchange: RESOLVER.ADR.RecipientNotFound */
    "recipient not found",                            /* Exchange */
    "account that you tried to reach does not exist", /* Google */
    "user doesn't exist",                             /* Dovecot (LMTP) */
    "user does not exist",                            /* Dovecot, MailEnable */
    "user not found",                                 /* Domino, Mailcow */
    "no mailbox here by that name",                   /* qmail */
    "no such mailbox",                                /* Zimbra, James */
    "mailbox not found",                              /* Kerio, Axigen */
    "mailbox does not exist",                         /* GroupWise */
    "unknown mailbox",
    "unknown recipient", /* Lotus, XMail */
    "recipient unknown", /* MDaemon */
    "no such recipient", /* Courier, SmarterMail */
    "recipient does not exist",
    "address does not exist",
    "unknown address",
    "invalid recipient",
    "invalid mailbox",
    "not a valid mailbox",
    "no such address",
    "account does not exist",
    "not listed in domino directory", /* Domino */
    "user account does not exist",
};

static bool
words_say_unknown(const char *reply)
{
	char words[WORDS_SIZE];

	words_of(reply, words);
	for (size_t i = 0; i < sizeof(unknown_user_words) / sizeof(unknown_user_words[0]); i++)
		if (strstr(words, unknown_user_words[i]) != NULL)
			return true;
	return false;
}

/* RFC 3463: X.1.7 and X.1.8 speak of the sender, X.7 of policy. */
static bool
enhanced_is_about_recipient(const char *enhanced)
{
	if (strcmp(enhanced, "5.1.7") == 0 || strcmp(enhanced, "5.1.8") == 0)
		return false;
	return enhanced[0] == '\0' || strncmp(enhanced, "5.1.", 4) == 0 ||
	       strncmp(enhanced, "5.0.", 4) == 0 || strncmp(enhanced, "5.2.", 4) == 0 ||
	       strncmp(enhanced, "5.4.", 4) == 0 || strncmp(enhanced, "5.5.", 4) == 0;
}

enum refusal_kind
refusal_kind(enum maillog_stage stage, unsigned code, const char *enhanced, const char *reply)
{
	if (stage == MAILLOG_STAGE_GREETING || stage == MAILLOG_STAGE_MAIL || code < 500)
		return REFUSAL_OTHER;
	if (strcmp(enhanced, "5.1.1") == 0 || strcmp(enhanced, "5.1.10") == 0)
		return REFUSAL_UNKNOWN_USER;
	if (stage != MAILLOG_STAGE_RCPT ||
	    (code != 550 && code != 551 && code != 553 && code != 554))
		return REFUSAL_OTHER;
	return enhanced_is_about_recipient(enhanced) && words_say_unknown(reply)
		   ? REFUSAL_UNKNOWN_USER
		   : REFUSAL_OTHER;
}

enum refusal_kind
refusal_kind_of(const struct maillog_event *event)
{
	char reply[WORDS_SIZE];

	journal_text(reply, sizeof(reply), event->reply.at, event->reply.length);
	return refusal_kind(event->stage, event->code, event->enhanced, reply);
}

void
refusal_note(struct refusal_history *history, const struct maillog_event *event, int64_t taken)
{
	static const struct refusal_history none = {.kind = REFUSAL_OTHER};

	if (event->stage == MAILLOG_STAGE_NONE || event->stage == MAILLOG_STAGE_GREETING)
		return;
	if (event->result != ATTEMPT_REFUSED) {
		*history = none;
		return;
	}
	const enum refusal_kind kind = refusal_kind_of(event);
	if (history->count == 0 || kind != history->kind || event->at < history->last)
		*history = (struct refusal_history){.kind = kind, .first = event->at};
	history->count++;
	history->last = event->at;
	if (taken <= history->first || taken > event->at || taken < event->at - REFUSAL_WELL)
		return;
	history->soon = history->soon || taken >= event->at - REFUSAL_SOON;
	if (!history->soon)
		return;
	history->proven = history->count;
	history->proven_last = event->at;
}

struct refusal_limits
refusal_limits(const struct conf *conf, bool keep)
{
	return (struct refusal_limits){
	    .keep = keep,
	    .unknown_user_tries = (uint32_t)conf->queue.unknown_user_tries,
	    .unknown_user_seconds = conf->queue.unknown_user_interval,
	    .other_tries = (uint32_t)conf->queue.refused_tries,
	    .other_seconds = conf->queue.refused_after,
	};
}

bool
refusal_is_final(const struct refusal_history *history, const struct refusal_limits *limits)
{
	const bool unknown = history->kind == REFUSAL_UNKNOWN_USER;
	const uint32_t tries = unknown ? limits->unknown_user_tries : limits->other_tries;
	const int64_t seconds = unknown ? limits->unknown_user_seconds : limits->other_seconds;

	return !limits->keep && history->proven > 0 && history->proven >= tries &&
	       history->proven_last - history->first >= seconds * 1000000;
}
