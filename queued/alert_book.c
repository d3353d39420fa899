/*
 * alert_book: see alert_book.h. In: what is raised and ended, and time. Out: calls of `tell`.
 * entry_set_stage() is the one place where an entry's stage changes.
 */
#include "queued/alert_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUARTER_MS 900000
#define TWO_DAYS_MS 172800000

/* `confirm_ms`: how long one of a former process is believed before it is raised anew. */
static const struct {
	const char *name;
	int64_t confirm_ms;
} kinds[ALERT_KINDS] = {
    [ALERT_OUTAGE] = {"outage", QUARTER_MS},
    [ALERT_RETENTION] = {"retention", QUARTER_MS},
    [ALERT_BREAKER] = {"breaker", QUARTER_MS},
    [ALERT_WRONG_HOST] = {"wrong-host", QUARTER_MS},
    [ALERT_QUOTA] = {"quota", QUARTER_MS},
    [ALERT_UNACCOUNTED] = {"unaccounted", QUARTER_MS},
    [ALERT_MX] = {"mx", TWO_DAYS_MS}, /* read once a day */
    [ALERT_SPOOL] = {"spool", QUARTER_MS},
    [ALERT_DAMAGED] = {"spool-damaged", QUARTER_MS},
    [ALERT_LOG] = {"log", QUARTER_MS},
};

enum stage {
	STAGE_RESTORED, /* told by a former process; not yet raised by this one */
	STAGE_QUIET,    /* raised, and not told yet: it flaps */
	STAGE_TOLD,
	STAGE_OVER, /* ended, and remembered for a while */
};

struct key {
	enum alert_kind kind;
	char domain[DOMAIN_SIZE];
};

struct entry {
	struct keyed_node node;
	struct heap_node due;
	enum stage stage;
	unsigned flaps;
	struct alert_standing standing;
	struct key key;
};

const char *
alert_kind_name(enum alert_kind kind)
{
	return (unsigned)kind < ALERT_KINDS ? kinds[kind].name : "?";
}

enum alert_kind
alert_kind_of(const char *name)
{
	for (enum alert_kind kind = 0; kind < ALERT_KINDS; kind++)
		if (strcmp(kinds[kind].name, name) == 0)
			return kind;
	return ALERT_KINDS;
}

/* --- entries ------------------------------------------------------------------------------------
 */

static void
key_make(struct key *key, enum alert_kind kind, const char *domain)
{
	memset(key, 0, sizeof(*key));
	key->kind = kind;
	(void)snprintf(key->domain, sizeof(key->domain), "%s", domain);
}

static struct entry *
entry_find(const struct alert_book *book, enum alert_kind kind, const char *domain)
{
	struct key key;

	key_make(&key, kind, domain);
	struct keyed_node *node = keyed_find(&book->keyed, &key, sizeof(key));
	return node != NULL ? KEYED_OWNER(node, struct entry, node) : NULL;
}

static void
entry_forget(struct alert_book *book, struct entry *entry)
{
	heap_remove(&book->due, &entry->due);
	keyed_remove(&book->keyed, &entry->node);
	free(entry);
}

static bool
stands(enum stage stage)
{
	return stage == STAGE_TOLD || stage == STAGE_RESTORED;
}

/* False: out of memory; the entry will not be looked at by itself. */
static bool
entry_set_stage(
    struct alert_book *book, struct entry *entry, enum stage stage, struct queued_time now)
{
	int64_t wait = 0;

	book->standing += stands(stage);
	book->standing -= stands(entry->stage);
	entry->stage = stage;
	switch (stage) {
	case STAGE_TOLD: heap_remove(&book->due, &entry->due); return true;
	case STAGE_RESTORED: wait = kinds[entry->key.kind].confirm_ms; break;
	case STAGE_OVER: wait = ALERT_AGAIN_MS; break;
	case STAGE_QUIET:
		wait = ALERT_QUIET_MS;
		for (unsigned i = 1; i < entry->flaps && wait < ALERT_QUIET_MAX_MS; i++)
			wait *= 2;
		break;
	}
	return heap_set(&book->due, &entry->due, now.ms + wait);
}

static struct entry *
entry_new(struct alert_book *book, const struct alert_standing *standing)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL)
		return NULL;
	entry->stage = STAGE_OVER; /* until it is set: counted nowhere */
	entry->standing = *standing;
	key_make(&entry->key, standing->kind, standing->domain);
	if (keyed_add(&book->keyed, &entry->node, &entry->key, sizeof(entry->key)))
		return entry;
	free(entry);
	return NULL;
}

