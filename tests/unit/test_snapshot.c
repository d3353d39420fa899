/*
 * Tests of the snapshot as reader and writer see it in ordinary life: loads, changes, what is
 * carried over as retired, who speaks for a subdomain, modes and locks. Faults:
 * test_snapshot_faults.
 */
#include "tests/unit/snapshot_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <time.h>

/* --- reading ------------------------------------------------------------------------- */

START_TEST(test_missing)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");
	const int64_t now = snapshot_clock_boot_ms();

	ck_assert_int_eq(snapshot_begin(snapshot, now), SNAPSHOT_UNUSABLE);
	ck_assert_ptr_nonnull(strstr(snapshot_problem(snapshot), "no snapshot yet"));
	in_child(write_small);
	ck_assert_int_eq(snapshot_begin(snapshot, now + 199), SNAPSHOT_UNUSABLE);
	ck_assert_int_eq(snapshot_begin(snapshot, now + 200), SNAPSHOT_OK);
	snapshot_free(snapshot);
}
END_TEST

static void
write_nothing(void)
{
	snapshot_writer_close(writer_open());
}

START_TEST(test_before_first_load)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");

	in_child(write_nothing);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
	ck_assert_ptr_nonnull(strstr(snapshot_problem(snapshot), "no load has finished"));
	snapshot_free(snapshot);
}
END_TEST

START_TEST(test_read)
{
	struct domain_record domain;
	struct customer_record customer;

	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_domain(snapshot, "a.example", &domain), SNAPSHOT_OK);
	ck_assert_str_eq(domain.customer, "acme");
	ck_assert_int_eq(snapshot_customer(snapshot, "acme", &customer), SNAPSHOT_OK);
	ck_assert_str_eq(customer.regions, "eu");
	ck_assert_int_eq(snapshot_domain(snapshot, "", &domain), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_domain(snapshot, "0.example", &domain), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_domain(snapshot, "aa.example", &domain), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_domain(snapshot, "c.example", &domain), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_customer(snapshot, "a.example", &customer), SNAPSHOT_NOT_FOUND);
	const struct snapshot_meta *meta = snapshot_meta(snapshot);
	ck_assert_uint_eq(meta->version, 1);
	ck_assert_uint_eq(meta->confirmation, 7);
	ck_assert_str_eq(meta->epoch, "11111111-2222-3333-4444-555555555555");
	ck_assert_str_eq(meta->stamp, "stamp");
	ck_assert_str_eq(meta->relay, "relay1");
	ck_assert_str_eq(meta->region, "eu");
	ck_assert_int_eq(meta->loaded_at, NOW);
	ck_assert_uint_eq(meta->serial, 1);
	snapshot_end(snapshot);
	snapshot_free(snapshot);
}
END_TEST

static void
write_no_domains(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_load_begin(writer));
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

START_TEST(test_empty)
{
	struct domain_record domain;

	in_child(write_no_domains);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_domain(snapshot, "a.example", &domain), SNAPSHOT_NOT_FOUND);
	ck_assert_ptr_nonnull(snapshot_fleet(snapshot));
	snapshot_free(snapshot);
}
END_TEST

static void
move_relay2(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_write_begin(writer));
	put_relay(writer, "relay2", "192.0.2.3");
	writer_commit(writer, 2);
	must_ok(snapshot_write_begin(writer));
	put_domain(writer, "c.example", "acme");
	writer_commit(writer, 3);
	snapshot_writer_close(writer);
}

static enum fleet_member
member(struct snapshot *snapshot, const char *text)
{
	struct ip address;

	ck_assert(ip_parse(text, &address));
	return fleet_address(snapshot_fleet(snapshot), &address);
}

START_TEST(test_fleet)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");
	struct ip own;

	ck_assert(ip_parse("198.51.100.9", &own));
	ck_assert(snapshot_own_address(snapshot, &own));
	in_child(write_small);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_int_eq(member(snapshot, "192.0.2.1"), FLEET_SELF);
	ck_assert_int_eq(member(snapshot, "198.51.100.9"), FLEET_SELF);
	ck_assert_int_eq(member(snapshot, "192.0.2.2"), FLEET_OTHER);
	ck_assert_int_eq(member(snapshot, "2001:db8::2"), FLEET_OTHER);
	ck_assert_int_eq(member(snapshot, "192.0.2.3"), FLEET_NOT);
	ck_assert_int_eq(fleet_name(snapshot_fleet(snapshot), "relay2.mx.example"), FLEET_OTHER);
	const struct fleet *fleet = snapshot_fleet(snapshot);
	snapshot_end(snapshot);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_ptr_eq(snapshot_fleet(snapshot), fleet);
	snapshot_end(snapshot);
	in_child(move_relay2);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_int_eq(member(snapshot, "192.0.2.2"), FLEET_NOT);
	ck_assert_int_eq(member(snapshot, "192.0.2.3"), FLEET_OTHER);
	ck_assert_uint_eq(snapshot_meta(snapshot)->fleet_serial, 2);
	ck_assert_uint_eq(snapshot_meta(snapshot)->serial, 3);
	snapshot_free(snapshot);
}
END_TEST

