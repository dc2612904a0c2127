#include "session.h"

#include "clock.h"
#include "company.h"
#include "fs.h"
#include "latency.h"
#include "lifeline.h"
#include "log.h"
#include "loop.h"
#include "ops.h"
#include "past.h"
#include "readahead.h"
#include "reply.h"
#include "sandbox.h"
#include "service.h"
#include "stack.h"
#include "tell.h"
#include "watch.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* How long an unmount may take to delete what nobody can reach any more; the rest is left to the
 * next mount. */
#define REAP_PATIENCE ((int64_t)10 * 1000000000)

/* How many orphans are handed to the reaper at once. */
#define ORPHANS_AT_ONCE 256

/* A lone writer blocks for 0.2 ms and keeps the baton; others are kept waiting for twice this at
 * most. */
#define BATON_KEPT_MAX 1000000

/* What more processors would gain by more of them was not measured. */
#define HELPERS 3

struct session {
	const struct options *options;
	struct fs fs;
	struct fuse_session *se;
	struct loop *loop;
	struct watch *watch;
	struct lifeline lifeline;
	struct loop_ops loop_ops;
	bool mounted;
	const char *missing; /* of the sandbox, on this machine; or NULL */
	sigset_t signals;    /* that end it; SIGUSR2: the loop ended by itself */
	atomic_bool ended;
	bool created; /* the store's file was made by this run */
	char *errmsg;
	size_t errmsg_size;
};

PRINTF_LIKE(3, 4)
static int fail(struct session *s, int error, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(s->errmsg, s->errmsg_size, fmt, ap);
	va_end(ap);
	return error;
}

/* What libfuse had to say while the mount was made, for the one line if that fails. */
static char fuse_said[256];
static atomic_bool collecting;

__attribute__((format(printf, 2, 0))) static void log_fuse(
	enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];
	if (level >= FUSE_LOG_DEBUG) {
		vfprintf(stderr, fmt, ap);
		return;
	}
	vsnprintf(line, sizeof line, fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (atomic_load(&collecting))
		snprintf(fuse_said, sizeof fuse_said, ": %.200s", line);
	else
		log_line(LOG_WARNING, "%s", line);
}

static void send_inode(void *arg, const struct inodes_stale *stale)
{
	const struct session *s = arg;
	tell_inode(s->se, stale);
}

static void send_name(void *arg, uint64_t parent, const char *name, size_t len, bool gone)
{
	const struct session *s = arg;
	tell_name(s->se, parent, name, len, gone);
}

static void send_all_names(void *arg)
{
	const struct session *s = arg;
	if (s->fs.entry_ttl_max == INT64_MAX)
		tell_all_names(s->se);
}

static const struct notify_ops notify_ops = {
	.inode = send_inode, .name = send_name, .all_names = send_all_names};

static bool waiting(void *arg)
{
	const struct session *s = arg;
	struct pollfd fd = {.fd = fuse_session_fd(s->se), .events = POLLIN};
	return poll(&fd, 1, 0) != 0;
}

/* Several threads may receive at a time, and only one of them may wait. */
static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* That poll(2) sees a request does not mean that it can be read: another thread may have it, or it
 * may be withdrawn. */
static int receive(void *arg, void *buf, bool wait)
{
	struct session *s = arg;
	struct pollfd fd = {.fd = fuse_session_fd(s->se), .events = POLLIN};
	if (wait && poll(&fd, 1, -1) < 0)
		return -errno;
	int r = fuse_session_receive_buf(s->se, buf);
	return wait && r == -EAGAIN ? -EINTR : r;
}

/* What a request begins with, if that is in memory; else all zero. */
static struct fuse_in_header header_of(const struct fuse_buf *b)
{
	struct fuse_in_header h = {0};
	if (!(b->flags & FUSE_BUF_IS_FD) && b->size >= sizeof h)
		memcpy(&h, b->mem, sizeof h);
	return h;
}

