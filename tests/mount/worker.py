"""Workers that know every answer: `from worker import *`. Each has a directory of its own in a mount,
and parts of files that all share; it does one thing after the other to them, drawn at random, and
remembers what was acknowledged and what is under way. So what a store holds afterwards, whatever
became of the mount, is exactly what was acknowledged, with or without all of the one thing that was
under way."""
import itertools
import random
import struct
import threading

from lib import *

SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
# Whatever is waited for takes much less: past this somebody hangs.
HANGS = 60 * float(os.environ.get("RFS_TIMEOUT_FACTOR", "1"))
# What requests may say when their mount is being taken away.
LOST = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
FILES = ("a", "b", "c", "d", "e")
DIRS = ((), ("x",), ("y",), ("x", "z"))
CELLS = 400
SIZE_MAX = 300000
OPEN_MAX = 6


class Node:
    """A file, a directory, a symlink or a FIFO: what can be seen of it. Times are not looked at."""

    def __init__(self, kind, mode, target=None):
        self.kind, self.mode, self.target = kind, mode, target
        self.data, self.xattrs = bytearray(), {}

    def facts(self):
        return (self.kind, self.mode, self.target or bytes(self.data), tuple(sorted(self.xattrs.items())))


class Handle:
    def __init__(self, fd, node, append):
        self.fd, self.node, self.append = fd, node, append


def found_in(top):
    """What is there: path -> what Node.facts() says, and the paths of the same inode."""
    found, inodes = {}, {}

    def look(path, where):
        st = os.lstat(where)
        kind, content = stat.S_IFMT(st.st_mode), b""
        if kind == stat.S_IFREG:
            content = where.read_bytes()
            same(st.st_size, len(content), f"{path}: its size")
        elif kind == stat.S_IFLNK:
            content = os.fsencode(os.readlink(where))
        xattrs = () if kind == stat.S_IFLNK else tuple(sorted(
            (name, os.getxattr(where, name)) for name in os.listxattr(where)))
        found[path] = (kind, stat.S_IMODE(st.st_mode), content, xattrs)
        inodes.setdefault(st.st_ino, (st.st_nlink, []))[1].append(path)
        if kind == stat.S_IFDIR:
            for name in os.listdir(where):
                look((*path, name), where / name)

    look((), top)
    for nlink, paths in inodes.values():
        if found[paths[0]][0] != stat.S_IFDIR:
            same(nlink, len(paths), f"{paths}: the number of links")
    return found, {frozenset(paths) for _, paths in inodes.values()}


