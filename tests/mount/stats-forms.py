"""What `stats` measures is so: each request is counted once, in its operation, for as long as it took;
and each form of the output says it."""
import fcntl
import pty
import re
import select
import shutil
import termios

from lib import *

ODD = T / 'od"d'
ODD_STORE = T / 'st"o\\r\ne.db'
TOP = pathlib.Path(os.environ["RFS_TOP"])
NAMES = """read_requests write_requests cache_hits cache_misses cache_expired cache_evictions
    cache_invalidations cache_update_failures cache_bytes cache_limit_bytes cache_blocks store_reads
    store_commits store_write_requests store_flushes store_failures checksum_failures
    outside_changes""".split()
faults = Faults()
daemon = Daemon("-o", "cache_ttl=0," + faults.spec("read:delay=120", "commit:delay=150"), store=ODD_STORE, mnt=ODD)


def text(*options):
    return subprocess.check_output(["recordfsctl", "stats", *options, ODD], text=True)


def many_writes(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for i in range(50):
        os.pwrite(fd, b"x" * 100, 100 * i)
    os.close(fd)


join(*[child(many_writes, ODD / f"w{i}") for i in range(4)])
for name in ("absent", "absent either"):
    fails(errno.ENOENT, os.stat, ODD / name)
with faults:
    f = ODD / "slow"
    f.write_bytes(b"slow")
    same(b"slow", read_direct(f))
stats = daemon.stats()
for name in NAMES:
    assert type(stats[name]) is int and stats[name] >= 0, (name, stats.get(name))
requests, store = stats["latencies"], stats["store_latencies"]
same(stats["write_requests"], requests["write"]["count"], "writes, each once")
same(201, requests["write"]["count"])
same(stats["read_requests"], requests["read"]["count"])
same(5, requests["create"]["count"])
same(0, requests["write"]["errors"])
assert requests["lookup"]["errors"] >= 2 and requests["lookup"]["failed"] == 0, requests["lookup"]
for kind, op, least in ((requests, "read", 120), (store, "read", 120), (requests, "write", 150),
                        (requests, "create", 150), (store, "commit", 150), (store, "commit_durable", 150)):
    got = kind[op]
    assert least * 10**6 <= got["max_ns"] < 60 * 10**9, (op, got)
    assert 0 < got["p50_ns"] <= got["p90_ns"] <= got["p99_ns"] <= got["max_ns"] <= got["sum_ns"], (op, got)
assert requests["write"]["p50_ns"] < 150 * 10**6, "most were not slow"
groups = stats["commit_changes"]
same(store["commit"]["count"] + store["commit_durable"]["count"], groups["count"])
assert groups["sum"] >= 205 and 1 <= groups["max"] <= 256, groups
same("healthy", stats["state"])
assert stats["uptime_ms"] >= 270, stats["uptime_ms"]
same(str(ODD_STORE), stats["store"])

plain = text()
for part in ("time of requests", "p50", "p99", "commit_durable", "changes of a commit", "a second"):
    assert part in plain, f"no '{part}' in: {plain}"

# The exposition format: by a parser of our own, then by Prometheus's
prometheus = text("--prometheus")
kinds, helps, samples = {}, set(), {}
SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\} ([0-9.e+-]+)')
for line in prometheus.splitlines():
    if line.startswith("# HELP "):
        helps.add(line.split()[2])
    elif line.startswith("# TYPE "):
        kinds[line.split()[2]] = line.split()[3]
    else:
        name, labels, value = SAMPLE.fullmatch(line).groups()
        labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        labels = {key: value.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\") for key, value in labels.items()}
        same(str(ODD), labels.pop("mountpoint"), line)
        same(str(ODD_STORE), labels.get("store", str(ODD_STORE)))
        key = (name, *sorted(labels.items()))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(value)
same(set(kinds), helps)
for name, *_ in samples:
    base = re.sub("_(bucket|sum|count)$", "", name)
    assert kinds.get(name) or kinds.get(base) == "histogram", f"no type: {name}"
for name, kind in kinds.items():
    assert (kind == "counter") == name.endswith("_total"), (name, kind)
for name in NAMES:
    assert f"recordfs_{name}_total" in kinds or f"recordfs_{name}" in kinds, f"not exported: {name}"
same(201, samples["recordfs_write_requests_total", ])
same(201, samples["recordfs_request_duration_seconds_count", ("op", "write")])
assert samples["recordfs_request_duration_seconds_sum", ("op", "write")] >= 0.15
for metric, op in (("request", "write"), ("store", "commit")):
    buckets = sorted((float(dict(key)["le"].replace("+Inf", "inf")), value) for (name, *key), value in samples.items()
                     if name == f"recordfs_{metric}_duration_seconds_bucket" and dict(key)["op"] == op)
    same(sorted(value for _, value in buckets), [value for _, value in buckets], "cumulative")
    same(samples[f"recordfs_{metric}_duration_seconds_count", ("op", op)], buckets[-1][1])
    same(float("inf"), buckets[-1][0])
    same(1, len({value for bound, value in buckets if bound > 60}))
promtool = shutil.which("promtool") or TOP / "build-promtool" / "promtool"
if pathlib.Path(promtool).exists():
    checked = subprocess.run([promtool, "check", "metrics"], input=prometheus, text=True, capture_output=True)
    same((0, "", ""), (checked.returncode, checked.stdout, checked.stderr), "promtool")

# The dashboard names nothing else
dashboard = json.loads((TOP / "docs" / "grafana-dashboard.json").read_text())
queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
assert len(queries) >= 12, queries
exported = {name for name, *_ in samples}
for query in queries + [v.get("definition", "") for v in dashboard["templating"]["list"]]:
    for name in re.findall(r"recordfs_\w+", query):
        assert name in exported, f"not exported: {name} in {query}"
ids = [panel["id"] for panel in dashboard["panels"]]
same(len(ids), len(set(ids)), "ids of panels")

# Watching: lines in a pipe, of the interval; Ctrl-C ends it well
for options in (["--watch=0.2", ODD], ["--watch", "0.2", ODD]):
    watch = subprocess.Popen(["recordfsctl", "stats", *options], stdout=subprocess.PIPE, text=True)
    heading = watch.stdout.readline()
    assert "reads/s" in heading and "write p99" in heading, heading
    watch.stdout.readline()
    (ODD / "watched").write_bytes(b"1")
    for line in watch.stdout:
        if line.split()[10] != "-" or line.split()[8] != "-":
            break
    watch.send_signal(signal.SIGINT)
    same(0, watch.wait(60), f"exit status of {options}")

# On a terminal a screen that is drawn anew, until Ctrl-C, or q, or another signal; the terminal is
# then as it was
def on_terminal():
    global pid, terminal, screen, modes
    (T / "go").unlink(missing_ok=True)
    pid, terminal = pty.fork()
    if pid == 0:
        poll("the terminal's modes are known", (T / "go").exists)
        os.execvp("recordfsctl", ["recordfsctl", "stats", "--watch=0.1", str(ODD)])
    modes = termios.tcgetattr(terminal)
    (T / "go").touch()
    screen = b""
def more():
    global screen
    (ODD / "watched").write_bytes(b"2")
    if select.select([terminal], [], [], 0.05)[0]:
        screen += os.read(terminal, 65536)
    return screen.count(b"\033[H") >= 4 and b"time of requests" in screen
def ended():
    if select.select([terminal], [], [], 0.05)[0]:
        try:
            os.read(terminal, 65536)
        except OSError:
            pass
    global status
    done_pid, status = os.waitpid(pid, os.WNOHANG)
    return done_pid == pid
for end in b"q", b"other keys\nq", signal.SIGTERM, b"\x1c", b"\x03":
    on_terminal()
    poll("a screen", more)
    os.kill(pid, signal.SIGTSTP)  # nobody could continue it: it only looks as if it began
    screen = b""
    poll("a screen again", more)
    same(0, termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO), "keys come one by one, unseen")
    if isinstance(end, bytes):
        os.write(terminal, end)
    else:
        os.kill(pid, end)
    poll("the end", ended)
    same(0, os.waitstatus_to_exitcode(status), f"exit status after {end}")
    same(modes, termios.tcgetattr(terminal), "the terminal")
    assert b"; q ends it" in screen, screen
    os.close(terminal)
assert b"healthy" in screen and b"write" in screen and b"p99" in screen
frames = screen.split(b"\033[H")[2:-1]
assert all(1 < frame.count(b"\n") < 24 and frame.endswith(b"\033[J") for frame in frames), frames

# A reader who has stalled does not keep it from ending.
for number in (signal.SIGTERM, signal.SIGINT):
    unread, full = os.pipe()
    fcntl.fcntl(full, fcntl.F_SETPIPE_SZ, 4096)
    watch = subprocess.Popen(["recordfsctl", "stats", "--watch=0.01", ODD], stdout=full)
    poll("a full pipe", lambda: not select.select([], [full], [], 0)[1])
    time.sleep(0.1)  # into write(2), most often
    watch.send_signal(number)
    same(0, watch.wait(60), f"exit status after signal {number}, with nobody reading")
    os.close(unread)
    os.close(full)
for wrong in (["--watch=x"], ["--watch", "0"], ["--json", "--prometheus"], ["--json", "--watch"]):
    same(2, subprocess.run(["recordfsctl", "stats", *wrong, ODD], capture_output=True).returncode, wrong)
daemon.umount()
subprocess.run(["recordfsctl", "check", ODD_STORE], check=True)
