/*
 * postfix_actions: looks for what tables of checks answer (see postfix_actions.h).
 */
#include "ctl/postfix_actions.h"

#include "ctl/postfix_entries.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 4 /* of tables that answer with tables, and of $names within $names */

struct scan {
	struct pf_facts *facts;
	struct pf_file main;
	const char *parameter; /* in which the table stands */
	bool verbose;
	int depth;
};

/* --- results and words ---------------------------------------------------------------- */

/* What counts of a result's first word; NULL: a plain action, what follows is its text. */
static const struct {
	const char *word;
	const char *counts;
} plain[] = {
    {"FILTER", "FILTER"},
    {"REDIRECT", "REDIRECT"},
    {"BCC", "BCC"},
    {"DISCARD", "DISCARD"},
    {"HOLD", "HOLD"},
    {"OK", ""},
    {"REJECT", ""},
    {"DEFER", ""},
    {"DEFER_IF_REJECT", ""},
    {"DEFER_IF_PERMIT", ""},
    {"DUNNO", ""},
    {"WARN", ""},
    {"INFO", ""},
    {"PREPEND", ""},
    {"REPLACE", ""},
    {"IGNORE", ""},
    {"STRIP", ""},
    {"PASS", ""},
};

/* Restrictions that must stand nowhere; postfix_findings.c knows why. */
static const char *const restrictions[] = {"permit_mx_backup", "reject_unverified_recipient"};

static size_t
word_length(const char *text)
{
	size_t length = 0;
	while (isalnum((unsigned char)text[length]) || text[length] == '_')
		length++;
	return length;
}

static bool
word_is(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

/* The plain action that the text begins with; its `counts`, or NULL. */
static const char *
plain_action(const char *text)
{
	size_t length = word_length(text);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (word_is(text, length, plain[i].word))
			return plain[i].counts;
	return length > 0 && strspn(text, "0123456789") == length ? "" : NULL;
}

const char *
actions_word(const char *result)
{
	const char *counts = plain_action(result);
	if (counts != NULL)
		return counts;
	while (*result != '\0') {
		size_t length = word_length(result);
		for (size_t i = 0; i < sizeof(restrictions) / sizeof(restrictions[0]); i++)
			if (word_is(result, length, restrictions[i]))
				return restrictions[i];
		result += length > 0 ? length : 1;
	}
	return "";
}

static void
note(struct scan *scan, const char *table, const char *what)
{
	struct facts_hits *hits = &scan->facts->table_actions;
	for (size_t i = 0; i < hits->count; i++)
		if (strcmp(hits->items[i].parameter, scan->parameter) == 0 &&
		    strcmp(hits->items[i].table, table) == 0 &&
		    strcmp(hits->items[i].what, what) == 0)
			return;
	facts_hit_add(hits, scan->parameter, table, what);
}

/* --- values with $names --------------------------------------------------------------------- */

static void expand_into(const struct scan *scan, const char *text, int depth, struct text *out);

static void
expand_name(const struct scan *scan, const char *name, int depth, struct text *out)
{
	const char *known = facts_value(scan->facts, name);
	const struct pf_line *line = pf_file_parameter(&scan->main, name);
	if (*known != '\0' || line == NULL || depth >= DEPTH_MAX) {
		text_puts(out, known);
		return;
	}
	char *value = pf_file_value(&scan->main, line);
	expand_into(scan, value, depth + 1, out);
	free(value);
}

/* $name, ${name} and $(name); what else begins with $ stays. */
static void
expand_into(const struct scan *scan, const char *text, int depth, struct text *out)
{
	for (;;) {
		size_t before = strcspn(text, "$");
		text_add(out, text, before);
		text += before;
		if (*text == '\0')
			return;
		bool closed = text[1] == '{' || text[1] == '(';
		const char *begin = text + (closed ? 2 : 1);
		size_t length = word_length(begin);
		if (length == 0 || (closed && begin[length] != '}' && begin[length] != ')')) {
			text_add(out, text++, 1);
			continue;
		}
		char *name = mem_copy(begin, length);
		expand_name(scan, name, depth, out);
		free(name);
		text = begin + length + (closed ? 1 : 0);
	}
}

static char *
expand(const struct scan *scan, const char *text)
{
	struct text out = {0};
	expand_into(scan, text, 0, &out);
	return text_take(&out);
}

/* --- tables --------------------------------------------------------------------------------------
 */

static void scan_restrictions(struct scan *scan, const char *value);

static void
take_result(struct scan *scan, const char *table, const char *result)
{
	const char *word = actions_word(result);
	if (*word != '\0')
		note(scan, table, word);
	if (plain_action(result) == NULL && scan->depth < DEPTH_MAX) {
		scan->depth++;
		scan_restrictions(scan, result);
		scan->depth--;
	}
}

/*
 * A table that stands in the setting: any action in it counts, wherever it stands. (Restrictions
 * that must stand nowhere are found in every setting, by postfix_findings.c.)
 */
static void
scan_inline(struct scan *scan, const char *table)
{
	const char *at = table;
	while (*at != '\0') {
		size_t length = word_length(at);
		for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
			if (*plain[i].counts != '\0' && word_is(at, length, plain[i].word))
				note(scan, table, plain[i].counts);
		at += length > 0 ? length : 1;
	}
}

struct place { /* context of take_entry */
	struct scan *scan;
	const char *table;
};

static void
take_entry(const char *key, const char *result, void *context)
{
	const struct place *place = context;
	(void)key;
	take_result(place->scan, place->table, result);
}

static void
scan_table(struct scan *scan, const char *table)
{
	struct place place = {scan, table};
	if (entries_in_setting(table))
		scan_inline(scan, table);
	else if (!entries_each(scan->facts, table, scan->verbose, take_entry, &place))
		note(scan, table, ACTIONS_UNREADABLE);
}

/* --- where tables stand
 * ------------------------------------------------------------------------------ */

static const char *const checks[] = {"header_checks", "mime_header_checks", "nested_header_checks",
    "body_checks", "milter_header_checks"};

static bool
is_check(const char *parameter)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (strcmp(parameter, checks[i]) == 0)
			return true;
	return false;
}

