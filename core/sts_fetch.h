/*
 * sts_fetch: fetches MTA-STS policies over HTTPS (RFC 8461, 3.3), for programs with an event loop
 * of any kind. It never blocks: names are resolved by the caller, and all the rest is libcurl's
 * multi interface.
 */
#ifndef MXHOLD_CORE_STS_FETCH_H
#define MXHOLD_CORE_STS_FETCH_H

#include "core/mx_judge.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STS_FETCH_MOST 64           /* transfers at once */
#define STS_FETCH_DEADLINE_MS 10000 /* for all of a transfer */

struct sts_fetcher;
struct sts_transfer;

/* NULL: out of memory or descriptors. */
struct sts_fetcher *sts_fetcher_new(void) __attribute__((warn_unused_result));
/* Transfers that are open are given up; nobody is told. */
void sts_fetcher_free(struct sts_fetcher *fetcher);

/*
 * POLICY: `policy` is what was read. BROKEN (what the server serves is no policy, or its
 * certificate is not good) and CANNOT_TELL (no answer in time): `problem` says why. Both are valid
 * during the call only.
 */
typedef void sts_fetched(
    enum mx_sts result, const struct mta_sts_policy *policy, const char *problem, void *context);

/*
 * https://mta-sts.DOMAIN/.well-known/mta-sts.txt from one of `addresses`, at most 64 KiB,
 * certificate and name checked, no redirect followed. `done` is called once, from
 * sts_fetcher_process(). NULL: out of memory, no address, or STS_FETCH_MOST are open.
 */
struct sts_transfer *sts_fetch(struct sts_fetcher *fetcher, const char *domain,
    const struct ip *addresses, size_t count, sts_fetched *done, void *context)
    __attribute__((warn_unused_result));
/* Not after `done` was called. NULL is nothing. */
void sts_fetch_cancel(struct sts_transfer *transfer);

/* Becomes readable when sts_fetcher_process() has something to do; stays the same. */
int sts_fetcher_fd(const struct sts_fetcher *fetcher);
/* `now_ms`: monotonic. */
void sts_fetcher_process(struct sts_fetcher *fetcher, int64_t now_ms);
/* Milliseconds after which sts_fetcher_process() is to be called at the latest; -1: any time. */
int64_t sts_fetcher_wait_ms(const struct sts_fetcher *fetcher, int64_t now_ms);

#endif
