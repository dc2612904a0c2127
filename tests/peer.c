#include "peer.h"

#include "cache/store/sqlite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENT "--peer"

enum op { OP_OPEN, OP_CLOSE, OP_APPLY, OP_USE, OP_POLL, OP_ORPHANS, OP_ATTR, OP_FIRST, OP_INODES };

struct request {
	enum op op;
	bool flag;
	uint64_t ino;
	char path[128];
	struct change change; /* what it points to is below */
	char name[STORE_NAME_MAX];
	char new_name[STORE_NAME_MAX];
	unsigned char data[PEER_DATA_MAX];
};

struct reply {
	int result;
	char why[SQLITE_STORE_WHY];
	struct change change;
	struct store_attr attr;
	struct store_space space;
	struct peer_told told;
	struct peer_orphans orphans;
};

struct peer {
	pid_t pid;
	int fd;
	struct request request; /* they are large */
	struct reply reply;
};

/* -- both sides ----------------------------------------------------------------------------- */

static bool send_all(int fd, const void *data, size_t len)
{
	for (const char *p = data; len > 0;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive_all(int fd, void *data, size_t len)
{
	for (char *p = data; len > 0;) {
		ssize_t n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

struct polling {
	const struct peer_used *used;
	struct peer_told *told;
};

static bool take_event(void *arg, const struct store_event *event)
{
	const struct polling *p = arg;
	if (p->told->n < PEER_EVENTS_MAX) {
		struct peer_event *e = &p->told->event[p->told->n];
		*e = (struct peer_event){event->kind, event->ino, event->first, event->last, ""};
		if (event->kind == STORE_EVENT_NAME)
			memcpy(e->name, event->name.bytes, event->name.len);
	}
	p->told->n++;
	for (unsigned i = 0; event->kind == STORE_EVENT_GONE && i < p->used->n; i++)
		if (p->used->ino[i] == event->ino)
			return true;
	return false;
}

void peer_poll_here(struct store *s, const struct peer_used *used, struct peer_told *ret)
{
	static const struct peer_used none;
	struct polling p = {used ? used : &none, ret};
	memset(ret, 0, sizeof *ret);
	ret->result = store_poll(s, take_event, &p);
}

static bool take_orphan(void *arg, uint64_t ino)
{
	struct peer_orphans *o = arg;
	if (o->n < PEER_USED_MAX)
		o->ino[o->n] = ino;
	o->n++;
	return true;
}

void peer_orphans_here(struct store *s, struct peer_orphans *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->result = store_orphans(s, take_orphan, ret);
}

/* The memory that a change of this kind points to: names, and data. */
struct pointers {
	struct change_name *name, *new_name;
	const void **data;
	size_t size;
};

static struct pointers pointers_of(struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE:
		return (struct pointers){NULL, NULL, &c->write.data, c->write.len};
	case CHANGE_CREATE:
		return (struct pointers){
			c->create.name.bytes ? &c->create.name : NULL, &c->create.target, NULL, 0};
	case CHANGE_LINK:
		return (struct pointers){&c->link.name, NULL, NULL, 0};
	case CHANGE_UNLINK:
		return (struct pointers){&c->unlink.name, NULL, NULL, 0};
	case CHANGE_RENAME:
		return (struct pointers){&c->rename.name, &c->rename.new_name, NULL, 0};
	case CHANGE_SETXATTR:
		return (struct pointers){
			&c->setxattr.name, NULL, &c->setxattr.value, c->setxattr.size};
	case CHANGE_REMOVEXATTR:
		return (struct pointers){&c->removexattr.name, NULL, NULL, 0};
	case CHANGE_SETATTR:
	case CHANGE_ALLOCATE:
	case CHANGE_COPY:
	case CHANGE_REAP:
		break;
	}
	return (struct pointers){0};
}

/* -- in the peer ---------------------------------------------------------------------------- */

struct server {
	struct store *store;
	struct peer_used used;
	struct request request;
	struct reply reply;
};

static void serve_open(struct server *v)
{
	struct sqlite_config cfg = {
		.path = v->request.path, .readonly = v->request.flag, .busy_timeout_ms = 5000};
	v->reply.result = sqlite_store_open(&cfg, &v->store, v->reply.why, sizeof v->reply.why);
}

static void serve_apply(struct server *v)
{
	struct request *q = &v->request;
	struct change *c = &q->change;
	struct pointers at = pointers_of(c);
	if (at.name)
		at.name->bytes = q->name;
	if (at.new_name)
		at.new_name->bytes = q->new_name;
	if (at.data)
		*at.data = q->data;
	v->reply.result = store_apply_one(v->store, c, false);
	if (c->kind == CHANGE_WRITE) {
		c->write.head = block_unref(c->write.head);
		c->write.tail = block_unref(c->write.tail);
	}
	v->reply.change = *c;
}

static void serve_use(struct server *v)
{
	struct peer_used *u = &v->used;
	unsigned kept = 0;
	for (unsigned i = 0; i < u->n; i++)
		if (u->ino[i] != v->request.ino)
			u->ino[kept++] = u->ino[i];
	u->n = kept;
	if (v->request.flag)
		u->ino[u->n++] = v->request.ino;
}

static void serve_first(struct server *v)
{
	static struct store_span span;
	int r = store_read(v->store, v->request.ino, 0, 1, &span);
	if (r == 0)
		r = span.count && span.blocks[0]->len ? span.blocks[0]->data[0] : 0;
	store_span_release(&span);
	v->reply.result = r;
}

static void serve(struct server *v)
{
	struct reply *a = &v->reply;
	memset(a, 0, sizeof *a);
	switch (v->request.op) {
	case OP_OPEN:
		serve_open(v);
		return;
	case OP_CLOSE:
		v->store = store_close(v->store);
		return;
	case OP_APPLY:
		serve_apply(v);
		return;
	case OP_USE:
		serve_use(v);
		return;
	case OP_POLL:
		peer_poll_here(v->store, &v->used, &a->told);
		return;
	case OP_ORPHANS:
		peer_orphans_here(v->store, &a->orphans);
		return;
	case OP_ATTR:
		a->result = store_getattr(v->store, v->request.ino, &a->attr);
		return;
	case OP_FIRST:
		serve_first(v);
		return;
	case OP_INODES:
		a->result = store_statfs(v->store, &a->space);
		return;
	}
}

void peer_main(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], ARGUMENT) != 0)
		return;
	int fd = (int)strtol(argv[2], NULL, 10);
	struct server *v = calloc(1, sizeof *v);
	if (!v)
		_exit(1);
	while (receive_all(fd, &v->request, sizeof v->request)) {
		serve(v);
		if (!send_all(fd, &v->reply, sizeof v->reply))
			break;
	}
	store_close(v->store);
	free(v);
	exit(0);
}

