/*
 * ship_figures: see ship_figures.h.
 */
#include "sync/ship_figures.h"

#include "sync/figures.h"
#include "sync/ship_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_LEAST_MS 5000 /* between two looks at the state */
#define LOOK_MOST_MS 20000
#define LOOK_SHARE 50   /* of the time that a look takes */
#define ALIVE_MS 20000  /* so often that the figures are newer, when nothing has changed */
#define REPORT_MS 20000 /* for an answer */

struct ship_figures {
	struct shipper_status *status;
	struct ship_link *link;
	struct state *state;
	struct figures figures;
	size_t part;     /* of figures.parts, the next to be told */
	int64_t true_at; /* they were true then, by the state's writer, */
	int64_t told;    /* and that is what was told last */
	bool telling;    /* there are parts to tell, or that they are true still */
	bool whole_next; /* what the authority has is not known */
	int64_t look_at, alive_at;
};

/* Is there a state, and something to tell of it? */
static bool
look(struct ship_figures *figures, int64_t now)
{
	struct figures *all = &figures->figures;
	int64_t wait;

	if (state_begin(figures->state, now) != STATE_OK)
		return false;
	figures_begin(all, figures->whole_next, (int64_t)time(NULL));
	enum state_result result = state_written_at(figures->state, &figures->true_at);
	if (result == STATE_OK)
		result = state_each(figures->state, figures_visit, all);
	state_end(figures->state);
	wait = (pump_now() - now) * LOOK_SHARE;
	if (wait > LOOK_LEAST_MS)
		figures->look_at = now + (wait < LOOK_MOST_MS ? wait : LOOK_MOST_MS);
	if (result != STATE_OK || !figures_end(all))
		return false;
	figures->part = 0;
	figures->status->domains = all->now.count;
	return all->part_count > 0 ||
	       (figures->true_at != figures->told && now >= figures->alive_at);
}

static bool
wants(void *context, int64_t now, int64_t *when)
{
	struct ship_figures *figures = context;

	if (!figures->telling && now >= figures->look_at) {
		figures->look_at = now + LOOK_LEAST_MS;
		figures->telling = look(figures, now);
	}
	*when = figures->look_at;
	return figures->telling;
}

/* By this relay's clock only: the authority's may be another. */
static int64_t
age(const struct ship_figures *figures)
{
	const int64_t age = (int64_t)time(NULL) - figures->true_at;

	return age < 0 ? 0 : age;
}

static void
send_part(struct ship_figures *figures, int64_t now)
{
	static const struct figures_part nothing = {.rows = NULL};
	const struct figures *all = &figures->figures;
	const struct figures_part *part =
	    figures->part < all->part_count ? &all->parts[figures->part] : &nothing;
	char seconds[24];
	const char *const values[] = {part->rows != NULL ? part->rows : "[]",
	    part->whole ? "true" : "false", part->behind,
	    part->up_to[0] != '\0' ? part->up_to : NULL, seconds};

	snprintf(seconds, sizeof seconds, "%" PRId64, age(figures));
	ship_link_send(figures->link,
	    "select mxhold.queue_report($1::jsonb, $2::boolean, $3::text, $4::text, $5::bigint)", 5,
	    values, REPORT_MS, now);
}

static void
turn(void *context, const PGresult *result, int64_t now)
{
	struct ship_figures *figures = context;

	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK) {
		ship_link_fail(figures->link, NULL, now);
		return;
	}
	if (result != NULL) {
		ship_link_good(figures->link);
		figures->status->told_at = (int64_t)time(NULL);
		figures->alive_at = now + ALIVE_MS;
		figures->part++;
	}
	if (result != NULL && figures->part >= figures->figures.part_count) {
		figures_told(&figures->figures);
		figures->told = figures->true_at;
		figures->telling = figures->whole_next = false;
		return;
	}
	send_part(figures, now);
}

/* The other end may be another one next time. */
static void
lost(void *context)
{
	struct ship_figures *figures = context;

	figures->telling = false;
	figures->whole_next = true;
	figures->look_at = 0;
}

struct ship_figures *
ship_figures_new(const char *state_dir, const char *conninfo, struct shipper_status *status)
{
	struct ship_figures *figures = calloc(1, sizeof *figures);
	struct ship_user user = {
	    .name = "figures", .wants = wants, .turn = turn, .lost = lost, .context = figures};

	if (figures == NULL)
		return NULL;
	figures->status = status;
	figures->whole_next = true;
	figures->state = state_new(state_dir);
	figures->link = ship_link_new(&user, conninfo);
	if (figures->state != NULL && figures->link != NULL)
		return figures;
	ship_figures_free(figures);
	return NULL;
}

void
ship_figures_free(struct ship_figures *figures)
{
	if (figures == NULL)
		return;
	ship_link_free(figures->link);
	state_free(figures->state);
	figures_clear(&figures->figures);
	free(figures);
}

struct pump_task
ship_figures_task(struct ship_figures *figures)
{
	return ship_link_task(figures->link);
}

const char *
ship_figures_problem(const struct ship_figures *figures)
{
	return ship_link_problem(figures->link);
}