static void
contact_ago(int64_t ms)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_put_contact(writer, snapshot_clock_boot_ms() - ms));
	snapshot_writer_close(writer);
}

static void
contact_minute_ago(void)
{
	contact_ago(60000);
}

static void
contact_in_future(void)
{
	contact_ago(-600000);
}

START_TEST(test_contact)
{
	in_child(write_no_domains);
	struct snapshot *snapshot = reader_begin();
	const int64_t now = snapshot_clock_boot_ms();
	ck_assert_int_eq(snapshot_contact_age(snapshot, now), -1);
	snapshot_end(snapshot);
	in_child(contact_minute_ago);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_int_ge(snapshot_contact_age(snapshot, snapshot_clock_boot_ms()), 60000);
	ck_assert_int_lt(snapshot_contact_age(snapshot, snapshot_clock_boot_ms()), 70000);
	ck_assert_int_eq(snapshot_contact_age(snapshot, now - 61000), 0);
	snapshot_end(snapshot);
	in_child(contact_in_future);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_contact_age(snapshot, snapshot_clock_boot_ms()), -1);
	snapshot_free(snapshot);
}
END_TEST

struct seen {
	char names[200];
	int stop_after;
};

static bool
see(const char *name, const struct domain_record *record, void *context)
{
	struct seen *seen = context;

	strcat(seen->names, name);
	strcat(seen->names, record->retired_at != 0 ? "(retired) " : " ");
	return --seen->stop_after != 0;
}

START_TEST(test_each_domain)
{
	struct seen seen = {.names = ""};

	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_each_domain(snapshot, see, &seen), SNAPSHOT_OK);
	ck_assert_str_eq(seen.names, "a.example b.example ");
	seen = (struct seen){.stop_after = 1};
	ck_assert_int_eq(snapshot_each_domain(snapshot, see, &seen), SNAPSHOT_OK);
	ck_assert_str_eq(seen.names, "a.example ");
	snapshot_free(snapshot);
}
END_TEST

/* --- who speaks for a name -------------------------------------------------------------- */

static void
put_flagged(struct snapshot_writer *writer, const char *name, bool include, int64_t retired_at)
{
	struct domain_record record = {
	    .customer = "acme", .include_subdomains = include, .retired_at = retired_at};

	must_ok(snapshot_put_domain(writer, name, &record, NOW));
}

static void
write_parents(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_load_begin(writer));
	put_flagged(writer, "wide.example", true, 0);
	put_flagged(writer, "own.wide.example", false, 0);
	put_flagged(writer, "gone.wide.example", false, 5);
	put_flagged(writer, "deep.wide.example", true, 0);
	put_flagged(writer, "dead.wide.example", true, 6);
	put_flagged(writer, "narrow.example", false, 0);
	put_flagged(writer, "retired.example", true, 9);
	put_flagged(writer, "old.retired.example", false, 8);
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

static void
assert_owner(struct snapshot *snapshot, const char *name, const char *owner, int64_t retired_at)
{
	struct domain_record record;
	const char *found = NULL;
	const enum snapshot_result result = snapshot_domain_for(snapshot, name, &record, &found);

	if (owner == NULL) {
		ck_assert_msg(result == SNAPSHOT_NOT_FOUND, "%s: %d", name, result);
		return;
	}
	ck_assert_msg(result == SNAPSHOT_OK, "%s: %d", name, result);
	ck_assert_str_eq(found, owner);
	ck_assert(found >= name && found <= name + strlen(name));
	ck_assert_int_eq(record.retired_at, retired_at);
	ck_assert_int_eq(snapshot_domain_for(snapshot, name, &record, NULL), SNAPSHOT_OK);
}

