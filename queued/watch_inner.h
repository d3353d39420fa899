/*
 * watch_inner: what the files of the watch share. Private to watch*.c: watch.c (life, time,
 * operators), watch_queue.c (messages, listings), watch_route.c (DNS answers, routes),
 * watch_primary.c (probes), watch_domain.c (what is done for a domain), watch_release.c (its mail
 * leaves), watch_alert.c (who is alerted), watch_state.c (what is told).
 */
#ifndef MXHOLD_QUEUED_WATCH_INNER_H
#define MXHOLD_QUEUED_WATCH_INNER_H

#include "queued/heap.h"
#include "queued/keyed.h"
#include "queued/unmet.h"
#include "queued/watch.h"

#define WATCH_ACTIVE_MS 10000  /* held for so long, a message makes its domain active */
#define WATCH_REFRESH_MS 60000 /* rows, records of the state and holds are renewed so often */
#define WATCH_HOLD_S 300       /* how long a hold of ours lasts without renewal */
#define WATCH_LEAP_S 60        /* the clock was set: less than a hold has left when it is renewed */
#define WATCH_LINGER_MS 30000  /* without held mail, before a domain is forgotten */
#define WATCH_PASSED_MS 60000  /* so long it is probed after smtp(8) passed somebody by */
#define WATCH_WANTED_MS 900000 /* the same where its primary's state is wanted (rule 10) */
#define WATCH_RECENT_S 60      /* older attempts (log of a time when we were away) prove nothing */
#define WATCH_STALE_MS 30000   /* not probed for so long, or twice its interval: unknown again */
#define WATCH_SOME 20          /* messages tried one by one where a flush had no effect */
#define WATCH_MISSED 200       /* the same, of those that a flush has missed, at a time */
#define WATCH_QUIET_MS 600000  /* without a delivery for so long: the next one is news */
#define WATCH_BUSY_MS 1000     /* a primary that took mail within this is busy with it */
#define WATCH_ROUND_MS 8000    /* all that are down are probed once in this, if it can be done */
#define WATCH_CONNECT_MS 1500  /* the shortest wait for a connection: SYNs at 0 and 1 s */
#define WATCH_TURN_MS 2000     /* so long the canary of one domain is waited for by the others */
#define WATCH_FRESH_MS 300     /* so long what becomes of a domain's first message is waited for */
#define WATCH_PROOF_MS 60000   /* so long a delivery proves its primary for other domains */
#define WATCH_AGAIN_MS 20000   /* an answer so long after a refusal is one to another attempt */
#define WATCH_REFUSED_RUN 2    /* messages refused and none taken: one that is taken then is news */
/* A refused message is owed another offer by the first delivery, and by others, of which some came
 */
#define WATCH_GAP_MS 15000     /* after as long without any: it may have been broken in between; */
#define WATCH_OWED_MS 30000    /* the second one so long after its refusal, doubled each time, */
#define WATCH_AT_ONCE 8        /* and so often: within an hour or so */
#define WATCH_UNKNOWN_MS 60000 /* a primary that is unknown for so long is an outage */
#define WATCH_LEAVES_MS 1000   /* what was taken is out of the queue by then */
#define WATCH_REREAD_MS 30000  /* after mail that went astray the way is read at most so often */
#define WATCH_PUT_MS 200       /* records are written at most so often */

struct watch_domain;
struct watch_primary;

struct watch_link {                    /* a domain's endpoint */
	struct watch_primary *primary; /* NULL: none */
	struct watch_domain *domain;
	struct watch_link *next, *previous; /* of the primary */
	struct route_endpoint endpoint;
	bool wants; /* counted in the primary's `wants` */
};

