"""A write that is in the store but not in the cache fails; who reads then sees what the store has,
also where others have read the file while the write was under way."""
from lib import *

SIZE = 65536
faults = Faults()
f = MNT / "f"


def read_on():
    fd = os.open(f, os.O_RDONLY)
    while True:
        os.pread(fd, SIZE, 0)


def read_cold():
    while True:
        fd = os.open(f, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.pread(fd, SIZE, 0)
        os.close(fd)


for threads in ((), ("-s",)):
    daemon = Daemon(*threads, "-o", faults.spec("commit:delay=40", "cache:ENOMEM"))
    f.write_bytes(bytes(SIZE))
    reader = os.open(f, os.O_RDONLY)
    mapping = mmap.mmap(reader, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
    writer = os.open(f, os.O_WRONLY)
    pids = [child(read_on) for _ in range(2)]
    with faults:
        for i in range(20):
            new = bytes([1 + i]) * SIZE
            fails(errno.EIO, os.pwrite, writer, new, 0)
            same(new, os.pread(reader, SIZE, 0), f"{threads} {i}: a handle")
            same(new, mapping[:], f"{threads} {i}: a mapping")
        for i in range(1, 5):
            fails(errno.EIO, os.pwrite, writer, b"end", SIZE + i)
            same(SIZE + i + 3, os.fstat(reader).st_size)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for fd in (reader, writer):
        os.close(fd)
    mapping.close()
    daemon.umount()

# The same for an open that truncates, while reads of what the kernel would have to drop take long.
# Read past the old end: only then does the kernel ask for the size before it reads, and several
# readers at once can keep it from taking the new one over from a read that found nothing. What the
# others find meanwhile can also keep it from believing the answer: then there are zeros, until it
# has asked again, but never what was there.
def is_empty():
    found = os.pread(reader, SIZE + 1, 0)
    same(bytes(len(found)), found, f"O_TRUNC {i}")
    return not found


daemon = Daemon("-o", faults.spec("cache:ENOMEM", "read:delay=3"))
f.write_bytes(b"old " * (SIZE // 4))
pids = [child(read_cold) for _ in range(3)]
for i in range(20):
    f.write_bytes(b"old " * (SIZE // 4))
    reader = os.open(f, os.O_RDONLY)
    os.pread(reader, SIZE, 0)
    with faults:
        fails(errno.EIO, os.open, f, os.O_WRONLY | os.O_TRUNC)
        poll("the end is seen", is_empty)
    os.close(reader)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
done(daemon)
