/*
 * facts: what policyd knows beside the snapshot: the state that mxhold-queued writes, the memory of
 * senders (rule 10), and a way to ask mxhold-queued for a new reading of MX records ("ROW"), or to
 * look how a primary is ("primary DOMAIN").
 *
 * All of it may be missing, damaged or old: then nothing is known, and nothing is refused for it.
 */
#ifndef MXHOLD_POLICYD_FACTS_H
#define MXHOLD_POLICYD_FACTS_H

#include "core/conf.h"
#include "core/judge_state.h"
#include "policyd/memory.h"

#define FACTS_DIRECTORY "policyd" /* below STATE_DIR, policyd's own */
#define FACTS_ASK "queue-ask"     /* below SOCKET_DIR, mxhold-queued's socket for datagrams */
#define FACTS_PRIMARY "primary "  /* before the domain whose primary is asked about */

struct facts;

/* NULL: out of memory. */
struct facts *facts_new(const struct conf *conf);
void facts_free(struct facts *facts);
/* Begins anew: a transaction of the state begins with the first record that is asked for. */
void facts_begin(struct facts *facts, struct judge_time now);
void facts_end(struct facts *facts);
/* As core/judge_state wants them; valid as long as `facts`. NULL facts: NULL. */
const struct judge_state *facts_for_judge(const struct facts *facts);
/* The record of a name. False: nothing is known. `facts` may be NULL. */
bool facts_record(struct facts *facts, const char *name, struct state_domain *out);

#endif
