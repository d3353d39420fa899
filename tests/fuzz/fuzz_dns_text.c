/*
 * Fuzzes core/dns_text with core/fence behind it. Whatever comes: no address of another relay and
 * no special one is kept, and no name of another relay.
 */
#include "core/fence.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct fleet *
the_fleet(void)
{
	static struct fleet *fleet;

	if (fleet != NULL)
		return fleet;
	fleet = fleet_new("eu1");
	FUZZ_HOLDS(fleet != NULL);
	FUZZ_HOLDS(fleet_add(fleet, "eu1", "europe.mx.example", "203.0.113.1 2001:db8::1"));
	FUZZ_HOLDS(fleet_add(fleet, "us1", "america.mx.example", "8.8.4.4 2600::1"));
	return fleet;
}

static void
check_kept(const struct dns_record *record, const struct fleet *fleet)
{
	if (record->type == DNS_MX && !record->host_odd)
		FUZZ_HOLDS(strcmp(record->host, "america.mx.example") != 0);
	if (record->type == DNS_OTHER || record->address.family == 0)
		return;
	enum fleet_member member = fleet_address(fleet, &record->address);
	FUZZ_HOLDS(member != FLEET_OTHER);
	FUZZ_HOLDS(member == FLEET_SELF || ip_classify(&record->address) == IP_GLOBAL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fence_networks allow = {NULL, 0};
	const char *text = (const char *)data;
	const struct fleet *fleet = the_fleet();
	struct dns_record record;

	bool good = dns_text_parse(text, size, &record);
	if (good && !fence_record(&record, fleet, &allow).drop)
		check_kept(&record, fleet);
	if (good && (record.type == DNS_A || record.type == DNS_AAAA))
		FUZZ_HOLDS(record.address.family == (record.type == DNS_A ? 4 : 6));
	struct fence_verdict hop = fence_next_hop(text, size, fleet, &allow);
	FUZZ_HOLDS(hop.drop == (hop.reason[0] != '\0'));
	fuzz_outcome(good);
	return 0;
}
