/*
 * replay: feeds every file of a corpus to a fuzz target, without libFuzzer, and prints TAP. A byte
 * read past the input is seen by AddressSanitizer: each file is copied to a block of its size.
 *
 * usage: replay_NAME DIRECTORY
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define INPUT_MAX 300000

/* Reads one file into a block of exactly its size. NULL: it cannot be read, or is too large. */
static uint8_t *
read_input(const char *path, size_t *size)
{
	static uint8_t whole[INPUT_MAX];
	FILE *file = fopen(path, "rb");

	if (file == NULL)
		return NULL;
	*size = fread(whole, 1, sizeof(whole), file);
	bool good = ferror(file) == 0 && *size < sizeof(whole);
	fclose(file);
	uint8_t *exact = good ? malloc(*size > 0 ? *size : 1) : NULL;
	if (exact != NULL)
		memcpy(exact, whole, *size);
	return exact;
}

static bool
replay_file(const char *path)
{
	size_t size;
	uint8_t *input = read_input(path, &size);

	if (input == NULL) {
		printf("# %s: cannot be read, or is too large\n", path);
		return false;
	}
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return true;
}

/* Returns how many files were replayed, or -1. */
static int
replay_directory(const char *directory)
{
	DIR *dir = opendir(directory);
	int count = 0;

	if (dir == NULL)
		return -1;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL && count >= 0;) {
		char path[4096];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		count = replay_file(path) ? count + 1 : -1;
	}
	closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return EX_USAGE;
	}
	int files = replay_directory(argv[1]);
	struct fuzz_counts counts = fuzz_counts();
	bool good = files > 0 && counts.accepted > 0 && counts.refused > 0 &&
		    counts.accepted + counts.refused == (unsigned long)files;
	printf("%sok 1 - %s: %d inputs, %lu accepted, %lu refused\n1..1\n", good ? "" : "not ",
	    argv[1], files, counts.accepted, counts.refused);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
