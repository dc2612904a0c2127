"""A daemon is killed, its mount is taken away, and another mount is made that gets the number of its
connection, all before the process beside the daemon has heard of its death: the other mount is left
alone."""
from lib import *


def lifeline(pid):
    children = (pathlib.Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text()
    return next(int(p) for p in children.split()
                if pathlib.Path(f"/proc/{p}/comm").read_text() == "recordfs-life\n")


def has_ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# Numbers are reused, the lowest first; but others may make mounts at the same time.
for attempt in range(100):
    daemon = Daemon()
    number = os.stat(MNT).st_dev
    life = lifeline(daemon.process.pid)
    os.kill(life, signal.SIGSTOP)
    daemon.crash()
    subprocess.run(["umount", MNT] if os.getuid() == 0 else ["fusermount3", "-u", MNT], check=True)
    other = Daemon(mnt=T / "other")
    reused = os.stat(other.mnt).st_dev == number
    os.kill(life, signal.SIGCONT)
    poll("the process beside the daemon to end", lambda: has_ended(life))
    os.stat(other.mnt / ".")
    same([], os.listdir(other.mnt))
    other.umount()
    if reused:
        break
else:
    sys.exit(77)
done()
