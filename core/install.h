/*
 * install: where `make install` puts what programs look for. The Makefile tells it (PREFIX,
 * SYSCONFDIR), and what follows PREFIX is compiled anew when PREFIX is another; unsaid, it is as
 * for PREFIX=/usr. Constants only: nothing is looked up.
 */
#ifndef MXHOLD_CORE_INSTALL_H
#define MXHOLD_CORE_INSTALL_H

#ifndef MXHOLD_PREFIX
#define MXHOLD_PREFIX "/usr"
#endif
#ifndef MXHOLD_SYSCONFDIR
#define MXHOLD_SYSCONFDIR "/etc"
#endif

#define INSTALL_CONF MXHOLD_SYSCONFDIR "/mxhold/mxhold.conf"
#define INSTALL_OVERLAY MXHOLD_PREFIX "/share/mxhold/postfix/overlay.conf"
#define INSTALL_SQL MXHOLD_PREFIX "/share/mxhold/sql"

#endif
