/*
 * verb_queue: `mxholdctl queue list|show|alerts|hold|release|flush|drop`: what is held on this
 * relay, and an operator's orders about it.
 *
 * All of it goes through mxhold-queued; `list` is also told without it, from the state on the disk,
 * with its age. `drop` asks before it takes mail out.
 */
#include "ctl/owner.h"
#include "ctl/queue_alerts.h"
#include "ctl/queue_show.h"
#include "ctl/queue_talk.h"
#include "ctl/sub_verb.h"

#include "core/conf_value.h"
#include "core/helper_request.h"
#include "core/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct target { /* what an order is about: one of the two */
	char domain[DOMAIN_SIZE];
	char id[JOURNAL_ID_SIZE];
};

static void
print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* a terminal may read it */
	putchar('\n');
}

/* Domains have a dot in them, queue ids have none. */
static bool
take_target(const char *word, struct target *out)
{
	*out = (struct target){.domain = ""};
	if (strchr(word, '.') == NULL && helper_queue_id(word, strlen(word))) {
		(void)snprintf(out->id, sizeof(out->id), "%s", word);
		return true;
	}
	if (domain_normalise(word, strlen(word), out->domain))
		return true;
	ctl_say("%s is neither a mail domain nor a queue id", word);
	return false;
}

static json_t *
request(const char *what, const struct target *target)
{
	json_t *object = json_pack("{s:s, s:s}", "do", what, "by", queue_talk_by());

	if (object != NULL && target != NULL && target->domain[0] != '\0')
		(void)json_object_set_new(object, "domain", json_string(target->domain));
	if (object != NULL && target != NULL && target->id[0] != '\0')
		(void)json_object_set_new(object, "id", json_string(target->id));
	return object;
}

/* Options, one operand, configuration. -1: go on. */
static int
begin(struct ctl *ctl, const struct ctl_usage *usage, int argc, char **argv, struct target *target)
{
	char **operands;
	int count, code = ctl_options(ctl, usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 1)
		return ctl_wrong(usage, "one domain or queue id is wanted");
	if (!take_target(operands[0], target))
		return CTL_DATA;
	return ctl_need_conf(ctl) ? -1 : CTL_CONFIG;
}

/* Sends one order and is done. `object` is taken over. */
static int
order(struct ctl *ctl, json_t *object, queue_visit *visit, void *context)
{
	struct queue_talk talk = {.socket = -1};
	int code = queue_talk_open(&talk, ctl, false);

	if (code == CTL_OK)
		code = queue_talk_ask(&talk, object, QUEUE_TALK_MS, visit, context);
	else
		json_decref(object);
	queue_talk_close(&talk);
	return code;
}

/* What an order tells beside what it does. */
static bool
told(const json_t *object, void *context)
{
	const struct ctl *ctl = context;

	if (ctl->json)
		print_json(object);
	else if (json_object_get(object, "apart") != NULL)
		show_apart(object);
	else if (json_object_get(object, "on_hold") != NULL)
		show_on_hold(object);
	return true;
}

/* --- list ------------------------------------------------------------------------------------- */

struct list {
	json_t *domains; /* array */
	int64_t counted; /* state: the newest count */
};

static bool
worth_showing(const json_t *domain)
{
	const char *hold = show_text(domain, "hold");

	return show_number(domain, "messages") > 0 || (*hold != '\0' && strcmp(hold, "none") != 0);
}

static bool
gather(const json_t *object, void *context)
{
	struct list *list = context;

	if (worth_showing(object))
		(void)json_array_append_new(list->domains, json_deep_copy(object));
	return true;
}

