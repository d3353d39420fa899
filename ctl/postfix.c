/*
 * postfix: `mxholdctl postfix plan|apply|rollback|status`: puts the overlay into a Postfix
 * instance, or takes it back.
 *
 * In: mxhold.conf, the overlay, one instance's configuration directory. Out: changed main.cf and
 * master.cf, with the old ones kept (postfix_store.h). It must never leave an instance that does
 * not work, nor change a byte that is not its own, nor act on an instance about which a finding
 * says that a promise would break.
 */
#include "core/install.h"
#include "ctl/ctl.h"
#include "ctl/postfix_gather.h"
#include "ctl/postfix_live.h"
#include "ctl/postfix_plan.h"
#include "ctl/postfix_queue.h"
#include "ctl/postfix_run.h"
#include "ctl/postfix_show.h"
#include "ctl/postfix_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
	struct ctl *ctl;
	/* options */
	const char *config_dir, *instance, *overlay_path;
	bool shared, force;
	/* what was found */
	char *directory;          /* of the instance */
	const char *looked_after; /* the daemons' instance where it is another; else NULL */
	struct overlay *overlay;
	struct pf_facts facts;
	struct plan *plan;
	struct store store;
};

/* --- finding out ------------------------------------------------------------------------ */

/* The directory that the daemons look after, where that is another one. */
static const char *
find_looked_after(const struct session *s)
{
	const char *configured = s->ctl->conf->paths.postfix_config_dir;
	char *real = realpath(configured, NULL);
	bool same = real != NULL && strcmp(real, s->directory) == 0;
	free(real);
	return same ? NULL : configured;
}

/* The instance's configuration directory. False: said why. */
static bool
find_directory(struct session *s)
{
	const char *primary = s->ctl->conf->paths.postfix_config_dir;
	char *named = NULL;
	if (s->instance != NULL) {
		named = gather_instance(s->instance, s->ctl->verbose);
		if (named == NULL)
			return false;
	}
	const char *path = named != NULL ? named : s->config_dir != NULL ? s->config_dir : primary;
	s->directory = realpath(path, NULL);
	if (s->directory == NULL)
		ctl_say("%s: %m", path);
	else
		s->looked_after = find_looked_after(s);
	free(named);
	return s->directory != NULL;
}

/* --overlay, or the one that was applied, or the installed one. */
static const char *
overlay_of(const struct session *s)
{
	if (s->overlay_path != NULL)
		return s->overlay_path;
	if (*s->store.overlay != '\0' && access(s->store.overlay, R_OK) == 0)
		return s->store.overlay;
	return INSTALL_OVERLAY;
}

/* Facts and plan, anew. An exit code, or -1. */
static int
make_plan(struct session *s)
{
	const struct gather gather = {
	    .conf = s->ctl->conf,
	    .conf_path = s->ctl->config,
	    .config_dir = s->directory,
	    .looked_after = s->looked_after,
	    .shared = s->shared || s->store.shared,
	    .verbose = s->ctl->verbose,
	};
	plan_free(s->plan);
	s->plan = NULL;
	pf_facts_free(&s->facts);
	overlay_free(s->overlay);
	s->overlay = overlay_load(overlay_of(s), stderr);
	if (s->overlay == NULL)
		return CTL_CONFIG;
	if (!gather_facts(&gather, s->overlay, &s->facts))
		return CTL_CONFIG;
	struct overlay_variable *variables = plan_variables(&s->facts);
	bool good = overlay_expand(s->overlay, variables, stderr);
	plan_variables_free(variables);
	if (!good)
		return CTL_CONFIG;
	s->plan = plan_new(&s->facts, s->overlay);
	return -1;
}

static void
session_end(struct session *s)
{
	plan_free(s->plan);
	pf_facts_free(&s->facts);
	overlay_free(s->overlay);
	store_close(&s->store);
	free(s->directory);
}

/* --- showing ------------------------------------------------------------------------------- */

