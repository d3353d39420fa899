/*
 * tail_inner: what tail.c has of its two sources. Not for others.
 */
#ifndef MXHOLD_QUEUED_TAIL_INNER_H
#define MXHOLD_QUEUED_TAIL_INNER_H

#include "queued/tail.h"

#define TAIL_PROBLEM_SIZE 512

struct tail_visit {
	int64_t now;
	unsigned most;
	bool (*visit)(const struct maillog_event *event, void *context);
	void *context;
};

struct tail_file;
struct tail_file *tail_file_new(const char *path, char *problem);
void tail_file_free(struct tail_file *file);
void tail_file_seek(struct tail_file *file, const char *position);
bool tail_file_position(const struct tail_file *file, char out[TAIL_POSITION_SIZE]);
enum tail_state tail_file_read(struct tail_file *file, const struct tail_visit *visit);

struct tail_journal;
struct tail_journal *tail_journal_new(char *problem);
void tail_journal_free(struct tail_journal *journal);
void tail_journal_seek(struct tail_journal *journal, const char *position);
bool tail_journal_position(const struct tail_journal *journal, char out[TAIL_POSITION_SIZE]);
enum tail_state tail_journal_read(struct tail_journal *journal, const struct tail_visit *visit);
void tail_journal_command(struct tail_journal *journal, const char *path);

#endif
