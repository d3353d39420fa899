/*
 * journal: rows of the regional journal as plain data and as JSON (see journal.h).
 *
 * In: rows, or text that may be anything. Out: text that is always UTF-8, or rows whose every field
 * is within its bounds. Never touches a descriptor or the clock.
 */
#include "core/journal.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char *const outcome_names[] = {
    [OUTCOME_HELD] = "held",
    [OUTCOME_DELIVERED] = "delivered",
    [OUTCOME_REFUSED] = "refused",
    [OUTCOME_EXPIRED] = "expired",
    [OUTCOME_REMOVED] = "removed",
    [OUTCOME_UNACCOUNTED] = "unaccounted",
};
#define OUTCOMES (sizeof(outcome_names) / sizeof(outcome_names[0]))

const char *
journal_outcome_name(enum journal_outcome outcome)
{
	return (size_t)outcome < OUTCOMES ? outcome_names[outcome] : "held";
}

/* --- the fields ------------------------------------------------------------------------------ */

enum field_type { FIELD_TEXT, FIELD_TIME, FIELD_COUNT, FIELD_SIZE, FIELD_OUTCOME };

struct field {
	const char *name;
	size_t offset;
	size_t size;
	enum field_type type;
	bool own; /* mxhold-queued's own: not shipped */
};

#define FIELD(member, is)                                                                          \
	{                                                                                          \
		.name = #member, .type = (is), .offset = offsetof(struct journal_row, member),     \
		.size = sizeof(((struct journal_row *)0)->member)                                  \
	}
#define OWN_FIELD(member, is)                                                                      \
	{                                                                                          \
		.name = #member, .type = (is), .offset = offsetof(struct journal_row, member),     \
		.size = sizeof(((struct journal_row *)0)->member), .own = true                     \
	}

static const struct field fields[] = {
    FIELD(queue_id, FIELD_TEXT),
    FIELD(recipient, FIELD_TEXT),
    FIELD(domain, FIELD_TEXT),
    FIELD(sender, FIELD_TEXT),
    FIELD(client, FIELD_TEXT),
    FIELD(size, FIELD_SIZE),
    FIELD(accepted_at, FIELD_TIME),
    FIELD(first_attempt, FIELD_TIME),
    FIELD(last_attempt, FIELD_TIME),
    FIELD(attempts, FIELD_COUNT),
    FIELD(outcome, FIELD_OUTCOME),
    FIELD(outcome_at, FIELD_TIME),
    FIELD(by, FIELD_TEXT),
    FIELD(primary, FIELD_TEXT),
    FIELD(reply, FIELD_TEXT),
    FIELD(code, FIELD_TEXT),
    OWN_FIELD(refusals, FIELD_COUNT),
    OWN_FIELD(first_refusal, FIELD_TIME),
    OWN_FIELD(last_refusal, FIELD_TIME),
    OWN_FIELD(unknown_user, FIELD_COUNT),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* --- text ----------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at `bytes` (RFC 3629), 0: there is none. */
static size_t
utf8_character(const unsigned char *bytes, size_t length)
{
	static const struct {
		unsigned char first, last, low, high; /* of the first byte, of the second */
		unsigned char length;
	} forms[] = {
	    {0x01, 0x7f, 0x00, 0xff, 1},
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3},
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const size_t wanted = forms[i].length;
		if (bytes[0] < forms[i].first || bytes[0] > forms[i].last || wanted > length)
			continue;
		bool good = wanted == 1 || (bytes[1] >= forms[i].low && bytes[1] <= forms[i].high);
		for (size_t k = 2; good && k < wanted; k++)
			good = bytes[k] >= 0x80 && bytes[k] <= 0xbf;
		if (good)
			return wanted;
	}
	return 0;
}

/* As UTF-8, each wrong byte as U+FFFD. `out` holds three times the text and its NUL. */
static size_t
utf8_clean(const char *text, char *out)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t left = strlen(text), used = 0;

	while (left > 0) {
		const size_t length = utf8_character(bytes, left);
		memcpy(out + used, length > 0 ? (const char *)bytes : "\xef\xbf\xbd",
		    length > 0 ? length : 3);
		used += length > 0 ? length : 3;
		bytes += length > 0 ? length : 1;
		left -= length > 0 ? length : 1;
	}
	out[used] = '\0';
	return used;
}

/* At most `room` bytes of it, without half a character at the end. */
static size_t
utf8_fitting(const char *bytes, size_t length, size_t room)
{
	if (length <= room)
		return length;
	size_t end = room;
	while (end > 0 && room - end < 4 && ((unsigned char)bytes[end] & 0xc0) == 0x80)
		end--;
	return room - end < 4 ? end : room;
}

bool
journal_text(char *out, size_t size, const char *bytes, size_t length)
{
	const size_t taken = utf8_fitting(bytes, length, size - 1);

	for (size_t i = 0; i < taken; i++)
		out[i] = bytes[i] != '\0' ? bytes[i] : '?';
	out[taken] = '\0';
	return taken == length;
}

void
journal_address(char out[JOURNAL_ADDRESS_SIZE], const char *bytes, size_t length)
{
	enum { TAIL = 1 + 16 };

	if (length < JOURNAL_ADDRESS_SIZE) {
		journal_text(out, JOURNAL_ADDRESS_SIZE, bytes, length);
		return;
	}
	journal_text(out, JOURNAL_ADDRESS_SIZE - TAIL, bytes, length);
	const size_t used = strlen(out);
	snprintf(out + used, JOURNAL_ADDRESS_SIZE - used, "~%016llx",
	    (unsigned long long)XXH3_64bits(bytes, length));
}

