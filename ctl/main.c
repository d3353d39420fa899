/*
 * mxholdctl: the operator's tool. This file finds the verb and hands over; see ctl.h.
 *
 * In: the command line, mxhold.conf. Out: what the verb prints. It changes nothing by itself.
 */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	const char *purpose;
	int (*run)(struct ctl *ctl, int argc, char **argv);
} verbs[] = {
    {"domain", "authorise domains, look at them, ask what this relay answers", ctl_verb_domain},
    {"mx", "a domain's MX records: as they should be?", ctl_verb_mx},
    {"queue", "what is held on this relay; hold, release, drop", ctl_verb_queue},
    {"primary", "how the customers' own servers are", ctl_verb_primary},
    {"sync", "mxhold-sync of this relay; confirm what the brake holds", ctl_verb_sync},
    {"postfix", "put the overlay into a Postfix instance, or take it back", ctl_verb_postfix},
    {"db", "the authority's schema", ctl_verb_db},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void
print_verbs(FILE *to)
{
	fputs("usage: mxholdctl [-c FILE] [-d CONNINFO] [-v] [--json] VERB ...\n\nverbs:\n", to);
	for (size_t i = 0; i < VERB_COUNT; i++)
		fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].purpose);
	fputs("\n`mxholdctl VERB --help` tells more.\n\n"
	      "  -c, --config FILE        configuration, default " CONF_DEFAULT_PATH "\n"
	      "  -d, --database CONNINFO  the authority, as the SOC; default $MXHOLD_DB, else "
	      "libpq's\n"
	      "  -v, --verbose            show what is run\n"
	      "      --json               one JSON object a line on stdout\n"
	      "  -h, --help               this text\n"
	      "  -V, --version            the version\n",
	    to);
}

/* Options before the verb that take an argument: the argument is not the verb. */
static bool
takes_argument(const char *option)
{
	return strcmp(option, "-c") == 0 || strcmp(option, "-d") == 0 ||
	       strcmp(option, "--config") == 0 || strcmp(option, "--database") == 0;
}

/* The index of the verb in argv, or argc. */
static int
find_verb(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return i;
		if (takes_argument(argv[i]))
			i++;
	}
	return argc;
}

static int
answer_globals(int argc, char **argv, int verb)
{
	for (int i = 1; i < verb && i < argc; i++) {
		if (strcmp(argv[i], "-V") == 0 || strcmp(argv[i], "--version") == 0) {
			puts("mxholdctl " MXHOLD_VERSION);
			return CTL_OK;
		}
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			print_verbs(stdout);
			return CTL_OK;
		}
		if (takes_argument(argv[i]))
			i++;
	}
	return -1;
}

/* Puts the options that stood before the verb behind it, where the verb's parser reads them. */
static void
rotate(char **argv, int verb)
{
	char *name = argv[verb];
	for (int i = verb; i > 1; i--)
		argv[i] = argv[i - 1];
	argv[1] = name;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = {.config = CONF_DEFAULT_PATH};
	int verb = find_verb(argc, argv);
	int code = answer_globals(argc, argv, verb);
	if (code >= 0)
		return code;
	if (verb >= argc) {
		print_verbs(stderr);
		return CTL_USAGE;
	}
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(argv[verb], verbs[i].name) == 0) {
			rotate(argv, verb);
			code = verbs[i].run(&ctl, argc - 1, argv + 1);
			conf_free(ctl.conf);
			if (fflush(stdout) != 0) {
				ctl_say("cannot write the result: %m");
				return code == CTL_OK ? CTL_OSERR : code;
			}
			return code;
		}
	ctl_say("there is no verb %s; `mxholdctl --help` lists them", argv[verb]);
	return CTL_USAGE;
}
