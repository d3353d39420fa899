/*
 * postfix_store: copies, record and atomic replacement (see postfix_store.h).
 */
#include "ctl/postfix_store.h"

#include "ctl/ctl.h"
#include "ctl/postfix_gather.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define FOLDER "mxhold-saved"
#define TEMPORARY ".mxhold-new"

static const char *const file_names[STORE_FILES] = {"main.cf", "master.cf"};
static const char *const copy_names[STORE_COPIES] = {"original", "before"};

const char *
store_file_name(enum store_file file)
{
	return file_names[file];
}

const char *
store_state_name(enum store_state state)
{
	static const char *const names[] = {
	    [STORE_NONE] = "not-applied",
	    [STORE_APPLIED] = "applied",
	    [STORE_EDITED] = "edited",
	    [STORE_HALF] = "half",
	    [STORE_DAMAGED] = "damaged",
	};
	return names[state];
}

char *
store_path(const struct store *store, enum store_file file, const char *copy)
{
	if (copy == NULL)
		return mem_format("%s/%s", store->config_dir, file_names[file]);
	return mem_format("%s/%s.%s", store->folder, file_names[file], copy);
}

/* --- files ---------------------------------------------------------------------------- */

static bool
write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t wrote = write(fd, bytes, length);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		bytes += wrote;
		length -= (size_t)wrote;
	}
	return true;
}

static bool
sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash != NULL ? mem_copy(path, (size_t)(slash - path)) : mem_string(".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	free(folder);
	return good;
}

struct content {
	const char *bytes;
	size_t length;
	const struct stat *like; /* mode and owner */
	bool with_time;          /* and time of change */
};

static bool
fill_file(int fd, const struct content *content)
{
	struct timespec times[2] = {content->like->st_atim, content->like->st_mtim};
	return write_all(fd, content->bytes, content->length) &&
	       fchown(fd, content->like->st_uid, content->like->st_gid) == 0 &&
	       fchmod(fd, content->like->st_mode & 07777) == 0 &&
	       (!content->with_time || futimens(fd, times) == 0) && fsync(fd) == 0;
}

/* Whole or not at all: a temporary file beside it, then rename(2). */
static bool
replace_file(const char *path, const struct content *content)
{
	char *target = realpath(path, NULL);
	char *final = target != NULL ? target : mem_string(path);
	char *temporary = mem_format("%s" TEMPORARY, final);
	(void)unlink(temporary); /* of a run that was killed; the lock keeps others away */
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool good = fd >= 0 && fill_file(fd, content);
	int error = errno;
	if (fd >= 0 && close(fd) != 0)
		good = false;
	if (good && (rename(temporary, final) != 0 || !sync_folder_of(final))) {
		good = false;
		error = errno;
	}
	if (!good) {
		if (fd >= 0)
			(void)unlink(temporary);
		ctl_say("%s cannot be written: %s", path, strerror(error));
	}
	free(temporary);
	free(final);
	return good;
}

/* Copies `from` over `to`, with mode, owner and time of change. */
static bool
copy_file(const char *from, const char *to)
{
	struct stat status;
	size_t length;
	char *bytes = gather_file(from, &length);
	if (bytes == NULL || stat(from, &status) != 0) {
		ctl_say("%s: %m", from);
		free(bytes);
		return false;
	}
	struct content content = {bytes, length, &status, true};
	bool good = replace_file(to, &content);
	free(bytes);
	return good;
}

static bool
copy_named(const struct store *store, enum store_file file, const char *from, const char *to)
{
	char *source = store_path(store, file, from), *target = store_path(store, file, to);
	bool good = copy_file(source, target);
	free(source);
	free(target);
	return good;
}

enum same { SAME_YES, SAME_NO, SAME_UNCLEAR };

static enum same
compare_named(const struct store *store, enum store_file file, const char *copy)
{
	char *live_path = store_path(store, file, NULL), *path = store_path(store, file, copy);
	size_t live_length = 0, length = 0;
	char *live = gather_file(live_path, &live_length), *saved = gather_file(path, &length);
	enum same same = SAME_UNCLEAR;
	if (live != NULL && saved != NULL)
		same =
		    live_length == length && memcmp(live, saved, length) == 0 ? SAME_YES : SAME_NO;
	free(live);
	free(saved);
	free(live_path);
	free(path);
	return same;
}

/* --- the record --------------------------------------------------------------------------- */

static char *
record_path(const struct store *store)
{
	return mem_format("%s/record", store->folder);
}

