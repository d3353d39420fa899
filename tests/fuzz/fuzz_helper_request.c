/*
 * Fuzzes core/helper_request: a line to mxhold-helper, which is root. What it takes is a known verb
 * and a queue id that is nothing but letters and digits, and prints as the same line again.
 */
#include "core/helper_request.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void
check_request(const struct helper_request *request, const char *line, size_t size)
{
	char again[HELPER_LINE_MAX + 1];
	const size_t length = helper_request_print(request, again);

	FUZZ_HOLDS(length == size + 1 && again[size] == '\n');
	FUZZ_HOLDS(memcmp(again, line, size) == 0);
	if (request->verb == HELPER_PING)
		return;
	FUZZ_HOLDS(request->verb < HELPER_VERBS);
	FUZZ_HOLDS(strlen(request->queue_id) >= 6 && strlen(request->queue_id) <= 20);
	FUZZ_HOLDS(request->queue_id[strspn(request->queue_id,
		       "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size > 0 ? size : 1); /* exact: the sanitizer sees each byte beyond */
	char text[HELPER_ANSWER_MAX];
	struct helper_request request;
	enum helper_answer answer;

	if (size > 0)
		memcpy(line, data, size);
	const bool good = helper_request_parse(line, size, &request);
	if (good)
		check_request(&request, line, size);
	if (helper_answer_parse(line, size, &answer, text))
		FUZZ_HOLDS(strlen(text) < HELPER_ANSWER_MAX);
	free(line);
	fuzz_outcome(good);
	return 0;
}
