/*
 * postfix_findings: what stands against the overlay on this instance: refusals and warnings, each
 * with its cause and its cure (see postfix_plan.h). Pure.
 *
 * A refusal is something that would break a promise: a way around the gate or the fence, a
 * wildcard, a hop between relays, a lost message. What could not be told is a warning.
 */
#include "ctl/postfix_plan.h"
#include "ctl/postfix_stranger.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OWN_INSTANCE "give customers' mail a Postfix instance of its own (postmulti(1))"
#define REMOVE_OR_OWN "remove it, or " OWN_INSTANCE

struct judge {
	struct plan *plan;
	const struct pf_facts *facts;
	struct pf_file main, master;
	struct stranger_ways ways; /* past the refusal of strangers, by main.cf alone */
};

static void
refuse(struct judge *j, const char *subject, char *cause, const char *cure)
{
	plan_finding(j->plan, FINDING_REFUSAL, subject, cause, cure);
}

static void
warn(struct judge *j, const char *subject, char *cause, const char *cure)
{
	plan_finding(j->plan, FINDING_WARNING, subject, cause, cure);
}

/* --- settings that must have one value, in main.cf and in every service ---------------- */

static const struct {
	const char *parameter;
	const char *wanted;
	const char *cause;
	const char *cure;
} fixed[] = {
    {"always_bcc", "", "a copy of customers' mail would go elsewhere", REMOVE_OR_OWN},
    {"sender_bcc_maps", "", "copies of customers' mail would go elsewhere", REMOVE_OR_OWN},
    {"recipient_bcc_maps", "", "copies of customers' mail would go elsewhere", REMOVE_OR_OWN},
    {"content_filter", "",
	"customers' mail would be handed to the filter, past the fence, and lost by its 5xx",
	REMOVE_OR_OWN},
    {"smtpd_proxy_filter", "", "customers' mail would pass through another server", REMOVE_OR_OWN},
    {"bounce_service_name", "bounce", "notices would get past the service that discards them",
	"remove it"},
    {"defer_service_name", "defer", "notices would get past the service that discards them",
	"remove it"},
    {"trace_service_name", "trace", "notices would get past the service that discards them",
	"remove it"},
    {"error_service_name", "error", "what it returns would not be softened", "remove it"},
    {"rewrite_service_name", "rewrite", "another service would resolve addresses", "remove it"},
    {"allow_untrusted_routing", "no", "addresses with a route in them would get past the gate",
	"remove it"},
    {"resolve_dequoted_address", "yes",
	"a domain within a quoted local part would get past the gate", "remove it"},
    {"info_log_address_format", "external",
	"in the log a recipient could not be told from the rest of a line: the journal would be "
	"wrong",
	"remove it"},
};

#define FIXED_COUNT (sizeof(fixed) / sizeof(fixed[0]))

static void
judge_fixed(struct judge *j)
{
	for (size_t i = 0; i < FIXED_COUNT; i++) {
		const char *value = facts_value(j->facts, fixed[i].parameter);
		if (strcmp(value, fixed[i].wanted) != 0 && *facts_raw(j->facts, fixed[i].parameter))
			refuse(j, fixed[i].parameter,
			    mem_format("%s = %s: %s", fixed[i].parameter, value, fixed[i].cause),
			    fixed[i].cure);
	}
}

static void
judge_fixed_option(
    struct judge *j, const struct pf_service *service, const struct pf_option *option)
{
	for (size_t i = 0; i < FIXED_COUNT; i++)
		if (strcmp(option->name, fixed[i].parameter) == 0 &&
		    strcmp(option->value, fixed[i].wanted) != 0)
			refuse(j, fixed[i].parameter,
			    mem_format("service %s in master.cf has -o %s=%s: %s",
				pf_service_field(service, 0), option->name, option->value,
				fixed[i].cause),
			    fixed[i].cure);
}

/* --- words that must stand in no restriction --------------------------------------------- */

static const struct {
	const char *word;
	const char *cause;
	const char *cure;
} forbidden[] = {
    {"permit_mx_backup",
	"it takes mail for every domain whose MX records name this host, authorised or not",
	"remove it: relay_domains has the authorised domains"},
    {"reject_unverified_recipient",
	"it asks the primary, and refuses or delays mail just while the primary is down",
	"remove it: " OWN_INSTANCE " if other mail needs it"},
};

/* Does `word` stand in `value` as a whole word (also within braces)? */
static bool
has_word(const char *value, const char *word)
{
	size_t length = strlen(word);
	for (const char *at = value; (at = strstr(at, word)) != NULL; at += length) {
		bool begins = at == value || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
		if (begins && !isalnum((unsigned char)at[length]) && at[length] != '_')
			return true;
	}
	return false;
}

