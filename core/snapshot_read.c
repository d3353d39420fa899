/*
 * snapshot_read: the readers' side of the snapshot.
 *
 * In: STATE_DIR and keys. Out: records of one consistent moment, or the reason why there are none.
 * Nothing here writes to data.mdb; lock.mdb is written by LMDB (reader slots). The file is looked
 * at before its map is touched: whoever truncates it must find "unusable", not a SIGBUS, wherever
 * that can be told. "Not found" is only said where the row before the gap names the one behind it
 * as its neighbour (snapshot_link.h), so that a damaged page becomes "cannot tell", never
 * "unknown".
 */
#include "core/snapshot_link.h"
#include "core/snapshot_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CHECK_INTERVAL_MS 1000 /* how often the file itself is looked at */
#define RETRY_INTERVAL_MS 200  /* how often a snapshot that failed is tried again */
#define PAGES_AT_LEAST 2       /* LMDB's two meta pages */
#define FILE_AT_LEAST 8192     /* bytes: they, and no page is smaller than 4096 */
#define CONTACT_AHEAD_MS 5000  /* a contact further in the future is another clock's */

struct snapshot {
	char *directory; /* STATE_DIR/snapshot */
	char *data_path;
	char *lock_path;
	char *self; /* name of this relay's row */
	char boot_id[37];
	char problem[SNAPSHOT_PROBLEM_SIZE];

	MDB_env *env; /* NULL: not open */
	MDB_txn *txn; /* reset between snapshot_end and snapshot_begin */
	struct snapshot_databases databases;
	MDB_cursor *cursors[SNAPSHOT_SETS][SNAPSHOT_KINDS]; /* NULL: not opened yet */
	uint64_t begun;                                     /* counts transactions */
	size_t page_size;
	dev_t device, lock_device;
	ino_t inode, lock_inode; /* 0: nobody looked */
	int64_t checked_ms;      /* when the file was last looked at */
	int64_t failed_ms;
	bool failed;     /* failed_ms counts */
	bool active;     /* between begin and end */
	bool makes_lock; /* lock.mdb may be missing: only the writer's own look at its file */
	bool broken;     /* LMDB met a broken page: open anew next time */

	size_t state_txn; /* transaction that `state` and `contact` were read in */
	struct snapshot_state state;
	struct snapshot_contact contact;
	bool contact_known;

	struct { /* the customer asked for last: many domains of one transaction share him */
		uint64_t begun; /* of that transaction; 0: none was asked for */
		char name[CUSTOMER_SIZE];
		struct customer_record record;
	} customer;

	struct fleet *fleet;
	uint64_t fleet_serial;
	struct ip *own_addresses;
	size_t own_address_count;
};

/* --- life ---------------------------------------------------------------------- */

static char *
join(const char *directory, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

struct snapshot *
snapshot_new(const char *state_dir, const char *self_relay)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return NULL;
	snapshot->directory = join(state_dir, SNAPSHOT_DIRECTORY);
	snapshot->data_path = join(state_dir, SNAPSHOT_DATA);
	snapshot->lock_path = join(state_dir, SNAPSHOT_LOCK);
	snapshot->self = strdup(self_relay);
	if (snapshot->directory == NULL || snapshot->data_path == NULL ||
	    snapshot->lock_path == NULL || snapshot->self == NULL) {
		snapshot_free(snapshot);
		return NULL;
	}
	snapshot_boot_id(snapshot->boot_id);
	return snapshot;
}

static void
close_cursors(struct snapshot *snapshot)
{
	for (size_t set = 0; set < SNAPSHOT_SETS; set++)
		for (size_t kind = 0; kind < SNAPSHOT_KINDS; kind++) {
			if (snapshot->cursors[set][kind] != NULL)
				mdb_cursor_close(snapshot->cursors[set][kind]);
			snapshot->cursors[set][kind] = NULL;
		}
}

static void
close_environment(struct snapshot *snapshot)
{
	close_cursors(snapshot);
	if (snapshot->txn != NULL)
		mdb_txn_abort(snapshot->txn);
	if (snapshot->env != NULL)
		mdb_env_close(snapshot->env);
	snapshot->txn = NULL;
	snapshot->env = NULL;
	snapshot->active = false;
	snapshot->broken = false;
	snapshot->state_txn = 0;
	fleet_free(snapshot->fleet);
	snapshot->fleet = NULL;
}

