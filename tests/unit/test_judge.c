/*
 * Tests of core/judge: the way from a raw recipient, a client's address and a snapshot to the
 * verdict. What the rules make of facts is test_decide's matter; here it is whether the facts are
 * the right ones. Needs the snapshot's writer, which works in a child (snapshot_fixture.h).
 */
#include "core/judge.h"

#include "tests/unit/snapshot_fixture.h"

#include <lmdb.h>
#include <time.h>

#define HEARD_MS 1000 /* the authority was heard then, on the boot clock */

static struct snapshot *snapshot;

static void
put_row(struct snapshot_writer *writer, const char *name, struct domain_record record)
{
	must_ok(snapshot_put_domain(writer, name, &record, NOW));
}

static void
write_world(void)
{
	struct snapshot_writer *writer = writer_open();
	const struct customer_record paused = {.suspended = true, .regions = "eu"};
	const struct customer_record small = {.regions = "eu", .limits = {.size_limit = 1000}};

	must_ok(snapshot_load_begin(writer));
	put_relay(writer, "relay1", "192.0.2.1");
	put_relay(writer, "relay2", "192.0.2.2 2001:db8::2");
	put_customer(writer, "acme", "eu us");
	must_ok(snapshot_put_customer(writer, "paused", &paused));
	must_ok(snapshot_put_customer(writer, "small", &small));
	put_row(writer, "a.example", (struct domain_record){.customer = "acme"});
	put_row(writer, "wide.example",
	    (struct domain_record){.customer = "acme", .include_subdomains = true});
	put_row(writer, "us.example", (struct domain_record){.customer = "acme", .regions = "us"});
	put_row(writer, "gone.example",
	    (struct domain_record){.customer = "acme", .retired_at = NOW - 10});
	put_row(writer, "expired.example",
	    (struct domain_record){.customer = "acme", .retired_at = NOW - LIFETIME});
	put_row(writer, "paused.example", (struct domain_record){.customer = "paused"});
	put_row(writer, "small.example", (struct domain_record){.customer = "small"});
	put_row(writer, "orphan.example", (struct domain_record){.customer = "nobody"});
	put_row(writer, "xn--bcher-kva.example", (struct domain_record){.customer = "acme"});
	writer_commit(writer, 1);
	must_ok(snapshot_put_contact(writer, HEARD_MS));
	snapshot_writer_close(writer);
}

static void
setup(void)
{
	fixture_setup();
	in_child(write_world);
	snapshot = snapshot_new(state_dir, "relay1");
	ck_assert_ptr_nonnull(snapshot);
}

static void
teardown(void)
{
	snapshot_free(snapshot);
	fixture_teardown();
}

struct ask {
	const char *recipient, *client;
	uint64_t size;
	int64_t boot_ms;
	bool unusable;
	const struct state_facts *state;
};

static struct judgement
judge(struct ask ask)
{
	const struct judge_relay relay = {
	    .region = "eu", .stale_after = 60, .queue_lifetime = LIFETIME};
	const struct judge_time now = {NOW, ask.boot_ms != 0 ? ask.boot_ms : HEARD_MS};
	const struct judge_request request = {
	    .recipient = ask.recipient,
	    .recipient_length = strlen(ask.recipient),
	    .client_address = ask.client,
	    .declared_size = ask.size != 0 ? ask.size : UINT64_MAX,
	};
	const enum snapshot_result begun =
	    ask.unusable ? SNAPSHOT_UNUSABLE : snapshot_begin(snapshot, now.boot_ms);

	ck_assert(ask.unusable || begun == SNAPSHOT_OK);
	const struct judgement judgement =
	    judge_recipient(snapshot, begun, &relay, now, &request, ask.state);
	snapshot_end(snapshot);
	return judgement;
}

#define rule_of(...) ((int)judge((struct ask){.recipient = __VA_ARGS__}).verdict.rule)
#define kind_of(...) ((int)judge((struct ask){.recipient = __VA_ARGS__}).verdict.kind)

START_TEST(test_recipient_forms)
{
	ck_assert_int_eq(rule_of("user@a.example"), 12);
	ck_assert_int_eq(rule_of("User.Name+x@A.Example."), 12);
	ck_assert_int_eq(rule_of("user@b\xc3\xbc"
				 "cher.example"),
	    12);
	ck_assert_int_eq(rule_of("user@unknown.example"), 4);
	ck_assert_int_eq(rule_of("user@x.a.example"), 4);
	ck_assert_int_eq(rule_of("user@x.wide.example"), 12);
	ck_assert_int_eq(rule_of("user@[192.0.2.1]"), 4);
	ck_assert_int_eq(rule_of("postmaster"), 4);
	ck_assert_int_eq(rule_of("user%a.example@relay.example"), 0);
	ck_assert_int_eq(rule_of("user%x.wide.example@relay.example"), 0);
	ck_assert_int_eq(rule_of("a.example!user@relay.example"), 0);
	ck_assert_int_eq(rule_of("user@a.example@relay.example"), 0);
	ck_assert_int_eq(rule_of("user%unknown.example@relay.example"), 4);
}
END_TEST

