/*
 * verb_primary: `mxholdctl primary status|probe|watch`: how the customers' own servers are, as
 * mxhold-queued sees them. It asks there, and changes nothing.
 */
#include "ctl/queue_show.h"
#include "ctl/queue_talk.h"
#include "ctl/sub_verb.h"

#include "core/domain.h"
#include "core/snapshot.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBE_MS 30000 /* how long a new finding is waited for */
#define PROBE_STEP_MS 300

struct view {
	const struct ctl *ctl;
	int64_t since; /* a finding at or after this is the one that is waited for */
	bool found, up, heard;
	json_t *last; /* of `probe` */
	json_t *all;  /* array, of `status` */
};

static void
print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* a terminal may read it */
	putchar('\n');
	fflush(stdout);
}

static bool
print_primary(const json_t *object, void *context)
{
	struct view *view = context;

	view->found = true;
	view->up = strcmp(show_text(object, "primary"), "up") == 0;
	if (view->ctl->json)
		print_json(object);
	else
		show_primary(object, time(NULL));
	return true;
}

static bool
gather(const json_t *object, void *context)
{
	const struct view *view = context;

	(void)json_array_append_new(view->all, json_deep_copy(object));
	return true;
}

struct shown {
	const json_t *primary;
};

static int
compare(const void *a, const void *b)
{
	const struct shown *first = a, *second = b;

	return strcmp(show_text(first->primary, "domain"), show_text(second->primary, "domain"));
}

/* By name, as `queue list` shows them. */
static void
print_all(struct view *view)
{
	const size_t count = json_array_size(view->all);
	struct shown *sorted = mem_resize(NULL, count + 1, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i].primary = json_array_get(view->all, i);
	qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < count; i++)
		(void)print_primary(sorted[i].primary, view);
	free(sorted);
}

/* Parses the command line: at most one domain; *name is NULL or normal. -1: go on. */
static int
begin(struct ctl *ctl, const struct ctl_usage *usage, int argc, char **argv, int least,
    char name[DOMAIN_SIZE])
{
	char **operands;
	int count, code = ctl_options(ctl, usage, argc, argv, &operands, &count);

	name[0] = '\0';
	if (code >= 0)
		return code;
	if (count < least || count > 1)
		return ctl_wrong(usage, least == 1 ? "one domain is wanted" : "one domain at most");
	if (count == 1 && !domain_normalise(operands[0], strlen(operands[0]), name)) {
		ctl_say("%s is no mail domain", operands[0]);
		return CTL_DATA;
	}
	return ctl_need_conf(ctl) ? -1 : CTL_CONFIG;
}

static json_t *
request(const char *what, const char *name)
{
	json_t *object = json_pack("{s:s, s:s}", "do", what, "by", queue_talk_by());

	if (object != NULL && name[0] != '\0')
		(void)json_object_set_new(object, "domain", json_string(name));
	return object;
}

static int
primary_status(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"primary status [DOMAIN]",
	    "Shows the primaries of domains with held mail, and when each is probed next. With a\n"
	    "domain, exit status 0: it is up; 75: it is not; 65: it is not watched.\n",
	    NULL};
	struct queue_talk talk = {.socket = -1};
	struct view view = {.ctl = ctl};
	char name[DOMAIN_SIZE];
	int code = begin(ctl, &usage, argc, argv, 0, name);

	if (code >= 0)
		return code;
	view.all = json_array();
	code = queue_talk_open(&talk, ctl, false);
	if (code == CTL_OK)
		code =
		    queue_talk_ask(&talk, request("primaries", name), QUEUE_TALK_MS, gather, &view);
	queue_talk_close(&talk);
	print_all(&view);
	json_decref(view.all);
	if (code != CTL_OK || name[0] == '\0')
		return code;
	if (!view.found)
		ctl_say("%s is not watched: nothing is held for it", name);
	return !view.found ? CTL_DATA : view.up ? CTL_OK : CTL_TEMPFAIL;
}

/* --- probe ------------------------------------------------------------------------------------ */

