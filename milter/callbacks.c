/*
 * callbacks: see callbacks.h. Each takes what libmilter hands over, tells the session, and turns
 * its answer into a reply. Called from many threads at once, one a session at a time.
 *
 * Only MAIL, RCPT, header fields, body and end of message are asked for, and no reply is sent to
 * fields and body: so a message costs the MTA two waits and one more for each recipient. A callback
 * must never wait, and must never answer ACCEPT, which would silence the rest of the session.
 *
 * Whom a message with several recipients was accepted for is told to mxhold-queued when the
 * transaction ends, unless it was refused here: what others do with it, we do not see. Postfix ends
 * it by abort, and by no end of message, where its own rules throw the message away.
 *
 * libmilter calls negotiate first and close last; yet a hostile client may leave out the first, and
 * after QUIT_NC the second is followed by more: what a session needs is made when it is missing.
 */
#include "milter/callbacks.h"

#include "core/log.h"
#include "milter/roster.h"

#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Steps that are not needed, no replies to what flows, and the header to the octet. */
#define PROTOCOL_WANTED                                                                            \
	(SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_NOEOH |           \
	    SMFIP_NR_HDR | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC)
/* libmilter sees to the rest of them where the MTA does not offer them. */
#define PROTOCOL_NEEDED SMFIP_HDR_LEADSPC

static const struct callbacks *shared; /* set once, before any session */

static const struct macro_wish {
	int stage;
	char names[64];
} macro_wishes[] = {
    {SMFIM_ENVFROM, "i {client_addr}"},
    {SMFIM_ENVRCPT, "i j {client_addr} {rcpt_addr} {rcpt_mailer}"},
    {SMFIM_EOM, "i j {client_addr}"},
};

struct connection {
	struct session session;
	struct roster roster;
	bool counted; /* its transaction is in the census */
};

static const struct session_answer too_many = {
    SESSION_TEMPFAIL, 451, "4.3.2", "Too many sessions, try again later", "too-many-sessions"};
static const struct session_answer no_memory = {
    SESSION_TEMPFAIL, 451, "4.3.0", "Out of memory, try again later", "out-of-memory"};

/* --- connections ------------------------------------------------------------------- */

/* NULL: out of memory. */
static struct connection *
connection_of(SMFICTX *context)
{
	struct connection *connection = smfi_getpriv(context);

	if (connection != NULL)
		return connection;
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return NULL;
	session_reset(&connection->session);
	(void)smfi_setpriv(context, connection);
	atomic_fetch_add(&shared->census->sessions, 1);
	return connection;
}

static void
transaction_begin(struct connection *connection)
{
	if (!connection->counted)
		atomic_fetch_add(&shared->census->transactions, 1);
	connection->counted = true;
}

static void
transaction_end(struct connection *connection)
{
	if (connection->counted)
		atomic_fetch_sub(&shared->census->transactions, 1);
	connection->counted = false;
	session_reset(&connection->session);
	roster_clear(&connection->roster);
}

static void
transaction_tell(struct connection *connection)
{
	if (roster_wanted(&connection->roster))
		herald_tell(shared->herald, &connection->roster);
}

/* --- macros and replies ------------------------------------------------------------- */

/* NULL: missing. The value lives until the macros of this stage are sent again. */
static char *
macro(SMFICTX *context, const char *name)
{
	char copy[32];

	(void)snprintf(copy, sizeof(copy), "%s", name);
	return smfi_getsymval(context, copy);
}

/*
 * libmilter keeps the macros of a recipient until others come: without this, a recipient sent
 * without any would be judged by those of the one before.
 */
static void
macro_spend(char *value)
{
	if (value != NULL)
		value[0] = '\0';
}

