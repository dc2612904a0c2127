"""What soak.py loads two mounts with: workers that each own a directory and know what must be in it,
and faults that come and go. A worker's change may fail only while a fault is on, and what a failed
change leaves must be what that fault leaves: the old state, or for a fault of the cache the new one."""
import dataclasses
import random
import struct

from lib import *

BLOCK = 4096
LARGEST = 256 << 10
FILES = 24
KEEP, PUNCH, ZERO = 1, 2, 16

# kind of a window: the rule of `fault=` that makes it
RULES = {"read": "read:EIO:every=3", "write": "write:EIO:every=2", "full": "write:ENOSPC:every=3",
         "commit": "commit:EIO:every=2", "flush": "flush:EIO:every=3",
         "cache": "cache:ENOMEM:every=2", "slow": "commit:delay=20:every=5"}
KINDS = list(RULES)


def switch(kind):
    return T / f"on-{kind}"


def spec():
    return "fault=" + "+".join(f"{rule}:file={switch(kind)}" for kind, rule in RULES.items())


class Windows:
    """When which fault was on: written by one process, read by all. An entry is there before its
    fault is, and ends after it."""
    ENTRY = struct.Struct("dddd")
    LAST = 4096

    def __init__(self):
        self.memory = mmap.mmap(-1, 8 + self.LAST * self.ENTRY.size)

    def count(self):
        return struct.unpack_from("q", self.memory)[0]

    def put(self, index, *entry):
        self.ENTRY.pack_into(self.memory, 8 + index % self.LAST * self.ENTRY.size, *entry, 0)

    def during(self, seconds, rng):
        """Up to two faults at once for so long."""
        kinds = rng.sample(KINDS, rng.choice((1, 1, 1, 2)))
        mask, index, start = sum(1 << KINDS.index(kind) for kind in kinds), self.count(), time.monotonic()
        self.put(index, mask, start, float("inf"))
        struct.pack_into("q", self.memory, 0, index + 1)
        for kind in kinds:
            switch(kind).touch()
        time.sleep(seconds)
        for kind in kinds:
            switch(kind).unlink()
        self.put(index, mask, start, time.monotonic())

    def kinds(self, since):
        """What may have failed what began at that time and has just ended."""
        found = 0
        for index in reversed(range(max(0, self.count() - self.LAST // 2), self.count())):
            mask, _, end, _ = self.ENTRY.unpack_from(
                self.memory, 8 + index % self.LAST * self.ENTRY.size)
            if end < since:
                break
            found |= int(mask)
        return {kind for i, kind in enumerate(KINDS) if found & 1 << i}


def may_be(error, kinds):
    if error.errno == errno.ENOSPC:
        return "full" in kinds
    return error.errno == errno.EIO and bool(kinds - {"full", "slow"})


@dataclasses.dataclass(frozen=True)
class Node:
    kind: int
    data: bytes = b""
    mode: int = 0o644
    xattrs: tuple = ()


class Worker:
    """Owns the directory `name` and changes it through the mount `top`; looks at it through `other`
    as well. `windows`: of each mount that has faults."""

    def __init__(self, name, top, other, windows, seed):
        self.dir, self.other = top / name, other / name
        self.faults = {self.dir: windows.get(top), self.other: windows.get(other)}
        self.rng = random.Random(seed)
        self.names, self.nodes, self.next = {}, {}, 1  # name -> number of a node -> node
        self.open = {}  # number of a node that has no name any more -> descriptor
        self.counts = dict(steps=0, failed=0, waited=0.0)
        self.history = []

    def kinds(self, start, top=None):
        """The faults that may have met what began at that time and has just ended."""
        windows = self.faults[top or self.dir]
        return windows.kinds(start) if windows else set()

    # What a change makes of the state; it is done by attempt().

    def node_of(self, number, **members):
        nodes = dict(self.nodes)
        nodes[number] = dataclasses.replace(nodes[number], **members)
        return self.names, nodes

    def named(self, **changes):
        """`changes`: number of the node that the name is to have, or None."""
        names = {**self.names, **changes}
        return {n: number for n, number in names.items() if number is not None}, self.nodes

    def added(self, name, node):
        self.next += 1
        return {**self.names, name: self.next}, {**self.nodes, self.next: node}

    def attempt(self, new, call, *args):
        """True if it succeeded. Sets the state to `new`, or to what is there after a failure."""
        start = time.monotonic()
        try:
            call(*args)
        except OSError as error:
            kinds = self.kinds(start)
            if not may_be(error, kinds):
                raise
            self.counts["failed"] += 1
            states = [(self.names, self.nodes)] if kinds - {"cache", "slow"} else []
            if "cache" in kinds:
                states.append(new)
            self.settle(states, f"after {error!r} with faults {sorted(kinds)}")
            return False
        self.names, self.nodes = new
        return True

    def settle(self, states, what):
        """What is there must be one of these states."""
        wrong = []
        for names, nodes in states:
            wrong.append(self.differs(self.dir, names, nodes))
            if wrong[-1] is None:
                self.names, self.nodes = names, nodes
                return
        raise AssertionError(f"{what}: {wrong}")

    # Looking.

    def retried(self, function, *args, top=None):
        """Something that changes nothing: a fault may make it fail, but not for good."""
        while True:
            start = time.monotonic()
            try:
                return function(*args)
            except OSError as error:
                if not may_be(error, self.kinds(start, top) - {"full"}):
                    raise
                self.counts["failed"] += 1
                time.sleep(0.05)

    def differs(self, top, names, nodes):
        """How what is below `top` is different from this state, or None."""
        there = sorted(self.retried(os.listdir, top, top=top))
        if there != sorted(names):
            return f"names {sorted(set(there) ^ set(names))}"
        for name, number in names.items():
            node, path = nodes[number], top / name
            if wrong := self.retried(self.node_differs, path, node, top=top):
                return f"{name}: {wrong}"
        if top == self.dir:
            for number, fd in self.open.items():
                if self.retried(self.content, fd) != nodes[number].data:
                    return f"what was open as node {number}: data"
        return None

    def node_differs(self, path, node):
        found = os.lstat(path)
        if stat.S_IFMT(found.st_mode) != node.kind:
            return "type"
        if node.kind == stat.S_IFLNK:
            return None if os.fsencode(os.readlink(path)) == node.data else "target"
        if stat.S_IMODE(found.st_mode) != node.mode:
            return f"mode {found.st_mode:o}, not {node.mode:o}"
        xattrs = tuple(sorted((n, os.getxattr(path, n)) for n in os.listxattr(path)))
        if xattrs != node.xattrs:
            return f"xattrs {xattrs}"
        if node.kind == stat.S_IFREG:
            if found.st_size != len(node.data):
                return f"size {found.st_size}, not {len(node.data)}"
            flags = os.O_RDONLY | self.rng.choice((0, 0, os.O_DIRECT))
            fd = os.open(path, flags)
            try:
                data = self.content(fd)
            finally:
                os.close(fd)
            if data != node.data:
                at = next((i for i, (a, b) in enumerate(zip(data, node.data)) if a != b), None)
                return f"data at {at}, {len(data)} bytes" + (" past the page cache" if flags else "")
        return None

    def content(self, fd, at=0, length=1 << 30):
        """A read that fails half-way is a short one."""
        parts = []
        while length and (part := os.pread(fd, min(length, 1 << 20), at)):
            parts.append(part)
            at += len(part)
            length -= len(part)
        return b"".join(parts)

    # Steps.

    def some(self, kind=None):
        """A name and its node's number; of a file that is open without a name, (None, number)."""
        found = [(name, n) for name, n in self.names.items()
                 if kind is None or self.nodes[n].kind == kind]
        if kind == stat.S_IFREG:
            found += [(None, n) for n in self.open]
        return self.rng.choice(found) if found else (None, None)

    def unused(self):
        return next(name for name in (f"n{self.rng.randrange(10 ** 6)}" for _ in range(99))
                    if name not in self.names)

    def descriptor(self, name, number, flags=0):
        if name is None:
            return os.dup(self.open[number])
        return self.retried(os.open, self.dir / name, os.O_RDWR | flags)

    def data_step(self):
        name, number = self.some(stat.S_IFREG)
        if number is None:
            return self.create()
        old = self.nodes[number].data
        at = self.rng.randrange(LARGEST)
        at -= at % BLOCK if self.rng.random() < 0.3 else 0
        length = min(LARGEST - at, self.rng.choice((1, 100, 4096, 5000, 65536, 150000)))
        step = self.rng.choice((self.write, self.write, self.append, self.truncate, self.punch,
                                self.zero, self.map, self.copy, self.sync))
        self.history.append((step.__name__, name, number, at, length))
        fd = self.descriptor(name, number, self.rng.choice((0, os.O_DIRECT, os.O_SYNC)))
        try:
            step(fd, number, old, at, length)
        finally:
            os.close(fd)

    def patched(self, number, old, at, data):
        return self.node_of(number, data=old[:at].ljust(at, b"\0") + data + old[at + len(data):])

    def write(self, fd, number, old, at, length):
        data = self.rng.randbytes(length)
        self.attempt(self.patched(number, old, at, data), self.all_of, os.pwrite, fd, data, at)

    def all_of(self, call, fd, data, *args):
        same(len(data), call(fd, data, *args), "bytes written")

    def append(self, fd, number, old, at, length):
        name = next((name for name, n in self.names.items() if n == number), None)
        if name is None or len(old) + length > LARGEST:
            return
        data = self.rng.randbytes(length)
        fd = self.descriptor(name, number, os.O_APPEND)
        try:
            self.attempt(self.patched(number, old, len(old), data), self.all_of, os.write, fd, data)
        finally:
            os.close(fd)

    def truncate(self, fd, number, old, at, length):
        self.attempt(self.node_of(number, data=old[:at].ljust(at, b"\0")), os.ftruncate, fd, at)

    def punch(self, fd, number, old, at, length):
        end = min(at + length, len(old))
        new = old[:at] + bytes(max(0, end - at)) + old[end:] if at < end else old
        self.attempt(self.node_of(number, data=new), fallocate, fd, PUNCH | KEEP, at, length)

    def zero(self, fd, number, old, at, length):
        self.attempt(self.patched(number, old, at, bytes(length)), fallocate, fd, ZERO, at, length)

    def copy(self, fd, number, old, at, length):
        name, source = self.some(stat.S_IFREG)
        data = self.nodes[source].data[:length]
        if source == number or not data:
            return
        other = self.descriptor(name, source)
        try:
            self.attempt(self.patched(number, old, at, data), self.copy_all, other, fd, len(data), at)
        finally:
            os.close(other)

    def copy_all(self, source, fd, length, at):
        os.fstat(source)  # the kernel goes by the size it knows, which a failed change may have left
        same(length, os.copy_file_range(source, fd, length, 0, at), "bytes copied")

    def sync(self, fd, number, old, at, length):
        self.attempt((self.names, self.nodes), os.fsync, fd)

    def map(self, fd, number, old, at, length):
        """Stores into a mapping, and msync: when that fails, each page is old or new."""
        length = min(length, len(old) - at)
        if length <= 0:
            return
        start = time.monotonic()
        data = self.rng.randbytes(length)
        view = mmap.mmap(fd, len(old), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        failed = None
        try:
            self.store(view, at, data)
            view.flush()
        except OSError as error:
            failed = error
        finally:
            view.close()
        _, new = self.patched(number, old, at, data)
        if failed is None:
            self.nodes = new
            return
        kinds = self.kinds(start)
        if failed.errno != errno.EFAULT and not may_be(failed, kinds):
            raise failed
        assert failed.errno != errno.EFAULT or "read" in kinds, (failed, kinds)
        self.counts["failed"] += 1
        self.settle_pages(fd, number, old, new[number].data, start)

    def store(self, view, at, data):
        """Like view[at:] = data, but a page that cannot be read is EFAULT and not SIGBUS."""
        source = os.memfd_create("data")
        try:
            os.write(source, data)
            address = ctypes.addressof(ctypes.c_char.from_buffer(view)) + at
            done_ = check_call(libc.pread(source, ctypes.c_void_p(address),
                                          ctypes.c_size_t(len(data)), ctypes.c_int64(0)))
            if done_ != len(data):
                raise OSError(errno.EFAULT, "a page could not be read")
        finally:
            os.close(source)

    def settle_pages(self, fd, number, old, new, start):
        """A store that was not followed by an msync may still be on its way."""
        while True:
            try:
                os.fsync(fd)
                break
            except OSError as error:
                if not may_be(error, self.kinds(start)):
                    raise
        found = self.retried(self.content, fd)
        same(len(old), len(found), "size after a store into a mapping failed")
        for at in range(0, len(found), BLOCK):
            page = found[at:at + BLOCK]
            assert page in (old[at:at + BLOCK], new[at:at + BLOCK]), f"page {at} is neither"
        self.names, self.nodes = self.node_of(number, data=found)
        # Pages that could not be written are dropped after the kernel has heard of that.
        poll("the pages of a mapping are dropped",
             lambda: self.retried(self.cached, number, fd) == found)

    def cached(self, number, fd):
        """What the page cache has: only of a file that has a name."""
        name = next((name for name, n in self.names.items() if n == number), None)
        fd = os.dup(fd) if name is None else os.open(self.dir / name, os.O_RDONLY)
        try:
            return self.content(fd)
        finally:
            os.close(fd)

    def create(self):
        name = self.unused()
        node = Node(stat.S_IFREG)
        self.attempt(self.added(name, node), self.make, self.dir / name)

    def make(self, path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))

    def name_step(self):
        if len(self.names) < FILES // 2 or self.rng.random() < 0.3 and len(self.names) < FILES:
            name = self.unused()
            rng = self.rng.random()
            if rng < 0.7:
                return self.create()
            if rng < 0.85:
                return self.attempt(self.added(name, Node(stat.S_IFDIR, mode=0o755)),
                                    os.mkdir, self.dir / name, 0o755)
            return self.attempt(self.added(name, Node(stat.S_IFLNK, b"somewhere")),
                                os.symlink, "somewhere", self.dir / name)
        step = self.rng.choice((self.remove, self.move, self.link, self.chmod, self.xattr,
                                self.exchange))
        name = self.rng.choice(list(self.names))
        self.history.append((step.__name__, name, self.names[name]))
        return step(name, self.dir / name, self.names[name], self.nodes[self.names[name]])

    def remove(self, name, path, number, node):
        keep = None
        if node.kind == stat.S_IFREG and len(self.open) < 3 and self.rng.random() < 0.5:
            keep = self.descriptor(name, number)
        new = self.named(**{name: None})
        call = os.rmdir if node.kind == stat.S_IFDIR else os.unlink
        self.attempt(new, call, path)
        if keep is not None:
            if number in self.names.values() or number in self.open:
                os.close(keep)
            else:
                self.open[number] = keep

    def move(self, name, path, number, node):
        other = self.rng.choice((self.unused(), self.rng.choice(list(self.names))))
        there = self.names.get(other)
        if there == number or (there and (self.nodes[there].kind == stat.S_IFDIR) !=
                               (node.kind == stat.S_IFDIR)):
            return
        self.attempt(self.named(**{name: None, other: number}), os.rename, path, self.dir / other)

    def exchange(self, name, path, number, node):
        other = self.rng.choice(list(self.names))
        if self.names[other] != number:
            self.attempt(self.named(**{name: self.names[other], other: number}),
                         renameat2, path, self.dir / other, 2)

    def link(self, name, path, number, node):
        other = self.unused()
        if node.kind != stat.S_IFDIR:
            self.attempt(self.named(**{other: number}), self.link_itself, path, self.dir / other)

    def link_itself(self, old, new):
        os.link(old, new, follow_symlinks=False)

    def chmod(self, name, path, number, node):
        mode = self.rng.choice((0o600, 0o644, 0o755, 0o700))
        if node.kind != stat.S_IFLNK:
            self.attempt(self.node_of(number, mode=mode), os.chmod, path, mode)

    def xattr(self, name, path, number, node):
        if node.kind == stat.S_IFLNK:
            return
        value = self.rng.randbytes(self.rng.choice((0, 10, 300)))
        self.attempt(self.node_of(number, xattrs=(("user.x", value),)),
                     os.setxattr, path, "user.x", value)

    def read(self):
        name, number = self.some(stat.S_IFREG)
        if number is None:
            return
        data = self.nodes[number].data
        at, length = self.rng.randrange(LARGEST), self.rng.choice((1, 4096, 100000))
        fd = self.descriptor(name, number) if name is None else \
            self.retried(os.open, self.dir / name, os.O_RDONLY | self.rng.choice((0, os.O_DIRECT)))
        try:
            found = self.retried(self.content, fd, at, length)
            same(True, found == data[at:at + length], f"{length} bytes at {at} of {name}")
            same(len(data), os.fstat(fd).st_size, f"size of {name}")
        finally:
            os.close(fd)

    def look(self):
        if wrong := self.differs(self.dir, self.names, self.nodes):
            raise AssertionError(wrong)

    def look_beside(self):
        """The other mount hears of everything before long."""
        start = time.monotonic()
        poll("the same in the other mount", self.same_beside)
        self.counts["waited"] = max(self.counts["waited"], time.monotonic() - start)

    def same_beside(self):
        try:
            return self.differs(self.other, self.names, self.nodes) is None
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            return False

    def let_go(self):
        for fd in self.open.values():
            os.close(fd)
        self.open = {}
        self.nodes = {n: self.nodes[n] for n in self.names.values()}

    def step(self):
        draw = self.rng.random()
        if draw < 0.4:
            self.data_step()
        elif draw < 0.65:
            self.name_step()
        elif draw < 0.97:
            self.read()
        elif draw < 0.985:
            self.look()
        elif draw < 0.99:
            self.look_beside()
        else:
            self.let_go()
        self.counts["steps"] += 1
        del self.history[:-20]

    def run(self, until):
        try:
            while time.monotonic() < until:
                self.step()
                if self.counts["steps"] % 200 == 0:
                    used = set(self.names.values()) | set(self.open)
                    self.nodes = {n: node for n, node in self.nodes.items() if n in used}
            self.let_go()
            self.look()
            self.look_beside()
        except BaseException:
            print(f"{self.dir}: step {self.counts['steps']}, before it {self.history[-5:]}", flush=True)
            raise
