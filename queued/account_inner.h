/*
 * account_inner: what the files of account share. Not for others.
 *
 * A message is known from its first line, or from a listing. Its recipients are known from their
 * first delivery line, or from a listing; recipients of other people's domains are not kept. A
 * recipient that was settled stays with its message until that is gone, so that it is settled once.
 */
#ifndef MXHOLD_QUEUED_ACCOUNT_INNER_H
#define MXHOLD_QUEUED_ACCOUNT_INNER_H

#include "queued/account.h"
#include "queued/keyed.h"
#include "queued/words.h"

#include <sys/queue.h>

enum waiting { WAITING_NOT, WAITING_LAZY, WAITING_URGENT, WAITING_WRITTEN };

struct recipient {
	struct recipient *next; /* of the same message */
	struct message *message;
	struct holding *holding;
	TAILQ_ENTRY(recipient) in_holding; /* while it is held */
	TAILQ_ENTRY(recipient) in_waiting; /* while its row is to be written */
	enum waiting waiting;
	int64_t waiting_since;
	const char *text, *primary, *reply, *by; /* words */
	int64_t first_attempt, last_attempt, outcome_at;
	struct refusal_history refusals;
	uint32_t attempts;
	enum journal_outcome outcome;
	unsigned known_at, seen_at; /* listings */
	unsigned absent;
	bool told;         /* the watch counts it as held */
	bool from_listing; /* known before any line, perhaps by another spelling */
	char code[16];
};
TAILQ_HEAD(recipients, recipient);

#define UNNAMED_UNKNOWN UINT32_MAX

enum intent_stage {
	INTENT_NONE,
	INTENT_NEW,
	INTENT_KEPT,     /* on the disk */
	INTENT_ASKED,    /* the helper works on it: its answer is due */
	INTENT_ANSWERED, /* or never will be: the log or a listing tells what came of it */
	INTENT_GONE,     /* the helper found no such message: again, the log or a listing tells */
};

struct message {
	struct keyed_node node;
	TAILQ_ENTRY(message) in_changed;
	TAILQ_ENTRY(message) in_refused;
	bool changed;  /* it is in account->changed or account->written */
	bool refused;  /* it is in account->refused: to be judged soon */
	bool nameless; /* it is in account->nameless: nobody has named a recipient yet */
	bool guessed;  /* accepted_at is when a line first spoke of it: see message_arrived */
	struct recipient *recipients;
	int64_t accepted_at;
	uint64_t size;
	const char *sender, *client; /* words */
	unsigned known_at, seen_at;  /* listings */
	unsigned absent;
	unsigned hold_at; /* listing before or during which the log spoke of on_hold */
	size_t listed;    /* recipients left by the listing seen_at, less those settled since */
	bool on_hold;     /* by postsuper -h: an operator wants it to stay */
	/* since qmgr took it up, smtp(8) */
	bool passed;      /* passed a stranger by with it */
	bool answered;    /* had a reply about it, and went on to the next server */
	bool gone;        /* has left, goes from memory when its rows are written */
	bool foreign;     /* all its recipients had a line, and none is ours */
	uint32_t unnamed; /* recipients without a line since qmgr took it up, or UNNAMED_UNKNOWN */
	bool noted, noting, stale; /* the note `pending`: on the disk, being written, outdated */
	enum intent_stage intent_stage;
	enum journal_outcome intent;
	const char *intent_by; /* words */
	unsigned intent_at;    /* listing before or during which it was answered */
	bool intent_noted, intent_noting;
	bool remembered; /* it was taken out: in account->left, and in its note */
	bool restored;   /* as such: what recipients it had is not known */
	bool left_noted; /* the note says so */
	enum journal_outcome left;
	const char *left_by; /* words */
	int64_t left_at;
	TAILQ_ENTRY(message) in_left;    /* while it is remembered */
	TAILQ_ENTRY(message) in_intents; /* while there is an intent */
	TAILQ_ENTRY(message) in_nameless;
	char queue_id[JOURNAL_ID_SIZE];
};
TAILQ_HEAD(messages, message);

#define TAKERS 4 /* servers of a domain of which it is known when they took mail */

struct taker {
	uint64_t server; /* by its address in the log */
	int64_t at;      /* when it took mail of the domain last; 0: none */
};

struct holding { /* a domain that messages here have recipients in */
	struct keyed_node node;
	struct recipients held;
	size_t references; /* recipients, settled ones too */
	struct taker taker[TAKERS];
	char name[];
};

struct departed { /* it left while a listing runs, which may still show it */
	struct keyed_node node;
	char queue_id[JOURNAL_ID_SIZE];
};

