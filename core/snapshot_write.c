/*
 * snapshot_write: the one writer of the snapshot.
 *
 * In: records and the feed's position. Out: commits that readers see whole or not at all. A change
 * goes into the active set; a load goes into the idle one, in as many commits as it likes, and the
 * last of them swaps the sets. Until then, and after every failure, the old snapshot stays as it
 * was. Nothing is written through the map: a full disk is an error code, not a signal.
 */
#include "core/lmdb_files.h"
#include "core/snapshot_link.h"
#include "core/snapshot_value.h"
#include "core/snapshot_writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/*
 * The file is kept this much longer than its last page (a hole: it takes no room), because LMDB may
 * count pages at its very end that it never wrote, and readers take a file that is shorter than
 * its pages for truncated. One transaction seldom grows the file by more.
 */
#define TAIL_BYTES ((uint64_t)32 << 20)
#define ROOM_LEAST 65536u /* bytes; less is a full disk */

/* --- problems in words ---------------------------------------------------------------- */

enum snapshot_result
snapshot_writer_fail(
    struct snapshot_writer *writer, enum snapshot_result result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(writer->problem, sizeof(writer->problem), format, arguments);
	va_end(arguments);
	return result;
}

enum snapshot_result
snapshot_writer_code(struct snapshot_writer *writer, const char *what, int code)
{
	if (code == 0)
		return SNAPSHOT_OK;
	if (code == MDB_NOTFOUND)
		return SNAPSHOT_NOT_FOUND;
	const enum snapshot_result result = snapshot_lmdb_result(code);
	writer->file_damaged = writer->file_damaged || result == SNAPSHOT_DAMAGED;
	return snapshot_writer_fail(writer, result, "%s: %s", what, mdb_strerror(code));
}

bool
snapshot_writer_found_damage(const struct snapshot_writer *writer)
{
	return writer->file_damaged;
}

const char *
snapshot_writer_problem(const struct snapshot_writer *writer)
{
	return writer->problem;
}

/* --- opening ---------------------------------------------------------------------------- */

static int
file_extend(struct snapshot_writer *writer)
{
	const uint64_t wanted = snapshot_bytes_needed(writer->env, writer->page_size) + TAIL_BYTES;
	struct stat status;
	int data;

	if (mdb_env_get_fd(writer->env, &data) != 0 || fstat(data, &status) != 0)
		return EIO;
	if ((uint64_t)status.st_size >= wanted - TAIL_BYTES / 2)
		return 0;
	return ftruncate(data, (off_t)wanted) == 0 ? 0 : errno;
}

static int
lock_file_reserve(const struct snapshot_writer *writer)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", writer->state_dir, SNAPSHOT_DIRECTORY);
	return lmdb_lock_file_reserve(path, SNAPSHOT_READERS);
}

static int
environment_open(struct snapshot_writer *writer)
{
	char path[4096];
	MDB_stat about;
	int code = mdb_env_create(&writer->env);

	if (code != 0) {
		writer->env = NULL;
		return code;
	}
	snprintf(path, sizeof(path), "%s/%s", writer->state_dir, SNAPSHOT_DIRECTORY);
	code = lock_file_reserve(writer);
	if (code == 0)
		code = mdb_env_set_maxdbs(writer->env, 1 + SNAPSHOT_SETS * SNAPSHOT_KINDS);
	if (code == 0)
		code = mdb_env_set_maxreaders(writer->env, SNAPSHOT_READERS);
	if (code == 0)
		code = mdb_env_set_mapsize(writer->env, writer->map_size);
	if (code == 0) /* 0600: nobody else opens it before modes and group are set */
		code = mdb_env_open(writer->env, path, MDB_NOTLS, 0600);
	if (code == 0)
		code = mdb_env_stat(writer->env, &about);
	if (code == 0) {
		writer->page_size = about.ms_psize;
		code = file_extend(writer);
	}
	return code;
}

