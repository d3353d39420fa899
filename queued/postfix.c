/*
 * postfix: see postfix.h. Two calls of postconf(1): one for main.cf, one for the options of the
 * transport in master.cf, which come before it.
 */
#include "queued/postfix.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ASK_MS 3000 /* twice, in less than the parent waits for an answer */
#define OUTPUT_SIZE 8192
#define POSTQUEUE "/usr/sbin/postqueue"

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- asking postconf
 * -------------------------------------------------------------------------------- */

static pid_t
spawn_postconf(const char *const *arguments, int out)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const environment[] = {path, locale, NULL};
	posix_spawn_file_actions_t files;
	pid_t pid = -1;
	union { /* posix_spawn only reads them */
		const char *const *given;
		char *const *wanted;
	} argv = {.given = arguments};

	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
	(void)posix_spawn_file_actions_adddup2(&files, out, 1);
	(void)posix_spawn_file_actions_adddup2(&files, 0, 2);
	(void)posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (posix_spawnp(&pid, "postconf", &files, NULL, argv.wanted, environment) != 0)
		pid = -1;
	(void)posix_spawn_file_actions_destroy(&files);
	return pid;
}

/* All that comes until the end of the output or the deadline. */
static size_t
read_output(int fd, char *out, size_t size)
{
	int64_t deadline = clock_ms() + ASK_MS;
	size_t used = 0;

	while (used + 1 < size) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_ms();
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

static bool
ask_postconf(const char *const *arguments, char *out, size_t size)
{
	int pipes[2], status = -1;

	out[0] = '\0';
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return false;
	pid_t pid = spawn_postconf(arguments, pipes[1]);
	close(pipes[1]);
	if (pid > 0) {
		(void)read_output(pipes[0], out, size);
		(void)kill(pid, SIGKILL); /* it has said all, or is late */
		(void)waitpid(pid, &status, 0);
	}
	close(pipes[0]);
	return pid > 0 && out[0] != '\0';
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

static const struct {
	const char *name;
	void (*set)(const char *value, struct postfix_settings *out);
} settings[] = {
    {"command_directory", set_command_directory},
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
	    "inet_protocols", "smtp_helo_name", "smtp_bind_address", "smtp_bind_address6", NULL};
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

gid_t
postfix_group(const char *postqueue)
{
	struct stat found;

	if (stat(postqueue, &found) != 0 || (found.st_mode & S_ISGID) == 0 || found.st_gid == 0)
		return (gid_t)-1;
	return found.st_gid;
}
