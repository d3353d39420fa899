/*
 * queue_show: what mxhold-queued answers, for people: sizes, ages, tables. Pure but for stdout.
 */
#ifndef MXHOLD_CTL_QUEUE_SHOW_H
#define MXHOLD_CTL_QUEUE_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SHOW_SIZE 32

/* "3.4M"; "2h05m", of seconds; "2026-11-21 23:05" in local time ("-" for 0). They return out. */
const char *show_bytes(uint64_t bytes, char out[SHOW_SIZE]);
const char *show_age(int64_t seconds, char out[SHOW_SIZE]);
const char *show_time(int64_t when, char out[SHOW_SIZE]);

/* Members of an object; "" and 0 where there is none. */
const char *show_text(const json_t *object, const char *name);
int64_t show_number(const json_t *object, const char *name);

/* One line a domain; show_heading() stands over them. Control characters are never printed. */
void show_heading(void);
void show_domain(const json_t *domain, int64_t now);
/* The row's hold, where it is the one that counts, until when and why; else nothing. */
void show_soc_hold(const json_t *domain);
/* What will happen next with a domain's mail. Returns out. */
const char *show_next(const json_t *domain, char *out, size_t size);
/* Which subdomains an order leaves out. */
void show_apart(const json_t *object);
/* How many messages stay on hold. */
void show_on_hold(const json_t *object);
/* A recipient of a message. */
void show_recipient(const json_t *row, int64_t now);
/* A primary, with its endpoints. */
void show_primary(const json_t *primary, int64_t now);
/* Prints a text that others wrote (UTF-8): what a terminal would obey as '?'. */
void show_safe(const char *text);

#endif
