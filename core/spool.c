/*
 * spool: the one writer of the spool (see spool.h).
 *
 * In: rows and notes. Out: commits that are on the disk when they return, whole or not at all. A
 * row has one place: a newer text gets a new number and the older one goes. Nothing is written
 * through the map, so that a full disk is an error code and not a signal. It never drops a row that
 * is not final, and no final one before it is shipped or too old to be of use.
 */
#include "core/spool_store.h"

#include "core/lmdb_env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_SIZE_LEAST ((size_t)1 << 20)
#define ROOM_LEAST ((size_t)1 << 20) /* on the disk: LMDB writes as much at a time */
#define RESERVE_PART 8               /* of the map: to note and to remove when puts are refused */
#define PROVE_ROWS 1000              /* at a time, beside the one that is to be shipped next */

struct spool_writer {
	MDB_env *env;
	MDB_txn *txn; /* NULL: none is open */
	struct spool_databases databases;
	size_t page_size;
	uint64_t map_size, seq; /* seq: the last one given, in this transaction */
	int lock;
	struct spool_files files;
	bool broken;          /* LMDB said so, or a row's checksum */
	bool dating;          /* rows may be ahead of the clock, of this number or above */
	uint64_t dating_from; /* (see spool_prune) */
	uint64_t prove_from;  /* the next row to be proven, by its number */
	char identity[SPOOL_IDENTITY_SIZE];
	char state_dir[SPOOL_PATH_SIZE];
	char aside[SPOOL_PATH_SIZE];
	char problem[512];
};

static enum spool_result fail(struct spool_writer *writer, enum spool_result result,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum spool_result
fail(struct spool_writer *writer, enum spool_result result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(writer->problem, sizeof(writer->problem), format, arguments);
	va_end(arguments);
	return result;
}

/* Of a disk that is full LMDB says EIO where it could write a part. */
static int
room_or(struct spool_writer *writer, int code)
{
	struct statvfs disk;

	if (code != EIO || statvfs(writer->state_dir, &disk) != 0 ||
	    (uint64_t)disk.f_bavail * disk.f_frsize > ROOM_LEAST)
		return code;
	return ENOSPC;
}

/* LMDB's code as a result. */
static enum spool_result
result_of(struct spool_writer *writer, const char *what, int found)
{
	const int code = room_or(writer, found);

	if (code == 0)
		return SPOOL_OK;
	if (code == MDB_NOTFOUND)
		return SPOOL_NOT_FOUND;
	if (code == MDB_PANIC || code == MDB_MAP_RESIZED ||
	    (code != EINVAL && lmdb_code_is_damage(code)))
		writer->broken = true;
	return fail(writer,
	    code == MDB_MAP_FULL || code == ENOSPC || code == EDQUOT ? SPOOL_FULL : SPOOL_UNUSABLE,
	    "%s: %s", what, mdb_strerror(code));
}

const char *
spool_writer_problem(const struct spool_writer *writer)
{
	return writer->problem;
}

const char *
spool_set_aside(const struct spool_writer *writer)
{
	return writer->aside;
}

static MDB_val
text_value(const char *text)
{
	return (MDB_val){.mv_size = strlen(text), .mv_data = (void *)(uintptr_t)text};
}

/* --- opening ---------------------------------------------------------------------------------- */

static int
meta_put(struct spool_writer *writer, MDB_txn *txn, const char *name, MDB_val value)
{
	MDB_val key = text_value(name);

	return mdb_put(txn, writer->databases.dbi[SPOOL_META], &key, &value, 0);
}

static int
identity_make(struct spool_writer *writer, MDB_txn *txn)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return EIO;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(writer->identity + 2 * i, 3, "%02x", random[i]);
	return meta_put(writer, txn, "identity", text_value(writer->identity));
}

static int
meta_read(struct spool_writer *writer, MDB_txn *txn)
{
	MDB_val key = text_value("identity"), value;
	int code = mdb_get(txn, writer->databases.dbi[SPOOL_META], &key, &value);

	if (code == MDB_NOTFOUND)
		return identity_make(writer, txn);
	if (code != 0)
		return code;
	if (value.mv_size == 0 || value.mv_size >= sizeof(writer->identity))
		return MDB_CORRUPTED;
	memcpy(writer->identity, value.mv_data, value.mv_size);
	key = text_value("seq");
	code = mdb_get(txn, writer->databases.dbi[SPOOL_META], &key, &value);
	if (code == 0 && !spool_number_take(&value, &writer->seq))
		return MDB_CORRUPTED;
	return code == MDB_NOTFOUND ? 0 : code;
}

