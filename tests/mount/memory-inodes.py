"""Inodes that the kernel was told of take little memory, and none when it has forgotten them. 50,000,
or with RFS_LONG a million, in a store that SQL has filled."""
# timeout: 900
from lib import *

N = 1000000 if LONG else 50000
MEASURED = float(os.environ.get("RFS_TIMEOUT_FACTOR", "1")) <= 1
DIRS = N // 1000
KIB = 1 << 10


def fill():
    """DIRS directories with 1,000 records of 100 bytes each. The triggers, which log each row for
    other mounts, are put back as they were."""
    db = sqlite3.connect(STORE, isolation_level=None)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    db.execute("BEGIN")
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    now = time.time_ns()
    times = dict(now=now, dirs=DIRS, n=N, first=2 + DIRS)
    count = "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < :%s) "
    for many, sql in (
            ("dirs", "INSERT INTO inode SELECT 2 + i, 16877, 0, 0, 2, 0, 0, 0, 0,"
                     " :now, :now, :now, :now, 1 + :n, 1, NULL, 0, NULL FROM c"),
            ("dirs", "INSERT INTO dentry SELECT 1, printf('d%04d', i), i + 1, 2 + i, 16384 FROM c"),
            ("n", "INSERT INTO inode SELECT :first + i, 33188, 0, 0, 1, 100, 1, 0, 0,"
                  " :now, :now, :now, :now, 1, 0, NULL, 0, NULL FROM c"),
            ("n", "INSERT INTO dentry SELECT 2 + i / 1000, printf('file%07d', i), i + 1,"
                  " :first + i, 32768 FROM c"),
            ("n", "INSERT INTO block SELECT :first + i << 30, NULL, zeroblob(100) FROM c")):
        wanted = {key: value for key, value in times.items() if f":{key}" in count % many + sql}
        db.execute(count % many + sql, wanted)
    db.execute("UPDATE inode SET nlink = 2 + ?, version = ? WHERE ino = 1", (DIRS, DIRS + 1))
    db.execute("UPDATE store SET next_ino = ?", (2 + DIRS + N,))
    for _, sql in triggers:
        db.execute(sql)
    db.execute("COMMIT")
    db.close()


def resident():
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * KIB


def forget():
    """False: the kernel cannot be made to."""
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")
    except OSError:
        return False
    return True


Daemon().umount()
fill()
# With one thread, since what each thread and each connection takes is another question.
daemon = Daemon("-s", "-o", "cache_size=1M")
start = resident()
sizes = subprocess.run(["find", MNT, "-type", "f", "-size", "-1", "-o", "-printf", "."],
                       stdout=subprocess.PIPE, check=True).stdout
same(N + DIRS + 1, len(sizes), "inodes that find has seen")
known = resident() - start
print(f"{N} inodes: {known / N:.1f} bytes each")
# Besides what is known of each: the cache, the memory of a connection that reads, and perhaps of a
# second one, as one of the daemon's own threads may read at the same moment as find.
OTHERS = 8 * 1024 * KIB
assert not MEASURED or known < N * 50 + OTHERS, known
if forget():
    # The daemon hears of it by and by.
    if MEASURED:
        poll("the memory to come back", lambda: resident() - start < OTHERS)
    print(f"forgotten: {(resident() - start) / KIB:.0f} KiB more than at first")
same(b"\0" * 100, (MNT / "d0001" / "file0001500").read_bytes())
done(daemon)
