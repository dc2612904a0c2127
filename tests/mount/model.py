"""What the scenarios model-*.py share: two mounts and an SQL client do one thing after the other
to a store, drawn at random, and a model in memory says what each of them may give.

After each change the whole store is read as an SQL client finds it, and must be what the model
makes of the change: no more and no less, or nothing at all if the change was refused. From what is
different then come histories: of each name, each block, the attributes of each inode, ... all the
values that it had, with when that was acknowledged, and to whom. What a mount reads must be a value
of the history: not older than the bound of its options allows, and not older than the last change
that was acknowledged to that mount itself.
"""
import collections
import dataclasses
import itertools

from several import *

BLOCK = 4096
PAGES = 6  # that are mapped of a file
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
NAMES = ("a", "b", "c", "d", "e\u00e9", b"\xff\xfe".decode("utf-8", "surrogateescape"))
SQL = "sql"
LONGEST = 60  # no bound is longer
NOW = -1  # a time that the change sets
# Seconds that may go by before a mount has noticed a change, past its `watch`: machines are busy.
ALLOWANCE = float(os.environ.get("RFS_ALLOWANCE", 2 * HANGS / 60))


@dataclasses.dataclass(frozen=True)
class Node:
    mode: int
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    mtime: int = 0
    ctime: int = 0
    content: bytes = b""
    target: bytes = None
    xattrs: tuple = ()

    def is_dir(self):
        return stat.S_ISDIR(self.mode)

    def is_file(self):
        return stat.S_ISREG(self.mode)

    def size(self):
        return len(self.content if self.is_file() else self.target or b"")

    def attr(self):
        return {"mode": self.mode, "uid": self.uid, "gid": self.gid, "nlink": self.nlink,
                "size": self.size(), "mtime_ns": self.mtime, "ctime_ns": self.ctime}


NOTHING = Node(0, nlink=0)


@dataclasses.dataclass
class State:
    nodes: dict
    names: dict  # (directory, name) -> inode

    def copy(self):
        return State(dict(self.nodes), dict(self.names))

    def change(self, ino, **members):
        self.nodes[ino] = dataclasses.replace(self.nodes[ino], **members)

    def entries(self, ino):
        return [name for parent, name in self.names if parent == ino]


def load(db):
    """The state of the store, by docs/store-format.md alone."""
    db.execute("BEGIN")
    try:
        content, xattrs, nodes = {}, collections.defaultdict(list), {}
        inodes = db.execute("SELECT ino, mode, uid, gid, nlink, size, mtime, ctime, target"
                            " FROM inode").fetchall()
        for ino, *_, size, _, _, _ in inodes:
            content[ino] = bytearray(size)
        for key, data in db.execute("SELECT key, data FROM block"):
            at = (key & (1 << 30) - 1) * BLOCK
            assert at + len(data) <= len(content[key >> 30]), "data past the end of a file"
            content[key >> 30][at:at + len(data)] = data
        for ino, name, value in db.execute("SELECT ino, name, value FROM xattr"):
            xattrs[ino].append((bytes_of(name), bytes(value)))
        for ino, mode, uid, gid, nlink, size, mtime, ctime, target in inodes:
            nodes[ino] = Node(mode, uid, gid, nlink, mtime, ctime,
                              bytes(content[ino]) if stat.S_ISREG(mode) else b"",
                              None if target is None else bytes_of(target), tuple(sorted(xattrs[ino])))
        names = {(parent, os.fsdecode(bytes_of(name))): ino
                 for parent, name, ino in db.execute("SELECT parent, name, ino FROM dentry")}
        return State(nodes, names)
    finally:
        db.execute("COMMIT")


