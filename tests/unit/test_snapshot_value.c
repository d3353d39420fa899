/*
 * Tests of core/snapshot_value: what is written is read back; nothing passes under another key or
 * as another kind; whatever is cut, turned or out of its bounds is damaged.
 */
#include "core/snapshot_value.h"

#include "tests/unit/table.h"

static uint8_t value[SNAPSHOT_VALUE_MAX];

static struct domain_record
full_domain(void)
{
	struct domain_record record = {
	    .customer = "acme",
	    .include_subdomains = true,
	    .suspended = true,
	    .tls_required = true,
	    .hops_withheld = true,
	    .retired_at = INT64_MAX,
	    .subdomains_retired_at = 1,
	    .limits = {UINT64_MAX, 2, 3, UINT32_MAX, OVERSIZE_DEFER, PRIMARY_UP_DEFER, MX_CHECK_OFF,
		REFUSED_KEEP},
	    .hold_until = INT64_MAX,
	};

	memset(record.regions, 'r', sizeof(record.regions) - 1);
	memset(record.next_hops, 'h', sizeof(record.next_hops) - 1);
	memset(record.hold_reason, 'w', sizeof(record.hold_reason) - 1);
	memset(record.pin_certificate, 'c', sizeof(record.pin_certificate) - 1);
	memset(record.pin_banner, 'b', sizeof(record.pin_banner) - 1);
	return record;
}

static void
assert_limits(const struct limits *a, const struct limits *b)
{
	ck_assert_uint_eq(a->size_limit, b->size_limit);
	ck_assert_uint_eq(a->quota_messages, b->quota_messages);
	ck_assert_uint_eq(a->quota_bytes, b->quota_bytes);
	ck_assert_uint_eq(a->retention, b->retention);
	ck_assert_int_eq(a->oversize, b->oversize);
	ck_assert_int_eq(a->when_primary_up, b->when_primary_up);
	ck_assert_int_eq(a->mx_check, b->mx_check);
	ck_assert_int_eq(a->refused, b->refused);
}

static void
assert_domain_round_trip(const struct domain_record *in)
{
	struct domain_record out;
	size_t length = snapshot_value_put_domain("a.example", in, value);

	ck_assert_uint_gt(length, 0);
	memset(&out, 0x55, sizeof(out));
	ck_assert(snapshot_value_get_domain("a.example", 9, value, length, &out));
	ck_assert_str_eq(out.customer, in->customer);
	ck_assert_int_eq(out.include_subdomains, in->include_subdomains);
	ck_assert_int_eq(out.suspended, in->suspended);
	ck_assert_int_eq(out.tls_required, in->tls_required);
	ck_assert_int_eq(out.hops_withheld, in->hops_withheld);
	ck_assert_int_eq(out.retired_at, in->retired_at);
	ck_assert_int_eq(out.subdomains_retired_at, in->subdomains_retired_at);
	ck_assert_str_eq(out.regions, in->regions);
	ck_assert_str_eq(out.next_hops, in->next_hops);
	ck_assert_int_eq(out.hold_until, in->hold_until);
	ck_assert_str_eq(out.hold_reason, in->hold_reason);
	ck_assert_str_eq(out.pin_certificate, in->pin_certificate);
	ck_assert_str_eq(out.pin_banner, in->pin_banner);
	assert_limits(&out.limits, &in->limits);
}

START_TEST(test_domain)
{
	struct domain_record record = {.customer = "acme"};

	assert_domain_round_trip(&record);
	record = full_domain();
	assert_domain_round_trip(&record);
	memset(record.customer, 'c', sizeof(record.customer) - 1);
	assert_domain_round_trip(&record);
	record = (struct domain_record){.customer = ""};
	assert_domain_round_trip(&record);
}
END_TEST

/* Ten million of them are to fit: a plain domain costs little beyond its name. */
START_TEST(test_plain_domain_is_small)
{
	const struct domain_record record = {.customer = "customer-0001"};

	ck_assert_uint_le(snapshot_value_put_domain("a.example", &record, value), 26);
}
END_TEST

START_TEST(test_customer)
{
	struct customer_record out, in = {
					.suspended = true,
					.retired_at = 1700000000,
					.limits = {1, 2, 3, 4, OVERSIZE_REJECT, PRIMARY_UP_ACCEPT,
					    MX_CHECK_ON, REFUSED_JUDGE},
					.regions = "eu us",
				    };
	size_t length = snapshot_value_put_customer("acme", &in, value);

	ck_assert(snapshot_value_get_customer("acme", 4, value, length, &out));
	ck_assert(out.suspended);
	ck_assert_int_eq(out.retired_at, in.retired_at);
	ck_assert_str_eq(out.regions, "eu us");
	assert_limits(&out.limits, &in.limits);
}
END_TEST

