"""The end of a mount under load, of workers that know every answer: SIGTERM, an unmount by force
(umount -f), a lazy one (umount -l, fusermount3 -uz), which lets those go on who have something open,
and the usual one, which is refused until they are gone. In each case the daemon ends by itself, and
well, nobody is stuck, nothing that was acknowledged is lost and nothing is left of what was
deleted; what was under way is there as a whole, or not at all."""
# timeout: 900
from worker import *

ROUNDS = int(os.environ.get("RFS_ROUNDS", 300 if LONG else 15))
WORKERS = 3


def fusermount(*options):
    return subprocess.run(["fusermount3", "-u", *options, MNT], capture_output=True)


def terminate():
    daemon.process.send_signal(rng.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)))


def force():
    if libc.umount2(os.fsencode(MNT), 1):  # MNT_FORCE: the connection ends, the mount is busy
        same(errno.EBUSY, ctypes.get_errno())


def detach():
    """Whoever has something open goes on; paths lead to the folder below."""
    if os.getuid() == 0 and rng.random() < 0.5:
        check_call(libc.umount2(os.fsencode(MNT), 2))  # MNT_DETACH
    else:
        same(0, fusermount("-z").returncode)
    same(False, is_mounted(MNT))


def refuse():
    for _ in range(5):
        assert fusermount().returncode != 0, "a mount in use was unmounted"


def is_lost(error):
    """What os.walk() would pass over; the kernel may answer stat(2) for minutes after the end."""
    if error.errno in LOST:
        raise error


def reader():
    """Reads what there is until the mount goes."""
    try:
        while True:
            for folder, _, names in os.walk(MNT, onerror=is_lost):
                for name in names:
                    path = pathlib.Path(folder, name)
                    if path.is_file() and not path.is_symlink():
                        # A FIFO may have taken its place
                        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as f:
                            f.read()
            os.stat(MNT / "log")
            if not (MNT / "cells").exists():
                return
    except OSError:
        pass


def stop_all(how):
    """The mount goes; everybody ends, each with what was under way at most."""
    for w in workers:
        w.doomed = True
    how()
    for w in workers:
        w.stop = True
        w.thread.join(HANGS)
        assert not w.thread.is_alive(), f"worker {w.who} hangs after {how.__name__}"
        # After a lazy unmount there is nothing by that path any more
        lost = isinstance(w.error, OSError) and w.error.errno in (errno.ENOENT, *LOST)
        if w.error and not lost:
            raise w.error
        w.lose_handles()
    for thread in readers:
        thread.join(HANGS)
        assert not thread.is_alive(), f"a reader hangs after {how.__name__}"
    same(0, daemon.process.wait(HANGS), f"the daemon's exit status after {how.__name__}")
    if is_mounted(MNT):
        daemon.clear()


print("seed", SEED, flush=True)
rng = random.Random(SEED)
ways = (terminate, force, detach, refuse) if os.getuid() == 0 else (terminate, detach, refuse)
workers = [Worker(who, MNT) for who in range(WORKERS)]
daemon = Daemon()
make_shared(MNT, workers)
for round_ in range(ROUNDS):
    how = ways[round_ % len(ways)]
    keeper = os.open(MNT / "log", os.O_RDONLY) if how is refuse else None  # it is in use
    for w in workers:
        w.start()
    readers = [threading.Thread(target=reader, daemon=True) for _ in range(2 * (how is not refuse))]
    for thread in readers:
        thread.start()
    goal = sum(w.steps for w in workers) + rng.randrange(10, 150)
    poll("the workers get on", lambda: sum(w.steps for w in workers) >= goal
         or not all(w.thread.is_alive() for w in workers))
    if keeper is None:
        stop_all(how)
    else:
        refuse()
        os.close(keeper)
        for w in workers:
            w.end()
            w.lose_handles()
        daemon.umount()
    result = subprocess.run(["recordfsctl", "check", STORE], capture_output=True, text=True)
    same(0, result.returncode, f"after {how.__name__}: {result.stdout}{result.stderr}")
    daemon = Daemon("-o", f"sync={rng.choice(('always', 'standard', 'disabled'))}")
    judge_all(workers, MNT)
    judge_inodes(workers)
print(f"{ROUNDS} unmounts, {sum(w.steps for w in workers)} steps, {sum(w.landed for w in workers)}"
      " without an answer are there", flush=True)
done(daemon)
