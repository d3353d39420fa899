/*
 * postfix_plan: from facts and overlay to new files (see postfix_plan.h). Pure.
 *
 * A setting that stands in main.cf is changed where it stands; a list gets our element and keeps
 * every other byte. A setting that does not stand there is added at the end, an implicit default
 * spelled out around our element. Each change has its reason above it, marked `# mxhold:`.
 */
#include "ctl/postfix_plan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define COMMENT_WIDTH 76
#define DEPTH_MAX 4 /* of $names within $names */

struct planner {
	const struct pf_facts *facts;
	const struct overlay *overlay;
	struct plan *plan;
	struct pf_file main, master;
	struct pf_edits main_edits, master_edits;
	struct text main_tail, master_tail; /* what is added behind everything else */
};

/* --- words ------------------------------------------------------------------------ */

void
plan_finding(
    struct plan *plan, enum finding_level level, const char *subject, char *cause, const char *cure)
{
	plan->findings =
	    mem_resize(plan->findings, plan->finding_count + 1, sizeof(*plan->findings));
	plan->findings[plan->finding_count++] =
	    (struct finding){level, mem_string(subject), cause, mem_string(cure)};
}

/* Takes the three strings. */
static void
add_change(
    struct plan *plan, char *subject, char *before, char *after, const struct overlay_item *item)
{
	plan->changes = mem_resize(plan->changes, plan->change_count + 1, sizeof(*plan->changes));
	plan->changes[plan->change_count++] = (struct change){
	    .subject = subject,
	    .before = before,
	    .after = after,
	    .why = item->why,
	    .others = item->others,
	};
}

/* The reason as comment lines, each with its newline. */
static void
write_comment(struct text *out, const char *indent, const char *why)
{
	size_t column = 0;
	while (*why != '\0') {
		size_t length = strcspn(why, " ");
		if (column > 0 && column + 1 + length > COMMENT_WIDTH) {
			text_puts(out, "\n");
			column = 0;
		}
		text_format(out, column == 0 ? "%s# mxhold: " : "%s ", column == 0 ? indent : "");
		text_add(out, why, length);
		column += length + (column == 0 ? 10 : 1);
		why += length + strspn(why + length, " ");
	}
	text_puts(out, "\n");
}

static void
write_option(struct text *out, const char *name, const char *value)
{
	if (strpbrk(value, " \t{}") != NULL)
		text_format(out, "-o { %s = %s }", name, value);
	else
		text_format(out, "-o %s=%s", name, value);
}

/* --- values ------------------------------------------------------------------------ */

static struct pf_tokens
split(const char *value)
{
	return pf_tokens_split(value, 0, strlen(value), PF_LIST);
}

bool
plan_item_active(const struct overlay_item *item, const struct pf_facts *facts)
{
	if ((item->scope & (facts->dedicated ? OVERLAY_DEDICATED : OVERLAY_SHARED)) == 0)
		return false;
	switch (item->when) {
	case OVERLAY_CERTIFICATE:
		return facts_has_certificate(facts) &&
		       *facts_value(facts, "smtpd_tls_security_level") == '\0';
	case OVERLAY_RECIPIENT_MAPS: return *facts_value(facts, "relay_recipient_maps") != '\0';
	case OVERLAY_ALWAYS: break;
	}
	return true;
}

static bool
same_tokens(const char *a, const char *b)
{
	struct pf_tokens left = split(a), right = split(b);
	bool same =
	    left.count == right.count && (left.count == 0 || pf_tokens_find(&left, &right) == 0);
	pf_tokens_free(&left);
	pf_tokens_free(&right);
	return same;
}

/* Is `have` at least `want`, where 0 means without limit? */
static bool
reaches_floor(const char *have, const char *want)
{
	long long has = strtoll(have, NULL, 10), wants = strtoll(want, NULL, 10);
	return has == 0 || (wants != 0 && has >= wants);
}

