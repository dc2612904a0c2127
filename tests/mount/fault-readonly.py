"""F3: the store is read-only, or mounted ro. EROFS, and what is there can be read."""
from lib import *

faults = Faults()
daemon = Daemon("-o", faults.spec("write:EROFS"))
f = MNT / "f"
data = os.urandom(10000)
f.write_bytes(data)
os.mkdir(MNT / "d")
views = Views(f)
fd = os.open(f, os.O_RDWR)
with faults:
    fails(errno.EROFS, os.pwrite, fd, b"X" * 5000, 3000)
    fails(errno.EROFS, os.ftruncate, fd, 0)
    fails(errno.EROFS, os.mkdir, MNT / "new")
    fails(errno.EROFS, os.unlink, f)
    views.verify(data, "read-only")
os.pwrite(fd, b"Y", 0)
data = b"Y" + data[1:]
views.verify(data, "afterwards")
os.close(fd)
views.close()
daemon.umount()

digest = hashlib.sha256(STORE.read_bytes()).digest()
daemon = Daemon("-o", "ro")
same(data, f.read_bytes())
same(["d", "f"], sorted(os.listdir(MNT)))
for attempt in (lambda: os.open(f, os.O_RDWR), lambda: os.open(f, os.O_RDONLY | os.O_TRUNC),
                lambda: os.open(MNT / "new", os.O_CREAT | os.O_RDWR), lambda: os.mkdir(MNT / "n"),
                lambda: os.unlink(f), lambda: os.rename(f, MNT / "g"), lambda: os.chmod(f, 0),
                lambda: os.utime(f, (1, 1)), lambda: os.setxattr(f, "user.x", b"x"),
                lambda: os.truncate(f, 1), lambda: os.link(f, MNT / "l"),
                lambda: os.rmdir(MNT / "d"), lambda: os.symlink("x", MNT / "s")):
    fails(errno.EROFS, attempt)
same(data, f.read_bytes())
fails(errno.EROFS, os.rmdir, MNT / "d")
daemon.umount()
same(digest, hashlib.sha256(STORE.read_bytes()).digest(), "a store mounted ro is not altered")

# A read-only mount creates no store
STORE.rename(T / "kept.db")
refused = subprocess.run(["recordfs", "-o", "ro", STORE, MNT], capture_output=True, text=True)
assert refused.returncode != 0 and not STORE.exists(), refused
same(False, is_mounted(MNT))
(T / "kept.db").rename(STORE)
done()
