#include "daemon.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: where the parent listens; -1: there is none. */
static int parent = -1;

_Noreturn static void wait_for_child(int fd, pid_t child)
{
	char byte;
	ssize_t n;
	int status;
	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	fprintf(stderr, "recordfs: the daemon died before the mount was ready\n");
	_exit(EXIT_FAILURE);
}

/*
 * What the starter had open besides the standard three is none of the daemon's: a lock on it would
 * be held for as long as the mount lasts. Without close_range(2), before Linux 5.9, it stays open.
 */
static void close_inherited(unsigned but)
{
	if (but > 3)
		(void)close_range(3, but - 1, 0);
	(void)close_range(but < 3 ? 3 : but + 1, ~0U, 0);
}

int daemon_standard_fds(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

void daemon_serves_memory(void)
{
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

int daemon_fork(bool foreground)
{
	int fds[2];
	if (foreground)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		int r = -errno;
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (child > 0) {
		close(fds[1]);
		wait_for_child(fds[0], child);
	}
	close(fds[0]);
	parent = fds[1];
	close_inherited((unsigned)parent);
	return 0;
}

void daemon_ready(void)
{
	if (parent < 0)
		return;
	setsid();
	(void)!chdir("/");
	log_to_syslog();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		for (int fd = 0; fd <= 2; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
	}
	(void)!write(parent, "", 1);
	close(parent);
	parent = -1;
}
