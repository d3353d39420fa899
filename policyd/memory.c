/*
 * memory: see memory.h.
 *
 * An entry is two words: the hash, and the times of the first and the last visit. They are read and
 * written as atoms, without a lock: the worst that two processes at once can do to each other is
 * that one visit is forgotten, or counts as another's.
 */
#include "policyd/memory.h"

#include "core/ip.h"
#include "core/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAGIC UINT64_C(0x31726f6d656d786d) /* names the format */
#define FILE_SETS ((size_t)1 << 16)        /* half a million senders in 8 MiB */
#define AHEAD 60 /* seconds by which another process's clock may be ahead */

struct entry {
	_Atomic uint64_t key;   /* 0: free */
	_Atomic uint64_t times; /* first << 32 | last, seconds since the epoch */
};

struct memory_table {
	uint64_t magic;
	uint64_t sets;
	uint64_t checksum; /* of what is above, and of the secret */
	uint64_t spare[5];
	uint8_t secret[MEMORY_SECRET];
	struct entry entries[];
};

_Static_assert(sizeof(struct memory_table) == 256, "entries begin at a line of the cache");
_Static_assert(sizeof(struct entry) == 16, "no padding");

/* --- pure ------------------------------------------------------------------------------------ */

size_t
memory_table_size(size_t sets)
{
	return sizeof(struct memory_table) + sets * MEMORY_WAYS * sizeof(struct entry);
}

static uint64_t
head_checksum(const struct memory_table *table)
{
	return XXH3_64bits_withSeed(
	    table->secret, sizeof(table->secret), table->magic ^ table->sets);
}

void
memory_table_init(struct memory_table *table, size_t sets, const uint8_t secret[MEMORY_SECRET])
{
	table->magic = MAGIC;
	table->sets = sets;
	memcpy(table->secret, secret, MEMORY_SECRET);
	table->checksum = head_checksum(table);
}

bool
memory_table_sound(const struct memory_table *table, size_t size, size_t sets)
{
	return size == memory_table_size(sets) && table->magic == MAGIC && table->sets == sets &&
	       table->checksum == head_checksum(table);
}

/* Appends bytes with ASCII capitals folded, and an end that no byte of an address is. */
static size_t
append_folded(char *out, size_t used, size_t size, const char *text, size_t length)
{
	for (size_t i = 0; i < length && used + 1 < size; i++) {
		const char byte = text[i];

		out[used++] = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
	}
	out[used++] = '\0';
	return used;
}

/* His network: the first 24 bits of IPv4, 64 of IPv6; text that is no address stands for itself. */
static size_t
append_network(char *out, size_t used, size_t size, const char *client)
{
	struct ip address;

	if (!ip_parse(client, &address))
		return append_folded(out, used, size, client, strlen(client));
	address = ip_unmap(&address);
	const size_t bytes = address.family == 4 ? 3 : 8;
	out[used++] = (char)address.family;
	memcpy(out + used, address.bytes, bytes);
	return used + bytes;
}

uint64_t
memory_table_key(const struct memory_table *table, const char *client, const char *sender,
    const char *recipient, size_t recipient_length)
{
	char text[2048];
	size_t used = append_folded(text, 0, 900, sender, strlen(sender));

	used = append_folded(text, used, 1900, recipient, recipient_length);
	used = append_network(text, used, 2000, client);
	const uint64_t key =
	    XXH3_64bits_withSecret(text, used, table->secret, sizeof(table->secret));
	return key != 0 ? key : 1;
}

static int64_t
first_of(uint64_t times)
{
	return (int64_t)(times >> 32);
}

static int64_t
last_of(uint64_t times)
{
	return (int64_t)(times & UINT32_MAX);
}

static uint64_t
times_of(int64_t first, int64_t last)
{
	return (uint64_t)first << 32 | (uint64_t)last;
}

/* He is in the table: how long has he been coming? */
static bool
visit_known(struct entry *entry, int64_t now, int64_t retry_after)
{
	const uint64_t times = atomic_load_explicit(&entry->times, memory_order_acquire);
	int64_t first = first_of(times);

	/* From the future (the clock was set back), or of long ago: he begins anew. */
	if (first > now + AHEAD || last_of(times) > now + AHEAD ||
	    now - last_of(times) > MEMORY_FORGET)
		first = now;
	atomic_store_explicit(
	    &entry->times, times_of(first < now ? first : now, now), memory_order_release);
	return now - first >= retry_after;
}

/* The place for a new one; NULL: all were taken lately. */
static struct entry *
find_place(struct entry *set, int64_t now)
{
	struct entry *oldest = NULL;
	int64_t oldest_at = now - MEMORY_CROWDED;

	for (size_t i = 0; i < MEMORY_WAYS; i++) {
		const int64_t last =
		    last_of(atomic_load_explicit(&set[i].times, memory_order_acquire));

		if (atomic_load_explicit(&set[i].key, memory_order_acquire) == 0 ||
		    last > now + AHEAD)
			return &set[i];
		if (last < oldest_at) {
			oldest = &set[i];
			oldest_at = last;
		}
	}
	return oldest;
}

