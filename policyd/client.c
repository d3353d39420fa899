/*
 * client: see client.h. It counts what clients cost in memory; it decides nothing.
 */
#include "policyd/client.h"

#include <stdlib.h>
#include <unistd.h>

void
clients_init(struct clients *clients)
{
	size_t i;

	*clients = (struct clients){.count = 0};
	for (i = 0; i < CLIENT_STATES; i++)
		TAILQ_INIT(&clients->in_state[i]);
}

struct client *
client_new(struct clients *clients, int fd, int64_t now)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->fd = fd;
	client->since = now;
	TAILQ_INSERT_TAIL(&clients->in_state[CLIENT_NEW], client, link);
	clients->count++;
	return client;
}

void
client_free(struct clients *clients, struct client *client)
{
	TAILQ_REMOVE(&clients->in_state[client->state], client, link);
	clients->count--;
	clients->buffered -= client->in.size + client->out.size;
	buffer_free(&client->in);
	buffer_free(&client->out);
	(void)close(client->fd);
	free(client);
}

void
client_set_state(
    struct clients *clients, struct client *client, enum client_state state, int64_t now)
{
	TAILQ_REMOVE(&clients->in_state[client->state], client, link);
	client->state = state;
	client->since = now;
	TAILQ_INSERT_TAIL(&clients->in_state[state], client, link);
}

struct client *
clients_first(struct clients *clients, enum client_state state)
{
	return TAILQ_FIRST(&clients->in_state[state]);
}

bool
client_keep(struct clients *clients, struct buffer *buffer, const char *bytes, size_t length)
{
	size_t before = buffer->size;
	bool kept = buffer_set(buffer, bytes, length);

	clients->buffered += buffer->size - before;
	return kept;
}
