/*
 * postfix: see postfix.h. Two calls of postconf(1): one for main.cf, one for the options of the
 * transport in master.cf, which come before it. For the instances one that tells which there are,
 * and where there is more than one, these two of each.
 */
#include "queued/postfix.h"

#include "core/log.h"
#include "core/spawn.h"
#include "queued/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASK_MS 3000       /* twice, and INSTANCES_MS, in less than the parent waits for an answer */
#define INSTANCES_MS 2000 /* all of them */
#define OTHERS_MOST 16
#define OUTPUT_SIZE 8192
#define POSTQUEUE "/usr/sbin/postqueue"

/* --- asking postconf
 * -------------------------------------------------------------------------------- */

/* All that comes until the end of the output or the deadline. */
static size_t
read_output(int fd, int64_t deadline, char *out, size_t size)
{
	size_t used = 0;

	while (used + 1 < size) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_run_ms();
		if (left <= 0 || poll(&ready, 1, (int)left) <= 0)
			break;
		ssize_t length = read(fd, out + used, size - 1 - used);
		if (length <= 0)
			break;
		used += (size_t)length;
	}
	out[used] = '\0';
	return used;
}

/* Did it end well? Who has not ended by the deadline is killed. */
static bool
ends_well(pid_t pid, int64_t deadline)
{
	pid_t ended;
	int status = -1;

	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && clock_run_ms() < deadline)
		(void)poll(NULL, 0, 1);
	if (ended == 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		return false;
	}
	return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* False: it could not be asked, failed, said too much, or was late; *out has what it said. */
static bool
ask(const char *const *arguments, int64_t deadline, char *out, size_t size)
{
	bool good = false;
	pid_t pid = -1;
	int pipes[2];

	out[0] = '\0';
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return false;
	const struct spawn how = {
	    .argv = arguments, .in = SPAWN_NOTHING, .out = pipes[1], .err = SPAWN_NOTHING};
	if (spawn_start(&how, &pid) != 0)
		pid = -1;
	close(pipes[1]);
	if (pid > 0)
		good = read_output(pipes[0], deadline, out, size) + 1 < size;
	close(pipes[0]);
	return pid > 0 && ends_well(pid, deadline) && good;
}

static bool
ask_postconf(const char *const *arguments, char *out, size_t size)
{
	(void)ask(arguments, clock_run_ms() + ASK_MS, out, size);
	return out[0] != '\0';
}

/* --- reading its answers
 * ---------------------------------------------------------------------------- */

static void
read_bind(const char *text, uint8_t family, struct ip *out)
{
	struct ip address;

	if (text[0] == '\0')
		out->family = 0;
	else if (ip_parse(text, &address) && address.family == family)
		*out = address;
}

static void
set_command_directory(const char *value, struct postfix_settings *out)
{
	if (value[0] == '/')
		(void)snprintf(out->postqueue, sizeof(out->postqueue), "%s/postqueue", value);
}

static void
set_protocols(const char *value, struct postfix_settings *out)
{
	bool all = strstr(value, "all") != NULL;

	out->use4 = all || strstr(value, "ipv4") != NULL;
	out->use6 = all || strstr(value, "ipv6") != NULL;
}

static void
set_helo(const char *value, struct postfix_settings *out)
{
	if (value[0] != '\0' && strpbrk(value, " \t$") == NULL)
		(void)snprintf(out->sender.helo, sizeof(out->sender.helo), "%s", value);
}

static void
set_bind4(const char *value, struct postfix_settings *out)
{
	read_bind(value, 4, &out->sender.bind4);
}

static void
set_bind6(const char *value, struct postfix_settings *out)
{
	read_bind(value, 6, &out->sender.bind6);
}

/* Comes first in the answer, as it does in the question. */
static void
set_queue_directory(const char *value, struct postfix_settings *out)
{
	if (value[0] == '/')
		(void)snprintf(out->flush_socket, sizeof(out->flush_socket), "%s/public/", value);
}

static void
set_flush_service(const char *value, struct postfix_settings *out)
{
	const size_t used = strlen(out->flush_socket);

	if (used > 0)
		(void)snprintf(
		    out->flush_socket + used, sizeof(out->flush_socket) - used, "%s", value);
}

/* flush(8) leaves it to postqueue(1) to ask who may. */
static void
set_flush_users(const char *value, struct postfix_settings *out)
{
	if (strcmp(value, "static:anyone") != 0)
		out->flush_socket[0] = '\0';
}

