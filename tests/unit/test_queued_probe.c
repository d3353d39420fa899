/*
 * Tests of queued/probe against real sockets: a server in a child process plays one session after a
 * script, in plain text or with TLS by OpenSSL.
 */
#include "queued/probe.h"

#include "tests/unit/table.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a server does, one after the other: 's' sends the next text, 'r' reads a line, 't' begins
   TLS, 'g' sends garbage, 'f' floods until nobody reads, 'c' closes. */
struct script {
	const char *steps;
	const char *texts[6];
};

static X509 *certificate;
static EVP_PKEY *key;
static char pin[2 * EVP_MAX_MD_SIZE + 1];
static struct event_base *base;
static struct probe_finding found;
static pid_t server;
static unsigned open_at_start, open_at_end;

static void
make_certificate(void)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *spki = NULL;
	unsigned size;

	key = EVP_RSA_gen(2048);
	certificate = X509_new();
	if (key == NULL || certificate == NULL || X509_set_pubkey(certificate, key) != 1)
		abort();
	(void)X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	if (X509_sign(certificate, key, EVP_sha256()) == 0)
		abort();
	int length = i2d_PUBKEY(key, &spki);
	if (length <= 0 || EVP_Digest(spki, (size_t)length, digest, &size, EVP_sha256(), NULL) != 1)
		abort();
	for (unsigned i = 0; i < size; i++)
		(void)snprintf(pin + 2 * i, 3, "%02X", digest[i]);
	OPENSSL_free(spki);
}

/* --- the server
 * --------------------------------------------------------------------------------------- */

static void
put(int fd, SSL *tls, const char *text, size_t length)
{
	if (tls != NULL)
		(void)SSL_write(tls, text, (int)length);
	else if (send(fd, text, length, MSG_NOSIGNAL) < 0)
		_exit(0);
}

static void
get_line(int fd, SSL *tls)
{
	char byte = '\0';

	while (byte != '\n') {
		if ((tls != NULL ? SSL_read(tls, &byte, 1) : (int)recv(fd, &byte, 1, 0)) != 1)
			_exit(0);
	}
}

static SSL *
take_tls(int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *tls;

	if (context == NULL || SSL_CTX_use_certificate(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		_exit(1);
	tls = SSL_new(context);
	if (tls == NULL || SSL_set_fd(tls, fd) != 1 || SSL_accept(tls) != 1)
		_exit(0);
	return tls;
}

static void
play(int fd, const struct script *script)
{
	static const char junk[4096] = "\x16\x03\x01 no TLS at all";
	size_t text = 0;
	SSL *tls = NULL;

	for (const char *step = script->steps; *step != '\0'; step++) {
		switch (*step) {
		case 's':
			put(fd, tls, script->texts[text], strlen(script->texts[text]));
			text++;
			break;
		case 'r': get_line(fd, tls); break;
		case 't': tls = take_tls(fd); break;
		case 'g': put(fd, tls, junk, sizeof(junk)); break;
		case 'f':
			for (;;)
				put(fd, tls, junk, sizeof(junk));
		default: break;
		}
	}
}

/* Returns the port. */
static uint16_t
serve(const struct script *script)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	if (script == NULL) {
		close(fd); /* nobody listens there */
		return ntohs(address.sin_port);
	}
	ck_assert_int_eq(listen(fd, 1), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0) {
		(void)alarm(30);
		int client = accept(fd, NULL, NULL);
		play(client, script);
		_exit(0);
	}
	close(fd);
	return ntohs(address.sin_port);
}

/* --- the probe
 * ---------------------------------------------------------------------------------------- */

static unsigned
open_files(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
done(const struct probe_finding *finding, void *context)
{
	unsigned *calls = context;

	found = *finding;
	open_at_end = open_files();
	(*calls)++;
}

static void
set_up(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	server = 0;
}

static void
tear_down(void)
{
	event_base_free(base);
	if (server > 0) {
		(void)kill(server, SIGKILL);
		(void)waitpid(server, NULL, 0);
	}
}

static void
run(const struct script *script, struct probe_target target)
{
	struct probe_sender sender = {.helo = "relay.example"};
	struct prober *prober = prober_new(base, &sender);
	unsigned calls = 0;

	ck_assert_ptr_nonnull(prober);
	ck_assert(ip_parse("127.0.0.1", &target.address));
	target.port = serve(script);
	open_at_start = open_files();
	ck_assert_ptr_nonnull(probe_start(prober, &target, done, &calls));
	ck_assert_uint_eq(calls, 0); /* never from within */
	ck_assert_int_ge(event_base_dispatch(base), 0);
	ck_assert_uint_eq(calls, 1);
	prober_free(prober);
}

static const struct script plain = {"srsrs", {"220 hi\r\n", "250 ok\r\n", "221 bye\r\n"}};
static const struct script secure = {"srsrstrsrs",
    {"220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n", "250 ok\r\n", "221 bye\r\n"}};
static const struct script garbled = {
    "srsrsgc", {"220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n"}};

START_TEST(test_good)
{
	run(&plain, (struct probe_target){.port = 0});
	ck_assert_int_eq(found.outcome, PROBE_GOOD);
	ck_assert_str_eq(found.reason, "");
}
END_TEST

START_TEST(test_tls)
{
	run(&secure, (struct probe_target){.tls_required = true});
	ck_assert_int_eq(found.outcome, PROBE_GOOD);
	ck_assert_str_eq(found.reason, "");
}
END_TEST

START_TEST(test_tls_missing)
{
	run(&plain, (struct probe_target){.tls_required = true});
	ck_assert_int_eq(found.outcome, PROBE_BROKEN);
}
END_TEST

START_TEST(test_pin)
{
	struct probe_target target = {.port = 0};

	(void)strcpy(target.pin_certificate, pin);
	run(&secure, target);
	ck_assert_int_eq(found.outcome, PROBE_GOOD);
}
END_TEST

START_TEST(test_pin_of_another)
{
	struct probe_target target = {.port = 0};

	(void)strcpy(target.pin_certificate, pin);
	target.pin_certificate[5] = target.pin_certificate[5] == 'A' ? 'B' : 'A';
	run(&secure, target);
	ck_assert_int_eq(found.outcome, PROBE_WRONG_HOST);
}
END_TEST

START_TEST(test_pin_without_tls)
{
	struct probe_target target = {.port = 0};

	(void)strcpy(target.pin_certificate, pin);
	run(_i == 0 ? &plain : &garbled, target);
	ck_assert_int_eq(found.outcome, PROBE_WRONG_HOST);
}
END_TEST

START_TEST(test_garbage_for_tls)
{
	run(&garbled, (struct probe_target){.tls_required = _i == 1});
	ck_assert_int_eq(found.outcome, _i == 1 ? PROBE_BROKEN : PROBE_GOOD);
	ck_assert_ptr_nonnull(strstr(found.reason, "TLS handshake"));
}
END_TEST

START_TEST(test_refused)
{
	run(NULL, (struct probe_target){.port = 0});
	ck_assert_int_eq(found.outcome, PROBE_DOWN);
	ck_assert_str_eq(found.reason, "connect: Connection refused");
	ck_assert_uint_eq(open_at_end, open_at_start); /* another may begin at once */
}
END_TEST

/* Fewer at once where there are not so many descriptors; the other work has some left. */
START_TEST(test_most)
{
	struct rlimit limit, kept;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &kept), 0);
	limit = kept;
	limit.rlim_cur = kept.rlim_max < 1024 ? kept.rlim_max : 1024;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(prober_most(100), 100);
	const unsigned most = prober_most(2000);
	ck_assert_uint_ge(most, 16);
	ck_assert_uint_lt(most + most / 4 + 400, 1024);
	ck_assert_uint_eq(prober_most(most), most);
	limit.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(prober_most(2000), 16);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &kept), 0);
}
END_TEST

