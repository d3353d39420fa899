/*
 * test_sync_statedir: what mxhold-sync does as root in a directory that its user owns. Whoever has
 * taken over that user may have put anything there: nothing outside may change hands. Only root
 * can show it; for others there is no change of user, and nothing to test.
 */
#include "core/log.h"
#include "core/snapshot_writer.h"
#include "sync/statedir.h"

#include "tests/unit/table.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER 64102 /* the user of mxhold-sync, by number: none needs to exist */

static char top[64];
static const struct daemon_identity identity = {
    .uid = OTHER, .gid = OTHER, .socket_gid = OTHER, .change = true};

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static void
setup(void)
{
	strcpy(top, "/tmp/mxhold-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("state", 0750), 0);
	ck_assert_int_eq(mkdir("foreign", 0755), 0);
}

static void
teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
make_file(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static uid_t
owner_of(const char *path)
{
	struct stat status;

	ck_assert_int_eq(lstat(path, &status), 0);
	return status.st_uid;
}

START_TEST(test_own_files_change_hands)
{
	ck_assert_int_eq(mkdir("state/snapshot", 0750), 0);
	make_file("state/snapshot/data.mdb");
	make_file("state/sync.lock");
	ck_assert(statedir_prepare("state", &identity));
	ck_assert_uint_eq(owner_of("state"), OTHER);
	ck_assert_uint_eq(owner_of("state/snapshot"), OTHER);
	ck_assert_uint_eq(owner_of("state/snapshot/data.mdb"), OTHER);
	ck_assert_uint_eq(owner_of("state/sync.lock"), OTHER);
}
END_TEST

/* To open a socket or a pipe could fail, or last; who uses it finds what is wrong with it. */
START_TEST(test_neither_file_nor_folder)
{
	ck_assert_int_eq(mkdir("state/snapshot", 0750), 0);
	ck_assert_int_eq(mkfifo("state/snapshot/data.mdb", 0600), 0);
	ck_assert_int_eq(mknod("state/snapshot/lock.mdb", S_IFSOCK | 0600, 0), 0);
	ck_assert_int_eq(mkfifo("state/unusable", 0600), 0);
	ck_assert(statedir_prepare("state", &identity));
	ck_assert_uint_eq(owner_of("state/snapshot"), OTHER);
	ck_assert_uint_eq(owner_of("state/snapshot/data.mdb"), 0);
	ck_assert_uint_eq(owner_of("state/snapshot/lock.mdb"), 0);
}
END_TEST

/* As the user, in a process of his own. 0: the problem names `path`. */
static int
names_denied(const char *path)
{
	struct snapshot_writer *writer;
	const char *problem;

	if (setgid(OTHER) != 0 || setuid(OTHER) != 0 ||
	    snapshot_writer_open("state", (gid_t)-1, 0, &writer, &problem) != SNAPSHOT_UNUSABLE)
		return 2;
	return strncmp(problem, path, strlen(path)) == 0 &&
		       strstr(problem, ": Permission denied; ") == problem + strlen(path)
		   ? 0
		   : 1;
}

/* Restored by an operator while mxhold-sync runs, which is no longer root: it says what is wrong.
 */
START_TEST(test_restored_as_root)
{
	int status;

	ck_assert_int_eq(mkdir("state/snapshot", 0750), 0);
	ck_assert_int_eq(chmod(top, 0755), 0);
	ck_assert(statedir_prepare("state", &identity));
	make_file("state/snapshot/data.mdb");
	ck_assert_int_eq(truncate("state/snapshot/data.mdb", 65536), 0);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(names_denied("state/snapshot/data.mdb"));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert(statedir_prepare("state", &identity)); /* as a new start does */
	ck_assert_uint_eq(owner_of("state/snapshot/data.mdb"), OTHER);
}
END_TEST

/* Another program's LMDB environment, reached through a link where the snapshot should lie. */
START_TEST(test_linked_directory)
{
	make_file("foreign/data.mdb");
	make_file("foreign/lock.mdb");
	ck_assert_int_eq(symlink("../foreign", "state/snapshot"), 0);
	ck_assert_int_eq(symlink("../foreign", "state/snapshot.damaged"), 0);
	ck_assert(!statedir_prepare("state", &identity));
	ck_assert_uint_eq(owner_of("foreign"), 0);
	ck_assert_uint_eq(owner_of("foreign/data.mdb"), 0);
	ck_assert_uint_eq(owner_of("foreign/lock.mdb"), 0);
}
END_TEST

START_TEST(test_linked_file)
{
	make_file("foreign/passwd");
	ck_assert_int_eq(mkdir("state/snapshot", 0750), 0);
	ck_assert_int_eq(symlink("../../foreign/passwd", "state/snapshot/data.mdb"), 0);
	ck_assert_int_eq(symlink("../foreign/passwd", "state/snapshot.lock"), 0);
	ck_assert_int_eq(link("foreign/passwd", "state/snapshot/lock.mdb"), 0);
	ck_assert(!statedir_prepare("state", &identity));
	ck_assert_uint_eq(owner_of("foreign/passwd"), 0);
}
END_TEST

/* As the owner of the directory: now a folder, now a link. Until it is killed. */
static _Noreturn void
swap_for_ever(void)
{
	for (;;)
		(void)renameat2(
		    AT_FDCWD, "state/snapshot", AT_FDCWD, "state/other", RENAME_EXCHANGE);
}

START_TEST(test_link_that_comes_and_goes)
{
	pid_t child;
	unsigned tries;

	make_file("foreign/data.mdb");
	ck_assert_int_eq(mkdir("state/snapshot", 0750), 0);
	ck_assert_int_eq(symlink("../foreign", "state/other"), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		swap_for_ever();
	log_open("test", false); /* what it says of each link is not for here */
	log_set_socket("/nonexistent");
	for (tries = 0; tries < 3000 && owner_of("foreign/data.mdb") == 0; tries++)
		(void)!statedir_prepare("state", &identity);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_uint_eq(owner_of("foreign/data.mdb"), 0);
}
END_TEST

/* The lock may be a name of a file that another user lets this one write to. */
START_TEST(test_linked_lock)
{
	struct stat status;
	int lock;

	make_file("foreign/shared");
	ck_assert_int_eq(link("foreign/shared", "state/sync.lock"), 0);
	lock = statedir_lock("state", &identity);
	ck_assert_uint_eq(owner_of("foreign/shared"), 0);
	if (lock >= 0) {
		ck_assert_int_eq(fstat(lock, &status), 0);
		ck_assert_uint_eq(status.st_uid, 0);
		close(lock);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sync_statedir");
	TCase *tests = tcase_create("owners");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, teardown);
	if (geteuid() == 0) {
		tcase_add_test(tests, test_own_files_change_hands);
		tcase_add_test(tests, test_neither_file_nor_folder);
		tcase_add_test(tests, test_restored_as_root);
		tcase_add_test(tests, test_linked_directory);
		tcase_add_test(tests, test_linked_file);
		tcase_add_test(tests, test_link_that_comes_and_goes);
		tcase_add_test(tests, test_linked_lock);
	}
	suite_add_tcase(suite, tests);
	return table_run(suite);
}
