/*
 * verb_domain: `mxholdctl domain add|set|remove|suspend|resume|list|show|check`.
 *
 * All but `check` speak SQL to the authority, through the SOC's own connection (db.h), and exactly
 * the SQL that one would type. `check` (domain_check.c) asks this relay's snapshot instead. Names
 * are folded here as everywhere (case, one trailing dot, U-labels), so that any spelling will do.
 */
#include "ctl/db.h"
#include "ctl/domain_check.h"
#include "ctl/sub_verb.h"
#include "ctl/text.h"

#include "core/domain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options that are columns of mxhold.domain. */
static const struct {
	const char *option, *argument, *help, *column;
} columns[] = {
    {"next-hops", "LIST", "where held mail goes, such as [203.0.113.5]:25", "next_hops"},
    {"size-limit", "BYTES", "largest message", "size_limit"},
    {"oversize", "WORD", "larger ones: reject or defer", "oversize"},
    {"retention", "INTERVAL", "how long its mail may wait, such as '5 days'", "retention"},
    {"quota-messages", "NUMBER", "messages that a relay may hold of it", "quota_messages"},
    {"quota-bytes", "BYTES", "bytes that a relay may hold of it", "quota_bytes"},
    {"when-primary-up", "WORD", "new mail while its primary answers: accept or defer",
	"when_primary_up"},
    {"mx-check", "yes|no", "defer its mail where its MX records do not name the relay", "mx_check"},
    {"refused", "WORD", "what its primary refuses for good: judge (and take out) or keep",
	"refused"},
    {"hold-until", "TIME", "a maintenance: its mail waits until then, or infinity", "hold_until"},
    {"hold-reason", "TEXT", "why", "hold_reason"},
    {"pin-certificate", "HEX", "SHA-256 of its primary's public key: nobody else gets mail",
	"pin_certificate"},
    {"pin-banner", "TEXT", "what its primary's greeting begins with, the same", "pin_banner"},
    {"note", "TEXT", "for people", "note"},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct request {
	struct ctl *ctl;
	struct db db;
	char name[DOMAIN_SIZE];
	/* options */
	bool dry, subdomains, tls;
	const char *customer, *regions, *values[COLUMNS];
	const char *subdomains_word, *tls_word; /* yes, no */
};

/* Adds an option for each column behind the first `count` of `options`, and ends the table. */
static void
column_options(struct request *request, struct ctl_option *options, size_t count)
{
	for (size_t i = 0; i < COLUMNS; i++)
		options[count++] = (struct ctl_option){.name = columns[i].option,
		    .argument = columns[i].argument,
		    .help = columns[i].help,
		    .text = &request->values[i]};
	options[count++] = (struct ctl_option){
	    .name = "dry-run", .help = "show the SQL and do not run it", .flag = &request->dry};
	options[count] = (struct ctl_option){.name = NULL};
}

/* --- what they have in common -------------------------------------------------------------- */

/* Reads the one operand, a domain. False: return *code. */
static bool
take_name(
    struct request *request, const struct ctl_usage *usage, char **operands, int count, int *code)
{
	if (count != 1) {
		*code = ctl_wrong(usage, "one domain is wanted");
		return false;
	}
	if (domain_normalise(operands[0], strlen(operands[0]), request->name))
		return true;
	ctl_say("%s: that is no name of a mail domain", operands[0]);
	*code = CTL_DATA;
	return false;
}

/* Runs a statement that should change one row. Takes `sql`. */
static int
change_one(struct request *request, char *sql, const char *done)
{
	PGresult *result = request->db.code == CTL_OK ? db_run(&request->db, sql) : NULL;
	int code = request->db.code;

	free(sql);
	if (result == NULL)
		return code;
	if (db_changed(result) == 0) {
		ctl_say("%s: there is no such domain", request->name);
		code = CTL_DATA;
	} else {
		ctl_say("%s: %s", request->name, done);
	}
	PQclear(result);
	return code;
}

/* A maintenance that is over before it begins holds nothing: somebody meant another time. */
static void
warn_past_hold(struct request *request)
{
	bool given = false;

	for (size_t i = 0; i < COLUMNS; i++)
		if (strcmp(columns[i].column, "hold_until") == 0)
			given = request->values[i] != NULL;
	if (!given || request->dry)
		return;
	char *sql = db_format(&request->db,
	    "select hold_until from mxhold.domain where name = %s and hold_until <= "
	    "clock_timestamp()",
	    request->name);
	const int code = request->db.code;
	PGresult *result = db_ask(&request->db, sql);

	if (result != NULL && PQntuples(result) == 1)
		ctl_say("%s: hold_until is %s, which is past: nothing is held", request->name,
		    PQgetvalue(result, 0, 0));
	PQclear(result);
	free(sql);
	request->db.code = code;
}

/* --- add ------------------------------------------------------------------------------------- */

static void
add_column(struct request *request, struct text *names, struct text *values, const char *column,
    const char *value)
{
	if (value == NULL)
		return;
	char *literal = db_format(&request->db, "%s", value);
	text_format(names, ", %s", column);
	text_format(values, ", %s", literal);
	free(literal);
}

static void
add_true(struct text *names, struct text *values, const char *column, bool set)
{
	if (!set)
		return;
	text_format(names, ", %s", column);
	text_puts(values, ", true");
}

static char *
insert_sql(struct request *request)
{
	struct text names = {NULL, 0, 0}, values = {NULL, 0, 0};
	char *name = db_format(&request->db, "%s", request->name);

	text_puts(&names, "name");
	text_puts(&values, name);
	free(name);
	add_column(request, &names, &values, "customer", request->customer);
	add_true(&names, &values, "include_subdomains", request->subdomains);
	add_true(&names, &values, "tls_required", request->tls);
	for (size_t i = 0; i < COLUMNS; i++)
		add_column(request, &names, &values, columns[i].column, request->values[i]);
	char *left = text_take(&names), *right = text_take(&values);
	char *sql = mem_format("insert into mxhold.domain (%s) values (%s)", left, right);
	free(left);
	free(right);
	return sql;
}

/* One row a region, "eu,us" or "eu us". */
static char *
regions_sql(struct request *request)
{
	struct text sql = {NULL, 0, 0};
	const char *at = request->regions, *comma = "";

	text_puts(&sql, "insert into mxhold.domain_region (domain, region) values ");
	while (*(at += strspn(at, ", ")) != '\0') {
		const size_t length = strcspn(at, ", ");
		char *region = mem_copy(at, length);
		char *row = db_format(&request->db, "(%s, %s)", request->name, region);

		text_format(&sql, "%s%s", comma, row);
		free(region);
		free(row);
		comma = ", ";
		at += length;
	}
	return text_take(&sql);
}

/* The name is taken: by whom? */
static void
say_owner(struct request *request)
{
	char *sql = db_format(
	    &request->db, "select customer from mxhold.domain where name = %s", request->name);
	const int code = request->db.code;
	PGresult *result = db_ask(&request->db, sql);

	if (result != NULL && PQntuples(result) == 1)
		ctl_say("%s belongs to customer %s", request->name, PQgetvalue(result, 0, 0));
	PQclear(result);
	free(sql);
	request->db.code = code;
}

static int
insert_domain(struct request *request)
{
	char *insert = insert_sql(request);
	char *regions = request->regions != NULL ? regions_sql(request) : NULL;
	char *sql = regions != NULL ? mem_format("begin;\n%s;\n%s;\ncommit", insert, regions)
				    : mem_string(insert);
	PGresult *result = request->db.code == CTL_OK ? db_run(&request->db, sql) : NULL;

	if (result != NULL)
		ctl_say("%s: authorised for customer %s", request->name, request->customer);
	else if (strcmp(request->db.constraint, "domain_belongs_to_one_customer") == 0) {
		if (PQtransactionStatus(request->db.connection) == PQTRANS_INERROR)
			PQclear(db_ask(&request->db, "rollback"));
		request->db.code = CTL_DATA;
		say_owner(request);
	}
	PQclear(result);
	free(insert);
	free(regions);
	free(sql);
	return request->db.code;
}

static int
domain_add(struct ctl *ctl, int argc, char **argv)
{
	struct request request = {.ctl = ctl};
	struct ctl_option options[COLUMNS + 6] = {
	    {"customer", "NAME", "whose domain it is (required)", &request.customer, NULL},
	    {"regions", "LIST", "narrow it to these of the customer's regions", &request.regions,
		NULL},
	    {"include-subdomains", NULL, "all names below belong to it too", NULL,
		&request.subdomains},
	    {"tls", NULL, "deliver to the primary only over TLS", NULL, &request.tls},
	};
	const struct ctl_usage usage = {"domain add NAME --customer NAME [OPTION...]",
	    "Authorises a domain, so that the relays of the customer's regions hold its mail.\n"
	    "What is not given is the customer's, else the relay's own.\n",
	    options};
	char **operands;
	int count, code;

	column_options(&request, options, 4);
	code = ctl_options(ctl, &usage, argc, argv, &operands, &count);
	if (code >= 0 || !take_name(&request, &usage, operands, count, &code))
		return code;
	if (request.customer == NULL)
		return ctl_wrong(&usage, "--customer is wanted");
	code = db_open(&request.db, ctl, request.dry) ? insert_domain(&request) : request.db.code;
	if (code == CTL_OK)
		warn_past_hold(&request);
	db_close(&request.db);
	return code;
}

/* --- set -------------------------------------------------------------------------------------- */

static void
set_column(struct request *request, struct text *sql, const char *column, const char *value)
{
	if (value == NULL)
		return;
	char *literal = strcmp(value, "default") == 0 ? mem_string("default")
						      : db_format(&request->db, "%s", value);
	text_format(sql, "%s%s = %s", sql->length > 0 ? ", " : "", column, literal);
	free(literal);
}

/* NULL: nothing is to be set. */
static char *
update_sql(struct request *request)
{
	struct text list = {NULL, 0, 0};

	set_column(request, &list, "customer", request->customer);
	set_column(request, &list, "include_subdomains", request->subdomains_word);
	set_column(request, &list, "tls_required", request->tls_word);
	for (size_t i = 0; i < COLUMNS; i++)
		set_column(request, &list, columns[i].column, request->values[i]);
	if (list.length == 0)
		return NULL;
	char *name = db_format(&request->db, "%s", request->name);
	char *assignments = text_take(&list);
	char *sql = mem_format("update mxhold.domain set %s where name = %s", assignments, name);
	free(assignments);
	free(name);
	return sql;
}

static int
domain_set(struct ctl *ctl, int argc, char **argv)
{
	struct request request = {.ctl = ctl};
	struct ctl_option options[COLUMNS + 5] = {
	    {"customer", "NAME", "whose domain it is", &request.customer, NULL},
	    {"include-subdomains", "yes|no", "all names below belong to it too",
		&request.subdomains_word, NULL},
	    {"tls", "yes|no", "deliver to the primary only over TLS", &request.tls_word, NULL},
	};
	const struct ctl_usage usage = {"domain set NAME OPTION...",
	    "Changes columns of a domain's row; the value `default` takes back what was set.\n",
	    options};
	char **operands, *sql;
	int count, code;

	column_options(&request, options, 3);
	code = ctl_options(ctl, &usage, argc, argv, &operands, &count);
	if (code >= 0 || !take_name(&request, &usage, operands, count, &code))
		return code;
	code = db_open(&request.db, ctl, request.dry) ? CTL_OK : request.db.code;
	if (code == CTL_OK) {
		sql = update_sql(&request);
		code = sql != NULL ? change_one(&request, sql, "changed")
				   : ctl_wrong(&usage, "nothing is to be changed");
		if (code == CTL_OK)
			warn_past_hold(&request);
	}
	db_close(&request.db);
	return code;
}

/* --- remove, suspend, resume ---------------------------------------------------------------------
 */

struct act {
	const char *synopsis, *about, *sql, *done;
};

static int
domain_act(struct ctl *ctl, int argc, char **argv, const struct act *act)
{
	struct request request = {.ctl = ctl};
	const struct ctl_option options[] = {
	    {"dry-run", NULL, "show the SQL and do not run it", NULL, &request.dry},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {act->synopsis, act->about, options};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0 || !take_name(&request, &usage, operands, count, &code))
		return code;
	code = request.db.code;
	if (db_open(&request.db, ctl, request.dry))
		code =
		    change_one(&request, db_format(&request.db, act->sql, request.name), act->done);
	else
		code = request.db.code;
	db_close(&request.db);
	return code;
}

static int
domain_remove(struct ctl *ctl, int argc, char **argv)
{
	static const struct act act = {"domain remove NAME",
	    "Removes a domain. Relays go on delivering what they hold of it; new mail is deferred\n"
	    "for as long as the queue lifetime, so that a mistake costs nothing.\n",
	    "delete from mxhold.domain where name = %s", "removed"};

	return domain_act(ctl, argc, argv, &act);
}

static int
domain_suspend(struct ctl *ctl, int argc, char **argv)
{
	static const struct act act = {"domain suspend NAME",
	    "Relays defer new mail of the domain (450) until it is resumed.\n",
	    "update mxhold.domain set suspended = true where name = %s", "suspended"};

	return domain_act(ctl, argc, argv, &act);
}

static int
domain_resume(struct ctl *ctl, int argc, char **argv)
{
	static const struct act act = {"domain resume NAME", "Ends a suspension.\n",
	    "update mxhold.domain set suspended = false where name = %s", "resumed"};

	return domain_act(ctl, argc, argv, &act);
}

/* --- list, show
 * ------------------------------------------------------------------------------------ */

static void
print_listed(const PGresult *row, void *context)
{
	const struct request *request = context;

	if (request->ctl->json) {
		db_print_row(row, 0, true);
		return;
	}
	printf("%s\t%s%s%s\n", PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1),
	    PQgetvalue(row, 0, 2)[0] == 't' ? "\tsubdomains" : "",
	    PQgetvalue(row, 0, 3)[0] == 't' ? "\tsuspended" : "");
}

