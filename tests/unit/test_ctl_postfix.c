/*
 * Tests of the pure parts of `mxholdctl postfix`: the parser that keeps every byte, the overlay,
 * and plans made from facts without a Postfix.
 */
#include "ctl/postfix_actions.h"
#include "ctl/postfix_entries.h"
#include "ctl/postfix_live.h"
#include "ctl/postfix_plan.h"
#include "ctl/postfix_queue.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the parser ------------------------------------------------------------------- */

static char *
values_of(const char *text)
{
	struct text out = {0};
	struct pf_file file = pf_file_parse(text, strlen(text), PF_MAIN);
	for (size_t i = 0; i < file.count; i++) {
		char *value = pf_file_value(&file, &file.lines[i]);
		text_format(&out, "%s=%s;", file.lines[i].name, value);
		free(value);
	}
	pf_file_free(&file);
	return text_take(&out);
}

static const struct {
	const char *text, *values;
} files[] = {
    {"", ""},
    {"a = b\n", "a=b;"},
    {"a=b", "a=b;"},
    {"a =\n", "a=;"},
    {"a = b\n\tc\n", "a=b c;"},
    {"a =\n b\n# no\n\n  # nor this\n c\nd = e\n", "a=b c;d=e;"},
    {"# x = y\n  # z = y\na = #b\n", "a=#b;"},
    {"  stray\na = b\n", "a=b;"},
    {"no equals\na = b\n", "a=b;"},
    {"a = b\r\nc = d\r\n", "a=b;c=d;"},
    {"a = { b,\n# in between\n  c }\n", "a={ b, c };"},
    {"a = b=c\n", "a=b=c;"},
};

START_TEST(file_logical_lines)
{
	char *values = values_of(files[_i].text);
	ck_assert_str_eq(values, files[_i].values);
	free(values);
}
END_TEST

static const struct {
	const char *value, *tokens;
} lists[] = {
    {"", ""},
    {" , ,\t", ""},
    {"a, b c", "a|b|c|"},
    {"a,,b", "a|b|"},
    {"x { y,  z } w", "x|{ y, z }|w|"},
    {"check { a, { b = c d } }, e", "check|{ a, { b = c d } }|e|"},
    {"regexp:{{/^5(.*)/ 4$1}},q", "regexp:{{/^5(.*)/ 4$1}}|q|"},
    {"a } b", "a|}|b|"},
    {"{ a b", "{ a b|"},
};

START_TEST(list_tokens)
{
	struct text out = {0};
	struct pf_tokens tokens =
	    pf_tokens_split(lists[_i].value, 0, strlen(lists[_i].value), PF_LIST);
	for (size_t i = 0; i < tokens.count; i++)
		text_format(&out, "%s|", tokens.items[i].text);
	char *joined = text_take(&out);
	ck_assert_str_eq(joined, lists[_i].tokens);
	free(joined);
	pf_tokens_free(&tokens);
}
END_TEST

START_TEST(service_options)
{
	const char text[] = "smtp inet n - y - - smtpd\n  -o a=b\n# -o no=no\n  -oc=d\n"
			    "  -o { e = f, g } -o a=z -v\nshort unix -\n";
	struct pf_file file = pf_file_parse(text, sizeof(text) - 1, PF_MASTER);
	struct pf_service service;
	ck_assert(pf_service_parse(&file, pf_file_service(&file, "smtp", "inet"), &service));
	ck_assert_uint_eq(service.option_count, 4);
	ck_assert_str_eq(pf_service_option(&service, "a")->value, "z");
	ck_assert_str_eq(pf_service_option(&service, "c")->value, "d");
	ck_assert_str_eq(pf_service_option(&service, "e")->value, "f, g");
	ck_assert_ptr_null(pf_service_option(&service, "no"));
	ck_assert_str_eq(pf_service_field(&service, 7), "smtpd");
	pf_service_free(&service);
	ck_assert_ptr_null(pf_file_service(&file, "short", "unix"));
	ck_assert_ptr_null(pf_file_service(&file, "smtp", "unix"));
	pf_file_free(&file);
}
END_TEST

