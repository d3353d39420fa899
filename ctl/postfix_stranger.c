/*
 * postfix_stranger: see postfix_stranger.h. Lists are read as smtpd reads them (postconf(5),
 * access(5)): words in any case, a list ends at the first word that decides, what stands behind
 * warn_if_reject refuses nobody, and a restriction class stands for its own list.
 */
#include "ctl/postfix_stranger.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 8 /* of classes, of lists in tables, and of $names within $names */

struct scope {
	const struct pf_facts *facts;
	const struct pf_file *main;
	const struct pf_service *service; /* or NULL */
	char *classes;                    /* smtpd_restriction_classes */
};

/* --- effective values ------------------------------------------------------------------- */

static void expand_into(const struct scope *scope, const char *text, int depth, struct text *out);

static void
value_into(const struct scope *scope, const char *name, int depth, struct text *out)
{
	const struct pf_option *option =
	    scope->service != NULL ? pf_service_option(scope->service, name) : NULL;
	const struct pf_line *line = pf_file_parameter(scope->main, name);
	const char *known = facts_value(scope->facts, name);

	if (depth >= DEPTH_MAX)
		return;
	if (option != NULL) {
		expand_into(scope, option->value, depth + 1, out);
	} else if (line != NULL) {
		char *value = pf_file_value(scope->main, line);
		/* What depends on a condition has been worked out by postconf(1). */
		if (strchr(value, '?') != NULL && *known != '\0')
			text_puts(out, known);
		else
			expand_into(scope, value, depth + 1, out);
		free(value);
	} else {
		text_puts(out, known);
	}
}

/* $name, ${name} and $(name); what else begins with $ stays. */
static void
expand_into(const struct scope *scope, const char *text, int depth, struct text *out)
{
	for (;;) {
		size_t length = strcspn(text, "$");
		text_add(out, text, length);
		text += length;
		if (*text == '\0')
			return;
		bool closed = text[1] == '{' || text[1] == '(';
		const char *begin = text + (closed ? 2 : 1);
		length = 0;
		while (isalnum((unsigned char)begin[length]) || begin[length] == '_')
			length++;
		if (length == 0 || (closed && begin[length] != '}' && begin[length] != ')')) {
			text_add(out, text++, 1);
			continue;
		}
		char *name = mem_copy(begin, length);
		value_into(scope, name, depth, out);
		free(name);
		text = begin + length + (closed ? 1 : 0);
	}
}

static char *
value_of(const struct scope *scope, const char *name)
{
	struct text out = {0};
	value_into(scope, name, 0, &out);
	return text_take(&out);
}

char *
stranger_value(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char *parameter)
{
	const struct scope scope = {.facts = facts, .main = main, .service = service};
	return value_of(&scope, parameter);
}

/* --- lists ----------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum stranger_fate fate;
} decisive[] = {
    {"permit", STRANGER_PERMITTED},
    {"OK", STRANGER_PERMITTED}, /* of a table */
    /* Any client may greet with an address. */
    {"permit_naked_ip_address", STRANGER_PERMITTED},
    {"reject", STRANGER_REFUSED},
    {"defer", STRANGER_REFUSED},
    {"reject_unauth_destination", STRANGER_REFUSED},
    {"defer_unauth_destination", STRANGER_REFUSED},
};

static enum stranger_fate
fate_of_word(const char *word)
{
	size_t digits = strspn(word, "0123456789");

	for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++)
		if (strcasecmp(word, decisive[i].word) == 0)
			return decisive[i].fate;
	/* Results of tables: "554" is a reply, any other number is as good as OK. */
	if (digits == 0 || word[digits] != '\0')
		return STRANGER_UNDECIDED;
	return digits == 3 && (word[0] == '4' || word[0] == '5') ? STRANGER_REFUSED
								 : STRANGER_PERMITTED;
}

/* Does `classes` have `word`? */
static bool
is_class(const char *classes, const char *word)
{
	struct pf_tokens tokens = pf_tokens_split(classes, 0, strlen(classes), PF_LIST);
	bool found = pf_tokens_word(&tokens, word) < tokens.count;
	pf_tokens_free(&tokens);
	return found;
}

/* What a table says to everybody: "OK" for "static:OK" and "static:{OK}". NULL: another table. */
static char *
said_to_all(const char *table)
{
	if (strncmp(table, "proxy:", 6) == 0)
		table += 6;
	if (strncmp(table, "static:", 7) != 0)
		return NULL;
	table += 7;
	size_t length = strlen(table);
	bool braces = length >= 2 && table[0] == '{' && table[length - 1] == '}';
	return mem_copy(table + (braces ? 1 : 0), length - (braces ? 2 : 0));
}

static bool
is_access_check(const char *word)
{
	size_t length = strlen(word);
	return strncasecmp(word, "check_", 6) == 0 && length > 13 &&
	       strcasecmp(word + length - 7, "_access") == 0;
}

static enum stranger_fate fate_in_list(const struct scope *scope, const char *list, int depth);

/* The fate by token `*i` alone; it moves on to the argument where one was read. */
static enum stranger_fate
fate_of_token(const struct scope *scope, const struct pf_tokens *tokens, size_t *i, int depth)
{
	const char *word = tokens->items[*i].text;
	char *list = NULL;

	if (is_access_check(word)) {
		if (*i + 1 < tokens->count)
			list = said_to_all(tokens->items[++*i].text);
	} else if (is_class(scope->classes, word)) {
		list = value_of(scope, word);
	} else {
		return fate_of_word(word);
	}
	enum stranger_fate fate =
	    list != NULL ? fate_in_list(scope, list, depth + 1) : STRANGER_UNDECIDED;
	free(list);
	return fate;
}

static enum stranger_fate
fate_in_list(const struct scope *scope, const char *list, int depth)
{
	enum stranger_fate fate = STRANGER_UNDECIDED;
	if (depth >= DEPTH_MAX)
		return fate;
	struct pf_tokens tokens = pf_tokens_split(list, 0, strlen(list), PF_LIST);
	bool warned = false;
	for (size_t i = 0; i < tokens.count && fate == STRANGER_UNDECIDED; i++) {
		if (strcasecmp(tokens.items[i].text, "warn_if_reject") == 0) {
			warned = true;
			continue;
		}
		fate = fate_of_token(scope, &tokens, &i, depth);
		if (warned && fate == STRANGER_REFUSED)
			fate = STRANGER_UNDECIDED;
		warned = false;
	}
	pf_tokens_free(&tokens);
	return fate;
}

enum stranger_fate
stranger_fate(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char **parameter)
{
	static const char *const lists[] = {
	    "smtpd_relay_restrictions", "smtpd_recipient_restrictions"};
	struct scope scope = {.facts = facts, .main = main, .service = service};
	enum stranger_fate result = STRANGER_UNDECIDED;

	*parameter = lists[0];
	scope.classes = value_of(&scope, "smtpd_restriction_classes");
	/* Each list has its say: a permit in the first leaves it to the second. */
	for (size_t i = 0; i < 2 && result != STRANGER_REFUSED; i++) {
		char *list = value_of(&scope, lists[i]);
		enum stranger_fate fate = fate_in_list(&scope, list, 0);
		free(list);
		if (fate == STRANGER_PERMITTED && result == STRANGER_UNDECIDED)
			*parameter = lists[i];
		if (fate != STRANGER_UNDECIDED)
			result = fate;
	}
	free(scope.classes);
	return result;
}