START_TEST(test_domain_for)
{
	in_child(write_parents);
	struct snapshot *snapshot = reader_begin();
	assert_owner(snapshot, "wide.example", "wide.example", 0);
	assert_owner(snapshot, "x.wide.example", "wide.example", 0);
	assert_owner(snapshot, "x.y.z.wide.example", "wide.example", 0);
	assert_owner(snapshot, "own.wide.example", "own.wide.example", 0);
	assert_owner(snapshot, "x.own.wide.example", "wide.example", 0);
	assert_owner(snapshot, "x.deep.wide.example", "deep.wide.example", 0);
	/* A live parent takes in what was removed below it. */
	assert_owner(snapshot, "gone.wide.example", "wide.example", 0);
	assert_owner(snapshot, "x.dead.wide.example", "wide.example", 0);
	assert_owner(snapshot, "narrow.example", "narrow.example", 0);
	assert_owner(snapshot, "x.narrow.example", NULL, 0);
	assert_owner(snapshot, "xwide.example", NULL, 0);
	assert_owner(snapshot, "example", NULL, 0);
	/* A retired parent still speaks, for mail that is held; the nearest retired row first. */
	assert_owner(snapshot, "retired.example", "retired.example", 9);
	assert_owner(snapshot, "x.retired.example", "retired.example", 9);
	assert_owner(snapshot, "old.retired.example", "old.retired.example", 8);
	assert_owner(snapshot, "x.old.retired.example", "retired.example", 9);
	snapshot_free(snapshot);
}
END_TEST

static void
withdraw_subdomains(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_write_begin(writer));
	put_flagged(writer, "wide.example", false, 0);
	writer_commit(writer, 2);
	must_ok(snapshot_write_begin(writer)); /* told twice: nothing changes */
	put_flagged(writer, "wide.example", false, 0);
	writer_commit(writer, 3);
	snapshot_writer_close(writer);
}

static void
purge_subdomains(void)
{
	struct snapshot_writer *writer = writer_open();
	uint64_t purged;

	must_ok(snapshot_write_begin(writer));
	must_ok(snapshot_purge_retired(writer, NOW + LIFETIME, LIFETIME, &purged));
	must(purged == 4);
	writer_commit(writer, 4);
	snapshot_writer_close(writer);
}

START_TEST(test_withdrawn_subdomains_retire)
{
	struct domain_record record;
	const char *owner;

	in_child(write_parents);
	in_child(withdraw_subdomains);
	struct snapshot *snapshot = reader_begin();
	assert_owner(snapshot, "wide.example", "wide.example", 0);
	ck_assert_int_eq(
	    snapshot_domain_for(snapshot, "x.wide.example", &record, &owner), SNAPSHOT_OK);
	ck_assert_str_eq(owner, "wide.example");
	ck_assert_int_eq(record.retired_at, NOW);
	snapshot_end(snapshot);
	in_child(purge_subdomains);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	assert_owner(snapshot, "wide.example", "wide.example", 0);
	assert_owner(snapshot, "x.wide.example", NULL, 0);
	snapshot_free(snapshot);
}
END_TEST

/* --- loads ------------------------------------------------------------------------------- */

static void
load_half_and_die(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_load_begin(writer));
	put_domain(writer, "new.example", "acme");
	must_ok(snapshot_load_checkpoint(writer));
	put_domain(writer, "newer.example", "acme");
	_exit(0);
}

static void
load_other(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record;

	must_ok(snapshot_load_begin(writer));
	must(
	    snapshot_write_get_domain(writer, false, "new.example", &record) == SNAPSHOT_NOT_FOUND);
	must_ok(snapshot_write_get_domain(writer, true, "a.example", &record));
	put_domain(writer, "other.example", "acme");
	must_ok(snapshot_write_get_domain(writer, false, "other.example", &record));
	writer_commit(writer, 9);
	snapshot_writer_close(writer);
}

START_TEST(test_load_shows_at_its_commit)
{
	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	snapshot_end(snapshot);
	in_child(load_half_and_die);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert(has_domain(snapshot, "a.example") && !has_domain(snapshot, "new.example"));
	snapshot_end(snapshot);
	in_child(load_other);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert(!has_domain(snapshot, "a.example") && has_domain(snapshot, "other.example"));
	ck_assert(!has_domain(snapshot, "new.example"));
	ck_assert_uint_eq(snapshot_meta(snapshot)->version, 9);
	snapshot_free(snapshot);
}
END_TEST

/* A transaction stays at its moment, whatever is committed meanwhile. */
START_TEST(test_one_moment)
{
	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	in_child(load_other);
	ck_assert(has_domain(snapshot, "a.example") && !has_domain(snapshot, "other.example"));
	snapshot_free(snapshot);
}
END_TEST

static void
load_unsorted(void)
{
	struct snapshot_writer *writer = writer_open();
	char name[32];

	must_ok(snapshot_load_begin(writer));
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%u.example", i * 7919u % 5000u);
		put_domain(writer, name, "acme");
		if (i % 1000 == 999)
			must_ok(snapshot_load_checkpoint(writer));
	}
	put_domain(writer, name, "other"); /* told twice: the last word counts */
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

