"""Times, to the nanosecond: set, kept, and moved by what moves them."""
from lib import *

NS = 1_000_000_000
daemon = Daemon()
os.chdir(MNT)


def times(name):
    s = os.lstat(name)
    return s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns


def moved(what, action, name, mtime, ctime):
    """Sets the times back, acts, and looks which of mtime and ctime moved."""
    os.utime(name, ns=(1, 2), follow_symlinks=False)
    before = times(name)
    poll("the clock", lambda: time.time_ns() > before[2] + 20_000_000)
    action()
    after = times(name)
    same((mtime, ctime), (after[1] != 2, after[2] != before[2]), what)


# Set and kept, also before 1970 and far ahead, on every type
pathlib.Path("f").write_text("text")
os.mkdir("d")
os.symlink("f", "s")
os.mkfifo("p")
odd = [(123456789, 987654321), (-NS - 5, -1), (2**33 * NS + 7, 2**31 * NS + 999_999_999), (0, 1)]
for name in ("f", "d", "s", "p"):
    for pair in odd:
        os.utime(name, ns=pair, follow_symlinks=False)
        same(pair, times(name)[:2], name)
os.utime("f", ns=odd[2])
os.utime("s", ns=odd[1], follow_symlinks=False)

# What is too far away becomes the nearest that there is, and not a time on the other side
for seconds, wanted in ((2**40, 2**63 - 1), (-2**40, -2**63)):
    os.utime("f", (seconds, seconds))
    same((wanted, wanted), times("f")[:2], f"{seconds} s")

# Now: near the clock
start = time.time_ns()
os.utime("p")
assert start - NS < times("p")[1] <= time.time_ns() + NS, times("p")

# One of the two alone (touch -a, touch -m)
os.utime("d", ns=(5, 6))
subprocess.run(["touch", "-m", "-d", "@7.000000008", "d"], check=True)
same((5, 7 * NS + 8), times("d")[:2])
subprocess.run(["touch", "-a", "-d", "@9.000000001", "d"], check=True)
same((9 * NS + 1, 7 * NS + 8), times("d")[:2])

# What moves what
def write():
    fd = os.open("g", os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)


def nothing():
    fd = os.open("g", os.O_RDWR)
    os.write(fd, b"")
    os.fsync(fd)
    os.close(fd)


pathlib.Path("g").write_text("text")
moved("write", write, "g", True, True)
moved("truncate", lambda: os.truncate("g", 1), "g", True, True)
moved("chmod", lambda: os.chmod("g", 0o640), "g", False, True)
moved("link", lambda: os.link("g", "g2"), "g", False, True)
moved("unlink", lambda: os.unlink("g2"), "g", False, True)
moved("rename", lambda: os.rename("g", "h") or os.rename("h", "g"), "g", False, True)
moved("xattr", lambda: os.setxattr("g", "user.a", b"b"), "g", False, True)
moved("nothing", nothing, "g", False, False)
moved("read", lambda: pathlib.Path("g").read_bytes(), "g", False, False)
moved("create in", lambda: pathlib.Path("d/x").touch(), "d", True, True)
moved("rename in", lambda: os.rename("d/x", "d/y"), "d", True, True)
moved("write below", lambda: pathlib.Path("d/y").write_text("x"), "d", False, False)
moved("unlink in", lambda: os.unlink("d/y"), "d", True, True)
moved("mkdir in", lambda: os.mkdir("d/z"), "d", True, True)
moved("rmdir in", lambda: os.rmdir("d/z"), "d", True, True)
fd = os.open("g", os.O_RDWR | os.O_TRUNC)
os.close(fd)
moved("O_TRUNC", lambda: os.close(os.open("g", os.O_WRONLY | os.O_TRUNC)), "g", True, True)

# ctime follows the clock, not utime
assert abs(times("g")[2] - time.time_ns()) < 3600 * NS
wanted = {name: times(name)[1:] for name in os.listdir(".")}
os.chdir("/")
daemon.umount()
daemon = Daemon()
os.chdir(MNT)
same(wanted, {name: times(name)[1:] for name in os.listdir(".")})
os.chdir("/")
done(daemon)
