/*
 * postfix_gather: collects the facts about an instance (see postfix_gather.h).
 */
#include "ctl/postfix_gather.h"

#include "core/snapshot.h"
#include "ctl/ctl.h"
#include "ctl/owner.h"
#include "ctl/postfix_run.h"
#include "ctl/postfix_tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (16u << 20)
#define ROW_ADDRESSES_MAX (RELAY_NAMES_SIZE / 2) /* of two bytes or more each */
#define POSTCONF_SECONDS 20

/* What the findings look at, beside the overlay's own parameters. */
static const char *const looked_at[] = {"queue_directory", "config_directory", "mail_owner",
    "myhostname", "mydomain", "myorigin", "mydestination", "mynetworks", "inet_interfaces",
    "proxy_interfaces", "smtpd_restriction_classes", "smtpd_client_restrictions",
    "smtpd_helo_restrictions", "smtpd_sender_restrictions", "virtual_alias_domains",
    "virtual_alias_maps", "virtual_mailbox_domains", "canonical_maps", "recipient_canonical_maps",
    "relocated_maps", "smtpd_recipient_restrictions", "smtpd_reject_unlisted_recipient",
    "parent_domain_matches_subdomains", "always_bcc", "info_log_address_format", "sender_bcc_maps",
    "recipient_bcc_maps", "content_filter", "smtpd_proxy_filter", "bounce_service_name",
    "defer_service_name", "trace_service_name", "error_service_name", "rewrite_service_name",
    "allow_untrusted_routing", "resolve_dequoted_address", "unknown_address_reject_code",
    "smtpd_sasl_auth_enable", "local_recipient_maps", "milter_rcpt_macros", "smtpd_milter_maps",
    "receive_override_options", "defer_transports", "soft_bounce", "header_checks",
    "mime_header_checks", "nested_header_checks", "body_checks", "milter_header_checks",
    "smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_dcert_file",
    "smtpd_tls_security_level", "authorized_mailq_users", "authorized_flush_users",
    "master_service_disable", "maillog_file", "cleanup_service_name", "queue_service_name",
    "flush_service_name", "showq_service_name", "tlsmgr_service_name"};

char *
gather_file(const char *path, size_t *length)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return NULL;
	struct text text = {0};
	char block[65536];
	size_t got;
	while (text.length <= FILE_MAX && (got = fread(block, 1, sizeof(block), file)) > 0)
		text_add(&text, block, got);
	bool good = ferror(file) == 0 && text.length <= FILE_MAX;
	int error = errno;
	fclose(file);
	if (!good) {
		text_free(&text);
		errno = error != 0 ? error : EFBIG;
		return NULL;
	}
	*length = text.length;
	return text_take(&text);
}

/* --- postconf(1) ---------------------------------------------------------------------- */

static struct facts_setting *
setting_of(struct pf_facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->setting_count; i++)
		if (strcmp(facts->settings[i].name, name) == 0)
			return &facts->settings[i];
	facts->settings =
	    mem_resize(facts->settings, facts->setting_count + 1, sizeof(*facts->settings));
	struct facts_setting *setting = &facts->settings[facts->setting_count++];
	*setting = (struct facts_setting){mem_string(name), mem_string(""), mem_string("")};
	return setting;
}

/* Takes lines of `name = value`. */
static void
take_settings(struct pf_facts *facts, char *output, bool expanded)
{
	char *state = NULL;
	for (char *line = strtok_r(output, "\n", &state); line != NULL;
	     line = strtok_r(NULL, "\n", &state)) {
		char *equals = strstr(line, " =");
		if (equals == NULL)
			continue;
		*equals = '\0';
		const char *value = equals + 2 + strspn(equals + 2, " ");
		struct facts_setting *setting = setting_of(facts, line);
		char **field = expanded ? &setting->expanded : &setting->raw;
		free(*field);
		*field = mem_string(value);
	}
}

static bool
ask_postconf(const struct gather *gather, struct pf_facts *facts, bool expanded)
{
	struct strings argv = {0};
	strings_add(&argv, mem_string("postconf"));
	strings_add(&argv, mem_string("-c"));
	strings_add(&argv, mem_string(facts->config_dir));
	if (expanded)
		strings_add(&argv, mem_string("-x"));
	for (size_t i = 0; i < facts->setting_count; i++)
		strings_add(&argv, mem_string(facts->settings[i].name));
	argv.items = mem_resize(argv.items, argv.count + 1, sizeof(*argv.items));
	argv.items[argv.count] = NULL;
	struct run_result result =
	    run_program((const char *const *)argv.items, NULL, POSTCONF_SECONDS, gather->verbose);
	bool good = result.ended && result.status == 0;
	if (good)
		take_settings(facts, result.output, expanded);
	else
		ctl_say("postconf -c %s failed: %s", facts->config_dir, result.errors);
	run_free(&result);
	strings_free(&argv);
	return good;
}

