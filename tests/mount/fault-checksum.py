"""F7: a block that does not match its checksum. EIO, logged with path and offset, counted; the rest
of the file is served; overwritten whole it can be read again. The same for a block that vanished or
lies in the wrong place."""
from lib import *

B = 4096
daemon = Daemon()
(MNT / "dir").mkdir()
NAMES = ("flipped", "vanished", "emptied", "swapped", "short")
files = {name: MNT / "dir" / name for name in NAMES}
data = {}
for name, path in files.items():
    data[name] = os.urandom(8 * B)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    for i in range(0, 8 * B, B):  # a row a block
        os.pwrite(fd, data[name][i:i + B], i)
    os.close(fd)
inos = {name: path.stat().st_ino for name, path in files.items()}
daemon.umount()


def key(name, block):
    """The row that has the block."""
    return db.execute("SELECT max(key) FROM block WHERE key BETWEEN ? AND ?",
                      (inos[name] << 30, inos[name] << 30 | block)).fetchone()[0]


def place(name, block):
    """Where in its row's data the block begins."""
    return ((inos[name] << 30 | block) - key(name, block)) * B


db = sqlite3.connect(STORE, isolation_level=None)
row = bytearray(db.execute("SELECT data FROM block WHERE key = ?", (key("flipped", 3),)).fetchone()[0])
row[place("flipped", 3) + 7] ^= 1
db.execute("UPDATE block SET data = ? WHERE key = ?", (bytes(row), key("flipped", 3)))
for name in ("vanished", "emptied"):
    db.execute("DELETE FROM block WHERE key = ?", (key(name, 3),))
first, second = key("swapped", 2), key("swapped", 5)
if first != second:
    db.execute("UPDATE block SET key = 1 << 62 WHERE key = ?", (first,))
    db.execute("UPDATE block SET key = ? WHERE key = ?", (first, second))
    db.execute("UPDATE block SET key = ? WHERE key = 1 << 62", (second,))
else:
    row = bytearray(db.execute("SELECT data FROM block WHERE key = ?", (first,)).fetchone()[0])
    two, five = place("swapped", 2), place("swapped", 5)
    row[two:two + B], row[five:five + B] = row[five:five + B], row[two:two + B]
    db.execute("UPDATE block SET data = ? WHERE key = ?", (bytes(row), first))
db.execute("UPDATE block SET data = substr(data, 1, length(data) - 1) WHERE key = ?",
           (key("short", 7),))
db.close()

check = subprocess.run(["recordfsctl", "check", STORE], capture_output=True, text=True)
same(1, check.returncode, "recordfsctl check finds faults")
for name in NAMES:
    assert name in check.stdout + check.stderr, (name, check)

log = T / "daemon.log"
log.unlink()
daemon = Daemon()


def bad_blocks(name):
    fd = os.open(files[name], os.O_RDONLY | os.O_DIRECT)
    bad = []
    for i in range(8):
        try:
            same(data[name][i * B:(i + 1) * B], os.pread(fd, B, i * B), f"{name}, block {i}")
        except OSError as error:
            same(errno.EIO, error.errno)
            bad.append(i)
    os.close(fd)
    return bad


fails(errno.EIO, files["flipped"].read_bytes)
same([3], bad_blocks("flipped"))
same([3], bad_blocks("vanished"))
same([2, 5], bad_blocks("swapped"))
same([7], bad_blocks("short"))
failures = daemon.stats()["checksum_failures"]
assert failures >= 5, failures
text = log.read_text(errors="replace")
assert "/dir/flipped" in text and str(3 * B) in text, text

# Part of the block cannot be replaced, the whole can
fd = os.open(files["flipped"], os.O_RDWR)
fails(errno.EIO, os.pwrite, fd, b"part", 3 * B + 100)
same([3], bad_blocks("flipped"))
same(B, os.pwrite(fd, data["flipped"][3 * B:4 * B], 3 * B))
os.close(fd)
same(data["flipped"], files["flipped"].read_bytes())
same([], bad_blocks("flipped"))
# What had vanished comes back with its block, and what is made a hole afterwards is one
fd = os.open(files["vanished"], os.O_RDWR)
same(B, os.pwrite(fd, data["vanished"][3 * B:4 * B], 3 * B))
same([], bad_blocks("vanished"))
fallocate(fd, 3, 0, B)  # KEEP_SIZE, PUNCH_HOLE
same(bytes(B) + data["vanished"][B:], os.pread(fd, 8 * B, 0))
os.close(fd)
for name in ("swapped", "short", "emptied"):
    files[name].write_bytes(data[name])
    same(data[name], files[name].read_bytes())
done(daemon)