static void
show_plan_diffs(const struct session *s)
{
	const struct plan *plan = s->plan;
	char *main = mem_format("%s/main.cf", s->directory);
	char *master = mem_format("%s/master.cf", s->directory);
	show_diff(&(struct show_file){main, s->facts.main, plan->main, s->facts.main_length,
		      plan->main_length},
	    s->ctl->json);
	show_diff(&(struct show_file){master, s->facts.master, plan->master, s->facts.master_length,
		      plan->master_length},
	    s->ctl->json);
	free(main);
	free(master);
}

/* What somebody changed since apply. */
static void
show_edits(const struct session *s)
{
	for (int f = 0; f < STORE_FILES; f++) {
		char *path = store_path(&s->store, (enum store_file)f, NULL);
		char *copy = store_path(&s->store, (enum store_file)f, "applied");
		struct show_file file = {.path = path};
		char *applied = gather_file(copy, &file.old_length);
		char *live = gather_file(path, &file.new_length);
		file.old_bytes = applied;
		file.new_bytes = live;
		if (applied != NULL && live != NULL)
			show_diff(&file, s->ctl->json);
		free(applied);
		free(live);
		free(path);
		free(copy);
	}
}

static bool
has_changes(const struct session *s)
{
	return s->plan->change_count > 0;
}

static bool
say_store_trouble(const struct session *s)
{
	if (s->store.state == STORE_DAMAGED)
		ctl_say("the saved files are damaged: %s. Nothing is changed while that is so. Put "
			"that copy back from a backup; or, to go on without a way back, see that "
			"main.cf and master.cf are as they should be, remove %s, and run `apply` "
			"(DAMAGED COPIES in mxholdctl-postfix(8))",
		    s->store.damage, s->store.folder);
	else if (s->store.state == STORE_HALF)
		ctl_say("a run of `postfix %s` was killed; `apply` or `rollback` repairs it%s",
		    s->store.rolling_back ? "rollback" : "apply",
		    s->store.repairable ? "" : ", but the files were edited since: --force");
	return s->store.state == STORE_DAMAGED || s->store.state == STORE_HALF;
}

static int
run_plan(struct session *s)
{
	int code = make_plan(s);
	if (code >= 0)
		return code;
	if (!s->ctl->json)
		printf("Plan for %s, overlay version %s, %s relay\n\n", s->directory,
		    s->overlay->version, s->facts.dedicated ? "dedicated" : "shared");
	bool trouble = say_store_trouble(s);
	show_changes(s->plan, s->ctl->json);
	show_plan_diffs(s);
	show_findings(s->plan, s->ctl->json, stdout);
	if (!s->ctl->json && !has_changes(s))
		puts("Nothing to change.");
	if (plan_refused(s->plan)) {
		ctl_say("this plan cannot be applied; see what is refused");
		return CTL_CONFIG;
	}
	return trouble ? CTL_CONFIG : CTL_OK;
}

/* --- applying --------------------------------------------------------------------------------- */

static bool
allows_special(const struct conf *conf)
{
	struct ip probe;
	if (!ip_parse("0.0.0.0", &probe))
		return false;
	for (size_t i = 0; i < conf->fence.allow_count; i++)
		if (ip_network_contains(&conf->fence.allow[i], &probe))
			return true;
	return false;
}

/* A running Postfix must see files that were put back. */
static void
reload_running(struct session *s)
{
	struct pf_facts facts = {.config_dir = s->directory};
	struct live live = {.facts = &facts, .verbose = s->ctl->verbose};
	if (live_is_running(&live) && !live_reload(&live))
		ctl_say("%s", live.why);
	free(live.why);
}

/* Takes back what a killed run wrote; over somebody's edits only by force. An exit code, or -1. */
static int
repair(struct session *s)
{
	struct store *store = &s->store;
	if (!store->repairable) {
		show_edits(s);
		if (!s->force)
			return CTL_CONFIG;
		if (!store_keep_edited(store))
			return CTL_OSERR;
	}
	bool good =
	    store->rolling_back ? store_rollback(store) && store_forget(store) : store_undo(store);
	if (!good)
		return CTL_OSERR;
	ctl_say("repaired: the files are as they were before that run");
	reload_running(s);
	return -1;
}