/* A record of the state as mxhold-queued would tell it. */
static bool
gather_state(const char *name, const struct state_domain *record, void *context)
{
	struct list *list = context;
	const bool held = state_held(record, time(NULL));
	json_t *until = held && record->hold_until != HOLD_FOREVER
			    ? json_integer(record->hold_until)
			    : json_null();
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:i, s:s, s:s, s:o, s:s}",
	    "domain", name, "messages", (json_int_t)record->messages, "bytes",
	    (json_int_t)record->bytes, "oldest", (json_int_t)record->oldest, "primary",
	    primary_state_name(record->primary), "since", (json_int_t)record->primary_since, "at",
	    (json_int_t)record->primary_at, "code", (int)record->primary_code, "reason", "", "hold",
	    held ? hold_kind_name(record->hold) : "none", "hold_until", until, "hold_reason", "");

	if (object == NULL)
		return true;
	(void)json_object_set_new(
	    object, "counted_at", json_integer((json_int_t)record->counted_at));
	if (record->counted_at > list->counted)
		list->counted = record->counted_at;
	(void)gather(object, list);
	json_decref(object);
	return true;
}

static int
list_state(const struct ctl *ctl, struct list *list)
{
	struct state *state = state_new(ctl->conf->paths.state_dir);
	enum state_result result = STATE_UNUSABLE;
	char age[SHOW_SIZE];

	if (state != NULL)
		result =
		    owner_state_begin(state, ctl->conf->paths.state_dir, snapshot_clock_boot_ms());
	if (result == STATE_OK) {
		result = state_each(state, gather_state, list);
		state_end(state);
	}
	state_free(state);
	if (result != STATE_OK) {
		ctl_say("mxhold-queued does not run, and there is no state to be read in %s",
		    ctl->conf->paths.state_dir);
		return CTL_UNAVAILABLE;
	}
	if (list->counted > 0)
		ctl_say("mxhold-queued does not run; what it knew %s ago:",
		    show_age(time(NULL) - list->counted, age));
	else
		ctl_say("mxhold-queued does not run");
	return CTL_OK;
}

struct shown {
	json_t *domain;
};

static int
compare(const void *a, const void *b)
{
	const struct shown *first = a, *second = b;

	return strcmp(show_text(first->domain, "domain"), show_text(second->domain, "domain"));
}

static void
print_list(const struct ctl *ctl, const json_t *domains)
{
	const size_t count = json_array_size(domains);
	struct shown *sorted = mem_resize(NULL, count + 1, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i].domain = json_array_get(domains, i);
	qsort(sorted, count, sizeof(*sorted), compare);
	if (!ctl->json && count > 0)
		show_heading();
	for (size_t i = 0; i < count; i++)
		if (ctl->json)
			print_json(sorted[i].domain);
		else
			show_domain(sorted[i].domain, time(NULL));
	free(sorted);
}

static int
queue_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"queue list",
	    "Shows each domain with held mail, or on hold: messages, bytes, age of the oldest, "
	    "its\n"
	    "primary and since when it is so, holds, and what will happen next. Without\n"
	    "mxhold-queued it shows what that knew last, and how long ago.\n",
	    NULL};
	struct queue_talk talk = {.socket = -1};
	struct list list = {.domains = json_array()};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code < 0 && count != 0)
		code = ctl_wrong(&usage, "no operand is wanted");
	if (code < 0)
		code = ctl_need_conf(ctl) ? queue_talk_open(&talk, ctl, true) : CTL_CONFIG;
	else
		goto done;
	if (code == CTL_OK)
		code = queue_talk_ask(&talk, request("list", NULL), QUEUE_TALK_MS, gather, &list);
	else if (code == CTL_UNAVAILABLE && talk.problem[0] == '\0') /* else it is there */
		code = list_state(ctl, &list);
	if (code == CTL_OK)
		print_list(ctl, list.domains);
done:
	queue_talk_close(&talk);
	json_decref(list.domains);
	return code;
}

/* --- show ------------------------------------------------------------------------------------- */

static void
show_held_by(const json_t *note)
{
	const int64_t until = show_number(note, "until");
	char when[SHOW_SIZE];

	fputs("held by ", stdout);
	show_safe(show_text(note, "by"));
	printf(
	    until == HOLD_FOREVER ? " until it is released" : " till %s", show_time(until, when));
	if (json_is_true(json_object_get(note, "silent")))
		fputs(", silent", stdout);
	if (*show_text(note, "reason") != '\0') {
		fputs(": ", stdout);
		show_safe(show_text(note, "reason"));
	}
	putchar('\n');
}

