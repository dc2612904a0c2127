"""The daemon as a whole takes no more than its cache and 64 MiB, whatever 24 threads do to it at the
same time. (A sanitizer's daemon is larger by what that needs, and is not measured.)"""
# timeout: 300
from concurrent.futures import ThreadPoolExecutor
from lib import *
import random

MIB = 1 << 20
THREADS = 24
ROUNDS = 400 if LONG else 60
MEASURED = float(os.environ.get("RFS_TIMEOUT_FACTOR", "1")) <= 1
DATA = random.Random(1).randbytes(MIB)


def peak(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def small_writes(n):
    places = random.Random(n)
    with open(MNT / f"small{n}", "wb", buffering=0) as file:
        for _ in range(ROUNDS):
            os.pwrite(file.fileno(), DATA[:4096], places.randrange(2048) * 4096)


def large_writes(n):
    with open(MNT / f"large{n}", "wb", buffering=0) as file:
        for i in range(ROUNDS // 10):
            os.pwrite(file.fileno(), DATA, i * MIB)


def odd_writes(n):
    """Not at whole blocks, so that the store has to join them to what is there."""
    with open(MNT / f"large{n}", "wb", buffering=0) as file:
        for i in range(ROUNDS // 10):
            os.pwrite(file.fileno(), DATA[:MIB - 1000], i * MIB + 100)


def reads(size):
    def read(n):
        places = random.Random(n)
        buffer = mmap.mmap(-1, size)
        fd = os.open(MNT / "big", os.O_RDONLY | os.O_DIRECT)
        for _ in range(ROUNDS):
            same(size, os.preadv(fd, [buffer], places.randrange(BIG * MIB // size) * size))
        os.close(fd)
    return read


def creates(n):
    for i in range(ROUNDS):
        (MNT / f"file{n}.{i}").write_bytes(DATA[:n * 100])


def all_at_once(n):
    (small_writes, large_writes, reads(4096), reads(MIB))[n % 4](n)


def names(_):
    subprocess.run(["ls", "-lR", MNT], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["grep", "-rq", "no such text", MNT, "--include=file*"])


for cache in (16, 64):
    daemon = Daemon("-o", f"cache_size={cache}M,sync=standard")
    BIG = 2 * cache
    with open(MNT / "big", "wb") as file:
        for i in range(BIG):
            file.write(DATA)
    for load in (small_writes, large_writes, odd_writes, reads(4096), reads(1 << 17), reads(MIB),
                 all_at_once, creates, names):
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(load, range(THREADS if load != names else 1)))
        over = peak(daemon) / MIB - cache
        print(f"cache {cache} MiB, after {load.__name__}: at most {over:.1f} MiB more")
        assert not MEASURED or over <= 64, over
    daemon.umount()
done()