struct watch_message {
	struct keyed_node node; /* by domain and id */
	struct heap_node age;   /* in the domain's heap: accepted_at */
	struct {
		struct watch_domain *domain;
		char id[JOURNAL_ID_SIZE];
	} key;
	uint64_t size;
	uint32_t recipients;
	uint32_t turn;      /* the domain's `turns` when it was a canary last; 0: never */
	uint32_t turn_back; /* what that is again when it meets our own hold: it was not offered */
	uint32_t wave;      /* of the domain, in which it was tried last */
	uint32_t listing;   /* in which it was seen last, */
	bool put_off;       /* and lay in the deferred queue */
	bool asked;         /* it was a canary, and no line of it was seen since, */
	bool lost;          /* not even when it was one again */
	bool attempted;     /* it is known what became of an attempt */
	bool unknown_user;  /* so it was refused, */
	bool mixed;         /* but another recipient of it was put off in the same attempt */
	bool counted;       /* it was refused once, and counts no more for the breaker */
	uint8_t offered;    /* refusals after a delivery */
	uint8_t refusals;   /* attempts that were refused, one after the other */
	uint32_t taken;     /* the domain's `taken` when it was refused last */
	uint32_t refused;   /* recipients that were in the last of these */
	int64_t refused_ms; /* when the primary refused it last; 0: never, or put off since */
	int64_t taken_ms;   /* when its last recipient was taken: it is on its way out; 0: not */
};

struct watch_owner { /* a row, with what all its domains hold */
	struct keyed_node node;
	uint64_t messages, bytes;
	uint64_t quota_messages, quota_bytes;
	int64_t hold_until; /* the SOC's; 0: none */
	size_t domains;
	bool over_quota; /* the alert is raised */
	bool dirty;
	struct watch_owner *next_dirty;
	char name[DOMAIN_SIZE];
};

struct watch_domain {
	struct keyed_node node;
	struct heap_node due;
	struct heap by_age;
	uint64_t messages, bytes;
	bool active; /* its primary matters: something did not go straight through */
	bool asked;  /* by an operator how its primary is: to be probed when the route is known */
	bool wanted; /* asked about by policyd: without mail, one of `wanted` of the watch */
	bool dead;   /* to be freed once `waits` is 0 */
	unsigned waits; /* DNS answers that it waits for */
	/* smtp(8) passed a stranger by: it is probed, without mail too, until then and as long as a
	   probe finds one; 0: it did not */
	int64_t passed_ms;
	struct unmet unmet; /* is the word "up" of its probes contradicted? */
	int64_t activate_ms, refresh_ms, route_ms, forget_ms;
	int64_t
	    fresh_ms; /* when its first message came; the try that left it here is not known yet */
	int64_t missed_ms;  /* when its primary was not reached last; 0: never */
	uint64_t outage;    /* a hash of what the outage's alert says at present, */
	uint64_t stranger;  /* and the one about a wrong host */
	int64_t unknown_ms; /* when it is an outage not to know its primary; NEVER_MS: not */
	int64_t turn_ms;    /* another domain's canary is under way: no longer waited for then */
	struct watch_primary *turn_at; /* where that one was sent; NULL: it waits for none */
	struct watch_domain *next_turn, *previous_turn;
	/* the row */
	enum watch_row_result row_result;
	struct watch_row *row; /* NULL: none, or not read yet */
	struct watch_owner *owner;
	/* the way to the primary */
	struct watch_link link[ROUTE_ENDPOINTS];
	size_t links;
	enum route_verdict route_verdict;
	char route_why[STATE_TEXT_SIZE];
	int64_t route_since;
	int64_t route_from_ms; /* what the DNS was asked before is too old for it; 0: nothing is */
	int64_t reread_ms;     /* when it was read anew last, since mail went elsewhere; 0: never */
	/* how its primary was, by a former process; UNKNOWN: not known, or handed on */
	enum primary_state former;
	int64_t former_since;
	/* what is done */
	struct release release;
	struct breaker breaker;
	uint32_t turns; /* canaries so far, */
	uint32_t round; /* and when this round began */
	uint32_t wave;
	uint32_t taken;         /* deliveries, */
	int64_t taken_ms;       /* when the last of them was, */
	int64_t news_ms;        /* and when the last time after none for WATCH_QUIET_MS, */
	int64_t gap_ms;         /* or WATCH_GAP_MS */
	int64_t mended_ms;      /* what was refused before this may go again */
	unsigned refused_run;   /* messages refused for the first time since the last was taken */
	int64_t owes_ms;        /* a delivery from then on may be the one that messages are owed */
	bool wants_list;        /* a listing that has not begun, */
	bool in_list;           /* or that runs */
	uint64_t untried;       /* messages that were not tried in this wave */
	int64_t operator_until; /* 0: no hold */
	char operator_reason[STATE_TEXT_SIZE];
	bool operator_silent;
	bool away;           /* its primary was, and the breaker was not yet told that it is back */
	bool silent;         /* no alerts, as it was judged last */
	enum hold_kind hold; /* in force now */
	unsigned alerts;     /* raised, 1 << kind */
	unsigned retention_level;
	/* what is told */
	enum primary_state told_primary;
	bool told_beside; /* a stranger beside it */
	bool dirty;
	struct watch_domain *next_dirty;
	char name[DOMAIN_SIZE];
};