static void
judge_words(struct judge *j, const char *where, const char *value)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (has_word(value, forbidden[i].word))
			refuse(j, forbidden[i].word,
			    mem_format(
				"%s has %s: %s", where, forbidden[i].word, forbidden[i].cause),
			    forbidden[i].cure);
}

static void
judge_main_words(struct judge *j)
{
	for (size_t i = 0; i < j->main.count; i++) {
		char *value = pf_file_value(&j->main, &j->main.lines[i]);
		judge_words(j, j->main.lines[i].name, value);
		free(value);
	}
}

/* --- services of master.cf ------------------------------------------------------------------ */

static void
judge_options(struct judge *j, const struct pf_service *service)
{
	bool smtpd = strcmp(pf_service_field(service, 7), "smtpd") == 0;
	for (size_t i = 0; i < service->option_count; i++) {
		const struct pf_option *option = &service->options[i];
		char *where = mem_format("service %s in master.cf", pf_service_field(service, 0));
		judge_fixed_option(j, service, option);
		judge_words(j, where, option->value);
		if (smtpd && strcmp(option->name, "receive_override_options") == 0 &&
		    has_word(option->value, "no_milters"))
			refuse(j, "receive_override_options",
			    mem_format(
				"%s has no_milters: mxhold-milter would not see its mail", where),
			    "remove no_milters there");
		if (smtpd && strcmp(option->name, "smtpd_sasl_auth_enable") == 0 &&
		    strcmp(option->value, "yes") == 0)
			facts_hit_add(&j->plan->other_mail, "smtpd_sasl_auth_enable", "", where);
		free(where);
	}
}

static bool
is_tls_port(const char *name)
{
	static const char *const ports[] = {"smtps", "submissions", "465"};
	const char *port = strrchr(name, ':') != NULL ? strrchr(name, ':') + 1 : name;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (strcmp(port, ports[i]) == 0)
			return true;
	return false;
}

static void
judge_service(struct judge *j, const struct pf_service *service)
{
	const char *name = pf_service_field(service, 0), *command = pf_service_field(service, 7);
	if (strcmp(command, "qmqpd") == 0)
		refuse(j, name, mem_format("service %s takes mail by QMQP, past the gate", name),
		    "remove the service");
	if (j->facts->dedicated && strcmp(command, "smtpd") == 0 && is_tls_port(name))
		warn(j, name,
		    mem_format("service %s listens for TLS from the start; senders of mail for a "
			       "backup MX use port 25",
			name),
		    "remove the service");
	judge_options(j, service);
}

static void
judge_services(struct judge *j)
{
	for (size_t i = 0; i < j->master.count; i++) {
		struct pf_service service;
		if (!pf_service_parse(&j->master, &j->master.lines[i], &service))
			continue;
		judge_service(j, &service);
		pf_service_free(&service);
	}
}

/* Does anything listen for mail? `postmulti -e create` makes an instance where nothing does. */
static void
judge_listeners(struct judge *j)
{
	size_t listening = 0, disabled = 0;
	for (size_t i = 0; i < j->master.count; i++) {
		struct pf_service service;
		if (!pf_service_parse(&j->master, &j->master.lines[i], &service))
			continue;
		const char *command = pf_service_field(&service, 7);
		bool smtp = strcmp(pf_service_field(&service, 1), "inet") == 0 &&
			    (strcmp(command, "smtpd") == 0 || strcmp(command, "postscreen") == 0);
		if (smtp && facts_service_disabled(j->facts, pf_service_field(&service, 0), "inet"))
			disabled++;
		else if (smtp)
			listening++;
		pf_service_free(&service);
	}
	if (listening > 0 || disabled == 0)
		return;
	char *cure = mem_format("postconf -c %s -e 'master_service_disable =', then start this "
				"Postfix (reload one that runs)",
	    j->facts->config_dir);
	refuse(j, "master_service_disable",
	    mem_format("master_service_disable = %s: no smtpd of this instance listens, so that it "
		       "takes no mail at all (`postmulti -e create` sets that)",
		facts_value(j->facts, "master_service_disable")),
	    cure);
	free(cure);
}

