#include "watch.h"

#include "clock.h"
#include "log.h"
#include "past.h"
#include "reply.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define COMPLAIN_EVERY (60 * SECOND)

/* How often to look for orphans: doubled each time when there were none. */
#define SWEEP_FIRST SECOND
#define SWEEP_LAST (8 * SECOND)
#define SWEEP_MAX 1024u /* orphans of one look; the next tick goes on where it ended */

/* Between polls, whatever `watch` says: not to be busy, and not to keep other mounts waiting that
 * want to know whether an inode is still in use. */
#define INTERVAL_MIN (SECOND / 2000)
#define INTERVAL_MAX SECOND

/* How long before a tick an answer may have left that the kernel has not taken in yet. */
#define LATELY SECOND

/* When the store was seen to be written to, polls come so long after each other, until one has told
 * something: the commit may be a moment away, or be our own. */
static const int64_t early_polls[] = {300000, 1000000, 3000000, 10000000};
#define IN_VAIN_MAX 2u
/* Then the next such polls, while others go on writing, come so much later. */
#define EARLY_PAUSE (2 * SECOND / 1000)

/* What is remembered of one tick: inodes, and bytes of names. */
#define TOLD_INODES_MAX ((size_t)64 << 10)
#define TOLD_NAMES_MAX ((size_t)256 << 10)

/* What one tick told, to be said again on the next. */
struct told {
	int64_t begun; /* monotonic nanoseconds */
	bool all_names;
	bool all_inodes;
	bool gone; /* an inode that is in use here has lost its last name */
	struct inodes_stale *inodes;
	size_t n, inodes_room;
	/* (uint64_t parent, uint8_t len, bytes) each, one after the other */
	unsigned char *names;
	size_t used, names_room;
};

struct watch {
	/* constant */
	struct fs *fs;
	int64_t interval;
	bool blind;  /* only for GONE */
	int stop;    /* eventfd: readable when it is time to go */
	int written; /* readable when somebody writes to the store, or -1 */
	pthread_t thread;

	/* the thread's own */
	struct told told[2]; /* this tick's, the last one's */
	unsigned tick;	     /* told[tick % 2] is this one's */
	int64_t complained;  /* when it last did, 0: never */
	int64_t sweep_every; /* 0: there are no orphans that one knows of */
	int64_t sweep_at;
	unsigned swept;
	uint64_t swept_to; /* the last orphan of a look that is to go on, else 0 */
	uint64_t *held;	   /* inodes that are gone, during a poll */
	size_t n_held, held_room;
};

static struct told *this_tick(struct watch *w)
{
	return &w->told[w->tick % 2];
}

static void tell_inode(struct watch *w, uint64_t ino, int64_t offset, int64_t len)
{
	notify_stale(w->fs->notify, ino, offset, len);
}

/* `array` with room for `need` things of `size` bytes, but for `most` at most; NULL: it stays. */
static void *grow(void *array, size_t *room, size_t need, size_t most, size_t size)
{
	size_t wanted = *room ? *room : 256;
	while (wanted < need)
		wanted *= 2;
	if (wanted == *room)
		return array;
	void *bigger = wanted <= most ? realloc(array, wanted * size) : NULL;
	if (bigger)
		*room = wanted;
	return bigger;
}

/* To be dropped again on the next tick: attributes; of a directory also the listing. */
static void remember_inode(struct watch *w, uint64_t ino, bool directory)
{
	struct told *t = this_tick(w);
	if (t->n == 0 || t->inodes[t->n - 1].ino != ino) { /* most of one inode come together */
		if (!inodes_known(w->fs->inodes, ino))
			return;
		struct inodes_stale *inodes = grow(
			t->inodes, &t->inodes_room, t->n + 1, TOLD_INODES_MAX, sizeof *t->inodes);
		if (!inodes) {
			t->all_inodes = true;
			return;
		}
		t->inodes = inodes;
		t->inodes[t->n++] = (struct inodes_stale){ino, -1, 0, false};
	}
	if (directory)
		t->inodes[t->n - 1].offset = 0;
}

/* Names are told when the poll is over: only then is it known whether something is gone. */
static void remember_name(void *arg, uint64_t parent, const struct change_name *name)
{
	struct watch *w = arg;
	struct told *t = this_tick(w);
	if (t->all_names || name->len > STORE_NAME_MAX || !inodes_known(w->fs->inodes, parent))
		return;
	unsigned char *names = grow(t->names, &t->names_room,
		t->used + sizeof parent + 1 + name->len, TOLD_NAMES_MAX, 1);
	if (!names) {
		t->all_names = true;
		return;
	}
	t->names = names;
	memcpy(t->names + t->used, &parent, sizeof parent);
	t->names[t->used + sizeof parent] = (unsigned char)name->len;
	memcpy(t->names + t->used + sizeof parent + 1, name->bytes, name->len);
	t->used += sizeof parent + 1 + name->len;
}

