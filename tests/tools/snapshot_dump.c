/*
 * snapshot_dump: prints what a snapshot holds as text that psql can print too, for comparisons.
 *
 * usage: snapshot_dump STATE_DIR RELAY domains|customers|all|contact|fleet NAME...
 *
 *   domains    the live domains: name|customer|regions|flags|size|retention|messages|bytes|hops
 *   customers  the customers that they name, in the order of their first domain
 *              and |hold_until|hold_reason|pin_certificate|pin_banner where there is any
 *   all        as domains, and the retired ones, with |retired or |live at the end
 *   contact    milliseconds since the authority was heard, -1: never
 *   fleet      for each NAME: self, other or not
 *
 * Flags are those of docs/feed.md, rebuilt from the record.
 */
#include "core/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned
limit_flags(const struct limits *limits)
{
	static const unsigned oversize[] = {
	    [OVERSIZE_INHERIT] = 0, [OVERSIZE_REJECT] = 16, [OVERSIZE_DEFER] = 32};
	static const unsigned primary[] = {
	    [PRIMARY_UP_INHERIT] = 0, [PRIMARY_UP_ACCEPT] = 64, [PRIMARY_UP_DEFER] = 128};
	static const unsigned mx[] = {
	    [MX_CHECK_INHERIT] = 0, [MX_CHECK_ON] = 256, [MX_CHECK_OFF] = 512};
	static const unsigned refused[] = {
	    [REFUSED_INHERIT] = 0, [REFUSED_JUDGE] = 1024, [REFUSED_KEEP] = 2048};

	return oversize[limits->oversize] + primary[limits->when_primary_up] +
	       mx[limits->mx_check] + refused[limits->refused];
}

static void
print_limits(unsigned flags, const struct limits *limits)
{
	printf("|%u|%" PRIu64 "|%" PRIu32 "|%" PRIu64 "|%" PRIu64, flags + limit_flags(limits),
	    limits->size_limit, limits->retention, limits->quota_messages, limits->quota_bytes);
}

static bool
print_domain(const char *name, const struct domain_record *record, void *context)
{
	const bool all = *(const bool *)context;

	if (!all && record->retired_at != 0)
		return true;
	printf("%s|%s|%s", name, record->customer, record->regions);
	print_limits((record->include_subdomains ? 1u : 0) + (record->suspended ? 2u : 0) +
			 (record->hops_withheld ? 4u : 0) + (record->tls_required ? 8u : 0),
	    &record->limits);
	printf("|%s", record->next_hops);
	if (record->hold_until != 0 || record->hold_reason[0] != '\0' ||
	    record->pin_certificate[0] != '\0' || record->pin_banner[0] != '\0')
		printf("|%" PRId64 "|%s|%s|%s", record->hold_until, record->hold_reason,
		    record->pin_certificate, record->pin_banner);
	puts(!all ? "" : record->retired_at != 0 ? "|retired" : "|live");
	return true;
}

struct customers {
	struct snapshot *snapshot;
	char **seen;
	size_t count;
};

static bool
print_customer(const char *name, const struct domain_record *domain, void *context)
{
	struct customers *customers = context;
	struct customer_record record;
	size_t i;

	(void)name;
	if (domain->retired_at != 0)
		return true;
	for (i = 0; i < customers->count; i++)
		if (strcmp(customers->seen[i], domain->customer) == 0)
			return true;
	customers->seen = realloc(customers->seen, (i + 1) * sizeof(char *));
	customers->seen[customers->count++] = strdup(domain->customer);
	if (snapshot_customer(customers->snapshot, domain->customer, &record) != SNAPSHOT_OK) {
		printf("%s|missing\n", domain->customer);
		return true;
	}
	printf("%s|%s", domain->customer, record.regions);
	print_limits(record.suspended ? 2u : 0, &record.limits);
	puts("");
	return true;
}

static int
print_fleet(struct snapshot *snapshot, char **names)
{
	static const char *const words[] = {
	    [FLEET_NOT] = "not", [FLEET_SELF] = "self", [FLEET_OTHER] = "other"};
	const struct fleet *fleet = snapshot_fleet(snapshot);

	if (fleet == NULL)
		return 1;
	for (; *names != NULL; names++)
		printf("%s %s\n", *names, words[fleet_name(fleet, *names)]);
	return 0;
}

static int
dump(struct snapshot *snapshot, char **argv)
{
	struct customers customers = {.snapshot = snapshot};
	const char *what = argv[3];
	bool all = strcmp(what, "all") == 0;

	if (all || strcmp(what, "domains") == 0)
		return snapshot_each_domain(snapshot, print_domain, &all) != SNAPSHOT_OK;
	if (strcmp(what, "customers") == 0)
		return snapshot_each_domain(snapshot, print_customer, &customers) != SNAPSHOT_OK;
	if (strcmp(what, "fleet") == 0)
		return print_fleet(snapshot, argv + 4);
	printf("%" PRId64 "\n", snapshot_contact_age(snapshot, snapshot_clock_boot_ms()));
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: %s STATE_DIR RELAY WHAT [NAME...]\n", argv[0]);
		return 64;
	}
	struct snapshot *snapshot = snapshot_new(argv[1], argv[2]);
	if (snapshot == NULL)
		return 71;
	if (snapshot_begin(snapshot, snapshot_clock_boot_ms()) != SNAPSHOT_OK) {
		fprintf(stderr, "%s\n", snapshot_problem(snapshot));
		snapshot_free(snapshot);
		return 75;
	}
	const int code = dump(snapshot, argv);
	snapshot_end(snapshot);
	snapshot_free(snapshot);
	return code;
}
