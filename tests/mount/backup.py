#!/usr/bin/env python3
# timeout: 600
"""recordfsctl backup: the copy is of one moment, whoever writes meanwhile; it is whole or not there,
whether the backup is interrupted, killed, or finds the disk full; nothing is ever overwritten."""
from lib import *

COPY = T / "copy.db"
PARTIAL = T / "copy.db.recordfs-partial"
PLACES = 40


def backup(*args, code=0):
    result = subprocess.run(["recordfsctl", "backup", *args], stdin=subprocess.DEVNULL,
                            capture_output=True)
    result.stderr = complaints(result.stderr)
    same(code, result.returncode, (args, result))
    if code == 0:
        same(b"", result.stderr)
    else:
        same(1, result.stderr.count(b"\n"), result.stderr)
        assert result.stderr.startswith(b"recordfsctl: "), result.stderr
    return (result.stderr if code else result.stdout).decode()


def beside():
    return sorted(p.name for p in T.iterdir() if p.name.startswith("copy"))


def counters(root):
    return [int((root / f"c{i}").read_text()) for i in range(PLACES)]


def count(stop):
    """Writes 1 into all files in order, then 2 into all, ..., so that one moment has at most two
    values, the greater ones first."""
    n = 0
    while not stop.exists():
        n += 1
        for i in range(PLACES):
            with open(MNT / f"c{i}", "r+") as f:
                f.write(f"{n:09d}")


daemon = Daemon("-o", "sync=standard")
for i in range(PLACES):
    (MNT / f"c{i}").write_text("0" * 9)
    (MNT / f"filler{i}").write_bytes(os.urandom(1 << 20))
os.setxattr(MNT / "c0", "user.a", b"b")
os.symlink("c0", MNT / "soft")

# One moment, while somebody writes
stop = T / "stop"
writer = child(count, stop)
for source in (MNT, STORE):
    poll("somebody writes", lambda: int((MNT / "c0").read_text()) > 0)
    said = backup("--rate=100M", source, COPY)
    assert "no faults" in said, said
    same(["copy.db"], beside())
    subprocess.run(["recordfsctl", "check", COPY], check=True, stdout=subprocess.DEVNULL)
    same(os.stat(STORE).st_mode, os.stat(COPY).st_mode)
    with_copy = Daemon(store=COPY, mnt=T / "mnt2")
    seen = counters(T / "mnt2")
    same(sorted(seen, reverse=True), seen, "one moment")
    assert seen[0] - seen[-1] <= 1 and seen[0] > 0, seen
    same(b"b", os.getxattr(T / "mnt2" / "soft", "user.a"))
    with_copy.umount()
    for name in beside():
        (T / name).unlink()

# A signal ends it in order, wherever it is; on a slow machine it may have come to its end
stopped = 0
for after in (0.05, 0.2, 0.5, 1):
    process = subprocess.Popen(["recordfsctl", "backup", "--quiet", "--rate=5M", MNT, COPY],
                               stderr=subprocess.PIPE)
    poll("it has begun", lambda: PARTIAL.exists() or process.poll() is not None)
    time.sleep(after)
    process.send_signal({0.2: signal.SIGTERM, 0.5: signal.SIGQUIT}.get(after, signal.SIGINT))
    text = process.stderr.read()
    if process.wait() == 0:
        same(["copy.db"], beside())
        COPY.unlink()
        continue
    stopped += 1
    same(1, process.returncode, text)
    same(1, text.count(b"\n"), text)
    assert b"stopped" in text, text
    same([], beside())
assert stopped, "it was never stopped"

# A rate below what a pause of a quarter second makes
small = T / "small.db"
with_small = Daemon(store=small, mnt=T / "mnt2")
(T / "mnt2/data").write_bytes(os.urandom(3 << 20))
with_small.umount()
began = time.monotonic()
backup("--rate=1M", small, COPY)
assert time.monotonic() - began > 2.5, f"a copy of 3 MiB in {time.monotonic() - began} s"
COPY.unlink()

# Two to the same place; then one is killed, and what it leaves is told of and made anew
first = subprocess.Popen(["recordfsctl", "backup", "--quiet", "--rate=1M", MNT, COPY])
poll("it has begun", lambda: PARTIAL.exists() and PARTIAL.stat().st_size > 0)
assert "under way" in backup(MNT, COPY, code=1)
first.kill()
first.wait()
assert PARTIAL.exists()
result = subprocess.run(["recordfsctl", "backup", "--quiet", MNT, COPY], capture_output=True,
                        check=True)