/* An exit code, or -1. */
static int
repair_before_rollback(struct session *s)
{
	if (s->store.state != STORE_HALF && s->store.state != STORE_DAMAGED)
		return -1;
	(void)say_store_trouble(s);
	return s->store.state == STORE_DAMAGED ? CTL_DATA : repair(s);
}

/*
 * Apply goes on where a killed run stopped: taken back first, the overlay would be away for a
 * moment, and customers' mail in the queue might leave by Postfix's own transports. An exit code,
 * or -1.
 */
static int
repair_before_apply(struct session *s)
{
	if (s->store.state == STORE_HALF && s->store.repairable) {
		ctl_say("a run of `postfix %s` was killed: going on from there",
		    s->store.rolling_back ? "rollback" : "apply");
		return -1;
	}
	return repair_before_rollback(s);
}

/* The sockets must work before a byte is written. An exit code, or -1. */
static int
ask_before(struct session *s, struct live *live, bool *has_snapshot)
{
	enum live_result result = live_sockets(live);
	*has_snapshot = result == LIVE_GOOD;
	if (result == LIVE_BAD) {
		ctl_say("not applied, nothing was changed: %s", live->why);
		return CTL_UNAVAILABLE;
	}
	if (result == LIVE_NO_SNAPSHOT && !s->facts.dedicated) {
		ctl_say("not applied, nothing was changed: mxhold-policyd has no snapshot yet, and "
			"all mail of this instance would wait for it");
		return CTL_TEMPFAIL;
	}
	if (result == LIVE_NO_SNAPSHOT)
		ctl_say("mxhold-policyd has no snapshot yet: mail waits until mxhold-sync has "
			"loaded");
	return -1;
}

/* After the files are written. False: live->why says what is wrong. */
static bool
prove(struct live *live, const char *warnings, bool running, bool has_snapshot)
{
	if (!live_configuration(live, warnings))
		return false;
	if (running && (!live_reload(live) || !live_smtp(live, has_snapshot)))
		return false;
	return live_sockets(live) != LIVE_BAD;
}

/*
 * Mail may have been taken in the seconds in which the overlay stood. The files go back all the
 * same: what does not work must not stay; but nobody shall find out by a notice.
 */
static void
say_taken(const struct session *s)
{
	if (s->store.state != STORE_NONE)
		return; /* an older apply stays in force */
	struct queue_count queue = queue_count(s->ctl->conf, s->directory, s->ctl->verbose);
	if (queue.messages > 0)
		ctl_say("%s%zu messages for customers are in the queue, without the overlay: see "
			"`postqueue -p`; `postsuper -h ID` keeps one until apply works",
		    queue.at_least ? "at least " : "", queue.messages);
	free(queue.why);
}

/* `written`: the files were, but what they say does not work. */
static int
take_back(struct session *s, struct live *live, bool running, bool written)
{
	if (written)
		ctl_say("it does not work: %s", live->why != NULL ? live->why : "");
	else
		ctl_say("not applied: a file cannot be written, see above");
	if (!store_undo(&s->store)) {
		ctl_say("and it could not be taken back; `mxholdctl postfix rollback` tries again");
		return CTL_OSERR;
	}
	if (running && !live_reload(live))
		ctl_say("after taking it back: %s", live->why);
	say_taken(s);
	ctl_say("taken back: %s is as it was before", s->directory);
	return written ? CTL_UNAVAILABLE : CTL_OSERR;
}