static bool
is_access_check(const char *word)
{
	size_t length = strlen(word);
	return strncmp(word, "check_", 6) == 0 && length > 13 &&
	       strcmp(word + length - 7, "_access") == 0;
}

/* check_*_access TABLE; our own table and maps are no others'. */
static void
scan_restrictions(struct scan *scan, const char *value)
{
	struct pf_tokens tokens = pf_tokens_split(value, 0, strlen(value), PF_LIST);
	for (size_t i = 0; i + 1 < tokens.count; i++) {
		const char *table = tokens.items[i + 1].text;
		if (is_access_check(tokens.items[i].text) &&
		    strstr(table, "reject_unlisted_recipient") == NULL)
			scan_table(scan, table);
	}
	pf_tokens_free(&tokens);
}

static void
scan_value(struct scan *scan, const char *parameter, const char *raw)
{
	char *value = expand(scan, raw);
	scan->parameter = parameter;
	if (is_check(parameter)) {
		struct pf_tokens tokens = pf_tokens_split(value, 0, strlen(value), PF_LIST);
		for (size_t i = 0; i < tokens.count; i++)
			scan_table(scan, tokens.items[i].text);
		pf_tokens_free(&tokens);
	} else {
		scan_restrictions(scan, value);
	}
	free(value);
}

static void
scan_services(struct scan *scan)
{
	struct pf_file master =
	    pf_file_parse(scan->facts->master, scan->facts->master_length, PF_MASTER);
	for (size_t i = 0; i < master.count; i++) {
		struct pf_service service;
		if (!pf_service_parse(&master, &master.lines[i], &service))
			continue;
		/* Ours, and it discards. */
		bool ours = strcmp(pf_service_field(&service, 0), "mxhold-void") == 0;
		for (size_t o = 0; !ours && o < service.option_count; o++)
			scan_value(scan, service.options[o].name, service.options[o].value);
		pf_service_free(&service);
	}
	pf_file_free(&master);
}

void
actions_gather(struct pf_facts *facts, bool verbose)
{
	struct scan scan = {
	    .facts = facts,
	    .main = pf_file_parse(facts->main, facts->main_length, PF_MAIN),
	    .verbose = verbose,
	};
	for (size_t i = 0; i < scan.main.count; i++) {
		const struct pf_line *line = &scan.main.lines[i];
		if (line != pf_file_parameter(&scan.main, line->name))
			continue; /* another line of that name counts */
		char *raw = pf_file_value(&scan.main, line);
		scan_value(&scan, line->name, raw);
		free(raw);
	}
	scan_services(&scan);
	pf_file_free(&scan.main);
}
