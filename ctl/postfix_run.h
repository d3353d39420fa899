/*
 * postfix_run: runs one program with a deadline and takes what it writes.
 *
 * The program gets no shell, no standard input, and the C locale. A program that does not end in
 * time is killed with its process group.
 */
#ifndef MXHOLD_CTL_POSTFIX_RUN_H
#define MXHOLD_CTL_POSTFIX_RUN_H

#include <stdbool.h>
#include <stddef.h>

struct run_result {
	bool ended;   /* false: could not be started, was killed, or took too long */
	int status;   /* its exit status */
	bool cut;     /* there was more output than is kept */
	char *output; /* stdout; at most 64 MB */
	size_t length;
	char *errors; /* stderr */
};

/* `seconds` is the deadline; `mail_config` (or NULL) becomes MAIL_CONFIG in its environment. */
struct run_result run_program(
    const char *const *argv, const char *mail_config, int seconds, bool verbose);
void run_free(struct run_result *result);

#endif
