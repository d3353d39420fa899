/*
 * machine_steps: reads the steps of tests/data/queued_release.txt and queued_breaker.txt:
 * MS:INPUT/ID=STAGE/ACT@NEXT, where INPUT may be `NAME*COUNT`.
 */
#ifndef MXHOLD_TESTS_UNIT_MACHINE_STEPS_H
#define MXHOLD_TESTS_UNIT_MACHINE_STEPS_H

#include "queued/clock.h"
#include "queued/events.h"

#include "tests/unit/table.h"

#include <inttypes.h>

struct machine_step {
	int64_t ms;
	char input[32], id[32], stage[32], act[32], next[32];
	int count;
};

static inline struct machine_step
machine_step_read(const char **line)
{
	struct machine_step step = {.count = 1};
	char word[128], input[64];
	char *cut;

	table_word(line, word, sizeof(word));
	ck_assert_msg(sscanf(word, "%" SCNd64 ":%63[^=]=%31[^/]/%31[^@]@%31s", &step.ms, input,
			  step.stage, step.act, step.next) == 5,
	    "a bad step: %s", word);
	if ((cut = strchr(input, '/')) != NULL) {
		(void)snprintf(step.id, sizeof(step.id), "%.31s", cut + 1);
		*cut = '\0';
	}
	if ((cut = strchr(input, '*')) != NULL) {
		step.count = atoi(cut + 1);
		*cut = '\0';
	}
	(void)snprintf(step.input, sizeof(step.input), "%.31s", input);
	return step;
}

/* What an input that is an attempt stands for. False: it is none. */
static inline bool
machine_step_attempt(const struct machine_step *step, struct event_attempt *out)
{
	static const struct {
		const char *name;
		struct event_attempt attempt;
	} inputs[] = {
	    {"sent", {.result = ATTEMPT_SENT, .code = 250, .enhanced = "2.0.0", .reply = "ok"}},
	    {"later", {.result = ATTEMPT_DEFERRED, .code = 450, .enhanced = "4.2.0", .reply = ""}},
	    {"busy", {.result = ATTEMPT_DEFERRED, .code = 421, .enhanced = "4.3.2", .reply = ""}},
	    {"refused",
		{.result = ATTEMPT_REFUSED, .code = 554, .enhanced = "5.7.1", .reply = "no"}},
	    {"unknown", {.result = ATTEMPT_REFUSED,
			    .code = 550,
			    .enhanced = "5.1.1",
			    .reply = "",
			    .unknown_user = true}},
	    {"missed", {.result = ATTEMPT_UNREACHED, .enhanced = "4.4.1", .reply = ""}},
	    {"held", {.result = ATTEMPT_HELD, .enhanced = "4.3.2", .reply = ""}},
	};

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		if (strcmp(inputs[i].name, step->input) == 0) {
			*out = inputs[i].attempt;
			return true;
		}
	}
	return false;
}

static inline void
machine_step_check(const struct machine_step *step, const char *stage, const char *act,
    int64_t next_ms, const char *line)
{
	ck_assert_msg(strcmp(stage, step->stage) == 0, "%" PRId64 ":%s: stage %s\n%s", step->ms,
	    step->input, stage, line);
	ck_assert_msg(strcmp(act, step->act) == 0, "%" PRId64 ":%s: act %s\n%s", step->ms,
	    step->input, act, line);
	if (strcmp(step->next, "*") == 0)
		return;
	int64_t wanted = strcmp(step->next, "-") == 0 ? NEVER_MS : strtoll(step->next, NULL, 10);
	ck_assert_msg(next_ms == wanted, "%" PRId64 ":%s: next %" PRId64 "\n%s", step->ms,
	    step->input, next_ms, line);
}

#endif
