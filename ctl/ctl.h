/*
 * ctl: what the verbs of mxholdctl share: the global options, the configuration, messages.
 *
 * A verb is one function in one file (verb_domain.c, postfix.c, ...), listed in the table of
 * main.c. It parses its own options with ctl_options, which knows the global ones too, so that
 * `mxholdctl --json domain list` and `mxholdctl domain list --json` are the same. Results go to
 * stdout (with --json one object a line), everything said to a human about the run to stderr.
 * Exit codes are those of sysexits.h that CTL_* name.
 */
#ifndef MXHOLD_CTL_CTL_H
#define MXHOLD_CTL_CTL_H

#include "core/conf.h"

enum ctl_exit {
	CTL_OK = 0,
	CTL_USAGE = 64,       /* wrong call */
	CTL_DATA = 65,        /* what was asked for is not valid, or does not exist */
	CTL_UNAVAILABLE = 69, /* a service that is needed does not answer */
	CTL_SOFTWARE = 70,    /* out of memory and the like */
	CTL_OSERR = 71,       /* a file or process could not be handled */
	CTL_TEMPFAIL = 75,    /* try again later */
	CTL_CONFIG = 78,      /* the configuration forbids it */
};

struct ctl {
	const char *config;   /* -c, --config; default CONF_DEFAULT_PATH */
	const char *conninfo; /* -d, --database; NULL: $MXHOLD_DB, else libpq's defaults */
	bool verbose;         /* -v: show what is run */
	bool json;            /* --json */
	struct conf *conf;    /* after ctl_need_conf; owned by main */
};

struct ctl_option {           /* an option of one verb; a table of them ends with name NULL */
	const char *name;     /* the long name, without its dashes */
	const char *argument; /* what --help calls its argument ("DIR"); NULL: it takes none */
	const char *help;
	const char **text; /* where the argument goes */
	bool *flag;        /* what an option without argument sets */
};

struct ctl_usage {
	const char *synopsis;             /* "postfix plan [OPTION...]" */
	const char *about;                /* lines for --help, ending in a newline */
	const struct ctl_option *options; /* NULL: only the global ones */
};

/*
 * Parses argv[1..argc) for a verb: global options and its own, in any order with the operands,
 * up to "--". Operands are moved behind: *operands points at them, *count says how many. Returns -1
 * to go on, or the exit code (--help: 0, a wrong option: 64, already said).
 */
int ctl_options(struct ctl *ctl, const struct ctl_usage *usage, int argc, char **argv,
    char ***operands, int *count) __attribute__((warn_unused_result));

/* Loads the configuration once, saying every error on stderr. False: return CTL_CONFIG. */
bool ctl_need_conf(struct ctl *ctl) __attribute__((warn_unused_result));

/* One line on stderr: `mxholdctl: text`. */
void ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, then how to get help. Returns CTL_USAGE. */
int ctl_wrong(const struct ctl_usage *usage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The verbs. argv[0] is the verb itself; they return a ctl_exit. */
int ctl_verb_domain(struct ctl *ctl, int argc, char **argv);
int ctl_verb_mx(struct ctl *ctl, int argc, char **argv);
int ctl_verb_queue(struct ctl *ctl, int argc, char **argv);
int ctl_verb_primary(struct ctl *ctl, int argc, char **argv);
int ctl_verb_sync(struct ctl *ctl, int argc, char **argv);
int ctl_verb_postfix(struct ctl *ctl, int argc, char **argv);
int ctl_verb_db(struct ctl *ctl, int argc, char **argv);

#endif
