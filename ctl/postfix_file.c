/*
 * postfix_file: main.cf and master.cf as bytes, logical lines and tokens (see postfix_file.h).
 *
 * The rules are those of Postfix's readlline(3): a line that starts with a blank goes on with the
 * logical line above, also across empty lines and comment lines, which are no part of it.
 */
#include "ctl/postfix_file.h"

#include <stdlib.h>
#include <string.h>

#define OURS "# mxhold:"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* The end of the physical line at `at`: the place of its newline, or `end`. */
static size_t
line_end(const char *bytes, size_t at, size_t end)
{
	const char *newline = memchr(bytes + at, '\n', end - at);
	return newline != NULL ? (size_t)(newline - bytes) : end;
}

static bool
is_comment_or_empty(const char *bytes, size_t at, size_t end)
{
	while (at < end && is_blank(bytes[at]))
		at++;
	return at == end || bytes[at] == '#';
}

/* --- tokens -------------------------------------------------------------------- */

struct scan {
	const char *bytes;
	size_t at, end;
	enum pf_separators separators;
};

/* At the first byte of a physical line within the value: skips it while it is a comment. */
static void
skip_comments(struct scan *scan)
{
	while (scan->at < scan->end) {
		size_t stop = line_end(scan->bytes, scan->at, scan->end);
		if (stop == scan->at || !is_comment_or_empty(scan->bytes, scan->at, stop))
			return;
		scan->at = stop < scan->end ? stop + 1 : stop;
	}
}

/* Takes one byte; after a newline, comment lines go too. */
static void
advance(struct scan *scan)
{
	bool newline = scan->bytes[scan->at] == '\n';
	scan->at++;
	if (newline)
		skip_comments(scan);
}

static bool
is_separator(const struct scan *scan)
{
	char c = scan->bytes[scan->at];
	return is_blank(c) || (c == ',' && scan->separators == PF_LIST);
}

static void
take_token(struct scan *scan, struct pf_token *out)
{
	struct text text = {0};
	int depth = 0;
	out->start = scan->at;
	out->end = scan->at;
	while (scan->at < scan->end && (depth > 0 || !is_separator(scan))) {
		char c = scan->bytes[scan->at];
		if (c == '{')
			depth++;
		else if (c == '}' && depth > 0)
			depth--;
		if (!is_blank(c))
			text_add(&text, &c, 1);
		else if (text.length > 0 && text.bytes[text.length - 1] != ' ')
			text_add(&text, " ", 1);
		out->end = scan->at + 1;
		advance(scan);
	}
	out->text = text_take(&text);
}

struct pf_tokens
pf_tokens_split(const char *bytes, size_t start, size_t end, enum pf_separators separators)
{
	struct pf_tokens tokens = {0};
	struct scan scan = {bytes, start, end, separators};
	for (;;) {
		while (scan.at < scan.end && is_separator(&scan))
			advance(&scan);
		if (scan.at >= scan.end)
			return tokens;
		tokens.items = mem_resize(tokens.items, tokens.count + 1, sizeof(*tokens.items));
		take_token(&scan, &tokens.items[tokens.count++]);
	}
}

void
pf_tokens_free(struct pf_tokens *tokens)
{
	for (size_t i = 0; i < tokens->count; i++)
		free(tokens->items[i].text);
	free(tokens->items);
	*tokens = (struct pf_tokens){0};
}

size_t
pf_tokens_find(const struct pf_tokens *tokens, const struct pf_tokens *part)
{
	for (size_t i = 0; part->count > 0 && i + part->count <= tokens->count; i++) {
		size_t same = 0;
		while (same < part->count &&
		       strcmp(tokens->items[i + same].text, part->items[same].text) == 0)
			same++;
		if (same == part->count)
			return i;
	}
	return tokens->count;
}

size_t
pf_tokens_word(const struct pf_tokens *tokens, const char *word)
{
	size_t i = 0;
	while (i < tokens->count && strcmp(tokens->items[i].text, word) != 0)
		i++;
	return i;
}

char *
pf_tokens_join(const struct pf_tokens *tokens)
{
	struct text text = {0};
	for (size_t i = 0; i < tokens->count; i++) {
		text_puts(&text, i > 0 ? ", " : "");
		text_puts(&text, tokens->items[i].text);
	}
	return text_take(&text);
}

