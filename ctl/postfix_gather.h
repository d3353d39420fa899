/*
 * postfix_gather: collects the facts about an instance: reads its files, asks postconf(1) and
 * postmap(1), the host and the snapshot. It changes nothing.
 */
#ifndef MXHOLD_CTL_POSTFIX_GATHER_H
#define MXHOLD_CTL_POSTFIX_GATHER_H

#include "core/conf.h"
#include "ctl/postfix_facts.h"
#include "ctl/postfix_overlay.h"

struct gather {
	const struct conf *conf;
	const char *conf_path;    /* of `conf` */
	const char *config_dir;   /* of the instance */
	const char *looked_after; /* the daemons' instance; NULL: the same */
	bool shared;              /* --shared */
	bool verbose;             /* show what is run */
};

/* False: said why on stderr. pf_facts_free in any case. */
bool gather_facts(const struct gather *gather, const struct overlay *overlay, struct pf_facts *out)
    __attribute__((warn_unused_result));

/* Reads a whole file (at most 16 MB). NULL: errno is set. The caller frees. */
char *gather_file(const char *path, size_t *length);

/*
 * The directory of instance `name` as postmulti(1) lists it (it knows one primary instance only,
 * the default one), or NULL: said why. The caller frees.
 */
char *gather_instance(const char *name, bool verbose);

/* One expanded parameter of an instance, or NULL. The caller frees. */
char *gather_parameter(const char *config_dir, const char *name, bool verbose);

#endif
