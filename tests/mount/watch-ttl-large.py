"""The bound of watch-ttl.py for a large file: the kernel takes a while to drop all its pages."""
from lib import *

SIZE = 512 << 20
TTL = 1.0
# Beside a sanitizer's daemon the kernel's drop of 131,072 pages is not the only thing that takes long.
SLACK = 0.1 if float(os.environ.get("RFS_TIMEOUT_FACTOR", "1")) <= 1 else 0.4
daemon = Daemon("-o", "cache_ttl=1,watch=0,sync=standard")
path = MNT / "large"
with open(path, "wb") as f:
    f.truncate(SIZE)
    f.seek(SIZE - 65536)
    f.write(b"%08d" % 0 + bytes(65528))
fd = os.open(path, os.O_RDONLY)
mapping = mmap.mmap(fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
sql = Sql()
ino = os.fstat(fd).st_ino
replaced = []
late = []
for version in range(1, 4):
    for offset in range(0, SIZE, 1 << 20):
        os.pread(fd, 1 << 20, offset)
    with sql:
        sql.run("UPDATE block SET data = ?, sums = NULL WHERE key = ?",
                b"%08d" % version + bytes(65528), ino << 30 | (SIZE - 65536) >> 12)
        sql.touch(ino)
    replaced.append(time.monotonic())
    while time.monotonic() < replaced[-1] + 1.5 * TTL:
        for view in (lambda: os.pread(fd, 8, SIZE - 65536),
                     lambda: mapping[SIZE - 65536:SIZE - 65528]):
            began = time.monotonic()
            shown = int(view())
            if shown < len(replaced) and began - replaced[shown] > TTL + SLACK:
                late.append((version, shown, round(began - replaced[shown] - TTL - SLACK, 4)))
same([], late[:5], f"(version, shown, seconds too old), {len(late)}")
mapping.close()
os.close(fd)
sql.close()
done(daemon)