/* Opens the databases, making them where they are missing, and reads the state. */
static enum snapshot_result
databases_prepare(struct snapshot_writer *writer)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(writer->env, NULL, 0, &txn);

	if (code != 0)
		return snapshot_writer_code(writer, "opening the snapshot", code);
	code = snapshot_databases_open(txn, true, &writer->databases);
	if (code != 0) {
		mdb_txn_abort(txn);
		return snapshot_writer_code(writer, "opening the snapshot", code);
	}
	const enum snapshot_result state =
	    snapshot_state_get(txn, writer->databases.meta, &writer->state, &code);
	const bool agree =
	    state != SNAPSHOT_OK || snapshot_entries_agree(txn, &writer->databases, &writer->state);
	if (state == SNAPSHOT_NOT_FOUND)
		memset(&writer->state, 0, sizeof(writer->state));
	else if (state != SNAPSHOT_OK || !agree) {
		mdb_txn_abort(txn);
		return snapshot_writer_fail(writer,
		    code != 0 ? SNAPSHOT_UNUSABLE : SNAPSHOT_DAMAGED,
		    "the snapshot's state record is damaged, or of another format");
	}
	writer->loaded = state == SNAPSHOT_OK;
	return snapshot_writer_code(writer, "opening the snapshot", mdb_txn_commit(txn));
}

static enum snapshot_result
environment_ready(struct snapshot_writer *writer)
{
	const int code = environment_open(writer);

	if (code != 0)
		return snapshot_writer_fail(writer, snapshot_lmdb_result(code),
		    "opening the snapshot: %s", mdb_strerror(code));
	return databases_prepare(writer);
}

static void
environment_close(struct snapshot_writer *writer)
{
	snapshot_abort(writer);
	if (writer->env != NULL)
		mdb_env_close(writer->env);
	writer->env = NULL;
}

static enum snapshot_result
lock_take(struct snapshot_writer *writer)
{
	writer->lock = snapshot_lock_take(writer->state_dir);
	if (writer->lock >= 0)
		return SNAPSHOT_OK;
	if (errno == EWOULDBLOCK)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE,
		    "another mxhold-sync is writing below %.180s", writer->state_dir);
	return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "%.180s/%s: %s", writer->state_dir,
	    SNAPSHOT_WRITER_LOCK, strerror(errno));
}

static enum snapshot_result
writer_prepare(struct snapshot_writer *writer)
{
	struct snapshot_inspection found;
	enum snapshot_result result = lock_take(writer);

	if (result != SNAPSHOT_OK)
		return result;
	if (!snapshot_directory_make(writer->state_dir))
		return snapshot_writer_fail(writer,
		    errno == ENOTDIR ? SNAPSHOT_DAMAGED : SNAPSHOT_UNUSABLE, "%.180s/%s: %s",
		    writer->state_dir, SNAPSHOT_DIRECTORY, strerror(errno));
	if (!snapshot_lock_file_renew(writer->state_dir))
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE,
		    "%.180s: making data.mdb and lock.mdb anew: %s", writer->state_dir,
		    strerror(errno));
	const int failed = lock_file_reserve(writer);
	if (failed != 0)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "%.180s/%s/lock.mdb: %s",
		    writer->state_dir, SNAPSHOT_DIRECTORY, strerror(failed));
	if (snapshot_header_exceeds(writer->state_dir,
		writer->map_size > SNAPSHOT_MAP_SIZE ? writer->map_size : SNAPSHOT_MAP_SIZE))
		return snapshot_writer_fail(writer, SNAPSHOT_DAMAGED,
		    "the header of data.mdb tells of more than it can hold");
	snapshot_inspect_safely(writer->state_dir, false, &found);
	if (found.opened == SNAPSHOT_DAMAGED || found.opened == SNAPSHOT_UNUSABLE)
		return snapshot_writer_fail(writer, found.opened, "%s", found.problem);
	return environment_ready(writer);
}

/* Of what an operator restored as root LMDB says no more than "Permission denied". */
static void
name_denied(struct snapshot_writer *writer)
{
	const struct lmdb_place place = {
	    .state_dir = writer->state_dir, .name = SNAPSHOT_DIRECTORY};
	char path[SNAPSHOT_PROBLEM_SIZE - 80];

	if (lmdb_denied(&place, path, sizeof(path)))
		(void)snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE,
		    "%s: %s; mxhold-sync gives it to its user when it is started anew", path,
		    strerror(EACCES));
}

