/*
 * queue_show: see queue_show.h. Replies, addresses and reasons are other people's text: what a
 * terminal would obey is shown as '?'.
 */
#include "ctl/queue_show.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MICRO 1000000

const char *
show_bytes(uint64_t bytes, char out[SHOW_SIZE])
{
	static const char units[] = " KMGTP";
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit < sizeof(units) - 2; unit++)
		value /= 1024;
	if (unit == 0)
		(void)snprintf(out, SHOW_SIZE, "%" PRIu64, bytes);
	else
		(void)snprintf(
		    out, SHOW_SIZE, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return out;
}

const char *
show_age(int64_t seconds, char out[SHOW_SIZE])
{
	const long long s = seconds > 0 ? seconds : 0;

	if (s < 60)
		(void)snprintf(out, SHOW_SIZE, "%llds", s);
	else if (s < 3600)
		(void)snprintf(out, SHOW_SIZE, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(out, SHOW_SIZE, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		(void)snprintf(out, SHOW_SIZE, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return out;
}

const char *
show_time(int64_t when, char out[SHOW_SIZE])
{
	const time_t at = (time_t)when;
	struct tm parts;

	if (when <= 0 || localtime_r(&at, &parts) == NULL ||
	    strftime(out, SHOW_SIZE, "%Y-%m-%d %H:%M", &parts) == 0)
		(void)snprintf(out, SHOW_SIZE, "-");
	return out;
}

const char *
show_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

int64_t
show_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/*
 * Characters of UTF-8 that a terminal obeys, or that turn what stands beside them: the controls
 * U+0080 to U+009F, and those of direction and of lines. How many bytes; 0: it is none.
 */
static size_t
control_length(const char *text)
{
	static const struct {
		const char *lead;
		unsigned char low, high; /* of the byte behind it */
	} forms[] = {
	    {"\xc2", 0x80, 0x9f},     /* C1: U+009B begins sequences, as ESC [ does */
	    {"\xd8", 0x9c, 0x9c},     /* U+061C */
	    {"\xe2\x80", 0x8b, 0x8f}, /* U+200B to U+200F */
	    {"\xe2\x80", 0xa8, 0xae}, /* U+2028 to U+202E */
	    {"\xe2\x81", 0xa6, 0xa9}, /* U+2066 to U+2069 */
	};

	if ((unsigned char)*text < ' ' || *text == 0x7f)
		return 1;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const size_t length = strlen(forms[i].lead);
		if (strncmp(text, forms[i].lead, length) == 0 &&
		    (unsigned char)text[length] >= forms[i].low &&
		    (unsigned char)text[length] <= forms[i].high)
			return length + 1;
	}
	return 0;
}

void
show_safe(const char *text)
{
	while (*text != '\0') {
		const size_t control = control_length(text);
		putchar(control > 0 ? '?' : *text);
		text += control > 0 ? control : 1;
	}
}

/* --- domains ---------------------------------------------------------------------------------- */

/* "2 messages": those on hold one by one. */
static const char *
single_holds(const json_t *domain, char out[SHOW_SIZE])
{
	const int64_t count = show_number(domain, "on_hold");

	out[0] = '\0';
	if (count > 0)
		(void)snprintf(
		    out, SHOW_SIZE, "%" PRId64 " message%s", count, count == 1 ? "" : "s");
	return out;
}

static const char *
hold_of(const json_t *domain, char *out, size_t size)
{
	const json_t *until = json_object_get(domain, "hold_until");
	const char *hold = show_text(domain, "hold");
	char when[SHOW_SIZE], single[SHOW_SIZE];

	if (*hold == '\0' || strcmp(hold, "none") == 0) {
		(void)snprintf(out, size, "%s", single_holds(domain, single));
		return *out != '\0' ? out : "-";
	}
	if (strcmp(hold, "breaker") == 0 || strcmp(hold, "wrong-host") == 0)
		(void)snprintf(out, size, "%s", hold);
	else if (json_is_integer(until))
		(void)snprintf(
		    out, size, "%s till %s", hold, show_time(json_integer_value(until), when));
	else
		(void)snprintf(out, size, "%s, no end", hold);
	const size_t used = strlen(out);
	if (*single_holds(domain, single) != '\0')
		(void)snprintf(out + used, size - used, ", %s", single);
	return out;
}

static const char *
next_when_up(const json_t *domain)
{
	static const struct {
		const char *stage, *text;
	} stages[] = {
	    {"canary", "one message is being tried"},
	    {"drain", "leaving"},
	    {"pause", "a pause, then the next try"},
	};
	const char *release = show_text(domain, "release");

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (strcmp(release, stages[i].stage) == 0)
			return stages[i].text;
	return show_number(domain, "messages") > 0 ? "will leave" : "-";
}

const char *
show_next(const json_t *domain, char *out, size_t size)
{
	const json_t *probe = json_object_get(domain, "next_probe");
	const json_t *dns = json_object_get(domain, "next_dns");
	const char *hold = show_text(domain, "hold");
	const int64_t single = show_number(domain, "on_hold");

	if (strcmp(hold, "operator") == 0 || strcmp(hold, "soc") == 0)
		(void)snprintf(out, size, "waits for the end of the hold");
	else if (strcmp(hold, "breaker") == 0)
		(void)snprintf(out, size, "a message is tried now and then");
	else if (strcmp(hold, "wrong-host") == 0)
		(void)snprintf(out, size, "waits for the pinned primary");
	else if (single > 0 && single >= show_number(domain, "messages"))
		(void)snprintf(out, size, "waits to be released");
	else if (strcmp(show_text(domain, "primary"), "up") == 0)
		(void)snprintf(out, size, "%s", next_when_up(domain));
	else if (json_is_integer(probe))
		(void)snprintf(out, size, "probe in %llds", (long long)json_integer_value(probe));
	else if (json_is_integer(dns))
		(void)snprintf(out, size, "DNS in %llds", (long long)json_integer_value(dns));
	else
		(void)snprintf(out, size, "-");
	return out;
}

void
show_apart(const json_t *object)
{
	const json_t *names = json_object_get(object, "subdomains"), *name;
	const int64_t count = show_number(object, "apart");
	const int64_t messages = show_number(object, "apart_messages");
	size_t i;

	printf("subdomains are apart: %" PRId64 " of them %s held mail (%" PRId64 " message%s): ",
	    count, count == 1 ? "has" : "have", messages, messages == 1 ? "" : "s");
	json_array_foreach(names, i, name)
	{
		fputs(i > 0 ? ", " : "", stdout);
		show_safe(json_is_string(name) ? json_string_value(name) : "");
	}
	puts(count > (int64_t)json_array_size(names) ? ", ..." : "");
}

void
show_on_hold(const json_t *object)
{
	char single[SHOW_SIZE];
	const bool one = show_number(object, "on_hold") == 1;

	printf("%s stay%s on hold until %s released by %s\n", single_holds(object, single),
	    one ? "s" : "", one ? "it is" : "they are", one ? "its id" : "their ids");
}

void
show_heading(void)
{
	printf("%-32s %8s %6s %7s  %-18s %-28s %s\n", "DOMAIN", "MESSAGES", "BYTES", "OLDEST",
	    "PRIMARY", "HOLD", "NEXT");
}

void
show_domain(const json_t *domain, int64_t now)
{
	const int64_t oldest = show_number(domain, "oldest"), since = show_number(domain, "since");
	char bytes[SHOW_SIZE], age[SHOW_SIZE] = "-", primary[64], hold[64], next[64];

	if (oldest > 0)
		(void)show_age(now - oldest, age);
	(void)snprintf(primary, sizeof(primary), "%s", show_text(domain, "primary"));
	if (since > 0) {
		char text[SHOW_SIZE];
		(void)snprintf(primary, sizeof(primary), "%.20s %s", show_text(domain, "primary"),
		    show_age(now - since, text));
	}
	printf("%-32s %8" PRId64 " %6s %7s  %-18s %-28s %s\n", show_text(domain, "domain"),
	    show_number(domain, "messages"),
	    show_bytes((uint64_t)show_number(domain, "bytes"), bytes), age, primary,
	    hold_of(domain, hold, sizeof(hold)), show_next(domain, next, sizeof(next)));
}

void
show_soc_hold(const json_t *domain)
{
	const json_t *until = json_object_get(domain, "hold_until");
	char when[SHOW_SIZE];

	if (strcmp(show_text(domain, "hold"), "soc") != 0)
		return;
	if (json_is_integer(until))
		printf("held by the SOC till %s", show_time(json_integer_value(until), when));
	else
		fputs("held by the SOC until its row is changed", stdout);
	if (*show_text(domain, "hold_reason") != '\0') {
		fputs(": ", stdout);
		show_safe(show_text(domain, "hold_reason"));
	}
	putchar('\n');
}

/* --- messages --------------------------------------------------------------------------------- */

void
show_recipient(const json_t *row, int64_t now)
{
	const int64_t arrived = show_number(row, "accepted_at") / MICRO;
	const int64_t tried = show_number(row, "last_attempt") / MICRO;
	char size[SHOW_SIZE], when[SHOW_SIZE], age[SHOW_SIZE];

	printf("%s  %s  %6s  <", show_text(row, "queue_id"), show_time(arrived, when),
	    show_bytes((uint64_t)show_number(row, "size"), size));
	show_safe(show_text(row, "sender"));
	fputs("> -> <", stdout);
	show_safe(show_text(row, "recipient"));
	fputs(">\n", stdout);
	if (json_is_true(json_object_get(row, "on_hold")))
		puts("    on hold until it is released");
	if (show_number(row, "attempts") == 0)
		return;
	printf("    %" PRId64 " attempt%s, the last %s ago", show_number(row, "attempts"),
	    show_number(row, "attempts") == 1 ? "" : "s", show_age(now - tried, age));
	if (*show_text(row, "primary") != '\0') {
		fputs(" at ", stdout);
		show_safe(show_text(row, "primary"));
	}
	fputs(": ", stdout);
	show_safe(show_text(row, "reply"));
	putchar('\n');
}

/* --- primaries -------------------------------------------------------------------------------- */

static void
show_state(const json_t *object, const char *member, int64_t now)
{
	const json_t *probe = json_object_get(object, "next_probe");
	const json_t *dns = json_object_get(object, "next_dns");
	const int64_t since = show_number(object, "since");
	char age[SHOW_SIZE];

	fputs(show_text(object, member), stdout);
	if (since > 0)
		printf(" for %s", show_age(now - since, age));
	if (*show_text(object, "reason") != '\0') {
		fputs(": ", stdout);
		show_safe(show_text(object, "reason"));
	}
	if (json_is_integer(probe))
		printf("; next probe in %llds", (long long)json_integer_value(probe));
	else if (json_is_integer(dns))
		printf("; the DNS is asked again in %llds", (long long)json_integer_value(dns));
	else if (json_is_true(json_object_get(object, "held")))
		fputs("; not probed while held", stdout);
	putchar('\n');
}

void
show_primary(const json_t *primary, int64_t now)
{
	const json_t *endpoint;
	size_t i;

	printf("%s: ", show_text(primary, "domain"));
	show_state(primary, "primary", now);
	json_array_foreach(json_object_get(primary, "endpoints"), i, endpoint)
	{
		fputs("    ", stdout);
		show_safe(show_text(endpoint, "name"));
		printf("[%s]:%" PRId64 " ", show_text(endpoint, "address"),
		    show_number(endpoint, "port"));
		show_state(endpoint, "state", now);
	}
}
