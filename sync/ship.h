/*
 * ship: the process that shipper.h starts: its loop.
 */
#ifndef MXHOLD_SYNC_SHIP_H
#define MXHOLD_SYNC_SHIP_H

#include "core/conf.h"

#define SHIP_FD 3 /* where it tells how it is */
#define SHIP_TELL_MS 1000

/* In a fresh child: keeps the descriptors 0, 1, 2 and `fd` (as SHIP_FD), and serves until it is
   killed or its parent is gone. */
void ship_run(const struct conf *conf, int fd) __attribute__((noreturn));

#endif
