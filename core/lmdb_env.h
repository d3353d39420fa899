/*
 * lmdb_env: what readers and writers of the house's LMDB environments need to know about the file
 * behind one, so that no reader touches a page that is not there.
 */
#ifndef MXHOLD_CORE_LMDB_ENV_H
#define MXHOLD_CORE_LMDB_ENV_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#define LMDB_FILE_AT_LEAST 8192 /* bytes: two meta pages, and no page is smaller than 4096 */

/*
 * Has the file of `env` every page that its newest meta page counts? A page that the writer took
 * and gave back within one transaction may be missing at the very end for an instant: hence more
 * than one look, a millisecond apart.
 */
bool lmdb_file_is_whole(MDB_env *env);
/*
 * For writers, before each transaction: keeps the file longer than its last page by about `tail`
 * bytes (a hole: it takes no room), because LMDB may count pages at its very end that it never
 * wrote. Returns 0 or errno.
 */
int lmdb_file_extend(MDB_env *env, uint64_t tail) __attribute__((warn_unused_result));
/* Is what is open in `env` still the file that `path` names? */
bool lmdb_file_is_current(MDB_env *env, const char *path);
/* Looks through LMDB's list of free pages, its database 0, which a writer trusts blindly. `txn`:
   read-only. Returns LMDB's code. */
int lmdb_free_list_check(MDB_env *env, MDB_txn *txn) __attribute__((warn_unused_result));
/* Codes that tell of broken files; the rest (no room, no permission) is not the file's fault. */
bool lmdb_code_is_damage(int code);

#endif