static bool
lacks_all(const struct pf_tokens *tokens, const struct pf_tokens *unwanted)
{
	for (size_t i = 0; i < unwanted->count; i++)
		if (pf_tokens_word(tokens, unwanted->items[i].text) < tokens->count)
			return false;
	return true;
}

/* Does `value` name the parameter: $name, ${name}, $(name), ${name?...}? */
static bool
names_parameter(const char *value, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = value; (at = strchr(at, '$')) != NULL;) {
		at++;
		at += *at == '{' || *at == '(';
		if (strncmp(at, name, length) == 0 && !isalnum((unsigned char)at[length]) &&
		    at[length] != '_')
			return true;
	}
	return false;
}

bool
plan_item_satisfied(const struct overlay_item *item, const char *value)
{
	if (item->kind == OVERLAY_APART)
		return strstr(value, item->mark) == NULL && !names_parameter(value, item->value);
	if (item->kind == OVERLAY_SET)
		return same_tokens(item->value, value);
	if (item->kind == OVERLAY_FLOOR)
		return reaches_floor(value, item->value);
	struct pf_tokens tokens = split(value), want = split(item->value);
	size_t at = pf_tokens_find(&tokens, &want);
	bool satisfied = at < tokens.count;
	if (item->kind == OVERLAY_FIRST || item->kind == OVERLAY_GATE)
		satisfied = at == 0 && tokens.count > 0;
	else if (item->kind == OVERLAY_WITHOUT)
		satisfied = lacks_all(&tokens, &want);
	pf_tokens_free(&tokens);
	pf_tokens_free(&want);
	return satisfied;
}

/* --- lists ---------------------------------------------------------------------------- */

struct region { /* a value within bytes */
	const char *bytes;
	size_t start, end;
};

/* Is the token at `i` the last word of an element of ours, of this overlay or an older one? */
static bool
is_our_element(
    const struct overlay_item *item, const struct pf_tokens *tokens, size_t i, const char *last)
{
	const char *text = tokens->items[i].text;
	return strcmp(text, last) == 0 || (*item->mark != '\0' && strstr(text, item->mark) != NULL);
}

static void
remove_elements(struct pf_edits *edits, const struct overlay_item *item,
    const struct pf_tokens *tokens, const struct pf_tokens *want)
{
	const char *last = want->items[want->count - 1].text;
	for (size_t i = want->count - 1; i < tokens->count; i++) {
		if (!is_our_element(item, tokens, i, last))
			continue;
		size_t from = tokens->items[i - (want->count - 1)].start;
		size_t to =
		    i + 1 < tokens->count ? tokens->items[i + 1].start : tokens->items[i].end;
		pf_edits_add(edits, from, to - from, "");
	}
}

/* Edits that put `element` into the list; `in_front` of all others or behind them. */
static void
insert_element(struct pf_edits *edits, const struct region *region, const struct pf_tokens *tokens,
    const char *element, bool in_front)
{
	char *words;
	size_t at = region->start;
	if (tokens->count == 0) {
		words = mem_format("%s%s", region->start > 0 ? " " : "", element);
	} else if (in_front) {
		at = tokens->items[0].start;
		words = mem_format("%s, ", element);
	} else {
		at = tokens->items[tokens->count - 1].end;
		words = mem_format(", %s", element);
	}
	pf_edits_add(edits, at, 0, words);
	free(words);
}

/* What the list needs for `item`; nothing when it is satisfied. */
static void
edit_list(struct pf_edits *edits, const struct overlay_item *item, const struct region *region,
    const char *element)
{
	struct pf_tokens tokens =
	    pf_tokens_split(region->bytes, region->start, region->end, PF_LIST);
	struct pf_tokens want = split(item->value);
	size_t at = pf_tokens_find(&tokens, &want);
	bool first = item->kind == OVERLAY_FIRST || item->kind == OVERLAY_GATE;
	if (tokens.count == 0 || (first ? at != 0 : at == tokens.count)) {
		insert_element(edits, region, &tokens, element, item->kind != OVERLAY_LAST);
		remove_elements(edits, item, &tokens, &want);
	}
	pf_tokens_free(&tokens);
	pf_tokens_free(&want);
}

