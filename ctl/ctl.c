/*
 * ctl: options, configuration and messages, for every verb of mxholdctl (see ctl.h).
 *
 * In: argv and the verb's table of options. Out: what the tables point at; messages on stderr.
 */
#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
ctl_say(const char *format, ...)
{
	char *words = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&words, format, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "mxholdctl: %s\n", length >= 0 ? words : "out of memory");
	if (length >= 0)
		free(words);
}

int
ctl_wrong(const struct ctl_usage *usage, const char *format, ...)
{
	char *words = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&words, format, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "mxholdctl: %s\nusage: mxholdctl %s\n", length >= 0 ? words : "",
	    usage->synopsis);
	if (length >= 0)
		free(words);
	return CTL_USAGE;
}

bool
ctl_need_conf(struct ctl *ctl)
{
	if (ctl->conf == NULL)
		ctl->conf = conf_load(ctl->config, stderr);
	return ctl->conf != NULL;
}

static void
print_option(const char *name, const char *argument, const char *help)
{
	char left[64];
	snprintf(left, sizeof(left), "%s%s%s", name, argument != NULL ? " " : "",
	    argument != NULL ? argument : "");
	printf("  %-26s %s\n", left, help);
}

static void
print_help(const struct ctl_usage *usage)
{
	printf("usage: mxholdctl %s\n\n%s", usage->synopsis, usage->about);
	puts("\noptions:");
	for (const struct ctl_option *o = usage->options; o != NULL && o->name != NULL; o++) {
		char name[48];
		snprintf(name, sizeof(name), "--%s", o->name);
		print_option(name, o->argument, o->help);
	}
	print_option("-c, --config", "FILE", "configuration, default " CONF_DEFAULT_PATH);
	print_option("-d, --database", "CONNINFO", "the authority, as the SOC");
	print_option("-v, --verbose", NULL, "show what is run");
	print_option("    --json", NULL, "one JSON object a line on stdout");
	print_option("-h, --help", NULL, "this text");
}

/* One option as it stands on the command line, taken apart. */
struct given {
	const char *name;  /* "config", "c" */
	size_t length;     /* of the name */
	const char *value; /* behind '=', or behind a short option's letter; NULL: none */
	bool is_long;
};

static struct given
take_apart(const char *word)
{
	struct given g = {.is_long = word[1] == '-'};
	if (!g.is_long) {
		g.name = word + 1;
		g.length = 1;
		g.value = word[2] != '\0' ? word + 2 : NULL;
		return g;
	}
	g.name = word + 2;
	g.length = strcspn(g.name, "=");
	g.value = g.name[g.length] == '=' ? g.name + g.length + 1 : NULL;
	return g;
}

static bool
is_named(const struct given *g, const char *name, char letter)
{
	if (!g->is_long)
		return letter != '\0' && g->name[0] == letter;
	return strlen(name) == g->length && strncmp(g->name, name, g->length) == 0;
}

/* What an option sets: one of the two. */
struct target {
	const char **text;
	bool *flag;
};

static bool
find_target(struct ctl *ctl, const struct ctl_usage *usage, const struct given *g, bool *help,
    struct target *out)
{
	const struct {
		const char *name;
		char letter;
		struct target target;
	} globals[] = {
	    {"config", 'c', {.text = &ctl->config}},
	    {"database", 'd', {.text = &ctl->conninfo}},
	    {"verbose", 'v', {.flag = &ctl->verbose}},
	    {"json", '\0', {.flag = &ctl->json}},
	    {"help", 'h', {.flag = help}},
	};
	for (size_t i = 0; i < sizeof(globals) / sizeof(globals[0]); i++)
		if (is_named(g, globals[i].name, globals[i].letter)) {
			*out = globals[i].target;
			return true;
		}
	for (const struct ctl_option *o = usage->options; o != NULL && o->name != NULL; o++)
		if (is_named(g, o->name, '\0')) {
			*out = (struct target){o->text, o->flag};
			return true;
		}
	return false;
}

/* Handles argv[*at]; moves *at on when the next word is its argument. False: said why. */
static bool
take_option(
    struct ctl *ctl, const struct ctl_usage *usage, int argc, char **argv, int *at, bool *help)
{
	const char *word = argv[*at];
	struct given g = take_apart(word);
	struct target target = {NULL, NULL};
	if (!find_target(ctl, usage, &g, help, &target)) {
		(void)ctl_wrong(usage, "unknown option %s", word);
		return false;
	}
	if (target.flag != NULL) {
		if (g.value != NULL) {
			(void)ctl_wrong(usage, "option %s takes no argument", word);
			return false;
		}
		*target.flag = true;
		return true;
	}
	if (g.value == NULL) {
		if (*at + 1 >= argc) {
			(void)ctl_wrong(usage, "option %s needs an argument", word);
			return false;
		}
		g.value = argv[++*at];
	}
	if (target.text != NULL)
		*target.text = g.value;
	return true;
}

int
ctl_options(struct ctl *ctl, const struct ctl_usage *usage, int argc, char **argv, char ***operands,
    int *count)
{
	bool help = false;
	int kept = 1;
	bool only_operands = false;
	for (int i = 1; i < argc; i++) {
		bool is_option = !only_operands && argv[i][0] == '-' && argv[i][1] != '\0';
		if (is_option && strcmp(argv[i], "--") == 0)
			only_operands = true;
		else if (!is_option)
			argv[kept++] = argv[i];
		else if (!take_option(ctl, usage, argc, argv, &i, &help))
			return CTL_USAGE;
	}
	if (help) {
		print_help(usage);
		return CTL_OK;
	}
	*operands = argv + 1;
	*count = kept - 1;
	return -1;
}
