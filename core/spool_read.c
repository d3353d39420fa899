/*
 * spool_read: how others read the spool, and the file in which the shipper says how far it is (see
 * spool.h). A reader opens the environment for one reading and closes it again, so that it never
 * holds on to files that the writer has set aside, nor to pages that the writer wants back.
 */
#include "core/spool_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spool_reader {
	char path[SPOOL_PATH_SIZE];
	/* of one reading */
	MDB_env *env;
	MDB_txn *txn;
	struct spool_databases databases;
};

struct spool_reader *
spool_reader_new(const char *state_dir)
{
	struct spool_reader *reader = calloc(1, sizeof(*reader));

	if (reader != NULL && !spool_path(state_dir, SPOOL_DIRECTORY, reader->path)) {
		free(reader);
		return NULL;
	}
	return reader;
}

void
spool_reader_free(struct spool_reader *reader)
{
	free(reader);
}

static void
reading_end(struct spool_reader *reader)
{
	if (reader->txn != NULL)
		mdb_txn_abort(reader->txn);
	if (reader->env != NULL)
		mdb_env_close(reader->env);
	reader->txn = NULL;
	reader->env = NULL;
}

static enum spool_result
reading_begin(struct spool_reader *reader)
{
	if (!spool_files_plain(reader->path))
		return SPOOL_UNUSABLE;
	int code = mdb_env_create(&reader->env);
	if (code != 0) {
		reader->env = NULL;
		return SPOOL_UNUSABLE;
	}
	code = mdb_env_set_maxdbs(reader->env, SPOOL_DATABASES);
	if (code == 0)
		code = mdb_env_open(reader->env, reader->path, MDB_RDONLY | MDB_NOTLS, 0);
	if (code == 0)
		code = mdb_txn_begin(reader->env, NULL, MDB_RDONLY, &reader->txn);
	if (code != 0)
		reader->txn = NULL;
	else
		code = spool_databases_open(reader->txn, false, &reader->databases);
	if (code == 0)
		return SPOOL_OK;
	reading_end(reader);
	return code == ENOENT || code == MDB_NOTFOUND ? SPOOL_NOT_FOUND : SPOOL_UNUSABLE;
}

enum spool_result
spool_read(struct spool_reader *reader, uint64_t after,
    bool (*visit)(const struct spool_entry *entry, void *context), void *context)
{
	uint8_t from[8];
	MDB_val number = {.mv_size = sizeof(from), .mv_data = from}, key;
	MDB_cursor *cursor;
	struct spool_entry row;
	enum spool_result result;

	if (after == UINT64_MAX)
		return SPOOL_OK;
	result = reading_begin(reader);
	if (result != SPOOL_OK)
		return result;
	spool_number_put(from, after + 1);
	int code = mdb_cursor_open(reader->txn, reader->databases.dbi[SPOOL_ORDER], &cursor);
	if (code == 0) {
		for (code = mdb_cursor_get(cursor, &number, &key, MDB_SET_RANGE); code == 0;
		     code = mdb_cursor_get(cursor, &number, &key, MDB_NEXT)) {
			if (!spool_row_take(reader->txn, &reader->databases, &number, &key, &row)) {
				code = MDB_CORRUPTED;
				break;
			}
			if (!visit(&row, context))
				break;
		}
		mdb_cursor_close(cursor);
	}
	reading_end(reader);
	return code == 0 || code == MDB_NOTFOUND ? SPOOL_OK : SPOOL_UNUSABLE;
}

enum spool_result
spool_identity(struct spool_reader *reader, char out[40])
{
	static const char name[] = "identity";
	MDB_val key = {.mv_size = sizeof(name) - 1, .mv_data = (void *)(uintptr_t)name}, value;
	enum spool_result result = reading_begin(reader);

	out[0] = '\0';
	if (result != SPOOL_OK)
		return result;
	const int code = mdb_get(reader->txn, reader->databases.dbi[SPOOL_META], &key, &value);
	if (code == 0 && value.mv_size < SPOOL_IDENTITY_SIZE) {
		memcpy(out, value.mv_data, value.mv_size);
		out[value.mv_size] = '\0';
	} else
		result = code == MDB_NOTFOUND ? SPOOL_NOT_FOUND : SPOOL_UNUSABLE;
	reading_end(reader);
	return result;
}

/* --- how far the shipper is: one line, `NUMBER IDENTITY` -----------------------------------------
 */

uint64_t
spool_shipped(const char *state_dir, const char *identity)
{
	const size_t known = strlen(identity);
	char path[SPOOL_PATH_SIZE], line[128], *whose;

	if (!spool_path(state_dir, SPOOL_SHIPPED, path))
		return 0;
	const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file < 0)
		return 0;
	const ssize_t length = read(file, line, sizeof(line) - 1);
	close(file);
	if (length <= 0 || line[0] < '0' || line[0] > '9')
		return 0;
	line[length] = '\0';
	errno = 0;
	const uint64_t seq = strtoull(line, &whose, 10);
	if (errno != 0 || *whose++ != ' ' || strncmp(whose, identity, known) != 0)
		return 0;
	return strcmp(whose + known, "\n") == 0 ? seq : 0;
}

static bool
file_fill(int file, const char *text, size_t length)
{
	return write(file, text, length) == (ssize_t)length && fsync(file) == 0;
}

bool
spool_set_shipped(const char *state_dir, const char *identity, uint64_t seq)
{
	char path[SPOOL_PATH_SIZE], fresh[SPOOL_PATH_SIZE], line[128];
	const int length = snprintf(line, sizeof(line), "%" PRIu64 " %s\n", seq, identity);

	if (length <= 0 || (size_t)length >= sizeof(line) ||
	    !spool_path(state_dir, SPOOL_SHIPPED, path) ||
	    !spool_path(state_dir, SPOOL_SHIPPED ".new", fresh))
		return false;
	if (unlink(fresh) != 0 && errno != ENOENT)
		return false;
	const int file = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (file < 0)
		return false;
	const bool good = file_fill(file, line, (size_t)length);
	close(file);
	if (good && rename(fresh, path) == 0)
		return true;
	unlink(fresh);
	return false;
}
