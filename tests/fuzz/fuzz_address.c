/*
 * Fuzzes core/address and core/domain. A normal form is its own, in any case of letters; and the
 * walk over an address never misses the domain that a plain reading finds.
 */
#include "core/address.h"

#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void
check_normal(const char *name)
{
	char upper[DOMAIN_SIZE + 1], again[DOMAIN_SIZE];
	size_t length = strlen(name);

	FUZZ_HOLDS(length > 0 && length <= DOMAIN_MAX);
	FUZZ_HOLDS(domain_normalise(name, length, again) && strcmp(again, name) == 0);
	for (size_t i = 0; i <= length; i++)
		upper[i] = (char)toupper((unsigned char)name[i]);
	FUZZ_HOLDS(domain_normalise(upper, length, again) && strcmp(again, name) == 0);
	upper[length] = '.';
	FUZZ_HOLDS(domain_normalise(upper, length + 1, again) && strcmp(again, name) == 0);
	FUZZ_HOLDS(domain_normalise_host(name, length, again) && strcmp(again, name) == 0);
}

static bool
is_wanted(const char *domain, void *context)
{
	check_normal(domain);
	return strcmp(domain, context) == 0;
}

static void
check_domain(const struct address *address, const char *text, size_t size)
{
	char wanted[DOMAIN_SIZE];

	check_normal(address->domain);
	strcpy(wanted, address->domain);
	FUZZ_HOLDS(address_any_domain(text, size, true, is_wanted, wanted));
}

/* Without its control characters the local part of `text` makes a plain address of this domain. */
static void
check_control(const struct address *address, const char *text, size_t size)
{
	const size_t local = (size_t)((const char *)memrchr(text, '@', size) - text);
	char *cured = malloc(size);
	struct address plain;
	bool control = false;

	FUZZ_HOLDS(cured != NULL && address->form == ADDRESS_ODD && address->local == NULL);
	memcpy(cured, text, size);
	for (size_t i = 0; i < local; i++) {
		if (iscntrl((unsigned char)cured[i])) {
			cured[i] = 'x';
			control = true;
		}
	}
	address_parse(cured, size, &plain);
	FUZZ_HOLDS(control && plain.form == ADDRESS_PLAIN);
	FUZZ_HOLDS(strcmp(plain.domain, address->domain) == 0);
	free(cured);
}

static void
check_plain(const struct address *address, const char *text)
{
	FUZZ_HOLDS(address->local == text && address->local_length > 0);
	FUZZ_HOLDS(memchr(address->local, '@', address->local_length) == NULL);
	FUZZ_HOLDS(address->bytes != ADDRESS_CONTROL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct address address;
	char name[DOMAIN_SIZE];
	char nothing[] = "";

	address_parse(text, size, &address);
	if (address.form == ADDRESS_PLAIN)
		check_plain(&address, text);
	else if (address.bytes == ADDRESS_CONTROL)
		check_control(&address, text, size);
	if (address.form == ADDRESS_PLAIN || address.bytes == ADDRESS_CONTROL)
		check_domain(&address, text, size);
	else
		FUZZ_HOLDS(address.domain[0] == '\0' && address.bytes == ADDRESS_ASCII);
	bool domain = domain_normalise(text, size, name);
	if (domain)
		check_normal(name);
	else
		FUZZ_HOLDS(name[0] == '\0');
	(void)address_any_domain(text, size, false, is_wanted, nothing);
	if (domain_normalise_host(text, size, name))
		FUZZ_HOLDS(strlen(name) <= DOMAIN_MAX && name[0] != '\0');
	fuzz_outcome(domain || address.form == ADDRESS_PLAIN);
	return 0;
}
