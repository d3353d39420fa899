/*
 * postfix_entries: see postfix_entries.h.
 */
#include "ctl/postfix_entries.h"

#include "ctl/postfix_gather.h"
#include "ctl/postfix_run.h"

#include <stdlib.h>
#include <string.h>

#define POSTMAP_SECONDS 15

struct reading {
	entries_visit *visit;
	void *context;
	bool is_pattern;
};

/* --- types ---------------------------------------------------------------------------- */

static const char *const pattern_types[] = {"regexp:", "pcre:", NULL};
static const char *const text_types[] = {"regexp:", "pcre:", "cidr:", NULL};
static const char *const walked_types[] = {
    "hash:", "btree:", "lmdb:", "cdb:", "dbm:", "sdbm:", "texthash:", "inline:", NULL};
static const char *const inline_types[] = {"inline:", "static:", NULL};

static bool
has_type(const char *table, const char *const *types)
{
	for (; *types != NULL; types++)
		if (strncmp(table, *types, strlen(*types)) == 0)
			return true;
	return false;
}

const char *
entries_name(const char *table)
{
	return strncmp(table, "proxy:", 6) == 0 ? table + 6 : table;
}

bool
entries_in_setting(const char *table)
{
	const char *name = entries_name(table), *rest = strchr(name, ':');
	return has_type(name, inline_types) || (rest != NULL && rest[1] == '{');
}

bool
entries_of_patterns(const char *table)
{
	return has_type(entries_name(table), pattern_types);
}

/* --- lines ------------------------------------------------------------------------------ */

/* Behind a pattern ("/^X:/i"), or behind a key. */
static const char *
skip_key(const char *line, bool is_pattern)
{
	if (!is_pattern)
		return line + strcspn(line, " \t");
	if (*line == '!')
		line++;
	char delimiter = *line;
	if (delimiter != '\0')
		line++;
	while (*line != '\0' && *line != delimiter)
		line += line[0] == '\\' && line[1] != '\0' ? 2 : 1;
	return line + strcspn(line, " \t");
}

const char *
entries_result(const char *line, bool is_pattern)
{
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return "";
	line = skip_key(line, is_pattern);
	return line + strspn(line, " \t");
}

static void
take_line(const struct reading *reading, const char *line)
{
	line += strspn(line, " \t");
	const char *result = entries_result(line, reading->is_pattern);
	if (*line == '\0' || *line == '#')
		return;
	char *key = mem_copy(line, (size_t)(skip_key(line, reading->is_pattern) - line));
	reading->visit(key, result, reading->context);
	free(key);
}

/* Logical lines: one that begins with a blank goes on with the one before; comments do not end it.
 */
static void
take_text(const struct reading *reading, char *content)
{
	struct text logical = {0};
	char *state = NULL;
	char *line = strtok_r(content, "\r\n", &state);
	for (;; line = strtok_r(NULL, "\r\n", &state)) {
		const char *first = line != NULL ? line + strspn(line, " \t") : NULL;
		if (first != NULL && (*first == '\0' || *first == '#'))
			continue;
		if (line == NULL || first == line) {
			char *whole = text_take(&logical);
			take_line(reading, whole);
			free(whole);
		}
		if (line == NULL)
			break;
		text_puts(&logical, line);
	}
	text_free(&logical);
}

/* --- tables --------------------------------------------------------------------------------- */

/* False: there is no such database, or postmap cannot walk it. */
static bool
walk(const struct pf_facts *facts, const char *name, bool verbose, const struct reading *reading)
{
	const char *const argv[] = {"postmap", "-c", facts->config_dir, "-s", name, NULL};
	struct run_result result = run_program(argv, NULL, POSTMAP_SECONDS, verbose);
	bool good = result.ended && result.status == 0 && !result.cut;
	take_text(reading, result.output);
	run_free(&result);
	return good;
}

static bool
read_source(const char *name, const struct reading *reading)
{
	size_t length;
	char *content = gather_file(strchr(name, ':') + 1, &length);
	if (content == NULL)
		return false;
	take_text(reading, content);
	free(content);
	return true;
}

/* "{ /x/ OK }" */
static char *
without_braces(const char *text)
{
	size_t length = strlen(text);
	bool braces = length >= 2 && text[0] == '{' && text[length - 1] == '}';
	return mem_copy(text + (braces ? 1 : 0), length - (braces ? 2 : 0));
}

/* regexp:{ { /x/ OK }, { /y/ DUNNO } } */
static void
take_inline(const char *rest, const struct reading *reading)
{
	char *list = without_braces(rest);
	struct pf_tokens tokens = pf_tokens_split(list, 0, strlen(list), PF_LIST);
	for (size_t i = 0; i < tokens.count; i++) {
		char *line = without_braces(tokens.items[i].text);
		take_line(reading, line);
		free(line);
	}
	pf_tokens_free(&tokens);
	free(list);
}

bool
entries_each(const struct pf_facts *facts, const char *table, bool verbose, entries_visit *visit,
    void *context)
{
	const char *name = entries_name(table), *rest = strchr(name, ':');
	const struct reading reading = {visit, context, has_type(name, pattern_types)};
	if (has_type(name, text_types) && rest[1] == '{') {
		take_inline(rest + 1, &reading);
		return true;
	}
	if (has_type(name, text_types))
		return read_source(name, &reading);
	if (has_type(name, walked_types))
		return walk(facts, name, verbose, &reading) || read_source(name, &reading);
	return false;
}
