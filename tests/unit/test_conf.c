/*
 * Tests of core/conf: defaults, each type with its borders, and each error with its line.
 */
#include "core/conf.h"

#include "tests/unit/table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MINIMAL "[relay]\nname = eu1\nregion = eu\n"

static char *errors; /* of the last call */

/* Parses `length` bytes as the file "f"; its errors go to `errors`. */
static struct conf *
parse_bytes(const char *text, size_t length)
{
	size_t size;

	free(errors);
	FILE *stream = open_memstream(&errors, &size);
	struct conf *conf = conf_parse(text, length, "f", stream);
	fclose(stream);
	ck_assert_msg((conf == NULL) == (size > 0), "errors exactly when refused: %s", errors);
	return conf;
}

static struct conf *
parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static struct conf *
load(const char *path)
{
	size_t size;

	free(errors);
	FILE *stream = open_memstream(&errors, &size);
	struct conf *conf = conf_load(path, stream);
	fclose(stream);
	return conf;
}

START_TEST(test_defaults)
{
	struct conf *conf = parse(MINIMAL);

	ck_assert_msg(conf != NULL, "%s", errors);
	ck_assert_str_eq(conf->relay.name, "eu1");
	ck_assert_str_eq(conf->relay.region, "eu");
	ck_assert_uint_eq(conf->relay.public_address_count, 0);
	ck_assert(!conf->relay.dedicated);
	ck_assert_ptr_null(conf->relay.postmaster);
	ck_assert_int_eq(conf->relay.queue_lifetime, 5 * 86400);
	ck_assert_ptr_null(conf->authority.conninfo);
	ck_assert_int_eq(conf->authority.poll_interval, 10);
	ck_assert_int_eq(conf->authority.stale_after, 60);
	ck_assert_ptr_null(conf->report.conninfo);
	ck_assert_ptr_null(conf->journal.conninfo);
	ck_assert_int_eq(conf->journal.retention_days, 21);
	ck_assert_str_eq(conf->paths.state_dir, "/var/lib/mxhold");
	ck_assert_str_eq(conf->paths.socket_dir, "/var/spool/postfix/mxhold");
	ck_assert_str_eq(conf->paths.postfix_config_dir, "/etc/postfix");
	ck_assert_str_eq(conf->paths.maillog, "/var/log/mail.log");
	ck_assert_uint_eq(conf->fence.allow_count, 0);
	ck_assert_ptr_null(conf->status.listen);
	ck_assert_str_eq(conf->users.group, "mxhold");
	ck_assert_str_eq(conf->users.socket_group, "postfix");
	ck_assert_str_eq(conf->users.sync, "mxhold-sync");
	ck_assert_str_eq(conf->users.policyd, "mxhold-policyd");
	ck_assert_str_eq(conf->users.milter, "mxhold-milter");
	ck_assert_str_eq(conf->users.queued, "mxhold-queued");
	ck_assert_int_eq(conf->queue.probe_interval, 5);
	ck_assert_int_eq(conf->queue.probe_interval_long, 10);
	ck_assert_int_eq(conf->queue.confirmations, 3);
	ck_assert_int_eq(conf->queue.concurrency, 2000);
	ck_assert_int_eq(conf->queue.retention, 0);
	ck_assert_int_eq(conf->queue.quota_messages, 0);
	ck_assert_int_eq(conf->queue.quota_bytes, 0);
	ck_assert(!conf->queue.keep_refused);
	ck_assert_int_eq(conf->queue.unknown_user_tries, 2);
	ck_assert_int_eq(conf->queue.unknown_user_interval, 600);
	ck_assert_int_eq(conf->queue.refused_tries, 3);
	ck_assert_int_eq(conf->queue.refused_after, 7200);
	ck_assert_int_eq(conf->queue.sender_retry, 300);
	ck_assert_int_eq(conf->queue.mx_interval, 86400);
	ck_assert_ptr_null(conf->queue.trust_anchor);
	ck_assert_int_eq(conf->queue.spool_size, INT64_C(4) << 30);
	ck_assert_ptr_null(conf->alert.command);
	conf_free(conf);
}
END_TEST

