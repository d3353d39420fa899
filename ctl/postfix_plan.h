/*
 * postfix_plan: what has to change in main.cf and master.cf, why, and what stands against it.
 *
 * In: the facts about an instance and the overlay with its variables filled in. Out: the new bytes
 * of both files, a list of changes in words, and findings. Pure. It only inserts into lists, never
 * drops another's element, and leaves alone what is already so: a second plan has no change.
 */
#ifndef MXHOLD_CTL_POSTFIX_PLAN_H
#define MXHOLD_CTL_POSTFIX_PLAN_H

#include "ctl/postfix_facts.h"
#include "ctl/postfix_overlay.h"

enum finding_level {
	FINDING_REFUSAL, /* apply will not do it */
	FINDING_WARNING,
};

struct finding {
	enum finding_level level;
	char *subject; /* the parameter, service or key that it is about */
	char *cause;
	char *cure;
};

struct change {
	char *subject; /* "main.cf: notify_classes" */
	char *before;
	char *after;
	const char *why;    /* the overlay's */
	const char *others; /* the overlay's; "": nothing changes for other mail */
};

struct plan {
	struct change *changes;
	size_t change_count;
	struct finding *findings;
	size_t finding_count;
	struct facts_hits other_mail; /* signs that the instance carries other mail */
	char *main, *master;          /* new bytes; the same as the old ones without a change */
	size_t main_length, master_length;
};

struct plan *plan_new(const struct pf_facts *facts, const struct overlay *overlay);
void plan_free(struct plan *plan);
bool plan_refused(const struct plan *plan);

/* The variables of the overlay for these facts; free with plan_variables_free. */
struct overlay_variable *plan_variables(const struct pf_facts *facts);
void plan_variables_free(struct overlay_variable *variables);

void plan_finding(struct plan *plan, enum finding_level level, const char *subject, char *cause,
    const char *cure); /* takes cause, copies the rest */

/* postfix_findings.c: everything that stands against the overlay, apart from single settings. */
void plan_add_findings(struct plan *plan, const struct pf_facts *facts);

/* Where the daemons look after another instance. The caller frees. */
char *plan_elsewhere_cause(const struct pf_facts *facts);
char *plan_elsewhere_cure(const struct pf_facts *facts);

/* Does the item count for this instance? */
bool plan_item_active(const struct overlay_item *item, const struct pf_facts *facts);
/* Is a value (effective, or of an -o) what the item wants? */
bool plan_item_satisfied(const struct overlay_item *item, const char *value);

#endif