/* Does master(8) run the services of the overlay? */
static void
judge_disabled(struct judge *j)
{
	static const char *const ours[] = {"mxhold", "mxhold-tls", "mxhold-pin", "mxhold-void"};
	char *names = mem_string("");
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (!facts_service_disabled(j->facts, ours[i], "unix"))
			continue;
		char *more = mem_format("%s%s%s", names, *names != '\0' ? ", " : "", ours[i]);
		free(names);
		names = more;
	}
	if (*names != '\0')
		refuse(j, "master_service_disable",
		    mem_format(
			"master_service_disable = %s: master(8) does not run %s: what should "
			"go that way waits in the queue till it expires",
			facts_value(j->facts, "master_service_disable"), names),
		    "set it so that it leaves nothing of mxhold out (postconf(5)), then reload "
		    "this "
		    "Postfix");
	free(names);
}

/*
 * The services of Postfix itself without which a promise breaks though mail seems to flow. What is
 * not here can be away: pickup (mail of this host), verify, anvil, scache, discard, the deliveries
 * of other mail. The overlay has options for those that are `planned`: the plan tells where one of
 * them is missing.
 */
static const struct {
	const char *name, *type;
	const char *parameter; /* that may name another; NULL: none, or it is fixed above */
	bool planned;
	const char *effect;
} needed[] = {
    {"cleanup", "unix", "cleanup_service_name", false, "no mail is taken"},
    {"qmgr", "unix", "queue_service_name", false, "no mail leaves the queue"},
    {"rewrite", "unix", NULL, false, "no address is resolved: no mail is taken, none leaves"},
    {"tlsmgr", "unix", "tlsmgr_service_name", false,
	"where TLS is required no mail leaves, and elsewhere it leaves in the clear"},
    {"flush", "unix", "flush_service_name", false,
	"`postqueue -s` fails, with which held mail is released"},
    {"showq", "unix", "showq_service_name", false,
	"the queue cannot be listed: mxhold-queued sees nothing of it"},
    {"retry", "unix", NULL, false, "a domain cannot be held"},
    {"error", "unix", NULL, true, "what it should return stays in the queue without its reason"},
    {"bounce", "unix", NULL, true, "no outcome of a delivery is written down"},
    {"defer", "unix", NULL, true, "no reason of a delay is written down"},
    {"trace", "unix", NULL, true, "what has asked for a delivery report does not leave"},
};

static const char *
needed_name(const struct judge *j, size_t which)
{
	const char *parameter = needed[which].parameter;
	const char *name = parameter != NULL ? facts_value(j->facts, parameter) : "";
	return *name != '\0' ? name : needed[which].name;
}

static void
judge_needed_service(
    struct judge *j, const char *name, const char *type, bool planned, const char *effect)
{
	/* qmgr was a fifo once; who has updated since may have it still. */
	const char *stands = pf_file_service(&j->master, name, type) != NULL     ? type
			     : pf_file_service(&j->master, name, "fifo") != NULL ? "fifo"
										 : NULL;
	if (stands == NULL && !planned)
		refuse(j, name, mem_format("master.cf has no service %s: %s", name, effect),
		    "put it back as Postfix ships it");
	else if (stands != NULL && facts_service_disabled(j->facts, name, stands))
		refuse(j, "master_service_disable",
		    mem_format("master_service_disable = %s: master(8) does not run %s: %s",
			facts_value(j->facts, "master_service_disable"), name, effect),
		    "take the service out of it (postconf(5)), then reload this Postfix");
}

/* Does Postfix have, and does master(8) run, what mxhold needs of it? */
static void
judge_needed(struct judge *j)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		judge_needed_service(
		    j, needed_name(j, i), needed[i].type, needed[i].planned, needed[i].effect);
	if (*facts_value(j->facts, "maillog_file") != '\0')
		judge_needed_service(j, "postlog", "unix-dgram", false,
		    "nothing is written into maillog_file, which mxhold-queued reads");
}

/* --- restrictions: nobody unpermitted in, no customer's mail out ------------------------------ */

static void
judge_way(struct judge *j, const char *where, const struct stranger_way *way)
{
	static const char *const cure = "write it behind reject_unauth_destination";
	const char *gap = *way->table != '\0' ? " " : "";
	char *what = mem_format("%s%s: %s%s%s", where, way->parameter, way->check, gap, way->table);
	switch (way->kind) {
	case WAY_EVERYBODY:
		refuse(j, way->parameter,
		    mem_format("%s answers \"%s\" to \"%s\", which nobody has, before anything "
			       "refuses strangers: an open relay",
			what, way->result, way->key),
		    cure);
		break;
	case WAY_FORGED:
		refuse(j, way->parameter,
		    mem_format("%s answers \"%s\" to \"%s\" before anything refuses strangers; "
			       "anybody can bring that about: an open relay for those who do",
			what, way->result, way->key),
		    cure);
		break;
	case WAY_UNKNOWN:
		warn(j, way->parameter,
		    mem_format("%s stands before what refuses strangers; whom it permits is not "
			       "known, and they may relay anywhere",
			what),
		    cure);
		break;
	case WAY_SOME: facts_hit_add(&j->plan->other_mail, way->parameter, "", what); break;
	}
	free(what);
}