START_TEST(edits_keep_order)
{
	struct pf_edits edits = {0};
	size_t length;
	pf_edits_add(&edits, 4, 2, "E");
	pf_edits_add(&edits, 0, 0, "x");
	pf_edits_add(&edits, 0, 1, "y");
	pf_edits_add(&edits, 6, 0, "!");
	char *out = pf_edits_apply(&edits, "abcdef", 6, &length);
	ck_assert_str_eq(out, "xybcdE!");
	ck_assert_uint_eq(length, 7);
	free(out);
	pf_edits_free(&edits);
}
END_TEST

/* --- the overlay -------------------------------------------------------------------- */

static const char *const bad_overlays[] = {
    "",
    "[overlay]\nversion = 1\n",
    "[main both a]\nkind = set\nvalue = b\nwhy = c\n",    /* no version */
    "[overlay]\nversion = 1\n[main both a]\nvalue = b\n", /* no reason */
    "[overlay]\nversion = 1\n[main all a]\nwhy = c\n",
    "[overlay]\nversion = 1\n[main both a b]\nwhy = c\n",
    "[overlay]\nversion = 1\n[option both a]\nwhy = c\n",
    "[overlay]\nversion = 1\n[main both a]\nwhy = c\nkind = often\n",
    "[overlay]\nversion = 1\n[main both a]\nwhy = c\nwhen = never\n",
    "[overlay]\nversion = 1\n[main both a]\nwhy = c\nhow = so\n",
    "[overlay]\nversion = 1\n[main both a]\nwhy = c\n[main both a]\nwhy = d\n",
    "version = 1\n[main both a]\nwhy = c\n",
    "[overlay]\nversion = 1\n[main both a]\nwhy = c\nnonsense\n",
};

START_TEST(overlay_refused)
{
	char *said = NULL;
	size_t length = 0;
	FILE *errors = open_memstream(&said, &length);
	ck_assert_ptr_null(overlay_parse(bad_overlays[_i], "o", errors));
	fclose(errors);
	ck_assert_uint_gt(length, 0);
	free(said);
}
END_TEST

START_TEST(overlay_variables)
{
	const char text[] =
	    "[overlay]\nversion = 1\n[main both a]\nvalue = x${b}y\n  ${b} $$1\nwhy = c\n";
	const struct overlay_variable known[] = {{"b", "B"}, {NULL, NULL}};
	const struct overlay_variable none[] = {{NULL, NULL}};
	struct overlay *overlay = overlay_parse(text, "o", stderr);
	ck_assert_ptr_nonnull(overlay);
	ck_assert(overlay_expand(overlay, known, stderr));
	ck_assert_str_eq(overlay->items[0].value, "xBy B $$1");
	overlay_free(overlay);
	char *said = NULL;
	size_t length = 0;
	FILE *errors = open_memstream(&said, &length);
	overlay = overlay_parse(text, "o", errors);
	ck_assert(!overlay_expand(overlay, none, errors));
	fclose(errors);
	ck_assert_ptr_nonnull(strstr(said, "no variable b"));
	free(said);
	overlay_free(overlay);
}
END_TEST

/* --- plans without a Postfix ----------------------------------------------------------- */

struct plan_case {
	const char *kind;   /* of the setting `list`; its value is "OURS x" */
	const char *main;   /* main.cf, which is all that is effective */
	const char *wanted; /* main.cf after it, without our comments */
};

