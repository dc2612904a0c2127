/*
 * Noticing that somebody writes, without asking again and again: every transaction begins with a
 * write(2) to the log, and inotify(7) tells of one.
 *
 * It goes off once (IN_ONESHOT) and is armed again by the next poll, so a mount that writes all the
 * time pays for one event each poll and not for one each write. It goes off at the first write
 * of a transaction, before its commit, and for writes of our own as well: it says when to look, not
 * what happened. Where there is none (no inotify, its limits reached) the watcher's own interval
 * has to do.
 */

#include "sqlite_internal.h"

#include <sys/inotify.h>
#include <unistd.h>

static void arm(struct sqlite_store *s)
{
	char *log = sqlite3_mprintf("%s-wal", s->path);
	s->notice_armed = log && inotify_add_watch(s->notice, log, IN_MODIFY | IN_ONESHOT) >= 0;
	sqlite3_free(log);
}

void sq_notice_open(struct sqlite_store *s)
{
	s->notice = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

void sq_notice_arm(struct sqlite_store *s)
{
	_Alignas(struct inotify_event) char events[256];
	if (s->notice < 0)
		return;
	while (read(s->notice, events, sizeof events) > 0)
		s->notice_armed = false;
	if (!s->notice_armed)
		arm(s);
}

void sq_notice_close(struct sqlite_store *s)
{
	if (s->notice >= 0)
		close(s->notice);
	s->notice = -1;
}

int sq_poll_fd(struct store *store)
{
	return sq_store(store)->notice;
}
