"""Mappings, private and shared, read and written, agree with read(2) and write(2)."""
import mmap

from lib import *

PAGE = 4096
daemon = Daemon()
path = MNT / "f"


def read(offset, length):
    with open(path, "rb", buffering=0) as f:
        return os.pread(f.fileno(), length, offset)


def write(offset, data):
    fd = os.open(path, os.O_WRONLY)
    same(len(data), os.pwrite(fd, data, offset))
    os.close(fd)


path.write_bytes(b"a" * (3 * PAGE + 100))

# A mapping of a read-only handle sees what others write
ro = os.open(path, os.O_RDONLY)
view = mmap.mmap(ro, 0, mmap.MAP_SHARED, mmap.PROT_READ)
same(b"aaaa", view[:4])
write(0, b"bb")
same(b"bbaa", view[:4])
write(2 * PAGE - 1, b"cc")
same(b"acca", view[2 * PAGE - 2:2 * PAGE + 2])

# A private mapping keeps its changes to itself
private = mmap.mmap(ro, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[0:3] = b"xyz"
same(b"xyz", private[0:3])
same(b"bba", read(0, 3))
same(b"bba", view[0:3])
private.close()

# A shared writable mapping: stores are seen by read(2) and by other mappings, and are in the
# store after msync; the rest of the last page does not become file
rw = os.open(path, os.O_RDWR)
shared = mmap.mmap(rw, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
shared[10:14] = b"MMAP"
shared[3 * PAGE + 96:3 * PAGE + 100] = b"tail"
shared.flush()
same(b"MMAP", read(10, 4))
same(b"MMAP", view[10:14])
same(3 * PAGE + 100, os.stat(path).st_size)
same(b"tail", read(3 * PAGE + 96, 100))
write(20, b"written")
same(b"written", shared[20:27])
shared[30:33] = b"end"
shared.close()
os.close(rw)
same(b"end", read(30, 3))

# Two processes share memory through a file
other = os.open(path, os.O_RDWR)
box = mmap.mmap(other, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=PAGE)


def peer():
    fd = os.open(path, os.O_RDWR)
    theirs = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=PAGE)
    same(b"ping", theirs[0:4])
    theirs[0:4] = b"pong"
    theirs.close()


box[0:4] = b"ping"
join(child(peer))
same(b"pong", box[0:4])
box.close()
os.close(other)

# Growing and shrinking under a mapping
os.truncate(path, 8 * PAGE)
same(bytes(100), read(3 * PAGE + 100, 100))
long = mmap.mmap(ro, 8 * PAGE, mmap.MAP_SHARED, mmap.PROT_READ)
same(bytes(PAGE), long[7 * PAGE:])
os.truncate(path, 50)
os.truncate(path, 8 * PAGE)
same(bytes(PAGE - 50), long[50:PAGE])
same(b"written", long[20:27])
long.close()
view.close()
os.close(ro)

# A program runs from the mount (its pages are mapped)
program = MNT / "true"
program.write_bytes(pathlib.Path("/bin/true").read_bytes())
program.chmod(0o755)
same(0, subprocess.run([program]).returncode)

wanted = path.read_bytes()
daemon.umount()
daemon = Daemon()
same(True, wanted == path.read_bytes(), "after the remount")
done(daemon)