/* Is it so by main.cf too, and said? */
static bool
way_is_known(const struct stranger_ways *known, const struct stranger_way *way)
{
	for (size_t i = 0; i < known->count; i++)
		if (strcmp(known->items[i].parameter, way->parameter) == 0 &&
		    strcmp(known->items[i].check, way->check) == 0 &&
		    strcmp(known->items[i].table, way->table) == 0)
			return true;
	return false;
}

/* May strangers relay? `service`: with its own options; NULL: by main.cf. True: they may not. */
static bool
judge_strangers(struct judge *j, const struct pf_service *service)
{
	static const char *const causes[] = {
	    [STRANGER_PERMITTED] = "permits everything before anything refuses strangers",
	    [STRANGER_UNDECIDED] = "has nothing that refuses strangers",
	};
	const char *parameter;
	struct stranger_ways ways = {0};
	enum stranger_fate fate = stranger_fate(j->facts, &j->main, service, &parameter, &ways);
	char *where = service != NULL
			  ? mem_format("service %s in master.cf: ", pf_service_field(service, 0))
			  : mem_string("");
	for (size_t i = 0; i < ways.count; i++)
		if (service == NULL || !way_is_known(&j->ways, &ways.items[i]))
			judge_way(j, where, &ways.items[i]);
	if (service == NULL)
		j->ways = ways;
	else
		stranger_ways_free(&ways);
	if (fate == STRANGER_REFUSED) {
		free(where);
		return true;
	}
	refuse(j, parameter, mem_format("%s%s %s: an open relay", where, parameter, causes[fate]),
	    "write reject_unauth_destination in front of it");
	free(where);
	return false;
}

static const struct {
	const char *parameter;
	const char *cure;
} refusing[] = {
    {"smtpd_client_restrictions", REMOVE_OR_OWN},
    {"smtpd_helo_restrictions", REMOVE_OR_OWN},
    {"smtpd_sender_restrictions", REMOVE_OR_OWN},
    {"smtpd_relay_restrictions", "write reject_unauth_destination in its place"},
    {"smtpd_recipient_restrictions", "write reject_unauth_destination in its place"},
};

/* Does mail for a customer run into a refusal that has nothing to do with it? */
static void
judge_refusal(struct judge *j, const char *parameter, const char *cure)
{
	struct stranger_ways ways = {0};
	if (!stranger_refuses_customers(j->facts, &j->main, parameter, &ways))
		return;
	if (ways.count == 0)
		refuse(j, parameter,
		    mem_format("%s ends in a plain reject or defer, which customers' mail would "
			       "run into",
			parameter),
		    cure);
	else
		refuse(j, parameter,
		    mem_format("%s: %s %s answers \"%s\" to \"%s\", which nobody has: customers' "
			       "mail would run into that",
			parameter, ways.items[0].check, ways.items[0].table, ways.items[0].result,
			ways.items[0].key),
		    cure);
	stranger_ways_free(&ways);
}

static void
judge_restrictions(struct judge *j)
{
	for (size_t i = 0; i < sizeof(refusing) / sizeof(refusing[0]); i++)
		judge_refusal(j, refusing[i].parameter, refusing[i].cure);
	if (facts_have_word(
		j->facts, "smtpd_recipient_restrictions", "reject_unknown_recipient_domain") &&
	    *facts_value(j->facts, "unknown_address_reject_code") == '5')
		warn(j, "unknown_address_reject_code",
		    mem_string("a customer's domain that cannot be resolved would be refused for "
			       "good"),
		    "set unknown_address_reject_code = 450");
}

/* `where`: "" or the service with its own list. */
static void
judge_networks(struct judge *j, const char *where, const char *networks)
{
	struct pf_tokens tokens = pf_tokens_split(networks, 0, strlen(networks), PF_LIST);
	for (size_t i = 0; i < tokens.count; i++) {
		const char *word = tokens.items[i].text;
		size_t length = strlen(word);
		if ((length > 2 && strcmp(word + length - 2, "/0") == 0) ||
		    strncmp(word, "static:", 7) == 0)
			refuse(j, "mynetworks",
			    mem_format(
				"%smynetworks has %s: the whole world may relay", where, word),
			    "name only your own networks");
	}
	pf_tokens_free(&tokens);
}

