/*
 * test_policyd_parts: the small pure parts of policyd: framing of requests, the bucket that bounds
 * the log, buffers, the lists of clients.
 */
#include "core/policy_request.h"
#include "policyd/buffer.h"
#include "policyd/client.h"
#include "policyd/flood.h"
#include "policyd/protocol.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- flood ------------------------------------------------------------------------------ */

START_TEST(test_flood_burst_then_rate)
{
	struct flood flood;
	int64_t now = 1000;
	int i, allowed = 0;

	flood_init(&flood, 10, 50, now);
	for (i = 0; i < 1000; i++)
		allowed += flood_allow(&flood, now);
	ck_assert_int_eq(allowed, 50);
	ck_assert_int_eq(flood_report(&flood), 950);
	ck_assert_int_eq(flood_report(&flood), 0);
	for (i = 0; i < 1000; i++)
		allowed += flood_allow(&flood, now + i); /* one second, ask each ms */
	ck_assert_int_ge(allowed, 50 + 9);
	ck_assert_int_le(allowed, 50 + 10);
}
END_TEST

START_TEST(test_flood_long_sleep_fills_once)
{
	struct flood flood;
	int i, allowed = 0;

	flood_init(&flood, 1000, 100, 0);
	for (i = 0; i < 100; i++)
		ck_assert(flood_allow(&flood, 0));
	ck_assert(!flood_allow(&flood, 0));
	for (i = 0; i < 1000; i++)
		allowed += flood_allow(&flood, INT64_MAX / 2);
	ck_assert_int_eq(allowed, 100);
	ck_assert(!flood_allow(&flood, 5)); /* a clock that ran backwards gives nothing */
}
END_TEST

/* --- buffer ----------------------------------------------------------------------------- */

START_TEST(test_buffer_grows_and_shrinks)
{
	struct buffer buffer = {.data = NULL};
	char bytes[10000];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	ck_assert(buffer_set(&buffer, bytes, 10));
	ck_assert_uint_eq(buffer.size, 256);
	ck_assert(buffer_set(&buffer, bytes, 10000));
	ck_assert_uint_eq(buffer.size, 16384);
	ck_assert(buffer_set(&buffer, buffer.data + 100, 9900)); /* from inside */
	ck_assert_int_eq(memcmp(buffer.data, bytes + 100, 9900), 0);
	ck_assert(buffer_set(&buffer, buffer.data + 9000, 900)); /* much smaller now */
	ck_assert_uint_eq(buffer.size, 1024);
	ck_assert_int_eq(memcmp(buffer.data, bytes + 9100, 900), 0);
	ck_assert(buffer_set(&buffer, bytes, 0));
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.size, 0);
}
END_TEST

/* --- framing ---------------------------------------------------------------------------- */

/* Byte by byte, and all at once: the same request. */
START_TEST(test_policy_frame)
{
	char data[] = "request=x\na=b\n\nrequest=y\n\n";
	struct protocol_frame frame;
	size_t resume = 0, length;

	for (length = 0; length < 15; length++)
		ck_assert_int_eq(
		    protocol_of(PROTOCOL_POLICY)->frame(data, length, &resume, &frame), FRAME_MORE);
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data, 15, &resume, &frame), FRAME_WHOLE);
	ck_assert_uint_eq(frame.consumed, 15);
	resume = 0;
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data, sizeof(data) - 1, &resume, &frame),
	    FRAME_WHOLE);
	ck_assert_uint_eq(frame.consumed, 15);
	resume = 0;
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data + 15, 11, &resume, &frame), FRAME_WHOLE);
	ck_assert_uint_eq(frame.consumed, 11);
}
END_TEST