static bool
count(const char *name, const struct domain_record *record, void *context)
{
	(void)name, (void)record;
	++*(unsigned *)context;
	return true;
}

START_TEST(test_unsorted_load)
{
	struct domain_record record;
	unsigned rows = 0;

	in_child(load_unsorted);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_each_domain(snapshot, count, &rows), SNAPSHOT_OK);
	ck_assert_uint_eq(rows, 5000);
	ck_assert_int_eq(snapshot_domain(snapshot, "d4999.example", &record), SNAPSHOT_OK);
	snapshot_free(snapshot);
}
END_TEST

static void
write_before_carry(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme", .next_hops = "[192.0.2.9]:25"};

	must_ok(snapshot_load_begin(writer));
	put_customer(writer, "acme", "eu");
	put_customer(writer, "leaver", "eu");
	put_customer(writer, "unnamed", "eu");
	must_ok(snapshot_put_domain(writer, "hops.example", &record, NOW));
	put_flagged(writer, "again.example", false, NOW - 50);
	put_flagged(writer, "expired.example", false, NOW - LIFETIME);
	put_flagged(writer, "earlier.example", false, NOW - LIFETIME + 1);
	put_flagged(writer, "wide.example", true, 0);
	put_flagged(writer, "stays.example", true, 0);
	put_domain(writer, "a.example", "leaver");
	put_domain(writer, "zz.example", "leaver");
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

static void
load_with_carry(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme", .hops_withheld = true};
	uint64_t carried;

	must_ok(snapshot_load_begin(writer));
	put_customer(writer, "acme", "us");
	put_domain(writer, "again.example", "acme");
	must_ok(snapshot_put_domain(writer, "hops.example", &record, NOW));
	put_domain(writer, "new.example", "acme");
	put_flagged(writer, "stays.example", true, 0);
	put_flagged(writer, "wide.example", false, 0);
	must_ok(snapshot_load_carry_over(writer, NOW, LIFETIME, &carried));
	must(carried == 3);
	writer_commit(writer, 2);
	snapshot_writer_close(writer);
}

START_TEST(test_carry_over)
{
	struct domain_record record;
	struct customer_record customer;
	struct seen seen = {.names = ""};

	in_child(write_before_carry);
	in_child(load_with_carry);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_each_domain(snapshot, see, &seen), SNAPSHOT_OK);
	ck_assert_str_eq(seen.names,
	    "a.example(retired) again.example earlier.example(retired) hops.example new.example "
	    "stays.example wide.example zz.example(retired) ");
	ck_assert_int_eq(snapshot_domain(snapshot, "a.example", &record), SNAPSHOT_OK);
	ck_assert_int_eq(record.retired_at, NOW);
	ck_assert_int_eq(snapshot_domain(snapshot, "earlier.example", &record), SNAPSHOT_OK);
	ck_assert_int_eq(record.retired_at, NOW - LIFETIME + 1);
	ck_assert_int_eq(snapshot_domain(snapshot, "hops.example", &record), SNAPSHOT_OK);
	ck_assert_str_eq(record.next_hops, "[192.0.2.9]:25");
	ck_assert(record.hops_withheld);
	assert_owner(snapshot, "x.wide.example", "wide.example", NOW);
	assert_owner(snapshot, "x.stays.example", "stays.example", 0);
	ck_assert_int_eq(snapshot_customer(snapshot, "leaver", &customer), SNAPSHOT_OK);
	ck_assert_int_eq(customer.retired_at, NOW);
	ck_assert_str_eq(customer.regions, "eu");
	ck_assert_int_eq(snapshot_customer(snapshot, "acme", &customer), SNAPSHOT_OK);
	ck_assert_int_eq(customer.retired_at, 0);
	ck_assert_str_eq(customer.regions, "us");
	ck_assert_int_eq(snapshot_customer(snapshot, "unnamed", &customer), SNAPSHOT_NOT_FOUND);
	snapshot_free(snapshot);
}
END_TEST

/* The walk goes on behind a checkpoint as if there had been none. */
#define MANY 250000u

static void
load_many(void)
{
	struct snapshot_writer *writer = writer_open();
	char name[32];
	uint64_t carried;

	must_ok(snapshot_load_begin(writer));
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d%08u.example", i);
		put_domain(writer, name, "acme");
	}
	writer_commit(writer, 1);
	must_ok(snapshot_load_begin(writer));
	for (unsigned i = 0; i < MANY; i += 10) {
		snprintf(name, sizeof(name), "d%08u.example", i);
		put_domain(writer, name, "acme");
	}
	must_ok(snapshot_load_carry_over(writer, NOW, LIFETIME, &carried));
	must(carried == MANY - MANY / 10);
	writer_commit(writer, 2);
	snapshot_writer_close(writer);
}

