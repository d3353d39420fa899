/*
 * postfix_stranger: see postfix_stranger.h. Lists are read as smtpd reads them (postconf(5),
 * access(5)): words in any case, a list ends at the first word that decides, what stands behind
 * warn_if_reject refuses nobody, and a restriction class stands for its own list. What a table
 * refuses is not counted on: it was asked for a few made-up names only.
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
	/* of one list */
	enum stranger_who who;
	const char *parameter;
	struct stranger_ways *ways; /* what is found; or NULL */
	void (*visit)(const struct stranger_place *place, void *context);
	void *context;
};

static const char *const lists[] = {"smtpd_relay_restrictions", "smtpd_recipient_restrictions"};
/* A refusal in any of these meets customers' mail too. */
static const char *const all_lists[] = {"smtpd_client_restrictions", "smtpd_helo_restrictions",
    "smtpd_sender_restrictions", "smtpd_relay_restrictions", "smtpd_recipient_restrictions"};

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

/* --- words ----------------------------------------------------------------------------- */

#define FATES(foreign, customer)                                                                   \
	{                                                                                          \
		[STRANGER_FOREIGN] = STRANGER_##foreign, [STRANGER_CUSTOMER] = STRANGER_##customer \
	}

static const struct {
	const char *word;
	enum stranger_fate fate[2];
} decisive[] = {
    {"permit", FATES(PERMITTED, PERMITTED)},
    {"OK", FATES(PERMITTED, PERMITTED)}, /* of a table */
    /* Any client may greet with an address. */
    {"permit_naked_ip_address", FATES(PERMITTED, UNDECIDED)},
    {"permit_auth_destination", FATES(UNDECIDED, PERMITTED)},
    {"reject", FATES(REFUSED, REFUSED)},
    {"defer", FATES(REFUSED, REFUSED)},
    {"reject_unauth_destination", FATES(REFUSED, UNDECIDED)},
    {"defer_unauth_destination", FATES(REFUSED, UNDECIDED)},
};

/* Results of access(5) that decide nothing here; what follows is their text. */
static const char *const inert[] = {"DUNNO", "WARN", "INFO", "HOLD", "PREPEND", "FILTER",
    "REDIRECT", "BCC", "DISCARD", "DEFER_IF_PERMIT", "DEFER_IF_REJECT"};

/* What takes one argument, beside check_*. */
static const char *const with_argument[] = {"sleep", "reject_rbl_client", "reject_rhsbl_client",
    "reject_rhsbl_helo", "reject_rhsbl_recipient", "reject_rhsbl_reverse_client",
    "reject_rhsbl_sender", "reject_maps_rbl", "permit_dnswl_client", "permit_rhswl_client"};

static bool
is_one_of(const char *word, size_t length, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(words[i]) == length && strncasecmp(word, words[i], length) == 0)
			return true;
	return false;
}

static enum stranger_fate
fate_of_word(enum stranger_who who, const char *word)
{
	size_t digits = strspn(word, "0123456789");

	for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++)
		if (strcasecmp(word, decisive[i].word) == 0)
			return decisive[i].fate[who];
	/* Results of tables: "554" is a reply, any other number is as good as OK. */
	if (digits == 0 || word[digits] != '\0')
		return STRANGER_UNDECIDED;
	return digits == 3 && (word[0] == '4' || word[0] == '5') ? STRANGER_REFUSED
								 : STRANGER_PERMITTED;
}

static bool
begins_inert(const char *result)
{
	size_t length = strcspn(result, " \t,");
	return is_one_of(result, length, inert, sizeof(inert) / sizeof(inert[0]));
}

bool
stranger_result_is_inert(const char *result)
{
	char *first = mem_copy(result, strcspn(result, " \t,"));
	bool refusal = fate_of_word(STRANGER_FOREIGN, first) == STRANGER_REFUSED;
	free(first);
	return *result == '\0' || refusal || begins_inert(result);
}

