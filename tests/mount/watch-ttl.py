"""With watch=0 the TTL alone bounds how old a read may be: not one that begins later than TTL +
100 ms after a version was replaced may show it - by read, by stat, by a mapping, by names. Only two
moments count: when the outside writer's commit of the next version had returned, and when the read
began; how long a read takes does not matter."""
import threading

from lib import *

SLACK = 0.1
ROUNDS = 4 if not LONG else 40


class Writer(threading.Thread):
    """Writes versions of something with SQL, one after the other. replaced[n]: when version n was
    not the newest any more."""

    def __init__(self, write, pause):
        super().__init__()
        self.write, self.pause = write, pause
        self.replaced = []
        self.stop = threading.Event()

    def run(self):
        sql = Sql()
        version = 0
        while not self.stop.wait(self.pause):
            version += 1
            self.write(sql, version)
            self.replaced.append(time.monotonic())  # of version - 1
        sql.close()


def too_old(writer, version, began, bound):
    """By how much it should have been newer; <= 0: it may be that old."""
    if version >= len(writer.replaced):
        return 0
    return began - writer.replaced[version] - bound


def watch(what, writer, ttl, views, seconds, strict=False):
    """Looks again and again with all views, each giving a version. With `strict` all but the first
    are as new as the store."""
    writer.start()
    late = []
    newest = [0] * len(views)
    looks = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or min(newest) == 0:
        for number, view in enumerate(views):
            began = time.monotonic()
            version = view()
            looks += 1
            newest[number] = max(newest[number], version)
            over = too_old(writer, version, began, 0 if strict and number else ttl + SLACK)
            if over > 0:
                late.append((what, number, version, round(over, 4)))
    writer.stop.set()
    writer.join()
    print(f"{what}: {looks} looks, {len(writer.replaced)} versions")
    same([], late[:5], f"{what}: (what, view, version, seconds too old), {len(late)} of {looks}")


def mapped(path):
    """The version that a mapping shows, of a process that does nothing but look at it."""
    ask, theirs = os.pipe()
    answer, mine = os.pipe()

    def serve():
        fd = os.open(path, os.O_RDONLY)
        mapping = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        while os.read(ask, 1):
            os.write(mine, mapping[:8])

    pid = child(serve)

    def look():
        os.write(theirs, b"?")
        return int(os.read(answer, 8))

    return pid, look


def contents(ttl, options, setup=lambda path: None):
    daemon = Daemon("-o", options)
    path = MNT / "f"
    path.write_bytes(b"%08d" % 0 + bytes(5000))
    setup(path)
    fd = os.open(path, os.O_RDONLY)
    pid, look = mapped(path)
    views = [look, lambda: int(os.pread(fd, 8, 0)), lambda: int(path.read_bytes()[:8]),
             lambda: os.stat(path).st_mtime_ns // 10**9, lambda: os.fstat(fd).st_mtime_ns // 10**9,
             lambda: int(read_direct(path)[:8])]
    os.utime(path, ns=(0, 0))

    def write(sql, version):
        with sql:
            ino = sql.ino("f")
            sql.run("UPDATE block SET data = ?, sums = NULL WHERE key = ?",
                    b"%08d" % version + bytes(5000), ino << 30)
            sql.touch(ino, mtime=version * 10**9)

    watch(f"contents, {options}", Writer(write, max(ttl / 7, 0.02)), ttl, views,
          max(ROUNDS * (ttl + SLACK), 1), "cache_ttl=0," in options and ttl == 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(fd)
    daemon.umount()


contents(0.3, "cache_ttl=0.3,watch=0")
contents(0, "cache_ttl=0,watch=0")
contents(0.2, "cache_ttl=3600,watch=0",
         lambda path: os.setxattr(path, "user.recordfs.ttl", b"0.2"))
contents(0, "cache_ttl=3600,watch=0", lambda path: os.setxattr(path, "user.recordfs.ttl", b"0"))
contents(0.2, "cache_ttl=0,watch=0", lambda path: os.setxattr(path, "user.recordfs.ttl", b"0.2"))


def names(ttl, options, setup=lambda path: None):
    """The same by names: a listing, a symlink, an entry that is another file each time, and entries
    that were not there."""
    daemon = Daemon("-o", options)
    top = MNT / f"names {options}"
    top.mkdir()
    setup(top)
    for name in ("a", "b"):
        (top / name).touch()
        os.utime(top / name, ns=(0, 0))
    os.symlink("0", top / "link")
    os.link(top / "a", top / "entry")
    os.link(top / "a", top / "v0")

    def write(sql, version):
        with sql:
            parent, a, b = sql.ino(top.name), sql.ino(top.name + "/a"), sql.ino(top.name + "/b")
            sql.add_name(parent, f"v{version}", a)
            sql.run("UPDATE dentry SET ino = ? WHERE parent = ? AND name = 'entry'",
                    b if version % 2 else a, parent)
            sql.touch(a, nlink=version + 3 - version % 2, mtime=version * 10**9)
            sql.touch(b, nlink=1 + version % 2, mtime=version * 10**9)
            sql.touch(sql.ino(top.name + "/link"), target=b"%d" % version, size=len(str(version)))

    seen = 0

    def came():
        nonlocal seen
        while os.path.lexists(top / f"v{seen + 1}"):
            seen += 1
        return seen

    watch(f"names, {options}", Writer(write, max(ttl / 5, 0.02)), ttl,
          [lambda: max(int(name[1:]) for name in os.listdir(top) if name[0] == "v"),
           lambda: max(int(name[1:]) for name in os.listdir(top) if name[0] == "v"),
           lambda: int(os.readlink(top / "link")), came,
           lambda: os.stat(top / "entry").st_mtime_ns // 10**9],
          max(ROUNDS * (ttl + SLACK), 1), "cache_ttl=0," in options)
    daemon.umount()


names(0.3, "cache_ttl=0.3,watch=0")
names(0, "cache_ttl=0,watch=0")
names(0.2, "cache_ttl=3600,watch=0",
      lambda path: os.setxattr(path, "user.recordfs.ttl", b"0.2"))
done()
