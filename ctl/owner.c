/*
 * owner: see owner.h. Only the effective ids and the groups change, and only while files are
 * opened: the real user stays root, so that the owner of the directory can neither signal nor
 * trace this process meanwhile. It must never go on without the rights that it began with.
 */
#include "ctl/owner.h"

#include "core/lmdb_files.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 256

struct rights {
	bool changed;
	uid_t uid;
	gid_t gid;
	int group_count;
	gid_t groups[GROUPS_MAX];
};

static void
take_back(const struct rights *before)
{
	if (!before->changed)
		return;
	if (seteuid(before->uid) == 0 && setegid(before->gid) == 0 &&
	    setgroups((size_t)before->group_count, before->groups) == 0)
		return;
	ctl_say("the rights of root cannot be had back: %m");
	exit(CTL_SOFTWARE);
}

/* Nothing is to be done for anybody but root, nor where the directory is root's or missing. */
static bool
take_on(const char *directory, struct rights *before)
{
	struct stat status;

	*before = (struct rights){.uid = geteuid(), .gid = getegid()};
	if (before->uid != 0)
		return true;
	if (lstat(directory, &status) != 0)
		return errno == ENOENT;
	if (status.st_uid == 0)
		return true;
	before->group_count = getgroups(GROUPS_MAX, before->groups);
	before->changed = before->group_count >= 0;
	return before->changed && setgroups(1, &status.st_gid) == 0 &&
	       setegid(status.st_gid) == 0 && seteuid(status.st_uid) == 0;
}

enum snapshot_result
owner_snapshot_begin(struct snapshot *snapshot, const char *state_dir, int64_t boot_ms)
{
	enum snapshot_result result = SNAPSHOT_UNUSABLE;
	struct rights before;

	if (take_on(state_dir, &before))
		result = snapshot_begin(snapshot, boot_ms);
	else
		ctl_say("%s: the rights of its owner cannot be taken on: %m", state_dir);
	take_back(&before);
	return result;
}

enum state_result
owner_state_begin(struct state *state, const char *state_dir, int64_t boot_ms)
{
	enum state_result result = STATE_UNUSABLE;
	char path[PATH_MAX];
	struct rights before = {.changed = false};
	const int length = snprintf(path, sizeof(path), "%s/" QUEUED_FOLDER "/state", state_dir);

	if (length > 0 && (size_t)length < sizeof(path) && take_on(path, &before))
		result = state_begin(state, boot_ms);
	take_back(&before);
	return result;
}
