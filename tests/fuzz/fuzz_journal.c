/*
 * Fuzzes core/journal. Whatever is taken for a row can be printed and read again as the same, and
 * its key keeps within what the spool takes.
 */
#include "core/journal.h"
#include "core/spool.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void
check_round(const struct journal_row *row)
{
	struct journal_row again;
	char key[JOURNAL_KEY_SIZE];
	char *text = journal_row_print(row, true);

	FUZZ_HOLDS(text != NULL);
	FUZZ_HOLDS(journal_row_parse(text, strlen(text), &again));
	FUZZ_HOLDS(memcmp(row, &again, sizeof(again)) == 0);
	free(text);
	text = journal_row_print(row, false);
	FUZZ_HOLDS(text != NULL);
	free(text);
	const size_t length = journal_key(key, row->queue_id, row->recipient);
	FUZZ_HOLDS(length > 0 && length <= SPOOL_KEY_MAX);
}

static void
check_text(const char *bytes, size_t length)
{
	struct journal_row row = {.queue_id = "A", .recipient = "b"}, got;
	char address[JOURNAL_ADDRESS_SIZE];

	journal_text(row.reply, sizeof(row.reply), bytes, length);
	journal_address(address, bytes, length);
	char *text = journal_row_print(&row, true);
	FUZZ_HOLDS(text != NULL);
	FUZZ_HOLDS(journal_row_parse(text, strlen(text), &got));
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct journal_row row;
	const bool good = journal_row_parse(text, size, &row);

	if (good)
		check_round(&row);
	check_text(text, size);
	fuzz_outcome(good);
	return 0;
}