static void
copy_text(char out[ALERT_TEXT_SIZE], const char *text)
{
	(void)snprintf(out, ALERT_TEXT_SIZE, "%s", text != NULL ? text : "");
	for (char *c = out; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* --- what happens ---------------------------------------------------------------------------- */

static void
raise_first(struct alert_book *book, const struct alert_standing *standing, struct queued_time now)
{
	struct entry *entry = entry_new(book, standing);

	if (entry != NULL)
		(void)entry_set_stage(book, entry, STAGE_TOLD, now);
	book->tell(book->context, ALERT_RAISED, standing);
}

static void
raise_again(struct alert_book *book, struct entry *entry, const struct alert_standing *standing,
    struct queued_time now)
{
	entry->flaps++;
	entry->standing = *standing;
	if (entry_set_stage(book, entry, STAGE_QUIET, now))
		return;
	(void)entry_set_stage(book, entry, STAGE_TOLD, now);
	book->tell(book->context, ALERT_RAISED, &entry->standing);
}

void
alert_book_raise(struct alert_book *book, const struct alert *alert, struct queued_time now)
{
	struct alert_standing standing = {
	    .kind = alert->kind, .level = alert->level, .since = now.wall};
	struct entry *entry;
	bool higher, news;

	if ((unsigned)alert->kind >= ALERT_KINDS)
		return;
	(void)snprintf(standing.domain, sizeof(standing.domain), "%s",
	    alert->domain != NULL ? alert->domain : "");
	copy_text(standing.text, alert->text);
	entry = entry_find(book, standing.kind, standing.domain);
	if (alert->reworded && (entry == NULL || entry->stage == STAGE_OVER))
		return;
	if (entry == NULL) {
		raise_first(book, &standing, now);
		return;
	}
	if (entry->stage == STAGE_OVER) {
		raise_again(book, entry, &standing, now);
		return;
	}
	higher = standing.level > entry->standing.level;
	news = higher || alert->more;
	standing.since = entry->standing.since;
	if (!higher)
		standing.level = entry->standing.level;
	entry->standing = standing;
	if (entry->stage == STAGE_RESTORED)
		(void)entry_set_stage(book, entry, STAGE_TOLD, now);
	if (news && entry->stage == STAGE_TOLD)
		book->tell(book->context, ALERT_ROSE, &entry->standing);
}

static void
entry_end(struct alert_book *book, struct entry *entry, struct queued_time now)
{
	const struct alert_standing standing = entry->standing;
	const bool told = stands(entry->stage);

	if (!entry_set_stage(book, entry, STAGE_OVER, now))
		entry_forget(book, entry);
	if (told)
		book->tell(book->context, ALERT_ENDED, &standing);
}

void
alert_book_end(
    struct alert_book *book, enum alert_kind kind, const char *domain, struct queued_time now)
{
	struct entry *entry = entry_find(book, kind, domain != NULL ? domain : "");

	if (entry != NULL && entry->stage != STAGE_OVER)
		entry_end(book, entry, now);
}

struct sweep {
	struct alert_book *book;
	enum alert_kind kind;
	alert_keep *keep;
	void *context;
	struct queued_time now;
};

static void
sweep_node(struct keyed_node *node, void *context)
{
	const struct sweep *sweep = context;
	struct entry *entry = KEYED_OWNER(node, struct entry, node);

	if (entry->key.kind == sweep->kind && entry->stage != STAGE_OVER &&
	    !sweep->keep(entry->key.domain, sweep->context))
		entry_end(sweep->book, entry, sweep->now);
}

void
alert_book_sweep(struct alert_book *book, enum alert_kind kind, alert_keep *keep, void *context,
    struct queued_time now)
{
	struct sweep sweep = {book, kind, keep, context, now};

	keyed_each(&book->keyed, sweep_node, &sweep);
}

bool
alert_book_restored(const struct alert_book *book, enum alert_kind kind, const char *domain)
{
	const struct entry *entry = entry_find(book, kind, domain);

	return entry != NULL && entry->stage == STAGE_RESTORED;
}

void
alert_book_restore(
    struct alert_book *book, const struct alert_standing *standing, struct queued_time now)
{
	struct entry *entry;

	if ((unsigned)standing->kind >= ALERT_KINDS ||
	    entry_find(book, standing->kind, standing->domain) != NULL)
		return;
	entry = entry_new(book, standing);
	if (entry != NULL)
		(void)entry_set_stage(book, entry, STAGE_RESTORED, now);
}

static void
entry_due(struct alert_book *book, struct entry *entry, struct queued_time now)
{
	switch (entry->stage) {
	case STAGE_QUIET:
		(void)entry_set_stage(book, entry, STAGE_TOLD, now);
		book->tell(book->context, ALERT_RAISED, &entry->standing);
		break;
	case STAGE_RESTORED: entry_end(book, entry, now); break;
	case STAGE_OVER: entry_forget(book, entry); break;
	case STAGE_TOLD: heap_remove(&book->due, &entry->due); break;
	}
}

int64_t
alert_book_tick(struct alert_book *book, struct queued_time now)
{
	struct heap_node *first;

	while ((first = heap_first(&book->due)) != NULL && first->key <= now.ms)
		entry_due(book, HEAP_OWNER(first, struct entry, due), now);
	return first != NULL ? first->key : NEVER_MS;
}

/* --- looking, ending -------------------------------------------------------------------------- */

struct visit {
	alert_visit *visit;
	void *context;
};

static void
visit_node(struct keyed_node *node, void *context)
{
	const struct visit *visit = context;
	const struct entry *entry = KEYED_OWNER(node, struct entry, node);

	if (stands(entry->stage))
		visit->visit(&entry->standing, visit->context);
}

void
alert_book_each(struct alert_book *book, alert_visit *visit, void *context)
{
	struct visit both = {visit, context};

	keyed_each(&book->keyed, visit_node, &both);
}

static void
free_node(struct keyed_node *node, void *context)
{
	entry_forget(context, KEYED_OWNER(node, struct entry, node));
}

void
alert_book_free(struct alert_book *book)
{
	keyed_each(&book->keyed, free_node, book);
	keyed_free(&book->keyed);
	heap_free(&book->due);
}