/* -- in the test ---------------------------------------------------------------------------- */

struct peer *peer_start(void)
{
	int fd[2];
	char number[16];
	struct peer *p = calloc(1, sizeof *p);
	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	p->fd = fd[0];
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		/* It must keep nothing of this process, least of all SQLite's files. */
		int mine = dup(fd[1]);
		snprintf(number, sizeof number, "%d", mine);
		execl("/proc/self/exe", "peer", ARGUMENT, number, (char *)NULL);
		_exit(1);
	}
	close(fd[1]);
	return p;
}

static struct peer *end(struct peer *p)
{
	int status;
	if (p->fd >= 0)
		close(p->fd);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	free(p);
	return NULL;
}

struct peer *peer_stop(struct peer *p)
{
	return p ? end(p) : NULL;
}

struct peer *peer_kill(struct peer *p)
{
	assert_int_equal(kill(p->pid, SIGKILL), 0);
	return end(p);
}

int peer_pid(const struct peer *p)
{
	return (int)p->pid;
}

void peer_suspend(struct peer *p)
{
	int status;
	assert_int_equal(kill(p->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(p->pid, &status, WUNTRACED), p->pid);
	assert_true(WIFSTOPPED(status));
}

void peer_resume(struct peer *p)
{
	assert_int_equal(kill(p->pid, SIGCONT), 0);
}

static int call(struct peer *p, enum op op)
{
	p->request.op = op;
	if (!send_all(p->fd, &p->request, sizeof p->request) ||
		!receive_all(p->fd, &p->reply, sizeof p->reply))
		fail_msg("the peer has died");
	return p->reply.result;
}

void peer_open(struct peer *p, const char *path, bool readonly)
{
	snprintf(p->request.path, sizeof p->request.path, "%s", path);
	p->request.flag = readonly;
	if (call(p, OP_OPEN) < 0)
		fail_msg("%s", p->reply.why);
}

void peer_close(struct peer *p)
{
	call(p, OP_CLOSE);
}

int peer_apply(struct peer *p, struct change *c)
{
	struct request *q = &p->request;
	struct pointers at = pointers_of(c);
	assert_true(at.size <= sizeof q->data);
	if (at.name)
		memcpy(q->name, at.name->bytes, at.name->len);
	if (at.new_name && at.new_name->len)
		memcpy(q->new_name, at.new_name->bytes, at.new_name->len);
	if (at.data)
		memcpy(q->data, *at.data, at.size);
	q->change = *c;
	int r = call(p, OP_APPLY);
	*c = p->reply.change;
	return r;
}

void peer_use(struct peer *p, uint64_t ino, bool used)
{
	p->request.ino = ino;
	p->request.flag = used;
	call(p, OP_USE);
}

void peer_poll(struct peer *p, struct peer_told *ret)
{
	call(p, OP_POLL);
	*ret = p->reply.told;
}

void peer_orphans(struct peer *p, struct peer_orphans *ret)
{
	call(p, OP_ORPHANS);
	*ret = p->reply.orphans;
}

int peer_getattr(struct peer *p, uint64_t ino, struct store_attr *ret)
{
	p->request.ino = ino;
	int r = call(p, OP_ATTR);
	if (r == 0)
		*ret = p->reply.attr;
	return r;
}

int peer_first(struct peer *p, uint64_t ino)
{
	p->request.ino = ino;
	return call(p, OP_FIRST);
}

int peer_inodes(struct peer *p, uint64_t *ret)
{
	int r = call(p, OP_INODES);
	if (r == 0)
		*ret = p->reply.space.inodes;
	return r;
}
