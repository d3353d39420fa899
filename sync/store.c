/*
 * store: see store.h.
 */
#include "sync/store.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const result_names[] = {
    [SNAPSHOT_OK] = "ok",
    [SNAPSHOT_NOT_FOUND] = "not-loaded",
    [SNAPSHOT_DAMAGED] = "damaged",
    [SNAPSHOT_UNUSABLE] = "unusable",
};

static void
set_problem(struct store *store, const char *text)
{
	snprintf(store->problem, sizeof store->problem, "%s", text);
}

void
store_close(struct store *store)
{
	if (store->writer == NULL)
		return;
	snapshot_writer_close(store->writer);
	store->writer = NULL;
	if (store->lock_fd >= 0)
		close(store->lock_fd);
}

void
store_set_aside(struct store *store, const char *why)
{
	store_close(store);
	store->status->usable = false;
	store->cure = store->broken = false;
	if (snapshot_set_aside(store->state_dir)) {
		store->lost = true;
		log_event(LOG_CRIT, "snapshot-set-aside", kv("why", why),
		    kv("effect", "mail is deferred until a full load is done"));
	} else if (errno != ENOENT) {
		log_event(LOG_CRIT, "snapshot-not-set-aside", kv("why", why),
		    kv("error", strerror(errno)));
	}
}

static bool
look_at_file(const struct store *store, const char *name, struct stat *out)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/snapshot/%s", store->state_dir, name);
	return stat(path, out) == 0;
}

/* It never shrinks by our doing: a smaller one stays to be found by store_check. */
void
store_note(struct store *store)
{
	struct stat now;

	if (look_at_file(store, "data.mdb", &now) && now.st_size >= store->seen.st_size)
		store->seen = now;
}

/* Reads the meta anew. */
static enum snapshot_result
look(struct store *store)
{
	enum snapshot_result result = snapshot_writer_meta(store->writer, &store->status->meta);

	store->status->usable = result == SNAPSHOT_OK;
	if (result == SNAPSHOT_OK)
		store->lost = false;
	else
		set_problem(store, snapshot_writer_problem(store->writer));
	store_note(store);
	return result;
}

void
store_look(struct store *store)
{
	store->broken = false;
	(void)look(store);
}

static void
log_verified(const struct store *store)
{
	const struct snapshot_census *census = &store->status->verified.census;
	const char *result = store->status->verified.result;
	bool fine = store->status->verified.census.damaged == 0;

	log_event(fine ? LOG_INFO : LOG_CRIT, "snapshot-verified", kv("result", result),
	    kv_number("domains", (long long)census->domains),
	    kv_number("retired", (long long)census->retired),
	    kv_number("customers", (long long)census->customers),
	    kv_number("relays", (long long)census->relays),
	    kv_number("damaged", (long long)census->damaged));
}

bool
store_verify(struct store *store)
{
	struct status *status = store->status;
	enum snapshot_result result = look(store);

	memset(&status->verified.census, 0, sizeof status->verified.census);
	if (result == SNAPSHOT_OK)
		result = snapshot_verify(store->writer, &status->verified.census);
	status->verified.at = time(NULL);
	status->verified.result = result_names[result];
	log_verified(store);
	if (result == SNAPSHOT_UNUSABLE || (result == SNAPSHOT_DAMAGED && !status->usable)) {
		set_problem(store, snapshot_writer_problem(store->writer));
		store_set_aside(store, store->problem);
		return false;
	}
	if (result == SNAPSHOT_DAMAGED)
		store->cure = true;
	status->domains = status->verified.census.domains - status->verified.census.retired;
	return true;
}

/*
 * lock.mdb by a descriptor of our own, which is closed only after LMDB's: whoever closes any
 * descriptor of a file loses all POSIX locks of the process on it (fcntl(2)), LMDB's as well. The
 * next reader would then take itself for the only user, and set back the number of the last
 * transaction: a commit that came in between would be lost.
 */
static void
lock_open(struct store *store)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/snapshot/lock.mdb", store->state_dir);
	store->lock_fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
}

/*
 * Its first bytes (LMDB's magic and format, which never change): where they are others, so are the
 * mutexes behind them, and to take one could last for ever.
 */
static bool
lock_head(const struct store *store, uint64_t *out)
{
	return pread(store->lock_fd, out, sizeof *out, 0) == (ssize_t)sizeof *out;
}

/* One attempt. *again: what was in the way has been set aside. */
static bool
open_once(struct store *store, bool *again)
{
	enum snapshot_result result;
	const char *problem = "";

	memset(&store->seen, 0, sizeof store->seen);
	result = snapshot_writer_open(store->state_dir, store->group, 0, &store->writer, &problem);
	if (result == SNAPSHOT_OK) {
		lock_open(store);
		if (fstat(store->lock_fd, &store->lock) != 0 ||
		    !lock_head(store, &store->lock_head))
			memset(&store->lock, 0, sizeof store->lock);
		*again = !store_verify(store);
		return !*again;
	}
	store->writer = NULL;
	set_problem(store, problem);
	if (result == SNAPSHOT_DAMAGED) {
		store_set_aside(store, store->problem);
		*again = true;
	}
	return false;
}

