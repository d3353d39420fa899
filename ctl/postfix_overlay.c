/*
 * postfix_overlay: reads overlay.conf into a list of items (see postfix_overlay.h).
 *
 * The syntax is INI with continuation lines: sections and values are longer than inih takes.
 */
#include "ctl/postfix_overlay.h"

#include "ctl/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct overlay *overlay;
	const char *name;
	FILE *errors;
	bool failed;
	char *section;       /* of the item that is being read */
	struct strings seen; /* sections, so that none stands twice */
};

struct word {
	const char *text;
	int value;
};

static const struct word scopes[] = {{"dedicated", OVERLAY_DEDICATED}, {"shared", OVERLAY_SHARED},
    {"both", OVERLAY_BOTH}, {NULL, 0}};
static const struct word targets[] = {
    {"main", OVERLAY_MAIN}, {"service", OVERLAY_SERVICE}, {"option", OVERLAY_OPTION}, {NULL, 0}};
static const struct word kinds[] = {{"set", OVERLAY_SET}, {"first", OVERLAY_FIRST},
    {"insert", OVERLAY_INSERT}, {"last", OVERLAY_LAST}, {"gate", OVERLAY_GATE},
    {"without", OVERLAY_WITHOUT}, {"apart", OVERLAY_APART}, {"floor", OVERLAY_FLOOR}, {NULL, 0}};
static const struct word whens[] = {
    {"certificate", OVERLAY_CERTIFICATE}, {"recipient-maps", OVERLAY_RECIPIENT_MAPS}, {NULL, 0}};

static bool
find_word(const struct word *words, const char *text, int *value)
{
	for (; words->text != NULL; words++)
		if (strcmp(words->text, text) == 0) {
			*value = words->value;
			return true;
		}
	return false;
}

static void
complain(struct reader *reader, const char *what, const char *which)
{
	reader->failed = true;
	fprintf(reader->errors, "%s: [%s]: %s %s\n", reader->name,
	    reader->section != NULL ? reader->section : "", what, which);
}

/* "option both bounce cleanup_service_name" */
static bool
read_section(struct reader *reader, struct overlay_item *item)
{
	char words[4][64] = {"", "", "", ""};
	int target, scope;
	int count =
	    sscanf(reader->section, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]);
	if (count < 3 || !find_word(targets, words[0], &target) ||
	    !find_word(scopes, words[1], &scope) || (target == OVERLAY_OPTION) != (count == 4)) {
		complain(reader, "this is no section of an overlay", "");
		return false;
	}
	item->target = (enum overlay_target)target;
	item->scope = (enum overlay_scope)scope;
	item->service = mem_string(target == OVERLAY_MAIN ? "" : words[2]);
	item->name = mem_string(target == OVERLAY_MAIN ? words[2] : words[3]);
	return true;
}

static void
begin_item(struct reader *reader, const char *section)
{
	struct overlay *overlay = reader->overlay;
	free(reader->section);
	reader->section = mem_string(section);
	if (strings_have(&reader->seen, section))
		complain(reader, "it stands twice", "");
	strings_add(&reader->seen, mem_string(section));
	if (strcmp(section, "overlay") == 0)
		return;
	struct overlay_item item = {.kind = OVERLAY_SET};
	if (!read_section(reader, &item))
		return;
	item.value = mem_string("");
	item.mark = mem_string("");
	item.like = mem_string("");
	item.why = mem_string("");
	item.others = mem_string("");
	overlay->items = mem_resize(overlay->items, overlay->count + 1, sizeof(*overlay->items));
	overlay->items[overlay->count++] = item;
}

/* A further line of the same value goes on behind a blank. */
static void
append(char **field, const char *value)
{
	char *joined = mem_format("%s%s%s", *field, **field != '\0' ? " " : "", value);
	free(*field);
	*field = joined;
}

static void
set_word(struct reader *reader, const struct word *words, const char *text, int *out)
{
	if (!find_word(words, text, out))
		complain(reader, "unknown word", text);
}

static void
set_key(struct reader *reader, struct overlay_item *item, const char *key, const char *value)
{
	const struct {
		const char *key;
		char **field;
	} fields[] = {{"value", &item->value}, {"mark", &item->mark}, {"like", &item->like},
	    {"why", &item->why}, {"others", &item->others}};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i].key, key) == 0) {
			append(fields[i].field, value);
			return;
		}
	int number = 0;
	if (strcmp(key, "kind") == 0) {
		set_word(reader, kinds, value, &number);
		item->kind = (enum overlay_kind)number;
	} else if (strcmp(key, "when") == 0) {
		set_word(reader, whens, value, &number);
		item->when = (enum overlay_when)number;
	} else {
		complain(reader, "unknown key", key);
	}
}

static void
take_pair(struct reader *reader, const char *key, const char *value)
{
	struct overlay *overlay = reader->overlay;
	if (reader->failed)
		return;
	if (reader->section == NULL)
		complain(reader, "there is no section yet for", key);
	else if (strcmp(reader->section, "overlay") != 0)
		set_key(reader, &overlay->items[overlay->count - 1], key, value);
	else if (strcmp(key, "version") == 0)
		append(&overlay->version, value);
	else
		complain(reader, "unknown key", key);
}

