/*
 * Fuzzes queued/route: next hops from a row and DNS answers from anybody. Whatever comes: it ends
 * after a few rounds, and no endpoint is another relay of the fleet, this relay, or special.
 *
 * Input: next hops up to a newline, then records, one a line, which any question gets whose type
 * they have.
 */
#include "queued/route.h"

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#define RECORDS 64

struct zone {
	struct dns_record records[RESOLVER_TYPES][RECORDS];
	struct route_answer answers[RESOLVER_TYPES];
	unsigned questions;
};

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
add_record(struct zone *zone, const char *text, size_t length)
{
	static const enum resolver_type types[] = {
	    [DNS_MX] = RESOLVER_MX, [DNS_A] = RESOLVER_A, [DNS_AAAA] = RESOLVER_AAAA};
	struct dns_record record;

	if (!dns_text_parse(text, length, &record) || record.type == DNS_OTHER)
		return;
	enum resolver_type type = types[record.type];
	if (zone->answers[type].count == RECORDS)
		return;
	zone->records[type][zone->answers[type].count++] = record;
	zone->answers[type].outcome = RESOLVER_FOUND;
}

static void
read_zone(struct zone *zone, const char *text, size_t size)
{
	for (size_t i = 0; i < RESOLVER_TYPES; i++)
		zone->answers[i] = (struct route_answer){
		    .outcome = RESOLVER_NODATA, .ttl = 60, .records = zone->records[i]};
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t length = end != NULL ? (size_t)(end - text) : size;
		add_record(zone, text, length);
		length += end != NULL;
		text += length;
		size -= length;
	}
}

/* Each question is answered when it comes the second time. */
static const struct route_answer *
find(void *context, const char *name, enum resolver_type type)
{
	struct zone *zone = context;

	FUZZ_HOLDS(strlen(name) < DOMAIN_SIZE);
	return zone->questions > 0 ? &zone->answers[type] : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fence_networks allow = {NULL, 0};
	static struct zone zone;
	static struct route route;
	const char *text = (const char *)data, *end = memchr(text, '\n', size);
	size_t length = end != NULL ? (size_t)(end - text) : size;
	char hops[NEXT_HOPS_SIZE];

	memset(&zone, 0, sizeof(zone));
	(void)snprintf(hops, sizeof(hops), "%.*s", (int)(length < 1000 ? length : 1000), text);
	read_zone(&zone, text + length, size - length);
	const struct route_request request = {.domain = "customer.example",
	    .next_hops = hops,
	    .fleet = the_fleet(),
	    .allow = &allow,
	    .use4 = true,
	    .use6 = true,
	    .port = 25,
	    .find = find,
	    .context = &zone};
	route_find(&request, &route);
	zone.questions = 1;
	route_find(&request, &route);
	FUZZ_HOLDS(route.verdict != ROUTE_NEEDS_MORE);
	FUZZ_HOLDS((route.count > 0) == (route.verdict == ROUTE_FOUND));
	FUZZ_HOLDS(
	    (route.why[0] != '\0') == (route.count == 0) || hops[strspn(hops, ", \t")] == '\0');
	for (size_t i = 0; i < route.count; i++) {
		const struct ip *address = &route.endpoint[i].address;
		enum ip_class class = ip_classify(address);
		FUZZ_HOLDS(fleet_address(request.fleet, address) != FLEET_OTHER);
		FUZZ_HOLDS(route.endpoint[i].port != 25 ||
			   fleet_address(request.fleet, address) == FLEET_NOT);
		FUZZ_HOLDS(class == IP_GLOBAL || class == IP_DOCUMENTATION ||
			   fleet_address(request.fleet, address) == FLEET_SELF);
	}
	fuzz_outcome(route.count > 0);
	return 0;
}