/* The same for a value that stands in no file: returns the new one. */
static char *
edit_value(const struct overlay_item *item, const char *value, const char *element)
{
	struct pf_edits edits = {0};
	struct region region = {value, 0, strlen(value)};
	size_t length;
	edit_list(&edits, item, &region, element);
	char *result = pf_edits_apply(&edits, value, region.end, &length);
	pf_edits_free(&edits);
	return result;
}

/* The gate's other half: somebody must refuse what nobody permitted. */
static void
edit_gate(struct pf_edits *edits, const struct pf_facts *facts, const struct region *region)
{
	struct pf_tokens tokens =
	    pf_tokens_split(region->bytes, region->start, region->end, PF_LIST);
	size_t later = pf_tokens_word(&tokens, "defer_unauth_destination");
	if (pf_tokens_word(&tokens, "reject_unauth_destination") < tokens.count ||
	    pf_tokens_word(&tokens, "reject") < tokens.count) {
		/* it is there */
	} else if (later < tokens.count) {
		pf_edits_add(edits, tokens.items[later].start, 0, "reject_unauth_destination, ");
	} else if (!facts_have_word(
		       facts, "smtpd_recipient_restrictions", "reject_unauth_destination")) {
		bool empty = tokens.count == 0;
		pf_edits_add(edits, empty ? region->start : tokens.items[tokens.count - 1].end, 0,
		    ", reject_unauth_destination");
	}
	pf_tokens_free(&tokens);
}

/* --- main.cf ---------------------------------------------------------------------------- */

/* ".example.org" for each literal relay domain whose subdomains the parent match let in so far. */
static char *
subdomain_entries(const struct pf_facts *facts)
{
	struct text out = {0};
	struct pf_tokens tokens = facts_tokens(facts, "relay_domains");
	bool matched = facts_have_word(facts, "parent_domain_matches_subdomains", "relay_domains");
	for (size_t i = 0; matched && !facts->dedicated && i < tokens.count; i++) {
		const char *name = tokens.items[i].text;
		if (strpbrk(name, ":/!{") != NULL || name[0] == '.' || strchr(name, '.') == NULL)
			continue;
		char *entry = mem_format(".%s", name);
		if (pf_tokens_word(&tokens, entry) == tokens.count)
			text_format(&out, "%s, ", entry);
		free(entry);
	}
	pf_tokens_free(&tokens);
	return text_take(&out);
}

/* What is inserted: the item's value, with what else must come along. */
static char *
element_of(const struct pf_facts *facts, const struct overlay_item *item)
{
	char *along =
	    strcmp(item->name, "relay_domains") == 0 ? subdomain_entries(facts) : mem_string("");
	char *element = mem_format("%s%s", along, item->value);
	free(along);
	return element;
}

/* A list's implicit default, spelled out: with its $names where that is possible. */
static const char *
implicit_value(const struct pf_facts *facts, const char *name)
{
	const char *raw = facts_raw(facts, name), *expanded = facts_value(facts, name);
	return *expanded == '\0' || strstr(raw, "${") != NULL ? expanded : raw;
}

static char *
without_elements(const struct overlay_item *item, const char *value)
{
	struct text out = {0};
	struct pf_tokens tokens = split(value), unwanted = split(item->value);
	for (size_t i = 0; i < tokens.count; i++) {
		const char *word = tokens.items[i].text;
		bool marked = *item->mark != '\0' && strstr(word, item->mark) != NULL;
		if (!marked && pf_tokens_word(&unwanted, word) == unwanted.count)
			text_format(&out, "%s%s", out.length > 0 ? ", " : "", word);
	}
	pf_tokens_free(&tokens);
	pf_tokens_free(&unwanted);
	return text_take(&out);
}