static void
judge_service_networks(struct judge *j, const struct pf_service *service)
{
	char *where = mem_format("service %s in master.cf: ", pf_service_field(service, 0));
	char *networks = stranger_value(j->facts, &j->main, service, "mynetworks");
	judge_networks(j, where, networks);
	free(networks);
	free(where);
}

/* The same for each smtpd in master.cf that has lists or networks of its own. */
static void
judge_own_lists(struct judge *j)
{
	bool closed = judge_strangers(j, NULL);
	for (size_t i = 0; closed && i < j->master.count; i++) {
		struct pf_service service;
		if (!pf_service_parse(&j->master, &j->master.lines[i], &service))
			continue;
		if (strcmp(pf_service_field(&service, 7), "smtpd") == 0 &&
		    service.option_count > 0) {
			(void)judge_strangers(j, &service);
			if (pf_service_option(&service, "mynetworks") != NULL)
				judge_service_networks(j, &service);
		}
		pf_service_free(&service);
	}
}

/* --- wildcards, and customers' domains where they do not belong ---------------------------------
 */

static void
judge_wildcards(struct judge *j)
{
	for (size_t i = 0; i < j->facts->probe_count; i++) {
		const struct facts_probe *probe = &j->facts->probes[i];
		if (probe->outcome == PROBE_ANSWERS)
			refuse(j, probe->parameter,
			    mem_format("%s: table %s answers for a domain that nobody has: a "
				       "catch-all, which would hold for customers' domains too",
				probe->parameter, probe->table),
			    "name the domains, or " OWN_INSTANCE);
		else if (probe->outcome == PROBE_FAILED)
			warn(j, probe->parameter,
			    mem_format("%s: table %s could not be asked whether it is a catch-all",
				probe->parameter, probe->table),
			    "look at it yourself");
	}
	struct pf_tokens tokens = facts_tokens(j->facts, "relay_domains");
	for (size_t i = 0; i < tokens.count; i++) {
		const char *word = tokens.items[i].text;
		if (word[0] == '.' && strchr(word + 1, '.') == NULL)
			refuse(j, "relay_domains",
			    mem_format("relay_domains has %s: a whole top-level domain", word),
			    "name the domains");
	}
	pf_tokens_free(&tokens);
}

static void
judge_customers(struct judge *j)
{
	const struct facts_hits *hits = &j->facts->customer_domains;
	for (size_t i = 0; i < hits->count; i++) {
		const struct facts_hit *hit = &hits->items[i];
		refuse(j, hit->parameter,
		    mem_format(
			"%s%s%s has %s, a customer's domain: its mail would not take our way",
			hit->parameter, *hit->table != '\0' ? ", table " : "", hit->table,
			hit->what),
		    "remove it there; authorised domains come from the authority alone");
	}
	if (!j->facts->snapshot_used)
		warn(j, "snapshot",
		    mem_string("there is no snapshot that can be read: whether a customer's domain "
			       "stands in this instance's tables is not known"),
		    "run plan again when mxhold-sync has loaded");
}

/* A restriction that must stand nowhere, as the answer of a table? */
static bool
judge_answered_word(struct judge *j, const struct facts_hit *hit)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (strcmp(hit->what, forbidden[i].word) == 0) {
			refuse(j, forbidden[i].word,
			    mem_format("%s: table %s answers %s: %s", hit->parameter, hit->table,
				forbidden[i].word, forbidden[i].cause),
			    forbidden[i].cure);
			return true;
		}
	return false;
}

static void
judge_table_actions(struct judge *j)
{
	const struct facts_hits *hits = &j->facts->table_actions;
	for (size_t i = 0; i < hits->count; i++) {
		const struct facts_hit *hit = &hits->items[i];
		if (judge_answered_word(j, hit))
			continue;
		if (*hit->what == '\0')
			warn(j, hit->parameter,
			    mem_format("%s: table %s could not be read: whether it has FILTER, "
				       "REDIRECT, BCC, DISCARD or permit_mx_backup is not known",
				hit->parameter, hit->table),
			    "look at it yourself");
		else if (strcmp(hit->what, "HOLD") == 0)
			warn(j, hit->parameter,
			    mem_format("%s: table %s has the action HOLD; what is on hold does not "
				       "expire",
				hit->parameter, hit->table),
			    "remove the action");
		else
			refuse(j, hit->parameter,
			    mem_format("%s: table %s has the action %s: customers' mail would go "
				       "elsewhere, or vanish",
				hit->parameter, hit->table, hit->what),
			    "remove the action, or " OWN_INSTANCE);
	}
}