static bool
check_many(const char *name, const struct domain_record *record, void *context)
{
	unsigned *rows = context;
	char expected[32];

	snprintf(expected, sizeof(expected), "d%08u.example", *rows);
	ck_assert_str_eq(name, expected);
	ck_assert_int_eq(record->retired_at, *rows % 10 == 0 ? 0 : NOW);
	++*rows;
	return true;
}

START_TEST(test_carry_over_many)
{
	unsigned rows = 0;

	in_child(load_many);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_each_domain(snapshot, check_many, &rows), SNAPSHOT_OK);
	ck_assert_uint_eq(rows, MANY);
	snapshot_free(snapshot);
}
END_TEST

/* --- changes -------------------------------------------------------------------------------- */

static void
change(void)
{
	struct snapshot_writer *writer = writer_open();
	struct snapshot_meta meta;
	struct domain_record record;

	must_ok(snapshot_write_begin(writer));
	put_domain(writer, "c.example", "acme");
	must_ok(snapshot_write_get_domain(writer, false, "c.example", &record));
	must_ok(snapshot_delete_domain(writer, "b.example"));
	must(snapshot_delete_domain(writer, "b.example") == SNAPSHOT_NOT_FOUND);
	must_ok(snapshot_delete_relay(writer, "relay2"));
	writer_commit(writer, 2);
	must_ok(snapshot_write_begin(writer));
	put_domain(writer, "d.example", "acme");
	snapshot_abort(writer);
	must_ok(snapshot_write_begin(writer)); /* nothing changes but the position */
	writer_commit(writer, 3);
	must_ok(snapshot_writer_meta(writer, &meta));
	must(meta.version == 3 && meta.serial == 2 && meta.fleet_serial == 2);
	snapshot_writer_close(writer);
}

START_TEST(test_change)
{
	in_child(write_small);
	in_child(change);
	struct snapshot *snapshot = reader_begin();
	ck_assert(has_domain(snapshot, "a.example") && has_domain(snapshot, "c.example"));
	ck_assert(!has_domain(snapshot, "b.example") && !has_domain(snapshot, "d.example"));
	ck_assert_uint_eq(snapshot_meta(snapshot)->version, 3);
	ck_assert_int_eq(member(snapshot, "192.0.2.2"), FLEET_NOT);
	snapshot_free(snapshot);
}
END_TEST

static void
change_wrongly(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme"};
	const struct snapshot_meta meta = meta_of(5);
	char name[600];
	uint64_t many;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	must(snapshot_put_domain(writer, "a.example", &record, NOW) == SNAPSHOT_UNUSABLE);
	must(snapshot_commit(writer, &meta) == SNAPSHOT_UNUSABLE);
	must(snapshot_load_checkpoint(writer) == SNAPSHOT_UNUSABLE);
	must(snapshot_load_carry_over(writer, NOW, LIFETIME, &many) == SNAPSHOT_UNUSABLE);
	must(snapshot_purge_retired(writer, NOW, LIFETIME, &many) == SNAPSHOT_UNUSABLE);
	must_ok(snapshot_write_begin(writer));
	must(snapshot_write_begin(writer) == SNAPSHOT_UNUSABLE);
	must(snapshot_put_domain(writer, name, &record, NOW) == SNAPSHOT_UNUSABLE);
	must(snapshot_put_domain(writer, "", &record, NOW) == SNAPSHOT_UNUSABLE);
	record.retired_at = -1;
	must(snapshot_put_domain(writer, "a.example", &record, NOW) == SNAPSHOT_UNUSABLE);
	must(strstr(snapshot_writer_problem(writer), "out of its bounds") != NULL);
	snapshot_abort(writer);
	snapshot_writer_close(writer);
}

START_TEST(test_wrong_calls)
{
	in_child(write_small);
	in_child(change_wrongly);
}
END_TEST

static void
write_retired(void)
{
	struct snapshot_writer *writer = writer_open();
	struct customer_record gone = {.retired_at = NOW - LIFETIME};
	uint64_t purged;

	must_ok(snapshot_load_begin(writer));
	must_ok(snapshot_put_customer(writer, "gone", &gone));
	put_customer(writer, "here", "eu");
	put_flagged(writer, "a.example", false, NOW - LIFETIME);
	put_flagged(writer, "b.example", false, NOW - LIFETIME + 1);
	put_flagged(writer, "c.example", false, NOW - LIFETIME - 1);
	put_flagged(writer, "d.example", false, 0);
	put_flagged(writer, "e.example", false, NOW + 100);
	writer_commit(writer, 1);
	must_ok(snapshot_write_begin(writer));
	must_ok(snapshot_purge_retired(writer, NOW, LIFETIME, &purged));
	must(purged == 2);
	writer_commit(writer, 2);
	snapshot_writer_close(writer);
}

