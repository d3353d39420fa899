/*
 * postfix_queue: counts customers' mail in a queue (see postfix_queue.h).
 */
#include "ctl/postfix_queue.h"

#include "core/domain.h"
#include "core/snapshot.h"
#include "ctl/postfix_run.h"
#include "ctl/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define POSTQUEUE_SECONDS 30

bool
queue_line_counts(
    const char *line, bool (*is_ours)(void *context, const char *domain), void *context)
{
	json_t *message = json_loads(line, 0, NULL);
	const json_t *recipients = json_object_get(message, "recipients");
	bool counts = !json_is_array(recipients);
	for (size_t i = 0; !counts && i < json_array_size(recipients); i++) {
		const char *address =
		    json_string_value(json_object_get(json_array_get(recipients, i), "address"));
		const char *at = address != NULL ? strrchr(address, '@') : NULL;
		counts = address == NULL || (at != NULL && is_ours(context, at + 1));
	}
	json_decref(message);
	return counts;
}

/* A name that is none is no customer's; a damaged row may be. */
static bool
is_customers(void *context, const char *domain)
{
	struct domain_record record;
	char normal[DOMAIN_SIZE];
	if (!domain_normalise(domain, strlen(domain), normal))
		return false;
	return snapshot_domain_for(context, normal, &record, NULL) != SNAPSHOT_NOT_FOUND;
}

static bool
is_any(void *context, const char *domain)
{
	(void)context;
	(void)domain;
	return true;
}

static size_t
count_lines(char *listing, bool (*is_ours)(void *context, const char *domain), void *context)
{
	size_t count = 0;
	char *state = NULL;
	for (char *line = strtok_r(listing, "\n", &state); line != NULL;
	     line = strtok_r(NULL, "\n", &state))
		count += queue_line_counts(line, is_ours, context);
	return count;
}

static size_t
count_customers(const struct conf *conf, char *listing)
{
	struct snapshot *snapshot =
	    conf->relay.dedicated ? NULL : snapshot_new(conf->paths.state_dir, conf->relay.name);
	bool usable =
	    snapshot != NULL && snapshot_begin(snapshot, snapshot_clock_boot_ms()) == SNAPSHOT_OK;
	size_t count = count_lines(listing, usable ? is_customers : is_any, snapshot);
	if (usable)
		snapshot_end(snapshot);
	snapshot_free(snapshot);
	return count;
}

struct queue_count
queue_count(const struct conf *conf, const char *config_dir, bool verbose)
{
	const char *const argv[] = {"postqueue", "-c", config_dir, "-j", NULL};
	struct run_result result = run_program(argv, NULL, POSTQUEUE_SECONDS, verbose);
	struct queue_count count = {.at_least = result.cut || !result.ended};
	char *last = strrchr(result.output, '\n');
	if (last != NULL) /* what stands behind it is half a line */
		*last = '\0';
	count.messages = last != NULL ? count_customers(conf, result.output) : 0;
	count.known = (result.ended && result.status == 0) || count.messages > 0;
	if (!count.known)
		count.why = mem_copy(result.errors, strcspn(result.errors, "\n"));
	run_free(&result);
	return count;
}