static bool
write_record(const struct store *store, const char *doing)
{
	struct stat like = {.st_mode = 0600, .st_uid = geteuid(), .st_gid = getegid()};
	char *path = record_path(store);
	struct text out = {0};
	text_format(&out, "state=%s\noverlay=%s\nat=%s\nmixed=%d\nshared=%d\nfrom=%s\n", doing,
	    store->version, store->at, store->mixed ? 1 : 0, store->shared ? 1 : 0, store->overlay);
	for (int f = 0; f < STORE_FILES; f++)
		for (int c = 0; c < STORE_COPIES; c++)
			text_format(&out, "%s.%s=%s\n", file_names[f], copy_names[c],
			    store->sums[f][c] != NULL ? store->sums[f][c] : "");
	struct content content = {out.bytes, out.length, &like, false};
	bool good = replace_file(path, &content);
	text_free(&out);
	free(path);
	return good;
}

static char *
record_value(const char *record, const char *key)
{
	size_t length = strlen(key);
	for (const char *line = record; *line != '\0'; line += strspn(line, "\n")) {
		size_t end = strcspn(line, "\n");
		if (end > length && strncmp(line, key, length) == 0 && line[length] == '=')
			return mem_copy(line + length + 1, end - length - 1);
		line += end;
	}
	return mem_string("");
}

/* Are all files equal to their copy? */
static enum same
compare_all(const struct store *store, const char *copy)
{
	enum same all = SAME_YES;
	for (int f = 0; f < STORE_FILES; f++) {
		enum same same = compare_named(store, (enum store_file)f, copy);
		if (same == SAME_UNCLEAR)
			return SAME_UNCLEAR;
		if (same == SAME_NO)
			all = SAME_NO;
	}
	return all;
}

/* Is each live file one that we wrote, or saved? Then nothing of anybody else's can be lost. */
static bool
holds_only_ours(const struct store *store)
{
	const char *target = store->rolling_back ? "original" : "before";
	for (int f = 0; f < STORE_FILES; f++)
		if (compare_named(store, (enum store_file)f, target) != SAME_YES &&
		    compare_named(store, (enum store_file)f, "applied") != SAME_YES &&
		    compare_named(store, (enum store_file)f, "edited") != SAME_YES)
			return false;
	return true;
}

static char *
sum_of(const char *bytes, size_t length)
{
	return mem_format("%016llx", (unsigned long long)XXH3_64bits(bytes, length));
}

/* Notes what the copy holds, which has just been made. */
static bool
note_sum(struct store *store, enum store_file file, enum store_copy copy)
{
	char *path = store_path(store, file, copy_names[copy]);
	size_t length;
	char *bytes = gather_file(path, &length);
	if (bytes != NULL) {
		free(store->sums[file][copy]);
		store->sums[file][copy] = sum_of(bytes, length);
	} else
		ctl_say("%s: %m", path);
	free(path);
	free(bytes);
	return bytes != NULL;
}

/* Is it what was saved? Where no checksum was recorded (by an older mxholdctl) it must not be
 * empty. */
static bool
is_sound(struct store *store, enum store_file file, enum store_copy copy)
{
	char *path = store_path(store, file, copy_names[copy]);
	const char *sum = store->sums[file][copy];
	size_t length;
	char *bytes = gather_file(path, &length), *found = NULL;
	const char *damage = NULL;
	if (bytes == NULL)
		damage = strerror(errno);
	else if (*sum == '\0' && length == 0)
		damage = "it is empty";
	else if (*sum != '\0' && strcmp(found = sum_of(bytes, length), sum) != 0)
		damage = "it is not what was saved there";
	if (damage != NULL && store->damage == NULL)
		store->damage = mem_format("%s: %s", path, damage);
	free(path);
	free(bytes);
	free(found);
	return damage == NULL;
}

/* All that a rollback, or the end of a killed run, needs: known before anything is written. */
static bool
copies_are_sound(struct store *store, bool before_too)
{
	bool sound = true;
	for (int f = 0; f < STORE_FILES; f++)
		for (int c = 0; c < (before_too ? STORE_COPIES : 1); c++)
			sound = is_sound(store, (enum store_file)f, (enum store_copy)c) && sound;
	return sound;
}

static enum store_state
judge_record(struct store *store, const char *doing)
{
	store->rolling_back = strcmp(doing, "rolling-back") == 0;
	if (!copies_are_sound(store, strcmp(doing, "applying") == 0))
		return STORE_DAMAGED;
	if (strcmp(doing, "applied") == 0)
		switch (compare_all(store, "applied")) {
		case SAME_YES: return STORE_APPLIED;
		case SAME_NO: return STORE_EDITED;
		case SAME_UNCLEAR:
			store->damage = mem_format("%s: copies are missing", store->folder);
			return STORE_DAMAGED;
		}
	if (!store->rolling_back && strcmp(doing, "applying") != 0) {
		store->damage = mem_format("%s/record: nothing that can be read", store->folder);
		return STORE_DAMAGED;
	}
	store->repairable = holds_only_ours(store);
	return STORE_HALF;
}

