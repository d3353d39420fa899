/*
 * postfix_show: plans and differences in words (see postfix_show.h).
 */
#include "ctl/postfix_show.h"

#include "ctl/postfix_run.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WIDTH 100

static void
print_json(json_t *object)
{
	char *line = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	puts(line != NULL ? line : "{\"kind\":\"error\",\"text\":\"not UTF-8\"}");
	free(line);
	json_decref(object);
}

/* "  label  words ..." with the words wrapped. */
static void
print_words(FILE *to, const char *label, const char *words)
{
	size_t column = 0;
	while (*words != '\0') {
		size_t length = strcspn(words, " \n");
		if (column == 0)
			fprintf(to, "  %-12s%.*s", label, (int)length, words);
		else if (column + 1 + length > WIDTH - 14) {
			fprintf(to, "\n  %-12s%.*s", "", (int)length, words);
			column = 0;
		} else
			fprintf(to, " %.*s", (int)length, words);
		column += length + 1;
		words += length + strspn(words + length, " \n");
	}
	fputs(column > 0 ? "\n" : "", to);
}

static void
print_change(const struct change *change)
{
	printf("%s\n", change->subject);
	print_words(stdout, "now:", *change->before != '\0' ? change->before : "(empty)");
	if (strchr(change->after, '\n') == NULL)
		print_words(stdout, "then:", *change->after != '\0' ? change->after : "(empty)");
	else
		print_words(stdout, "then:", "a service of its own, as the diff shows");
	print_words(stdout, "why:", change->why);
	print_words(stdout, "other mail:", *change->others != '\0' ? change->others : "no change");
	putchar('\n');
}

void
show_changes(const struct plan *plan, bool json)
{
	for (size_t i = 0; i < plan->change_count; i++) {
		const struct change *c = &plan->changes[i];
		if (json)
			print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kind", "change",
			    "subject", c->subject, "before", c->before, "after", c->after, "why",
			    c->why, "other_mail", c->others));
		else
			print_change(c);
	}
}

void
show_findings(const struct plan *plan, bool json, FILE *to)
{
	static const char *const names[] = {
	    [FINDING_REFUSAL] = "refused", [FINDING_WARNING] = "warning"};
	for (size_t i = 0; i < plan->finding_count; i++) {
		const struct finding *f = &plan->findings[i];
		if (json) {
			print_json(json_pack("{s:s, s:s, s:s, s:s}", "kind", names[f->level],
			    "subject", f->subject, "cause", f->cause, "cure", f->cure));
			continue;
		}
		fprintf(to, "%s: %s\n", names[f->level], f->subject);
		print_words(to, "cause:", f->cause);
		print_words(to, "cure:", f->cure);
	}
}

/* The bytes as a file that a child can open by the path that is written to `path`. */
static int
as_file(const char *bytes, size_t length, char path[64])
{
	int fd = memfd_create("mxhold", 0);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	while (fd >= 0 && length > 0) {
		ssize_t wrote = write(fd, bytes, length);
		if (wrote <= 0)
			break;
		bytes += wrote;
		length -= (size_t)wrote;
	}
	return fd;
}

void
show_diff(const struct show_file *file, bool json)
{
	char old_path[64], new_path[64];
	if (file->old_length == file->new_length &&
	    memcmp(file->old_bytes, file->new_bytes, file->old_length) == 0)
		return;
	int old_fd = as_file(file->old_bytes, file->old_length, old_path);
	int new_fd = as_file(file->new_bytes, file->new_length, new_path);
	char *new_label = mem_format("%s (new)", file->path);
	const char *const argv[] = {
	    "diff", "-u", "--label", file->path, "--label", new_label, old_path, new_path, NULL};
	struct run_result result = run_program(argv, NULL, 20, false);
	if (json)
		print_json(json_pack(
		    "{s:s, s:s, s:s}", "kind", "diff", "file", file->path, "text", result.output));
	else
		printf("%s%s\n", result.output, result.errors);
	run_free(&result);
	free(new_label);
	close(old_fd);
	close(new_fd);
}
