/*
 * sts_fetch: see sts_fetch.h. libcurl says which sockets it waits for; they stand in an epoll set,
 * whose one descriptor is the caller's. What a web server serves that is no policy, or a
 * certificate that is not good, is the customer's fault (BROKEN: who follows RFC 8461 sees no
 * policy either); no answer in time is nobody's (CANNOT_TELL). It must never look a name up.
 */
#include "core/sts_fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECT_MS 5000L
#define EVENTS 16 /* taken at once */

struct sts_transfer {
	struct sts_fetcher *fetcher;
	CURL *curl;
	struct curl_slist *addresses;
	sts_fetched *done;
	void *context;
	bool overflow;
	size_t used;
	char error[CURL_ERROR_SIZE], words[96];
	char bytes[MTA_STS_POLICY_MAX];
};

struct sts_fetcher {
	CURLM *multi;
	int epoll_fd;
	bool timed; /* libcurl wants to be called `wait_ms` after the clock is looked at next */
	bool armed; /* at due_ms */
	int64_t wait_ms, due_ms;
	struct sts_transfer *transfers[STS_FETCH_MOST];
	struct mta_sts_policy policy; /* the one being told */
};

/* --- what libcurl calls ---------------------------------------------------------------------- */

static int
on_socket(CURL *curl, curl_socket_t fd, int what, void *context, void *of_socket)
{
	struct sts_fetcher *fetcher = context;
	struct epoll_event watch = {.data.fd = fd};

	(void)curl;
	(void)of_socket;
	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	watch.events =
	    (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_MOD, fd, &watch) == 0)
		return 0;
	/* Where that fails as well, the transfer's deadline ends it. */
	(void)epoll_ctl(fetcher->epoll_fd, EPOLL_CTL_ADD, fd, &watch);
	return 0;
}

static int
on_timer(CURLM *multi, long wait_ms, void *context)
{
	struct sts_fetcher *fetcher = context;

	(void)multi;
	fetcher->timed = wait_ms >= 0;
	fetcher->armed = false;
	fetcher->wait_ms = wait_ms;
	return 0;
}

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct sts_transfer *transfer = context;
	const size_t length = size * count;

	if (length > sizeof(transfer->bytes) - transfer->used) {
		transfer->overflow = true;
		return 0;
	}
	memcpy(transfer->bytes + transfer->used, bytes, length);
	transfer->used += length;
	return length;
}

/* --- life ------------------------------------------------------------------------------------ */

struct sts_fetcher *
sts_fetcher_new(void)
{
	struct sts_fetcher *fetcher = calloc(1, sizeof(*fetcher));

	if (fetcher == NULL)
		return NULL;
	fetcher->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (fetcher->epoll_fd >= 0 && curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
		fetcher->multi = curl_multi_init();
	if (fetcher->multi != NULL &&
	    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
	    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher) == CURLM_OK &&
	    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
	    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher) == CURLM_OK)
		return fetcher;
	sts_fetcher_free(fetcher);
	return NULL;
}

static void
transfer_free(struct sts_transfer *transfer)
{
	struct sts_fetcher *fetcher = transfer->fetcher;

	for (size_t i = 0; i < STS_FETCH_MOST; i++)
		if (fetcher->transfers[i] == transfer)
			fetcher->transfers[i] = NULL;
	(void)curl_multi_remove_handle(fetcher->multi, transfer->curl);
	curl_easy_cleanup(transfer->curl);
	curl_slist_free_all(transfer->addresses);
	free(transfer);
}

void
sts_fetch_cancel(struct sts_transfer *transfer)
{
	if (transfer != NULL)
		transfer_free(transfer);
}

void
sts_fetcher_free(struct sts_fetcher *fetcher)
{
	if (fetcher == NULL)
		return;
	for (size_t i = 0; i < STS_FETCH_MOST; i++)
		sts_fetch_cancel(fetcher->transfers[i]);
	if (fetcher->multi != NULL)
		(void)curl_multi_cleanup(fetcher->multi);
	if (fetcher->epoll_fd >= 0)
		close(fetcher->epoll_fd);
	free(fetcher);
}

/* --- a transfer ------------------------------------------------------------------------------ */

/* `+mta-sts.DOMAIN:443:192.0.2.1,[2001:db8::1]`: the + lets libcurl forget it after a minute. */
static struct curl_slist *
address_list(const char *domain, const struct ip *addresses, size_t count)
{
	char line[DOMAIN_SIZE + 32 + MX_ADDRESSES_MOST * (IP_TEXT_SIZE + 3)], text[IP_TEXT_SIZE];
	size_t used = (size_t)snprintf(line, sizeof(line), "+mta-sts.%s:443:", domain);

	for (size_t i = 0; i < count && i < MX_ADDRESSES_MOST; i++) {
		const bool six = addresses[i].family == 6;

		used +=
		    (size_t)snprintf(line + used, sizeof(line) - used, "%s%s%s%s", i > 0 ? "," : "",
			six ? "[" : "", ip_format(&addresses[i], text), six ? "]" : "");
	}
	return curl_slist_append(NULL, line);
}

