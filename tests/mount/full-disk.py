# timeout: 1200
"""ENOSPC at every step: on a small disk that somebody else fills up, to a few KiB and then to the
last byte, every kind of change is made until there is no space, and the same at the store's own
limit. What was told as failed is not there, what was acknowledged is; taking away works with no
byte free, makes room, and the store can be unmounted, mounted, killed and mounted again.
RFS_SEED=N repeats a run, RFS_LONG=1 leaves every number of pages free."""
import random

from lib import *

if os.getuid() != 0:
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
PAGE = 4096
DISK = T / "disk"
STORE = DISK / "store.db"
DISK.mkdir()
SEED = int(os.environ.get("RFS_SEED", random.randrange(10 ** 6)))
print("seed", SEED, flush=True)
rng = random.Random(SEED)
counts = {"refused": 0, "done": 0, "rounds": 0}


class Tree:
    """What must be below the mountpoint: the model."""

    def __init__(self):
        self.files = {}    # name -> (inode of the model: [contents, xattrs])
        self.dirs = set()
        self.links = {}    # name -> target
        self.n = 0

    def name(self):
        self.n += 1
        return f"n{self.n}" + "x" * rng.choice((0, 0, 100))

    def verify(self, what):
        same(sorted([*self.files, *self.dirs, *self.links]), sorted(os.listdir(MNT)), what)
        for name, (data, xattrs) in self.files.items():
            path = MNT / name
            same(len(data), path.stat().st_size, f"{what}: {name}")
            same(hashlib.sha256(data).digest(), hashlib.sha256(read_direct(path)).digest(),
                 f"{what}: {name}")
            same(xattrs, {a: os.getxattr(path, a) for a in os.listxattr(path)}, what)
        for name in self.dirs:
            same([], os.listdir(MNT / name), what)
        for name, target in self.links.items():
            same(target, os.readlink(MNT / name), what)


def attempt(call, *args):
    """Did it work, or was there no space? Nothing else is an answer."""
    try:
        result = call(*args)
    except OSError as error:
        same(errno.ENOSPC, error.errno, repr(error))
        counts["refused"] += 1
        return None
    counts["done"] += 1
    return True if result is None else result


def opened(path, flags, call):
    fd = os.open(path, flags)
    try:
        return call(fd)
    finally:
        os.close(fd)


def write(tree):
    name = rng.choice(list(tree.files))
    inode = tree.files[name]
    data = rng.randbytes(rng.choice((1, 100, PAGE, 3 * PAGE, 65536, 200000)))
    at = rng.randrange(len(inode[0]) + 5000)
    n = attempt(opened, MNT / name, os.O_WRONLY, lambda fd: os.pwrite(fd, data, at))
    if n:
        inode[0] = inode[0].ljust(at, b"\0")
        inode[0] = inode[0][:at] + data[:n] + inode[0][at + n:]
    return n == len(data)


