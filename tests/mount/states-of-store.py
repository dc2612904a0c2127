"""A disk that fails under a mount: `stats` shows the store degraded, with the errors that made it
so; reads go on; when the disk works again so does the mount, although nobody writes."""
from lib import *

SWITCH = T / "fail-flushes"
SHIM = T / "shim.so"
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
static int failing(void)
{
	if (access(SWITCH, F_OK) < 0)
		return 0;
	errno = EIO;
	return 1;
}
int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return failing() ? -1 : real(fd);
}
int fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return failing() ? -1 : real(fd);
}
"""
(T / "shim.c").write_text(SOURCE)
subprocess.run(["gcc", "-shared", "-fPIC", f'-DSWITCH="{SWITCH}"', "-o", SHIM, T / "shim.c"], check=True)
os.environ["LD_PRELOAD"] = str(SHIM)
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
daemon = Daemon("-o", "cache_ttl=3600")
del os.environ["LD_PRELOAD"]


def stats(*options):
    return subprocess.check_output(["recordfsctl", "stats", *options, MNT], text=True)


def state():
    return daemon.stats()["state"]


same("healthy", state())
same([], daemon.stats()["last_errors"])
(MNT / "dir").mkdir()
f = MNT / "dir" / 'odd "name"\n'
f.write_bytes(b"before")
fd = os.open(f, os.O_RDWR)

SWITCH.touch()
began = time.time_ns()
fails(errno.EIO, os.pwrite, fd, b"after!", 0)
same("degraded", state())
figures = daemon.stats()
same(1, figures["store_degraded"])
same(1, figures["store_degradations"])
wrote = [e for e in figures["last_errors"] if e["operation"] == "write"]
same(1, len(wrote), f"writes among {figures['last_errors']}")
error = wrote[0]
same(("/dir/odd \"name\"\n", 0, "EIO", "SQLITE_IOERR_FSYNC", 1034),
     (error["path"], error["offset"], error["errno"], error["code_name"], error["code"]))
same(os.fstat(fd).st_ino, error["inode"])
assert began - 10**9 < error["time_ns"] < time.time_ns() + 10**9, error
text = stats()
for part in ("DEGRADED", "degraded", r'write /dir/odd "name"\012', "SQLITE_IOERR_FSYNC (1034)"):
    assert part in text, f"no {part} in: {text}"
lines = stats("--prometheus").splitlines()
assert any(line.startswith("recordfs_store_state{") and 'state="healthy"} 0' in line for line in lines)
assert any(line.startswith("recordfs_store_degraded{") and line.endswith(" 1") for line in lines)
assert any(line.startswith("recordfs_last_error_timestamp_seconds{") for line in lines)
failed = [line for line in lines if line.startswith("recordfs_request_failures_total") and 'op="write"' in line]
same(["1"], [line.split()[-1] for line in failed], "failures of writes")

# Reads go on, changes are refused at once or after a probe
for _ in range(20):
    same(b"before", f.read_bytes())
    same(b"before", os.pread(fd, 9, 0))
    fails(errno.EIO, os.pwrite, fd, b"after!", 0)
    fails(errno.EIO, os.mkdir, MNT / "never")
same(["dir"], os.listdir(MNT))
same(1, daemon.stats()["store_degradations"])
assert len([e for e in daemon.stats()["last_errors"] if e["operation"] == "write"]) == 1

# Nobody writes, and it becomes healthy by itself
SWITCH.unlink()
poll("healthy again", lambda: state() == "healthy")
same(0, daemon.stats()["store_degraded"])
os.pwrite(fd, b"after!", 0)
os.close(fd)
same(b"after!", f.read_bytes())

# A flush that nobody waits for: what was committed without one is safe all the same
SWITCH.touch()
os.mkdir(MNT / "unflushed")
poll("the flush to fail", lambda: daemon.stats()["store_degradations"] > 1)
SWITCH.unlink()
poll("healthy again", lambda: state() == "healthy")
daemon.crash()
daemon.clear()
daemon = Daemon()
same(["dir", "unflushed"], sorted(os.listdir(MNT)))
same(b"after!", f.read_bytes())
done(daemon)