static const struct plan_case plan_cases[] = {
    {"first", "", "list = OURS x\n"},
    {"first", "list =\n", "list = OURS x\n"},
    {"first", "list = a, b\n", "list = OURS x, a, b\n"},
    {"first", "list =\n  a,\n# c\n  b\n", "list =\n  OURS x, a,\n# c\n  b\n"},
    {"first", "list = OURS x, a\n", "list = OURS x, a\n"},
    {"first", "list = a, OURS, x, b\n", "list = OURS x, a, b\n"},
    {"first", "list = a, OURS x", "list = OURS x, a, "},
    {"insert", "list = a, OURS x", "list = a, OURS x"},
    {"insert", "list = a", "list = OURS x, a"},
    {"last", "list = a,\n  b\n\n# end\n", "list = a,\n  b, OURS x\n\n# end\n"},
    {"last", "list = a", "list = a, OURS x"},
    {"last", "list = OURS x, a", "list = OURS x, a"},
    {"set", "list = a\nz = y\n", "# mxhold: was: list = a\nlist = OURS x\nz = y\n"},
    {"set", "list = a,\n  b\n#c\n  d\n",
	"# mxhold: was: list = a,\n# mxhold: was:   b\n#c\n# mxhold: was:   d\nlist = OURS x\n"},
    {"set", "# mxhold: w\nlist = old\nz = y", "# mxhold: w\nlist = OURS x\nz = y"},
    {"set", "list = OURS,  x\n", "list = OURS,  x\n"},
    {"set", "z = y", "z = y\nlist = OURS x\n"},
    {"without", "list = a, x\n", "# mxhold: was: list = a, x\nlist = a\n"},
    {"without", "list = a\n", "list = a\n"},
};

static void
add_setting(struct pf_facts *facts, const char *name, const char *value)
{
	facts->settings =
	    mem_resize(facts->settings, facts->setting_count + 1, sizeof(*facts->settings));
	facts->settings[facts->setting_count++] =
	    (struct facts_setting){mem_string(name), mem_string(value), mem_string(value)};
}

/* Facts of an instance whose only settings are those in main.cf. */
static struct pf_facts
facts_of(const char *main)
{
	struct pf_facts facts = {
	    .config_dir = mem_string("/etc/postfix"),
	    .main = mem_string(main),
	    .main_length = strlen(main),
	    .master = mem_string(""),
	    .dedicated = true,
	    .postmaster = "soc@backup.example",
	    .socket_dir = "/var/spool/postfix/mxhold",
	    .queue_lifetime = 432000,
	    .snapshot_used = true,
	};
	struct pf_file file = pf_file_parse(main, strlen(main), PF_MAIN);
	for (size_t i = 0; i < file.count; i++) {
		char *value = pf_file_value(&file, &file.lines[i]);
		add_setting(&facts, file.lines[i].name, value);
		free(value);
	}
	pf_file_free(&file);
	return facts;
}

/* Without the comment lines that give the reason ("# mxhold: w", as the overlay below has it). */
static char *
without_reason(const char *text, const char *original)
{
	struct text out = {0};
	bool keep = strstr(original, "# mxhold: w\n") != NULL;
	for (const char *at = text; *at != '\0';) {
		size_t length = strcspn(at, "\n");
		length += at[length] == '\n';
		if (keep || strncmp(at, "# mxhold: w\n", 12) != 0)
			text_add(&out, at, length);
		at += length;
	}
	return text_take(&out);
}

static struct plan *
plan_of(const struct pf_facts *facts, const char *kind)
{
	char *text = mem_format("[overlay]\nversion = 1\n[main both list]\nkind = %s\n"
				"value = OURS x\nwhy = w\n",
	    kind);
	struct overlay *overlay = overlay_parse(text, "o", stderr);
	ck_assert_ptr_nonnull(overlay);
	struct plan *plan = plan_new(facts, overlay);
	for (size_t i = 0; i < plan->change_count; i++) /* the overlay goes */
		plan->changes[i].why = plan->changes[i].others = "";
	overlay_free(overlay);
	free(text);
	return plan;
}

START_TEST(plan_edits)
{
	const struct plan_case *c = &plan_cases[_i];
	struct pf_facts facts = facts_of(c->main);
	struct plan *plan = plan_of(&facts, c->kind);
	char *main = without_reason(plan->main, c->main);
	ck_assert_str_eq(main, c->wanted);
	ck_assert_uint_eq(plan->main_length, strlen(plan->main));
	/* Done twice, it changes nothing. */
	struct pf_facts again = facts_of(plan->main);
	struct plan *second = plan_of(&again, c->kind);
	ck_assert_str_eq(second->main, plan->main);
	ck_assert_uint_eq(second->change_count, 0);
	free(main);
	plan_free(plan);
	plan_free(second);
	pf_facts_free(&facts);
	pf_facts_free(&again);
}
END_TEST