static int
environment_open(struct spool_writer *writer)
{
	char path[SPOOL_PATH_SIZE];
	MDB_stat about;
	MDB_txn *txn;
	int code = mdb_env_create(&writer->env);

	if (code != 0) {
		writer->env = NULL;
		return code;
	}
	if (!spool_path(writer->state_dir, SPOOL_DIRECTORY, path))
		return ENAMETOOLONG;
	code = lmdb_lock_file_reserve(path, SPOOL_READERS);
	if (code != 0)
		return code;
	if (mdb_env_set_maxdbs(writer->env, SPOOL_DATABASES) != 0 ||
	    mdb_env_set_maxreaders(writer->env, SPOOL_READERS) != 0)
		return EINVAL;
	code = mdb_env_set_mapsize(writer->env, writer->map_size);
	if (code == 0) /* 0600: nobody else opens it before modes and group are set */
		code = mdb_env_open(writer->env, path, MDB_NOTLS, 0600);
	if (code == 0)
		code = mdb_env_stat(writer->env, &about);
	if (code == 0)
		code = mdb_txn_begin(writer->env, NULL, 0, &txn);
	if (code != 0)
		return code;
	writer->page_size = about.ms_psize;
	code = spool_databases_open(txn, true, &writer->databases);
	if (code == 0)
		code = meta_read(writer, txn);
	if (code == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return code;
}

/* What lies there is proven, or set aside. */
static enum spool_result
files_prove(struct spool_writer *writer)
{
	switch (spool_inspect(writer->state_dir, writer->lock)) {
	case SPOOL_FOUND_GOOD: return SPOOL_OK;
	case SPOOL_FOUND_CANNOT_TELL:
		return fail(writer, SPOOL_UNUSABLE, "%.200s/%s: %s", writer->state_dir,
		    SPOOL_DIRECTORY,
		    errno != 0 ? strerror(errno)
			       : "it cannot be read: it must be a folder; look at its owner, "
				 "its mode and the room on the disk");
	case SPOOL_FOUND_DAMAGED: break;
	}
	if (spool_files_set_aside(writer->state_dir, writer->aside) &&
	    spool_directory_make(writer->state_dir))
		return SPOOL_OK;
	return fail(writer, SPOOL_UNUSABLE, "setting the damaged %.200s/%s aside: %s",
	    writer->state_dir, SPOOL_DIRECTORY, strerror(errno));
}

static enum spool_result
writer_prepare(struct spool_writer *writer, gid_t group)
{
	if (!spool_directory_make(writer->state_dir))
		return fail(writer, SPOOL_UNUSABLE, "%.200s/%s: %s", writer->state_dir,
		    SPOOL_DIRECTORY, strerror(errno));
	writer->lock = spool_lock_take(writer->state_dir);
	if (writer->lock < 0 && errno == EWOULDBLOCK)
		return fail(writer, SPOOL_UNUSABLE, "another mxhold-queued is writing below %.200s",
		    writer->state_dir);
	if (writer->lock < 0)
		return fail(writer, SPOOL_UNUSABLE, "%.200s/%s: %s", writer->state_dir,
		    SPOOL_WRITER_LOCK, strerror(errno));
	enum spool_result result = files_prove(writer);
	if (result == SPOOL_OK) {
		char what[SPOOL_PATH_SIZE];

		(void)snprintf(what, sizeof(what), "%.200s/%s", writer->state_dir, SPOOL_DIRECTORY);
		result = result_of(writer, what, environment_open(writer));
	}
	if (result == SPOOL_OK && !spool_files_note(writer->state_dir, &writer->files))
		return fail(writer, SPOOL_UNUSABLE, "%.200s/%s: %s", writer->state_dir,
		    SPOOL_DIRECTORY, strerror(errno));
	if (result == SPOOL_OK && !spool_permissions_set(writer->state_dir, group))
		fail(writer, SPOOL_OK, "mode or group of the spool's files cannot be set: %s",
		    strerror(errno));
	return result;
}

struct spool_writer *
spool_writer_open(const char *state_dir, gid_t group, size_t map_size, const char **problem)
{
	static char words[sizeof(((struct spool_writer *)0)->problem)];
	struct spool_writer *writer = calloc(1, sizeof(*writer));

	*problem = "out of memory";
	if (writer == NULL)
		return NULL;
	writer->lock = writer->files.lock = -1;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	writer->map_size = (map_size > MAP_SIZE_LEAST ? map_size : MAP_SIZE_LEAST) / page * page;
	snprintf(writer->state_dir, sizeof(writer->state_dir), "%s", state_dir);
	writer->dating = true; /* a former process may not have come to its end */
	if (writer_prepare(writer, group) == SPOOL_OK) {
		*problem = NULL;
		return writer;
	}
	snprintf(words, sizeof(words), "%s", writer->problem);
	*problem = words;
	spool_writer_close(writer);
	return NULL;
}

void
spool_writer_close(struct spool_writer *writer)
{
	if (writer == NULL)
		return;
	spool_abort(writer);
	/* Closing writes to the table of readers, wherever a lock.mdb that is none says that it is.
	 */
	if (writer->env != NULL && !spool_files_lock_broken(&writer->files))
		mdb_env_close(writer->env);
	if (writer->files.lock >= 0) /* behind LMDB's own: see spool_store.h */
		close(writer->files.lock);
	if (writer->lock >= 0)
		close(writer->lock);
	free(writer);
}

bool
spool_writer_sound(struct spool_writer *writer, const char **why)
{
	*why = writer->broken ? "what is in it is broken"
			      : spool_files_changed(writer->state_dir, &writer->files);
	return *why == NULL;
}

/* --- transactions --------------------------------------------------------------------------------
 */

static int
seq_read(struct spool_writer *writer)
{
	MDB_val key = text_value("seq"), value;
	const int code = mdb_get(writer->txn, writer->databases.dbi[SPOOL_META], &key, &value);

	if (code == MDB_NOTFOUND)
		writer->seq = 0;
	else if (code == 0 && !spool_number_take(&value, &writer->seq))
		return MDB_CORRUPTED;
	return code == MDB_NOTFOUND ? 0 : code;
}

enum spool_result
spool_begin(struct spool_writer *writer)
{
	const char *why;
	int dead;

	if (writer->txn != NULL)
		return fail(writer, SPOOL_UNUSABLE, "a transaction is open already");
	if (!spool_writer_sound(writer, &why)) /* its mutexes may be anything */
		return fail(writer, SPOOL_UNUSABLE, "%s", why);
	mdb_reader_check(writer->env, &dead); /* a reader that was killed keeps no pages */
	int code = mdb_txn_begin(writer->env, NULL, 0, &writer->txn);
	if (code != 0)
		writer->txn = NULL;
	else
		code = seq_read(writer);
	if (code != 0)
		spool_abort(writer);
	writer->broken = writer->broken || code == EINVAL; /* of a mutex that is none */
	return code == 0 ? SPOOL_OK : result_of(writer, "beginning", code);
}

enum spool_result
spool_commit(struct spool_writer *writer)
{
	uint8_t number[8];

	if (writer->txn == NULL)
		return fail(writer, SPOOL_UNUSABLE, "no transaction is open");
	spool_number_put(number, writer->seq);
	int code = meta_put(
	    writer, writer->txn, "seq", (MDB_val){.mv_size = sizeof(number), .mv_data = number});
	if (code != 0) {
		spool_abort(writer);
		return result_of(writer, "writing", code);
	}
	code = mdb_txn_commit(writer->txn);
	writer->txn = NULL; /* LMDB has ended it, also after a failure */
	return result_of(writer, "committing", code);
}

void
spool_abort(struct spool_writer *writer)
{
	if (writer->txn != NULL)
		mdb_txn_abort(writer->txn);
	writer->txn = NULL;
}

/* Bytes of pages that hold something: what a deletion freed is not counted. */
static int
bytes_used(struct spool_writer *writer, uint64_t *out)
{
	int code = 0;

	*out = 0;
	for (size_t i = 0; code == 0 && i < SPOOL_DATABASES; i++) {
		MDB_stat about;
		code = mdb_stat(writer->txn, writer->databases.dbi[i], &about);
		if (code == 0)
			*out += (about.ms_branch_pages + about.ms_leaf_pages +
				    about.ms_overflow_pages) *
				writer->page_size;
	}
	return code;
}

static uint64_t
bytes_limit(const struct spool_writer *writer)
{
	return writer->map_size - writer->map_size / RESERVE_PART;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Forgets the number of the row's older text. */
static int
older_remove(struct spool_writer *writer, MDB_val *key)
{
	struct spool_entry old;
	uint8_t number[8];
	MDB_val stored, order = {.mv_size = sizeof(number), .mv_data = number};
	int code = mdb_get(writer->txn, writer->databases.dbi[SPOOL_ROWS], key, &stored);

	if (code == MDB_NOTFOUND)
		return 0;
	if (code != 0)
		return code;
	if (!spool_entry_take(key, &stored, &old))
		return MDB_CORRUPTED;
	spool_number_put(number, old.seq);
	code = mdb_del(writer->txn, writer->databases.dbi[SPOOL_ORDER], &order, NULL);
	if (code == 0 && old.final)
		code = mdb_del(writer->txn, writer->databases.dbi[SPOOL_DONE], &order, NULL);
	return code == MDB_NOTFOUND ? 0 : code;
}

/* Puts head and text under `key`. */
static int
entry_put(struct spool_writer *writer, MDB_dbi dbi, const struct spool_entry *entry)
{
	MDB_val key = {.mv_size = entry->key_length, .mv_data = (void *)(uintptr_t)entry->key};
	MDB_val stored = {.mv_size = SPOOL_HEAD_SIZE + entry->length, .mv_data = NULL};
	const int code = mdb_put(writer->txn, dbi, &key, &stored, MDB_RESERVE);

	if (code != 0)
		return code;
	spool_head_put(stored.mv_data, entry);
	memcpy((char *)stored.mv_data + SPOOL_HEAD_SIZE, entry->text, entry->length);
	return 0;
}

static int
row_put(struct spool_writer *writer, const struct spool_entry *row, int64_t now_us)
{
	uint8_t number[8], at[8];
	MDB_val key = {.mv_size = row->key_length, .mv_data = (void *)(uintptr_t)row->key};
	MDB_val order = {.mv_size = sizeof(number), .mv_data = number};
	MDB_val when = {.mv_size = sizeof(at), .mv_data = at};

	spool_number_put(number, row->seq);
	spool_number_put(at, now_us > 0 ? (uint64_t)now_us : 0);
	int code = older_remove(writer, &key);
	if (code == 0)
		code = entry_put(writer, writer->databases.dbi[SPOOL_ROWS], row);
	if (code == 0) /* numbers only grow */
		code = mdb_put(
		    writer->txn, writer->databases.dbi[SPOOL_ORDER], &order, &key, MDB_APPEND);
	if (code == 0 && row->final)
		code = mdb_put(
		    writer->txn, writer->databases.dbi[SPOOL_DONE], &order, &when, MDB_APPEND);
	return code;
}

enum spool_result
spool_put(struct spool_writer *writer, const struct spool_entry *entry, int64_t now_us)
{
	struct spool_entry row = *entry;
	uint64_t used;

	if (writer->txn == NULL)
		return fail(writer, SPOOL_UNUSABLE, "no transaction is open");
	if (entry->key_length == 0 || entry->key_length > SPOOL_KEY_MAX)
		return fail(writer, SPOOL_UNUSABLE, "a key of %zu bytes", entry->key_length);
	int code = bytes_used(writer, &used);
	if (code == 0 && used + entry->length > bytes_limit(writer))
		return fail(writer, SPOOL_FULL, "the spool is full");
	row.seq = ++writer->seq;
	if (code == 0)
		code = row_put(writer, &row, now_us);
	return result_of(writer, "writing", code);
}

enum spool_result
spool_get(struct spool_writer *writer, const char *key, size_t key_length, struct spool_entry *out)
{
	MDB_val name = {.mv_size = key_length, .mv_data = (void *)(uintptr_t)key}, stored;

	if (writer->txn == NULL || key_length == 0 || key_length > SPOOL_KEY_MAX)
		return fail(writer, SPOOL_UNUSABLE, "no transaction is open, or no such key");
	int code = mdb_get(writer->txn, writer->databases.dbi[SPOOL_ROWS], &name, &stored);
	if (code == 0 && !spool_entry_take(&name, &stored, out))
		code = MDB_CORRUPTED;
	return result_of(writer, "reading", code);
}

/* --- notes ------------------------------------------------------------------------------------ */

enum spool_result
spool_note(struct spool_writer *writer, const char *name, const char *text, size_t length)
{
	const struct spool_entry note = {
	    .key = name, .key_length = strlen(name), .text = text, .length = length};
	const MDB_dbi dbi = writer->databases.dbi[SPOOL_NOTES];

	if (writer->txn == NULL || note.key_length == 0 || note.key_length > SPOOL_KEY_MAX)
		return fail(writer, SPOOL_UNUSABLE, "no transaction is open, or no such name");
	if (text != NULL)
		return result_of(writer, "writing a note", entry_put(writer, dbi, &note));
	MDB_val key = text_value(name);
	const int code = mdb_del(writer->txn, dbi, &key, NULL);
	return code == MDB_NOTFOUND ? SPOOL_OK : result_of(writer, "removing a note", code);
}

/* A read within the transaction that is open, or within one of its own. */
static int
read_begin(struct spool_writer *writer, MDB_txn **txn)
{
	const char *why;

	*txn = writer->txn;
	if (*txn != NULL)
		return 0;
	if (!spool_writer_sound(writer, &why))
		return MDB_CORRUPTED;
	return mdb_txn_begin(writer->env, NULL, MDB_RDONLY, txn);
}

static void
read_end(struct spool_writer *writer, MDB_txn *txn)
{
	if (txn != writer->txn)
		mdb_txn_abort(txn);
}

enum spool_result
spool_get_note(
    struct spool_writer *writer, const char *name, char *out, size_t size, size_t *length)
{
	MDB_val key = text_value(name), stored;
	struct spool_entry note = {.text = NULL};
	MDB_txn *txn;
	int code = read_begin(writer, &txn);

	*length = 0;
	if (code != 0)
		return result_of(writer, "reading a note", code);
	code = mdb_get(txn, writer->databases.dbi[SPOOL_NOTES], &key, &stored);
	if (code == 0 && !spool_entry_take(&key, &stored, &note))
		code = MDB_CORRUPTED;
	if (code == 0) {
		*length = note.length;
		memcpy(out, note.text, note.length < size ? note.length : size);
	}
	read_end(writer, txn);
	return result_of(writer, "reading a note", code);
}

enum spool_result
spool_each_note(struct spool_writer *writer, const char *prefix,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context)
{
	const size_t length = strlen(prefix);
	MDB_val key = text_value(prefix), stored;
	MDB_cursor *cursor;
	struct spool_entry note;
	MDB_txn *txn;
	int code = read_begin(writer, &txn);

	if (code != 0)
		return result_of(writer, "reading notes", code);
	code = mdb_cursor_open(txn, writer->databases.dbi[SPOOL_NOTES], &cursor);
	if (code == 0) {
		code =
		    mdb_cursor_get(cursor, &key, &stored, length > 0 ? MDB_SET_RANGE : MDB_FIRST);
		while (code == 0 && key.mv_size >= length &&
		       memcmp(key.mv_data, prefix, length) == 0) {
			if (!spool_entry_take(&key, &stored, &note))
				code = MDB_CORRUPTED;
			else if (!visit(&note, context))
				break;
			else
				code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
		}
		mdb_cursor_close(cursor);
	}
	read_end(writer, txn);
	return code == MDB_NOTFOUND ? SPOOL_OK : result_of(writer, "reading notes", code);
}

enum spool_result
spool_each_open(struct spool_writer *writer,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context)
{
	MDB_val key, stored;
	MDB_cursor *cursor;
	struct spool_entry row;
	MDB_txn *txn;
	int code = read_begin(writer, &txn);

	if (code != 0)
		return result_of(writer, "reading rows", code);
	code = mdb_cursor_open(txn, writer->databases.dbi[SPOOL_ROWS], &cursor);
	if (code == 0) {
		for (code = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST); code == 0;
		     code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT)) {
			if (!spool_entry_take(&key, &stored, &row)) {
				code = MDB_CORRUPTED;
				break;
			}
			if (!row.final && !visit(&row, context))
				break;
		}
		mdb_cursor_close(cursor);
	}
	read_end(writer, txn);
	return code == MDB_NOTFOUND ? SPOOL_OK : result_of(writer, "reading rows", code);
}