START_TEST(test_relay)
{
	struct relay_record out, in = {.region = "eu", .names = "a.example b.example"};

	memset(in.addresses, '1', sizeof(in.addresses) - 1);
	size_t length = snapshot_value_put_relay("relay1", &in, value);
	ck_assert(snapshot_value_get_relay("relay1", 6, value, length, &out));
	ck_assert_str_eq(out.region, "eu");
	ck_assert_str_eq(out.names, in.names);
	ck_assert_str_eq(out.addresses, in.addresses);
}
END_TEST

START_TEST(test_other_key_or_kind)
{
	const struct customer_record customer = {.regions = "eu"};
	const struct domain_record domain = {.customer = ""};
	union {
		struct domain_record domain;
		struct customer_record customer;
		struct relay_record relay;
	} out;
	size_t length = snapshot_value_put_domain("a.example", &domain, value);

	ck_assert(!snapshot_value_get_domain("b.example", 9, value, length, &out.domain));
	ck_assert(!snapshot_value_get_domain("a.exampl", 8, value, length, &out.domain));
	ck_assert(!snapshot_value_get_domain("", 0, value, length, &out.domain));
	ck_assert(!snapshot_value_get_customer("a.example", 9, value, length, &out.customer));
	ck_assert(!snapshot_value_get_relay("a.example", 9, value, length, &out.relay));
	length = snapshot_value_put_customer("a.example", &customer, value);
	ck_assert(!snapshot_value_get_domain("a.example", 9, value, length, &out.domain));
	ck_assert(snapshot_value_get_customer("a.example", 9, value, length, &out.customer));
}
END_TEST

/* Every bit that is turned, and every length that is cut or longer, is noticed. */
START_TEST(test_damage)
{
	struct domain_record record = full_domain(), out;
	size_t length;

	strcpy(record.regions, "eu us");
	strcpy(record.next_hops, "[192.0.2.1]:25");
	length = snapshot_value_put_domain("a.example", &record, value);
	for (size_t bit = 0; bit < length * 8; bit++) {
		value[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ck_assert_msg(!snapshot_value_get_domain("a.example", 9, value, length, &out),
		    "bit %zu turned, and not noticed", bit);
		value[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t cut = 0; cut < length; cut++)
		ck_assert(!snapshot_value_get_domain("a.example", 9, value, cut, &out));
	value[length] = 0;
	ck_assert(!snapshot_value_get_domain("a.example", 9, value, length + 1, &out));
	ck_assert(snapshot_value_get_domain("a.example", 9, value, length, &out));
}
END_TEST

/* What no reader would take is not written. */
START_TEST(test_out_of_bounds)
{
	struct domain_record domain = {.customer = "acme"};
	struct customer_record customer = {.regions = "eu"};
	struct relay_record relay = {.region = "eu"};

	domain.retired_at = -1;
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.retired_at = 0;
	domain.subdomains_retired_at = -1;
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.subdomains_retired_at = 0;
	domain.limits.oversize = (enum oversize)3;
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.limits.oversize = OVERSIZE_INHERIT;
	domain.limits.refused = (enum refused)3;
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.limits.refused = REFUSED_INHERIT;
	domain.hold_until = -1;
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.hold_until = 0;
	memset(domain.hold_reason, 'w', sizeof(domain.hold_reason));
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.hold_reason[0] = '\0';
	memset(domain.pin_certificate, 'c', sizeof(domain.pin_certificate));
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.pin_certificate[0] = '\0';
	memset(domain.pin_banner, 'b', sizeof(domain.pin_banner));
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	domain.pin_banner[0] = '\0';
	memset(domain.customer, 'c', sizeof(domain.customer));
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	strcpy(domain.customer, "acme");
	memset(domain.next_hops, 'h', sizeof(domain.next_hops));
	ck_assert_uint_eq(snapshot_value_put_domain("a.example", &domain, value), 0);
	memset(customer.regions, 'r', sizeof(customer.regions));
	ck_assert_uint_eq(snapshot_value_put_customer("acme", &customer, value), 0);
	memset(relay.region, 'r', sizeof(relay.region));
	ck_assert_uint_eq(snapshot_value_put_relay("relay1", &relay, value), 0);
	memset(relay.names, 'n', sizeof(relay.names));
	strcpy(relay.region, "eu");
	ck_assert_uint_eq(snapshot_value_put_relay("relay1", &relay, value), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_value");
	TCase *tests = tcase_create("core");

	tcase_add_test(tests, test_domain);
	tcase_add_test(tests, test_plain_domain_is_small);
	tcase_add_test(tests, test_customer);
	tcase_add_test(tests, test_relay);
	tcase_add_test(tests, test_other_key_or_kind);
	tcase_add_test(tests, test_damage);
	tcase_add_test(tests, test_out_of_bounds);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
