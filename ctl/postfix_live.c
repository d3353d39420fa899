/*
 * postfix_live: questions to the sockets and to Postfix (see postfix_live.h).
 *
 * Sources: SMTPD_POLICY_README (policy), socketmap_table(5) (maps), libmilter's mfdef.h
 * (negotiation), RFC 5321 (dialogue).
 */
#include "ctl/postfix_live.h"

#include "ctl/ctl.h"
#include "ctl/postfix_run.h"
#include "ctl/postfix_talk.h"

#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 5000
#define SMTP_MS 30000
#define POSTFIX_SECONDS 60
#define RELOAD_MS 1000 /* `postfix reload` does not wait; an idle smtpd of before would answer */
#define PROBE "mxhold-probe.invalid"

static void
set_why(struct live *live, char *why)
{
	free(live->why);
	live->why = why;
}

/* --- the sockets: each function returns a result, and says what it saw ----------------- */

static enum live_result
ask_policy(const struct live *live, struct text *why)
{
	static const char request[] = "request=smtpd_access_policy\nprotocol_state=RCPT\n"
				      "protocol_name=ESMTP\nclient_address=192.0.2.1\n"
				      "client_name=unknown\nhelo_name=" PROBE "\nsender=\n"
				      "recipient=postmaster@" PROBE "\nsize=0\n"
				      "instance=mxholdctl\n\n";
	char path[128], answer[1024];
	snprintf(path, sizeof(path), "%s/policy", live->facts->socket_dir);
	int fd = talk_unix(path, ANSWER_MS);
	bool good = fd >= 0 && talk_write(fd, request, sizeof(request) - 1) &&
		    talk_until(fd, "\n\n", answer, sizeof(answer), ANSWER_MS);
	talk_close(fd);
	if (!good) {
		text_format(
		    why, "%s does not answer a policy request (is mxhold-policyd running?)", path);
		return LIVE_BAD;
	}
	answer[strcspn(answer, "\n")] = '\0';
	if (strncmp(answer, "action=", 7) != 0 || answer[7] == '\0' ||
	    strncasecmp(answer + 7, "ok", 2) == 0 || strncasecmp(answer + 7, "permit", 6) == 0) {
		text_format(why, "%s answers \"%s\" for a domain that nobody has", path, answer);
		return LIVE_BAD;
	}
	return LIVE_GOOD;
}

/* Who knows the map of greetings knows that of pins; this would look for a next hop in all rows. */
static const struct {
	const char *map, *key;
	const char *wanted; /* the whole reply */
} questions[] = {
    {"relay_domains", "*", "NOTFOUND "},
    {"relay_domains", PROBE, "NOTFOUND "},
    {"transport", "user@" PROBE, "NOTFOUND "},
    {"dns_reply", PROBE ". 5 IN A 0.0.0.0", "OK IGNORE"},
    {"greeting", "250 " PROBE, "NOTFOUND "},
};

static enum live_result
ask_map(const struct live *live, size_t which, struct text *why)
{
	char path[128], request[256], answer[512];
	snprintf(path, sizeof(path), "%s/map", live->facts->socket_dir);
	snprintf(request, sizeof(request), "%zu:%s %s,",
	    strlen(questions[which].map) + 1 + strlen(questions[which].key), questions[which].map,
	    questions[which].key);
	int fd = talk_unix(path, ANSWER_MS);
	bool good = fd >= 0 && talk_write(fd, request, strlen(request)) &&
		    talk_netstring(fd, answer, sizeof(answer), ANSWER_MS);
	talk_close(fd);
	if (!good) {
		text_format(why, "%s does not answer for the map %s (is mxhold-policyd running?)",
		    path, questions[which].map);
		return LIVE_BAD;
	}
	if (strcmp(answer, "TEMP no map of that name") == 0) {
		text_format(why, "%s has no map %s: an older mxhold-policyd is running, restart it",
		    path, questions[which].map);
		return LIVE_BAD;
	}
	if (strncmp(answer, "TEMP ", 5) == 0)
		return LIVE_NO_SNAPSHOT;
	bool allowed = strcmp(questions[which].map, "dns_reply") == 0 && live->special_allowed;
	if (strcmp(answer, allowed ? "NOTFOUND " : questions[which].wanted) == 0)
		return LIVE_GOOD;
	text_format(why, "%s, map %s, answers \"%s\" for \"%s\"; right would be \"%s\"", path,
	    questions[which].map, answer, questions[which].key, questions[which].wanted);
	return LIVE_BAD;
}

