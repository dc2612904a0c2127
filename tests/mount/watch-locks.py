"""The locks that a dropped name, an answer that waits for a drop, and an unlink need could wait for
each other in a circle: writes to a file whose answers are left to the notifier, links to that file
that come and go in a directory, and another one that changes names in it. Nobody gets stuck."""
from lib import *

SECONDS = 5 if not LONG else 60
faults = Faults()
daemon = Daemon("-o", "watch=1,sync=disabled," + faults.spec("cache:ENOMEM"))
top = MNT / "d"
top.mkdir()
(top / "f").write_bytes(bytes(65536))
(top / "other").touch()
end = time.monotonic() + SECONDS


def counted(name, step):
    """Does it until the end, ten times at least, and says how often."""
    n = 0
    while time.monotonic() < end or n < 10:
        step(n)
        n += 1
    print(f"{name}: {n}", flush=True)


def write(n):
    fails(errno.EIO, os.pwrite, fd, bytes(8192), n % 8 * 8192)


def has_link(new):
    """The kernel takes one link off by itself when a name goes, also when it has just heard of that
    from a stat, and will not link what seems to have none, until somebody looks again."""
    try:
        os.link(top / "f", new)
    except FileNotFoundError:
        os.stat(top / "f")
    return os.path.lexists(new)


def come_and_go(n):
    poll("a link", lambda: has_link(top / f"link{n % 2}"))
    os.rename(top / f"link{n % 2}", top / "moved")
    os.unlink(top / "moved")


def read(_):
    (top / "f").read_bytes()
    os.listdir(top)


def others():
    sql = Sql()
    parent, ino = sql.ino("d"), sql.ino("d/other")
    names = [f"name{i}" for i in range(50)]

    def change(n):
        with sql:
            for name in names:
                if n % 2:
                    sql.run("DELETE FROM dentry WHERE parent = ? AND name = ?", parent, name)
                else:
                    sql.add_name(parent, name, ino)
            sql.touch(ino, nlink=1 if n % 2 else 51)

    counted("changes by others", change)
    with sql:
        sql.run("DELETE FROM dentry WHERE parent = ? AND name LIKE 'name%'", parent)
        sql.touch(ino, nlink=1)
    sql.close()


def look(n):
    """So that there are entries to drop."""
    for i in range(50):
        os.path.lexists(top / f"name{i}")


fd = os.open(top / "f", os.O_RDWR)
with faults:
    pids = [child(counted, "writes", write), child(counted, "links", come_and_go),
            child(counted, "reads", read), child(counted, "looks", look), child(others)]
    join(*pids)
os.close(fd)
done(daemon)
