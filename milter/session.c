/*
 * session: see session.h. Who is judged, and by which limit (docs: mxhold-milter(8)).
 *
 * It must never let a recipient pass because a fact was missing, answer 5xx for what could not be
 * told, refuse mail to the relay's own postmaster, or object to mail that is none of ours.
 */
#include "milter/session.h"

#include <string.h>
#include <strings.h>

#define NOT_DECLARED UINT64_MAX
#define NO_LIMIT UINT64_MAX
#define ADDRESS_MAX 1024 /* RFC 5321 allows 320; what is longer is judged as it stands */

static const struct session_answer no_objection = {SESSION_CONTINUE, 0, "", "", ""};
static const struct session_answer macros_missing = {
    SESSION_TEMPFAIL, 451, "4.3.0", "Temporary lookup failure, try again later", "macros-missing"};
static const struct session_answer other_limit = {SESSION_TEMPFAIL, 452, "4.5.3",
    "Another size limit holds for this recipient, send it separately", "other-limit"};
static const struct session_answer not_yet_ours = {SESSION_TEMPFAIL, 450, "4.7.1",
    "Domain not known here at present, try again later", "transport-ahead"};
static const struct session_answer relay_denied = {
    SESSION_REJECT, 554, "5.7.1", "Relay access denied", "unknown"};

/* The transports by which mail of customers leaves: master.cf of the overlay. */
static const struct transport {
	const char *name;
	bool only_ours; /* nothing else may go there: an unknown domain is a race of two lookups */
} transports[] = {
    {"mxhold", true}, {"mxhold-tls", true}, {"mxhold-pin", true},
    {"retry", false}, /* how a domain is held; any Postfix may use it for other mail too */
};

static const char *const roles[] = {"postmaster", "abuse", "root"};

/* --- addresses ------------------------------------------------------------------ */

struct mailbox { /* a mailbox without its quotes, as the policy service would get it */
	char text[ADDRESS_MAX];
	size_t length;
	size_t local_length;
	const char *domain; /* points into text; NULL: none */
};

/*
 * Undoes the quoting of a local part (RFC 5321, 4.1.2: Quoted-string). Returns the length written,
 * with *rest at what follows the closing quote; 0 when it is not well-formed.
 */
static size_t
unquote(const char *quoted, char *out, size_t size, const char **rest)
{
	size_t length = 0;
	const char *at = quoted + 1;

	for (; *at != '\0' && *at != '"'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		if (length + 1 >= size)
			return 0;
		out[length++] = *at;
	}
	if (*at != '"')
		return 0;
	*rest = at + 1;
	return length;
}

/*
 * Both "John Doe"@example.com and jd@example.com. What has another form is handed on as it stands:
 * the rules take it for odd. False: too long.
 */
static bool
mailbox_read(const char *address, struct mailbox *out)
{
	const char *rest = address;
	size_t local = 0;

	memset(out, 0, sizeof(*out));
	if (address[0] == '"')
		local = unquote(address, out->text, sizeof(out->text), &rest);
	if (local == 0 || (*rest != '@' && *rest != '\0')) {
		rest = strrchr(address, '@');
		local = rest == NULL ? strlen(address) : (size_t)(rest - address);
		if (local >= sizeof(out->text))
			return false;
		memcpy(out->text, address, local);
		rest = address + local;
	}
	if (local + strlen(rest) >= sizeof(out->text))
		return false;
	memcpy(out->text + local, rest, strlen(rest) + 1);
	out->length = local + strlen(rest);
	out->local_length = local;
	out->domain = *rest == '@' ? out->text + local + 1 : NULL;
	return true;
}

static bool
is_role(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (length == strlen(roles[i]) && strncasecmp(text, roles[i], length) == 0)
			return true;
	}
	return false;
}

/* `<postmaster>`: a role and nothing else. Where it goes to is Postfix's own decision. */
static bool
is_bare_role(const char *argument)
{
	size_t length;

	if (argument == NULL)
		return false;
	length = strlen(argument);
	if (length >= 2 && argument[0] == '<' && argument[length - 1] == '>') {
		argument++;
		length -= 2;
	}
	return is_role(argument, length);
}

static bool
is_host_name(const char *domain, const char *host)
{
	size_t length = strlen(domain);

	if (host == NULL || host[0] == '\0')
		return false;
	if (length > 0 && domain[length - 1] == '.')
		length--;
	return length == strlen(host) && strncasecmp(domain, host, length) == 0;
}

/*
 * Is it a role account of the relay itself: by the bare name, or at what Postfix delivers on the
 * host, or at the host's name, or at a name under which the relay is published?
 */
static bool
is_own_role(const struct session_rules *rules, const struct session_recipient *recipient,
    const struct mailbox *mailbox)
{
	char normal[DOMAIN_SIZE];

	if (!is_role(mailbox->text, mailbox->local_length))
		return false;
	if (mailbox->domain == NULL || is_bare_role(recipient->argument) ||
	    strcmp(recipient->mailer, "local") == 0 ||
	    is_host_name(mailbox->domain, recipient->host))
		return true;
	return domain_normalise(mailbox->domain, strlen(mailbox->domain), normal) &&
	       rules->own_name(rules->context, normal);
}

