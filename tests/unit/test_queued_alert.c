/*
 * test_queued_alert: which alerts are told, by assignment of time; what reaches spool and command;
 * and what is remembered over a restart.
 */
#include "queued/alert.h"
#include "queued/alert_command.h"
#include "queued/alert_queue.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- the book --------------------------------------------------------------------------------- */

struct told {
	char lines[64][128];
	size_t count;
};

static void
tell(void *context, enum alert_word word, const struct alert_standing *standing)
{
	static const char *const words[] = {"raised", "rose", "ended"};
	struct told *told = context;

	ck_assert_uint_lt(told->count, 64);
	(void)snprintf(told->lines[told->count++], sizeof(told->lines[0]), "%s %s %.40s %u",
	    words[word], alert_kind_name(standing->kind), standing->domain, standing->level);
}

static struct queued_time
at(int64_t seconds)
{
	return (struct queued_time){.ms = seconds * 1000, .wall = 1700000000 + seconds};
}

static void
raise_at(struct alert_book *book, enum alert_kind kind, unsigned level, int64_t seconds)
{
	const struct alert alert = {
	    .kind = kind, .domain = "a.example", .level = level, .text = "text\n\xff"};

	alert_book_raise(book, &alert, at(seconds));
}

static void
expect(struct told *told, const char *line)
{
	if (line == NULL) {
		ck_assert_uint_eq(told->count, 0);
		return;
	}
	ck_assert_uint_eq(told->count, 1);
	ck_assert_str_eq(told->lines[0], line);
	told->count = 0;
}

START_TEST(test_told_once)
{
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};

	raise_at(&book, ALERT_OUTAGE, 0, 0);
	expect(&told, "raised outage a.example 0");
	for (int i = 1; i < 100; i++)
		raise_at(&book, ALERT_OUTAGE, 0, i);
	expect(&told, NULL);
	ck_assert_uint_eq(book.standing, 1);
	alert_book_end(&book, ALERT_BREAKER, "a.example", at(100));
	alert_book_end(&book, ALERT_OUTAGE, "b.example", at(100));
	expect(&told, NULL);
	alert_book_end(&book, ALERT_OUTAGE, "a.example", at(100));
	expect(&told, "ended outage a.example 0");
	alert_book_end(&book, ALERT_OUTAGE, "a.example", at(101));
	expect(&told, NULL);
	ck_assert_uint_eq(book.standing, 0);
	alert_book_free(&book);
}
END_TEST

static void
note_text(const struct alert_standing *standing, void *context)
{
	(void)snprintf(context, ALERT_TEXT_SIZE, "%s", standing->text);
}

/* What stands is shown with the last words that were said of it, and not told again. */
START_TEST(test_last_words)
{
	const struct alert other = {
	    .kind = ALERT_OUTAGE, .domain = "a.example", .text = "other", .reworded = true};
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};
	char text[ALERT_TEXT_SIZE] = "";

	alert_book_raise(&book, &other, at(0)); /* it does not stand */
	expect(&told, NULL);
	raise_at(&book, ALERT_OUTAGE, 0, 0);
	expect(&told, "raised outage a.example 0");
	alert_book_raise(&book, &other, at(1));
	expect(&told, NULL);
	alert_book_each(&book, note_text, text);
	ck_assert_str_eq(text, "other");
	alert_book_end(&book, ALERT_OUTAGE, "a.example", at(2));
	expect(&told, "ended outage a.example 0");
	alert_book_raise(&book, &other, at(3));
	expect(&told, NULL);
	ck_assert_uint_eq(book.standing, 0);
	alert_book_free(&book);
}
END_TEST

START_TEST(test_levels)
{
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};

	raise_at(&book, ALERT_RETENTION, 50, 0);
	expect(&told, "raised retention a.example 50");
	raise_at(&book, ALERT_RETENTION, 80, 10);
	expect(&told, "rose retention a.example 80");
	raise_at(&book, ALERT_RETENTION, 50, 20);
	raise_at(&book, ALERT_RETENTION, 80, 30);
	expect(&told, NULL);
	raise_at(&book, ALERT_RETENTION, 95, 40);
	expect(&told, "rose retention a.example 95");
	alert_book_end(&book, ALERT_RETENTION, "a.example", at(50));
	expect(&told, "ended retention a.example 95");
	alert_book_free(&book);
}
END_TEST

static void
raise_more(struct alert_book *book, int64_t seconds)
{
	const struct alert alert = {
	    .kind = ALERT_UNACCOUNTED, .domain = "", .text = "text", .more = true};

	alert_book_raise(book, &alert, at(seconds));
}

