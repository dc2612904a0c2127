"""Deleted files are given back many at a time; what is open beside them stays, however it is."""
from lib import *

FILES = 1000
daemon = Daemon()
os.chdir(MNT)
O_PATH = 0o10000000


def inodes():
    s = os.statvfs(MNT)
    return s.f_files - s.f_ffree


def content(i):
    return b"%d" % i * 50


base = inodes()
for turn in range(3):
    for i in range(FILES):
        pathlib.Path(f"f{i}").write_bytes(content(i))
    handles = {}
    for i in range(FILES):
        # Open, known without being open, or neither; some are only so for a while
        if i % 3 == 0:
            handles[i] = os.open(f"f{i}", os.O_RDONLY if i % 2 else os.O_RDWR)
        elif i % 7 == 0:
            handles[i] = os.open(f"f{i}", O_PATH)
        if i % 2:
            os.unlink(f"f{i}")
        else:
            os.rename(f"f{i}", "x")  # over the one before
        if i % 30 == 0:
            os.close(handles.pop(i))
    os.unlink("x")
    poll("all others are gone", lambda: inodes() == base + len(handles))
    for i, fd in handles.items():
        same(0, os.fstat(fd).st_nlink, f"links of {i}")
        with open(f"/proc/self/fd/{fd}", "rb") as again:
            same(content(i), again.read(), f"content of {i}")
    for fd in handles.values():
        os.close(fd)
    poll("all are gone", lambda: inodes() == base)

# Also of directories
for i in range(FILES):
    os.mkdir(f"d{i}")
fd = os.open("d77", os.O_RDONLY | os.O_DIRECTORY)
for i in range(FILES):
    os.rmdir(f"d{i}")
poll("all others are gone", lambda: inodes() == base + 1)
same([], os.listdir(fd))
os.close(fd)
poll("all are gone", lambda: inodes() == base)
os.chdir("/")
done(daemon)
