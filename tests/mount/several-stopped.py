"""SIGSTOP of a mount while it writes: the others read on always, and when it goes on soon their
writes are only late. When it stays stopped inside a transaction, their writes say EIO after a
while, and never hang; if it is not inside of one they go on. Afterwards everything is as before."""
# timeout: 900
import threading

from several import *

ROUNDS = 300 if LONG else 15
LONG_STOPS = 10 if LONG else 1
BUSY = 10  # seconds that a mount waits for the others
BOUND = BUSY + HANGS / 3

daemons = mount_all(["-o", "sync=always"], ["-o", "cache_ttl=0"])
a, b = (daemon.mnt for daemon in daemons)
(a / "a").write_bytes(b"")
(b / "b").write_bytes(b"before")
poll("the file is known", (b / "a").exists)
rng = random.Random(SEED)
written, end = [], threading.Event()


def load():
    fd = os.open(a / "a", os.O_WRONLY | os.O_APPEND)
    while not end.is_set():
        line = f"{len(written)} {'x' * (len(written) % 20000)}\n".encode()
        same(len(line), os.write(fd, line))
        written.append(line)
    os.close(fd)


class Stopped:
    def __enter__(self):
        os.kill(daemons[0].process.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        os.kill(daemons[0].process.pid, signal.SIGCONT)


def write(n):
    """What the file holds afterwards, as far as the caller was told; and how long that took."""
    global content
    start = time.monotonic()
    fd = os.open(b / "b", os.O_WRONLY)
    try:
        os.pwrite(fd, b"%06d" % n, 0)
        content = b"%06d" % n
    finally:
        os.close(fd)
        waits.append(time.monotonic() - start)


def read():
    same(content, (b / "b").read_bytes())
    same(content, stored("b"))
    os.listdir(b)


content, waits, refused = b"before", [], 0
writer = threading.Thread(target=load, daemon=True)
writer.start()
for n in range(ROUNDS):
    poll("the first one writes", lambda: len(written) > 5 * n)
    time.sleep(rng.random() * 0.01)
    with Stopped(), limit("reading beside a stopped mount"):
        read()
        late = threading.Thread(target=write, args=(n,), daemon=True)
        late.start()
        late.join(rng.random() * 0.3)
    late.join(HANGS)
    same(b"%06d" % n, content, "a write that had to wait a little")
    read()
print(f"{ROUNDS} short stops, the longest wait {max(waits):.2f} s", flush=True)

waits = []
while refused < LONG_STOPS and len(waits) < 10000:
    with Stopped():
        for n in range(5):
            try:
                with limit("writing beside a stopped mount", BOUND):
                    write(n)
            except OSError as error:
                same(errno.EIO, error.errno)
                refused += 1
                break
        with limit("reading beside a stopped mount"):
            read()
    read()
    n, count = 999999, len(written)
    poll("the stopped one goes on", lambda: len(written) > count)
    write(n)
print(f"then {len(waits)} writes, {refused} refused, the longest wait {max(waits):.2f} s", flush=True)
end.set()
writer.join(HANGS)
assert not writer.is_alive()
same(True, stored("a") == b"".join(written))
poll("seen by the first", lambda: (a / "b").read_bytes() == content)
umount_all(daemons)
