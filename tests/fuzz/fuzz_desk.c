/*
 * Fuzzes queued/desk: one request of an operator. What is taken is whole, in normal form, and
 * within its bounds; what is not must say why.
 */
#include "queued/desk.h"

#include "core/helper_request.h"
#include "core/state.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1700000000

static void
check_request(const struct desk_request *request)
{
	char normal[DOMAIN_SIZE];

	FUZZ_HOLDS(request->what < DESK_DOS);
	FUZZ_HOLDS(request->domain[0] == '\0' || request->id[0] == '\0');
	if (request->domain[0] != '\0') {
		FUZZ_HOLDS(domain_normalise(request->domain, strlen(request->domain), normal));
		FUZZ_HOLDS(strcmp(normal, request->domain) == 0);
	}
	if (request->id[0] != '\0')
		FUZZ_HOLDS(helper_queue_id(request->id, strlen(request->id)));
	FUZZ_HOLDS(request->until == 0 || request->until > NOW);
	FUZZ_HOLDS(request->until <= HOLD_LAST || request->until == HOLD_FOREVER);
	FUZZ_HOLDS(request->limit >= 1 && request->limit <= DESK_SHOWN);
	FUZZ_HOLDS(strlen(request->reason) < sizeof(request->reason));
	FUZZ_HOLDS(request->by[0] != '\0' && strlen(request->by) <= 40);
	for (const char *c = request->by; *c != '\0'; c++)
		FUZZ_HOLDS(*c > ' ' && *c <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size > 0 ? size : 1); /* exact: the sanitizer sees each byte beyond */
	struct desk_request request;
	const char *error = NULL;

	if (size > 0)
		memcpy(line, data, size);
	const bool good = desk_parse(line, size, NOW, &request, &error);
	FUZZ_HOLDS(good == (error == NULL));
	if (good)
		check_request(&request);
	free(line);
	fuzz_outcome(good);
	return 0;
}