static bool
is_list(const struct overlay_item *item)
{
	return item->kind == OVERLAY_FIRST || item->kind == OVERLAY_INSERT ||
	       item->kind == OVERLAY_LAST || item->kind == OVERLAY_GATE;
}

/* The value that the setting gets where it does not stand in main.cf, or is replaced. */
static char *
new_value(const struct pf_facts *facts, const struct overlay_item *item)
{
	const char *old = implicit_value(facts, item->name);
	if (item->kind == OVERLAY_WITHOUT || item->kind == OVERLAY_APART)
		return without_elements(item, facts_value(facts, item->name));
	if (!is_list(item))
		return mem_string(item->value);
	char *element = element_of(facts, item);
	char *value = edit_value(item, old, element);
	free(element);
	if (item->kind == OVERLAY_GATE) {
		struct pf_edits edits = {0};
		struct region region = {value, 0, strlen(value)};
		size_t length;
		edit_gate(&edits, facts, &region);
		char *whole = pf_edits_apply(&edits, value, region.end, &length);
		pf_edits_free(&edits);
		free(value);
		value = whole;
	}
	return value;
}

static void
append_setting(struct planner *p, const struct overlay_item *item, const char *value)
{
	write_comment(&p->main_tail, "", item->why);
	text_format(&p->main_tail, "%s =%s%s\n", item->name, *value != '\0' ? " " : "", value);
}

/* The old lines become comments, the new one stands below them. */
static void
replace_setting(struct planner *p, const struct pf_line *line, const struct overlay_item *item,
    const char *value)
{
	const char *bytes = p->main.bytes;
	char *words = mem_format("%s%s", *value != '\0' ? " " : "", value);
	if (pf_file_is_ours(&p->main, line)) {
		pf_edits_add(
		    &p->main_edits, line->value_start, line->end - line->value_start, words);
		free(words);
		return;
	}
	struct text above = {0};
	write_comment(&above, "", item->why);
	text_puts(&above, "# mxhold: was: ");
	pf_edits_add(&p->main_edits, line->start, 0, above.bytes);
	text_free(&above);
	for (size_t i = line->start; i < line->end; i++) {
		if (bytes[i] != '\n')
			continue;
		size_t next = i + 1 + strspn(bytes + i + 1, " \t");
		if (bytes[next] != '#' && bytes[next] != '\n')
			pf_edits_add(&p->main_edits, i + 1, 0, "# mxhold: was: ");
	}
	char *below = mem_format("\n%s =%s", item->name, words);
	pf_edits_add(&p->main_edits, line->end, 0, below);
	free(below);
	free(words);
}

/* Our element goes into the list where it stands; every other byte stays. */
static void
edit_setting(struct planner *p, const struct pf_line *line, const struct overlay_item *item)
{
	struct region region = {p->main.bytes, line->value_start, line->end};
	struct pf_edits edits = {0};
	char *element = element_of(p->facts, item);
	edit_list(&edits, item, &region, element);
	free(element);
	if (item->kind == OVERLAY_GATE)
		edit_gate(&edits, p->facts, &region);
	if (edits.count > 0 && !pf_file_is_ours(&p->main, line)) {
		struct text above = {0};
		write_comment(&above, "", item->why);
		pf_edits_add(&p->main_edits, line->start, 0, above.bytes);
		text_free(&above);
	}
	pf_edits_move(&p->main_edits, &edits);
}

/* Does the value follow the parameter, also through other settings of main.cf? */
static bool
follows(const struct pf_file *main, const char *value, const char *name, int depth)
{
	if (names_parameter(value, name))
		return true;
	bool found = false;
	for (size_t i = 0; depth > 0 && !found && strchr(value, '$') != NULL && i < main->count;
	     i++) {
		if (!names_parameter(value, main->lines[i].name))
			continue;
		char *inner = pf_file_value(main, &main->lines[i]);
		found = follows(main, inner, name, depth - 1);
		free(inner);
	}
	return found;
}

