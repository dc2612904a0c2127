#include "kernel.h"

#include "cache/store/meter.h"
#include "fs/fs.h"
#include "fs/latency.h"
#include "fs/ops.h"
#include "fs/reply.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Requests that may wait for an answer at once: what gathers, and what waits for the notifier. */
#define WAITING_MAX 512u

/* Numbers of interrupts, which are no requests: their answers are not waited for. */
#define INTERRUPTS ((uint64_t)1 << 60)

struct kernel {
	struct fs fs;
	struct options options;
	struct fuse_session *se;
	uint32_t uid, gid;
	void (*pause)(bool);
	uint64_t last_unique;
	unsigned interrupts; /* that libfuse may still remember */
	bool flushed;	     /* what was gathered last */

	pthread_mutex_t lock; /* over all below */
	pthread_cond_t answered;
	struct {
		uint64_t unique;
		struct kernel_answer *answer;
	} waiting[WAITING_MAX];
	size_t n_waiting;
	unsigned odd; /* answers that nobody waits for */
	bool drops_blocked;
	size_t drops;
};

/* What a notification does is the kernel's affair; how long it takes, the test's. */
static void drop_inode(void *arg, const struct inodes_stale *stale)
{
	struct kernel *k = arg;
	(void)stale;
	pthread_mutex_lock(&k->lock);
	while (k->drops_blocked)
		pthread_cond_wait(&k->answered, &k->lock);
	k->drops++;
	pthread_mutex_unlock(&k->lock);
}

static void drop_name(void *arg, uint64_t parent, const char *name, size_t len, bool gone)
{
	(void)arg;
	(void)parent;
	(void)name;
	(void)len;
	(void)gone;
}

static void drop_all_names(void *arg)
{
	(void)arg;
}

static const struct notify_ops notify_ops = {
	.inode = drop_inode, .name = drop_name, .all_names = drop_all_names};

/* Orphans stay until the end, or until somebody asks for space: so nothing depends on time. */
static const struct backlog_pace pace = {.quiet = INT64_MAX / 4,
	.age = INT64_MAX / 4,
	.inodes = REAPER_QUEUE_MAX,
	.blocks = UINT64_MAX};

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "kernel: %s\n", what);
	abort();
}

static void *kernel_memory(struct kernel *k, size_t size)
{
	if (k->pause)
		k->pause(true);
	void *p = malloc(size);
	if (!p)
		die("no memory");
	if (k->pause)
		k->pause(false);
	return p;
}

static void keep(struct kernel *k, struct kernel_answer *a, const struct fuse_out_header *h,
	const struct iovec *iov, int count)
{
	a->answered = true;
	a->error = -h->error;
	a->size = h->len - sizeof *h;
	a->data = kernel_memory(k, a->size + 1);
	size_t at = 0;
	for (int i = 1; i < count; i++) {
		memcpy(a->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
}

/* libfuse answers. Whether what it says is consistent is looked at here: the kernel would say
 * EINVAL, and whoever asked would wait for ever. */
static ssize_t take_answer(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)fd;
	struct kernel *k = CONTAINER_OF(userdata, struct kernel, fs);
	struct fuse_out_header h;
	size_t size = 0;
	bool refused = false, found = false;
	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	if (count < 1 || iov[0].iov_len != sizeof h)
		die("an answer without a header");
	memcpy(&h, iov[0].iov_base, sizeof h);
	if (h.len != size || h.error > 0 || h.error <= -512 || (h.error && size != sizeof h))
		die("an answer that the kernel would not take");
	latency_answered(k->fs.latency, h.error);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n_waiting && !found; i++) {
		if (k->waiting[i].unique != h.unique)
			continue;
		found = true;
		refused = k->waiting[i].answer->refused;
		keep(k, k->waiting[i].answer, &h, iov, count);
		k->waiting[i] = k->waiting[--k->n_waiting];
		pthread_cond_broadcast(&k->answered);
	}
	k->odd += !found && h.unique < INTERRUPTS;
	pthread_mutex_unlock(&k->lock);
	if (!refused)
		return (ssize_t)size;
	errno = ENOENT;
	return -1;
}

