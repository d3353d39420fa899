/*
 * postfix_show: a plan, a difference, a state, as text for a human or as JSON lines.
 */
#ifndef MXHOLD_CTL_POSTFIX_SHOW_H
#define MXHOLD_CTL_POSTFIX_SHOW_H

#include "ctl/postfix_plan.h"

#include <stdio.h>

struct show_file { /* one file before and after */
	const char *path;
	const char *old_bytes, *new_bytes;
	size_t old_length, new_length;
};

void show_changes(const struct plan *plan, bool json);
/* Refusals and warnings; as text on `to`. */
void show_findings(const struct plan *plan, bool json, FILE *to);
/* A unified diff, by diff(1); nothing where the two are the same. */
void show_diff(const struct show_file *file, bool json);

#endif
