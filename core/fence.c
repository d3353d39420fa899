/*
 * fence: see fence.h. It must never let through another relay of the fleet, in whatever spelling,
 * nor an address that is not global unless the operator allowed it.
 */
#include "core/fence.h"

#include <string.h>
#include <strings.h>

static const struct fence_verdict keep = {.drop = false, .reason = ""};

static struct fence_verdict
drop(const char *reason)
{
	return (struct fence_verdict){.drop = true, .reason = reason};
}

static bool
is_allowed(const struct fence_networks *allow, const struct ip *address)
{
	for (size_t i = 0; i < allow->count; i++) {
		if (ip_network_contains(&allow->list[i], address))
			return true;
	}
	return false;
}

/* Why no relay may connect to a special address; NULL where it may. */
static const char *
special_reason(const struct ip *address)
{
	static const char *const reasons[] = {
	    [IP_UNSPECIFIED] = "unspecified address",
	    [IP_LOOPBACK] = "loopback address",
	    [IP_PRIVATE] = "private address",
	    [IP_SHARED] = "shared address space",
	    [IP_LINK_LOCAL] = "link-local address",
	    [IP_MULTICAST] = "multicast address",
	    [IP_MAPPED] = "IPv4-mapped address",
	    [IP_DOCUMENTATION] = "documentation address",
	    [IP_RESERVED] = "reserved address",
	};

	return reasons[ip_classify(address)];
}

/* An address in a DNS answer, or an MX host that is one. */
static struct fence_verdict
judge_address(
    const struct ip *address, const struct fleet *fleet, const struct fence_networks *allow)
{
	if (ip_classify(address) == IP_MAPPED)
		return drop(special_reason(address));
	enum fleet_member member = fleet_address(fleet, address);
	if (member == FLEET_SELF)
		return keep;
	if (member == FLEET_OTHER)
		return drop("address of another relay");
	const char *reason = special_reason(address);
	return reason != NULL && !is_allowed(allow, address) ? drop(reason) : keep;
}

static struct fence_verdict
judge_mx(
    const struct dns_record *record, const struct fleet *fleet, const struct fence_networks *allow)
{
	if (record->null_mx)
		return keep;
	if (record->address.family != 0)
		return judge_address(&record->address, fleet, allow);
	if (!record->host_odd && fleet_name(fleet, record->host) == FLEET_OTHER)
		return drop("name of another relay");
	return keep;
}

struct fence_verdict
fence_record(
    const struct dns_record *record, const struct fleet *fleet, const struct fence_networks *allow)
{
	switch (record->type) {
	case DNS_MX: return judge_mx(record, fleet, allow);
	case DNS_A:
	case DNS_AAAA: return judge_address(&record->address, fleet, allow);
	case DNS_OTHER: break;
	}
	return keep;
}

/* --- next hops ------------------------------------------------------------------ */

struct hop {
	const char *host;
	size_t length;
};

/* ":25" and nothing else; also the empty text. */
static bool
is_port_or_end(const char *text, size_t length)
{
	unsigned port = 0;

	if (length == 0)
		return true;
	if (length < 2 || length > 6 || text[0] != ':' || text[1] == '0')
		return false;
	for (size_t i = 1; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= 65535;
}

/* Parts host and port. False: not of the forms that fence.h lists. */
static bool
split_hop(const char *hop, size_t length, struct hop *out)
{
	const char *end = hop + length;
	bool bracketed = length > 0 && hop[0] == '[';
	const char *host = bracketed ? hop + 1 : hop;
	const char *stop = memchr(host, bracketed ? ']' : ':', (size_t)(end - host));

	if (stop == NULL && bracketed)
		return false;
	if (stop == NULL)
		stop = end;
	const char *port = bracketed ? stop + 1 : stop;
	*out = (struct hop){.host = host, .length = (size_t)(stop - host)};
	return out->length > 0 && is_port_or_end(port, (size_t)(end - port));
}

static bool
parse_hop_address(const struct hop *hop, struct ip *out)
{
	static const char tag[] = "IPv6:";
	size_t skip = strlen(tag);

	if (hop->length > skip && strncasecmp(hop->host, tag, skip) == 0)
		return ip_parse_bytes(hop->host + skip, hop->length - skip, out) &&
		       out->family == 6;
	return ip_parse_host(hop->host, hop->length, out);
}

static struct fence_verdict
judge_hop_address(
    const struct ip *address, const struct fleet *fleet, const struct fence_networks *allow)
{
	if (fleet_address(fleet, address) != FLEET_NOT)
		return drop("address of a relay of the fleet");
	if (ip_classify(address) == IP_DOCUMENTATION)
		return keep;
	return judge_address(address, fleet, allow);
}

struct fence_verdict
fence_next_hop(
    const char *hop, size_t length, const struct fleet *fleet, const struct fence_networks *allow)
{
	struct hop parts;
	struct ip address;
	char name[DOMAIN_SIZE];

	if (!split_hop(hop, length, &parts))
		return drop("unreadable next hop");
	if (parse_hop_address(&parts, &address))
		return judge_hop_address(&address, fleet, allow);
	if (!domain_normalise_host(parts.host, parts.length, name))
		return drop("unreadable next hop");
	if (fleet_name(fleet, name) != FLEET_NOT)
		return drop("name of a relay of the fleet");
	return keep;
}
