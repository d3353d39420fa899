/*
 * alert_command: runs [alert] command, some at a time, each with a text on its standard input, a
 * deadline and a process group of its own; no shell, no arguments. It never waits for one.
 *
 * What waits is to be kept for the next process by whoever runs it: each text that waits, and each
 * kept one that waits no longer, is a change until it is said to be kept. They are bounded as those
 * that wait are.
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

#define ALERT_ID_SIZE 40

struct alert_command;

/* There are changes. It must not call back. */
typedef void alert_command_changed(void *context);

/* `path` is kept by reference. `changed`: NULL: nothing is to be kept. NULL: out of memory. */
struct alert_command *alert_command_new(
    struct event_base *base, const char *path, alert_command_changed *changed, void *context);
/* Those that run go on; those that wait are not started, and are no changes by that. */
void alert_command_free(struct alert_command *command);
/* Another deadline, in milliseconds (tests). */
void alert_command_set_deadline(struct alert_command *command, int milliseconds);
/* What is to be told of an alert. Takes `text` (malloc) over. Of `standing`: kind and domain. */
void alert_command_run(struct alert_command *command, enum alert_word word,
    const struct alert_standing *standing, const char *id, char *text);
/* The same of what waited when a former process ended, in the order of then. False: it is lost, and
   is no change: whoever kept it may forget it. */
bool alert_command_resume(struct alert_command *command, enum alert_word word,
    const struct alert_standing *standing, const char *id, char *text);

struct alert_command_change {
	const char *id, *domain;
	enum alert_word word;
	enum alert_kind kind;
	const char *text; /* NULL: it waits no longer, and is to be kept no longer */
};
typedef bool alert_command_visit(void *context, const struct alert_command_change *change);
/* Shows the first changes, `most` at most, until visit returns false: for how many it did not. */
size_t alert_command_changes(
    const struct alert_command *command, size_t most, alert_command_visit *visit, void *context);
/* The first `count` changes were kept. Nothing may have come between. */
void alert_command_kept(struct alert_command *command, size_t count);

struct alert_command_counts {
	size_t waiting, running;
	size_t changes, unkept; /* unkept: those that wait, and are not kept */
	uint64_t lost, failed;
};
struct alert_command_counts alert_command_count(const struct alert_command *command);

#endif
