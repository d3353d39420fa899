/*
 * operators: see operators.h. In: requests that desk.c has checked. Out: objects for the caller,
 * orders to watch, collector and helper, notes `hold/DOMAIN` in the spool, rows of what was done.
 */
#include "queued/operators.h"

#include "queued/drops.h"
#include "queued/operators_tell.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_PREFIX "hold/"
#define NOTE_MAX 1024

struct asked { /* of the helper, for a client that waits */
	struct operators *operators;
	bool used;
	uint64_t ticket;
	struct desk_request request;
};

struct operators {
	struct operators_setup setup;
	struct desk *desk;
	struct drops *drops;
	struct asked asked[HELPER_CLIENT_ORDERS];
};

typedef enum desk_end handler(struct operators *operators, const struct desk_request *request,
    uint64_t ticket, struct desk_reply *reply, char error[256]);

static enum desk_end
fail(char error[256], const char *text)
{
	(void)snprintf(error, 256, "%s", text);
	return DESK_ERROR;
}

static bool
take_domain(const struct journal_row *row, void *context)
{
	(void)snprintf(context, DOMAIN_SIZE, "%.*s", DOMAIN_MAX, row->domain);
	return false;
}

/* An act on one message is of the domain of its first recipient, for who looks by domain. */
static void
record(struct operators *operators, const char *act, const struct desk_request *request,
    const char *text)
{
	char domain[DOMAIN_SIZE] = "";

	(void)snprintf(domain, sizeof(domain), "%s", request->domain);
	if (request->id[0] != '\0')
		collector_each_held(
		    operators->setup.collector, NULL, request->id, take_domain, domain);
	const struct alerts_act what = {.act = act,
	    .domain = domain,
	    .queue_id = request->id,
	    .by = request->by,
	    .text = text,
	    .until = request->until};

	alerts_act(operators->setup.alerts, &what);
}

static struct queued_time
enter(struct operators *operators)
{
	return operators->setup.enter(operators->setup.context);
}

static void
leave(struct operators *operators)
{
	operators->setup.leave(operators->setup.context);
}

/* --- looking -------------------------------------------------------------------------------- */

struct walk {
	struct operators *operators;
	struct desk_reply *reply;
	struct queued_time now;
	bool primaries;
	size_t left; /* rows that may still be shown */
};

/* The domain, and how many of its messages are on hold one by one: what no watch knows. */
static void
say_view(const struct operators *operators, const struct watch_view *view, struct queued_time now,
    struct desk_reply *reply)
{
	const size_t count = collector_count_on_hold(operators->setup.collector, view->domain);
	json_t *object = tell_view(view, now);

	if (object != NULL)
		(void)json_object_set_new(object, "on_hold", json_integer((json_int_t)count));
	(void)desk_say(reply, object);
}

static void
tell_domain(const char *domain, void *context)
{
	const struct walk *walk = context;
	struct watch_view view;

	if (!watch_look(walk->operators->setup.watch, domain, &view))
		return;
	if (walk->primaries)
		(void)desk_say(walk->reply, tell_primary(&view, walk->now));
	else
		say_view(walk->operators, &view, walk->now, walk->reply);
}

static enum desk_end
do_list(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	struct walk walk = {.operators = operators, .reply = reply, .now = enter(operators)};

	(void)ticket;
	(void)error;
	walk.primaries = request->what == DESK_PRIMARIES;
	if (request->domain[0] != '\0')
		tell_domain(request->domain, &walk);
	else
		watch_each(operators->setup.watch, tell_domain, &walk);
	leave(operators);
	return DESK_DONE;
}

/* `text` with one more member; it is taken over. */
static json_t *
as_on_hold(char *text)
{
	json_t *object = text != NULL ? json_loads(text, 0, NULL) : NULL;

	free(text);
	if (object != NULL)
		(void)json_object_set_new(object, "on_hold", json_true());
	return object;
}

static bool
tell_row(const struct journal_row *row, void *context)
{
	struct walk *walk = context;

	if (walk->left == 0) {
		(void)desk_say(walk->reply, json_pack("{s:b}", "more", 1));
		return false;
	}
	walk->left--;
	if (collector_on_hold(walk->operators->setup.collector, row->queue_id))
		return desk_say(walk->reply, as_on_hold(journal_row_print(row, false)));
	return desk_say_text(walk->reply, journal_row_print(row, false));
}

