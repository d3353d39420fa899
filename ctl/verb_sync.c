/*
 * verb_sync: `mxholdctl sync status|verify|reload|confirm`.
 *
 * The first three ask mxhold-sync of this relay through STATE_DIR/control (one line there, one line
 * of JSON back); `confirm` writes the row that lets the whole fleet take over what the brake held,
 * through the SOC's connection.
 */
#include "ctl/db.h"
#include "ctl/sub_verb.h"

#include "core/snapshot.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SIZE 65536
#define STATUS_MS 5000
#define JOB_MS 620000 /* sync gives a job 10 minutes */

struct conversation {
	char path[108]; /* of struct sockaddr_un */
	int socket;
	int64_t deadline;
	char answer[ANSWER_SIZE];
};

/* --- the socket ---------------------------------------------------------------------------------
 */

static int
unreachable(const struct conversation *with, const char *why)
{
	ctl_say("mxhold-sync does not answer at %s: %s", with->path, why);
	return CTL_UNAVAILABLE;
}

static int
connect_sync(struct conversation *with, const char *state_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if ((size_t)snprintf(with->path, sizeof(with->path), "%s/control", state_dir) >=
	    sizeof(with->path)) {
		ctl_say("%s/control: too long for the path of a socket", state_dir);
		return CTL_CONFIG;
	}
	memcpy(address.sun_path, with->path, sizeof(address.sun_path));
	with->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (with->socket < 0) {
		ctl_say("socket: %m");
		return CTL_OSERR;
	}
	if (connect(with->socket, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return unreachable(with, strerror(errno));
	return CTL_OK;
}

static bool
wait_for(const struct conversation *with, short events)
{
	struct pollfd wait = {.fd = with->socket, .events = events};
	int ready;

	do {
		const int64_t left = with->deadline - snapshot_clock_boot_ms();
		ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
	} while (ready < 0 && errno == EINTR);
	return ready > 0;
}

static int
send_line(const struct conversation *with, const char *word)
{
	char line[32];
	const int length = snprintf(line, sizeof(line), "%s\n", word);

	if (!wait_for(with, POLLOUT))
		return unreachable(with, "it takes no request in time");
	if (send(with->socket, line, (size_t)length, MSG_NOSIGNAL) != length)
		return unreachable(with, strerror(errno));
	return CTL_OK;
}

static int
receive_line(struct conversation *with)
{
	size_t have = 0;

	while (have < sizeof(with->answer) - 1) {
		if (!wait_for(with, POLLIN))
			return unreachable(with, "no answer in time");
		const ssize_t got =
		    recv(with->socket, with->answer + have, sizeof(with->answer) - 1 - have, 0);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return unreachable(with, got < 0 ? strerror(errno) : "it hung up");
		have += (size_t)got;
		with->answer[have] = '\0';
		if (memchr(with->answer, '\n', have) != NULL)
			return CTL_OK;
	}
	return unreachable(with, "its answer has no end");
}

static json_t *
ask(struct ctl *ctl, const char *word, int64_t patience, int *code)
{
	struct conversation with = {.socket = -1};
	json_t *answer = NULL;

	with.deadline = snapshot_clock_boot_ms() + patience;
	*code = connect_sync(&with, ctl->conf->paths.state_dir);
	if (*code == CTL_OK)
		*code = send_line(&with, word);
	if (*code == CTL_OK)
		*code = receive_line(&with);
	if (with.socket >= 0)
		close(with.socket);
	if (*code != CTL_OK)
		return NULL;
	answer = json_loads(with.answer, 0, NULL);
	if (!json_is_object(answer)) {
		json_decref(answer);
		*code = unreachable(&with, "what it says is no JSON object");
		return NULL;
	}
	return answer;
}

/* --- its answer
 * ------------------------------------------------------------------------------------- */

/* `snapshot.version  17`, one a line; what is null is left out. */
static void
print_object(const json_t *object, const char *prefix)
{
	const char *key;
	const json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		char name[100];

		snprintf(name, sizeof(name), "%s%s", prefix, key);
		if (json_is_object(value)) {
			strncat(name, ".", sizeof(name) - strlen(name) - 1);
			print_object(value, name);
		} else if (json_is_string(value)) {
			printf("%-28s %s\n", name, json_string_value(value));
		} else if (json_is_integer(value)) {
			printf("%-28s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
		} else if (json_is_boolean(value)) {
			printf("%-28s %s\n", name, json_is_true(value) ? "yes" : "no");
		}
	}
}

static void
print_answer(const struct ctl *ctl, const json_t *answer)
{
	if (!ctl->json) {
		print_object(answer, "");
		return;
	}
	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
}

/* 0: all is well; 75: sync answers, and something is not. */
static int
judge_answer(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	const char *state = json_string_value(json_object_get(answer, "state"));
	const json_t *ok = json_object_get(answer, "ok");

	if (error != NULL) {
		ctl_say("mxhold-sync: %s", error);
		return CTL_UNAVAILABLE;
	}
	if (ok != NULL)
		return json_is_true(ok) ? CTL_OK : CTL_TEMPFAIL;
	return state != NULL && strcmp(state, "current") == 0 ? CTL_OK : CTL_TEMPFAIL;
}

static int
sync_ask(struct ctl *ctl, int argc, char **argv, const struct ctl_usage *usage, const char *word,
    int64_t patience)
{
	char **operands;
	int count, code = ctl_options(ctl, usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 0)
		return ctl_wrong(usage, "no operand is wanted");
	if (!ctl_need_conf(ctl))
		return CTL_CONFIG;
	json_t *answer = ask(ctl, word, patience, &code);
	if (answer == NULL)
		return code;
	print_answer(ctl, answer);
	code = judge_answer(answer);
	json_decref(answer);
	return code;
}

static int
sync_status(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"sync status",
	    "Shows what mxhold-sync of this relay knows of itself. Exit status: 0 it is current,\n"
	    "75 it is not, 69 it does not answer.\n",
	    NULL};

	return sync_ask(ctl, argc, argv, &usage, "status", STATUS_MS);
}

static int
sync_verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"sync verify",
	    "Checks every record of this relay's snapshot. Exit status: 0 all is sound, 75 not.\n",
	    NULL};

	return sync_ask(ctl, argc, argv, &usage, "verify", JOB_MS);
}

