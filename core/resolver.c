/*
 * resolver: see resolver.h. Two libunbound contexts, each with a thread of its own: one keeps
 * answers for their TTL; the other, for fresh questions, is made anew (which takes a millisecond)
 * before it could answer with what it has heard a while ago. A third one asks for the root's name
 * servers, where the trust anchor has to be proven first. Questions stand in lists:
 * waiting (too many in flight), asked, and done (an answer or an error is there, `done` was not yet
 * called). It must never hand out a name or address in another reading than core/dns_text's.
 */
#include "core/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unbound.h>
#include <unistd.h>

#define MOST_DEFAULT 100
#define LOOK_MS 5000  /* how often resolv.conf is looked at */
#define FRESH_MS 5000 /* no fresh answer was heard longer ago, before it was asked for */
#define TEXT_ROOM 65536
#define PROOF_MS 5000  /* how long the root may take to show itself */
#define PROVE_MS 60000 /* then it is asked again after this, doubled each time */
#define PROVE_MOST_MS 3600000
#define TYPE_NS 2

enum { CONTEXT_KEEPING, CONTEXT_FRESH, CONTEXT_PROOF, CONTEXTS };
enum stage { STAGE_WAITING, STAGE_ASKED, STAGE_DONE, STAGES };

struct list {
	struct resolver_query *first, *last;
};

struct resolver_query {
	struct resolver *resolver;
	struct resolver_query *next, *previous; /* in the list of its stage */
	enum stage stage;
	enum resolver_type type;
	bool fresh;
	int ub_id;
	int error; /* DONE: libunbound's, when there is no result */
	bool late; /* DONE: over its deadline */
	struct ub_result *result;
	int64_t deadline_ms;
	resolver_done *done;
	void *context;
	char name[DOMAIN_SIZE];
};

struct resolver {
	struct ub_ctx *context[CONTEXTS];
	int epoll_fd;
	char *server, *resolv_conf, *hosts, *trust_anchor;
	size_t in_flight[CONTEXTS];
	bool fresh_used; /* the context for fresh questions was asked something */
	int64_t fresh_made_ms;
	int64_t now_ms; /* of the last resolver_process */
	struct stat conf_seen;
	int64_t next_look_ms;
	bool rebuild; /* resolv.conf changed: new contexts once nothing is in flight */
	bool broken;  /* the contexts could not be made again: tried at each look */
	bool checks;  /* DNSSEC, by the trust anchor */
	bool to_be_proven, proving;
	int proof_id;
	int64_t prove_at_ms; /* proving: until then; else when to try. -1: not set yet */
	int64_t prove_wait_ms;
	unsigned most;
	size_t count[STAGES];
	struct list list[STAGES]; /* WAITING and ASKED: in the order of their deadlines */
	struct resolver_record records[RESOLVER_RECORDS_MAX]; /* of the answer being told */
	char text[TEXT_ROOM];
};

const char *
resolver_outcome_name(enum resolver_outcome outcome)
{
	static const char *const names[] = {
	    [RESOLVER_FOUND] = "found",
	    [RESOLVER_NODATA] = "nodata",
	    [RESOLVER_NXDOMAIN] = "nxdomain",
	    [RESOLVER_CANNOT_TELL] = "cannot-tell",
	};

	return names[outcome];
}

const char *
resolver_dnssec_name(enum resolver_dnssec dnssec)
{
	static const char *const names[] = {
	    [RESOLVER_UNCHECKED] = "unchecked",
	    [RESOLVER_INSECURE] = "insecure",
	    [RESOLVER_SECURE] = "secure",
	    [RESOLVER_BOGUS] = "bogus",
	};

	return names[dnssec];
}

/* --- lists ------------------------------------------------------------------------------------ */