static const char everything[] =
    "\xef\xbb\xbf; a comment\r\n"
    "  # another\r\n"
    "\r\n"
    "[relay]\r\n"
    "name = relay1.mx.example\r\n"
    "region=eu-west-1\r\n"
    "  public_addresses =  203.0.113.5, 2001:db8::25\t198.51.100.7,\r\n"
    "dedicated = YES\r\n"
    "postmaster = ops@example.com\r\n"
    "queue_lifetime = 36h\r\n"
    "[authority]\n"
    "conninfo: host=db.example password='a ;b #c=d' user=r\n"
    "poll_interval = 5\n"
    "stale_after = 2m\n"
    "[report]\nconninfo = postgresql://r@db.example/m\n"
    "[journal]\nconninfo = dbname=j\nretention_days = 90\n"
    "[paths]\nstate_dir = /srv/mxhold/\nsocket_dir = /s\npostfix_config_dir = /etc/postfix-2\n"
    "maillog = /var/log/mail log\n"
    "[fence]\nallow = 10.8.0.0/16 fd00:8::/32, 192.168.7.7\n"
    "[status]\nlisten = [::1]:9325\n"
    "[users]\ngroup = 64100\nsocket_group = 64105\nsync = 64101\npolicyd = p_d\nmilter = m.x-y\n"
    "queued = 64104\n"
    "[queue]\nprobe_interval = 7\nprobe_interval_long = 2m\nconfirmations = 1\nconcurrency = 9\n"
    "retention = 30d\nquota_messages = 1000\nquota_bytes = 123456789012\nkeep_refused = yes\n"
    "unknown_user_tries = 4\nunknown_user_interval = 1h\nrefused_tries = 5\nrefused_after = 1d\n"
    "sender_retry = 30s\nmx_interval = 12h\ntrust_anchor = none\nspool_size = 1048576\n"
    "[alert]\ncommand = /usr/local/bin/tell us\n"
    "[relay]\n"; /* a section may come again, its keys may not; no newline is needed at the end */