struct watch_primary {
	struct keyed_node node;
	struct heap_node due;
	struct heap *in; /* where `due` stands; NULL: nowhere */
	struct primary machine;
	struct watch_link *first;        /* domains that use it */
	struct watch_domain *first_turn; /* those that wait for another one's canary */
	size_t users, wants;
	unsigned asked; /* probes at most until an operator's question is answered */
	uint64_t probe; /* the id of the probe under way; 0: none */
	bool doubted;   /* it may have begun before somebody else came */
	struct keyed_node by_probe;
	int64_t started_ms, seen_ms;
	int64_t canary_ms; /* when one of its domains sent a canary last; 0: none */
	int64_t proved_ms; /* when it took a message last; 0: never */
	struct probe_target target;
	size_t key_length;
	char key[64 + 2 * PIN_SIZE];
};

struct watch_answer {
	struct keyed_node node;
	struct heap_node due; /* when it is forgotten */
	bool come;
	int64_t fresh_ms; /* when it was asked for past the cache; 0: it was not */
	struct route_answer answer;
	struct dns_record *records;
	struct watch_domain **waiting;
	size_t waiting_count, waiting_room;
	size_t key_length;
	char key[DOMAIN_SIZE + 2]; /* type, name */
};

struct watch {
	struct watch_setup setup;
	struct queued_time now;
	int64_t wall_ahead; /* wall clock less boot clock, seconds, when last looked at */
	struct keyed domains, messages, owners, primaries, probes, answers;
	struct heap domains_due, primaries_due, answers_due;
	struct heap answering_due; /* primaries that answered last: they are probed first */
	size_t active, wanted;
	uint64_t probe_ids;
	uint32_t listing; /* numbers them */
	bool list_good;
	struct watch_domain *dirty;
	struct watch_owner *dirty_owners;
	int64_t put_ms; /* when records may be written again */
};

/* watch_queue.c */
struct watch_message *queue_find(struct watch *watch, struct watch_domain *domain, const char *id);
/*
 * A wave begins: no message of the domain was tried in it yet. What was refused lately is left out
 * where all others are tried one by one: false, and they are asked for here. True: the domain is to
 * be flushed. *wanted: how many may go.
 */
bool queue_wave(struct watch *watch, struct watch_domain *domain, uint64_t *wanted);
/* What became of an attempt is noted; what news it is for the release. */
enum release_news queue_attempted(
    struct watch *watch, struct watch_message *message, const struct event_attempt *attempt);
/* Was it refused? Not where one of its recipients was put off in the last attempt: it has to go
   again for him. */