static void
query_unlink(struct resolver_query *query)
{
	struct list *list = &query->resolver->list[query->stage];

	if (query->previous != NULL)
		query->previous->next = query->next;
	else
		list->first = query->next;
	if (query->next != NULL)
		query->next->previous = query->previous;
	else
		list->last = query->previous;
	query->resolver->count[query->stage]--;
}

/* Takes the first of a list that is not empty. */
static struct resolver_query *
query_pop(struct resolver *resolver, enum stage stage)
{
	struct list *list = &resolver->list[stage];
	struct resolver_query *query = list->first;

	list->first = query->next;
	if (query->next != NULL)
		query->next->previous = NULL;
	else
		list->last = NULL;
	resolver->count[stage]--;
	return query;
}

/* By deadline, from the end: deadlines mostly grow. */
static void
query_link(struct resolver_query *query, enum stage stage)
{
	struct list *list = &query->resolver->list[stage];
	struct resolver_query *before = list->last;

	while (before != NULL && stage != STAGE_DONE && before->deadline_ms > query->deadline_ms)
		before = before->previous;
	query->stage = stage;
	query->previous = before;
	query->next = before != NULL ? before->next : list->first;
	if (query->next != NULL)
		query->next->previous = query;
	else
		list->last = query;
	if (before != NULL)
		before->next = query;
	else
		list->first = query;
	query->resolver->count[stage]++;
}

static void
query_move(struct resolver_query *query, enum stage stage)
{
	query_unlink(query);
	query_link(query, stage);
}

/* --- contexts --------------------------------------------------------------------------------- */

struct option {
	const char *name, *value;
};

static bool
set_options(struct ub_ctx *context, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ub_ctx_set_option(context, options[i].name, options[i].value) != 0)
			return false;
	}
	return true;
}

static bool
context_configure(struct ub_ctx *context, bool checks)
{
	static const struct option options[] = {
	    {"do-not-query-localhost:", "no"},
	    /* A server that was away is asked again soon, and not after minutes. */
	    {"infra-host-ttl:", "15"},
	    {"qname-minimisation:", "no"},
	    {"cache-max-negative-ttl:", "60"},
	};

	ub_ctx_debugout(context, NULL);
	/* The last two fix the options: names of private networks are the servers' business. */
	return set_options(context, options, sizeof(options) / sizeof(options[0])) &&
	       ub_ctx_set_option(
		   context, "module-config:", checks ? "validator iterator" : "iterator") == 0 &&
	       ub_ctx_async(context, 1) == 0 && ub_ctx_zone_remove(context, "test.") == 0 &&
	       ub_ctx_zone_remove(context, "home.arpa.") == 0;
}

/* The text of what failed, or NULL. */
static const char *
context_sources(const struct resolver *resolver, struct ub_ctx *context, bool checks)
{
	const char *conf = resolver->resolv_conf;

	if (resolver->server != NULL && ub_ctx_set_fwd(context, resolver->server) != 0)
		return "the DNS server's address cannot be read";
	if (resolver->server == NULL && ub_ctx_resolvconf(context, conf) != 0)
		return "resolv.conf cannot be read";
	if (resolver->hosts != NULL && ub_ctx_hosts(context, resolver->hosts) != 0)
		return "the file of hosts cannot be read";
	if (checks && ub_ctx_add_ta_file(context, resolver->trust_anchor) != 0)
		return "the trust anchor cannot be read";
	return NULL;
}

static void
context_delete(struct resolver *resolver, size_t i)
{
	if (resolver->context[i] == NULL)
		return;
	(void)epoll_ctl(resolver->epoll_fd, EPOLL_CTL_DEL, ub_fd(resolver->context[i]), NULL);
	ub_ctx_delete(resolver->context[i]);
	resolver->context[i] = NULL;
}

static void
contexts_delete(struct resolver *resolver)
{
	for (size_t i = 0; i < CONTEXTS; i++)
		context_delete(resolver, i);
	resolver->proving = false;
}

