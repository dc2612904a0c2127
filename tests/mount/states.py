"""What others have altered, seen half: whoever hears of a new size, by a listing, a lookup or an
answer to a change, does not get it with the data of before. Where the file has grown that would be
zeros which nobody has written."""
from lib import *

SECOND = T / "second"


def by_listing(path):
    (path.parent / f"new beside {path.name}").touch()
    subprocess.run(["ls", "-l", path.parent], check=True, stdout=subprocess.DEVNULL)


def by_link(path):
    os.link(path, path.with_suffix(".link"))


def by_chmod(path):
    os.chmod(path, 0o600)


def by_stat(path):
    os.stat(path)


def by_handle(path):
    os.fstat(by_handle.fd)


def grow(name, hear):
    """Its pages are younger than its attributes, which reach the end of their TTL before them."""
    path = MNT / name
    path.write_bytes(b"one\n")
    time.sleep(until)
    os.stat(path)
    time.sleep(until / 2)
    by_handle.fd = os.open(path, os.O_RDONLY)
    both = os.open(path, os.O_RDWR)
    same(b"one\n", path.read_bytes(), name)
    with open(SECOND / name, "ab") as f:
        f.write(b"two\n")
    time.sleep(until / 2)
    hear(path)
    for what, data in (("pages", path.read_bytes()), ("a handle", os.pread(by_handle.fd, 99, 0)),
                       ("blocks", os.pread(both, 99, 0)), ("its size", path.read_bytes())):
        assert data in (b"one\n", b"one\ntwo\n"), f"{what} of '{name}' on {options}: {data}"
    os.close(both)
    os.close(by_handle.fd)


second = Daemon("-o", "watch=0", mnt=SECOND)
for options in ("cache_ttl=3600,watch=0", "cache_ttl=0.6,watch=0", "cache_ttl=3600,watch=5000"):
    first = Daemon("-o", options)
    until = 0.7 if "0.6" in options else 0
    for hear in (by_listing, by_link, by_chmod, by_stat, by_handle):
        grow(f"{hear.__name__} {options}", hear)
    first.umount()
second.umount()
done()
