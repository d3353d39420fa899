/*
 * sub_verb: the second word of the command line (`domain add`, `sync status`), for verbs that are
 * several.
 */
#ifndef MXHOLD_CTL_SUB_VERB_H
#define MXHOLD_CTL_SUB_VERB_H

#include "ctl/ctl.h"

struct ctl_verb { /* a table of them ends with name NULL */
	const char *name;
	const char *purpose;
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

/*
 * argv[0] is the first verb, which is `verb`. Finds the second among options and operands and hands
 * over to it, with itself in argv[0]; or prints the table (--help) or what is wrong.
 */
int ctl_sub_verb(
    struct ctl *ctl, const char *verb, const struct ctl_verb *verbs, int argc, char **argv);

#endif