/* A thread is a client. Nobody waits for the end of a handle, nor for what the kernel forgets. */
static uint64_t client(void *arg, const void *buf)
{
	(void)arg;
	struct fuse_in_header h = header_of(buf);
	switch (h.opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return COMPANY_NOBODY;
	default: /* 0: of another namespace */
		return h.pid ? h.pid : COMPANY_UNKNOWN;
	}
}

static void process(void *arg, void *buf)
{
	struct session *s = arg;
	latency_begin(header_of(buf).opcode, reply_begin(&s->fs));
	fuse_session_process_buf(s->se, buf);
	const struct fuse_buf *done = buf;
	if (done->mem)
		room_received(done->mem, done->size);
}

static void free_buf(void *arg, void *buf)
{
	(void)arg;
	free(((struct fuse_buf *)buf)->mem);
}

static void loop_ended(void *arg, int error)
{
	struct session *s = arg;
	if (error < 0)
		log_line(LOG_ERR, "cannot receive requests: %s", strerror(-error));
	atomic_store(&s->ended, true);
	kill(getpid(), SIGUSR2);
}

static int64_t now(void *arg)
{
	(void)arg;
	return clock_monotonic();
}

/* How many threads may receive beside the first one: they take turns with the clients on the same
 * processors. */
static unsigned helpers_max(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	return processors < 2 ? 0 : processors - 1 < HELPERS ? (unsigned)processors - 1 : HELPERS;
}

static const struct loop_ops loop_ops = {
	.receive = receive,
	.waiting = waiting,
	.client = client,
	.process = process,
	.fini = free_buf,
	.ended = loop_ended,
	.now = now,
	.buf_size = sizeof(struct fuse_buf),
	.keep_max = BATON_KEPT_MAX,
};

