/*
 * other_kinds: what may stand where a plain file, or a folder, is expected: to open some of it
 * could wait for ever.
 */
#ifndef MXHOLD_TESTS_UNIT_OTHER_KINDS_H
#define MXHOLD_TESTS_UNIT_OTHER_KINDS_H

#include "tests/unit/table.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OTHER_KINDS 4 /* the last one is root's alone to make */

/* Puts it in the place of what has that path, which is removed; a folder must be empty. */
static inline void
make_other_kind(unsigned kind, const char *path)
{
	static const mode_t modes[] = {S_IFIFO, S_IFSOCK, 0, S_IFCHR};

	(void)remove(path);
	if (modes[kind] == 0)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else
		ck_assert_int_eq(mknod(path, modes[kind] | 0600, makedev(1, 3)), 0);
}

static inline unsigned
other_kinds(void)
{
	return geteuid() == 0 ? OTHER_KINDS : OTHER_KINDS - 1;
}

#endif