/* --- what may go ---------------------------------------------------------------------------------
 */

static int
row_remove(struct spool_writer *writer, MDB_cursor *done, MDB_val number)
{
	uint8_t copy[8];
	MDB_val order = {.mv_size = sizeof(copy), .mv_data = copy}, key;
	struct spool_entry proven;

	memcpy(copy, number.mv_data, sizeof(copy));
	int code = mdb_get(writer->txn, writer->databases.dbi[SPOOL_ORDER], &order, &key);
	if (code == 0 && !spool_row_take(writer->txn, &writer->databases, &order, &key, &proven))
		code = MDB_CORRUPTED;
	if (code == 0) {
		char name[SPOOL_KEY_MAX];
		MDB_val row = {.mv_size = key.mv_size, .mv_data = name};
		if (key.mv_size > sizeof(name))
			return MDB_CORRUPTED;
		memcpy(name, key.mv_data, key.mv_size);
		code = mdb_del(writer->txn, writer->databases.dbi[SPOOL_ROWS], &row, NULL);
		if (code == 0)
			code =
			    mdb_del(writer->txn, writer->databases.dbi[SPOOL_ORDER], &order, NULL);
	}
	return code == 0 ? mdb_cursor_del(done, 0) : code;
}

/* One that was put when the clock was ahead is dated anew: it must neither stay for ever nor go. */
static int
date_anew(MDB_cursor *done, MDB_val number, int64_t now_us)
{
	uint8_t copy[8], at[8];
	MDB_val key = {.mv_size = sizeof(copy), .mv_data = copy};
	MDB_val when = {.mv_size = sizeof(at), .mv_data = at};

	memcpy(copy, number.mv_data, sizeof(copy));
	spool_number_put(at, (uint64_t)now_us);
	return mdb_cursor_put(done, &key, &when, MDB_CURRENT);
}

