/*
 * ship: see ship.h. It comes from a fork without exec, and so has the configuration (its parent may
 * not be able to read the file any longer) and all of the parent's memory; of that it touches
 * nothing but the configuration. It never ends in order: rows that were taken and not noted are
 * taken again.
 */
#include "sync/ship.h"

#include "sync/round.h"
#include "sync/ship_figures.h"
#include "sync/ship_journal.h"
#include "sync/shipper.h"
#include "sync/signals.h"

#include "core/deadman.h"
#include "core/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

struct ship {
	const struct conf *conf;
	struct pump pump;
	struct ship_journal *journal; /* NULL: no [journal] conninfo */
	struct ship_figures *figures;
	struct shipper_status status;
};

/* Leaves what belongs to the parent. False: there is no parent any more, or no descriptor. */
static bool
stand_alone(int fd)
{
	const pid_t parent = getppid();

	signals_arguments(NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "mxhold-ship");
	if (getppid() != parent || (fd != SHIP_FD && dup2(fd, SHIP_FD) != SHIP_FD))
		return false;
	if (close_range(SHIP_FD + 1, ~0U, 0) != 0 || !signals_install())
		return false;
	log_after_fork();
	srandom((unsigned)(pump_now() ^ getpid()));
	(void)deadman_hold(DEADMAN_AFTER_MS);
	return true;
}

static bool
make_parts(struct ship *ship)
{
	const char *report = round_report_conninfo(ship->conf);
	struct pump_task task;

	ship->figures = ship_figures_new(ship->conf->paths.state_dir, report, &ship->status);
	if (ship->figures == NULL)
		return false;
	task = ship_figures_task(ship->figures);
	pump_add(&ship->pump, &task);
	if (ship->conf->journal.conninfo == NULL || ship->conf->journal.conninfo[0] == '\0')
		return true;
	ship->journal = ship_journal_new(ship->conf, &ship->status);
	if (ship->journal == NULL)
		return false;
	task = ship_journal_task(ship->journal);
	pump_add(&ship->pump, &task);
	return true;
}

/* What the parent does not take now, it takes next time. False: there is no parent any more. */
static bool
tell(struct ship *ship)
{
	struct shipper_status *status = &ship->status;

	if (ship->journal != NULL) {
		ship_journal_count(ship->journal, pump_now());
		snprintf(status->journal_error, sizeof status->journal_error, "%s",
		    ship_journal_problem(ship->journal));
	}
	snprintf(status->figures_error, sizeof status->figures_error, "%s",
	    ship_figures_problem(ship->figures));
	return send(SHIP_FD, status, sizeof *status, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       errno == EAGAIN || errno == EINTR;
}

static void
serve(struct ship *ship)
{
	int64_t next = 0;
	short ready;

	for (;;) {
		if (pump_now() >= next) {
			next = pump_now() + SHIP_TELL_MS;
			deadman_turn();
			if (!tell(ship))
				return;
		}
		if (pump_wait(&ship->pump, -1, 0, next, false, &ready) == PUMP_STOP)
			return;
	}
}

void
ship_run(const struct conf *conf, int fd)
{
	struct ship ship = {.conf = conf};

	if (!stand_alone(fd) || !make_parts(&ship))
		_exit(EX_OSERR);
	serve(&ship);
	_exit(EX_OK);
}