bool queue_refused(const struct watch_message *message);
/* Was it not refused, or long enough ago? */
bool queue_may_go(const struct watch *watch, const struct watch_message *message);
/* When what was refused first may go again; NEVER_MS: there is no such message. */
int64_t queue_due(struct watch *watch, struct watch_domain *domain);
/* When the first of all may be tried for the breaker, 0: at once; NEVER_MS: none can be. */
int64_t queue_breaker_due(struct watch *watch, struct watch_domain *domain);
/* The message was tried, or need not be, in this wave. */
void queue_tried(struct watch_message *message);
/* All messages may be canaries again. */
void queue_round(struct watch_domain *domain);
/* Can it be tried? Not while an operator holds it, or when it is on its way out. */
bool queue_can_leave(const struct watch *watch, const struct watch_message *message);
/*
 * A canary that can leave, none of this round: one that never was, then the one whose turn is
 * longest ago; of equals the oldest. Of those that were refused none is wanted that was lately (but
 * where one has to be tried at once); for the release the others come last, for the breaker they go
 * round with the rest, behind their equals. NULL: there is none.
 */
enum queue_wish { QUEUE_FOR_RELEASE, QUEUE_FOR_BREAKER, QUEUE_AT_ONCE };
struct watch_message *queue_pick(
    struct watch *watch, struct watch_domain *domain, enum queue_wish wish);
void queue_free(struct watch *watch, struct watch_domain *domain);

/* watch.c */
struct watch_domain *domain_find(struct watch *watch, const char *name);
struct watch_domain *domain_get(struct watch *watch, const char *name); /* NULL: no memory */
void domain_schedule(struct watch *watch, struct watch_domain *domain);

/* watch_route.c */
void domain_route(struct watch *watch, struct watch_domain *domain);
/* Has its way read anew, past the cache. */
void domain_reread(struct watch *watch, struct watch_domain *domain);
/* Somebody who is none of its endpoints answered to its mail: the way is read anew. */
void domain_went_astray(
    struct watch *watch, struct watch_domain *domain, const struct event_attempt *attempt);
void answer_expire(struct watch *watch, struct watch_answer *answer);
void answers_free(struct watch *watch);

/* watch_primary.c */
void domain_unlink(struct watch *watch, struct watch_domain *domain);
/* Takes over the endpoints of a route. */
void domain_link(struct watch *watch, struct watch_domain *domain, const struct route *route);
/* Sees to which of its primaries are to be probed for it. */
void domain_wants(struct watch *watch, struct watch_domain *domain, bool wants);
/*
 * The primary that speaks for the domain now; NULL: none. One that is up does: to a stranger beside
 * it nothing goes. Else one of which nothing is known yet, if there is one; else the stranger, once
 * the others are known not to be up.
 */
const struct primary *domain_primary(const struct watch_domain *domain);
#define WATCH_NAME_SIZE 160
/* "host[address]:port", a long name cut. Returns `out`. */
const char *link_name(const struct watch_link *link, char out[WATCH_NAME_SIZE]);
/* The first of its strangers, where it is passed by because another one is up; NULL: none is. */
const struct watch_link *domain_passed_by(const struct watch_domain *domain);
/* Is one of its primaries a stranger, whoever speaks for it? */
bool domain_has_stranger(const struct watch_domain *domain);
/* The one that is up; NULL: none is. */
struct watch_primary *domain_primary_up(const struct watch_domain *domain);
void primary_schedule(struct watch *watch, struct watch_primary *primary);
void primary_probe(struct watch *watch, struct watch_primary *primary);
/* Has the domain's primaries probed until they are known, also where nobody wants them watched. */
void domain_ask(struct watch *watch, struct watch_domain *domain);
/* Is it probed by and by? */
bool primary_is_probed(const struct watch_primary *primary);
/* Reads `host[address]:port`, as smtp(8) names who answered. False: it is something else. */
bool primary_read_named(const char *text, struct ip *address, unsigned *port);
/* The primary that the log names as `host[address]:port`; NULL: none of this domain's. */
struct watch_primary *domain_primary_named(struct watch_domain *domain, const char *text);
/* smtp(8) met a stranger there, perhaps: it is probed at once, but once a second at most. */
void primary_doubt(struct watch *watch, struct watch_primary *primary);
void primary_tell(struct watch *watch, struct watch_primary *primary);
/* It took a message: whoever waits for that goes on. */
void primary_proved(struct watch *watch, struct watch_primary *primary);
/* The domain waits until then for what becomes of another one's canary. */
void domain_await_turn(struct watch_domain *domain, struct watch_primary *primary, int64_t until);
void domain_end_turn(struct watch_domain *domain);

