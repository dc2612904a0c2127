"""Concurrent writes share transactions and flushes, and each of them is atomic."""
from lib import *

WRITERS, ROUNDS, SIZE = 8, 40, 30000
faults = Faults()
daemon = Daemon("-o", faults.spec("commit:delay=50"))
for who in range(WRITERS):
    (MNT / f"f{who}").write_bytes(bytes([who]) * SIZE)
(MNT / "shared").write_bytes(bytes([255]) * SIZE)


def writer(who, files=("own", "shared")):
    own = os.open(MNT / f"f{who}", os.O_RDWR)
    shared = os.open(MNT / "shared", os.O_RDWR)
    for i in range(ROUNDS):
        data = bytes([who * 16 + i % 16]) * SIZE
        same(SIZE, os.pwrite(own, data, 0))
        same(data, os.pread(own, SIZE, 0), "own data, after the write")
        if "shared" in files:  # one at a time writes to a file: the kernel's rule
            same(SIZE, os.pwrite(shared, data, 0))


def reader():
    """Whatever is read of one request is of one write."""
    own = os.open(MNT / "shared", os.O_RDONLY | os.O_DIRECT)
    for _ in range(ROUNDS * 4):
        data = os.pread(own, SIZE, 0)
        same({data[0]}, set(data), "a read sees one write")
        data = stored("shared")
        same({data[0]}, set(data), "the store has one write")


before = daemon.stats()
with faults:  # slow commits gather the writes of everybody
    join(*[child(writer, who, ("own",)) for who in range(WRITERS)])
after = daemon.stats()
commits = after["store_commits"] - before["store_commits"]
writes = after["store_write_requests"] - before["store_write_requests"]
assert writes >= WRITERS * ROUNDS, writes
assert commits < writes / 2, f"{commits} commits for {writes} writes of {WRITERS} writers"
join(*[child(writer, who) for who in range(WRITERS)], child(reader))
for who in range(WRITERS):
    same(bytes([who * 16 + (ROUNDS - 1) % 16]) * SIZE, stored(f"f{who}"))
done(daemon)
