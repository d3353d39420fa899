/*
 * Tests of core/resolver against a DNS server in a child process, which answers by the first label:
 * found, none (no such record), gone (NXDOMAIN), fail (SERVFAIL), mute (no answer), count (a TXT
 * that is another one each time), odd (an MX host with a dot within a label), null.
 */
#include "core/resolver.h"

#include "tests/unit/table.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t server;
static char server_address[32];
static struct resolver *resolver;

/* What the last answers said. */
struct heard {
	unsigned calls;
	enum resolver_outcome outcome;
	uint32_t ttl;
	size_t count;
	struct dns_record first;
	char text[256], problem[256];
	struct resolver_query *victim; /* to be cancelled from within */
};

/* --- the server
 * --------------------------------------------------------------------------------------- */

static const struct {
	const char *label;
	unsigned rcode;
	uint8_t type; /* of the answer's record; 0: no record */
	const char *data;
	size_t length;
} knows[] = {
    {"found", 0, 15,
	"\x00\x0a\x01m\x07"
	"example\x00",
	13},
    {"none", 0, 0, "", 0},
    {"gone", 3, 0, "", 0},
    {"fail", 2, 0, "", 0},
    {"odd", 0, 15,
	"\x00\x0a\x03m.m\x07"
	"example\x00",
	15},
    {"null", 0, 15, "\x00\x00\x00", 3},
    {"address", 0, 1, "\xc0\x00\x02\x01", 4},
};

static size_t
make_reply(uint8_t *packet, size_t length, unsigned count)
{
	size_t label = packet[12], question = 12;
	const char *name = (const char *)packet + 13, *data = "";
	char text[32];
	uint8_t type = 0;
	size_t size = 0;

	while (packet[question] != 0)
		question += 1u + packet[question];
	question += 5;
	for (size_t i = 0; i < sizeof(knows) / sizeof(knows[0]); i++) {
		if (strlen(knows[i].label) != label || memcmp(knows[i].label, name, label) != 0)
			continue;
		packet[3] = (uint8_t)knows[i].rcode;
		type = knows[i].type;
		data = knows[i].data;
		size = knows[i].length;
	}
	if (label == 5 && memcmp(name, "count", 5) == 0) {
		type = 16;
		size = (size_t)snprintf(text, sizeof(text), "%c%03u", 3, count % 1000);
		data = text;
	}
	(void)length;
	packet[2] |= 0x84; /* an answer, with authority */
	packet[3] |= 0x80;
	memset(packet + 6, 0, 6);
	if (type == 0)
		return question;
	packet[7] = 1;
	const uint8_t head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, (uint8_t)size};
	memcpy(packet + question, head, sizeof(head));
	memcpy(packet + question + sizeof(head), data, size);
	return question + sizeof(head) + size;
}

static void
serve(int fd)
{
	uint8_t packet[1024];
	struct sockaddr_in peer;
	unsigned count = 0;

	for (;;) {
		socklen_t size = sizeof(peer);
		ssize_t length = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&peer, &size);
		if (length < 17)
			continue;
		if (packet[12] == 4 && memcmp(packet + 13, "mute", 4) == 0)
			continue;
		size_t reply = make_reply(packet, (size_t)length, count++);
		(void)sendto(fd, packet, reply, 0, (struct sockaddr *)&peer, size);
	}
}

static void
start_server(void)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		abort();
	server = fork();
	if (server == 0) {
		(void)alarm(120);
		serve(fd);
	}
	close(fd);
	(void)snprintf(
	    server_address, sizeof(server_address), "127.0.0.1@%u", ntohs(address.sin_port));
}

/* --- asking
 * ------------------------------------------------------------------------------------------- */

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
hear(const struct resolver_answer *answer, void *context)
{
	struct heard *heard = context;

	heard->calls++;
	heard->outcome = answer->outcome;
	heard->ttl = answer->ttl;
	heard->count = answer->count;
	(void)snprintf(heard->problem, sizeof(heard->problem), "%s", answer->problem);
	if (answer->count > 0)
		heard->first = answer->records[0].dns;
	if (answer->count > 0 && answer->records[0].text != NULL)
		(void)snprintf(heard->text, sizeof(heard->text), "%s", answer->records[0].text);
	if (heard->victim != NULL)
		resolver_cancel(heard->victim);
	heard->victim = NULL;
}

static void
wait_all(void)
{
	while (resolver_open(resolver) > 0) {
		struct pollfd ready = {.fd = resolver_fd(resolver), .events = POLLIN};
		(void)poll(&ready, 1, (int)resolver_wait_ms(resolver, clock_ms()));
		resolver_process(resolver, clock_ms());
	}
}

static struct heard
ask(const char *name, enum resolver_type type, bool fresh, int64_t patience_ms)
{
	struct heard heard = {.calls = 0};

	ck_assert_ptr_nonnull(
	    resolver_ask(resolver, name, type, fresh, clock_ms() + patience_ms, hear, &heard));
	ck_assert_uint_eq(heard.calls, 0);
	wait_all();
	ck_assert_uint_eq(heard.calls, 1);
	return heard;
}

static void
set_up(void)
{
	const struct resolver_setup setup = {.server = server_address, .most = 4};
	const char *problem;

	resolver = resolver_new(&setup, &problem);
	ck_assert_msg(resolver != NULL, "%s", problem);
}

