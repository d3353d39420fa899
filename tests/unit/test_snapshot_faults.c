/*
 * Tests of the snapshot under faults: truncated, overwritten, of another format, on a full disk,
 * with readers that died. What they look for above all: a domain that is in the file must never be
 * "not found", for that is what the sender would be told for good.
 */
#include "tests/unit/other_kinds.h"
#include "tests/unit/snapshot_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define ROWS 400u
#define PAGE 4096

static void
data_path(char out[200])
{
	snprintf(out, 200, "%s/snapshot/data.mdb", state_dir);
}

static void
truncate_data(off_t size)
{
	char path[200];

	data_path(path);
	ck_assert_int_eq(truncate(path, size), 0);
}

static off_t
data_size(void)
{
	char path[200];
	struct stat status;

	data_path(path);
	ck_assert_int_eq(stat(path, &status), 0);
	return status.st_size;
}

static void
row_name(unsigned row, char out[32])
{
	snprintf(out, 32, "d%04u.example", row);
}

static void
write_rows(void)
{
	struct snapshot_writer *writer = writer_open();
	char name[32];

	for (uint64_t version = 1; version <= 2; version++) { /* twice: there are free pages too */
		must_ok(snapshot_load_begin(writer));
		put_relay(writer, "relay1", "192.0.2.1");
		put_customer(writer, "acme", "eu");
		for (unsigned row = 0; row < ROWS; row++) {
			row_name(row, name);
			put_domain(writer, name, "acme");
		}
		writer_commit(writer, version);
	}
	snapshot_writer_close(writer);
}

/* --- truncation ------------------------------------------------------------------------- */

START_TEST(test_truncated_before_open)
{
	static const off_t sizes[] = {0, 1, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, 5 * PAGE};

	in_child(write_rows);
	for (size_t i = sizeof(sizes) / sizeof(sizes[0]); i-- > 0;) {
		struct snapshot *snapshot = snapshot_new(state_dir, "relay1");

		truncate_data(sizes[i]);
		ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
		ck_assert_ptr_nonnull(strstr(snapshot_problem(snapshot), "truncated"));
		snapshot_free(snapshot);
	}
}
END_TEST

START_TEST(test_truncated_while_open)
{
	static const off_t sizes[] = {5 * PAGE, 0};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		in_child(write_rows);
		struct snapshot *snapshot = reader_begin();
		ck_assert(has_domain(snapshot, "d0001.example"));
		snapshot_end(snapshot);
		truncate_data(sizes[i]);
		ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
		ck_assert_ptr_nonnull(strstr(snapshot_problem(snapshot), "truncated"));
		ck_assert(snapshot_set_aside(state_dir));
		in_child(write_rows);
		ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_OK);
		ck_assert(has_domain(snapshot, "d0001.example"));
		snapshot_free(snapshot);
		ck_assert(snapshot_set_aside(state_dir));
	}
}
END_TEST

/* A file may be longer than its pages, and loses nothing with that tail. */
START_TEST(test_tail_is_a_hole)
{
	MDB_envinfo info;
	MDB_env *env;
	char path[200];

	in_child(write_rows);
	snprintf(path, sizeof(path), "%s/snapshot", state_dir);
	ck_assert_int_eq(mdb_env_create(&env), 0);
	ck_assert_int_eq(mdb_env_open(env, path, MDB_RDONLY, 0), 0);
	ck_assert_int_eq(mdb_env_info(env, &info), 0);
	mdb_env_close(env);
	const off_t needed = (off_t)(info.me_last_pgno + 1) * PAGE;
	ck_assert_int_gt(data_size(), needed);
	truncate_data(needed);
	struct snapshot *snapshot = reader_begin();
	ck_assert(has_domain(snapshot, "d0001.example"));
	snapshot_end(snapshot);
	truncate_data(needed - 1);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
	snapshot_free(snapshot);
}
END_TEST

static void
open_damaged(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must(
	    snapshot_writer_open(state_dir, (gid_t)-1, MAP, &writer, &problem) == SNAPSHOT_DAMAGED);
	must(writer == NULL && problem[0] != '\0');
	must(snapshot_set_aside(state_dir));
}

START_TEST(test_writer_of_truncated)
{
	in_child(write_rows);
	truncate_data(5 * PAGE);
	in_child(open_damaged);
	in_child(write_rows);
	snapshot_free(reader_begin());
}
END_TEST

/* --- overwritten pages --------------------------------------------------------------------- */

#define WAYS 8

