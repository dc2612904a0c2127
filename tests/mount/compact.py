#!/usr/bin/env python3
"""recordfsctl compact: all free space goes, offline and beside a mount that is written to; interrupted, the
store is sound."""
import threading
from lib import *

MIB = 1 << 20


def compact(*args, status=0):
    run = subprocess.run(["recordfsctl", "compact", *args], capture_output=True, text=True)
    same(status, run.returncode, f"{args}: {run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def sql(statement):
    return subprocess.run(["sqlite3", "-cmd", ".timeout 20000", STORE, statement], check=True,
                          capture_output=True, text=True).stdout.strip()


def fill(names, size):
    wanted = {}
    for name in names:
        wanted[name] = os.urandom(size)
        (MNT / name).write_bytes(wanted[name])
    return wanted


daemon = Daemon("-o", "sync=disabled,watch=20")
wanted = fill([f"f{i}" for i in range(20)], MIB)
daemon.umount()

# offline
for i in range(0, 20, 2):
    sql(f"DELETE FROM records WHERE path = '/f{i}'")
    del wanted[f"f{i}"]
before = STORE.stat().st_size
assert int(sql("PRAGMA freelist_count")) > 2000
out = compact(STORE)
assert "gave back 10." in out, out
same(0, int(sql("PRAGMA freelist_count")), "free pages")
assert STORE.stat().st_size < before - 9 * MIB, (before, STORE.stat().st_size)
assert not (T / "store.db-wal").exists()
same("", compact("--quiet", STORE), "quiet")
subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)

# beside a mount, which leaves free space where there is little of it, while somebody writes
daemon = Daemon("-o", "watch=20")
for name, data in wanted.items():
    same(data, (MNT / name).read_bytes(), name)
sql("DELETE FROM records WHERE path = '/f1'")
del wanted["f1"]
poll("the deletion", lambda: int(sql("PRAGMA freelist_count")) > 150)
stop = threading.Event()
written = []
worst = 0


def write():
    global worst
    while not stop.is_set():
        data = os.urandom(3000)
        begun = time.monotonic()
        (MNT / "busy").write_bytes(data)
        worst = max(worst, time.monotonic() - begun)
        written.append(data)


writer = threading.Thread(target=write)
writer.start()
poll("a write", lambda: written)
out = compact(MNT)
stop.set()
writer.join()
print(f"{out.strip()}; {len(written)} writes beside it, {worst * 1000:.0f} ms at worst")
assert int(sql("PRAGMA freelist_count")) < 50
same(written[-1], (MNT / "busy").read_bytes(), "what was written beside it")
for name, data in wanted.items():
    same(data, (MNT / name).read_bytes(), name)
daemon.umount()
subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)

# interrupted, wherever that is
daemon = Daemon("-o", "sync=disabled")
wanted |= fill([f"g{i}" for i in range(20)], MIB)
daemon.umount()
for i in range(0, 20, 2):
    sql(f"DELETE FROM records WHERE path = '/g{i}'")
    del wanted[f"g{i}"]
for delay in 0.002, 0.01, 0.02, 0.03:
    process = subprocess.Popen(["recordfsctl", "compact", STORE], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode in (0, 1, -signal.SIGINT), (process.returncode, err)
    if process.returncode == 1:
        assert "interrupted" in err, err
    subprocess.run(["recordfsctl", "check", STORE], check=True, stdout=subprocess.DEVNULL)
compact(STORE)
daemon = Daemon()
for name, data in wanted.items():
    same(data, (MNT / name).read_bytes(), name)

# what is refused
(T / "other").write_text("no store")
compact(T / "other", status=1)
compact(status=2)
done(daemon)