START_TEST(test_everything)
{
	char text[IP_TEXT_SIZE];
	struct conf *conf = parse_bytes(everything, strlen(everything) - 1);

	ck_assert_msg(conf != NULL, "%s", errors);
	ck_assert_str_eq(conf->relay.name, "relay1.mx.example");
	ck_assert_str_eq(conf->relay.region, "eu-west-1");
	ck_assert_uint_eq(conf->relay.public_address_count, 3);
	ck_assert_str_eq(ip_format(&conf->relay.public_addresses[1], text), "2001:db8::25");
	ck_assert_str_eq(ip_format(&conf->relay.public_addresses[2], text), "198.51.100.7");
	ck_assert(conf->relay.dedicated);
	ck_assert_str_eq(conf->relay.postmaster, "ops@example.com");
	ck_assert_int_eq(conf->relay.queue_lifetime, 36 * 3600);
	ck_assert_str_eq(conf->authority.conninfo, "host=db.example password='a ;b #c=d' user=r");
	ck_assert_int_eq(conf->authority.poll_interval, 5);
	ck_assert_int_eq(conf->authority.stale_after, 120);
	ck_assert_str_eq(conf->report.conninfo, "postgresql://r@db.example/m");
	ck_assert_str_eq(conf->journal.conninfo, "dbname=j");
	ck_assert_int_eq(conf->journal.retention_days, 90);
	ck_assert_str_eq(conf->paths.state_dir, "/srv/mxhold");
	ck_assert_str_eq(conf->paths.socket_dir, "/s");
	ck_assert_str_eq(conf->paths.postfix_config_dir, "/etc/postfix-2");
	ck_assert_str_eq(conf->paths.maillog, "/var/log/mail log");
	ck_assert_uint_eq(conf->fence.allow_count, 3);
	ck_assert_uint_eq(conf->fence.allow[0].prefix, 16);
	ck_assert_uint_eq(conf->fence.allow[2].prefix, 32);
	ck_assert_str_eq(conf->status.listen, "[::1]:9325");
	ck_assert_str_eq(conf->users.group, "64100");
	ck_assert_str_eq(conf->users.milter, "m.x-y");
	ck_assert_str_eq(conf->users.queued, "64104");
	ck_assert_int_eq(conf->queue.probe_interval, 7);
	ck_assert_int_eq(conf->queue.probe_interval_long, 120);
	ck_assert_int_eq(conf->queue.confirmations, 1);
	ck_assert_int_eq(conf->queue.concurrency, 9);
	ck_assert_int_eq(conf->queue.retention, 30 * 86400);
	ck_assert_int_eq(conf->queue.quota_messages, 1000);
	ck_assert_int_eq(conf->queue.quota_bytes, INT64_C(123456789012));
	ck_assert(conf->queue.keep_refused);
	ck_assert_int_eq(conf->queue.unknown_user_tries, 4);
	ck_assert_int_eq(conf->queue.unknown_user_interval, 3600);
	ck_assert_int_eq(conf->queue.refused_tries, 5);
	ck_assert_int_eq(conf->queue.refused_after, 86400);
	ck_assert_int_eq(conf->queue.sender_retry, 30);
	ck_assert_int_eq(conf->queue.mx_interval, 43200);
	ck_assert_str_eq(conf->queue.trust_anchor, "none");
	ck_assert_int_eq(conf->queue.spool_size, 1 << 20);
	ck_assert_str_eq(conf->alert.command, "/usr/local/bin/tell us");
	conf_free(conf);
}
END_TEST

static const struct {
	const char *lines;
	const char *error; /* a part of it */
} queue_lines[] = {
    {"[queue]\nprobe_interval = 0\n", "must be from 1 to 3600"},
    {"[queue]\nprobe_interval_long = 3601\n", "must be from 1 to 3600"},
    {"[queue]\nconfirmations = 0\n", "must be from 1 to 100"},
    {"[queue]\nconcurrency = 10001\n", "must be from 1 to 10000"},
    {"[queue]\nretention = 5\n", "its unit"},
    {"[queue]\nretention = 101d\n", "must be from 1 to 8640000"},
    {"[queue]\nquota_messages = -1\n", "must be"},
    {"[queue]\nquota_bytes = 10M\n", "must be"},
    {"[queue]\nkeep_refused = maybe\n", "must be"},
    {"[queue]\nunknown_user_tries = 0\n", "must be from 1 to 1000"},
    {"[queue]\nrefused_after = 101d\n", "must be from 1"},
    {"[queue]\nsender_retry = 0s\n", "must be from 1 to 86400"},
    {"[queue]\nmx_interval = 31d\n", "must be from 1 to 2592000"},
    {"[queue]\nspool_size = 1000\n", "must be from 1048576"},
    {"[queue]\ntrust_anchor = root.key\n", "must be none, or an absolute path"},
    {"[queue]\nlifetime = 1d\n", "unknown key lifetime; [queue] has: probe_interval"},
    {"[alert]\ncommand = tell\n", "must be"},
    {"[alert]\nmail = ops@example.com\n", "unknown key mail; [alert] has: command"},
    {"[users]\nqueued = a b\n", "must be"},
    {"[paths]\nmaillog = journal\n", "must be journald, or an absolute path"},
    {"[paths]\nmaillog = /../x\n", "must be journald, or an absolute path"},
};

START_TEST(test_journald)
{
	struct conf *conf = parse(MINIMAL "[paths]\nmaillog = journald\n");

	ck_assert_msg(conf != NULL, "%s", errors);
	ck_assert_str_eq(conf->paths.maillog, "journald");
	conf_free(conf);
}
END_TEST

