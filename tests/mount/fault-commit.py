"""F4: the commit itself fails, or the flush. EIO, and the write is not there: not now, not after a
crash; the mount recovers when the fault has passed."""
from lib import *

faults = Faults()


def writable(path):
    """Whether a write goes through; a mount that settles a failed commit may refuse for a while."""
    try:
        path.write_bytes(b"probe")
        return True
    except OSError as error:
        same(errno.EIO, error.errno)
        return False


def try_rule(rule, crash, level="always"):
    daemon = Daemon("-o", f"sync={level}," + faults.spec(rule))
    f = MNT / f"{rule}-{crash}-{level}".replace(":", "-")
    data = os.urandom(20000)
    f.write_bytes(data)
    views = Views(f)
    fd = os.open(f, os.O_RDWR)
    views.verify(data, "before")
    with faults:
        for offset, length in ((4096, 4096), (100, 5000), (19000, 4000), (0, 20000)):
            fails(errno.EIO, os.pwrite, fd, b"X" * length, offset)
            views.verify(data, f"{rule}: {length} at {offset}")
        fails(errno.EIO, os.ftruncate, fd, 10)
        views.verify(data, f"{rule}: truncate")
        if rule.startswith("flush"):
            # A name is committed without a flush; what was not flushed cannot be promised
            os.mkdir(MNT / f"unflushed-{crash}")
            fails(errno.EIO, os.fsync, fd)
        else:
            fails(errno.EIO, os.mkdir, MNT / "never")
            same(False, (MNT / "never").exists())
        if crash:
            daemon.crash()
    os.close(fd)
    views.close()
    if crash:
        daemon.clear()
        daemon = Daemon()
        same(data, f.read_bytes())
    else:
        poll("writing works again", lambda: writable(MNT / "probe"))
        same(data, f.read_bytes())
        same(0, daemon.stats()["store_degraded"])
        f.write_bytes(data[::-1])
        daemon.crash()
        daemon.clear()
        daemon = Daemon()
        same(data[::-1], f.read_bytes())
    daemon.umount()


for rule in ("commit:EIO", "flush:EIO"):
    for crash in (False, True):
        try_rule(rule, crash)
for level in ("standard", "disabled"):
    try_rule("commit:EIO", True, level)

# Every third commit fails, under four writers: what was acknowledged is there, what was not is not
daemon = Daemon("-o", "fault=commit:EIO:every=3")
NAMES = [MNT / f"w{i}" for i in range(4)]
for path in NAMES:
    poll("creation", lambda: writable(path))


def writer(path):
    mark = path.name[-1].encode()
    last = None
    fd = os.open(path, os.O_RDWR)
    failed = 0
    for i in range(60):
        block = mark * 100 + i.to_bytes(4, "big") * 999
        try:
            os.pwrite(fd, block, 0)
            last = block
        except OSError as error:
            same(errno.EIO, error.errno)
            failed += 1
        if last is not None:
            same(last, os.pread(fd, len(block), 0), "only acknowledged data")
    assert failed and last, (failed, last)
    os.close(fd)


join(*[child(writer, path) for path in NAMES])
contents = [path.read_bytes() for path in NAMES]
same(contents, [stored(path.name) for path in NAMES])
daemon.crash()
daemon.clear()
daemon = Daemon()
same(contents, [path.read_bytes() for path in NAMES])
done(daemon)
