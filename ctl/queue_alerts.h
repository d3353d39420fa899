/*
 * queue_alerts: `mxholdctl queue alerts`: what mxhold-queued has alerted of and what has not ended.
 */
#ifndef MXHOLD_CTL_QUEUE_ALERTS_H
#define MXHOLD_CTL_QUEUE_ALERTS_H

#include "ctl/ctl.h"

/* A verb, as in the table of verb_queue.c. */
int queue_alerts(struct ctl *ctl, int argc, char **argv);

#endif
