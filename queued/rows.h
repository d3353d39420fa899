/*
 * rows: what the snapshot says about a recipient's domain, as far as the queue is concerned: which
 * row speaks for it, and the limits that hold for it (row, then customer, then [queue]).
 */
#ifndef MXHOLD_QUEUED_ROWS_H
#define MXHOLD_QUEUED_ROWS_H

#include "core/conf.h"
#include "core/snapshot.h"

enum rows_answer {
	ROWS_CANNOT_TELL, /* no usable snapshot, or a damaged row: ask again later */
	ROWS_OTHER,       /* no row speaks for it: other mail of the host */
	ROWS_OURS,
};

struct row_facts {
	char owner[DOMAIN_SIZE]; /* name of the row that speaks for it */
	int64_t retention;       /* seconds; at most [relay] queue_lifetime */
	bool keep_refused;
	uint64_t quota_messages, quota_bytes; /* 0: none */
};

/* `domain` in normal form. Begins and ends a transaction of its own. Retired rows count. */
enum rows_answer rows_find(struct snapshot *snapshot, const struct conf *conf, const char *domain,
    struct row_facts *out) __attribute__((warn_unused_result));

#endif
