/*
 * fleet: the relays of the fleet, with their published names and addresses, as one relay sees
 * them: its own, or another's. Built from the snapshot; read by the fence and by rule 1.
 */
#ifndef MXHOLD_CORE_FLEET_H
#define MXHOLD_CORE_FLEET_H

#include "core/ip.h"

struct fleet; /* opaque */

enum fleet_member {
	FLEET_NOT,   /* no relay of the fleet */
	FLEET_SELF,  /* this relay (perhaps others too: names may be shared within a region) */
	FLEET_OTHER, /* another relay */
};

/* `self`: name of this relay's row. Returns NULL when out of memory. The caller frees. */
struct fleet *fleet_new(const char *self);
void fleet_free(struct fleet *fleet);
/*
 * `names` and `addresses` are separated by single blanks, as the feed writes them. False: one of
 * them cannot be read, or out of memory; the fleet is then not complete and must not be used.
 */
bool fleet_add(struct fleet *fleet, const char *relay, const char *names, const char *addresses)
    __attribute__((warn_unused_result));
/* Addresses from this relay's own configuration (public_addresses). */
bool fleet_add_own_address(struct fleet *fleet, const struct ip *address)
    __attribute__((warn_unused_result));

/* Writes up to `room` of this relay's own addresses to `out`, in ascending order. How many? */
size_t fleet_own_addresses(const struct fleet *fleet, struct ip *out, size_t room);

enum fleet_member fleet_name(const struct fleet *fleet, const char *normal_name);
enum fleet_member fleet_address(const struct fleet *fleet, const struct ip *address);

#endif