/* watch_domain.c */
void domain_read_row(struct watch *watch, struct watch_domain *domain);
void domain_activate(struct watch *watch, struct watch_domain *domain);
/* Something has changed: holds, alerts, release and schedule follow. */
void domain_judge(struct watch *watch, struct watch_domain *domain);
void domain_attempt(struct watch *watch, struct watch_domain *domain,
    const struct event_attempt *attempt, enum release_news news);
void domain_left(struct watch *watch, struct watch_domain *domain, const char *id);
/* Somebody who does not show its pin was passed by, it is not known where: all are probed. */
void domain_note_passed(struct watch *watch, struct watch_domain *domain);
/* The domain, also where no mail of it is held: a stranger on its way is news. */
struct watch_domain *domain_for_passed(struct watch *watch, const char *name);
void domain_tick(struct watch *watch, struct watch_domain *domain);
bool domain_is_pinned(const struct watch_domain *domain);
bool domain_soc_hold(const struct watch *watch, const struct watch_domain *domain);
bool domain_operator_holds(const struct watch *watch, const struct watch_domain *domain);
/* Does an operator hold it so that there are no alerts about it? */
bool domain_hushed(const struct watch *watch, const struct watch_domain *domain);
/* Are there none, for that or for the SOC's hold? */
bool domain_is_silent(const struct watch *watch, const struct watch_domain *domain);
/* How its primary is as far as is known now, */
enum primary_state domain_primary_state(const struct watch_domain *domain);
/* and what is told of it: "wrong host" too where smtp(8) finds one, and the probes do not, */
enum primary_state domain_told_state(const struct watch_domain *domain);
/* and what holds its mail back because of that, of refusals, or of an operator. */
enum hold_kind domain_decide_hold(const struct watch *watch, const struct watch_domain *domain);

/* watch_release.c */
/* Lets its mail go, or not, as things are now. */
void domain_judge_release(struct watch *watch, struct watch_domain *domain);
void domain_tick_release(struct watch *watch, struct watch_domain *domain);
/* What an attempt says to the breaker and to the release. */
void domain_tried(struct watch *watch, struct watch_domain *domain,
    const struct event_attempt *attempt, enum release_news news);
/* A message has left the queue, and others are there. */
void domain_release_left(struct watch *watch, struct watch_domain *domain, const char *id);
/* The listing that was wanted: `good`, and whether missed messages are tried now. */
void domain_listed(struct watch *watch, struct watch_domain *domain, bool good, bool singly);

/* watch_alert.c */
/* Raises what is amiss and is not told yet, and ends what is over. */
void domain_judge_alerts(
    struct watch *watch, struct watch_domain *domain, enum primary_state state);
/* How long the oldest message has waited, of the time it may. */
void domain_judge_retention(struct watch *watch, struct watch_domain *domain);
void domain_alert_breaker(struct watch *watch, struct watch_domain *domain);
void domain_breaker_alert_ends(struct watch *watch, struct watch_domain *domain);
/* No mail of it is held any more. */
void domain_alerts_empty(struct watch *watch, struct watch_domain *domain);
/* It is forgotten: so are all alerts of the watch about it. */
void domain_end_alerts(struct watch *watch, struct watch_domain *domain);

/* watch_state.c */
void domain_dirty(struct watch *watch, struct watch_domain *domain);
void owner_count(struct watch *watch, struct watch_owner *owner, int64_t messages, int64_t bytes);
/* Moves the domain's counts to the row that speaks for it; NULL: to none. */
void domain_owner(struct watch *watch, struct watch_domain *domain, const struct watch_row *row);
void state_put_all(struct watch *watch);
void state_compose(const struct watch *watch, const struct watch_domain *domain,
    const struct watch_owner *owner, struct state_domain *out);

#endif