/* --- limits --------------------------------------------------------------------- */

/*
 * Takes a recipient with `limit` into the transaction. One reply answers for all recipients at end
 * of message, so limits differ only where the declared size is within each of them.
 */
static struct session_answer
join(struct session *session, uint64_t limit, bool defer)
{
	struct session_limits *limits = &session->limits;

	if (session->recipients == 0) {
		*limits = (struct session_limits){limit, limit, defer};
	} else if (limits->smallest != limit || limits->largest != limit ||
		   limits->defer != defer) {
		const uint64_t smaller = limit < limits->smallest ? limit : limits->smallest;

		if (session->declared_size == NOT_DECLARED || session->declared_size > smaller)
			return other_limit;
		limits->smallest = smaller;
		if (limit > limits->largest)
			limits->largest = limit;
		limits->defer = limits->defer || defer;
	}
	session->recipients++;
	return no_objection;
}

static struct session_answer
from_verdict(const struct verdict *verdict)
{
	return (struct session_answer){
	    .action = verdict->kind == VERDICT_REJECT ? SESSION_REJECT : SESSION_TEMPFAIL,
	    .code = verdict->code,
	    .enhanced = verdict->enhanced,
	    .text = verdict->text,
	    .reason = decide_rule_name(verdict->rule),
	};
}

/* --- events --------------------------------------------------------------------- */

void
session_reset(struct session *session)
{
	memset(session, 0, sizeof(*session));
	session->declared_size = NOT_DECLARED;
}

/* "SIZE=123" (RFC 1870); 0 says nothing. More than a number holds is more than any limit. */
static uint64_t
parse_size(const char *parameter)
{
	uint64_t size = 0;

	if (strncasecmp(parameter, "SIZE=", 5) != 0)
		return NOT_DECLARED;
	for (parameter += 5; *parameter >= '0' && *parameter <= '9'; parameter++) {
		const uint64_t digit = (uint64_t)(*parameter - '0');

		if (size > (NOT_DECLARED - 1 - digit) / 10)
			return NOT_DECLARED - 1;
		size = size * 10 + digit;
	}
	return *parameter == '\0' && size != 0 ? size : NOT_DECLARED;
}

void
session_mail(struct session *session, char *const *parameters)
{
	session_reset(session);
	for (; *parameters != NULL; parameters++) {
		const uint64_t size = parse_size(*parameters);

		if (size != NOT_DECLARED)
			session->declared_size = size;
	}
}

static const struct transport *
find_transport(const char *mailer)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		if (strcmp(mailer, transports[i].name) == 0)
			return &transports[i];
	}
	return NULL;
}

static struct session_answer
answer_not_ours(
    struct session *session, const struct session_rules *rules, const struct transport *transport)
{
	if (transport != NULL && transport->only_ours)
		return not_yet_ours;
	if (rules->dedicated)
		return relay_denied;
	return join(session, NO_LIMIT, false);
}

struct session_answer
session_recipient(struct session *session, const struct session_rules *rules,
    const struct session_recipient *recipient)
{
	const struct transport *transport;
	struct mailbox mailbox;

	if (recipient->mailer == NULL || recipient->mailer[0] == '\0')
		return macros_missing;
	transport = find_transport(recipient->mailer);
	if (transport == NULL && !rules->dedicated)
		return join(session, NO_LIMIT, false);
	if (recipient->address == NULL || !mailbox_read(recipient->address, &mailbox) ||
	    mailbox.length == 0)
		return macros_missing;

	const struct judge_request request = {
	    .recipient = mailbox.text,
	    .recipient_length = mailbox.length,
	    .client_address = recipient->client_address != NULL ? recipient->client_address : "",
	    .declared_size = session->declared_size,
	};
	const struct judgement judgement = rules->judge(rules->context, &request);

	if (judgement.verdict.kind == VERDICT_PERMIT)
		return join(session, judgement.limits.size_limit,
		    judgement.limits.oversize == OVERSIZE_DEFER);
	if (!judgement.known && is_own_role(rules, recipient, &mailbox))
		return join(session, NO_LIMIT, false);
	if (judgement.verdict.kind == VERDICT_NOT_OURS)
		return answer_not_ours(session, rules, transport);
	return from_verdict(&judgement.verdict);
}

struct session_answer
session_end_of_message(struct session *session, const char *queue_id, const char *host)
{
	const uint64_t bytes = content_total(&session->content, queue_id, host);
	const bool all_reject = bytes > session->limits.largest && !session->limits.defer;
	const struct limits limits = {
	    .size_limit = session->limits.smallest,
	    .oversize = all_reject ? OVERSIZE_REJECT : OVERSIZE_DEFER,
	};
	struct verdict verdict;

	if (session->recipients == 0)
		return no_objection;
	verdict = decide_content_size(&limits, bytes);
	return verdict.kind == VERDICT_PERMIT ? no_objection : from_verdict(&verdict);
}
