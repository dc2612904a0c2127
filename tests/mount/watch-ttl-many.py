"""The same bound for 5,000 files whose time is over at once: all of them are read from the kernel's
cache through handles that stay open, and none shows what was replaced more than TTL + 100 ms before
its read began. (With watch=0; see watch-ttl.py.)"""
import resource

from lib import *

N = 5000
TTL = 1.0
resource.setrlimit(resource.RLIMIT_NOFILE, (N + 100, N + 100))
daemon = Daemon("-o", "cache_ttl=1,watch=0,sync=standard")
top = MNT / "d"
top.mkdir()
for i in range(N):
    (top / str(i)).write_bytes(b"00000000" + bytes(8192))
fds = [os.open(top / str(i), os.O_RDONLY) for i in range(N)]
sql = Sql()
inodes = [os.fstat(fd).st_ino for fd in fds]
replaced = []
late = []
warm = looks = 0


def look():
    global looks
    for number, fd in enumerate(fds):
        began = time.monotonic()
        version = int(os.pread(fd, 8, 0))
        looks += 1
        if version < len(replaced) and began - replaced[version] > TTL + 0.1:
            late.append((number, version, round(began - replaced[version] - TTL - 0.1, 4)))


for version in range(1, 4):
    look()  # fills them all
    filled = daemon.stats()["read_requests"]
    look()
    warm = max(warm, N - (daemon.stats()["read_requests"] - filled))
    with sql:
        for ino in inodes:
            sql.run("UPDATE block SET data = ?, sums = NULL WHERE key = ?",
                    b"%08d" % version + bytes(8192), ino << 30)
            sql.touch(ino)
    replaced.append(time.monotonic())
    while time.monotonic() < replaced[-1] + 1.5 * TTL:
        look()
same([], late[:5], f"(file, version, seconds too old), {len(late)} of {looks}")
print(f"{looks} looks; {warm} of {N} were served by the kernel when looked at again at once")
sql.close()
for fd in fds:
    os.close(fd)
done(daemon)