static bool
read_state(struct store *store)
{
	char *path = record_path(store);
	size_t length;
	char *record = gather_file(path, &length);
	store->state = STORE_NONE;
	if (record == NULL && errno != ENOENT) {
		if (errno == ENOTDIR)
			ctl_say(
			    "%s is no folder: mxholdctl keeps the old files there; move it away",
			    store->folder);
		else
			ctl_say("%s: %m", path);
		free(path);
		return false;
	}
	free(path);
	free(store->version);
	free(store->at);
	free(store->overlay);
	store->overlay = record_value(record != NULL ? record : "", "from");
	store->version = record_value(record != NULL ? record : "", "overlay");
	store->at = record_value(record != NULL ? record : "", "at");
	if (record != NULL) {
		char *doing = record_value(record, "state"), *mixed = record_value(record, "mixed");
		char *shared = record_value(record, "shared");
		store->mixed = strcmp(mixed, "1") == 0;
		store->shared = strcmp(shared, "1") == 0;
		for (int f = 0; f < STORE_FILES; f++)
			for (int c = 0; c < STORE_COPIES; c++) {
				char *key = mem_format("%s.%s", file_names[f], copy_names[c]);
				free(store->sums[f][c]);
				store->sums[f][c] = record_value(record, key);
				free(key);
			}
		store->state = judge_record(store, doing);
		free(doing);
		free(mixed);
		free(shared);
	}
	free(record);
	return true;
}

/* --- the interface ------------------------------------------------------------------------- */

enum store_opened
store_open(struct store *store, const char *config_dir, bool exclusive)
{
	enum store_opened opened = STORE_OPEN;
	*store = (struct store){
	    .config_dir = mem_string(config_dir),
	    .folder = mem_format("%s/" FOLDER, config_dir),
	    .lock = -1,
	};
	if (exclusive) {
		store->lock = open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (store->lock < 0 || flock(store->lock, LOCK_EX | LOCK_NB) != 0) {
			opened = errno == EWOULDBLOCK ? STORE_BUSY : STORE_UNREADABLE;
			ctl_say("%s: %s", config_dir,
			    opened == STORE_BUSY ? "another mxholdctl is at work on it"
						 : strerror(errno));
		}
	}
	if (opened == STORE_OPEN && !read_state(store))
		opened = STORE_UNREADABLE;
	if (opened != STORE_OPEN)
		store_close(store);
	return opened;
}

void
store_close(struct store *store)
{
	if (store->lock >= 0)
		close(store->lock);
	free(store->config_dir);
	free(store->folder);
	free(store->version);
	free(store->at);
	free(store->overlay);
	free(store->damage);
	for (int f = 0; f < STORE_FILES; f++)
		for (int c = 0; c < STORE_COPIES; c++)
			free(store->sums[f][c]);
	*store = (struct store){.lock = -1};
}

static char *
time_now(void)
{
	char text[32];
	time_t now = time(NULL);
	struct tm parts;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
	return mem_string(text);
}

/* Writes the new bytes as the copy `applied`, with mode and owner of the live file. */
static bool
save_new(const struct store *store, enum store_file file, const char *bytes, size_t length)
{
	struct stat status;
	char *live = store_path(store, file, NULL), *path = store_path(store, file, "applied");
	bool good = stat(live, &status) == 0;
	if (!good)
		ctl_say("%s: %m", live);
	struct content content = {bytes, length, &status, false};
	good = good && replace_file(path, &content);
	free(live);
	free(path);
	return good;
}

/* The copies that a failed or killed apply brings back. */
static bool
save_old(struct store *store)
{
	for (int f = 0; f < STORE_FILES; f++) {
		enum store_file file = (enum store_file)f;
		bool good;
		if (store->state == STORE_HALF)
			good = !store->rolling_back ||
			       (copy_named(store, file, "original", "before") &&
				   note_sum(store, file, STORE_BEFORE));
		else
			good = copy_named(store, file, NULL, "before") &&
			       note_sum(store, file, STORE_BEFORE) &&
			       (store->state != STORE_NONE ||
				   (copy_named(store, file, NULL, "original") &&
				       note_sum(store, file, STORE_ORIGINAL)));
		if (!good)
			return false;
	}
	return true;
}

/* The record says `applying`, and the new bytes are saved. False: `recorded` says how far it came.
 */
