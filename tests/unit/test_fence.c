/*
 * Tests of core/fleet and core/fence: the records of tests/data/dns_records.txt and the next hops
 * of tests/data/next_hops.txt, against the fleet that is described there.
 */
#include "core/fence.h"

#include "tests/unit/table.h"

static struct table records;
static struct table hops;
static struct fleet *fleet;
static struct ip_network allowed[2];
static const struct fence_networks allow = {allowed, 2};

static void
set_up(void)
{
	struct ip own;

	fleet = fleet_new("eu1");
	ck_assert_ptr_nonnull(fleet);
	ck_assert(fleet_add(fleet, "us1", "america.mx.backup.example shared.mx.backup.example",
	    "198.51.100.1 8.8.4.4 2600::1"));
	ck_assert(fleet_add(fleet, "eu1", "europe.mx.backup.example shared.mx.backup.example",
	    "203.0.113.1 2001:db8:e::1"));
	ck_assert(ip_parse("10.9.9.9", &own));
	ck_assert(fleet_add_own_address(fleet, &own));
	ck_assert(ip_network_parse("10.8.0.0/16", &allowed[0]));
	ck_assert(ip_network_parse("fd00:8::/32", &allowed[1]));
}

static void
tear_down(void)
{
	fleet_free(fleet);
}

static void
assert_verdict(const char *expected, const struct fence_verdict *verdict, const char *line)
{
	ck_assert_msg(strcmp(verdict->drop ? "drop" : "keep", expected) == 0, "%s: got %s (%s)",
	    line, verdict->drop ? "drop" : "keep", verdict->reason);
	ck_assert_msg((verdict->reason[0] != '\0') == verdict->drop, "%s: reason '%s'", line,
	    verdict->reason);
}

START_TEST(test_record)
{
	const char *line = records.lines[_i];
	char expected[20], text[TABLE_LINE_SIZE];
	struct dns_record record;

	table_word(&line, expected, sizeof(expected));
	size_t length = table_rest(&line, text, sizeof(text));
	bool readable = dns_text_parse(text, length, &record);
	ck_assert_msg(readable == (strcmp(expected, "unreadable") != 0), "%s: %s",
	    records.lines[_i], readable ? "was read" : "is unreadable");
	if (!readable)
		return;
	struct fence_verdict verdict = fence_record(&record, fleet, &allow);
	assert_verdict(expected, &verdict, records.lines[_i]);
}
END_TEST

START_TEST(test_next_hop)
{
	const char *line = hops.lines[_i];
	char expected[20], text[TABLE_LINE_SIZE];

	table_word(&line, expected, sizeof(expected));
	size_t length = table_rest(&line, text, sizeof(text));
	struct fence_verdict verdict = fence_next_hop(text, length, fleet, &allow);
	assert_verdict(expected, &verdict, hops.lines[_i]);
}
END_TEST

/* An operator who allows everything special still has a fence around the fleet. */
START_TEST(test_allow_never_opens_the_fleet)
{
	struct ip_network all[2];
	const struct fence_networks everything = {all, 2};
	static const char text[] = "host.example. 5 IN A 198.51.100.1";
	static const char mapped[] = "host.example. 5 IN AAAA ::ffff:198.51.100.1";
	struct dns_record record;

	ck_assert(ip_network_parse("0.0.0.0/0", &all[0]));
	ck_assert(ip_network_parse("::/0", &all[1]));
	ck_assert(dns_text_parse(text, strlen(text), &record));
	ck_assert(fence_record(&record, fleet, &everything).drop);
	ck_assert(dns_text_parse(mapped, strlen(mapped), &record));
	ck_assert(fence_record(&record, fleet, &everything).drop);
	ck_assert(fence_next_hop("[8.8.4.4]", 9, fleet, &everything).drop);
	ck_assert(!fence_next_hop("[127.0.0.1]", 11, fleet, &everything).drop);
}
END_TEST

START_TEST(test_fleet_members)
{
	struct ip ip;

	ck_assert_int_eq(fleet_name(fleet, "europe.mx.backup.example"), FLEET_SELF);
	ck_assert_int_eq(fleet_name(fleet, "america.mx.backup.example"), FLEET_OTHER);
	ck_assert_int_eq(fleet_name(fleet, "shared.mx.backup.example"), FLEET_SELF);
	ck_assert_int_eq(fleet_name(fleet, "mx.backup.example"), FLEET_NOT);
	ck_assert_int_eq(fleet_name(fleet, ""), FLEET_NOT);
	ck_assert(ip_parse("::ffff:198.51.100.1", &ip));
	ck_assert_msg(fleet_address(fleet, &ip) == FLEET_OTHER, "a client on a dual-stack socket");
	ck_assert(ip_parse("198.51.100.2", &ip));
	ck_assert_int_eq(fleet_address(fleet, &ip), FLEET_NOT);
	ip.family = 0;
	ck_assert_int_eq(fleet_address(fleet, &ip), FLEET_NOT);
}
END_TEST