/* A setting that is the name of a file stands for the file's first line (myorigin). */
static void
read_named_file(struct pf_facts *facts, const char *name)
{
	struct facts_setting *setting = setting_of(facts, name);
	size_t length;
	if (setting->expanded[0] != '/')
		return;
	char *content = gather_file(setting->expanded, &length);
	if (content == NULL)
		return;
	content[strcspn(content, "\r\n")] = '\0';
	free(setting->expanded);
	setting->expanded = content;
}

static bool
gather_settings(const struct gather *gather, const struct overlay *overlay, struct pf_facts *facts)
{
	for (size_t i = 0; i < sizeof(looked_at) / sizeof(looked_at[0]); i++)
		(void)setting_of(facts, looked_at[i]);
	for (size_t i = 0; i < overlay->count; i++)
		if (overlay->items[i].target == OVERLAY_MAIN)
			(void)setting_of(facts, overlay->items[i].name);
	if (!ask_postconf(gather, facts, false) || !ask_postconf(gather, facts, true))
		return false;
	read_named_file(facts, "myorigin");
	return true;
}

char *
gather_parameter(const char *config_dir, const char *name, bool verbose)
{
	const char *const argv[] = {"postconf", "-c", config_dir, "-xh", name, NULL};
	struct run_result result = run_program(argv, NULL, POSTCONF_SECONDS, verbose);
	char *value = NULL;
	if (result.ended && result.status == 0) {
		result.output[strcspn(result.output, "\n")] = '\0';
		value = mem_string(result.output);
	}
	run_free(&result);
	return value;
}

char *
gather_instance(const char *name, bool verbose)
{
	static const char *const argv[] = {"postmulti", "-l", NULL};
	struct run_result result = run_program(argv, NULL, POSTCONF_SECONDS, verbose);
	char *found = NULL, *state = NULL;
	for (char *line = strtok_r(result.output, "\n", &state); line != NULL && found == NULL;
	     line = strtok_r(NULL, "\n", &state)) {
		char instance[256], group[256], enabled[16], directory[1024];
		if (sscanf(line, "%255s %255s %15s %1023s", instance, group, enabled, directory) ==
			4 &&
		    strcmp(instance, name) == 0)
			found = mem_string(directory);
	}
	if (found == NULL)
		ctl_say(
		    "postmulti -l lists no instance %s (if it has words of its own, they are in "
		    "the mail log)",
		    name);
	run_free(&result);
	return found;
}

/* --- the host ---------------------------------------------------------------------------- */