static int
write_and_prove(struct session *s)
{
	char *overlay = realpath(overlay_of(s), NULL);
	const struct store_new new = {
	    .bytes = {s->plan->main, s->plan->master},
	    .lengths = {s->plan->main_length, s->plan->master_length},
	    .version = s->overlay->version,
	    .overlay = overlay != NULL ? overlay : "",
	    .shared = !s->facts.dedicated && s->facts.shared_said,
	};
	struct live live = {
	    .facts = &s->facts,
	    .special_allowed = allows_special(s->ctl->conf),
	    .verbose = s->ctl->verbose,
	};
	bool has_snapshot;
	int code = ask_before(s, &live, &has_snapshot);
	char *warnings = code < 0 ? live_warnings(&live) : NULL;
	if (code < 0 && warnings == NULL) {
		ctl_say("not applied, nothing was changed: %s", live.why);
		code = CTL_CONFIG;
	}
	bool running = code < 0 && live_is_running(&live);
	/* What does not work before cannot be proven after; over an older apply it may be the cure.
	 */
	if (running && s->store.state == STORE_NONE && !live_smtp(&live, has_snapshot)) {
		ctl_say("not applied, nothing was changed: repair this first: %s", live.why);
		code = CTL_UNAVAILABLE;
	}
	if (code < 0 && !store_begin(&s->store, &new)) {
		ctl_say("not applied, nothing was changed");
		code = CTL_OSERR;
	}
	if (code < 0) {
		bool written = store_write(&s->store), proven = false;
		if (written)
			proven = prove(&live, warnings, running, has_snapshot);
		if (proven)
			written = store_finish(&s->store);
		code = proven && written ? CTL_OK : take_back(s, &live, running, written);
	}
	free(overlay);
	free(warnings);
	free(live.why);
	return code;
}

static int
run_apply(struct session *s)
{
	int code = repair_before_apply(s);
	if (code < 0)
		code = make_plan(s);
	if (code >= 0)
		return code;
	bool half = s->store.state == STORE_HALF;
	show_findings(s->plan, s->ctl->json, stderr);
	if (plan_refused(s->plan)) {
		ctl_say("not applied, nothing was changed; see what is refused%s",
		    half ? "; `rollback` takes back what the killed run has written" : "");
		return CTL_CONFIG;
	}
	if (!has_changes(s) && !half) {
		if (s->shared && !s->facts.dedicated && !store_note_shared(&s->store))
			return CTL_OSERR;
		if (!s->ctl->json)
			printf("%s: nothing to change\n", s->directory);
		return CTL_OK;
	}
	code = write_and_prove(s);
	if (code == CTL_OK && !s->ctl->json)
		printf("%s: applied, %zu changes; the old files are in %s\n", s->directory,
		    s->plan->change_count, s->store.folder);
	return code;
}

/* --- rolling back -------------------------------------------------------------------------------
 */

/* Somebody's edits would be lost. An exit code, or -1. */
static int
guard_edits(struct session *s)
{
	if (s->store.state != STORE_EDITED && !s->store.mixed)
		return -1;
	if (s->store.state == STORE_EDITED)
		show_edits(s);
	if (!s->force) {
		ctl_say("not rolled back, nothing was changed: %s",
		    s->store.state == STORE_EDITED
			? "the files were edited since apply, as shown; --force drops the edits "
			  "and keeps the present files as mxhold-saved/NAME.edited"
			: "they were edited between two runs of apply; --force goes back to "
			  "before the first and keeps the present files as "
			  "mxhold-saved/NAME.edited");
		return CTL_CONFIG;
	}
	return store_keep_edited(&s->store) ? -1 : CTL_OSERR;
}

/*
 * Customers' mail would leave by Postfix's own transports: past the fence, and with notices. An
 * exit code, or -1.
 */
static int
guard_queue(struct session *s)
{
	struct queue_count queue = queue_count(s->ctl->conf, s->directory, s->ctl->verbose);
	int code = -1;
	if (!queue.known)
		ctl_say("whether customers' mail is in the queue cannot be told: postqueue: %s",
		    queue.why);
	else if (queue.messages > 0)
		ctl_say("%s%zu messages for customers are in the queue: without the overlay they "
			"leave by Postfix's own transports, past the fence and with notices",
		    queue.at_least ? "at least " : "", queue.messages);
	if (!s->force && (!queue.known || queue.messages > 0)) {
		ctl_say("not rolled back, nothing was changed: drain it first: have the domains "
			"suspended, or this relay taken out of their MX records; `postqueue -f` "
			"tries at once; --force rolls back all the same");
		code = CTL_TEMPFAIL;
	}
	free(queue.why);
	return code;
}

