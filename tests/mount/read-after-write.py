"""What a reader fetched while a write was under way is not what it sees after: a read that starts
when write(2) has returned shows what was written, through a handle that was open all the time,
or through a mapping. The kernel has to drop what was read meanwhile from its pages (one before
6.18 may not, but for a fix of its stable series): this is where that shows."""
from lib import *

faults = Faults()
daemon = Daemon("-o", faults.spec("commit:delay=150"))
f = MNT / "f"
SIZE = 65536


def write_while_reading(turn, flags, offset, length):
    old = bytes([65 + turn % 2]) * SIZE
    new = bytearray(old)
    new[offset:offset + length] = b"n" * length
    f.write_bytes(old)
    views = os.open(f, os.O_RDONLY)
    mapping = mmap.mmap(views, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
    ready, tell = os.pipe()
    fd = os.open(f, flags)

    def write():
        os.write(tell, b"!")
        same(length, os.pwrite(fd, b"n" * length, offset), "pwrite")

    with faults:
        pid = child(write)
        os.read(ready, 1)
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.pread(views, SIZE, 0)
            mapping[offset]
        mapped = mapping[:]
        got = os.pread(views, SIZE, 0)
        join(pid)
    what = f"{length} bytes at {offset}, flags {flags:#o}"
    same(bytes(new), got, f"{what}: an open handle")
    same(bytes(new), mapped, f"{what}: a mapping")
    for fd in (fd, views, ready, tell):
        os.close(fd)
    mapping.close()


for turn in range(3):
    for flags in (os.O_WRONLY, os.O_RDWR | os.O_DIRECT):
        for offset, length in ((0, 4096), (8192, 16384), (100, 50), (4090, 10)):
            write_while_reading(turn, flags, offset, length)
done(daemon)