START_TEST(test_fleet_refuses_what_it_cannot_read)
{
	struct fleet *other = fleet_new("x");

	ck_assert(fleet_add(other, "a", "", ""));
	ck_assert(fleet_add(other, "b", "  a.example   b.example ", " 192.0.2.1  192.0.2.2 "));
	ck_assert_int_eq(fleet_name(other, "b.example"), FLEET_OTHER);
	ck_assert(!fleet_add(other, "c", "a..example", ""));
	ck_assert(!fleet_add(other, "c", "", "192.0.2.0/24"));
	ck_assert(!fleet_add(other, "c", "", "mail.example"));
	fleet_free(other);
	fleet_free(NULL);
}
END_TEST

/* A name or address that is shared is this relay's own, whoever comes first in the feed. */
START_TEST(test_fleet_shared)
{
	struct fleet *shared = fleet_new("b");
	struct ip ip;

	ck_assert(fleet_add(shared, "a", "one.example two.example", "192.0.2.1 192.0.2.2"));
	ck_assert(fleet_add(shared, "b", "one.example three.example", "192.0.2.1 192.0.2.3"));
	ck_assert(fleet_add(shared, "c", "one.example three.example", "192.0.2.1 192.0.2.3"));
	ck_assert_int_eq(fleet_name(shared, "one.example"), FLEET_SELF);
	ck_assert_int_eq(fleet_name(shared, "two.example"), FLEET_OTHER);
	ck_assert_int_eq(fleet_name(shared, "three.example"), FLEET_SELF);
	ck_assert(ip_parse("192.0.2.1", &ip));
	ck_assert_int_eq(fleet_address(shared, &ip), FLEET_SELF);
	ck_assert(ip_parse("192.0.2.2", &ip));
	ck_assert_int_eq(fleet_address(shared, &ip), FLEET_OTHER);
	ck_assert(ip_parse("192.0.2.3", &ip));
	ck_assert_int_eq(fleet_address(shared, &ip), FLEET_SELF);

	struct ip own[2];
	char text[IP_TEXT_SIZE];
	ck_assert_int_eq(fleet_own_addresses(shared, own, 2), 2);
	ck_assert_str_eq(ip_format(&own[0], text), "192.0.2.1");
	ck_assert_str_eq(ip_format(&own[1], text), "192.0.2.3");
	ck_assert_int_eq(fleet_own_addresses(shared, own, 1), 1);
	fleet_free(shared);
}
END_TEST

/* A large fleet, added in an order that is neither ascending nor descending. */
START_TEST(test_fleet_large)
{
	struct fleet *large = fleet_new("r7");
	char relay[20], name[40], text[40];
	struct ip ip;

	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = i * 7919 % 1000;
		snprintf(relay, sizeof(relay), "r%u", n);
		snprintf(name, sizeof(name), "mx%u.backup.example", n);
		snprintf(text, sizeof(text), "11.0.%u.%u 2a00::%x", n / 256, n % 256, n + 1);
		ck_assert(fleet_add(large, relay, name, text));
	}
	for (unsigned n = 0; n < 1000; n++) {
		enum fleet_member expected = n == 7 ? FLEET_SELF : FLEET_OTHER;
		snprintf(name, sizeof(name), "mx%u.backup.example", n);
		ck_assert_int_eq(fleet_name(large, name), expected);
		snprintf(text, sizeof(text), "11.0.%u.%u", n / 256, n % 256);
		ck_assert(ip_parse(text, &ip));
		ck_assert_int_eq(fleet_address(large, &ip), expected);
	}
	ck_assert_int_eq(fleet_name(large, "mx1000.backup.example"), FLEET_NOT);
	fleet_free(large);
}
END_TEST

int
main(void)
{
	records = table_load("tests/data/dns_records.txt");
	hops = table_load("tests/data/next_hops.txt");
	Suite *suite = suite_create("fence");
	TCase *tests = tcase_create("core");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, test_record, 0, records.count);
	tcase_add_loop_test(tests, test_next_hop, 0, hops.count);
	tcase_add_test(tests, test_allow_never_opens_the_fleet);
	tcase_add_test(tests, test_fleet_members);
	tcase_add_test(tests, test_fleet_refuses_what_it_cannot_read);
	tcase_add_test(tests, test_fleet_shared);
	tcase_add_test(tests, test_fleet_large);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	table_free(&records);
	table_free(&hops);
	return status;
}
