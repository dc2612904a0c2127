"""A daemon that is killed while it waits for the kernel, which waits for the daemon: a change of a
directory is under way, and the kernel is being told of another one in the same directory. Nobody
hangs: what was under way ends, and so does the mount."""
# timeout: 60
from lib import *

faults = Faults()
daemon = Daemon("-o", faults.spec("commit:delay=600000"))
os.mkdir(MNT / "d")
(MNT / "d" / "old").write_bytes(b"x")
with faults:
    # It holds the directory's lock until it is answered.
    pid = child(lambda: os.mkdir(MNT / "d" / "new"))
    wchan = pathlib.Path("/proc") / str(pid) / "wchan"
    poll("the change to be under way", lambda: wchan.read_text() == "request_wait_answer")
    db = sqlite3.connect(STORE, isolation_level=None, timeout=60)
    db.execute("UPDATE records SET path = '/d/older' WHERE path = '/d/old'")
    db.close()
    task = pathlib.Path("/proc") / str(daemon.process.pid) / "task"
    poll("the notifier to wait for the directory", lambda: any(
        (t / "stat").read_text().rpartition(")")[2].split()[0] == "D" for t in task.iterdir()))
    daemon.crash()
    _, status = os.waitpid(pid, 0)
    same(False, os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the change under way")
fails(errno.ENOTCONN, os.stat, MNT / "d")
daemon.clear()
daemon = Daemon()
same(["older"], os.listdir(MNT / "d"))
done(daemon)
