/*
 * probe: see probe.h. A bufferevent carries the bytes between the socket (or TLS on it) and the
 * dialogue; one timer bounds each part. Everything ends in probe_finish(), from the event loop.
 */
#include "queued/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_HIGH_WATER 16384
#define DESCRIPTORS_ELSE 512 /* what all but the probes may need */
#define PROBES_LEAST 16

struct prober {
	struct event_base *base;
	struct probe_sender sender;
	SSL_CTX *tls;
};

struct probe {
	struct prober *prober;
	struct probe_target target;
	struct dialogue dialogue;
	struct bufferevent *stream;
	struct event *timer;
	probe_done *done;
	void *context;
};

/* --- what probes share ---------------------------------------------------------------------------
 */

struct prober *
prober_new(struct event_base *base, const struct probe_sender *sender)
{
	struct prober *prober = calloc(1, sizeof(*prober));

	if (prober == NULL)
		return NULL;
	prober->base = base;
	prober->sender = *sender;
	prober->tls = SSL_CTX_new(TLS_client_method());
	/* As a delivery with security level `may` or `encrypt`: no certificate is verified. */
	if (prober->tls == NULL ||
	    SSL_CTX_set_cipher_list(prober->tls, "DEFAULT:@SECLEVEL=0") != 1) {
		prober_free(prober);
		return NULL;
	}
	SSL_CTX_set_verify(prober->tls, SSL_VERIFY_NONE, NULL);
	(void)SSL_CTX_set_min_proto_version(prober->tls, TLS1_VERSION);
	SSL_CTX_set_session_cache_mode(prober->tls, SSL_SESS_CACHE_OFF);
	return prober;
}

void
prober_free(struct prober *prober)
{
	if (prober == NULL)
		return;
	SSL_CTX_free(prober->tls);
	free(prober);
}

unsigned
prober_most(unsigned wanted)
{
	struct rlimit limit;
	unsigned most = PROBES_LEAST;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    (limit.rlim_cur > DESCRIPTORS_ELSE &&
		(limit.rlim_cur - DESCRIPTORS_ELSE) / 5 * 4 >= wanted))
		return wanted;
	if (limit.rlim_cur > DESCRIPTORS_ELSE + 2 * PROBES_LEAST)
		most = (unsigned)((limit.rlim_cur - DESCRIPTORS_ELSE) / 5 * 4);
	return most < wanted ? most : wanted;
}

/* --- the end -------------------------------------------------------------------------------------
 */

/*
 * Closes it at once: libevent would do so in its next turn only, and where thousands of probes end
 * together and as many begin, each would need two descriptors for a moment.
 */
static void
stream_close(struct bufferevent *stream)
{
	const evutil_socket_t fd = bufferevent_getfd(stream);

	if (bufferevent_get_underlying(stream) == NULL && fd >= 0 &&
	    bufferevent_setfd(stream, -1) == 0)
		close(fd);
	bufferevent_free(stream);
}

static void
probe_free(struct probe *probe)
{
	if (probe->stream != NULL)
		stream_close(probe->stream);
	if (probe->timer != NULL)
		event_free(probe->timer);
	free(probe);
}

void
probe_cancel(struct probe *probe)
{
	probe_free(probe);
}

static void
probe_finish(struct probe *probe)
{
	struct probe_finding finding = probe->dialogue.finding;
	probe_done *done = probe->done;
	void *context = probe->context;

	probe_free(probe);
	done(&finding, context);
}

static void
probe_wait(struct probe *probe, int64_t ms)
{
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)evtimer_add(probe->timer, &wait);
}

/* --- TLS -----------------------------------------------------------------------------------------
 */

static bool
certificate_digest(X509 *certificate, char out[2 * EVP_MAX_MD_SIZE + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE], *spki = NULL;
	unsigned size = 0;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
	bool good =
	    length > 0 && EVP_Digest(spki, (size_t)length, digest, &size, EVP_sha256(), NULL) == 1;

	for (unsigned i = 0; good && i < size; i++)
		(void)snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
	OPENSSL_free(spki);
	return good;
}

