"""copy_file_range(2): whole, partial, at odd offsets, inside one file, past the end, with holes."""
from lib import *

B = 4096
daemon = Daemon()
data = os.urandom(3 << 20)
(MNT / "from").write_bytes(data)
source = os.open(MNT / "from", os.O_RDWR)
target = os.open(MNT / "to", os.O_RDWR | os.O_CREAT)


def copy(a, b, length, at, to):
    """All of it, as a program would: until nothing comes any more."""
    total = 0
    while total < length:
        n = os.copy_file_range(a, b, length - total, at + total, to + total)
        if n == 0:
            break
        total += n
    return total


same(len(data), copy(source, target, len(data), 0, 0))
same(True, data == os.pread(target, len(data) + 1, 0), "whole")

model = bytearray(data)
for at, length, to in ((1, 10, 5000), (4095, 8194, 100), (0, 100000, 12345), (70001, 70001, 3)):
    same(length, copy(source, target, length, at, to))
    model[to:to + length] = data[at:at + length]
    same(True, bytes(model) == os.pread(target, len(model) + 1, 0), f"{length} from {at} to {to}")

# Short at the source's end, nothing past it, extending the target
same(10, copy(source, target, 1000, len(data) - 10, len(model)))
model += data[-10:]
same(True, bytes(model) == os.pread(target, len(model) + 1, 0), "at the end")
same(0, os.copy_file_range(source, target, 10, len(data) + 5, 0))

# Inside one file; overlapping ranges are refused
same(B, copy(source, source, B, 0, 10 * B))
same(data[:B], os.pread(source, B, 10 * B))
fails(errno.EINVAL, os.copy_file_range, source, source, 2 * B, 0, B)

# Holes stay zeros; a gap before the target is one
os.ftruncate(source, 0)
os.ftruncate(source, 10 * B)
os.pwrite(source, b"in the middle", 5 * B)
os.ftruncate(target, 0)
same(10 * B, copy(source, target, 10 * B, 0, 3 * B))
same(bytes(8 * B) + b"in the middle" + bytes(5 * B - 13), os.pread(target, 20 * B, 0))

# Wrong handles
readonly = os.open(MNT / "to", os.O_RDONLY)
fails(errno.EBADF, os.copy_file_range, source, readonly, 1, 0, 0)
directory = os.open(MNT, os.O_RDONLY)
fails(errno.EISDIR, os.copy_file_range, directory, target, 1, 0, 0)

# Between this filesystem and another one
(T / "outside").write_bytes(data)
outside = os.open(T / "outside", os.O_RDONLY)
try:
    n = os.copy_file_range(outside, target, len(data), 0, 0)
    same(True, data[:n] == os.pread(target, n, 0), "from outside")
except OSError as error:
    same(errno.EXDEV, error.errno)
for fd in (source, target, readonly, directory, outside):
    os.close(fd)
done(daemon)
