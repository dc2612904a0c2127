"""What scenarios with several mounts of one store share: `from several import *`."""
import contextlib
import random
import struct

from lib import *

SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
# Whatever is waited for takes much less: past this somebody hangs.
HANGS = 60 * float(os.environ.get("RFS_TIMEOUT_FACTOR", "1"))


def mount_all(*options_of_each):
    """Mounts of STORE, each with its options, on m0, m1, ... of T."""
    print("seed", SEED, flush=True)
    return [Daemon(*options, mnt=T / f"m{i}") for i, options in enumerate(options_of_each)]


@contextlib.contextmanager
def limit(what, seconds=HANGS):
    """What is inside must end in this time: nobody may wait for ever for another mount."""
    def expired(signum, frame):
        raise AssertionError(f"hangs: {what}")

    old = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def crash(daemon):
    """kill -9. One of its threads may be telling the kernel to drop an entry, and wait for the lock
    of a directory that is held by a request which nobody answers any more: then the dead process
    stays, and only an end of the connection by force lets go of both. True: that was so."""
    daemon.process.kill()
    try:
        daemon.process.wait(HANGS / 10)
        return False
    except subprocess.TimeoutExpired:
        libc.umount2(os.fsencode(daemon.mnt), 1)  # MNT_FORCE: it ends the connection; it is busy
        daemon.process.wait(HANGS)
        return True


def umount_all(daemons):
    """All but the last may leave; the last one's store must be without a fault."""
    for daemon in daemons:
        with limit("unmounting"):
            daemon.umount()
    done()


def sql(statement, *values):
    """One statement of an SQL client, in a connection of its own; returns the rows."""
    db = sqlite3.connect(STORE, timeout=HANGS)
    try:
        with db:
            return db.execute(statement, values).fetchall()
    finally:
        db.close()


def has_view():
    return bool(sql("SELECT 1 FROM sqlite_schema WHERE name = 'records'"))


class Connection(contextlib.AbstractContextManager):
    """An SQL client that stays: each statement is a transaction."""

    def __init__(self):
        self.db = sqlite3.connect(STORE, timeout=HANGS, isolation_level=None)

    def __call__(self, statement, *values):
        return self.db.execute(statement, values).fetchall()

    def __exit__(self, *_):
        self.db.close()


def inodes_in_store():
    return sql("SELECT count(*) FROM inode")[0][0]
