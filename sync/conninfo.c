/*
 * conninfo: see conninfo.h.
 */
#include "sync/conninfo.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Set unless the connection string sets them. */
static const struct {
	const char *keyword;
	const char *value;
} defaults[] = {
    {"fallback_application_name", "mxhold-sync"}, {"client_encoding", "UTF8"},
    /* A key distribution centre would be asked without a deadline. */
    {"gssencmode", "disable"}, {"keepalives", "1"}, {"keepalives_idle", "10"},
    {"keepalives_interval", "5"}, {"keepalives_count", "3"},
    {"tcp_user_timeout", "15000"}, /* milliseconds */
};

#define DEFAULTS (sizeof defaults / sizeof defaults[0])
#define FREE_PLACES 4 /* host, hostaddr, port and the NULL */

static const char *
option(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val != NULL && options->val[0] != '\0' ? options->val
									       : NULL;
	return NULL;
}

/* Cuts a list at its commas in a copy. Returns how many, or -1: too many, or no memory. */
static int
cut(const char *list, char *items[CONNINFO_HOSTS])
{
	const char *comma;
	int count = 0;

	if (list == NULL)
		return 0;
	for (;; list = comma + 1) {
		comma = strchrnul(list, ',');
		if (count == CONNINFO_HOSTS)
			return -1;
		items[count] = strndup(list, (size_t)(comma - list));
		if (items[count++] == NULL)
			return -1;
		if (*comma == '\0')
			return count;
	}
}

static char *
take(char *items[CONNINFO_HOSTS], int i)
{
	char *item = items[i];

	items[i] = NULL;
	if (item != NULL && item[0] == '\0') {
		free(item);
		return NULL;
	}
	return item;
}

static void
discard(char *items[CONNINFO_HOSTS])
{
	int i;

	for (i = 0; i < CONNINFO_HOSTS; i++)
		free(items[i]);
}

static void
fill_hosts(struct conninfo *info, char *hosts[], char *addresses[], char *ports[], int port_count)
{
	size_t i;
	char *port;

	for (i = 0; i < info->host_count; i++) {
		info->hosts[i].host = take(hosts, (int)i);
		info->hosts[i].address = take(addresses, (int)i);
		port = port_count == 1 ? ports[0] : ports[i];
		if (port != NULL && port[0] != '\0')
			info->hosts[i].port = strdup(port);
	}
}

/* libpq's rules: as many addresses as hosts where both are given; one port, or as many. */
static bool
read_hosts(struct conninfo *info, const char *host, const char *address, const char *port)
{
	char *hosts[CONNINFO_HOSTS] = {NULL}, *addresses[CONNINFO_HOSTS] = {NULL};
	char *ports[CONNINFO_HOSTS] = {NULL};
	int h = cut(host, hosts), a = cut(address, addresses), p = cut(port, ports);
	int count = a > 0 ? a : h > 0 ? h : 1;
	bool good = h >= 0 && a >= 0 && p >= 0 && (h == 0 || h == count) && (p <= 1 || p == count);

	if (good) {
		info->host_count = (size_t)count;
		fill_hosts(info, hosts, addresses, ports, p);
	}
	discard(hosts);
	discard(addresses);
	discard(ports);
	return good;
}

static bool
is_place(const char *keyword)
{
	return strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 ||
	       strcmp(keyword, "port") == 0;
}

static bool
fill_parameters(struct conninfo *info, const PQconninfoOption *options)
{
	const PQconninfoOption *o;
	size_t i, most = DEFAULTS + FREE_PLACES;

	for (o = options; o->keyword != NULL; o++)
		most++;
	info->keywords = calloc(most, sizeof *info->keywords);
	info->values = calloc(most, sizeof *info->values);
	if (info->keywords == NULL || info->values == NULL)
		return false;
	for (o = options; o->keyword != NULL; o++) {
		if (o->val == NULL || is_place(o->keyword))
			continue;
		info->keywords[info->count] = o->keyword;
		info->values[info->count++] = o->val;
	}
	for (i = 0; i < DEFAULTS; i++) {
		if (option(options, defaults[i].keyword) != NULL)
			continue;
		info->keywords[info->count] = defaults[i].keyword;
		info->values[info->count++] = defaults[i].value;
	}
	return true;
}

