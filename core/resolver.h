/*
 * resolver: asynchronous DNS on libunbound, for programs with an event loop of any kind.
 *
 * In: questions (MX, A, AAAA, TXT) with a deadline. Out: answers with their TTL and DNSSEC state,
 * where "no such name", "no such records" and "cannot tell" are told apart. Answers are kept for
 * their TTL, unless a question asks for a fresh one. It never blocks, and never calls back from
 * within resolver_ask().
 */
#ifndef MXHOLD_CORE_RESOLVER_H
#define MXHOLD_CORE_RESOLVER_H

#include "core/dns_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum resolver_type { RESOLVER_MX, RESOLVER_A, RESOLVER_AAAA, RESOLVER_TXT, RESOLVER_TYPES };

enum resolver_outcome {
	RESOLVER_FOUND,       /* there is at least one record */
	RESOLVER_NODATA,      /* the name is there, and has no such record */
	RESOLVER_NXDOMAIN,    /* there is no such name */
	RESOLVER_CANNOT_TELL, /* SERVFAIL, no answer in time, ...: `problem` says which */
};
const char *resolver_outcome_name(enum resolver_outcome outcome); /* "found", "nxdomain", ... */

enum resolver_dnssec {
	RESOLVER_UNCHECKED, /* there is no trust anchor: nobody looked */
	RESOLVER_INSECURE,  /* the zone is not signed */
	RESOLVER_SECURE,
	RESOLVER_BOGUS, /* signatures fail: CANNOT_TELL */
};
const char *resolver_dnssec_name(enum resolver_dnssec dnssec);

#define RESOLVER_RECORDS_MAX 128 /* what an answer has beyond is left out: `cut` */

struct resolver_record {
	struct dns_record dns; /* MX, A, AAAA: as core/fence takes it; TXT: DNS_OTHER */
	const char *text;      /* TXT: its strings, joined; else NULL. May hold any byte */
	size_t text_length;
};

/* Valid during the callback only. */
struct resolver_answer {
	const char *name; /* as asked, normal form */
	enum resolver_type type;
	enum resolver_outcome outcome;
	enum resolver_dnssec dnssec;
	uint32_t ttl; /* seconds that are left; 0 with CANNOT_TELL */
	const struct resolver_record *records;
	size_t count; /* 0 unless FOUND */
	bool cut;
	char canonical[DOMAIN_SIZE]; /* what CNAMEs led to; "": none did */
	size_t packet_length;        /* bytes of the answer as a DNS message, 0: not known */
	const char *problem;         /* "" unless CANNOT_TELL or BOGUS */
};

struct resolver_setup {
	/* Address of the server to ask, `192.0.2.53` or `192.0.2.53@5353`. NULL: those of
	   resolv_conf, which is read again when it changes. */
	const char *server;
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
	const char *hosts; /* names to take from a file; NULL: none, as smtp_host_lookup=dns */
	const char *trust_anchor; /* file with the root's key; NULL: DNSSEC is not checked */
	/* Answers are checked only once the servers have shown a root that fits the anchor: those
	   of a private network, or that cut signatures off, would be bogus altogether. */
	bool prove_anchor;
	unsigned most; /* questions in flight; more of them wait. 0: 100 */
};

/*
 * [queue] trust_anchor into `setup`: a file, "none", or NULL: RESOLVER_ANCHOR, where it is there,
 * and to be proven. False: the file cannot be read (errno), and there is no anchor.
 */
#define RESOLVER_ANCHOR "/usr/share/dns/root.key" /* of Debian's package dns-root-data */
bool resolver_use_anchor(struct resolver_setup *setup, const char *setting);

struct resolver;
struct resolver_query;

/* NULL: *problem says why (static text). Starts threads: to be called after the last fork. */
struct resolver *resolver_new(const struct resolver_setup *setup, const char **problem)
    __attribute__((warn_unused_result));
/* Questions that are open get no answer any more. */
void resolver_free(struct resolver *resolver);

typedef void resolver_done(const struct resolver_answer *answer, void *context);

/*
 * Asks for `name` (normal form). `done` is called once, from resolver_process(), at the latest when
 * `deadline_ms` (on the clock of resolver_process) has passed. `fresh`: not from our cache (the
 * server that is asked may have one of its own). NULL: out of memory, or the name cannot be asked.
 */
struct resolver_query *resolver_ask(struct resolver *resolver, const char *name,
    enum resolver_type type, bool fresh, int64_t deadline_ms, resolver_done *done, void *context)
    __attribute__((warn_unused_result));
/* Not after `done` was called (it may be called within `done` of another question). */
void resolver_cancel(struct resolver_query *query);

/* Becomes readable when resolver_process() has something to do; stays the same. */
int resolver_fd(const struct resolver *resolver);
/* Takes in what has come, ends what is over its deadline, calls back. `now_ms`: monotonic. */
void resolver_process(struct resolver *resolver, int64_t now_ms);
/* Milliseconds after which resolver_process() is to be called at the latest; -1: any time. */
int64_t resolver_wait_ms(const struct resolver *resolver, int64_t now_ms);
/* Is DNSSEC checked now? */
bool resolver_checks(const struct resolver *resolver);
/* Is it being found out whether it will be? */
bool resolver_proving(const struct resolver *resolver);
/* Questions not yet answered, waiting ones included. */
size_t resolver_open(const struct resolver *resolver);

#endif