START_TEST(test_more_of_it)
{
	const struct alert_standing before = {.kind = ALERT_UNACCOUNTED, .since = 1699990000};
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};

	raise_more(&book, 0);
	expect(&told, "raised unaccounted  0");
	raise_more(&book, 60);
	expect(&told, "rose unaccounted  0");
	alert_book_end(&book, ALERT_UNACCOUNTED, "", at(3600));
	expect(&told, "ended unaccounted  0");
	alert_book_free(&book);
	memset(&book, 0, sizeof(book));
	book.tell = tell;
	book.context = &told;
	alert_book_restore(&book, &before, at(0)); /* told by a former process: this is another */
	raise_more(&book, 60);
	expect(&told, "rose unaccounted  0");
	alert_book_free(&book);
}
END_TEST

START_TEST(test_flapping)
{
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};
	int64_t now = 0;

	raise_at(&book, ALERT_OUTAGE, 0, now);
	alert_book_end(&book, ALERT_OUTAGE, "a.example", at(now + 5));
	told.count = 0;
	for (int i = 0; i < 1000; i++) { /* up and down every 10 s: nobody hears of it again */
		now += 10;
		raise_at(&book, ALERT_OUTAGE, 0, now);
		(void)alert_book_tick(&book, at(now + 4));
		alert_book_end(&book, ALERT_OUTAGE, "a.example", at(now + 5));
	}
	expect(&told, NULL);
	raise_at(&book, ALERT_OUTAGE, 0, now += 10); /* what stays is told, later */
	ck_assert_int_eq(alert_book_tick(&book, at(now)), (now + 960) * 1000);
	(void)alert_book_tick(&book, at(now + 959));
	expect(&told, NULL);
	(void)alert_book_tick(&book, at(now + 960));
	expect(&told, "raised outage a.example 0");
	alert_book_end(&book, ALERT_OUTAGE, "a.example", at(now += 1000));
	expect(&told, "ended outage a.example 0");
	ck_assert_int_eq(alert_book_tick(&book, at(now + 900)), NEVER_MS); /* forgotten */
	raise_at(&book, ALERT_OUTAGE, 0, now + 901);
	expect(&told, "raised outage a.example 0");
	alert_book_free(&book);
}
END_TEST

START_TEST(test_second_flap_waits_a_minute)
{
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};

	raise_at(&book, ALERT_QUOTA, 0, 0);
	alert_book_end(&book, ALERT_QUOTA, "a.example", at(1));
	told.count = 0;
	raise_at(&book, ALERT_QUOTA, 0, 2);
	(void)alert_book_tick(&book, at(61));
	expect(&told, NULL);
	(void)alert_book_tick(&book, at(62));
	expect(&told, "raised quota a.example 0");
	alert_book_free(&book);
}
END_TEST

static void
count_one(const struct alert_standing *standing, void *context)
{
	ck_assert_str_eq(standing->domain, "a.example");
	++*(int *)context;
}

START_TEST(test_restored)
{
	const struct alert_standing one = {
	    .kind = ALERT_OUTAGE, .domain = "a.example", .since = 1699990000};
	const struct alert_standing two = {
	    .kind = ALERT_MX, .domain = "a.example", .since = 1699990000};
	const struct alert_standing three = {
	    .kind = ALERT_RETENTION, .domain = "a.example", .level = 50, .since = 1699990000};
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};
	int count = 0;

	alert_book_restore(&book, &one, at(0));
	alert_book_restore(&book, &two, at(0));
	alert_book_restore(&book, &three, at(0));
	alert_book_each(&book, count_one, &count);
	ck_assert_int_eq(count, 3);
	raise_at(&book, ALERT_OUTAGE, 0, 5); /* known: not told again */
	expect(&told, NULL);
	raise_at(&book, ALERT_RETENTION, 80, 5);
	expect(&told, "rose retention a.example 80");
	(void)alert_book_tick(&book, at(86400));
	expect(&told, NULL);
	(void)alert_book_tick(&book, at(172800)); /* nobody raised it in two days */
	expect(&told, "ended mx a.example 0");
	ck_assert_uint_eq(book.standing, 2);
	alert_book_free(&book);
}
END_TEST

START_TEST(test_restored_and_over)
{
	const struct alert_standing one = {.kind = ALERT_OUTAGE, .domain = "a.example"};
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};

	alert_book_restore(&book, &one, at(0));
	(void)alert_book_tick(&book, at(899));
	expect(&told, NULL);
	(void)alert_book_tick(&book, at(900));
	expect(&told, "ended outage a.example 0");
	alert_book_free(&book);
}
END_TEST

