/*
 * test_sync_row: lines of the feed as PostgreSQL's COPY writes them, good and bad.
 */
#include "sync/row.h"
#include "tests/unit/table.h"

/* Columns of hold and pins, where there is none. */
#define MORE "\t\\N\t\\N\t\\N\t\\N"

#define REST "\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N" MORE "\n"

static struct row row;
static const char *error;

/* What the row points to is the line's: it lives until the next one. */
static bool
parse(const char *text)
{
	static char *line;

	free(line);
	line = malloc(strlen(text) > 0 ? strlen(text) : 1);
	ck_assert_ptr_nonnull(line);
	memcpy(line, text, strlen(text)); /* no NUL: reading past the end is for the sanitizer */
	return row_parse(line, strlen(text), &row, &error);
}

START_TEST(test_domain)
{
	ck_assert(parse("domain\tfoo.example\tt\tacme\teurope asia\t683\t5000000\t172800\t7\t8000\t"
			"[203.0.113.5]:25, mx.example\t\\N\t\\N" MORE "\n"));
	const struct domain_record *domain = &row.record.domain;
	ck_assert_int_eq(row.kind, ROW_DOMAIN);
	ck_assert(row.present);
	ck_assert_str_eq(row.key, "foo.example");
	ck_assert_str_eq(domain->customer, "acme");
	ck_assert_str_eq(domain->regions, "europe asia");
	ck_assert_str_eq(domain->next_hops, "[203.0.113.5]:25, mx.example");
	ck_assert(domain->include_subdomains && domain->suspended && domain->tls_required);
	ck_assert(!domain->hops_withheld);
	ck_assert_int_eq(domain->limits.oversize, OVERSIZE_DEFER);
	ck_assert_int_eq(domain->limits.when_primary_up, PRIMARY_UP_DEFER);
	ck_assert_int_eq(domain->limits.mx_check, MX_CHECK_OFF);
	ck_assert_uint_eq(domain->limits.size_limit, 5000000);
	ck_assert_uint_eq(domain->limits.retention, 172800);
	ck_assert_uint_eq(domain->limits.quota_messages, 7);
	ck_assert_uint_eq(domain->limits.quota_bytes, 8000);
	ck_assert_int_eq(domain->retired_at, 0);
}
END_TEST

START_TEST(test_other_kinds)
{
	ck_assert(parse(
	    "customer\tacme\tt\t\\N\teurope\t82\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N" MORE "\n"));
	ck_assert_int_eq(row.kind, ROW_CUSTOMER);
	ck_assert(row.record.customer.suspended);
	ck_assert_str_eq(row.record.customer.regions, "europe");
	ck_assert_int_eq(row.record.customer.limits.oversize, OVERSIZE_REJECT);
	ck_assert_int_eq(row.record.customer.limits.when_primary_up, PRIMARY_UP_ACCEPT);
	ck_assert_uint_eq(row.record.customer.limits.size_limit, 0);
	ck_assert(parse("relay\ta\tt\t\\N\teurope\t0\t\\N\t\\N\t\\N\t\\N\t\\N\ta.example "
			"b.example\t192.0.2.1 2001:db8::1" MORE "\n"));
	ck_assert_int_eq(row.kind, ROW_RELAY);
	ck_assert_str_eq(row.record.relay.region, "europe");
	ck_assert_str_eq(row.record.relay.names, "a.example b.example");
	ck_assert_str_eq(row.record.relay.addresses, "192.0.2.1 2001:db8::1");
	ck_assert(parse("domain\tgone.example\tf\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t"
			"\\N" MORE "\n"));
	ck_assert(!row.present && !row.told);
	ck_assert_str_eq(row.key, "gone.example");
}
END_TEST

#define BOLT "domain\tb.example\tf\tbolt\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N" MORE

START_TEST(test_place)
{
	ck_assert(parse(BOLT "\t9223372036854775807\t7\n"));
	ck_assert(row.version == INT64_MAX && row.step == ROW_STEPS);
	ck_assert_str_eq(row.customer, "bolt");
	ck_assert(parse(BOLT "\n"));
	ck_assert(row.version == 0 && row.step == 0);
	ck_assert(!parse(BOLT "\t5\n")); /* half a place */
	ck_assert(!parse(BOLT "\t5\t\\N\n"));
	ck_assert(!parse(BOLT "\t5\t8\n")); /* no such step */
	ck_assert(!parse(BOLT "\t-5\t5\n"));
	ck_assert(!parse(BOLT "\tx\t5\n"));
	ck_assert(!parse(BOLT "\t5\t5\t5\n"));
}
END_TEST

