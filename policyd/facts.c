/*
 * facts: see facts.h. In: STATE_DIR. Out: records, and datagrams of one line that nobody
 * waits for. A question for a domain that was asked a short while ago is not asked again.
 */
#include "policyd/facts.h"

#include "core/log.h"
#include "policyd/flood.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define ASK_RATE 50 /* datagrams a second */
#define ASK_BURST 100
#define ASKED_ROOM 256     /* domains that are remembered as asked */
#define ASKED_FOR_MS 10000 /* for so long */
#define PATH_SIZE 4096

struct asked {
	uint64_t domain; /* a hash of it */
	int64_t at_ms;
};

/* One kind of questions: it cannot crowd out the other. */
struct questions {
	const char *word; /* before the name */
	struct flood flood;
	struct asked asked[ASKED_ROOM];
};

struct facts {
	struct state *state;
	struct memory *memory;
	int memory_told; /* why there is none, as it was logged last; 0: there is one */
	char *directory;
	struct judge_state judge;
	struct judge_time now;
	int64_t sender_retry;
	bool begun; /* state_begin was called for this pass */
	enum state_result result;
	int socket; /* -1: none */
	struct sockaddr_un queued;
	struct questions mx, primary;
};

bool
facts_record(struct facts *facts, const char *name, struct state_domain *out)
{
	if (facts == NULL)
		return false;
	if (!facts->begun)
		facts->result = state_begin(facts->state, facts->now.boot_ms);
	facts->begun = true;
	return facts->result == STATE_OK && state_domain(facts->state, name, out) == STATE_OK;
}

static bool
record(void *context, const char *name, struct state_domain *out)
{
	return facts_record(context, name, out);
}

/* Without it rule 10 defers nobody: somebody should know. */
static void
tell_memory(struct facts *facts)
{
	const int failed = memory_failed(facts->memory);

	if (failed == facts->memory_told || (failed == 0 && !memory_usable(facts->memory)))
		return;
	facts->memory_told = failed;
	if (failed == 0)
		log_event(LOG_NOTICE, "senders-usable", kv("directory", facts->directory));
	else
		log_event(LOG_ERR, "senders-unusable", kv("directory", facts->directory),
		    kv("error", strerror(failed)),
		    kv("effect", "when_primary_up = defer defers nobody"),
		    kv("cure",
			"room for 8 MiB, the directory (a reload gives it to its user), and no "
			"other thing named senders in it; "
			"that is tried again by itself"));
}

static bool
keeps_trying(void *context, const struct judge_request *request, const char *domain)
{
	struct facts *facts = context;

	(void)domain;
	const bool taken = memory_visit(facts->memory, request->client_address,
	    request->sender != NULL ? request->sender : "", request->recipient,
	    request->recipient_length, facts->now.wall, facts->sender_retry);
	tell_memory(facts);
	return taken;
}

/* FNV-1a: it chooses a place, and confuses nobody but two domains for ten seconds. */
static uint64_t
hash(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static void
ask(struct facts *facts, struct questions *questions, const char *name)
{
	const uint64_t domain = hash(name);
	struct asked *asked = &questions->asked[domain % ASKED_ROOM];
	const int64_t now = facts->now.boot_ms;
	char line[sizeof(FACTS_PRIMARY) + DOMAIN_SIZE + 1];

	if (facts->socket < 0 || (asked->domain == domain && now - asked->at_ms < ASKED_FOR_MS) ||
	    !flood_allow(&questions->flood, now))
		return;
	*asked = (struct asked){.domain = domain, .at_ms = now};
	const int length = snprintf(line, sizeof(line), "%s%s\n", questions->word, name);
	/* Lost is fine: nobody listens, or he is behind. The next recipient asks again. */
	(void)!sendto(facts->socket, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&facts->queued, sizeof(facts->queued));
}

static void
read_mx_again(void *context, const char *row)
{
	struct facts *facts = context;

	ask(facts, &facts->mx, row);
}

static void
watch_primary(void *context, const char *domain)
{
	struct facts *facts = context;

	ask(facts, &facts->primary, domain);
}

const struct judge_state *
facts_for_judge(const struct facts *facts)
{
	return facts != NULL ? &facts->judge : NULL;
}

void
facts_begin(struct facts *facts, struct judge_time now)
{
	if (facts == NULL)
		return;
	facts_end(facts);
	facts->now = now;
}

void
facts_end(struct facts *facts)
{
	if (facts != NULL && facts->begun) {
		state_end(facts->state);
		facts->begun = false;
	}
}

static void
open_socket(struct facts *facts, const char *socket_dir)
{
	struct sockaddr_un *queued = &facts->queued;

	facts->socket = -1;
	queued->sun_family = AF_UNIX;
	const int length =
	    snprintf(queued->sun_path, sizeof(queued->sun_path), "%s/" FACTS_ASK, socket_dir);
	if (length > 0 && (size_t)length < sizeof(queued->sun_path))
		facts->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void
questions_init(struct questions *questions, const char *word)
{
	questions->word = word;
	flood_init(&questions->flood, ASK_RATE, ASK_BURST, snapshot_clock_boot_ms());
}

struct facts *
facts_new(const struct conf *conf)
{
	struct facts *facts = calloc(1, sizeof(*facts));
	char directory[PATH_SIZE];

	if (facts == NULL)
		return NULL;
	open_socket(facts, conf->paths.socket_dir);
	questions_init(&facts->mx, "");
	questions_init(&facts->primary, FACTS_PRIMARY);
	snprintf(directory, sizeof(directory), "%s/" FACTS_DIRECTORY, conf->paths.state_dir);
	facts->sender_retry = conf->queue.sender_retry;
	facts->judge = (struct judge_state){.record = record,
	    .keeps_trying = keeps_trying,
	    .read_mx_again = read_mx_again,
	    .watch_primary = watch_primary,
	    .context = facts};
	facts->state = state_new(conf->paths.state_dir);
	facts->memory = memory_open(directory);
	facts->directory = strdup(directory);
	if (facts->state == NULL || facts->memory == NULL || facts->directory == NULL) {
		facts_free(facts);
		return NULL;
	}
	tell_memory(facts);
	return facts;
}

void
facts_free(struct facts *facts)
{
	if (facts == NULL)
		return;
	state_free(facts->state);
	memory_close(facts->memory);
	free(facts->directory);
	if (facts->socket >= 0)
		close(facts->socket);
	free(facts);
}
