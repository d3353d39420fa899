/*
 * Tests of core/ip: text to addresses and back, networks, and the classes of
 * tests/data/ip_classes.txt.
 */
#include "core/ip.h"

#include "tests/unit/table.h"

static struct table classes;

static struct ip
address(const char *text)
{
	struct ip ip;

	ck_assert_msg(ip_parse(text, &ip), "%s is an address", text);
	return ip;
}

static struct ip_network
network(const char *text)
{
	struct ip_network network;

	ck_assert_msg(ip_network_parse(text, &network), "%s is a network", text);
	return network;
}

START_TEST(test_class)
{
	const char *line = classes.lines[_i];
	char expected[20], text[60];

	table_word(&line, expected, sizeof(expected));
	table_word(&line, text, sizeof(text));
	struct ip ip = address(text);
	const char *got = ip_class_name(ip_classify(&ip));
	ck_assert_msg(strcmp(got, expected) == 0, "%s: got %s", classes.lines[_i], got);
}
END_TEST

START_TEST(test_parse)
{
	static const struct {
		const char *text, *out; /* NULL: no address */
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"255.255.255.255", "255.255.255.255"},
	    {"2001:DB8::0:1", "2001:db8::1"},
	    {"::", "::"},
	    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
	    {"", NULL},
	    {"192.0.2", NULL},
	    {"192.0.2.1.", NULL},
	    {" 192.0.2.1", NULL},
	    {"192.0.2.1 ", NULL},
	    {"192.0.2.256", NULL},
	    {"192.0.2.01", NULL},
	    {"0x7f.0.0.1", NULL},
	    {"127.1", NULL},
	    {"2001:db8::1::2", NULL},
	    {"2001:db8::1%eth0", NULL},
	    {"[2001:db8::1]", NULL},
	    {"2001:db8:0:0:0:0:0:0:1", NULL},
	    {"12345::1", NULL},
	    {"example.com", NULL},
	};
	char text[IP_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip ip;
		memset(&ip, 'X', sizeof(ip));
		bool good = ip_parse(cases[i].text, &ip);
		ck_assert_msg(good == (cases[i].out != NULL), "'%s'", cases[i].text);
		if (good)
			ck_assert_str_eq(ip_format(&ip, text), cases[i].out);
		else
			ck_assert_uint_eq(ip.family, 0);
	}
}
END_TEST

