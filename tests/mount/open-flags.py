"""What each flag of open(2) promises."""
from lib import *

daemon = Daemon()
os.chdir(MNT)


def content(name):
    with open(name, "rb") as f:
        return f.read()


def put(name, data, flags):
    fd = os.open(name, flags, 0o644)
    same(len(data), os.write(fd, data))
    os.close(fd)


# O_CREAT, O_EXCL
fails(errno.ENOENT, os.open, "f", os.O_RDWR)
os.close(os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
fails(errno.EEXIST, os.open, "f", os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.symlink("nowhere", "dangling")
fails(errno.EEXIST, os.open, "dangling", os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.close(os.open("dangling", os.O_RDWR | os.O_CREAT))
same(0, os.stat("nowhere").st_size)

# Access modes
put("f", b"0123456789", os.O_WRONLY)
fd = os.open("f", os.O_RDONLY)
fails(errno.EBADF, os.write, fd, b"x")
os.close(fd)
fd = os.open("f", os.O_WRONLY)
fails(errno.EBADF, os.read, fd, 1)
os.close(fd)

# A mode without write permission holds from the next open on
fd = os.open("readonly", os.O_RDWR | os.O_CREAT, 0o400)
same(3, os.write(fd, b"abc"))
same(b"bc", os.pread(fd, 10, 1))
os.close(fd)

# Overwriting in the middle keeps the rest; O_TRUNC does not
fd = os.open("f", os.O_WRONLY)
os.pwrite(fd, b"XY", 3)
os.close(fd)
same(b"012XY56789", content("f"))
put("f", b"new", os.O_WRONLY | os.O_TRUNC)
same(b"new", content("f"))
os.close(os.open("f", os.O_RDONLY | os.O_TRUNC))
same(0, os.stat("f").st_size)

# O_APPEND goes to the end whatever the position; pread still reads anywhere
put("f", b"one", os.O_WRONLY)
fd = os.open("f", os.O_RDWR | os.O_APPEND)
os.lseek(fd, 0, os.SEEK_SET)
os.write(fd, b"two")
same(b"onetwo", os.pread(fd, 100, 0))
os.truncate("f", 1)
os.write(fd, b"three")
same(b"othree", content("f"))
os.close(fd)

# O_SYNC, O_DSYNC, O_DIRECT (any alignment), all of them together
for flags in (os.O_SYNC, os.O_DSYNC, os.O_DIRECT, os.O_DIRECT | os.O_SYNC | os.O_APPEND):
    data = os.urandom(70001)
    put("g", data, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags)
    same(data, content("g"), hex(flags))
    fd = os.open("g", os.O_RDWR | flags)
    same(data[4097:4197], os.pread(fd, 100, 4097))
    os.close(fd)

# O_DIRECTORY, O_NOFOLLOW, O_PATH, O_NOATIME
fails(errno.ENOTDIR, os.open, "f", os.O_RDONLY | os.O_DIRECTORY)
fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
os.symlink("f", "s")
fails(errno.ELOOP, os.open, "s", os.O_RDONLY | os.O_NOFOLLOW)
fd = os.open("s", os.O_PATH | os.O_NOFOLLOW)
same(True, stat.S_ISLNK(os.fstat(fd).st_mode))
os.close(fd)
os.close(os.open("f", os.O_RDONLY | os.O_NOATIME))

# O_TMPFILE where libfuse offers it: no name, then one
try:
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
except OSError as error:
    same(errno.EOPNOTSUPP, error.errno)
else:
    before = sorted(os.listdir("."))
    os.write(fd, b"unnamed")
    same(0, os.fstat(fd).st_nlink)
    link_handle(fd, "named")
    os.close(fd)
    same(b"unnamed", content("named"))
    same(sorted(before + ["named"]), sorted(os.listdir(".")))

# Writes of no bytes, of odd places, over several blocks, and larger than one request
fd = os.open("big", os.O_RDWR | os.O_CREAT)
same(0, os.write(fd, b""))
same(0, os.fstat(fd).st_size)
model = bytearray()
for offset, length in ((0, 1), (4095, 2), (8191, 4098), (100, 130000), (131071, 1 << 20),
                       (5, 3 << 20), ((3 << 20) + 7, (2 << 20) + 12345)):
    data = os.urandom(length)
    same(length, os.pwrite(fd, data, offset), "written")
    if len(model) < offset:
        model.extend(bytes(offset - len(model)))
    model[offset:offset + length] = data
    same(len(model), os.fstat(fd).st_size)
    same(True, bytes(model) == content("big"), f"after {length} at {offset}")
same(b"", os.pread(fd, 10, len(model)))
same(bytes(model[-3:]), os.pread(fd, 10, len(model) - 3))
fails(errno.EFBIG, os.pwrite, fd, b"x", (1 << 62) + 5)
os.close(fd)
os.chdir("/")
daemon.umount()
daemon = Daemon()
same(True, bytes(model) == content(MNT / "big"), "after the remount")
done(daemon)
