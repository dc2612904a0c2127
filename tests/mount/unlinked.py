"""A file that is open stays when its name goes; its space comes back with the last close, and
after a crash with the next mount."""
from lib import *

SIZE = 8 << 20
daemon = Daemon()
os.chdir(MNT)


def used():
    s = os.statvfs(MNT)
    return (s.f_blocks - s.f_bfree) * s.f_frsize


def inodes():
    s = os.statvfs(MNT)
    return s.f_files - s.f_ffree


base, base_inodes = used(), inodes()
fd = os.open("f", os.O_RDWR | os.O_CREAT)
data = os.urandom(SIZE)
os.write(fd, data)
os.unlink("f")
same([], os.listdir("."))
same(0, os.fstat(fd).st_nlink)
same(True, data == os.pread(fd, SIZE, 0))
os.pwrite(fd, b"still written", 100)
same(b"still written", os.pread(fd, 13, 100))
os.fchmod(fd, 0o600)
os.ftruncate(fd, SIZE + 4096)
same(SIZE + 4096, os.fstat(fd).st_size)
os.setxattr(fd, "user.x", b"y")
fails(errno.ENOENT, link_handle, fd, "again")
assert used() >= base + SIZE
os.close(fd)
poll("the space comes back", lambda: used() < base + SIZE // 2)
poll("the inode comes back", lambda: inodes() == base_inodes)

# A directory that is somebody's working directory
os.mkdir("d")
os.chdir("d")
os.rmdir("../d")
same([], os.listdir("."))
fails(errno.ENOENT, open, "new", "w")
os.chdir(MNT)

# Replaced by a rename, with a handle and a mapping
(MNT / "a").write_bytes(data)
fd = os.open("a", os.O_RDONLY)
(MNT / "b").write_bytes(b"small")
os.rename("b", "a")
same(True, data == os.pread(fd, SIZE, 0))
os.close(fd)

# After a crash: the unlinked file is nowhere, and its space is free again
fd = os.open("orphan", os.O_RDWR | os.O_CREAT)
os.write(fd, data)
os.unlink("orphan")
os.chdir("/")
daemon.crash()
fails(errno.ENOTCONN, os.pread, fd, 1, 0)
os.close(fd)
daemon.clear()
daemon = Daemon()
same(["a"], os.listdir(MNT))
poll("the space comes back", lambda: used() < base + SIZE // 2)
poll("the inode comes back", lambda: inodes() == base_inodes + 1)
same(b"small", (MNT / "a").read_bytes())
poll("the store's file shrinks", lambda: STORE.stat().st_size < SIZE // 2)
done(daemon)