/* --- does the relay know itself, and can it be reached by its sockets?
 * ------------------------------ */

static void
judge_addresses(struct judge *j)
{
	char text[IP_TEXT_SIZE];
	for (size_t i = 0; i < j->facts->public_count; i++) {
		const struct ip *ip = &j->facts->public_addresses[i];
		if (facts_address_known(j->facts, ip))
			continue;
		bool local = facts_address_local(j->facts, ip);
		char *cure = mem_format("set %s = %s%s%s",
		    local ? "inet_interfaces" : "proxy_interfaces", ip_format(ip, text),
		    local ? ", or all" : "", local ? "" : " (and further such addresses)");
		refuse(j, local ? "inet_interfaces" : "proxy_interfaces",
		    mem_format("the published address %s is %s: Postfix would not know an MX "
			       "record of this relay for its own, and hop to another",
			ip_format(ip, text),
			local ? "not in inet_interfaces"
			      : "not on this host, nor in proxy_interfaces"),
		    cure);
		free(cure);
	}
	if (j->facts->public_count == 0)
		warn(j, "public_addresses",
		    mem_string("mxhold.conf has no [relay] public_addresses, and no snapshot tells "
			       "them: whether the relay knows itself is not known"),
		    "set [relay] public_addresses");
}

static void
judge_names(struct judge *j)
{
	const char *hostname = facts_value(j->facts, "myhostname");
	const struct strings *names = &j->facts->published;
	for (size_t i = 0; i < names->count; i++)
		if (strcasecmp(names->items[i], hostname) == 0)
			return;
	if (j->facts->snapshot_used)
		warn(j, "myhostname",
		    mem_format("$myhostname is %s, which is no published name of this relay%s%s",
			hostname, names->count > 0 ? "; our transports greet as " : "",
			names->count > 0 ? names->items[0] : ""),
		    "set myhostname to the published name, where nothing else needs the other");
}

static void
judge_relay(struct judge *j)
{
	const char *postmaster = j->facts->postmaster;
	if (facts_sockets(j->facts) == NULL)
		refuse(j, "socket_dir",
		    mem_format(
			"[paths] socket_dir = %s is not below $queue_directory (%s): Postfix "
			"could not reach the sockets from its chroot",
			j->facts->socket_dir, facts_value(j->facts, "queue_directory")),
		    "set [paths] socket_dir to $queue_directory/mxhold");
	if (postmaster == NULL || *postmaster == '\0')
		refuse(j, "postmaster",
		    mem_string("mxhold.conf has no [relay] postmaster: nobody would read mail to "
			       "<postmaster>, and nobody be told"),
		    "set [relay] postmaster");
	else if (strchr(postmaster, '@') == NULL || strpbrk(postmaster, " \t,{}$=\"\\") != NULL)
		refuse(j, "postmaster",
		    mem_format("[relay] postmaster = %s is no plain address", postmaster),
		    "set it to user@domain");
	judge_addresses(j);
	judge_names(j);
}

/* --- other mail
 * ------------------------------------------------------------------------------------ */

static void
other_mail(struct judge *j, const char *parameter, const char *what)
{
	facts_hit_add(&j->plan->other_mail, parameter, "", what);
}

static bool
is_ours(const char *token)
{
	return strncmp(token, "inline:{ { postmaster =", 23) == 0 ||
	       (strncmp(token, "socketmap:unix:", 15) == 0 && strstr(token, "/map:") != NULL);
}

static void
find_other_domains(struct judge *j, const char *parameter)
{
	struct pf_tokens tokens = facts_tokens(j->facts, parameter);
	for (size_t i = 0; i < tokens.count; i++) {
		const char *word = tokens.items[i].text;
		bool table = strpbrk(word, ":/{") != NULL;
		if (is_ours(word) || (!table && facts_own_name(j->facts, word)))
			continue;
		if (*word == '.' && facts_own_name(j->facts, word + 1))
			continue;
		other_mail(j, parameter, word);
	}
	pf_tokens_free(&tokens);
}

/* Is a word of mynetworks the host itself? */
static bool
is_own_network(const struct pf_facts *facts, const char *word)
{
	struct ip_network network;
	if (!facts_network_parse(word, &network))
		return false;
	if (network.prefix >= 8 && ip_classify(&network.base) == IP_LOOPBACK)
		return true;
	if (strncmp(word, "[::ffff:127.", 12) == 0 && network.prefix >= 104)
		return true;
	bool single = network.prefix == (network.base.family == 4 ? 32 : 128);
	return single && facts_address_local(facts, &network.base);
}

