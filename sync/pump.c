/*
 * pump: see pump.h. On poll(2): there are never more than a few descriptors.
 */
#include "sync/pump.h"

#include "core/snapshot.h"
#include "sync/signals.h"

#define WAIT_MOST_MS 60000

bool
pump_set_add(struct pump_set *set, int fd, short events)
{
	if (fd < 0 || set->count == PUMP_FDS)
		return fd < 0;
	set->fds[set->count++] = (struct pollfd){.fd = fd, .events = events};
	return true;
}

void
pump_set_until(struct pump_set *set, int64_t deadline)
{
	if (deadline < set->deadline)
		set->deadline = deadline;
}

short
pump_set_ready(const struct pump_set *set, int fd)
{
	nfds_t i;

	for (i = 0; i < set->count; i++)
		if (set->fds[i].fd == fd)
			return set->fds[i].revents;
	return 0;
}

void
pump_add(struct pump *pump, const struct pump_task *task)
{
	if (pump->count < PUMP_TASKS)
		pump->tasks[pump->count++] = *task;
}

int64_t
pump_now(void)
{
	return snapshot_clock_boot_ms();
}

static int
wait_ms(int64_t deadline)
{
	int64_t left = deadline - pump_now();

	return left <= 0 ? 0 : left > WAIT_MOST_MS ? WAIT_MOST_MS : (int)left;
}

/* One turn: prepares, polls, serves the tasks. */
static void
turn(struct pump *pump, struct pump_set *set)
{
	unsigned i;
	nfds_t n;

	pump_set_add(set, signals_fd(), POLLIN);
	for (i = 0; i < pump->count; i++)
		pump->tasks[i].prepare(pump->tasks[i].context, set);
	if (poll(set->fds, set->count, wait_ms(set->deadline)) < 0)
		for (n = 0; n < set->count; n++)
			set->fds[n].revents = 0;
	signals_drain();
	if (signals_reload())
		pump->reload = pump->wake = true;
	for (i = 0; i < pump->count; i++)
		pump->tasks[i].run(pump->tasks[i].context, set, pump_now());
}

enum pump_end
pump_wait(struct pump *pump, int fd, short events, int64_t deadline, bool wakeable, short *ready)
{
	struct pump_set set;

	for (;;) {
		if (signals_stop())
			return PUMP_STOP;
		if (wakeable && pump->wake)
			return PUMP_WAKE;
		set = (struct pump_set){.deadline = deadline};
		pump_set_add(&set, fd, events);
		turn(pump, &set);
		*ready = fd >= 0 ? set.fds[0].revents : 0;
		if (*ready != 0)
			return PUMP_READY;
		if (pump_now() >= deadline)
			return signals_stop() ? PUMP_STOP : PUMP_TIMEOUT;
	}
}