enum snapshot_result
snapshot_writer_open(const char *state_dir, gid_t group, size_t map_size,
    struct snapshot_writer **out, const char **problem)
{
	static char words[SNAPSHOT_PROBLEM_SIZE];
	struct snapshot_writer *writer = calloc(1, sizeof(*writer));

	*out = NULL;
	*problem = "out of memory";
	if (writer == NULL)
		return SNAPSHOT_UNUSABLE;
	writer->lock = -1;
	writer->map_size = map_size != 0 ? map_size : SNAPSHOT_MAP_SIZE;
	writer->state_dir = strdup(state_dir);
	if (writer->state_dir == NULL) {
		snapshot_writer_close(writer);
		return SNAPSHOT_UNUSABLE;
	}
	const enum snapshot_result result = writer_prepare(writer);
	if (result == SNAPSHOT_UNUSABLE)
		name_denied(writer);
	if (result != SNAPSHOT_OK) {
		memcpy(words, writer->problem, sizeof(words));
		*problem = words;
		snapshot_writer_close(writer);
		return result;
	}
	*problem = snapshot_permissions_set(state_dir, group);
	*out = writer;
	return SNAPSHOT_OK;
}

void
snapshot_writer_close(struct snapshot_writer *writer)
{
	if (writer == NULL)
		return;
	environment_close(writer);
	if (writer->lock >= 0)
		close(writer->lock);
	free(writer->state_dir);
	free(writer);
}

/* --- transactions -------------------------------------------------------------------------- */

static int
transaction_begin(struct snapshot_writer *writer)
{
	int dead;
	int code = mdb_reader_check(writer->env, &dead);

	if (code == 0)
		code = file_extend(writer);
	return code != 0 ? code : mdb_txn_begin(writer->env, NULL, 0, &writer->txn);
}

/* Begins a transaction; after a write that failed at its worst place LMDB must be opened anew. */
static enum snapshot_result
begin(struct snapshot_writer *writer, enum writer_mode mode)
{
	if (writer->mode != WRITER_IDLE)
		return snapshot_writer_fail(
		    writer, SNAPSHOT_UNUSABLE, "another transaction is open");
	writer->file_damaged = false;
	int code = writer->env != NULL ? transaction_begin(writer) : MDB_PANIC;
	if (code == MDB_PANIC) {
		environment_close(writer);
		if (environment_ready(writer) != SNAPSHOT_OK) {
			environment_close(writer);
			return SNAPSHOT_UNUSABLE;
		}
		code = transaction_begin(writer);
	}
	if (code != 0) {
		writer->txn = NULL;
		return snapshot_writer_code(writer, "beginning a transaction", code);
	}
	writer->mode = mode;
	writer->records_changed = false;
	writer->fleet_changed = false;
	return SNAPSHOT_OK;
}

void
snapshot_abort(struct snapshot_writer *writer)
{
	if (writer->txn != NULL)
		mdb_txn_abort(writer->txn);
	writer->txn = NULL;
	writer->mode = WRITER_IDLE;
}

/* LMDB calls a write that the disk had only half the room for an input/output error. */
static int
explain_write(struct snapshot_writer *writer, int code)
{
	struct statvfs room;
	int data;

	if (code == EIO && mdb_env_get_fd(writer->env, &data) == 0 && fstatvfs(data, &room) == 0 &&
	    room.f_bavail * room.f_frsize < ROOM_LEAST)
		return ENOSPC;
	return code;
}

/*
 * Commits what there is. The transaction is over in any case. A file that cannot be made longer
 * undoes no commit: the next transaction tries again before it begins, and says so.
 */
static enum snapshot_result
commit(struct snapshot_writer *writer)
{
	const int code = explain_write(writer, mdb_txn_commit(writer->txn));

	writer->txn = NULL;
	writer->mode = WRITER_IDLE;
	if (code == 0)
		(void)file_extend(writer);
	return snapshot_writer_code(writer, "writing the snapshot", code);
}

enum snapshot_result
snapshot_write_begin(struct snapshot_writer *writer)
{
	return begin(writer, WRITER_CHANGE);
}

enum snapshot_result
snapshot_load_checkpoint(struct snapshot_writer *writer)
{
	if (writer->mode != WRITER_LOAD)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "no load is open");
	const enum snapshot_result result = commit(writer);
	return result == SNAPSHOT_OK ? begin(writer, WRITER_LOAD) : result;
}

