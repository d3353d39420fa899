/*
 * instance: which process is the present one for a pid file, and how a newer one takes over.
 *
 * The pid file is written aside, locked (POSIX record lock) and renamed into place, so it always
 * names a process that lived when it appeared. Whether that process still lives is asked of the
 * kernel, which knows who holds the lock, never of the number in the file: a number may have
 * been given to somebody else meanwhile.
 */
#ifndef MXHOLD_CORE_INSTANCE_H
#define MXHOLD_CORE_INSTANCE_H

#include <stdbool.h>
#include <sys/types.h>

struct instance {
	const char *path; /* of the pid file; NULL: none, and every call does nothing */
	int fd;           /* ours: the lock lives as long as this process; -1: not yet */
	int older_fd;     /* the file that ours replaced, -1: there was none */
};

struct instance instance_new(const char *path);

/*
 * Serialises what several instances do to names in the directory of `path` (taking over, removing).
 * Waits up to 5 s. Returns a descriptor for instance_unlock, or -1 (logged).
 */
int instance_lock(const char *path) __attribute__((warn_unused_result));
void instance_unlock(int lock);

/*
 * Puts our pid file into place, unless it is there already. Under the lock. False: logged, nothing
 * has changed.
 */
bool instance_claim(struct instance *instance) __attribute__((warn_unused_result));
/* Sends SIGTERM to the process that held the file before us, if it still does. Its pid, or 0. */
pid_t instance_end_older(struct instance *instance);
/*
 * In a forked child: closes what it inherited, so that it cannot write to a pid file that others
 * trust. The parent's lock stays with the parent.
 */
void instance_forget(struct instance *instance);
/*
 * Removes the pid file if it is still ours. Under the lock. If a newer one took over before we
 * could end the one before us, nobody else knows that one: it is ended now.
 */
void instance_release(struct instance *instance);

#endif
