/*
 * owner: mxholdctl as root opens what lies in a directory of another user's with that user's
 * rights, no more: what he has put there may lead anywhere.
 */
#ifndef MXHOLD_CTL_OWNER_H
#define MXHOLD_CTL_OWNER_H

#include "core/snapshot.h"
#include "core/state.h"

/*
 * snapshot_begin; as root, with the rights of the owner of `state_dir`. UNUSABLE also when they
 * cannot be taken on: that is said on stderr.
 */
enum snapshot_result owner_snapshot_begin(struct snapshot *snapshot, const char *state_dir,
    int64_t boot_ms) __attribute__((warn_unused_result));
/* state_begin, with the rights of the owner of STATE_DIR/queued/state. */
enum state_result owner_state_begin(struct state *state, const char *state_dir, int64_t boot_ms)
    __attribute__((warn_unused_result));

#endif