/* SMFIC_OPTNEG with version 6 and all actions and steps on offer; answered by the same command. */
static enum live_result
ask_milter(const struct live *live, struct text *why)
{
	static const char offer[] = "\0\0\0\015O\0\0\0\006\0\0\001\377\0\037\377\377";
	char path[128];
	unsigned char answer[17];
	snprintf(path, sizeof(path), "%s/milter", live->facts->socket_dir);
	int fd = talk_unix(path, ANSWER_MS);
	bool good = fd >= 0 && talk_write(fd, offer, sizeof(offer) - 1) &&
		    talk_read(fd, answer, sizeof(answer), ANSWER_MS);
	if (good)
		(void)talk_write(fd, "\0\0\0\001Q", 5);
	talk_close(fd);
	if (good && answer[3] >= 13 && answer[4] == 'O' && answer[8] >= 2)
		return LIVE_GOOD;
	text_format(why, "%s does not negotiate as a milter (is mxhold-milter running?)", path);
	return LIVE_BAD;
}

static enum live_result
ask_all(const struct live *live, struct text *why)
{
	bool no_snapshot = false;
	if (ask_policy(live, why) != LIVE_GOOD)
		return LIVE_BAD;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		enum live_result result = ask_map(live, i, why);
		if (result == LIVE_BAD)
			return LIVE_BAD;
		no_snapshot = no_snapshot || result == LIVE_NO_SNAPSHOT;
	}
	if (ask_milter(live, why) != LIVE_GOOD)
		return LIVE_BAD;
	return no_snapshot ? LIVE_NO_SNAPSHOT : LIVE_GOOD;
}

/* As Postfix's daemons: user mail_owner, its group, no other. */
static bool
become_owner(const char *owner)
{
	const struct passwd *user = getpwnam(owner);
	return user != NULL && setgroups(1, &user->pw_gid) == 0 && setgid(user->pw_gid) == 0 &&
	       setuid(user->pw_uid) == 0;
}

static _Noreturn void
ask_as_owner(const struct live *live, int out)
{
	struct text why = {0};
	const char *owner = facts_value(live->facts, "mail_owner");
	enum live_result result = LIVE_BAD;
	if (geteuid() == 0 && !become_owner(owner))
		text_format(&why, "cannot become Postfix's user %s", owner);
	else
		result = ask_all(live, &why);
	if (why.length > 0)
		(void)talk_write(out, why.bytes, why.length);
	_exit((int)result);
}

static enum live_result
ask_in_child(struct live *live)
{
	char why[1024];
	int pipes[2], status = 0;
	if (pipe(pipes) != 0) {
		set_why(live, mem_string("no pipe"));
		return LIVE_BAD;
	}
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		ask_as_owner(live, pipes[1]);
	close(pipes[1]);
	(void)talk_to_end(pipes[0], why, sizeof(why));
	close(pipes[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		set_why(live, mem_string("the questions to the sockets could not be asked"));
		return LIVE_BAD;
	}
	set_why(live, mem_string(why));
	return (enum live_result)WEXITSTATUS(status);
}

/* Of an odd main.cf (a parameter given twice) every program of Postfix warns: that is no answer. */
static bool
only_warnings(const char *errors)
{
	while (*errors != '\0') {
		size_t length = strcspn(errors, "\n");
		if (memmem(errors, length, ": warning: ", strlen(": warning: ")) == NULL)
			return false;
		errors += length + (errors[length] == '\n');
	}
	return true;
}

/* The same questions as Postfix's library asks them. */
static bool
ask_postmap(struct live *live, size_t which)
{
	char *table =
	    mem_format("socketmap:unix:%s/map:%s", live->facts->socket_dir, questions[which].map);
	const char *const argv[] = {
	    "postmap", "-c", live->facts->config_dir, "-q", questions[which].key, table, NULL};
	struct run_result result = run_program(argv, NULL, 20, live->verbose);
	bool found = strcmp(questions[which].wanted, "OK IGNORE") == 0 && !live->special_allowed;
	bool good = result.ended && only_warnings(result.errors) &&
		    (found ? result.status == 0 && strcmp(result.output, "IGNORE\n") == 0
			   : result.status == 1 && result.length == 0);
	if (!good)
		set_why(live,
		    mem_format("postmap -q '%s' %s: status %d, \"%s\" %s", questions[which].key,
			table, result.status, result.output, result.errors));
	run_free(&result);
	free(table);
	return good;
}

enum live_result
live_sockets(struct live *live)
{
	enum live_result result = ask_in_child(live);
	for (size_t i = 0; result == LIVE_GOOD && i < sizeof(questions) / sizeof(questions[0]); i++)
		if (!ask_postmap(live, i))
			result = LIVE_BAD;
	return result;
}

/* --- the configuration ------------------------------------------------------------------ */

char *
live_warnings(struct live *live)
{
	static const char *const ways[] = {"-n", "-M", "-P"};
	struct text all = {0};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *const argv[] = {
		    "postconf", "-c", live->facts->config_dir, ways[i], NULL};
		struct run_result result = run_program(argv, NULL, 20, live->verbose);
		bool good = result.ended && result.status == 0;
		text_puts(&all, result.errors);
		run_free(&result);
		if (!good) {
			set_why(live, mem_format("postconf %s fails: %s", ways[i], all.bytes));
			text_free(&all);
			return NULL;
		}
	}
	return text_take(&all);
}