struct prune {
	uint64_t shipped;
	int64_t now_us, before;
	unsigned left; /* so many rows may still be looked at */
	struct spool_pruned *out;
	bool changed;
	bool dating; /* of the writer, once this is on the disk */
	uint64_t dating_from;
};

struct done_row {
	MDB_val number;
	uint64_t seq, at;
	bool shipped, ahead;
};

/* False: there is none (*code 0), or it cannot be read. */
static bool
done_take(
    const struct prune *prune, MDB_cursor *done, MDB_cursor_op op, struct done_row *out, int *code)
{
	MDB_val when;

	*code = mdb_cursor_get(done, &out->number, &when, op);
	if (*code == 0 &&
	    (!spool_number_take(&out->number, &out->seq) || !spool_number_take(&when, &out->at)))
		*code = MDB_CORRUPTED;
	if (*code != 0) {
		*code = *code == MDB_NOTFOUND ? 0 : *code;
		return false;
	}
	out->shipped = out->seq <= prune->shipped;
	out->ahead = !out->shipped && out->at > (uint64_t)prune->now_us;
	return true;
}

/* From the oldest on, what may go, up to one that stays. */
static int
prune_oldest(struct spool_writer *writer, MDB_cursor *done, struct prune *prune)
{
	struct done_row row;
	int code = 0;

	while (code == 0 && prune->left > 0 && done_take(prune, done, MDB_FIRST, &row, &code)) {
		const int64_t put = row.ahead ? prune->now_us : (int64_t)row.at;
		if (!row.shipped && (prune->before <= 0 || put >= prune->before)) {
			if (row.ahead && !prune->dating) {
				prune->dating = true;
				prune->dating_from = row.seq;
			}
			return 0;
		}
		prune->left--;
		prune->changed = true;
		prune->out->removed++;
		prune->out->dropped += row.shipped ? 0 : 1;
		code = row_remove(writer, done, row.number);
	}
	return code;
}