START_TEST(test_gone_and_told)
{
	ck_assert(parse("domain\tgone.example\tf\tacme\t\t9\t\\N\t\\N\t\\N\t\\N\t"
			"[203.0.113.5]:25\t\\N\t\\N" MORE "\n"));
	ck_assert(!row.present && row.told && row.fault == ROW_SOUND);
	ck_assert_str_eq(row.record.domain.customer, "acme");
	ck_assert_str_eq(row.record.domain.next_hops, "[203.0.113.5]:25");
	ck_assert(row.record.domain.include_subdomains && row.record.domain.tls_required);
	/* What cannot be used is gone all the same: its name is enough. */
	ck_assert(parse("domain\tgone.example\tf\tacme\t\t4096\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t"
			"\\N" MORE "\n"));
	ck_assert(!row.present && !row.told && row.fault == ROW_SOUND && row.why == NULL);
	ck_assert(parse("customer\tacme\tf\tacme\t\t9\t" REST));
	ck_assert(!row.present && !row.told);
}
END_TEST

START_TEST(test_escapes)
{
	ck_assert(parse("domain\tfoo\\056exam\\x70le\tt\tac\\me\t\t0\t" REST));
	ck_assert_str_eq(row.key, "foo.example");
	ck_assert_str_eq(row.record.domain.customer, "acme");
	ck_assert(parse("domain\tfoo.example\tt\ta\\\\b\t\t0\t" REST));
	ck_assert_str_eq(row.record.domain.customer, "a\\b");
}
END_TEST

/* Lines that are not the authority's speech. */
static const char *const bad[] = {
    "",
    "\n",
    BOLT,                                                                        /* no newline */
    BOLT "\t\\N\n",                                                              /* 18 columns */
    BOLT "\t1\t1\t\\N\n",                                                        /* 20 */
    "domain\tb.example\tf\tbolt\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n", /* 13 */
    "planet\tfoo.example\tt\tacme\t\t0\t" REST,
    "\\N\tfoo.example\tt\tacme\t\t0\t" REST,
    "domain\t\\N\tt\tacme\t\t0\t" REST,
    "domain\t\tt\tacme\t\t0\t" REST,
    "domain\tfoo.example\t\\N\tacme\t\t0\t" REST,
    "domain\tfoo.example\ttrue\tacme\t\t0\t" REST,
    "domain\tfoo.example\tt\tac\\000me\t\t0\t" REST,
    "domain\tfoo.example\tt\tac\\\t\t0\t" REST, /* a lone backslash */
    "\\.\n",
};

START_TEST(test_bad)
{
	ck_assert_msg(!parse(bad[_i]), "taken: %s", bad[_i]);
	ck_assert_ptr_nonnull(error);
}
END_TEST

#define PLAIN "domain\tfoo.example\tt\tacme\t\t0\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t"
#define HOLD(columns) PLAIN columns "\t\\N\t\\N\n"
#define PINS(columns) PLAIN "\\N\t\\N\t" columns "\n"
#define HEX_60 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"

