"""Two mounts and an SQL client write to shared records all at the same time. Each record has a
number that grows with every write, and says it in every block: what is read must be whole, not
older than the bound of the mount allows, and not older than what the mount itself has written."""
import threading

from driver import *

SECONDS = 600 if LONG else 4
RECORDS = 8  # the first four anybody writes to, the others one mount each
SHARED = 4
BLOCKS = 3
HEAD = struct.Struct("<QQ")


class Record:
    """Its versions: (number, begun, acknowledged or None, by whom). One writes at a time."""

    def __init__(self, name):
        self.name, self.lock, self.versions = name, threading.Lock(), [(0, 0.0, 0.0, None)]

    def content(self, number):
        block = HEAD.pack(number, hash(self.name) & 0xFFFFFF)
        return (block * (BLOCK // len(block))) * BLOCKS

    def write(self, by, how):
        with self.lock:
            number = self.versions[-1][0] + 1
            begun = time.monotonic()
            self.versions.append((number, begun, None, by))
            how(self.content(number))
            self.versions[-1] = (number, begun, time.monotonic(), by)

    def oldest(self, mount, start, bound):
        """The number of the oldest version that may still be read."""
        return max(n for n, _, at, by in list(self.versions)
                   if at is not None and (at <= start - bound or by is mount and at <= start))

    def judge(self, mount, what, start, data, mapped=False):
        """All of a block is of one version; each may be of another one, but none is too old."""
        oldest = self.oldest(mount, start, mount.bound(mapped))
        latest = self.versions[-1][0]
        same(0, len(data) % BLOCK, f"{what} of {self.name}: the length")
        for at in range(0, len(data), BLOCK):
            number, _ = HEAD.unpack_from(data, at)
            same(self.content(number)[:BLOCK], data[at:at + BLOCK], f"{what}: a torn block")
            if not oldest <= number <= latest:
                raise AssertionError(
                    f"{mount.name}: {what} of {self.name}, block {at // BLOCK}: version {number}, "
                    f"wanted {oldest} ... {latest}: {self.versions[-6:]}, read at {start}")
            if number < latest and (gone := self.versions[number + 1][2]) and start > gone:
                mount.worst = max(mount.worst, (start - gone, f"{what} of {self.name}"))


def writer(mount, seed):
    rng = random.Random(seed)
    mine = [i for i in range(RECORDS) if i < SHARED or i % 2 == int(mount.name[1:])]
    fds = [os.open(mount.path((r.name,)), os.O_RDWR) for r in records]
    while time.monotonic() < end and not errors:
        i = rng.choice(mine)
        if rng.random() < 0.7:
            records[i].write(mount, lambda data: same(len(data), os.pwrite(fds[i], data, 0)))
        else:
            records[i].write(mount, lambda data: rewrite(mount.path((records[i].name,)), data))
        time.sleep(rng.random() * 0.1)
    for fd in fds:
        os.close(fd)


def rewrite(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        same(len(data), os.pwrite(fd, data, 0))
    finally:
        os.close(fd)


def sql_writer(seed):
    rng = random.Random(seed)
    with Connection() as db:
        while time.monotonic() < end and not errors:
            record = rng.choice(records[:SHARED])
            record.write(SQL, lambda data: db(
                "UPDATE records SET content = ? WHERE path = ?", data, f"/{record.name}"))
            time.sleep(rng.random() * 0.1)


def reader(mount, seed):
    rng = random.Random(seed)
    fds = [os.open(mount.path((r.name,)), os.O_RDONLY) for r in records]
    mappings = [Mapping(fd) for fd in fds]
    while time.monotonic() < end and not errors:
        i = rng.randrange(RECORDS)
        record, start = records[i], time.monotonic()
        what = rng.choice(("pread", "pread", "read", "direct", "mapping"))
        if what == "pread":
            data = os.pread(fds[i], BLOCK * BLOCKS, 0)
        elif what == "mapping":
            data = mappings[i].page(rng.randrange(BLOCKS))
        else:
            fd = os.open(mount.path((record.name,)), os.O_RDONLY | (what == "direct") * os.O_DIRECT)
            data = os.pread(fd, BLOCK * BLOCKS, 0)
            os.close(fd)
        record.judge(mount, what, start, data, what == "mapping")
        counts[mount.name, what] += 1
        time.sleep(0.001)
    for fd, mapping in zip(fds, mappings):
        mapping.close()
        os.close(fd)


def guarded(function, *args):
    try:
        function(*args)
    except BaseException as error:
        errors.append(error)
        raise


def run(*configurations):
    global end
    mounts = [Mount(f"m{i}", *c, lag) for i, c in enumerate(configurations)]
    for record in records:
        (mounts[0].top / record.name).write_bytes(record.content(0))
        record.versions = [(0, 0.0, 0.0, None)]
    for mount in mounts:
        poll("the records are known", lambda: all(
            (mount.top / r.name).exists() and (mount.top / r.name).stat().st_size == BLOCK * BLOCKS
            for r in records))
    end = time.monotonic() + SECONDS
    threads = [threading.Thread(target=guarded, daemon=True, args=(f, m, SEED + i))
               for i, m in enumerate(mounts) for f in (writer, reader, reader)]
    if has_view():
        threads.append(threading.Thread(target=guarded, daemon=True, args=(sql_writer, SEED)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + HANGS)
        assert not thread.is_alive(), "hangs"
    if errors:
        raise errors[0]
    for record in records:
        wanted = record.content(record.versions[-1][0])
        same(True, wanted == stored(record.name), record.name)
        for mount in mounts:
            poll("everybody sees the last", lambda: (mount.top / record.name).read_bytes() == wanted)
    print(configurations, sum(r.versions[-1][0] for r in records), "writes;", dict(counts), "reads;",
          "the oldest:", [(m.name, f"{m.worst[0]:.3f} s of {m.bound(False):.3f}", m.worst[1])
                          for m in mounts], flush=True)
    counts.clear()
    for mount in mounts:
        mount.daemon.umount()


print("seed", SEED, flush=True)
lag, errors, counts = Lag(), [], collections.Counter()
records = [Record(f"r{i}") for i in range(RECORDS)]
end = 0.0
run((300, 100), (300, 100))
run((0.3, 0), (0.2, 0))
run((0, 0), (300, 100))
done()