/* --- logical lines --------------------------------------------------------------- */

static void
end_of_content(const char *bytes, struct pf_line *line, size_t stop)
{
	while (stop > line->start && is_blank(bytes[stop - 1]))
		stop--;
	line->end = stop;
}

/* Names the line; false when it is none of the kind. */
static bool
name_line(const char *bytes, struct pf_line *line, enum pf_kind kind)
{
	size_t at = line->start;
	while (at < line->end && !is_blank(bytes[at]) && (kind == PF_MASTER || bytes[at] != '='))
		at++;
	size_t name_end = at;
	line->value_start = line->start;
	if (kind == PF_MAIN) {
		while (at < line->end && is_blank(bytes[at]))
			at++;
		if (at >= line->end || bytes[at] != '=')
			return false;
		line->value_start = at + 1;
	}
	line->name = mem_copy(bytes + line->start, name_end - line->start);
	return true;
}

struct pf_file
pf_file_parse(const char *bytes, size_t length, enum pf_kind kind)
{
	struct pf_file file = {.bytes = bytes, .length = length};
	size_t stop;
	for (size_t at = 0; at < length; at = stop + 1) {
		stop = line_end(bytes, at, length);
		if (is_comment_or_empty(bytes, at, stop))
			continue;
		if (is_blank(bytes[at])) {
			if (file.count > 0)
				end_of_content(bytes, &file.lines[file.count - 1], stop);
			continue;
		}
		file.lines = mem_resize(file.lines, file.count + 1, sizeof(*file.lines));
		struct pf_line *line = &file.lines[file.count++];
		*line = (struct pf_line){.start = at};
		end_of_content(bytes, line, stop);
	}
	size_t kept = 0;
	for (size_t i = 0; i < file.count; i++)
		if (name_line(bytes, &file.lines[i], kind))
			file.lines[kept++] = file.lines[i];
	file.count = kept;
	return file;
}

void
pf_file_free(struct pf_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->lines[i].name);
	free(file->lines);
	*file = (struct pf_file){0};
}

const struct pf_line *
pf_file_parameter(const struct pf_file *file, const char *name)
{
	for (size_t i = file->count; i > 0; i--)
		if (strcmp(file->lines[i - 1].name, name) == 0)
			return &file->lines[i - 1];
	return NULL;
}

size_t
pf_file_comment_start(const struct pf_file *file, const struct pf_line *line)
{
	size_t at = line->start;
	while (at > 0) {
		size_t above = at - 1;
		while (above > 0 && file->bytes[above - 1] != '\n')
			above--;
		if (at - above < sizeof(OURS) - 1 ||
		    strncmp(file->bytes + above, OURS, sizeof(OURS) - 1) != 0)
			break;
		at = above;
	}
	return at;
}

bool
pf_file_is_ours(const struct pf_file *file, const struct pf_line *line)
{
	return pf_file_comment_start(file, line) < line->start;
}

char *
pf_file_value(const struct pf_file *file, const struct pf_line *line)
{
	struct pf_tokens words =
	    pf_tokens_split(file->bytes, line->value_start, line->end, PF_WORDS);
	struct text text = {0};
	for (size_t i = 0; i < words.count; i++) {
		text_puts(&text, i > 0 ? " " : "");
		text_puts(&text, words.items[i].text);
	}
	pf_tokens_free(&words);
	return text_take(&text);
}

/* --- services ---------------------------------------------------------------------- */

/* "name=value" or "{ name = value }" into its two parts. */
static bool
split_option(const char *word, struct pf_option *out)
{
	size_t length = strlen(word);
	size_t start = 0;
	if (length >= 2 && word[0] == '{' && word[length - 1] == '}') {
		start = 1;
		length--;
	}
	while (start < length && word[start] == ' ')
		start++;
	while (length > start && word[length - 1] == ' ')
		length--;
	const char *equals = memchr(word + start, '=', length - start);
	if (equals == NULL)
		return false;
	size_t at = (size_t)(equals - word);
	size_t name_end = at;
	while (name_end > start && word[name_end - 1] == ' ')
		name_end--;
	do {
		at++;
	} while (at < length && word[at] == ' ');
	out->name = mem_copy(word + start, name_end - start);
	out->value = mem_copy(word + at, length - at);
	return true;
}

