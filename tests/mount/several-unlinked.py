"""What is open in one mount stays readable there when another mount, or an SQL client, takes its
last name; when the last mount has closed it, its space comes back, after a crash as well."""
from several import *

SIZE = 4 << 20
DATA = os.urandom(SIZE)
daemons = mount_all([], [], ["-o", "watch=0,cache_ttl=0.2,sync=standard"])
a, b, c = (daemon.mnt for daemon in daemons)
base = inodes_in_store()


def gone(what):
    try:
        poll(f"the inode is gone: {what}", lambda: inodes_in_store() == base)
    except AssertionError:
        print(sql("SELECT * FROM orphan"), sql("SELECT id, pid, seen FROM mount"), flush=True)
        raise
    same([(0,)], sql("SELECT count(*) FROM block"))
    same([(0,)], sql("SELECT count(*) FROM orphan"))


def open_in(mnt, flags=os.O_RDWR):
    poll("the file is known", (mnt / "f").exists)
    return os.open(mnt / "f", flags)


def unlink():
    poll("the file is known", (b / "f").exists)
    os.unlink(b / "f")


def replace():
    (b / "other").write_bytes(b"")
    os.rename(b / "other", b / "f")
    os.unlink(b / "f")


def sql_delete():
    sql("DELETE FROM records WHERE path = '/f'")


ways = [unlink, replace] + ([sql_delete] if has_view() else [])
for take in ways:
    what = take.__name__
    # One reads, one writes, one maps it
    (a / "f").write_bytes(DATA)
    reader, mapper = open_in(a, os.O_RDONLY), open_in(c, os.O_RDONLY)
    view = mmap.mmap(mapper, SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
    os.close(mapper)
    writer = open_in(c)
    take()
    fails(errno.ENOENT, open, b / "f")
    for at in range(0, SIZE, 100000):
        same(DATA[at:at + 1000], os.pread(reader, 1000, at), what)
    time.sleep(1.5 if LONG else 0)
    same(True, os.pread(reader, SIZE, 0) == DATA, f"{what}: the whole file")
    same(5, os.pwrite(writer, b"still", SIZE - 5))
    same(b"still", os.pread(writer, 5, SIZE - 5))
    os.ftruncate(writer, SIZE + 5)
    os.close(reader)
    same(b"still" + bytes(5), os.pread(writer, 10, SIZE - 5))
    same(DATA[:4096], view[:4096], f"{what}: the mapping")
    os.close(writer)
    same(DATA[:4096], view[:4096], f"{what}: the mapping is left")
    same(DATA[SIZE - 8192:SIZE - 4096], view[SIZE - 8192:SIZE - 4096], f"{what}: a part not yet read")
    view.close()
    gone(what)

    # The one that has it open dies: the others clear up
    (a / "f").write_bytes(DATA)
    fd = open_in(c)
    take()
    same(DATA[:100], os.pread(fd, 100, 0))
    daemons[2].crash()
    fails(errno.ENOTCONN, os.pread, fd, 1, 0)
    os.close(fd)
    daemons[2].clear()
    gone(f"{what}, the user died")
    daemons[2] = Daemon("-o", "watch=0,cache_ttl=0.2", mnt=c)

    # The one that took the name dies: the one that has it open keeps it
    (a / "f").write_bytes(DATA)
    fd = open_in(c)
    take()
    daemons[1].crash()
    daemons[1].clear()
    daemons[1] = Daemon(mnt=b)
    same(True, os.pread(fd, SIZE, 0) == DATA, f"{what}: after the other one's death")
    os.close(fd)
    gone(f"{what}, the deleter died")

    # And leaves
    (a / "f").write_bytes(DATA)
    fd = open_in(c)
    take()
    daemons[1].umount()
    daemons[1] = Daemon(mnt=b)
    same(True, os.pread(fd, SIZE, 0) == DATA, f"{what}: after the other one left")
    os.close(fd)
    gone(f"{what}, the deleter left")

# Opened and deleted at the same time, again and again: who has it open can read it to the end


def opener(mnt, n):
    opened = 0
    for i in range(n):
        try:
            fd = os.open(mnt / f"g{i}", os.O_RDONLY)
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.ESTALE), error
            continue
        opened += 1
        for _ in range(3):
            same(b"g" * 9000, os.pread(fd, 9000, 0), f"file {i}")
            time.sleep(0.001)
        os.close(fd)
    print(f"{opened} of {n} opened", flush=True)


N = 2000 if LONG else 200
for i in range(N):
    (a / f"g{i}").write_bytes(b"g" * 9000)


def deleter():
    for i in range(N):
        os.unlink(b / f"g{i}")
        if i % 10 == 0:
            time.sleep(0.02)


with limit("opening what is deleted", 300):
    join(child(opener, a, N), child(opener, c, N), child(deleter))
gone("what was opened and deleted")
umount_all(daemons)