START_TEST(test_closed)
{
	static const struct script scripts[] = {{"c", {NULL}}, {"src", {"220 hi\r\n"}}};

	run(&scripts[_i], (struct probe_target){.port = 0});
	ck_assert_int_eq(found.outcome, PROBE_DOWN);
}
END_TEST

START_TEST(test_flood)
{
	static const struct script flood = {"f", {NULL}};

	run(&flood, (struct probe_target){.port = 0});
	ck_assert_int_eq(found.outcome, PROBE_BROKEN);
}
END_TEST

/* A farewell without an answer delays nothing but a second. */
START_TEST(test_no_farewell)
{
	static const struct script rude = {"srsrrr", {"220 hi\r\n", "250 ok\r\n"}};

	run(&rude, (struct probe_target){.port = 0});
	ck_assert_int_eq(found.outcome, PROBE_GOOD);
}
END_TEST

START_TEST(test_cancel)
{
	struct probe_sender sender = {.helo = "relay.example"};
	struct prober *prober = prober_new(base, &sender);
	struct probe_target target = {.port = serve(&plain)};
	unsigned calls = 0;

	ck_assert(ip_parse("127.0.0.1", &target.address));
	struct probe *probe = probe_start(prober, &target, done, &calls);
	ck_assert_ptr_nonnull(probe);
	(void)event_base_loop(base, EVLOOP_ONCE);
	if (calls == 0)
		probe_cancel(probe);
	(void)event_base_dispatch(base);
	ck_assert_uint_eq(calls, 0);
	prober_free(prober);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued/probe");
	TCase *tcase = tcase_create("sockets");

	make_certificate();
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_good);
	tcase_add_test(tcase, test_tls);
	tcase_add_test(tcase, test_tls_missing);
	tcase_add_test(tcase, test_pin);
	tcase_add_test(tcase, test_pin_of_another);
	tcase_add_loop_test(tcase, test_pin_without_tls, 0, 2);
	tcase_add_loop_test(tcase, test_garbage_for_tls, 0, 2);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_most);
	tcase_add_loop_test(tcase, test_closed, 0, 2);
	tcase_add_test(tcase, test_flood);
	tcase_add_test(tcase, test_no_farewell);
	tcase_add_test(tcase, test_cancel);
	suite_add_tcase(suite, tcase);
	int code = table_run(suite);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return code;
}