static ssize_t read_nothing(int fd, void *buf, size_t len, void *userdata)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)userdata;
	return 0;
}

/* The memory is exactly as long as the request. */
static void process(struct kernel *k, uint64_t unique, uint32_t opcode, uint64_t nodeid,
	const void *in, size_t size)
{
	struct fuse_in_header h = {.len = (uint32_t)(sizeof h + size),
		.opcode = opcode,
		.unique = unique,
		.nodeid = nodeid,
		.uid = k->uid,
		.gid = k->gid,
		.pid = (uint32_t)getpid()};
	struct fuse_buf buf = {.size = h.len, .mem = kernel_memory(k, h.len)};
	memcpy(buf.mem, &h, sizeof h);
	if (size)
		memcpy((char *)buf.mem + sizeof h, in, size);
	latency_begin(opcode, reply_begin(&k->fs));
	fuse_session_process_buf(k->se, &buf);
	free(buf.mem);
}

void kernel_ask(struct kernel *k, uint32_t opcode, uint64_t nodeid, const void *in, size_t size,
	struct kernel_answer *ret)
{
	uint64_t unique = k->last_unique += 2;
	pthread_mutex_lock(&k->lock);
	if (k->n_waiting == WAITING_MAX)
		die("too many requests at once");
	k->waiting[k->n_waiting].unique = unique;
	k->waiting[k->n_waiting++].answer = ret;
	pthread_mutex_unlock(&k->lock);
	process(k, unique, opcode, nodeid, in, size);
}

void kernel_tell(struct kernel *k, uint32_t opcode, uint64_t nodeid, const void *in, size_t size)
{
	process(k, k->last_unique += 2, opcode, nodeid, in, size);
}

void kernel_interrupt(struct kernel *k, uint64_t unique)
{
	struct fuse_interrupt_in in = {.unique = unique};
	process(k, INTERRUPTS + (k->last_unique += 2), FUSE_INTERRUPT, 0, &in, sizeof in);
	k->interrupts++;
}

bool kernel_flushed(const struct kernel *k)
{
	return k->flushed;
}

void kernel_set(struct kernel *k, const char *text)
{
	char errmsg[OPTIONS_ERROR_MAX];
	struct options before;
	if (settings_change(&k->fs.settings, k->fs.store, text, &before, errmsg, sizeof errmsg) < 0)
		die(errmsg);
}

void kernel_commit(struct kernel *k)
{
	while (gather_claim(k->fs.gather)) {
		gather_commit(k->fs.gather);
		gather_leave(k->fs.gather);
	}
}

bool kernel_settle(struct kernel *k)
{
	struct timespec until;
	int late = 0;
	kernel_commit(k);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&k->lock);
	while (k->n_waiting > 0 && !late)
		late = pthread_cond_timedwait(&k->answered, &k->lock, &until);
	bool good = k->n_waiting == 0 && k->odd == 0;
	pthread_mutex_unlock(&k->lock);
	return good;
}

size_t kernel_waiting(struct kernel *k)
{
	pthread_mutex_lock(&k->lock);
	size_t n = k->n_waiting;
	pthread_mutex_unlock(&k->lock);
	return n;
}

void kernel_block_drops(struct kernel *k, bool blocked)
{
	pthread_mutex_lock(&k->lock);
	k->drops_blocked = blocked;
	pthread_cond_broadcast(&k->answered);
	pthread_mutex_unlock(&k->lock);
}

size_t kernel_drops(struct kernel *k)
{
	pthread_mutex_lock(&k->lock);
	size_t n = k->drops;
	pthread_mutex_unlock(&k->lock);
	return n;
}

void kernel_others_changed(struct kernel *k)
{
	atomic_fetch_add(&k->fs.outside_changes, 1);
}

size_t kernel_inodes(struct kernel *k)
{
	return inodes_count(k->fs.inodes);
}

