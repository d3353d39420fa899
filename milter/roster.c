/*
 * roster: see roster.h. In: addresses as the MTA resolved them. Out: lines. An address is somebody
 * else's text: it must not make lines of its own.
 */
#include "milter/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Octets of a transaction's addresses: more than smtpd(8) takes recipients, with long names. */
#define ROSTER_MOST ((size_t)256 * 1024)
#define ROSTER_FIRST 256
#define ROSTER_SMALL 4096 /* so much room is kept for the next transaction */

static bool
make_room(struct roster *roster, size_t more)
{
	size_t room = roster->room != 0 ? roster->room : ROSTER_FIRST;
	char *addresses;

	while (room - roster->length < more)
		room *= 2;
	if (room == roster->room)
		return true;
	if (room > ROSTER_MOST)
		return false;
	addresses = realloc(roster->addresses, room);
	if (addresses == NULL)
		return false;
	roster->addresses = addresses;
	roster->room = room;
	return true;
}

/* The argument's spelling of the address: without <> and a dot at the end. */
static const char *
spelling(const char *argument, const char *address, size_t length)
{
	if (argument == NULL)
		return address;
	argument += argument[0] == '<' ? 1 : 0;
	if (strncasecmp(argument, address, length) != 0)
		return address;
	const char *end = argument + length;
	end += end[0] == '.' ? 1 : 0;
	end += end[0] == '>' ? 1 : 0;
	return end[0] == '\0' ? argument : address;
}

void
roster_add(struct roster *roster, const char *queue_id, const char *argument, const char *address)
{
	const size_t length = address != NULL ? strlen(address) : 0;

	if (queue_id != NULL)
		(void)snprintf(roster->queue_id, sizeof(roster->queue_id), "%s", queue_id);
	if (length == 0 || length >= ROSTER_MOST || !make_room(roster, length + 1))
		return;
	memcpy(roster->addresses + roster->length, spelling(argument, address, length), length);
	roster->addresses[roster->length + length] = '\0';
	roster->length += length + 1;
	roster->count++;
}

bool
roster_wanted(const struct roster *roster)
{
	return roster->count > 1 && roster->queue_id[0] != '\0';
}

/* Octets; 0: it does not fit. */
static size_t
print_line(const struct roster *roster, const char *address, char *out, size_t size)
{
	const int length = snprintf(out, size, "recipient %s %s\n", roster->queue_id, address);

	if (length < 0 || (size_t)length >= size)
		return 0;
	for (char *at = out; at < out + length - 1; at++)
		if (*at == '\n')
			*at = ' ';
	return (size_t)length;
}

size_t
roster_print(const struct roster *roster, size_t *at, char *out, size_t size)
{
	size_t used = 0;

	while (*at < roster->length) {
		const char *address = roster->addresses + *at;
		const size_t line = print_line(roster, address, out + used, size - used);

		if (line == 0 && used > 0)
			break;
		used += line;
		*at += strlen(address) + 1;
	}
	return used;
}

void
roster_clear(struct roster *roster)
{
	roster->queue_id[0] = '\0';
	roster->count = roster->length = 0;
	if (roster->room <= ROSTER_SMALL)
		return;
	free(roster->addresses);
	roster->addresses = NULL;
	roster->room = 0;
}