/* By whom the domain is held, from the note. */
static void
tell_note(struct operators *operators, const char *domain, int64_t now, struct desk_reply *reply)
{
	char name[SPOOL_KEY_MAX], text[NOTE_MAX];
	size_t length;
	json_t *note;

	(void)snprintf(name, sizeof(name), NOTE_PREFIX "%s", domain);
	if (spool_get_note(operators->setup.spool, name, text, sizeof(text), &length) != SPOOL_OK ||
	    length > sizeof(text) || (note = json_loadb(text, length, 0, NULL)) == NULL)
		return;
	if (json_integer_value(json_object_get(note, "until")) > now)
		(void)desk_say(reply, json_pack("{s:O}", "held", note));
	json_decref(note);
}

#define BELOW_SHOWN 10

/* Orders are of one name, whatever the row says of its subdomains: who gives one must know. NULL:
 * there are none. */
static json_t *
below(struct operators *operators, const char *domain)
{
	const char *names[BELOW_SHOWN];
	json_t *shown = json_array();
	uint64_t messages;

	(void)enter(operators);
	const size_t count =
	    watch_below(operators->setup.watch, domain, names, BELOW_SHOWN, &messages);
	for (size_t i = 0; i < count && i < BELOW_SHOWN; i++)
		(void)json_array_append_new(shown, json_string(names[i]));
	leave(operators);
	if (count > 0)
		return json_pack("{s:I, s:I, s:o}", "apart", (json_int_t)count, "apart_messages",
		    (json_int_t)messages, "subdomains", shown);
	json_decref(shown);
	return NULL;
}

static void
tell_below(struct operators *operators, const char *domain, struct desk_reply *reply)
{
	json_t *apart = below(operators, domain);

	if (apart != NULL)
		(void)desk_say(reply, apart);
}

/* Messages on hold one by one stay, whatever is done with their domain. */
static void
tell_on_hold(struct operators *operators, const char *domain, struct desk_reply *reply)
{
	const size_t count = collector_count_on_hold(operators->setup.collector, domain);

	if (count > 0)
		(void)desk_say(reply, json_pack("{s:I}", "on_hold", (json_int_t)count));
}

static enum desk_end
do_show(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	struct walk walk = {.operators = operators, .reply = reply, .left = request->limit};
	const bool one = request->id[0] != '\0';
	struct watch_view view;

	(void)ticket;
	if (!one) {
		walk.now = enter(operators);
		const bool known = watch_look(operators->setup.watch, request->domain, &view);
		if (known) {
			say_view(operators, &view, walk.now, reply);
			(void)desk_say(reply, tell_primary(&view, walk.now));
		}
		leave(operators);
		tell_below(operators, request->domain, reply);
		if (!known)
			return fail(error, "nothing is held for it, and nothing is known of it");
		tell_note(operators, request->domain, walk.now.wall, reply);
	}
	collector_each_held(operators->setup.collector, one ? NULL : request->domain,
	    one ? request->id : NULL, tell_row, &walk);
	if (one && walk.left == request->limit)
		return fail(error, "no such message is held");
	return DESK_DONE;
}

static void
tell_alert(const struct alert_standing *standing, void *context)
{
	(void)desk_say(context,
	    json_pack("{s:s, s:s, s:i, s:s, s:I}", "alert", alert_kind_name(standing->kind),
		"domain", standing->domain, "level", (int)standing->level, "text", standing->text,
		"since", (json_int_t)standing->since));
}

static enum desk_end
do_alerts(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	(void)request;
	(void)ticket;
	(void)error;
	alerts_each(operators->setup.alerts, tell_alert, reply);
	return DESK_DONE;
}

static enum desk_end
do_status(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	struct collector_status collector;

	(void)request;
	(void)ticket;
	(void)error;
	collector_status(operators->setup.collector, &collector);
	(void)desk_say(reply, tell_status(&collector, watch_count(operators->setup.watch),
				  alerts_count(operators->setup.alerts),
				  helper_client_under_way(operators->setup.helper)));
	return DESK_DONE;
}