/* Blocked in all threads from now on, and waited for by wait_for_end(). */
static void block_signals(struct session *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	sigaddset(&s->signals, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: the write fails, and that is F2 */
}

static void wait_for_end(struct session *s)
{
	int sig;
	do {
		sigwait(&s->signals, &sig);
	} while (sig == SIGUSR2 && !atomic_load(&s->ended));
	if (sig != SIGUSR2)
		log_line(LOG_NOTICE, "unmounting: %s", strsignal(sig));
}

static struct fuse_session *new_fuse_session(struct session *s)
{
	char name[] = "recordfs", opt[] = "-o", debug[] = "-d";
	char *argv[] = {name, opt, s->options->mount, s->options->debug ? debug : NULL, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(s->options->debug ? 4 : 3, argv);
	struct fuse_session *se =
		fuse_session_new(&args, &fs_operations, sizeof fs_operations, &s->fs);
	fuse_opt_free_args(&args);
	return se;
}

/* In the process beside us, which can unmount as well. */
static int mount_there(void *arg, char *said)
{
	struct session *s = arg;
	int fd = -EINVAL;
	atomic_store(&collecting, true); /* this process has one of its own */
	struct fuse_session *se = new_fuse_session(s);
	if (se && fuse_session_mount(se, s->options->mountpoint) < 0)
		fd = -EIO;
	else if (se && (fd = fcntl(fuse_session_fd(se), F_DUPFD_CLOEXEC, 0)) < 0)
		fuse_session_unmount(se);
	if (se)
		fuse_session_destroy(se);
	snprintf(said, LIFELINE_SAID_MAX, "%s", fuse_said);
	return fd;
}

static void attached_there(void *arg)
{
	const struct session *s = arg;
	(void)!readahead_raise(s->options->mountpoint); /* it works without */
}

static const struct lifeline_ops lifeline_ops = {.mount = mount_there, .attached = attached_there};

static int mount_it(struct session *s)
{
	char said[LIFELINE_SAID_MAX], path[32];
	int fd;
	atomic_store(&collecting, true);
	s->se = new_fuse_session(s);
	s->fs.se = s->se;
	if (!s->se)
		return fail(s, -EINVAL, "cannot make a FUSE session%s", fuse_said);
	int r = lifeline_mount(&s->lifeline, &fd, said);
	if (r < 0)
		return fail(s, r, "cannot mount on '%s'%s", s->options->mountpoint, said);
	s->mounted = true;
	snprintf(path, sizeof path, "/dev/fd/%d", fd); /* libfuse takes it as its own */
	if (fuse_session_mount(s->se, path) < 0) {
		close(fd);
		return fail(s, -EIO, "libfuse does not take what was mounted%s", fuse_said);
	}
	return wire_attach(s->se);
}

/* The first request is INIT; when it was answered, the mount works. */
static int serve_init(struct session *s)
{
	struct fuse_buf buf = {0};
	int r = 1;
	while (!s->fs.initialised && (r > 0 || r == -EINTR)) {
		r = fuse_session_receive_buf(s->se, &buf);
		if (r > 0)
			fuse_session_process_buf(s->se, &buf);
	}
	free(buf.mem);
	atomic_store(&collecting, false);
	if (!s->fs.initialised)
		return fail(s, -EIO, "the kernel and libfuse do not agree%s", fuse_said);
	return 0;
}

static bool reap_later(void *arg, uint64_t ino)
{
	struct session *s = arg;
	reaper_add(s->fs.reaper, ino);
	return true;
}

static int make_counters(struct session *s)
{
	s->fs.mounted = clock_monotonic();
	s->fs.latency = calloc(1, sizeof *s->fs.latency);
	int r = s->fs.latency ? meter_new(&s->fs.meter) : -ENOMEM;
	if (r == 0)
		r = past_new(&s->fs.past);
	return r < 0 ? fail(s, r, "cannot start: %s", strerror(-r)) : 0;
}

static int open_store(struct session *s)
{
	int r = make_counters(s);
	if (r == 0)
		r = stack_open(s->options, s->fs.meter, loop_may_block, &s->fs.store, &s->created,
			s->errmsg, s->errmsg_size);
	if (r < 0)
		return r;
	r = inodes_new(&s->fs.inodes);
	if (r == 0)
		r = gather_new(op_write_gathered, &s->fs, &s->fs.gather);
	if (r == 0)
		r = renames_new(&s->fs.renames);
	if (r == 0)
		r = room_new(&s->fs.room);
	if (r == 0)
		r = reaper_start(s->fs.store, NULL, &s->fs.reaper);
	if (r < 0)
		return fail(s, r, "cannot start: %s", strerror(-r));
	if (!s->options->readonly) {
		r = store_orphans(s->fs.store, reap_later, s);
		if (r < 0)
			return fail(s, r, "store '%s' cannot be read: %s", s->options->store,
				strerror(-r));
	}
	return 0;
}

static int start(struct session *s)
{
	int r = open_store(s);
	if (r == 0)
		r = mount_it(s);
	if (r == 0)
		r = serve_init(s);
	if (r < 0)
		return r;
	r = set_nonblocking(fuse_session_fd(s->se));
	if (r < 0)
		return fail(s, r, "cannot set up the mount: %s", strerror(-r));
	s->loop_ops = loop_ops;
	s->loop_ops.helpers_max = s->options->single_threaded ? 0 : helpers_max();
	r = notify_start(s->fs.inodes, &notify_ops, s, &s->fs.notify);
	if (r == 0)
		r = loop_start(&s->loop_ops, s, s->fs.gather,
			s->options->single_threaded ? 1 : LOOP_THREADS_MAX, &s->loop);
	if (r == 0)
		r = watch_start(&s->fs, &s->watch);
	if (r == 0) {
		lifeline_attach(&s->lifeline);
	}
	return r < 0 ? fail(s, r, "cannot start a thread: %s", strerror(-r)) : 0;
}

/* What has no name but was still open or known to the kernel. */
static void reap_rest(struct session *s)
{
	uint64_t inos[ORPHANS_AT_ONCE];
	size_t n;
	do {
		n = s->fs.inodes ? inodes_take_orphans(s->fs.inodes, inos, ORPHANS_AT_ONCE) : 0;
		for (size_t i = 0; i < n; i++)
			reaper_add(s->fs.reaper, inos[i]);
	} while (n == ORPHANS_AT_ONCE);
}

/* Is the connection still there? Else somebody has unmounted, or ended it. */
static bool is_connected(struct session *s)
{
	struct pollfd fd = {.fd = fuse_session_fd(s->se)};
	return poll(&fd, 1, 0) == 0 || !(fd.revents & POLLERR);
}

/* The descriptor is closed first: who unmounts would else wait for answers. */
static void unmount(struct session *s)
{
	bool connected = s->mounted && is_connected(s);
	fuse_session_destroy(s->se);
	int r = connected ? lifeline_unmount(&s->lifeline) : 0;
	if (r < 0)
		log_line(LOG_ERR, "cannot unmount '%s': %s", s->options->mountpoint, strerror(-r));
}

/* Once it is back no request is served any more, and the last of them has said what it had to. */
static void end_mount(struct session *s)
{
	lifeline_let_go(&s->lifeline);
	s->watch = watch_stop(s->watch);
	notify_halt(s->fs.notify);
	s->loop = loop_stop(s->loop);
	if (s->se)
		unmount(s);
	lifeline_stop(&s->lifeline);
}

/* Frees what there is, in reverse order. */
static void close_stack(struct session *s)
{
	s->fs.notify = notify_free(s->fs.notify);
	if (s->fs.reaper)
		reap_rest(s);
	s->fs.reaper = reaper_stop(s->fs.reaper, REAP_PATIENCE);
	s->fs.store = store_close(s->fs.store);
	s->fs.room = room_free(s->fs.room);
	s->fs.gather = gather_free(s->fs.gather);
	s->fs.renames = renames_free(s->fs.renames);
	s->fs.inodes = inodes_free(s->fs.inodes);
	s->fs.past = past_free(s->fs.past);
	s->fs.meter = meter_free(s->fs.meter);
	free(s->fs.latency);
	s->fs.latency = NULL;
}

/* The process beside us first, and then what is only its to do is given up. */
static int begin(struct session *s)
{
	int r = lifeline_start(&s->lifeline, s->options->mountpoint, &lifeline_ops, s);
	if (r < 0)
		return fail(s, r, "cannot make a process: %s", strerror(-r));
	if (s->options->sandbox)
		r = sandbox_enter(s->options->store, &s->missing);
	if (r < 0)
		return fail(s, r, "cannot enter the sandbox: %s (-o sandbox=off does without)",
			strerror(-r));
	return start(s);
}

static void warn_of_faults(const struct options *o)
{
	if (o->fault)
		log_line(LOG_WARNING, "FAULTS ARE INJECTED into this mount: %s", o->fault);
}

static void serve(struct session *s, void (*ready)(void))
{
	const struct options *o = s->options;
	if (o->unwritable)
		log_line(LOG_WARNING, "store '%s' cannot be written (%s): mounted read-only",
			o->store, strerror(o->unwritable));
	ready();
	if (!o->foreground) /* in syslog as well */
		warn_of_faults(o);
	if (s->missing)
		log_line(LOG_NOTICE, "sandbox: there are no %s here: going on without", s->missing);
	log_line(LOG_INFO, "%s is mounted on %s", o->store, o->mountpoint);
	if (o->foreground)
		service_ready(o->store, o->mountpoint);
	wait_for_end(s);
	if (o->foreground)
		service_notify("STOPPING=1\nSTATUS=Closing the store");
}

int session_run(const struct options *o, void (*ready)(void), char *errmsg, size_t errmsg_size)
{
	struct session s = {
		.options = o, .fs = {.options = o}, .errmsg = errmsg, .errmsg_size = errmsg_size};
	fuse_set_log_func(log_fuse);
	settings_init(&s.fs.settings, o);
	block_signals(&s);
	warn_of_faults(o);
	int r = begin(&s);
	if (r == 0)
		serve(&s, ready);
	end_mount(&s);
	if (r == 0)
		log_line(LOG_INFO, "%s is not mounted on %s any more", o->store, o->mountpoint);
	close_stack(&s);
	settings_destroy(&s.fs.settings);
	if (r < 0 && s.created)
		stack_remove(o);
	return r;
}