START_TEST(test_purge)
{
	struct customer_record customer;
	struct seen seen = {.names = ""};

	in_child(write_retired);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_each_domain(snapshot, see, &seen), SNAPSHOT_OK);
	ck_assert_str_eq(seen.names, "b.example(retired) d.example e.example(retired) ");
	ck_assert_int_eq(snapshot_customer(snapshot, "gone", &customer), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_customer(snapshot, "here", &customer), SNAPSHOT_OK);
	snapshot_free(snapshot);
}
END_TEST

static void
keep_hops(void)
{
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme", .next_hops = "[192.0.2.9]:25"};

	must_ok(snapshot_write_begin(writer));
	must_ok(snapshot_put_domain(writer, "a.example", &record, NOW));
	writer_commit(writer, 2);
	record = (struct domain_record){.customer = "acme", .hops_withheld = true};
	must_ok(snapshot_write_begin(writer));
	must_ok(snapshot_put_domain(writer, "a.example", &record, NOW));
	writer_commit(writer, 3);
	must_ok(snapshot_write_begin(writer));
	must_ok(snapshot_write_get_domain(writer, true, "a.example", &record));
	must(strcmp(record.next_hops, "[192.0.2.9]:25") == 0 && record.hops_withheld);
	record = (struct domain_record){.customer = "acme"};
	must_ok(snapshot_put_domain(writer, "a.example", &record, NOW));
	must_ok(snapshot_write_get_domain(writer, true, "a.example", &record));
	must(record.next_hops[0] == '\0');
	snapshot_writer_close(writer);
}

START_TEST(test_withheld_hops_are_kept)
{
	in_child(write_small);
	in_child(keep_hops);
}
END_TEST

/* --- files -------------------------------------------------------------------------------------
 */

static void
open_second_writer(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must(snapshot_writer_open(state_dir, (gid_t)-1, MAP, &writer, &problem) ==
	     SNAPSHOT_UNUSABLE);
	must(writer == NULL && strstr(problem, "another mxhold-sync") != NULL);
	must(!snapshot_set_aside(state_dir) && errno == EWOULDBLOCK);
}

START_TEST(test_one_writer)
{
	in_child(write_small);
	struct snapshot_writer *writer = writer_open();
	in_child(open_second_writer);
	snapshot_writer_close(writer);
	in_child(write_nothing);
}
END_TEST

START_TEST(test_no_state_dir)
{
	struct snapshot_writer *writer;
	const char *problem;

	ck_assert_int_eq(
	    snapshot_writer_open("/nonexistent/mxhold", (gid_t)-1, MAP, &writer, &problem),
	    SNAPSHOT_UNUSABLE);
	ck_assert_ptr_nonnull(strstr(problem, "/nonexistent/mxhold"));
	ck_assert_ptr_nonnull(strstr(problem, "No such file"));
}
END_TEST

static mode_t
mode_of(const char *name)
{
	char path[200];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	ck_assert_int_eq(stat(path, &status), 0);
	return status.st_mode & 07777;
}

START_TEST(test_modes)
{
	umask(077);
	in_child(write_small);
	ck_assert_int_eq(mode_of("snapshot"), 0750);
	ck_assert_int_eq(mode_of("snapshot/data.mdb"), 0640);
	ck_assert_int_eq(mode_of("snapshot/lock.mdb"), 0660);
}
END_TEST

/* A hole in what is mapped would be a signal where the disk is full. */
START_TEST(test_lock_has_its_blocks)
{
	struct stat status;
	char path[200];

	in_child(write_small);
	snprintf(path, sizeof(path), "%s/snapshot/lock.mdb", state_dir);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_ge(status.st_blocks * 512, status.st_size);
}
END_TEST