/* The names from byte `at` of t->names on. */
static void tell_names(struct watch *w, const struct told *t, size_t at, bool gone)
{
	if (t->all_names) {
		notify_all_names(w->fs->notify);
		return;
	}
	while (at < t->used) {
		uint64_t parent;
		memcpy(&parent, t->names + at, sizeof parent);
		size_t len = t->names[at + sizeof parent];
		at += sizeof parent + 1;
		notify_name(w->fs->notify, parent, (const char *)t->names + at, len, gone);
		at += len;
	}
}

static void tell_data(struct watch *w, const struct store_event *event)
{
	uint64_t most = STORE_FILE_MAX / STORE_BLOCK_SIZE - 1;
	if (event->first > most)
		return;
	int64_t from = (int64_t)(event->first * STORE_BLOCK_SIZE);
	int64_t to = event->last < most ? (int64_t)((event->last + 1) * STORE_BLOCK_SIZE) : from;
	tell_inode(w, event->ino, from, to - from); /* 0: to the end */
	remember_inode(w, event->ino, false);
}

/* Never later than planned: whoever deletes without a pause must not keep us from it. */
static void expect_orphans(struct watch *w)
{
	int64_t at = clock_monotonic() + SWEEP_FIRST;
	if (!w->sweep_every || at < w->sweep_at)
		w->sweep_at = at;
	w->sweep_every = SWEEP_FIRST;
}

/*
 * What is in use here is held until the poll is over, for only then does the store know of it: if
 * the last user let go of it before, nobody would reap it. Without memory for that, it is not.
 */
static bool lose(struct watch *w, uint64_t ino)
{
	expect_orphans(w);
	if (!inodes_known(w->fs->inodes, ino))
		return false;
	this_tick(w)->gone = true;
	uint64_t *held = grow(w->held, &w->held_room, w->n_held + 1, SIZE_MAX, sizeof *held);
	if (held) {
		w->held = held;
		if (inodes_open(w->fs->inodes, ino) == 0)
			w->held[w->n_held++] = ino;
	}
	return !inodes_set_orphan(w->fs->inodes, ino, true);
}

static void let_go(struct watch *w)
{
	for (; w->n_held > 0; w->n_held--) {
		uint64_t ino = w->held[w->n_held - 1];
		reply_close(w->fs, ino);
		tell_inode(w, ino, -1, 0); /* also its entries */
	}
}

/* One event; the answer counts for STORE_EVENT_GONE only. */
static bool take(void *arg, const struct store_event *event)
{
	struct watch *w = arg;
	/* First: replies that were begun before it let the kernel keep nothing. */
	atomic_fetch_add(&w->fs->outside_changes, 1);
	bool in_use = event->kind == STORE_EVENT_GONE && lose(w, event->ino);
	if (w->blind)
		return in_use;
	inodes_state(w->fs->inodes, event->ino, page_state_told, 0);
	switch (event->kind) {
	case STORE_EVENT_ATTR:
	case STORE_EVENT_GONE:
		tell_inode(w, event->ino, -1, 0);
		remember_inode(w, event->ino, false);
		break;
	case STORE_EVENT_DATA:
		tell_data(w, event);
		break;
	case STORE_EVENT_NAME:
		tell_inode(w, event->ino, 0, 0);
		remember_inode(w, event->ino, true);
		remember_name(w, event->ino, &event->name);
		if (!renames_find(w->fs->renames, event->ino, &event->name, clock_monotonic(),
			    remember_name, w))
			this_tick(w)->all_names = true;
		break;
	case STORE_EVENT_ALL:
		notify_all_inodes(w->fs->notify, INT64_MIN);
		this_tick(w)->all_inodes = this_tick(w)->all_names = true;
		expect_orphans(w);
		break;
	}
	return in_use;
}

static void echo(struct watch *w, const struct told *t)
{
	int64_t since = t->begun - LATELY;
	tell_names(w, t, 0, false);
	if (t->all_inodes)
		notify_all_inodes(w->fs->notify, since);
	for (size_t i = 0; i < t->n && !t->all_inodes; i++)
		if (inodes_answered(w->fs->inodes, t->inodes[i].ino, since))
			tell_inode(w, t->inodes[i].ino, t->inodes[i].offset, t->inodes[i].len);
}

static void complain(struct watch *w, int error)
{
	int64_t now = clock_monotonic();
	if (w->complained && now - w->complained < COMPLAIN_EVERY)
		return;
	w->complained = now;
	log_line(LOG_ERR, "cannot see what others change in the store: %s", strerror(-error));
}

static bool reap(void *arg, uint64_t ino)
{
	struct watch *w = arg;
	if (ino <= w->swept_to)
		return true; /* the reaper has it already */
	reaper_add(w->fs->reaper, ino);
	w->swept_to = ino;
	return ++w->swept < SWEEP_MAX;
}

