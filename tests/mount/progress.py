#!/usr/bin/env python3
"""How long work of recordfsctl shows how far it is: drawn on a terminal, not at all with --quiet,
nor where it is done soon and nobody looks. Ctrl-C ends it in one line, and leaves nothing."""
import pty
from lib import *

daemon = Daemon()
(MNT / "large").write_bytes(os.urandom(1 << 20) * 100)
daemon.umount()


def on_terminal(*command):
    """Exit status, what standard error was shown on a terminal, and standard output."""
    main, terminal = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    out = process.stdout.read()
    return process.wait(), shown, out


status, shown, out = on_terminal("recordfsctl", "check", STORE)
same(0, status)
assert b"\r\x1b[Kchecking " in shown, shown
assert shown.endswith(b"\r\x1b[K"), shown
assert b"no faults" in out, out
same((0, b""), on_terminal("recordfsctl", "check", "--quiet", STORE)[:2])

# A signal that came before the work began
before = sorted(os.listdir(T))
process = subprocess.Popen(["recordfsctl", "check", STORE], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
text = b""
while process.poll() is None:
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
text = process.stderr.read()
# Killed before it could catch signals, or ended in order; done before the first one it cannot be
assert process.returncode in (1, -signal.SIGINT), process.returncode
if process.returncode == 1:
    same(1, text.count(b"\n"), text)
    assert b"stopped" in text, text
same(before, sorted(os.listdir(T)))

# Or at any time while it goes on: nothing is said of what it has not come to
for n in range(100):
    process = subprocess.Popen(["recordfsctl", "check", "--quiet", STORE], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    time.sleep(0.01 * n)
    process.send_signal(signal.SIGINT)
    out, text = process.communicate()
    if process.returncode == 0:
        break
    if process.returncode == 1:
        same((b"", 1), (out, text.count(b"\n")), (out, text))
        assert b"stopped" in text, text
done()