START_TEST(test_queue_lines)
{
	char text[300];

	snprintf(text, sizeof(text), "%s%s", MINIMAL, queue_lines[_i].lines);
	ck_assert_msg(parse(text) == NULL, "%s was taken", queue_lines[_i].lines);
	ck_assert_msg(
	    strstr(errors, queue_lines[_i].error) != NULL, "%s: %s", queue_lines[_i].lines, errors);
}
END_TEST

START_TEST(test_report_follows_authority)
{
	struct conf *conf = parse(MINIMAL "[authority]\nconninfo = dbname=a\n");

	ck_assert_str_eq(conf->report.conninfo, "dbname=a");
	conf_free(conf);
}
END_TEST

/* One bad (or, with NULL, good) line behind MINIMAL's section [relay]: it is line 4. */
static const struct {
	const char *line, *error;
} lines[] = {
    /* form */
    {"; name = twice", NULL},
    {"   # x", NULL},
    {"nonsense", "f:4: nonsense: a line must be key = value, a [section] or a comment\n"},
    {"= eu1", "f:4: unknown key \"\"; [relay] has: "},
    {"dedicated =", "f:4: [relay] dedicated is empty; "},
    {"dedicated = ; yes", "f:4: [relay] dedicated = \"; yes\": must be yes or no\n"},
    {"Dedicated = yes", "f:4: unknown key Dedicated; [relay] has: name, region, "},
    {"dedicatedd = yes", "f:4: unknown key dedicatedd; "},
    {"conninfo = dbname=x", "f:4: unknown key conninfo; "},
    {"name = eu2", "f:4: [relay] name was set on line 2 already; "},
    {"[relay", "f:4: [relay: a section is a line of its own, such as [relay]\n"},
    {"[relay] x", "f:4: \"[relay] x\": a section is a line of its own"},
    {"[relay]]", "f:4: [relay]]: a section is a line of its own"},
    {"[]", "f:4: unknown section []; there are: relay, authority, report, journal, paths, "},
    {"[Relay]", "f:4: unknown section [Relay]; "},
    {"[ relay ]", "f:4: unknown section \"[ relay ]\"; "},
    {"[rela\x01y]", "f:4: byte 6 is a control character (0x01); the file must be text\n"},
    {"dedicated = n\x1bo", "f:4: byte 14 is a control character (0x1b)"},
    {"dedicated = \xc3\xbc", "f:4: [relay] dedicated = \"\\xc3\\xbc\": must be yes or no\n"},
    /* yes and no */
    {"dedicated = no", NULL},
    {"dedicated = Yes", NULL},
    {"dedicated = true", "must be yes or no\n"},
    {"dedicated = yes no", "must be yes or no\n"},
    /* durations */
    {"queue_lifetime = 1s", NULL},
    {"queue_lifetime = 100d", NULL},
    {"queue_lifetime = 144000m", NULL},
    {"queue_lifetime = 101d",
	"f:4: [relay] queue_lifetime is 8726400 seconds; it must be from 1 to 8640000\n"},
    {"queue_lifetime = 0s", "it must be from 1 to 8640000\n"},
    {"queue_lifetime = 5", "must be a whole number and its unit (s, m, h or d), such as 5d\n"},
    {"queue_lifetime = 5 d", "its unit"},
    {"queue_lifetime = 5days", "its unit"},
    {"queue_lifetime = d", "its unit"},
    {"queue_lifetime = -5d", "its unit"},
    {"queue_lifetime = 1.5d", "its unit"},
    {"queue_lifetime = 5w", "its unit"},
    {"queue_lifetime = 999999999999d", "it must be from 1 to 8640000\n"},
    {"queue_lifetime = 9999999999999s", "its unit"},
    {"queue_lifetime = 18446744073709551621d", "its unit"},
    /* lists of addresses */
    {"public_addresses = 203.0.113.5", NULL},
    {"public_addresses = ,203.0.113.5,,10.0.0.1 ,", NULL},
    {"public_addresses = 127.0.0.2", NULL},
    {"public_addresses = ,", "must be up to 256 unicast addresses"},
    {"public_addresses = 203.0.113.5 mail.example", "must be up to 256 unicast addresses"},
    {"public_addresses = 203.0.113.0/24", "must be up to 256 unicast addresses"},
    {"public_addresses = 203.0.113.5;203.0.113.6", "must be up to 256 unicast addresses"},
    {"public_addresses = 0.0.0.0", "must be up to 256 unicast addresses"},
    {"public_addresses = ::", "must be up to 256 unicast addresses"},
    {"public_addresses = 224.0.0.1", "must be up to 256 unicast addresses"},
    {"public_addresses = ::ffff:203.0.113.5", "must be up to 256 unicast addresses"},
    {"public_addresses = 203.0.113.5 "
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	"must be up to 256 unicast addresses"},
    /* addresses of people */
    {"postmaster = Ops+mx@Example.com", NULL},
    {"postmaster = root", "must be one full address, such as postmaster@example.com\n"},
    {"postmaster = a@b.example, c@d.example", "must be one full address"},
    {"postmaster = ops@[192.0.2.1]", "must be one full address"},
    {"postmaster = a%b@example.com", "must be one full address"},
    /* other sections */
    {"[authority]\nconninfo = mxhold", "f:5: [authority] conninfo must be a connection string"},
    {"[authority]\nconninfo = dbname = x", NULL},
    {"[authority]\npoll_interval = 0", "f:5: [authority] poll_interval is 0 seconds; "},
    {"[authority]\npoll_interval = 30s", NULL},
    {"[authority]\npoll_interval = 31s",
	"f:5: [authority] stale_after (60 s) must be at least twice poll_interval (31 s)"},
    {"[authority]\nstale_after = 20", NULL},
    {"[authority]\nstale_after = 19s",
	"f:5: [authority] stale_after (19 s) must be at least twice poll_interval (10 s)"},
    {"[authority]\npoll_interval = 1x", "must be a whole number of seconds, or with a unit"},
    {"[authority]\npoll_interval = 1h\nstale_after = 2h", NULL},
    {"[authority]\npoll_interval = 3601\nstale_after = 3h", "f:5: "},
    {"[journal]\nretention_days = 3650", NULL},
    {"[journal]\nretention_days = 3651",
	"f:5: [journal] retention_days is 3651; it must be from 1 to 3650\n"},
    {"[journal]\nretention_days = 0", "it must be from 1 to 3650\n"},
    {"[journal]\nretention_days = 21d", "must be a whole number\n"},
    {"[paths]\nstate_dir = var/lib", "must be an absolute path without '..'"},
    {"[paths]\nstate_dir = /var/../etc", "must be an absolute path"},
    {"[paths]\nstate_dir = /var/..", "must be an absolute path"},
    {"[paths]\nstate_dir = /var/..x", NULL},
    {"[paths]\nstate_dir = /", NULL},
    {"[paths]\nstate_dir = ///", NULL},
    {"[paths]\nsocket_dir = "
     "/2345678901234567890123456789012345678901234567890123456789012345678901234567890",
	NULL},
    {"[paths]\nsocket_dir = "
     "/23456789012345678901234567890123456789012345678901234567890123456789012345678901",
	"f:5: [paths] socket_dir has 81 bytes; it must be a path of at most 80\n"},
    {"[fence]\nallow = 10.8.0.0/16", NULL},
    {"[fence]\nallow = 10.8.0.1/16", "f:5: [fence] allow = 10.8.0.1/16: must be up to 256 "},
    {"[fence]\nallow = 0.0.0.0/0", "must be up to 256 networks"},
    {"[fence]\nallow = ::/0", "must be up to 256 networks"},
    {"[fence]\nallow = 10.8.0.0/16 x", "must be up to 256 networks"},
    {"[fence]\nallow = none", "must be up to 256 networks"},
    {"[status]\nlisten = 127.0.0.1:1", NULL},
    {"[status]\nlisten = 127.0.0.1:65535", NULL},
    {"[status]\nlisten = 127.0.0.1:65536", "must be an address and a port"},
    {"[status]\nlisten = 127.0.0.1:0", "must be an address and a port"},
    {"[status]\nlisten = 127.0.0.1", "must be an address and a port"},
    {"[status]\nlisten = :9325", "must be an address and a port"},
    {"[status]\nlisten = ::1:9325", "must be an address and a port"},
    {"[status]\nlisten = [127.0.0.1]:9325", "must be an address and a port"},
    {"[status]\nlisten = []:9325", "must be an address and a port"},
    {"[status]\nlisten = [::1:9325", "must be an address and a port"},
    {"[status]\nlisten = localhost:9325", "must be an address and a port"},
    {"[users]\nsync = mxhold-sync", NULL},
    {"[users]\nsync = -x", "must be the name of a user or group, or its number\n"},
    {"[users]\nsync = 64101x", "must be the name of a user or group"},
    {"[users]\nsync = a b", "must be the name of a user or group"},
    {"[users]\nsync = 4294967296", "must be the name of a user or group"},
    {"[users]\nsync = a:b", "must be the name of a user or group"},
};