static bool
keep_b(const char *domain, void *context)
{
	++*(unsigned *)context;
	return strcmp(domain, "b.example") == 0;
}

/* Those of rows that have gone: of this kind, standing, restored, or not told yet. */
START_TEST(test_sweep)
{
	const struct alert_standing restored = {.kind = ALERT_MX, .domain = "r.example"};
	const struct alert kept = {.kind = ALERT_MX, .domain = "b.example", .text = ""};
	struct told told = {.count = 0};
	struct alert_book book = {.tell = tell, .context = &told};
	unsigned asked = 0;

	alert_book_restore(&book, &restored, at(0));
	alert_book_raise(&book, &kept, at(0));
	raise_at(&book, ALERT_OUTAGE, 0, 0);
	told.count = 0;
	alert_book_sweep(&book, ALERT_MX, keep_b, &asked, at(1));
	ck_assert_uint_eq(asked, 2);
	expect(&told, "ended mx r.example 0");
	raise_at(&book, ALERT_MX, 0, 2);
	alert_book_sweep(&book, ALERT_MX, keep_b, &asked, at(3));
	ck_assert_uint_eq(told.count, 2);
	ck_assert_str_eq(told.lines[1], "ended mx a.example 0");
	told.count = 0;
	raise_at(&book, ALERT_MX, 0, 4); /* it flaps: not told, and so never */
	alert_book_sweep(&book, ALERT_MX, keep_b, &asked, at(5));
	(void)alert_book_tick(&book, at(3600));
	expect(&told, NULL);
	alert_book_sweep(&book, ALERT_MX, keep_b, &asked, at(3601));
	ck_assert_uint_eq(book.standing, 2);
	alert_book_free(&book);
}
END_TEST

/* --- the queue -------------------------------------------------------------------------------- */

struct waiting {
	struct alert_item item;
	enum alert_word word;
};

static void
drop_waiting(struct alert_item *item)
{
	free(KEYED_OWNER(item, struct waiting, item));
}

/* Each letter is an alert: `+a` begins, `^a` rises, `-a` ends, `!` is no alert's, `.` is taken. */
static void
play(struct alert_queue *queue, const char *steps)
{
	for (const char *step = steps; *step != '\0'; step++) {
		struct alert_standing standing = {.kind = ALERT_OUTAGE};
		struct waiting *waiting;

		if (*step == '.') {
			drop_waiting(alert_queue_take(queue));
			continue;
		}
		waiting = calloc(1, sizeof(*waiting));
		ck_assert_ptr_nonnull(waiting);
		if (*step == '!') {
			waiting->item.key.domain[0] = '!';
			(void)alert_queue_add_other(queue, &waiting->item);
			continue;
		}
		waiting->word = *step == '+'   ? ALERT_RAISED
				: *step == '^' ? ALERT_ROSE
					       : ALERT_ENDED;
		standing.domain[0] = *++step;
		(void)alert_queue_add(queue, &waiting->item, waiting->word, &standing);
	}
}

static void
show(const struct alert_queue *queue, char *out)
{
	for (const struct alert_item *item = queue->first; item != NULL; item = item->next) {
		if (item->key.domain[0] != '!')
			*out++ = "+^-"[KEYED_OWNER(item, const struct waiting, item)->word];
		*out++ = item->key.domain[0];
	}
	*out = '\0';
}

/* There is room for four. */
static const struct {
	const char *steps, *left;
	unsigned lost;
} queues[] = {
    {"+a-a+b^b", "+a-a+b^b", 0},
    {"+a-a+b-b!", "+a-a+b-b", 1},
    {"+a+b+c+d+e+f", "+a+b+c+d+e+f", 0},             /* each may begin */
    {"+a+b+c+d^a^d+a", "+a+b+c+d", 3},               /* and not more */
    {"+a+b+c+d....-a-b-c-d-e", "-a-b-c-d-e", 0},     /* those that were taken may end */
    {"+a+b+c+d-c", "+a+b+d", 2},                     /* what nobody knows of need not */
    {"+a+b+c+d+e+f-f-e-d-c-b", "+a+c-c", 8},         /* as long as it is full */
    {"+a+b+c+d....-a-b-c-d+a-a+a", "-a-b-c-d+a", 2}, /* again: one of each */
    {"+a+b+c-a+d..-b-c", "-a+d-b", 2},
    {"+a+b+c+d-a!.!!", "+c+d!!", 3},
};

