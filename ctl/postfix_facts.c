/*
 * postfix_facts: questions to the facts about an instance (see postfix_facts.h). Pure.
 */
#include "ctl/postfix_facts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct facts_setting *
find_setting(const struct pf_facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->setting_count; i++)
		if (strcmp(facts->settings[i].name, name) == 0)
			return &facts->settings[i];
	return NULL;
}

const char *
facts_value(const struct pf_facts *facts, const char *name)
{
	const struct facts_setting *setting = find_setting(facts, name);
	return setting != NULL ? setting->expanded : "";
}

const char *
facts_raw(const struct pf_facts *facts, const char *name)
{
	const struct facts_setting *setting = find_setting(facts, name);
	return setting != NULL ? setting->raw : "";
}

struct pf_tokens
facts_tokens(const struct pf_facts *facts, const char *name)
{
	const char *value = facts_value(facts, name);
	return pf_tokens_split(value, 0, strlen(value), PF_LIST);
}

bool
facts_have_word(const struct pf_facts *facts, const char *name, const char *word)
{
	struct pf_tokens tokens = facts_tokens(facts, name);
	bool found = pf_tokens_word(&tokens, word) < tokens.count;
	pf_tokens_free(&tokens);
	return found;
}

bool
facts_service_disabled(const struct pf_facts *facts, const char *name, const char *type)
{
	struct pf_tokens tokens = facts_tokens(facts, "master_service_disable");
	char *full = mem_format("%s/%s", name, type);
	bool found = false, disabled = false;
	for (size_t i = 0; i < tokens.count && !found; i++) { /* the first match counts */
		char *word = tokens.items[i].text, *dot = strrchr(word, '.');
		size_t marks = strspn(word, "!");
		if (dot != NULL && strchr(word, '/') == NULL)
			*dot = '/'; /* as it was written before Postfix 2.11 */
		found = strcasecmp(word + marks, type) == 0 || strcasecmp(word + marks, full) == 0;
		disabled = found && marks % 2 == 0;
	}
	free(full);
	pf_tokens_free(&tokens);
	return disabled;
}

bool
facts_own_name(const struct pf_facts *facts, const char *name)
{
	static const char *const parameters[] = {"myhostname", "mydomain", "myorigin"};
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (strcasecmp(name, facts_value(facts, parameters[i])) == 0)
			return true;
	return strchr(name, '.') == NULL || strncasecmp(name, "localhost.", 10) == 0;
}

bool
facts_address_local(const struct pf_facts *facts, const struct ip *address)
{
	for (size_t i = 0; i < facts->local_count; i++)
		if (ip_equal(&facts->local[i], address))
			return true;
	return false;
}

/* Does a list of interfaces (inet_interfaces, proxy_interfaces) name the address? */
static bool
list_has_address(const struct pf_facts *facts, const char *parameter, const struct ip *address)
{
	struct pf_tokens tokens = facts_tokens(facts, parameter);
	bool found = false;
	for (size_t i = 0; i < tokens.count && !found; i++) {
		char *word = tokens.items[i].text;
		size_t length = strlen(word);
		struct ip ip;
		if (word[0] == '[' && length > 2) { /* [2001:db8::1] */
			word++;
			length -= 2;
		}
		found = ip_parse_bytes(word, length, &ip) && ip_equal(&ip, address);
	}
	pf_tokens_free(&tokens);
	return found;
}

bool
facts_address_known(const struct pf_facts *facts, const struct ip *address)
{
	if (facts_have_word(facts, "inet_interfaces", "all") && facts_address_local(facts, address))
		return true;
	return list_has_address(facts, "inet_interfaces", address) ||
	       list_has_address(facts, "proxy_interfaces", address);
}

bool
facts_network_parse(const char *word, struct ip_network *out)
{
	char text[64];
	size_t length = 0;
	for (; *word != '\0' && length + 1 < sizeof(text); word++)
		if (*word != '[' && *word != ']')
			text[length++] = *word;
	text[length] = '\0';
	return *word == '\0' && ip_network_parse(text, out);
}

bool
facts_address_foreign(const struct pf_facts *facts, const struct ip *address)
{
	struct pf_tokens tokens = facts_tokens(facts, "mynetworks");
	bool foreign = true;
	for (size_t i = 0; i < tokens.count && foreign; i++) {
		struct ip_network network;
		foreign = facts_network_parse(tokens.items[i].text, &network) &&
			  !ip_network_contains(&network, address);
	}
	pf_tokens_free(&tokens);
	return foreign;
}

const char *
facts_sockets(const struct pf_facts *facts)
{
	const char *queue = facts_value(facts, "queue_directory");
	size_t length = strlen(queue);
	if (length == 0 || strncmp(facts->socket_dir, queue, length) != 0 ||
	    facts->socket_dir[length] != '/' || facts->socket_dir[length + 1] == '\0')
		return NULL;
	return facts->socket_dir + length + 1;
}

bool
facts_has_certificate(const struct pf_facts *facts)
{
	static const char *const parameters[] = {"smtpd_tls_chain_files", "smtpd_tls_cert_file",
	    "smtpd_tls_eccert_file", "smtpd_tls_dcert_file"};
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		const char *value = facts_value(facts, parameters[i]);
		if (*value != '\0' && strcmp(value, "none") != 0)
			return true;
	}
	return false;
}

void
facts_hit_add(struct facts_hits *hits, const char *parameter, const char *table, const char *what)
{
	hits->items = mem_resize(hits->items, hits->count + 1, sizeof(*hits->items));
	hits->items[hits->count++] =
	    (struct facts_hit){mem_string(parameter), mem_string(table), mem_string(what)};
}

void
facts_hits_free(struct facts_hits *hits)
{
	for (size_t i = 0; i < hits->count; i++) {
		free(hits->items[i].parameter);
		free(hits->items[i].table);
		free(hits->items[i].what);
	}
	free(hits->items);
	*hits = (struct facts_hits){0};
}

const struct facts_access *
facts_access_find(const struct pf_facts *facts, const char *check, const char *table)
{
	for (size_t i = 0; i < facts->access_count; i++)
		if (strcasecmp(facts->access[i].check, check) == 0 &&
		    strcmp(facts->access[i].table, table) == 0)
			return &facts->access[i];
	return NULL;
}

static void
access_free(struct facts_access *access)
{
	for (size_t i = 0; i < access->count; i++) {
		free(access->answers[i].key);
		free(access->answers[i].result);
	}
	free(access->answers);
	free(access->check);
	free(access->table);
}

void
pf_facts_free(struct pf_facts *facts)
{
	for (size_t i = 0; i < facts->setting_count; i++) {
		free(facts->settings[i].name);
		free(facts->settings[i].raw);
		free(facts->settings[i].expanded);
	}
	free(facts->settings);
	for (size_t i = 0; i < facts->probe_count; i++) {
		free(facts->probes[i].parameter);
		free(facts->probes[i].table);
	}
	free(facts->probes);
	for (size_t i = 0; i < facts->access_count; i++)
		access_free(&facts->access[i]);
	free(facts->access);
	facts_hits_free(&facts->customer_domains);
	facts_hits_free(&facts->other_domains);
	facts_hits_free(&facts->table_actions);
	free(facts->config_dir);
	free(facts->main);
	free(facts->master);
	free(facts->local);
	free(facts->row_addresses);
	strings_free(&facts->published);
	*facts = (struct pf_facts){0};
}