START_TEST(test_line)
{
	char text[1000];

	snprintf(text, sizeof(text), MINIMAL "%s\n", lines[_i].line);
	struct conf *conf = parse(text);
	if (lines[_i].error == NULL)
		ck_assert_msg(conf != NULL, "%s: %s", lines[_i].line, errors);
	else
		ck_assert_msg(conf == NULL && strstr(errors, lines[_i].error) != NULL, "%s: %s",
		    lines[_i].line, errors);
	conf_free(conf);
}
END_TEST

/* relay.name and relay.region: each value, and whether it is one. */
static const struct {
	const char *name, *region;
	bool good;
} names[] = {
    {"eu1", "eu", true},
    {"a", "0", true},
    {"relay-1.mx.example.com", "us-east-1", true},
    {"123456789012345678901234567890123456789012345678901234567890123",
	"12345678901234567890123456789012", true},
    {"1234567890123456789012345678901234567890123456789012345678901234", "eu", false},
    {"eu1", "123456789012345678901234567890123", false},
    {"EU1", "eu", false},
    {"eu1", "EU", false},
    {"eu 1", "eu", false},
    {"eu1", "e u", false},
    {"eu_1", "eu", false},
    {"eu1.", "eu", false},
    {".eu1", "eu", false},
    {"-eu1", "eu", false},
    {"eu1-", "eu", false},
    {"eu..1", "eu", false},
    {"eu1", "eu.1", false},
    {"eu1", "e\xc3\xbc", false},
};

