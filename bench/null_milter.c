/*
 * null_milter: the yardstick for mxhold-milter: a filter on libmilter that negotiates the same
 * steps, macros and missing replies, and decides nothing.
 *
 *   null_milter SOCKET
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <string.h>

static sfsistat
on_negotiate(SMFICTX *context, unsigned long actions, unsigned long protocol, unsigned long unused2,
    unsigned long unused3, unsigned long *want_actions, unsigned long *want_protocol,
    unsigned long *want2, unsigned long *want3)
{
	char mail[] = "i {client_addr}";
	char recipient[] = "i j {client_addr} {rcpt_addr} {rcpt_mailer}";
	char end[] = "i j {client_addr}";

	(void)actions;
	(void)protocol;
	(void)unused2;
	(void)unused3;
	*want_actions = SMFIF_SETSYMLIST;
	*want_protocol = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOUNKNOWN |
			 SMFIP_NOEOH | SMFIP_NR_HDR | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC;
	*want2 = 0;
	*want3 = 0;
	(void)smfi_setsymlist(context, SMFIM_ENVFROM, mail);
	(void)smfi_setsymlist(context, SMFIM_ENVRCPT, recipient);
	(void)smfi_setsymlist(context, SMFIM_EOM, end);
	return SMFIS_CONTINUE;
}

static sfsistat
on_envelope(SMFICTX *context, char **arguments)
{
	(void)context;
	(void)arguments;
	return SMFIS_CONTINUE;
}

static sfsistat
on_header(SMFICTX *context, char *name, char *value)
{
	(void)context;
	(void)name;
	(void)value;
	return SMFIS_NOREPLY;
}

static sfsistat
on_body(SMFICTX *context, unsigned char *chunk, size_t length)
{
	(void)context;
	(void)chunk;
	(void)length;
	return SMFIS_NOREPLY;
}

static sfsistat
on_anything(SMFICTX *context)
{
	(void)context;
	return SMFIS_CONTINUE;
}

int
main(int argc, char **argv)
{
	static char name[] = "null_milter";
	char where[256];
	const struct smfiDesc filter = {
	    .xxfi_name = name,
	    .xxfi_version = SMFI_VERSION,
	    .xxfi_flags = SMFIF_SETSYMLIST,
	    .xxfi_negotiate = on_negotiate,
	    .xxfi_envfrom = on_envelope,
	    .xxfi_envrcpt = on_envelope,
	    .xxfi_header = on_header,
	    .xxfi_body = on_body,
	    .xxfi_eom = on_anything,
	    .xxfi_abort = on_anything,
	    .xxfi_close = on_anything,
	};

	if (argc != 2 || strlen(argv[1]) > sizeof(where) - 8)
		return 64;
	(void)snprintf(where, sizeof(where), "unix:%s", argv[1]);
	if (smfi_setconn(where) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS)
		return 70;
	return smfi_main() == MI_SUCCESS ? 0 : 70;
}