static sfsistat
reply(SMFICTX *context, const struct session_answer *answer)
{
	char code[8], enhanced[16], text[256];

	if (answer->action == SESSION_CONTINUE)
		return SMFIS_CONTINUE;
	(void)snprintf(code, sizeof(code), "%u", answer->code);
	(void)snprintf(enhanced, sizeof(enhanced), "%s", answer->enhanced);
	(void)snprintf(text, sizeof(text), "%s", answer->text);
	/* Without its own words, a refusal might say too much: then it is the general 451. */
	if (smfi_setreply(context, code, enhanced, text) != MI_SUCCESS)
		return SMFIS_TEMPFAIL;
	return answer->action == SESSION_REJECT ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static void
log_refusal(SMFICTX *context, const char *event, const struct session_answer *answer,
    const char *recipient, long long bytes)
{
	const struct log_field fields[] = {
	    kv("queue_id", macro(context, "i")),
	    kv("client", macro(context, "{client_addr}")),
	    kv("reason", answer->reason),
	    kv_number("code", answer->code),
	    recipient != NULL ? kv("recipient", recipient) : kv_number("bytes", bytes),
	    {NULL, NULL, 0, 0},
	};

	if (answer->action != SESSION_CONTINUE)
		log_fields(LOG_INFO, event, fields);
}

/* --- what libmilter calls ------------------------------------------------------------ */

static sfsistat
on_negotiate(SMFICTX *context, unsigned long actions, unsigned long protocol, unsigned long unused2,
    unsigned long unused3, unsigned long *want_actions, unsigned long *want_protocol,
    unsigned long *want2, unsigned long *want3)
{
	(void)unused2;
	(void)unused3;
	*want2 = 0;
	*want3 = 0;
	if ((protocol & PROTOCOL_NEEDED) != PROTOCOL_NEEDED || (actions & SMFIF_SETSYMLIST) == 0) {
		log_event(LOG_ERR, "mta-unsuitable", kv_number("actions", (long long)actions),
		    kv_number("protocol", (long long)protocol),
		    kv("cure", "milter_protocol = 6, Postfix 2.6 or later"));
		return SMFIS_REJECT; /* the connection is closed: the MTA's default action */
	}
	*want_actions = SMFIF_SETSYMLIST;
	*want_protocol = PROTOCOL_WANTED;
	for (size_t i = 0; i < sizeof(macro_wishes) / sizeof(macro_wishes[0]); i++) {
		char names[sizeof(macro_wishes[i].names)];

		memcpy(names, macro_wishes[i].names, sizeof(names));
		if (smfi_setsymlist(context, macro_wishes[i].stage, names) != MI_SUCCESS)
			return SMFIS_REJECT;
	}
	lookup_pass(shared->lookup);
	return connection_of(context) != NULL ? SMFIS_CONTINUE : SMFIS_REJECT;
}

static sfsistat
on_mail(SMFICTX *context, char **arguments)
{
	struct connection *connection = connection_of(context);
	const struct session_answer *refusal = NULL;

	if (connection == NULL)
		refusal = &no_memory;
	else if (atomic_load(&shared->census->sessions) > shared->census->session_limit)
		refusal = &too_many;
	if (refusal != NULL) {
		log_refusal(context, "mail-refused", refusal, NULL, 0);
		return reply(context, refusal);
	}
	transaction_begin(connection);
	roster_clear(&connection->roster);
	session_mail(&connection->session, arguments[0] == NULL ? arguments : arguments + 1);
	return SMFIS_CONTINUE;
}

static sfsistat
on_recipient(SMFICTX *context, char **arguments)
{
	struct connection *connection = connection_of(context);
	char *address = macro(context, "{rcpt_addr}");
	char *mailer = macro(context, "{rcpt_mailer}");
	const struct session_recipient recipient = {
	    .argument = arguments[0],
	    .address = address,
	    .mailer = mailer,
	    .host = macro(context, "j"),
	    .client_address = macro(context, "{client_addr}"),
	};
	struct session_answer answer = no_memory;

	if (connection != NULL)
		answer = session_recipient(&connection->session, &shared->rules, &recipient);
	if (connection != NULL && answer.action == SESSION_CONTINUE)
		roster_add(&connection->roster, macro(context, "i"), arguments[0], address);
	log_refusal(context, "recipient-refused", &answer,
	    address != NULL && address[0] != '\0' ? address : arguments[0], 0);
	macro_spend(address);
	macro_spend(mailer);
	return reply(context, &answer);
}

static sfsistat
on_header(SMFICTX *context, char *name, char *value)
{
	struct connection *connection = smfi_getpriv(context);

	if (connection != NULL)
		content_header(&connection->session.content, name, value);
	return SMFIS_NOREPLY;
}

static sfsistat
on_body(SMFICTX *context, unsigned char *chunk, size_t length)
{
	struct connection *connection = smfi_getpriv(context);

	(void)chunk;
	if (connection != NULL)
		content_body(&connection->session.content, length);
	return SMFIS_NOREPLY;
}

static sfsistat
on_end_of_message(SMFICTX *context)
{
	struct connection *connection = connection_of(context);
	const char *queue_id = macro(context, "i");
	const char *host = macro(context, "j");
	struct session_answer answer = no_memory;
	long long bytes = 0;

	if (connection != NULL) {
		bytes = (long long)content_total(&connection->session.content, queue_id, host);
		answer = session_end_of_message(&connection->session, queue_id, host);
	}
	log_refusal(context, "message-refused", &answer, NULL, bytes);
	if (connection != NULL && answer.action == SESSION_CONTINUE)
		transaction_tell(connection);
	if (connection != NULL)
		transaction_end(connection);
	return reply(context, &answer);
}

static sfsistat
on_abort(SMFICTX *context)
{
	struct connection *connection = smfi_getpriv(context);

	if (connection == NULL)
		return SMFIS_CONTINUE;
	transaction_tell(connection);
	transaction_end(connection);
	return SMFIS_CONTINUE;
}

static sfsistat
on_close(SMFICTX *context)
{
	struct connection *connection = smfi_getpriv(context);

	if (connection == NULL)
		return SMFIS_CONTINUE;
	transaction_tell(connection);
	transaction_end(connection);
	(void)smfi_setpriv(context, NULL);
	free(connection->roster.addresses);
	free(connection);
	atomic_fetch_sub(&shared->census->sessions, 1);
	return SMFIS_CONTINUE;
}

bool
callbacks_register(const struct callbacks *callbacks)
{
	static char name[] = "mxhold-milter";
	const struct smfiDesc filter = {
	    .xxfi_name = name,
	    .xxfi_version = SMFI_VERSION,
	    .xxfi_flags = SMFIF_SETSYMLIST,
	    .xxfi_negotiate = on_negotiate,
	    .xxfi_envfrom = on_mail,
	    .xxfi_envrcpt = on_recipient,
	    .xxfi_header = on_header,
	    .xxfi_body = on_body,
	    .xxfi_eom = on_end_of_message,
	    .xxfi_abort = on_abort,
	    .xxfi_close = on_close,
	};

	shared = callbacks;
	if (smfi_register(filter) == MI_SUCCESS)
		return true;
	log_event(LOG_ERR, "milter-register-failed", kv("cure", "build against this libmilter"));
	return false;
}
