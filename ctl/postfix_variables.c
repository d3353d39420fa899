/*
 * postfix_variables: the overlay's variables for one instance (see postfix_plan.h). Pure.
 *
 * The same facts give the same values, and an applied overlay gives the values that it was made
 * with: a second plan must find nothing to do.
 */
#include "ctl/postfix_plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MESSAGE_SIZE_FLOOR 157286400LL

static char *
duration(long long seconds)
{
	static const struct {
		long long length;
		char letter;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (seconds >= units[i].length && seconds % units[i].length == 0)
			return mem_format("%lld%c", seconds / units[i].length, units[i].letter);
	return mem_format("%llds", seconds);
}

static char *
message_size(const struct pf_facts *facts)
{
	long long now = strtoll(facts_value(facts, "message_size_limit"), NULL, 10);
	if (now != 0 && now < MESSAGE_SIZE_FLOOR)
		now = MESSAGE_SIZE_FLOOR;
	return mem_format("%lld", now);
}

/* Our services live where the stock smtp service lives. */
static char *
chroot_column(const struct pf_file *master)
{
	const struct pf_line *line = pf_file_service(master, "smtp", "unix");
	struct pf_service service;
	if (line == NULL || !pf_service_parse(master, line, &service))
		return mem_string("-");
	char *column = mem_string(pf_service_field(&service, 4));
	pf_service_free(&service);
	return column;
}

static char *
present_option(const struct pf_file *master, const char *service_name, const char *option_name)
{
	const struct pf_line *line = pf_file_service(master, service_name, "unix");
	struct pf_service service;
	if (line == NULL || !pf_file_is_ours(master, line) ||
	    !pf_service_parse(master, line, &service))
		return NULL;
	const struct pf_option *option = pf_service_option(&service, option_name);
	char *value = option != NULL ? mem_string(option->value) : NULL;
	pf_service_free(&service);
	return value;
}

/* The published name: as the snapshot says; without one, as it stands; else $myhostname. */
static char *
helo(const struct pf_facts *facts, const struct pf_file *master)
{
	const char *hostname = facts_value(facts, "myhostname");
	for (size_t i = 0; i < facts->published.count; i++)
		if (strcasecmp(facts->published.items[i], hostname) == 0)
			return mem_string("$myhostname");
	if (facts->published.count > 0)
		return mem_string(facts->published.items[0]);
	char *present = present_option(master, "mxhold", "smtp_helo_name");
	return present != NULL ? present : mem_string("$myhostname");
}

static char *
bind_address(const struct pf_facts *facts, int family)
{
	char text[IP_TEXT_SIZE];
	for (size_t i = 0; i < facts->public_count; i++)
		if (facts->public_addresses[i].family == family &&
		    ip_classify(&facts->public_addresses[i]) != IP_LOOPBACK &&
		    facts_address_local(facts, &facts->public_addresses[i]))
			return mem_string(ip_format(&facts->public_addresses[i], text));
	return mem_string("");
}

static void
add_name(struct strings *names, const char *name)
{
	struct text escaped = {0};
	for (const char *at = name; *at != '\0'; at++) {
		if (strchr(".+*?()[]{}|^$\\/", *at) != NULL)
			text_puts(&escaped, "\\");
		text_add(&escaped, at, 1);
	}
	char *owned = text_take(&escaped);
	if (strings_have(names, owned))
		free(owned);
	else
		strings_add(names, owned);
}

/* The host's own names, as alternatives of a regular expression. */
static char *
own_names(const struct pf_facts *facts)
{
	struct strings names = {0};
	struct text out = {0};
	struct pf_tokens tokens = facts_tokens(facts, "mydestination");
	add_name(&names, facts_value(facts, "myhostname"));
	for (size_t i = 0; i < tokens.count; i++)
		if (strpbrk(tokens.items[i].text, ":/!{") == NULL)
			add_name(&names, tokens.items[i].text);
	for (size_t i = 0; i < names.count; i++)
		text_format(&out, "%s%s", i > 0 ? "|" : "", names.items[i]);
	pf_tokens_free(&tokens);
	strings_free(&names);
	return text_take(&out);
}

/* virtual_alias_maps without our element. */
static char *
other_aliases(const struct pf_facts *facts)
{
	struct text out = {0};
	const char *raw = facts_raw(facts, "virtual_alias_maps");
	if (*facts_value(facts, "virtual_alias_maps") == '\0')
		return mem_string("");
	struct pf_tokens tokens = pf_tokens_split(raw, 0, strlen(raw), PF_LIST);
	for (size_t i = 0; i < tokens.count; i++) {
		const char *word = tokens.items[i].text;
		if (strncmp(word, "inline:{ { postmaster =", 23) != 0)
			text_format(&out, "%s%s", out.length > 0 ? ", " : "", word);
	}
	pf_tokens_free(&tokens);
	return text_take(&out);
}

struct overlay_variable *
plan_variables(const struct pf_facts *facts)
{
	struct pf_file master = pf_file_parse(facts->master, facts->master_length, PF_MASTER);
	const char *sockets = facts_sockets(facts);
	const struct overlay_variable list[] = {
	    {"sockets", mem_string(sockets != NULL ? sockets : facts->socket_dir)},
	    {"queue_lifetime", duration(facts->queue_lifetime)},
	    {"message_size", message_size(facts)},
	    {"chroot", chroot_column(&master)},
	    {"helo", helo(facts, &master)},
	    {"bind4", bind_address(facts, 4)},
	    {"bind6", bind_address(facts, 6)},
	    {"own_names", own_names(facts)},
	    {"postmaster", mem_string(facts->postmaster != NULL ? facts->postmaster : "")},
	    {"virtual_alias_maps", other_aliases(facts)},
	    {NULL, NULL},
	};
	struct overlay_variable *out =
	    mem_resize(NULL, sizeof(list) / sizeof(list[0]), sizeof(*out));
	memcpy(out, list, sizeof(list));
	pf_file_free(&master);
	return out;
}

void
plan_variables_free(struct overlay_variable *variables)
{
	for (struct overlay_variable *v = variables; v->name != NULL; v++)
		free((char *)v->value);
	free(variables);
}
