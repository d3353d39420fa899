/*
 * lookup: the snapshot of this process, shared by all sessions.
 *
 * A reader of the snapshot belongs to one thread at a time, and a judgement takes microseconds: so
 * there is one reader behind a mutex, held for one judgement and never across a wait.
 */
#ifndef MXHOLD_MILTER_LOOKUP_H
#define MXHOLD_MILTER_LOOKUP_H

#include "core/conf.h"
#include "core/judge.h"

struct lookup;

/* `conf` is kept by reference. NULL: out of memory. */
struct lookup *lookup_new(const struct conf *conf);
void lookup_free(struct lookup *lookup);

/* The two answers that a session asks for (struct session_rules); `context` is a struct lookup. */
struct judgement lookup_judge(void *context, const struct judge_request *request);
bool lookup_own_name(void *context, const char *normal_domain);
/* Returns once no judgement is under way: with it, a probe finds out whether one hangs. */
void lookup_pass(struct lookup *lookup);

#endif