/* Without the blanks at both ends, which it cuts off in place. */
static char *
trim(char *text)
{
	text += strspn(text, " \t");
	for (size_t length = strlen(text); length > 0 && strchr(" \t\r", text[length - 1]) != NULL;)
		text[--length] = '\0';
	return text;
}

/* One line; `key` is that of the last pair, for continuation lines. */
static void
take_line(struct reader *reader, char *line, char **key)
{
	char *text = trim(line), *equals = strchr(text, '='), *bracket = strrchr(text, ']');
	if (*text == '\0' || *text == '#')
		return;
	if (text > line && *key != NULL) {
		take_pair(reader, *key, text);
	} else if (*text == '[' && bracket != NULL) {
		*bracket = '\0';
		begin_item(reader, text + 1);
	} else if (equals != NULL) {
		*equals = '\0';
		free(*key);
		*key = mem_string(trim(text));
		take_pair(reader, *key, trim(equals + 1));
	} else {
		complain(reader, "this is no line of an overlay:", text);
	}
}

static void
take_lines(struct reader *reader, const char *text)
{
	char *copy = mem_string(text), *key = NULL, *next;
	for (char *line = copy; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		take_line(reader, line, &key);
	}
	free(key);
	free(copy);
}

static void
check_whole(struct reader *reader)
{
	const struct overlay *overlay = reader->overlay;
	if (reader->failed)
		return;
	if (*overlay->version == '\0' || overlay->count == 0) {
		reader->failed = true;
		fprintf(reader->errors, "%s: there is no version, or no setting\n", reader->name);
	}
	for (size_t i = 0; i < overlay->count; i++)
		if (*overlay->items[i].why == '\0') {
			reader->failed = true;
			fprintf(reader->errors, "%s: %s %s has no reason\n", reader->name,
			    overlay->items[i].service, overlay->items[i].name);
		}
}

struct overlay *
overlay_parse(const char *text, const char *name, FILE *errors)
{
	struct overlay *overlay = mem_resize(NULL, 1, sizeof(*overlay));
	*overlay = (struct overlay){.version = mem_string("")};
	struct reader reader = {.overlay = overlay, .name = name, .errors = errors};
	take_lines(&reader, text);
	check_whole(&reader);
	free(reader.section);
	strings_free(&reader.seen);
	if (!reader.failed)
		return overlay;
	overlay_free(overlay);
	return NULL;
}

struct overlay *
overlay_load(const char *path, FILE *errors)
{
	FILE *file = fopen(path, "r");
	if (file == NULL) {
		fprintf(errors, "%s: %s; --overlay names another place\n", path, strerror(errno));
		return NULL;
	}
	struct text text = {0};
	char block[4096];
	size_t got;
	while ((got = fread(block, 1, sizeof(block), file)) > 0)
		text_add(&text, block, got);
	bool good = ferror(file) == 0;
	fclose(file);
	struct overlay *overlay = NULL;
	if (good)
		overlay = overlay_parse(text.bytes != NULL ? text.bytes : "", path, errors);
	else
		fprintf(errors, "%s: cannot be read\n", path);
	text_free(&text);
	return overlay;
}

void
overlay_free(struct overlay *overlay)
{
	if (overlay == NULL)
		return;
	for (size_t i = 0; i < overlay->count; i++) {
		struct overlay_item *item = &overlay->items[i];
		free(item->service);
		free(item->name);
		free(item->value);
		free(item->mark);
		free(item->like);
		free(item->why);
		free(item->others);
	}
	free(overlay->items);
	free(overlay->version);
	free(overlay);
}

static const char *
find_variable(const struct overlay_variable *variables, const char *name, size_t length)
{
	for (; variables->name != NULL; variables++)
		if (strlen(variables->name) == length &&
		    strncmp(variables->name, name, length) == 0)
			return variables->value;
	return NULL;
}

static bool
expand_field(char **field, const struct overlay_variable *variables, FILE *errors)
{
	struct text out = {0};
	const char *at = *field;
	for (const char *next; (next = strstr(at, "${")) != NULL;) {
		size_t length = strcspn(next + 2, "}");
		const char *value = find_variable(variables, next + 2, length);
		if (value == NULL || next[2 + length] != '}') {
			fprintf(
			    errors, "overlay: there is no variable %.*s\n", (int)length, next + 2);
			text_free(&out);
			return false;
		}
		text_add(&out, at, (size_t)(next - at));
		text_puts(&out, value);
		at = next + 2 + length + 1;
	}
	text_puts(&out, at);
	free(*field);
	*field = text_take(&out);
	return true;
}

bool
overlay_expand(struct overlay *overlay, const struct overlay_variable *variables, FILE *errors)
{
	bool good = true;
	for (size_t i = 0; i < overlay->count; i++) {
		good = expand_field(&overlay->items[i].value, variables, errors) && good;
		good = expand_field(&overlay->items[i].mark, variables, errors) && good;
	}
	return good;
}