enum snapshot_result
snapshot_load_begin(struct snapshot_writer *writer)
{
	const enum snapshot_result result = begin(writer, WRITER_LOAD);

	if (result != SNAPSHOT_OK)
		return result;
	for (enum snapshot_kind kind = 0; kind < SNAPSHOT_KINDS; kind++) {
		const int code = mdb_drop(writer->txn, snapshot_writer_rows(writer, kind), 0);

		if (code != 0) {
			snapshot_abort(writer);
			return snapshot_writer_code(writer, "emptying the idle set", code);
		}
		writer->append[kind] = true;
	}
	return snapshot_load_checkpoint(writer); /* its pages can be used again from here on */
}

/* How many rows the set has, and where each tree begins: so that what is lost later is noticed. */
static int
take_stock_of(struct snapshot_writer *writer, struct snapshot_state *state, enum snapshot_kind kind)
{
	const MDB_dbi rows = writer->databases.rows[state->active][kind];
	MDB_cursor *cursor;
	MDB_stat about;
	int code = mdb_stat(writer->txn, rows, &about);

	if (code == 0)
		code = mdb_cursor_open(writer->txn, rows, &cursor);
	if (code != 0)
		return code;
	state->entries[kind] = about.ms_entries;
	code = snapshot_link_head(cursor, kind, &state->heads[kind]);
	mdb_cursor_close(cursor);
	return code;
}

static enum snapshot_result
take_stock(struct snapshot_writer *writer, struct snapshot_state *state)
{
	int code = 0;

	for (enum snapshot_kind kind = 0; kind < SNAPSHOT_KINDS && code == 0; kind++)
		code = take_stock_of(writer, state, kind);
	return snapshot_writer_code(writer, "counting rows", code);
}

static enum snapshot_result
commit_state(struct snapshot_writer *writer, struct snapshot_state *state)
{
	const bool load = writer->mode == WRITER_LOAD;

	if (load)
		state->active = !writer->state.active;
	state->meta.serial = writer->state.meta.serial + (load || writer->records_changed ? 1 : 0);
	state->meta.fleet_serial =
	    writer->state.meta.fleet_serial + (load || writer->fleet_changed ? 1 : 0);
	const enum snapshot_result result = take_stock(writer, state);
	if (result != SNAPSHOT_OK)
		return result;
	const int code = snapshot_state_put(writer->txn, writer->databases.meta, state);
	return code == 0 ? commit(writer) : snapshot_writer_code(writer, "writing the state", code);
}

enum snapshot_result
snapshot_commit(struct snapshot_writer *writer, const struct snapshot_meta *meta)
{
	struct snapshot_state state = {.active = writer->state.active, .meta = *meta};

	if (writer->mode == WRITER_IDLE)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "no transaction is open");
	const enum snapshot_result result = commit_state(writer, &state);
	if (result != SNAPSHOT_OK) {
		snapshot_abort(writer);
		return result;
	}
	writer->state = state;
	writer->loaded = true;
	return SNAPSHOT_OK;
}

enum snapshot_result
snapshot_writer_meta(struct snapshot_writer *writer, struct snapshot_meta *out)
{
	if (!writer->loaded)
		return SNAPSHOT_NOT_FOUND;
	*out = writer->state.meta;
	return SNAPSHOT_OK;
}

enum snapshot_result
snapshot_put_contact(struct snapshot_writer *writer, int64_t boot_ms)
{
	const bool own = writer->mode == WRITER_IDLE;
	struct snapshot_contact contact = {.boot_ms = boot_ms};

	snapshot_boot_id(contact.boot_id);
	const enum snapshot_result result = own ? begin(writer, WRITER_CHANGE) : SNAPSHOT_OK;
	if (result != SNAPSHOT_OK)
		return result;
	const int code = snapshot_contact_put(writer->txn, writer->databases.meta, &contact);
	if (code != 0) {
		if (own)
			snapshot_abort(writer);
		return snapshot_writer_code(writer, "noting the contact", code);
	}
	return own ? commit(writer) : SNAPSHOT_OK;
}

/* --- rows --------------------------------------------------------------------------------------
 */

