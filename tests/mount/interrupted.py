"""A process is killed while its write is being committed: the write is there as a whole or not at
all, nobody else notices, and the mount goes on."""
from lib import *

faults = Faults()
daemon = Daemon("-o", faults.spec("commit:delay=100"))
f = MNT / "f"
SIZE = 200000
old = b"\0" * SIZE
f.write_bytes(old)
(MNT / "g").write_bytes(b"")


def writer(mark):
    fd = os.open(f, os.O_WRONLY)
    while True:
        os.pwrite(fd, mark * SIZE, 0)


def bystander():
    fd = os.open(MNT / "g", os.O_WRONLY | os.O_APPEND)
    for i in range(40):
        same(4, os.write(fd, b"line"))


other = child(bystander)
with faults:
    for i in range(12):
        before = daemon.stats()["write_requests"]
        pid = child(writer, bytes([i + 1]))
        poll("it writes", lambda: daemon.stats()["write_requests"] > before)
        os.kill(pid, signal.SIGTERM if i % 2 else signal.SIGKILL)
        os.waitpid(pid, 0)
        now = read_direct(f)
        same(SIZE, len(now))
        same(1, len(set(now)), "one write")
join(other)
same(b"line" * 40, (MNT / "g").read_bytes())
fd = os.open(f, os.O_RDONLY)
same(stored("f"), os.pread(fd, SIZE, 0))
os.close(fd)
done(daemon)
