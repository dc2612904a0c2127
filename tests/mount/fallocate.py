"""fallocate(2): preallocate, keep size, punch hole, zero range; what is not offered says so."""
from lib import *

KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
B = 4096
daemon = Daemon()
path = MNT / "f"
fd = os.open(path, os.O_RDWR | os.O_CREAT)


def fresh(blocks):
    os.ftruncate(fd, 0)
    data = os.urandom(blocks * B)
    os.pwrite(fd, data, 0)
    return bytearray(data)


def verify(model, what):
    same(len(model), os.fstat(fd).st_size, what)
    same(True, bytes(model) == os.pread(fd, len(model) + 1, 0), what)


# Preallocation extends with zeros and leaves what is there alone
os.pwrite(fd, b"data", 0)
fallocate(fd, 0, 0, 10 * B)
verify(bytearray(b"data" + bytes(10 * B - 4)), "allocate")
os.posix_fallocate(fd, 5, 20 * B)
same(20 * B + 5, os.fstat(fd).st_size)

# KEEP_SIZE does not extend
model = fresh(4)
fallocate(fd, KEEP, 2 * B, 10 * B)
verify(model, "keep size")

# Punching: odd ends, whole blocks, past the end of the file
for offset, length in ((B, B), (100, 200), (B - 1, 2 * B + 2), (5, 3 * B), (3 * B, 100 * B)):
    model = fresh(6)
    fallocate(fd, PUNCH | KEEP, offset, length)
    end = min(offset + length, len(model))
    model[offset:end] = bytes(end - offset)
    verify(model, f"punch {offset} {length}")
fresh(6)
before = os.fstat(fd).st_blocks
fallocate(fd, PUNCH | KEEP, B, 4 * B)
same(before - 32, os.fstat(fd).st_blocks)
same(B, os.lseek(fd, 0, os.SEEK_HOLE))
same(5 * B, os.lseek(fd, B, os.SEEK_DATA))

# Zeroing, with and without a new size
for offset, length in ((B, B), (7, 9), (B + 1, 3 * B), (3 * B + 9, 5 * B)):
    model = fresh(5)
    fallocate(fd, ZERO, offset, length)
    model.extend(bytes(max(0, offset + length - len(model))))
    model[offset:offset + length] = bytes(length)
    verify(model, f"zero {offset} {length}")
model = fresh(5)
fallocate(fd, ZERO | KEEP, 3 * B + 9, 5 * B)
model[3 * B + 9:] = bytes(2 * B - 9)
verify(model, "zero, keep size")

# Refused, and nothing changed
model = fresh(5)
fails(errno.EOPNOTSUPP, fallocate, fd, COLLAPSE, B, B)
fails(errno.EOPNOTSUPP, fallocate, fd, INSERT, B, B)
fails(errno.EOPNOTSUPP, fallocate, fd, PUNCH, B, B)
fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
fails(errno.EINVAL, fallocate, fd, 0, -1, 10)
fails((errno.EFBIG, errno.ENOSPC), fallocate, fd, 0, (1 << 62), 10)
verify(model, "refused")
readonly = os.open(path, os.O_RDONLY)
fails(errno.EBADF, fallocate, readonly, 0, 0, 10)
os.close(readonly)

# The times move
os.utime(fd, ns=(0, 0))
fallocate(fd, PUNCH | KEEP, 0, B)
assert os.fstat(fd).st_mtime_ns > 0
model[:B] = bytes(B)
os.close(fd)
daemon.umount()
daemon = Daemon()
fd = os.open(path, os.O_RDWR)
verify(model, "after the remount")
os.close(fd)
done(daemon)
