/*
 * verb_db: `mxholdctl db migrate|status [--journal]`: the numbered files of sql/ (the authority) or
 * sql/journal/ (the journal of a region), and what the database has had.
 *
 * In: NNN-name.sql files, each one transaction that writes its own row into the schema's table
 * `migration`, and the table. Out: the same table, with the SHA-256 of each file that this program
 * applied. A file that was applied and has changed since is an error: nothing is applied then. Two
 * at once wait for each other (an advisory lock).
 */
#include "core/install.h"
#include "ctl/db.h"
#include "ctl/sub_verb.h"
#include "ctl/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX ((size_t)4 << 20)
#define LOCK_TRIES 300         /* of 0.1 s */
#define LOCK "120363915635812" /* "mxhold" in ASCII */
#define CHECKSUM_SIZE 65

enum state { STATE_PENDING, STATE_APPLIED, STATE_CHANGED, STATE_NO_FILE };

static const char *const state_names[] = {
    [STATE_PENDING] = "pending",
    [STATE_APPLIED] = "applied",
    [STATE_CHANGED] = "changed",
    [STATE_NO_FILE] = "no-file",
};

struct migration {
	char *name; /* "001-base" */
	char *sql;  /* NULL: only the database knows it */
	char checksum[CHECKSUM_SIZE];
	char *applied_at, *applied_by; /* NULL: not applied */
	enum state state;
};

struct schema {
	const char *table;     /* of its migrations */
	const char *directory; /* where its files are */
};

static const struct schema authority = {"mxhold.migration", INSTALL_SQL};
static const struct schema journal = {"mxhold_journal.migration", INSTALL_SQL "/journal"};

struct migrations {
	const struct schema *schema;
	struct db db;
	const struct ctl *ctl;
	const char *directory;
	struct migration *list;
	size_t count;
};

/* --- files ------------------------------------------------------------------------------------ */

/* "001-base.sql" */
static int
is_migration(const struct dirent *entry)
{
	const char *name = entry->d_name;
	const size_t length = strlen(name);

	return length > 8 && strspn(name, "0123456789") == 3 && name[3] == '-' &&
	       strcmp(name + length - 4, ".sql") == 0;
}

static char *
read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *bytes = file != NULL ? mem_resize(NULL, FILE_MAX + 1, 1) : NULL;

	if (file == NULL) {
		ctl_say("%s: %m", path);
		return NULL;
	}
	const size_t length = fread(bytes, 1, FILE_MAX + 1, file);
	const bool good =
	    !ferror(file) && length <= FILE_MAX && memchr(bytes, '\0', length) == NULL;
	fclose(file);
	if (!good) {
		ctl_say("%s: cannot be read as a file of SQL", path);
		free(bytes);
		return NULL;
	}
	bytes[length] = '\0';
	return bytes;
}

static struct migration *
add(struct migrations *all, const char *name, size_t length)
{
	all->list = mem_resize(all->list, all->count + 1, sizeof(*all->list));
	struct migration *new = &all->list[all->count++];
	*new = (struct migration){.name = mem_copy(name, length)};
	return new;
}

static bool
read_files(struct migrations *all)
{
	struct dirent **entries;
	const int count = scandir(all->directory, &entries, is_migration, alphasort);
	bool good = count > 0;

	if (count < 0)
		ctl_say("%s: %m", all->directory);
	else if (count == 0)
		ctl_say("%s: there is no NNN-name.sql", all->directory);
	for (int i = 0; i < count; i++) {
		char *path = mem_format("%s/%s", all->directory, entries[i]->d_name);

		if (good) {
			const char *name = entries[i]->d_name;
			struct migration *new = add(all, name, strlen(name) - 4);
			new->sql = read_file(path);
			good = new->sql != NULL;
		}
		free(path);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return good;
}

static void
migrations_free(struct migrations *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->list[i].name);
		free(all->list[i].sql);
		free(all->list[i].applied_at);
		free(all->list[i].applied_by);
	}
	free(all->list);
	db_close(&all->db);
}

/* --- the database -------------------------------------------------------------------------------
 */