bool
memory_table_visit(struct memory_table *table, uint64_t key, int64_t now, int64_t retry_after)
{
	struct entry *set = &table->entries[(key >> 8 & (table->sets - 1)) * MEMORY_WAYS];

	if (now < 0 || now > UINT32_MAX)
		return true;
	for (size_t i = 0; i < MEMORY_WAYS; i++)
		if (atomic_load_explicit(&set[i].key, memory_order_acquire) == key)
			return visit_known(&set[i], now, retry_after);
	struct entry *place = find_place(set, now);
	if (place == NULL)
		return true;
	atomic_store_explicit(&place->key, 0, memory_order_release);
	atomic_store_explicit(&place->times, times_of(now, now), memory_order_release);
	atomic_store_explicit(&place->key, key, memory_order_release);
	return retry_after <= 0;
}

/* --- in a file ------------------------------------------------------------------------------- */

struct memory {
	char *directory;
	struct memory_table *table; /* NULL: not mapped */
	size_t size;
	size_t sets;   /* as they were when it was mapped: not the file's word */
	int64_t tried; /* when mapping it was last tried, seconds, */
	int failed;    /* and why that failed; 0: it did not */
};

struct visit {
	struct memory *memory;
	const char *client, *sender, *recipient;
	size_t recipient_length;
	int64_t now, retry_after;
	bool taken;
};

static int
write_table(int file, const struct memory_table *head)
{
	/* With its blocks: a write through the map must not find the disk full. */
	const int full = posix_fallocate(file, 0, (off_t)memory_table_size(FILE_SETS));

	if (full != 0)
		return full;
	errno = EIO; /* of a write that was cut */
	return pwrite(file, head, sizeof(*head), 0) == (ssize_t)sizeof(*head) ? 0 : errno;
}

/* Writes a new, empty table to a file of its own and gives it the name. 0, or an errno. */
static int
make_file(int directory)
{
	char name[64];
	uint8_t secret[MEMORY_SECRET];
	struct memory_table *head = calloc(1, sizeof(*head));
	int failed = 0;

	if (head == NULL)
		return ENOMEM;
	snprintf(name, sizeof(name), MEMORY_FILE ".%ld", (long)getpid());
	(void)unlinkat(directory, name, 0);
	const int file =
	    openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && getrandom(secret, sizeof(secret), 0) == (ssize_t)sizeof(secret)) {
		memory_table_init(head, FILE_SETS, secret);
		failed = write_table(file, head);
		if (failed == 0 && renameat(directory, name, directory, MEMORY_FILE) != 0)
			failed = errno;
	} else {
		failed = errno;
	}
	if (failed != 0)
		(void)unlinkat(directory, name, 0);
	if (file >= 0)
		close(file);
	free(head);
	return failed;
}

/* Maps the file if it is sound. */
static bool
map_file(struct memory *memory, int directory)
{
	struct memory_table head;
	struct stat status;
	void *map = MAP_FAILED;
	const int file =
	    openat(directory, MEMORY_FILE, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (file < 0)
		return false;
	if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
	    pread(file, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    memory_table_sound(&head, (size_t)status.st_size, FILE_SETS))
		map =
		    mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (map == MAP_FAILED)
		return false;
	memory->table = map;
	memory->size = (size_t)status.st_size;
	memory->sets = FILE_SETS;
	return true;
}

/* One process at a time looks and makes: a table that another just made must not be replaced. */
static bool
map_or_make(struct memory *memory)
{
	const int directory = open(memory->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memory->failed = directory < 0 ? errno : 0;
	if (directory < 0)
		return false;
	/* Never a wait: the next second will do. */
	if (flock(directory, LOCK_EX | LOCK_NB) == 0 && !map_file(memory, directory)) {
		memory->failed = make_file(directory);
		if (memory->failed == 0 && !map_file(memory, directory))
			memory->failed = EIO;
	}
	close(directory);
	return memory->table != NULL;
}

static void
unmap(struct memory *memory)
{
	if (memory->table != NULL)
		(void)munmap(memory->table, memory->size);
	memory->table = NULL;
}

struct memory *
memory_open(const char *directory)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL)
		return NULL;
	memory->directory = strdup(directory);
	if (memory->directory == NULL) {
		free(memory);
		return NULL;
	}
	(void)map_or_make(memory);
	return memory;
}

bool
memory_usable(const struct memory *memory)
{
	return memory->table != NULL;
}

int
memory_failed(const struct memory *memory)
{
	return memory->failed;
}

void
memory_close(struct memory *memory)
{
	if (memory == NULL)
		return;
	unmap(memory);
	free(memory->directory);
	free(memory);
}

/* In the trap: the file may have been cut. */
static void
visit_task(void *context)
{
	struct visit *visit = context;
	struct memory *memory = visit->memory;

	if (!memory_table_sound(memory->table, memory->size, memory->sets))
		trap_give_up();
	visit->taken = memory_table_visit(memory->table,
	    memory_table_key(memory->table, visit->client, visit->sender, visit->recipient,
		visit->recipient_length),
	    visit->now, visit->retry_after);
}

bool
memory_visit(struct memory *memory, const char *client, const char *sender, const char *recipient,
    size_t recipient_length, int64_t now, int64_t retry_after)
{
	struct visit visit = {.memory = memory,
	    .client = client,
	    .sender = sender,
	    .recipient = recipient,
	    .recipient_length = recipient_length,
	    .now = now,
	    .retry_after = retry_after};

	if (memory->table == NULL) {
		if (memory->tried == now)
			return true;
		memory->tried = now;
		if (!map_or_make(memory))
			return true;
	}
	if (trap_run(visit_task, &visit))
		return visit.taken;
	unmap(memory);
	return true;
}
