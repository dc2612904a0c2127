#include "lifeline.h"

#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum ask {
	ASK_MOUNT,
	ASK_ATTACH,
	ASK_LET_GO,
	ASK_UNMOUNT,
};

struct answer {
	int result; /* 0 or a negative errno */
	char said[LIFELINE_SAID_MAX];
};

/* In the child: where the socket and the signals come in. The standard descriptors are left as they
 * are until the mount works, for what fusermount3 has to say. */
#define SOCKET 3
#define SIGNALS 4

struct life {
	const char *mountpoint;
	const struct lifeline_ops *ops;
	void *arg;
	bool mounted;
	unsigned number;
	int abort; /* to be written to when the daemon dies, or -1 */
};

/* The control filesystem, as a mount that is nowhere to be found: for root, where nobody has
 * mounted it. */
static int mount_control(void)
{
	int fs = fsopen("fusectl", FSOPEN_CLOEXEC), ret = -1;
	if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		ret = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	return ret;
}

/* What ends the connection of this number when it is written to, or -1. It stays that of this
 * connection: when the connection is gone, and the number another's, a write does nothing. */
static int open_abort(unsigned number)
{
	char path[32];
	snprintf(path, sizeof path, "%u/abort", number);
	int control = open("/sys/fs/fuse/connections", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(control, path, O_WRONLY | O_CLOEXEC);
	close(control);
	if (fd < 0) {
		control = mount_control();
		fd = openat(control, path, O_WRONLY | O_CLOEXEC);
		close(control);
	}
	return fd;
}

/* The number of the connection that is mounted there, which is that of its device. */
static int number_of(const char *mountpoint, unsigned *ret)
{
	struct statx st;
	/* DONT_SYNC: not a request to the daemon. */
	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) <
		0)
		return -errno;
	*ret = st.stx_dev_minor;
	return 0;
}

static int unmount(struct life *l)
{
	unsigned number = 0;
	if (!l->mounted)
		return 0;
	l->mounted = false;
	int r = number_of(l->mountpoint, &number);
	/* Somebody else has unmounted it, and maybe mounted another one. A dead one has an
	 * error of its own. */
	if ((r == 0 && number != l->number) || (r < 0 && r != -ENOTCONN))
		return 0;
	if (geteuid() == 0 && umount2(l->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return mountpoint_fusermount(l->mountpoint);
}

static int mount_it(struct life *l, struct answer *a)
{
	int fd = l->ops->mount(l->arg, a->said);
	if (fd < 0) {
		a->result = fd;
		return -1;
	}
	l->mounted = true;
	if (number_of(l->mountpoint, &l->number) == 0)
		l->abort = open_abort(l->number);
	return fd;
}

static void attach(struct life *l)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	l->ops->attached(l->arg);
}

static void send_answer(int to, const struct answer *a, int fd)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)a, .iov_len = sizeof *a};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	(void)!sendmsg(to, &msg, MSG_NOSIGNAL);
}

/* Does what it is asked; false: nobody asks any more. */
static bool serve(struct life *l)
{
	enum ask ask;
	struct answer a = {0};
	int fd = -1;
	ssize_t n = recv(SOCKET, &ask, sizeof ask, 0);
	if (n != (ssize_t)sizeof ask)
		return n < 0 && errno == EINTR;
	switch (ask) {
	case ASK_MOUNT:
		fd = mount_it(l, &a);
		break;
	case ASK_ATTACH:
		attach(l);
		break;
	case ASK_LET_GO:
		close(l->abort);
		l->abort = -1;
		break;
	case ASK_UNMOUNT:
		a.result = unmount(l);
		break;
	}
	send_answer(SOCKET, &a, fd);
	if (fd >= 0)
		close(fd); /* the daemon has the only one */
	return true;
}

/* A mount is to be one process to who looks for it by its command line (pgrep -f, pidof), the
 * daemon. So this one's is its name: the kernel shows what lies where the arguments were, one after
 * the other from the first on, to the end that they had. */
static void take_name(void)
{
	static const char name[] = "recordfs-life";
	const size_t first = strlen(program_invocation_name) + 1;
	char line[4096];
	size_t size = 0;
	ssize_t n;
	bool ours = true;
	(void)prctl(PR_SET_NAME, name);
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (; (n = read(fd, line, sizeof line)) > 0; size += (size_t)n)
		if (size == 0) /* who was started by way of a loader begins with the loader's */
			ours = (size_t)n >= first &&
			       memcmp(line, program_invocation_name, first) == 0;
	close(fd);
	if (size == 0 || !ours)
		return;
	memset(program_invocation_name, 0, size);
	memcpy(program_invocation_name, name, size < sizeof name ? size - 1 : sizeof name);
}

