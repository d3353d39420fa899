/*
 * mx_policy: see mx_policy.h. What a web server serves that is no policy, or a certificate that is
 * not good, is the customer's fault (BROKEN: who follows RFC 8461 sees no policy either); no answer
 * in time is nobody's (CANNOT_TELL).
 */
#include "ctl/mx_policy.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 10000L
#define CONNECT_MS 5000L

struct body {
	char bytes[MTA_STS_POLICY_MAX];
	size_t used;
	bool overflow;
};

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct body *body = context;
	const size_t length = size * count;

	if (length > sizeof(body->bytes) - body->used) {
		body->overflow = true;
		return 0;
	}
	memcpy(body->bytes + body->used, bytes, length);
	body->used += length;
	return length;
}

static CURLcode
get(CURL *curl, const char *url, struct body *body, char error[CURL_ERROR_SIZE])
{
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, DEADLINE_MS);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "mxholdctl/" MXHOLD_VERSION);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	return curl_easy_perform(curl);
}

static bool
is_their_fault(CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING: return true;
	default: return false;
	}
}

/* What came of it. */
static enum mx_sts
judge_transfer(CURL *curl, CURLcode code, const struct body *body, struct mta_sts_policy *out,
    const char **problem)
{
	static char words[96];
	long status = 0;

	if (body->overflow) {
		*problem = "it is longer than 64 KiB";
		return MX_STS_BROKEN;
	}
	if (code != CURLE_OK)
		return is_their_fault(code) ? MX_STS_BROKEN : MX_STS_CANNOT_TELL;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) { /* 3xx: section 3.3 forbids to follow */
		snprintf(words, sizeof(words), "the web server answers %ld", status);
		*problem = words;
		return status >= 500 ? MX_STS_CANNOT_TELL : MX_STS_BROKEN;
	}
	return mta_sts_policy_parse(body->bytes, body->used, out, problem) ? MX_STS_POLICY
									   : MX_STS_BROKEN;
}

enum mx_sts
mx_policy_fetch(const char *domain, struct mta_sts_policy *out, const char **problem)
{
	static char error[CURL_ERROR_SIZE];
	char url[DOMAIN_SIZE + 64];
	enum mx_sts result = MX_STS_CANNOT_TELL;
	struct body *body = calloc(1, sizeof(*body));
	CURL *curl = NULL;

	*problem = "out of memory";
	if (body != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
		curl = curl_easy_init();
	if (curl != NULL) {
		snprintf(url, sizeof(url), "https://mta-sts.%s/.well-known/mta-sts.txt", domain);
		error[0] = '\0';
		const CURLcode code = get(curl, url, body, error);
		*problem = error[0] != '\0' ? error : curl_easy_strerror(code);
		result = judge_transfer(curl, code, body, out, problem);
		curl_easy_cleanup(curl);
	}
	free(body);
	return result;
}
