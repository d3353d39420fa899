/*
 * control: STATE_DIR/control, a stream socket (0660, group mxhold). A client sends one line and
 * gets one line of JSON:
 *
 *   status   what sync knows of itself (status.h), at once, also in the midst of a load
 *   verify   checks every value of the snapshot; answers when that is done
 *   reload   loads in full and compares; answers when that is done, or could not be done
 *
 * Anything else: {"error":...}. A client has 2 s for his line, 2 s to take the answer and 10
 * minutes to wait for a job; more than 16 clients wait in the backlog. Served in the pump.
 */
#ifndef MXHOLD_SYNC_CONTROL_H
#define MXHOLD_SYNC_CONTROL_H

#include "sync/pump.h"
#include "sync/status.h"

#include <sys/types.h>

#define CONTROL_CLIENTS 16
#define CONTROL_WAITING 8 /* of them may wait for a job */

enum control_job { CONTROL_NONE, CONTROL_VERIFY, CONTROL_RELOAD };

struct control;

/* Reads `status` whenever asked, sets pump->wake when a job is wanted. NULL: out of memory. */
struct control *control_new(struct pump *pump, const struct status *status);
void control_free(struct control *control);
/* False: logged. */
bool control_open(struct control *control, const char *state_dir, gid_t group)
    __attribute__((warn_unused_result));
struct pump_task control_task(struct control *control);

/* Does somebody wait for `job`? It is about to begin, and its end will be theirs. */
bool control_take(struct control *control, enum control_job job);
/* Answers those for whom `job` was begun: {"ok":..., "detail":..., "status":{...}}. */
void control_done(struct control *control, enum control_job job, bool ok, const char *detail);

#endif
