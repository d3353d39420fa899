/*
 * sub_verb: finds the second word of the command line and hands over (see sub_verb.h).
 */
#include "ctl/sub_verb.h"

#include <stdio.h>
#include <string.h>

static void
print_table(FILE *to, const char *verb, const struct ctl_verb *verbs)
{
	fprintf(to, "usage: mxholdctl %s VERB ...\n\nverbs:\n", verb);
	for (const struct ctl_verb *at = verbs; at->name != NULL; at++)
		fprintf(to, "  %-10s %s\n", at->name, at->purpose);
	fprintf(to, "\n`mxholdctl %s VERB --help` tells more.\n", verb);
}

/* Global options that take an argument; main.c has put those from before the verb behind it. */
static bool
takes_argument(const char *option)
{
	static const char *const options[] = {"-c", "--config", "-d", "--database"};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(option, options[i]) == 0)
			return true;
	return false;
}

/* The index of the first word that is no option, or argc. */
static int
find_word(int argc, char **argv, bool *help)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return i;
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			*help = true;
		if (takes_argument(argv[i]))
			i++;
	}
	return argc;
}

int
ctl_sub_verb(struct ctl *ctl, const char *verb, const struct ctl_verb *verbs, int argc, char **argv)
{
	bool help = false;
	const int word = find_word(argc, argv, &help);

	if (word >= argc) {
		print_table(help ? stdout : stderr, verb, verbs);
		return help ? CTL_OK : CTL_USAGE;
	}
	char *name = argv[word];
	for (const struct ctl_verb *at = verbs; at->name != NULL; at++) {
		if (strcmp(name, at->name) != 0)
			continue;
		for (int i = word; i > 1; i--)
			argv[i] = argv[i - 1];
		argv[1] = name;
		return at->run(ctl, argc - 1, argv + 1);
	}
	ctl_say("there is no verb %s %s; `mxholdctl %s --help` lists them", verb, name, verb);
	return CTL_USAGE;
}