static const struct {
	const char *name;
	void (*set)(const char *value, struct postfix_settings *out);
} settings[] = {
    {"command_directory", set_command_directory},
    {"queue_directory", set_queue_directory},
    {"flush_service_name", set_flush_service},
    {"authorized_flush_users", set_flush_users},
    {"inet_protocols", set_protocols},
    {"smtp_helo_name", set_helo},
    {"smtp_bind_address", set_bind4},
    {"smtp_bind_address6", set_bind6},
};

/* `name = value`, where a name of master.cf has its service in front of it. */
static void
take_setting(char *line, struct postfix_settings *out)
{
	char *value = strstr(line, " =");
	char *name = strrchr(line, '/');

	if (value == NULL)
		return;
	*value = '\0';
	value += 2;
	value += strspn(value, " ");
	name = name != NULL && name < value ? name + 1 : line;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcmp(settings[i].name, name) == 0)
			settings[i].set(value, out);
	}
}

static void
take_output(char *output, struct postfix_settings *out)
{
	char *line;

	while ((line = strsep(&output, "\n")) != NULL)
		take_setting(line, out);
}

bool
postfix_read(const char *config_dir, const char *host, struct postfix_settings *out)
{
	const char *const of_main[] = {"postconf", "-c", config_dir, "-x", "command_directory",
	    "queue_directory", "flush_service_name", "authorized_flush_users", "inet_protocols",
	    "smtp_helo_name", "smtp_bind_address", "smtp_bind_address6", NULL};
	const char *const of_master[] = {"postconf", "-c", config_dir, "-x", "-P",
	    "mxhold/unix/smtp_helo_name", "mxhold/unix/smtp_bind_address",
	    "mxhold/unix/smtp_bind_address6", NULL};
	char output[OUTPUT_SIZE];

	memset(out, 0, sizeof(*out));
	out->use4 = out->use6 = true;
	(void)snprintf(out->postqueue, sizeof(out->postqueue), POSTQUEUE);
	(void)snprintf(out->sender.helo, sizeof(out->sender.helo), "%s", host);
	if (!ask_postconf(of_main, output, sizeof(output))) {
		log_event(LOG_WARNING, "postconf-failed", kv("config_dir", config_dir),
		    kv("cure", "[paths] postfix_config_dir must name Postfix's configuration, "
			       "readable for [users] queued"));
		return false;
	}
	take_output(output, out);
	if (ask_postconf(of_master, output, sizeof(output)))
		take_output(output, out);
	return true;
}

/* --- the instances of the host
 * ---------------------------------------------------------------------- */

struct instance {
	char name[INSTANCES_NAME_SIZE]; /* by which it logs */
	char file[PATH_MAX];            /* to which it logs by itself; "": syslog */
};

/* Of lines `name = value`; "": none, or one that is too long. */
static void
copy_value(const char *output, const char *name, char *out, size_t size)
{
	const size_t length = strlen(name);
	const char *line = output;

	out[0] = '\0';
	while (strncmp(line, name, length) != 0 || strncmp(line + length, " =", 2) != 0) {
		line += strcspn(line, "\n");
		if (*line++ == '\0')
			return;
	}
	line += length + 2;
	line += strspn(line, " ");
	const size_t used = strcspn(line, "\n");
	if (used < size) {
		memcpy(out, line, used);
		out[used] = '\0';
	}
}

static bool
read_instance(const char *directory, int64_t deadline, struct instance *out)
{
	const char *const question[] = {
	    "postconf", "-c", directory, "-x", "syslog_name", "maillog_file", NULL};
	char output[OUTPUT_SIZE];

	if (!ask(question, deadline, output, sizeof(output)))
		return false;
	copy_value(output, "syslog_name", out->name, sizeof(out->name));
	copy_value(output, "maillog_file", out->file, sizeof(out->file));
	return out->name[0] != '\0';
}

/* Services of master.cf may log by names of their own. */
static bool
read_services(
    const char *directory, enum instance_owner owner, int64_t deadline, struct instances *out)
{
	const char *const question[] = {
	    "postconf", "-c", directory, "-x", "-P", "*/*/syslog_name", NULL};
	char output[OUTPUT_SIZE], *rest = output, *line;
	bool all = ask(question, deadline, output, sizeof(output));

	while (all && (line = strsep(&rest, "\n")) != NULL) {
		const char *value = strstr(line, " = ");
		if (value != NULL && !instances_add(out, value + 3, owner))
			all = false;
	}
	return all;
}

