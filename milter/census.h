/*
 * census: how many sessions there are, and how many of them have a transaction open.
 *
 * Counted by the callbacks from many threads at once, read by the thread that ends the process.
 */
#ifndef MXHOLD_MILTER_CENSUS_H
#define MXHOLD_MILTER_CENSUS_H

#include <stdatomic.h>

struct census {
	atomic_long sessions;
	atomic_long transactions; /* between MAIL and the end of message, RSET or loss */
	long session_limit;       /* more than these get 451 at MAIL; constant while serving */
};

#endif
