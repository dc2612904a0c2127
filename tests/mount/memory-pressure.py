"""Clients and daemon in one memory cgroup that is much smaller than what is dirty in shared
mappings, with page cache and writes beside it: reclaim has to write pages back through the daemon,
which needs memory for that. Nobody waits for ever, the daemon is not killed, and nothing is lost."""
# timeout: 900
import contextlib
import random

from lib import *

MIB = 1 << 20
PAGE = 4096
LIMIT = 64 * MIB  # and what the daemon takes, if it is in it
SIZE = (256 if LONG else 40) * MIB  # of each mapping
STOP = T / "stop"
ROUNDS = 4 if LONG else 1
SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
FACTOR = float(os.environ.get("RFS_TIMEOUT_FACTOR", "1"))
print("seed", SEED, flush=True)


def skip(why):
    print("skipped:", why)
    sys.exit(77)


class Cgroup:
    """A memory cgroup of its own, of either version."""

    def __init__(self, limit):
        v1, v2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
        controllers = v2 / "cgroup.subtree_control"
        if controllers.exists():
            if "memory" not in controllers.read_text():
                with contextlib.suppress(OSError):
                    controllers.write_text("+memory")
            if "memory" not in controllers.read_text():
                skip("the memory controller is not to be had")
            top, name = v2, "memory.max"
        elif v1.is_dir():
            top, name = v1, "memory.limit_in_bytes"
        else:
            skip("no memory controller")
        self.path = top / f"recordfs-{os.getpid()}"
        try:
            self.path.mkdir()
            (self.path / name).write_text(str(limit))
        except OSError as error:
            skip(f"no memory cgroup can be made: {error}")
        for off in ("memory.swap.max",):
            with contextlib.suppress(OSError):
                (self.path / off).write_text("0")

    def enter(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def oom_kills(self):
        for name in ("memory.events", "memory.oom_control"):
            if (self.path / name).exists():
                words = (self.path / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        return 0

    def usage(self):
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if (self.path / name).exists():
                return int((self.path / name).read_text())
        return 0

    def waits_for_writeback(self):
        """Does reclaim in it wait for pages that a FUSE daemon must write? Version 1 does."""
        return not (self.path / "cgroup.events").exists()

    def remove(self):
        poll("the cgroup is empty", self.removed)

    def removed(self):
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True


def page_of(who, number, generation):
    return (b"%08d %08d %08d;" % (who, number, generation) * 160)[:PAGE]


def dirty(who):
    """Stores into every page of a shared mapping, one in their order and the other in any, and
    waits for none of them."""
    rng = random.Random(SEED + who)
    fd = os.open(MNT / f"map{who}", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    view = mmap.mmap(fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    pages = list(range(SIZE // PAGE))
    if who:
        view.madvise(mmap.MADV_RANDOM)  # or a page that is asked for is read with all around it
    for generation in range(ROUNDS):
        if who:
            rng.shuffle(pages)
        for number in pages:
            at = number * PAGE
            old = page_of(who, number, generation - 1) if generation else bytes(PAGE)
            assert view[at:at + PAGE] == old, f"page {number} in round {generation}"
            view[at:at + PAGE] = page_of(who, number, generation)
    view.flush()
    view.close()
    os.close(fd)


def write(who):
    """write(2) beside it, through the page cache of nobody."""
    with open(MNT / f"written{who}", "wb", buffering=0) as file:
        for number in range(SIZE // 2 // PAGE // 16):
            data = b"".join(page_of(who, number * 16 + i, 0) for i in range(16))
            same(len(data), file.write(data))


def press(path):
    """Page cache that wants the memory: clean pages of a mount, or dirty ones of the disk."""
    while not STOP.exists():
        with open(path, "rb" if path.parent == MNT else "r+b", buffering=0) as file:
            for at in range(0, os.fstat(file.fileno()).st_size, MIB):
                data = os.pread(file.fileno(), MIB, at)
                if path.parent == T:
                    os.pwrite(file.fileno(), data, at)


def in_cgroup(group, function, *args):
    group.enter(os.getpid())
    function(*args)


def verify():
    for who in (0, 1):
        with open(MNT / f"map{who}", "rb") as file:
            for number in range(SIZE // PAGE):
                same(True, file.read(PAGE) == page_of(who, number, ROUNDS - 1), f"page {number}")
    with open(MNT / "written2", "rb") as file:
        for number in range(SIZE // 2 // PAGE // 16 * 16):
            same(True, file.read(PAGE) == page_of(2, number, 0), f"written page {number}")


def is_io_flusher(daemon):
    """PF_MEMALLOC_NOIO, of a process that was allowed to say what it is."""
    fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return bool(int(fields[6]) & 0x80000)


def run(with_daemon):
    """False: what is asked for is known to be impossible here."""
    daemons_share = (64 if FACTOR <= 1 else 512) * MIB  # a sanitizer's daemon needs more
    group = Cgroup(LIMIT + daemons_share * with_daemon)
    daemon = Daemon("-o", "cache_size=16M")
    if with_daemon and group.waits_for_writeback() and not is_io_flusher(daemon):
        daemon.umount()
        group.remove()
        return False
    if with_daemon:
        group.enter(daemon.process.pid)
    for path in (MNT / "clean", T / "disk"):
        path.write_bytes(bytes(2 * LIMIT))
    STOP.unlink(missing_ok=True)
    start = time.monotonic()
    pressing = [child(in_cgroup, group, press, path) for path in (MNT / "clean", T / "disk")]
    work = [child(in_cgroup, group, dirty, who) for who in (0, 1)]
    work.append(child(in_cgroup, group, write, 2))
    join(*work)
    STOP.touch()
    join(*pressing)
    print(f"{2 * SIZE // MIB} MiB mapped, {ROUNDS} rounds, {group.usage() // MIB} MiB at most"
          f"{', the daemon in it' * with_daemon}: {time.monotonic() - start:.0f} s,"
          f" {group.oom_kills()} killed", flush=True)
    same(None, daemon.process.poll(), "the daemon runs")
    same(0, group.oom_kills(), "killed for lack of memory")
    verify()
    daemon.umount()
    daemon = Daemon()
    verify()
    subprocess.run(["rm", "-r", *MNT.iterdir()], check=True)
    daemon.umount()
    group.remove()
    return True


if os.getuid() != 0:
    skip("only root can make a cgroup")
run(False)
if not run(True):
    print("not with the daemon in it: cgroups of version 1 need CAP_SYS_RESOURCE for that")
done()
