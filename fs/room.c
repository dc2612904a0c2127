#include "room.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct room {
	pthread_mutex_t lock; /* over all below */
	pthread_cond_t left;
	size_t taken;
	unsigned waiting;
};

int room_new(struct room **ret)
{
	struct room *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->left, NULL);
	*ret = r;
	return 0;
}

struct room *room_free(struct room *r)
{
	if (!r)
		return NULL;
	assert(r->taken == 0);
	pthread_cond_destroy(&r->left);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

/* With the lock held. */
static bool fits(const struct room *r, size_t bytes)
{
	return r->taken == 0 || (bytes <= ROOM_READS && r->taken <= ROOM_READS - bytes);
}

void room_enter(struct room *r, size_t bytes, void (*before)(void *arg))
{
	if (bytes <= ROOM_SMALL)
		return;
	pthread_mutex_lock(&r->lock);
	if (!fits(r, bytes)) {
		pthread_mutex_unlock(&r->lock);
		before(NULL);
		pthread_mutex_lock(&r->lock);
	}
	r->waiting++;
	while (!fits(r, bytes))
		pthread_cond_wait(&r->left, &r->lock);
	r->waiting--;
	r->taken += bytes;
	pthread_mutex_unlock(&r->lock);
}

void room_leave(struct room *r, size_t bytes)
{
	if (bytes <= ROOM_SMALL)
		return;
	pthread_mutex_lock(&r->lock);
	assert(r->taken >= bytes);
	r->taken -= bytes;
	if (r->waiting)
		pthread_cond_broadcast(&r->left); /* they want more, or less */
	pthread_mutex_unlock(&r->lock);
}

/* How many threads keep theirs, and whether this one does. */
static atomic_uint kept;
static _Thread_local bool keeps;

void room_received(void *buf, size_t used)
{
	if (used <= ROOM_BUFFER || keeps)
		return;
	if (atomic_fetch_add(&kept, 1) < ROOM_BUFFERS_KEPT) {
		keeps = true; /* for as long as the thread lives */
		return;
	}
	atomic_fetch_sub(&kept, 1);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *at = buf;
	size_t skip = ROOM_BUFFER + (size_t)(-(uintptr_t)(at + ROOM_BUFFER) & (page - 1));
	if (skip + page <= used)
		(void)madvise(at + skip, (used - skip) & ~(page - 1), MADV_DONTNEED);
}
