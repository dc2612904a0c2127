"""What scenarios in Python share: `from lib import *`. An exception ends the test; after its end
the runner unmounts and judges the daemon's log. Call done() last: it unmounts, wants exit status 0
from the daemon and a store without a fault from `recordfsctl check`."""
import ctypes
import errno
import hashlib
import json
import mmap
import os
import pathlib
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import traceback

T = pathlib.Path(os.environ["T"])
MNT = T / "mnt"
STORE = T / "store.db"
LONG = "RFS_LONG" in os.environ
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)
os.umask(0o022)
MNT.mkdir(exist_ok=True)


class Daemon:
    """A mount of STORE on MNT; options as on the command line."""

    def __init__(self, *options, store=STORE, mnt=MNT):
        self.mnt = mnt
        mnt.mkdir(exist_ok=True)
        with open(T / "daemon.log", "ab") as log:
            self.process = subprocess.Popen(["recordfs", "-f", store, mnt, *options],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        poll("the mount", lambda: is_mounted(mnt) or self.process.poll() is not None)
        assert self.process.poll() is None, (T / "daemon.log").read_text()
        os.stat(mnt / ".")

    def umount(self):
        self.clear()
        same(0, self.process.wait(100), "the daemon's exit status")

    def crash(self):
        """kill -9; the dead mount stays until clear()."""
        self.process.kill()
        self.process.wait()

    def clear(self):
        poll("unmounting", lambda: subprocess.run(["fusermount3", "-u", self.mnt]).returncode == 0)

    def stats(self):
        return json.loads(subprocess.check_output(["recordfsctl", "stats", "--json", self.mnt]))


def is_mounted(path):
    return any(line.split()[4] == str(path) for line in open("/proc/self/mountinfo"))


def poll(what, condition, seconds=60):
    """Waits until it is true; for what happens by itself and takes a while."""
    end = time.monotonic() + seconds * float(os.environ.get("RFS_TIMEOUT_FACTOR", "1"))
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


def done(daemon=None, check=True):
    if daemon:
        daemon.umount()
    if check:
        subprocess.run(["recordfsctl", "check", STORE], check=True)


def same(wanted, got, what=""):
    if wanted != got:
        raise AssertionError(f"{what}: wanted {short(wanted)}, got {short(got)}")


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}... ({len(text)} long)"


PROGRESS = re.compile(rb"^recordfsctl: (checking|compacting|copying|dropping|exporting|importing|verifying"
                      rb"|warming)( [^:,\n]*)?([:,] \d[^\n]*)?\n", re.M)


def complaints(stderr):
    """What recordfsctl has said besides how far it has come, which it says when work takes long."""
    return PROGRESS.sub(b"", stderr)


def fails(code, function, *args, **kwargs):
    """The call must raise OSError with this errno, named or one of several."""
    codes = code if isinstance(code, tuple) else (code,)
    names = [errno.errorcode[c] for c in codes]
    try:
        result = function(*args, **kwargs)
    except OSError as error:
        assert error.errno in codes, f"wanted {names}, got {error!r}"
        return
    raise AssertionError(f"wanted {names}, but it returned {short(result)}")


def check_call(result):
    """For what libc returned: raises the OSError that errno says."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def fallocate(fd, mode, offset, length):
    check_call(libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def renameat2(old, new, flags):
    check_call(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def link_handle(fd, new):
    """A name for the file that fd is open on."""
    check_call(libc.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, os.fsencode(new),
                           0x400))  # AT_SYMLINK_FOLLOW


class Faults:
    """The switch of `fault=POINT:ERROR:file=SWITCH`; `with faults:` turns them on for a while."""
    path = T / "faults-on"

    def spec(self, *rules):
        return "fault=" + "+".join(f"{rule}:file={self.path}" for rule in rules)

    def __enter__(self):
        self.path.touch()

    def __exit__(self, *_):
        self.path.unlink()


def stored(path):
    """The contents of a file (a path from the root of the store) as an SQL client finds them, by
    docs/store-format.md alone, while the store is mounted."""
    db = sqlite3.connect(f"file:{STORE}?mode=ro", uri=True, timeout=60)
    try:
        db.execute("BEGIN")
        ino = 1
        for name in pathlib.PurePosixPath(path).parts:
            (ino,) = db.execute("SELECT ino FROM dentry WHERE parent = ? AND name = ?",
                                (ino, name)).fetchone()
        (size,) = db.execute("SELECT size FROM inode WHERE ino = ?", (ino,)).fetchone()
        content = bytearray(size)
        for key, data in db.execute("SELECT key, data FROM block WHERE key BETWEEN ? AND ?",
                                    (ino << 30, (ino + 1 << 30) - 1)):
            offset = (key & (1 << 30) - 1) * 4096
            content[offset:offset + len(data)] = data
        same(size, len(content), "no data past the end of the file")
        return bytes(content)
    finally:
        db.close()


def read_direct(path):
    """Past the kernel's page cache: what the daemon says."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        parts = []
        while part := os.pread(fd, 1 << 20, sum(map(len, parts))):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