START_TEST(test_name_and_region)
{
	char text[1000];

	snprintf(text, sizeof(text), "[relay]\nname = %s\nregion = %s\n", names[_i].name,
	    names[_i].region);
	struct conf *conf = parse(text);
	ck_assert_msg((conf != NULL) == names[_i].good, "%s", text);
	conf_free(conf);
}
END_TEST

START_TEST(test_missing)
{
	ck_assert_ptr_null(parse(""));
	ck_assert_str_eq(errors, "f:1: [relay] name is missing; it has no default\n"
				 "f:1: [relay] region is missing; it has no default\n");
	ck_assert_ptr_null(parse("[relay]\nname = x\n"));
	ck_assert_str_eq(errors, "f:2: [relay] region is missing; it has no default\n");
	ck_assert_ptr_null(parse("name = x\n[relay]\nname = x\nregion = y\n"));
	ck_assert_str_eq(errors, "f:1: name stands before any section; a line such as [relay] must "
				 "come first\n");
}
END_TEST

/* All errors are told at once, each with its line; keys of an unknown section make no more of them.
 */
START_TEST(test_all_errors)
{
	ck_assert_ptr_null(parse("[relay]\nname = EU\n\n[fense]\nallow = x\nallow = x\n[users]\n"
				 "sync = -\nfoo = 1\n"));
	ck_assert_str_eq(errors,
	    "f:2: [relay] name = EU: must be 1 to 63 of a-z, 0-9, '.' and '-', with a letter or "
	    "digit at both ends, such as eu1\n"
	    "f:4: unknown section [fense]; there are: relay, authority, report, journal, paths, "
	    "fence, status, queue, alert, users\n"
	    "f:8: [users] sync = -: must be the name of a user or group, or its number\n"
	    "f:9: unknown key foo; [users] has: group, socket_group, sync, policyd, milter, "
	    "queued\n"
	    "f:9: [relay] region is missing; it has no default\n");
}
END_TEST

