/*
 * postfix_file: main.cf and master.cf as bytes, logical lines and tokens (postconf(5), master(5)).
 *
 * In: the bytes of a file. Out: where each logical line and each token lies, and a new version of
 * the bytes with a few places changed. Pure. Every byte that no edit names stays as it is:
 * comments, order, blanks, continuation lines.
 */
#ifndef MXHOLD_CTL_POSTFIX_FILE_H
#define MXHOLD_CTL_POSTFIX_FILE_H

#include "ctl/text.h"

#include <stdbool.h>
#include <stddef.h>

/* --- tokens: separated by blanks and commas; braces hold together ------------ */

struct pf_token {
	size_t start, end; /* of the raw bytes */
	char *text;        /* blanks collapsed, comment lines left out */
};

struct pf_tokens {
	struct pf_token *items;
	size_t count;
};

enum pf_separators { PF_LIST /* blanks and commas */, PF_WORDS /* blanks only */ };

/* Tokens of bytes[start..end). A line whose first byte after blanks is '#' is no part of it. */
struct pf_tokens pf_tokens_split(
    const char *bytes, size_t start, size_t end, enum pf_separators separators);
void pf_tokens_free(struct pf_tokens *tokens);
/* Index at which all of `part` stands in a row; tokens->count when it does not. */
size_t pf_tokens_find(const struct pf_tokens *tokens, const struct pf_tokens *part);
/* Index of the first token equal to `word`, or count. */
size_t pf_tokens_word(const struct pf_tokens *tokens, const char *word);
/* All tokens, ", " between them. The caller frees. */
char *pf_tokens_join(const struct pf_tokens *tokens);

/* --- logical lines ----------------------------------------------------------- */

struct pf_line {
	size_t start;       /* first byte */
	size_t end;         /* behind the last byte of content, before its newline */
	char *name;         /* main.cf: the parameter; master.cf: the service */
	size_t value_start; /* main.cf: behind '='; master.cf: start */
};

struct pf_file {
	const char *bytes; /* the caller's */
	size_t length;
	struct pf_line *lines;
	size_t count;
};

enum pf_kind { PF_MAIN, PF_MASTER };

/* Lines that are none of the kind (no '=' in main.cf) are passed over. */
struct pf_file pf_file_parse(const char *bytes, size_t length, enum pf_kind kind);
void pf_file_free(struct pf_file *file);
/* main.cf: the line that counts (the last of that name), or NULL. */
const struct pf_line *pf_file_parameter(const struct pf_file *file, const char *name);
/* Does a comment of ours ("# mxhold:") stand right above the line? */
bool pf_file_is_ours(const struct pf_file *file, const struct pf_line *line);
/* The first byte of the comment of ours above the line, or the line's start. */
size_t pf_file_comment_start(const struct pf_file *file, const struct pf_line *line);
/* A parameter's value on one line, blanks collapsed. The caller frees. */
char *pf_file_value(const struct pf_file *file, const struct pf_line *line);

/* --- services ----------------------------------------------------------------- */

struct pf_option {         /* -o name=value, or -o { name = value } */
	size_t start, end; /* from "-o" */
	char *name, *value;
};

#define PF_FIELDS 8 /* service type private unpriv chroot wakeup maxproc command */

struct pf_service {
	const struct pf_line *line;
	struct pf_tokens words;
	struct pf_option *options;
	size_t option_count;
};

/* False: the line has fewer fields than a service. */
bool pf_service_parse(const struct pf_file *file, const struct pf_line *line,
    struct pf_service *out) __attribute__((warn_unused_result));
void pf_service_free(struct pf_service *service);
/* Field 0 (service) to 7 (command). */
const char *pf_service_field(const struct pf_service *service, size_t field);
/* The option that counts (the last of that name), or NULL. */
const struct pf_option *pf_service_option(const struct pf_service *service, const char *name);
/* The line of service `name` of `type`, or NULL. */
const struct pf_line *pf_file_service(
    const struct pf_file *file, const char *name, const char *type);

/* --- edits --------------------------------------------------------------------- */

struct pf_edits {
	struct pf_edit *items;
	size_t count;
};

/* Replaces `remove` bytes at `at` by `insert` (copied). Edits must not overlap. */
void pf_edits_add(struct pf_edits *edits, size_t at, size_t remove, const char *insert);
/* Moves all edits of `from` behind those of `to`; `from` is empty then. */
void pf_edits_move(struct pf_edits *to, struct pf_edits *from);
/* The new bytes; edits at the same place keep their order. The caller frees. */
char *pf_edits_apply(struct pf_edits *edits, const char *bytes, size_t length, size_t *new_length);
void pf_edits_free(struct pf_edits *edits);

#endif