START_TEST(test_queue)
{
	struct alert_queue queue = {.most = 4, .drop = drop_waiting};
	char left[64];

	play(&queue, queues[_i].steps);
	show(&queue, left);
	ck_assert_msg(strcmp(left, queues[_i].left) == 0, "%s: %s", queues[_i].steps, left);
	ck_assert_msg(
	    queue.lost == queues[_i].lost, "%s: %u lost", queues[_i].steps, (unsigned)queue.lost);
	alert_queue_free(&queue);
	ck_assert_uint_eq(queue.count, 0);
}
END_TEST

/* --- spool and command ------------------------------------------------------------------------ */

static char directory[] = "/tmp/mxalert.XXXXXX";
static char state[64], out[64], script[64];

static void
write_script(const char *text)
{
	FILE *file = fopen(script, "w");

	ck_assert_ptr_nonnull(file);
	(void)fprintf(file, "#!/bin/sh\n%s\n", text);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(script, 0755), 0);
}

static void
set_up(void)
{
	char text[256];

	strcpy(directory, "/tmp/mxalert.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(state, sizeof(state), "%s/state", directory);
	(void)snprintf(out, sizeof(out), "%s/out", directory);
	(void)snprintf(script, sizeof(script), "%s/script", directory);
	ck_assert_int_eq(mkdir(state, 0755), 0);
	(void)snprintf(text, sizeof(text), "cat >>%s; echo >>%s", out, out);
	write_script(text);
}

static void
tear_down(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static void
turn(struct event_base *base, int milliseconds)
{
	const struct timeval wait = {
	    .tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	(void)event_base_loopexit(base, &wait);
	(void)event_base_dispatch(base);
}

static void
read_out(char *text, size_t size)
{
	FILE *file = fopen(out, "r");
	const size_t got = file != NULL ? fread(text, 1, size - 1, file) : 0;

	text[got] = '\0';
	if (file != NULL)
		(void)fclose(file);
}

/* Turns until the command has written that, too; a busy machine is late. */
static void
turn_until(struct event_base *base, char *text, size_t size, const char *written)
{
	turn(base, 700);
	read_out(text, size);
	for (int i = 0; i < 100 && strstr(text, written) == NULL; i++) {
		turn(base, 200);
		read_out(text, size);
	}
}

static bool
collect(const struct spool_entry *entry, void *context)
{
	char *text = context;

	ck_assert(entry->final);
	ck_assert_int_eq(memcmp(entry->key, "!event/", 7), 0);
	(void)snprintf(
	    text + strlen(text), 8192 - strlen(text), "%.*s\n", (int)entry->length, entry->text);
	return true;
}

static bool
count_notes(const struct spool_entry *entry, void *context)
{
	(void)entry;
	++*(int *)context;
	return true;
}

static int
notes_of(struct spool_writer *spool, const char *prefix)
{
	int count = 0;

	ck_assert_int_ne(spool_each_note(spool, prefix, count_notes, &count), SPOOL_UNUSABLE);
	return count;
}

static int
notes(struct spool_writer *spool)
{
	return notes_of(spool, "alert/");
}

START_TEST(test_rows_notes_and_command)
{
	const struct alert outage = {
	    .kind = ALERT_OUTAGE, .domain = "a.example", .text = "it is \"down\"\xff"};
	const struct alerts_act act = {.act = "hold",
	    .domain = "a.example",
	    .queue_id = "",
	    .by = "alice(uid=0)",
	    .text = "",
	    .until = HOLD_FOREVER};
	struct event_base *base = event_base_new();
	const char *problem;
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 64u << 20, &problem);
	struct alerts_setup setup = {
	    .base = base, .spool = spool, .relay = "eu1", .region = "eu", .command = script};
	struct alerts *alerts = alerts_new(&setup);
	char text[8192] = "";

	ck_assert_ptr_nonnull(spool);
	alerts_raise(alerts, &outage);
	alerts_act(alerts, &act);
	turn_until(base, text, sizeof(text), "\"ended\":false,\"duration\":null");
	ck_assert_ptr_nonnull(strstr(text, "\"alert\":\"outage\",\"domain\":\"a.example\""));
	ck_assert_ptr_nonnull(strstr(text, "\"text\":\"it is \\\"down\\\"?\""));
	ck_assert_ptr_nonnull(strstr(text, "\"ended\":false,\"duration\":null"));
	ck_assert_int_eq(notes(spool), 1);
	alerts_free(alerts);
	/* The next process neither repeats nor forgets it. */
	alerts = alerts_new(&setup);
	ck_assert_uint_eq(alerts_count(alerts).standing, 1);
	alerts_raise(alerts, &outage);
	alerts_end(alerts, ALERT_OUTAGE, "a.example");
	turn_until(base, text, sizeof(text), "\"ended\":true,\"duration\":");
	ck_assert_ptr_nonnull(strstr(text, "\"ended\":true,\"duration\":"));
	ck_assert_int_eq(notes(spool), 0);
	ck_assert_uint_eq(alerts_count(alerts).waiting_rows, 0);
	alerts_free(alerts);
	spool_writer_close(spool);
	struct spool_reader *reader = spool_reader_new(state);
	text[0] = '\0';
	ck_assert_int_eq(spool_read(reader, 0, collect, text), SPOOL_OK);
	ck_assert_ptr_nonnull(strstr(text, "\"kind\":\"event\""));
	ck_assert_ptr_nonnull(strstr(text, "\"ended\":false"));
	ck_assert_ptr_nonnull(strstr(text, "\"ended\":true"));
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"hold\""));
	ck_assert_ptr_nonnull(strstr(text, "\"by\":\"alice(uid=0)\""));
	spool_reader_free(reader);
	event_base_free(base);
}
END_TEST