/*
 * Is it so already? What only follows from an implicit default with $names in it may change with
 * them, also by what we do ourselves: it must stand there.
 */
static bool
is_settled(const struct planner *p, const struct overlay_item *item)
{
	bool stands = pf_file_parameter(&p->main, item->name) != NULL;
	if (item->kind == OVERLAY_APART)
		return !follows(
			   &p->main, facts_raw(p->facts, item->name), item->value, DEPTH_MAX) &&
		       plan_item_satisfied(item, facts_value(p->facts, item->name));
	if (!plan_item_satisfied(item, facts_raw(p->facts, item->name)) &&
	    !((stands || item->kind != OVERLAY_SET) &&
		plan_item_satisfied(item, facts_value(p->facts, item->name))))
		return false;
	if (item->kind != OVERLAY_GATE)
		return true;
	struct pf_edits edits = {0};
	const char *value = facts_value(p->facts, item->name);
	struct region region = {value, 0, strlen(value)};
	edit_gate(&edits, p->facts, &region);
	bool settled = edits.count == 0;
	pf_edits_free(&edits);
	return settled;
}

static void
plan_main(struct planner *p, const struct overlay_item *item)
{
	if (is_settled(p, item))
		return;
	const struct pf_line *line = pf_file_parameter(&p->main, item->name);
	char *value = new_value(p->facts, item);
	char *before = line != NULL ? pf_file_value(&p->main, line)
				    : mem_string(facts_raw(p->facts, item->name));
	if (line == NULL)
		append_setting(p, item, value);
	else if (is_list(item))
		edit_setting(p, line, item);
	else
		replace_setting(p, line, item, value);
	add_change(p->plan, mem_format("main.cf: %s", item->name), before, value, item);
}

/* --- master.cf: services of our own ---------------------------------------------------------- */

/* The options of a service, those of `like` first, each once: the service's own wins. */
static void
write_options(
    struct text *out, const struct planner *p, const char *service, const struct overlay_item *of)
{
	for (size_t i = 0; i < p->overlay->count; i++) {
		const struct overlay_item *item = &p->overlay->items[i];
		bool own = false;
		if (item->target != OVERLAY_OPTION || strcmp(item->service, service) != 0)
			continue;
		for (size_t j = 0; of != NULL && j < p->overlay->count; j++) {
			const struct overlay_item *other = &p->overlay->items[j];
			own = own || (other->target == OVERLAY_OPTION &&
					 strcmp(other->service, of->service) == 0 &&
					 strcmp(other->name, item->name) == 0);
		}
		if (own)
			continue;
		write_comment(out, "  ", item->why);
		text_puts(out, "  ");
		write_option(out, item->name, item->value);
		text_puts(out, "\n");
	}
}

static char *
service_text(const struct planner *p, const struct overlay_item *item)
{
	struct text out = {0};
	write_comment(&out, "", item->why);
	text_format(&out, "%s %s\n", item->service, item->value);
	if (*item->like != '\0')
		write_options(&out, p, item->like, item);
	write_options(&out, p, item->service, NULL);
	return text_take(&out);
}

/* Are the words of the line those of `wanted`? */
static bool
same_service(const struct planner *p, const struct pf_line *line, const char *wanted)
{
	struct pf_file file = pf_file_parse(wanted, strlen(wanted), PF_MASTER);
	struct pf_tokens want =
	    pf_tokens_split(wanted, file.lines[0].start, file.lines[0].end, PF_WORDS);
	struct pf_tokens have = pf_tokens_split(p->master.bytes, line->start, line->end, PF_WORDS);
	bool same = want.count == have.count && pf_tokens_find(&have, &want) == 0;
	pf_tokens_free(&want);
	pf_tokens_free(&have);
	pf_file_free(&file);
	return same;
}