void kernel_caller(struct kernel *k, uint32_t uid, uint32_t gid)
{
	k->uid = uid;
	k->gid = gid;
}

void kernel_answer_free(struct kernel_answer *a)
{
	free(a->data);
	*a = (struct kernel_answer){0};
}

static void say_init(struct kernel *k, uint32_t minor)
{
	struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
		.minor = minor,
		.max_readahead = 128u << 10,
		.flags = UINT32_MAX &
			 ~(uint32_t)(FUSE_SPLICE_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE)};
	struct kernel_answer a = {0};
	kernel_ask(k, FUSE_INIT, 0, &in, sizeof in, &a);
	if (!a.answered || a.error || !k->fs.initialised)
		die("INIT failed");
	kernel_answer_free(&a);
}

static bool apply_gathered(void *arg, struct gather_item *first, size_t n)
{
	struct kernel *k = arg;
	k->flushed = op_write_gathered(&k->fs, first, n);
	return k->flushed;
}

struct kernel *kernel_open(struct store *store, const struct kernel_config *config)
{
	static const struct fuse_custom_io io = {.writev = take_answer, .read = read_nothing};
	char name[] = "test";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct kernel *k = calloc(1, sizeof *k);
	if (!k)
		die("no memory");
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->answered, NULL);
	k->options = (struct options){.cache_ttl_ns = config->cache_ttl_ns};
	k->uid = config->uid;
	k->gid = config->gid;
	k->pause = config->pause;
	k->fs.options = &k->options;
	settings_init(&k->fs.settings, &k->options);
	k->fs.store = store;
	k->fs.latency = calloc(1, sizeof *k->fs.latency);
	if (!k->fs.latency || meter_new(&k->fs.meter) < 0 || inodes_new(&k->fs.inodes) < 0 ||
		gather_new(apply_gathered, k, &k->fs.gather) < 0 ||
		renames_new(&k->fs.renames) < 0 || room_new(&k->fs.room) < 0 ||
		reaper_start(store, &pace, &k->fs.reaper) < 0 ||
		notify_start(k->fs.inodes, &notify_ops, k, &k->fs.notify) < 0)
		die("cannot start");
	k->se = fuse_session_new(&args, &fs_operations, sizeof fs_operations, &k->fs);
	fuse_opt_free_args(&args);
	if (!k->se || fuse_session_custom_io(k->se, &io, eventfd(0, EFD_CLOEXEC)) < 0)
		die("no session");
	say_init(k, config->minor);
	return k;
}

/* libfuse answers an interrupt of nothing with the next request, and never frees those that are
 * left. */
static void settle_interrupts(struct kernel *k)
{
	const struct fuse_getattr_in in = {0};
	for (; k->interrupts > 0; k->interrupts--) {
		struct kernel_answer a = {0};
		kernel_ask(k, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof in, &a);
		if (!kernel_settle(k))
			die("a request is not answered");
		kernel_answer_free(&a);
	}
}

/* As session.c takes it down. */
void kernel_close(struct kernel *k)
{
	uint64_t inos[64];
	size_t n;
	settle_interrupts(k);
	notify_halt(k->fs.notify);
	fuse_session_destroy(k->se);
	k->fs.notify = notify_free(k->fs.notify);
	do {
		n = inodes_take_orphans(k->fs.inodes, inos, ARRAY_LEN(inos));
		for (size_t i = 0; i < n; i++)
			reaper_add(k->fs.reaper, inos[i]);
	} while (n == ARRAY_LEN(inos));
	k->fs.reaper = reaper_stop(k->fs.reaper, INT64_MAX / 2);
	k->fs.room = room_free(k->fs.room);
	k->fs.gather = gather_free(k->fs.gather);
	k->fs.renames = renames_free(k->fs.renames);
	k->fs.inodes = inodes_free(k->fs.inodes);
	k->fs.meter = meter_free(k->fs.meter);
	free(k->fs.latency);
	settings_destroy(&k->fs.settings);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->answered);
	free(k);
}
