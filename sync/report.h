/*
 * report: the heartbeat to [report] conninfo, by a session of its own that is served in the pump:
 * a report database that hangs delays neither the feed nor the contact. Only the newest heartbeat
 * counts; one that could not be sent is replaced by the next.
 */
#ifndef MXHOLD_SYNC_REPORT_H
#define MXHOLD_SYNC_REPORT_H

#include "sync/pump.h"

#include "core/snapshot.h"

struct report_beat {
	char epoch[SNAPSHOT_EPOCH_SIZE];
	uint64_t version;
	bool held;
	char detail[200];
	uint64_t domains;
};

struct report;

/* NULL: out of memory. */
struct report *report_new(void);
void report_free(struct report *report);
/* Which database; a change closes the session. `conninfo` is copied. False: out of memory. */
bool report_to(struct report *report, const char *conninfo) __attribute__((warn_unused_result));
/*
 * Leaves a heartbeat to be sent as soon as it can be. `unusable`: rows that cannot be used, as the
 * text of an array (unusable_array); it is copied.
 */
void report_tell(struct report *report, const struct report_beat *beat, const char *unusable);
struct pump_task report_task(struct report *report);
/* Why heartbeats fail at present; "" where they do not. */
const char *report_problem(const struct report *report);

#endif