size_t
journal_key(char out[JOURNAL_KEY_SIZE], const char *queue_id, const char *recipient)
{
	size_t used = strnlen(queue_id, JOURNAL_ID_SIZE - 1);

	memcpy(out, queue_id, used);
	out[used++] = '\0';
	for (; *recipient != '\0' && used < JOURNAL_KEY_SIZE - 1; recipient++)
		out[used++] = (char)(*recipient >= ' ' && *recipient <= '~' ? *recipient : '?');
	out[used] = '\0';
	return used;
}

/* --- to JSON and back --------------------------------------------------------------------- */

static int64_t
number_of(const struct field *field, const void *at)
{
	if (field->type == FIELD_COUNT)
		return *(const uint32_t *)at;
	if (field->type == FIELD_SIZE) {
		const uint64_t size = *(const uint64_t *)at;
		return size > INT64_MAX ? INT64_MAX : (int64_t)size;
	}
	return *(const int64_t *)at;
}

static json_t *
field_print(const struct field *field, const struct journal_row *row)
{
	const void *at = (const char *)row + field->offset;
	char clean[3 * sizeof(row->reply) + 1];

	if (field->type == FIELD_OUTCOME)
		return json_string(journal_outcome_name(row->outcome));
	if (field->type == FIELD_TEXT)
		return json_stringn(clean, utf8_clean(at, clean));
	return json_integer(number_of(field, at));
}

char *
journal_row_print(const struct journal_row *row, bool all)
{
	json_t *object = json_pack("{s:s}", "kind", "message");
	char *text = NULL;
	bool good = object != NULL;

	for (size_t i = 0; good && i < FIELDS; i++)
		if (all || !fields[i].own) /* takes over the value, NULL included */
			good = json_object_set_new(
				   object, fields[i].name, field_print(&fields[i], row)) == 0;
	if (good)
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

static bool
outcome_parse(const char *name, enum journal_outcome *out)
{
	for (size_t i = 0; i < OUTCOMES; i++)
		if (strcmp(outcome_names[i], name) == 0) {
			*out = (enum journal_outcome)i;
			return true;
		}
	return false;
}

static bool
field_parse(const struct field *field, const json_t *value, struct journal_row *out)
{
	void *at = (char *)out + field->offset;

	if (field->type == FIELD_OUTCOME)
		return json_is_string(value) && outcome_parse(json_string_value(value), at);
	if (field->type == FIELD_TEXT) /* what was not UTF-8 has grown, and may be cut */
		return json_is_string(value) &&
		       (journal_text(
			    at, field->size, json_string_value(value), json_string_length(value)) ||
			   at != (void *)out->queue_id);
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	const json_int_t number = json_integer_value(value);
	if (field->type == FIELD_COUNT && number > UINT32_MAX)
		return false;
	if (field->type == FIELD_COUNT)
		*(uint32_t *)at = (uint32_t)number;
	else if (field->type == FIELD_SIZE)
		*(uint64_t *)at = (uint64_t)number;
	else
		*(int64_t *)at = number;
	return true;
}

static bool
row_take(const json_t *object, struct journal_row *out)
{
	const char *kind = json_string_value(json_object_get(object, "kind"));
	bool good = kind != NULL && strcmp(kind, "message") == 0;

	for (size_t i = 0; good && i < FIELDS; i++) {
		const json_t *value = json_object_get(object, fields[i].name);
		good = value != NULL ? field_parse(&fields[i], value, out) : fields[i].own;
	}
	return good && out->queue_id[0] != '\0' && out->recipient[0] != '\0';
}

bool
journal_row_parse(const char *text, size_t length, struct journal_row *out)
{
	json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);

	memset(out, 0, sizeof(*out));
	const bool good = row_take(object, out);
	json_decref(object);
	return good;
}

/* --- long queue ids --------------------------------------------------------------------------- */

/* Reads `count` digits of base 52 (Postfix: src/global/mail_queue.h, safe_ultostr.c). */
static bool
base52(const char *digits, size_t count, int64_t *out)
{
	static const char alphabet[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

	*out = 0;
	for (size_t i = 0; i < count; i++) {
		const char *at = memchr(alphabet, digits[i], sizeof(alphabet) - 1);
		if (at == NULL)
			return false;
		*out = *out * 52 + (at - alphabet);
	}
	return true;
}

int64_t
journal_queue_id_time(const char *queue_id)
{
	enum { SECONDS = 6, MICROSECONDS = 4, TIME = SECONDS + MICROSECONDS };
	int64_t seconds, microseconds;
	const size_t length = strnlen(queue_id, JOURNAL_ID_SIZE);

	/* Behind the time stand a 'z' and the inode, in base 51: without 'z'. */
	if (length <= TIME + 1 || length >= JOURNAL_ID_SIZE || queue_id[TIME] != 'z' ||
	    strchr(queue_id + TIME + 1, 'z') != NULL)
		return 0;
	if (!base52(queue_id, SECONDS, &seconds) ||
	    !base52(queue_id + SECONDS, MICROSECONDS, &microseconds) || microseconds >= 1000000)
		return 0;
	return seconds * 1000000 + microseconds;
}
