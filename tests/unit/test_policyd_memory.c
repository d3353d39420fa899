/*
 * Tests of policyd/memory: who comes back is taken, whatever else happens to the table: a full one,
 * clocks that jump, garbage, a file that is cut, removed, or shared with another process.
 */
#include "policyd/memory.h"

#include "tests/unit/table.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW INT64_C(1700000000)
#define RETRY 300
#define SETS 16

static _Alignas(64) char block[256 + SETS * MEMORY_WAYS * 16];
static struct memory_table *table = (struct memory_table *)(void *)block;
static uint8_t secret[MEMORY_SECRET];

static void
set_up(void)
{
	ck_assert_uint_eq(memory_table_size(SETS), sizeof(block));
	memset(block, 0, sizeof(block));
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 37 + 11);
	memory_table_init(table, SETS, secret);
	ck_assert(memory_table_sound(table, sizeof(block), SETS));
}

static uint64_t
key(const char *client, const char *sender, const char *recipient)
{
	return memory_table_key(table, client, sender, recipient, strlen(recipient));
}

static bool
visit(uint64_t who, int64_t now)
{
	return memory_table_visit(table, who, now, RETRY);
}

START_TEST(test_comes_back)
{
	const uint64_t who = key("192.0.2.1", "a@b.example", "c@d.example");

	ck_assert(!visit(who, NOW));
	ck_assert(!visit(who, NOW));
	ck_assert(!visit(who, NOW + RETRY - 1));
	ck_assert(visit(who, NOW + RETRY));
	ck_assert(visit(who, NOW + RETRY + 5 * 3600));
	ck_assert(visit(who, NOW + RETRY + 5 * 3600 + MEMORY_FORGET));
	ck_assert(!visit(who, NOW + RETRY + 5 * 3600 + 2 * MEMORY_FORGET + 1)); /* he is new */
	ck_assert(!visit(key("192.0.2.1", "x@b.example", "c@d.example"), NOW + RETRY));
}
END_TEST

START_TEST(test_keys)
{
	const uint64_t who = key("192.0.2.1", "a@b.example", "c@d.example");

	ck_assert_uint_eq(who, key("192.0.2.254", "A@B.example", "C@D.Example"));
	ck_assert_uint_eq(who, key("::ffff:192.0.2.9", "a@b.example", "c@d.example"));
	ck_assert_uint_ne(who, key("192.0.3.1", "a@b.example", "c@d.example"));
	ck_assert_uint_ne(who, key("192.0.2.1", "", "c@d.example"));
	ck_assert_uint_ne(who, key("192.0.2.1", "a@b.example", "c@d.exampl"));
	ck_assert_uint_ne(key("192.0.2.1", "ab", "c"), key("192.0.2.1", "a", "bc"));
	ck_assert_uint_eq(key("2001:db8::1", "a", "b"), key("2001:db8::ffff:2", "a", "b"));
	ck_assert_uint_ne(key("2001:db8::1", "a", "b"), key("2001:db8:0:1::1", "a", "b"));
	ck_assert_uint_eq(key("unknown", "a", "b"), key("unknown", "a", "b"));
	ck_assert_uint_ne(key("unknown", "a", "b"), key("unknowm", "a", "b"));
	secret[0] ^= 1;
	memory_table_init(table, SETS, secret);
	ck_assert_uint_ne(who, key("192.0.2.1", "a@b.example", "c@d.example"));
}
END_TEST

START_TEST(test_long_words)
{
	char longer[4000];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_uint_eq(key(longer, longer, longer), key(longer, longer, longer));
	ck_assert_uint_ne(key("192.0.2.1", longer, longer), key("192.0.3.1", longer, longer));
}
END_TEST