static const char *
context_make(struct resolver *resolver, size_t i)
{
	struct epoll_event watch = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
	struct ub_ctx *context = ub_ctx_create();
	const bool checks = resolver->checks || i == CONTEXT_PROOF;

	resolver->context[i] = context;
	if (i == CONTEXT_FRESH) {
		resolver->fresh_used = false;
		resolver->fresh_made_ms = resolver->now_ms;
	}
	if (context == NULL)
		return "out of memory";
	const char *problem = context_sources(resolver, context, checks);
	if (problem != NULL)
		return problem;
	if (!context_configure(context, checks))
		return "libunbound refuses an option";
	if (epoll_ctl(resolver->epoll_fd, EPOLL_CTL_ADD, ub_fd(context), &watch) != 0)
		return "epoll_ctl fails";
	return NULL;
}

static const char *
contexts_make(struct resolver *resolver)
{
	const char *problem = NULL;

	if (resolver->server == NULL && stat(resolver->resolv_conf, &resolver->conf_seen) != 0)
		memset(&resolver->conf_seen, 0, sizeof(resolver->conf_seen));
	for (size_t i = 0; i < CONTEXT_PROOF && problem == NULL; i++)
		problem = context_make(resolver, i);
	if (problem != NULL)
		contexts_delete(resolver);
	resolver->broken = problem != NULL;
	return problem;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool
copy_text(char **out, const char *text)
{
	*out = text != NULL ? strdup(text) : NULL;
	return (*out != NULL) == (text != NULL);
}

/* --- the trust anchor ------------------------------------------------------------------------- */

bool
resolver_use_anchor(struct resolver_setup *setup, const char *setting)
{
	setup->trust_anchor = setting != NULL ? setting : RESOLVER_ANCHOR;
	setup->prove_anchor = setting == NULL;
	if (setting == NULL || strcmp(setting, "none") != 0) {
		if (access(setup->trust_anchor, R_OK) == 0)
			return true;
	}
	setup->trust_anchor = NULL;
	return setting == NULL || strcmp(setting, "none") == 0;
}

/* libunbound's callback, out of ub_process(). */
static void
proof_answered(void *data, int error, struct ub_result *result)
{
	struct resolver *resolver = data;

	resolver->proving = false;
	resolver->checks = error == 0 && result != NULL && result->secure;
	if (resolver->checks) /* else it may be wanted for other servers */
		resolver->rebuild = true;
	if (result != NULL)
		ub_resolve_free(result);
}

static void
proof_start(struct resolver *resolver)
{
	static char root[] = ".";

	context_delete(resolver, CONTEXT_PROOF);
	resolver->proving = context_make(resolver, CONTEXT_PROOF) == NULL &&
			    ub_resolve_async(resolver->context[CONTEXT_PROOF], root, TYPE_NS, 1,
				resolver, proof_answered, &resolver->proof_id) == 0;
	resolver->prove_at_ms = -1; /* the clock was perhaps not told yet */
}

/* Goes on with the proof: once it succeeded it is done, until the servers are others. */
static void
proof_go_on(struct resolver *resolver)
{
	if (!resolver->to_be_proven)
		return;
	if (resolver->prove_at_ms < 0)
		resolver->prove_at_ms = resolver->now_ms + PROOF_MS;
	if (resolver->proving && resolver->now_ms >= resolver->prove_at_ms) {
		(void)ub_cancel(resolver->context[CONTEXT_PROOF], resolver->proof_id);
		resolver->proving = false;
	}
	if (resolver->proving)
		return;
	if (resolver->context[CONTEXT_PROOF] != NULL) { /* it has just ended */
		context_delete(resolver, CONTEXT_PROOF);
		resolver->prove_at_ms = resolver->now_ms + resolver->prove_wait_ms;
		if (resolver->prove_wait_ms < PROVE_MOST_MS)
			resolver->prove_wait_ms *= 2;
	} else if (!resolver->checks && resolver->now_ms >= resolver->prove_at_ms) {
		proof_start(resolver);
	}
}

bool
resolver_checks(const struct resolver *resolver)
{
	return resolver->checks && !resolver->rebuild;
}

bool
resolver_proving(const struct resolver *resolver)
{
	return resolver->proving || (resolver->checks && resolver->rebuild);
}

static const char *
resolver_prepare(struct resolver *resolver, const struct resolver_setup *setup)
{
	const char *conf = setup->resolv_conf != NULL ? setup->resolv_conf : "/etc/resolv.conf";

	resolver->most = setup->most != 0 ? setup->most : MOST_DEFAULT;
	resolver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (resolver->epoll_fd < 0)
		return "epoll_create1 fails";
	if (!copy_text(&resolver->server, setup->server) ||
	    !copy_text(&resolver->resolv_conf, conf) ||
	    !copy_text(&resolver->hosts, setup->hosts) ||
	    !copy_text(&resolver->trust_anchor, setup->trust_anchor))
		return "out of memory";
	resolver->to_be_proven = resolver->trust_anchor != NULL && setup->prove_anchor;
	resolver->checks = resolver->trust_anchor != NULL && !setup->prove_anchor;
	resolver->prove_wait_ms = PROVE_MS;
	const char *problem = contexts_make(resolver);
	if (problem == NULL && resolver->to_be_proven)
		proof_start(resolver);
	return problem;
}

struct resolver *
resolver_new(const struct resolver_setup *setup, const char **problem)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL) {
		*problem = "out of memory";
		return NULL;
	}
	*problem = resolver_prepare(resolver, setup);
	if (*problem == NULL)
		return resolver;
	resolver_free(resolver);
	return NULL;
}