static unsigned
lines_with(const char *text, const char *word)
{
	unsigned count = 0;

	for (; (text = strstr(text, word)) != NULL; text += strlen(word))
		count++;
	return count;
}

#define HANDED_OVER 9

/* A process that ends, or dies, while most of its alerts wait for the command. */
static void
first_process(bool dies)
{
	struct event_base *base = event_base_new();
	const char *problem;
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 64u << 20, &problem);
	const struct alerts_setup setup = {
	    .base = base, .spool = spool, .relay = "eu1", .region = "eu", .command = script};
	struct alerts *alerts = spool != NULL ? alerts_new(&setup) : NULL;
	char domain[32];

	if (alerts == NULL)
		_exit(1);
	for (int i = 0; i < HANDED_OVER; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i);
		const struct alert outage = {.kind = ALERT_OUTAGE, .domain = domain, .text = ""};
		alerts_raise(alerts, &outage);
	}
	if (alerts_count(alerts).waiting_commands != HANDED_OVER - ALERT_COMMANDS)
		_exit(2);
	for (int i = 0; dies && i < 100 && notes_of(spool, "command/") == 0; i++)
		turn(base, 200);
	if (!dies) {
		alerts_free(alerts);
		spool_writer_close(spool);
	}
	_exit(0);
}

/* Those that wait for the command when the process ends are handed over by the next one. */
START_TEST(test_command_after_restart)
{
	static char text[65536];
	struct event_base *base = event_base_new();
	const char *problem;
	char body[256], go[80], domain[32];
	int status = -1;

	(void)snprintf(go, sizeof(go), "%s/go", directory);
	(void)snprintf(body, sizeof(body),
	    "t=$(cat); while [ ! -e %s ] && [ -d %s ]; do sleep 0.1; done; echo \"$t\" >>%s", go,
	    directory, out);
	write_script(body);
	const pid_t first = fork();
	if (first == 0)
		first_process(_i == 1);
	ck_assert_int_eq(waitpid(first, &status, 0), first);
	ck_assert_int_eq(status, 0);
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 64u << 20, &problem);
	const struct alerts_setup setup = {
	    .base = base, .spool = spool, .relay = "eu1", .region = "eu", .command = script};
	ck_assert_int_eq(notes_of(spool, "command/"), HANDED_OVER - ALERT_COMMANDS);
	ck_assert_int_eq(close(creat(go, 0600)), 0);
	struct alerts *alerts = alerts_new(&setup);
	ck_assert_uint_eq(alerts_count(alerts).standing, HANDED_OVER);
	for (int i = 0; i < 100 && (lines_with(text, "\"ended\":false") < HANDED_OVER ||
				       notes_of(spool, "command/") > 0);
	     i++) {
		turn(base, 200);
		read_out(text, sizeof(text));
	}
	for (int i = 0; i < HANDED_OVER; i++) {
		(void)snprintf(domain, sizeof(domain), "\"d%d.example\"", i);
		ck_assert_uint_eq(lines_with(text, domain), 1);
	}
	ck_assert_int_eq(notes_of(spool, "command/"), 0);
	ck_assert_uint_eq(alerts_count(alerts).lost_commands, 0);
	alerts_free(alerts);
	spool_writer_close(spool);
	event_base_free(base);
}
END_TEST

