/*
 * policyd_load: the client of the benchmark: asks a policy server for a while on some connections,
 * one request at a time on each, as smtpd does.
 *
 *   policyd_load SOCKET PID CONNECTIONS SECONDS DOMAINS
 *
 * Recipients are spread over d00000000.bench.example up to DOMAINS. Each reply must be the permit.
 * Prints: decisions a second, CPU of process PID in microseconds a decision, p50 and p99 of the
 * time to the reply in microseconds.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define BUCKETS 200000 /* of 0.1 us: up to 20 ms, the last one for all that is slower */
#define BUCKET_NS 100

static const char expected[] = "action=defer_unauth_destination\n\n";

/* What Postfix 3.7 sends at RCPT TO, in its order. */
static const char request_head[] =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
    "client_address=203.0.113.77\nclient_name=mail.sender.example\nclient_port=41238\n"
    "reverse_client_name=mail.sender.example\nserver_address=192.0.2.10\nserver_port=25\n"
    "helo_name=mail.sender.example\nsender=somebody@sender.example\nrecipient=someone@d";
static const char request_tail[] =
    ".bench.example\nrecipient_count=0\nqueue_id=\ninstance=1a2b.65f0c1d2.3e4f5.0\nsize=20480\n"
    "etrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\n"
    "ccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\n"
    "encryption_cipher=\nencryption_keysize=0\npolicy_context=\ncompatibility_level=3.6\n\n";

struct load {
	char request[2048];
	size_t length;
	size_t digits; /* where the eight digits of the domain stand */
	uint64_t domains;
	uint64_t random;
	uint64_t sent_at[CONNECTIONS_MAX];
	int fd[CONNECTIONS_MAX];
	uint32_t histogram[BUCKETS];
	uint64_t answers;
};

static void
die(const char *what)
{
	fprintf(stderr, "policyd_load: %s: %s\n", what, strerror(errno));
	exit(71);
}

static uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds that the process has run on a CPU. */
static uint64_t
cpu_ns(const char *pid)
{
	char path[64];
	uint64_t ran = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%" SCNu64, &ran) != 1)
		die(path);
	(void)fclose(file);
	return ran;
}

static void
load_ask(struct load *load, uint32_t connection)
{
	uint64_t number;
	int i;

	load->random = load->random * 6364136223846793005u + 1442695040888963407u;
	number = (load->random >> 33) % load->domains;
	for (i = 7; i >= 0; i--, number /= 10)
		load->request[load->digits + (size_t)i] = (char)('0' + number % 10);
	load->sent_at[connection] = clock_ns();
	if (send(load->fd[connection], load->request, load->length, 0) != (ssize_t)load->length)
		die("send");
}

static void
load_take(struct load *load, uint32_t connection)
{
	char reply[256];
	ssize_t length = recv(load->fd[connection], reply, sizeof(reply), 0);
	uint64_t bucket = (clock_ns() - load->sent_at[connection]) / BUCKET_NS;

	if (length != (ssize_t)sizeof(expected) - 1 ||
	    memcmp(reply, expected, sizeof(expected) - 1) != 0) {
		fprintf(stderr, "policyd_load: unexpected reply: %.*s\n",
		    (int)(length > 0 ? length : 0), reply);
		exit(1);
	}
	load->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	load->answers++;
}

static double
load_quantile(const struct load *load, double part)
{
	uint64_t wanted = (uint64_t)((double)load->answers * part), seen = 0;
	size_t i;

	for (i = 0; i < BUCKETS - 1; i++) {
		seen += load->histogram[i];
		if (seen > wanted)
			break;
	}
	return (double)i * BUCKET_NS / 1000.0;
}

static int
load_connect(struct load *load, const char *path, uint32_t connections)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(0);
	uint32_t i;

	if (strlen(path) >= sizeof(address.sun_path))
		die("path too long");
	memcpy(address.sun_path, path, strlen(path));
	for (i = 0; i < connections; i++) {
		load->fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		event.data.u32 = i;
		if (load->fd[i] < 0 ||
		    connect(load->fd[i], (struct sockaddr *)&address, sizeof(address)) != 0 ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, load->fd[i], &event) != 0)
			die("connect");
	}
	return epoll;
}

static void
load_run(struct load *load, int epoll, uint64_t until)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int count, i;

	while (clock_ns() < until) {
		count = epoll_wait(epoll, events, CONNECTIONS_MAX, 1000);
		for (i = 0; i < count; i++) {
			load_take(load, events[i].data.u32);
			load_ask(load, events[i].data.u32);
		}
	}
}

int
main(int argc, char **argv)
{
	static struct load load = {.random = 42};
	uint64_t begin, cpu, end;
	uint32_t connections, i;
	int epoll;

	if (argc != 6)
		return 64;
	connections = (uint32_t)strtoul(argv[3], NULL, 10);
	load.domains = strtoull(argv[5], NULL, 10);
	if (connections == 0 || connections > CONNECTIONS_MAX || load.domains == 0)
		return 64;
	load.length = (size_t)snprintf(
	    load.request, sizeof(load.request), "%s00000000%s", request_head, request_tail);
	load.digits = sizeof(request_head) - 1;
	epoll = load_connect(&load, argv[1], connections);
	for (i = 0; i < connections; i++)
		load_ask(&load, i);
	load_run(&load, epoll, clock_ns() + 300000000u); /* warm */
	memset(load.histogram, 0, sizeof(load.histogram));
	load.answers = 0;
	begin = clock_ns();
	cpu = cpu_ns(argv[2]);
	load_run(&load, epoll, begin + (uint64_t)(atof(argv[4]) * 1e9));
	cpu = cpu_ns(argv[2]) - cpu;
	end = clock_ns();
	printf("%.0f %.2f %.1f %.1f\n", (double)load.answers * 1e9 / (double)(end - begin),
	    (double)cpu / 1000.0 / (double)load.answers, load_quantile(&load, 0.5),
	    load_quantile(&load, 0.99));
	return 0;
}
