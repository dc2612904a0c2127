"""Two mounts of one store at once, both writing: nothing is lost, nothing overwrites what the other
one wrote beside it, and orphans of the other are left alone."""
from lib import *

SECOND = T / "second"
SECOND.mkdir()
first = Daemon("-o", "cache_ttl=0")
second = Daemon("-o", "cache_ttl=0", mnt=SECOND)
(MNT / "f").write_bytes(bytes(8192))
same(bytes(8192), (SECOND / "f").read_bytes())


def writer(mnt, who):
    """Every second byte of a block is ours."""
    fd = os.open(mnt / "f", os.O_RDWR)
    log = os.open(mnt / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for i in range(200):
        os.pwrite(fd, bytes([1 + who]), 2 * i + who)
        os.write(log, f"{who} {i}\n".encode())
    os.close(fd)
    os.close(log)


join(child(writer, MNT, 0), child(writer, SECOND, 1))
wanted = bytes([1, 2]) * 200 + bytes(8192 - 400)
same(wanted, stored("f"))
same(wanted, (MNT / "f").read_bytes())
same(wanted, (SECOND / "f").read_bytes())
lines = stored("log").decode().split("\n")[:-1]
same(sorted(f"{who} {i}" for who in range(2) for i in range(200)), sorted(lines))

# An unlinked file that is open in one mount lives on when the other one comes and goes
fd = os.open(MNT / "orphan", os.O_RDWR | os.O_CREAT)
os.write(fd, b"still here" * 1000)
os.unlink(MNT / "orphan")
second.umount()
second = Daemon("-o", "cache_ttl=0", mnt=SECOND)
same(b"still here", os.pread(fd, 10, 9000))
os.close(fd)
second.umount()
done(first)
