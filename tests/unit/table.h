/*
 * table: cases in a text file, one a line, for tests: words parted by blanks, the expected verdict
 * first. Empty lines and lines that begin with '#' are comments. \xHH in a word is a byte, \-
 * (alone) the empty text.
 */
#ifndef MXHOLD_TESTS_UNIT_TABLE_H
#define MXHOLD_TESTS_UNIT_TABLE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_LINE_SIZE 4096

struct table {
	char **lines;
	int count;
};

/* Ends the process when there is no such file, or no case in it: a test must not pass then. */
static inline struct table
table_load(const char *path)
{
	struct table table = {NULL, 0};
	char line[TABLE_LINE_SIZE];
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		table.lines = realloc(table.lines, ((size_t)table.count + 1) * sizeof(char *));
		table.lines[table.count++] = strdup(line);
	}
	fclose(file);
	if (table.count == 0) {
		fprintf(stderr, "%s: no case in it\n", path);
		exit(EXIT_FAILURE);
	}
	return table;
}

static inline void
table_free(struct table *table)
{
	for (int i = 0; i < table->count; i++)
		free(table->lines[i]);
	free(table->lines);
}

/* Copies the next word of *line to `out`, as it stands. */
static inline void
table_word(const char **line, char *out, size_t size)
{
	*line += strspn(*line, " \t");
	size_t length = strcspn(*line, " \t");
	ck_assert_msg(length > 0 && length < size, "a word is missing or too long: %s", *line);
	memcpy(out, *line, length);
	out[length] = '\0';
	*line += length;
}

/* Copies the rest of *line to `out` with its escapes undone. Returns its length. */
static inline size_t
table_rest(const char **line, char *out, size_t size)
{
	size_t used = 0;

	*line += strspn(*line, " \t");
	if (strcmp(*line, "\\-") == 0)
		*line += 2;
	while (**line != '\0') {
		unsigned byte = (unsigned char)**line;
		int taken = 1;
		if (strncmp(*line, "\\x", 2) == 0)
			ck_assert_msg(sscanf(*line, "\\x%2x%n", &byte, &taken) == 1 && taken == 4,
			    "a bad escape: %s", *line);
		ck_assert_msg(used + 1 < size, "too long");
		out[used++] = (char)byte;
		*line += taken;
	}
	out[used] = '\0';
	return used;
}

/* Ends a Check program. */
static inline int
table_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