/* Only in a domain that this relay takes mail for is a local part judged by its bytes. */
START_TEST(test_local_bytes)
{
	static const struct {
		const char *recipient;
		int kind, rule;
		unsigned code;
	} cases[] = {
	    {"\xd0\xb8\xd0\xb2@a.example", VERDICT_REJECT, 0, 553},
	    {"\xc0\x80@x.wide.example", VERDICT_REJECT, 0, 553},
	    {"a\x01"
	     "b@a.example",
		VERDICT_REJECT, 0, 553},
	    {"a\x7f@small.example", VERDICT_REJECT, 0, 553},
	    {"\xc3\xbc@unknown.example", VERDICT_NOT_OURS, 4, 0},
	    {"a\x01@unknown.example", VERDICT_NOT_OURS, 4, 0},
	    {"\xc3\xbc@expired.example", VERDICT_NOT_OURS, 4, 0},
	    {"\xc3\xbc@us.example", VERDICT_DEFER, 7, 450},
	    {"a\x01@gone.example", VERDICT_DEFER, 5, 450},
	    {"\xc3\xbc@orphan.example", VERDICT_CANNOT_TELL, 6, 450},
	    {"\xc3\xbc%a.example@relay.example", VERDICT_DEFER, 0, 450},
	    {"\x01%a.example@relay.example", VERDICT_DEFER, 0, 450},
	    {"a.example\x01@relay.example", VERDICT_DEFER, 0, 450},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct judgement judgement =
		    judge((struct ask){.recipient = cases[i].recipient});

		ck_assert_msg((int)judgement.verdict.kind == cases[i].kind &&
				  (int)judgement.verdict.rule == cases[i].rule &&
				  judgement.verdict.code == cases[i].code,
		    "case %zu: %d %d %u", i, (int)judgement.verdict.kind,
		    (int)judgement.verdict.rule, judgement.verdict.code);
	}
	ck_assert_int_eq(kind_of("\xc3\xbc@a.example", .unusable = true), VERDICT_CANNOT_TELL);
}
END_TEST

START_TEST(test_rules)
{
	ck_assert_int_eq(rule_of("user@us.example"), 7);
	ck_assert_int_eq(rule_of("user@gone.example"), 5);
	ck_assert_int_eq(rule_of("user@expired.example"), 4);
	ck_assert_int_eq(rule_of("user@paused.example"), 6);
	ck_assert_int_eq(kind_of("user@orphan.example"), VERDICT_CANNOT_TELL);
	ck_assert_int_eq(rule_of("user@small.example", .size = 3048), 12);
	ck_assert_int_eq(rule_of("user@small.example", .size = 3049), 11);
	const struct state_facts state = {.mx = MX_STATE_NOT_NAMED};
	ck_assert_int_eq(rule_of("user@a.example", .state = &state), 8);
}
END_TEST

START_TEST(test_client)
{
	ck_assert_int_eq(rule_of("user@a.example", .client = "192.0.2.2"), 1);
	ck_assert_int_eq(rule_of("user@a.example", .client = "::ffff:192.0.2.2"), 1);
	ck_assert_int_eq(rule_of("user@a.example", .client = "2001:db8::2"), 1);
	ck_assert_int_eq(rule_of("user@a.example", .client = "192.0.2.1"), 1);
	ck_assert_int_eq(rule_of("user@gone.example", .client = "192.0.2.2"), 1);
	ck_assert_int_eq(rule_of("user@unknown.example", .client = "192.0.2.2"), 4);
	ck_assert_int_eq(rule_of("user@a.example", .client = "198.51.100.1"), 12);
	ck_assert_int_eq(rule_of("user@a.example", .client = "unknown"), 12);
	ck_assert_int_eq(rule_of("user@a.example", .client = ""), 12);
	ck_assert_int_eq(rule_of("user@a.example", .client = NULL), 12);
}
END_TEST