static int
domain_list(struct ctl *ctl, int argc, char **argv)
{
	struct request request = {.ctl = ctl};
	const struct ctl_option options[] = {
	    {"customer", "NAME", "only this customer's", &request.customer, NULL},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"domain list [--customer NAME]",
	    "Lists the authorised domains with their customers, by name.\n", options};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 0)
		return ctl_wrong(&usage, "no operand is wanted");
	if (db_open(&request.db, ctl, false)) {
		char *where = request.customer != NULL
				  ? db_format(&request.db, "where customer = %s ", request.customer)
				  : mem_string("");
		char *sql = mem_format("select name, customer, include_subdomains, suspended "
				       "from mxhold.domain %sorder by name",
		    where);
		if (request.db.code == CTL_OK)
			(void)!db_each(&request.db, sql, print_listed, &request);
		free(where);
		free(sql);
	}
	db_close(&request.db);
	return request.db.code;
}

#define SHOW_SQL                                                                                   \
	"select s.domain, s.customer, s.state, s.reason, to_json(s.regions) as regions, "          \
	"to_json(s.confirmed) as confirmed, to_json(s.waiting) as waiting, "                       \
	"to_json(s.mx_records) as mx_records, d.next_hops, d.include_subdomains, d.suspended, "    \
	"d.tls_required, coalesce(d.size_limit, c.size_limit) as size_limit, "                     \
	"coalesce(d.oversize, c.oversize) as oversize, "                                           \
	"coalesce(d.when_primary_up, c.when_primary_up) as when_primary_up, "                      \
	"coalesce(d.retention, c.retention) as retention, "                                        \
	"coalesce(d.quota_messages, c.quota_messages) as quota_messages, "                         \
	"coalesce(d.quota_bytes, c.quota_bytes) as quota_bytes, "                                  \
	"coalesce(d.mx_check, c.mx_check) as mx_check, coalesce(d.refused, c.refused) as "         \
	"refused, "                                                                                \
	"d.hold_until, d.hold_reason, d.pin_certificate, d.pin_banner, d.note, d.created_at, "     \
	"d.created_by, d.updated_at, d.updated_by "                                                \
	"from mxhold.domain_status s join mxhold.domain d on d.name = s.domain "                   \
	"join mxhold.customer c on c.name = s.customer where s.domain = %s"

