"""What the daemon has left after mounting: no capabilities but four, no files but those beside the
store, no system calls but those that are listed; and that it says no, and goes on, when it is made
to try."""
from lib import *

daemon = Daemon()
said = subprocess.check_output(["recordfsctl", "stats", MNT], text=True)
if "sandbox=off" in said:  # a build for sanitizers or coverage
    sys.exit(77)
assert "sandbox=on" in said, said
pid = daemon.process.pid


def status(task):
    return dict(line.rstrip("\n").split(":\t", 1) for line in open(f"/proc/{task}/status")
                if ":\t" in line)


def confined():
    """Each thread, also one that is started later."""
    tasks = os.listdir(f"/proc/{pid}/task")
    for task in tasks:
        s = status(f"{pid}/task/{task}")
        same("1", s["NoNewPrivs"], "no_new_privs")
        same("2", s["Seccomp"], "seccomp")
        kept = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3  # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER
        for name in ("CapPrm", "CapEff"):
            same(0, int(s[name], 16) & ~kept, name)
        same((0, 0), (int(s["CapInh"], 16), int(s["CapAmb"], 16)))
    return len(tasks)


def busy(n):
    for i in range(50):
        with open(MNT / f"f{n}", "wb") as f:
            f.write(bytes(100000))
        (MNT / f"f{n}").read_bytes()


before = confined()
join(*(child(busy, n) for n in range(6)))
assert confined() > before, "no thread was started"

# The process beside it has its rights, and nothing open that is the store's
[beside] = [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
same("recordfs-life", status(beside)["Name"].strip())
same(b"recordfs-life", pathlib.Path(f"/proc/{beside}/cmdline").read_bytes().rstrip(b"\0"))
named = subprocess.run(["pgrep", "-f", f"recordfs.*{MNT}"], capture_output=True, text=True).stdout
same([pid], [int(p) for p in named.split()], "one process to who looks for it by its mountpoint")
same("0", status(beside)["NoNewPrivs"])
same(beside, os.getsid(beside), "a session of its own: it is not killed with a process group")
for fd in os.listdir(f"/proc/{beside}/fd"):
    target = os.readlink(f"/proc/{beside}/fd/{fd}")
    assert "store.db" not in target and "/dev/fuse" not in target, target

# All of a store's life within it: a log that is moved, another mount, an SQL client, faults
sql = Sql()
sql.write("f1", b"other")
poll("a change by others", lambda: (MNT / "f1").read_bytes() == b"other")
sql.close()
second = Daemon("-o", "sandbox=on", mnt=T / "mnt2")
(T / "mnt2" / "g").write_bytes(b"two")
same(b"two", (MNT / "g").read_bytes())
second.umount()
daemon.umount()

# Mounted by itself and taken away by itself, in the background, as SIGTERM has it
subprocess.run(["recordfs", "-o", "sandbox=on,fault=read:EIO:file=" + str(T / "on"), STORE, MNT],
               check=True, timeout=100)
(T / "on").touch()
fails(errno.EIO, read_direct, MNT / "g")
(T / "on").unlink()
same(b"two", read_direct(MNT / "g"))
[pid] = [int(p) for p in os.listdir("/proc") if p.isdigit()
         and os.path.basename(os.readlink(f"/proc/{p}/exe") if os.path.exists(f"/proc/{p}/exe")
                              else "") == "recordfs"
         and bytes(STORE) in open(f"/proc/{p}/cmdline", "rb").read()]
os.kill(pid, signal.SIGTERM)
poll("unmounting", lambda: not is_mounted(MNT))
poll("the daemon's end", lambda: not os.path.exists(f"/proc/{pid}"))

# Without it
daemon = Daemon("-o", "sandbox=off")
s = status(daemon.process.pid)
same(("0", "0"), (s["NoNewPrivs"], s["Seccomp"]))
done(daemon)
