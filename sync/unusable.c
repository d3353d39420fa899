/*
 * unusable: see unusable.h. A sorted array; the file is its entries, one a line, under a first line
 * that counts them, so that a file that was cut or overwritten is not taken for the whole.
 */
#include "sync/unusable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "unusable"
#define FILE_WORD "mxhold-unusable 1 "
#define FILE_HEAD FILE_WORD "%zu %" PRIu64 "\n"
#define ENTRY_SIZE 512

/* --- the set ---------------------------------------------------------------------------- */

/* Where the first entry that begins with `prefix` stands, or would have to stand. */
static size_t
position(const struct unusable *set, const char *prefix, bool *found)
{
	size_t length = strlen(prefix), low = 0, high = set->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (strncmp(set->entries[middle], prefix, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < set->count && strncmp(set->entries[low], prefix, length) == 0;
	return low;
}

static void
take_out(struct unusable *set, size_t at)
{
	free(set->entries[at]);
	set->count--;
	memmove(
	    &set->entries[at], &set->entries[at + 1], (set->count - at) * sizeof set->entries[0]);
	set->changed = true;
}

static void
put_in(struct unusable *set, size_t at, const char *entry)
{
	char *copy = set->count < UNUSABLE_MOST ? strdup(entry) : NULL;

	set->changed = true;
	if (copy == NULL) {
		set->more++;
		return;
	}
	memmove(
	    &set->entries[at + 1], &set->entries[at], (set->count - at) * sizeof set->entries[0]);
	set->entries[at] = copy;
	set->count++;
}

void
unusable_note(struct unusable *set, const struct row *row)
{
	bool unusable = row->present && row->fault != ROW_SOUND, found;
	char entry[ENTRY_SIZE];
	size_t at, length;

	if (!unusable && set->count == 0)
		return;
	length =
	    (size_t)snprintf(entry, sizeof entry, "%s %s: ", row_kind_name(row->kind), row->key);
	at = position(set, entry, &found);
	if (unusable)
		snprintf(entry + length, sizeof entry - length, "%s", row->why);
	if (found && unusable && strcmp(set->entries[at], entry) == 0)
		return;
	if (found)
		take_out(set, at);
	if (unusable)
		put_in(set, at, entry);
}

void
unusable_clear(struct unusable *set)
{
	while (set->count > 0)
		free(set->entries[--set->count]);
	set->more = 0;
	set->changed = true;
}

uint64_t
unusable_count(const struct unusable *set)
{
	return set->count + set->more;
}

char *
unusable_array(const struct unusable *set)
{
	size_t told = set->count < UNUSABLE_TOLD ? set->count : UNUSABLE_TOLD, i, length;
	char *text = NULL;
	FILE *out = open_memstream(&text, &length);
	const char *at;
	bool good;

	if (out == NULL)
		return NULL;
	fputc('{', out);
	for (i = 0; i < told; i++) {
		fputs(i == 0 ? "\"" : ",\"", out);
		for (at = set->entries[i]; *at != '\0'; at++) {
			if (*at == '"' || *at == '\\')
				fputc('\\', out);
			fputc(*at, out);
		}
		fputc('"', out);
	}
	fputc('}', out);
	good = ferror(out) == 0;
	if (fclose(out) == 0 && good)
		return text;
	free(text);
	return NULL;
}

/* --- the file --------------------------------------------------------------------------- */

/* A stream on a file of the state directory, which never follows a link. */
static FILE *
open_file(const char *state_dir, const char *name, int flags, const char *mode)
{
	char path[PATH_MAX];
	FILE *stream;
	int fd;

	snprintf(path, sizeof path, "%s/%s", state_dir, name);
	fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	if (fd < 0)
		return NULL;
	stream = fdopen(fd, mode);
	if (stream == NULL)
		close(fd);
	return stream;
}

static bool
write_file(const struct unusable *set, FILE *out)
{
	bool good;
	size_t i;

	good = fprintf(out, FILE_HEAD, set->count, set->more) > 0;
	for (i = 0; good && i < set->count; i++)
		good = fprintf(out, "%s\n", set->entries[i]) > 0;
	good = good && fflush(out) == 0 && fsync(fileno(out)) == 0;
	return fclose(out) == 0 && good;
}

bool
unusable_save(struct unusable *set, const char *state_dir)
{
	char from[PATH_MAX], to[PATH_MAX];
	FILE *out;

	out = open_file(state_dir, FILE_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC, "w");
	if (out == NULL || !write_file(set, out))
		return false;
	snprintf(from, sizeof from, "%s/%s.new", state_dir, FILE_NAME);
	snprintf(to, sizeof to, "%s/%s", state_dir, FILE_NAME);
	if (rename(from, to) != 0)
		return false;
	set->changed = false;
	return true;
}

/* One entry without its newline: of a length and order that we could have written. */
static bool
read_entry(struct unusable *set, FILE *in)
{
	char entry[ENTRY_SIZE];
	size_t length, i;

	if (fgets(entry, sizeof entry, in) == NULL)
		return false;
	length = strlen(entry);
	if (length < 2 || entry[length - 1] != '\n')
		return false;
	entry[--length] = '\0';
	for (i = 0; i < length; i++)
		if (entry[i] < ' ' || entry[i] >= 0x7f)
			return false;
	if (set->count > 0 && strcmp(set->entries[set->count - 1], entry) >= 0)
		return false;
	put_in(set, set->count, entry);
	return true;
}

static bool
read_file(struct unusable *set, FILE *in)
{
	char head[80], expected[80], *end;
	uint64_t more;
	size_t count;

	if (fgets(head, sizeof head, in) == NULL ||
	    strncmp(head, FILE_WORD, strlen(FILE_WORD)) != 0)
		return false;
	count = strtoul(head + strlen(FILE_WORD), &end, 10);
	more = strtoull(end, NULL, 10);
	snprintf(expected, sizeof expected, FILE_HEAD, count, more);
	if (strcmp(head, expected) != 0 || count > UNUSABLE_MOST)
		return false;
	while (set->count < count)
		if (!read_entry(set, in))
			return false;
	set->more = more;
	return fgetc(in) == EOF;
}

bool
unusable_load(struct unusable *set, const char *state_dir)
{
	FILE *in = open_file(state_dir, FILE_NAME, O_RDONLY, "r");
	bool good;

	unusable_clear(set);
	if (in == NULL)
		return false;
	good = read_file(set, in);
	fclose(in);
	if (!good)
		unusable_clear(set);
	set->changed = false;
	return good;
}