static void
query_free(struct resolver_query *query)
{
	if (query->result != NULL)
		ub_resolve_free(query->result);
	free(query);
}

void
resolver_free(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	contexts_delete(resolver);
	for (size_t i = 0; i < STAGES; i++) {
		while (resolver->list[i].first != NULL)
			query_free(query_pop(resolver, (enum stage)i));
	}
	if (resolver->epoll_fd >= 0)
		close(resolver->epoll_fd);
	free(resolver->server);
	free(resolver->resolv_conf);
	free(resolver->hosts);
	free(resolver->trust_anchor);
	free(resolver);
}

int
resolver_fd(const struct resolver *resolver)
{
	return resolver->epoll_fd;
}

size_t
resolver_open(const struct resolver *resolver)
{
	return resolver->count[STAGE_WAITING] + resolver->count[STAGE_ASKED] +
	       resolver->count[STAGE_DONE];
}

/* --- questions -------------------------------------------------------------------------------- */

static size_t
query_context(const struct resolver_query *query)
{
	return query->fresh ? CONTEXT_FRESH : CONTEXT_KEEPING;
}

/* libunbound's callback, out of ub_process(): only takes the result. */
static void
query_answered(void *data, int error, struct ub_result *result)
{
	struct resolver_query *query = data;

	query->error = error;
	query->result = result;
	query->resolver->in_flight[query_context(query)]--;
	query_move(query, STAGE_DONE);
}

/* May a fresh question be sent now? Where nothing is in flight, it gets a context without past. */
static bool
fresh_ready(struct resolver *resolver)
{
	if (!resolver->fresh_used)
		return true;
	if (resolver->in_flight[CONTEXT_FRESH] > 0)
		return resolver->now_ms - resolver->fresh_made_ms < FRESH_MS;
	context_delete(resolver, CONTEXT_FRESH);
	if (context_make(resolver, CONTEXT_FRESH) != NULL)
		resolver->broken = true;
	return true;
}