START_TEST(test_many_errors)
{
	char text[3000] = MINIMAL;

	for (int i = 0; i < 200; i++)
		strcat(text, "nonsense\n");
	ck_assert_ptr_null(parse(text));
	ck_assert_ptr_nonnull(strstr(errors, "f:53: nonsense"));
	ck_assert_ptr_null(strstr(errors, "f:54: nonsense"));
	ck_assert_ptr_nonnull(strstr(errors, "f:203: 200 errors in all; the first 50 are shown\n"));
}
END_TEST

/* A password never reaches a terminal or a log. */
START_TEST(test_conninfo_is_never_shown)
{
	ck_assert_ptr_null(parse(MINIMAL "[authority]\nconninfo = secret\n"));
	ck_assert_ptr_null(strstr(errors, "secret"));
	ck_assert_ptr_null(
	    parse(MINIMAL "[authority]\nconninfo = a=secret\nconninfo = a=secret\n"));
	ck_assert_ptr_null(strstr(errors, "secret"));
}
END_TEST

START_TEST(test_nul)
{
	static const char text[] = MINIMAL "dedicated = \0yes\n";

	ck_assert_ptr_null(parse_bytes(text, sizeof(text) - 1));
	ck_assert_str_eq(
	    errors, "f:4: byte 13 is a control character (0x00); the file must be text\n");
	ck_assert_ptr_null(parse_bytes("\0", 1));
}
END_TEST

/* inih alone would cut at 200 bytes. Up to 4096 are read, and more is an error, not a cut. */
START_TEST(test_long_lines)
{
	char text[6000];

	for (int length = 4000; length <= 4200; length += length < 4090 || length > 4100 ? 30 : 1) {
		int used = snprintf(text, sizeof(text), MINIMAL "[authority]\nconninfo = a=");
		memset(text + used, 'x', (size_t)length - 13);
		strcpy(text + used + length - 13, "\n");
		struct conf *conf = parse(text);
		ck_assert_msg((conf != NULL) == (length <= 4096), "%d: %s", length, errors);
		if (conf != NULL)
			ck_assert_uint_eq(strlen(conf->authority.conninfo), (size_t)length - 11);
		else
			ck_assert_ptr_nonnull(
			    strstr(errors, "; at most 4096 are read: shorten it\n"));
		conf_free(conf);
	}
}
END_TEST

START_TEST(test_lines_never_continue)
{
	struct conf *conf = parse(MINIMAL "  postmaster = a@b.example\n");

	ck_assert_str_eq(conf->relay.name, "eu1");
	ck_assert_str_eq(conf->relay.postmaster, "a@b.example");
	conf_free(conf);
}
END_TEST