class Views:
    """Everything that shows a file's contents: an open handle, a mapping that another process
    holds, a new handle, a read past the page cache, and the store itself."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDONLY)
        ask, self.ask = os.pipe()
        answer, theirs = os.pipe()
        self.answer = answer

        def serve():
            size = os.fstat(self.fd).st_size
            mapping = mmap.mmap(self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
            while os.read(ask, 1):
                data = mapping[:]
                os.write(theirs, len(data).to_bytes(8, "big") + hashlib.sha256(data).digest())

        self.pid = child(serve)
        self.mapped()

    def mapped(self):
        os.write(self.ask, b"?")
        return os.read(self.answer, 40)

    def read(self):
        return os.pread(self.fd, 1 << 22, 0)

    def verify(self, wanted, what):
        same(wanted, self.read(), f"{what}: an open handle")
        same(wanted, self.path.read_bytes(), f"{what}: a new handle")
        same(wanted, read_direct(self.path), f"{what}: past the page cache")
        same(wanted, stored(self.path.relative_to(MNT)), f"{what}: the store")
        same(len(wanted), os.stat(self.path).st_size, f"{what}: the size")
        self.verify_mapping(wanted, what)

    def verify_mapping(self, wanted, what):
        """The mapping has the length that the file had when it was made."""
        got = self.mapped()
        wanted = wanted[:int.from_bytes(got[:8], "big")]
        same(hashlib.sha256(wanted).digest(), got[8:], f"{what}: a mapping")

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in (self.fd, self.ask, self.answer):
            os.close(fd)


def child(function, *args):
    """Runs it in a process of its own, whose failure is ours."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*args)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def join(*pids):
    for pid in pids:
        same(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), f"child {pid}")


class Sql:
    """An SQL client that changes the tables of a mounted store, as docs/store-format.md has them.
    Each method is one transaction; paths are from the root of the store."""

    def __init__(self):
        self.db = sqlite3.connect(STORE, isolation_level=None, timeout=60)

    def one(self, sql, *args):
        return self.db.execute(sql, args).fetchone()

    def run(self, sql, *args):
        return self.db.execute(sql, args)

    def ino(self, path):
        ino = 1
        for name in pathlib.PurePosixPath(path).parts:
            (ino,) = self.one("SELECT ino FROM dentry WHERE parent = ? AND name = ?", ino, name)
        return ino

    def place(self, path):
        path = pathlib.PurePosixPath(path)
        return self.ino(path.parent), path.name

    def __enter__(self):
        self.run("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind, *_):
        self.run("ROLLBACK" if kind else "COMMIT")

    def touch(self, ino, **columns):
        """Sets columns of an inode, and its times and version with them."""
        now = time.time_ns()
        columns = {"ctime": now, "mtime": now, **columns}
        sets = "".join(f", {name} = ?" for name in columns)
        self.run(f"UPDATE inode SET version = version + 1{sets} WHERE ino = ?",
                 *columns.values(), ino)

    def write(self, path, data):
        """New contents of a file of up to 64 KiB, in one row."""
        with self:
            ino = self.ino(path)
            key = ino << 30
            self.run("DELETE FROM block WHERE key BETWEEN ? AND ?", key, key + (1 << 30) - 1)
            self.run("DELETE FROM hole WHERE key BETWEEN ? AND ?", key, key + (1 << 30) - 1)
            if data:
                self.run("INSERT INTO block(key, sums, data) VALUES(?, NULL, ?)", key, data)
            self.touch(ino, size=len(data), blocks=(len(data) + 4095) // 4096)

    def patch(self, path, chunk, data):
        """One chunk of a file that is one row."""
        with self:
            ino, first = self.ino(path), 16 * chunk
            changed = self.run("UPDATE block SET data = ?, sums = NULL WHERE key = ?",
                               data, ino << 30 | first).rowcount
            same(1, changed, "rows of that chunk")
            self.touch(ino)

    def attr(self, path, **columns):
        with self:
            self.touch(self.ino(path), **columns)

    def xattr(self, path, name, value):
        with self:
            ino = self.ino(path)
            self.run("INSERT OR REPLACE INTO xattr VALUES(?, ?, ?)", ino, name.encode(), value)
            self.touch(ino, flags=1)

    def add_name(self, parent, name, ino):
        (kind,) = self.one("SELECT mode & 61440 FROM inode WHERE ino = ?", ino)
        self.run("INSERT INTO dentry(parent, name, id, ino, type) SELECT ?, ?,"
                 " 1 + coalesce(max(id), 0), ?, ? FROM dentry WHERE parent = ?",
                 parent, name, ino, kind, parent)
        self.touch(parent)

    def take_name(self, parent, name):
        self.run("DELETE FROM dentry WHERE parent = ? AND name = ?", parent, name)
        self.touch(parent)

    def create(self, path, mode=0o100644, target=None):
        """An empty file, or a symlink; returns its inode."""
        with self:
            parent, name = self.place(path)
            (ino,) = self.one("UPDATE store SET next_ino = next_ino + 1 RETURNING next_ino - 1")
            now = time.time_ns()
            self.run("INSERT INTO inode VALUES(?, ?, 0, 0, 1, ?, 0, 0, 0, ?, ?, ?, ?, 1, 0, NULL,"
                     " 0, ?)", ino, mode, len(target or b""), now, now, now, now, target)
            self.add_name(parent, name, ino)
            return ino

    def unlink(self, path):
        with self:
            self.lose(*self.place(path))

    def lose(self, parent, name):
        (ino,) = self.one("SELECT ino FROM dentry WHERE parent = ? AND name = ?", parent, name)
        self.take_name(parent, name)
        self.touch(ino, nlink=0)
        self.run("INSERT INTO orphan(ino, mount, change) VALUES(?, 0, 0)", ino)

    def rename(self, old, new):
        """Of files, or of directories inside one directory; `new` is replaced if it is there."""
        with self:
            parent, name = self.place(old)
            to, to_name = self.place(new)
            (ino,) = self.one("SELECT ino FROM dentry WHERE parent = ? AND name = ?", parent, name)
            if self.one("SELECT ino FROM dentry WHERE parent = ? AND name = ?", to, to_name):
                self.lose(to, to_name)
            self.take_name(parent, name)
            self.add_name(to, to_name, ino)
            self.touch(ino)

    def target(self, path, target):
        with self:
            self.touch(self.ino(path), target=target, size=len(target))

    def close(self):
        self.db.close()
