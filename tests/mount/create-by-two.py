"""Files that two mounts, and several processes, make and remove under one name all the time: who
opens it with O_CREAT gets it, whoever made it, and never an error."""
from lib import *

SECOND = T / "second"
first = Daemon("-o", "watch=5")
second = Daemon("-o", "watch=5", mnt=SECOND)
ROUNDS = 1500 if not LONG else 20000


def work(mnt, flags):
    for i in range(ROUNDS):
        fd = os.open(mnt / "x", os.O_CREAT | os.O_RDWR | flags, 0o600)
        os.write(fd, b"x")
        if flags & os.O_TRUNC:
            assert os.fstat(fd).st_size > 0
        os.close(fd)
        try:
            os.unlink(mnt / "x")
        except FileNotFoundError:
            pass


join(child(work, MNT, 0), child(work, SECOND, os.O_TRUNC), child(work, SECOND, os.O_APPEND))

# O_EXCL and O_TRUNC where the kernel knows nothing of the file
for mnt, other in ((MNT, SECOND), (SECOND, MNT)):
    for flags, wanted in ((os.O_EXCL, None), (os.O_TRUNC, b""), (0, b"contents")):
        name = f"n{flags}"
        same(False, (mnt / name).exists())
        (other / name).write_bytes(b"contents")
        if wanted is None:
            fails(errno.EEXIST, os.open, mnt / name, os.O_CREAT | os.O_RDWR | flags)
        else:
            fd = os.open(mnt / name, os.O_CREAT | os.O_RDWR | flags)
            same(wanted, os.read(fd, 100), name)
            os.close(fd)
        os.unlink(other / name)
        poll("it is gone", lambda: not (mnt / name).exists())
second.umount()
done(first)