START_TEST(test_policy_frame_too_long)
{
	static char data[POLICY_REQUEST_MAX + 2];
	struct protocol_frame frame;
	size_t resume = 0;

	memset(data, 'a', sizeof(data));
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data, POLICY_REQUEST_MAX - 1, &resume, &frame),
	    FRAME_MORE);
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data, POLICY_REQUEST_MAX, &resume, &frame),
	    FRAME_BAD);
	data[POLICY_REQUEST_MAX] = data[POLICY_REQUEST_MAX + 1] = '\n';
	resume = 0;
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_POLICY)->frame(data, POLICY_REQUEST_MAX + 2, &resume, &frame),
	    FRAME_BAD);
}
END_TEST

START_TEST(test_map_frame)
{
	char data[] = "5:hello,3:abc,";
	struct protocol_frame frame;
	size_t resume = 0, length;

	for (length = 0; length < 8; length++)
		ck_assert_int_eq(
		    protocol_of(PROTOCOL_MAP)->frame(data, length, &resume, &frame), FRAME_MORE);
	ck_assert_int_eq(
	    protocol_of(PROTOCOL_MAP)->frame(data, sizeof(data) - 1, &resume, &frame), FRAME_WHOLE);
	ck_assert_uint_eq(frame.length, 5);
	ck_assert_ptr_eq(frame.payload, data + 2);
	ck_assert_uint_eq(frame.consumed, 8);
}
END_TEST

START_TEST(test_map_frame_bad)
{
	static const char *const bad[] = {"x", "-1:", "05:hello,", ":", "5;hello,", "5:hello;",
	    "8193:", "99999", "999999", "1000000000000000000000"};
	struct protocol_frame frame;
	size_t resume = 0, i;
	char data[64];

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(data, bad[i], strlen(bad[i]));
		ck_assert_msg(
		    protocol_of(PROTOCOL_MAP)->frame(data, strlen(bad[i]), &resume, &frame) ==
			FRAME_BAD,
		    "%s", bad[i]);
	}
}
END_TEST

/* --- clients ----------------------------------------------------------------------------- */

START_TEST(test_clients_keep_order_and_count_memory)
{
	struct client *a, *b;
	struct clients clients;
	int ends[2];

	clients_init(&clients);
	ck_assert_int_eq(pipe(ends), 0);
	a = client_new(&clients, ends[0], 10);
	b = client_new(&clients, ends[1], 20);
	ck_assert_ptr_eq(clients_first(&clients, CLIENT_NEW), a);
	client_set_state(&clients, a, CLIENT_IDLE, 30);
	client_set_state(&clients, b, CLIENT_IDLE, 40);
	ck_assert_ptr_eq(clients_first(&clients, CLIENT_IDLE), a);
	client_set_state(&clients, a, CLIENT_IDLE, 50); /* busy again: last */
	ck_assert_ptr_eq(clients_first(&clients, CLIENT_IDLE), b);
	ck_assert_int_eq(a->since, 50);
	ck_assert(client_keep(&clients, &a->in, "12345", 5));
	ck_assert(client_keep(&clients, &b->out, "12345", 5));
	ck_assert_uint_eq(clients.buffered, 512);
	ck_assert(client_keep(&clients, &b->out, "", 0));
	ck_assert_uint_eq(clients.buffered, 256);
	client_free(&clients, a);
	ck_assert_uint_eq(clients.buffered, 0);
	client_free(&clients, b);
	ck_assert_uint_eq(clients.count, 0);
	ck_assert_ptr_null(clients_first(&clients, CLIENT_IDLE));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policyd_parts");
	TCase *tcase = tcase_create("parts");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, test_flood_burst_then_rate);
	tcase_add_test(tcase, test_flood_long_sleep_fills_once);
	tcase_add_test(tcase, test_buffer_grows_and_shrinks);
	tcase_add_test(tcase, test_policy_frame);
	tcase_add_test(tcase, test_policy_frame_too_long);
	tcase_add_test(tcase, test_map_frame);
	tcase_add_test(tcase, test_map_frame_bad);
	tcase_add_test(tcase, test_clients_keep_order_and_count_memory);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