static void
query_send(struct resolver_query *query)
{
	static const int types[RESOLVER_TYPES] = {
	    [RESOLVER_MX] = 15, [RESOLVER_A] = 1, [RESOLVER_AAAA] = 28, [RESOLVER_TXT] = 16};
	struct resolver *resolver = query->resolver;
	size_t i = query_context(query);
	int error = resolver->broken
			? UB_INITFAIL
			: ub_resolve_async(resolver->context[i], query->name, types[query->type], 1,
			      query, query_answered, &query->ub_id);

	query->error = error;
	if (error == 0) {
		resolver->in_flight[i]++;
		resolver->fresh_used = resolver->fresh_used || query->fresh;
	}
	query_move(query, error == 0 ? STAGE_ASKED : STAGE_DONE);
}

static void
send_waiting(struct resolver *resolver)
{
	struct resolver_query *query, *next;

	if (resolver->rebuild)
		return;
	for (query = resolver->list[STAGE_WAITING].first;
	     query != NULL && resolver->count[STAGE_ASKED] < resolver->most; query = next) {
		next = query->next;
		if (!query->fresh || fresh_ready(resolver))
			query_send(query);
	}
}

struct resolver_query *
resolver_ask(struct resolver *resolver, const char *name, enum resolver_type type, bool fresh,
    int64_t deadline_ms, resolver_done *done, void *context)
{
	size_t length = strlen(name);
	struct resolver_query *query;

	if (length == 0 || length >= DOMAIN_SIZE)
		return NULL;
	query = calloc(1, sizeof(*query));
	if (query == NULL)
		return NULL;
	query->resolver = resolver;
	query->type = type;
	query->fresh = fresh;
	query->deadline_ms = deadline_ms;
	query->done = done;
	query->context = context;
	memcpy(query->name, name, length + 1);
	query_link(query, STAGE_WAITING);
	send_waiting(resolver);
	return query;
}

static void
query_withdraw(struct resolver_query *query)
{
	size_t i = query_context(query);

	if (query->stage != STAGE_ASKED)
		return;
	(void)ub_cancel(query->resolver->context[i], query->ub_id);
	query->resolver->in_flight[i]--;
}

