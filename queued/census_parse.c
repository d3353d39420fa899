/*
 * census_parse: one line of `postqueue -j` as a message (see census.h). Pure, on jansson. What is
 * missing or of another type makes the line broken; members that are not known are passed over, as
 * postqueue(1) wants it.
 */
#include "queued/census.h"

#include <jansson.h>
#include <string.h>

static const char *
text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static bool
number_of(const json_t *object, const char *name, int64_t most, int64_t *out)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value))
		return false;
	*out = json_integer_value(value);
	return *out >= 0 && *out <= most;
}

static bool
message_take(const json_t *object, struct census_message *out)
{
	int64_t arrival, size;

	out->queue_id = text_of(object, "queue_id");
	out->queue = text_of(object, "queue_name");
	out->sender = text_of(object, "sender");
	out->list = json_object_get(object, "recipients");
	if (out->queue_id == NULL || out->queue == NULL || out->sender == NULL ||
	    !json_is_array(out->list) ||
	    !number_of(object, "arrival_time", INT64_MAX / 1000000, &arrival) ||
	    !number_of(object, "message_size", INT64_MAX, &size))
		return false;
	const size_t length = strlen(out->queue_id);
	if (length == 0 || length >= JOURNAL_ID_SIZE ||
	    strspn(out->queue_id,
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != length)
		return false;
	out->arrived_at = arrival * 1000000;
	out->size = (uint64_t)size;
	out->recipients = json_array_size(out->list);
	return true;
}

bool
census_recipient(
    const struct census_message *message, size_t index, const char **address, const char **reason)
{
	const json_t *one = json_array_get(message->list, index);

	*address = text_of(one, "address");
	*reason = text_of(one, "delay_reason");
	if (*reason == NULL)
		*reason = "";
	return *address != NULL;
}

bool
census_parse(const char *line, size_t length,
    void (*visit)(const struct census_message *message, void *context), void *context)
{
	struct census_message message = {.queue_id = NULL};
	json_t *object = json_loadb(line, length, 0, NULL);
	const bool good = message_take(object, &message);

	if (good)
		visit(&message, context);
	json_decref(object);
	return good;
}
