"""flock(2), POSIX record locks and locks of open file descriptions, between processes."""
import fcntl
import struct

from lib import *

daemon = Daemon()
path = MNT / "f"
path.write_bytes(bytes(100))


def in_child(function, *args):
    join(child(function, *args))


def try_flock(how):
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, how | fcntl.LOCK_NB)
    os.close(fd)


def try_lockf(how, length=0, start=0):
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, how | fcntl.LOCK_NB, length, start)
    os.close(fd)


BUSY = (errno.EAGAIN, errno.EACCES)
fd = os.open(path, os.O_RDWR)

# flock: shared and exclusive, given back by close
fcntl.flock(fd, fcntl.LOCK_SH)
in_child(try_flock, fcntl.LOCK_SH)
in_child(fails, BUSY, try_flock, fcntl.LOCK_EX)
fcntl.flock(fd, fcntl.LOCK_EX)
in_child(fails, BUSY, try_flock, fcntl.LOCK_SH)
second = os.open(path, os.O_RDWR)  # another open of the same process is another owner
fails(BUSY, fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.close(fd)
fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.close(second)
in_child(try_flock, fcntl.LOCK_EX)

# POSIX locks: by range, told by F_GETLK, given back by any close of the process
fd = os.open(path, os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)
in_child(fails, BUSY, try_lockf, fcntl.LOCK_EX, 0, 0)
in_child(fails, BUSY, try_lockf, fcntl.LOCK_SH, 1, 29)
in_child(try_lockf, fcntl.LOCK_EX, 20, 0)
in_child(try_lockf, fcntl.LOCK_EX, 10, 30)


def who_locks(wanted):
    mine = os.open(path, os.O_RDWR)
    ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(mine, fcntl.F_GETLK, ask))
    same(wanted, (kind, start, length, pid))


in_child(who_locks, (fcntl.F_WRLCK, 20, 10, os.getpid()))
fcntl.lockf(fd, fcntl.LOCK_UN, 5, 20)
in_child(try_lockf, fcntl.LOCK_EX, 5, 20)
in_child(fails, BUSY, try_lockf, fcntl.LOCK_EX, 1, 25)
os.close(os.open(path, os.O_RDONLY))
in_child(try_lockf, fcntl.LOCK_EX)

# A waiting process gets it when the holder lets go; a dead one's lock is nobody's
fcntl.lockf(fd, fcntl.LOCK_EX)
r, w = os.pipe()


def wait_for_it():
    mine = os.open(path, os.O_RDWR)
    os.write(w, b"ready")
    fcntl.lockf(mine, fcntl.LOCK_EX)
    same(b"first", os.pread(mine, 5, 0))


pid = child(wait_for_it)
os.read(r, 5)
os.pwrite(fd, b"first", 0)
fcntl.lockf(fd, fcntl.LOCK_UN)
join(pid)


def hold_and_die():
    fcntl.lockf(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
    os.write(w, b"locked")
    signal.pause()


pid = child(hold_and_die)
os.read(r, 6)
fails(BUSY, fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

# A counter that several processes raise under a lock
(MNT / "counter").write_text("0")


def count():
    for _ in range(50):
        with open(MNT / "counter", "r+") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            n = int(f.read())
            f.seek(0)
            f.write(str(n + 1))
            f.flush()


join(*[child(count) for _ in range(4)])
same("200", (MNT / "counter").read_text())
os.close(fd)
done(daemon)
