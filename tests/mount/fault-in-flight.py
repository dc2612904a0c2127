"""A write that is going to fail is never visible while it is in flight, nor afterwards: not by
read(2), not through a mapping, not beside the mount."""
from lib import *

faults = Faults()
# Each write waits, then its commit fails: the time in between is what is looked at.
daemon = Daemon("-o", faults.spec("commit:delay=400", "commit:EIO"))
f = MNT / "f"
data = os.urandom(16384)
f.write_bytes(data)
views = Views(f)


def writer(offset, length, flags):
    fd = os.open(f, os.O_WRONLY | flags)
    fails(errno.EIO, os.pwrite, fd, b"X" * length, offset)
    os.close(fd)


for flags in (0, os.O_SYNC, os.O_DIRECT, os.O_APPEND):
    for offset, length in ((4096, 4096), (100, 50), (0, 16384), (16380, 10000)):
        what = f"{length} bytes at {offset}"
        with faults:
            pid = child(writer, offset, length, flags)
            while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                views.verify(data, f"{what}, in flight")
            join(pid)
        views.verify(data, f"{what}, failed")
assert daemon.stats()["faults_injected"] > 0
views.close()
done(daemon)