static bool
is_same_directory(const char *one, const char *other)
{
	struct stat first, second;

	if (stat(one, &first) != 0 || stat(other, &second) != 0)
		return strcmp(one, other) == 0;
	return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static void
ignore_instance(const char *directory, const char *reason)
{
	log_event(LOG_INFO, "instance-ignored", kv("config_dir", directory), kv("reason", reason),
	    kv("effect", "its lines in Postfix's log count as ours"));
}

static void
ignore_all(const char *directory, const char *reason)
{
	log_event(LOG_INFO, "instances-ignored", kv("config_dir", directory), kv("reason", reason),
	    kv("effect", "all lines of Postfix's log count as its own"));
}

struct inquiry {
	const char *directory; /* of ours */
	struct instance ours;
	int64_t deadline;
	struct instances *names;
};

static void
learn_other(const struct inquiry *inquiry, const char *directory)
{
	struct instance other;

	if (clock_run_ms() >= inquiry->deadline)
		ignore_instance(directory, "no time left to ask postconf");
	else if (!read_instance(directory, inquiry->deadline, &other))
		ignore_instance(directory, "postconf does not tell its syslog_name");
	else if (strcmp(other.name, inquiry->ours.name) != 0) {
		if (!instances_add(inquiry->names, other.name, INSTANCE_OTHERS) ||
		    !read_services(directory, INSTANCE_OTHERS, inquiry->deadline, inquiry->names))
			ignore_instance(directory, "not all of its names could be learned");
	} else if (strcmp(other.file, inquiry->ours.file) == 0)
		log_event(LOG_WARNING, "syslog-name-shared", kv("name", other.name),
		    kv("config_dir", inquiry->directory), kv("other", directory),
		    kv("effect", "mail that the other instance has for customers' domains is taken "
				 "for held here"),
		    kv("cure", "give one of them a multi_instance_name or syslog_name of its own, "
			       "start it anew, then mxhold-queued"));
}

static bool
learn_ours(struct inquiry *inquiry)
{
	return read_instance(inquiry->directory, inquiry->deadline, &inquiry->ours) &&
	       instances_add(inquiry->names, inquiry->ours.name, INSTANCE_OURS) &&
	       read_services(inquiry->directory, INSTANCE_OURS, inquiry->deadline, inquiry->names);
}

/* The default instance and those that it lists, but for ours. `text` is cut into them. */
static size_t
find_others(const char *config_dir, char *text, const char *others[OTHERS_MOST])
{
	const char *directory;
	size_t count = 0;

	while ((directory = strsep(&text, " ,\t")) != NULL) {
		if (directory[0] == '\0' || is_same_directory(directory, config_dir))
			continue;
		if (count < OTHERS_MOST)
			others[count++] = directory;
		else
			ignore_instance(directory, "too many instances");
	}
	return count;
}

void
postfix_instances(const char *config_dir, struct instances *out)
{
	const char *const question[] = {
	    "postconf", "-x", "config_directory", "multi_instance_directories", NULL};
	struct inquiry inquiry = {
	    .directory = config_dir, .deadline = clock_run_ms() + INSTANCES_MS, .names = out};
	char output[OUTPUT_SIZE], first[PATH_MAX], list[OUTPUT_SIZE], all[PATH_MAX + OUTPUT_SIZE];
	const char *others[OTHERS_MOST];

	out->count = 0;
	if (!ask(question, inquiry.deadline, output, sizeof(output))) {
		/* No default instance, so postmulti(1) has none at all; or a very busy machine. */
		if (clock_run_ms() >= inquiry.deadline)
			ignore_all(config_dir, "no time left to ask postconf");
		return;
	}
	copy_value(output, "config_directory", first, sizeof(first));
	copy_value(output, "multi_instance_directories", list, sizeof(list));
	(void)snprintf(all, sizeof(all), "%s %s", first, list);
	const size_t count = find_others(config_dir, all, others);
	if (count == 0)
		return;
	if (!learn_ours(&inquiry)) {
		out->count = 0;
		ignore_all(
		    config_dir, "not all names by which this instance logs could be learned");
		return;
	}
	for (size_t i = 0; i < count; i++)
		learn_other(&inquiry, others[i]);
}

gid_t
postfix_group(const char *postqueue)
{
	struct stat found;

	if (stat(postqueue, &found) != 0 || (found.st_mode & S_ISGID) == 0 || found.st_gid == 0)
		return (gid_t)-1;
	return found.st_gid;
}
