"""A mount that makes a store and then fails takes it away again, but not if another mount has opened
it in between."""
from lib import *

if os.getuid() != 0:
    sys.exit(77)  # what root's mount fails for, others are refused earlier
SECOND = T / "second"
for _ in range(20):
    failing = subprocess.Popen(["recordfs", "-f", STORE, MNT, "-o", "rootcontext=nonsense"],
                               stderr=subprocess.DEVNULL)
    while not STORE.exists() and failing.poll() is None:
        pass
    if failing.poll() is not None:
        continue  # it was too fast
    failing.send_signal(signal.SIGSTOP)
    try:
        other = Daemon(mnt=SECOND)
        break
    except AssertionError:  # it was stopped where others have to wait for it
        failing.send_signal(signal.SIGCONT)
        failing.wait()
else:
    sys.exit(77)
(SECOND / "f").write_bytes(b"kept")
failing.send_signal(signal.SIGCONT)
assert failing.wait(60) != 0
assert STORE.exists(), "the store of another mount was removed"
other.umount()
daemon = Daemon()
same(b"kept", (MNT / "f").read_bytes())
done(daemon)
