"""Directories: large ones, entries that stay while others come and go, telldir and seekdir."""
from lib import *

MANY = 100000 if LONG else 20000
libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = libc.closedir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_ulong), ("off", ctypes.c_long), ("reclen", ctypes.c_ushort),
                ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = [ctypes.c_void_p]


def read_one(handle):
    entry = libc.readdir(handle)
    return (entry.contents.name.decode(), entry.contents.off) if entry else None


def read_rest(handle):
    names = []
    while entry := read_one(handle):
        names.append(entry[0])
    return names


daemon = Daemon("-o", "sync=standard")
os.chdir(MNT)
os.mkdir("many")
names = [f"{i:07}{'x' * (i % 50)}" for i in range(MANY)]
for name in names:
    os.mknod(f"many/{name}", stat.S_IFREG | 0o644)
same(True, sorted(names) == sorted(os.listdir("many")), "all of them, once")
same(MANY, sum(1 for entry in os.scandir("many") if entry.is_file(follow_symlinks=False)))
out = subprocess.check_output(["sh", "-c", "ls -lU many | wc -l"], text=True)
same(MANY + 1, int(out))

# . and .. are there, with the right inodes
handle = libc.opendir(b"many")
first = [libc.readdir(handle).contents for _ in range(2)]
inodes = {e.name: e.ino for e in first}
same({b".": os.stat("many").st_ino, b"..": os.stat(".").st_ino}, inodes)

# Every place can be gone back to
libc.rewinddir(handle)
places = []
while entry := read_one(handle):
    places.append((entry[0], libc.telldir(handle)))
for i in range(0, len(places) - 1, max(1, len(places) // 50)):
    libc.seekdir(handle, places[i][1])
    same(places[i + 1][0], read_one(handle)[0], f"after {places[i][0]}")
libc.seekdir(handle, places[-1][1])
same(None, read_one(handle))
libc.closedir(handle)

# Reading while others unlink and create: what is there all the time comes exactly once
os.mkdir("busy")
for i in range(2000):
    os.mknod(f"busy/stays{i}", stat.S_IFREG | 0o644)
    os.mknod(f"busy/goes{i}", stat.S_IFREG | 0o644)
handle = libc.opendir(b"busy")
seen, i = [], 0
while entry := read_one(handle):
    seen.append(entry[0])
    if i < 2000:
        os.unlink(f"busy/goes{i}")
        os.mknod(f"busy/new{i}", stat.S_IFREG | 0o644)
        if i % 100 == 0:
            os.rename(f"busy/new{i}", f"busy/renamed{i}")
    i += 1
libc.closedir(handle)
stayed = [name for name in seen if name.startswith("stays")]
same(True, sorted(stayed) == sorted(f"stays{i}" for i in range(2000)), "what stays comes once")
same(len(seen), len(set(seen)), "nothing comes twice")

# A removed entry's place still works
handle = libc.opendir(b"busy")
place = None
for _ in range(100):
    name, place = read_one(handle)[0], libc.telldir(handle)
wanted = set(read_rest(handle))
if name not in (".", ".."):
    os.unlink(f"busy/{name}")
libc.seekdir(handle, place)
same(True, wanted == set(read_rest(handle)), "after the entry of the place went")
libc.closedir(handle)

# The classic: unlink what readdir shows, while reading
for entry in os.scandir("busy"):
    os.unlink(entry.path)
same([], os.listdir("busy"))
os.rmdir("busy")
os.chdir("/")
daemon.umount()
daemon = Daemon("-o", "sync=standard")
same(True, sorted(names) == sorted(os.listdir(MNT / "many")), "after the remount")
subprocess.run(["rm", "-r", MNT / "many"], check=True)
done(daemon)
