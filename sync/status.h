/*
 * status: what mxhold-sync knows of itself at this moment, as plain data, and as the one line of
 * JSON that the control socket answers.
 */
#ifndef MXHOLD_SYNC_STATUS_H
#define MXHOLD_SYNC_STATUS_H

#include "core/snapshot.h"
#include "sync/shipper.h"

enum status_state {
	STATUS_STARTING,
	STATUS_NO_STORE,    /* the snapshot cannot be opened or written */
	STATUS_UNREACHABLE, /* the authority cannot be reached or asked */
	STATUS_LOADING,
	STATUS_CURRENT,
	STATUS_HELD,    /* the brake */
	STATUS_UNHEARD, /* the authority does not know this relay as the one it is */
};

struct status {
	enum status_state state;
	const char *relay;
	const char *region;
	bool usable;               /* there is a snapshot */
	struct snapshot_meta meta; /* its, when usable */
	uint64_t domains;          /* in it, without the retired ones */
	int64_t contact_ms;        /* CLOCK_BOOTTIME; -1: not heard since this start */
	bool listening;
	const char *reason; /* why HELD or UNHEARD; static, NULL */
	const char *cure;
	char error[512]; /* the last one */
	int64_t error_at;
	const char *report_error;
	uint64_t loading;              /* rows so far */
	uint64_t unusable;             /* rows that the authority tells and this relay cannot use */
	bool has_journal;              /* [journal] conninfo is set */
	const struct shipper *shipper; /* NULL: none */
	struct {
		int64_t at; /* 0: never */
		const char *reason;
		uint64_t rows, differing, carried;
		int64_t took_ms;
	} load;
	struct {
		int64_t at; /* 0: never */
		const char *result;
		struct snapshot_census census;
	} verified;
};

const char *status_state_name(enum status_state state);
/* One object as text without a newline; the caller frees. NULL: out of memory. */
char *status_json(const struct status *status, int64_t boot_ms) __attribute__((warn_unused_result));

#endif
