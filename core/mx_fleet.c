/*
 * mx_fleet: see mx_fleet.h. In: a snapshot with a begun transaction. Out: a copy that outlives it.
 */
#include "core/mx_fleet.h"

#include "core/decide.h"

#include <stdlib.h>
#include <string.h>

struct load {
	struct mx_fleet *fleet;
	const char *self;
	bool failed;
};

static bool
take_relay(const char *name, const struct relay_record *record, void *context)
{
	struct load *load = context;
	struct mx_fleet *fleet = load->fleet;
	struct relay_record *records =
	    reallocarray(fleet->records, fleet->count + 1, sizeof(*records));

	if (records != NULL)
		fleet->records = records;
	struct mx_relay *relays =
	    records != NULL ? reallocarray(fleet->relays, fleet->count + 1, sizeof(*relays)) : NULL;
	load->failed = relays == NULL;
	if (relays == NULL)
		return false;
	fleet->relays = relays;
	records[fleet->count] = *record;
	relays[fleet->count++] = (struct mx_relay){.self = strcmp(name, load->self) == 0};
	return true;
}

bool
mx_fleet_load(struct mx_fleet *fleet, struct snapshot *snapshot, const char *self)
{
	struct load load = {.fleet = fleet, .self = self};
	const uint64_t serial = snapshot_meta(snapshot)->fleet_serial;

	if (fleet->count > 0 && fleet->serial == serial)
		return true;
	mx_fleet_free(fleet);
	if (snapshot_each_relay(snapshot, take_relay, &load) != SNAPSHOT_OK || load.failed) {
		mx_fleet_free(fleet);
		return false;
	}
	for (size_t i = 0; i < fleet->count; i++) {
		fleet->relays[i].names = fleet->records[i].names;
		fleet->relays[i].addresses = fleet->records[i].addresses;
		fleet->relays[i].region = fleet->records[i].region;
	}
	fleet->serial = serial;
	return true;
}

void
mx_fleet_permit(struct mx_fleet *fleet, const struct domain_record *domain,
    const struct customer_record *customer)
{
	for (size_t i = 0; i < fleet->count; i++)
		fleet->relays[i].permitted =
		    decide_region_permitted(domain, customer, fleet->relays[i].region);
}

void
mx_fleet_fence(
    struct mx_facts *facts, const struct fleet *fleet, const struct fence_networks *allow)
{
	for (size_t i = 0; i < facts->host_count; i++) {
		struct mx_host *host = &facts->hosts[i];

		for (size_t k = 0; k < host->address_count; k++) {
			const struct dns_record record = {
			    .type = host->addresses[k].family == 4 ? DNS_A : DNS_AAAA,
			    .address = host->addresses[k]};
			const struct fence_verdict verdict = fence_record(&record, fleet, allow);

			host->fenced[k] = verdict.drop ? verdict.reason : NULL;
		}
	}
}

size_t
mx_fleet_reachable(const struct mx_host *host, const struct fleet *fleet,
    const struct fence_networks *allow, struct ip out[MX_ADDRESSES_MOST])
{
	size_t count = 0;

	for (size_t i = 0; i < host->address_count; i++) {
		const struct ip *address = &host->addresses[i];
		const struct dns_record record = {
		    .type = address->family == 4 ? DNS_A : DNS_AAAA, .address = *address};

		if (fleet_address(fleet, address) == FLEET_NOT &&
		    !fence_record(&record, fleet, allow).drop)
			out[count++] = *address;
	}
	return count;
}

void
mx_fleet_free(struct mx_fleet *fleet)
{
	free(fleet->records);
	free(fleet->relays);
	*fleet = (struct mx_fleet){0};
}
