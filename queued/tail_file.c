/*
 * tail_file: a log file and what it was rotated into (see tail.h).
 *
 * The present file is read by its descriptor, so that a renamed one is read on. What was rotated
 * away is read through zlib, which passes plain files through. Offsets count bytes as they were
 * written, compressed or not.
 */
#include "queued/tail_inner.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PRINT_MAX 1024 /* bytes that a fingerprint covers at most */
#define LOST_S 3600    /* what was lost is shown for so long, seconds */

struct print { /* of a file's first bytes */
	size_t length;
	uint64_t hash;
};

struct mark { /* a position */
	uint64_t inode;
	struct print print;
	int64_t offset; /* where a line begins */
};

struct rotated {
	char *path;
	struct timespec modified;
	dev_t device;
	ino_t inode;
};

struct tail_file {
	const char *path;
	char target[PATH_MAX]; /* where the path led when it was opened: it may be a link */
	char *problem;
	struct mark at;
	bool known;              /* `at` says where we are */
	int fd;                  /* the present file, or the one that was it; -1: none */
	gzFile old;              /* a rotated one, read before the present one; NULL: none */
	struct rotated *rotated; /* while it is searched: all of them, oldest first */
	size_t rotated_count;
	char loss[TAIL_PROBLEM_SIZE]; /* "": none lately */
	int64_t lost_at, now;         /* seconds since the epoch */
	int64_t scan;    /* up to here the line that begins at at.offset was looked through */
	bool skipping;   /* it is too long, or begins before where we came in */
	int64_t partial; /* bytes behind scan of a line without its end */
	char buffer[TAIL_LINE_MAX];
};

/* --- fingerprints -------------------------------------------------------------------------------
 */

static ssize_t
old_bytes(gzFile old, char *out, size_t size, int64_t offset)
{
	gzclearerr(old); /* it may have grown since it ended */
	if (gztell(old) != offset && gzseek(old, offset, SEEK_SET) != offset)
		return 0; /* it ends before */
	return gzread(old, out, (unsigned)size);
}

/* Bytes from `offset` of what is open; -1: error. */
static ssize_t
bytes_at(const struct tail_file *file, char *out, size_t size, int64_t offset)
{
	return file->old != NULL ? old_bytes(file->old, out, size, offset)
				 : pread(file->fd, out, size, offset);
}

static struct print
print_of(const char *bytes, size_t length)
{
	return (struct print){.length = length, .hash = XXH3_64bits(bytes, length)};
}

static bool
print_is(const struct print *print, const char *bytes, ssize_t got)
{
	return got == (ssize_t)print->length && print_of(bytes, print->length).hash == print->hash;
}

/* Does the file begin as that one did? An empty fingerprint fits every file. */
static bool
print_fits(const struct tail_file *file, const struct print *print)
{
	char bytes[PRINT_MAX];

	return print->length == 0 ||
	       print_is(print, bytes, pread(file->fd, bytes, print->length, 0));
}

static bool
mark_fits(gzFile old, uint64_t inode, const struct mark *mark)
{
	char bytes[PRINT_MAX];

	return mark->print.length > 0
		   ? print_is(&mark->print, bytes, old_bytes(old, bytes, mark->print.length, 0))
		   : mark->inode == inode;
}

/* A file that has grown gets a better one. */
static void
print_grow(struct tail_file *file)
{
	char bytes[PRINT_MAX];

	if (file->at.print.length == PRINT_MAX)
		return;
	const ssize_t got = bytes_at(file, bytes, sizeof(bytes), 0);
	if (got >= 0 && (size_t)got > file->at.print.length)
		file->at.print = print_of(bytes, (size_t)got);
}

/* --- opening
 * -------------------------------------------------------------------------------------- */

static void
old_close(struct tail_file *file)
{
	if (file->old != NULL)
		gzclose(file->old);
	file->old = NULL;
}

