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
	ATTRIBUTE_NONE,
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

/* The attributes that we know, by the length of their names: most of a request's are none of ours.
 */
static const struct {
	const char *name;
	enum attribute attribute;
} attributes_of_length[][2] = {
    [4] = {{"size", ATTRIBUTE_SIZE}},
    [6] = {{"sender", ATTRIBUTE_SENDER}},
    [7] = {{"request", ATTRIBUTE_REQUEST}},
    [8] = {{"queue_id", ATTRIBUTE_QUEUE_ID}, {"instance", ATTRIBUTE_INSTANCE}},
    [9] = {{"recipient", ATTRIBUTE_RECIPIENT}, {"helo_name", ATTRIBUTE_HELO_NAME}},
    [13] = {{"protocol_name", ATTRIBUTE_PROTOCOL_NAME}},
    [14] = {{"protocol_state", ATTRIBUTE_PROTOCOL_STATE},
	{"client_address", ATTRIBUTE_CLIENT_ADDRESS}},
};

typedef unsigned char stride __attribute__((vector_size(16)));

/* Does a pair of newlines begin in the stride at `data`? One byte more is looked at. */
static bool
stride_has_pair(const char *data)
{
	stride first, second;
	uint64_t words[2];

	_Static_assert(sizeof(stride) == sizeof(words), "all of the stride is looked at");
	memcpy(&first, data, sizeof(first));
	memcpy(&second, data + 1, sizeof(second));
	const stride pairs = (stride)((first == '\n') & (second == '\n'));
	memcpy(words, &pairs, sizeof(words));
	return (words[0] | words[1]) != 0;
}

size_t
policy_request_length(const char *data, size_t length, size_t *resume)
{
	/* The last byte that was there may be the first of a pair. */
	size_t at = *resume > 0 && *resume <= length ? *resume - 1 : 0;

	if (length > 0 && data[0] == '\n')
		return 1;
	while (at + sizeof(stride) < length && !stride_has_pair(data + at))
		at += sizeof(stride);
	for (; at + 1 < length; at++) {
		if (data[at] == '\n' && data[at + 1] == '\n')
			return at + 2;
	}
	*resume = length;
	return 0;
}

static enum attribute
find_attribute(const char *name, size_t length)
{
	if (length >= sizeof(attributes_of_length) / sizeof(attributes_of_length[0]))
		return ATTRIBUTE_NONE;
	for (size_t i = 0; i < 2; i++) {
		const char *known = attributes_of_length[length][i].name;

		if (known != NULL && known[0] == name[0] && memcmp(known, name, length) == 0)
			return attributes_of_length[length][i].attribute;
	}
	return ATTRIBUTE_NONE;
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

/* One line `name=value` without its end. Returns the fault, or NULL. */
static const char *
take_line(char *line, size_t length, const char *values[ATTRIBUTE_COUNT])
{
	char *equals = memchr(line, '=', length);

	if (equals == NULL)
		return "a line without '='";
	if (equals == line)
		return "an attribute without a name";
	enum attribute attribute = find_attribute(line, (size_t)(equals - line));
	if (attribute == ATTRIBUTE_NONE)
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
		const char *fault = take_line(line, (size_t)(end - line), values);
		if (fault != NULL)
			return fault;
		*end = '\0'; /* after the line was read: a byte just written is slow to read */
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