class Worker:
    """`top` is its mount, which may be another one each time it starts."""

    def __init__(self, who, top):
        self.who, self.top, self.rng = who, top, random.Random(SEED * 1000 + who)
        self.names = {(): Node(stat.S_IFDIR, 0o755)}
        self.handles, self.lines, self.token = [], [], None
        self.cells = dict.fromkeys(range(who, CELLS, 16), 0)
        self.pending = None  # where (tree, log, cells), and what makes it acknowledged
        self.steps = self.landed = 0
        self.thread = self.error = None
        self.stop = self.doomed = False

    # --- its life

    def start(self):
        self.stop = self.doomed = False
        self.pending = self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stop:
                self.step()
        except OSError as error:
            if not self.doomed or error.errno not in LOST:
                self.error = error
        except BaseException as error:
            self.error = error

    def end(self):
        """Waits until it has ended; its error is the test's."""
        self.stop = True
        self.thread.join(HANGS)
        assert not self.thread.is_alive(), f"worker {self.who} hangs"
        if self.error:
            raise self.error

    def lose_handles(self):
        """Those of a mount that is dead, or shall go."""
        while self.handles:
            try:
                os.close(self.handles.pop().fd)
            except OSError as error:  # the descriptor is closed all the same
                if not self.doomed or error.errno not in LOST:
                    raise

    def orphans(self):
        """Inodes without a name that it has open."""
        named = set(map(id, self.names.values()))
        return len({id(h.node) for h in self.handles} - named)

    def inodes(self):
        return len(set(map(id, self.names.values()))) + self.orphans()

    # --- one thing, and its answer

    def done(self, where, call, effect):
        self.pending = (where, effect)
        call()
        effect()
        self.pending = None

    def tree(self, call, effect):
        self.done("tree", call, effect)

    def step(self):
        self.rng.choice(self.KINDS)(self)
        self.steps += 1

    def path(self, path):
        return os.path.join(self.top, f"w{self.who}", *path)

    def free(self, names=FILES):
        """A path in one of the directories that there are, and what it is."""
        parent = self.rng.choice([d for d in DIRS if d in self.names])
        path = (*parent, self.rng.choice(names))
        return path, self.names.get(path)

    def pick(self, kind=stat.S_IFREG):
        return self.rng.choice([(None, None)] + [(p, n) for p, n in self.names.items()
                                                 if p and n.kind == kind])

    def data(self):
        n = self.rng.choice((1, 50, 4096, 5000, 70000, 200000))
        return self.rng.randbytes(self.rng.randrange(1, n + 1))

    def offset(self, node):
        at = self.rng.randrange(min(len(node.data), SIZE_MAX - 200000) + 10000)
        return at if self.rng.random() < 0.5 else at - at % 4096

    # --- names

    def set_name(self, path, node):
        self.names[path] = node

    def take_name(self, path):
        del self.names[path]

    def move(self, old, new):
        self.names.update({new + p[len(old):]: self.names.pop(p)
                           for p in [p for p in self.names if p[:len(old)] == old]})

    def create(self):
        path, node = self.free()
        if node:
            return self.unlink()
        node = Node(stat.S_IFREG, self.rng.choice((0o600, 0o644)))
        fds = []
        self.tree(lambda: fds.append(os.open(
            self.path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, node.mode)),
            lambda: self.set_name(path, node))
        self.keep(Handle(fds[0], node, False))
        return None

    def make(self):
        kind = self.rng.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR))
        if kind == stat.S_IFDIR:
            path = self.rng.choice(DIRS[1:])
            node = Node(kind, 0o755)
            if path in self.names or path[:-1] not in self.names:
                return self.rmdir()
            return self.tree(lambda: os.mkdir(self.path(path)), lambda: self.set_name(path, node))
        path, old = self.free()
        if old:
            return self.unlink()
        if kind == stat.S_IFLNK:
            node = Node(kind, 0o777, self.rng.randbytes(self.rng.randrange(1, 300)).hex().encode())
            return self.tree(lambda: os.symlink(node.target, self.path(path)),
                             lambda: self.set_name(path, node))
        node = Node(kind, 0o600)
        return self.tree(lambda: os.mkfifo(self.path(path), node.mode),
                         lambda: self.set_name(path, node))

    def unlink(self):
        path, node = self.free()
        if node:
            self.tree(lambda: os.unlink(self.path(path)), lambda: self.take_name(path))

    def rmdir(self):
        path = self.rng.choice(DIRS[1:])
        if path in self.names and not any(p[:-1] == path for p in self.names if p):
            self.tree(lambda: os.rmdir(self.path(path)), lambda: self.take_name(path))

    def link(self):
        old, node = self.pick()
        new, there = self.free()
        if node and not there:
            self.tree(lambda: os.link(self.path(old), self.path(new)),
                      lambda: self.set_name(new, node))

    def rename(self):
        """Over what is there, too; two names of one inode stay as they are."""
        old, node = self.free()
        new, there = self.free()
        if self.rng.random() < 0.2:
            (old, new), there = self.rng.sample((("x",), ("y",)), 2), None
            node = self.names.get(old)
            if new in self.names:
                return
        if node and node is not there and old != new:
            self.tree(lambda: os.rename(self.path(old), self.path(new)),
                      lambda: self.move(old, new))

    def exchange(self):
        old, node = self.free()
        new, there = self.free()
        if node and there and node is not there:
            def swap():
                self.names[old], self.names[new] = there, node

            self.tree(lambda: renameat2(self.path(old), self.path(new), 2), swap)

    # --- data

    def keep(self, handle):
        self.handles.append(handle)
        if len(self.handles) > OPEN_MAX:
            os.close(self.handles.pop(self.rng.randrange(OPEN_MAX)).fd)

    def open(self):
        path, node = self.pick()
        if not node:
            return
        append, trunc = self.rng.random() < 0.3, self.rng.random() < 0.2
        flags = os.O_RDWR | os.O_APPEND * append | os.O_TRUNC * trunc
        flags |= self.rng.choice((0, 0, 0, os.O_SYNC))
        fds = []
        self.tree(lambda: fds.append(os.open(self.path(path), flags)),
                  lambda: trunc and node.data.clear())
        self.keep(Handle(fds[0], node, append))

    def handle(self):
        if not self.handles:
            self.open()
        return self.rng.choice(self.handles) if self.handles else None

    def write(self):
        handle = self.handle()
        if not handle:
            return
        node, data = handle.node, self.data()
        if handle.append and len(node.data) + len(data) > SIZE_MAX:
            return self.truncate()
        at = len(node.data) if handle.append else self.offset(node)
        self.tree(lambda: same(len(data), os.write(handle.fd, data) if handle.append
                               else os.pwrite(handle.fd, data, at)),
                  lambda: replace(node, at, data))

    def truncate(self):
        handle = self.handle()
        path, node = self.pick()
        if self.rng.random() < 0.5 and handle:
            node = handle.node
            size = self.offset(node)
            self.tree(lambda: os.ftruncate(handle.fd, size), lambda: resize(node, size))
        elif node:
            size = self.offset(node)
            self.tree(lambda: os.truncate(self.path(path), size), lambda: resize(node, size))

    def allocate(self):
        handle = self.handle()
        if not handle:
            return
        node, at, n = handle.node, self.offset(handle.node), self.rng.randrange(1, 50000)
        mode = self.rng.choice((0, 1, 3, 0x10, 0x11))

        def effect():
            if mode in (0, 0x10):
                resize(node, max(len(node.data), at + n))
            if mode & 0x12:
                replace(node, at, bytes(max(0, min(n, len(node.data) - at))))

        self.tree(lambda: fallocate(handle.fd, mode, at, n), effect)

    def copy(self):
        source, target = self.handle(), self.handle()
        if not source or source.node is target.node or target.append or not source.node.data:
            return
        at, to = self.rng.randrange(len(source.node.data)), self.offset(target.node)
        data = bytes(source.node.data[at:at + self.rng.randrange(1, 100000)])
        self.tree(lambda: same(len(data), os.copy_file_range(
            source.fd, target.fd, len(data), at, to)), lambda: replace(target.node, to, data))

    def sync(self):
        handle = self.handle()
        if handle:
            os.fsync(handle.fd)

    def read(self):
        """What was acknowledged is what is read, by its name and by a handle."""
        path, node = self.pick()
        if node:
            same(bytes(node.data), pathlib.Path(self.path(path)).read_bytes(), f"worker {self.who}, {path}")
        handle = self.handle()
        if handle:
            same(bytes(handle.node.data), os.pread(handle.fd, SIZE_MAX + 200000, 0), f"worker {self.who}, a handle")

    def attributes(self):
        path, node = self.rng.choice([(p, n) for p, n in self.names.items()
                                      if n.kind != stat.S_IFLNK])
        name, value = self.rng.choice(("user.p", "user.q")), self.rng.randbytes(self.rng.randrange(600))
        what = self.rng.random()
        if what < 0.4 and path:
            mode = self.rng.choice((0o600, 0o640, 0o755))
            self.tree(lambda: os.chmod(self.path(path), mode), lambda: setattr(node, "mode", mode))
        elif node.kind in (stat.S_IFREG, stat.S_IFDIR):
            if what < 0.6 and name in node.xattrs:
                self.tree(lambda: os.removexattr(self.path(path), name),
                          lambda: node.xattrs.pop(name))
            else:
                self.tree(lambda: os.setxattr(self.path(path), name, value),
                          lambda: node.xattrs.update({name: value}))

    # --- what all share

    def log(self):
        line = f"{self.who} {self.steps} {'.' * self.rng.choice((0, 100, 5000))}\n".encode()
        fd = os.open(self.top / "log", os.O_WRONLY | os.O_APPEND)
        try:
            self.done("log", lambda: same(len(line), os.write(fd, line)),
                      lambda: self.lines.append(line))
        finally:
            os.close(fd)

    def count(self):
        number = self.rng.choice(list(self.cells))
        value = self.cells[number] + 1
        fd = os.open(self.top / "cells", os.O_WRONLY)
        try:
            self.done("cells", lambda: same(8, os.pwrite(fd, struct.pack("<II", number, value),
                                                         8 * number)),
                      lambda: self.cells.update({number: value}))
        finally:
            os.close(fd)

    def replace_token(self):
        """A file of its own becomes the one that all replace."""
        path, node = self.pick()
        if node and sum(other is node for other in self.names.values()) == 1 \
                and not any(h.node is node for h in self.handles):
            def effect():
                self.take_name(path)
                self.token = node

            self.tree(lambda: os.rename(self.path(path), self.top / "token"), effect)

    KINDS = ([write] * 6 + [create, create, open, log, log, count, count, rename, rename, unlink]
             + [truncate] * 2 + [make, link, exchange, allocate, copy, attributes, attributes, read, sync,
                                 rmdir, replace_token])

    # --- the judgement

    def judge(self, top):
        """Its directory below this mount is as acknowledged, or as if what is under way were."""
        where, effect = self.pending or (None, None)
        found = found_in(top / f"w{self.who}")
        if where == "tree" and found != self.wanted():
            effect()
            self.pending = None
            self.landed += 1
        wanted = self.wanted()
        for path in sorted(wanted[0].keys() | found[0].keys()):
            same(wanted[0].get(path), found[0].get(path), f"worker {self.who}, {path}")
        same(wanted[1], found[1], f"worker {self.who}, names of one inode")

    def wanted(self):
        paths = {}
        for path, node in self.names.items():
            paths.setdefault(id(node), []).append(path)
        return ({path: node.facts() for path, node in self.names.items()},
                {frozenset(p) for p in paths.values()})

    def judge_shared(self, log, cells):
        where, effect = self.pending or (None, None)
        own = [line for line in log.splitlines(keepends=True) if line.startswith(b"%d " % self.who)]
        if where == "log" and len(own) > len(self.lines):
            effect()
            self.landed += 1
        for i, pair in enumerate(itertools.zip_longest(self.lines, own)):
            same(*pair, f"worker {self.who}, line {i} of the log")
        for number, value in self.cells.items():
            cell = struct.unpack_from("<II", cells, 8 * number)
            if where == "cells" and cell == (number, value + 1):
                effect()
                self.landed += 1
                value += 1
                where = None
            same((number, value) if value else (0, 0), cell, f"worker {self.who}, cell {number}")