static bool
print_shown(const json_t *object, void *context)
{
	const struct ctl *ctl = context;
	const int64_t now = time(NULL);

	if (ctl->json)
		print_json(object);
	else if (json_object_get(object, "queue_id") != NULL)
		show_recipient(object, now);
	else if (json_object_get(object, "endpoints") != NULL)
		show_primary(object, now);
	else if (json_object_get(object, "held") != NULL)
		show_held_by(json_object_get(object, "held"));
	else if (json_object_get(object, "apart") != NULL)
		show_apart(object);
	else if (json_object_get(object, "more") != NULL)
		puts("... and more: see --limit");
	else {
		show_heading();
		show_domain(object, now);
		show_soc_hold(object);
	}
	return true;
}

static int
queue_show(struct ctl *ctl, int argc, char **argv)
{
	const char *limit = "1000";
	const struct ctl_option options[] = {
	    {"limit", "NUMBER", "recipients at most, to 10000 (default 1000)", &limit, NULL},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"queue show DOMAIN | ID [--limit NUMBER]",
	    "Shows what is held for a domain, or a message: each recipient, the attempts and the\n"
	    "last reply.\n",
	    options};
	struct target target = {.domain = ""};
	char *end;
	int code = begin(ctl, &usage, argc, argv, &target);

	if (code >= 0)
		return code;
	const long number = strtol(limit, &end, 10);
	if (*end != '\0' || number < 1 || number > 10000)
		return ctl_wrong(&usage, "--limit takes a number from 1 to 10000");
	json_t *object = request("show", &target);
	if (object != NULL)
		(void)json_object_set_new(object, "limit", json_integer(number));
	return order(ctl, object, print_shown, ctl);
}

/* --- hold, release, flush --------------------------------------------------------------------- */

struct hold {
	const char *span, *until, *reason;
	bool forever, silent;
};

/* "2026-12-01 08:00" in local time, with a Z in UTC; seconds since 1970. 0: none of these. */
static int64_t
parse_time(const char *text)
{
	static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
	    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
	const char *end;
	char *rest;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm parts = {.tm_isdst = -1};
		end = strptime(text, forms[i], &parts);
		if (end != NULL && *end == '\0')
			return (int64_t)mktime(&parts);
		if (end != NULL && strcmp(end, "Z") == 0)
			return (int64_t)timegm(&parts);
	}
	const long long number = strtoll(text, &rest, 10);
	return *rest == '\0' && number > 100000000 ? number : 0;
}

/* The end of the hold, 0: wrong (said). */
static int64_t
hold_end(const struct ctl_usage *usage, const struct hold *hold)
{
	const int64_t now = time(NULL);
	struct conf_value value = {.number = 0};
	int64_t end = 0;

	if ((hold->span != NULL) + (hold->until != NULL) + hold->forever != 1) {
		(void)ctl_wrong(usage, "one of --for, --until and --forever is wanted");
		return 0;
	}
	if (hold->forever)
		return HOLD_FOREVER;
	if (hold->span != NULL) {
		const char *wanted = conf_value_parse(CONF_DURATION, hold->span, &value);
		if (wanted != NULL || value.number <= 0)
			(void)ctl_wrong(usage, "--for takes a time with its unit, such as 2h");
		else if (value.number > HOLD_LAST - now)
			(void)ctl_wrong(usage, "--for ends after the year 9999: see --forever");
		else
			end = now + value.number;
	} else if ((end = parse_time(hold->until)) <= now) {
		(void)ctl_wrong(
		    usage, "--until takes a time to come, such as '2026-12-01 08:00' (local time)");
		end = 0;
	} else if (end > HOLD_LAST) {
		(void)ctl_wrong(usage, "--until lies after the year 9999: see --forever");
		end = 0;
	}
	return end;
}

static json_t *
hold_request(const struct target *target, const struct hold *hold, int64_t end)
{
	json_t *object = request("hold", target);

	if (object == NULL)
		return NULL;
	(void)json_object_set_new(object, "reason", json_string(hold->reason));
	if (target->domain[0] == '\0')
		return object;
	(void)json_object_set_new(
	    object, "until", end == HOLD_FOREVER ? json_null() : json_integer(end));
	(void)json_object_set_new(object, "silent", json_boolean(hold->silent));
	return object;
}

