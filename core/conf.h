/*
 * conf: mxhold.conf (INI, inih). Every key of mxhold.conf(5) stands in one table in conf.c with
 * its type, default and bounds; unknown sections and keys are errors. All errors are collected,
 * with file and line, before anything is refused. A loaded configuration is constant.
 */
#ifndef MXHOLD_CORE_CONF_H
#define MXHOLD_CORE_CONF_H

#include "core/install.h"
#include "core/ip.h"
#include "core/records.h"

#include <stdio.h>

#define CONF_DEFAULT_PATH INSTALL_CONF

struct conf {
	struct {
		char *name;                  /* this relay's row in mxhold.relay; required */
		char *region;                /* required */
		struct ip *public_addresses; /* at which the world reaches this relay */
		size_t public_address_count;
		bool dedicated;   /* this Postfix carries customers' mail only; default no */
		char *postmaster; /* who gets <postmaster>, abuse, root; required by `postfix apply`
				   */
		int64_t
		    queue_lifetime; /* seconds, default 5d: maximal_queue_lifetime, retired rows */
	} relay;
	struct {
		char *conninfo;        /* libpq; required by mxhold-sync */
		int64_t poll_interval; /* seconds, default 10 */
		int64_t stale_after;   /* seconds, default 60 */
	} authority;
	struct {
		char *conninfo; /* default: the authority's */
	} report;
	struct {
		char *conninfo;
		int64_t retention_days; /* default 21 */
	} journal;
	struct {
		char *state_dir;          /* default /var/lib/mxhold */
		char *socket_dir;         /* default: mxhold below Postfix's queue_directory:
					     /var/spool/postfix/mxhold */
		char *postfix_config_dir; /* default /etc/postfix */
		char *maillog;            /* default /var/log/mail.log; "journald": the journal */
	} paths;
	struct {
		struct ip_network *allow;
		size_t allow_count;
	} fence;
	struct {
		char *listen;
	} status;
	struct {                             /* mxhold-queued; times in seconds */
		int64_t probe_interval;      /* of primaries with held mail, default 5 */
		int64_t probe_interval_long; /* in outages of more than an hour, default 10 */
		int64_t confirmations;       /* good probes a second apart, default 3 */
		int64_t concurrency;         /* primaries probed at once, default 2000 */
		int64_t retention;           /* 0 (the default): queue_lifetime */
		int64_t quota_messages;      /* a domain's, where no row says; 0: none */
		int64_t quota_bytes;
		bool keep_refused;          /* never take out what a primary refuses; default no */
		int64_t unknown_user_tries; /* default 2 */
		int64_t unknown_user_interval; /* least time between them, default 10m */
		int64_t refused_tries;         /* any other refusal, default 3 */
		int64_t refused_after;         /* least time from first to last, default 2h */
		int64_t sender_retry; /* rule 10: who tries again after it is taken, default 5m */
		int64_t mx_interval;  /* how often MX records are read, default 1d */
		/* DNSSEC: the root's key, or "none"; NULL: RESOLVER_ANCHOR, where it holds */
		char *trust_anchor;
		int64_t spool_size; /* bytes of disk at most, default 4 GiB */
	} queue;
	struct {
		char *command; /* gets one JSON object on stdin; NULL: none */
	} alert;
	struct {                    /* names or numbers; used only when started as root */
		char *group;        /* default mxhold */
		char *socket_group; /* default postfix */
		char *sync;         /* default mxhold-sync */
		char *policyd;      /* default mxhold-policyd */
		char *milter;       /* default mxhold-milter */
		char *queued;       /* default mxhold-queued */
	} users;
};

/*
 * Reads and checks `path`. NULL on any error; each error is written to `errors` as one line
 * `path:line: what is wrong, and what would be right`. The caller frees with conf_free.
 */
struct conf *conf_load(const char *path, FILE *errors) __attribute__((warn_unused_result));
/* The same from memory, `name` standing for the path (tests, fuzzing). */
struct conf *conf_parse(const char *text, size_t length, const char *name, FILE *errors)
    __attribute__((warn_unused_result));
void conf_free(struct conf *conf);

#endif
