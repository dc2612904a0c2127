"""What one mount changes is seen in another one, by all that can show it, and the other way round;
files that are deleted in one stay while the other has them open; what a mount missed makes it drop
everything."""
from lib import *

SECOND = T / "second"
options = ("-o", "cache_ttl=3600,watch=20")
first = Daemon(*options)
second = Daemon(*options, mnt=SECOND)


def sees(what, wanted, *views):
    """Each of the views comes to show it, and goes on to."""
    for number, view in enumerate(views):
        poll(f"{what}, view {number}", lambda: view() == wanted)
    for number, view in enumerate(views):
        same(wanted, view(), f"{what}, view {number}")


def contents(here, there):
    """`there` looks, `here` writes."""
    mine, yours = here / "f", there / "f"
    mine.write_bytes(b"as it was")
    sees("it is there", True, yours.exists)
    sees("its contents", b"as it was", yours.read_bytes)
    views = Views(yours)
    for data in (b"longer than it was before", os.urandom(300000), b"", b"not very long"):
        mine.write_bytes(data)
        sees("contents", data, views.read, yours.read_bytes, lambda: read_direct(yours))
        sees("its size", len(data), lambda: os.stat(yours).st_size)
    views.close()

    data = os.urandom(100000)
    mine.write_bytes(data)
    sees("contents", data, yours.read_bytes)
    views = Views(yours)
    shown = views.mapped()
    with open(mine, "r+b") as f:
        f.seek(50000)
        f.write(b"changed")
    poll("the mapping shows it", lambda: views.mapped() != shown)
    data = data[:50000] + b"changed" + data[50007:]
    views.verify_mapping(data, "a mapping")
    views.close()
    os.truncate(mine, 30)
    sees("less of it", data[:30], yours.read_bytes)
    with open(mine, "ab") as f:
        f.write(b"and more")
    sees("more of it", data[:30] + b"and more", yours.read_bytes)
    mine.unlink()
    sees("it is gone", False, yours.exists)


def names(here, there):
    top = there / "d"
    (here / "d").mkdir()
    sees("the directory", True, top.is_dir)
    same([], os.listdir(top))
    same(False, (top / "a").exists())
    (here / "d" / "a").write_bytes(b"a")
    sees("a new name", True, (top / "a").exists)
    sees("the listing", ["a"], lambda: os.listdir(top))
    same(b"a", (top / "a").read_bytes())
    os.rename(here / "d" / "a", here / "d" / "b")
    sees("the old name", False, (top / "a").exists)
    sees("the new name", True, (top / "b").exists)
    sees("the listing", ["b"], lambda: os.listdir(top))
    (here / "d" / "new").write_bytes(b"new")
    os.rename(here / "d" / "new", here / "d" / "b")
    sees("what replaced it", b"new", (top / "b").read_bytes)
    os.symlink("one", here / "d" / "link")
    sees("a symlink", True, lambda: os.path.lexists(top / "link"))
    same("one", os.readlink(top / "link"))
    os.symlink("two", here / "d" / "link2")
    os.rename(here / "d" / "link2", here / "d" / "link")
    sees("another one", "two", lambda: os.readlink(top / "link"))
    os.link(here / "d" / "b", here / "d" / "c")
    sees("links", 2, lambda: os.stat(top / "b").st_nlink)
    os.chmod(here / "d" / "c", 0o600)
    sees("the mode", 0o600, lambda: os.stat(top / "b").st_mode & 0o7777)
    os.setxattr(here / "d" / "c", "user.x", b"y")
    sees("an attribute", ["user.x"], lambda: os.listxattr(top / "b"))
    before = os.getcwd()
    os.chdir(top)
    os.rename(here / "d", here / "e")
    sees("the directory's old name", False, (there / "d").exists)
    sees("its new one", True, (there / "e").exists)
    same(str(there / "e"), os.getcwd())
    same(["b", "c", "link"], sorted(os.listdir(".")))
    os.chdir(before)
    subprocess.run(["rm", "-r", here / "e"], check=True)
    sees("it is gone", False, (there / "e").exists)


for here, there in ((MNT, SECOND), (SECOND, MNT)):
    contents(here, there)
    names(here, there)

# Deleted here, open there
(MNT / "held").write_bytes(b"held" * 10000)
sees("it is there", True, (SECOND / "held").exists)
fd = os.open(SECOND / "held", os.O_RDWR)
ino = os.fstat(fd).st_ino
db = sqlite3.connect(STORE, isolation_level=None, timeout=60)


def exists():
    return db.execute("SELECT 1 FROM inode WHERE ino = ?", (ino,)).fetchone()


os.unlink(MNT / "held")
sees("the name", False, (SECOND / "held").exists)
time.sleep(0.2)
same(b"held" * 10000, os.pread(fd, 50000, 0))
os.pwrite(fd, b"HELD", 0)
same(b"HELDheld", os.pread(fd, 8, 0))
assert exists()
os.close(fd)
poll("it is deleted", lambda: not exists())

# The one that has it open dies: then the other one deletes it
(MNT / "held").write_bytes(b"again")
sees("it is there", True, (SECOND / "held").exists)
fd = os.open(SECOND / "held", os.O_RDWR)
ino = os.fstat(fd).st_ino
os.unlink(MNT / "held")
sees("the name", False, (SECOND / "held").exists)
second.crash()
poll("it is deleted", lambda: not exists())
try:
    os.close(fd)
except OSError:
    pass
second.clear()
second = Daemon(*options, mnt=SECOND)

# A mount that sleeps for longer than the log reaches back
files = [f"many{i}" for i in range(20)]
for name in files:
    (SECOND / name).write_bytes(b"before")
sees("they are there", True, (MNT / files[-1]).exists)
for name in files:
    sees("contents", b"before", (MNT / name).read_bytes)
fd = os.open(MNT / files[0], os.O_RDONLY)
views = Views(MNT / files[1])
same(False, (MNT / "not yet").exists())
first.process.send_signal(signal.SIGSTOP)
for name in files:
    (SECOND / name).write_bytes(b"after that")
(SECOND / "not yet").touch()
os.rename(SECOND / files[3], SECOND / "other name")
db.execute("INSERT INTO changelog(mount, kind, ino) WITH RECURSIVE n(i) AS"
           " (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 70000) SELECT 0, 1, 1 FROM n")
first.process.send_signal(signal.SIGCONT)
for name in files[:3] + files[4:]:
    sees("contents", b"after that", (MNT / name).read_bytes)
sees("by an open handle", b"after that", lambda: os.pread(fd, 100, 0))
poll("by a mapping", lambda: views.mapped()[8:] == hashlib.sha256(b"after ").digest())
sees("names that came", True, (MNT / "not yet").exists, (MNT / "other name").exists)
sees("and went", False, (MNT / files[3]).exists)
views.close()
os.close(fd)
db.close()
second.umount()
done(first)
