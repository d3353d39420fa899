/*
 * helper_request: see helper_request.h. In: a line that may be anything, or a request. Out: the one
 * from the other. What is not exactly a request is none: no byte is skipped, folded or repaired.
 */
#include "core/helper_request.h"

#include <stdio.h>
#include <string.h>

#define QUEUE_ID_MIN 6
#define QUEUE_ID_MAX 20

static const char *const verb_names[HELPER_VERBS] = {
    [HELPER_PING] = "ping",
    [HELPER_DELETE] = "delete",
    [HELPER_HOLD] = "hold",
    [HELPER_RELEASE] = "release",
};

const char *
helper_verb_name(enum helper_verb verb)
{
	return (unsigned)verb < HELPER_VERBS ? verb_names[verb] : "?";
}

static bool
is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool
helper_queue_id(const char *id, size_t length)
{
	if (length < QUEUE_ID_MIN || length > QUEUE_ID_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_letter_or_digit(id[i]))
			return false;
	return true;
}

static bool
is_why(const char *why, size_t length)
{
	if (length == 0 || length >= HELPER_WHY_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!(why[i] >= 'a' && why[i] <= 'z') && why[i] != '-')
			return false;
	return true;
}

static bool
is_visible(char c)
{
	return c > ' ' && c <= '~';
}

static bool
is_by(const char *by, size_t length)
{
	if (length == 0 || length >= HELPER_BY_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_visible(by[i]))
			return false;
	return true;
}

/* --- requests ------------------------------------------------------------------------------- */

struct word {
	const char *at;
	size_t length;
};

/* Takes the next word; single blanks stand between. False: there is none. */
static bool
take_word(const char **at, size_t *left, struct word *out)
{
	const char *blank = memchr(*at, ' ', *left);

	out->at = *at;
	out->length = blank != NULL ? (size_t)(blank - *at) : *left;
	*left -= out->length;
	*at += out->length;
	if (blank != NULL) {
		(*at)++;
		(*left)--;
	}
	return out->length > 0;
}

static bool
is_word(const struct word *word, const char *text)
{
	return word->length == strlen(text) && memcmp(word->at, text, word->length) == 0;
}

static void
copy_word(char *out, const struct word *word)
{
	memcpy(out, word->at, word->length);
	out[word->length] = '\0';
}

bool
helper_request_parse(const char *line, size_t length, struct helper_request *out)
{
	struct word verb, id, why, by;

	memset(out, 0, sizeof(*out));
	if (length == strlen("ping") && memcmp(line, "ping", length) == 0)
		return true;
	if (length >= HELPER_LINE_MAX || length == 0 || line[length - 1] == ' ')
		return false;
	if (!take_word(&line, &length, &verb) || !take_word(&line, &length, &id) ||
	    !take_word(&line, &length, &why) || !take_word(&line, &length, &by) || length != 0)
		return false;
	for (enum helper_verb v = HELPER_DELETE; v < HELPER_VERBS; v++)
		if (is_word(&verb, verb_names[v]))
			out->verb = v;
	if (out->verb == HELPER_PING || !helper_queue_id(id.at, id.length) ||
	    !is_why(why.at, why.length) || !is_by(by.at, by.length))
		return false;
	copy_word(out->queue_id, &id);
	copy_word(out->why, &why);
	copy_word(out->by, &by);
	return true;
}

size_t
helper_request_print(const struct helper_request *request, char out[HELPER_LINE_MAX + 1])
{
	const char *why = request->why[0] != '\0' ? request->why : "none";
	const size_t id = strnlen(request->queue_id, sizeof(request->queue_id));
	char by[HELPER_BY_SIZE];

	if (request->verb == HELPER_PING)
		return (size_t)snprintf(out, HELPER_LINE_MAX + 1, "ping\n");
	if ((unsigned)request->verb >= HELPER_VERBS || !helper_queue_id(request->queue_id, id) ||
	    !is_why(why, strnlen(why, HELPER_WHY_SIZE)))
		return 0;
	(void)snprintf(
	    by, sizeof(by), "%.*s", HELPER_BY_SIZE - 1, request->by[0] != '\0' ? request->by : "-");
	for (char *c = by; *c != '\0'; c++)
		if (!is_visible(*c))
			*c = '_';
	return (size_t)snprintf(out, HELPER_LINE_MAX + 1, "%s %s %s %s\n",
	    verb_names[request->verb], request->queue_id, why, by);
}

/* --- answers -------------------------------------------------------------------------------- */

bool
helper_answer_parse(
    const char *line, size_t length, enum helper_answer *answer, char text[HELPER_ANSWER_MAX])
{
	static const char failed[] = "failed ";
	size_t used = 0;

	text[0] = '\0';
	*answer = HELPER_FAILED;
	if (length == 2 && memcmp(line, "ok", 2) == 0) {
		*answer = HELPER_DONE;
		return true;
	}
	if (length == 4 && memcmp(line, "gone", 4) == 0) {
		*answer = HELPER_GONE;
		return true;
	}
	if (length < strlen(failed) || memcmp(line, failed, strlen(failed)) != 0)
		return false;
	for (size_t i = strlen(failed); i < length && used < HELPER_ANSWER_MAX - 1; i++)
		if (line[i] >= ' ' && line[i] <= '~')
			text[used++] = line[i];
	text[used] = '\0';
	return true;
}