static int
run_rollback(struct session *s)
{
	/* What a killed run has written may be at work since: the same question before a repair. */
	bool written = s->store.state != STORE_NONE && s->store.state != STORE_DAMAGED;
	int code = written ? guard_queue(s) : -1;
	if (code < 0)
		code = repair_before_rollback(s);
	if (code < 0 && s->store.state == STORE_NONE) {
		if (!s->ctl->json)
			printf("%s: nothing to take back\n", s->directory);
		return store_forget(&s->store) ? CTL_OK : CTL_OSERR; /* copies of a killed run */
	}
	if (code < 0)
		code = guard_edits(s);
	if (code >= 0)
		return code;
	s->facts.config_dir = mem_string(s->directory);
	struct live live = {.facts = &s->facts, .verbose = s->ctl->verbose};
	bool running = live_is_running(&live);
	if (!store_rollback(&s->store))
		code = CTL_OSERR;
	else if (running && !live_reload(&live)) {
		ctl_say("the old files are back, but: %s", live.why);
		code = CTL_UNAVAILABLE;
	} else
		code = store_forget(&s->store) ? CTL_OK : CTL_OSERR;
	free(live.why);
	if (code == CTL_OK)
		say_taken(s);
	if (code == CTL_OK && !s->ctl->json)
		printf("%s: rolled back\n", s->directory);
	return code;
}

/* --- status
 * ------------------------------------------------------------------------------------------ */

static void
print_state(const struct session *s)
{
	printf("%s: %s", s->directory, store_state_name(s->store.state));
	if (s->store.state != STORE_NONE)
		printf(", overlay version %s, %s", s->store.version, s->store.at);
	putchar('\n');
}

/* Nothing watches this instance: that is wrong before apply too. True: said it. */
static bool
say_not_looked_after(const struct session *s)
{
	const struct pf_facts facts = {
	    .config_dir = s->directory,
	    .conf_path = s->ctl->config,
	    .looked_after = s->looked_after,
	};
	if (s->looked_after == NULL)
		return false;
	char *cause = plan_elsewhere_cause(&facts), *cure = plan_elsewhere_cure(&facts);
	ctl_say("%s; cure: %s", cause, cure);
	free(cause);
	free(cure);
	return true;
}

/* What the record alone tells. */
static int
status_without_overlay(struct session *s)
{
	int error = errno;
	enum store_state state = s->store.state;
	if (s->ctl->json)
		printf("{\"kind\":\"status\",\"state\":\"%s\",\"overlay\":\"%s\",\"at\":\"%s\"}\n",
		    store_state_name(state), s->store.version, s->store.at);
	else
		print_state(s);
	(void)say_store_trouble(s);
	if (state == STORE_EDITED)
		show_edits(s);
	bool elsewhere = say_not_looked_after(s);
	if (state == STORE_NONE)
		return elsewhere ? CTL_CONFIG : CTL_OK;
	ctl_say(
	    "whether that is still what is wanted cannot be told: %s: %s; --overlay names another "
	    "place",
	    overlay_of(s), strerror(error));
	return CTL_CONFIG;
}

/* An update of mxhold brings another overlay; what that needs shows as changes. */
static void
say_other_version(const struct session *s)
{
	if (strcmp(s->store.version, s->overlay->version) != 0)
		ctl_say("overlay version %s is applied, and version %s is here: `mxholdctl postfix "
			"apply` puts it in",
		    s->store.version, s->overlay->version);
}

static int
run_status(struct session *s)
{
	enum store_state state = s->store.state;
	if (access(overlay_of(s), R_OK) != 0)
		return status_without_overlay(s);
	int code = make_plan(s);
	if (code >= 0)
		return code;
	size_t drift = state == STORE_NONE ? 0 : s->plan->change_count;
	if (s->ctl->json)
		printf("{\"kind\":\"status\",\"state\":\"%s\",\"overlay\":\"%s\",\"at\":\"%s\","
		       "\"drift\":%zu,\"refused\":%s}\n",
		    store_state_name(state), s->store.version, s->store.at, drift,
		    plan_refused(s->plan) ? "true" : "false");
	else
		print_state(s);
	(void)say_store_trouble(s);
	if (state == STORE_EDITED)
		show_edits(s);
	if (drift > 0) {
		say_other_version(s);
		ctl_say("what is applied is not what overlay and mxhold.conf want now:");
		show_changes(s->plan, s->ctl->json);
	}
	bool elsewhere = false;
	if (state != STORE_NONE)
		show_findings(s->plan, s->ctl->json, stdout);
	else
		elsewhere = say_not_looked_after(s);
	bool bad = elsewhere || state == STORE_HALF || state == STORE_DAMAGED || drift > 0 ||
		   (state != STORE_NONE && plan_refused(s->plan));
	return bad ? CTL_CONFIG : CTL_OK;
}

