/*
 * words: see words.h. A text and its count lie in one block, the text at its end.
 */
#include "queued/words.h"

#include <stdlib.h>
#include <string.h>

struct word {
	struct keyed_node node;
	size_t references;
	char text[];
};

static struct word *
word_of(const char *text)
{
	return (struct word *)(void *)((char *)(uintptr_t)text - offsetof(struct word, text));
}

const char *
words_take(struct words *words, const char *text)
{
	const size_t length = strlen(text);
	struct keyed_node *found = keyed_find(&words->keyed, text, length);

	if (found != NULL) {
		struct word *known = KEYED_OWNER(found, struct word, node);
		known->references++;
		return known->text;
	}
	struct word *fresh = malloc(sizeof(*fresh) + length + 1);
	if (fresh == NULL)
		return NULL;
	fresh->references = 1;
	memcpy(fresh->text, text, length + 1);
	if (keyed_add(&words->keyed, &fresh->node, fresh->text, length))
		return fresh->text;
	free(fresh);
	return NULL;
}

void
words_drop(struct words *words, const char *text)
{
	if (text == NULL)
		return;
	struct word *word = word_of(text);
	if (--word->references > 0)
		return;
	keyed_remove(&words->keyed, &word->node);
	free(word);
}

static void
word_free(struct keyed_node *node, void *context)
{
	(void)context;
	free(KEYED_OWNER(node, struct word, node));
}

void
words_free(struct words *words)
{
	keyed_each(&words->keyed, word_free, NULL);
	keyed_free(&words->keyed);
}