/* libpq's defaults as they are for `service` (NULL: that of the environment, if any). */
static PQconninfoOption *
defaults_with(const char *service)
{
	const char *before = getenv("PGSERVICE");
	char *kept = before != NULL ? strdup(before) : NULL;
	PQconninfoOption *options = NULL;

	if (service == NULL || setenv("PGSERVICE", service, 1) == 0)
		options = PQconndefaults();
	if (kept != NULL)
		setenv("PGSERVICE", kept, 1);
	else
		unsetenv("PGSERVICE");
	free(kept);
	return options;
}

/* What libpq would take from the environment and a service file, for what the text leaves out. */
static bool
fill_hosts_by_default(struct conninfo *info, const PQconninfoOption *options)
{
	const char *host = option(options, "host"), *address = option(options, "hostaddr");
	const char *port = option(options, "port");
	PQconninfoOption *general = defaults_with(option(options, "service"));
	bool good;

	if (general == NULL)
		return false;
	if (host == NULL && address == NULL) {
		host = option(general, "host");
		address = option(general, "hostaddr");
	}
	if (port == NULL)
		port = option(general, "port");
	good = read_hosts(info, host, address, port);
	PQconninfoFree(general);
	return good;
}

/*
 * Why libpq cannot read `text`. Its own words may have a part of a password in them ("password=a b"
 * is one with a blank), so all that is taken from them is the name of a keyword that it does not
 * know, and only where no password can stand before it.
 */
static const char *
why_unreadable(const char *text, const char *error)
{
	static const char begin[] = "invalid connection option \"";
	static char named[120];
	const char *word = error != NULL ? strstr(error, begin) : NULL;
	size_t length = word != NULL ? strcspn(word + sizeof begin - 1, "\"") : 0;
	const char *secret = strcasestr(text, "pass"), *at = NULL;

	if (length > 0 && length <= 40) {
		(void)snprintf(named, sizeof named, "%.*s", (int)length, word + sizeof begin - 1);
		at = strstr(text, named);
	}
	if (at == NULL || (secret != NULL && secret < at) || strstr(text, "://") != NULL)
		return "not a connection string of libpq (its text is not shown: it may hold a "
		       "password)";
	(void)snprintf(named, sizeof named, "libpq has no connection keyword \"%.*s\"", (int)length,
	    word + sizeof begin - 1);
	return named;
}

struct conninfo *
conninfo_parse(const char *text, const char **problem)
{
	struct conninfo *info = calloc(1, sizeof *info);
	char *error = NULL;

	*problem = "out of memory";
	if (info == NULL)
		return NULL;
	info->parsed = PQconninfoParse(text, &error);
	if (info->parsed == NULL)
		*problem = why_unreadable(text, error);
	else if (!fill_hosts_by_default(info, info->parsed))
		*problem = "hosts, addresses and ports do not match, or are more than 16";
	else if (fill_parameters(info, info->parsed))
		return info;
	PQfreemem(error);
	conninfo_free(info);
	return NULL;
}

void
conninfo_free(struct conninfo *info)
{
	size_t i;

	if (info == NULL)
		return;
	for (i = 0; i < info->host_count; i++) {
		free(info->hosts[i].host);
		free(info->hosts[i].address);
		free(info->hosts[i].port);
	}
	free(info->keywords);
	free(info->values);
	PQconninfoFree(info->parsed);
	free(info);
}

bool
conninfo_host_is_direct(const struct conninfo_host *host)
{
	struct in6_addr address;

	return host->address != NULL || host->host == NULL || host->host[0] == '/' ||
	       host->host[0] == '@' || inet_pton(AF_INET, host->host, &address) == 1 ||
	       inet_pton(AF_INET6, host->host, &address) == 1;
}
