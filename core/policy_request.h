/*
 * policy_request: the request of the Postfix policy delegation protocol (SMTPD_POLICY_README):
 * `name=value` lines, ended by an empty line. Pure, incremental and bounded.
 */
#ifndef MXHOLD_CORE_POLICY_REQUEST_H
#define MXHOLD_CORE_POLICY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_REQUEST_MAX 16384 /* bytes of one request; a longer one is an error */
#define POLICY_SIZE_UNKNOWN UINT64_MAX

struct policy_request { /* values point into the caller's buffer; absent ones are "" */
	const char *request;
	const char *protocol_state;
	const char *protocol_name;
	const char *client_address;
	const char *helo_name;
	const char *sender;
	const char *recipient;
	const char *queue_id;
	const char *instance;
	uint64_t size; /* declared SIZE, bytes; POLICY_SIZE_UNKNOWN where absent or 0 */
};

/*
 * Length of the first whole request in data[0..length) with its empty line; 0 when it is not
 * complete yet. *resume says where to go on scanning: the caller keeps it with the buffer and sets
 * it to 0 when the start of the buffer changes.
 */
size_t policy_request_length(const char *data, size_t length, size_t *resume);

/*
 * Parses one whole request in place (ends of values become NUL). Unknown attributes are passed
 * over, a repeated known attribute, a line without '=', a NUL byte, or a bad size is an error. On
 * false, *error is a static text that names the fault.
 */
bool policy_request_parse(char *data, size_t length, struct policy_request *out, const char **error)
    __attribute__((warn_unused_result));

#endif
