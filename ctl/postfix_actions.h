/*
 * postfix_actions: what the tables of checks and of access(5) do to mail: actions that lead it
 * elsewhere, and restrictions that a table answers with.
 *
 * postfix_entries.c reads the tables; what cannot be read is told as such. The words are those of
 * main.cf and of `-o` options in master.cf, with their $names replaced; a table that answers with
 * another table is followed.
 */
#ifndef MXHOLD_CTL_POSTFIX_ACTIONS_H
#define MXHOLD_CTL_POSTFIX_ACTIONS_H

#include "ctl/postfix_facts.h"

#define ACTIONS_UNREADABLE "" /* as `what` of a hit: the table could not be looked into */

/* Adds table_actions to the facts: FILTER, REDIRECT, BCC, DISCARD, HOLD, permit_mx_backup, ... */
void actions_gather(struct pf_facts *facts, bool verbose);

/*
 * The word of a result that counts: the action where the result begins with one ("FILTER" of
 * "filter x:y"), else the restriction that is forbidden everywhere; "" for none. Pure.
 */
const char *actions_word(const char *result);

#endif
