/*
 * probe: asks a primary whether it would take mail, politely, with no envelope: queued/dialogue on
 * libevent and OpenSSL. In: an address and what is expected there. Out: one finding, within a
 * bounded time. It never blocks, and never offers a message.
 */
#ifndef MXHOLD_QUEUED_PROBE_H
#define MXHOLD_QUEUED_PROBE_H

#include "core/ip.h"
#include "queued/dialogue.h"

#include <event2/event.h>

#define PROBE_CONNECT_MS 5000 /* SYNs at 0, 1 and 3 s */
#define PROBE_TALK_MS 20000   /* from the connection to the finding */
#define PROBE_QUIT_MS 1000

struct probe_sender { /* what deliveries use (Postfix) */
	char helo[DIALOGUE_HELO];
	struct ip bind4, bind6; /* family 0: any */
};

struct probe_target {
	struct ip address;
	uint16_t port;
	int64_t connect_ms; /* how long to wait for the connection; 0: PROBE_CONNECT_MS */
	bool tls_required;
	char pin_certificate[PIN_SIZE]; /* SHA-256 of the SPKI, hex; "": none */
	char pin_banner[PIN_SIZE];
};

struct prober; /* what the probes of a process share */
struct probe;

struct prober *prober_new(struct event_base *base, const struct probe_sender *sender);
void prober_free(struct prober *prober); /* open probes must be cancelled before */
/* How many at once, of `wanted`, this process' limit of descriptors has room for (and a quarter
 * more of them, for primaries that answer). */
unsigned prober_most(unsigned wanted);

typedef void probe_done(const struct probe_finding *finding, void *context);
/* `done` is called once, later, from the event loop. NULL: out of memory. */
struct probe *probe_start(struct prober *prober, const struct probe_target *target,
    probe_done *done, void *context) __attribute__((warn_unused_result));
void probe_cancel(struct probe *probe); /* not after `done` */

#endif