/*
 * Numbers of lines in warnings move when lines are added: compare without digits. Of a parameter
 * that stands twice one is as good as the other: postconf names now this value, now that.
 */
static void
drop_details(char *line)
{
	static const char override[] = ": overriding earlier entry: ";
	char *out = line, *twice = strstr(line, override);
	if (twice != NULL)
		twice[strcspn(twice, "=")] = '\0';
	for (const char *at = line; *at != '\0'; at++)
		if (*at < '0' || *at > '9')
			*out++ = *at;
	*out = '\0';
}

static bool
has_line(const char *text, const char *line)
{
	bool found = false;
	char *copy = mem_string(text), *state = NULL;
	for (char *at = strtok_r(copy, "\n", &state); at != NULL && !found;
	     at = strtok_r(NULL, "\n", &state)) {
		drop_details(at);
		found = strcmp(at, line) == 0;
	}
	free(copy);
	return found;
}

/* "unused parameter: NAME=": a variable of main.cf that a value used which we replaced. */
static bool
is_left_over(const struct live *live, const char *line)
{
	static const char unused[] = ": unused parameter: ";
	const char *name = strstr(line, unused);
	if (name == NULL)
		return false;
	name += strlen(unused);
	char *copy = mem_copy(name, strcspn(name, "="));
	struct pf_file file = pf_file_parse(live->facts->main, live->facts->main_length, PF_MAIN);
	bool theirs = pf_file_parameter(&file, copy) != NULL;
	pf_file_free(&file);
	free(copy);
	return theirs;
}

static bool
no_new_warning(struct live *live, const char *before, char *after)
{
	char *state = NULL;
	for (char *line = strtok_r(after, "\n", &state); line != NULL;
	     line = strtok_r(NULL, "\n", &state)) {
		char *shown = mem_string(line);
		bool left_over = is_left_over(live, line);
		drop_details(line);
		if (!left_over && !has_line(before, line)) {
			set_why(live, mem_format("postconf now warns: %s", shown));
			free(shown);
			return false;
		}
		free(shown);
	}
	return true;
}

static bool
run_postfix(struct live *live, const char *verb)
{
	const char *const argv[] = {"postfix", "-c", live->facts->config_dir, verb, NULL};
	struct run_result result = run_program(argv, NULL, POSTFIX_SECONDS, live->verbose);
	bool good = result.ended && result.status == 0;
	if (!good)
		set_why(live,
		    mem_format("`postfix %s` fails: %s%s", verb, result.output, result.errors));
	run_free(&result);
	return good;
}

bool
live_configuration(struct live *live, const char *before)
{
	char *after = live_warnings(live);
	bool good = after != NULL && no_new_warning(live, before, after);
	free(after);
	return good && run_postfix(live, "check");
}

bool
live_is_running(const struct live *live)
{
	struct live quiet = *live;
	quiet.why = NULL;
	bool running = run_postfix(&quiet, "status");
	free(quiet.why);
	return running;
}

bool
live_reload(struct live *live)
{
	if (!run_postfix(live, "reload"))
		return false;
	(void)poll(NULL, 0, RELOAD_MS);
	return true;
}

/* --- smtpd ----------------------------------------------------------------------------------- */

bool
live_reply_is_broken(const char *reply, bool has_snapshot)
{
	if (strncmp(reply, "421", 3) == 0 || strstr(reply, "4.3.5") != NULL ||
	    strncmp(reply, "451 4.7.1 Service unavailable", 29) == 0)
		return true;
	return has_snapshot && strncmp(reply, "451 4.3.0", 9) == 0;
}

struct listener {
	char host[256];
	char port[64];
};

static bool
is_listener(const struct pf_service *service)
{
	const char *command = pf_service_field(service, 7);
	const struct pf_option *wrapper = pf_service_option(service, "smtpd_tls_wrappermode");
	return strcmp(pf_service_field(service, 1), "inet") == 0 &&
	       (strcmp(command, "smtpd") == 0 || strcmp(command, "postscreen") == 0) &&
	       (wrapper == NULL || strcmp(wrapper->value, "yes") != 0);
}

