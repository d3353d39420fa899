/*
 * figures: see figures.h. Old and new names come in one order, so that they are compared like two
 * sorted lists.
 */
#include "sync/figures.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What is told of a domain. */
struct told {
	uint64_t messages, bytes;
	int64_t oldest, since, until;
	uint32_t primary, code, hold, pad;
};

/* --- what a record tells ---------------------------------------------------------------------- */

static uint64_t
at_most(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : value;
}

static bool
is_ill(enum primary_state state)
{
	return state != PRIMARY_UNKNOWN && state != PRIMARY_UP;
}

static bool
has_to_tell(const struct state_domain *record, int64_t now, struct told *out)
{
	bool held = state_held(record, now);

	if (record->messages == 0 && !held && !is_ill(record->primary))
		return false;
	*out = (struct told){
	    .messages = at_most(record->messages),
	    .bytes = at_most(record->bytes),
	    .oldest = record->messages > 0 ? record->oldest : 0,
	    .primary = record->primary,
	    .since = record->primary_since,
	    .code = record->primary_code >= 100 ? record->primary_code : 0,
	    .hold = held ? record->hold : HOLD_NONE,
	    .until = held ? record->hold_until : 0,
	};
	return true;
}

static json_t *
number(int64_t value)
{
	return json_integer((json_int_t)value);
}

static char *
row_text(const char *name, const struct told *told)
{
	json_t *object;
	char *text;

	if (told == NULL)
		object = json_pack("{s:s}", "domain", name);
	else
		object = json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "domain", name,
		    "messages", number((int64_t)told->messages), "bytes",
		    number((int64_t)told->bytes), "oldest", number(told->oldest), "primary",
		    primary_state_name((enum primary_state)told->primary), "since",
		    number(told->since), "code", number(told->code), "hold",
		    told->hold != HOLD_NONE
			? json_string(hold_kind_name((enum hold_kind)told->hold))
			: json_null(),
		    "until", number(told->until));
	text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

/* --- parts -------------------------------------------------------------------------------------
 */

static bool
grow(void **memory, size_t *room, size_t wanted, size_t size)
{
	size_t more = *room > 0 ? *room : 64;
	void *bigger;

	while (more < wanted)
		more *= 2;
	if (more == *room)
		return true;
	bigger = realloc(*memory, more * size);
	if (bigger == NULL)
		return false;
	*memory = bigger;
	*room = more;
	return true;
}

static void
add_text(struct figures *figures, const char *text)
{
	size_t length = strlen(text);

	if (figures->failed ||
	    !grow((void **)&figures->rows, &figures->room, figures->length + length + 1, 1)) {
		figures->failed = true;
		return;
	}
	memcpy(figures->rows + figures->length, text, length + 1);
	figures->length += length;
}

/* `up_to`: "" for the end. */
static void
end_part(struct figures *figures, const char *up_to)
{
	struct figures_part *parts, *part;

	if (figures->row_count == 0)
		add_text(figures, "[");
	add_text(figures, "]");
	parts = realloc(figures->parts, (figures->part_count + 1) * sizeof *parts);
	if (figures->failed || parts == NULL) {
		figures->parts = parts != NULL ? parts : figures->parts;
		figures->failed = true;
		return;
	}
	figures->parts = parts;
	part = &parts[figures->part_count++];
	*part = (struct figures_part){.rows = figures->rows, .whole = figures->whole};
	memcpy(part->behind, figures->last, sizeof part->behind);
	snprintf(part->up_to, sizeof part->up_to, "%s", up_to);
	snprintf(figures->last, sizeof figures->last, "%s", up_to);
	figures->rows = NULL;
	figures->length = figures->room = figures->row_count = 0;
}

/* `told` NULL: it is gone. */
static void
tell(struct figures *figures, const char *name, const struct told *told)
{
	char *text = row_text(name, told);

	if (text == NULL)
		figures->failed = true;
	if (figures->failed) {
		free(text);
		return;
	}
	add_text(figures, figures->row_count++ == 0 ? "[" : ",");
	add_text(figures, text);
	free(text);
	if (figures->row_count == FIGURES_PART)
		end_part(figures, name);
}

static void
free_parts(struct figures *figures)
{
	size_t i;

	for (i = 0; i < figures->part_count; i++)
		free(figures->parts[i].rows);
	free(figures->parts);
	free(figures->rows);
	figures->parts = NULL;
	figures->rows = NULL;
	figures->part_count = figures->length = figures->room = figures->row_count = 0;
}

/* --- lists --------------------------------------------------------------------------------------
 */

static void
free_list(struct figures_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->known[i].name);
	free(list->known);
	*list = (struct figures_list){.known = NULL};
}

static bool
remember(struct figures_list *list, const char *name, uint64_t hash)
{
	char *copy;

	if (!grow((void **)&list->known, &list->room, list->count + 1, sizeof *list->known))
		return false;
	copy = strdup(name);
	if (copy == NULL)
		return false;
	list->known[list->count++] = (struct figures_known){.name = copy, .hash = hash};
	return true;
}

/* Passes over old names before `name` (NULL: all): they have nothing to tell any longer. */
static void
tell_gone(struct figures *figures, const char *name)
{
	const struct figures_known *known;

	for (; figures->old_at < figures->old.count; figures->old_at++) {
		known = &figures->old.known[figures->old_at];
		if (name != NULL && strcmp(known->name, name) >= 0)
			return;
		if (!figures->whole)
			tell(figures, known->name, NULL);
	}
}

static bool
was_told(struct figures *figures, const char *name, uint64_t hash)
{
	const struct figures_known *known;

	if (figures->old_at == figures->old.count)
		return false;
	known = &figures->old.known[figures->old_at];
	if (strcmp(known->name, name) != 0)
		return false;
	figures->old_at++;
	return known->hash == hash;
}

/* --- the look -----------------------------------------------------------------------------------
 */

void
figures_begin(struct figures *figures, bool whole, int64_t now)
{
	free_parts(figures);
	free_list(&figures->now);
	figures->old_at = 0;
	figures->whole = whole;
	figures->clock = now;
	figures->last[0] = '\0';
	figures->failed = false;
}

bool
figures_visit(const char *name, const struct state_domain *record, void *context)
{
	struct figures *figures = context;
	struct told told;
	uint64_t hash;
	bool known;

	if (!has_to_tell(record, figures->clock, &told))
		return !figures->failed;
	hash = XXH3_64bits(&told, sizeof told);
	tell_gone(figures, name);
	known = was_told(figures, name, hash);
	if (!known || figures->whole)
		tell(figures, name, &told);
	if (!remember(&figures->now, name, hash))
		figures->failed = true;
	return !figures->failed;
}

bool
figures_end(struct figures *figures)
{
	if (!figures->failed)
		tell_gone(figures, NULL);
	if (figures->whole || figures->row_count > 0)
		end_part(figures, "");
	return !figures->failed;
}

void
figures_told(struct figures *figures)
{
	free_parts(figures);
	free_list(&figures->old);
	figures->old = figures->now;
	figures->now = (struct figures_list){.known = NULL};
}

void
figures_clear(struct figures *figures)
{
	free_parts(figures);
	free_list(&figures->old);
	free_list(&figures->now);
}