/* Spoils the page; `other` is another page of the file. */
static void
spoil(uint8_t page[PAGE], const uint8_t other[PAGE], int way, unsigned seed)
{
	for (size_t i = 0; i < PAGE; i++) {
		seed = seed * 1103515245u + 12345u;
		switch (way) {
		case 0: page[i] = 0; break;                                /* zeros */
		case 1: page[i] = (uint8_t)(seed >> 16); break;            /* anything */
		case 2: page[i] = i < PAGE / 2 ? page[i] : 0; break;       /* half of it lost */
		case 3: page[i] = other[i]; break;                         /* in another's place */
		case 4: page[i] = i >= 12 && i < 16 ? 64 : page[i]; break; /* its bounds wrong */
		default:                                                   /* bits turned */
			page[i] ^= (uint8_t)(seed % 97 == 0 ? 1u << (seed >> 20) % 8 : 0);
		}
	}
}

static void
overwrite_page(off_t number, int way)
{
	char path[200];
	uint8_t page[PAGE], other[PAGE];

	data_path(path);
	const int data = open(path, O_RDWR | O_CLOEXEC);
	ck_assert(data >= 0 && pread(data, page, PAGE, number * PAGE) == PAGE);
	ck_assert(pread(data, other, PAGE, (number + 1) * PAGE) == PAGE);
	spoil(page, other, way, (unsigned)number * 31u + (unsigned)way);
	ck_assert(pwrite(data, page, PAGE, number * PAGE) == PAGE);
	close(data);
}

/* Asks for every row. A process that dies of it answers 4xx; a row "not found" is the failure. */
static void
look_up_all(void)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");
	struct domain_record record;
	struct customer_record customer;
	char name[32];

	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	alarm(20);
	for (unsigned row = 0; row < ROWS; row++) {
		row_name(row, name);
		if (begin_later(snapshot) != SNAPSHOT_OK)
			_exit(0);
		if (snapshot_domain_for(snapshot, name, &record, NULL) == SNAPSHOT_NOT_FOUND)
			_exit(1);
		if (snapshot_customer(snapshot, "acme", &customer) == SNAPSHOT_NOT_FOUND)
			_exit(2);
		snapshot_end(snapshot);
	}
	_exit(0);
}

static void
verify(void)
{
	struct snapshot_writer *writer;
	struct snapshot_census census;
	const char *problem;

	if (snapshot_writer_open(state_dir, (gid_t)-1, MAP, &writer, &problem) != SNAPSHOT_OK)
		_exit(3);
	const enum snapshot_result result = snapshot_verify(writer, &census);
	if (result != SNAPSHOT_OK)
		must(snapshot_writer_problem(writer)[0] != '\0');
	_exit(result == SNAPSHOT_OK ? 0 : 3);
}

/* Copies the file away and back, so that each page meets a sound file. */
static void
copy_data(const char *from_suffix, const char *to_suffix)
{
	char command[500], path[200];

	data_path(path);
	snprintf(command, sizeof(command), "cp '%s%s' '%s%s'", path, from_suffix, path, to_suffix);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_overwritten_page)
{
	unsigned noticed = 0, pages = 0;

	in_child(write_rows);
	copy_data("", ".sound");
	for (off_t page = 0; page < 40; page++, pages++) {
		copy_data(".sound", "");
		overwrite_page(page, _i);
		const int status = child_status(look_up_all);
		ck_assert_msg(
		    WIFSIGNALED(status) || (WEXITSTATUS(status) != 1 && WEXITSTATUS(status) != 2),
		    "page %ld, overwritten in way %d: a row was not found", (long)page, _i);
		const int checked = child_status(verify);
		ck_assert_msg(
		    WIFEXITED(checked) && (WEXITSTATUS(checked) == 0 || WEXITSTATUS(checked) == 3),
		    "page %ld, overwritten in way %d: verification died", (long)page, _i);
		noticed += WEXITSTATUS(checked) == 3;
	}
	/* Of 40 pages some are free, or those of the meta page that was not the newest. */
	ck_assert_uint_ge(noticed, pages / 8);
}
END_TEST

/* --- damaged values ----------------------------------------------------------------------------
 */

