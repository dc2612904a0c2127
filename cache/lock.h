/*
 * A mutex that clang's -Wthread-safety knows of: functions say REQUIRES(x->lock), and a call
 * without the lock does not compile. Under gcc it is a pthread mutex and nothing more.
 */
#pragma once

#include "cache/store/compiler.h"

#include <pthread.h>
#include <time.h>

struct CAPABILITY("mutex") lock {
	pthread_mutex_t mutex;
};

static inline void lock_init(struct lock *l)
{
	pthread_mutex_init(&l->mutex, NULL);
}

static inline void lock_destroy(struct lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

static inline void lock_acquire(struct lock *l) ACQUIRE(l) NO_THREAD_SAFETY_ANALYSIS;
static inline void lock_acquire(struct lock *l)
{
	pthread_mutex_lock(&l->mutex);
}

static inline void lock_release(struct lock *l) RELEASE(l) NO_THREAD_SAFETY_ANALYSIS;
static inline void lock_release(struct lock *l)
{
	pthread_mutex_unlock(&l->mutex);
}

/* Waits for `cond` without the lock and has it again on return; may return early. */
static inline void lock_wait(struct lock *l, pthread_cond_t *cond) REQUIRES(l);
static inline void lock_wait(struct lock *l, pthread_cond_t *cond)
{
	pthread_cond_wait(cond, &l->mutex);
}

/* The same, until `deadline` of the condition's clock at the latest. */
static inline void lock_wait_until(
	struct lock *l, pthread_cond_t *cond, const struct timespec *deadline) REQUIRES(l);
static inline void lock_wait_until(
	struct lock *l, pthread_cond_t *cond, const struct timespec *deadline)
{
	pthread_cond_timedwait(cond, &l->mutex, deadline);
}
