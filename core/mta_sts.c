/*
 * mta_sts: see mta_sts.h. In: bytes that strangers serve. Out: a policy, or why it is none. What
 * RFC 8461 tells a reader to pass over (unknown fields, repeated ones) is passed over.
 */
#include "core/mta_sts.h"

#include <stdio.h>
#include <string.h>

#define MAX_AGE_MOST 31557600u

struct word {
	const char *at;
	size_t length;
};

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

static struct word
trimmed(const char *at, size_t length)
{
	for (; length > 0 && is_blank(at[0]); length--)
		at++;
	for (; length > 0 && is_blank(at[length - 1]); length--)
		;
	return (struct word){at, length};
}

static bool
is(struct word word, const char *text)
{
	return word.length == strlen(text) && memcmp(word.at, text, word.length) == 0;
}

const char *
mta_sts_mode_name(enum mta_sts_mode mode)
{
	static const char *const names[] = {
	    [MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce"};

	return (size_t)mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "?";
}

/* Takes what stands before `mark` off the front of *rest. */
static struct word
take_until(struct word *rest, char mark)
{
	const char *end = memchr(rest->at, mark, rest->length);
	const size_t length = end != NULL ? (size_t)(end - rest->at) : rest->length;
	const struct word taken = {rest->at, length};
	const size_t skip = end != NULL ? length + 1 : length;

	rest->at += skip;
	rest->length -= skip;
	return taken;
}

/* --- the record ------------------------------------------------------------------------------ */

static bool
is_id(struct word word)
{
	for (size_t i = 0; i < word.length; i++) {
		const char byte = word.at[i];

		if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
			(byte >= 'A' && byte <= 'Z')))
			return false;
	}
	return word.length > 0 && word.length < MTA_STS_ID_SIZE;
}

bool
mta_sts_record(const char *text, size_t length, char id[MTA_STS_ID_SIZE])
{
	struct word rest = {text, length};
	bool found = false;
	struct word field = take_until(&rest, ';');

	/* The version comes first and has no blank within (its ABNF); the id may be anywhere. */
	if (!is(trimmed(field.at, field.length), "v=STSv1") || (length > 0 && is_blank(text[0])))
		return false;
	while (rest.length > 0) {
		field = take_until(&rest, ';');
		const struct word key = take_until(&field, '=');
		const struct word value = trimmed(field.at, field.length);

		if (found || !is(trimmed(key.at, key.length), "id"))
			continue;
		if (!is_id(value))
			return false;
		memcpy(id, value.at, value.length);
		id[value.length] = '\0';
		found = true;
	}
	return found;
}

/* --- the policy ------------------------------------------------------------------------------ */

enum field { FIELD_VERSION = 1, FIELD_MODE = 2, FIELD_MAX_AGE = 4, FIELD_MX = 8 };

struct parse {
	struct mta_sts_policy *out;
	unsigned seen; /* fields */
	const char *problem;
};

static void
take_mode(struct parse *parse, struct word value)
{
	for (enum mta_sts_mode mode = MTA_STS_NONE; mode <= MTA_STS_ENFORCE; mode++)
		if (is(value, mta_sts_mode_name(mode))) {
			parse->out->mode = mode;
			return;
		}
	parse->problem = "its mode is none of enforce, testing, none";
}

static void
take_max_age(struct parse *parse, struct word value)
{
	uint64_t number = 0;

	if (value.length == 0 || value.length > 10)
		parse->problem = "its max_age is no number of seconds";
	for (size_t i = 0; i < value.length && parse->problem == NULL; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			parse->problem = "its max_age is no number of seconds";
		number = number * 10 + (uint64_t)(value.at[i] - '0');
	}
	parse->out->max_age = number > MAX_AGE_MOST ? MAX_AGE_MOST : (uint32_t)number;
}

static void
take_mx(struct parse *parse, struct word value)
{
	struct mta_sts_policy *out = parse->out;
	const bool wild = value.length > 2 && value.at[0] == '*' && value.at[1] == '.';
	char name[DOMAIN_SIZE];

	if (!domain_normalise(value.at + (wild ? 2 : 0), value.length - (wild ? 2 : 0), name)) {
		parse->problem = "one of its mx patterns is no host name";
		return;
	}
	if (out->mx_count == MTA_STS_MX_MOST) {
		parse->problem = "it has more mx patterns than we read";
		return;
	}
	char *pattern = out->mx[out->mx_count++];
	(void)snprintf(pattern, sizeof(out->mx[0]), "%s%s", wild ? "*." : "", name);
}

static const struct {
	const char *name;
	enum field field;
	void (*take)(struct parse *parse, struct word value);
} fields[] = {
    {"version", FIELD_VERSION, NULL},
    {"mode", FIELD_MODE, take_mode},
    {"max_age", FIELD_MAX_AGE, take_max_age},
    {"mx", FIELD_MX, take_mx},
};

static void
take_line(struct parse *parse, struct word line)
{
	const struct word key = take_until(&line, ':');
	const struct word name = trimmed(key.at, key.length);
	const struct word value = trimmed(line.at, line.length);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!is(name, fields[i].name))
			continue;
		if ((parse->seen & fields[i].field) && fields[i].field != FIELD_MX)
			return; /* the first one counts */
		parse->seen |= fields[i].field;
		if (fields[i].field == FIELD_VERSION && !is(value, "STSv1"))
			parse->problem = "its version is not STSv1";
		else if (fields[i].take != NULL)
			fields[i].take(parse, value);
	}
}

bool
mta_sts_policy_parse(
    const char *text, size_t length, struct mta_sts_policy *out, const char **problem)
{
	struct parse parse = {.out = out};
	struct word rest = {text, length};

	memset(out, 0, sizeof(*out));
	if (length > MTA_STS_POLICY_MAX)
		parse.problem = "it is longer than 64 KiB";
	while (rest.length > 0 && parse.problem == NULL) {
		struct word line = take_until(&rest, '\n');

		if (line.length > 0 && line.at[line.length - 1] == '\r')
			line.length--;
		take_line(&parse, line);
	}
	if (parse.problem == NULL && !(parse.seen & FIELD_VERSION))
		parse.problem = "it has no version";
	else if (parse.problem == NULL && !(parse.seen & FIELD_MODE))
		parse.problem = "it has no mode";
	else if (parse.problem == NULL && !(parse.seen & FIELD_MAX_AGE))
		parse.problem = "it has no max_age";
	else if (parse.problem == NULL && out->mode != MTA_STS_NONE && out->mx_count == 0)
		parse.problem = "it names no mx";
	*problem = parse.problem;
	return parse.problem == NULL;
}

bool
mta_sts_permits(const struct mta_sts_policy *policy, const char *host)
{
	const char *parent = strchr(host, '.');

	if (policy->mode == MTA_STS_NONE)
		return true;
	for (size_t i = 0; i < policy->mx_count; i++) {
		const char *pattern = policy->mx[i];

		if (strcmp(pattern, host) == 0)
			return true;
		/* The asterisk stands for one label, the leftmost. */
		if (pattern[0] == '*' && parent != NULL && strcmp(pattern + 1, parent) == 0)
			return true;
	}
	return false;
}
