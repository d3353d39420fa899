/*
 * log: one event a line, as key=value pairs, to syslog (facility mail) or to stderr.
 *
 * In: typed fields. Out: a line such as `event=decision domain=example.com rule=5`. Text values
 * that hold blanks, quotes, control characters or bytes outside ASCII come out quoted and escaped,
 * so that no value can forge another field or line. Never allocates, and never waits
 * for long: a log that takes no line within 20 ms gets none for a second, and then
 * `event=log-lost lines=N`. Safe in threads.
 */
#ifndef MXHOLD_CORE_LOG_H
#define MXHOLD_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

struct log_field {
	const char *key;  /* a C identifier; NULL ends the list */
	const char *text; /* NULL: the number counts */
	size_t length;    /* of text, in bytes */
	long long number;
};

/* `ident` is kept by reference and must live as long as the process. Before log_open: stderr. */
void log_open(const char *ident, bool to_stderr);

/* Another socket than /dev/log, kept by reference (tests). */
void log_set_socket(const char *path);

/* In a child after fork, when it has closed what it inherited: forgets the parent's connection. */
void log_after_fork(void);

/* Priorities are syslog's (LOG_INFO ...). A line is cut at 2,000 bytes. */
void log_fields(int priority, const char *event, const struct log_field *fields);

struct log_field kv(const char *key, const char *text); /* NULL text is logged as "" */
struct log_field kv_bytes(const char *key, const char *bytes, size_t length);
struct log_field kv_number(const char *key, long long number);

/* log_event(LOG_INFO, "snapshot-loaded", kv_number("domains", n), kv("epoch", epoch)); */
#define log_event(priority, ...) log_event_(priority, __VA_ARGS__, {NULL, NULL, 0, 0})
#define log_event_(priority, event, ...)                                                           \
	log_fields(priority, event, (const struct log_field[]){__VA_ARGS__})

/*
 * Writes the escaped form of a value (with its quotes where it needs them) to `out`, always
 * NUL-terminated when size > 0. Returns the length written. Pure.
 */
size_t log_escape(char *out, size_t size, const char *bytes, size_t length);

#endif
