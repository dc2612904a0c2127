"""Draws what the mounts and the SQL client of model.py do, does it, and compares."""
from model import *

XATTRS = (b"user.x", b"user.y")


class Refused(Exception):
    """What the SQL client's statement got for an answer."""


class Run:
    def __init__(self, *mounts, steps, seed=SEED):
        self.rng, self.steps, self.lag = random.Random(seed), steps, Lag()
        self.mounts = [Mount(f"m{i}", ttl, watch, self.lag)
                       for i, (ttl, watch) in enumerate(mounts)]
        self.db = Connection()
        self.view = has_view()
        self.state = load(self.db.db)
        self.history, self.seen = Histories(self.state), {}
        self.counts, self.log, self.slowest = collections.Counter(), collections.deque(maxlen=40), 0.0

    # --- what is drawn

    def file(self):
        return (*self.rng.choice(DIRS), self.rng.choice(FILES))

    def directory(self):
        return self.rng.choice(DIRS[1:])

    def any(self):
        return self.rng.choice((self.file(), self.file(), self.file(), self.directory(), self.symlink()))

    def symlink(self):
        return (*self.rng.choice(DIRS), self.rng.choice(LINKS))

    def pair(self):
        """Two paths of the same kind."""
        kind = self.rng.choice((self.file, self.file, self.symlink, None))
        if kind:
            return kind(), kind()
        return self.rng.choice(((("d0",), ("d1",)), (("d1",), ("d0",)),
                                (("d0", "e"), ("d1", "e")), (("d1", "e"), ("d0", "e"))))

    def data(self):
        n = self.rng.choice((1, 10, 100, 4095, 4096, 5000, 12000))
        return self.rng.randbytes(self.rng.randrange(1, n + 1))

    def offset(self):
        at = self.rng.randrange(PAGES * BLOCK)
        return at if self.rng.random() < 0.6 else at - at % BLOCK

    # --- what a name may be

    def allowed(self, mount, key, start, mapped=False):
        return self.history.allowed(key, mount, start, mount.bound(mapped))

    def resolve(self, mount, path, start):
        """(directory, inode or None) as mount may see them; directory None: not to be reached."""
        parents, dead = [STORE_ROOT], False
        for name in path[:-1]:
            found = {ino for p in parents for ino, _ in self.allowed(mount, ("name", p, name), start)}
            dead |= None in found
            parents = [ino for ino in found if ino]
        result = {(p, ino) for p in parents
                  for ino, _ in self.allowed(mount, ("name", p, path[-1]), start)}
        self.seen[path] = result = result | {(None, None)} if dead else result
        return result

    def now(self, path):
        """What an SQL client sees."""
        ino = STORE_ROOT
        for name in path[:-1]:
            ino = self.state.names.get((ino, name))
        return ino, self.state.names.get((ino, path[-1]))

    # --- changes

    def change(self, actor, what, call, plans):
        """Does it; `plans(start)` says what may come of it."""
        name = actor if actor is SQL else actor.name
        self.log.append((name, *what))
        self.counts[f"{'sql ' if actor is SQL else ''}{what[0]}"] += 1
        since, start = time.time_ns() - 10 ** 9, time.monotonic()
        self.seen = {}
        plans = plans(start)
        code = 0
        try:
            with limit(what, HANGS):
                call()
        except OSError as error:
            code = error.errno
        except sqlite3.Error as error:
            code = errno.EINVAL
            self.log[-1] += (str(error),)
        acknowledged = time.monotonic()
        self.slowest = max(self.slowest, acknowledged - start)
        found = load(self.db.db)
        reasons = []
        for wanted, state in plans:
            if wanted != code and (actor is not SQL or not (wanted and code)):
                reasons.append(f"it may say {errno.errorcode.get(wanted, wanted)}")
            elif (why := agrees(state, found, self.state, since)):
                reasons.append(why)
            else:
                break
        else:
            raise AssertionError(f"{name}: {what} said {errno.errorcode.get(code, code)}, but: "
                                 + "; ".join(sorted(set(reasons))) + f"; names: {self.seen}; it changed " + difference(self.state, found))
        self.state = found
        self.history.update(found, actor, acknowledged,
                            all(len(inodes) == 1 for inodes in self.seen.values()),
                            self.moved(*what[1:]) if what[0] == "rename" and not code else None)

    def moved(self, old, new):
        """What the kernel may have moved: it goes by what it knows, and the store by what is so."""
        inodes = {ino for _, ino in self.seen.get(old, ()) if ino}
        return {("name", p, new[-1]): inodes for p, _ in self.seen.get(new, ()) if p}

    def named(self, mount, path, start, plan, gone=errno.ENOENT):
        """Plans of a change that goes by one name."""
        changes = Changes(self.state)
        return [plan(changes, p, ino) if p else (gone, self.state)
                for p, ino in self.resolve(mount, path, start)]

    def two_named(self, mount, old, new, start, plan):
        """When both names are wrong, either may be what is complained about."""
        changes = Changes(self.state)
        return [result for (p, ino), (q, other) in itertools.product(
            self.resolve(mount, old, start), self.resolve(mount, new, start))
            for result in (plan(changes, p, ino, q, other) if p and q else [(errno.ENOENT, self.state)])]

    def create(self, mount):
        path, excl = self.file(), self.rng.random() < 0.5
        mode = self.rng.choice((0o600, 0o644))
        node = Node(stat.S_IFREG | mode)

        def plan(changes, p, ino):
            code, new = changes.new(p, path[-1], ino, node)
            return (0, self.state) if code == errno.EEXIST and not excl else (code, new)

        self.change(mount, ("create", path, excl), lambda: os.close(os.open(
            mount.path(path), os.O_CREAT | os.O_WRONLY | (os.O_EXCL if excl else 0), mode)),
            lambda start: self.named(mount, path, start, plan))

    def mkdir(self, mount):
        path = self.directory()
        self.change(mount, ("mkdir", path), lambda: os.mkdir(mount.path(path), 0o755),
                    lambda start: self.named(mount, path, start, lambda c, p, ino: c.new(
                        p, path[-1], ino, Node(stat.S_IFDIR | 0o755, nlink=2))))

    def make_symlink(self, mount):
        path, target = self.symlink(), self.rng.choice((b"a", b"d0/x", b"nowhere" * 20))
        self.change(mount, ("symlink", path), lambda: os.symlink(target, mount.path(path)),
                    lambda start: self.named(mount, path, start, lambda c, p, ino: c.new(
                        p, path[-1], ino, Node(stat.S_IFLNK | 0o777, target=target))))

    def unlink(self, mount):
        path = self.rng.choice((self.file, self.file, self.symlink))()
        self.change(mount, ("unlink", path), lambda: os.unlink(mount.path(path)),
                    lambda start: self.named(mount, path, start,
                                             lambda c, p, ino: c.remove(p, path[-1], ino)))

    def rmdir(self, mount):
        path = self.directory()
        self.change(mount, ("rmdir", path), lambda: os.rmdir(mount.path(path)),
                    lambda start: self.named(mount, path, start,
                                             lambda c, p, ino: c.remove(p, path[-1], ino)))

    def rename(self, mount):
        old, new = self.pair()

        def plan(changes, p, ino, q, other):
            plans = [changes.move(p, old[-1], ino, q, new[-1], other)]
            # The kernel cannot move a directory it still has in another place: it looks for it in
            # its tree while that is locked for the rename.
            if ino and self.state.nodes.get(ino, NOTHING).is_dir() or (
                    other and self.state.nodes.get(other, NOTHING).is_dir()):
                plans.append((errno.ESTALE, self.state))
            return plans

        self.change(mount, ("rename", old, new),
                    lambda: os.rename(mount.path(old), mount.path(new)),
                    lambda start: self.two_named(mount, old, new, start, plan))

    def link(self, mount):
        old, new = self.file(), self.file()
        self.change(mount, ("link", old, new), lambda: os.link(mount.path(old), mount.path(new)),
                    lambda start: self.two_named(mount, old, new, start, lambda c, p, i, q, j: c.link(
                        i, q, new[-1], j)))

    def by_name(self, mount, what, path, call, plan):
        """A change that the kernel makes to the inode that it found."""
        self.change(mount, (what, path), lambda: call(mount.path(path)),
                    lambda start: self.named(mount, path, start, lambda c, p, ino: plan(c, ino)
                                             if ino else (errno.ENOENT, self.state)))

    def truncate(self, mount):
        size = self.rng.choice((0, self.offset()))
        self.by_name(mount, "truncate", self.file(), lambda path: os.truncate(path, size),
                     lambda c, ino: c.content(ino, truncated(size)))

    def attributes(self, mount):
        rng = self.rng
        what = rng.choice(("chmod", "chown", "utimens"))
        mode, owner, at = rng.choice((0o600, 0o644, 0o755)), rng.randrange(3), rng.randrange(10 ** 18)
        path = self.rng.choice((self.file(), self.directory()))

        def members(c, ino):
            node = self.state.nodes.get(ino)
            if what == "chmod" and node:
                return {"mode": stat.S_IFMT(node.mode) | mode}
            return {"uid": owner, "gid": owner + 1} if what == "chown" else {"mtime": at}

        self.by_name(mount, what, path,
                     {"chmod": lambda path: os.chmod(path, mode),
                      "chown": lambda path: os.chown(path, owner, owner + 1),
                      "utimens": lambda path: os.utime(path, ns=(at, at))}[what],
                     lambda c, ino: c.change(ino, **members(c, ino)))

    def xattr(self, mount):
        name, value = self.rng.choice(XATTRS), self.rng.randbytes(self.rng.choice((0, 5, 300)))
        path = self.rng.choice((self.file(), self.directory()))
        remove = self.rng.random() < 0.4

        def plan(c, ino):
            had = dict(self.state.nodes[ino].xattrs) if ino in self.state.nodes else {}
            if remove:
                if ino in self.state.nodes and name not in had:
                    return errno.ENODATA, self.state
                had.pop(name, None)
            else:
                had[name] = value
            return c.change(ino, xattrs=tuple(sorted(had.items())))

        if remove:
            self.by_name(mount, "removexattr", path, lambda path: os.removexattr(path, name), plan)
        else:
            self.by_name(mount, "setxattr", path, lambda path: os.setxattr(path, name, value), plan)

    # --- handles

    def open(self, mount):
        """Opens a file for long; which one it is the handle says itself."""
        if len(mount.handles) > 7:
            mount.handles.pop(self.rng.randrange(len(mount.handles))).close()
        flags = self.rng.choice((os.O_RDONLY, os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND,
                                 os.O_RDONLY | os.O_DIRECT))
        path, start = self.file(), time.monotonic()
        self.log.append((mount.name, "open", path, flags))
        seen = self.resolve(mount, path, start)
        try:
            fd = os.open(mount.path(path), flags)
        except OSError as error:
            assert error.errno == errno.ENOENT and (None in (ino for _, ino in seen)), \
                f"{mount.name}: open {path}: {error}, but it may be {seen}"
            return
        ino = os.fstat(fd).st_ino
        assert ino in {ino for _, ino in seen}, f"opened inode {ino}, but it may be {seen}"
        if self.state.nodes.get(ino, NOTHING).nlink == 0:
            os.close(fd)  # what is deleted is there as long as those hold it who had it open then
            return
        handle = Handle(fd, ino, flags)
        if flags == os.O_RDONLY and self.rng.random() < 0.7:
            handle.mapping = Mapping(fd)
        mount.handles.append(handle)

    def handle(self, mount, wanted):
        found = [h for h in mount.handles if wanted(h)]
        return self.rng.choice(found) if found else None

    def by_handle(self, mount):
        handle = self.handle(mount, lambda h: h.flags & os.O_ACCMODE == os.O_RDWR)
        if not handle:
            return self.open(mount)
        fd, ino, data, at, rng = handle.fd, handle.ino, self.data(), self.offset(), self.rng
        old = self.state.nodes[ino].content
        what = rng.choice(("pwrite", "pwrite", "append", "ftruncate", "punch", "fchmod"))
        append = handle.flags & os.O_APPEND
        if what in ("pwrite", "append"):
            if append:
                at = len(old)
            plan, size = written(at, data), len(data)

            def call():
                same(size, os.write(fd, data) if append else os.pwrite(fd, data, at))
        elif what == "ftruncate":
            plan = truncated(at)

            def call():
                os.ftruncate(fd, at)
        elif what == "punch":
            size = min(len(data), max(0, len(old) - at))
            plan = (lambda old: old[:at] + bytes(size) + old[at + size:])

            def call():
                fallocate(fd, 3, at, len(data))
        else:
            self.change(mount, ("fchmod", ino), lambda: os.fchmod(fd, 0o640),
                        lambda start: [Changes(self.state).change(
                            ino, mode=stat.S_IFREG | 0o640)])
            return None
        if append and len(old) > 60000:
            return None
        self.change(mount, (what, f"inode {ino}", at, len(data)), call,
                    lambda start: [Changes(self.state).content(ino, plan)])
        return None

    # --- reads

    def judge(self, mount, what, start, value, allowed):
        """Is it one of those? Remembers how old it was."""
        for wanted, until in reversed(allowed):
            if wanted == value:
                if until is not None:
                    if start - until > mount.worst[0]:
                        mount.worst = (start - until, what)
                return until is None
        now = time.monotonic()
        ages = [f"{brief(v)} until {'now' if u is None else f'{now - u:.3f} s ago'}"
                for v, u in allowed]
        raise AssertionError(f"{mount.name}: {what} gave {brief(value)}, allowed: {ages}; bound "
                             f"{mount.bound(False):.3f} s, the read began {now - start:.3f} s ago")

    def judge_content(self, mount, ino, data, at, n, start):
        """Each block may be of another age, and the size too."""
        sizes = self.allowed(mount, ("size", ino), start)
        lengths = [(max(0, min(n, size - at)), until) for size, until in sizes]
        end = at + len(data)
        if data and end % BLOCK == 0 and min(
                n for n, _ in lengths) < len(data) < max(n for n, _ in lengths):
            fresh = False  # up to here blocks of a longer state, the next one of a shorter
        else:
            fresh = self.judge(mount, f"inode {ino}, {n} bytes at {at}: the length", start, len(data),
                               lengths)
        for index in range(at // BLOCK, (at + len(data) + BLOCK - 1) // BLOCK):
            first, last = max(at, index * BLOCK), min(at + len(data), (index + 1) * BLOCK)
            allowed = [(v[first - index * BLOCK:last - index * BLOCK], u)
                       for v, u in self.cut_blocks(mount, ino, index, sizes, start)]
            fresh &= self.judge(mount, f"inode {ino}, block {index}", start,
                                data[first - at:last - at], allowed)
        return fresh

    def cut_blocks(self, mount, ino, index, sizes, start, mapped=False):
        """The block as it may be. When the kernel hears that the file ends in the middle of it,
        it makes the rest zeros, also if it is the block of an older state."""
        blocks = self.allowed(mount, ("block", ino, index), start, mapped)
        ends = {size - index * BLOCK for size, _ in sizes if 0 < size - index * BLOCK < BLOCK}
        return [(block[:end].ljust(BLOCK, b"\0"), until or start)
                for end in ends for block, until in blocks[:-1]] + blocks

    def judge_attr(self, mount, ino, found, start):
        same(ino, found.st_ino)
        return all([self.judge(mount, f"{name} of inode {ino}", start, getattr(found, f"st_{name}"),
                               self.allowed(mount, (name, ino), start))
                    for name in NOTHING.attr()])

    def read_by_name(self, mount, path, call, judge):
        """The name may be one of several; what was read must go with one of them."""
        self.counts["reads"] += 1
        start = time.monotonic()
        seen = self.resolve(mount, path, start)
        try:
            with limit(f"reading {path}"):
                value = call(mount.path(path))
        except OSError as error:
            # Deleted while it was looked at, or not known yet
            assert error.errno == errno.ENOENT and any(ino is None for _, ino in seen), \
                f"{mount.name}: {path}: {error}, but it may be {seen}"
            return self.now(path)[1] is None
        problems = []
        for ino in sorted((ino for _, ino in seen if ino), reverse=True):
            try:
                return judge(ino, value, start) and self.now(path)[1] == ino
            except AssertionError as problem:
                problems.append(str(problem))
        raise AssertionError(f"{path}: " + ("; or ".join(problems) or "should not be there"))

    def read_file(self, mount, path=None):
        n = PAGES * BLOCK * 3

        def call(where):
            fd = os.open(where, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                return os.pread(fd, n, 0)
            finally:
                os.close(fd)

        path = path or self.file()
        self.log.append((mount.name, "read", path))
        return self.read_by_name(mount, path, call, lambda ino, data, start: self.judge_content(
            mount, ino, data, 0, n, start))

    def stat(self, mount, path=None):
        path = path or self.any()
        self.log.append((mount.name, "stat", path))
        return self.read_by_name(mount, path, os.lstat, lambda ino, value, start: self.judge_attr(
            mount, ino, value, start))

    def readlink(self, mount, path=None):
        path = path or self.symlink()
        self.log.append((mount.name, "readlink", path))
        return self.read_by_name(
            mount, path, os.readlink,
            lambda ino, value, start: self.judge(mount, f"target of inode {ino}", start, value,
                                                 self.allowed(mount, ("target", ino), start)))

    def getxattr(self, mount, path=None):
        path = path or self.rng.choice((self.file(), self.directory()))
        self.log.append((mount.name, "xattrs", path))

        def call(where):
            try:
                return tuple(sorted((os.fsencode(name), os.getxattr(where, name))
                                    for name in os.listxattr(where)))
            except OSError as error:
                if error.errno == errno.ENODATA:
                    return ()
                raise

        return self.read_by_name(
            mount, path, call,
            lambda ino, value, start: self.judge(mount, f"attributes of inode {ino}", start, value,
                                                 self.allowed(mount, ("xattrs", ino), start)))

    def list(self, mount, path=None):
        path = path if path is not None else self.rng.choice(DIRS)
        self.log.append((mount.name, "list", path))

        def judge(ino, found, start):
            extra = found.keys() - set(EVERY_NAME)
            assert not extra, f"odd names: {extra}"
            return all([self.judge(mount, f"{name} in directory {ino}", start, found.get(name),
                                   self.allowed(mount, ("name", ino, name), start))
                        for name in EVERY_NAME])

        def call(where):
            with os.scandir(where) as entries:
                return {os.fsdecode(e.name): e.inode() for e in entries}

        if path:
            return self.read_by_name(mount, path, call, judge)
        return judge(STORE_ROOT, call(mount.path(())), time.monotonic())

    def read_handle(self, mount, handle=None):
        handle = handle or self.handle(mount, lambda h: True)
        if not handle:
            return self.read_file(mount)
        at, n = self.offset(), self.rng.choice((1, 100, 4096, 10000, 100000))
        self.log.append((mount.name, "pread", f"inode {handle.ino}", at, n, handle.flags))
        self.counts["reads"] += 1
        with limit("reading by a handle"):
            start = time.monotonic()
            data = os.pread(handle.fd, n, at)
            fresh = self.judge_content(mount, handle.ino, data, at, n, start)
            start = time.monotonic()
            return fresh & self.judge_attr(mount, handle.ino, os.fstat(handle.fd), start)

    def read_mapping(self, mount, handle=None):
        handle = handle or self.handle(mount, lambda h: h.mapping)
        if not handle:
            return self.read_handle(mount)
        page = self.rng.randrange(PAGES)
        self.log.append((mount.name, "mapping", f"inode {handle.ino}", page))
        self.counts["reads"] += 1
        with limit("reading a mapping"):
            start = time.monotonic()
            data = handle.mapping.page(page)
            for _ in range(3):
                if data is not None:
                    break
                # That it has grown is seen by a mapping only after somebody has asked for its size,
                # and the kernel does not believe an answer during which it was told to drop it.
                start = time.monotonic()
                os.fstat(handle.fd)
                data = handle.mapping.page(page)
        if data is None:
            return self.judge(mount, f"inode {handle.ino}, page {page} is past the end", start, True, [
                (size <= page * BLOCK, until)
                for size, until in self.allowed(mount, ("size", handle.ino), start, True)])
        sizes = self.allowed(mount, ("size", handle.ino), start, True)
        return self.judge(mount, f"inode {handle.ino}, page {page}", start, data,
                          self.cut_blocks(mount, handle.ino, page, sizes, start, True))

    def close(self, mount):
        if mount.handles:
            mount.handles.pop(self.rng.randrange(len(mount.handles))).close()

    def all_current(self, mount):
        """Reads everything there is; each of it is judged as well."""
        log = list(self.log)
        fresh = [self.list(mount, path) & (not path or self.stat(mount, path)) for path in DIRS]
        for path in itertools.product(DIRS, FILES):
            path = (*path[0], path[1])
            if self.now(path)[1] or self.rng.random() < 0.1:
                fresh += [self.read_file(mount, path), self.stat(mount, path),
                          self.getxattr(mount, path)]
        for path in itertools.product(DIRS, LINKS):
            fresh += [self.readlink(mount, (*path[0], path[1]))]
        for handle in mount.handles:
            fresh.append(self.read_handle(mount, handle))
            if handle.mapping:
                fresh.append(self.read_mapping(mount, handle))
        self.log.clear()
        self.log.extend(log)
        return all(fresh)

    def settle(self):
        """After a while without a change everything is current; when it is is within the bound."""
        self.log.append(("settle",))
        for mount in self.mounts:
            poll("everything is current", lambda: self.all_current(mount))

    # --- the SQL client

    def sql(self):
        (self.sql_record if self.view and self.rng.random() < 0.7 else self.sql_tables)()

    def statement(self, what, statement, values, plans):
        self.change(SQL, what, lambda: self.db(statement, *values), lambda start: plans)

    def sql_tables(self):
        """By the base tables, as docs/store-format.md has it."""
        rng, nodes = self.rng, self.state.nodes
        ino = rng.choice([ino for ino, node in nodes.items() if node.nlink])
        node = nodes[ino]
        what = rng.choice(("mode", "data", "name"))
        if what == "mode":
            mode = stat.S_IFMT(node.mode) | rng.choice((0o600, 0o755))
            self.statement(("mode", ino), "UPDATE inode SET mode = ?, version = version + 1"
                           " WHERE ino = ?", (mode, ino), [
                               (0, dataclasses.replace(Changes(self.state).change(
                                   ino, mode=mode)[1]))])
        elif what == "data" and node.is_file():
            rows = self.db("SELECT key, data FROM block WHERE key BETWEEN ? AND ?", ino << 30,
                           (ino + 1 << 30) - 1)
            if rows:
                key, data = rng.choice(rows)
                new = rng.randbytes(len(data))
                self.statement(("data", ino, key & 0x3FFFFFFF),
                               "UPDATE block SET data = ?, sums = NULL WHERE key = ?", (new, key), [
                                   (0, Changes(self.state).content(
                                       ino, written((key & 0x3FFFFFFF) * BLOCK, new))[1])])
        elif what == "name":
            parent, name = rng.choice(list(self.state.names)) if self.state.names else (0, "")
            new = rng.choice(FILES)
            if name in FILES and (parent, new) not in self.state.names:
                state = self.state.copy()
                state.names[parent, new] = state.names.pop((parent, name))
                self.statement(("name", name, new), "UPDATE dentry SET name = ? WHERE parent = ?"
                               " AND CAST(name AS BLOB) = ?",
                               (as_stored(new), parent, os.fsencode(name)), [(0, state)])

    def sql_record(self):
        """By the view `records`."""
        rng = self.rng
        path = self.any()
        what = rng.choice(("insert", "insert", "content", "content", "path", "mode", "owner", "mtime",
                           "delete", "read", "read"))
        where, (parent, ino) = as_stored("/" + "/".join(path)), self.now(path)
        node, changes = self.state.nodes.get(ino), Changes(self.state)
        nothing = [(0, self.state)]

        def update(columns, values, plan):
            self.statement((what, path), f"UPDATE records SET {columns} WHERE path = ?",
                           (*values, where), plan if node else nothing)

        if what == "read":
            self.sql_read(where, ino, node)
        elif what == "insert":
            self.sql_insert(path, where, parent)
        elif what == "delete":
            self.statement((what, path), "DELETE FROM records WHERE path = ?", (where,), [
                changes.remove(parent, path[-1], ino)] if node else nothing)
        elif what == "content":
            data = rng.choice((b"", self.data()))
            update("content = ?", (data,), node and [
                changes.content(ino, lambda old: data) if node.is_file() else (errno.EINVAL, self.state)])
        elif what == "path":
            path, new = self.pair()
            where, (parent, ino) = as_stored("/" + "/".join(path)), self.now(path)
            node, (to, there) = self.state.nodes.get(ino), self.now(new)
            if path != new:
                update("path = ?", (as_stored("/" + "/".join(new)),), [
                    (errno.EINVAL, self.state) if there or not to
                    else changes.move(parent, path[-1], ino, to, new[-1], there)])
        elif what == "mode":
            mode = rng.choice((0o600, 0o644, 0o755))
            update("mode = ?", (mode,), node and [
                changes.change(ino, mode=stat.S_IFMT(node.mode) | mode)])
        elif what == "owner":
            owner = rng.randrange(3)
            update("uid = ?, gid = ?", (owner, owner + 1), [changes.change(ino, uid=owner,
                                                                           gid=owner + 1)])
        else:
            at = rng.randrange(10 ** 18)
            update("mtime = ?", (at,), [changes.change(ino, mtime=at)])

    def sql_insert(self, path, where, parent):
        data, kind = self.data(), path[-1]
        owner = {k: getattr(self.state.nodes.get(parent, NOTHING), k) for k in ("uid", "gid")}
        if kind in LINKS:
            column, value, node = "target", "a", Node(stat.S_IFLNK | 0o777, target=b"a", **owner)
        elif kind in FILES:
            column, value = "content", data
            node = Node(stat.S_IFREG | 0o644, content=data, **owner)
        else:
            column, value, node = "type", "directory", Node(stat.S_IFDIR | 0o755, nlink=2, **owner)
        self.statement(("insert", path), f"INSERT INTO records(path, {column}) VALUES(?, ?)",
                       (where, value), [Changes(self.state).new(
                           parent, path[-1], self.now(path)[1], node) if parent
                           else (errno.ENOENT, self.state)])

    def sql_read(self, where, ino, node):
        """Always what it is now."""
        self.counts["sql reads"] += 1
        found = self.db("SELECT ino, mode, uid, gid, nlink, size, mtime, ctime, content FROM records"
                        " WHERE path = ?", where)
        if node:
            wanted = (ino, *node.attr().values(), node.content if node.is_file() else None)
            same([wanted], found, f"SQL: {where!r}")
        else:
            same([], found, f"SQL: {where!r}")

    # --- all of it

    def step(self):
        rng = self.rng
        actor = rng.choice((*self.mounts, *self.mounts, SQL))
        if actor is SQL:
            return self.sql()
        change = rng.random() < 0.45
        return rng.choice(
            (self.create, self.create, self.create, self.mkdir, self.mkdir, self.make_symlink,
             self.unlink, self.rmdir, self.rename, self.rename, self.link, self.truncate,
             self.attributes, self.xattr, self.by_handle, self.by_handle, self.by_handle,
             self.by_handle) if change else
            (self.open, self.open, self.read_file, self.stat, self.list, self.readlink,
             self.getxattr, self.read_handle, self.read_handle, self.read_mapping,
             self.read_mapping, self.close))(actor)

    def run(self):
        try:
            for i in range(self.steps):
                self.step()
                if i % 100 == 99:
                    self.settle()
                elif self.rng.random() < 0.02:
                    time.sleep(self.rng.random() * min(m.bound(False) for m in self.mounts) / 2)
            self.settle()
        except BaseException:
            print(f"seed {SEED}, before it failed:", *self.log, sep="\n  ", flush=True)
            raise
        for mount in self.mounts:
            while mount.handles:
                mount.handles.pop().close()
        # A directory can be kept for a while by what the kernel knows of names in it
        orphans = "SELECT count(*) FROM inode WHERE nlink = 0 AND mode & 61440 <> 16384"
        poll("what was deleted is gone", lambda: self.db(orphans) == [(0,)])
        self.db.db.close()
        print(f"{self.steps} steps: {dict(sorted(self.counts.items()))}; the oldest that was read:",
              ", ".join(f"{m.name} {m.worst[0]:.3f} s of {m.bound(False):.3f} s ({m.worst[1]})"
                        for m in self.mounts),
              f"; late by {self.lag():.3f} s; the slowest change {self.slowest:.3f} s", flush=True)
        umount_all([m.daemon for m in self.mounts])


STORE_ROOT = 1


def difference(old, new):
    """What became different, shortly."""
    names = {key: (old.names.get(key), new.names.get(key)) for key in old.names | new.names}
    nodes = {ino: (old.nodes.get(ino), new.nodes.get(ino)) for ino in old.nodes | new.nodes}
    return short([(what, was, now) for what, (was, now) in {**names, **nodes}.items() if was != now])


def brief(value):
    """Long contents by what distinguishes them."""
    if not isinstance(value, bytes) or len(value) < 20:
        return repr(value)
    used = len(value.rstrip(b"\0"))
    return f"{hashlib.sha256(value[:used]).hexdigest()[:6]}({used} of {len(value)} bytes not 0)"


def as_stored(name):
    """TEXT where it is UTF-8."""
    try:
        return os.fsencode(name).decode()
    except UnicodeDecodeError:
        return os.fsencode(name)

