/*
 * state_format: how the state lies on disk; shared by its reader and its writer, and by nobody
 * else. One LMDB environment, one (unnamed) database: name of a domain to value (state_value.h).
 */
#ifndef MXHOLD_CORE_STATE_FORMAT_H
#define MXHOLD_CORE_STATE_FORMAT_H

#include "core/lmdb_env.h"
#include "core/lmdb_files.h"
#include "core/state_value.h"

#define STATE_NAME "state"
#define STATE_DIRECTORY QUEUED_FOLDER "/" STATE_NAME
#define STATE_READERS 2048u
#define STATE_KEY_MAX (DOMAIN_SIZE - 1)
#define STATE_SELF "." /* no domain: its counted_at is when the writer was there last */

struct state_walk {
	bool (*visit)(const char *name, const struct state_domain *record, void *context);
	void *context;
	uint64_t damaged; /* records that were passed over */
};

/* Visits every sound record of a domain in order; a tree with a loop in it ends there. LMDB's code.
 */
int state_walk(MDB_txn *txn, MDB_dbi dbi, struct state_walk *walk)
    __attribute__((warn_unused_result));

#endif