static void sweep(struct watch *w)
{
	if (reaper_left_some(w->fs->reaper))
		expect_orphans(w);
	if (w->fs->options->readonly || !w->sweep_every || clock_monotonic() < w->sweep_at)
		return;
	/* Those that are closed, but have entries under names that they had before. */
	uint64_t idle[SWEEP_MAX];
	for (size_t n = inodes_idle_orphans(w->fs->inodes, idle, SWEEP_MAX); n > 0; n--)
		tell_inode(w, idle[n - 1], -1, 0);
	w->swept = 0;
	(void)!store_orphans(w->fs->store, reap, w);
	if (w->swept == SWEEP_MAX)
		return;
	w->swept_to = 0;
	if (w->swept)
		w->sweep_every = SWEEP_FIRST;
	else if (w->sweep_every < SWEEP_LAST)
		w->sweep_every *= 2;
	w->sweep_at = clock_monotonic() + w->sweep_every;
}

/* Adds to what this tick has told. True: something was told. */
static bool look(struct watch *w)
{
	struct told *t = this_tick(w);
	size_t names = t->used;
	t->gone = false;
	int r = store_poll(w->fs->store, take, w);
	let_go(w);
	if (r < 0)
		complain(w, r);
	tell_names(w, t, names, t->gone);
	return r > 0;
}

static void end_tick(struct watch *w)
{
	if (atomic_exchange(&w->fs->echo_all, false))
		this_tick(w)->all_names = this_tick(w)->all_inodes = true;
	w->tick++;
	struct told *t = this_tick(w); /* of the tick before */
	echo(w, t);
	t->all_names = t->all_inodes = false;
	t->n = t->used = 0;
	t->begun = clock_monotonic();
}

enum wake { WAKE_STOP, WAKE_WRITTEN, WAKE_TIME };

/* Waits until `at`, or also until somebody writes to the store. */
static enum wake wait_until(const struct watch *w, int64_t at, bool also_written)
{
	struct pollfd fds[] = {{.fd = w->stop, .events = POLLIN},
		{.fd = also_written ? w->written : -1, .events = POLLIN}};
	int64_t left = at - clock_monotonic();
	struct timespec timeout = clock_timespec(left > 0 ? left : 0);
	(void)!ppoll(fds, ARRAY_LEN(fds), &timeout, NULL); /* fails for no memory: looks, then */
	if (fds[0].revents)
		return WAKE_STOP;
	return fds[1].revents ? WAKE_WRITTEN : WAKE_TIME;
}

/* Somebody is writing to the store. *ret_told: it was another one. */
static enum wake look_early(struct watch *w, int64_t tick, bool *ret_told)
{
	enum wake wake = WAKE_TIME;
	*ret_told = false;
	for (size_t i = 0; i < ARRAY_LEN(early_polls) && wake == WAKE_TIME && !*ret_told; i++) {
		int64_t at = clock_monotonic() + early_polls[i];
		if (at >= tick)
			return WAKE_TIME;
		wake = wait_until(w, at, false);
		if (wake == WAKE_TIME)
			*ret_told = look(w);
	}
	return wake;
}

/* One tick. After early polls in vain, it is likely ourselves who write: a few more, then none. */
static enum wake wait_for_tick(struct watch *w)
{
	int64_t tick = clock_monotonic() + w->interval;
	enum wake wake;
	unsigned in_vain = 0;
	while ((wake = wait_until(w, tick, in_vain < IN_VAIN_MAX)) == WAKE_WRITTEN) {
		bool told;
		wake = look_early(w, tick, &told);
		in_vain = told ? 0 : in_vain + 1;
		int64_t pause = clock_monotonic() + EARLY_PAUSE;
		if (wake == WAKE_TIME)
			wake = wait_until(w, pause < tick ? pause : tick, false);
		if (wake == WAKE_STOP)
			break;
	}
	return wake;
}

static void *run(void *arg)
{
	struct watch *w = arg;
	while (wait_for_tick(w) != WAKE_STOP) {
		(void)look(w);
		end_tick(w);
		sweep(w);
		if (w->fs->past)
			past_tick(w->fs);
	}
	return NULL;
}

static struct watch *destroy(struct watch *w)
{
	if (w->stop >= 0)
		close(w->stop);
	for (size_t i = 0; i < ARRAY_LEN(w->told); i++) {
		free(w->told[i].inodes);
		free(w->told[i].names);
	}
	free(w->held);
	free(w);
	return NULL;
}

int watch_start(struct fs *fs, struct watch **ret)
{
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->fs = fs;
	w->blind = fs->options->watch_ns == 0;
	w->interval = w->blind ? INTERVAL_MAX : fs->options->watch_ns / 2;
	if (w->interval < INTERVAL_MIN)
		w->interval = INTERVAL_MIN;
	if (w->interval > INTERVAL_MAX)
		w->interval = INTERVAL_MAX;
	w->written = w->blind ? -1 : store_poll_fd(fs->store);
	w->stop = eventfd(0, EFD_CLOEXEC);
	int r = w->stop < 0 ? errno : pthread_create(&w->thread, NULL, run, w);
	if (r) {
		destroy(w);
		return -r;
	}
	*ret = w;
	return 0;
}

struct watch *watch_stop(struct watch *w)
{
	if (!w)
		return NULL;
	(void)!eventfd_write(w->stop, 1);
	pthread_join(w->thread, NULL);
	return destroy(w);
}