/* There is no command any more: nothing is left of what waited for one. */
START_TEST(test_no_command_after_restart)
{
	struct event_base *base = event_base_new();
	const char *problem;
	int status = -1;

	write_script("exec sleep 5");
	const pid_t first = fork();
	if (first == 0)
		first_process(false);
	ck_assert_int_eq(waitpid(first, &status, 0), first);
	ck_assert_int_eq(status, 0);
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 64u << 20, &problem);
	const struct alerts_setup setup = {
	    .base = base, .spool = spool, .relay = "eu1", .region = "eu"};
	struct alerts *alerts = alerts_new(&setup);
	ck_assert_uint_eq(alerts_count(alerts).standing, HANDED_OVER);
	alerts_free(alerts);
	ck_assert_int_eq(notes_of(spool, "command/"), 0);
	ck_assert_int_eq(notes(spool), HANDED_OVER);
	spool_writer_close(spool);
	event_base_free(base);
}
END_TEST

START_TEST(test_spool_away)
{
	const struct alert outage = {.kind = ALERT_OUTAGE, .domain = "a.example", .text = ""};
	struct event_base *base = event_base_new();
	const struct alerts_setup setup = {.base = base, .relay = "eu1", .region = "eu"};
	struct alerts *alerts = alerts_new(&setup);

	for (int i = 0; i < 20000; i++) {
		alerts_raise(alerts, &outage);
		alerts_end(alerts, ALERT_OUTAGE, "a.example");
	}
	ck_assert_uint_eq(alerts_count(alerts).waiting_rows, 0);
	alerts_free(alerts);
	event_base_free(base);
}
END_TEST

#define MANY (ALERT_ROWS + 2000)

static void
raise_or_end(struct alerts *alerts, int count, bool raised)
{
	char domain[32];

	for (int i = 0; i < count; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.example", i);
		const struct alert outage = {
		    .kind = ALERT_OUTAGE, .domain = domain, .text = "mail is held"};
		if (raised)
			alerts_raise(alerts, &outage);
		else
			alerts_end(alerts, ALERT_OUTAGE, domain);
	}
}

static void
turn_until_written(struct event_base *base, const struct alerts *alerts)
{
	for (int i = 0; i < 400 && alerts_count(alerts).waiting_rows > 0; i++)
		turn(base, 200);
	ck_assert_uint_eq(alerts_count(alerts).waiting_rows, 0);
	ck_assert_uint_eq(alerts_count(alerts).lost_rows, 0);
}

static bool
count_ends(const struct spool_entry *entry, void *context)
{
	*(int *)context += memmem(entry->text, entry->length, "\"ended\":true", 12) != NULL ? 1 : 0;
	return true;
}

/* The one primary of many domains goes, and is back: all in one turn of the loop. */
START_TEST(test_many_at_once)
{
	const int nothing = open("/dev/null", O_WRONLY), errors = dup(STDERR_FILENO);
	struct event_base *base = event_base_new();
	const char *problem;
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 256u << 20, &problem);
	struct alerts_setup setup = {.base = base, .spool = spool, .relay = "eu1", .region = "eu"};
	struct alerts *alerts = alerts_new(&setup);
	int ends = 0;

	ck_assert_ptr_nonnull(spool);
	ck_assert_int_eq(dup2(nothing, STDERR_FILENO), STDERR_FILENO); /* so many lines */
	raise_or_end(alerts, MANY, true);
	turn_until_written(base, alerts);
	ck_assert_int_eq(notes(spool), MANY);
	raise_or_end(alerts, MANY, false);
	ck_assert_int_eq(dup2(errors, STDERR_FILENO), STDERR_FILENO);
	(void)close(errors);
	(void)close(nothing);
	turn_until_written(base, alerts);
	ck_assert_int_eq(notes(spool), 0);
	alerts_free(alerts);
	spool_writer_close(spool);
	struct spool_reader *reader = spool_reader_new(state);
	ck_assert_int_eq(spool_read(reader, 0, count_ends, &ends), SPOOL_OK);
	ck_assert_int_eq(ends, MANY);
	spool_reader_free(reader);
	event_base_free(base);
}
END_TEST

static void
run_command(struct alert_command *command, const char *domain)
{
	struct alert_standing standing = {.kind = ALERT_OUTAGE};

	(void)snprintf(standing.domain, sizeof(standing.domain), "%s", domain);
	alert_command_run(command, ALERT_RAISED, &standing, "id", strdup("{}"));
}