static int
show_row(struct request *request)
{
	char *sql = db_format(&request->db, SHOW_SQL, request->name);
	PGresult *result = db_run(&request->db, sql);
	int code = request->db.code;

	free(sql);
	if (result == NULL)
		return code;
	if (PQntuples(result) == 0) {
		ctl_say("%s: there is no such domain", request->name);
		code = CTL_DATA;
	} else {
		db_print_row(result, 0, request->ctl->json);
	}
	PQclear(result);
	return code;
}

static int
domain_show(struct ctl *ctl, int argc, char **argv)
{
	struct request request = {.ctl = ctl};
	const struct ctl_usage usage = {"domain show NAME",
	    "Shows a domain's row, whether it is backed up, and the MX records for the customer.\n",
	    NULL};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0 || !take_name(&request, &usage, operands, count, &code))
		return code;
	code = db_open(&request.db, ctl, false) ? show_row(&request) : request.db.code;
	db_close(&request.db);
	return code;
}

/* --- the verb
 * --------------------------------------------------------------------------------------- */

int
ctl_verb_domain(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"add", "authorise a domain", domain_add},
	    {"set", "change limits, next hops, a maintenance, pins of one", domain_set},
	    {"remove", "end it: new mail is deferred, held mail is delivered", domain_remove},
	    {"suspend", "defer its mail for a time", domain_suspend},
	    {"resume", "end that", domain_resume},
	    {"list", "all domains, or a customer's", domain_list},
	    {"show", "one domain: its row, and whether it is backed up", domain_show},
	    {"check", "what this relay would answer, and by which rule", domain_check},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "domain", verbs, argc, argv);
}
