/*
 * postfix_access: see postfix_access.h. Which keys smtpd looks up: access(5), postconf(5).
 */
#include "ctl/postfix_access.h"

#include "ctl/postfix_entries.h"
#include "ctl/postfix_run.h"
#include "ctl/postfix_stranger.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#define POSTMAP_SECONDS 15
#define ROUNDS_MAX 4   /* tables that answer with tables */
#define ANSWERS_MAX 64 /* kept of one table */
#define NOBODY "mxhold-%016llx"

/* --- made-up keys -------------------------------------------------------------------------- */

/*
 * What smtpd would look up for somebody who is nobody here; %s is a random name without a domain.
 * `partial`: pattern tables do not see it. The first ordinary one stands for customers' mail too.
 */
static const struct {
	const char *check; /* "": all of the kind */
	const char *key;
	enum access_kind kind;
	bool partial, ordinary;
} keys[] = {
    {"", "192.0.2.77", ACCESS_CLIENT, false, false},
    {"", "198.51.100.77", ACCESS_CLIENT, false, false},
    {"", "203.0.113.77", ACCESS_CLIENT, false, false},
    {"", "2001:db8::77", ACCESS_CLIENT, false, false},
    {"", "unknown", ACCESS_CLIENT, false, false}, /* a client without a name */
    {"", "%s.com", ACCESS_CLIENT, false, false},
    {"", "user@%s.com", ACCESS_RECIPIENT, false, true},
    {"", "user@%s.invalid", ACCESS_RECIPIENT, false, false},
    {"", "postmaster@%s.com", ACCESS_RECIPIENT, false, false},
    {"", "abuse@%s.com", ACCESS_RECIPIENT, false, false},
    {"", "%s.com", ACCESS_RECIPIENT, true, false},
    {"", "com", ACCESS_RECIPIENT, true, false},
    {"", "postmaster@", ACCESS_RECIPIENT, true, false},
    {"", "abuse@", ACCESS_RECIPIENT, true, false},
    {"check_sender_access", "user@%s.com", ACCESS_FORGED, false, true},
    {"check_sender_access", "user@%s.invalid", ACCESS_FORGED, false, false},
    {"check_sender_access", "%s.com", ACCESS_FORGED, true, false},
    {"check_sender_access", "<>", ACCESS_FORGED, false, false},
    {"check_helo_access", "%s.com", ACCESS_FORGED, false, true},
    {"check_helo_access", "[192.0.2.77]", ACCESS_FORGED, false, false},
    {"check_", "%s.com", ACCESS_FORGED, false, false},
    {"check_", "192.0.2.77", ACCESS_FORGED, false, false},
    {"check_ccert_access", "C2:9D:F4:87:71:73:73:D9:18:E7:C2:F3:C1:DA:6E:04:C2:9D:F4:87",
	ACCESS_CREDENTIAL, false, false},
};

/* Is a key of the table above one for this check? Those of sender and HELO have their own. */
static bool
key_is_for(size_t which, const char *check)
{
	const char *wanted = keys[which].check;
	if (keys[which].kind != access_kind(check))
		return false;
	bool own = strcasecmp(check, "check_sender_access") == 0 ||
		   strcasecmp(check, "check_helo_access") == 0;
	return *wanted == '\0' || strcasecmp(wanted, check) == 0 ||
	       (strcmp(wanted, "check_") == 0 && !own);
}

/* --- answers ------------------------------------------------------------------------------ */

struct asking {
	struct pf_facts *facts;
	struct facts_hits *candidates;
	bool verbose;
	bool found;                  /* a table that was not known */
	const char *parameter;       /* in which the table stands */
	enum stranger_who who;       /* whose way it is on */
	struct facts_access *access; /* the table in hand */
};

static void
add_answer(struct facts_access *access, struct facts_answer answer)
{
	if (access->count >= ANSWERS_MAX)
		return;
	answer.key = mem_string(answer.key);
	answer.result = mem_string(answer.result);
	access->answers = mem_resize(access->answers, access->count + 1, sizeof(*access->answers));
	access->answers[access->count++] = answer;
}

/* As main.cf has it, `$$` is one `$`; a command line has it as it is. */
static char *
for_command(const char *table)
{
	char *copy = mem_string(entries_name(table)), *out = copy;
	for (const char *at = copy; *at != '\0'; at++) {
		*out++ = *at;
		if (at[0] == '$' && at[1] == '$')
			at++;
	}
	*out = '\0';
	return copy;
}

/* False: it cannot be asked. */
static bool
ask_key(struct asking *asking, const char *key, bool ordinary)
{
	char *table = for_command(asking->access->table);
	const char *const argv[] = {
	    "postmap", "-c", asking->facts->config_dir, "-q", key, table, NULL};
	struct run_result result = run_program(argv, NULL, POSTMAP_SECONDS, asking->verbose);
	bool answered = result.ended && result.status == 0 && result.length > 0;
	bool silent = result.ended && result.status == 1 && *result.errors == '\0';
	result.output[strcspn(result.output, "\r\n")] = '\0';
	if (answered)
		add_answer(asking->access, (struct facts_answer){.key = (char *)key,
					       .result = result.output,
					       .anybody = true,
					       .ordinary = ordinary});
	run_free(&result);
	free(table);
	return answered || silent;
}

