#include "inodes_internal.h"

#include "cache/store/store.h"

#include <errno.h>
#include <stdlib.h>

#define BITS_MIN 10
#define CHUNK_BYTES (64u << 10) /* of the slabs */

static uint32_t *bucket(const struct inodes *t, uint64_t ino)
{
	return &t->buckets[(ino * 0x9E3779B97F4A7C15u) >> (64 - t->bits)];
}

struct inode *inodes_find(const struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_at(t, *bucket(t, ino));
	while (i && i->ino != ino)
		i = inodes_at(t, i->next);
	return i;
}

struct inode *inodes_lock_and_find(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	return inodes_find(t, ino);
}

/* Without memory the chains just stay as long as they are. */
static void resize(struct inodes *t, unsigned bits)
{
	struct inodes other = {.bits = bits};
	other.buckets = calloc((size_t)1 << bits, sizeof *other.buckets);
	if (!other.buckets)
		return;
	for (size_t b = 0; b < (size_t)1 << t->bits; b++) {
		uint32_t next;
		for (uint32_t handle = t->buckets[b]; handle; handle = next) {
			struct inode *i = inodes_at(t, handle);
			uint32_t *to = bucket(&other, i->ino);
			next = i->next;
			i->next = *to;
			*to = handle;
		}
	}
	free(t->buckets);
	t->buckets = other.buckets;
	t->bits = bits;
	t->walk = 0; /* again from the start, past those that have been handed out */
}

static struct inode *find_or_add(struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_find(t, ino);
	if (i)
		return i;
	uint32_t handle = slab_alloc(&t->inodes);
	if (!handle)
		return NULL;
	i = inodes_at(t, handle);
	i->ino = ino;
	i->round = t->round;
	if (t->n++ >> t->bits)
		resize(t, t->bits + 1);
	uint32_t *to = bucket(t, ino);
	i->next = *to;
	*to = handle;
	return i;
}

/* NULL: no memory. */
struct details *inodes_need_details(struct inodes *t, struct inode *i)
{
	if (!i->details) {
		i->details = slab_alloc(&t->details);
		if (i->details)
			inodes_details(t, i)->inode = i;
	}
	return inodes_details(t, i);
}

/* Gives the details back if there are none any more. */
void inodes_trim(struct inodes *t, struct inode *i)
{
	const struct details *d = inodes_details(t, i);
	if (!d || d->nopen || d->orphan || d->noted || d->fill.pos || d->state.changing ||
		d->state.doubtful)
		return;
	slab_free(&t->details, i->details);
	i->details = 0;
}

static void set_orphan(struct inodes *t, struct details *d, bool orphan)
{
	if (orphan && !d->orphan) {
		d->orphan_prev = NULL;
		d->orphan_next = t->orphans;
		if (t->orphans)
			t->orphans->orphan_prev = d;
		t->orphans = d;
	} else if (!orphan && d->orphan) {
		*(d->orphan_prev ? &d->orphan_prev->orphan_next : &t->orphans) = d->orphan_next;
		if (d->orphan_next)
			d->orphan_next->orphan_prev = d->orphan_prev;
	}
	d->orphan = orphan;
}

static void remove_inode(struct inodes *t, const struct inode *i)
{
	uint32_t *link = bucket(t, i->ino), handle;
	while (inodes_at(t, *link) != i)
		link = &((struct inode *)slab_at(&t->inodes, *link))->next;
	handle = *link;
	*link = i->next;
	slab_free(&t->inodes, handle);
	if (--t->n << 3 < (size_t)1 << t->bits && t->bits > BITS_MIN)
		resize(t, t->bits - 1);
}

/* Drops the entry if nobody uses it. True: it was an orphan. */
static bool settle(struct inodes *t, struct inode *i)
{
	struct details *d = inodes_details(t, i);
	if (i->nlookup || (d && d->nopen)) {
		inodes_trim(t, i);
		return false;
	}
	bool orphan = d && d->orphan;
	if (d) {
		inodes_unlink_fill(t, d);
		inodes_unlink_stale(t, d);
		set_orphan(t, d, false);
		slab_free(&t->details, i->details);
	}
	remove_inode(t, i);
	return orphan;
}

