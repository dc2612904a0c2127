"""A write is in the database when write(2) has returned, flushed as the level says, and the read
after it is warm: the store is not asked again."""
from lib import *

ROUNDS = 50


def counted(daemon, *names):
    stats = daemon.stats()
    return tuple(stats[name] for name in names)


# Always: seen beside the mount at once, one flush or more for each write of a lone writer
daemon = Daemon()
f = MNT / "f"
fd = os.open(f, os.O_RDWR | os.O_CREAT)
model = bytearray(100000)
os.ftruncate(fd, len(model))
before = counted(daemon, "store_flushes", "store_commits", "store_write_requests", "write_requests")
for i in range(ROUNDS):
    offset, piece = i * 1777, os.urandom(100 + i * 61)
    os.pwrite(fd, piece, offset)
    model[offset:offset + len(piece)] = piece
    if i % 10 == 0:
        same(bytes(model), stored("f"), f"after write {i}")
after = counted(daemon, "store_flushes", "store_commits", "store_write_requests", "write_requests")
for name, b, a in zip(("flushes", "commits", "changes", "write requests"), before, after):
    assert a - b >= ROUNDS, f"{name}: {b} -> {a} in {ROUNDS} writes"
os.ftruncate(fd, 50000)
same(bytes(model[:50000]), stored("f"), "truncate")
os.close(fd)

# What was written is warm, in both tiers
for size in (10, 4096, 70000, 1 << 20):
    data = os.urandom(size)
    (MNT / "warm").write_bytes(data)
    (reads, hits) = counted(daemon, "store_reads", "cache_hits")
    same(data, (MNT / "warm").read_bytes())
    same(reads, counted(daemon, "store_reads")[0], f"store reads for {size} bytes, cached")
    same(data, read_direct(MNT / "warm"))
    (reads_after, hits_after) = counted(daemon, "store_reads", "cache_hits")
    same(reads, reads_after, f"store reads for {size} bytes, past the page cache")
    assert hits_after > hits, "the daemon's cache served it"

# A cold read fills both
daemon.umount()
daemon = Daemon()
data = (MNT / "warm").read_bytes()
same(data, read_direct(MNT / "warm"))
(reads,) = counted(daemon, "store_reads")
same(data, read_direct(MNT / "warm"))
same(data, (MNT / "warm").read_bytes())
same((reads,), counted(daemon, "store_reads"))
daemon.umount()

# Standard: committed, flushed by fsync and fdatasync
daemon = Daemon("-o", "sync=standard")
fd = os.open(f, os.O_RDWR)
for sync in (os.fsync, os.fdatasync):
    os.pwrite(fd, b"new", 0)
    same(b"new", stored("f")[:3])
    (flushes,) = counted(daemon, "store_flushes")
    os.pwrite(fd, b"NEW", 0)
    sync(fd)
    assert counted(daemon, "store_flushes")[0] > flushes, sync
    same(b"NEW", stored("f")[:3])
os.pwrite(fd, b"later", 0)
(flushes,) = counted(daemon, "store_flushes")
os.pwrite(fd, b"LATER", 0)
poll("the flush that comes by itself", lambda: counted(daemon, "store_flushes")[0] > flushes)
dsync = os.open(f, os.O_WRONLY | os.O_DSYNC)
(flushes,) = counted(daemon, "store_flushes")
os.pwrite(dsync, b"sync", 0)
assert counted(daemon, "store_flushes")[0] > flushes, "O_DSYNC"
os.close(dsync)
directory = os.open(MNT, os.O_RDONLY)
os.mkdir(MNT / "d")
os.fsync(directory)
os.close(directory)
os.close(fd)
daemon.umount()

# Disabled: committed, and fsync flushes nothing
daemon = Daemon("-o", "sync=disabled")
fd = os.open(f, os.O_RDWR)
os.pwrite(fd, b"scratch", 0)
same(b"scratch", stored("f")[:7])
(flushes,) = counted(daemon, "store_flushes")
for _ in range(20):
    os.pwrite(fd, b"SCRATCH", 0)
    os.fsync(fd)
same((flushes,), counted(daemon, "store_flushes"))
os.close(fd)
done(daemon)
