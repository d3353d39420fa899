/*
 * operators_tell: what mxhold-queued knows, as JSON for operators. Pure. Times are seconds since
 * the epoch, 0: never; a hold without an end has "hold_until": null.
 */
#ifndef MXHOLD_QUEUED_OPERATORS_TELL_H
#define MXHOLD_QUEUED_OPERATORS_TELL_H

#include "queued/alert.h"
#include "queued/collector.h"
#include "queued/watch.h"

#include <jansson.h>

/* A domain. NULL: out of memory. The caller owns it. */
json_t *tell_view(const struct watch_view *view, struct queued_time now);
/* Its primary, with the endpoints one by one. */
json_t *tell_primary(const struct watch_view *view, struct queued_time now);
/* Why a domain that is watched was not flushed, and who can end that. */
void tell_not_flushed(const struct watch_view *view, char out[256]);
json_t *tell_status(const struct collector_status *collector, struct watch_counts watch,
    struct alerts_counts alerts, size_t helper);

#endif