void
snapshot_free(struct snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	close_environment(snapshot);
	free(snapshot->directory);
	free(snapshot->data_path);
	free(snapshot->lock_path);
	free(snapshot->self);
	free(snapshot->own_addresses);
	free(snapshot);
}

bool
snapshot_own_address(struct snapshot *snapshot, const struct ip *address)
{
	struct ip *grown =
	    reallocarray(snapshot->own_addresses, snapshot->own_address_count + 1, sizeof(*grown));

	if (grown == NULL)
		return false;
	grown[snapshot->own_address_count++] = *address;
	snapshot->own_addresses = grown;
	return true;
}

/* Notes the problem in words and returns `result`. */
static enum snapshot_result __attribute__((format(printf, 3, 4)))
fail(struct snapshot *snapshot, enum snapshot_result result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(snapshot->problem, sizeof(snapshot->problem), format, arguments);
	va_end(arguments);
	return result;
}

static enum snapshot_result
fail_lmdb(struct snapshot *snapshot, int code)
{
	return fail(snapshot, snapshot_lmdb_result(code), "%s: %s", snapshot->data_path,
	    mdb_strerror(code));
}

static enum snapshot_result
fail_truncated(struct snapshot *snapshot)
{
	return fail(snapshot, SNAPSHOT_DAMAGED, "%s is truncated", snapshot->data_path);
}

static enum snapshot_result
fail_not_loaded(struct snapshot *snapshot)
{
	return fail(
	    snapshot, SNAPSHOT_NOT_FOUND, "%s: no load has finished yet", snapshot->data_path);
}

const char *
snapshot_problem(const struct snapshot *snapshot)
{
	return snapshot->problem;
}

/* --- opening --------------------------------------------------------------------- */

static bool
stat_opened(struct snapshot *snapshot, struct stat *out)
{
	int descriptor;

	return mdb_env_get_fd(snapshot->env, &descriptor) == 0 && fstat(descriptor, out) == 0;
}

/*
 * Has the file every page that its newest meta page counts? A page that the writer took and gave
 * back within one transaction may be missing at the very end for the instant until the writer
 * makes up for it: hence the second and third look.
 */