static int
queue_hold(struct ctl *ctl, int argc, char **argv)
{
	struct hold hold = {.reason = ""};
	const struct ctl_option options[] = {
	    {"for", "TIME", "it ends by itself after this time: 30m, 2h, 3d", &hold.span, NULL},
	    {"until", "TIME", "or then: '2026-12-01 08:00'", &hold.until, NULL},
	    {"forever", NULL, "or when it is released", NULL, &hold.forever},
	    {"reason", "TEXT", "for people, and for the journal", &hold.reason, NULL},
	    {"silent", NULL, "no alerts about the domain meanwhile", NULL, &hold.silent},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {
	    "queue hold DOMAIN --for TIME|--until TIME|--forever | queue hold ID",
	    "Holds a domain's mail, or a message: it is taken in, and not delivered. Mail that is "
	    "on\n"
	    "hold still expires; a single message on hold does not, and waits till it is\n"
	    "released. A hold of a domain outlives a restart, and leaves its subdomains out: it "
	    "says\n"
	    "which of them have held mail.\n",
	    options};
	struct target target = {.domain = ""};
	int code = begin(ctl, &usage, argc, argv, &target);
	int64_t end = HOLD_FOREVER;

	if (code >= 0)
		return code;
	if (target.domain[0] != '\0') {
		if ((end = hold_end(&usage, &hold)) == 0)
			return CTL_USAGE;
	} else if (hold.span != NULL || hold.until != NULL || hold.silent) {
		return ctl_wrong(&usage, "a single message is held until it is released");
	}
	return order(ctl, hold_request(&target, &hold, end), told, ctl);
}

static int
queue_release(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"queue release DOMAIN | ID",
	    "Ends an operator's hold of a domain, or of a message.\n", NULL};
	struct target target = {.domain = ""};
	int code = begin(ctl, &usage, argc, argv, &target);

	return code >= 0 ? code : order(ctl, request("release", &target), told, ctl);
}

static int
queue_flush(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"queue flush DOMAIN",
	    "Has all mail of a domain tried now, whatever is known of its primary.\n", NULL};
	struct target target = {.domain = ""};
	int code = begin(ctl, &usage, argc, argv, &target);

	if (code >= 0)
		return code;
	if (target.domain[0] == '\0')
		return ctl_wrong(&usage, "a domain is wanted");
	return order(ctl, request("flush", &target), told, ctl);
}

/* --- drop ------------------------------------------------------------------------------------- */

struct dropping {
	struct ctl *ctl;
	const struct target *target;
	int64_t messages, shared, bytes; /* asked about */
	int64_t newest;                  /* of them: what comes later stays */
	json_int_t taken, kept;
};

/* Of a domain: what would go. Of a message: its size. */
static bool
look(const json_t *object, void *context)
{
	struct dropping *dropping = context;
	const bool one = dropping->target->id[0] != '\0';

	if (one) {
		dropping->messages = 1;
		dropping->bytes = show_number(object, "size");
		if (!dropping->ctl->json)
			show_recipient(object, time(NULL));
	} else if (json_object_get(object, "messages") != NULL) {
		dropping->messages = show_number(object, "messages");
		dropping->shared = show_number(object, "shared");
		dropping->bytes = show_number(object, "bytes");
		dropping->newest = show_number(object, "newest");
	} else if (json_object_get(object, "apart") != NULL) {
		(void)told(object, dropping->ctl);
	}
	return true;
}

static void
say_shared(json_int_t count)
{
	if (count > 0)
		ctl_say("%lld more stay%s: for recipients of other domains too", (long long)count,
		    count == 1 ? "s" : "");
}

/* "2 messages (570 bytes)" */
static const char *
how_much(const struct dropping *dropping, char *out, size_t size)
{
	char bytes[SHOW_SIZE];

	(void)snprintf(out, size, "%lld message%s (%s%s)", (long long)dropping->messages,
	    dropping->messages == 1 ? "" : "s", show_bytes((uint64_t)dropping->bytes, bytes),
	    dropping->bytes == 1     ? " byte"
	    : dropping->bytes < 1024 ? " bytes"
				     : "iB");
	return out;
}