static void
tell_command(struct alert_command *command, enum alert_word word, const char *id)
{
	struct alert_standing standing = {.kind = ALERT_OUTAGE};

	(void)snprintf(standing.domain, sizeof(standing.domain), "%s", id + 1);
	if (*id == 'k')
		ck_assert(alert_command_resume(command, word, &standing, id, strdup("{}")));
	else
		alert_command_run(command, word, &standing, id, strdup("{}"));
}

static bool
collect_change(void *context, const struct alert_command_change *change)
{
	char *text = context;

	(void)snprintf(text + strlen(text), 256 - strlen(text), "%c%s ",
	    change->text != NULL ? '+' : '-', change->id);
	return true;
}

/* Are the changes these? They are kept. */
static void
expect_changes(struct alert_command *command, const char *expected)
{
	char text[256] = "";
	const size_t count = alert_command_changes(command, 10, collect_change, text);

	ck_assert_str_eq(text, expected);
	ck_assert_uint_eq(alert_command_count(command).changes, count);
	alert_command_kept(command, count);
	ck_assert_uint_eq(alert_command_count(command).changes, 0);
}

static void
on_changed(void *context)
{
	++*(unsigned *)context;
}

START_TEST(test_command_changes)
{
	struct event_base *base = event_base_new();
	unsigned told = 0;
	struct alert_command *command = alert_command_new(base, script, on_changed, &told);
	char id[32];

	write_script("exec sleep 5");
	for (int i = 0; i < ALERT_COMMANDS; i++)
		tell_command(command, ALERT_RAISED, "nfirst");
	ck_assert_uint_eq(alert_command_count(command).running, ALERT_COMMANDS);
	expect_changes(command, ""); /* they do not wait */
	tell_command(command, ALERT_RAISED, "ka");
	tell_command(command, ALERT_ROSE, "kb"); /* its beginning was told by a former process */
	expect_changes(command, "");
	told = 0;
	tell_command(command, ALERT_RAISED, "nc");
	ck_assert_uint_ge(told, 1);
	ck_assert_uint_eq(alert_command_count(command).unkept, 1);
	expect_changes(command, "+nc ");
	ck_assert_uint_eq(alert_command_count(command).unkept, 0);
	for (int i = 0; alert_command_count(command).waiting < ALERT_WAITING; i++) {
		(void)snprintf(id, sizeof(id), "nfill%d", i);
		tell_command(command, ALERT_RAISED, id);
	}
	alert_command_kept(command, ALERT_WAITING);
	expect_changes(command, "");
	/* Full: an end waits, or is lost with its beginning, and of the lost nothing is kept. */
	tell_command(command, ALERT_ENDED, "nb");
	expect_changes(command, "+nb ");
	ck_assert_uint_eq(alert_command_count(command).lost, 0);
	tell_command(command, ALERT_RAISED, "nd");
	tell_command(command, ALERT_ENDED, "nd");
	expect_changes(command, "");
	ck_assert_uint_eq(alert_command_count(command).lost, 2);
	tell_command(command, ALERT_ENDED, "na");
	expect_changes(command, "-ka ");
	ck_assert_uint_eq(alert_command_count(command).lost, 4);
	tell_command(command, ALERT_ENDED, "nc");
	ck_assert_uint_eq(alert_command_count(command).unkept, 0);
	alert_command_free(command);
	event_base_free(base);
}
END_TEST

#define TOO_MANY (ALERT_WAITING + 200)

/* What is lost of those that wait leaves no note, and the next process loses no other. */
START_TEST(test_lost_leave_no_note)
{
	const int nothing = open("/dev/null", O_WRONLY), errors = dup(STDERR_FILENO);
	struct event_base *base = event_base_new();
	const char *problem;
	struct spool_writer *spool = spool_writer_open(state, (gid_t)-1, 64u << 20, &problem);
	const struct alerts_setup setup = {
	    .base = base, .spool = spool, .relay = "eu1", .region = "eu", .command = script};
	struct alerts *alerts = alerts_new(&setup);
	size_t waiting;

	write_script("exec sleep 5");
	ck_assert_ptr_nonnull(spool);
	ck_assert_int_eq(dup2(nothing, STDERR_FILENO), STDERR_FILENO); /* so many lines */
	raise_or_end(alerts, TOO_MANY, true);
	ck_assert_uint_ge(alerts_count(alerts).waiting_commands, TOO_MANY - ALERT_COMMANDS);
	turn_until_written(base, alerts);
	raise_or_end(alerts, TOO_MANY, false);
	ck_assert_uint_gt(alerts_count(alerts).lost_commands, 0);
	waiting = alerts_count(alerts).waiting_commands;
	alerts_free(alerts);
	ck_assert_uint_eq((size_t)notes_of(spool, "command/"), waiting);
	alerts = alerts_new(&setup);
	ck_assert_uint_eq(alerts_count(alerts).waiting_commands, waiting - ALERT_COMMANDS);
	ck_assert_uint_eq(alerts_count(alerts).lost_commands, 0);
	alerts_free(alerts);
	ck_assert_int_eq(dup2(errors, STDERR_FILENO), STDERR_FILENO);
	(void)close(errors);
	(void)close(nothing);
	ck_assert_uint_eq((size_t)notes_of(spool, "command/"), waiting - ALERT_COMMANDS);
	ck_assert_int_eq(notes(spool), 0);
	spool_writer_close(spool);
	event_base_free(base);
}
END_TEST

