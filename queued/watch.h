/*
 * watch: which domains have held mail, where their primaries are, how these are, and what is to be
 * done. In: what the collector sees (event_sink), DNS answers, findings of probes, rows, operators'
 * holds, time. Out: effects through a table of ports, and the records of core/state. Pure but for
 * malloc: no descriptor, no clock.
 *
 * Domains with held mail are watched from their first message; one whose mail goes straight through
 * costs nothing more than that. Domains that share an endpoint (address, port, pins) share its
 * probes. What a tick costs goes by what is due, not by how much there is.
 */
#ifndef MXHOLD_QUEUED_WATCH_H
#define MXHOLD_QUEUED_WATCH_H

#include "queued/breaker.h"
#include "queued/probe.h"
#include "queued/release.h"
#include "queued/route.h"

/* What counts for a recipient domain, after inheritance. */
struct watch_row {
	char owner[DOMAIN_SIZE]; /* the row that speaks for it */
	char next_hops[NEXT_HOPS_SIZE];
	bool tls_required;
	int64_t hold_until; /* the SOC's; 0: none */
	char hold_reason[HOLD_REASON_SIZE];
	char pin_certificate[PIN_SIZE], pin_banner[PIN_SIZE];
	uint64_t quota_messages, quota_bytes; /* 0: none */
	int64_t retention;                    /* seconds */
	bool
	    wants_state; /* when_primary_up = defer: its primary is watched without held mail too */
};

enum watch_row_result { WATCH_ROW_FOUND, WATCH_ROW_NONE, WATCH_ROW_CANNOT_TELL };

struct watch_ports {
	enum watch_row_result (*row)(void *context, const char *domain, struct watch_row *out);
	/* NULL: cannot tell now. Valid until the watch returns. */
	const struct fleet *(*fleet)(void *context);
	/* Answered by watch_resolved(), not from within. `fresh`: not from our cache. False: it
	   could not be asked. */
	bool (*resolve)(void *context, const char *name, enum resolver_type type, bool fresh);
	/* Answered by watch_probed() with the same `id`, not from within. False: cannot. */
	bool (*probe)(void *context, uint64_t id, const struct probe_target *target);
	void (*flush_domain)(void *context, const char *domain, uint64_t messages);
	/* `late`: after the domains that wait for their flush. */
	void (*flush_id)(void *context, const char *queue_id, bool late);
	/* Does the flush of the domain still wait, or run? */
	bool (*flushing)(void *context, const char *domain);
	/* Does an operator hold the message (postsuper -h), as far as is known? */
	bool (*on_hold)(void *context, const char *queue_id);
	/* The domain's breaker has closed: what was refused until now says nothing of its mail. */
	void (*mended)(void *context, const char *domain);
	/* A listing of the queue is wanted, soon: watch_list_began(), watch_listed() for each
	   recipient, watch_list_ended(), none of them from within. One for all that wanted it
	   before it began.
	 */
	void (*list)(void *context);
	/* The record as it was put last, perhaps by a former process. False: there is none. */
	bool (*get_state)(void *context, const char *name, struct state_domain *out);
	/* The fields of a domain's record that are the watch's: all but the MX fact. All zero: it
	   is not watched any more. */
	void (*put_state)(void *context, const char *name, const struct state_domain *record);
	void (*raise)(void *context, const struct alert *alert);
	void (*end)(void *context, enum alert_kind kind, const char *domain);
	/* Does one stand that a former process has raised, and this one not yet? */
	bool (*restored)(void *context, enum alert_kind kind, const char *domain);
	/* Something about a domain has changed, for those who look on (mxholdctl primary watch). */
	void (*changed)(void *context, const char *domain);
	double (*random)(void *context); /* 0 to 1 */
	void *context;
};

struct watch_setup {
	struct primary_policy primary;
	unsigned probes; /* at once */
	bool use4, use6;
	uint16_t port;
	struct fence_networks allow;
	struct watch_ports ports;
};

struct watch;

struct watch *watch_new(const struct watch_setup *setup); /* NULL: out of memory */
void watch_free(struct watch *watch);

/* --- what happens --------------------------------------------------------------------------------
 */

