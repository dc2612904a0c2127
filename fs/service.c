#include "service.h"

#include "log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

/* The address that a name stands for; "@" begins one of the abstract namespace. 0: none. */
static socklen_t address_of(const char *name, struct sockaddr_un *ret)
{
	size_t len = strlen(name);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof ret->sun_path)
		return 0;
	memcpy(ret->sun_path, name, len);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	else
		len++; /* with its NUL */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static int send_to(const char *name, const char *text, size_t len)
{
	struct sockaddr_un address;
	socklen_t address_len = address_of(name, &address);
	if (address_len == 0)
		return -EINVAL;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ssize_t n =
		sendto(fd, text, len, MSG_NOSIGNAL, (const struct sockaddr *)&address, address_len);
	int r = n < 0 ? -errno : 0;
	close(fd);
	return r;
}

void service_notify(const char *fmt, ...)
{
	char text[3 * PATH_MAX];
	const char *name = getenv("NOTIFY_SOCKET");
	if (!name)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	int r = send_to(name, text, strlen(text));
	if (r < 0)
		log_line(LOG_WARNING, "cannot tell the service manager at '%s': %s", name,
			strerror(-r));
}

void service_ready(const char *store, const char *mountpoint)
{
	char status[2 * PATH_MAX];
	snprintf(status, sizeof status, "%s is mounted on %s", store, mountpoint);
	/* A line is what a path need not be. */
	for (char *c = status; (c = strchr(c, '\n'));)
		*c = '?';
	service_notify("READY=1\nMAINPID=%ld\nSTATUS=%s", (long)getpid(), status);
}
