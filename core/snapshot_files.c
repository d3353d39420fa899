/*
 * snapshot_files: the snapshot's place among the files (core/lmdb_files does the work).
 */
#include "core/lmdb_files.h"
#include "core/snapshot_writer.h"

static struct lmdb_place
place_of(const char *state_dir)
{
	return (struct lmdb_place){.state_dir = state_dir, .name = SNAPSHOT_DIRECTORY};
}

int
snapshot_lock_take(const char *state_dir)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_lock_take(&place);
}

bool
snapshot_directory_make(const char *state_dir)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_directory_make(&place);
}

const char *
snapshot_permissions_set(const char *state_dir, gid_t group)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_permissions_set(&place, group);
}

bool
snapshot_lock_file_renew(const char *state_dir)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_lock_file_renew(&place);
}

bool
snapshot_set_aside(const char *state_dir)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_set_aside(&place);
}

bool
snapshot_lock_file_discard(const char *state_dir)
{
	const struct lmdb_place place = place_of(state_dir);

	return lmdb_lock_file_discard(&place);
}