static bool
file_is_whole(struct snapshot *snapshot)
{
	struct stat status;

	for (unsigned look = 0; look < 3; look++) {
		if (!stat_opened(snapshot, &status) ||
		    (uint64_t)status.st_size < PAGES_AT_LEAST * snapshot->page_size)
			return false;
		if ((uint64_t)status.st_size >=
		    snapshot_bytes_needed(snapshot->env, snapshot->page_size))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

/*
 * Is the lock.mdb that is open still the one that others would open? Where there is none, nobody
 * else can read or write, and what is open may go on.
 */
static bool
lock_is_current(const struct snapshot *snapshot)
{
	struct stat status;

	return snapshot->lock_inode == 0 || stat(snapshot->lock_path, &status) != 0 ||
	       (status.st_ino == snapshot->lock_inode && status.st_dev == snapshot->lock_device);
}

/* Is what is open still what the path names, and whole? */
static bool
file_is_current(struct snapshot *snapshot)
{
	struct stat status;

	return lock_is_current(snapshot) && stat(snapshot->data_path, &status) == 0 &&
	       status.st_ino == snapshot->inode && status.st_dev == snapshot->device &&
	       file_is_whole(snapshot);
}

/* Looks at the files before LMDB does: a reader must neither create nor map what is not right. */
static enum snapshot_result
look_at_files(struct snapshot *snapshot)
{
	struct stat status;

	if (stat(snapshot->data_path, &status) != 0) {
		if (errno == ENOENT)
			return fail(snapshot, SNAPSHOT_NOT_FOUND, "there is no snapshot yet (%s)",
			    snapshot->data_path);
		return fail(
		    snapshot, SNAPSHOT_UNUSABLE, "%s: %s", snapshot->data_path, strerror(errno));
	}
	if (!S_ISREG(status.st_mode))
		return fail(snapshot, SNAPSHOT_DAMAGED, "%s is no plain file", snapshot->data_path);
	if (status.st_size < FILE_AT_LEAST)
		return fail_truncated(snapshot);
	snapshot->lock_inode = 0;
	if (snapshot->makes_lock)
		return SNAPSHOT_OK;
	if (stat(snapshot->lock_path, &status) != 0)
		return fail(
		    snapshot, SNAPSHOT_UNUSABLE, "%s: %s", snapshot->lock_path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(
		    snapshot, SNAPSHOT_UNUSABLE, "%s is no plain file", snapshot->lock_path);
	snapshot->lock_inode = status.st_ino;
	snapshot->lock_device = status.st_dev;
	return SNAPSHOT_OK;
}

/* Opens the databases and leaves a reset read transaction in snapshot->txn. */
static int
prepare_transaction(struct snapshot *snapshot)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(snapshot->env, NULL, MDB_RDONLY, &txn);

	if (code == MDB_READERS_FULL) { /* the slots of readers that died can be had back */
		int dead;

		if (mdb_reader_check(snapshot->env, &dead) == 0 && dead > 0)
			code = mdb_txn_begin(snapshot->env, NULL, MDB_RDONLY, &txn);
	}
	if (code != 0)
		return code;
	code = snapshot_databases_open(txn, false, &snapshot->databases);
	if (code != 0) {
		mdb_txn_abort(txn);
		return code;
	}
	code = mdb_txn_commit(txn); /* keeps the handles */
	if (code == 0)
		code = mdb_txn_begin(snapshot->env, NULL, MDB_RDONLY, &snapshot->txn);
	if (code == 0)
		mdb_txn_reset(snapshot->txn);
	return code;
}

static int
create_environment(struct snapshot *snapshot)
{
	int code = mdb_env_create(&snapshot->env);

	if (code != 0) {
		snapshot->env = NULL;
		return code;
	}
	code = mdb_env_set_maxdbs(snapshot->env, 1 + SNAPSHOT_SETS * SNAPSHOT_KINDS);
	if (code == 0)
		code = mdb_env_set_maxreaders(snapshot->env, SNAPSHOT_READERS);
	if (code == 0)
		code =
		    mdb_env_open(snapshot->env, snapshot->directory, MDB_RDONLY | MDB_NOTLS, 0640);
	return code;
}

static enum snapshot_result
open_environment(struct snapshot *snapshot)
{
	struct stat status;
	MDB_stat about;

	const enum snapshot_result looked = look_at_files(snapshot);
	if (looked != SNAPSHOT_OK)
		return looked;
	int code = create_environment(snapshot);
	if (code != 0)
		return fail_lmdb(snapshot, code);
	if (!stat_opened(snapshot, &status) || (uint64_t)status.st_size < FILE_AT_LEAST ||
	    mdb_env_stat(snapshot->env, &about) != 0)
		return fail_truncated(snapshot);
	snapshot->inode = status.st_ino;
	snapshot->device = status.st_dev;
	snapshot->page_size = about.ms_psize;
	if (!file_is_whole(snapshot))
		return fail_truncated(snapshot);
	code = prepare_transaction(snapshot);
	if (code == MDB_NOTFOUND) /* of databases that are there, none goes missing */
		return about.ms_entries == 0 ? fail_not_loaded(snapshot)
					     : fail_lmdb(snapshot, MDB_CORRUPTED);
	return code == 0 ? SNAPSHOT_OK : fail_lmdb(snapshot, code);
}

/* --- transactions ------------------------------------------------------------------ */

/* No "state" is found. Before the first load there is none: at most "contact". */
static enum snapshot_result
no_state(struct snapshot *snapshot)
{
	struct snapshot_contact contact;
	MDB_stat about;
	const MDB_dbi meta = snapshot->databases.meta;
	const size_t expected = snapshot_contact_get(snapshot->txn, meta, &contact) ? 1 : 0;

	if (mdb_stat(snapshot->txn, meta, &about) == 0 && about.ms_entries == expected)
		return fail_not_loaded(snapshot);
	return fail_lmdb(snapshot, MDB_CORRUPTED);
}

/* Reads "state" and "contact", once for each new state of the file. */
static enum snapshot_result
read_state(struct snapshot *snapshot)
{
	const size_t id = mdb_txn_id(snapshot->txn);
	int code;

	if (snapshot->state_txn == id && id != 0)
		return SNAPSHOT_OK;
	snapshot->state_txn = 0;
	switch (
	    snapshot_state_get(snapshot->txn, snapshot->databases.meta, &snapshot->state, &code)) {
	case SNAPSHOT_OK: break;
	case SNAPSHOT_NOT_FOUND: return no_state(snapshot);
	case SNAPSHOT_DAMAGED:
		return fail(snapshot, SNAPSHOT_DAMAGED, "%s: its state record is damaged",
		    snapshot->data_path);
	case SNAPSHOT_UNUSABLE:
		return code != 0 ? fail_lmdb(snapshot, code)
				 : fail(snapshot, SNAPSHOT_DAMAGED, "%s: written in another format",
				       snapshot->data_path);
	}
	if (!snapshot_entries_agree(snapshot->txn, &snapshot->databases, &snapshot->state))
		return fail(snapshot, SNAPSHOT_DAMAGED, "%s: rows are missing from its trees",
		    snapshot->data_path);
	snapshot->contact_known =
	    snapshot_contact_get(snapshot->txn, snapshot->databases.meta, &snapshot->contact);
	snapshot->state_txn = id;
	return SNAPSHOT_OK;
}

/* Begins a read transaction, opening the environment anew if that is what it takes. */
static enum snapshot_result
begin_transaction(struct snapshot *snapshot, int64_t boot_ms)
{
	int code = MDB_PANIC;

	for (unsigned attempt = 0; attempt < 2; attempt++) {
		if (snapshot->env == NULL) {
			const enum snapshot_result opened = open_environment(snapshot);

			if (opened != SNAPSHOT_OK)
				return opened;
			snapshot->checked_ms = boot_ms;
		}
		code = mdb_txn_renew(snapshot->txn);
		if (code == 0)
			return read_state(snapshot);
		close_environment(snapshot); /* such as MDB_MAP_RESIZED: a larger map */
	}
	return fail_lmdb(snapshot, code);
}

static bool
due(int64_t last_ms, int64_t interval_ms, int64_t now_ms)
{
	return now_ms < last_ms || now_ms - last_ms >= interval_ms;
}

/* snapshot_begin, but with the kind of failure. */
static enum snapshot_result
begin(struct snapshot *snapshot, int64_t boot_ms)
{
	if (snapshot->env != NULL &&
	    (snapshot->broken || due(snapshot->checked_ms, CHECK_INTERVAL_MS, boot_ms))) {
		if (snapshot->broken || !file_is_current(snapshot))
			close_environment(snapshot);
		snapshot->checked_ms = boot_ms;
	}
	const enum snapshot_result result = begin_transaction(snapshot, boot_ms);
	if (result != SNAPSHOT_OK)
		close_environment(snapshot);
	snapshot->active = result == SNAPSHOT_OK;
	snapshot->begun++;
	return result;
}

enum snapshot_result
snapshot_begin(struct snapshot *snapshot, int64_t boot_ms)
{
	snapshot_end(snapshot);
	if (snapshot->failed && !due(snapshot->failed_ms, RETRY_INTERVAL_MS, boot_ms))
		return SNAPSHOT_UNUSABLE;
	snapshot->failed = begin(snapshot, boot_ms) != SNAPSHOT_OK;
	snapshot->failed_ms = boot_ms;
	return snapshot->failed ? SNAPSHOT_UNUSABLE : SNAPSHOT_OK;
}

void
snapshot_end(struct snapshot *snapshot)
{
	if (!snapshot->active)
		return;
	mdb_txn_reset(snapshot->txn);
	snapshot->active = false;
}

const struct snapshot_meta *
snapshot_meta(const struct snapshot *snapshot)
{
	return &snapshot->state.meta;
}

int64_t
snapshot_contact_age(struct snapshot *snapshot, int64_t boot_ms)
{
	const struct snapshot_contact *contact = &snapshot->contact;

	if (!snapshot->contact_known || snapshot->boot_id[0] == '\0' ||
	    strcmp(contact->boot_id, snapshot->boot_id) != 0 ||
	    contact->boot_ms > boot_ms + CONTACT_AHEAD_MS)
		return -1;
	return contact->boot_ms > boot_ms ? 0 : boot_ms - contact->boot_ms;
}

/* --- rows ---------------------------------------------------------------------------- */

union record {
	struct domain_record domain;
	struct customer_record customer;
	struct relay_record relay;
};

/* Decodes what is stored under `key`, behind its link. `out` is a record of this kind. */
static bool
decode(enum snapshot_kind kind, const MDB_val *key, const MDB_val *stored, void *out)
{
	MDB_val value;
	uint32_t link;

	if (!snapshot_link_take(stored, &link, &value))
		return false;
	switch (kind) {
	case SNAPSHOT_DOMAIN:
		return snapshot_value_get_domain(
		    key->mv_data, key->mv_size, value.mv_data, value.mv_size, out);
	case SNAPSHOT_CUSTOMER:
		return snapshot_value_get_customer(
		    key->mv_data, key->mv_size, value.mv_data, value.mv_size, out);
	case SNAPSHOT_RELAY:
		return snapshot_value_get_relay(
		    key->mv_data, key->mv_size, value.mv_data, value.mv_size, out);
	case SNAPSHOT_KINDS: break;
	}
	return false;
}

static enum snapshot_result
lmdb_failed(struct snapshot *snapshot, int code)
{
	snapshot->broken = true;
	fail_lmdb(snapshot, code);
	return SNAPSHOT_UNUSABLE;
}

static MDB_dbi
rows_of(const struct snapshot *snapshot, enum snapshot_kind kind)
{
	return snapshot->databases.rows[snapshot->state.active][kind];
}

/* Does what is stored under `key` name `next` as its neighbour? */
static bool
links(enum snapshot_kind kind, const MDB_val *key, const MDB_val *stored, const MDB_val *next)
{
	MDB_val value;
	uint32_t link;

	return snapshot_link_take(stored, &link, &value) && link == snapshot_link(kind, key, next);
}

/*
 * `cursor` was sent to the first key not before `name`, and did not find `name` itself but `next`
 * (NULL: the end). NOT_FOUND only if the row before the gap names `next` as its neighbour.
 */
static enum snapshot_result
prove_absent(struct snapshot *snapshot, enum snapshot_kind kind, MDB_cursor *cursor,
    const MDB_val *name, const MDB_val *next)
{
	MDB_val before, stored;
	bool proven;

	const int code =
	    mdb_cursor_get(cursor, &before, &stored, next != NULL ? MDB_PREV : MDB_LAST);
	if (code != 0 && code != MDB_NOTFOUND)
		return lmdb_failed(snapshot, code);
	if (code == MDB_NOTFOUND)
		proven = snapshot->state.heads[kind] == snapshot_link(kind, NULL, next);
	else
		proven =
		    snapshot_key_compare(&before, name) < 0 && links(kind, &before, &stored, next);
	if (next != NULL && snapshot_key_compare(next, name) <= 0)
		proven = false;
	return proven ? SNAPSHOT_NOT_FOUND : SNAPSHOT_DAMAGED;
}

/*
 * A cursor of the active set for this transaction, that stands nowhere: from where another search
 * left it, LMDB would first look whether its page is the right one, which it seldom is.
 */
static int
cursor_of(struct snapshot *snapshot, enum snapshot_kind kind, MDB_cursor **out)
{
	MDB_cursor **cursor = &snapshot->cursors[snapshot->state.active][kind];
	int code;

	if (*cursor == NULL)
		code = mdb_cursor_open(snapshot->txn, rows_of(snapshot, kind), cursor);
	else
		code = mdb_cursor_renew(snapshot->txn, *cursor);
	*out = *cursor;
	return code;
}

/* `out` is a record of this kind, and undefined unless the result is OK. */
static enum snapshot_result
find(struct snapshot *snapshot, enum snapshot_kind kind, const char *name, void *out)
{
	MDB_val wanted = snapshot_key(name), key = wanted, value;
	MDB_cursor *cursor;

	if (wanted.mv_size == 0 || wanted.mv_size > SNAPSHOT_KEY_MAX)
		return SNAPSHOT_NOT_FOUND;
	int code = cursor_of(snapshot, kind, &cursor);
	if (code == 0)
		code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (code != 0 && code != MDB_NOTFOUND)
		return lmdb_failed(snapshot, code);
	if (code == 0 && snapshot_key_compare(&key, &wanted) == 0)
		return decode(kind, &key, &value, out) ? SNAPSHOT_OK : SNAPSHOT_DAMAGED;
	return prove_absent(snapshot, kind, cursor, &wanted, code == 0 ? &key : NULL);
}

enum snapshot_result
snapshot_domain(struct snapshot *snapshot, const char *name, struct domain_record *out)
{
	return find(snapshot, SNAPSHOT_DOMAIN, name, out);
}

enum snapshot_result
snapshot_customer(struct snapshot *snapshot, const char *name, struct customer_record *out)
{
	const size_t size = strlen(name) + 1;

	if (snapshot->customer.begun == snapshot->begun &&
	    strcmp(snapshot->customer.name, name) == 0) {
		*out = snapshot->customer.record;
		return SNAPSHOT_OK;
	}
	const enum snapshot_result result = find(snapshot, SNAPSHOT_CUSTOMER, name, out);
	if (result == SNAPSHOT_OK && size <= sizeof(snapshot->customer.name)) {
		memcpy(snapshot->customer.name, name, size);
		snapshot->customer.record = *out;
		snapshot->customer.begun = snapshot->begun;
	}
	return result;
}

/* Does this row of a parent speak for its subdomains? A withdrawn permission speaks as retired. */
static bool
speaks_for_subdomains(struct domain_record *record)
{
	if (!record->include_subdomains && record->subdomains_retired_at != 0) {
		record->include_subdomains = true;
		if (record->retired_at == 0)
			record->retired_at = record->subdomains_retired_at;
	}
	return record->include_subdomains;
}

enum snapshot_result
snapshot_domain_for(
    struct snapshot *snapshot, const char *name, struct domain_record *out, const char **owner)
{
	struct domain_record retired;
	bool have_retired = false;

	/* The nearest row that speaks wins; a retired one only if no live one speaks further up. */
	for (const char *at = name; at != NULL; at = domain_parent(at)) {
		const enum snapshot_result result = find(snapshot, SNAPSHOT_DOMAIN, at, out);

		if (result == SNAPSHOT_NOT_FOUND)
			continue;
		if (result != SNAPSHOT_OK)
			return result;
		if (at != name && !speaks_for_subdomains(out))
			continue;
		if (out->retired_at != 0 && have_retired)
			continue;
		if (owner != NULL)
			*owner = at;
		if (out->retired_at == 0)
			return SNAPSHOT_OK;
		retired = *out;
		have_retired = true;
	}
	if (!have_retired)
		return SNAPSHOT_NOT_FOUND;
	*out = retired;
	return SNAPSHOT_OK;
}

/* --- walks ----------------------------------------------------------------------------- */

struct walk {
	bool (*visit)(const char *key, const union record *record, void *context);
	void *context;
	uint64_t rows, damaged;
};

/* The key that was seen last, and the link that it left. */
struct trail {
	char bytes[SNAPSHOT_KEY_MAX];
	MDB_val key; /* points to bytes; empty: the head */
	uint32_t link;
};

/* Does `key` (NULL: the end) follow what was seen last, as that said? */
static bool
follows(enum snapshot_kind kind, const struct trail *trail, const MDB_val *key)
{
	const MDB_val *from = trail->key.mv_size != 0 ? &trail->key : NULL;

	return (key == NULL || snapshot_key_compare(&trail->key, key) < 0) &&
	       trail->link == snapshot_link(kind, from, key);
}

static void
trail_on(struct trail *trail, const MDB_val *key, const MDB_val *stored)
{
	MDB_val value;

	memcpy(trail->bytes, key->mv_data, key->mv_size);
	trail->key.mv_size = key->mv_size;
	if (!snapshot_link_take(stored, &trail->link, &value))
		trail->link = 0;
}

/* One row. False: the walk ends here. */
static bool
walk_row(enum snapshot_kind kind, struct walk *walk, struct trail *trail, const MDB_val *key,
    const MDB_val *stored)
{
	char name[SNAPSHOT_KEY_MAX + 1];
	union record record;

	walk->rows++;
	if (key->mv_size == 0 || key->mv_size > SNAPSHOT_KEY_MAX ||
	    snapshot_key_compare(&trail->key, key) >= 0) {
		walk->damaged++; /* out of order: perhaps a loop */
		return false;
	}
	const bool linked = follows(kind, trail, key);
	const bool sound = decode(kind, key, stored, &record);
	walk->damaged += !linked || !sound;
	trail_on(trail, key, stored);
	memcpy(name, key->mv_data, key->mv_size);
	name[key->mv_size] = '\0';
	return !sound || walk->visit == NULL || walk->visit(name, &record, walk->context);
}

/*
 * Visits every sound row of one tree in order. DAMAGED: some were not sound, missing, or out of
 * order (a tree with a loop in it ends there).
 */
static enum snapshot_result
walk_rows(struct snapshot *snapshot, enum snapshot_kind kind, struct walk *walk)
{
	struct trail trail = {.link = snapshot->state.heads[kind]};
	MDB_val key, stored;
	MDB_cursor *cursor;
	bool more = true;
	int code = mdb_cursor_open(snapshot->txn, rows_of(snapshot, kind), &cursor);

	if (code != 0)
		return lmdb_failed(snapshot, code);
	trail.key.mv_data = trail.bytes;
	while (more && (code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) == 0)
		more = walk_row(kind, walk, &trail, &key, &stored);
	mdb_cursor_close(cursor);
	if (code != 0 && code != MDB_NOTFOUND)
		return lmdb_failed(snapshot, code);
	if (code == MDB_NOTFOUND && !follows(kind, &trail, NULL))
		walk->damaged++;
	return walk->damaged > 0 ? SNAPSHOT_DAMAGED : SNAPSHOT_OK;
}

struct domain_visitor {
	bool (*visit)(const char *name, const struct domain_record *record, void *context);
	void *context;
};

static bool
visit_domain(const char *key, const union record *record, void *context)
{
	const struct domain_visitor *visitor = context;

	return visitor->visit(key, &record->domain, visitor->context);
}

enum snapshot_result
snapshot_each_domain(struct snapshot *snapshot,
    bool (*visit)(const char *name, const struct domain_record *record, void *context),
    void *context)
{
	struct domain_visitor visitor = {.visit = visit, .context = context};
	struct walk walk = {.visit = visit_domain, .context = &visitor};

	return walk_rows(snapshot, SNAPSHOT_DOMAIN, &walk);
}

/* --- the fleet --------------------------------------------------------------------------- */

struct fleet_build {
	struct fleet *fleet;
	bool failed;
};

static bool
visit_relay(const char *key, const union record *record, void *context)
{
	struct fleet_build *build = context;

	build->failed = !fleet_add(build->fleet, key, record->relay.names, record->relay.addresses);
	return !build->failed;
}

static struct fleet *
build_fleet(struct snapshot *snapshot)
{
	struct fleet_build build = {.fleet = fleet_new(snapshot->self)};
	struct walk walk = {.visit = visit_relay, .context = &build};

	if (build.fleet == NULL)
		return NULL;
	for (size_t i = 0; i < snapshot->own_address_count; i++)
		if (!fleet_add_own_address(build.fleet, &snapshot->own_addresses[i]))
			build.failed = true;
	if (!build.failed && walk_rows(snapshot, SNAPSHOT_RELAY, &walk) == SNAPSHOT_OK &&
	    !build.failed && walk.rows == snapshot->state.entries[SNAPSHOT_RELAY])
		return build.fleet;
	fleet_free(build.fleet);
	return NULL;
}

const struct fleet *
snapshot_fleet(struct snapshot *snapshot)
{
	const uint64_t serial = snapshot->state.meta.fleet_serial;

	if (snapshot->fleet != NULL && snapshot->fleet_serial == serial)
		return snapshot->fleet;
	fleet_free(snapshot->fleet);
	snapshot->fleet = build_fleet(snapshot);
	snapshot->fleet_serial = serial;
	return snapshot->fleet;
}

/* --- the whole file ------------------------------------------------------------------------ */

static bool
count_retired(const char *key, const union record *record, void *context)
{
	uint64_t *retired = context;

	(void)key;
	*retired += record->domain.retired_at != 0;
	return true;
}

static enum snapshot_result
check_kind(struct snapshot *snapshot, enum snapshot_kind kind, struct walk *walk, uint64_t *rows,
    uint64_t *damaged)
{
	const enum snapshot_result result = walk_rows(snapshot, kind, walk);

	*rows = walk->rows;
	*damaged += walk->damaged;
	if (result == SNAPSHOT_OK && walk->rows != snapshot->state.entries[kind]) {
		++*damaged;
		return SNAPSHOT_DAMAGED;
	}
	return result;
}

static size_t
word_at(const MDB_val *value, size_t index)
{
	size_t word;

	memcpy(&word, (const char *)value->mv_data + index * sizeof(word), sizeof(word));
	return word;
}

/* One record of free pages: a count, then that many page numbers of this file in falling order. */
static bool
free_pages_sound(const MDB_val *key, const MDB_val *value, size_t last_page)
{
	const size_t words = value->mv_size / sizeof(size_t);

	if (key->mv_size != sizeof(size_t) || words == 0)
		return false;
	const size_t count = word_at(value, 0);
	if (count > words - 1)
		return false;
	for (size_t i = 1; i <= count; i++) {
		const size_t page = word_at(value, i);

		if (page < PAGES_AT_LEAST || page > last_page ||
		    (i > 1 && page >= word_at(value, i - 1)))
			return false;
	}
	return true;
}

/* LMDB's list of free pages, its database 0: a writer trusts it blindly. */
static enum snapshot_result
check_free_list(struct snapshot *snapshot)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_envinfo info;
	int code = mdb_env_info(snapshot->env, &info);

	if (code == 0)
		code = mdb_cursor_open(snapshot->txn, 0, &cursor);
	if (code != 0)
		return lmdb_failed(snapshot, code);
	while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (!free_pages_sound(&key, &value, info.me_last_pgno)) {
			code = MDB_CORRUPTED;
			break;
		}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? SNAPSHOT_OK : lmdb_failed(snapshot, code);
}

static enum snapshot_result
worse(enum snapshot_result a, enum snapshot_result b)
{
	return a > b ? a : b;
}

/* Walks all that readers and the writer rely on. */
static enum snapshot_result
check_trees(struct snapshot *snapshot, struct snapshot_census *census)
{
	struct walk domains = {.visit = count_retired, .context = &census->retired};
	struct walk customers = {0}, relays = {0};
	enum snapshot_result result = SNAPSHOT_OK;

	result = worse(result,
	    check_kind(snapshot, SNAPSHOT_DOMAIN, &domains, &census->domains, &census->damaged));
	result = worse(result, check_kind(snapshot, SNAPSHOT_CUSTOMER, &customers,
				   &census->customers, &census->damaged));
	return worse(result,
	    check_kind(snapshot, SNAPSHOT_RELAY, &relays, &census->relays, &census->damaged));
}

void
snapshot_inspect(const char *state_dir, bool every_row, struct snapshot_inspection *out)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "");

	*out = (struct snapshot_inspection){.opened = SNAPSHOT_UNUSABLE};
	if (snapshot == NULL) {
		snprintf(out->problem, sizeof(out->problem), "out of memory");
		return;
	}
	snapshot->makes_lock = true;
	out->opened = begin(snapshot, snapshot_clock_boot_ms());
	if (out->opened == SNAPSHOT_OK && check_free_list(snapshot) != SNAPSHOT_OK)
		out->opened = SNAPSHOT_DAMAGED; /* readers may go on; no writer may */
	if (out->opened == SNAPSHOT_OK && every_row)
		out->rows = check_trees(snapshot, &out->census);
	memcpy(out->problem, snapshot->problem, sizeof(out->problem));
	snapshot_free(snapshot);
}