static void
find_other_networks(struct judge *j)
{
	struct pf_tokens tokens = facts_tokens(j->facts, "mynetworks");
	for (size_t i = 0; i < tokens.count; i++)
		if (!is_own_network(j->facts, tokens.items[i].text))
			other_mail(j, "mynetworks", tokens.items[i].text);
	pf_tokens_free(&tokens);
}

/* Is virtual_alias_domains its default, as the overlay spells it out? */
static bool
aliases_spelled_out(const struct judge *j)
{
	struct pf_tokens domains = facts_tokens(j->facts, "virtual_alias_domains");
	struct pf_tokens maps = facts_tokens(j->facts, "virtual_alias_maps");
	bool all = maps.count > 0 && is_ours(maps.items[maps.count - 1].text);
	for (size_t i = 0; i < domains.count; i++)
		all = all && pf_tokens_word(&maps, domains.items[i].text) < maps.count;
	pf_tokens_free(&domains);
	pf_tokens_free(&maps);
	return all;
}

static void
find_other_mail(struct judge *j)
{
	static const char *const lists[] = {
	    "mydestination", "virtual_mailbox_domains", "relay_domains"};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		find_other_domains(j, lists[i]);
	if (strcmp(facts_raw(j->facts, "virtual_alias_domains"), "$virtual_alias_maps") != 0 &&
	    !aliases_spelled_out(j))
		find_other_domains(j, "virtual_alias_domains");
	const struct facts_hits *tables = &j->facts->other_domains;
	for (size_t i = 0; i < tables->count; i++)
		other_mail(j, tables->items[i].parameter, tables->items[i].what);
	find_other_networks(j);
	if (strcmp(facts_value(j->facts, "smtpd_sasl_auth_enable"), "yes") == 0)
		other_mail(j, "smtpd_sasl_auth_enable", "yes");
}

static void
judge_other_mail(struct judge *j)
{
	const struct facts_hits *hits = &j->plan->other_mail;
	find_other_mail(j);
	for (size_t i = 0; j->facts->dedicated && i < hits->count; i++)
		refuse(j, hits->items[i].parameter,
		    mem_format("mxhold.conf says [relay] dedicated = yes, but the instance carries "
			       "other mail: %s has %s",
			hits->items[i].parameter, hits->items[i].what),
		    "remove it, or set dedicated = no and use --shared, or better " OWN_INSTANCE);
	if (!j->facts->dedicated && !j->facts->shared_said)
		refuse(j, "--shared",
		    mem_format(
			"mxhold.conf says [relay] dedicated = no%s; what is said above about "
			"other mail would hold for all mail of this instance: no notices, one "
			"queue lifetime, all lookups through mxhold-policyd",
			hits->count > 0 ? ", and the instance carries other mail" : ""),
		    "say --shared if that is meant; set dedicated = yes where there is no other "
		    "mail; or " OWN_INSTANCE);
}

/* --- the rest
 * ------------------------------------------------------------------------------------------ */

static void
judge_dedicated(struct judge *j)
{
	if (*facts_value(j->facts, "local_recipient_maps") == '\0')
		refuse(j, "local_recipient_maps",
		    mem_string("local_recipient_maps is empty: any user at the relay's own names "
			       "would be taken, and lost"),
		    "remove the setting: its default knows the host's users");
	if (facts_have_word(j->facts, "smtpd_recipient_restrictions", "reject_unlisted_recipient"))
		warn(j, "smtpd_recipient_restrictions",
		    mem_string("reject_unlisted_recipient stands there: a domain on hold gets 450 "
			       "instead of being held"),
		    "remove it: the relay's own names are checked by the overlay");
}

static void
judge_milters(struct judge *j)
{
	static const char *const macros[] = {"{rcpt_addr}", "{rcpt_mailer}"};
	for (size_t i = 0; i < 2; i++)
		if (!facts_have_word(j->facts, "milter_rcpt_macros", macros[i]))
			refuse(j, "milter_rcpt_macros",
			    mem_format("milter_rcpt_macros lacks %s: mxhold-milter could not see "
				       "where mail really goes",
				macros[i]),
			    "remove the setting, or add the macro");
	if (*facts_value(j->facts, "smtpd_milter_maps") != '\0')
		warn(j, "smtpd_milter_maps",
		    mem_string(
			"smtpd_milter_maps gives some clients other milters: unless "
			"mxhold-milter is among them, the size of their mail is not checked"),
		    "name it there too");
	if (has_word(facts_value(j->facts, "receive_override_options"), "no_milters"))
		refuse(j, "receive_override_options",
		    mem_string("receive_override_options has no_milters: mxhold-milter would see "
			       "nothing"),
		    "remove it");
}

