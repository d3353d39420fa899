/*
 * confine: see confine.h. What is given up, is so for good, and for postsuper(1) too.
 */
#include "helper/confine.h"

#include "core/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* postsuper becomes the owner of the queue; logs through a directory that is not root's. */
static const uint64_t kept = 1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_DAC_OVERRIDE |
			     1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_KILL;

static void
left_out(const char *step)
{
	log_event(LOG_NOTICE, "confine-left-out", kv("step", step), kv("error", strerror(errno)));
}

static bool
drop_bounding(void)
{
	for (unsigned long capability = 0; capability < 64; capability++) {
		if ((kept >> capability & 1) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			return errno == EINVAL; /* beyond the last that the kernel knows */
	}
	return true;
}

static bool
drop_own(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};

	if (syscall(SYS_capget, &header, data) != 0)
		return false;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		const uint32_t mask = (uint32_t)(kept >> (32 * i));
		data[i].permitted &= mask;
		data[i].effective &= mask;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) == 0;
}

bool
confine(void)
{
	const struct rlimit none = {0, 0}, files = {256, 256};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		left_out("core files");
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		left_out("open files");
	if (!drop_bounding() || !drop_own())
		left_out("capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		return true;
	log_event(LOG_ERR, "confine-failed", kv("call", "prctl(PR_SET_NO_NEW_PRIVS)"),
	    kv("error", strerror(errno)));
	return false;
}