static void
plan_service(struct planner *p, const struct overlay_item *item)
{
	const struct pf_line *line = pf_file_service(&p->master, item->service, "unix");
	char *wanted = service_text(p, item);
	if (line == NULL) {
		text_puts(&p->master_tail, wanted);
	} else if (same_service(p, line, wanted)) {
		free(wanted);
		return;
	} else if (!pf_file_is_ours(&p->master, line)) {
		plan_finding(p->plan, FINDING_REFUSAL, item->service,
		    mem_format(
			"master.cf has a service %s that mxhold did not write", item->service),
		    "rename it, or remove it");
		free(wanted);
		return;
	} else {
		size_t start = pf_file_comment_start(&p->master, line);
		char *bare = mem_copy(wanted, strlen(wanted) - 1); /* the newline stays */
		pf_edits_add(&p->master_edits, start, line->end - start, bare);
		free(bare);
	}
	add_change(p->plan, mem_format("master.cf: %s", item->service),
	    mem_string(line != NULL ? "another version of it" : "not there"), wanted, item);
}

/* --- master.cf: options of Postfix's services ---------------------------------------------------
 */

static bool
is_own_service(const struct overlay *overlay, const char *name)
{
	for (size_t i = 0; i < overlay->count; i++)
		if (overlay->items[i].target == OVERLAY_SERVICE &&
		    strcmp(overlay->items[i].service, name) == 0)
			return true;
	return false;
}

static void
add_option(struct planner *p, const struct pf_line *line, const struct overlay_item *item)
{
	struct text out = {0};
	text_puts(&out, "\n");
	write_comment(&out, "  ", item->why);
	text_puts(&out, "  ");
	write_option(&out, item->name, item->value);
	pf_edits_add(&p->master_edits, line->end, 0, out.bytes);
	text_free(&out);
	add_change(p->plan, mem_format("master.cf: %s -o %s", item->service, item->name),
	    mem_string("not there"), mem_string(item->value), item);
}

static void
plan_option(struct planner *p, const struct overlay_item *item)
{
	if (is_own_service(p->overlay, item->service))
		return;
	const struct pf_line *line = pf_file_service(&p->master, item->service, "unix");
	struct pf_service service;
	if (line == NULL || !pf_service_parse(&p->master, line, &service)) {
		plan_finding(p->plan, FINDING_REFUSAL, item->service,
		    mem_format("master.cf has no service %s", item->service),
		    "put it back as Postfix ships it");
		return;
	}
	const struct pf_option *option = pf_service_option(&service, item->name);
	if (option == NULL)
		add_option(p, line, item);
	else if (!same_tokens(option->value, item->value))
		plan_finding(p->plan, FINDING_REFUSAL, item->service,
		    mem_format("service %s in master.cf has -o %s=%s; needed is \"%s\": %s",
			item->service, item->name, option->value, item->value, item->why),
		    "remove the option");
	pf_service_free(&service);
}

/* --- master.cf: options that override main.cf
 * ------------------------------------------------------ */

static void
override_list(struct planner *p, const struct pf_service *service, const struct pf_option *option,
    const struct overlay_item *item)
{
	struct text out = {0};
	char *value = edit_value(item, option->value, item->value);
	write_option(&out, option->name, value);
	pf_edits_add(&p->master_edits, option->start, option->end - option->start, out.bytes);
	add_change(p->plan,
	    mem_format("master.cf: %s (smtpd) -o %s", pf_service_field(service, 0), item->name),
	    mem_string(option->value), value, item);
	text_free(&out);
}

static void
plan_override(struct planner *p, const struct pf_service *service, const struct pf_option *option,
    const struct overlay_item *item)
{
	const char *command = pf_service_field(service, 7);
	if (option != pf_service_option(service, option->name) ||
	    plan_item_satisfied(item, option->value))
		return;
	if (strcmp(command, "smtpd") == 0 && is_list(item)) {
		override_list(p, service, option, item);
		return;
	}
	plan_finding(p->plan, FINDING_REFUSAL, item->name,
	    mem_format("service %s (%s) in master.cf overrides %s by \"%s\"; needed is \"%s\": %s",
		pf_service_field(service, 0), command, item->name, option->value, item->value,
		item->why),
	    "remove the option from that service");
}