def replace(node, at, data):
    if data:
        resize(node, max(len(node.data), at))
        node.data[at:at + len(data)] = data


def resize(node, size):
    del node.data[size:]
    node.data.extend(bytes(size - len(node.data)))


def make_shared(top, workers):
    """What workers need in a new store."""
    (top / "log").touch()
    (top / "cells").write_bytes(bytes(8 * CELLS))
    for worker in workers:
        os.mkdir(top / f"w{worker.who}")


def judge_all(workers, top):
    """Everybody's, as this mount shows it. Nobody works meanwhile."""
    for worker in workers:
        worker.judge(top)
    log, cells = (top / "log").read_bytes(), (top / "cells").read_bytes()
    for worker in workers:
        worker.judge_shared(log, cells)
        worker.pending = None
    same(sorted(line for w in workers for line in w.lines), sorted(log.splitlines(keepends=True)),
         "the lines of the log")
    # The last one that replaced it is the last of somebody.
    if any(w.token for w in workers):
        st, content = os.stat(top / "token"), (top / "token").read_bytes()
        assert (stat.S_IMODE(st.st_mode), content) in [
            (w.token.mode, bytes(w.token.data)) for w in workers if w.token], "nobody's token"


def judge_inodes(workers, but_directories=False):
    """There are no inodes and no orphans but what is named or open, soon. A mount that goes on may
    keep directories that another one has deleted: by what its kernel knows of names in them."""
    named = len(("the root", "log", "cells")) + any(w.token for w in workers)
    wanted = (named + sum(w.inodes() for w in workers), sum(w.orphans() for w in workers))
    orphan = "nlink = 0" + " AND mode & 61440 <> 16384" * but_directories
    db = sqlite3.connect(STORE, isolation_level=None, timeout=HANGS)

    def found():
        # A dead mount may have claimed what a living one has open: that goes with it.
        return db.execute(
            f"SELECT count(*) FILTER (WHERE nlink > 0 OR {orphan}), count(*) FILTER (WHERE {orphan}),"
            f" (SELECT count(*) FROM orphan WHERE ino NOT IN (SELECT ino FROM inode)) FROM inode"
        ).fetchone()

    try:
        poll("nothing is left of what was deleted", lambda: found() == (*wanted, 0), HANGS / 2)
    except AssertionError:
        same((*wanted, 0), (*found(), db.execute(
            "SELECT orphan.ino, pid, printf('%o', mode) FROM orphan LEFT JOIN mount ON mount = id"
            " LEFT JOIN inode ON inode.ino = orphan.ino").fetchall()), "inodes, orphans")
    finally:
        db.close()