static void
tear_down(void)
{
	resolver_free(resolver);
}

/* --- tests
 * -------------------------------------------------------------------------------------------- */

START_TEST(test_outcomes)
{
	struct heard heard = ask("found.example", RESOLVER_MX, false, 20000);

	ck_assert_int_eq(heard.outcome, RESOLVER_FOUND);
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_uint_eq(heard.ttl, 60);
	ck_assert_uint_eq(heard.first.preference, 10);
	ck_assert_str_eq(heard.first.host, "m.example");
	ck_assert_int_eq(ask("none.example", RESOLVER_MX, false, 20000).outcome, RESOLVER_NODATA);
	ck_assert_int_eq(ask("gone.example", RESOLVER_MX, false, 20000).outcome, RESOLVER_NXDOMAIN);
	heard = ask("fail.example", RESOLVER_MX, false, 20000);
	ck_assert_int_eq(heard.outcome, RESOLVER_CANNOT_TELL);
	ck_assert_str_ne(heard.problem, "");
	heard = ask("address.example", RESOLVER_A, false, 20000);
	ck_assert_int_eq(heard.first.type, DNS_A);
	ck_assert_uint_eq(heard.first.address.bytes[0], 192);
}
END_TEST

START_TEST(test_odd_hosts)
{
	struct heard heard = ask("odd.example", RESOLVER_MX, false, 20000);

	ck_assert_int_eq(heard.outcome, RESOLVER_FOUND);
	ck_assert(heard.first.host_odd);
	heard = ask("null.example", RESOLVER_MX, false, 20000);
	ck_assert(heard.first.null_mx);
}
END_TEST

START_TEST(test_deadline)
{
	int64_t begin = clock_ms();
	struct heard heard = ask("mute.example", RESOLVER_MX, false, 300);

	ck_assert_int_eq(heard.outcome, RESOLVER_CANNOT_TELL);
	ck_assert_str_eq(heard.problem, "no answer from the DNS in time");
	ck_assert_int_ge(clock_ms() - begin, 300);
	ck_assert_int_lt(clock_ms() - begin, 15000);
}
END_TEST

/* An answer is kept, unless a fresh one is wanted; and that one is not from a while ago. */
START_TEST(test_fresh)
{
	struct heard first = ask("count.example", RESOLVER_TXT, false, 20000);
	struct heard kept = ask("count.example", RESOLVER_TXT, false, 20000);
	struct heard fresh = ask("count.example", RESOLVER_TXT, true, 20000);
	struct heard again = ask("count.example", RESOLVER_TXT, true, 20000);

	ck_assert_str_eq(kept.text, first.text);
	ck_assert_str_ne(fresh.text, first.text);
	ck_assert_str_ne(again.text, fresh.text);
}
END_TEST

/* More than may be in flight: the rest waits its turn, and each gets its answer once. */
START_TEST(test_many)
{
	struct heard heard[100] = {{.calls = 0}};
	char name[64];

	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "found.n%u.example", i);
		ck_assert_ptr_nonnull(resolver_ask(
		    resolver, name, RESOLVER_MX, i % 2 == 0, clock_ms() + 25000, hear, &heard[i]));
	}
	ck_assert_uint_eq(resolver_open(resolver), 100);
	wait_all();
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_eq(heard[i].calls, 1);
		ck_assert_int_eq(heard[i].outcome, RESOLVER_FOUND);
	}
}
END_TEST

START_TEST(test_cancel)
{
	struct heard mute = {.calls = 0}, found = {.calls = 0}, other = {.calls = 0};
	struct resolver_query *query = resolver_ask(
	    resolver, "mute.example", RESOLVER_MX, false, clock_ms() + 5000, hear, &mute);

	ck_assert_ptr_nonnull(query);
	resolver_cancel(query);
	ck_assert_uint_eq(resolver_open(resolver), 0);
	/* From within the answer to another one. */
	found.victim = resolver_ask(
	    resolver, "mute.example", RESOLVER_MX, false, clock_ms() + 60000, hear, &other);
	ck_assert_ptr_nonnull(resolver_ask(
	    resolver, "found.example", RESOLVER_MX, false, clock_ms() + 20000, hear, &found));
	wait_all();
	ck_assert_uint_eq(found.calls, 1);
	ck_assert_uint_eq(mute.calls + other.calls, 0);
}
END_TEST

START_TEST(test_bad_setup)
{
	const struct resolver_setup setup = {.resolv_conf = "/nonexistent/resolv.conf"};
	const struct resolver_setup odd = {.server = "not an address"};
	const char *problem = NULL;

	ck_assert_ptr_null(resolver_new(&setup, &problem));
	ck_assert_str_eq(problem, "resolv.conf cannot be read");
	ck_assert_ptr_null(resolver_new(&odd, &problem));
	ck_assert_ptr_nonnull(problem);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("core/resolver");
	TCase *tcase = tcase_create("server");

	start_server();
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_outcomes);
	tcase_add_test(tcase, test_odd_hosts);
	tcase_add_test(tcase, test_deadline);
	tcase_add_test(tcase, test_fresh);
	tcase_add_test(tcase, test_many);
	tcase_add_test(tcase, test_cancel);
	tcase_add_test(tcase, test_bad_setup);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	return code;
}
