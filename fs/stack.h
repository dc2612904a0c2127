/*
 * The stack of stores under a mount. stack.c is the only file that knows every layer.
 */
#pragma once

#include "cache/store/meter.h"
#include "cache/store/store.h"
#include "options.h"

/* Can the options be fulfilled? Looks at what the layers have to say to their part of them and
 * opens nothing. -EINVAL with a line in errmsg. */
int stack_check(const struct options *o, char *errmsg, size_t errmsg_size) MUST_CHECK NONNULL(1, 2);

/*
 * Opens the store and puts the layers on it, one of which measures it into `meter`, which must stay
 * until the close. `before_blocking` is called by any thread that is about to wait for the store.
 * *ret_created: the store's file was made by this call, see stack_remove(). store_close() takes all
 * of it down. A negative errno with a line in errmsg.
 */
int stack_open(const struct options *o, struct meter *meter, void (*before_blocking)(void *arg),
	struct store **ret, bool *ret_created, char *errmsg, size_t errmsg_size) MUST_CHECK
	NONNULL(1, 2, 4, 5, 6);

/* Removes the files of a closed store that was made in vain, unless somebody else uses it. */
void stack_remove(const struct options *o) NONNULL(1);

/* While it is in use, any thread. Has the layers follow what can be changed in `o` (settings.h):
 * cache_set(). */
int stack_set(struct store *store, const struct options *o) MUST_CHECK NONNULL(1, 2);

/* Nothing that is cached of an inode, or nothing at all, is used any more: cache_forget(). */
void stack_forget(struct store *store, uint64_t ino) NONNULL(1);
void stack_forget_all(struct store *store) NONNULL(1);

/* What is cached, in pieces: cache_walk(). */
struct blocks_seen;
size_t stack_walk(struct store *store, uint64_t *cursor, struct blocks_seen *ret,
	size_t max) MUST_CHECK NONNULL(1, 2, 3);

/* Fills the cache: cache_warm(). A session of 0 begins one. */
struct stack_warmed {
	uint16_t session;
	uint32_t blocks;
	uint32_t kept;
	bool full;
	bool never; /* its TTL, or the size of the cache, is 0 */
};
int stack_warm(struct store *store, uint64_t ino, uint64_t first, uint32_t count, uint16_t session,
	struct stack_warmed *ret) MUST_CHECK NONNULL(1, 6);
