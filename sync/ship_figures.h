/*
 * ship_figures: what this relay holds, by domain, to the authority ([report] conninfo).
 *
 * In: the state (core/state.h), looked at every few seconds. Out: calls of mxhold.queue_report:
 * everything in parts when the connection is new, then what has changed; and a sign of life each
 * minute, as long as the state is alive itself. Counts, times, states and codes only: no address
 * and no word of a primary.
 */
#ifndef MXHOLD_SYNC_SHIP_FIGURES_H
#define MXHOLD_SYNC_SHIP_FIGURES_H

#include "sync/pump.h"
#include "sync/shipper.h"

struct ship_figures;

/* The texts and `status` are kept by reference. NULL: out of memory. */
struct ship_figures *ship_figures_new(
    const char *state_dir, const char *conninfo, struct shipper_status *status);
void ship_figures_free(struct ship_figures *figures);
struct pump_task ship_figures_task(struct ship_figures *figures);
/* Why it fails at present; "" where it does not. */
const char *ship_figures_problem(const struct ship_figures *figures);

#endif