static void
present_close(struct tail_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

static void
problem_set(struct tail_file *file, const char *words, const char *more)
{
	snprintf(file->problem, TAIL_PROBLEM_SIZE, "%.200s: %s%s", file->path, words, more);
}

static void
loss_set(struct tail_file *file, const char *words)
{
	problem_set(file, words,
	    "lines may be missing: the queue's listing will show what they would have said");
	snprintf(file->loss, sizeof(file->loss), "%s", file->problem);
	file->lost_at = file->now;
}

/* At the end of all: nothing is amiss any more, but a loss is shown for a while. */
static void
problem_clear(struct tail_file *file)
{
	if (file->now < file->lost_at || file->now - file->lost_at >= LOST_S)
		file->loss[0] = '\0';
	snprintf(file->problem, TAIL_PROBLEM_SIZE, "%s", file->loss);
}

/* Where a file that is read from its beginning stands. */
static void
begin_at(struct tail_file *file, uint64_t inode, int64_t offset)
{
	file->at = (struct mark){.inode = inode, .offset = offset};
	file->scan = offset;
	file->skipping = offset > 0;
	file->known = true;
	print_grow(file);
}

static bool
present_open(struct tail_file *file, struct stat *status)
{
	present_close(file);
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd >= 0 && fstat(file->fd, status) == 0 && S_ISREG(status->st_mode)) {
		if (realpath(file->path, file->target) == NULL)
			file->target[0] = '\0';
		return true;
	}
	problem_set(file, file->fd >= 0 ? "it is no file" : strerror(errno),
	    errno == EACCES
		? ": mxhold-queued's user must be able to read it (group adm, mode 0640)"
		: "");
	present_close(file);
	return false;
}

static gzFile
old_file(const char *path, uint64_t *inode)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	gzFile old = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		old = gzdopen(fd, "rb");
	if (old == NULL)
		close(fd);
	else
		*inode = (uint64_t)status.st_ino;
	return old;
}

/* The rotated file that the mark is in: NULL: it is another one. */
static gzFile
old_open(const char *path, const struct mark *mark)
{
	uint64_t inode;
	gzFile old = old_file(path, &inode);

	if (old == NULL || mark_fits(old, inode, mark))
		return old;
	gzclose(old);
	return NULL;
}

/* A rotated file from its beginning, instead of what is open. */
static bool
old_begin(struct tail_file *file, const char *path)
{
	uint64_t inode;
	gzFile old = old_file(path, &inode);

	if (old == NULL)
		return false;
	present_close(file);
	old_close(file);
	file->old = old;
	begin_at(file, inode, 0);
	return true;
}

/* --- what was rotated away -----------------------------------------------------------------------
 */

static void
rotated_forget(struct tail_file *file)
{
	for (size_t i = 0; i < file->rotated_count; i++)
		free(file->rotated[i].path);
	free(file->rotated);
	file->rotated = NULL;
	file->rotated_count = 0;
}

