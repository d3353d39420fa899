/*
 * alert_command: runs [alert] command, some at a time, each with a text on its standard input, a
 * deadline and a process group of its own; no shell, no arguments. It never waits for one.
 */
#ifndef MXHOLD_QUEUED_ALERT_COMMAND_H
#define MXHOLD_QUEUED_ALERT_COMMAND_H

#include "queued/alert_book.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALERT_COMMANDS 4      /* at once */
#define ALERT_COMMAND_S 30    /* for each */
#define ALERT_WAITING 1000    /* texts that wait; what is beyond: see alert_queue */
#define ALERT_OBJECT_MAX 4096 /* of a text: a pipe takes it at once (pipe(7), PIPE_BUF) */

struct alert_command;

/* `path` is kept by reference. NULL: out of memory. */
struct alert_command *alert_command_new(struct event_base *base, const char *path);
/* Those that run go on; those that wait are not started. */
void alert_command_free(struct alert_command *command);
/* Another deadline, in milliseconds (tests). */
void alert_command_set_deadline(struct alert_command *command, int milliseconds);
/* What is to be told of an alert. Takes `text` (malloc) over. */
void alert_command_run(struct alert_command *command, enum alert_word word,
    const struct alert_standing *standing, char *text);

struct alert_command_counts {
	size_t waiting, running;
	uint64_t lost, failed;
};
struct alert_command_counts alert_command_count(const struct alert_command *command);

#endif