bool
store_open(struct store *store)
{
	char aside[PATH_MAX];
	bool again = false;

	if (store->writer != NULL)
		return true;
	if (!open_once(store, &again) && !(again && open_once(store, &again))) {
		store->status->usable = false;
		log_event(LOG_CRIT, "snapshot-not-opened", kv("error", store->problem));
		return false;
	}
	snprintf(aside, sizeof aside, "%s/snapshot.damaged", store->state_dir);
	store->lost = !store->status->usable && access(aside, F_OK) == 0;
	return true;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * A writer that went on with another lock.mdb than its readers would write over what they read; and
 * without one nobody can open the snapshot. Nothing is lost: data.mdb is copied at the next
 * opening.
 */
static bool
check_lock(struct store *store)
{
	struct stat now;
	uint64_t head;

	if (look_at_file(store, "lock.mdb", &now) && same_file(&now, &store->lock) &&
	    lock_head(store, &head) && head == store->lock_head)
		return true;
	log_event(LOG_ERR, "snapshot-lock-lost",
	    kv("error", "lock.mdb is missing, another file, or overwritten"),
	    kv("effect", "the snapshot is copied"));
	store_close(store);
	if (!snapshot_lock_file_discard(store->state_dir))
		log_event(LOG_ERR, "snapshot-lock-not-removed", kv("error", strerror(errno)));
	return false;
}

bool
store_check(struct store *store)
{
	struct stat now;

	if (!look_at_file(store, "data.mdb", &now) || !same_file(&now, &store->seen) ||
	    now.st_size < store->seen.st_size) {
		log_event(LOG_CRIT, "snapshot-broken",
		    kv("error", "data.mdb is missing, another file, or truncated"));
		store_close(store);
		return false;
	}
	if (!check_lock(store))
		return false;
	if (same_time(&now.st_mtim, &store->seen.st_mtim))
		return true;
	log_event(LOG_ERR, "snapshot-touched", kv("error", "somebody else wrote to data.mdb"));
	store->seen = now;
	return store_verify(store);
}

void
store_write_failed(struct store *store, const char *doing)
{
	set_problem(store, snapshot_writer_problem(store->writer));
	log_event(LOG_CRIT, "snapshot-not-written", kv("step", doing), kv("error", store->problem),
	    kv("effect", "the last good snapshot stays, and counts as stale"));
	store_note(store);
	/* A page that LMDB cannot use, met again after opening it anew, or by the load that was to
	 * cure damage: no load into this file can succeed. */
	if (snapshot_writer_found_damage(store->writer) && (store->broken || store->cure)) {
		store_set_aside(store, store->problem);
		return;
	}
	store->broken = snapshot_writer_found_damage(store->writer);
	/* Not for want of room: is it damaged? Opening it anew finds that out, and what an open one
	 * has taken from a damaged file is gone. */
	if (strstr(store->problem, strerror(ENOSPC)) == NULL &&
	    strstr(store->problem, strerror(EDQUOT)) == NULL)
		store_close(store);
}

static bool
begin(struct store *store, const char *doing)
{
	if (snapshot_write_begin(store->writer) == SNAPSHOT_OK)
		return true;
	store_write_failed(store, doing);
	return false;
}

static bool
commit(struct store *store, const struct snapshot_meta *meta, const char *doing)
{
	if (snapshot_commit(store->writer, meta) != SNAPSHOT_OK) {
		store_write_failed(store, doing);
		return false;
	}
	return look(store) == SNAPSHOT_OK;
}

bool
store_put_meta(struct store *store, const struct snapshot_meta *meta)
{
	return begin(store, "meta") && commit(store, meta, "meta");
}

bool
store_purge(struct store *store, int64_t now, int64_t lifetime)
{
	const struct snapshot_meta meta = store->status->meta;
	uint64_t purged = 0;

	if (!begin(store, "purge"))
		return false;
	if (snapshot_purge_retired(store->writer, now, lifetime, &purged) != SNAPSHOT_OK) {
		snapshot_abort(store->writer);
		store_write_failed(store, "purge");
		return false;
	}
	if (purged > 0)
		log_event(LOG_INFO, "retired-purged", kv_number("domains", (long long)purged));
	return commit(store, &meta, "purge");
}

bool
store_put_contact(struct store *store, int64_t boot_ms)
{
	if (snapshot_put_contact(store->writer, boot_ms) == SNAPSHOT_OK) {
		store->status->contact_ms = boot_ms;
		store_note(store);
		return true;
	}
	store_write_failed(store, "contact");
	return false;
}