enum access_kind
access_kind(const char *check)
{
	static const struct {
		const char *check;
		enum access_kind kind;
	} kinds[] = {
	    {"check_client_access", ACCESS_CLIENT},
	    {"check_recipient_access", ACCESS_RECIPIENT},
	    {"check_sasl_access", ACCESS_CREDENTIAL},
	    {"check_ccert_access", ACCESS_CREDENTIAL},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcasecmp(check, kinds[i].check) == 0)
			return kinds[i].kind;
	return ACCESS_FORGED;
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

/* --- ways past a refusal ------------------------------------------------------------------- */

static void
add_way(const struct scope *scope, enum stranger_kind kind, const char *check, const char *table,
    const struct facts_answer *answer)
{
	struct stranger_ways *ways = scope->ways;
	if (ways == NULL)
		return;
	ways->items = mem_resize(ways->items, ways->count + 1, sizeof(*ways->items));
	ways->items[ways->count++] = (struct stranger_way){
	    .parameter = scope->parameter,
	    .kind = kind,
	    .check = mem_string(check),
	    .table = mem_string(table),
	    .key = mem_string(answer != NULL ? answer->key : ""),
	    .result = mem_string(answer != NULL ? answer->result : ""),
	};
}

void
stranger_ways_free(struct stranger_ways *ways)
{
	for (size_t i = 0; i < ways->count; i++) {
		free(ways->items[i].check);
		free(ways->items[i].table);
		free(ways->items[i].key);
		free(ways->items[i].result);
	}
	free(ways->items);
	*ways = (struct stranger_ways){0};
}

static bool
has_patterns(const char *table)
{
	return strstr(table, "regexp:") != NULL || strstr(table, "pcre:") != NULL;
}

static enum stranger_kind
kind_of_answer(const struct facts_access *access, const struct facts_answer *answer)
{
	if (answer->anybody)
		return WAY_EVERYBODY;
	if (answer->wide || access_kind(access->check) == ACCESS_FORGED)
		return WAY_FORGED;
	return has_patterns(access->table) ? WAY_UNKNOWN : WAY_SOME;
}

/* --- lists --------------------------------------------------------------------------------- */

static enum stranger_fate fate_in_list(const struct scope *scope, const char *list, int depth);

static enum stranger_fate
fate_of_result(const struct scope *scope, const char *result, int depth)
{
	return begins_inert(result) ? STRANGER_UNDECIDED : fate_in_list(scope, result, depth + 1);
}

/*
 * What a table that was asked does to whoever comes: the worst answer is enough.
 * By value, as `visit` may move the facts.
 */
static enum stranger_fate
fate_by_answers(const struct scope *scope, struct facts_access access, int depth)
{
	bool bad = false;
	for (size_t i = 0; i < access.count && !bad; i++) {
		const struct facts_answer *answer = &access.answers[i];
		enum stranger_fate fate = fate_of_result(scope, answer->result, depth);
		if (scope->who == STRANGER_FOREIGN && fate == STRANGER_PERMITTED) {
			enum stranger_kind kind = kind_of_answer(&access, answer);
			add_way(scope, kind, access.check, access.table, answer);
			bad = kind >= WAY_FORGED;
		} else if (scope->who == STRANGER_CUSTOMER && answer->ordinary &&
			   fate == STRANGER_REFUSED) {
			add_way(scope, WAY_EVERYBODY, access.check, access.table, answer);
			return STRANGER_REFUSED;
		}
	}
	if (!access.told && !bad && scope->who == STRANGER_FOREIGN)
		add_way(scope, WAY_UNKNOWN, access.check, access.table, NULL);
	return STRANGER_UNDECIDED;
}

static enum stranger_fate
fate_of_access(const struct scope *scope, const char *check, const char *table, int depth)
{
	char *said = said_to_all(table);
	if (said != NULL) {
		enum stranger_fate fate = fate_of_result(scope, said, depth);
		free(said);
		return fate;
	}
	if (strstr(table, "reject_unlisted_recipient}}") != NULL)
		return STRANGER_UNDECIDED; /* the overlay's own */
	if (scope->visit != NULL) {
		const struct stranger_place place = {scope->parameter, check, table, scope->who};
		scope->visit(&place, scope->context);
	}
	const struct facts_access *access = facts_access_find(scope->facts, check, table);
	if (access != NULL)
		return fate_by_answers(scope, *access, depth);
	if (scope->who == STRANGER_FOREIGN)
		add_way(scope, WAY_UNKNOWN, check, table, NULL);
	return STRANGER_UNDECIDED;
}

/* Policy services may answer anything; ours is known. */
static void
note_policy(const struct scope *scope, const char *service)
{
	const char *sockets = facts_sockets(scope->facts);
	char *ours =
	    mem_format("unix:%s/policy", sockets != NULL ? sockets : scope->facts->socket_dir);
	if (strstr(service, ours) == NULL && scope->who == STRANGER_FOREIGN)
		add_way(scope, WAY_UNKNOWN, "check_policy_service", service, NULL);
	free(ours);
}

/* A table alone in a list is asked by what the list is about. */
static const char *
default_check(const struct scope *scope)
{
	static const char *const checks[][2] = {
	    {"smtpd_client_restrictions", "check_client_access"},
	    {"smtpd_helo_restrictions", "check_helo_access"},
	    {"smtpd_sender_restrictions", "check_sender_access"},
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (strcmp(scope->parameter, checks[i][0]) == 0)
			return checks[i][1];
	return "check_recipient_access";
}

/* The fate by token `*i` alone; it moves on to the argument where one was read. */
static enum stranger_fate
fate_of_token(const struct scope *scope, const struct pf_tokens *tokens, size_t *i, int depth)
{
	const char *word = tokens->items[*i].text;
	const char *next = *i + 1 < tokens->count ? tokens->items[*i + 1].text : "";

	if (is_access_check(word)) {
		++*i;
		return *next != '\0' ? fate_of_access(scope, word, next, depth)
				     : STRANGER_UNDECIDED;
	}
	if (strcasecmp(word, "check_policy_service") == 0) {
		note_policy(scope, next);
		++*i;
		return STRANGER_UNDECIDED;
	}
	if (is_one_of(word, strlen(word), with_argument,
		sizeof(with_argument) / sizeof(with_argument[0]))) {
		++*i;
		return STRANGER_UNDECIDED;
	}
	if (is_class(scope->classes, word)) {
		char *list = value_of(scope, word);
		enum stranger_fate fate = fate_in_list(scope, list, depth + 1);
		free(list);
		return fate;
	}
	if (strchr(word, ':') != NULL && word[0] != '{')
		return fate_of_access(scope, default_check(scope), word, depth);
	if (strcasecmp(word, "permit_tls_all_clientcerts") == 0 && scope->who == STRANGER_FOREIGN)
		add_way(scope, WAY_UNKNOWN, word, "", NULL);
	return fate_of_word(scope->who, word);
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

static enum stranger_fate
fate_in(struct scope *scope, const char *parameter, struct stranger_ways *ways)
{
	scope->parameter = parameter;
	scope->ways = ways;
	char *list = value_of(scope, parameter);
	enum stranger_fate fate = fate_in_list(scope, list, 0);
	free(list);
	return fate;
}

/* How open a list is: 0 closed, else 1 + the worst kind. */
static int
openness(const struct stranger_ways *ways)
{
	int worst = 0;
	for (size_t i = 0; i < ways->count; i++)
		if (1 + (int)ways->items[i].kind > worst)
			worst = 1 + (int)ways->items[i].kind;
	return worst;
}

/* Each list has its say, and must be got past: the closest one counts. */
static enum stranger_fate
choose(const enum stranger_fate fates[2], struct stranger_ways found[2], const char **parameter,
    struct stranger_ways *ways)
{
	size_t best = 2;
	for (size_t i = 0; i < 2; i++)
		if (fates[i] == STRANGER_REFUSED &&
		    (best == 2 || openness(&found[i]) < openness(&found[best])))
			best = i;
	*parameter = lists[fates[0] == STRANGER_UNDECIDED && fates[1] == STRANGER_PERMITTED];
	if (best < 2) {
		*parameter = lists[best];
		*ways = found[best];
		found[best] = (struct stranger_ways){0};
		return STRANGER_REFUSED;
	}
	bool permitted = fates[0] == STRANGER_PERMITTED || fates[1] == STRANGER_PERMITTED;
	return permitted ? STRANGER_PERMITTED : STRANGER_UNDECIDED;
}

enum stranger_fate
stranger_fate(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service, const char **parameter, struct stranger_ways *ways)
{
	struct scope scope = {.facts = facts, .main = main, .service = service};
	struct stranger_ways found[2] = {{0}, {0}};
	enum stranger_fate fates[2];

	scope.classes = value_of(&scope, "smtpd_restriction_classes");
	for (size_t i = 0; i < 2; i++)
		fates[i] = fate_in(&scope, lists[i], &found[i]);
	enum stranger_fate fate = choose(fates, found, parameter, ways);
	for (size_t i = 0; i < 2; i++)
		stranger_ways_free(&found[i]);
	free(scope.classes);
	return fate;
}

bool
stranger_refuses_customers(const struct pf_facts *facts, const struct pf_file *main,
    const char *parameter, struct stranger_ways *ways)
{
	struct scope scope = {.facts = facts, .main = main, .who = STRANGER_CUSTOMER};
	scope.classes = value_of(&scope, "smtpd_restriction_classes");
	bool refused = fate_in(&scope, parameter, ways) == STRANGER_REFUSED;
	free(scope.classes);
	return refused;
}

void
stranger_visit(const struct pf_facts *facts, const struct pf_file *main,
    const struct pf_service *service,
    void (*visit)(const struct stranger_place *place, void *context), void *context)
{
	struct scope scope = {
	    .facts = facts, .main = main, .service = service, .visit = visit, .context = context};
	scope.classes = value_of(&scope, "smtpd_restriction_classes");
	/* Where nobody gets past the first list, the second has nothing to say to strangers. */
	struct stranger_ways ways = {0};
	if (fate_in(&scope, lists[0], &ways) != STRANGER_REFUSED || ways.count > 0)
		(void)fate_in(&scope, lists[1], NULL);
	stranger_ways_free(&ways);
	scope.who = STRANGER_CUSTOMER;
	for (size_t i = 0; service == NULL && i < sizeof(all_lists) / sizeof(all_lists[0]); i++)
		(void)fate_in(&scope, all_lists[i], NULL);
	free(scope.classes);
}