/* SIGUSR1 says that the daemon's main thread has ended; other signals, as of a terminal to all of
 * its processes, are for the daemon, and stay blocked. SIGKILL cannot be: so what is sent to the
 * process group of whoever has mounted shall not come here, as it does not to the daemon. */
static bool set_up(pid_t daemon, int fd)
{
	sigset_t all, death;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&death);
	sigaddset(&death, SIGUSR1);
	if (prctl(PR_SET_PDEATHSIG, SIGUSR1) < 0 || getppid() != daemon)
		return false;
	take_name();
	(void)setsid();
	/* Out of the way of both. */
	int high = fcntl(fd, F_DUPFD_CLOEXEC, SIGNALS + 1);
	int signals = signalfd(-1, &death, SFD_CLOEXEC);
	int signals_high = fcntl(signals, F_DUPFD_CLOEXEC, SIGNALS + 1);
	return dup3(high, SOCKET, O_CLOEXEC) >= 0 && dup3(signals_high, SIGNALS, O_CLOEXEC) >= 0 &&
	       close_range(SIGNALS + 1, ~0U, 0) == 0 && chdir("/") == 0;
}

_Noreturn static void live(struct life *l, pid_t daemon, int fd)
{
	struct pollfd fds[] = {{.fd = SOCKET, .events = POLLIN}, {.fd = SIGNALS, .events = POLLIN}};
	if (!set_up(daemon, fd))
		_exit(1);
	do {
		while (poll(fds, 2, -1) < 0)
			;
	} while (!fds[1].revents && serve(l));
	/* Our parent may still be there, for the sake of a thread that cannot end. */
	(void)!write(l->abort, "1", 1); /* the connection may be gone already */
	_exit(0);
}

int lifeline_start(
	struct lifeline *l, const char *mountpoint, const struct lifeline_ops *ops, void *arg)
{
	int fds[2];
	pid_t daemon = getpid();
	struct life life = {.mountpoint = mountpoint, .ops = ops, .arg = arg, .abort = -1};
	*l = (struct lifeline){.pid = 0};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	fflush(NULL);
	pid_t pid = fork();
	int r = pid < 0 ? -errno : 0;
	if (pid == 0)
		live(&life, daemon, fds[0]);
	close(fds[0]);
	if (r < 0) {
		close(fds[1]);
		return r;
	}
	*l = (struct lifeline){.pid = pid, .fd = fds[1]};
	return 0;
}

/* *ret_fd: a descriptor that came with the answer, or -1. -EPIPE: there is no child any more. */
static int ask_it(struct lifeline *l, enum ask ask, struct answer *ret, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = ret, .iov_len = sizeof *ret};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes};
	ssize_t n = -1;
	*ret_fd = -1;
	if (l->pid == 0 || send(l->fd, &ask, sizeof ask, MSG_NOSIGNAL) != (ssize_t)sizeof ask)
		return -EPIPE;
	do {
		n = recvmsg(l->fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof *ret)
		return -EPIPE;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
	return ret->result;
}

int lifeline_mount(struct lifeline *l, int *ret_fd, char said[LIFELINE_SAID_MAX])
{
	struct answer a = {0};
	int fd;
	int r = ask_it(l, ASK_MOUNT, &a, &fd);
	memcpy(said, a.said, LIFELINE_SAID_MAX);
	if (r == 0 && fd < 0) { /* lost on the way, and the mount is dead without it */
		IGNORE(lifeline_unmount(l));
		r = -EMFILE;
	}
	if (r == 0)
		*ret_fd = fd;
	return r;
}

void lifeline_attach(struct lifeline *l)
{
	struct answer a;
	int fd;
	IGNORE(ask_it(l, ASK_ATTACH, &a, &fd)); /* the mount works without */
}

void lifeline_let_go(struct lifeline *l)
{
	struct answer a;
	int fd;
	if (l->pid != 0)
		IGNORE(ask_it(l, ASK_LET_GO, &a, &fd)); /* it is gone, then */
}

int lifeline_unmount(struct lifeline *l)
{
	struct answer a;
	int fd;
	return ask_it(l, ASK_UNMOUNT, &a, &fd);
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