/* Keys of one set: the oldest goes once it is old enough; until then nobody is sent away. */
START_TEST(test_full)
{
	const uint64_t in_one_set = 5 << 8;
	uint64_t i;

	for (i = 0; i < MEMORY_WAYS; i++)
		ck_assert(!visit(in_one_set | (i + 1), NOW + (int64_t)i));
	for (i = 0; i < 100; i++) /* no room: taken, and none of those who wait is forgotten */
		ck_assert(visit(in_one_set | (100 + i), NOW + 60));
	ck_assert(visit(in_one_set | 1, NOW + RETRY));
	ck_assert(!visit(in_one_set | 50, NOW + MEMORY_CROWDED + 2)); /* in place of the second */
	ck_assert(visit(in_one_set | 50, NOW + MEMORY_CROWDED + 2 + RETRY));
	ck_assert(visit(in_one_set | 1, NOW + MEMORY_CROWDED + 3));
}
END_TEST

START_TEST(test_clocks)
{
	const uint64_t who = 77 << 8 | 3;

	ck_assert(!visit(who, NOW + 100000));
	ck_assert(!visit(who, NOW)); /* set back: he begins anew */
	ck_assert(visit(who, NOW + RETRY));
	ck_assert(visit(who, -5)); /* a clock that is no clock sends nobody away */
	ck_assert(visit(who, INT64_MAX));
	for (uint64_t i = 1; i < 50; i++)
		(void)visit(77 << 8 | i, NOW + 1000000);
	ck_assert(!visit(77 << 8 | 99, NOW)); /* entries of the future are no reason to */
	ck_assert(visit(77 << 8 | 99, NOW + RETRY));
}
END_TEST

/* Whatever bytes the entries hold, who comes twice is taken the second time. */
START_TEST(test_garbage)
{
	unsigned seed = 12345;

	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 256; i < sizeof(block); i++)
			block[i] = (char)(seed = seed * 1103515245 + 12345, seed >> 16);
		for (uint64_t who = 1; who < 64; who++) {
			(void)visit(who << 7, NOW);
			ck_assert(visit(who << 7, NOW + RETRY));
		}
	}
}
END_TEST

START_TEST(test_sound)
{
	for (size_t i = 0; i < 24; i++) {
		block[i] ^= 0x40;
		ck_assert(!memory_table_sound(table, sizeof(block), SETS));
		block[i] ^= 0x40;
	}
	block[100] ^= 1; /* the secret */
	ck_assert(!memory_table_sound(table, sizeof(block), SETS));
	block[100] ^= 1;
	ck_assert(!memory_table_sound(table, sizeof(block) - 1, SETS));
	ck_assert(!memory_table_sound(table, sizeof(block), SETS / 2));
	ck_assert(memory_table_sound(table, sizeof(block), SETS));
}
END_TEST

/* --- in a file -------------------------------------------------------------------------------- */

static char directory[64];
static char path[96];

static void
make_directory(void)
{
	strcpy(directory, "/tmp/mxhold-mem-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/senders", directory);
}

static void
remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

static bool
come(struct memory *memory, const char *sender, int64_t now)
{
	return memory_visit(memory, "192.0.2.1", sender, "c@d.example", 11, now, RETRY);
}

START_TEST(test_file)
{
	struct memory *memory = memory_open(directory);
	struct stat status;

	ck_assert(memory_usable(memory));
	ck_assert(!come(memory, "a", NOW));
	memory_close(memory);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0600);
	memory = memory_open(directory); /* a restart */
	ck_assert(come(memory, "a", NOW + RETRY));
	ck_assert(!come(memory, "b", NOW + RETRY));
	memory_close(memory);
}
END_TEST

START_TEST(test_two_at_once)
{
	struct memory *older = memory_open(directory), *newer = memory_open(directory);

	ck_assert(!come(older, "a", NOW));
	ck_assert(come(newer, "a", NOW + RETRY));
	for (int i = 0; i < 4; i++) {
		if (fork() != 0)
			continue;
		struct memory *own = memory_open(directory);
		char sender[16];
		/* Another may be opening it just now; then it is mapped a second later. */
		for (int n = 0; n < 5000; n++) {
			snprintf(sender, sizeof(sender), "s%d", n % 97);
			(void)come(own, sender, NOW + n);
		}
		/* He who opens it may have lost the processor with the lock in his hand. */
		for (int n = 0; !memory_usable(own) && n < 900; n++) {
			(void)usleep(10000);
			(void)come(own, "s0", NOW + 5000 + n);
		}
		bool good = memory_usable(own);
		for (int n = 0; n < 97; n++) {
			snprintf(sender, sizeof(sender), "s%d", n);
			good = good && come(own, sender, NOW + 6000);
		}
		memory_close(own);
		memory_close(older);
		memory_close(newer);
		_exit(good ? 0 : 1);
	}
	for (int i = 0; i < 4; i++) {
		int child;

		ck_assert_int_gt(wait(&child), 0);
		ck_assert_int_eq(child, 0);
	}
	memory_close(older);
	memory_close(newer);
}
END_TEST