/* Writes raw bytes as a value, past all checks: as a broken disk or program might. */
static void
put_raw(const char *database, const char *name, const void *bytes, size_t length)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi rows;
	char path[200];
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};
	MDB_val value = {length, (void *)(uintptr_t)bytes};

	snprintf(path, sizeof(path), "%s/snapshot", state_dir);
	must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0);
	must(mdb_env_set_mapsize(env, MAP) == 0 && mdb_env_open(env, path, 0, 0600) == 0);
	must(mdb_txn_begin(env, NULL, 0, &txn) == 0);
	must(mdb_dbi_open(txn, database, 0, &rows) == 0);
	must(mdb_put(txn, rows, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
}

static void
damage_a(void)
{
	put_raw("domain.1", "a.example", "rubbish, but long enough", 24);
}

static void
damage_relay(void)
{
	put_raw("relay.1", "relay2", "rubbish", 7);
}

static void
damage_customer(void)
{
	put_raw("customer.1", "acme", "", 0);
}

static void
damage_contact(void)
{
	put_raw("meta", "contact", "rubbish", 7);
}

static void
damage_state(void)
{
	put_raw("meta", "state", "\1\0\0\0rubbish", 11);
}

static void
change_format(void)
{
	put_raw("meta", "state", "\2\0\0\0rubbish", 11);
}

static void
add_unseen(void)
{
	put_raw("domain.1", "zz.example", "rubbish", 7);
}

START_TEST(test_damaged_values)
{
	struct domain_record record;
	struct customer_record customer;

	in_child(write_small);
	in_child(damage_a);
	in_child(damage_relay);
	in_child(damage_customer);
	in_child(damage_contact);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_domain(snapshot, "a.example", &record), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(
	    snapshot_domain_for(snapshot, "x.a.example", &record, NULL), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(snapshot_domain(snapshot, "b.example", &record), SNAPSHOT_OK);
	/* Its neighbour is damaged: nobody can say that it is not there. */
	ck_assert_int_eq(snapshot_domain(snapshot, "aa.example", &record), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(snapshot_domain(snapshot, "c.example", &record), SNAPSHOT_NOT_FOUND);
	ck_assert_int_eq(snapshot_customer(snapshot, "acme", &customer), SNAPSHOT_DAMAGED);
	ck_assert_ptr_null(snapshot_fleet(snapshot));
	ck_assert_int_eq(snapshot_contact_age(snapshot, snapshot_clock_boot_ms()), -1);
	snapshot_free(snapshot);
	ck_assert_int_eq(WEXITSTATUS(child_status(verify)), 3);
}
END_TEST

static void
check_unusable(const char *problem)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");

	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
	ck_assert_ptr_nonnull(strstr(snapshot_problem(snapshot), problem));
	snapshot_free(snapshot);
}

START_TEST(test_damaged_state)
{
	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	snapshot_end(snapshot);
	in_child(damage_state);
	ck_assert_int_eq(begin_later(snapshot), SNAPSHOT_UNUSABLE);
	snapshot_free(snapshot);
	check_unusable("state record is damaged");
	in_child(open_damaged);
}
END_TEST

START_TEST(test_other_format)
{
	in_child(write_small);
	in_child(change_format);
	check_unusable("another format");
	in_child(open_damaged);
}
END_TEST

START_TEST(test_rows_beside_the_count)
{
	in_child(write_small);
	in_child(add_unseen);
	check_unusable("rows are missing");
}
END_TEST

START_TEST(test_no_lock_file)
{
	char path[200];

	in_child(write_small);
	snprintf(path, sizeof(path), "%s/snapshot/lock.mdb", state_dir);
	ck_assert_int_eq(unlink(path), 0);
	check_unusable("lock.mdb");
	ck_assert_int_ne(access(path, F_OK), 0);
	in_child(write_small);
	snapshot_free(reader_begin());
}
END_TEST

START_TEST(test_other_kinds)
{
	char path[200];

	for (unsigned kind = 0; kind < other_kinds(); kind++) {
		in_child(write_rows);
		data_path(path);
		make_other_kind(kind, path);
		check_unusable("data.mdb is no plain file");
		in_child(open_damaged);
		in_child(write_rows);
		snprintf(path, sizeof(path), "%s/snapshot/lock.mdb", state_dir);
		make_other_kind(kind, path);
		check_unusable("lock.mdb is no plain file");
		in_child(write_rows);
		snapshot_free(reader_begin());
	}
}
END_TEST

START_TEST(test_garbage_for_a_file)
{
	char path[200];

	in_child(write_small);
	data_path(path);
	for (off_t page = 0; page < 20; page++)
		overwrite_page(page, 1);
	check_unusable("data.mdb");
	in_child(open_damaged);
}
END_TEST

/* A damaged row that the feed does not tell any more is retired by its name. */
static void
load_over_damage(void)
{
	struct snapshot_writer *writer = writer_open();
	uint64_t carried;

	must_ok(snapshot_load_begin(writer));
	put_customer(writer, "acme", "eu");
	put_domain(writer, "b.example", "acme");
	must_ok(snapshot_load_carry_over(writer, NOW, LIFETIME, &carried));
	must(carried == 1);
	writer_commit(writer, 2);
	snapshot_writer_close(writer);
}

START_TEST(test_load_cures)
{
	struct domain_record record;

	in_child(write_small);
	in_child(damage_a);
	in_child(load_over_damage);
	struct snapshot *snapshot = reader_begin();
	ck_assert_int_eq(snapshot_domain(snapshot, "a.example", &record), SNAPSHOT_OK);
	ck_assert_int_eq(record.retired_at, NOW);
	ck_assert_int_eq(snapshot_domain(snapshot, "b.example", &record), SNAPSHOT_OK);
	ck_assert_int_eq(record.retired_at, 0);
	snapshot_free(snapshot);
	ck_assert_int_eq(WEXITSTATUS(child_status(verify)), 0);
}
END_TEST

static void
verify_small(void)
{
	struct snapshot_writer *writer = writer_open();
	struct snapshot_census census;

	must(snapshot_verify(writer, &census) == SNAPSHOT_NOT_FOUND);
	must_ok(snapshot_load_begin(writer));
	put_relay(writer, "relay1", "192.0.2.1");
	put_customer(writer, "acme", "eu");
	put_domain(writer, "a.example", "acme");
	const struct domain_record retired = {.customer = "acme", .retired_at = NOW};
	must_ok(snapshot_put_domain(writer, "b.example", &retired, NOW));
	writer_commit(writer, 1);
	must_ok(snapshot_verify(writer, &census));
	must(census.domains == 2 && census.retired == 1 && census.customers == 1);
	must(census.relays == 1 && census.damaged == 0);
	snapshot_writer_close(writer);
}

START_TEST(test_census)
{
	in_child(verify_small);
}
END_TEST

/* --- no room ------------------------------------------------------------------------------------
 */

/* Loads until something gives. The writer must go on living. */
static void
load_until_full(struct snapshot_writer *writer, const char *why)
{
	enum snapshot_result result = snapshot_load_begin(writer);
	char name[32];

	for (unsigned row = 0; row < 1000000 && result == SNAPSHOT_OK; row++) {
		const struct domain_record record = {.customer = "acme"};

		snprintf(name, sizeof(name), "full%07u.example", row);
		result = snapshot_put_domain(writer, name, &record, NOW);
		if (result == SNAPSHOT_OK && row % 10000 == 9999)
			result = snapshot_load_checkpoint(writer);
	}
	must(result == SNAPSHOT_UNUSABLE);
	must(strstr(snapshot_writer_problem(writer), why) != NULL);
	snapshot_abort(writer);
}

static void
check_small_is_there(void)
{
	struct snapshot *snapshot = reader_begin();

	must(has_domain(snapshot, "a.example") && has_domain(snapshot, "b.example"));
	must(snapshot_meta(snapshot)->version == 1);
	snapshot_free(snapshot);
}

/* The next load, of a size that fits, must work: the idle set gives its room back. */
static void
load_small_again(struct snapshot_writer *writer)
{
	must_ok(snapshot_load_begin(writer));
	put_customer(writer, "acme", "eu");
	put_domain(writer, "later.example", "acme");
	writer_commit(writer, 2);
	must_ok(snapshot_write_begin(writer));
	put_domain(writer, "change.example", "acme");
	writer_commit(writer, 3);
}

static void
fill_map(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must_ok(snapshot_writer_open(state_dir, (gid_t)-1, 2 << 20, &writer, &problem));
	load_until_full(writer, "MDB_MAP_FULL");
	must(child_status(check_small_is_there) == 0);
	load_small_again(writer);
	snapshot_writer_close(writer);
}

START_TEST(test_map_full)
{
	in_child(write_small);
	in_child(fill_map);
	struct snapshot *snapshot = reader_begin();
	ck_assert(has_domain(snapshot, "later.example") && has_domain(snapshot, "change.example"));
	snapshot_free(snapshot);
}
END_TEST

/* On a disk of 2 MB that only this child's mount namespace knows. */
static void
fill_disk(void)
{
	must(unshare(CLONE_NEWNS) == 0);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("tmpfs", state_dir, "tmpfs", 0, "size=2m") == 0);
	must(child_status(write_small) == 0);
	struct snapshot_writer *writer = writer_open();
	load_until_full(writer, "No space left");
	must(child_status(check_small_is_there) == 0);
	load_small_again(writer);
	snapshot_writer_close(writer);
	struct snapshot *snapshot = reader_begin();
	must(has_domain(snapshot, "later.example") && has_domain(snapshot, "change.example"));
	snapshot_free(snapshot);
}

START_TEST(test_disk_full)
{
	if (geteuid() == 0)
		in_child(fill_disk);
}
END_TEST

#define BIG_ROWS 24000u /* of a KiB each: a file that grows by more than its tail */

/*
 * A load that is committed, while the file cannot be made longer afterwards: what the writer
 * thinks is active must still be what readers find. (Else the next change would bring the old set
 * back.)
 */
static void
load_without_extension(void)
{
	const struct rlimit bound = {(rlim_t)36 << 20, RLIM_INFINITY};
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct snapshot_writer *writer = writer_open();
	struct domain_record record = {.customer = "acme"};
	struct snapshot_meta meta = meta_of(2);
	char name[32];

	must(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	must_ok(snapshot_load_begin(writer));
	put_relay(writer, "relay1", "192.0.2.1");
	put_customer(writer, "acme", "eu");
	memset(record.next_hops, 'x', sizeof(record.next_hops) - 1);
	for (unsigned row = 0; row < BIG_ROWS; row++) {
		snprintf(name, sizeof(name), "big%05u.example", row);
		must_ok(snapshot_put_domain(writer, name, &record, NOW));
	}
	must(setrlimit(RLIMIT_FSIZE, &bound) == 0);
	(void)!snapshot_commit(writer, &meta);
	must(setrlimit(RLIMIT_FSIZE, &none) == 0);
	must_ok(snapshot_write_begin(writer));
	put_domain(writer, "change.example", "acme");
	writer_commit(writer, 3);
	snapshot_writer_close(writer);
}

START_TEST(test_not_extended)
{
	in_child(write_small);
	in_child(load_without_extension);
	struct snapshot *snapshot = reader_begin();
	ck_assert(has_domain(snapshot, "big00000.example"));
	ck_assert(has_domain(snapshot, "change.example"));
	snapshot_free(snapshot);
}
END_TEST

/* --- readers that died
 * ------------------------------------------------------------------------------ */

static void
read_and_die(void)
{
	struct snapshot *snapshot = reader_begin();

	must(has_domain(snapshot, "a.example"));
	_exit(0); /* in the middle of its transaction */
}

/* More dead readers than there are slots, and no writer that would clear them away. */
START_TEST(test_dead_readers_give_way)
{
	in_child(write_small);
	struct snapshot *snapshot = reader_begin(); /* so that the table of readers stays */
	for (unsigned i = 0; i < 2100; i++)
		in_child(read_and_die);
	snapshot_free(snapshot);
}
END_TEST

/* Pages that a dead reader had pinned are used again: the file stops growing. */
static void
change_often(void)
{
	struct snapshot_writer *writer = writer_open();
	char name[32];

	for (uint64_t version = 2; version < 40; version++) {
		must_ok(snapshot_load_begin(writer));
		for (unsigned row = 0; row < 2000; row++) {
			snprintf(name, sizeof(name), "d%05u.example", row);
			put_domain(writer, name, "acme");
		}
		writer_commit(writer, version);
	}
	snapshot_writer_close(writer);
}

START_TEST(test_dead_reader_pins_nothing)
{
	struct stat status;
	char path[200];

	in_child(write_small);
	struct snapshot *snapshot = reader_begin();
	snapshot_end(snapshot);
	in_child(read_and_die);
	in_child(change_often);
	data_path(path);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_lt(status.st_blocks, 2 << 11); /* 2 MB of 512-byte blocks */
	snapshot_free(snapshot);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_faults");
	TCase *tests = tcase_create("core");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, test_truncated_before_open);
	tcase_add_test(tests, test_truncated_while_open);
	tcase_add_test(tests, test_tail_is_a_hole);
	tcase_add_test(tests, test_writer_of_truncated);
	tcase_add_loop_test(tests, test_overwritten_page, 0, WAYS);
	tcase_add_test(tests, test_damaged_values);
	tcase_add_test(tests, test_damaged_state);
	tcase_add_test(tests, test_other_format);
	tcase_add_test(tests, test_rows_beside_the_count);
	tcase_add_test(tests, test_no_lock_file);
	tcase_add_test(tests, test_other_kinds);
	tcase_add_test(tests, test_garbage_for_a_file);
	tcase_add_test(tests, test_load_cures);
	tcase_add_test(tests, test_census);
	tcase_add_test(tests, test_map_full);
	tcase_add_test(tests, test_disk_full);
	tcase_add_test(tests, test_not_extended);
	tcase_add_test(tests, test_dead_readers_give_way);
	tcase_add_test(tests, test_dead_reader_pins_nothing);
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
