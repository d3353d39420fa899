/*
 * fence: may Postfix use this DNS record, or this next hop, on the way to a customer's primary?
 * No relay may hand mail to another relay of the fleet, or into a special network. Pure.
 */
#ifndef MXHOLD_CORE_FENCE_H
#define MXHOLD_CORE_FENCE_H

#include "core/dns_text.h"
#include "core/fleet.h"

struct fence_networks { /* [fence] allow */
	const struct ip_network *list;
	size_t count;
};

struct fence_verdict {
	bool drop;
	const char *reason; /* static; "" when kept */
};

struct fence_verdict fence_record(
    const struct dns_record *record, const struct fleet *fleet, const struct fence_networks *allow);

/*
 * One explicit next hop as in a row: `host`, `host:port`, `[host]`, `[host]:port`,
 * `[192.0.2.1]:25`,
 * `[IPv6:2001:db8::1]:25` or `[2001:db8::1]`. Dropped: names and addresses of the fleet, special
 * addresses that `allow` does not hold. Documentation addresses pass here (nothing answers there).
 * An unreadable hop is dropped.
 */
struct fence_verdict fence_next_hop(
    const char *hop, size_t length, const struct fleet *fleet, const struct fence_networks *allow);

#endif
