/*
 * conf_value: one value of mxhold.conf from its text to what the programs use. Pure but for
 * malloc. Only conf.c uses it.
 */
#ifndef MXHOLD_CORE_CONF_VALUE_H
#define MXHOLD_CORE_CONF_VALUE_H

#include "core/ip.h"

enum conf_type {
	CONF_STRING,    /* char *: any text */
	CONF_CONNINFO,  /* char *: libpq's connection string; may hold a password, never shown */
	CONF_PATH,      /* char *: absolute, no trailing slash */
	CONF_LOG,       /* char *: such a path, or "journald" */
	CONF_ANCHOR,    /* char *: such a path, or "none" */
	CONF_NAME,      /* char *: a relay's name */
	CONF_REGION,    /* char * */
	CONF_ACCOUNT,   /* char *: a user or group, by name or number */
	CONF_MAILBOX,   /* char *: local@domain */
	CONF_LISTEN,    /* char *: address:port */
	CONF_DURATION,  /* int64_t, seconds; the unit must be said */
	CONF_SECONDS,   /* int64_t, seconds; a bare number is seconds */
	CONF_NUMBER,    /* int64_t */
	CONF_BOOL,      /* bool */
	CONF_ADDRESSES, /* struct ip * */
	CONF_NETWORKS,  /* struct ip_network * */
};

struct conf_value {
	union {
		char *text;
		int64_t number;
		bool truth;
		struct ip *addresses;
		struct ip_network *networks;
	};
	size_t count; /* of addresses or networks */
};

/*
 * Reads `text` as `type`; what it allocates is the caller's. Returns NULL when it is one, else what
 * would be right, to be said after "must be": a static text. Bounds are the caller's to check.
 */
const char *conf_value_parse(enum conf_type type, const char *text, struct conf_value *out)
    __attribute__((warn_unused_result));

#endif
