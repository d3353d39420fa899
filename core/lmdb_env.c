/*
 * lmdb_env: see lmdb_env.h. In: an open environment. Out: what its file is like. It reads the meta
 * pages and the list of free pages, nothing else.
 */
#include "core/lmdb_env.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 3

static bool
stat_opened(MDB_env *env, int *descriptor, struct stat *out)
{
	return mdb_env_get_fd(env, descriptor) == 0 && fstat(*descriptor, out) == 0;
}

/* Bytes that the file must have; 0: LMDB does not say. */
static uint64_t
bytes_needed(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat about;

	if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &about) != 0)
		return 0;
	return ((uint64_t)info.me_last_pgno + 1) * about.ms_psize;
}

bool
lmdb_file_is_whole(MDB_env *env)
{
	struct stat status;
	int descriptor;

	for (unsigned look = 0; look < LOOKS; look++) {
		if (!stat_opened(env, &descriptor, &status) || status.st_size < LMDB_FILE_AT_LEAST)
			return false;
		const uint64_t needed = bytes_needed(env);
		if (needed != 0 && (uint64_t)status.st_size >= needed)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

int
lmdb_file_extend(MDB_env *env, uint64_t tail)
{
	const uint64_t needed = bytes_needed(env);
	struct stat status;
	int descriptor;

	if (needed == 0 || !stat_opened(env, &descriptor, &status))
		return EIO;
	if ((uint64_t)status.st_size >= needed + tail / 2)
		return 0;
	return ftruncate(descriptor, (off_t)(needed + tail)) == 0 ? 0 : errno;
}

bool
lmdb_file_is_current(MDB_env *env, const char *path)
{
	struct stat opened, named;
	int descriptor;

	return stat_opened(env, &descriptor, &opened) && stat(path, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

static bool
free_pages_sound(const MDB_val *key, const MDB_val *value, size_t last_page)
{
	const size_t words = value->mv_size / sizeof(size_t);
	size_t count, page, before = SIZE_MAX;

	if (key->mv_size != sizeof(size_t) || words == 0)
		return false;
	memcpy(&count, value->mv_data, sizeof(count));
	if (count > words - 1)
		return false;
	for (size_t i = 1; i <= count; i++, before = page) {
		memcpy(&page, (const char *)value->mv_data + i * sizeof(page), sizeof(page));
		if (page < 2 || page > last_page || page >= before)
			return false;
	}
	return true;
}

int
lmdb_free_list_check(MDB_env *env, MDB_txn *txn)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_envinfo info;
	int code = mdb_env_info(env, &info);

	if (code == 0)
		code = mdb_cursor_open(txn, 0, &cursor);
	if (code != 0)
		return code;
	while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (!free_pages_sound(&key, &value, info.me_last_pgno)) {
			code = MDB_CORRUPTED;
			break;
		}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

bool
lmdb_code_is_damage(int code)
{
	switch (code) {
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_CURSOR_FULL:
	case MDB_INCOMPATIBLE:
	case EINVAL: return true;
	default: return false;
	}
}