struct told { /* recipients of a message, which the log may say is thrown away */
	struct keyed_node node;
	TAILQ_ENTRY(told) in_told;
	int64_t at;
	size_t count, length, room;
	size_t again;    /* where the next stands, if they are told once more, in their order */
	char *addresses; /* each ends with a NUL */
	char queue_id[JOURNAL_ID_SIZE];
};

struct account {
	struct account_ports ports;
	struct keyed messages, holdings, departed, told_ids;
	TAILQ_HEAD(tolds, told) told;
	size_t told_count; /* recipients */
	bool told_later;   /* whose some of them are could not be told */
	struct words words;
	struct recipients urgent, lazy, written_rows;
	struct messages changed, written, intents, nameless, left, refused;
	size_t left_count;
	unsigned listing;  /* number of the last one that began */
	unsigned complete; /* number of the last one that was complete */
	bool listing_runs;
	int64_t refusals_from; /* what is older does not count: the clock was set */
	uint64_t held, unaccounted;
	char lost_domain[DOMAIN_SIZE], lost_id[JOURNAL_ID_SIZE];
};

/* --- account_parts.c
 * ------------------------------------------------------------------------------ */

struct message *message_find(const struct account *account, const char *queue_id);
struct message *message_make(struct account *account, const char *queue_id, int64_t at);
/* The one of this id, or a new one. */
struct message *message_get(struct account *account, const char *queue_id, int64_t at);
/*
 * Neither its id nor a first line told when it came; something else does now. No row has the guess:
 * what names the first recipient tells the time as well.
 */
void message_arrived(struct message *message, int64_t at);
void message_free(struct account *account, struct message *message);
void message_changed(struct account *account, struct message *message);
/* One of its recipients was refused: see account_find_refused. */
void message_refused(struct account *account, struct message *message);
void message_refused_unlink(struct account *account, struct message *message);
/* Is a recipient of ours held? */
bool message_open(const struct message *message);
/* A recipient was named, or will not be. */
void message_named_one(struct account *account, struct message *message);
/* It has left: what it still has to write is written, then it goes. */
void message_gone(struct account *account, struct message *message);
bool message_set_text(struct account *account, const char **place, const char *text);
bool message_set_part(struct account *account, const char **place, struct maillog_text text);
bool message_part_unknown(const char *part);
void message_intent_clear(struct account *account, struct message *message);
/* A listing shows a message that was to be taken out: it is asked for again, or judged anew. */
void message_intent_again(struct account *account, struct message *message);

struct recipient *recipient_find(const struct message *message, const char *text);
/* The same, or one that is spelled alike but for quotes, as postqueue(1) may do. */
struct recipient *recipient_find_listed(const struct message *message, const char *text);
/* `domain` in normal form; counts it as held. */
struct recipient *recipient_make(
    struct account *account, struct message *message, const char *text, const char *domain);
void recipient_waits(
    struct account *account, struct recipient *recipient, enum waiting waiting, int64_t now);
/* Its outcome; tells the watch, where it was held before. */
void recipient_settle(struct account *account, struct recipient *recipient,
    enum journal_outcome outcome, const char *by, int64_t at);
void recipient_tell_held(struct account *account, struct recipient *recipient);
void recipient_row(const struct recipient *recipient, struct journal_row *out);
void message_row(const struct message *message, struct journal_row *out);

/* Whose is it? `domain`: its normal form, where there is one. */
enum rows_answer account_whose(
    struct account *account, const char *address, size_t length, char domain[DOMAIN_SIZE]);

/* --- account_discard.c
 * ---------------------------------------------------------------------------- */

/* A line says that a message is thrown away. False: as account_event. */
bool discard_event(struct account *account, const struct maillog_event *event)
    __attribute__((warn_unused_result));
/* It is not: it came into the queue, or was refused. */
void discard_not(struct account *account, const char *queue_id);
void discard_free(struct account *account);

/* --- account_left.c
 * ------------------------------------------------------------------------------- */

/*
 * It was taken out of the queue, which no delivery that is under way notices: as message_gone, but
 * it is remembered for a while, with what its recipients' outcome is.
 */
void message_left(struct account *account, struct message *message, enum journal_outcome outcome,
    const char *by, int64_t at);
/* The same from its note. False: out of memory. */
bool message_left_restore(
    struct account *account, struct message *message, const struct journal_row *row);
void message_left_unlink(struct account *account, struct message *message);
/* Those whose time is over. */
void account_left_forget(struct account *account, int64_t now);
/* A message begins under this id: where that is used again, the old one is forgotten. NULL: out of
 * memory. */
struct message *message_anew(struct account *account, struct message *message, int64_t at);

#endif
