"""What is cached is served until its time is over, and never afterwards."""
from lib import *


def reads(daemon):
    return daemon.stats()["store_reads"]


# Never from a cache
daemon = Daemon("-o", "cache_ttl=0")
f = MNT / "f"
data = os.urandom(50000)
f.write_bytes(data)
for read in (lambda: read_direct(f), f.read_bytes):
    for _ in range(3):
        before = reads(daemon)
        same(data, read())
        assert reads(daemon) > before, "served from a cache"
daemon.umount()

# Time goes by: the store is asked again, in a handle and a mapping that stay open too
daemon = Daemon("-o", "cache_ttl=0.2,watch=0")
same(data, f.read_bytes())
fd = os.open(f, os.O_RDONLY)


def asked_again(read):
    before = reads(daemon)
    same(data, read())
    return reads(daemon) > before


poll("the daemon's cache expires", lambda: asked_again(lambda: read_direct(f)))
poll("the kernel's cache expires", lambda: asked_again(lambda: os.pread(fd, len(data), 0)))
poll("expired blocks are counted", lambda: (read_direct(f), daemon.stats()["cache_expired"])[1] > 0)
os.close(fd)
daemon.umount()

# What a symlink points to and what is in a directory are kept by the kernel as well
daemon = Daemon("-o", "cache_ttl=0.2,watch=0")
os.symlink("old", MNT / "link")
os.mkdir(MNT / "dir")
(MNT / "dir" / "old").touch()
same("old", os.readlink(MNT / "link"))
same(["old"], os.listdir(MNT / "dir"))
db = sqlite3.connect(STORE, timeout=60)
with db:
    db.execute("UPDATE inode SET target = CAST('new' AS BLOB) WHERE target IS NOT NULL")
    db.execute("UPDATE dentry SET name = 'new' WHERE name = 'old'")
db.close()
poll("the target expires", lambda: os.readlink(MNT / "link") == "new")
poll("the entries expire", lambda: os.listdir(MNT / "dir") == ["new"])
os.unlink(MNT / "link")
daemon.umount()

# A file's own TTL, and what is created inherits a directory's
daemon = Daemon("-o", "cache_ttl=3600")
os.mkdir(MNT / "short")
os.setxattr(MNT / "short", "user.recordfs.ttl", b"0")
g = MNT / "short" / "g"
g.write_bytes(data)
same(b"0", os.getxattr(g, "user.recordfs.ttl"))
(MNT / "short" / "sub").mkdir()
same(b"0", os.getxattr(MNT / "short" / "sub", "user.recordfs.ttl"))
same(True, asked_again(lambda: read_direct(g)), "a TTL of 0")
same(data, f.read_bytes())
same(data, read_direct(f))
same(False, asked_again(lambda: read_direct(f)), "a TTL of an hour")
for path in (MNT / "short", g):
    os.setxattr(path, "user.recordfs.ttl", b"3600")
read_direct(g)
same(False, asked_again(lambda: read_direct(g)), "a TTL that became longer")
os.setxattr(f, "user.recordfs.ttl", b"0")
same(True, asked_again(lambda: read_direct(f)), "a TTL that became shorter")
same(True, asked_again(f.read_bytes), "a TTL that became shorter, by the kernel's cache")
done(daemon)
