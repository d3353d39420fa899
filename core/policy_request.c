/*
 * policy_request: see policy_request.h. The protocol is that of Postfix's SMTPD_POLICY_README.
 *
 * In: bytes of one connection. Out: where a request ends, and its values. It must never guess: a
 * request that is not exactly of the protocol's form is an error, so that no value can be taken
 * for another's.
 */
#include "core/policy_request.h"

#include <string.h>

enum attribute {
	ATTRIBUTE_REQUEST,
	ATTRIBUTE_PROTOCOL_STATE,
	ATTRIBUTE_PROTOCOL_NAME,
	ATTRIBUTE_CLIENT_ADDRESS,
	ATTRIBUTE_HELO_NAME,
	ATTRIBUTE_SENDER,
	ATTRIBUTE_RECIPIENT,
	ATTRIBUTE_QUEUE_ID,
	ATTRIBUTE_INSTANCE,
	ATTRIBUTE_SIZE,
	ATTRIBUTE_COUNT,
};

#define NAME(text)                                                                                 \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}
static const struct {
	const char *text;
	size_t length;
} attribute_names[ATTRIBUTE_COUNT] = {
    [ATTRIBUTE_REQUEST] = NAME("request"),
    [ATTRIBUTE_PROTOCOL_STATE] = NAME("protocol_state"),
    [ATTRIBUTE_PROTOCOL_NAME] = NAME("protocol_name"),
    [ATTRIBUTE_CLIENT_ADDRESS] = NAME("client_address"),
    [ATTRIBUTE_HELO_NAME] = NAME("helo_name"),
    [ATTRIBUTE_SENDER] = NAME("sender"),
    [ATTRIBUTE_RECIPIENT] = NAME("recipient"),
    [ATTRIBUTE_QUEUE_ID] = NAME("queue_id"),
    [ATTRIBUTE_INSTANCE] = NAME("instance"),
    [ATTRIBUTE_SIZE] = NAME("size"),
};
#undef NAME

size_t
policy_request_length(const char *data, size_t length, size_t *resume)
{
	size_t from = *resume <= length ? *resume : 0;

	while (from < length) {
		const char *end = memchr(data + from, '\n', length - from);
		if (end == NULL)
			break;
		size_t at = (size_t)(end - data);
		if (at == 0 || data[at - 1] == '\n')
			return at + 1;
		from = at + 1;
	}
	*resume = length;
	return 0;
}

static enum attribute
find_attribute(const char *name, size_t length)
{
	enum attribute i = 0;

	while (i < ATTRIBUTE_COUNT && (attribute_names[i].length != length ||
					  memcmp(attribute_names[i].text, name, length) != 0))
		i++;
	return i;
}

/* A declared size: digits only. 0 is how Postfix says that none was declared. */
static bool
parse_size(const char *text, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		unsigned digit = (unsigned)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value == 0 ? POLICY_SIZE_UNKNOWN : value;
	return true;
}

/* One line `name=value`, its end already made NUL. Returns the fault, or NULL. */
static const char *
take_line(char *line, const char *values[ATTRIBUTE_COUNT])
{
	char *equals = strchr(line, '=');

	if (equals == NULL)
		return "a line without '='";
	if (equals == line)
		return "an attribute without a name";
	enum attribute attribute = find_attribute(line, (size_t)(equals - line));
	if (attribute == ATTRIBUTE_COUNT)
		return NULL;
	if (values[attribute] != NULL)
		return "an attribute is repeated";
	values[attribute] = equals + 1;
	return NULL;
}

/* Splits the request into its lines. Returns the fault, or NULL. */
static const char *
take_lines(char *data, size_t length, const char *values[ATTRIBUTE_COUNT])
{
	char *line = data;
	char *last = data + length - 1; /* the newline of the empty line */

	while (line < last) {
		char *end = memchr(line, '\n', (size_t)(last - line));
		if (end == NULL || end == line)
			return "more than one request, or less";
		*end = '\0';
		const char *fault = take_line(line, values);
		if (fault != NULL)
			return fault;
		line = end + 1;
	}
	return NULL;
}

static const char *
or_empty(const char *value)
{
	return value != NULL ? value : "";
}

bool
policy_request_parse(char *data, size_t length, struct policy_request *out, const char **error)
{
	const char *values[ATTRIBUTE_COUNT] = {NULL};
	uint64_t size = POLICY_SIZE_UNKNOWN;

	if (length > POLICY_REQUEST_MAX)
		*error = "the request is too long";
	else if (length < 2)
		*error = "the request is empty";
	else if (data[length - 1] != '\n' || data[length - 2] != '\n')
		*error = "the request has no end";
	else if (memchr(data, '\0', length) != NULL)
		*error = "a NUL byte";
	else
		*error = take_lines(data, length, values);
	if (*error != NULL)
		return false;
	if (values[ATTRIBUTE_SIZE] != NULL && !parse_size(values[ATTRIBUTE_SIZE], &size)) {
		*error = "the size is not a number";
		return false;
	}
	*out = (struct policy_request){
	    .request = or_empty(values[ATTRIBUTE_REQUEST]),
	    .protocol_state = or_empty(values[ATTRIBUTE_PROTOCOL_STATE]),
	    .protocol_name = or_empty(values[ATTRIBUTE_PROTOCOL_NAME]),
	    .client_address = or_empty(values[ATTRIBUTE_CLIENT_ADDRESS]),
	    .helo_name = or_empty(values[ATTRIBUTE_HELO_NAME]),
	    .sender = or_empty(values[ATTRIBUTE_SENDER]),
	    .recipient = or_empty(values[ATTRIBUTE_RECIPIENT]),
	    .queue_id = or_empty(values[ATTRIBUTE_QUEUE_ID]),
	    .instance = or_empty(values[ATTRIBUTE_INSTANCE]),
	    .size = size,
	};
	return true;
}