static void
write_with_group(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must_ok(snapshot_writer_open(state_dir, 64100, MAP, &writer, &problem));
	must(problem == NULL);
	must_ok(snapshot_load_begin(writer));
	put_domain(writer, "a.example", "acme");
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

static void
become_member(void)
{
	const gid_t group = 64100;

	must(setgroups(1, &group) == 0 && setgid(64102) == 0 && setuid(64102) == 0);
}

static void
read_as_member(void)
{
	char path[200];

	become_member();
	struct snapshot *snapshot = reader_begin();
	must(has_domain(snapshot, "a.example"));
	snprintf(path, sizeof(path), "%s/snapshot/data.mdb", state_dir);
	must(access(path, W_OK) != 0);
	snapshot_free(snapshot);
}

static void
read_as_stranger(void)
{
	must(setgroups(0, NULL) == 0 && setgid(64102) == 0 && setuid(64102) == 0);
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");
	must(snapshot_begin(snapshot, 1000) == SNAPSHOT_UNUSABLE);
	must(strstr(snapshot_problem(snapshot), "Permission denied") != NULL);
	snapshot_free(snapshot);
}

static void
write_with_foreign_group(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must(chown(state_dir, 64103, 64103) == 0);
	must(setgroups(0, NULL) == 0 && setgid(64103) == 0 && setuid(64103) == 0);
	must_ok(snapshot_writer_open(state_dir, 64199, MAP, &writer, &problem));
	must(problem != NULL && strstr(problem, "group") != NULL);
	snapshot_writer_close(writer);
}

/* Another user of the group reads with no right but that to lock.mdb. Needs root. */
START_TEST(test_other_users)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(state_dir, 0755), 0);
	in_child(write_with_group);
	in_child(read_as_member);
	in_child(read_as_stranger);
}
END_TEST

START_TEST(test_group_that_cannot_be_set_is_told)
{
	if (geteuid() != 0)
		return;
	in_child(write_with_foreign_group);
}
END_TEST

static void
set_aside(void)
{
	must(snapshot_set_aside(state_dir));
}

START_TEST(test_set_aside_and_replaced)
{
	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	snapshot_end(snapshot);
	in_child(set_aside);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
	in_child(write_parents);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert(has_domain(snapshot, "wide.example") && !has_domain(snapshot, "a.example"));
	snapshot_end(snapshot);
	ck_assert_int_eq(mode_of("snapshot.damaged/data.mdb"), 0640);
	in_child(set_aside); /* an older one that lies there is no hindrance */
	in_child(set_aside); /* nor is nothing to set aside */
	snapshot_free(snapshot);
}
END_TEST

/* Below the last one that was set aside: what an operator, or an accident, left there. */
static void
litter(unsigned depth)
{
	char path[200], outside[80];

	snprintf(path, sizeof(path), "%s/snapshot.damaged", state_dir);
	must(mkdir(path, 0750) == 0 || errno == EEXIST);
	snprintf(outside, sizeof(outside), "%s/kept", state_dir);
	must(mkdir(outside, 0750) == 0 || errno == EEXIST);
	strcat(path, "/link");
	must(symlink(outside, path) == 0);
	snprintf(path, sizeof(path), "%s/snapshot.damaged/data.mdb", state_dir);
	for (unsigned level = 0; level < depth; level++, strcat(path, "/d"))
		must(mkdir(path, 0750) == 0);
}

static void
set_aside_over_a_tree(void)
{
	char path[200];

	litter(3);
	set_aside();
	snprintf(path, sizeof(path), "%s/snapshot.damaged/link", state_dir);
	must(access(path, F_OK) != 0 && errno == ENOENT);
}

static void
set_aside_over_what_stays(void)
{
	litter(20); /* deeper than it goes down */
	set_aside();
}

START_TEST(test_set_aside_whatever_is_in_the_way)
{
	in_child(write_small);
	in_child(set_aside_over_a_tree);
	ck_assert_int_eq(mode_of("snapshot.damaged/data.mdb"), 0640);
	ck_assert_int_eq(mode_of("kept"), 0750); /* no link is followed */
	for (unsigned times = 0; times < 3; times++) {
		in_child(write_small);
		if (times == 0) {
			char path[200];

			snprintf(path, sizeof(path), "%s/snapshot.damaged", state_dir);
			ck_assert_int_eq(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
			in_child(set_aside_over_what_stays);
		} else {
			in_child(set_aside);
		}
		ck_assert_int_eq(mode_of("snapshot.damaged.1/data.mdb"), 0640);
	}
	in_child(write_small);
}
END_TEST

/* --- lock.mdb ------------------------------------------------------------------------------ */

static void
lock_path(char out[200])
{
	snprintf(out, 200, "%s/snapshot/lock.mdb", state_dir);
}

static void
discard_lock(void)
{
	must(snapshot_lock_file_discard(state_dir));
}

/* Many commits: were their readers unseen, their pages would be taken. */
static void
write_on(void)
{
	struct snapshot_writer *writer = writer_open();

	for (uint64_t version = 2; version < 40; version++) {
		must_ok(snapshot_write_begin(writer));
		put_domain(writer, "c.example", version % 2 == 0 ? "acme" : "bolt");
		writer_commit(writer, version);
	}
	snapshot_writer_close(writer);
}

static void
lock_is_lost(void (*lose)(void))
{
	struct snapshot *snapshot = reader_begin(), *another;
	struct domain_record record;

	lose();
	ck_assert(has_domain(snapshot, "a.example"));
	snapshot_end(snapshot);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK); /* what is open goes on */
	in_child(write_on);
	ck_assert_int_eq(snapshot_domain(snapshot, "b.example", &record), SNAPSHOT_OK);
	ck_assert_int_eq(snapshot_domain(snapshot, "c.example", &record), SNAPSHOT_NOT_FOUND);
	ck_assert_uint_eq(snapshot_meta(snapshot)->version, 1);
	snapshot_end(snapshot);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert(has_domain(snapshot, "c.example") && has_domain(snapshot, "a.example"));
	snapshot_end(snapshot);
	ck_assert_int_eq(mode_of("snapshot/data.mdb"), 0640);
	ck_assert_int_eq(mode_of("snapshot/lock.mdb"), 0660);
	snapshot_free(snapshot);
	another = reader_begin();
	ck_assert(has_domain(another, "c.example"));
	snapshot_free(another);
}

