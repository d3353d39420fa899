/*
 * instances: whose a line of the log is, where several Postfix instances of a host share one. Pure.
 *
 * Their lines differ by the tag only: a name (syslog_name), a slash, the daemon. The name may hold
 * slashes itself, and be another one for single services of master.cf. So names of ours and of
 * others are known, and the longest one that a tag begins with tells whose it is. What begins with
 * no known name, and what both use, counts as ours: leaving out a line of ours is the worse error.
 */
#ifndef MXHOLD_QUEUED_INSTANCES_H
#define MXHOLD_QUEUED_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>

#define INSTANCES_MOST 128 /* names */
#define INSTANCES_NAME_SIZE 64

enum instance_owner { INSTANCE_OURS, INSTANCE_OTHERS };

struct instances {
	size_t count;
	struct {
		char name[INSTANCES_NAME_SIZE];
		enum instance_owner owner;
	} names[INSTANCES_MOST];
};

/* A name that is ours stays ours. False: it is no name, is too long, or there is no room. */
bool instances_add(struct instances *instances, const char *name, enum instance_owner owner)
    __attribute__((warn_unused_result));
/* The other's name that "postfix-out/smtp" has; NULL: the line is ours, or may be. */
const char *instances_other(const struct instances *instances, const char *tag, size_t length);
/* From now on it counts as ours. `name`: as instances_other gave it. */
void instances_make_ours(struct instances *instances, const char *name);

#endif
