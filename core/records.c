/*
 * records: see records.h. What there is to do with plain records: look through a list of names.
 */
#include "core/records.h"

#include <string.h>

bool
records_list_has(const char *list, const char *name)
{
	size_t wanted = strlen(name);

	while (*list != '\0') {
		size_t length = strcspn(list, " ");
		if (length == wanted && length > 0 && memcmp(list, name, length) == 0)
			return true;
		list += length;
		list += strspn(list, " ");
	}
	return false;
}
