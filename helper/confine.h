/*
 * confine: gives up what neither the helper nor postsuper(1) needs: most of root's capabilities,
 * new privileges by exec, core files. The network stays in sight, though the helper has no use for
 * it: postsuper looks at the interfaces, and resolves the names in inet_interfaces.
 */
#ifndef MXHOLD_HELPER_CONFINE_H
#define MXHOLD_HELPER_CONFINE_H

#include <stdbool.h>

/* Each step that the system refuses is logged and left out, but for new privileges: false. */
bool confine(void) __attribute__((warn_unused_result));

#endif