int inodes_new(struct inodes **ret)
{
	struct inodes *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	slab_init(&t->inodes, sizeof(struct inode), CHUNK_BYTES);
	slab_init(&t->details, sizeof(struct details), CHUNK_BYTES);
	t->bits = BITS_MIN;
	t->told = INT64_MAX;
	t->buckets = calloc((size_t)1 << t->bits, sizeof *t->buckets);
	if (!t->buckets || inodes_lookup(t, STORE_ROOT_INO) < 0) {
		inodes_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct inodes *inodes_free(struct inodes *t)
{
	if (!t)
		return NULL;
	slab_fini(&t->inodes);
	slab_fini(&t->details);
	free(t->buckets);
	deadlines_fini(&t->fills);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

int inodes_lookup(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find_or_add(t, ino);
	if (i)
		i->nlookup++;
	pthread_mutex_unlock(&t->lock);
	return i ? 0 : -ENOMEM;
}

bool inodes_forget(struct inodes *t, uint64_t ino, uint64_t n)
{
	bool reap = false;
	struct inode *i = inodes_lock_and_find(t, ino);
	/* The kernel counts as we do; but it forgets the root at the end of a mount. */
	if (i && ino != STORE_ROOT_INO) {
		uint64_t left = n < i->nlookup ? i->nlookup - n : 0;
		i->nlookup = left & INODES_LOOKUPS;
		reap = settle(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return reap;
}

int inodes_open(struct inodes *t, uint64_t ino)
{
	pthread_mutex_lock(&t->lock);
	struct inode *i = find_or_add(t, ino);
	struct details *d = i ? inodes_need_details(t, i) : NULL;
	if (d)
		d->nopen++;
	else if (i)
		(void)settle(t, i);
	pthread_mutex_unlock(&t->lock);
	return d ? 0 : -ENOMEM;
}

bool inodes_close(struct inodes *t, uint64_t ino)
{
	bool reap = false;
	struct inode *i = inodes_lock_and_find(t, ino);
	struct details *d = i ? inodes_details(t, i) : NULL;
	if (d && d->nopen > 0) { /* of a kernel that counts as we do, always */
		d->nopen--;
		reap = settle(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return reap;
}

bool inodes_set_orphan(struct inodes *t, uint64_t ino, bool orphan)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	/* Without memory it stays in the store as what it is, and the next mount reaps it. */
	struct details *d = NULL;
	if (i)
		d = orphan ? inodes_need_details(t, i) : inodes_details(t, i);
	if (d) {
		set_orphan(t, d, orphan);
		inodes_trim(t, i);
	}
	pthread_mutex_unlock(&t->lock);
	return !i && orphan;
}

size_t inodes_take_orphans(struct inodes *t, uint64_t *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&t->lock);
	while (t->orphans && n < max) {
		struct inode *i = t->orphans->inode;
		set_orphan(t, t->orphans, false);
		inodes_trim(t, i);
		ret[n++] = i->ino;
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

size_t inodes_idle_orphans(struct inodes *t, uint64_t *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&t->lock);
	for (const struct details *d = t->orphans; d && n < max; d = d->orphan_next)
		if (d->nopen == 0)
			ret[n++] = d->inode->ino;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void inodes_note_suid(struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	if (i)
		i->suid = 1;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_take_suid(struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	bool suid = i && i->suid;
	if (suid)
		i->suid = 0;
	pthread_mutex_unlock(&t->lock);
	return suid;
}

void inodes_note_sgid(struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	if (i)
		i->had_sgid = 1;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_had_sgid(struct inodes *t, uint64_t ino)
{
	const struct inode *i = inodes_lock_and_find(t, ino);
	bool had = i && i->had_sgid;
	pthread_mutex_unlock(&t->lock);
	return had;
}

void inodes_note_link(struct inodes *t, uint64_t ino)
{
	struct inode *i = inodes_lock_and_find(t, ino);
	if (i)
		i->link = 1;
	pthread_mutex_unlock(&t->lock);
}

bool inodes_known(struct inodes *t, uint64_t ino)
{
	bool known = inodes_lock_and_find(t, ino);
	pthread_mutex_unlock(&t->lock);
	return known;
}

size_t inodes_count(struct inodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}

uint64_t inodes_bytes(struct inodes *t)
{
	pthread_mutex_lock(&t->lock);
	uint64_t bytes = slab_bytes(&t->inodes) + slab_bytes(&t->details) +
			 ((uint64_t)sizeof *t->buckets << t->bits);
	pthread_mutex_unlock(&t->lock);
	return bytes;
}