static bool
confirmed(const struct dropping *dropping)
{
	char much[64 + SHOW_SIZE], answer[16] = "";

	(void)how_much(dropping, much, sizeof(much));
	say_shared(dropping->shared);
	if (isatty(STDIN_FILENO) == 0) {
		ctl_say("%s would be removed: say --yes", much);
		return false;
	}
	fprintf(stderr, "Remove %s of %s for good? Their senders are not told. [y/N] ", much,
	    dropping->target->id[0] != '\0' ? dropping->target->id : dropping->target->domain);
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	ctl_say("nothing was removed");
	return false;
}

static bool
dropped(const json_t *object, void *context)
{
	struct dropping *dropping = context;

	if (json_object_get(object, "apart") != NULL)
		return true; /* said before it was asked */
	if (dropping->ctl->json)
		print_json(object);
	dropping->taken = show_number(object, "messages");
	dropping->kept = show_number(object, "shared");
	return true;
}

/* What is it about? */
static int
drop_look(struct dropping *dropping)
{
	const bool one = dropping->target->id[0] != '\0';
	json_t *object = request(one ? "show" : "drop", dropping->target);

	if (object != NULL && !one)
		(void)json_object_set_new(object, "ask", json_true());
	return order(dropping->ctl, object, look, dropping);
}

/* Only what it was asked about goes, though more may have come meanwhile. */
static json_t *
drop_request(const struct dropping *dropping, const char *reason)
{
	json_t *object = request("drop", dropping->target);

	if (object != NULL)
		(void)json_object_set_new(object, "reason", json_string(reason));
	if (object != NULL && dropping->newest > 0)
		(void)json_object_set_new(object, "newest", json_integer(dropping->newest));
	return object;
}

static int
drop(struct dropping *dropping, bool yes, const char *reason)
{
	int code = drop_look(dropping);

	if (code != CTL_OK)
		return code;
	if (dropping->messages == 0) {
		say_shared(dropping->shared);
		ctl_say("nothing is to be removed for %s", dropping->target->domain);
		return CTL_DATA;
	}
	if (!yes && !confirmed(dropping))
		return CTL_TEMPFAIL;
	code = order(dropping->ctl, drop_request(dropping, reason), dropped, dropping);
	if (code != CTL_OK)
		return code;
	ctl_say("%lld message%s %s being removed; the journal will say so",
	    (long long)dropping->taken, dropping->taken == 1 ? "" : "s",
	    dropping->taken == 1 ? "is" : "are");
	say_shared(dropping->kept);
	return CTL_OK;
}

static int
queue_drop(struct ctl *ctl, int argc, char **argv)
{
	const char *reason = "";
	bool yes = false;
	const struct ctl_option options[] = {
	    {"yes", NULL, "do not ask", NULL, &yes},
	    {"reason", "TEXT", "for people, and for the journal", &reason, NULL},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"queue drop DOMAIN | ID [--yes]",
	    "Removes a domain's held mail, or a message, for good; it says how much, and asks\n"
	    "first. The journal has each recipient as removed, with your login. Messages that are\n"
	    "for other domains too are kept, unless they are named by their id. Subdomains are "
	    "left\n"
	    "out: it says which of them have held mail.\n",
	    options};
	struct target target = {.domain = ""};
	struct dropping dropping = {.ctl = ctl, .target = &target};
	int code = begin(ctl, &usage, argc, argv, &target);

	return code >= 0 ? code : drop(&dropping, yes, reason);
}

int
ctl_verb_queue(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"list", "what is held, by domain, and what will happen with it", queue_list},
	    {"show", "the messages of a domain, or one message", queue_show},
	    {"alerts", "what was alerted of, and has not ended", queue_alerts},
	    {"hold", "hold a domain's mail, or a message", queue_hold},
	    {"release", "end a hold", queue_release},
	    {"flush", "have a domain's mail tried now", queue_flush},
	    {"drop", "remove a domain's mail, or a message", queue_drop},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "queue", verbs, argc, argv);
}