/* May mxhold-queued list and flush the queue? Of a table in there nobody can tell. */
static void
judge_queue_user(struct judge *j)
{
	static const char *const lists[] = {"authorized_mailq_users", "authorized_flush_users"};
	for (size_t i = 0; j->facts->queue_user != NULL && i < 2; i++) {
		const char *value = facts_value(j->facts, lists[i]);
		if (strpbrk(value, ":/!") != NULL || *value == '\0' ||
		    facts_have_word(j->facts, lists[i], j->facts->queue_user))
			continue;
		warn(j, lists[i],
		    mem_format("%s lacks %s: mxhold-queued could not %s the queue", lists[i],
			j->facts->queue_user, i == 0 ? "list" : "flush"),
		    "add the user of [users] queued, or remove the setting");
	}
}

/* Does mxhold-queued read what this instance writes? */
static void
judge_maillog(struct judge *j)
{
	const char *file = facts_value(j->facts, "maillog_file");
	if (j->facts->maillog == NULL || j->facts->looked_after != NULL)
		return;
	char *cure =
	    strncmp(file, "/dev/", 5) == 0
		? mem_string("set maillog_file to the file that [paths] maillog names, or "
			     "to nothing (syslog)")
		: mem_format("set [paths] maillog = %s, and start mxhold-queued anew", file);
	warn(j, "maillog_file",
	    mem_format("maillog_file = %s, but %s has [paths] maillog = %s: mxhold-queued would "
		       "read another log, and not learn what becomes of held mail",
		file, j->facts->conf_path, j->facts->maillog),
	    cure);
	free(cure);
}

static void
judge_rest(struct judge *j)
{
	judge_queue_user(j);
	judge_maillog(j);
	if (has_word(facts_value(j->facts, "defer_transports"), "mxhold"))
		refuse(j, "defer_transports",
		    mem_string("defer_transports has our transport: nothing would be delivered"),
		    "remove it");
	if (strcmp(facts_value(j->facts, "soft_bounce"), "yes") == 0)
		warn(j, "soft_bounce",
		    mem_string("soft_bounce = yes: foreign domains and oversized mail get 4xx, and "
			       "their senders try again for days"),
		    "remove it");
	if (!j->facts->dedicated &&
	    strcmp(facts_value(j->facts, "smtpd_reject_unlisted_recipient"), "no") == 0)
		warn(j, "smtpd_reject_unlisted_recipient",
		    mem_string(
			"it is `no`: unknown users of other domains are taken, and nobody is "
			"told that their mail is lost"),
		    "set it to yes");
}

/* --- is this the instance that the daemons look after? ------------------------------------- */

char *
plan_elsewhere_cause(const struct pf_facts *facts)
{
	return mem_format("mxhold-queued and mxhold-helper look after %s (%s [paths] "
			  "postfix_config_dir), not after %s: nobody would watch its queue, nor "
			  "release held mail",
	    facts->looked_after, facts->conf_path, facts->config_dir);
}

char *
plan_elsewhere_cure(const struct pf_facts *facts)
{
	return mem_format("set [paths] postfix_config_dir = %s (and maillog, where this instance "
			  "has a log of its own), and start them anew",
	    facts->config_dir);
}

static void
judge_directory(struct judge *j)
{
	if (j->facts->looked_after == NULL)
		return;
	char *cure = plan_elsewhere_cure(j->facts);
	refuse(j, "postfix_config_dir", plan_elsewhere_cause(j->facts), cure);
	free(cure);
}

void
plan_add_findings(struct plan *plan, const struct pf_facts *facts)
{
	struct judge j = {
	    .plan = plan,
	    .facts = facts,
	    .main = pf_file_parse(facts->main, facts->main_length, PF_MAIN),
	    .master = pf_file_parse(facts->master, facts->master_length, PF_MASTER),
	};
	judge_directory(&j);
	judge_fixed(&j);
	judge_main_words(&j);
	judge_services(&j);
	judge_listeners(&j);
	judge_disabled(&j);
	judge_needed(&j);
	judge_restrictions(&j);
	judge_networks(&j, "", facts_value(facts, "mynetworks"));
	judge_own_lists(&j);
	judge_wildcards(&j);
	judge_customers(&j);
	judge_table_actions(&j);
	judge_relay(&j);
	judge_milters(&j);
	judge_rest(&j);
	if (facts->dedicated)
		judge_dedicated(&j);
	judge_other_mail(&j);
	stranger_ways_free(&j.ways);
	pf_file_free(&j.main);
	pf_file_free(&j.master);
}