static void
judge_certificate(struct probe *probe)
{
	char digest[2 * EVP_MAX_MD_SIZE + 1] = "";
	SSL *tls = bufferevent_openssl_get_ssl(probe->stream);
	X509 *certificate = SSL_get1_peer_certificate(tls);
	bool read = certificate != NULL && certificate_digest(certificate, digest);

	X509_free(certificate);
	if (probe->target.pin_certificate[0] == '\0' ||
	    (read && strcasecmp(digest, probe->target.pin_certificate) == 0))
		dialogue_tls_done(&probe->dialogue, DIALOGUE_TLS_GOOD, "");
	else
		dialogue_tls_done(
		    &probe->dialogue, DIALOGUE_TLS_STRANGER, read ? digest : "it shows none");
}

static void
tell_tls_failure(struct probe *probe)
{
	unsigned long error = bufferevent_get_openssl_error(probe->stream);
	const char *problem = error != 0 ? ERR_reason_error_string(error) : NULL;

	dialogue_tls_done(&probe->dialogue, DIALOGUE_TLS_FAILED,
	    problem != NULL ? problem : "the connection was lost");
}

/* --- events --------------------------------------------------------------------------------------
 */

static void stream_read(struct bufferevent *stream, void *context);
static void stream_event(struct bufferevent *stream, short what, void *context);

