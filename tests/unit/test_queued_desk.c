/*
 * test_queued_desk: requests as they come over the control socket, the socket itself with a
 * client that asks, and the client of the helper with helpers that are none.
 */
#include "queued/desk.h"
#include "queued/helper_client.h"

#include "core/state.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NOW 1700000000

/* --- requests -----------------------------------------------------------------------------------
 */

static const char *
parse(const char *line, struct desk_request *out)
{
	const char *error;

	return desk_parse(line, strlen(line), NOW, out, &error) ? NULL : error;
}

START_TEST(test_good_requests)
{
	static const struct {
		const char *line;
		enum desk_do what;
	} cases[] = {
	    {"{\"do\":\"ping\"}", DESK_PING},
	    {"{\"do\":\"status\"}", DESK_STATUS},
	    {"{\"do\":\"list\",\"by\":\"x\"}", DESK_LIST},
	    {"{\"do\":\"show\",\"domain\":\"A.Example.\"}", DESK_SHOW},
	    {"{\"do\":\"show\",\"id\":\"4jX72F1Cpnz1c7tm\",\"limit\":5}", DESK_SHOW},
	    {"{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":null}", DESK_HOLD},
	    {"{\"do\":\"hold\",\"id\":\"ABCDEF\"}", DESK_HOLD},
	    {"{\"do\":\"release\",\"domain\":\"a.example\"}", DESK_RELEASE},
	    {"{\"do\":\"flush\",\"domain\":\"a.example\"}", DESK_FLUSH},
	    {"{\"do\":\"drop\",\"id\":\"ABCDEF\",\"reason\":\"x\"}", DESK_DROP},
	    {"{\"do\":\"drop\",\"domain\":\"a.example\",\"ask\":true}", DESK_DROP},
	    {"{\"do\":\"primaries\"}", DESK_PRIMARIES},
	    {"{\"do\":\"probe\",\"domain\":\"a.example\"}", DESK_PROBE},
	    {"{\"do\":\"mx\",\"domain\":\"a.example\"}", DESK_MX},
	    {"{\"do\":\"watch\"}", DESK_WATCH},
	    {"{\"do\":\"alerts\"}", DESK_ALERTS},
	};
	struct desk_request request;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(parse(cases[i].line, &request) == NULL, "%s", cases[i].line);
		ck_assert_int_eq(request.what, cases[i].what);
	}
	ck_assert_ptr_null(parse("{\"do\":\"hold\",\"domain\":\"A.Example.\",\"until\":1700000001,"
				 "\"silent\":true,\"reason\":\"new server\",\"by\":\"al ice\\n\"}",
	    &request));
	ck_assert_str_eq(request.domain, "a.example");
	ck_assert_int_eq(request.until, NOW + 1);
	ck_assert(request.silent);
	ck_assert_str_eq(request.reason, "new server");
	ck_assert_str_eq(request.by, "al_ice_");
	ck_assert_uint_eq(request.limit, DESK_SHOWN);
	ck_assert_ptr_null(
	    parse("{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":null}", &request));
	ck_assert(request.until == HOLD_FOREVER);
	ck_assert_ptr_null(
	    parse("{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":253402300799}", &request));
	ck_assert(request.until == HOLD_LAST);
	ck_assert_str_eq(request.by, "-");
	ck_assert(!request.ask && request.newest == 0);
	ck_assert_ptr_null(parse(
	    "{\"newest\":1700000000123456,\"do\":\"drop\",\"domain\":\"a.example\"}", &request));
	ck_assert_int_eq(request.newest, 1700000000123456);
}
END_TEST

START_TEST(test_bad_requests)
{
	static const char *const lines[] = {"", "x", "null", "[]", "{}", "{\"do\":null}",
	    "{\"do\":\"erase\"}", "{\"do\":\"list\",\"do\":\"list\"}", "{\"do\":\"list\",\"x\":1}",
	    "{\"do\":\"list\",\"domain\":\"a.example\"}", "{\"do\":\"show\"}",
	    "{\"do\":\"show\",\"domain\":\"a\"}", "{\"do\":\"show\",\"domain\":7}",
	    "{\"do\":\"show\",\"domain\":\"a..example\"}", "{\"do\":\"show\",\"id\":\"ALL\"}",
	    "{\"do\":\"show\",\"id\":\"../../etc\"}",
	    "{\"do\":\"show\",\"id\":\"ABCDEF\",\"domain\":\"a.example\"}",
	    "{\"do\":\"show\",\"domain\":\"a.example\",\"limit\":0}",
	    "{\"do\":\"show\",\"domain\":\"a.example\",\"limit\":10001}",
	    "{\"do\":\"show\",\"domain\":\"a.example\",\"limit\":\"5\"}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\"}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":1700000000}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":-1}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":1e30}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":253402300800}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":9223372036854775806}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":9223372036854775807}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":null,\"silent\":1}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":null,\"reason\":1}",
	    "{\"do\":\"flush\",\"id\":\"ABCDEF\"}", "{\"do\":\"probe\"}",
	    "{\"do\":\"drop\",\"id\":\"ABCDEF\",\"ask\":true}",
	    "{\"do\":\"drop\",\"id\":\"ABCDEF\",\"newest\":1}",
	    "{\"do\":\"drop\",\"domain\":\"a.example\",\"ask\":1}",
	    "{\"do\":\"drop\",\"domain\":\"a.example\",\"newest\":0}",
	    "{\"do\":\"drop\",\"domain\":\"a.example\",\"newest\":null}",
	    "{\"do\":\"hold\",\"domain\":\"a.example\",\"until\":null,\"ask\":true}",
	    "{\"do\":\"drop\",\"by\":1,\"id\":\"ABCDEF\"}", "{\"do\":\"ping\"} x",
	    "{\"do\":\"ping\""};
	struct desk_request request;
	char reason[600] = "{\"do\":\"drop\",\"id\":\"ABCDEF\",\"reason\":\"";

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(parse(lines[i], &request) != NULL, "%s", lines[i]);
	memset(reason + strlen(reason), 'r', 256);
	strcat(reason, "\"}");
	ck_assert_ptr_nonnull(parse(reason, &request));
}
END_TEST

