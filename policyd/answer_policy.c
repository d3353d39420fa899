/*
 * answer_policy: one request of the policy delegation protocol, from its bytes to its action.
 *
 * The verdicts of core/decide become actions of access(5): "defer_unauth_destination" where the
 * domain is authorised (Postfix's own relay check goes on to say the last word), DUNNO where
 * it is certainly not ours, DEFER_IF_REJECT where nothing can be told of it, else code and text.
 */
#include "policyd/answer.h"

#include "core/policy_request.h"

#include <stdio.h>
#include <string.h>

/* "action=TEXT" and the empty line. 0 when it does not fit. */
static size_t
render_action(char *out, size_t size, const char *action)
{
	int length = snprintf(out, size, "action=%s\n\n", action);

	return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

static size_t
render_verdict(const struct verdict *verdict, bool usable, char *out, size_t size)
{
	char action[512];

	switch (verdict->kind) {
	case VERDICT_PERMIT: return render_action(out, size, "defer_unauth_destination");
	case VERDICT_NOT_OURS: return render_action(out, size, "DUNNO");
	case VERDICT_CANNOT_TELL:
		/*
		 * Rules 2 and 3 leave room for the host's other domains. A damaged record is of a
		 * domain that we have: nothing but "later" will do.
		 */
		if (verdict->rule == RULE_UNKNOWN_STALE || !usable) {
			(void)snprintf(action, sizeof(action), "DEFER_IF_REJECT %s %s",
			    verdict->enhanced, verdict->text);
			return render_action(out, size, action);
		}
		break;
	case VERDICT_DEFER:
	case VERDICT_REJECT: break;
	}
	(void)snprintf(
	    action, sizeof(action), "%u %s %s", verdict->code, verdict->enhanced, verdict->text);
	return render_action(out, size, action);
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
policy_note(struct answer_note *note, const struct policy_request *request)
{
	const struct judgement *judgement = &note->judgement;
	const struct verdict *verdict = &judgement->verdict;

	answer_note_begin(note, verdict->code == 0 ? LOG_INFO : LOG_NOTICE, "decision");
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
	struct policy_request request;
	struct judge_request question;
	const char *error;

	note->event = NULL;
	if (!policy_request_parse(data, length, &request, &error))
		return policy_refuse(note, error);
	if (strcmp(request.request, "smtpd_access_policy") != 0)
		return policy_refuse(note, "not a request for an access decision");
	if (strcmp(request.protocol_state, "RCPT") != 0)
		return render_action(out, size, "DUNNO");
	question = (struct judge_request){
	    .recipient = request.recipient,
	    .recipient_length = strlen(request.recipient),
	    .client_address = request.client_address,
	    .declared_size = request.size,
	};
	note->judgement = judge_recipient(
	    view->snapshot, view->begun, &view->relay->judge, view->now, &question, NULL);
	policy_note(note, &request);
	return render_verdict(&note->judgement.verdict, view->begun == SNAPSHOT_OK, out, size);
}