def create(tree):
    name = tree.name()
    fd = attempt(os.open, MNT / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    if fd is not None:
        os.close(fd)
        tree.files[name] = [b"", {}]
    return fd is not None


def mkdir(tree):
    name = tree.name()
    done = attempt(os.mkdir, MNT / name)
    if done:
        tree.dirs.add(name)
    return done


def symlink(tree):
    name, target = tree.name(), "t" * rng.randrange(1, 4000)
    done = attempt(os.symlink, target, MNT / name)
    if done:
        tree.links[name] = target
    return done


def link(tree):
    old, name = rng.choice(list(tree.files)), tree.name()
    done = attempt(os.link, MNT / old, MNT / name)
    if done:
        tree.files[name] = tree.files[old]
    return done


def rename(tree):
    old, name = rng.choice(list(tree.files)), tree.name() + "y" * 100
    done = attempt(os.rename, MNT / old, MNT / name)
    if done:
        tree.files[name] = tree.files.pop(old)
    return done


def setxattr(tree):
    inode = tree.files[name := rng.choice(list(tree.files))]
    key, value = f"user.{rng.randrange(20)}", rng.randbytes(rng.randrange(10000))
    done = attempt(os.setxattr, MNT / name, key, value)
    if done:
        inode[1][key] = value
    return done


def grow(tree):
    inode = tree.files[name := rng.choice(list(tree.files))]
    size = len(inode[0]) + rng.randrange(300000)
    done = attempt(os.truncate, MNT / name, size)
    if done:
        inode[0] = inode[0].ljust(size, b"\0")
    return done


def allocate(tree):
    inode = tree.files[name := rng.choice(list(tree.files))]
    size = len(inode[0]) + rng.randrange(1, 100000)
    done = attempt(opened, MNT / name, os.O_WRONLY, lambda fd: fallocate(fd, 0, 0, size))
    if done:
        inode[0] = inode[0].ljust(size, b"\0")
    return done


KINDS = (write, create, mkdir, symlink, link, rename, setxattr, grow, allocate)


def fill(tree):
    """Every kind until it is refused, in turns; then all of them are tried once more."""
    left = list(KINDS)
    for _ in range(3000):
        if not left:
            break
        kind = rng.choice(left)
        if not kind(tree) and kind is not rename and kind is not grow:
            left.remove(kind)
        if set(left) <= {rename, grow}:
            break
    for kind in KINDS:
        kind(tree)


def take_away(tree):
    """These work whatever is free."""
    names = sorted(tree.files, key=lambda n: len(tree.files[n][0]))
    for name in names[len(names) // 2:]:
        inode = tree.files[name]
        size = rng.randrange(len(inode[0]) + 1)
        os.truncate(MNT / name, size)
        inode[0] = inode[0][:size]
    for name in names[::2]:
        os.unlink(MNT / name)
        del tree.files[name]
    for name in list(tree.dirs)[::2]:
        os.rmdir(MNT / name)
        tree.dirs.remove(name)
    for name in list(tree.links)[::2]:
        os.unlink(MNT / name)
        del tree.links[name]
    for name, (_, xattrs) in tree.files.items():
        for key in list(xattrs)[::2]:
            os.removexattr(MNT / name, key)
            del xattrs[key]


class Hog:
    """Somebody else, who fills the disk up."""
    path = DISK / "hog"

    def leave(self, free):
        s = os.statvfs(DISK)
        with open(self.path, "ab") as f:
            want = s.f_bavail * s.f_frsize - free
            if want > 0:
                os.posix_fallocate(f.fileno(), f.tell(), want)

    def take_all(self):
        self.leave(0)
        same(0, os.statvfs(DISK).f_bavail, "bytes free")

    def go(self):
        self.path.unlink(missing_ok=True)


def start():
    tree = Tree()
    for name in ("first", "second", "third"):
        tree.files[name] = [rng.randbytes(rng.randrange(100000, 250000)), {}]
        (MNT / name).write_bytes(tree.files[name][0])
    (MNT / "second").touch()
    return tree


def room_comes_back(tree, least):
    """Most of what was taken away can be written again."""
    s = os.statvfs(MNT)
    assert s.f_bavail * s.f_frsize >= least, (s.f_bavail * s.f_frsize, least)
    tree.files["again"] = [data := rng.randbytes(least // 2), {}]
    poll("room", lambda: attempt(lambda: (MNT / "again").write_bytes(data)))
    tree.verify("written again")


def on_disk(free):
    hog = Hog()
    daemon = Daemon(store=STORE)
    tree = start()
    hog.leave(free)
    fill(tree)
    tree.verify(f"full, with {free} bytes left")
    hog.take_all()
    fill(tree)
    tree.verify("full to the last byte")
    size = sum(len(data) for data, _ in tree.files.values())
    take_away(tree)
    tree.verify("taken away with no byte free")
    hog.take_all()
    daemon.umount()
    hog.take_all()
    subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
    daemon = Daemon("-o", "ro", store=STORE)
    tree.verify("read-only, no byte free")
    daemon.umount()
    hog.take_all()
    daemon = Daemon(store=STORE)
    tree.verify("mounted with no byte free")
    hog.take_all()
    take_away(tree)
    tree.verify("taken away again")
    daemon.crash()
    daemon.clear()
    hog.take_all()
    daemon = Daemon(store=STORE)
    tree.verify("killed, and mounted with no byte free")
    take_away(tree)
    hog.go()
    room_comes_back(tree, 1 << 20)
    daemon.umount()
    subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
    for path in DISK.glob("store.db*"):
        path.unlink()
    counts["rounds"] += 1


def at_limit(limit):
    options = ("-o", f"max_size={limit}")
    daemon = Daemon(*options, store=STORE)
    tree = start()
    fill(tree)
    tree.verify("at the limit")
    daemon.crash()
    daemon.clear()
    daemon = Daemon(*options, store=STORE)
    tree.verify("at the limit, after kill -9")
    fill(tree)
    before = sum(len(data) for data, _ in tree.files.values())
    take_away(tree)
    tree.verify("taken away at the limit")
    daemon.umount()
    subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
    daemon = Daemon(*options, store=STORE)
    for name in sorted(tree.files)[::2]:
        os.unlink(MNT / name)
        del tree.files[name]
    room_comes_back(tree, 100000)
    daemon.umount()
    assert STORE.stat().st_size <= limit + (1 << 20), STORE.stat().st_size
    for path in DISK.glob("store.db*"):
        path.unlink()
    counts["rounds"] += 1


subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", DISK], check=True)
levels = range(0, 400) if LONG else (0, 1, 2, 3, *(rng.randrange(4, 400) for _ in range(4)))
for pages in levels:
    on_disk(pages * PAGE)
for limit in range(1 << 20, (4 << 20) + 1, PAGE * 64 if LONG else 1 << 20):
    at_limit(limit)
print(counts)
subprocess.run(["umount", DISK], check=True)