/* Rows that the authority may tell, and that cannot be used. */
static const struct {
	const char *line;
	enum row_fault fault;
	const char *key, *why;
} unusable[] = {
    {"domain\tFoo.example\tt\tacme\t\t0\t" REST, ROW_BAD_KEY, "Foo.example", "normal form"},
    {"domain\tfoo.example.\tt\tacme\t\t0\t" REST, ROW_BAD_KEY, "foo.example.", "normal form"},
    {"domain\tfoo\tt\tacme\t\t0\t" REST, ROW_BAD_KEY, "foo", "normal form"},
    {"domain\txn--i-7iq.ws\tt\tacme\t\t0\t" REST, ROW_BAD_KEY, "xn--i-7iq.ws", "A-label"},
    {"domain\ta.xn--zzzzzz.example\tt\tacme\t\t0\t" REST, ROW_BAD_KEY, "a.xn--zzzzzz.example",
	"A-label"},
    {"domain\txn--zzzzzz.example\tf\t\\N\t\\N\t\\N\t" REST, ROW_BAD_KEY, "xn--zzzzzz.example",
	"A-label"},
    {"customer\tac\\nm: e\\303\tt\t\\N\t\t0\t" REST, ROW_BAD_KEY, "ac?m??e?", "control"},
    {"domain\tfoo.example\tt\t\\N\t\t0\t" REST, ROW_BAD_RECORD, "foo.example", "customer"},
    {"domain\tfoo.example\tt\t\t\t0\t" REST, ROW_BAD_RECORD, "foo.example", "customer"},
    {"domain\tfoo.example\tt\tacme\t\t-1\t" REST, ROW_BAD_RECORD, "foo.example", "flags"},
    {"domain\tfoo.example\tt\tacme\t\t4096\t" REST, ROW_BAD_RECORD, "foo.example", "flags"},
    {"domain\tfoo.example\tt\tacme\t\t48\t" REST, ROW_BAD_RECORD, "foo.example", "contradict"},
    {"domain\tfoo.example\tt\tacme\t\t192\t" REST, ROW_BAD_RECORD, "foo.example", "contradict"},
    {"domain\tfoo.example\tt\tacme\t\t768\t" REST, ROW_BAD_RECORD, "foo.example", "contradict"},
    {"domain\tfoo.example\tt\tacme\t\t3072\t" REST, ROW_BAD_RECORD, "foo.example", "contradict"},
    {HOLD("-5\t\\N"), ROW_BAD_RECORD, "foo.example", "hold"},
    {HOLD("infinity\t\\N"), ROW_BAD_RECORD, "foo.example", "hold"},
    {HOLD("9223372036854775808\t\\N"), ROW_BAD_RECORD, "foo.example", "hold"},
    {HOLD("5\ta\\nb"), ROW_BAD_RECORD, "foo.example", "hold"},
    {PINS("abcdef\t\\N"), ROW_BAD_RECORD, "foo.example", "pin"},
    {PINS(HEX_60 "abcg\t\\N"), ROW_BAD_RECORD, "foo.example", "pin"},
    {PINS(HEX_60 "ABCD\t\\N"), ROW_BAD_RECORD, "foo.example", "pin"},
    {PINS(HEX_60 "abcde\t\\N"), ROW_BAD_RECORD, "foo.example", "pin"},
    {PINS("\\N\ta\\nb"), ROW_BAD_RECORD, "foo.example", "pin"},
    {"domain\tfoo.example\tt\tacme\t\t0x1\t" REST, ROW_BAD_RECORD, "foo.example", "flags"},
    {"domain\tfoo.example\tt\tacme\t\t\t" REST, ROW_BAD_RECORD, "foo.example", "flags"},
    {"domain\tfoo.example\tt\tacme\t\t0\t-5\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N" MORE "\n",
	ROW_BAD_RECORD, "foo.example", "limit"},
    {"domain\tfoo.example\tt\tacme\t\t0\t9223372036854775808\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N" MORE
     "\n",
	ROW_BAD_RECORD, "foo.example", "limit"},
    {"domain\tfoo.example\tt\tacme\t\t0\t\\N\t4294967296\t\\N\t\\N\t\\N\t\\N\t\\N" MORE "\n",
	ROW_BAD_RECORD, "foo.example", "limit"},
    {"domain\tfoo.example\tt\tacme\t\t0\t\\N\t\\N\t1 \t\\N\t\\N\t\\N\t\\N" MORE "\n",
	ROW_BAD_RECORD, "foo.example", "limit"},
    {"domain\tfoo.example\tt\tac\\nme\t\t0\t" REST, ROW_BAD_RECORD, "foo.example", "customer"},
    {"customer\tacme\tt\t\\N\t\t4096\t" REST, ROW_BAD_RECORD, "acme", "flags"},
    {"relay\ta\tt\t\\N\t\\N\t0\t" REST, ROW_BAD_RECORD, "a", "region"},
    {"relay\ta\tt\t\\N\teurope\t0\t\\N\t\\N\t\\N\t\\N\t\\N\ta..example\t192.0.2.1" MORE "\n",
	ROW_BAD_RECORD, "a", "not readable"},
    {"relay\ta\tt\t\\N\teurope\t0\t\\N\t\\N\t\\N\t\\N\t\\N\ta.example\t192.0.2.256" MORE "\n",
	ROW_BAD_RECORD, "a", "not readable"},
};

START_TEST(test_unusable)
{
	ck_assert_msg(parse(unusable[_i].line), "refused: %s", unusable[_i].line);
	ck_assert_msg(
	    row.fault == unusable[_i].fault, "fault %d: %s", row.fault, unusable[_i].line);
	ck_assert_str_eq(row.key, unusable[_i].key);
	ck_assert_msg(strstr(row.why, unusable[_i].why) != NULL, "why: %s", row.why);
}
END_TEST