/* --- the socket ---------------------------------------------------------------------------------
 */

static struct event_base *base;
static char directory[32];
static struct desk *desk;
static uint64_t put_off;

/* Until nothing more happens by itself: all of it is on this host. */
static void
settle(void)
{
	for (int i = 0; i < 20; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
turn(int milliseconds)
{
	const struct timeval wait = {
	    .tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	(void)event_base_loopexit(base, &wait);
	(void)event_base_dispatch(base);
}

static struct sockaddr_un
address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name);
	return address;
}

static int
listen_at(const char *name)
{
	const struct sockaddr_un address = address_of(name);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static int
dial(const char *name)
{
	const struct sockaddr_un address = address_of(name);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What came; "EOF" where the other side is gone. */
static const char *
hear(int fd)
{
	static char text[65536];
	const ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (got == 0)
		return "EOF";
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static enum desk_end
run(void *context, const struct desk_request *request, uint64_t ticket, struct desk_reply *reply,
    char error[256])
{
	(void)context;
	switch (request->what) {
	case DESK_LIST:
		ck_assert(desk_say(reply, json_pack("{s:s}", "domain", "a.example")));
		return DESK_DONE;
	case DESK_RELEASE: put_off = ticket; return DESK_LATER;
	case DESK_ALERTS: (void)desk_say(reply, NULL); return DESK_DONE;
	case DESK_WATCH:
		if (strcmp(request->domain, "unknown.example") != 0)
			return DESK_DONE;
		(void)snprintf(error, 256, "nobody knows it\n");
		return DESK_ERROR;
	case DESK_SHOW:
		for (int i = 0; i < 5000; i++)
			(void)desk_say(reply, json_pack("{s:s}", "text", "0123456789"));
		return DESK_DONE;
	default: (void)snprintf(error, 256, "no\n\xff"); return DESK_ERROR;
	}
}

static void
view(void *context, const char *domain, struct desk_reply *reply)
{
	(void)context;
	(void)desk_say(reply, json_pack("{s:s}", "changed", domain));
}

static void
set_up(void)
{
	static uid_t readers[1];
	const struct desk_setup setup = {.listen_fd = -1,
	    .readers = readers,
	    .reader_count = 1,
	    .ports = {.run = run, .view = view}};
	struct desk_setup made = setup;

	strcpy(directory, "/tmp/mxctl.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	readers[0] = (uid_t)-1;
	base = event_base_new();
	made.base = base;
	made.listen_fd = listen_at("c");
	desk = desk_new(&made);
	ck_assert_ptr_nonnull(desk);
}

static void
tear_down(void)
{
	char command[64];

	desk_free(desk);
	event_base_free(base);
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_asked_and_answered)
{
	const int fd = dial("c");

	say(fd, "{\"do\":\"list\"}\r\n{\"do\":\"pi");
	settle();
	ck_assert_str_eq(hear(fd), "{\"domain\":\"a.example\"}\n{\"end\":true,\"error\":null}\n");
	say(fd, "ng\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":null}\n");
	say(fd, "{\"do\":\"flush\",\"domain\":\"a.example\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":\"no??\"}\n");
	say(fd, "{\"do\":\"alerts\"}\n");
	settle();
	ck_assert_ptr_nonnull(strstr(hear(fd), "more than can be told"));
	close(fd);
	settle();
}
END_TEST

START_TEST(test_later)
{
	const int fd = dial("c"), gone = dial("c");

	say(fd, "{\"do\":\"release\",\"domain\":\"a.example\"}\n{\"do\":\"ping\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), ""); /* and what is behind it waits too */
	desk_finish(desk, put_off + 1, "another one's");
	desk_finish(desk, put_off, "the helper\n is away");
	desk_finish(desk, put_off, NULL);
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":\"the helper? is away\"}\n"
				   "{\"end\":true,\"error\":null}\n");
	say(gone, "{\"do\":\"release\",\"domain\":\"a.example\"}\n");
	settle();
	close(gone);
	settle();
	desk_finish(desk, put_off, NULL);
	say(fd, "{\"do\":\"release\",\"domain\":\"a.example\"}\n");
	settle();
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0); /* he still reads */
	settle();
	desk_finish(desk, put_off, NULL);
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":null}\n");
	ck_assert_str_eq(hear(fd), "EOF");
	close(fd);
}
END_TEST

/* All that was asked before he closed his side is done and answered, however the answers come. */
START_TEST(test_asked_and_hung_up)
{
	static const struct {
		const char *asked;
		size_t answers, later;
	} cases[] = {
	    {"{\"do\":\"ping\"}\n{\"do\":\"list\"}\n{\"do\":\"flush\",\"domain\":\"a.example\"}\n",
		3, 0},
	    {"{\"do\":\"release\",\"id\":\"ABCDEF\"}\n{\"do\":\"release\",\"id\":\"ABCDEF\"}\n"
	     "{\"do\":\"ping\"}\n",
		3, 2},
	    {"{\"do\":\"show\",\"domain\":\"a.example\"}\n{\"do\":\"release\",\"id\":\"ABCDEF\"}\n"
	     "{\"do\":\"show\",\"domain\":\"a.example\"}\n{\"do\":\"ping\"}\n{\"do\":",
		4, 1},
	    {"x\ny\n", 2, 0},
	    {"{\"do\":\"ping\"", 0, 0},
	    {"{\"do\":\"list\"}\n{\"do\":\"watch\"}\n", 1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const int fd = dial("c");
		size_t heard = 0, later = 0;
		const char *text = "";

		put_off = 0;
		say(fd, cases[i].asked);
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
		for (int turns = 0; turns < 1000 && strcmp(text, "EOF") != 0; turns++) {
			settle();
			if (put_off != 0) {
				const uint64_t ticket = put_off;
				put_off = 0;
				later++;
				desk_finish(desk, ticket, NULL);
				settle();
			}
			text = hear(fd);
			for (const char *at = text; (at = strstr(at, "\"end\"")) != NULL; at++)
				heard++;
		}
		ck_assert_msg(strcmp(text, "EOF") == 0, "%zu: no end", i);
		ck_assert_msg(heard == cases[i].answers, "%zu: %zu answers", i, heard);
		ck_assert_msg(later == cases[i].later, "%zu: %zu put off", i, later);
		close(fd);
	}
}
END_TEST

/* Who hung up and reads nothing is kept no longer than others; who has gone is not answered. */
START_TEST(test_gone_while_asking)
{
	const int fd = dial("c");

	for (int i = 0; i < 20; i++)
		say(fd, "{\"do\":\"show\",\"domain\":\"a.example\"}\n");
	say(fd, "{\"do\":\"release\",\"id\":\"ABCDEF\"}\n");
	close(fd);
	put_off = 0;
	settle();
	ck_assert_uint_eq(put_off, 0);
	const int next = dial("c");
	say(next, "{\"do\":\"ping\"}\n");
	settle();
	ck_assert_str_eq(hear(next), "{\"end\":true,\"error\":null}\n");
	close(next);
}
END_TEST

START_TEST(test_watching)
{
	const int all = dial("c"), one = dial("c");

	say(all, "{\"do\":\"watch\"}\n");
	say(one, "{\"do\":\"watch\",\"domain\":\"a.example\"}\n");
	settle();
	desk_changed(desk, "a.example");
	desk_changed(desk, "b.example");
	settle();
	ck_assert_str_eq(hear(all), "{\"changed\":\"a.example\"}\n{\"changed\":\"b.example\"}\n");
	ck_assert_str_eq(hear(one), "{\"changed\":\"a.example\"}\n");
	close(all);
	close(one);
}
END_TEST

static size_t
lines_of(const char *text)
{
	size_t count = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		count++;
	return count;
}

/* Whoever reads gets all of it, however much comes at once; what changed twice he sees once. */
START_TEST(test_watching_a_crowd)
{
	const int fd = dial("c"), one = dial("c");
	char domain[300];
	size_t heard = 0;

	say(fd, "{\"do\":\"watch\"}\n");
	say(one, "{\"do\":\"watch\",\"domain\":\"d7.example\"}\n");
	settle();
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(domain, sizeof(domain), "%0200d.d%d.example", 0, i % 10000);
		desk_changed(desk, domain);
	}
	desk_changed(desk, "d7.example");
	settle();
	for (const char *text; *(text = hear(fd)) != '\0'; settle()) {
		ck_assert(strcmp(text, "EOF") != 0);
		heard += lines_of(text);
	}
	ck_assert_uint_ge(heard, 10001);
	ck_assert_uint_lt(heard, 11000); /* some were shown before they changed again */
	ck_assert_str_eq(hear(one), "{\"changed\":\"d7.example\"}\n");
	desk_changed(desk, "d7.example"); /* and what comes later */
	settle();
	ck_assert_str_eq(hear(fd), "{\"changed\":\"d7.example\"}\n");
	close(fd);
	close(one);
}
END_TEST

START_TEST(test_watching_without_reading)
{
	char domain[300];
	int fd;

	desk_set_patience(desk, 300);
	fd = dial("c");
	say(fd, "{\"do\":\"watch\"}\n");
	settle();
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(domain, sizeof(domain), "%0200d.d%d.example", 0, i);
		desk_changed(desk, domain);
	}
	turn(1500); /* nobody reads: he is given up */
	for (int i = 0; i < 1000 && *hear(fd) == '{'; i++)
		turn(10);
	ck_assert_str_eq(hear(fd), "EOF");
	close(fd);
}
END_TEST

START_TEST(test_unread_answers_put_off_the_next)
{
	const int fd = dial("c");
	size_t heard = 0;

	for (int i = 0; i < 10; i++)
		say(fd, "{\"do\":\"show\",\"domain\":\"a.example\"}\n");
	for (int i = 0; i < 3000; i++) {
		const char *text = hear(fd);
		for (; (text = strstr(text, "\"end\"")) != NULL; text++)
			heard++;
		settle();
		if (heard == 10)
			break;
	}
	ck_assert_uint_eq(heard, 10);
	close(fd);
}
END_TEST

START_TEST(test_crowd)
{
	int crowd[3 * DESK_CLIENTS];

	for (size_t i = 0; i < 3 * DESK_CLIENTS; i++) {
		crowd[i] = dial("c");
		settle();
	}
	const int fd = dial("c");
	say(fd, "{\"do\":\"ping\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":null}\n");
	ck_assert_str_eq(hear(crowd[0]), "EOF");
	close(fd);
	for (size_t i = 0; i < 3 * DESK_CLIENTS; i++)
		close(crowd[i]);
	settle();
}
END_TEST

/* What is not known would be watched in silence for ever. He who was refused may ask on. */
START_TEST(test_watching_what_is_not_known)
{
	const int fd = dial("c");

	say(fd, "{\"do\":\"watch\",\"domain\":\"unknown.example\"}\n{\"do\":\"ping\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":\"nobody knows it?\"}\n"
				   "{\"end\":true,\"error\":null}\n");
	desk_changed(desk, "unknown.example");
	settle();
	ck_assert_str_eq(hear(fd), "");
	close(fd);
	settle();
}
END_TEST

/* Those who watch stay; so many that nobody else had a place are too many. */
START_TEST(test_crowd_that_watches)
{
	int crowd[2 * DESK_CLIENTS];

	for (size_t i = 0; i < 2 * DESK_CLIENTS; i++) {
		crowd[i] = dial("c");
		say(crowd[i], "{\"do\":\"watch\"}\n");
		settle();
	}
	const int fd = dial("c");
	say(fd, "{\"do\":\"ping\"}\n");
	settle();
	ck_assert_str_eq(hear(fd), "{\"end\":true,\"error\":null}\n");
	ck_assert_str_eq(hear(crowd[DESK_WATCHERS]),
	    "{\"end\":true,\"error\":\"busy: too many are watching\"}\n");
	desk_changed(desk, "a.example");
	settle();
	ck_assert_str_eq(hear(crowd[0]), "{\"changed\":\"a.example\"}\n");
	close(fd);
	for (size_t i = 0; i < 2 * DESK_CLIENTS; i++)
		close(crowd[i]);
	settle();
}
END_TEST

/* --- the helper's client ------------------------------------------------------------------------
 */

struct answered {
	int count;
	enum helper_answer answer;
	char text[HELPER_ANSWER_MAX];
};

static void
done(void *context, const char *queue_id, enum helper_answer answer, const char *text)
{
	struct answered *answered = context;

	ck_assert_str_eq(queue_id, "ABCDEF");
	answered->count++;
	answered->answer = answer;
	(void)snprintf(answered->text, sizeof(answered->text), "%s", text);
}

static const struct helper_request delete_one = {
    .verb = HELPER_DELETE, .queue_id = "ABCDEF", .why = "expired", .by = ""};

/* Asks, and has `reply` said; NULL: the helper hangs up. */
static struct answered
ask(struct helper_client *client, int listener, const char *reply)
{
	struct answered answered = {.count = 0};

	ck_assert(helper_client_ask(client, &delete_one, done, &answered));
	settle();
	const int fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	ck_assert_str_eq(hear(fd), "delete ABCDEF expired -\n");
	if (reply != NULL)
		say(fd, reply);
	close(fd);
	settle();
	ck_assert_int_eq(answered.count, 1);
	ck_assert_uint_eq(helper_client_under_way(client), 0);
	return answered;
}

START_TEST(test_helper_client)
{
	struct helper_client *client = helper_client_new(base, directory);
	struct answered answered = {.count = 0};
	const struct helper_request bad = {.verb = HELPER_DELETE, .queue_id = "ALL"};
	char huge[4096];

	ck_assert(!helper_client_ask(client, &bad, done, &answered));
	ck_assert(helper_client_ask(client, &delete_one, done, &answered));
	ck_assert_int_eq(answered.count, 0); /* later, from the loop */
	settle();
	ck_assert_int_eq(answered.count, 1);
	ck_assert_int_eq(answered.answer, HELPER_FAILED);
	ck_assert_ptr_nonnull(strstr(answered.text, "No such file"));
	ck_assert_ptr_nonnull(strstr(answered.text, ": is mxhold-helper running?"));
	const int listener = listen_at("helper");
	ck_assert_int_eq(ask(client, listener, "ok\n").answer, HELPER_DONE);
	ck_assert_int_eq(ask(client, listener, "gone\n").answer, HELPER_GONE);
	answered = ask(client, listener, "failed it is late\n");
	ck_assert_int_eq(answered.answer, HELPER_FAILED);
	ck_assert_str_eq(answered.text, "it is late");
	answered = ask(client, listener, NULL);
	ck_assert_int_eq(answered.answer, HELPER_UNSURE);
	ck_assert_str_eq(answered.text, "the helper hung up");
	ck_assert_str_eq(ask(client, listener, "okay\n").text, "what answers there is no helper");
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	ck_assert_int_eq(ask(client, listener, huge).answer, HELPER_FAILED);
	ck_assert_int_eq(ask(client, listener, "ok").answer, HELPER_UNSURE); /* half a line */
	helper_client_free(client);
	close(listener);
}
END_TEST

START_TEST(test_helper_client_bounds)
{
	struct helper_client *client = helper_client_new(base, directory);
	struct answered answered = {.count = 0};
	const int listener = listen_at("helper");

	for (int i = 0; i < HELPER_CLIENT_AT_ONCE; i++)
		ck_assert(helper_client_ask(client, &delete_one, done, &answered));
	ck_assert(!helper_client_ask(client, &delete_one, done, &answered));
	settle();
	ck_assert_int_eq(answered.count, 0);
	helper_client_free(client); /* with all of them under way: nobody is called */
	settle();
	ck_assert_int_eq(answered.count, 0);
	client = helper_client_new(base, directory);
	helper_client_set_deadline(client, 100);
	ck_assert(helper_client_ask(client, &delete_one, done, &answered));
	turn(200);
	ck_assert_int_eq(answered.count, 1);
	ck_assert_int_eq(answered.answer, HELPER_UNSURE);
	ck_assert_str_eq(
	    answered.text, "the helper did not answer in time: is mxhold-helper running?");
	helper_client_free(client);
	close(listener);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued_desk");
	TCase *pure = tcase_create("requests"), *sockets = tcase_create("sockets");

	tcase_add_test(pure, test_good_requests);
	tcase_add_test(pure, test_bad_requests);
	suite_add_tcase(suite, pure);
	tcase_add_checked_fixture(sockets, set_up, tear_down);
	tcase_set_timeout(sockets, 30);
	tcase_add_test(sockets, test_asked_and_answered);
	tcase_add_test(sockets, test_later);
	tcase_add_test(sockets, test_asked_and_hung_up);
	tcase_add_test(sockets, test_gone_while_asking);
	tcase_add_test(sockets, test_watching);
	tcase_add_test(sockets, test_watching_what_is_not_known);
	tcase_add_test(sockets, test_watching_a_crowd);
	tcase_add_test(sockets, test_watching_without_reading);
	tcase_add_test(sockets, test_unread_answers_put_off_the_next);
	tcase_add_test(sockets, test_crowd);
	tcase_add_test(sockets, test_crowd_that_watches);
	tcase_add_test(sockets, test_helper_client);
	tcase_add_test(sockets, test_helper_client_bounds);
	suite_add_tcase(suite, sockets);
	(void)signal(SIGPIPE, SIG_IGN); /* as core/supervise has it */
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
