/*
 * postfix_tables: looks into the tables of an instance: catch-alls, names of domains, and actions
 * that would lead mail elsewhere.
 *
 * A table is asked by postmap(1), as Postfix would; tables that can be walked are read whole (up to
 * 64 MB of them); postfix_actions.c looks at what checks answer. Databases behind a network are
 * asked for one random name only.
 */
#ifndef MXHOLD_CTL_POSTFIX_TABLES_H
#define MXHOLD_CTL_POSTFIX_TABLES_H

#include "ctl/postfix_facts.h"

/* Adds probes, other_domains and table_actions to the facts, and every name of a domain in lists
 * and tables that decide about recipients to `candidates`. */
void tables_gather(struct pf_facts *facts, struct facts_hits *candidates, bool verbose);

#endif