same(b"", result.stdout)
same(1, result.stderr.count(b"\n"), result.stderr)
assert b"was left by a backup" in result.stderr, result.stderr
same(["copy.db"], beside())
stop.touch()
join(writer)

# Nothing is overwritten, followed or taken for the copy's own
was = COPY.read_bytes()
assert "is there already" in backup(MNT, COPY, code=1)
same(was, COPY.read_bytes())
for path, make in ((COPY, lambda: COPY.symlink_to("nowhere")),
                   (COPY, COPY.mkdir),
                   (PARTIAL, lambda: PARTIAL.symlink_to("nowhere")),
                   (PARTIAL, PARTIAL.mkdir),
                   (T / "copy.db-wal", (T / "copy.db-wal").touch)):
    for name in beside():
        (T / name).unlink() if not (T / name).is_dir() else (T / name).rmdir()
    make()
    backup(MNT, COPY, code=1)
    same([path.name], beside())
(T / "copy.db-wal").unlink()
assert "lies in the store" in backup(MNT, MNT / "copy.db", code=1)
assert "lies in the store" in backup(STORE, MNT / "copy.db", code=1)
assert "its directory is not there" in backup(MNT, T / "absent" / "copy.db", code=1)
backup(T / "absent.db", COPY, code=1)
(T / "text").write_text("no store")
backup(T / "text", COPY, code=1)
backup(T, COPY, code=1)
backup(MNT, code=2)
backup(MNT, COPY, "--rate=x", code=2)
same([], beside())
daemon.umount()

# A mode that keeps others out is kept
os.chmod(STORE, 0o600)
backup(STORE, COPY)
same(0o600, os.stat(COPY).st_mode & 0o7777)
COPY.unlink()
same([], sorted(p.name for p in T.iterdir() if p.name.startswith("store.db-")), "log of the source")

# Nobody reads what it says any more
process = subprocess.Popen(["recordfsctl", "backup", "--rate=1M", STORE, COPY], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
process.stdout.close()
poll("it has begun", lambda: PARTIAL.exists())
process.send_signal(signal.SIGINT)
same(1, process.wait(), "nobody to tell")
same([], beside())

# A store with damage: the copy is not kept, unless it is asked for, and the fault is told
db = sqlite3.connect(STORE)
key, = db.execute("SELECT max(key) FROM block").fetchone()
data, = db.execute("SELECT data FROM block WHERE key = ?", (key,)).fetchone()
db.execute("UPDATE block SET data = ? WHERE key = ?",
           (bytes([data[0] ^ 1]) + data[1:], key))
sums, = db.execute("SELECT sums IS NULL FROM block WHERE key = ?", (key,)).fetchone()
db.commit()
db.close()
result = subprocess.run(["recordfsctl", "backup", STORE, COPY], capture_output=True)
same(1, result.returncode, result)
assert b"not kept" in result.stderr and b"--keep-going" in result.stderr, result
same([], beside())
for option in "--keep-going", "-k":
    result = subprocess.run(["recordfsctl", "backup", option, STORE, COPY], capture_output=True)
    said = complaints(result.stderr)
    same((1, 2), (result.returncode, said.count(b"\n")), result)
    assert b"in the copy: /" in said and b"checksum does not match" in said and b"has 1 fault," in said, result
    assert b", 1 fault" in result.stdout, result
    same(["copy.db"], beside())
    copied = subprocess.run(["recordfsctl", "check", COPY], capture_output=True)
    stored = subprocess.run(["recordfsctl", "check", STORE], capture_output=True)
    same(stored.stdout.replace(b"store.db", b"copy.db"), copied.stdout, "what the check says of both")
    COPY.unlink()

# A full disk
if os.getuid() == 0:
    small = T / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", small], check=True)
    assert "there are" in backup(STORE, small / "copy.db", code=1)
    same([], os.listdir(small))
    # ... that fills up on the way
    subprocess.run(["mount", "-o", "remount,size=60M", small], check=True)
    process = subprocess.Popen(["recordfsctl", "backup", "-q", "--rate=10M", STORE,
                                small / "copy.db"], stderr=subprocess.PIPE)
    poll("it has begun", lambda: sum(p.stat().st_size for p in small.iterdir()) > 1 << 20)
    try:
        (small / "filler").write_bytes(bytes(60 << 20))
    except OSError:
        pass
    text = process.stderr.read()
    same(1, process.wait(), text)
    assert b"no space left" in text and text.count(b"\n") == 1, text
    same(["filler"], os.listdir(small))
    subprocess.run(["umount", small], check=True)
done(check=False)
