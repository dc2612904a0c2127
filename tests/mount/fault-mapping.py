"""A store through a shared mapping that the database refuses: msync says so, and afterwards nobody
sees what was refused, neither by read(2) nor in any mapping. The mapping works again when the
fault has passed."""
from lib import *

faults = Faults()
daemon = Daemon("-o", faults.spec("write:EIO"))
f = MNT / "f"
data = os.urandom(16384)
f.write_bytes(data)
views = Views(f)
fd = os.open(f, os.O_RDWR)
shared = mmap.mmap(fd, len(data), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
for round_ in range(3):
    offset = round_ * 4096 + 100
    with faults:
        shared[offset:offset + 7] = b"refused"
        fails(errno.EIO, shared.flush)
        # The kernel had the page before it asked; it is taken away again
        poll("the mapping shows what is stored", lambda: shared[:] == data)
        poll("and so does read", lambda: views.read() == data)
        views.verify(data, "refused")
        same(data, shared[:])
    # What could not be said at once may be said by the next sync, and by it only
    try:
        shared.flush()
    except OSError as error:
        same(errno.EIO, error.errno)
    shared.flush()
    shared[offset:offset + 8] = b"accepted"
    shared.flush()
    data = data[:offset] + b"accepted" + data[offset + 8:]
    views.verify(data, "afterwards")
shared.close()
os.close(fd)
views.close()
daemon.umount()
daemon = Daemon()
same(data, f.read_bytes())
done(daemon)