START_TEST(test_parse_bytes)
{
	struct ip ip;
	char text[IP_TEXT_SIZE];

	ck_assert(ip_parse_bytes("192.0.2.1garbage", 9, &ip));
	ck_assert_str_eq(ip_format(&ip, text), "192.0.2.1");
	ck_assert(!ip_parse_bytes("192.0.2.1\0x", 11, &ip));
	ck_assert(!ip_parse_bytes("192.0.2.1", 0, &ip));
	ck_assert(ip_parse_bytes("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 45, &ip));
	ck_assert(!ip_parse_bytes("0ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 46, &ip));
	ip.family = 0;
	ck_assert_str_eq(ip_format(&ip, text), "");
}
END_TEST

/* What getaddrinfo(3) would take for a number. */
START_TEST(test_parse_host)
{
	static const struct {
		const char *text, *out;
	} cases[] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"127.1", "127.0.0.1"},
	    {"0x7f.1", "127.0.0.1"},
	    {"0X7F000001", "127.0.0.1"},
	    {"2130706433", "127.0.0.1"},
	    {"017700000001", "127.0.0.1"},
	    {"192.0.513", "192.0.2.1"},
	    {"0", "0.0.0.0"},
	    {"2001:db8::1", "2001:db8::1"},
	    {"fe80::1%eth0", "fe80::1"},
	    {"192.0.2.1%eth0", NULL},
	    {"", NULL},
	    {"abc", NULL},
	    {"1.2.3.4.5", NULL},
	    {"4294967296", NULL},
	    {"0x7f.example", NULL},
	    {"127.1 ", NULL},
	    {"-1", NULL},
	    {"[::1]", NULL},
	};
	char text[IP_TEXT_SIZE];
	struct ip ip;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool good = ip_parse_host(cases[i].text, strlen(cases[i].text), &ip);
		ck_assert_msg(good == (cases[i].out != NULL), "'%s'", cases[i].text);
		if (good)
			ck_assert_str_eq(ip_format(&ip, text), cases[i].out);
	}
}
END_TEST

START_TEST(test_network_parse)
{
	static const struct {
		const char *text;
		int prefix; /* -1: no network */
	} cases[] = {
	    {"192.0.2.0/24", 24},
	    {"192.0.2.1", 32},
	    {"192.0.2.1/32", 32},
	    {"0.0.0.0/0", 0},
	    {"192.0.2.128/25", 25},
	    {"2001:db8::/32", 32},
	    {"2001:db8::1", 128},
	    {"::/0", 0},
	    {"fe80::/10", 10},
	    {"192.0.2.1/24", -1},
	    {"192.0.2.128/24", -1},
	    {"2001:db8::1/64", -1},
	    {"192.0.2.0/33", -1},
	    {"2001:db8::/129", -1},
	    {"192.0.2.0/", -1},
	    {"192.0.2.0/024", -1},
	    {"192.0.2.0/2 4", -1},
	    {"192.0.2.0/+24", -1},
	    {"192.0.2.0/24/24", -1},
	    {"192.0.2.0/255.255.255.0", -1},
	    {"/24", -1},
	    {"", -1},
	    {"192.0.2/24", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_network out;
		bool good = ip_network_parse(cases[i].text, &out);
		ck_assert_msg(good == (cases[i].prefix >= 0), "'%s'", cases[i].text);
		if (good)
			ck_assert_int_eq(out.prefix, cases[i].prefix);
	}
}
END_TEST

START_TEST(test_network_contains)
{
	static const struct {
		const char *network, *address;
		bool inside;
	} cases[] = {
	    {"192.0.2.0/24", "192.0.2.0", true},
	    {"192.0.2.0/24", "192.0.2.255", true},
	    {"192.0.2.0/24", "192.0.3.0", false},
	    {"192.0.2.0/25", "192.0.2.128", false},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.0", false},
	    {"0.0.0.0/0", "192.0.2.1", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "192.0.2.1", false},
	    {"::/0", "2001:db8::1", true},
	    {"fc00::/7", "fdff::1", true},
	    {"fc00::/7", "fe00::1", false},
	    {"0.0.0.0/0", "::ffff:192.0.2.1", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_network net = network(cases[i].network);
		struct ip ip = address(cases[i].address);
		ck_assert_msg(ip_network_contains(&net, &ip) == cases[i].inside, "%s in %s",
		    cases[i].address, cases[i].network);
	}
	struct ip_network all = network("0.0.0.0/0");
	struct ip none = {.family = 0};
	ck_assert(!ip_network_contains(&all, &none));
}
END_TEST

START_TEST(test_unmap)
{
	struct ip plain = address("192.0.2.1");
	struct ip mapped = address("::ffff:192.0.2.1");
	struct ip compatible = address("::192.0.2.1");
	struct ip unmapped = ip_unmap(&mapped);

	ck_assert(!ip_equal(&plain, &mapped));
	ck_assert(ip_equal(&plain, &unmapped));
	unmapped = ip_unmap(&plain);
	ck_assert(ip_equal(&plain, &unmapped));
	unmapped = ip_unmap(&compatible);
	ck_assert(ip_equal(&compatible, &unmapped));
}
END_TEST

int
main(void)
{
	classes = table_load("tests/data/ip_classes.txt");
	Suite *suite = suite_create("ip");
	TCase *tests = tcase_create("core");
	tcase_add_loop_test(tests, test_class, 0, classes.count);
	tcase_add_test(tests, test_parse);
	tcase_add_test(tests, test_parse_bytes);
	tcase_add_test(tests, test_parse_host);
	tcase_add_test(tests, test_network_parse);
	tcase_add_test(tests, test_network_contains);
	tcase_add_test(tests, test_unmap);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	table_free(&classes);
	return status;
}