MDB_dbi
snapshot_writer_active_rows(const struct snapshot_writer *writer, enum snapshot_kind kind)
{
	return writer->databases.rows[writer->state.active][kind];
}

MDB_dbi
snapshot_writer_rows(const struct snapshot_writer *writer, enum snapshot_kind kind)
{
	return writer->mode == WRITER_LOAD ? writer->databases.rows[!writer->state.active][kind]
					   : snapshot_writer_active_rows(writer, kind);
}

static void
mark_changed(struct snapshot_writer *writer, enum snapshot_kind kind)
{
	writer->records_changed = true;
	if (kind == SNAPSHOT_RELAY)
		writer->fleet_changed = true;
}

/* Checks what every call on a row needs: a transaction, and a key that LMDB takes. */
static enum snapshot_result
row_ready(struct snapshot_writer *writer, const char *name)
{
	const size_t length = strlen(name);

	if (writer->mode == WRITER_IDLE)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "no transaction is open");
	if (length == 0 || length > SNAPSHOT_KEY_MAX)
		return snapshot_writer_fail(
		    writer, SNAPSHOT_UNUSABLE, "a name of %zu bytes", length);
	return SNAPSHOT_OK;
}

static int
put_linked(struct snapshot_writer *writer, enum snapshot_kind kind, MDB_val key, const void *bytes,
    size_t length)
{
	MDB_cursor *cursor;
	int code = mdb_cursor_open(writer->txn, snapshot_writer_rows(writer, kind), &cursor);

	if (code != 0)
		return code;
	code = MDB_KEYEXIST;
	if (writer->mode == WRITER_LOAD && writer->append[kind])
		code = snapshot_link_append(cursor, kind, key, bytes, length);
	if (code == MDB_KEYEXIST) { /* out of order, or no load */
		writer->append[kind] = false;
		code = snapshot_link_put(cursor, kind, key, bytes, length);
	}
	mdb_cursor_close(cursor);
	return code;
}

static enum snapshot_result
put_row(struct snapshot_writer *writer, enum snapshot_kind kind, const char *name,
    const uint8_t *bytes, size_t length)
{
	const enum snapshot_result result = row_ready(writer, name);

	if (result != SNAPSHOT_OK)
		return result;
	if (length == 0)
		return snapshot_writer_fail(
		    writer, SNAPSHOT_UNUSABLE, "%.180s: a field is out of its bounds", name);
	mark_changed(writer, kind);
	return snapshot_writer_code(
	    writer, name, put_linked(writer, kind, snapshot_key(name), bytes, length));
}

/* `out` is a record of this kind. */
static bool
decode(enum snapshot_kind kind, const MDB_val *key, const MDB_val *value, void *out)
{
	switch (kind) {
	case SNAPSHOT_DOMAIN:
		return snapshot_value_get_domain(
		    key->mv_data, key->mv_size, value->mv_data, value->mv_size, out);
	case SNAPSHOT_CUSTOMER:
		return snapshot_value_get_customer(
		    key->mv_data, key->mv_size, value->mv_data, value->mv_size, out);
	case SNAPSHOT_RELAY:
		return snapshot_value_get_relay(
		    key->mv_data, key->mv_size, value->mv_data, value->mv_size, out);
	case SNAPSHOT_KINDS: break;
	}
	return false;
}

static enum snapshot_result
get_row(struct snapshot_writer *writer, enum snapshot_kind kind, bool from_active, const char *name,
    void *out)
{
	const enum snapshot_result result = row_ready(writer, name);
	MDB_val key = snapshot_key(name), stored, value;
	uint32_t link;

	if (result != SNAPSHOT_OK)
		return result;
	const MDB_dbi rows = from_active ? snapshot_writer_active_rows(writer, kind)
					 : snapshot_writer_rows(writer, kind);
	const int code = mdb_get(writer->txn, rows, &key, &stored);
	if (code != 0)
		return snapshot_writer_code(writer, name, code);
	if (snapshot_link_take(&stored, &link, &value) && decode(kind, &key, &value, out))
		return SNAPSHOT_OK;
	return snapshot_writer_fail(
	    writer, SNAPSHOT_DAMAGED, "%.180s: the record is damaged", name);
}