START_TEST(test_command_bounds)
{
	struct event_base *base = event_base_new();
	struct alert_command *command = alert_command_new(base, script, NULL, NULL);
	struct alert_command_counts counts;

	write_script("exec sleep 5");
	alert_command_set_deadline(command, 300);
	for (int i = 0; i < 5000; i++)
		run_command(command, "a.example");
	counts = alert_command_count(command);
	ck_assert_uint_eq(counts.running, ALERT_COMMANDS);
	ck_assert_uint_eq(counts.waiting, ALERT_WAITING);
	ck_assert_uint_eq(counts.lost, 5000 - ALERT_COMMANDS - ALERT_WAITING);
	/* Those that hang are killed, others follow. */
	for (int i = 0; i < 100; i++) {
		turn(base, 200);
		counts = alert_command_count(command);
		if (counts.failed >= ALERT_COMMANDS && counts.running == ALERT_COMMANDS)
			break;
	}
	ck_assert_uint_ge(counts.failed, ALERT_COMMANDS);
	ck_assert_uint_eq(counts.running, ALERT_COMMANDS);
	alert_command_set_deadline(command, 50);
	turn(base, 400);
	alert_command_free(command);
	event_base_free(base);
}
END_TEST

START_TEST(test_command_missing)
{
	struct event_base *base = event_base_new();
	struct alert_command *command = alert_command_new(base, "/nonexistent/command", NULL, NULL);

	run_command(command, "a.example");
	ck_assert_uint_eq(alert_command_count(command).failed, 1);
	ck_assert_uint_eq(alert_command_count(command).running, 0);
	write_script("exit 3");
	alert_command_free(command);
	command = alert_command_new(base, script, NULL, NULL);
	run_command(command, "a.example");
	for (int i = 0; i < 100 && alert_command_count(command).running > 0; i++)
		turn(base, 100);
	ck_assert_uint_eq(alert_command_count(command).failed, 1);
	ck_assert_uint_eq(alert_command_count(command).running, 0);
	alert_command_free(command);
	event_base_free(base);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queued_alert");
	TCase *book = tcase_create("book"), *rest = tcase_create("rest");
	TCase *many = tcase_create("many");

	tcase_add_test(book, test_told_once);
	tcase_add_test(book, test_last_words);
	tcase_add_test(book, test_levels);
	tcase_add_test(book, test_more_of_it);
	tcase_add_test(book, test_flapping);
	tcase_add_test(book, test_second_flap_waits_a_minute);
	tcase_add_test(book, test_restored);
	tcase_add_test(book, test_restored_and_over);
	tcase_add_test(book, test_sweep);
	tcase_add_loop_test(book, test_queue, 0, sizeof(queues) / sizeof(queues[0]));
	suite_add_tcase(suite, book);
	tcase_add_checked_fixture(rest, set_up, tear_down);
	tcase_set_timeout(rest, 30);
	tcase_add_test(rest, test_rows_notes_and_command);
	tcase_add_loop_test(rest, test_command_after_restart, 0, 2);
	tcase_add_test(rest, test_no_command_after_restart);
	tcase_add_test(rest, test_spool_away);
	tcase_add_test(rest, test_command_changes);
	tcase_add_test(rest, test_command_bounds);
	tcase_add_test(rest, test_command_missing);
	suite_add_tcase(suite, rest);
	tcase_add_checked_fixture(many, set_up, tear_down);
	tcase_set_timeout(many, 240);
	tcase_add_test(many, test_many_at_once);
	tcase_add_test(many, test_lost_leave_no_note);
	suite_add_tcase(suite, many);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