/*
 * `now` of the events that come through watch_sink(). Where the clock was set, the next tick renews
 * all holds, and all else within a second or two. (watch_tick() sees it too.)
 */
void watch_set_time(struct watch *watch, struct queued_time now);
struct event_sink watch_sink(struct watch *watch);
void watch_resolved(struct watch *watch, const char *name, enum resolver_type type,
    const struct route_answer *answer, struct queued_time now);
void watch_probed(
    struct watch *watch, uint64_t id, const struct probe_finding *finding, struct queued_time now);
void watch_list_began(struct watch *watch);
/* `queue`: as postqueue(1) calls it. */
void watch_listed(struct watch *watch, const char *domain, const char *queue_id, const char *queue);
/* `good`: it was complete. */
void watch_list_ended(struct watch *watch, bool good, struct queued_time now);
/* The snapshot has changed: rows are read again, by and by within a second or two. */
void watch_rows_changed(struct watch *watch, struct queued_time now);
#define WATCH_ASKED_MOST                                                                           \
	2000 /* domains without mail that are watched since they were asked about */
/* policyd asks how the primary is (rule 10): where the row wants that, it is watched for 15 minutes
   more. */
void watch_asked(struct watch *watch, const char *domain, struct queued_time now);
/* A former process has told of a stranger among its primaries: they are looked at, as where smtp(8)
   has just passed one by. */
void watch_passed(struct watch *watch, const char *domain, struct queued_time now);
/* Does what is due. Returns the time (ms) of the next call. */
int64_t watch_tick(struct watch *watch, struct queued_time now);

/* --- operators -----------------------------------------------------------------------------------
 */

/* HOLD_FOREVER: until released. `silent`: no alerts about the domain meanwhile. False: out of
   memory. */
bool watch_hold(struct watch *watch, const char *domain, int64_t until, const char *reason,
    bool silent, struct queued_time now) __attribute__((warn_unused_result));
/* Ends an operator's hold, and has the breaker try a message now. False: neither was there. */
bool watch_release(struct watch *watch, const char *domain, struct queued_time now);
/* Are alerts about it not told now: by its row's hold, or an operator's silent one? */
bool watch_silent(struct watch *watch, const char *domain);
/* Reads row and route again (past our cache of the DNS), and probes at once, until it is known how
   the primary is, also while a hold is on. False: not watched. */
bool watch_probe(struct watch *watch, const char *domain, struct queued_time now);
/* Flushes, whatever is known of the primary. False: not watched, or held. */
bool watch_flush(struct watch *watch, const char *domain, struct queued_time now);

/* Does the row, with what all its domains hold, reach its quota now? */
bool watch_over_quota(const struct watch *watch, const char *row);

struct watch_view {
	const char *domain;
	const struct watch_row *row; /* NULL: none, or not read yet */
	struct state_domain state;
	enum release_stage release;
	enum breaker_stage breaker;
	bool soc_hold;
	bool held; /* by the SOC or an operator: its primary is not probed for it */
	/* When the DNS is asked next where its primary is (ms); NEVER_MS: that is known. */
	int64_t next_dns_ms;
	bool reading; /* watch_probe() still waits for the DNS: what is told is of before */
	size_t endpoints;
	struct {
		const struct route_endpoint *endpoint;
		const struct primary *primary;
		bool probed; /* by and by; not, where nobody's mail could go there */
	} endpoint[ROUTE_ENDPOINTS];
};

/* Valid until the watch is called again. False: not watched. */
bool watch_look(struct watch *watch, const char *domain, struct watch_view *out);
/* Domains below `domain` that have held mail, and a row at or above it: what is ordered of `domain`
   leaves them out. Returns how many, what they hold, and up to `room` of their names, valid as
   those of watch_look(). */
size_t watch_below(
    struct watch *watch, const char *domain, const char **names, size_t room, uint64_t *messages);
void watch_each(
    struct watch *watch, void (*visit)(const char *domain, void *context), void *context);

struct watch_counts {
	size_t domains, active, messages, primaries, probing, answers;
};
struct watch_counts watch_count(const struct watch *watch);

#endif