static bool
ask_keys(struct asking *asking)
{
	uint64_t random = 0;
	char name[32];
	bool told = true;
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)getpid();
	snprintf(name, sizeof(name), NOBODY, (unsigned long long)random);
	bool patterns = entries_of_patterns(asking->access->table);
	for (size_t i = 0; told && i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!key_is_for(i, asking->access->check) || (patterns && keys[i].partial))
			continue;
		const char *at = strstr(keys[i].key, "%s");
		char *key = at == NULL ? mem_string(keys[i].key)
				       : mem_format("%.*s%s%s", (int)(at - keys[i].key),
					     keys[i].key, name, at + 2);
		told = ask_key(asking, key, keys[i].ordinary);
		free(key);
	}
	return told;
}

/* --- entries ------------------------------------------------------------------------------- */

/* "com", ".com" and "postmaster@" hold for domains that nobody named. */
static bool
is_wide(enum access_kind kind, const char *key)
{
	size_t length = strlen(key);
	if (kind == ACCESS_RECIPIENT && length > 0 && key[length - 1] == '@')
		return true;
	if (*key == '.')
		key++;
	return isalpha((unsigned char)*key) && strpbrk(key, ".@:/") == NULL &&
	       strcasecmp(key, "localhost") != 0;
}

static void
add_candidate(const struct asking *asking, const char *key)
{
	const char *at = strrchr(key, '@');
	const char *domain = at != NULL ? at + 1 : key;
	if (*domain == '.')
		domain++;
	if (strchr(domain, '.') != NULL)
		facts_hit_add(asking->candidates, asking->parameter, asking->access->table, domain);
}

static bool
has_answer(const struct facts_access *access, const char *result, bool wide)
{
	for (size_t i = 0; i < access->count; i++)
		if (!access->answers[i].anybody && access->answers[i].wide == wide &&
		    strcmp(access->answers[i].result, result) == 0)
			return true;
	return false;
}

/* One entry of each result is enough; but every domain counts that may be a customer's. */
static void
take_entry(const char *key, const char *result, void *context)
{
	struct asking *asking = context;
	struct facts_access *access = asking->access;
	enum access_kind kind = access_kind(access->check);
	if (stranger_result_is_inert(result))
		return;
	bool patterns = entries_of_patterns(access->table);
	bool wide = !patterns && is_wide(kind, key);
	if (kind == ACCESS_RECIPIENT && !patterns && asking->who == STRANGER_FOREIGN)
		add_candidate(asking, key);
	if (!has_answer(access, result, wide))
		add_answer(access, (struct facts_answer){
				       .key = (char *)key,
				       .result = (char *)result,
				       .wide = wide,
				   });
}

/* --- tables ---------------------------------------------------------------------------------- */

static void
ask_table(const struct stranger_place *place, void *context)
{
	struct asking *asking = context;
	struct pf_facts *facts = asking->facts;
	if (facts_access_find(facts, place->check, place->table) != NULL)
		return;
	facts->access = mem_resize(facts->access, facts->access_count + 1, sizeof(*facts->access));
	struct facts_access *access = &facts->access[facts->access_count++];
	*access = (struct facts_access){
	    .check = mem_string(place->check), .table = mem_string(place->table)};
	asking->access = access;
	asking->parameter = place->parameter;
	asking->who = place->who;
	asking->found = true;
	bool asked = ask_keys(asking);
	bool read = access_kind(place->check) != ACCESS_CREDENTIAL &&
		    entries_each(facts, place->table, asking->verbose, take_entry, asking);
	access->told = asked || read;
}

static void
visit_all(struct asking *asking, const struct pf_file *main, const struct pf_file *master)
{
	stranger_visit(asking->facts, main, NULL, ask_table, asking);
	for (size_t i = 0; i < master->count; i++) {
		struct pf_service service;
		if (!pf_service_parse(master, &master->lines[i], &service))
			continue;
		if (strcmp(pf_service_field(&service, 7), "smtpd") == 0 && service.option_count > 0)
			stranger_visit(asking->facts, main, &service, ask_table, asking);
		pf_service_free(&service);
	}
}

void
access_gather(struct pf_facts *facts, struct facts_hits *candidates, bool verbose)
{
	struct pf_file main = pf_file_parse(facts->main, facts->main_length, PF_MAIN);
	struct pf_file master = pf_file_parse(facts->master, facts->master_length, PF_MASTER);
	struct asking asking = {.facts = facts, .candidates = candidates, .verbose = verbose};
	/* What a table answers may name the next one. */
	for (int round = 0; round < ROUNDS_MAX; round++) {
		asking.found = false;
		visit_all(&asking, &main, &master);
		if (!asking.found)
			break;
	}
	pf_file_free(&main);
	pf_file_free(&master);
}