static void
add_local(struct pf_facts *facts, const struct sockaddr *address)
{
	char text[INET6_ADDRSTRLEN];
	const void *bytes = NULL;
	struct ip ip;
	if (address == NULL)
		return;
	if (address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (bytes == NULL || inet_ntop(address->sa_family, bytes, text, sizeof(text)) == NULL ||
	    !ip_parse(text, &ip))
		return;
	facts->local = mem_resize(facts->local, facts->local_count + 1, sizeof(*facts->local));
	facts->local[facts->local_count++] = ip;
}

static bool
gather_addresses(struct pf_facts *facts)
{
	struct ifaddrs *list;
	if (getifaddrs(&list) != 0) {
		ctl_say("the host's addresses cannot be read: %m");
		return false;
	}
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		add_local(facts, i->ifa_addr);
	freeifaddrs(list);
	return true;
}

/* --- the snapshot --------------------------------------------------------------------------- */

/* Names of `candidates` that stand for a customer's domain become hits. */
static void
compare_domains(
    struct snapshot *snapshot, const struct facts_hits *candidates, struct pf_facts *facts)
{
	struct domain_record *record = mem_resize(NULL, 1, sizeof(*record));
	char normal[DOMAIN_SIZE];
	for (size_t i = 0; i < candidates->count; i++) {
		const struct facts_hit *hit = &candidates->items[i];
		if (!domain_normalise(hit->what, strlen(hit->what), normal))
			continue;
		enum snapshot_result result = snapshot_domain_for(snapshot, normal, record, NULL);
		if (result == SNAPSHOT_OK || result == SNAPSHOT_DAMAGED)
			facts_hit_add(&facts->customer_domains, hit->parameter, hit->table, normal);
	}
	free(record);
}

/* Which of the names under which this relay could greet are published ones? */
static void
compare_names(struct snapshot *snapshot, const struct conf *conf, struct pf_facts *facts)
{
	const struct fleet *fleet = snapshot_fleet(snapshot);
	const char *const names[] = {facts_value(facts, "myhostname"), conf->relay.name};
	char normal[DOMAIN_SIZE];
	for (size_t i = 0; fleet != NULL && i < 2; i++)
		if (domain_normalise(names[i], strlen(names[i]), normal) &&
		    fleet_name(fleet, normal) == FLEET_SELF)
			strings_add(&facts->published, mem_string(normal));
}

/* Where mxhold.conf names no public addresses, those of the relay's row are meant. */
static void
take_addresses(struct snapshot *snapshot, struct pf_facts *facts)
{
	const struct fleet *fleet = snapshot_fleet(snapshot);

	if (fleet == NULL || facts->public_count > 0)
		return;
	facts->row_addresses = mem_resize(NULL, ROW_ADDRESSES_MAX, sizeof(*facts->row_addresses));
	facts->public_count = fleet_own_addresses(fleet, facts->row_addresses, ROW_ADDRESSES_MAX);
	facts->public_addresses = facts->row_addresses;
}

static void
gather_snapshot(
    const struct conf *conf, const struct facts_hits *candidates, struct pf_facts *facts)
{
	struct snapshot *snapshot = snapshot_new(conf->paths.state_dir, conf->relay.name);
	if (snapshot == NULL)
		return;
	if (owner_snapshot_begin(snapshot, conf->paths.state_dir, snapshot_clock_boot_ms()) ==
	    SNAPSHOT_OK) {
		facts->snapshot_used = true;
		compare_domains(snapshot, candidates, facts);
		compare_names(snapshot, conf, facts);
		take_addresses(snapshot, facts);
		snapshot_end(snapshot);
	}
	snapshot_free(snapshot);
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static bool
read_config(const char *config_dir, const char *name, char **bytes, size_t *length)
{
	char *path = mem_format("%s/%s", config_dir, name);
	*bytes = gather_file(path, length);
	if (*bytes == NULL)
		ctl_say("%s: %m", path);
	else if (memchr(*bytes, '\0', *length) != NULL) {
		ctl_say("%s has NUL bytes: it is no text", path);
		*length = 0;
		free(*bytes);
		*bytes = NULL;
	}
	free(path);
	return *bytes != NULL;
}

static bool
same_file(const char *a, const char *b)
{
	struct stat one, other;
	return strcmp(a, b) == 0 || (stat(a, &one) == 0 && stat(b, &other) == 0 &&
					one.st_dev == other.st_dev && one.st_ino == other.st_ino);
}

/* Without maillog_file Postfix logs to syslog: where that ends nobody tells. */
static const char *
other_maillog(const struct conf *conf, const struct pf_facts *facts)
{
	const char *file = facts_value(facts, "maillog_file");
	return *file == '\0' || same_file(file, conf->paths.maillog) ? NULL : conf->paths.maillog;
}

bool
gather_facts(const struct gather *gather, const struct overlay *overlay, struct pf_facts *out)
{
	const struct conf *conf = gather->conf;
	*out = (struct pf_facts){
	    .config_dir = mem_string(gather->config_dir),
	    .conf_path = gather->conf_path,
	    .looked_after = gather->looked_after,
	    .dedicated = conf->relay.dedicated,
	    .shared_said = gather->shared,
	    .postmaster = conf->relay.postmaster,
	    .socket_dir = conf->paths.socket_dir,
	    .queue_user = conf->users.queued,
	    .queue_lifetime = conf->relay.queue_lifetime,
	    .public_addresses = conf->relay.public_addresses,
	    .public_count = conf->relay.public_address_count,
	};
	if (!read_config(out->config_dir, "main.cf", &out->main, &out->main_length) ||
	    !read_config(out->config_dir, "master.cf", &out->master, &out->master_length) ||
	    !gather_settings(gather, overlay, out) || !gather_addresses(out))
		return false;
	out->maillog = other_maillog(conf, out);
	struct facts_hits candidates = {0};
	tables_gather(out, &candidates, gather->verbose);
	gather_snapshot(conf, &candidates, out);
	facts_hits_free(&candidates);
	return true;
}