static bool
look_primary(const json_t *object, void *context)
{
	struct view *view = context;

	json_decref(view->last);
	view->last = json_deep_copy(object);
	view->heard = show_number(object, "at") >= view->since &&
		      !json_is_true(json_object_get(object, "reading"));
	return true;
}

static int
wait_for_finding(struct queue_talk *talk, const char *name, struct view *view)
{
	const int64_t deadline = snapshot_clock_boot_ms() + PROBE_MS;
	int code = CTL_OK;

	while (code == CTL_OK && !view->heard && snapshot_clock_boot_ms() < deadline) {
		(void)poll(NULL, 0, PROBE_STEP_MS);
		code = queue_talk_ask(
		    talk, request("primaries", name), QUEUE_TALK_MS, look_primary, view);
	}
	return code;
}

static int
primary_probe(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"primary probe DOMAIN",
	    "Has the primary of a domain with held mail probed now, and shows what was found. No\n"
	    "message is offered to it. Exit status 0: it is up; 75: it is not; 65: it is not\n"
	    "watched.\n",
	    NULL};
	struct queue_talk talk = {.socket = -1};
	struct view view = {.ctl = ctl, .since = time(NULL)};
	char name[DOMAIN_SIZE];
	int code = begin(ctl, &usage, argc, argv, 1, name);

	if (code >= 0)
		return code;
	code = queue_talk_open(&talk, ctl, false);
	if (code == CTL_OK)
		code = queue_talk_ask(&talk, request("probe", name), QUEUE_TALK_MS, NULL, NULL);
	if (code == CTL_OK)
		code = wait_for_finding(&talk, name, &view);
	queue_talk_close(&talk);
	if (code == CTL_OK && view.last != NULL)
		(void)print_primary(view.last, &view);
	json_decref(view.last);
	if (code != CTL_OK)
		return code;
	if (!view.heard)
		ctl_say("the probe found nothing new in %d s", PROBE_MS / 1000);
	return view.up ? CTL_OK : CTL_TEMPFAIL;
}

/* --- watch ------------------------------------------------------------------------------------ */

static bool
print_change(const json_t *object, void *context)
{
	const struct view *view = context;
	char when[SHOW_SIZE], next[64];
	const time_t now = time(NULL);
	struct tm parts;

	if (view->ctl->json) {
		print_json(object);
		return true;
	}
	if (localtime_r(&now, &parts) == NULL ||
	    strftime(when, sizeof(when), "%H:%M:%S", &parts) == 0)
		when[0] = '\0';
	printf("%s %s: ", when, show_text(object, "domain"));
	if (json_is_true(json_object_get(object, "gone"))) {
		fputs("nothing is held any more\n", stdout);
	} else {
		printf("%s, %lld held, %s", show_text(object, "primary"),
		    (long long)show_number(object, "messages"),
		    show_next(object, next, sizeof(next)));
		if (*show_text(object, "reason") != '\0') {
			fputs(" (", stdout);
			show_safe(show_text(object, "reason"));
			putchar(')');
		}
		putchar('\n');
	}
	fflush(stdout);
	return ferror(stdout) == 0;
}

static int
primary_watch(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"primary watch [DOMAIN]",
	    "Shows each change as it happens, until it is interrupted.\n", NULL};
	struct queue_talk talk = {.socket = -1};
	struct view view = {.ctl = ctl};
	char name[DOMAIN_SIZE];
	int code = begin(ctl, &usage, argc, argv, 0, name);

	if (code >= 0)
		return code;
	code = queue_talk_open(&talk, ctl, false);
	if (code == CTL_OK)
		code = queue_talk_ask(&talk, request("watch", name), -1, print_change, &view);
	queue_talk_close(&talk);
	return code;
}

int
ctl_verb_primary(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"status", "how the primaries of domains with held mail are", primary_status},
	    {"probe", "have one probed now", primary_probe},
	    {"watch", "show each change as it happens", primary_watch},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "primary", verbs, argc, argv);
}