/* A service that is like another has its options, but for those that it has itself. */
START_TEST(service_like)
{
	static const char text[] =
	    "[overlay]\nversion = 1\n"
	    "[service both a]\nvalue = unix - - y - - smtp\nwhy = w\n"
	    "[option both a one]\nvalue = 1\nwhy = w\n"
	    "[option both a two]\nvalue = 2\nwhy = w\n"
	    "[option both a three]\nvalue =\nwhy = w\n"
	    "[service both b]\nvalue = unix - - y - 9 smtp\nlike = a\nwhy = w\n"
	    "[option both b two]\nvalue = x\nwhy = w\n"
	    "[option both b three]\nvalue = y\nwhy = w\n";
	struct overlay *overlay = overlay_parse(text, "o", stderr);
	ck_assert_ptr_nonnull(overlay);
	struct pf_facts facts = facts_of("");
	struct plan *plan = plan_new(&facts, overlay);
	char *master = mem_string("");
	struct pf_tokens words = pf_tokens_split(plan->master, 0, plan->master_length, PF_WORDS);
	for (size_t i = 0; i < words.count; i++) {
		const char *word = words.items[i].text;
		if (strcmp(word, "#") == 0 || strcmp(word, "mxhold:") == 0 ||
		    strcmp(word, "w") == 0)
			continue;
		char *longer = mem_format("%s%s ", master, word);
		free(master);
		master = longer;
	}
	ck_assert_str_eq(master, "a unix - - y - - smtp -o one=1 -o two=2 -o three= "
				 "b unix - - y - 9 smtp -o one=1 -o two=x -o three=y ");
	free(master);
	pf_tokens_free(&words);
	plan_free(plan);
	pf_facts_free(&facts);
	overlay_free(overlay);
}
END_TEST

static const struct {
	const char *have, *want;
	bool good;
} floors[] = {
    {"10240000", "157286400", false},
    {"157286400", "157286400", true},
    {"200000000", "157286400", true},
    {"0", "157286400", true},
    {"51200000", "0", false},
    {"0", "0", true},
};

START_TEST(floor_values)
{
	const struct overlay_item item = {.kind = OVERLAY_FLOOR, .value = (char *)floors[_i].want};
	ck_assert_int_eq(plan_item_satisfied(&item, floors[_i].have), floors[_i].good);
}
END_TEST

/* --- tables and replies -------------------------------------------------------------------- */

static const struct {
	const char *line;
	bool is_pattern;
	const char *word;
} actions[] = {
    {"/^X:/ FILTER smtp:[x]", true, "FILTER"},
    {"!/^X:/i redirect a@b", true, "REDIRECT"},
    {"/a\\/b FILTER/ OK", true, ""},
    {"# /x/ FILTER y", true, ""},
    {"if /x/", true, ""},
    {"", true, ""},
    {"/unclosed", true, ""},
    {"example.com REJECT no FILTER", false, ""},
    {"example.com 550 5.7.1 FILTER", false, ""},
    {"10.0.0.0/8\tHOLD", false, "HOLD"},
    {"key", false, ""},
    {"key permit_mx_backup", false, "permit_mx_backup"},
    {"key reject_unknown_client_hostname, Permit_MX_Backup", false, "permit_mx_backup"},
    {"key permit_mx_backup_networks", false, ""},
    {"key REJECT permit_mx_backup is not for you", false, ""},
    {"key reject_unverified_recipient permit", false, "reject_unverified_recipient"},
};

START_TEST(table_actions)
{
	const char *result = entries_result(actions[_i].line, actions[_i].is_pattern);
	ck_assert_str_eq(actions_word(result), actions[_i].word);
}
END_TEST

