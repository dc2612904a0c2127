"""rename(2) and renameat2(2): over files, directories, open files; NOREPLACE, EXCHANGE."""
from lib import *

NOREPLACE, EXCHANGE = 1, 2
daemon = Daemon()
os.chdir(MNT)


def put(name, text):
    pathlib.Path(name).write_text(text)
    return os.stat(name).st_ino


def text(name):
    return pathlib.Path(name).read_text()


# Plain, onto itself, over another file
a = put("a", "a")
os.rename("a", "b")
fails(errno.ENOENT, os.stat, "a")
same(a, os.stat("b").st_ino)
os.rename("b", "b")
put("c", "c")
os.rename("b", "c")
same((a, "a", 1), (os.stat("c").st_ino, text("c"), os.stat("c").st_nlink))
same(["c"], os.listdir("."))

# Over an open file: the handle keeps the old one
old = put("target", "old contents")
handle = os.open("target", os.O_RDWR)
put("new", "new")
os.rename("new", "target")
same("new", text("target"))
same(b"old contents", os.pread(handle, 100, 0))
same((old, 0), (os.fstat(handle).st_ino, os.fstat(handle).st_nlink))
os.pwrite(handle, b"OLD", 0)
same(b"OLD contents", os.pread(handle, 100, 0))
same("new", text("target"))
os.close(handle)

# Two names of one file: nothing happens
os.link("target", "target2")
os.rename("target", "target2")
same((2, True), (os.stat("target").st_nlink, os.path.exists("target2")))

# Directories: over an empty one, not over a full one, not into itself, .. follows
os.makedirs("d/sub")
put("d/sub/f", "f")
os.mkdir("empty")
os.rename("d", "empty")
same("f", text("empty/sub/f"))
os.mkdir("other")
fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, "other", "empty")
fails(errno.EINVAL, os.rename, "empty", "empty/sub/x")
os.rename("empty/sub", "other/sub")
same(os.stat("other").st_ino, os.stat("other/sub/..").st_ino)
same((2, 3), (os.stat("empty").st_nlink, os.stat("other").st_nlink))
fails(errno.EISDIR, os.rename, "target", "other")
fails(errno.ENOTDIR, os.rename, "other", "target")
fails(errno.ENOENT, os.rename, "absent", "x")

# Other types
os.symlink("loop", "loop")
os.rename("loop", "loop2")
same("loop", os.readlink("loop2"))

# NOREPLACE
put("x", "x")
put("y", "y")
fails(errno.EEXIST, renameat2, "x", "y", NOREPLACE)
same(("x", "y"), (text("x"), text("y")))
renameat2("x", "z", NOREPLACE)
same("x", text("z"))
fails(errno.EEXIST, renameat2, "z", "z", NOREPLACE)

# EXCHANGE, of files, of a file and a directory, between directories
renameat2("y", "z", EXCHANGE)
same(("x", "y"), (text("y"), text("z")))
fails(errno.ENOENT, renameat2, "y", "absent", EXCHANGE)
os.makedirs("p/q")
put("p/q/deep", "deep")
top = os.stat(".").st_nlink
renameat2("y", "p/q", EXCHANGE)
same(("deep", "x"), (text("y/deep"), text("p/q")))
same(os.stat(".").st_ino, os.stat("y/..").st_ino)
same((2, top + 1), (os.stat("p").st_nlink, os.stat(".").st_nlink))
fails(errno.EINVAL, renameat2, "p", "p/q", EXCHANGE)
fails(errno.EINVAL, renameat2, "y", "z", NOREPLACE | EXCHANGE)
fails(errno.EINVAL, renameat2, "y", "z", 64)

# The times of the directories and of what moved
for name in ("p", "other", "z"):
    os.utime(name, ns=(0, 0))
ctime = os.stat("z").st_ctime_ns
os.rename("z", "p/z")
os.rename("p/z", "other/z")
for name in ("p", "other"):
    assert os.stat(name).st_mtime_ns > 0, name
same(0, os.stat("other/z").st_mtime_ns)
assert os.stat("other/z").st_ctime_ns >= ctime

names = sorted(str(p) for p in pathlib.Path(".").rglob("*"))
os.chdir("/")
daemon.umount()
daemon = Daemon()
same(names, sorted(str(p.relative_to(MNT)) for p in MNT.rglob("*")))
done(daemon)
