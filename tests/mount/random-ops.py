"""Random reads, writes, truncations, fallocate and mappings on one file, compared with a model at
each step; the same file through handles of every kind."""
import random

from lib import *

STEPS = 20000 if LONG else 2000
LIMIT = 300000
SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
print("seed", SEED, flush=True)
rng = random.Random(SEED)
KEEP, PUNCH, ZERO = 1, 2, 16
path = MNT / "f"
model = bytearray()


def open_all():
    return [os.open(path, os.O_RDWR | os.O_CREAT | flags) for flags in (0, os.O_DIRECT, os.O_SYNC)]


def grow(size):
    if len(model) < size:
        model.extend(bytes(size - len(model)))


def place():
    at = rng.randrange(LIMIT)
    return at - at % 4096 if rng.random() < 0.3 else at


def length(at):
    n = rng.choice((1, 10, 4095, 4096, 4097, 8192, 20000, 131072))
    return min(rng.randrange(1, n + 1) if rng.random() < 0.5 else n, LIMIT - at) or 1


def step(fd):
    at = place()
    n = length(at)
    what = rng.choice(("write", "write", "write", "read", "read", "truncate", "punch", "zero",
                       "allocate", "append", "map", "map write", "copy", "sync"))
    if what == "write":
        data = rng.randbytes(n)
        grow(at)
        same(n, os.pwrite(fd, data, at))
        model[at:at + n] = data
    elif what == "read":
        same(bytes(model[at:at + n]), os.pread(fd, n, at), f"{n} at {at}")
    elif what == "truncate":
        os.ftruncate(fd, at)
        del model[at:]
        grow(at)
    elif what == "punch":
        fallocate(fd, PUNCH | KEEP, at, n)
        end = min(at + n, len(model))
        model[at:end] = bytes(max(0, end - at))
    elif what == "zero":
        fallocate(fd, ZERO, at, n)
        grow(at + n)
        model[at:at + n] = bytes(n)
    elif what == "allocate":
        fallocate(fd, 0, at, n)
        grow(at + n)
    elif what == "append" and len(model) + n < LIMIT:
        data = rng.randbytes(n)
        appender = os.open(path, os.O_WRONLY | os.O_APPEND)
        same(n, os.write(appender, data))
        os.close(appender)
        model.extend(data)
    elif what.startswith("map") and model:
        view = mmap.mmap(fd, len(model), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        if what == "map write" and at < len(model):
            data = rng.randbytes(min(n, len(model) - at))
            view[at:at + len(data)] = data
            model[at:at + len(data)] = data
            if rng.random() < 0.5:
                view.flush()
        same(True, bytes(model) == view[:], "the mapping")
        view.close()
    elif what == "copy" and at + n <= len(model) and at >= n:
        same(n, os.copy_file_range(fd, fd, n, 0, at))
        model[at:at + n] = model[:n]
    elif what == "sync":
        os.fsync(fd)
    same(len(model), os.fstat(fd).st_size, what)
    return what


daemon = Daemon("-o", "sync=standard,cache_size=1M")
handles = open_all()
history = []
try:
    for i in range(STEPS):
        history.append(step(rng.choice(handles)))
        if i % 100 == 99:
            same(True, bytes(model) == path.read_bytes(), "the whole file")
        if i % 500 == 499:
            for fd in handles:
                os.fsync(fd)
            same(True, bytes(model) == stored("f"), "the store")
            for fd in handles:
                os.close(fd)
            daemon.umount()
            daemon = Daemon("-o", "sync=standard,cache_size=1M")
            same(True, bytes(model) == path.read_bytes(), "after the remount")
            handles = open_all()
except BaseException:
    print(f"step {len(history)}, before it: {history[-10:]}", flush=True)
    raise
for fd in handles:
    os.close(fd)
done(daemon)