/* --- in pieces ------------------------------------------------------------------------------- */

struct relay_visitor {
	bool (*visit)(const char *name, const struct relay_record *record, void *context);
	void *context;
};

static bool
visit_relay_for(const char *key, const union record *record, void *context)
{
	const struct relay_visitor *visitor = context;

	return visitor->visit(key, &record->relay, visitor->context);
}

enum snapshot_result
snapshot_each_relay(struct snapshot *snapshot,
    bool (*visit)(const char *name, const struct relay_record *record, void *context),
    void *context)
{
	struct relay_visitor visitor = {.visit = visit, .context = context};
	struct walk walk = {.visit = visit_relay_for, .context = &visitor};

	return walk_rows(snapshot, SNAPSHOT_RELAY, &walk);
}

/* Visits one row behind `after`, if it is sound. False: the visitor has enough. */
static bool
visit_behind(const char *after, const MDB_val *key, const MDB_val *stored,
    bool (*visit)(const char *name, const struct domain_record *record, void *context),
    void *context)
{
	char name[SNAPSHOT_KEY_MAX + 1];
	const MDB_val last = snapshot_key(after);
	union record record;

	if (key->mv_size == 0 || key->mv_size > SNAPSHOT_KEY_MAX ||
	    snapshot_key_compare(&last, key) >= 0 || !decode(SNAPSHOT_DOMAIN, key, stored, &record))
		return true;
	memcpy(name, key->mv_data, key->mv_size);
	name[key->mv_size] = '\0';
	return visit(name, &record.domain, context);
}

enum snapshot_result
snapshot_domains_after(struct snapshot *snapshot, const char *after, size_t most,
    bool (*visit)(const char *name, const struct domain_record *record, void *context),
    void *context, bool *end)
{
	MDB_val key = snapshot_key(after), stored;
	MDB_cursor *cursor;
	bool more = true;
	int code = mdb_cursor_open(snapshot->txn, rows_of(snapshot, SNAPSHOT_DOMAIN), &cursor);

	*end = false;
	if (code != 0)
		return lmdb_failed(snapshot, code);
	code = mdb_cursor_get(cursor, &key, &stored, after[0] != '\0' ? MDB_SET_RANGE : MDB_FIRST);
	for (size_t seen = 0; code == 0 && more && seen < most; seen++) {
		more = visit_behind(after, &key, &stored, visit, context);
		if (more)
			code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	*end = code == MDB_NOTFOUND;
	return code == 0 || *end ? SNAPSHOT_OK : lmdb_failed(snapshot, code);
}
