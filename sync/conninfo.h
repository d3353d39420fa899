/*
 * conninfo: a libpq connection string (PostgreSQL manual, "Connection Strings"; the environment and
 * service files count as usual) taken apart, so that each address is dialled alone with a deadline
 * of its own, and so that libpq never resolves a name by itself, which would block.
 *
 * It never shows the string or a part of it, as there may be a password in it; but for a keyword
 * that libpq does not know, where no password stands before it.
 */
#ifndef MXHOLD_SYNC_CONNINFO_H
#define MXHOLD_SYNC_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

#define CONNINFO_HOSTS 16

struct conninfo_host {
	char *host;    /* name, or directory of a socket; NULL: libpq's default socket */
	char *address; /* hostaddr; NULL: `host` is to be resolved, unless it is a socket */
	char *port;    /* NULL: the default */
};

struct conninfo {
	/* Everything but host, hostaddr and port, with our defaults; ends with NULL. The last three
	   places are free for the caller of PQconnectStartParams (host, hostaddr, port). */
	const char **keywords;
	const char **values;
	size_t count;
	struct conninfo_host hosts[CONNINFO_HOSTS];
	size_t host_count;
	void *parsed; /* owns the texts */
};

/* NULL: *problem is a static text, valid until the next call. The caller frees. */
struct conninfo *conninfo_parse(const char *text, const char **problem)
    __attribute__((warn_unused_result));
void conninfo_free(struct conninfo *info);

/* Is there nothing to resolve: a socket, a numeric address, or hostaddr? */
bool conninfo_host_is_direct(const struct conninfo_host *host);

#endif