void
resolver_cancel(struct resolver_query *query)
{
	query_withdraw(query);
	query_unlink(query);
	query_free(query);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* One label in text form; what no host name has is escaped, so that it cannot end the name. */
static bool
write_label(const uint8_t *label, size_t length, char *out, size_t size, size_t *used)
{
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = label[i];
		bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
			     (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
		int n = snprintf(out + *used, size - *used, plain ? "%c" : "\\%03u", byte);
		if (n < 0 || (size_t)n >= size - *used)
			return false;
		*used += (size_t)n;
	}
	if (*used + 2 > size)
		return false;
	out[(*used)++] = '.';
	out[*used] = '\0';
	return true;
}

/* A name in wire form (uncompressed), with its final dot. False: it is none. */
static bool
write_name(const uint8_t *wire, size_t length, char *out, size_t size)
{
	size_t at = 0, used = 0;

	out[0] = '\0';
	while (at < length && wire[at] != 0) {
		size_t label = wire[at];
		if (label > 63 || at + 1 + label > length ||
		    !write_label(wire + at + 1, label, out, size, &used))
			return false;
		at += 1 + label;
	}
	if (at >= length)
		return false;
	if (used == 0)
		(void)snprintf(out, size, ".");
	return true;
}

static bool
read_mx(const uint8_t *data, size_t length, struct resolver_record *out)
{
	char host[1100], text[1200];

	if (length < 3 || !write_name(data + 2, length - 2, host, sizeof(host)))
		return false;
	int n = snprintf(
	    text, sizeof(text), "x. 0 IN MX %u %s", (unsigned)data[0] << 8 | data[1], host);
	return dns_text_parse(text, (size_t)n, &out->dns);
}

static bool
read_address(
    const uint8_t *data, size_t length, enum resolver_type type, struct resolver_record *out)
{
	bool four = type == RESOLVER_A;

	if (length != (four ? 4 : 16))
		return false;
	out->dns.type = four ? DNS_A : DNS_AAAA;
	out->dns.address.family = four ? 4 : 6;
	memcpy(out->dns.address.bytes, data, length);
	return true;
}

/* Joins the strings into what is left of `room`. */
static bool
read_text(const uint8_t *data, size_t length, char *room, size_t size, struct resolver_record *out)
{
	size_t at = 0;

	out->dns.type = DNS_OTHER;
	out->text = room;
	while (at < length) {
		size_t part = data[at];
		if (at + 1 + part > length || out->text_length + part + 1 > size)
			return false;
		memcpy(room + out->text_length, data + at + 1, part);
		out->text_length += part;
		at += 1 + part;
	}
	if (out->text_length >= size)
		return false;
	room[out->text_length] = '\0';
	return true;
}

static void
read_records(
    struct resolver *resolver, const struct ub_result *result, struct resolver_answer *answer)
{
	size_t used = 0;

	for (size_t i = 0; result->data[i] != NULL; i++) {
		struct resolver_record record = {.text = NULL};
		const uint8_t *data = (const uint8_t *)result->data[i];
		size_t length = result->len[i] > 0 ? (size_t)result->len[i] : 0;
		bool good = false;

		if (answer->count == RESOLVER_RECORDS_MAX) {
			answer->cut = true;
			return;
		}
		if (answer->type == RESOLVER_MX)
			good = read_mx(data, length, &record);
		else if (answer->type == RESOLVER_TXT)
			good = read_text(
			    data, length, resolver->text + used, TEXT_ROOM - used, &record);
		else
			good = read_address(data, length, answer->type, &record);
		if (!good) {
			answer->cut = true;
			continue;
		}
		used += record.text != NULL ? record.text_length + 1 : 0;
		resolver->records[answer->count++] = record;
	}
}

static const char *
rcode_problem(int rcode)
{
	switch (rcode) {
	case 1: return "the DNS server says FORMERR";
	case 2: return "the DNS server fails (SERVFAIL)";
	case 4: return "the DNS server says NOTIMP";
	case 5: return "the DNS server refuses (REFUSED)";
	default: return "the DNS server answers with an error";
	}
}

static void
answer_failed(struct resolver_answer *answer, const char *problem)
{
	answer->outcome = RESOLVER_CANNOT_TELL;
	answer->ttl = 0;
	answer->problem = problem;
}

static void
answer_dnssec(
    const struct resolver *resolver, const struct ub_result *result, struct resolver_answer *answer)
{
	if (result->bogus)
		answer->dnssec = RESOLVER_BOGUS;
	else if (result->secure)
		answer->dnssec = RESOLVER_SECURE;
	else if (resolver->checks)
		answer->dnssec = RESOLVER_INSECURE;
}

static void
answer_read(
    struct resolver *resolver, const struct ub_result *result, struct resolver_answer *answer)
{
	answer_dnssec(resolver, result, answer);
	answer->ttl = result->ttl > 0 ? (uint32_t)result->ttl : 0;
	answer->packet_length = result->answer_len > 0 ? (size_t)result->answer_len : 0;
	if (result->canonname != NULL && strcasecmp(result->canonname, answer->name) != 0 &&
	    !domain_normalise_host(result->canonname, strlen(result->canonname), answer->canonical))
		answer->canonical[0] = '\0';
	if (result->bogus) {
		answer_failed(answer,
		    result->why_bogus != NULL ? result->why_bogus : "DNSSEC validation fails");
	} else if (result->rcode == 3) {
		answer->outcome = RESOLVER_NXDOMAIN;
	} else if (result->rcode != 0) {
		answer_failed(answer, rcode_problem(result->rcode));
	} else if (!result->havedata) {
		answer->outcome = RESOLVER_NODATA;
	} else {
		answer->outcome = RESOLVER_FOUND;
		read_records(resolver, result, answer);
		if (answer->count == 0)
			answer_failed(answer, "its records cannot be read");
	}
}

/* The query is in no list any more: nobody can cancel it. */
static void
query_tell(struct resolver_query *query)
{
	struct resolver *resolver = query->resolver;
	struct resolver_answer answer = {.name = query->name,
	    .type = query->type,
	    .outcome = RESOLVER_CANNOT_TELL,
	    .records = resolver->records,
	    .problem = ""};

	if (query->result != NULL)
		answer_read(resolver, query->result, &answer);
	else if (query->late)
		answer_failed(&answer, "no answer from the DNS in time");
	else
		answer_failed(&answer, ub_strerror(query->error));
	query->done(&answer, query->context);
	query_free(query);
}

/* --- the clock -------------------------------------------------------------------------------- */

static void
end_late(struct resolver *resolver, enum stage stage, int64_t now_ms)
{
	struct resolver_query *query;

	while ((query = resolver->list[stage].first) != NULL && query->deadline_ms <= now_ms) {
		query_withdraw(query);
		query->late = true;
		query_move(query, STAGE_DONE);
	}
}

/* What was proven of the old ones says nothing. */
static void
servers_changed(struct resolver *resolver)
{
	resolver->rebuild = true;
	if (!resolver->to_be_proven)
		return;
	resolver->checks = false;
	resolver->prove_wait_ms = PROVE_MS;
	proof_start(resolver);
}

static void
look_at_conf(struct resolver *resolver, int64_t now_ms)
{
	const struct stat *seen = &resolver->conf_seen;
	struct stat now;

	if (now_ms >= resolver->next_look_ms && resolver->server == NULL) {
		resolver->next_look_ms = now_ms + LOOK_MS;
		if (stat(resolver->resolv_conf, &now) == 0 &&
		    (resolver->broken || now.st_ino != seen->st_ino ||
			now.st_size != seen->st_size ||
			now.st_mtim.tv_sec != seen->st_mtim.tv_sec ||
			now.st_mtim.tv_nsec != seen->st_mtim.tv_nsec))
			servers_changed(resolver);
	}
	if (!resolver->rebuild || resolver->count[STAGE_ASKED] > 0)
		return;
	resolver->rebuild = false;
	for (size_t i = 0; i < CONTEXT_PROOF; i++)
		context_delete(resolver, i);
	(void)contexts_make(resolver); /* else every question is told so, until it works */
}

void
resolver_process(struct resolver *resolver, int64_t now_ms)
{
	size_t done;

	resolver->now_ms = now_ms;
	for (size_t i = 0; i < CONTEXTS; i++) {
		if (resolver->context[i] != NULL)
			(void)ub_process(resolver->context[i]);
	}
	end_late(resolver, STAGE_WAITING, now_ms);
	end_late(resolver, STAGE_ASKED, now_ms);
	proof_go_on(resolver);
	look_at_conf(resolver, now_ms);
	send_waiting(resolver);
	/* Those that join the list meanwhile wait for the next call. */
	for (done = resolver->count[STAGE_DONE]; done > 0 && resolver->count[STAGE_DONE] > 0;
	     done--)
		query_tell(query_pop(resolver, STAGE_DONE));
	send_waiting(resolver);
}

int64_t
resolver_wait_ms(const struct resolver *resolver, int64_t now_ms)
{
	int64_t first = INT64_MAX;

	if (resolver->count[STAGE_DONE] > 0)
		return 0;
	for (size_t i = STAGE_WAITING; i <= STAGE_ASKED; i++) {
		const struct resolver_query *query = resolver->list[i].first;
		if (query != NULL && query->deadline_ms < first)
			first = query->deadline_ms;
	}
	if (resolver->to_be_proven && (resolver->proving || !resolver->checks) &&
	    resolver->prove_at_ms < first)
		first = resolver->prove_at_ms;
	if (first == INT64_MAX)
		return -1;
	return first > now_ms ? first - now_ms : 0;
}