/* --- the verb
 * ------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	const char *synopsis;
	const char *about;
	int (*run)(struct session *s);
	bool exclusive; /* takes the lock */
} actions[] = {
    {"plan", "postfix plan [OPTION...]",
	"Shows what apply would change, why, and what changes for other mail; then what is\n"
	"refused, with cause and cure. Changes nothing. Exit 0: it can be applied; 78: refused.\n",
	run_plan, false},
    {"apply", "postfix apply [OPTION...]",
	"Puts the overlay into the instance: keeps the old files, changes, checks it live, and\n"
	"takes all of it back if a check fails. Done twice, it changes nothing.\n",
	run_apply, true},
    {"rollback", "postfix rollback [OPTION...]",
	"Brings the files back, byte for byte, as they were before the first apply. Refuses if\n"
	"somebody edited them since, or if customers' mail is in the queue.\n",
	run_rollback, true},
    {"status", "postfix status [OPTION...]",
	"Tells whether the overlay is applied, and whether it still is what is wanted.\n",
	run_status, false},
};

static int
run_action(struct ctl *ctl, size_t which, int argc, char **argv)
{
	struct session s = {.ctl = ctl, .store = {.lock = -1}};
	const struct ctl_option options[] = {
	    {"config-dir", "DIR", "the instance's configuration directory", &s.config_dir, NULL},
	    {"instance", "NAME", "the instance by its name, as postmulti -l lists it", &s.instance,
		NULL},
	    {"shared", NULL, "the instance carries other mail too, and that is meant", NULL,
		&s.shared},
	    {"overlay", "FILE", "the overlay, default " INSTALL_OVERLAY, &s.overlay_path, NULL},
	    {"force", NULL, "drop edits made since, keeping a copy; roll back with mail queued",
		NULL, &s.force},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {actions[which].synopsis, actions[which].about, options};
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);
	if (code >= 0)
		return code;
	if (count > 0)
		return ctl_wrong(&usage, "%s is one word too many", operands[0]);
	if (s.config_dir != NULL && s.instance != NULL)
		return ctl_wrong(
		    &usage, "--config-dir and --instance are two ways to say one thing");
	if (!ctl_need_conf(ctl))
		return CTL_CONFIG;
	if (!find_directory(&s))
		code = CTL_DATA;
	else
		switch (store_open(&s.store, s.directory, actions[which].exclusive)) {
		case STORE_OPEN: code = actions[which].run(&s); break;
		case STORE_BUSY: code = CTL_TEMPFAIL; break;
		case STORE_UNREADABLE: code = CTL_OSERR; break;
		}
	session_end(&s);
	return code;
}

int
ctl_verb_postfix(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"postfix plan|apply|rollback|status [OPTION...]",
	    "Puts mxhold's overlay into a Postfix instance, or takes it back; see\n"
	    "mxholdctl-postfix(8). `mxholdctl postfix plan --help` tells the options.\n",
	    NULL};
	/* The action is the first operand, wherever global options stand. */
	for (int i = 1; i < argc; i++)
		for (size_t a = 0; a < sizeof(actions) / sizeof(actions[0]); a++)
			if (strcmp(argv[i], actions[a].name) == 0) {
				for (int j = i; j > 1; j--)
					argv[j] = argv[j - 1];
				return run_action(ctl, a, argc - 1, argv + 1);
			}
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);
	if (code >= 0)
		return code;
	if (count > 0)
		return ctl_wrong(&usage, "there is no action %s", operands[0]);
	return ctl_wrong(&usage, "which action?");
}
