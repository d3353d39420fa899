/*
 * callbacks: the layer between libmilter and session: what libmilter calls, and what it may say.
 */
#ifndef MXHOLD_MILTER_CALLBACKS_H
#define MXHOLD_MILTER_CALLBACKS_H

#include "milter/census.h"
#include "milter/herald.h"
#include "milter/lookup.h"
#include "milter/session.h"

struct callbacks { /* shared by all sessions of a process; constant while it serves */
	struct session_rules rules;
	struct lookup *lookup;
	struct herald *herald;
	struct census *census;
};

/*
 * Registers the filter with libmilter, once a process. `shared` is kept by reference. False: the
 * error was logged.
 */
bool callbacks_register(const struct callbacks *shared) __attribute__((warn_unused_result));

#endif
