/*
 * listener: a listening AF_UNIX stream socket under a public name.
 *
 * It is bound under a temporary name, given owner and mode, set to listen, and only then renamed
 * over the public name: whoever connects finds either the former server or the new one, never a
 * gap. It is removed only while the name still stands for it.
 */
#ifndef MXHOLD_CORE_LISTENER_H
#define MXHOLD_CORE_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* More than net.core.somaxconn (4096) has no effect; the kernel takes the smaller one. */
#define LISTENER_BACKLOG 65535

struct listener {
	int fd;                                                 /* non-blocking, close-on-exec */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* the public name */
	dev_t device;                                           /* which socket file is ours */
	ino_t inode;
};

enum listener_place {
	LISTENER_OURS,    /* the public name stands for this socket */
	LISTENER_MISSING, /* nothing stands there */
	LISTENER_OTHERS,  /* something else does: a newer instance, or what it left behind */
};

/*
 * Makes the directory with mode 0755 where it is missing; its parent must be there. As root, one
 * that is another's, or that others may write to, is refused: they could put their own socket in
 * the place of ours. False: the error was logged.
 */
bool listener_directory(const char *directory) __attribute__((warn_unused_result));
/*
 * Makes DIR/NAME. Mode 0660; as
 * root, owner root and group `socket_gid`. To be called under instance_lock for DIR. False: the
 * error was logged and nothing has changed.
 */
bool listener_open(struct listener *listener, const char *directory, const char *name,
    gid_t socket_gid) __attribute__((warn_unused_result));
enum listener_place listener_look(const struct listener *listener);
/* Unlinks the public name if it is ours. Also under instance_lock. */
void listener_remove(const struct listener *listener);
/* Closes the descriptor; the name stays. */
void listener_close(struct listener *listener);

#endif