static void
plan_overrides(struct planner *p, const struct pf_service *service)
{
	for (size_t i = 0; i < service->option_count; i++)
		for (size_t j = 0; j < p->overlay->count; j++) {
			const struct overlay_item *item = &p->overlay->items[j];
			if (item->target == OVERLAY_MAIN &&
			    strcmp(item->name, service->options[i].name) == 0 &&
			    plan_item_active(item, p->facts))
				plan_override(p, service, &service->options[i], item);
		}
}

static void
plan_services(struct planner *p)
{
	for (size_t i = 0; i < p->master.count; i++) {
		struct pf_service service;
		if (is_own_service(p->overlay, p->master.lines[i].name) ||
		    !pf_service_parse(&p->master, &p->master.lines[i], &service))
			continue;
		plan_overrides(p, &service);
		pf_service_free(&service);
	}
}

/* --- the whole
 * ------------------------------------------------------------------------------------- */

/* The file's new bytes: the edits, then the tail on lines of its own. */
static char *
finish_file(
    const char *bytes, size_t length, struct pf_edits *edits, struct text *tail, size_t *new_length)
{
	bool ends_open = length > 0 && bytes[length - 1] != '\n';
	if (tail->length > 0) {
		pf_edits_add(edits, length, 0, ends_open ? "\n" : "");
		pf_edits_add(edits, length, 0, tail->bytes);
	}
	char *result = pf_edits_apply(edits, bytes, length, new_length);
	pf_edits_free(edits);
	text_free(tail);
	return result;
}

static struct planner
planner_new(const struct pf_facts *facts, const struct overlay *overlay)
{
	struct plan *plan = mem_resize(NULL, 1, sizeof(*plan));
	*plan = (struct plan){0};
	return (struct planner){
	    .facts = facts,
	    .overlay = overlay,
	    .plan = plan,
	    .main = pf_file_parse(facts->main, facts->main_length, PF_MAIN),
	    .master = pf_file_parse(facts->master, facts->master_length, PF_MASTER),
	};
}

struct plan *
plan_new(const struct pf_facts *facts, const struct overlay *overlay)
{
	struct planner p = planner_new(facts, overlay);
	struct plan *plan = p.plan;
	for (size_t i = 0; i < overlay->count; i++) {
		const struct overlay_item *item = &overlay->items[i];
		if (!plan_item_active(item, facts))
			continue;
		switch (item->target) {
		case OVERLAY_MAIN: plan_main(&p, item); break;
		case OVERLAY_SERVICE: plan_service(&p, item); break;
		case OVERLAY_OPTION: plan_option(&p, item); break;
		}
	}
	plan_services(&p);
	plan_add_findings(plan, facts);
	plan->main = finish_file(
	    facts->main, facts->main_length, &p.main_edits, &p.main_tail, &plan->main_length);
	plan->master = finish_file(facts->master, facts->master_length, &p.master_edits,
	    &p.master_tail, &plan->master_length);
	pf_file_free(&p.main);
	pf_file_free(&p.master);
	return plan;
}

bool
plan_refused(const struct plan *plan)
{
	for (size_t i = 0; i < plan->finding_count; i++)
		if (plan->findings[i].level == FINDING_REFUSAL)
			return true;
	return false;
}

void
plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	for (size_t i = 0; i < plan->change_count; i++) {
		free(plan->changes[i].subject);
		free(plan->changes[i].before);
		free(plan->changes[i].after);
	}
	for (size_t i = 0; i < plan->finding_count; i++) {
		free(plan->findings[i].subject);
		free(plan->findings[i].cause);
		free(plan->findings[i].cure);
	}
	facts_hits_free(&plan->other_mail);
	free(plan->changes);
	free(plan->findings);
	free(plan->main);
	free(plan->master);
	free(plan);
}