static int
compare_rotated(const void *a, const void *b)
{
	const struct timespec *x = &((const struct rotated *)a)->modified;
	const struct timespec *y = &((const struct rotated *)b)->modified;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* "mail.log.1", "mail.log-20261101.gz": what logrotate(8) makes of "mail.log". */
static bool
rotated_name(const char *path, size_t stem)
{
	const char *rest = path + stem;

	if (*rest != '.' && *rest != '-')
		return false;
	rest++;
	const size_t digits = strspn(rest, "0123456789-");
	return digits > 0 && (rest[digits] == '\0' || strcmp(rest + digits, ".gz") == 0);
}

/* A file that is being compressed is there twice: the new one is not whole yet. */
static bool
rotated_unfinished(const char *path)
{
	const size_t length = strlen(path);
	char plain[PATH_MAX];

	if (length < 3 || length >= sizeof(plain) || strcmp(path + length - 3, ".gz") != 0)
		return false;
	snprintf(plain, sizeof(plain), "%.*s", (int)(length - 3), path);
	return access(plain, F_OK) == 0;
}

/* Has it been found by another name, through a link? */
static bool
rotated_has(const struct tail_file *file, const struct stat *status)
{
	size_t i = 0;

	while (i < file->rotated_count && (file->rotated[i].device != status->st_dev ||
					      file->rotated[i].inode != status->st_ino))
		i++;
	return i < file->rotated_count;
}

static void
rotated_add(struct tail_file *file, const char *path)
{
	struct rotated *one = &file->rotated[file->rotated_count];
	struct stat status;

	if (rotated_unfinished(path) || stat(path, &status) != 0 || rotated_has(file, &status))
		return;
	*one = (struct rotated){.path = strdup(path),
	    .modified = status.st_mtim,
	    .device = status.st_dev,
	    .inode = status.st_ino};
	if (one->path != NULL)
		file->rotated_count++;
}

/* Those beside `stem`: its name with more behind it. */
static void
rotated_beside(struct tail_file *file, const char *stem)
{
	char pattern[PATH_MAX];
	glob_t found = {.gl_pathc = 0};
	struct rotated *more = NULL;

	if (snprintf(pattern, sizeof(pattern), "%s[.-]*", stem) < (int)sizeof(pattern) &&
	    glob(pattern, 0, NULL, &found) == 0)
		more = reallocarray(
		    file->rotated, file->rotated_count + found.gl_pathc, sizeof(file->rotated[0]));
	if (more != NULL)
		file->rotated = more;
	for (size_t i = 0; more != NULL && i < found.gl_pathc; i++)
		if (rotated_name(found.gl_pathv[i], strlen(stem)))
			rotated_add(file, found.gl_pathv[i]);
	globfree(&found);
}

/* Who rotates a log that is a link finds it where the link leads, or goes by the link's name. */
static void
rotated_list(struct tail_file *file)
{
	rotated_forget(file);
	rotated_beside(file, file->path);
	if (file->target[0] != '\0' && strcmp(file->target, file->path) != 0)
		rotated_beside(file, file->target);
	if (file->rotated_count > 0)
		qsort(
		    file->rotated, file->rotated_count, sizeof(file->rotated[0]), compare_rotated);
}

/*
 * Lists them, and opens the one that the mark is in. Returns the number of the first one behind it;
 * *out NULL: there is none with the mark, and all of them are before it for all that is known.
 */
static size_t
rotated_find(struct tail_file *file, const struct mark *mark, gzFile *out)
{
	*out = NULL;
	rotated_list(file);
	for (size_t i = file->rotated_count; i > 0; i--)
		if ((*out = old_open(file->rotated[i - 1].path, mark)) != NULL)
			return i;
	return file->rotated_count;
}

/* Goes on at the mark, in what was rotated away. */
static bool
rotated_resume(struct tail_file *file, const struct mark *mark)
{
	gzFile old;

	(void)rotated_find(file, mark, &old);
	rotated_forget(file);
	if (old == NULL)
		return false;
	present_close(file);
	old_close(file);
	file->old = old;
	file->at = *mark;
	file->scan = mark->offset;
	file->skipping = false;
	return true;
}

/* --- finding the place ---------------------------------------------------------------------------
 */

/* The present file, from its beginning (or what a first start reads of it). */
static enum tail_state
present_begin(struct tail_file *file, bool fresh)
{
	struct stat status;

	old_close(file);
	if (!present_open(file, &status))
		return TAIL_MISSING;
	const int64_t from = fresh && status.st_size > TAIL_FRESH_MOST
				 ? (int64_t)status.st_size - TAIL_FRESH_MOST
				 : 0;
	begin_at(file, (uint64_t)status.st_ino, from);
	return TAIL_MORE;
}

/* Is the present file the one of the mark, and long enough? */
static bool
present_is(struct tail_file *file, const struct mark *mark)
{
	struct stat status;

	old_close(file);
	if (!present_open(file, &status))
		return false;
	if (status.st_size >= mark->offset && print_fits(file, &mark->print) &&
	    (mark->print.length > 0 || mark->inode == (uint64_t)status.st_ino)) {
		file->at.inode = (uint64_t)status.st_ino;
		return true;
	}
	present_close(file);
	return false;
}

/* Nothing is open: opens what is to be read next. */
static enum tail_state
place_find(struct tail_file *file)
{
	const struct mark mark = file->at;

	if (!file->known)
		return present_begin(file, true);
	if (present_is(file, &mark)) {
		file->scan = mark.offset;
		file->skipping = false;
		return TAIL_MORE;
	}
	if (rotated_resume(file, &mark))
		return TAIL_MORE;
	const enum tail_state state = present_begin(file, false);
	if (state == TAIL_MORE)
		loss_set(file, "what was read last is gone, ");
	return state;
}

/* --- the end of a file
 * ---------------------------------------------------------------------------- */

/* The present file was cut under us: its copy has what we have not read. */
static enum tail_state
truncated(struct tail_file *file)
{
	const struct mark mark = file->at;

	if (rotated_resume(file, &mark))
		return TAIL_MORE;
	const enum tail_state state = present_begin(file, false);
	if (state == TAIL_MORE)
		loss_set(file, "it was truncated, and there is no copy: ");
	return state;
}

static bool
is_present(const struct tail_file *file, const struct stat *open_one)
{
	struct stat named;

	return stat(file->path, &named) == 0 && named.st_ino == open_one->st_ino &&
	       named.st_dev == open_one->st_dev;
}

/*
 * What is open was rotated away, and is at its end. Its writer goes on in it until he is told: he
 * was when there are lines in a later one. Those that were rotated away since come first; their
 * names may have changed again meanwhile, so they are looked for anew each time.
 */
static enum tail_state
end_of_rotated(struct tail_file *file)
{
	struct stat named;
	char byte;
	gzFile same;
	size_t next = rotated_find(file, &file->at, &same);
	const bool begun = stat(file->path, &named) == 0 && named.st_size > 0;
	const bool later = begun || next < file->rotated_count;
	enum tail_state state = later ? TAIL_MORE : TAIL_END;

	if (same != NULL)
		gzclose(same);
	if (later && bytes_at(file, &byte, 1, file->scan + file->partial) <= 0) {
		while (next < file->rotated_count && !old_begin(file, file->rotated[next].path))
			next++;
		if (next == file->rotated_count)
			state = present_begin(file, false);
	}
	rotated_forget(file);
	return state;
}

/* What is open has no more for now. Is there another one behind it? */
static enum tail_state
end_reached(struct tail_file *file)
{
	struct stat open_one;

	if (file->old != NULL)
		return end_of_rotated(file);
	if (fstat(file->fd, &open_one) != 0)
		return TAIL_END;
	if (open_one.st_size < file->scan || !print_fits(file, &file->at.print))
		return truncated(file);
	return is_present(file, &open_one) ? TAIL_END : end_of_rotated(file);
}

/* --- lines
 * ------------------------------------------------------------------------------------------ */

struct turn {
	struct tail_file *file;
	const struct tail_visit *visit;
	unsigned left;
};

/* False: the visitor would not take it. */
static bool
line_give(const struct turn *turn, const char *line, size_t length)
{
	struct maillog_event event;

	while (length > 0 && *line == '\0') { /* a hole, left by a truncation */
		line++;
		length--;
	}
	if (!maillog_line(line, length, turn->visit->now, &event))
		return true;
	return turn->visit->visit(&event, turn->visit->context);
}

/* The whole lines in the buffer, which was read at file->scan. */
static enum tail_state
lines_give(struct turn *turn, size_t length)
{
	struct tail_file *file = turn->file;
	const char *at = file->buffer, *end = file->buffer + length, *feed;

	while (turn->left > 0 && (feed = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (!file->skipping && !line_give(turn, at, (size_t)(feed - at)))
			return TAIL_STOPPED;
		file->skipping = false;
		file->scan += feed + 1 - at;
		file->at.offset = file->scan;
		at = feed + 1;
		turn->left--;
	}
	file->partial = 0;
	if (turn->left == 0)
		return TAIL_MORE;
	if (at == file->buffer && length == sizeof(file->buffer)) { /* no end in sight */
		file->skipping = true;
		file->scan += (int64_t)length;
		return TAIL_MORE;
	}
	if (file->skipping) {
		file->scan += end - at;
		return TAIL_MORE;
	}
	file->partial = end - at;
	return length == sizeof(file->buffer) ? TAIL_MORE : TAIL_END;
}

/* A line that waits for its end was read before: is there more of it? */
static enum tail_state
lines_read(struct turn *turn)
{
	struct tail_file *file = turn->file;
	const ssize_t got = bytes_at(file, file->buffer, sizeof(file->buffer), file->scan);

	if (got < 0) {
		problem_set(file, "reading it fails", "");
		return file->old != NULL ? end_reached(file) : TAIL_MISSING;
	}
	if (got == 0) {
		file->partial = 0;
		return end_reached(file);
	}
	const enum tail_state state = lines_give(turn, (size_t)got);
	print_grow(file);
	return state == TAIL_END ? end_reached(file) : state;
}

enum tail_state
tail_file_read(struct tail_file *file, const struct tail_visit *visit)
{
	struct turn turn = {.file = file, .visit = visit, .left = visit->most};
	enum tail_state state = TAIL_MORE;

	file->now = visit->now;
	if (file->fd < 0 && file->old == NULL)
		state = place_find(file);
	else if (file->fd >= 0 && file->old == NULL && !print_fits(file, &file->at.print))
		state = truncated(file); /* and grown again */
	while (state == TAIL_MORE && turn.left > 0)
		state = lines_read(&turn);
	if (state == TAIL_END && file->problem[0] != '\0' && file->old == NULL)
		problem_clear(file);
	return state;
}

/* --- life
 * ------------------------------------------------------------------------------------------- */

struct tail_file *
tail_file_new(const char *path, char *problem)
{
	struct tail_file *file = calloc(1, sizeof(*file));

	if (file == NULL)
		return NULL;
	file->path = path;
	file->problem = problem;
	file->fd = -1;
	return file;
}

void
tail_file_free(struct tail_file *file)
{
	if (file == NULL)
		return;
	old_close(file);
	present_close(file);
	rotated_forget(file);
	free(file);
}

/* A blank and a number of at most `most`. */
static bool
take_number(const char **at, int base, uint64_t most, uint64_t *out)
{
	char *rest;

	if ((*at)[0] != ' ' || !isxdigit((unsigned char)(*at)[1]))
		return false;
	errno = 0;
	*out = strtoull(*at + 1, &rest, base);
	if (errno != 0 || rest == *at + 1 || *out > most)
		return false;
	*at = rest;
	return true;
}

/* What tail_file_position wrote. */
static bool
read_position(const char *at, struct mark *mark)
{
	static const char head[] = "file";
	uint64_t length, offset;

	if (strncmp(at, head, sizeof(head) - 1) != 0)
		return false;
	at += sizeof(head) - 1;
	if (!take_number(&at, 10, UINT64_MAX, &mark->inode) ||
	    !take_number(&at, 10, PRINT_MAX, &length) ||
	    !take_number(&at, 16, UINT64_MAX, &mark->print.hash) ||
	    !take_number(&at, 10, INT64_MAX, &offset) || *at != '\0')
		return false;
	mark->print.length = (size_t)length;
	mark->offset = (int64_t)offset;
	return true;
}

void
tail_file_seek(struct tail_file *file, const char *position)
{
	struct mark mark = {.inode = 0};

	old_close(file);
	present_close(file);
	rotated_forget(file);
	file->known = read_position(position, &mark);
	if (file->known)
		file->at = mark;
}

bool
tail_file_position(const struct tail_file *file, char out[TAIL_POSITION_SIZE])
{
	out[0] = '\0';
	if (!file->known)
		return false;
	snprintf(out, TAIL_POSITION_SIZE, "file %" PRIu64 " %zu %016" PRIx64 " %" PRId64,
	    file->at.inode, file->at.print.length, file->at.print.hash, file->at.offset);
	return true;
}