def bytes_of(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def facts(state):
    """Everything that can be read of a state, one by one."""
    found = {("name", *key): ino for key, ino in state.names.items()}
    for ino, node in state.nodes.items():
        for name, value in node.attr().items():
            found[name, ino] = value
        found["xattrs", ino] = node.xattrs
        if node.target is not None:
            found["target", ino] = node.target
        for at in range(0, len(node.content), BLOCK):
            found["block", ino, at // BLOCK] = node.content[at:at + BLOCK].ljust(BLOCK, b"\0")
    return found


ABSENT = {"name": None, "block": bytes(BLOCK)}


class Histories:
    """Of each fact the values that it had, oldest first: (acknowledged when, to whom, value)."""

    def __init__(self, state):
        self.now = facts(state)
        self.of = {key: [(0.0, None, value)] for key, value in self.now.items()}

    def update(self, state, actor, at, sure, moved=None):
        """Not `sure`: the mount may have changed, or moved, another inode than it took it for.
        `moved`: what it may have taken it for, under the keys of names that it has now."""
        new = facts(state)
        for key in new.keys() | self.now.keys():
            default = ABSENT.get(key[0])
            value = new.get(key, default)
            if value != self.now.get(key, default) or key not in self.of:
                if value is None and key[0] not in ABSENT:
                    continue  # the inode is gone: what was known of it stays
                history = self.of.setdefault(
                    key, [(0.0, None, default)] if key[0] in ABSENT else [])
                history.append((at, actor if sure else None, value))
                while len(history) > 1 and history[1][0] < at - LONGEST:
                    del history[0]
        for key, inodes in (moved or {}).items() if not sure else ():
            history = self.of.setdefault(key, [(0.0, None, None)])
            _, _, value = history.pop()
            history += [(at, None, ino) for ino in inodes - {value}] + [(at, None, value)]
        self.now = new

    def allowed(self, key, mount, start, bound):
        """The values that this mount may show, oldest first, with when each ceased to be true."""
        history = self.of.get(key, [(0.0, None, ABSENT.get(key[0]))])
        first = max((i for i, (at, actor, _) in enumerate(history)
                     if at <= start - bound or actor is mount), default=0)
        until = [at for at, _, _ in history[first + 1:]] + [None]
        return [(value, end) for (_, _, value), end in zip(history[first:], until)]


class Lag:
    """How late this machine wakes up who sleeps: what a bound in real time cannot be held to."""

    def __init__(self):
        self.worst = mmap.mmap(-1, 8)
        self.parent = os.getpid()
        child(self.measure)

    def measure(self):
        while os.getppid() == self.parent:
            start = time.monotonic()
            time.sleep(0.005)
            late = time.monotonic() - start - 0.005
            if late > self():
                self.worst[:] = struct.pack("d", late)

    def __call__(self):
        return struct.unpack("d", self.worst[:])[0]


class Mapping:
    """PAGES pages of a file, as long as it may be. Reading past its end says nothing, not SIGBUS."""

    def __init__(self, fd):
        libc.mmap.restype = ctypes.c_void_p
        self.at = libc.mmap(None, ctypes.c_size_t(PAGES * BLOCK), 1, mmap.MAP_SHARED, fd,
                            ctypes.c_int64(0))
        assert self.at not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
        self.copy = os.memfd_create("copy")

    def page(self, number):
        at = ctypes.c_void_p(self.at + number * BLOCK)
        n = libc.pwrite(self.copy, at, ctypes.c_size_t(BLOCK), ctypes.c_int64(0))
        if n == BLOCK:
            return os.pread(self.copy, BLOCK, 0)
        same(errno.EFAULT, ctypes.get_errno())
        return None

    def close(self):
        libc.munmap(ctypes.c_void_p(self.at), ctypes.c_size_t(PAGES * BLOCK))
        os.close(self.copy)


@dataclasses.dataclass
class Handle:
    fd: int
    ino: int
    flags: int
    mapping: Mapping = None

    def close(self):
        if self.mapping:
            self.mapping.close()
        os.close(self.fd)


class Mount:
    """One of the two mounts, with what is open in it."""

    def __init__(self, name, ttl, watch, lag):
        self.options = ["-o", f"sync=standard,cache_ttl={ttl},watch={watch}"]
        self.ttl, self.watch, self.lag = ttl, watch, lag
        self.daemon = Daemon(*self.options, mnt=T / name)
        self.top, self.name, self.handles, self.worst = T / name, name, [], (0.0, None)

    def bound(self, mapped):
        """How old may be what it shows: a mapping is read without anybody being asked."""
        by_ttl = self.ttl + 0.1 + self.lag() if self.ttl or mapped else 0
        return min(by_ttl, self.watch / 1000 + ALLOWANCE) if self.watch else by_ttl

    def path(self, path):
        return os.path.join(os.fsencode(self.top), *map(os.fsencode, path))


FILES = ("a", "b", "c", "d\u00e9", os.fsdecode(b"\xff\xfe"))
DIRS = ((), ("d0",), ("d1",), ("d0", "e"), ("d1", "e"))
LINKS = ("s0", "s1")
EVERY_NAME = FILES + LINKS + ("d0", "d1", "e")


class Changes:
    """What each change makes of a state; each returns (errno, new state) or several such pairs: one
    for each thing that the names may still be for a mount. `seen` is what the name is for the
    kernel that asks, the store goes by what it is now."""

    def __init__(self, state):
        self.state = state

    def new(self, parent, name, seen, node, code=errno.EEXIST):
        state = self.state
        if seen or (parent, name) in state.names:
            return code, state
        if state.nodes.get(parent, NOTHING).nlink == 0:
            return errno.ENOENT, state
        new = state.copy()
        new.nodes["new"] = dataclasses.replace(node, mtime=NOW if node.mtime == 0 else node.mtime,
                                               ctime=NOW)
        new.names[parent, name] = "new"
        new.change(parent, mtime=NOW, ctime=NOW,
                   nlink=new.nodes[parent].nlink + node.is_dir())
        return 0, new

    def remove(self, parent, name, seen):
        state = self.state
        ino = state.names.get((parent, name))
        if not seen or not ino:
            return errno.ENOENT, state
        node = state.nodes[ino]
        if node.is_dir() and state.entries(ino):
            return errno.ENOTEMPTY, state
        new = state.copy()
        del new.names[parent, name]
        new.change(ino, nlink=0 if node.is_dir() else node.nlink - 1, ctime=NOW,
                   mtime=NOW if node.is_dir() else node.mtime)
        new.change(parent, mtime=NOW, ctime=NOW, nlink=new.nodes[parent].nlink - node.is_dir())
        return 0, new

    def move(self, parent, name, seen, to_parent, to_name, to_seen):
        state = self.state
        ino, other = state.names.get((parent, name)), state.names.get((to_parent, to_name))
        if seen and seen == to_seen:
            return 0, state  # the kernel does not even ask
        if not seen or not ino:
            return errno.ENOENT, state
        if ino == other:
            return 0, state
        if state.nodes.get(to_parent, NOTHING).nlink == 0:
            return errno.ENOENT, state
        new, node = state.copy(), state.nodes[ino]
        if other:
            code, new = Changes(state).remove(to_parent, to_name, other)
            if code:
                return code, state
        del new.names[parent, name]
        new.names[to_parent, to_name] = ino
        new.change(ino, ctime=NOW)
        for directory, more in ((parent, -1), (to_parent, 1)):
            new.change(directory, mtime=NOW, ctime=NOW,
                       nlink=new.nodes[directory].nlink + more * node.is_dir())
        return 0, new

    def link(self, seen, parent, name, to_seen):
        """What others have just deleted may get a name once more: as if the link had been first."""
        state, wrong = self.state, []
        if seen not in state.nodes:
            wrong.append((errno.ENOENT, state))
        if to_seen or (parent, name) in state.names:
            wrong.append((errno.EEXIST, state))
        if state.nodes.get(parent, NOTHING).nlink == 0:
            wrong.append((errno.ENOENT, state))
        if wrong:
            return wrong
        new = state.copy()
        new.names[parent, name] = seen
        new.change(seen, nlink=new.nodes[seen].nlink + 1, ctime=NOW)
        new.change(parent, mtime=NOW, ctime=NOW)
        return [(0, new)] + [(errno.ENOENT, state)] * (state.nodes[seen].nlink == 0)

    def change(self, ino, **members):
        if ino not in self.state.nodes:
            return errno.ENOENT, self.state
        new = self.state.copy()
        new.change(ino, ctime=NOW, **members)
        return 0, new

    def content(self, ino, function):
        if ino not in self.state.nodes:
            return errno.ENOENT, self.state
        return self.change(ino, content=function(self.state.nodes[ino].content), mtime=NOW)


def written(at, data):
    return lambda old: old[:at].ljust(at, b"\0") + data + old[at + len(data):]


def truncated(size):
    return lambda old: old[:size].ljust(size, b"\0")


def agrees(wanted, found, old, since):
    """Is what the store holds what was wanted? Only what has a name, or is open, must be there."""
    if sorted(wanted.names) != sorted(found.names):
        return "the names are others"
    new = [found.names[key] for key, ino in wanted.names.items() if ino == "new"]
    for key, ino in wanted.names.items():
        if (new[0] if ino == "new" else ino) != found.names[key]:
            return f"{key} is another inode"
    for ino, node in wanted.nodes.items():
        got = found.nodes.get(new[0] if ino == "new" else ino)
        before = old.nodes.get(ino, node)
        if got is None:
            if node.nlink:
                return f"inode {ino} is not there"
            continue
        for time_ in ("mtime", "ctime"):
            value = getattr(got, time_)
            if getattr(node, time_) == NOW and (value >= since or value == getattr(before, time_)):
                node = dataclasses.replace(node, **{time_: value})
        if node != got:
            return f"inode {ino}: wanted {short(node)}, found {short(got)}"
    extra = [ino for ino in found.nodes if ino not in wanted.nodes and ino not in new]
    return f"there are more: {extra}" if extra else None