static const struct {
	const char *value; /* of master_service_disable */
	bool disabled;     /* smtp/inet */
} disables[] = {
    {"", false},
    {"inet", true},
    {"unix, fifo", false},
    {"smtp/inet", true},
    {"submission/inet", false},
    {"!smtp/inet, inet", false},
    {"inet, !smtp/inet", true},
    {"!unix inet", true},
    {"!!inet", true},
    {"smtp.inet", true},
    {"!smtp.inet, inet", false},
    {"127.0.0.1:smtp.inet", false},
    {"127.0.0.1:smtp", false},
};

START_TEST(services_disabled)
{
	char *main = mem_format("master_service_disable = %s\n", disables[_i].value);
	struct pf_facts facts = facts_of(main);
	ck_assert(facts_service_disabled(&facts, "smtp", "inet") == disables[_i].disabled);
	pf_facts_free(&facts);
	free(main);
}
END_TEST

static const struct {
	const char *reply;
	bool has_snapshot, broken;
} replies[] = {
    {"220 ready", true, false},
    {"554 5.7.1 no", true, false},
    {"451 4.3.5 Server configuration error", true, true},
    {"451 4.3.5 Server configuration error", false, true},
    {"451 4.3.0 Temporary lookup failure", true, true},
    {"451 4.3.0 Temporary lookup failure", false, false},
    {"421 4.3.2 All server ports are busy", true, true},
    {"450 4.7.1 later", true, false},
    {"451 4.7.1 Service unavailable - try again later", false, true},
};

static const struct {
	const char *line;
	bool counts;
} queue_lines[] = {
    {"{\"recipients\": [{\"address\": \"a@ours.example\"}]}", true},
    {"{\"recipients\": [{\"address\": \"a@b.example\"}]}", false},
    {"{\"recipients\": [{\"address\": \"a@b.example\"}, {\"address\": \"a@ours.example\"}]}", true},
    {"{\"recipients\": [{\"address\": \"\\\"x@b.example\\\"@ours.example\"}]}", true},
    {"{\"recipients\": [{\"address\": \"\\\"x@ours.example\\\"@b.example\"}]}", false},
    {"{\"recipients\": [{\"address\": \"root\"}]}", false},
    {"{\"recipients\": []}", false},
    /* what cannot be read counts */
    {"{\"recipients\": [{\"reason\": \"x\"}]}", true},
    {"{\"recipients\": 1}", true},
    {"{\"queue_id\": \"x\"}", true},
    {"{\"recipients\": [{\"addr", true},
    {"[]", true},
    {"", true},
};

static bool
is_ours(void *context, const char *domain)
{
	return strcmp(domain, context) == 0;
}

START_TEST(queue_lines_count)
{
	char ours[] = "ours.example";
	ck_assert(queue_line_counts(queue_lines[_i].line, is_ours, ours) == queue_lines[_i].counts);
}
END_TEST

START_TEST(smtp_replies)
{
	ck_assert_int_eq(
	    live_reply_is_broken(replies[_i].reply, replies[_i].has_snapshot), replies[_i].broken);
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

int
main(void)
{
	Suite *suite = suite_create("ctl_postfix");
	TCase *tests = tcase_create("all");
	tcase_add_loop_test(tests, file_logical_lines, 0, COUNT(files));
	tcase_add_loop_test(tests, list_tokens, 0, COUNT(lists));
	tcase_add_test(tests, service_options);
	tcase_add_test(tests, edits_keep_order);
	tcase_add_loop_test(tests, overlay_refused, 0, COUNT(bad_overlays));
	tcase_add_test(tests, overlay_variables);
	tcase_add_loop_test(tests, plan_edits, 0, COUNT(plan_cases));
	tcase_add_test(tests, service_like);
	tcase_add_loop_test(tests, floor_values, 0, COUNT(floors));
	tcase_add_loop_test(tests, table_actions, 0, COUNT(actions));
	tcase_add_loop_test(tests, services_disabled, 0, COUNT(disables));
	tcase_add_loop_test(tests, queue_lines_count, 0, COUNT(queue_lines));
	tcase_add_loop_test(tests, smtp_replies, 0, COUNT(replies));
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
