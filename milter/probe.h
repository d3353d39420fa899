/*
 * probe: does a milter answer on a socket? The option negotiation of the milter protocol, version
 * 6, as an MTA begins it, and QUIT.
 */
#ifndef MXHOLD_MILTER_PROBE_H
#define MXHOLD_MILTER_PROBE_H

#include "core/supervise.h"

/* For supervise: asks at `path`, waits at most hang_ms. */
enum supervise_answer probe_milter(const char *path, int hang_ms, int wake_fd);

#endif