static bool
save_run(struct store *store, const struct store_new *new, bool *recorded)
{
	if (mkdir(store->folder, 0700) != 0 && errno != EEXIST) {
		ctl_say("%s: %m", store->folder);
		return false;
	}
	if (!save_old(store))
		return false;
	/* From here on .applied is not what the record says: the record says so first. */
	*recorded = write_record(store, "applying");
	if (!*recorded)
		return false;
	for (int f = 0; f < STORE_FILES; f++)
		if (!save_new(store, (enum store_file)f, new->bytes[f], new->lengths[f]))
			return false;
	return true;
}

bool
store_begin(struct store *store, const struct store_new *new)
{
	char *version = store->version, *at = store->at, *overlay = store->overlay;
	const bool mixed = store->mixed, shared = store->shared;
	bool recorded = false;

	store->mixed = mixed || store->state == STORE_EDITED;
	store->version = mem_string(new->version);
	store->at = time_now();
	store->overlay = mem_string(new->overlay);
	store->shared = new->shared;
	const bool good = save_run(store, new, &recorded);
	if (good) {
		free(version);
		free(at);
		free(overlay);
		return true;
	}
	free(store->version);
	free(store->at);
	free(store->overlay);
	store->version = version;
	store->at = at;
	store->overlay = overlay;
	store->mixed = mixed || (recorded && store->state == STORE_EDITED);
	store->shared = shared;
	bool back = true;
	if (recorded && store->state != STORE_HALF)
		back = store_undo(store);
	else if (!recorded && store->state == STORE_NONE)
		back = store_forget(store);
	if (!back)
		ctl_say("%s could not be put right; `rollback` does it", store->folder);
	return false;
}

bool
store_write(const struct store *store)
{
	/* master.cf first: Postfix reads it at a reload only, main.cf with each new process. */
	static const enum store_file order[STORE_FILES] = {STORE_MASTER, STORE_MAIN};
	for (int i = 0; i < STORE_FILES; i++)
		if (compare_named(store, order[i], "applied") != SAME_YES &&
		    !copy_named(store, order[i], "applied", NULL))
			return false;
	return true;
}

bool
store_finish(struct store *store)
{
	store->state = STORE_APPLIED;
	return write_record(store, "applied");
}

bool
store_note_shared(struct store *store)
{
	bool applied = store->state == STORE_APPLIED || store->state == STORE_EDITED;
	if (!applied || store->shared)
		return true;
	store->shared = true;
	return write_record(store, "applied");
}

/* What a killed run may have left beside a file. */
static void
remove_temporary(const struct store *store, enum store_file file)
{
	char *live = store_path(store, file, NULL);
	char *target = realpath(live, NULL);
	char *temporary = mem_format("%s" TEMPORARY, target != NULL ? target : live);
	(void)unlink(temporary);
	free(temporary);
	free(target);
	free(live);
}

/* Live files become `copy` again, main.cf first. */
static bool
bring_back(const struct store *store, const char *copy)
{
	bool good = true;
	for (int f = 0; f < STORE_FILES; f++) {
		remove_temporary(store, (enum store_file)f);
		if (compare_named(store, (enum store_file)f, copy) != SAME_YES)
			good = copy_named(store, (enum store_file)f, copy, NULL) && good;
	}
	return good;
}

bool
store_undo(struct store *store)
{
	if (!bring_back(store, "before"))
		return false;
	if (compare_all(store, "original") == SAME_YES)
		return store_forget(store);
	for (int f = 0; f < STORE_FILES; f++)
		if (!copy_named(store, (enum store_file)f, "before", "applied"))
			return false;
	return store_finish(store);
}

bool
store_rollback(struct store *store)
{
	return write_record(store, "rolling-back") && bring_back(store, "original");
}

bool
store_keep_edited(const struct store *store)
{
	for (int f = 0; f < STORE_FILES; f++)
		if (!copy_named(store, (enum store_file)f, NULL, "edited"))
			return false;
	return true;
}

/* Removes what lies in the folder, but for the copies of edited files. */
static void
empty_folder(const struct store *store)
{
	DIR *folder = opendir(store->folder);
	const struct dirent *entry;
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		size_t length = strlen(entry->d_name);
		if (entry->d_name[0] == '.' ||
		    (length > 7 && strcmp(entry->d_name + length - 7, ".edited") == 0))
			continue;
		(void)unlinkat(dirfd(folder), entry->d_name, 0);
	}
	if (folder != NULL)
		closedir(folder);
	(void)rmdir(store->folder); /* stays while an edited copy lies in it */
}

bool
store_forget(struct store *store)
{
	char *path = record_path(store);
	bool good = unlink(path) == 0 || errno == ENOENT;
	if (!good)
		ctl_say("%s: %m", path);
	free(path);
	if (good)
		empty_folder(store);
	store->state = STORE_NONE;
	store->shared = false;
	return good && sync_folder_of(store->folder);
}
