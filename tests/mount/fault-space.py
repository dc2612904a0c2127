"""F2: no space. ENOSPC, nothing changed, and deleting frees space again: by an injected fault, at
the store's own limit, and on a small disk that is full."""
from lib import *

MIB = 1 << 20
faults = Faults()


def fill(directory):
    """Writes until there is no space; returns what was acknowledged."""
    files = {}
    for i in range(10000):
        path = directory / f"file{i}"
        try:
            fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        except OSError as error:
            same(errno.ENOSPC, error.errno)
            return files
        files[path] = b""
        data = os.urandom(256 * 1024)
        try:
            for at in range(0, len(data), 65536):
                n = os.write(fd, data[at:at + 65536])
                files[path] += data[at:at + n]
        except OSError as error:
            same(errno.ENOSPC, error.errno)
            return files
        finally:
            os.close(fd)
    raise AssertionError("never full")


def verify(files):
    for path, data in files.items():
        same(data, path.read_bytes(), path.name)


def fill_and_empty(daemon, directory):
    files = fill(directory)
    assert len(files) > 3, len(files)
    # Full stays full, and says so each time; everything can still be read
    victim = next(iter(files))
    for _ in range(20):
        fd = os.open(victim, os.O_WRONLY | os.O_APPEND)
        try:
            fails(errno.ENOSPC, os.write, fd, os.urandom(512 * 1024))
        finally:
            os.close(fd)
    verify(files)
    # Deleting works on a full disk, and makes room
    for path in list(files)[:len(files) // 2]:
        path.unlink()
        del files[path]
    survivor = next(iter(files))
    os.truncate(survivor, 10)
    files[survivor] = files[survivor][:10]

    def room():
        try:
            (directory / "again").write_bytes(bytes(100000))
            return True
        except OSError as error:
            same(errno.ENOSPC, error.errno)
            return False

    poll("writing works again", room)
    verify(files)
    daemon.umount()
    return files


def injected():
    daemon = Daemon("-o", faults.spec("write:ENOSPC"))
    f = MNT / "f"
    data = os.urandom(10000)
    f.write_bytes(data)
    views = Views(f)
    fd = os.open(f, os.O_RDWR)
    with faults:
        fails(errno.ENOSPC, os.pwrite, fd, b"X" * 5000, 3000)
        fails(errno.ENOSPC, os.pwrite, fd, b"X", 10000)
        fails(errno.ENOSPC, os.ftruncate, fd, 20000)
        fails(errno.ENOSPC, os.mkdir, MNT / "d")
        views.verify(data, "no space")
    os.pwrite(fd, b"Y", 0)
    views.verify(b"Y" + data[1:], "afterwards")
    os.close(fd)
    views.close()
    f.unlink()
    daemon.umount()


def limited():
    daemon = Daemon("-o", "max_size=8M")
    files = fill_and_empty(daemon, MNT)
    assert STORE.stat().st_size <= 8 * MIB, STORE.stat().st_size
    daemon = Daemon("-o", "max_size=8M")
    verify(files)
    daemon.umount()
    # With a higher limit there is more room
    daemon = Daemon("-o", "max_size=32M")
    (MNT / "more").write_bytes(bytes(MIB) + os.urandom(8 * MIB))
    daemon.umount()


def small_disk():
    disk = T / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", disk], check=True)
    store = disk / "store.db"
    daemon = Daemon(store=store)
    files = fill_and_empty(daemon, MNT)
    subprocess.run(["recordfsctl", "check", store], check=True)
    daemon = Daemon(store=store)
    verify(files)
    # Somebody else fills the disk, to the last byte
    with open(disk / "hog", "wb", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(65536))
        except OSError as error:
            same(errno.ENOSPC, error.errno)
    for i in range(200):
        path = MNT / f"hogged{i}"
        try:
            path.write_bytes(os.urandom(65536))
        except OSError as error:
            same(errno.ENOSPC, error.errno)
            break
    else:
        raise AssertionError("the disk is full, and writing goes on")
    verify(files)
    for path in MNT.glob("hogged*"):
        path.unlink()
    for path in list(files):
        path.unlink()
    same(["again"], sorted(os.listdir(MNT)))
    (disk / "hog").unlink()
    (MNT / "last").write_bytes(b"it works")
    same(b"it works", read_direct(MNT / "last"))
    daemon.umount()
    subprocess.run(["recordfsctl", "check", store], check=True)
    subprocess.run(["umount", disk], check=True)


injected()
limited()
if os.getuid() == 0:
    small_disk()
done()
