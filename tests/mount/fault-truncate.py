"""F5 for what the kernel holds pages for: a truncation that fails after its commit. The new size is
seen as soon as it has failed, also while the kernel cannot drop pages yet."""
from lib import *

faults = Faults()
slow = Faults()
slow.path = T / "slow"
daemon = Daemon("-o", faults.spec("cache:ENOMEM") + "+read:delay=3000:file=" + str(slow.path))


def read_slowly():
    """The kernel holds the pages that it waits for, and the notifier waits for them."""
    fd = os.open(MNT / "other", os.O_RDONLY)
    os.pread(fd, 4096, 0)


def write_and_fail():
    """Far from what is read, or the kernel would wait with it."""
    fd = os.open(MNT / "other", os.O_WRONLY)
    fails(errno.EIO, os.pwrite, fd, b"x" * 10, 900000)


def truncate(size):
    before = daemon.stats()["read_requests"]
    slow.path.touch()
    pids = [child(read_slowly)]
    poll("a read under way", lambda: daemon.stats()["read_requests"] > before)
    failures = daemon.stats()["cache_update_failures"]
    with faults:
        pids.append(child(write_and_fail))
        poll("a write that failed", lambda: daemon.stats()["cache_update_failures"] > failures)
        fails(errno.EIO, os.truncate, f, size)
    same(size, os.stat(f).st_size, "the size")
    slow.path.unlink()
    same((b"data" * 5000)[:size].ljust(size, b"\0"), f.read_bytes(), "the data")
    join(*pids)


f = MNT / "f"
for wanted in (100, 4096, 50000):
    f.write_bytes(b"data" * 5000)
    (MNT / "other").write_bytes(bytes(1 << 20))
    os.setxattr(MNT / "other", "user.recordfs.ttl", b"0.001")  # each read asks the store
    same(b"data" * 5000, f.read_bytes())
    same(20000, os.stat(f).st_size)  # which the kernel keeps, as nothing is read any more
    truncate(wanted)
done(daemon)