/* --- holds of domains ------------------------------------------------------------------------ */

/* NULL text removes the note. False: *problem says why. */
static bool
note_hold(struct operators *operators, const char *domain, const char *text, const char **problem)
{
	struct spool_writer *spool = operators->setup.spool;
	char name[SPOOL_KEY_MAX];

	(void)snprintf(name, sizeof(name), NOTE_PREFIX "%s", domain);
	if (spool_begin(spool) == SPOOL_OK) {
		const enum spool_result result =
		    spool_note(spool, name, text, text != NULL ? strlen(text) : 0);
		if (result == SPOOL_OK || result == SPOOL_NOT_FOUND) {
			if (spool_commit(spool) == SPOOL_OK)
				return true;
		} else {
			spool_abort(spool);
		}
	}
	*problem = spool_writer_problem(spool);
	return false;
}

static char *
hold_text(const struct desk_request *request)
{
	json_t *object = json_pack("{s:I, s:s, s:b, s:s}", "until", (json_int_t)request->until,
	    "reason", request->reason, "silent", request->silent, "by", request->by);
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

/* First the note, then the hold: what is told to be held is so after a restart as well. */
static enum desk_end
hold_domain(struct operators *operators, const struct desk_request *request, char error[256])
{
	const struct queued_time now = enter(operators);
	const bool unknown = operators->setup.unknown(operators->setup.context, request->domain);
	char *text = unknown ? NULL : hold_text(request);
	const char *problem = "out of memory";
	bool held = false;

	if (text != NULL && note_hold(operators, request->domain, text, &problem))
		held = watch_hold(operators->setup.watch, request->domain, request->until,
		    request->reason, request->silent, now);
	leave(operators);
	free(text);
	if (held)
		return DESK_DONE;
	return fail(error, unknown ? "no row speaks for this domain" : problem);
}

static enum desk_end
release_domain(struct operators *operators, const struct desk_request *request, char error[256])
{
	const struct queued_time now = enter(operators);
	const char *problem = NULL;
	struct watch_view view = {.soc_hold = false};

	const bool held = watch_release(operators->setup.watch, request->domain, now);
	if (note_hold(operators, request->domain, NULL, &problem))
		problem = NULL;
	(void)watch_look(operators->setup.watch, request->domain, &view);
	leave(operators);
	if (problem != NULL)
		return fail(error, problem);
	if (held)
		return DESK_DONE;
	if (view.soc_hold)
		return fail(error, "the SOC holds it, by its row: only that row can end it");
	if (view.breaker != BREAKER_CLOSED)
		return fail(error, "the breaker is trying a message already");
	if (view.state.hold == HOLD_WRONG_HOST)
		return fail(error, "it is held because the primary is not the pinned one");
	return fail(error,
	    collector_count_on_hold(operators->setup.collector, request->domain) > 0
		? "no operator holds it; messages of it are on hold: release these by their ids"
		: "no operator holds it");
}

/* --- asking the helper ------------------------------------------------------------------------ */

static bool
is_held(const struct journal_row *row, void *context)
{
	(void)row;
	*(bool *)context = true;
	return false;
}

static bool
knows(struct operators *operators, const char *id)
{
	bool found = false;

	collector_each_held(operators->setup.collector, NULL, id, is_held, &found);
	return found;
}

/* Its place is free before the client goes on, and asks again. */
static void
asked_finish(struct asked *asked, const char *error)
{
	asked->used = false;
	desk_finish(asked->operators->desk, asked->ticket, error);
}

static enum desk_end
ask_helper(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    enum helper_verb verb, helper_done *done, char error[256])
{
	struct helper_request what = {.verb = verb, .why = "operator"};
	struct asked *asked = NULL;

	for (size_t i = 0; i < HELPER_CLIENT_ORDERS && asked == NULL; i++)
		if (!operators->asked[i].used)
			asked = &operators->asked[i];
	(void)snprintf(what.queue_id, sizeof(what.queue_id), "%s", request->id);
	(void)snprintf(what.by, sizeof(what.by), "%s", request->by);
	if (asked == NULL || !helper_client_ask(operators->setup.helper, &what, done, asked))
		return fail(error, "the helper is busy: try again");
	*asked = (struct asked){
	    .operators = operators, .used = true, .ticket = ticket, .request = *request};
	return DESK_LATER;
}

/* --- holds ------------------------------------------------------------------------------------ */

static void
record_hold(struct operators *operators, const struct desk_request *request)
{
	record(
	    operators, request->what == DESK_HOLD ? "hold" : "release", request, request->reason);
}

/* Only what was done is recorded. */
static void
hold_answered(void *context, const char *queue_id, enum helper_answer answer, const char *text)
{
	struct asked *asked = context;

	(void)queue_id;
	if (answer == HELPER_DONE)
		record_hold(asked->operators, &asked->request);
	asked_finish(asked, answer == HELPER_DONE ? NULL
			    : answer == HELPER_GONE
				? "there is nothing to do: it has left, or is so already"
				: text);
}

static enum desk_end
hold_message(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    char error[256])
{
	if (!knows(operators, request->id))
		return fail(error, "no such message is held");
	return ask_helper(operators, request, ticket,
	    request->what == DESK_HOLD ? HELPER_HOLD : HELPER_RELEASE, hold_answered, error);
}

static enum desk_end
do_hold(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	enum desk_end end;

	if (request->id[0] != '\0')
		end = hold_message(operators, request, ticket, error);
	else if (request->what == DESK_HOLD)
		end = hold_domain(operators, request, error);
	else
		end = release_domain(operators, request, error);
	if (end == DESK_DONE) {
		record_hold(operators, request);
		tell_below(operators, request->domain, reply);
	}
	if (end == DESK_DONE && request->what == DESK_RELEASE)
		tell_on_hold(operators, request->domain, reply);
	return end;
}

/* --- taking out ------------------------------------------------------------------------------- */

/* It is on the disk, or as much of it as could be: what is, is done whatever happens. */
static void
drop_recorded(void *context, const struct drops_found *found)
{
	struct asked *asked = context;
	char error[128] = "it could not be recorded: see the log";
	json_t *apart = NULL;

	if (found->taken > 0)
		record(asked->operators, "drop", &asked->request, asked->request.reason);
	if (found->taken > 0 && found->failed)
		(void)snprintf(error, sizeof(error),
		    "%zu of %zu messages are being removed; the rest could not be recorded: see "
		    "the log",
		    found->taken, found->messages);
	if (!found->failed)
		desk_tell(asked->operators->desk, asked->ticket,
		    json_pack("{s:I, s:I}", "messages", (json_int_t)found->taken, "shared",
			(json_int_t)found->shared));
	if (!found->failed && asked->request.id[0] == '\0')
		apart = below(asked->operators, asked->request.domain);
	if (apart != NULL)
		desk_tell(asked->operators->desk, asked->ticket, apart);
	asked_finish(asked, found->failed ? error : NULL);
}

static void
drop_message(struct asked *asked)
{
	struct drops_found found = {.messages = 1};
	char id[1][JOURNAL_ID_SIZE];

	memcpy(id[0], asked->request.id, JOURNAL_ID_SIZE);
	found.failed = !collector_drop(asked->operators->setup.collector,
	    (const char(*)[JOURNAL_ID_SIZE])id, 1, asked->request.by, &found.taken);
	if (!found.failed && found.taken == 0)
		asked_finish(asked, "no such message is held");
	else
		drop_recorded(asked, &found);
}

static void
drop_domain(struct asked *asked)
{
	const struct drops_order order = {.domain = asked->request.domain,
	    .by = asked->request.by,
	    .newest = asked->request.newest};

	switch (drops_domain(asked->operators->drops, &order, drop_recorded, asked)) {
	case DROPS_NONE: asked_finish(asked, "nothing of that is held any more"); break;
	case DROPS_NO_MEMORY: asked_finish(asked, "out of memory"); break;
	case DROPS_BEGUN: break;
	}
}

static void
drop_answered(void *context, const char *queue_id, enum helper_answer answer, const char *text)
{
	struct asked *asked = context;
	char error[256];

	(void)queue_id;
	(void)snprintf(error, sizeof(error), "nothing is removed: %s", text);
	if (answer != HELPER_DONE)
		asked_finish(asked, error);
	else if (asked->request.id[0] != '\0')
		drop_message(asked);
	else
		drop_domain(asked);
}

/* What is to be said before an operator's yes. */
static enum desk_end
drop_ask(struct operators *operators, const char *domain, struct desk_reply *reply, char error[256])
{
	struct drops_count count;

	if (!drops_count(operators->drops, domain, &count))
		return fail(error, "out of memory");
	(void)desk_say(
	    reply, json_pack("{s:I, s:I, s:I, s:I}", "messages", (json_int_t)count.messages,
		       "shared", (json_int_t)count.shared, "bytes", (json_int_t)count.bytes,
		       "newest", (json_int_t)count.newest));
	tell_below(operators, domain, reply);
	return DESK_DONE;
}

/*
 * Is the helper there? Without it, an operator had better see to that than wait. (If it goes
 * away later, what was recorded waits until it is back.)
 */
static enum desk_end
do_drop(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	const bool one = request->id[0] != '\0';
	bool found = false;

	collector_each_held(operators->setup.collector, one ? NULL : request->domain,
	    one ? request->id : NULL, is_held, &found);
	if (!found && !one)
		tell_below(operators, request->domain, reply);
	if (!found)
		return fail(error, one ? "no such message is held" : "nothing is held for it");
	if (request->ask)
		return drop_ask(operators, request->domain, reply, error);
	return ask_helper(operators, request, ticket, HELPER_PING, drop_answered, error);
}

/* --- flush, probe, watch, mx ----------------------------------------------------------------- */

static const char nobodys[] = "no row speaks for this domain, and nothing is held for it";

/* Between enter and leave. */
static void
say_not_flushed(struct operators *operators, const char *domain, char error[256])
{
	struct watch_view view;

	if (watch_look(operators->setup.watch, domain, &view))
		tell_not_flushed(&view, error);
	else if (operators->setup.unknown(operators->setup.context, domain))
		(void)fail(error, nobodys);
	else
		(void)fail(error, "nothing is held for it");
}

static enum desk_end
do_flush(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	const struct queued_time now = enter(operators);
	const bool done = watch_flush(operators->setup.watch, request->domain, now);

	(void)ticket;
	if (!done)
		say_not_flushed(operators, request->domain, error);
	leave(operators);
	if (!done)
		return DESK_ERROR;
	record(operators, "flush", request, "");
	tell_on_hold(operators, request->domain, reply);
	return DESK_DONE;
}

static enum desk_end
do_probe(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	const struct queued_time now = enter(operators);
	const bool done = watch_probe(operators->setup.watch, request->domain, now);

	(void)ticket;
	(void)reply;
	leave(operators);
	return done ? DESK_DONE : fail(error, "its primary is not watched: nothing is held for it");
}

/* Of a domain that nobody could mail to there would never be anything to see. */
static enum desk_end
do_watch(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	struct watch_view view;

	(void)ticket;
	(void)reply;
	if (request->domain[0] == '\0')
		return DESK_DONE;
	(void)enter(operators);
	const bool known = watch_look(operators->setup.watch, request->domain, &view) ||
			   !operators->setup.unknown(operators->setup.context, request->domain);
	leave(operators);
	return known ? DESK_DONE : fail(error, nobodys);
}

static enum desk_end
do_mx(struct operators *operators, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	bool done = false;

	(void)ticket;
	(void)reply;
	if (operators->setup.mx != NULL) {
		(void)enter(operators);
		done = operators->setup.mx(operators->setup.context, request->domain);
		leave(operators);
	}
	return done ? DESK_DONE
		    : fail(error, "its MX records are not read here (no row of the snapshot wants "
				  "it), or cannot be read now");
}

static handler *const handlers[DESK_DOS] = {
    [DESK_STATUS] = do_status,
    [DESK_LIST] = do_list,
    [DESK_SHOW] = do_show,
    [DESK_HOLD] = do_hold,
    [DESK_RELEASE] = do_hold,
    [DESK_FLUSH] = do_flush,
    [DESK_DROP] = do_drop,
    [DESK_PRIMARIES] = do_list,
    [DESK_PROBE] = do_probe,
    [DESK_MX] = do_mx,
    [DESK_WATCH] = do_watch,
    [DESK_ALERTS] = do_alerts,
};

static enum desk_end
port_run(void *context, const struct desk_request *request, uint64_t ticket,
    struct desk_reply *reply, char error[256])
{
	if (handlers[request->what] == NULL)
		return fail(error, "that is not to be done here");
	return handlers[request->what](context, request, ticket, reply, error);
}

static void
port_view(void *context, const char *domain, struct desk_reply *reply)
{
	struct operators *operators = context;
	const struct queued_time now = enter(operators);
	struct watch_view view;

	if (watch_look(operators->setup.watch, domain, &view))
		say_view(operators, &view, now, reply);
	else
		(void)desk_say(reply, json_pack("{s:s, s:b}", "domain", domain, "gone", 1));
	leave(operators);
}

/* --- life ------------------------------------------------------------------------------------ */

#define OVER_MOST 64

struct restoring {
	struct operators *operators;
	struct queued_time now;
	char over[OVER_MOST][DOMAIN_SIZE]; /* those that have ended meanwhile */
	size_t over_count;
};

static void
restore_one(struct restoring *restoring, const char *domain, const json_t *note)
{
	int64_t until = json_integer_value(json_object_get(note, "until"));
	const char *reason = json_string_value(json_object_get(note, "reason"));
	const bool silent = json_is_true(json_object_get(note, "silent"));

	if (until <= restoring->now.wall) {
		if (restoring->over_count < OVER_MOST)
			memcpy(restoring->over[restoring->over_count++], domain, DOMAIN_SIZE);
		return;
	}
	if (until > HOLD_LAST) /* none that is still said */
		until = HOLD_FOREVER;
	if (!watch_hold(restoring->operators->setup.watch, domain, until,
		reason != NULL ? reason : "", silent, restoring->now))
		log_event(LOG_ERR, "hold-not-restored", kv("domain", domain));
}

static bool
restore(const struct spool_entry *note, void *context)
{
	json_t *object = json_loadb(note->text, note->length, 0, NULL);
	const size_t prefix = strlen(NOTE_PREFIX);
	char domain[DOMAIN_SIZE];

	if (domain_normalise(note->key + prefix, note->key_length - prefix, domain))
		restore_one(context, domain, object);
	json_decref(object);
	return true;
}

static bool
restore_holds(struct operators *operators)
{
	struct restoring restoring = {.operators = operators, .now = enter(operators)};
	const enum spool_result result =
	    spool_each_note(operators->setup.spool, NOTE_PREFIX, restore, &restoring);
	const char *problem;

	leave(operators);
	for (size_t i = 0; i < restoring.over_count; i++)
		if (!note_hold(operators, restoring.over[i], NULL, &problem))
			break;
	return result != SPOOL_UNUSABLE;
}

struct operators *
operators_new(const struct operators_setup *setup, const char **problem)
{
	struct operators *operators = calloc(1, sizeof(*operators));
	const struct desk_setup desk = {.base = setup->base,
	    .listen_fd = setup->listen_fd,
	    .readers = setup->readers,
	    .reader_count = setup->reader_count,
	    .ports = {.run = port_run, .view = port_view, .context = operators}};

	*problem = "out of memory";
	if (operators == NULL)
		return NULL;
	operators->setup = *setup;
	operators->drops = drops_new(setup->base, setup->collector);
	if (operators->drops != NULL)
		operators->desk = desk_new(&desk);
	if (operators->desk == NULL) {
		operators_free(operators);
		return NULL;
	}
	if (restore_holds(operators))
		return operators;
	*problem = "operators' holds cannot be read from the spool";
	operators_free(operators);
	return NULL;
}

void
operators_free(struct operators *operators)
{
	if (operators == NULL)
		return;
	desk_free(operators->desk);
	drops_free(operators->drops);
	free(operators);
}

void
operators_changed(struct operators *operators, const char *domain)
{
	desk_changed(operators->desk, domain);
}
