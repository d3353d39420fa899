/*
 * mx_fleet: the relays of the fleet as core/mx_judge wants them, copied out of a snapshot; and
 * whom these may not connect to.
 */
#ifndef MXHOLD_CORE_MX_FLEET_H
#define MXHOLD_CORE_MX_FLEET_H

#include "core/fence.h"
#include "core/mx_judge.h"
#include "core/snapshot.h"

struct mx_fleet {
	struct relay_record *records;
	struct mx_relay *relays; /* as many; they point into the records */
	size_t count;
	uint64_t serial; /* of the fleet that it shows */
};

/*
 * In a transaction: reads the fleet, unless it is read already and has not changed. False: it is
 * damaged, or out of memory, and `fleet` is empty. To begin with, {0}.
 */
bool mx_fleet_load(struct mx_fleet *fleet, struct snapshot *snapshot, const char *self)
    __attribute__((warn_unused_result));
/* Says which of them may hold this domain's mail. */
void mx_fleet_permit(struct mx_fleet *fleet, const struct domain_record *domain,
    const struct customer_record *customer);
/* Writes into the facts what the fence says against each address of their hosts. */
void mx_fleet_fence(
    struct mx_facts *facts, const struct fleet *fleet, const struct fence_networks *allow);
/*
 * The addresses of a host of the customer's choice (a web server) that this relay may connect to:
 * not what the fence keeps deliveries from, and no relay of the fleet, this one included. Into
 * `out`; how many.
 */
size_t mx_fleet_reachable(const struct mx_host *host, const struct fleet *fleet,
    const struct fence_networks *allow, struct ip out[MX_ADDRESSES_MOST]);
void mx_fleet_free(struct mx_fleet *fleet);

#endif