static void
lose_by_removal(void)
{
	char path[200];

	lock_path(path);
	ck_assert_int_eq(unlink(path), 0);
}

static void
lose_to_a_directory(void)
{
	char path[200];

	lose_by_removal();
	lock_path(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	in_child(discard_lock);
}

START_TEST(test_lock_removed)
{
	in_child(write_small);
	lock_is_lost(lose_by_removal);
}
END_TEST

START_TEST(test_lock_discarded)
{
	in_child(write_small);
	lock_is_lost(lose_to_a_directory);
}
END_TEST

/* Somebody put another lock.mdb there, and a new writer took it: readers must leave the old one. */
START_TEST(test_lock_replaced)
{
	char path[200];
	int fd;

	in_child(write_small);
	struct snapshot *snapshot = reader_begin();

	snapshot_end(snapshot);
	lose_by_removal();
	lock_path(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0660);
	ck_assert_int_ge(fd, 0);
	close(fd);
	in_child(write_on);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
	ck_assert_uint_eq(snapshot_meta(snapshot)->version, 39);
	ck_assert(has_domain(snapshot, "c.example"));
	snapshot_free(snapshot);
}
END_TEST

/* A reader whose map is too small for what came later opens it anew. */
static void
write_in_small_map(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must_ok(snapshot_writer_open(state_dir, (gid_t)-1, 1 << 20, &writer, &problem));
	must_ok(snapshot_load_begin(writer));
	put_domain(writer, "a.example", "acme");
	writer_commit(writer, 1);
	snapshot_writer_close(writer);
}

START_TEST(test_map_grows)
{
	in_child(write_in_small_map);
	struct snapshot *snapshot = reader_begin();
	snapshot_end(snapshot);
	in_child(load_many);
	ck_assert_int_eq(snapshot_begin(snapshot, snapshot_clock_boot_ms()), SNAPSHOT_OK);
	ck_assert(has_domain(snapshot, "d00000001.example"));
	snapshot_free(snapshot);
}
END_TEST

static void
tcase_add_all(TCase *tests)
{
	tcase_add_test(tests, test_missing);
	tcase_add_test(tests, test_before_first_load);
	tcase_add_test(tests, test_read);
	tcase_add_test(tests, test_empty);
	tcase_add_test(tests, test_fleet);
	tcase_add_test(tests, test_contact);
	tcase_add_test(tests, test_each_domain);
	tcase_add_test(tests, test_domain_for);
	tcase_add_test(tests, test_withdrawn_subdomains_retire);
	tcase_add_test(tests, test_load_shows_at_its_commit);
	tcase_add_test(tests, test_one_moment);
	tcase_add_test(tests, test_unsorted_load);
	tcase_add_test(tests, test_carry_over);
	tcase_add_test(tests, test_carry_over_many);
	tcase_add_test(tests, test_change);
	tcase_add_test(tests, test_wrong_calls);
	tcase_add_test(tests, test_purge);
	tcase_add_test(tests, test_withheld_hops_are_kept);
	tcase_add_test(tests, test_one_writer);
	tcase_add_test(tests, test_no_state_dir);
	tcase_add_test(tests, test_modes);
	tcase_add_test(tests, test_lock_has_its_blocks);
	tcase_add_test(tests, test_other_users);
	tcase_add_test(tests, test_group_that_cannot_be_set_is_told);
	tcase_add_test(tests, test_set_aside_and_replaced);
	tcase_add_test(tests, test_set_aside_whatever_is_in_the_way);
	tcase_add_test(tests, test_lock_removed);
	tcase_add_test(tests, test_lock_discarded);
	tcase_add_test(tests, test_lock_replaced);
	tcase_add_test(tests, test_map_grows);
}

int
main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *tests = tcase_create("core");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_all(tests);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