static enum snapshot_result
delete_row(struct snapshot_writer *writer, enum snapshot_kind kind, const char *name)
{
	const enum snapshot_result result = row_ready(writer, name);
	MDB_cursor *cursor;

	if (result != SNAPSHOT_OK)
		return result;
	int code = mdb_cursor_open(writer->txn, snapshot_writer_rows(writer, kind), &cursor);
	if (code == 0) {
		code = snapshot_link_delete(cursor, kind, snapshot_key(name));
		mdb_cursor_close(cursor);
	}
	if (code == 0)
		mark_changed(writer, kind);
	return snapshot_writer_code(writer, name, code);
}

enum snapshot_result
snapshot_write_get_domain(
    struct snapshot_writer *writer, bool from_active, const char *name, struct domain_record *out)
{
	return get_row(writer, SNAPSHOT_DOMAIN, from_active, name, out);
}

enum snapshot_result
snapshot_write_get_customer(
    struct snapshot_writer *writer, bool from_active, const char *name, struct customer_record *out)
{
	return get_row(writer, SNAPSHOT_CUSTOMER, from_active, name, out);
}

enum snapshot_result
snapshot_write_get_relay(
    struct snapshot_writer *writer, bool from_active, const char *name, struct relay_record *out)
{
	return get_row(writer, SNAPSHOT_RELAY, from_active, name, out);
}

enum snapshot_result
snapshot_put_domain(struct snapshot_writer *writer, const char *name,
    const struct domain_record *record, int64_t now)
{
	uint8_t bytes[SNAPSHOT_VALUE_MAX];
	struct domain_record whole = *record, old;

	if (writer->mode == WRITER_CHANGE &&
	    snapshot_write_get_domain(writer, true, name, &old) == SNAPSHOT_OK)
		snapshot_inherit(&old, &whole, now);
	return put_row(
	    writer, SNAPSHOT_DOMAIN, name, bytes, snapshot_value_put_domain(name, &whole, bytes));
}

enum snapshot_result
snapshot_put_customer(
    struct snapshot_writer *writer, const char *name, const struct customer_record *record)
{
	uint8_t bytes[SNAPSHOT_VALUE_MAX];

	return put_row(writer, SNAPSHOT_CUSTOMER, name, bytes,
	    snapshot_value_put_customer(name, record, bytes));
}

enum snapshot_result
snapshot_put_relay(
    struct snapshot_writer *writer, const char *name, const struct relay_record *record)
{
	uint8_t bytes[SNAPSHOT_VALUE_MAX];

	return put_row(
	    writer, SNAPSHOT_RELAY, name, bytes, snapshot_value_put_relay(name, record, bytes));
}

enum snapshot_result
snapshot_delete_domain(struct snapshot_writer *writer, const char *name)
{
	return delete_row(writer, SNAPSHOT_DOMAIN, name);
}

enum snapshot_result
snapshot_delete_customer(struct snapshot_writer *writer, const char *name)
{
	return delete_row(writer, SNAPSHOT_CUSTOMER, name);
}

enum snapshot_result
snapshot_delete_relay(struct snapshot_writer *writer, const char *name)
{
	return delete_row(writer, SNAPSHOT_RELAY, name);
}

/* --- verification
 * --------------------------------------------------------------------------------- */

enum snapshot_result
snapshot_verify(struct snapshot_writer *writer, struct snapshot_census *census)
{
	struct snapshot_inspection found;

	snapshot_inspect_safely(writer->state_dir, true, &found);
	*census = found.census;
	if (found.opened == SNAPSHOT_NOT_FOUND)
		return snapshot_writer_fail(writer, SNAPSHOT_NOT_FOUND, "%s", found.problem);
	if (found.opened != SNAPSHOT_OK)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "%s", found.problem);
	if (found.rows == SNAPSHOT_UNUSABLE)
		return snapshot_writer_fail(writer, SNAPSHOT_UNUSABLE, "%s", found.problem);
	if (found.rows != SNAPSHOT_OK)
		return snapshot_writer_fail(writer, SNAPSHOT_DAMAGED,
		    "%llu rows are damaged or missing", (unsigned long long)census->damaged);
	return SNAPSHOT_OK;
}
