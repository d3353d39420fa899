/*
 * snapshot_fixture: what tests on snapshots share. LMDB wants one environment a process: whoever
 * reads keeps the test's own process, and the writer works in a child (in_child).
 */
#ifndef MXHOLD_TESTS_UNIT_SNAPSHOT_FIXTURE_H
#define MXHOLD_TESTS_UNIT_SNAPSHOT_FIXTURE_H

#include "core/snapshot.h"

#include "tests/unit/table.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIFETIME 432000
#define NOW 1700000000
#define MAP ((size_t)64 << 20)

static char state_dir[64];

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static void
fixture_setup(void)
{
	strcpy(state_dir, "/tmp/mxhold-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
}

static void
fixture_teardown(void)
{
	nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Runs `work` in a child and returns its wait status. */
static int
child_status(void (*work)(void))
{
	int status = -1;
	const pid_t child = fork();

	if (child == 0) {
		work();
		_exit(0);
	}
	ck_assert(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

/* The same for work that must succeed. */
#define in_child(work) ck_assert_msg(child_status(work) == 0, #work " failed")

/* For use in a child: says what failed and ends it. */
#define must(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)
#define must_ok(call)                                                                              \
	do {                                                                                       \
		enum snapshot_result result_ = (call);                                             \
		if (result_ != SNAPSHOT_OK) {                                                      \
			fprintf(stderr, "%s:%d: %s: %d\n", __FILE__, __LINE__, #call, result_);    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static struct snapshot_writer *
writer_open(void)
{
	struct snapshot_writer *writer;
	const char *problem;

	must_ok(snapshot_writer_open(state_dir, (gid_t)-1, MAP, &writer, &problem));
	must(problem == NULL);
	return writer;
}

static struct snapshot_meta
meta_of(uint64_t version)
{
	return (struct snapshot_meta){.epoch = "11111111-2222-3333-4444-555555555555",
	    .version = version,
	    .stamp = "stamp",
	    .confirmation = 7,
	    .loaded_at = NOW,
	    .relay = "relay1",
	    .region = "eu"};
}

static inline void
writer_commit(struct snapshot_writer *writer, uint64_t version)
{
	const struct snapshot_meta meta = meta_of(version);

	must_ok(snapshot_commit(writer, &meta));
}

static inline void
put_domain(struct snapshot_writer *writer, const char *name, const char *customer)
{
	struct domain_record record = {.include_subdomains = false};

	strcpy(record.customer, customer);
	must_ok(snapshot_put_domain(writer, name, &record, NOW));
}

static inline void
put_customer(struct snapshot_writer *writer, const char *name, const char *regions)
{
	struct customer_record record = {.suspended = false};

	strcpy(record.regions, regions);
	must_ok(snapshot_put_customer(writer, name, &record));
}

static inline void
put_relay(struct snapshot_writer *writer, const char *name, const char *address)
{
	struct relay_record record = {.region = "eu"};

	snprintf(record.names, sizeof(record.names), "%s.mx.example", name);
	strcpy(record.addresses, address);
	must_ok(snapshot_put_relay(writer, name, &record));
}

/* A small snapshot: relay1, relay2, acme in eu, a.example and b.example. */
static inline void
write_small(void)
{
	struct snapshot_writer *writer = writer_open();

	must_ok(snapshot_load_begin(writer));
	put_relay(writer, "relay1", "192.0.2.1");
	put_relay(writer, "relay2", "192.0.2.2 2001:db8::2");
	put_customer(writer, "acme", "eu");
	put_domain(writer, "a.example", "acme");
	put_domain(writer, "b.example", "acme");
	writer_commit(writer, 1);
	must_ok(snapshot_put_contact(writer, snapshot_clock_boot_ms()));
	snapshot_writer_close(writer);
}

/* A reader with a begun transaction. */
static inline struct snapshot *
reader_begin(void)
{
	struct snapshot *snapshot = snapshot_new(state_dir, "relay1");

	ck_assert_ptr_nonnull(snapshot);
	ck_assert_msg(snapshot_begin(snapshot, snapshot_clock_boot_ms()) == SNAPSHOT_OK, "%s",
	    snapshot_problem(snapshot));
	return snapshot;
}

/* Begins anew, so much later that the file is looked at again. */
static inline enum snapshot_result
begin_later(struct snapshot *snapshot)
{
	static int64_t later;

	later += 2000;
	return snapshot_begin(snapshot, snapshot_clock_boot_ms() + later);
}

static inline bool
has_domain(struct snapshot *snapshot, const char *name)
{
	struct domain_record record;

	return snapshot_domain(snapshot, name, &record) == SNAPSHOT_OK;
}

#endif
