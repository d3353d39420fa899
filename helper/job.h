/*
 * job: one run of postsuper(1), for one request. No shell, a clean environment, a process group of
 * its own, a deadline. Whether it is done is told by what postsuper writes ("Deleted: 1 message"),
 * as it ends well also where there is no such message.
 */
#ifndef MXHOLD_HELPER_JOB_H
#define MXHOLD_HELPER_JOB_H

#include "core/helper_request.h"

#include <stdint.h>
#include <sys/types.h>

#define JOB_DEADLINE_MS 30000
#define JOB_OUTPUT_MAX 4096 /* what is kept of its words: the last of them */

struct job {
	pid_t pid;
	int pid_fd; /* readable when it has ended */
	int output; /* its standard error; -1: at its end */
	int64_t deadline;
	char words[JOB_OUTPUT_MAX];
	size_t used;
	bool killed;
};

/*
 * Where postsuper(1) of this Postfix is: asks postconf(1), with a deadline; only a file of root's
 * that nobody else may write to counts. False: logged.
 */
bool job_find_postsuper(const char *config_dir, char *path, size_t size)
    __attribute__((warn_unused_result));

/* False: it could not be started; errno is set. */
bool job_start(struct job *job, const char *postsuper, const char *config_dir,
    const struct helper_request *request, int64_t now_ms) __attribute__((warn_unused_result));
/* Takes in some of what it has written; to be called when `output` is readable. */
void job_read(struct job *job);
/* Past its deadline: kills it. It ends then as every other. */
void job_kill(struct job *job);
/* To be called when pid_fd is readable. Its end, as the answer to the request. */
enum helper_answer job_end(
    struct job *job, const struct helper_request *request, char text[HELPER_ANSWER_MAX]);

/*
 * Pure: what postsuper's words say; `status` is that of waitpid(2). `words` is NUL-terminated.
 */
enum helper_answer job_judge(const struct helper_request *request, int status, const char *words,
    char text[HELPER_ANSWER_MAX]);

#endif