/* "127.0.0.1:10025", "[::1]:smtp", "smtp" */
static void
name_listener(const struct live *live, const char *name, struct listener *out)
{
	const char *colon = strrchr(name, ':');
	char *interfaces = mem_string(facts_value(live->facts, "inet_interfaces"));
	char *host = interfaces;
	snprintf(out->port, sizeof(out->port), "%s", colon != NULL ? colon + 1 : name);
	if (colon != NULL && colon > name) {
		free(interfaces);
		interfaces = host = mem_copy(name, (size_t)(colon - name));
	} else {
		host[strcspn(host, ", \t")] = '\0';
		if (strcmp(host, "all") == 0 || strcmp(host, "loopback-only") == 0)
			host = (char *)"127.0.0.1";
	}
	size_t length = strlen(host);
	if (length > 2 && host[0] == '[')
		snprintf(out->host, sizeof(out->host), "%.*s", (int)length - 2, host + 1);
	else
		snprintf(out->host, sizeof(out->host), "%s", host);
	free(interfaces);
}

static bool
find_listener(const struct live *live, struct listener *out)
{
	bool found = false;
	struct pf_file master =
	    pf_file_parse(live->facts->master, live->facts->master_length, PF_MASTER);
	for (size_t i = 0; i < master.count && !found; i++) {
		struct pf_service service;
		if (!pf_service_parse(&master, &master.lines[i], &service))
			continue;
		const char *name = pf_service_field(&service, 0);
		found = is_listener(&service) && !facts_service_disabled(live->facts, name, "inet");
		if (found)
			name_listener(live, name, out);
		pf_service_free(&service);
	}
	pf_file_free(&master);
	return found;
}

/* Sends `line` (or nothing) and takes the reply. */
static bool
exchange(int fd, const char *line, char *reply, size_t size)
{
	return (line == NULL || talk_write(fd, line, strlen(line))) &&
	       talk_reply(fd, reply, size, SMTP_MS);
}

/* The dialogue up to RCPT; `reply` is the last one. False: no connection, or a broken server. */
static bool
talk_to_rcpt(const struct listener *listener, const char *source, bool has_snapshot, char *reply,
    size_t size, bool *taken)
{
	static const char *const lines[] = {
	    NULL, "EHLO localhost\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<mxholdctl@" PROBE ">\r\n"};
	const size_t count = sizeof(lines) / sizeof(lines[0]);
	int fd = talk_tcp(listener->host, listener->port, source, SMTP_MS);
	bool good = fd >= 0;
	size_t i = 0;
	for (; good && i < count; i++) {
		good = exchange(fd, lines[i], reply, size) &&
		       !live_reply_is_broken(reply, has_snapshot);
		if (reply[0] == '5')
			break; /* it answers, and will not talk to us: that is its right */
	}
	*taken = good && i == count && reply[0] == '2';
	if (fd >= 0)
		(void)talk_write(fd, "QUIT\r\n", 6);
	talk_close(fd);
	return good;
}

/* An address of this host from which smtpd sees a stranger. False: there is none. */
static bool
find_stranger(const struct live *live, const struct listener *listener, char text[IP_TEXT_SIZE])
{
	struct ip at;
	if (!ip_parse_bytes(listener->host, strlen(listener->host), &at))
		return false;
	for (size_t i = 0; i < live->facts->local_count; i++) {
		const struct ip *ip = &live->facts->local[i];
		enum ip_class class = ip_classify(ip);
		if (ip->family == at.family && class != IP_LOOPBACK && class != IP_LINK_LOCAL &&
		    facts_address_foreign(live->facts, ip)) {
			(void)ip_format(ip, text);
			return true;
		}
	}
	return false;
}

bool
live_smtp(struct live *live, bool has_snapshot)
{
	struct listener listener = {.host = ""};
	char reply[1024] = "", source[IP_TEXT_SIZE];
	bool taken;
	if (!find_listener(live, &listener))
		return true; /* nothing listens by TCP: nothing to ask */
	if (!talk_to_rcpt(&listener, NULL, has_snapshot, reply, sizeof(reply), &taken)) {
		set_why(live, mem_format("smtpd at %s:%s %s%s", listener.host, listener.port,
				  *reply != '\0' ? "answers: " : "does not answer", reply));
		return false;
	}
	if (!find_stranger(live, &listener, source) ||
	    !talk_to_rcpt(&listener, source, has_snapshot, reply, sizeof(reply), &taken) || !taken)
		return true; /* it may not talk to that address at all */
	set_why(live, mem_format("smtpd at %s:%s takes mail from %s, which is not in mynetworks, "
				 "for a domain that nobody has: an open relay",
			  listener.host, listener.port, source));
	return false;
}
