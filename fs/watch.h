/*
 * The watcher: the thread that asks the store what others have changed (store_poll), and has the
 * kernel drop it. The cache below has dropped it already when the watcher hears of it.
 *
 *   event  the kernel drops                      and besides
 *   ATTR   attributes
 *   DATA   attributes, the pages of the blocks
 *   NAME   the entry; the directory's attributes
 *          and what it keeps of the listing
 *   GONE   attributes                            an inode in use here is an orphan of this mount
 *   ALL    all entries, all of every inode
 *
 * A reply that is on its way when an event comes may carry what was read before the change, and
 * reach the kernel after the notification. For pages and for attributes that were asked for the
 * kernel orders that itself; for those that come with the answer to a change, for the time that
 * an entry holds, and for listings it does not. So a reply that was begun before the last
 * event lets the kernel keep nothing (reply_begin); and for those that had just left, the entries
 * are dropped once more on the next tick, and so are inodes that were answered lately: the echo.
 *
 * It polls when the store is seen to be written to (store_poll_fd), and twice in each
 * options.watch_ns in any case, the tick; when that is 0, once a second, and only for GONE: the
 * TTL alone says then how old a read may be. It holds no lock while it does. When the store fails
 * it goes on, and says so once a minute at most.
 *
 * It also looks for orphans that nobody uses any more, those of mounts that died: when it knows
 * that there may be some, after a second, then less and less often. And, since it ticks, it keeps
 * the mount's history (past.h).
 */
#pragma once

#include "fs.h"

struct watch;

/* Everything in `fs` must be there and stay. -ENOMEM, -EAGAIN, -EMFILE. */
int watch_start(struct fs *fs, struct watch **ret) MUST_CHECK NONNULL(1, 2);

/* Ends the thread, at once unless the store keeps it waiting, and frees it. Before the notifier,
 * the reaper and the store are stopped. Takes NULL. Returns NULL. */
struct watch *watch_stop(struct watch *w);