static void
begin_tls(struct probe *probe)
{
	struct bufferevent *plain = probe->stream, *secure = NULL;
	struct evbuffer *input = bufferevent_get_input(plain);
	SSL *tls = SSL_new(probe->prober->tls);

	/* What came in plain text behind the reply must not count as said within TLS. */
	(void)evbuffer_drain(input, evbuffer_get_length(input));
	if (tls != NULL)
		secure = bufferevent_openssl_filter_new(probe->prober->base, plain, tls,
		    BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (secure == NULL) {
		dialogue_cannot_tell(&probe->dialogue, "no memory for TLS");
		return;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(secure, 1);
	probe->stream = secure;
	bufferevent_setwatermark(secure, EV_READ, 0, READ_HIGH_WATER);
	bufferevent_setcb(secure, stream_read, NULL, stream_event, probe);
	(void)bufferevent_enable(secure, EV_READ | EV_WRITE);
}

static void
probe_say(struct probe *probe)
{
	struct dialogue *dialogue = &probe->dialogue;

	if (dialogue->out_length == 0)
		return;
	if (bufferevent_write(probe->stream, dialogue->out, dialogue->out_length) != 0)
		dialogue_cannot_tell(dialogue, "no memory");
	dialogue->out_length = 0;
	if (dialogue->stage == DIALOGUE_QUIT)
		probe_wait(probe, PROBE_QUIT_MS);
}

/* Sends what the dialogue has to say, and sees to its new stage. The probe may be gone then. */
static void
probe_go_on(struct probe *probe)
{
	probe_say(probe);
	if (probe->dialogue.stage == DIALOGUE_HANDSHAKE &&
	    bufferevent_get_underlying(probe->stream) == NULL)
		begin_tls(probe);
	if (probe->dialogue.stage == DIALOGUE_DONE)
		probe_finish(probe);
}

static void
stream_read(struct bufferevent *stream, void *context)
{
	struct probe *probe = context;
	struct evbuffer *input = bufferevent_get_input(stream);
	char bytes[4096];
	ev_ssize_t length;
	size_t taken;

	while ((length = evbuffer_copyout(input, bytes, sizeof(bytes))) > 0) {
		taken = dialogue_feed(&probe->dialogue, bytes, (size_t)length);
		(void)evbuffer_drain(input, taken);
		probe_say(probe);
		if (taken == 0)
			break;
	}
	probe_go_on(probe);
}

static void
stream_connected(struct probe *probe)
{
	if (probe->dialogue.stage == DIALOGUE_HANDSHAKE)
		judge_certificate(probe);
	else
		dialogue_connected(&probe->dialogue);
	if (probe->dialogue.stage == DIALOGUE_BANNER)
		probe_wait(probe, PROBE_TALK_MS);
}

static void
stream_event(struct bufferevent *stream, short what, void *context)
{
	struct probe *probe = context;
	int error = EVUTIL_SOCKET_ERROR();

	(void)stream;
	if ((what & BEV_EVENT_CONNECTED) != 0)
		stream_connected(probe);
	else if (probe->dialogue.stage == DIALOGUE_HANDSHAKE)
		tell_tls_failure(probe);
	else if ((what & BEV_EVENT_EOF) != 0 || error == 0)
		dialogue_lost(&probe->dialogue, "it closed the connection");
	else
		dialogue_lost(&probe->dialogue, strerror(error));
	probe_go_on(probe);
}

static void
timer_fired(evutil_socket_t fd, short what, void *context)
{
	struct probe *probe = context;

	(void)fd;
	(void)what;
	if (probe->dialogue.stage != DIALOGUE_DONE)
		dialogue_lost(&probe->dialogue, "no answer in time");
	probe_finish(probe);
}

/* --- the beginning -------------------------------------------------------------------------------
 */

static socklen_t
socket_address(const struct ip *ip, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (ip->family == 4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, ip->bytes, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	memcpy(&six->sin6_addr, ip->bytes, 16);
	return sizeof(*six);
}

static bool
open_socket(struct probe *probe, const char **problem)
{
	const struct probe_sender *sender = &probe->prober->sender;
	bool four = probe->target.address.family == 4;
	const struct ip *from = four ? &sender->bind4 : &sender->bind6;
	struct sockaddr_storage address;
	int fd = socket(
	    four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	*problem = "no socket";
	if (fd < 0)
		return false;
	/* As Postfix, which goes on where it cannot bind. */
	if (from->family != 0)
		(void)bind(fd, (struct sockaddr *)&address, socket_address(from, 0, &address));
	probe->stream = bufferevent_socket_new(
	    probe->prober->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (probe->stream == NULL) {
		close(fd);
		return false;
	}
	return true;
}

/* What went wrong at once is told from the event loop, too. */
static void
fail_soon(struct probe *probe)
{
	probe_wait(probe, 0);
}

static void
probe_connect(struct probe *probe)
{
	struct sockaddr_storage address;
	socklen_t length = socket_address(&probe->target.address, probe->target.port, &address);
	const char *problem;

	if (!open_socket(probe, &problem)) {
		dialogue_cannot_tell(&probe->dialogue, problem);
		fail_soon(probe);
		return;
	}
	bufferevent_setwatermark(probe->stream, EV_READ, 0, READ_HIGH_WATER);
	bufferevent_setcb(probe->stream, stream_read, NULL, stream_event, probe);
	(void)bufferevent_enable(probe->stream, EV_READ | EV_WRITE);
	probe_wait(
	    probe, probe->target.connect_ms > 0 ? probe->target.connect_ms : PROBE_CONNECT_MS);
	if (bufferevent_socket_connect(probe->stream, (struct sockaddr *)&address, (int)length) !=
		0 &&
	    probe->dialogue.stage != DIALOGUE_DONE) {
		dialogue_lost(&probe->dialogue, strerror(errno));
		fail_soon(probe);
	}
}

struct probe *
probe_start(
    struct prober *prober, const struct probe_target *target, probe_done *done, void *context)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	const struct dialogue_setup setup = {.helo = prober->sender.helo,
	    .tls_required = target->tls_required,
	    .pin_banner = target->pin_banner,
	    .pinned_certificate = target->pin_certificate[0] != '\0'};

	if (probe == NULL)
		return NULL;
	probe->prober = prober;
	probe->target = *target;
	probe->done = done;
	probe->context = context;
	dialogue_init(&probe->dialogue, &setup);
	probe->timer = evtimer_new(prober->base, timer_fired, probe);
	if (probe->timer == NULL) {
		free(probe);
		return NULL;
	}
	probe_connect(probe);
	return probe;
}