/* Cut while it is mapped: taken, then made anew. */
START_TEST(test_file_cut)
{
	struct memory *memory = memory_open(directory);

	ck_assert(!come(memory, "a", NOW));
	ck_assert_int_eq(truncate(path, _i == 0 ? 0 : _i), 0);
	ck_assert(come(memory, "a", NOW + 1) || _i > 0);
	(void)come(memory, "a", NOW + 2);
	ck_assert(come(memory, "a", NOW + 2 + RETRY));
	ck_assert(!come(memory, "z", NOW + 2 + RETRY) || _i > 0);
	memory_close(memory);
	memory = memory_open(directory);
	ck_assert(memory_usable(memory));
	ck_assert(!come(memory, "y", NOW + RETRY));
	memory_close(memory);
}
END_TEST

START_TEST(test_file_damaged)
{
	struct memory *memory = memory_open(directory);
	const int file = open(path, O_RDWR);

	ck_assert(!come(memory, "a", NOW));
	ck_assert_int_eq(pwrite(file, "garbage!", 8, 8), 8); /* under a living child */
	close(file);
	ck_assert(come(memory, "a", NOW + 1));  /* cannot tell: taken */
	ck_assert(!come(memory, "a", NOW + 2)); /* anew */
	ck_assert(come(memory, "a", NOW + 2 + RETRY));
	memory_close(memory);
}
END_TEST

START_TEST(test_no_directory)
{
	struct memory *memory;

	remove_directory();
	memory = memory_open(directory);
	ck_assert_ptr_nonnull(memory);
	ck_assert(!memory_usable(memory));
	ck_assert_int_eq(memory_failed(memory), ENOENT);
	ck_assert(come(memory, "a", NOW)); /* nobody is sent away who could not be remembered */
	ck_assert(come(memory, "a", NOW));
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	ck_assert(!come(memory, "a", NOW + 1));
	ck_assert_int_eq(memory_failed(memory), 0);
	ck_assert_int_eq(mkdir(path, 0700), -1);
	memory_close(memory);
}
END_TEST

/* The disk is full: what a limit of the file's size says in its place. */
START_TEST(test_no_room)
{
	const struct rlimit little = {4096, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	struct stat status;

	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
	struct memory *memory = memory_open(directory);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
	ck_assert(!memory_usable(memory));
	ck_assert_int_eq(memory_failed(memory), EFBIG);
	ck_assert_int_eq(stat(path, &status), -1);
	ck_assert(!come(memory, "a", NOW)); /* there is room again */
	ck_assert_int_eq(memory_failed(memory), 0);
	memory_close(memory);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policyd-memory");
	TCase *pure = tcase_create("pure"), *files = tcase_create("files");

	tcase_add_checked_fixture(pure, set_up, NULL);
	tcase_add_test(pure, test_comes_back);
	tcase_add_test(pure, test_keys);
	tcase_add_test(pure, test_long_words);
	tcase_add_test(pure, test_full);
	tcase_add_test(pure, test_clocks);
	tcase_add_test(pure, test_garbage);
	tcase_add_test(pure, test_sound);
	suite_add_tcase(suite, pure);
	tcase_add_checked_fixture(files, make_directory, remove_directory);
	tcase_set_timeout(files, 30);
	tcase_add_test(files, test_file);
	tcase_add_test(files, test_two_at_once);
	tcase_add_loop_test(files, test_file_cut, 0, 2);
	tcase_add_test(files, test_file_damaged);
	tcase_add_test(files, test_no_directory);
	tcase_add_test(files, test_no_room);
	suite_add_tcase(suite, files);
	return table_run(suite);
}
