"""Sparse files: holes read as zeros, take no space, are found by SEEK_HOLE and SEEK_DATA, and a
file may be 1 TiB and more."""
from lib import *

KIB, MIB, TIB = 1 << 10, 1 << 20, 1 << 40
daemon = Daemon()
path = MNT / "sparse"
fd = os.open(path, os.O_RDWR | os.O_CREAT)


def data_ranges():
    """The file's data as [start, end), by SEEK_DATA and SEEK_HOLE."""
    found, at = [], 0
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            same(errno.ENXIO, error.errno)
            return found
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, at))


# Nothing but a hole
fails(errno.ENXIO, os.lseek, fd, 0, os.SEEK_DATA)
fails(errno.ENXIO, os.lseek, fd, 0, os.SEEK_HOLE)
os.truncate(path, MIB)
same([], data_ranges())
same(0, os.lseek(fd, 0, os.SEEK_HOLE))
same(0, os.fstat(fd).st_blocks)
same(bytes(MIB), os.pread(fd, 2 * MIB, 0))

# Data in it, and a hole at its end
os.pwrite(fd, b"x" * 4096, 64 * KIB)
os.pwrite(fd, b"y" * 8192, 256 * KIB)
same([(64 * KIB, 68 * KIB), (256 * KIB, 264 * KIB)], data_ranges())
same(64 * KIB, os.lseek(fd, 1, os.SEEK_DATA))
same(66 * KIB, os.lseek(fd, 66 * KIB, os.SEEK_DATA))
same(70 * KIB, os.lseek(fd, 70 * KIB, os.SEEK_HOLE))
same(264 * KIB, os.lseek(fd, 260 * KIB, os.SEEK_HOLE))
fails(errno.ENXIO, os.lseek, fd, MIB, os.SEEK_DATA)
same(24, os.fstat(fd).st_blocks)
same(bytes(60 * KIB) + b"x", os.pread(fd, 60 * KIB + 1, 4 * KIB))
same(bytes(4096), os.pread(fd, 4096, 68 * KIB))

# cp and tar keep it sparse
subprocess.run(["cp", "--sparse=never", path, T / "plain"], check=True)
subprocess.run(["cp", "--sparse=auto", path, MNT / "copy"], check=True)
subprocess.run(["cmp", T / "plain", MNT / "copy"], check=True)
same(24, os.stat(MNT / "copy").st_blocks)

# Truncating cuts the data off for good: growing again brings zeros
os.ftruncate(fd, 64 * KIB + 5)
os.ftruncate(fd, MIB)
same(b"xxxxx" + bytes(95), os.pread(fd, 100, 64 * KIB))
same(bytes(8192), os.pread(fd, 8192, 256 * KIB))
same([(64 * KIB, 68 * KIB)], data_ranges())

# A terabyte
os.pwrite(fd, b"far", TIB)
same(TIB + 3, os.fstat(fd).st_size)
same(b"far", os.pread(fd, 10, TIB))
same(bytes(5) + b"far", os.pread(fd, 8, TIB - 5))
same(TIB, os.lseek(fd, MIB, os.SEEK_DATA))
same(16, os.fstat(fd).st_blocks)
os.ftruncate(fd, 2 * TIB)
same(bytes(4096), os.pread(fd, 4096, 2 * TIB - 4096))
same(b"", os.pread(fd, 4096, 2 * TIB))
os.close(fd)
daemon.umount()
daemon = Daemon()
fd = os.open(path, os.O_RDWR)
same(2 * TIB, os.fstat(fd).st_size)
same(b"far", os.pread(fd, 3, TIB))
same([(64 * KIB, 68 * KIB), (TIB, TIB + 4096)], data_ranges())
os.ftruncate(fd, 0)
same(0, os.fstat(fd).st_blocks)
os.close(fd)
done(daemon)