START_TEST(test_files)
{
	char path[] = "/tmp/mxhold-test-conf-XXXXXX";
	char expected[200];
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, MINIMAL, strlen(MINIMAL)), (ssize_t)strlen(MINIMAL));
	struct conf *conf = load(path);
	ck_assert_msg(conf != NULL && errors[0] == '\0', "%s", errors);
	conf_free(conf);
	ck_assert_int_eq(write(fd, "x\n", 2), 2);
	ck_assert_ptr_null(load(path));
	snprintf(expected, sizeof(expected), "%s:4: x: a line must be", path);
	ck_assert_msg(strstr(errors, expected) == errors, "%s", errors);
	ck_assert_int_eq(ftruncate(fd, (1 << 20) + 1), 0);
	ck_assert_ptr_null(load(path));
	ck_assert_ptr_nonnull(strstr(errors, "is larger than 1 MiB"));
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_ptr_null(load(path));
	ck_assert_ptr_nonnull(strstr(errors, "No such file or directory; name the file with -c"));
}
END_TEST

/* What is no plain file is refused at once: a pipe must not block, nor a device never end. */
START_TEST(test_no_plain_files)
{
	char directory[] = "/tmp/mxhold-test-conf-XXXXXX";
	char fifo[100];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_ptr_null(load(directory));
	ck_assert_ptr_nonnull(strstr(errors, ":0: is a directory; it must be a plain file\n"));
	ck_assert_ptr_null(load(fifo));
	ck_assert_ptr_nonnull(strstr(errors, ":0: is no plain file; it must be a plain file\n"));
	ck_assert_ptr_null(load("/dev/zero"));
	unlink(fifo);
	rmdir(directory);
}
END_TEST

/* The sample that is installed is good as it stands, and names every key. */
START_TEST(test_sample)
{
	static const char *const keys[] = {"name", "region", "public_addresses", "dedicated",
	    "postmaster", "queue_lifetime", "conninfo", "poll_interval", "stale_after",
	    "retention_days", "state_dir", "socket_dir", "postfix_config_dir", "maillog", "allow",
	    "listen", "group", "socket_group", "sync", "policyd", "milter", "queued",
	    "probe_interval", "probe_interval_long", "confirmations", "concurrency", "retention",
	    "quota_messages", "quota_bytes", "keep_refused", "unknown_user_tries",
	    "unknown_user_interval", "refused_tries", "refused_after", "sender_retry",
	    "mx_interval", "trust_anchor", "spool_size", "command"};
	static char text[20000];
	char wanted[100];

	struct conf *conf = load("postfix-conf/mxhold.conf.sample");
	ck_assert_msg(conf != NULL, "%s", errors);
	conf_free(conf);
	FILE *file = fopen("postfix-conf/mxhold.conf.sample", "r");
	ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, file), 0);
	fclose(file);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(wanted, sizeof(wanted), "\n%s = ", keys[i]);
		bool set = strstr(text, wanted) != NULL;
		snprintf(wanted, sizeof(wanted), "\n;%s = ", keys[i]);
		ck_assert_msg(set || strstr(text, wanted) != NULL, "%s is not in it", keys[i]);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf");
	TCase *tests = tcase_create("core");
	tcase_add_test(tests, test_defaults);
	tcase_add_test(tests, test_everything);
	tcase_add_test(tests, test_journald);
	tcase_add_loop_test(
	    tests, test_queue_lines, 0, sizeof(queue_lines) / sizeof(queue_lines[0]));
	tcase_add_test(tests, test_report_follows_authority);
	tcase_add_loop_test(tests, test_line, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_loop_test(tests, test_name_and_region, 0, sizeof(names) / sizeof(names[0]));
	tcase_add_test(tests, test_missing);
	tcase_add_test(tests, test_all_errors);
	tcase_add_test(tests, test_many_errors);
	tcase_add_test(tests, test_conninfo_is_never_shown);
	tcase_add_test(tests, test_nul);
	tcase_add_test(tests, test_long_lines);
	tcase_add_test(tests, test_lines_never_continue);
	tcase_add_test(tests, test_files);
	tcase_add_test(tests, test_no_plain_files);
	tcase_add_test(tests, test_sample);
	suite_add_tcase(suite, tests);
	int status = table_run(suite);
	free(errors);
	return status;
}
