#include "lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The control filesystem, as a mount that is nowhere to be found: for root, where nobody has
 * mounted it. */
static int mount_control(void)
{
	int fs = fsopen("fusectl", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

static void abort_connection(unsigned number)
{
	char path[32];
	snprintf(path, sizeof path, "%u/abort", number);
	int control = open("/sys/fs/fuse/connections", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(control, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fd = openat(mount_control(), path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "1", 1); /* it may be gone already */
}

/* SIGUSR1 says that the daemon's main thread has ended; other signals, as of a terminal to all of
 * its processes, are for the daemon, and stay blocked. */
_Noreturn static void live(pid_t daemon, int fd)
{
	unsigned number;
	sigset_t all, death;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&death);
	sigaddset(&death, SIGUSR1);
	if (prctl(PR_SET_PDEATHSIG, SIGUSR1) < 0 || getppid() != daemon)
		_exit(1);
	(void)prctl(PR_SET_NAME, "recordfs-life");
	if (dup2(fd, 0) < 0 || close_range(1, ~0U, 0) < 0 || chdir("/") < 0)
		_exit(1);
	ssize_t n = read(0, &number, sizeof number);
	close(0);
	if (n != (ssize_t)sizeof number)
		_exit(0);
	while (sigwaitinfo(&death, NULL) < 0)
		;
	/* Our parent may still be there, for the sake of a thread that cannot end. */
	abort_connection(number);
	_exit(0);
}

void lifeline_start(struct lifeline *l)
{
	int fds[2];
	pid_t daemon = getpid();
	*l = (struct lifeline){.pid = 0};
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	fflush(NULL);
	l->pid = fork();
	if (l->pid == 0)
		live(daemon, fds[0]);
	close(fds[0]);
	l->fd = fds[1];
	if (l->pid < 0) {
		close(fds[1]);
		l->pid = 0;
	}
}

void lifeline_attach(struct lifeline *l, const char *mountpoint)
{
	struct statx st;
	if (l->pid == 0)
		return;
	/* DONT_SYNC: not a request to ourselves. A connection has the number of its device. */
	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) <
		0)
		return;
	unsigned number = st.stx_dev_minor;
	(void)!write(l->fd, &number, sizeof number); /* it goes into the pipe, or nobody reads it */
}

void lifeline_stop(struct lifeline *l)
{
	if (l->pid == 0)
		return;
	close(l->fd);
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	l->pid = 0;
}