static bool
hash_files(struct migrations *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct migration *one = &all->list[i];
		PGresult *result =
		    db_ask_bytes(&all->db, "select pg_catalog.encode(pg_catalog.sha256($1), 'hex')",
			one->sql, strlen(one->sql));

		if (result == NULL)
			return false;
		snprintf(one->checksum, sizeof(one->checksum), "%s", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	return true;
}

static struct migration *
find(struct migrations *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->list[i].name, name) == 0)
			return &all->list[i];
	return add(all, name, strlen(name));
}

/* One row of mxhold.migration. A file without a recorded checksum was applied by plain psql. */
static void
note_applied(struct migrations *all, const PGresult *rows, int row)
{
	struct migration *one = find(all, PQgetvalue(rows, row, 0));
	const char *checksum = PQgetvalue(rows, row, 1);

	one->applied_at = mem_string(PQgetvalue(rows, row, 2));
	one->applied_by = mem_string(PQgetvalue(rows, row, 3));
	if (one->sql == NULL)
		one->state = STATE_NO_FILE;
	else if (checksum[0] != '\0' && strcmp(checksum, one->checksum) != 0)
		one->state = STATE_CHANGED;
	else
		one->state = STATE_APPLIED;
}

static bool
read_applied(struct migrations *all)
{
	char *sql = db_format(
	    &all->db, "select pg_catalog.to_regclass(%s) is not null", all->schema->table);
	PGresult *there = db_ask(&all->db, sql);

	free(sql);
	if (there == NULL)
		return false;
	const bool any = PQgetvalue(there, 0, 0)[0] == 't';
	PQclear(there);
	if (!any)
		return true;
	sql = mem_format("select name, coalesce(checksum, ''), date_trunc('second', applied_at), "
			 "applied_by from %s order by name",
	    all->schema->table);
	PGresult *rows = db_ask(&all->db, sql);
	free(sql);
	if (rows == NULL)
		return false;
	for (int row = 0; row < PQntuples(rows); row++)
		note_applied(all, rows, row);
	PQclear(rows);
	return true;
}

/* Waits up to 30 s for another mxholdctl that migrates. It is let go with the connection. */
static bool
lock(struct migrations *all)
{
	for (unsigned attempt = 0; attempt < LOCK_TRIES; attempt++) {
		PGresult *result =
		    db_ask(&all->db, "select pg_catalog.pg_try_advisory_lock(" LOCK ")");

		if (result == NULL)
			return false;
		const bool mine = PQgetvalue(result, 0, 0)[0] == 't';
		PQclear(result);
		if (mine)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	ctl_say("another mxholdctl db migrate is at work in this database");
	all->db.code = CTL_TEMPFAIL;
	return false;
}

static size_t
count_state(const struct migrations *all, enum state state)
{
	size_t count = 0;

	for (size_t i = 0; i < all->count; i++)
		count += all->list[i].state == state;
	return count;
}

static void
say_changed(const struct migrations *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].state == STATE_CHANGED)
			ctl_say("%s: the file is not the one that was applied", all->list[i].name);
}

/* --- migrate
 * ---------------------------------------------------------------------------------------- */

static bool
record_checksum(struct migrations *all, const struct migration *one)
{
	char *set =
	    db_format(&all->db, "set checksum = %s where name = %s", one->checksum, one->name);
	char *sql = mem_format("update %s %s", all->schema->table, set);
	PGresult *result = db_ask(&all->db, sql);
	const bool good = result != NULL && db_changed(result) == 1;

	free(set);
	free(sql);
	if (result != NULL && !good) {
		ctl_say("%s: the file has written no row into %s", one->name, all->schema->table);
		all->db.code = CTL_DATA;
	}
	PQclear(result);
	return good;
}

static bool
apply(struct migrations *all, struct migration *one)
{
	const bool verbose = all->db.verbose;

	ctl_say(all->db.dry ? "%s: would be applied" : "%s: applying", one->name);
	if (all->db.dry)
		return true;
	all->db.verbose = false; /* its name says enough */
	PGresult *result = db_run(&all->db, one->sql);
	all->db.verbose = verbose;
	if (result == NULL) {
		ctl_say("%s: not applied, and nothing after it", one->name);
		return false;
	}
	PQclear(result);
	return record_checksum(all, one);
}

