/*
 * listener: see listener.h. In: a directory, a name and a group. Out: a listening descriptor and
 * the identity of its socket file. It never removes or replaces a file before its own socket is
 * ready to be connected to.
 */
#include "core/listener.h"

#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
listener_failed(const char *what, const char *path)
{
	log_event(LOG_ERR, "listen-failed", kv("step", what), kv("path", path),
	    kv("error", strerror(errno)));
	return false;
}

/* Whoever may write there may put a socket of his own in the place of ours. */
static bool
listener_directory_is_safe(const char *directory)
{
	struct stat status;
	const char *problem = NULL;

	if (stat(directory, &status) != 0)
		return listener_failed("stat", directory);
	if (!S_ISDIR(status.st_mode))
		problem = "it is no directory";
	else if (geteuid() == 0 && status.st_uid != 0)
		problem = "its owner is not root, and could put a socket in the place of ours";
	else if (geteuid() == 0 && (status.st_mode & 022) != 0)
		problem = "others than root may write to it, and put a socket in the place of ours";
	if (problem == NULL)
		return true;
	log_event(LOG_ERR, "directory-refused", kv("path", directory), kv("error", problem),
	    kv("cure", "chown root DIRECTORY; chmod 0755 DIRECTORY; or name another one in [paths] "
		       "socket_dir"));
	return false;
}

bool
listener_directory(const char *directory)
{
	if (mkdir(directory, 0755) == 0)
		return chmod(directory, 0755) == 0 || listener_failed("chmod", directory);
	if (errno != EEXIST)
		return listener_failed("mkdir", directory);
	return listener_directory_is_safe(directory);
}

/* Owner, mode, queue: all that must be right before anybody can find the socket. */
static bool
listener_prepare(struct listener *listener, const char *path, gid_t socket_gid)
{
	struct stat status;

	if (geteuid() == 0 && chown(path, 0, socket_gid) != 0)
		return listener_failed("chown", path);
	if (chmod(path, 0660) != 0)
		return listener_failed("chmod", path);
	if (listen(listener->fd, LISTENER_BACKLOG) != 0)
		return listener_failed("listen", path);
	if (lstat(path, &status) != 0)
		return listener_failed("lstat", path);
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	return true;
}

static bool
listener_bind(struct listener *listener, const struct sockaddr_un *address)
{
	mode_t old;
	int result;

	if (unlink(address->sun_path) != 0 && errno != ENOENT)
		return listener_failed("unlink", address->sun_path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return listener_failed("socket", address->sun_path);
	old = umask(0177);
	result = bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	umask(old);
	return result == 0 || listener_failed("bind", address->sun_path);
}

bool
listener_open(struct listener *listener, const char *directory, const char *name, gid_t socket_gid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct listener made = {.fd = -1};
	size_t size = sizeof(address.sun_path);
	int length;

	length = snprintf(address.sun_path, size, "%s/%s.new", directory, name);
	if (length < 0 || (size_t)length >= size) {
		errno = ENAMETOOLONG;
		return listener_failed("name", directory);
	}
	(void)snprintf(
	    made.path, sizeof(made.path), "%.*s", length - (int)strlen(".new"), address.sun_path);
	if (!listener_bind(&made, &address) ||
	    !listener_prepare(&made, address.sun_path, socket_gid)) {
		(void)unlink(address.sun_path);
		listener_close(&made);
		return false;
	}
	if (rename(address.sun_path, made.path) != 0) {
		(void)listener_failed("rename", made.path);
		(void)unlink(address.sun_path);
		listener_close(&made);
		return false;
	}
	*listener = made;
	return true;
}

enum listener_place
listener_look(const struct listener *listener)
{
	struct stat status;

	if (lstat(listener->path, &status) != 0)
		return LISTENER_MISSING;
	if (status.st_dev == listener->device && status.st_ino == listener->inode)
		return LISTENER_OURS;
	return LISTENER_OTHERS;
}

void
listener_remove(const struct listener *listener)
{
	if (listener_look(listener) == LISTENER_OURS)
		(void)unlink(listener->path);
}

void
listener_close(struct listener *listener)
{
	if (listener->fd >= 0)
		(void)close(listener->fd);
	listener->fd = -1;
}
