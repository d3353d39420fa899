/*
 * postfix_tables: looks into the tables of an instance (see postfix_tables.h).
 */
#include "ctl/postfix_tables.h"

#include "ctl/postfix_access.h"
#include "ctl/postfix_actions.h"
#include "ctl/postfix_gather.h"
#include "ctl/postfix_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#define POSTMAP_SECONDS 15

enum keyed { BY_DOMAIN, BY_ADDRESS };

/* The lists that decide whose a recipient is, or rewrite him. */
static const struct {
	const char *parameter;
	enum keyed keyed;
} lists[] = {
    {"mydestination", BY_DOMAIN},
    {"relay_domains", BY_DOMAIN},
    {"virtual_alias_domains", BY_DOMAIN},
    {"virtual_mailbox_domains", BY_DOMAIN},
    {"virtual_alias_maps", BY_ADDRESS},
    {"canonical_maps", BY_ADDRESS},
    {"recipient_canonical_maps", BY_ADDRESS},
    {"relocated_maps", BY_ADDRESS},
    {"transport_maps", BY_ADDRESS},
};

static const char *const walkable[] = {
    "hash:", "btree:", "lmdb:", "cdb:", "dbm:", "sdbm:", "texthash:", "inline:"};

static const char *
without_proxy(const char *table)
{
	return strncmp(table, "proxy:", 6) == 0 ? table + 6 : table;
}

static bool
has_type(const char *table, const char *const *types, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(table, types[i], strlen(types[i])) == 0)
			return true;
	return false;
}

static bool
is_table(const char *word)
{
	return strchr(word, ':') != NULL && word[0] != '[' && word[0] != '/';
}

static bool
is_our_map(const char *word)
{
	return strncmp(word, "socketmap:unix:", 15) == 0 && strstr(word, "/map:") != NULL;
}

/* --- catch-alls ---------------------------------------------------------------------- */

static enum probe_outcome
ask_table(const struct pf_facts *facts, const char *table, const char *key, bool verbose)
{
	const char *const argv[] = {"postmap", "-c", facts->config_dir, "-q", key, table, NULL};
	struct run_result result = run_program(argv, NULL, POSTMAP_SECONDS, verbose);
	enum probe_outcome outcome = PROBE_FAILED;
	if (result.ended && result.status == 0 && result.length > 0)
		outcome = PROBE_ANSWERS;
	else if (result.ended && result.status == 1 && *result.errors == '\0')
		outcome = PROBE_SILENT;
	run_free(&result);
	return outcome;
}

static void
probe_table(struct pf_facts *facts, const char *parameter, const char *table, enum keyed keyed,
    bool verbose)
{
	uint64_t random = 0;
	enum probe_outcome outcome = PROBE_SILENT;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)getpid();
	char *domain = mem_format("mxhold-%016llx.invalid", (unsigned long long)random);
	char *keys[3] = {domain, mem_format("user@%s", domain), mem_format("@%s", domain)};
	size_t first = keyed == BY_DOMAIN ? 0 : 1;
	size_t count = keyed == BY_DOMAIN ? 1 : 3;
	for (size_t i = first; i < count && outcome == PROBE_SILENT; i++)
		outcome = ask_table(facts, without_proxy(table), keys[i], verbose);
	/* transport(5) has `*` for everything. */
	if (outcome == PROBE_SILENT && strcmp(parameter, "transport_maps") == 0)
		outcome = ask_table(facts, without_proxy(table), "*", verbose);
	for (size_t i = 0; i < 3; i++)
		free(keys[i]);
	facts->probes = mem_resize(facts->probes, facts->probe_count + 1, sizeof(*facts->probes));
	facts->probes[facts->probe_count++] =
	    (struct facts_probe){mem_string(parameter), mem_string(table), outcome};
}

/* --- names ------------------------------------------------------------------------------ */

/* "user@customer.example", ".customer.example", "customer.example" */
static void
add_candidate(
    struct facts_hits *candidates, const char *parameter, const char *table, const char *key)
{
	const char *at = strrchr(key, '@');
	const char *domain = at != NULL ? at + 1 : key;
	if (*domain == '.')
		domain++;
	if (strchr(domain, '.') != NULL)
		facts_hit_add(candidates, parameter, table, domain);
}

/* Keys of virtual_alias_maps that are domains make virtual alias domains of them. */
static bool
makes_domain(const char *parameter, const char *key)
{
	return strcmp(parameter, "virtual_alias_maps") == 0 && strchr(key, '@') == NULL &&
	       strchr(key, '.') != NULL;
}

static void
walk_table(struct pf_facts *facts, struct facts_hits *candidates, const char *parameter,
    const char *table, bool verbose)
{
	const char *const argv[] = {
	    "postmap", "-c", facts->config_dir, "-s", without_proxy(table), NULL};
	struct run_result result = run_program(argv, NULL, POSTMAP_SECONDS, verbose);
	char *state = NULL;
	for (char *line = strtok_r(result.output, "\n", &state); line != NULL;
	     line = strtok_r(NULL, "\n", &state)) {
		line[strcspn(line, " \t")] = '\0';
		add_candidate(candidates, parameter, table, line);
		if (makes_domain(parameter, line))
			facts_hit_add(&facts->other_domains, parameter, table, line);
	}
	run_free(&result);
}

/* A list may name a file of patterns: /etc/postfix/domains. */
static void
read_list_file(struct facts_hits *candidates, const char *parameter, const char *path)
{
	size_t length;
	char *content = gather_file(path, &length), *state = NULL;
	for (char *word = content != NULL ? strtok_r(content, ", \t\r\n", &state) : NULL;
	     word != NULL; word = strtok_r(NULL, ", \t\r\n", &state))
		add_candidate(candidates, parameter, path, word);
	free(content);
}

/* transport_maps: only what stands in front of our map can lead customers' mail elsewhere. */
static size_t
tokens_that_count(const char *parameter, const struct pf_tokens *tokens)
{
	if (strcmp(parameter, "transport_maps") != 0)
		return tokens->count;
	for (size_t i = 0; i < tokens->count; i++)
		if (is_our_map(tokens->items[i].text))
			return i;
	return 0;
}

static void
gather_list(struct pf_facts *facts, struct facts_hits *candidates, const char *parameter,
    enum keyed keyed, bool verbose)
{
	struct pf_tokens tokens = facts_tokens(facts, parameter);
	size_t count = tokens_that_count(parameter, &tokens);
	for (size_t i = 0; i < count; i++) {
		const char *word = tokens.items[i].text;
		if (*word == '!')
			word++;
		if (is_our_map(word) || strncmp(word, "inline:{ { postmaster =", 23) == 0)
			continue;
		if (*word == '/')
			read_list_file(candidates, parameter, word);
		else if (!is_table(word))
			add_candidate(candidates, parameter, "", word);
		else {
			probe_table(facts, parameter, word, keyed, verbose);
			if (has_type(without_proxy(word), walkable,
				sizeof(walkable) / sizeof(walkable[0])))
				walk_table(facts, candidates, parameter, word, verbose);
		}
	}
	pf_tokens_free(&tokens);
}

void
tables_gather(struct pf_facts *facts, struct facts_hits *candidates, bool verbose)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		gather_list(facts, candidates, lists[i].parameter, lists[i].keyed, verbose);
	actions_gather(facts, verbose);
	access_gather(facts, candidates, verbose);
}
