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

#include <poll.h>
#include <string.h>
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

static bool says_ignored(const char *events, ssize_t len)
{
	bool ignored = false;
	for (ssize_t at = 0; at < len;) {
		struct inotify_event event;
		memcpy(&event, events + at, sizeof event);
		ignored |= (event.mask & IN_IGNORED) != 0;
		at += (ssize_t)(sizeof event + event.len);
	}
	return ignored;
}

/* Takes in that it has gone off. That is two events, the second one, IN_IGNORED, right after the
 * first: left behind, it would look like another write. */
static void take_in(struct sqlite_store *s)
{
	struct pollfd fd = {.fd = s->notice, .events = POLLIN};
	char events[256];
	int wait_ms = 0;
	while (poll(&fd, 1, wait_ms) > 0) {
		ssize_t n = read(s->notice, events, sizeof events);
		if (n <= 0)
			return;
		s->notice_armed = false;
		wait_ms = says_ignored(events, n) ? 0 : 1;
	}
}

void sq_notice_arm(struct sqlite_store *s)
{
	if (s->notice < 0)
		return;
	take_in(s);
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
