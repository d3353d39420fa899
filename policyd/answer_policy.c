/*
 * answer_policy: one request of the policy delegation protocol, from its bytes to its action.
 *
 * The verdicts of core/decide become actions of access(5): "defer_unauth_destination" where the
 * domain is authorised (Postfix's own relay check goes on to say the last word), DUNNO where
 * it is certainly not ours, DEFER_IF_REJECT where nothing can be told of it, else code and text.
 */
#include "policyd/answer.h"

#include <stdio.h>
#include <string.h>

static bool
append(char *out, size_t size, size_t *used, const char *text)
{
	size_t length = strlen(text);

	if (size - *used < length)
		return false;
	(void)mempcpy(out + *used, text, length);
	*used += length;
	return true;
}

/* "action=" and the texts, with blanks between them, and the empty line. 0: it does not fit. */
static size_t
render(char *out, size_t size, const char *const texts[3])
{
	size_t used = 0, i;

	if (!append(out, size, &used, "action="))
		return 0;
	for (i = 0; i < 3 && texts[i] != NULL; i++) {
		if ((i > 0 && !append(out, size, &used, " ")) ||
		    !append(out, size, &used, texts[i]))
			return 0;
	}
	return append(out, size, &used, "\n\n") ? used : 0;
}

static size_t
render_verdict(const struct verdict *verdict, bool usable, char *out, size_t size)
{
	char code[16];

	switch (verdict->kind) {
	case VERDICT_PERMIT:
		return render(out, size, (const char *[3]){"defer_unauth_destination"});
	case VERDICT_NOT_OURS: return render(out, size, (const char *[3]){"DUNNO"});
	case VERDICT_CANNOT_TELL:
		/*
		 * Rules 2 and 3 leave room for the host's other domains. A damaged record is of a
		 * domain that we have: nothing but "later" will do.
		 */
		if (verdict->rule == RULE_UNKNOWN_STALE || !usable)
			return render(out, size,
			    (const char *[3]){"DEFER_IF_REJECT", verdict->enhanced, verdict->text});
		break;
	case VERDICT_DEFER:
	case VERDICT_REJECT: break;
	}
	(void)snprintf(code, sizeof(code), "%u", verdict->code);
	return render(out, size, (const char *[3]){code, verdict->enhanced, verdict->text});
}

static size_t
policy_refuse(struct answer_note *note, const char *error)
{
	answer_note_begin(note, LOG_WARNING, "request-refused");
	answer_note_add(note, kv("protocol", "policy"));
	answer_note_add(note, kv("error", error));
	return 0;
}

static void
policy_describe(struct answer_note *note)
{
	const struct policy_request *request = &note->request;
	const struct judgement *judgement = &note->judgement;
	const struct verdict *verdict = &judgement->verdict;

	answer_note_add(note, kv("verdict", decide_kind_name(verdict->kind)));
	answer_note_add(note, kv_number("rule", verdict->rule));
	answer_note_add(note, kv("name", decide_rule_name(verdict->rule)));
	answer_note_add(note, kv("domain", judgement->domain));
	if (judgement->owner[0] != '\0' && strcmp(judgement->owner, judgement->domain) != 0)
		answer_note_add(note, kv("row", judgement->owner));
	answer_note_add(note, kv("client", request->client_address));
	answer_note_add(note, kv("instance", request->instance));
	if (request->queue_id[0] != '\0')
		answer_note_add(note, kv("queue_id", request->queue_id));
	if (verdict->code != 0) {
		answer_note_add(note, kv_number("code", verdict->code));
		answer_note_add(note, kv("dsn", verdict->enhanced));
	}
	if (verdict->rule == RULE_SIZE && request->size != POLICY_SIZE_UNKNOWN)
		answer_note_add(note, kv_number("size", (long long)request->size));
}

size_t
answer_policy(const struct answer_view *view, char *data, size_t length, struct answer_note *note,
    char *out, size_t size)
{
	struct policy_request *request = &note->request;
	const struct verdict *verdict = &note->judgement.verdict;
	struct judge_request question;
	const char *error;

	note->event = NULL;
	if (!policy_request_parse(data, length, request, &error))
		return policy_refuse(note, error);
	if (strcmp(request->request, "smtpd_access_policy") != 0)
		return policy_refuse(note, "not a request for an access decision");
	if (strcmp(request->protocol_state, "RCPT") != 0)
		return render(out, size, (const char *[3]){"DUNNO"});
	question = (struct judge_request){
	    .recipient = request->recipient,
	    .recipient_length = strlen(request->recipient),
	    .client_address = request->client_address,
	    .sender = request->sender,
	    .declared_size = request->size,
	};
	note->judgement = judge_with_state(view->snapshot, view->begun, &view->relay->judge,
	    view->now, &question, facts_for_judge(view->facts));
	answer_note_begin(note, verdict->code == 0 ? LOG_INFO : LOG_NOTICE, "decision");
	note->describe = policy_describe;
	return render_verdict(verdict, view->begun == SNAPSHOT_OK, out, size);
}