static void
take_options(struct pf_service *service)
{
	const struct pf_tokens *words = &service->words;
	for (size_t i = PF_FIELDS; i < words->count; i++) {
		const char *word = words->items[i].text;
		struct pf_option option = {.start = words->items[i].start};
		if (strncmp(word, "-o", 2) != 0)
			continue;
		word += 2;
		if (*word == '\0') {
			if (++i == words->count)
				return;
			word = words->items[i].text;
		}
		option.end = words->items[i].end;
		if (!split_option(word, &option))
			continue;
		service->options = mem_resize(
		    service->options, service->option_count + 1, sizeof(*service->options));
		service->options[service->option_count++] = option;
	}
}

bool
pf_service_parse(const struct pf_file *file, const struct pf_line *line, struct pf_service *out)
{
	*out = (struct pf_service){.line = line};
	out->words = pf_tokens_split(file->bytes, line->start, line->end, PF_WORDS);
	if (out->words.count < PF_FIELDS) {
		pf_service_free(out);
		return false;
	}
	take_options(out);
	return true;
}

void
pf_service_free(struct pf_service *service)
{
	pf_tokens_free(&service->words);
	for (size_t i = 0; i < service->option_count; i++) {
		free(service->options[i].name);
		free(service->options[i].value);
	}
	free(service->options);
	*service = (struct pf_service){0};
}

const char *
pf_service_field(const struct pf_service *service, size_t field)
{
	return service->words.items[field].text;
}

const struct pf_option *
pf_service_option(const struct pf_service *service, const char *name)
{
	for (size_t i = service->option_count; i > 0; i--)
		if (strcmp(service->options[i - 1].name, name) == 0)
			return &service->options[i - 1];
	return NULL;
}

const struct pf_line *
pf_file_service(const struct pf_file *file, const char *name, const char *type)
{
	const struct pf_line *found = NULL;
	for (size_t i = 0; i < file->count && found == NULL; i++) {
		struct pf_service service;
		if (strcmp(file->lines[i].name, name) != 0 ||
		    !pf_service_parse(file, &file->lines[i], &service))
			continue;
		if (strcmp(pf_service_field(&service, 1), type) == 0)
			found = &file->lines[i];
		pf_service_free(&service);
	}
	return found;
}

/* --- edits --------------------------------------------------------------------------- */

struct pf_edit {
	size_t at, remove, order;
	char *insert;
};

void
pf_edits_add(struct pf_edits *edits, size_t at, size_t remove, const char *insert)
{
	edits->items = mem_resize(edits->items, edits->count + 1, sizeof(*edits->items));
	edits->items[edits->count] = (struct pf_edit){at, remove, edits->count, mem_string(insert)};
	edits->count++;
}

void
pf_edits_move(struct pf_edits *to, struct pf_edits *from)
{
	for (size_t i = 0; i < from->count; i++)
		pf_edits_add(to, from->items[i].at, from->items[i].remove, from->items[i].insert);
	pf_edits_free(from);
}

static int
compare_edits(const void *left, const void *right)
{
	const struct pf_edit *a = left, *b = right;
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

char *
pf_edits_apply(struct pf_edits *edits, const char *bytes, size_t length, size_t *new_length)
{
	struct text out = {0};
	size_t at = 0;
	if (edits->count > 0)
		qsort(edits->items, edits->count, sizeof(*edits->items), compare_edits);
	for (size_t i = 0; i < edits->count; i++) {
		const struct pf_edit *edit = &edits->items[i];
		text_add(&out, bytes + at, edit->at - at);
		text_puts(&out, edit->insert);
		at = edit->at + edit->remove;
	}
	text_add(&out, bytes + at, length - at);
	*new_length = out.length;
	return text_take(&out);
}

void
pf_edits_free(struct pf_edits *edits)
{
	for (size_t i = 0; i < edits->count; i++)
		free(edits->items[i].insert);
	free(edits->items);
	*edits = (struct pf_edits){0};
}
