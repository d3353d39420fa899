/*
 * tail: one face for both kinds of log (see tail.h).
 */
#include "queued/tail_inner.h"

#include <stdlib.h>
#include <string.h>

struct tail {
	struct tail_file *file;
	struct tail_journal *journal; /* one of the two */
	char problem[TAIL_PROBLEM_SIZE];
};

struct tail *
tail_new(const char *path)
{
	struct tail *tail = calloc(1, sizeof(*tail));

	if (tail == NULL)
		return NULL;
	if (strcmp(path, TAIL_JOURNALD) == 0)
		tail->journal = tail_journal_new(tail->problem);
	else
		tail->file = tail_file_new(path, tail->problem);
	if (tail->journal != NULL || tail->file != NULL)
		return tail;
	free(tail);
	return NULL;
}

void
tail_free(struct tail *tail)
{
	if (tail == NULL)
		return;
	tail_file_free(tail->file);
	tail_journal_free(tail->journal);
	free(tail);
}

void
tail_seek(struct tail *tail, const char *position)
{
	if (tail->file != NULL)
		tail_file_seek(tail->file, position);
	else
		tail_journal_seek(tail->journal, position);
}

bool
tail_position(const struct tail *tail, char out[TAIL_POSITION_SIZE])
{
	return tail->file != NULL ? tail_file_position(tail->file, out)
				  : tail_journal_position(tail->journal, out);
}

enum tail_state
tail_read(struct tail *tail, int64_t now, unsigned most,
    bool (*visit)(const struct maillog_event *event, void *context), void *context)
{
	const struct tail_visit how = {
	    .now = now, .most = most, .visit = visit, .context = context};

	return tail->file != NULL ? tail_file_read(tail->file, &how)
				  : tail_journal_read(tail->journal, &how);
}

const char *
tail_problem(const struct tail *tail)
{
	return tail->problem;
}

void
tail_set_journalctl(struct tail *tail, const char *path)
{
	if (tail->journal != NULL)
		tail_journal_command(tail->journal, path);
}