static int
migrate(struct migrations *all)
{
	if (!lock(all) || !hash_files(all) || !read_applied(all))
		return all->db.code;
	if (count_state(all, STATE_CHANGED) > 0) {
		say_changed(all);
		return CTL_DATA;
	}
	if (count_state(all, STATE_PENDING) == 0)
		ctl_say(
		    "nothing to do: %zu migrations are applied", count_state(all, STATE_APPLIED));
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].state == STATE_PENDING && !apply(all, &all->list[i]))
			return all->db.code;
	return CTL_OK;
}

/* --- status
 * -------------------------------------------------------------------------------------------- */

static void
print_one(struct db *db, const struct migration *one, bool json)
{
	if (!json) {
		printf("%-20s %-8s %s%s%s\n", one->name, state_names[one->state],
		    one->applied_at != NULL ? one->applied_at : "",
		    one->applied_by != NULL ? " by " : "",
		    one->applied_by != NULL ? one->applied_by : "");
		return;
	}
	char *sql = db_format(db,
	    "select %s::text as migration, %s::text as state, %s::text as applied_at, "
	    "%s::text as applied_by",
	    one->name, state_names[one->state], one->applied_at, one->applied_by);
	PGresult *row = db_ask(db, sql);
	if (row != NULL)
		db_print_row(row, 0, true);
	PQclear(row);
	free(sql);
}

static int
status(struct migrations *all)
{
	if (!hash_files(all) || !read_applied(all))
		return all->db.code;
	for (size_t i = 0; i < all->count; i++)
		print_one(&all->db, &all->list[i], all->ctl->json);
	if (count_state(all, STATE_CHANGED) > 0) {
		say_changed(all);
		return CTL_DATA;
	}
	return count_state(all, STATE_PENDING) > 0 ? CTL_TEMPFAIL : CTL_OK;
}

/* --- the verb
 * -------------------------------------------------------------------------------------------- */

static int
db_verb(
    struct ctl *ctl, int argc, char **argv, const char *synopsis, const char *about, bool writes)
{
	struct migrations all = {.ctl = ctl};
	bool dry = false, of_journal = false;
	const struct ctl_option options[] = {
	    {"journal", NULL, "the journal of a region, not the authority", NULL, &of_journal},
	    {"dir", "DIR", "where the files are, default " INSTALL_SQL " (/journal: the journal's)",
		&all.directory, NULL},
	    {writes ? "dry-run" : NULL, NULL, "say what would be applied", NULL, &dry},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {synopsis, about, options};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 0)
		return ctl_wrong(&usage, "no operand is wanted");
	all.schema = of_journal ? &journal : &authority;
	if (all.directory == NULL)
		all.directory = all.schema->directory;
	if (!read_files(&all))
		code = CTL_OSERR;
	else if (!db_open(&all.db, ctl, dry))
		code = all.db.code;
	else
		code = writes ? migrate(&all) : status(&all);
	migrations_free(&all);
	return code;
}

static int
db_migrate(struct ctl *ctl, int argc, char **argv)
{
	return db_verb(ctl, argc, argv, "db migrate [--journal] [--dir DIR] [--dry-run]",
	    "Applies the files of sql/ that this database has not had, in order, each in one\n"
	    "transaction. Needs a login that may create schemas and roles. --journal: those of\n"
	    "sql/journal/, for the database of a region's journal (say which with -d).\n",
	    true);
}

static int
db_status(struct ctl *ctl, int argc, char **argv)
{
	return db_verb(ctl, argc, argv, "db status [--journal] [--dir DIR]",
	    "Lists the files of sql/ and whether this database has had them. Exit status: 0 all "
	    "of\n"
	    "them, 75 some are pending, 65 one has changed since it was applied.\n",
	    false);
}

int
ctl_verb_db(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"migrate", "bring the schema of the authority, or of a journal, up to date",
		db_migrate},
	    {"status", "which migrations it has had", db_status},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "db", verbs, argc, argv);
}
