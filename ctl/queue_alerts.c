/*
 * queue_alerts: see queue_alerts.h. It asks mxhold-queued, and changes nothing.
 */
#include "ctl/queue_alerts.h"

#include "ctl/queue_show.h"
#include "ctl/queue_talk.h"
#include "ctl/sub_verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool
gather(const json_t *object, void *context)
{
	(void)json_array_append_new(context, json_deep_copy(object));
	return true;
}

struct shown {
	const json_t *alert;
};

/* The oldest first; of equals by name. */
static int
compare(const void *a, const void *b)
{
	const json_t *first = ((const struct shown *)a)->alert;
	const json_t *second = ((const struct shown *)b)->alert;
	const int64_t one = show_number(first, "since"), other = show_number(second, "since");
	int order = one < other ? -1 : one > other;

	if (order == 0)
		order = strcmp(show_text(first, "domain"), show_text(second, "domain"));
	if (order == 0)
		order = strcmp(show_text(first, "alert"), show_text(second, "alert"));
	return order;
}

static void
show_alert(const json_t *alert, int64_t now)
{
	const int64_t since = show_number(alert, "since"), level = show_number(alert, "level");
	const char *domain = show_text(alert, "domain");
	char when[SHOW_SIZE], age[SHOW_SIZE], percent[SHOW_SIZE] = "-";

	if (level > 0)
		(void)snprintf(percent, sizeof(percent), "%" PRId64 "%%", level);
	printf("%-11s %-32s %5s  %-16s %7s  ", show_text(alert, "alert"),
	    *domain != '\0' ? domain : "-", percent, show_time(since, when),
	    show_age(now - since, age));
	show_safe(show_text(alert, "text"));
	putchar('\n');
}

static void
print_alerts(const struct ctl *ctl, const json_t *alerts)
{
	const size_t count = json_array_size(alerts);
	struct shown *sorted = mem_resize(NULL, count + 1, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i].alert = json_array_get(alerts, i);
	qsort(sorted, count, sizeof(*sorted), compare);
	if (!ctl->json && count > 0)
		printf("%-11s %-32s %5s  %-16s %7s  %s\n", "ALERT", "DOMAIN", "LEVEL", "SINCE",
		    "FOR", "TEXT");
	for (size_t i = 0; i < count; i++) {
		if (!ctl->json) {
			show_alert(sorted[i].alert, time(NULL));
			continue;
		}
		json_dumpf(sorted[i].alert, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	}
	free(sorted);
}

int
queue_alerts(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"queue alerts",
	    "Shows the alerts that were told and have not ended, the oldest first: which, of what\n"
	    "domain, at which level, since when and why.\n",
	    NULL};
	struct queue_talk talk = {.socket = -1};
	json_t *alerts = json_array();
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code < 0 && count != 0)
		code = ctl_wrong(&usage, "no operand is wanted");
	if (code < 0) {
		code = ctl_need_conf(ctl) ? queue_talk_open(&talk, ctl, false) : CTL_CONFIG;
		if (code == CTL_OK)
			code = queue_talk_ask(&talk,
			    json_pack("{s:s, s:s}", "do", "alerts", "by", queue_talk_by()),
			    QUEUE_TALK_MS, gather, alerts);
		if (code == CTL_OK)
			print_alerts(ctl, alerts);
	}
	queue_talk_close(&talk);
	json_decref(alerts);
	return code;
}
