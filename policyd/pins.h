/*
 * pins: what must a server show at a next hop, before it gets mail of domains that are pinned?
 *
 * Asked by smtp(8) for each delivery, by next hop: a domain of ours that goes by MX, or an element
 * of a row's next_hops, which more than one row may name. Where those differ in what they pin, any
 * of their certificates and any of their banners will do (mxhold-queued, which knows the domain,
 * looks for its own).
 */
#ifndef MXHOLD_POLICYD_PINS_H
#define MXHOLD_POLICYD_PINS_H

#include "core/snapshot.h"
#include "policyd/greeting.h"
#include "policyd/pin_hops.h"

#define PINS_MOST 8 /* different certificates, or banners, of a next hop */
#define PIN_CERTIFICATE_SIZE 65

struct pin_demand {
	size_t rows;     /* that pin it; 0: nobody does */
	size_t left_out; /* of them: with one beyond PINS_MOST */
	bool tls_required;
	size_t certificates, banners;
	char certificate[PINS_MOST][PIN_CERTIFICATE_SIZE]; /* SHA-256 of the key, hex digits */
	char banner[PINS_MOST][PIN_SIZE];                  /* behind the code */
};

/* One connection of Postfix: for `pins` and `greeting`, which belong together. */
struct pin_session {
	char next_hop[PIN_HOP_SIZE]; /* that `pins` was asked for last; "": none */
	struct greeting greeting;
};

struct pins;

struct pins *pins_new(void); /* NULL: out of memory */
void pins_free(struct pins *pins);
bool pins_row(const struct domain_record *record); /* does it pin anything? */
/* To be told of each next hop of a pinned row that `transport` names; `row` is the row's name. */
void pins_remember(struct pins *pins, const char *hop, size_t length, const char *row);
/* In a transaction of the snapshot. False: it cannot be told. */
bool pins_at(struct pins *pins, struct snapshot *snapshot, const char *hop, size_t length,
    struct pin_demand *out) __attribute__((warn_unused_result));
/*
 * Does a greeting's first line, code and all, begin with one of the banners, or is none wanted?
 * smtp(8) hands out '?' for what is not ASCII (where smtputf8_enable is `no`).
 */
bool pin_banner_shown(const struct pin_demand *demand, const char *line, size_t length);

#endif