/* stale_after is a border: heard 59.999 s ago is fresh, 60 s ago is not. */
START_TEST(test_freshness)
{
	ck_assert_int_eq(rule_of("user@unknown.example", .boot_ms = HEARD_MS + 59999), 4);
	ck_assert_int_eq(rule_of("user@unknown.example", .boot_ms = HEARD_MS + 60000), 3);
	ck_assert_int_eq(rule_of("user@a.example", .boot_ms = HEARD_MS + 90000), 12);
	ck_assert_int_eq(rule_of("user@expired.example", .boot_ms = HEARD_MS + 90000), 3);
	ck_assert_int_eq(rule_of("user%b.example@c.example", .boot_ms = HEARD_MS + 90000), 3);
	ck_assert_int_eq(rule_of("postmaster", .boot_ms = HEARD_MS + 90000), 4);
}
END_TEST

START_TEST(test_no_snapshot)
{
	ck_assert_int_eq(rule_of("user@a.example", .unusable = true), 2);
	ck_assert_int_eq(rule_of("user%a.example@b.example", .unusable = true), 2);
	ck_assert_int_eq(rule_of("user@a.example", .client = "192.0.2.2", .unusable = true), 2);
	ck_assert_int_eq(rule_of("postmaster", .unusable = true), 4);
}
END_TEST

START_TEST(test_what_it_rests_on)
{
	struct judgement j = judge((struct ask){.recipient = "user@X.Wide.Example."});

	ck_assert_str_eq(j.domain, "x.wide.example");
	ck_assert_str_eq(j.owner, "wide.example");
	ck_assert(j.known);
	ck_assert_uint_eq(j.limits.size_limit, SIZE_LIMIT_DEFAULT);
	j = judge((struct ask){.recipient = "user@small.example"});
	ck_assert_uint_eq(j.limits.size_limit, 1000);
	j = judge((struct ask){.recipient = "user@expired.example"});
	ck_assert_str_eq(j.domain, "expired.example");
	ck_assert(!j.known && j.owner[0] == '\0');
	j = judge((struct ask){.recipient = "user@a.example", .unusable = true});
	ck_assert_str_eq(j.domain, "a.example");
	ck_assert(!j.known);
	j = judge((struct ask){.recipient = "postmaster"});
	ck_assert_str_eq(j.domain, "");
}
END_TEST

static void
put_raw(const char *database, const char *name)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi rows;
	char path[200];
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};
	MDB_val value = {7, (void *)(uintptr_t) "rubbish"};

	snprintf(path, sizeof(path), "%s/snapshot", state_dir);
	must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
	must(mdb_env_set_mapsize(env, MAP) == 0 && mdb_env_open(env, path, 0, 0600) == 0);
	must(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, database, 0, &rows) == 0);
	must(mdb_put(txn, rows, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
}

static void
damage_domain(void)
{
	put_raw("domain.1", "a.example");
}

static void
damage_customer(void)
{
	put_raw("customer.1", "acme");
}

static void
damage_relay(void)
{
	put_raw("relay.1", "relay2");
}

/* Damage is "cannot tell", and a plain 450 but for a domain that nobody knows. */
START_TEST(test_damage)
{
	in_child(damage_domain);
	struct judgement j = judge((struct ask){.recipient = "user@a.example"});
	ck_assert_int_eq(j.verdict.kind, VERDICT_CANNOT_TELL);
	ck_assert_uint_eq(j.verdict.code, 450);
	ck_assert(!j.known);
	j = judge((struct ask){.recipient = "user%a.example@relay.invalid"});
	ck_assert_int_eq(j.verdict.kind, VERDICT_CANNOT_TELL);
	ck_assert_int_eq(j.verdict.rule, RULE_ODD_ADDRESS);
	ck_assert_int_eq(rule_of("user%us.example@a.example"), 0);
	in_child(damage_customer);
	j = judge((struct ask){.recipient = "user@wide.example"});
	ck_assert_int_eq(j.verdict.kind, VERDICT_CANNOT_TELL);
	ck_assert_int_eq(j.verdict.rule, RULE_SUSPENDED);
	ck_assert(j.known);
	in_child(damage_relay);
	j = judge((struct ask){.recipient = "user@small.example", .client = "198.51.100.1"});
	ck_assert_int_eq(j.verdict.kind, VERDICT_CANNOT_TELL);
	ck_assert_int_eq(j.verdict.rule, RULE_FLEET_CLIENT);
	ck_assert_int_eq(rule_of("user@small.example", .client = ""), 12);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("judge");
	TCase *tests = tcase_create("core");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_recipient_forms);
	tcase_add_test(tests, test_local_bytes);
	tcase_add_test(tests, test_rules);
	tcase_add_test(tests, test_client);
	tcase_add_test(tests, test_freshness);
	tcase_add_test(tests, test_no_snapshot);
	tcase_add_test(tests, test_what_it_rests_on);
	tcase_add_test(tests, test_damage);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
