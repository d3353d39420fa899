/*
 * answer_note: the line that an answer leaves for the log. In: fields. Out: a list of them, ended
 * as log_fields wants it. What does not fit any more is left out.
 */
#include "policyd/answer.h"

void
answer_note_begin(struct answer_note *note, int priority, const char *event)
{
	note->event = event;
	note->priority = priority;
	note->describe = NULL;
	note->count = 0;
	note->fields[0] = (struct log_field){.key = NULL};
}

void
answer_note_add(struct answer_note *note, struct log_field field)
{
	if (note->count == ANSWER_NOTE_FIELDS)
		return;
	note->fields[note->count++] = field;
	note->fields[note->count] = (struct log_field){.key = NULL};
}

void
answer_note_log(struct answer_note *note)
{
	if (note->event == NULL)
		return;
	if (note->describe != NULL)
		note->describe(note);
	note->describe = NULL;
	log_fields(note->priority, note->event, note->fields);
}