static int
sync_reload(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_usage usage = {"sync reload",
	    "Loads the whole feed anew and compares. Exit status: 0 it is done, 75 it could not "
	    "be.\n",
	    NULL};

	return sync_ask(ctl, argc, argv, &usage, "reload", JOB_MS);
}

/* --- confirm
 * ----------------------------------------------------------------------------------------- */

static int
confirm(struct db *db, const struct ctl *ctl, const char *note)
{
	char *sql = db_format(db,
	    "insert into mxhold.feed_confirmation (note) values (%s) returning id, epoch, version",
	    note);
	PGresult *result = db->code == CTL_OK ? db_run(db, sql) : NULL;

	free(sql);
	if (result != NULL && PQntuples(result) == 1)
		db_print_row(result, 0, ctl->json);
	PQclear(result);
	return db->code;
}

static int
sync_confirm(struct ctl *ctl, int argc, char **argv)
{
	const char *note = "mxholdctl sync confirm";
	bool dry = false;
	const struct ctl_option options[] = {
	    {"note", "TEXT", "why, for those who read it later", &note, NULL},
	    {"dry-run", NULL, "show the SQL and do not run it", NULL, &dry},
	    {NULL, NULL, NULL, NULL, NULL},
	};
	const struct ctl_usage usage = {"sync confirm [--note TEXT]",
	    "Confirms what the authority says now. Relays that hold it back (an empty feed, "
	    "another\n"
	    "epoch, a version that runs backwards) then take it over: the whole fleet, once.\n",
	    options};
	struct db db;
	char **operands;
	int count, code = ctl_options(ctl, &usage, argc, argv, &operands, &count);

	if (code >= 0)
		return code;
	if (count != 0)
		return ctl_wrong(&usage, "no operand is wanted");
	code = db_open(&db, ctl, dry) ? confirm(&db, ctl, note) : db.code;
	db_close(&db);
	return code;
}

int
ctl_verb_sync(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_verb verbs[] = {
	    {"status", "what mxhold-sync of this relay knows of itself", sync_status},
	    {"verify", "check every record of the snapshot", sync_verify},
	    {"reload", "load the whole feed anew", sync_reload},
	    {"confirm", "let the fleet take over what the brake held", sync_confirm},
	    {NULL, NULL, NULL},
	};

	return ctl_sub_verb(ctl, "sync", verbs, argc, argv);
}
