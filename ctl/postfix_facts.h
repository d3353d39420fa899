/*
 * postfix_facts: what is known about one Postfix instance and this relay before anything is
 * planned, as plain data: files, effective settings, what its tables answered, the host's
 * addresses, what the snapshot says. postfix_gather.c collects them; plan and findings are pure
 * functions of them.
 */
#ifndef MXHOLD_CTL_POSTFIX_FACTS_H
#define MXHOLD_CTL_POSTFIX_FACTS_H

#include "core/ip.h"
#include "ctl/postfix_file.h"

struct facts_setting {
	char *name;
	char *raw;      /* as set, or the default, with its $names */
	char *expanded; /* with $names replaced */
};

enum probe_outcome {
	PROBE_SILENT,  /* the table does not know a random name */
	PROBE_ANSWERS, /* it knows any name: a catch-all */
	PROBE_FAILED,  /* cannot tell */
};

struct facts_probe { /* one table of one list, asked for a name that nobody has */
	char *parameter;
	char *table;
	enum probe_outcome outcome;
};

struct facts_hit { /* a name, word or domain found where it matters */
	char *parameter;
	char *table; /* "": in the setting itself */
	char *what;
};

struct facts_hits {
	struct facts_hit *items;
	size_t count;
};

/*
 * What a table of access(5) answers: to questions that stand for anybody, and what of its own
 * entries does more than to refuse.
 */
struct facts_answer {
	char *key, *result;
	bool anybody;  /* `key` is made up: whoever comes gets this */
	bool ordinary; /* and nothing about it is odd: customers' mail gets this */
	bool wide;     /* an entry for more than one domain: "com", "postmaster@" */
};

struct facts_access {
	char *check, *table; /* "check_client_access", "hash:/etc/postfix/clients" */
	struct facts_answer *answers;
	size_t count;
	bool told; /* it was asked, or read whole */
};

struct pf_facts {
	/* the instance */
	char *config_dir;
	char *main, *master; /* bytes of the files */
	size_t main_length, master_length;
	struct facts_setting *settings;
	size_t setting_count;
	struct facts_probe *probes;
	size_t probe_count;
	struct facts_hits customer_domains; /* domains of the snapshot in its lists and tables */
	struct facts_hits other_domains;    /* names in tables of domains that are no customer's */
	struct facts_hits table_actions;    /* FILTER, REDIRECT, ... in tables of checks */
	struct facts_access *access;        /* tables of the lists that decide at RCPT TO */
	size_t access_count;
	/* the relay */
	const char *conf_path;    /* of mxhold.conf */
	const char *looked_after; /* [paths] postfix_config_dir; NULL: it is config_dir */
	bool dedicated;           /* [relay] dedicated */
	bool shared_said;         /* --shared */
	const char *postmaster;
	const char *socket_dir;
	const char *queue_user; /* [users] queued; NULL: not looked at */
	const char *maillog;    /* [paths] maillog where it is not the instance's maillog_file; else
				   NULL, as where that is not set */
	long long queue_lifetime;          /* seconds */
	const struct ip *public_addresses; /* configuration's, else the snapshot's */
	size_t public_count;
	struct ip *row_addresses; /* what they point to when they are the snapshot's; else NULL */
	/* the host and the snapshot */
	struct ip *local;
	size_t local_count;
	bool snapshot_used;       /* domains were compared with it */
	struct strings published; /* names of this relay in the snapshot */
};

/* The effective value; "" where Postfix knows no such parameter. */
const char *facts_value(const struct pf_facts *facts, const char *name);
const char *facts_raw(const struct pf_facts *facts, const char *name);
/* The value's tokens. The caller frees. */
struct pf_tokens facts_tokens(const struct pf_facts *facts, const char *name);
bool facts_have_word(const struct pf_facts *facts, const char *name, const char *word);
/* Is this one of the host's own names ($myhostname, localhost, ...)? */
bool facts_own_name(const struct pf_facts *facts, const char *name);
/* Does Postfix take this address for its own (inet_interfaces, proxy_interfaces)? */
bool facts_address_known(const struct pf_facts *facts, const struct ip *address);
bool facts_address_local(const struct pf_facts *facts, const struct ip *address);
/* Is it known that the address is not in mynetworks? */
bool facts_address_foreign(const struct pf_facts *facts, const struct ip *address);
/* The sockets' folder relative to queue_directory, or NULL when it is not below it. */
const char *facts_sockets(const struct pf_facts *facts);
bool facts_has_certificate(const struct pf_facts *facts);
/* A word of mynetworks: "127.0.0.0/8", "[::1]/128". False: it is something else. */
bool facts_network_parse(const char *word, struct ip_network *out)
    __attribute__((warn_unused_result));
/* A new hit at the end of the list; the strings are copied. */
void facts_hit_add(
    struct facts_hits *hits, const char *parameter, const char *table, const char *what);
void facts_hits_free(struct facts_hits *hits);
/* Does master_service_disable keep master(8) from listening for this service? */
bool facts_service_disabled(const struct pf_facts *facts, const char *name, const char *type);
/* What is known of a table, or NULL. */
const struct facts_access *facts_access_find(
    const struct pf_facts *facts, const char *check, const char *table);
void pf_facts_free(struct pf_facts *facts);

#endif