static bool
set_options(struct sts_transfer *transfer, const char *url)
{
	CURL *curl = transfer->curl;

	curl_easy_setopt(curl, CURLOPT_RESOLVE, transfer->addresses);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)STS_FETCH_DEADLINE_MS);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "mxhold/" MXHOLD_VERSION);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	return curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
	       /* Whatever the environment says of proxies. */
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK;
}

static struct sts_transfer **
find_place(struct sts_fetcher *fetcher)
{
	for (size_t i = 0; i < STS_FETCH_MOST; i++)
		if (fetcher->transfers[i] == NULL)
			return &fetcher->transfers[i];
	return NULL;
}

struct sts_transfer *
sts_fetch(struct sts_fetcher *fetcher, const char *domain, const struct ip *addresses, size_t count,
    sts_fetched *done, void *context)
{
	struct sts_transfer **place = count > 0 ? find_place(fetcher) : NULL;
	struct sts_transfer *transfer = place != NULL ? calloc(1, sizeof(*transfer)) : NULL;
	char url[DOMAIN_SIZE + 64];

	if (transfer == NULL)
		return NULL;
	transfer->fetcher = fetcher;
	transfer->done = done;
	transfer->context = context;
	transfer->curl = curl_easy_init();
	transfer->addresses = address_list(domain, addresses, count);
	(void)snprintf(url, sizeof(url), "https://mta-sts.%s/.well-known/mta-sts.txt", domain);
	if (transfer->curl == NULL || transfer->addresses == NULL || !set_options(transfer, url) ||
	    curl_multi_add_handle(fetcher->multi, transfer->curl) != CURLM_OK) {
		transfer_free(transfer);
		return NULL;
	}
	*place = transfer;
	return transfer;
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
judge_transfer(struct sts_transfer *transfer, CURLcode code, const char **problem)
{
	long status = 0;

	if (transfer->overflow) {
		*problem = "it is longer than 64 KiB";
		return MX_STS_BROKEN;
	}
	if (code != CURLE_OK) {
		*problem = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
		return is_their_fault(code) ? MX_STS_BROKEN : MX_STS_CANNOT_TELL;
	}
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) { /* 3xx: section 3.3 forbids to follow */
		(void)snprintf(
		    transfer->words, sizeof(transfer->words), "the web server answers %ld", status);
		*problem = transfer->words;
		return status >= 500 ? MX_STS_CANNOT_TELL : MX_STS_BROKEN;
	}
	return mta_sts_policy_parse(
		   transfer->bytes, transfer->used, &transfer->fetcher->policy, problem)
		   ? MX_STS_POLICY
		   : MX_STS_BROKEN;
}

/* --- the clock, and what has come ------------------------------------------------------------ */

int
sts_fetcher_fd(const struct sts_fetcher *fetcher)
{
	return fetcher->epoll_fd;
}

int64_t
sts_fetcher_wait_ms(const struct sts_fetcher *fetcher, int64_t now_ms)
{
	if (!fetcher->timed)
		return -1;
	if (!fetcher->armed)
		return fetcher->wait_ms > 0 ? fetcher->wait_ms : 0;
	return fetcher->due_ms > now_ms ? fetcher->due_ms - now_ms : 0;
}

static void
arm(struct sts_fetcher *fetcher, int64_t now_ms)
{
	if (!fetcher->timed || fetcher->armed)
		return;
	fetcher->armed = true;
	fetcher->due_ms = now_ms + fetcher->wait_ms;
}

/* `done` may start and cancel others. */
static void
tell_done(struct sts_fetcher *fetcher)
{
	struct sts_transfer *transfer;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
		const CURLcode code = message->data.result;
		const char *problem = "";

		if (message->msg != CURLMSG_DONE || curl_easy_getinfo(message->easy_handle,
							CURLINFO_PRIVATE, &transfer) != CURLE_OK)
			continue;
		const enum mx_sts result = judge_transfer(transfer, code, &problem);
		transfer->done(result, result == MX_STS_POLICY ? &fetcher->policy : NULL, problem,
		    transfer->context);
		transfer_free(transfer);
	}
}

void
sts_fetcher_process(struct sts_fetcher *fetcher, int64_t now_ms)
{
	struct epoll_event events[EVENTS];
	const int count = epoll_wait(fetcher->epoll_fd, events, EVENTS, 0);
	int running;

	for (int i = 0; i < count; i++) {
		const int what =
		    ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
		    ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
		    ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

		(void)curl_multi_socket_action(fetcher->multi, events[i].data.fd, what, &running);
	}
	arm(fetcher, now_ms);
	if (fetcher->armed && fetcher->due_ms <= now_ms) {
		fetcher->timed = fetcher->armed = false;
		(void)curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		arm(fetcher, now_ms);
	}
	tell_done(fetcher);
	arm(fetcher, now_ms);
}
