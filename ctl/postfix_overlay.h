/*
 * postfix_overlay: the overlay (postfix-conf/overlay.conf) in memory, with its variables filled in.
 *
 * In: the INI text and the variables. Out: a list of items. Pure but for overlay_load, which reads
 * the file. An item that is not understood, or a variable that does not exist, is an error: half an
 * overlay must never be applied.
 */
#ifndef MXHOLD_CTL_POSTFIX_OVERLAY_H
#define MXHOLD_CTL_POSTFIX_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum overlay_target { OVERLAY_MAIN, OVERLAY_SERVICE, OVERLAY_OPTION };
enum overlay_scope { OVERLAY_DEDICATED = 1, OVERLAY_SHARED = 2, OVERLAY_BOTH = 3 };
enum overlay_kind {
	OVERLAY_SET,
	OVERLAY_FIRST,  /* and stays first */
	OVERLAY_INSERT, /* put first, but it may stand anywhere */
	OVERLAY_LAST,
	OVERLAY_GATE,
	OVERLAY_WITHOUT,
	OVERLAY_APART,
	OVERLAY_FLOOR,
};
enum overlay_when { OVERLAY_ALWAYS, OVERLAY_CERTIFICATE, OVERLAY_RECIPIENT_MAPS };

struct overlay_item {
	enum overlay_target target;
	enum overlay_scope scope;
	enum overlay_kind kind;
	enum overlay_when when;
	char *service; /* OPTION, SERVICE: its name; "" otherwise */
	char *name;    /* MAIN, OPTION: the parameter; "" otherwise */
	char *value;   /* SERVICE: the fields behind the name */
	char *mark;    /* "": none */
	char *like;    /* SERVICE: takes the options of that service first; "": none */
	char *why;
	char *others; /* "": nothing */
};

struct overlay {
	char *version;
	struct overlay_item *items;
	size_t count;
};

/* NULL on any error; each is one line on `errors`. The caller frees. */
struct overlay *overlay_parse(const char *text, const char *name, FILE *errors)
    __attribute__((warn_unused_result));
struct overlay *overlay_load(const char *path, FILE *errors) __attribute__((warn_unused_result));
void overlay_free(struct overlay *overlay);

struct overlay_variable {
	const char *name;
	const char *value;
};

/* Fills in ${name} in values and marks. `variables` ends with name NULL. False: said which. */
bool overlay_expand(struct overlay *overlay, const struct overlay_variable *variables, FILE *errors)
    __attribute__((warn_unused_result));

#endif