/* Those that are ahead are dated, however many: where this pass ends, the next one goes on. */
static int
prune_dates(MDB_cursor *done, struct prune *prune)
{
	uint8_t from[8];
	struct done_row row = {.number = {.mv_size = sizeof(from), .mv_data = from}};
	MDB_cursor_op op = MDB_SET_RANGE;
	int code = 0;

	if (prune->before <= 0) /* nothing goes by its date now */
		return 0;
	spool_number_put(from, prune->dating_from);
	for (; prune->dating && prune->left > 0; prune->left--, op = MDB_NEXT) {
		prune->dating = done_take(prune, done, op, &row, &code);
		if (prune->dating && row.ahead)
			code = date_anew(done, row.number, prune->now_us);
		if (code != 0)
			return code;
		prune->changed = prune->changed || (prune->dating && row.ahead);
		prune->dating_from = row.seq + 1;
	}
	return 0;
}

/* Up to `most` rows from *from on, which then is where to go on; 0: at the first. */
static int
rows_prove(struct spool_writer *writer, unsigned most, uint64_t *from)
{
	uint8_t begin[8];
	MDB_val number = {.mv_size = sizeof(begin), .mv_data = begin}, key;
	MDB_cursor_op op = MDB_SET_RANGE;
	MDB_cursor *cursor;
	struct spool_entry row;
	int code = mdb_cursor_open(writer->txn, writer->databases.dbi[SPOOL_ORDER], &cursor);

	if (code != 0)
		return code;
	spool_number_put(begin, *from);
	for (; code == 0 && most > 0; most--, op = MDB_NEXT) {
		code = mdb_cursor_get(cursor, &number, &key, op);
		if (code == 0 &&
		    !spool_row_take(writer->txn, &writer->databases, &number, &key, &row))
			code = MDB_CORRUPTED;
		*from = code == 0 ? row.seq + 1 : 0;
	}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

/* The shipper waits in front of a row that is damaged, and only a new spool helps. */
static int
prune_proves(struct spool_writer *writer, uint64_t shipped)
{
	uint64_t next = shipped + 1;
	const int code = rows_prove(writer, 1, &next);

	return code != 0 ? code : rows_prove(writer, PROVE_ROWS, &writer->prove_from);
}

enum spool_result
spool_prune(struct spool_writer *writer, unsigned most, int64_t now_us, int64_t unshipped_before,
    struct spool_pruned *out)
{
	struct prune prune = {.shipped = spool_shipped(writer->state_dir, writer->identity),
	    .now_us = now_us > 0 ? now_us : 0,
	    .before = unshipped_before,
	    .left = most,
	    .out = out,
	    .dating = writer->dating,
	    .dating_from = writer->dating_from};
	MDB_cursor *done;
	enum spool_result result = spool_begin(writer);

	memset(out, 0, sizeof(*out));
	if (result != SPOOL_OK)
		return result;
	int code = prune_proves(writer, prune.shipped);
	if (code == 0)
		code = mdb_cursor_open(writer->txn, writer->databases.dbi[SPOOL_DONE], &done);
	if (code == 0) {
		code = prune_oldest(writer, done, &prune);
		if (code == 0)
			code = prune_dates(done, &prune);
		mdb_cursor_close(done);
	}
	result = code == 0 ? SPOOL_OK : result_of(writer, "pruning", code);
	if (result == SPOOL_OK && prune.changed)
		result = spool_commit(writer);
	else
		spool_abort(writer);
	if (result != SPOOL_OK) {
		memset(out, 0, sizeof(*out));
		return result;
	}
	out->more = prune.left == 0;
	writer->dating = prune.dating;
	writer->dating_from = prune.dating_from;
	return SPOOL_OK;
}

enum spool_result
spool_usage(struct spool_writer *writer, struct spool_usage *out)
{
	const bool own = writer->txn == NULL;
	MDB_stat order;
	int code = read_begin(writer, &writer->txn);

	memset(out, 0, sizeof(*out));
	if (code == 0)
		code = bytes_used(writer, &out->bytes);
	if (code == 0)
		code = mdb_stat(writer->txn, writer->databases.dbi[SPOOL_ORDER], &order);
	if (code == 0) {
		out->limit = bytes_limit(writer);
		out->rows = order.ms_entries;
	}
	if (own)
		spool_abort(writer);
	return result_of(writer, "reading", code);
}
