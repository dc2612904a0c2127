"""F1: the store fails before the commit. EIO, and nothing changed: not in the store, not in either
cache, not through a mapping. When the fault has passed everything works again."""
from lib import *

KEEP, PUNCH, ZERO = 1, 2, 16
faults = Faults()


def attempts(fd, f, d):
    """Every kind of change."""
    return {
        "overwrite": lambda: os.pwrite(fd, b"X" * 4096, 4096),
        "a part of a block": lambda: os.pwrite(fd, b"X" * 100, 5000),
        "over two blocks": lambda: os.pwrite(fd, b"X" * 5000, 8000),
        "extend": lambda: os.pwrite(fd, b"X" * 100, 1 << 20),
        "shrink": lambda: os.ftruncate(fd, 5),
        "grow": lambda: os.ftruncate(fd, 1 << 21),
        "O_TRUNC": lambda: os.open(f, os.O_RDWR | os.O_TRUNC),
        "allocate": lambda: fallocate(fd, 0, 0, 1 << 20),
        "punch": lambda: fallocate(fd, PUNCH | KEEP, 0, 4096),
        "zero": lambda: fallocate(fd, ZERO, 100, 10000),
        "copy": lambda: os.copy_file_range(fd, fd, 4096, 0, 8192),
        "chmod": lambda: os.chmod(f, 0o600),
        "utime": lambda: os.utime(f, (1, 1)),
        "setxattr": lambda: os.setxattr(f, "user.new", b"x"),
        "removexattr": lambda: os.removexattr(f, "user.old"),
        "create": lambda: os.open(d / "new", os.O_CREAT | os.O_RDWR),
        "mkdir": lambda: os.mkdir(d / "new"),
        "symlink": lambda: os.symlink("x", d / "new"),
        "mkfifo": lambda: os.mkfifo(d / "new"),
        "link": lambda: os.link(f, d / "new"),
        "unlink": lambda: os.unlink(f),
        "rmdir": lambda: os.rmdir(d / "empty"),
        "rename": lambda: os.rename(f, d / "new"),
        "rename over": lambda: os.rename(d / "other", f),
        "exchange": lambda: renameat2(d / "other", f, 2),
    }


def state(d):
    """All that can be seen of the tree."""
    found = {}
    for p in sorted(d.rglob("*")):
        s = p.lstat()
        found[p] = (s.st_ino, s.st_mode, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns,
                    tuple(os.listxattr(p, follow_symlinks=False)))
    return found


def try_level(level):
    daemon = Daemon("-o", f"sync={level}," + faults.spec("write:EIO"))
    d = MNT / level
    (d / "empty").mkdir(parents=True)
    f = d / "f"
    data = os.urandom(20000)
    f.write_bytes(data)
    os.setxattr(f, "user.old", b"x")
    (d / "other").write_bytes(b"other")
    views = Views(f)
    fd = os.open(f, os.O_RDWR)
    before = state(d)
    with faults:
        for what, attempt in attempts(fd, f, d).items():
            fails(errno.EIO, attempt)
            views.verify(data, what)
            same(before, state(d), what)
    assert daemon.stats()["faults_injected"] >= len(attempts(fd, f, d))
    assert daemon.stats()["store_failures"] >= 1

    # The fault has passed
    os.pwrite(fd, b"Y" * 5000, 100)
    data = data[:100] + b"Y" * 5000 + data[5100:]
    views.verify(data, "afterwards")
    os.close(fd)
    views.close()
    daemon.umount()
    daemon = Daemon()
    same(data, f.read_bytes())
    same(["empty", "f", "other"], sorted(os.listdir(d)))
    daemon.umount()


for level in ("always", "standard", "disabled"):
    try_level(level)
done()
