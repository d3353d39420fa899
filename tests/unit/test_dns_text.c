/*
 * Tests of core/dns_text: what is read out of a record. Which records are readable at all, and what
 * the fence makes of them, stands in tests/data/dns_records.txt (see test_fence).
 */
#include "core/dns_text.h"

#include "tests/unit/table.h"

static struct dns_record
parse(const char *text)
{
	struct dns_record record;

	memset(&record, 'X', sizeof(record));
	ck_assert_msg(dns_text_parse(text, strlen(text), &record), "%s", text);
	return record;
}

START_TEST(test_mx)
{
	struct dns_record record = parse("customer.example. 5 IN MX 100 Europe.MX.Backup.Example.");

	ck_assert_int_eq(record.type, DNS_MX);
	ck_assert_uint_eq(record.preference, 100);
	ck_assert_str_eq(record.host, "europe.mx.backup.example");
	ck_assert(!record.null_mx && !record.host_odd);
	ck_assert_uint_eq(record.address.family, 0);
	record = parse("customer.example. 5 IN MX 65535 a.");
	ck_assert_uint_eq(record.preference, 65535);
	ck_assert_str_eq(record.host, "a");
}
END_TEST

START_TEST(test_mx_null)
{
	struct dns_record record = parse("customer.example. 5 IN MX 0 .");

	ck_assert(record.null_mx && !record.host_odd);
	ck_assert_str_eq(record.host, "");
	ck_assert_uint_eq(record.address.family, 0);
}
END_TEST

START_TEST(test_mx_odd)
{
	struct dns_record record = parse("customer.example. 5 IN MX 10 a..b.");

	ck_assert(record.host_odd && !record.null_mx);
	ck_assert_str_eq(record.host, "");
	ck_assert_uint_eq(record.address.family, 0);
}
END_TEST

START_TEST(test_mx_numeric)
{
	static const struct {
		const char *text, *address;
	} cases[] = {
	    {"c.example. 5 IN MX 10 192.0.2.1.", "192.0.2.1"},
	    {"c.example. 5 IN MX 10 0x7f.1.", "127.0.0.1"},
	    {"c.example. 5 IN MX 10 2001:db8::1.", "2001:db8::1"},
	};
	char text[IP_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_record record = parse(cases[i].text);
		ck_assert_int_eq(record.type, DNS_MX);
		ck_assert_str_eq(ip_format(&record.address, text), cases[i].address);
	}
}
END_TEST

START_TEST(test_addresses)
{
	char text[IP_TEXT_SIZE];
	struct dns_record record = parse("host. 5 IN A 192.0.2.1");

	ck_assert_int_eq(record.type, DNS_A);
	ck_assert_str_eq(ip_format(&record.address, text), "192.0.2.1");
	record = parse("host. 5 in aaaa 2001:DB8::25");
	ck_assert_int_eq(record.type, DNS_AAAA);
	ck_assert_str_eq(ip_format(&record.address, text), "2001:db8::25");
}
END_TEST

START_TEST(test_other)
{
	ck_assert_int_eq(parse("host. 5 IN CNAME other.example.").type, DNS_OTHER);
	ck_assert_int_eq(parse("host. 5 IN MXX 10 other.example.").type, DNS_OTHER);
	ck_assert_int_eq(parse("host. 5 IN M 10 other.example.").type, DNS_OTHER);
}
END_TEST

/* No byte behind the given length is looked at. */
START_TEST(test_length_counts)
{
	static const char text[] = "host. 5 IN A 192.0.2.11";
	char exact[22];
	struct dns_record record;
	char out[IP_TEXT_SIZE];

	memcpy(exact, text, sizeof(exact));
	ck_assert(dns_text_parse(exact, sizeof(exact), &record));
	ck_assert_str_eq(ip_format(&record.address, out), "192.0.2.1");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dns_text");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_mx);
	tcase_add_test(tests, test_mx_null);
	tcase_add_test(tests, test_mx_odd);
	tcase_add_test(tests, test_mx_numeric);
	tcase_add_test(tests, test_addresses);
	tcase_add_test(tests, test_other);
	tcase_add_test(tests, test_length_counts);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
