"""Where we may, the kernel is told to read far ahead, and fewer requests do. What is read ahead is
right beside a damaged block as well, by read(2) and through a mapping."""
from lib import *

B = 4096
SIZE = 2048 * B
BAD = 1000  # block
daemon = Daemon()
path = MNT / "file"
data = os.urandom(SIZE)
path.write_bytes(data)
ino = path.stat().st_ino
daemon.umount()

daemon = Daemon()
device = os.stat(MNT).st_dev
ahead = pathlib.Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
far = os.access(ahead, os.W_OK)
if far:
    poll("the read-ahead", lambda: ahead.read_text().strip() == "512")
same(data, path.read_bytes())
requests = daemon.stats()["read_requests"]
assert not far or requests <= SIZE / (256 << 10), requests
daemon.umount()

# A block in the middle of what is read ahead is damaged
db = sqlite3.connect(STORE, isolation_level=None)
key, row = db.execute("SELECT key, data FROM block WHERE key <= ? ORDER BY key DESC LIMIT 1",
                      (ino << 30 | BAD,)).fetchone()
row = bytearray(row)
row[((ino << 30 | BAD) - key) * B] ^= 1
db.execute("UPDATE block SET data = ? WHERE key = ?", (bytes(row), key))
db.close()

daemon = Daemon()
fd = os.open(path, os.O_RDONLY)
at, bad = 0, []
while at < SIZE:
    try:
        got = os.pread(fd, 32 * B, at)
        assert got
        same(data[at:at + len(got)], got, f"at {at}")
        at += len(got)
    except OSError as error:
        same(errno.EIO, error.errno)
        bad.append(at // B)
        at += B
same([BAD], bad)
os.close(fd)
daemon.umount()

daemon = Daemon()
with open(path, "rb") as f:
    view = mmap.mmap(f.fileno(), SIZE, prot=mmap.PROT_READ)
    for block in (BAD + 1, BAD - 1, 0, 2047, BAD - 100, BAD + 100):
        same(data[block * B:(block + 1) * B], view[block * B:(block + 1) * B], f"block {block}")
    view.close()
# Written whole, it is good again
fd = os.open(path, os.O_WRONLY)
same(B, os.pwrite(fd, data[BAD * B:(BAD + 1) * B], BAD * B))
os.close(fd)
same(data, path.read_bytes())
done(daemon)
