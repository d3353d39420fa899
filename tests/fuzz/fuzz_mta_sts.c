/*
 * Fuzzes core/mta_sts. The first byte chooses between record and policy. What is taken must be what
 * its header promises, and permit exactly what its patterns say.
 */
#include "core/mta_sts.h"

#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
check_pattern(const struct mta_sts_policy *policy, const char *pattern)
{
	char name[DOMAIN_SIZE], host[DOMAIN_SIZE + 8];
	const bool wild = strncmp(pattern, "*.", 2) == 0;
	const char *rest = wild ? pattern + 2 : pattern;

	FUZZ_HOLDS(domain_normalise(rest, strlen(rest), name) && strcmp(name, rest) == 0);
	snprintf(host, sizeof(host), "%s%s", wild ? "a." : "", rest);
	FUZZ_HOLDS(mta_sts_permits(policy, host));
}

static bool
try_policy(const char *text, size_t length)
{
	static struct mta_sts_policy policy;
	const char *problem = "unset";
	const bool valid = mta_sts_policy_parse(text, length, &policy, &problem);

	FUZZ_HOLDS(valid == (problem == NULL));
	if (!valid)
		return false;
	FUZZ_HOLDS(policy.mode <= MTA_STS_ENFORCE && policy.mx_count <= MTA_STS_MX_MOST);
	FUZZ_HOLDS(policy.mode == MTA_STS_NONE || policy.mx_count > 0);
	FUZZ_HOLDS(policy.max_age <= 31557600);
	for (size_t i = 0; i < policy.mx_count; i++)
		check_pattern(&policy, policy.mx[i]);
	return true;
}

static bool
try_record(const char *text, size_t length)
{
	char id[MTA_STS_ID_SIZE];

	memset(id, 0x55, sizeof(id));
	if (!mta_sts_record(text, length, id))
		return false;
	FUZZ_HOLDS(memchr(id, '\0', sizeof(id)) != NULL && id[0] != '\0');
	FUZZ_HOLDS(length >= 8 && memcmp(text, "v=STSv1", 7) == 0);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = malloc(size); /* ends where it ends, for ASan */
	FUZZ_HOLDS(text != NULL);
	memcpy(text, data + 1, size - 1);
	fuzz_outcome(data[0] & 1 ? try_record(text, size - 1) : try_policy(text, size - 1));
	free(text);
	return 0;
}
