/*
 * probe: see probe.h. The packets are those of libmilter's mfdef.h: a length of four octets in
 * network order that counts what follows it, a letter, data. The probe is a session like any
 * other; it offers all that Postfix offers, so that a good answer means that mail is served.
 */
#include "milter/probe.h"

#include <libmilter/mfdef.h>
#include <stdint.h>
#include <string.h>

#define LENGTH_OCTETS 4
#define NEGOTIATION_SIZE (LENGTH_OCTETS + 1 + MILTER_OPTLEN)
#define QUIT_SIZE (LENGTH_OCTETS + 1)

static void
put_number(uint8_t *out, uint32_t number)
{
	out[0] = (uint8_t)(number >> 24);
	out[1] = (uint8_t)(number >> 16);
	out[2] = (uint8_t)(number >> 8);
	out[3] = (uint8_t)number;
}

static uint32_t
get_number(const char *bytes)
{
	uint8_t octets[LENGTH_OCTETS];

	memcpy(octets, bytes, sizeof(octets));
	return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 |
	       octets[3];
}

/* A whole negotiation, however long: the macros that are asked for follow the options. */
static enum supervise_reply
judge_reply(const char *reply, size_t length)
{
	if (length < NEGOTIATION_SIZE)
		return SUPERVISE_REPLY_MORE;
	if (get_number(reply) < 1 + MILTER_OPTLEN || reply[LENGTH_OCTETS] != SMFIC_OPTNEG)
		return SUPERVISE_REPLY_BAD;
	return SUPERVISE_REPLY_GOOD;
}

enum supervise_answer
probe_milter(const char *path, int hang_ms, int wake_fd)
{
	uint8_t bytes[NEGOTIATION_SIZE + QUIT_SIZE];
	const struct supervise_question question = {
	    .path = path,
	    .bytes = bytes,
	    .length = sizeof(bytes),
	    .judge = judge_reply,
	};

	put_number(bytes, 1 + MILTER_OPTLEN);
	bytes[LENGTH_OCTETS] = SMFIC_OPTNEG;
	put_number(bytes + LENGTH_OCTETS + 1, SMFI_PROT_VERSION);
	put_number(bytes + LENGTH_OCTETS + 5, SMFI_CURR_ACTS);
	put_number(bytes + LENGTH_OCTETS + 9, SMFI_CURR_PROT);
	put_number(bytes + NEGOTIATION_SIZE, 1);
	bytes[NEGOTIATION_SIZE + LENGTH_OCTETS] = SMFIC_QUIT;
	return supervise_ask(&question, hang_ms, wake_fd);
}