START_TEST(test_hold_and_pins)
{
	const struct domain_record *domain = &row.record.domain;

	ck_assert(
	    parse(PLAIN "1763800000\tdisks are changed\t" HEX_60 "cdef\tmx.acme.example ESMTP\n"));
	ck_assert(row.fault == ROW_SOUND);
	ck_assert_int_eq(domain->hold_until, 1763800000);
	ck_assert_str_eq(domain->hold_reason, "disks are changed");
	ck_assert_str_eq(domain->pin_certificate, HEX_60 "cdef");
	ck_assert_str_eq(domain->pin_banner, "mx.acme.example ESMTP");
	ck_assert(parse(HOLD("9223372036854775807\t\\N")) && row.fault == ROW_SOUND);
	ck_assert_int_eq(domain->hold_until, INT64_MAX);
	ck_assert(domain->hold_reason[0] == '\0' && domain->pin_certificate[0] == '\0' &&
		  domain->pin_banner[0] == '\0');
	ck_assert(parse("domain\tfoo.example\tt\tacme\t\t1024\t" REST));
	ck_assert_int_eq(domain->limits.refused, REFUSED_JUDGE);
	ck_assert(parse("customer\tacme\tt\t\\N\t\t2048\t" REST));
	ck_assert_int_eq(row.record.customer.limits.refused, REFUSED_KEEP);
	/* What is gone keeps them: its held mail is for nobody else either. */
	ck_assert(parse("domain\tgone.example\tf\tacme\t\t2048\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t"
			"\\N\t5\twhy\t" HEX_60 "cdef\tmx\n"));
	ck_assert(row.told && domain->hold_until == 5 && domain->limits.refused == REFUSED_KEEP);
	ck_assert_str_eq(domain->pin_banner, "mx");
}
END_TEST

static bool
sound(bool parsed)
{
	return parsed && row.fault == ROW_SOUND;
}

/* A good row but for a field of `length` bytes between two texts. */
static bool
parse_long(const char *before, size_t length, const char *after)
{
	static char field[ROW_LINE_MAX + 1], line[2 * ROW_LINE_MAX];

	memset(field, 'x', length);
	field[length] = '\0';
	snprintf(line, sizeof(line), "%s%s%s", before, field, after);
	return parse(line);
}

START_TEST(test_borders)
{
	static const char domain[] = "domain\tfoo.example\tt\t", relay[] = "relay\ta\tt\t\\N\t";
	static const char acme[] = "domain\tfoo.example\tt\tacme\t";

	ck_assert(sound(parse_long(domain, CUSTOMER_SIZE - 1, "\t\t0\t" REST)));
	ck_assert(!sound(parse_long(domain, CUSTOMER_SIZE, "\t\t0\t" REST)));
	ck_assert(sound(parse_long(acme, REGIONS_SIZE - 1, "\t0\t" REST)));
	ck_assert(!sound(parse_long(acme, REGIONS_SIZE, "\t0\t" REST)));
	ck_assert(sound(parse_long(PLAIN "5\t", HOLD_REASON_SIZE - 1, "\t\\N\t\\N\n")));
	ck_assert(!sound(parse_long(PLAIN "5\t", HOLD_REASON_SIZE, "\t\\N\t\\N\n")));
	ck_assert(sound(parse_long(PLAIN "\\N\t\\N\t\\N\t", PIN_SIZE - 1, "\n")));
	ck_assert(!sound(parse_long(PLAIN "\\N\t\\N\t\\N\t", PIN_SIZE, "\n")));
	ck_assert(!parse_long(acme, ROW_LINE_MAX, "\t0\t" REST));
	ck_assert(sound(parse_long(relay, REGION_SIZE - 1, "\t0\t" REST)));
	ck_assert(!sound(parse_long(relay, REGION_SIZE, "\t0\t" REST)));
	ck_assert(parse_long("domain\t", DOMAIN_SIZE, "\tt\tacme\t\t0\t" REST));
	ck_assert(row.fault == ROW_BAD_KEY && strlen(row.key) == DOMAIN_SIZE - 1);
}
END_TEST

START_TEST(test_nul)
{
	char line[] = "domain\tfoo.example\tt\tac\0me\t\t0\t" REST;

	ck_assert(!row_parse(line, sizeof(line) - 1, &row, &error));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync-row");
	TCase *tcase = tcase_create("parse");

	tcase_add_test(tcase, test_domain);
	tcase_add_test(tcase, test_other_kinds);
	tcase_add_test(tcase, test_place);
	tcase_add_test(tcase, test_gone_and_told);
	tcase_add_test(tcase, test_escapes);
	tcase_add_loop_test(tcase, test_bad, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_loop_test(tcase, test_unusable, 0, (int)(sizeof(unusable) / sizeof(unusable[0])));
	tcase_add_test(tcase, test_hold_and_pins);
	tcase_add_test(tcase, test_borders);
	tcase_add_test(tcase, test_nul);
	suite_add_tcase(suite, tcase);
	return table_run(suite);
}
