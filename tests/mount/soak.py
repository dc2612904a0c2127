"""A long run: two mounts of one store under mixed load, with faults switching on and off in one of
them. No error that was not injected, nothing read that is not what the model has, and neither memory
nor descriptors, threads, the log or the store grow. RFS_SOAK_SECONDS says how long."""
# timeout: 7200
import collections
import pickle
import threading

from soak_load import *

SECONDS = float(os.environ.get("RFS_SOAK_SECONDS", "20"))
SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
SANITIZED = float(os.environ.get("RFS_TIMEOUT_FACTOR", "1")) > 1
MIB = 1 << 20
CACHE = 8
FAULTY, SOUND = T / "faulty", T / "sound"
FIELDS = ("resident", "descriptors", "threads", "log", "store")
print("seed", SEED, flush=True)


class Sampler(threading.Thread):
    """What the daemons and the files take, again and again."""

    def __init__(self, daemons):
        super().__init__(daemon=True)
        self.daemons, self.rows, self.stop = daemons, [], threading.Event()

    def sample(self):
        row = {"at": time.monotonic()}
        for daemon in self.daemons:
            proc = pathlib.Path(f"/proc/{daemon.process.pid}")
            status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            row[daemon.mnt.name] = {"resident": int(status["VmRSS"].split()[0]) / 1024,
                                    "descriptors": len(os.listdir(proc / "fd")),
                                    "threads": int(status["Threads"])}
        row["files"] = {"log": os.path.getsize(f"{STORE}-wal") / MIB,
                        "store": os.path.getsize(STORE) / MIB}
        self.rows.append(row)
        return row

    def run(self):
        while not self.stop.wait(min(10, SECONDS / 20)):
            self.sample()

    def series(self, field):
        return {where: [row[where][field] for row in self.rows]
                for where in self.rows[0] if where != "at" and field in self.rows[0][where]}

    def report(self, parts=12):
        """The worst of each part of the run."""
        for field in FIELDS:
            for where, values in self.series(field).items():
                step = max(1, len(values) / parts)
                worst = [max(values[int(i * step):int((i + 1) * step)], default=0)
                         for i in range(min(parts, len(values)))]
                print(f"{field:12}{where:8}" + "".join(f"{value:7.0f}" for value in worst))


def flat(sampler):
    """The last quarter takes no more than the second one did, and no more than it may at all."""
    bounds = {"resident": CACHE + 64, "descriptors": 128, "threads": 40, "log": 128, "store": 600}
    slack = {"resident": 6, "descriptors": 6, "threads": 24, "log": 128, "store": 40}
    for field in FIELDS:
        for where, values in sampler.series(field).items():
            quarter = len(values) // 4
            if not SANITIZED or field in ("descriptors", "log", "store"):
                assert max(values) <= bounds[field], f"{field} of {where}: {max(values)}"
            if SECONDS >= 600:
                early, late = max(values[quarter:2 * quarter]), max(values[3 * quarter:])
                assert late <= early + slack[field], f"{field} of {where}: {early}, then {late}"


def work(worker, until, results):
    worker.run(until)
    print(f"{worker.dir.name}: {worker.counts}", flush=True)
    (T / f"{worker.dir.name}.state").write_bytes(pickle.dumps((worker.names, worker.nodes)))
    os.write(results, json.dumps(worker.counts).encode().ljust(200))


def main():
    faulty = Daemon("-o", f"{spec()},cache_size={CACHE}M,cache_ttl=3600", mnt=FAULTY)
    sound = Daemon("-o", f"cache_size={CACHE}M,cache_ttl=2", mnt=SOUND)
    windows, rng = Windows(), random.Random(SEED)
    workers = [Worker(f"w{i}", top, SOUND if top == FAULTY else FAULTY, {FAULTY: windows}, SEED + i)
               for i, top in enumerate((FAULTY, FAULTY, FAULTY, SOUND))]
    for worker in workers:
        worker.dir.mkdir()
    sampler = Sampler((faulty, sound))
    sampler.sample()
    end = time.monotonic() + SECONDS
    ours, theirs = os.pipe()
    pids = [child(work, worker, end, theirs) for worker in workers]
    sampler.start()
    on = 0.0
    longest = min(3, SECONDS / 15)
    while time.monotonic() < end:
        check_alive(pids)
        seconds = rng.uniform(0.1, longest)
        windows.during(seconds, rng)
        on += seconds
        time.sleep(rng.uniform(0.1, longest))
    join(*pids)
    sampler.stop.set()
    sampler.join()
    total = collections.Counter()
    for _ in pids:
        total.update({k: v for k, v in json.loads(os.read(ours, 200)).items() if k != "waited"})
    stats = faulty.stats()
    print(f"{total['steps']} steps, {total['failed']} failed by {stats['faults_injected']} faults in"
          f" {windows.count()} windows of {on:.0f} s, out of {SECONDS:.0f} s", flush=True)
    sampler.report()
    assert stats["faults_injected"] > 0 and total["failed"] > 0, (stats, total)
    flat(sampler)
    after_remount((faulty, sound), workers)
    done()


def check_alive(pids):
    """A worker that has failed ends the run."""
    for pid in pids:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is None or ended.si_status == 0, f"child {pid} failed"


def after_remount(daemons, workers):
    """A new mount finds what the workers left, and an empty store once all of it is deleted."""
    for daemon in daemons:
        daemon.umount()
    daemon = Daemon(mnt=SOUND)
    for worker in workers:
        names, nodes = pickle.loads((T / f"{worker.dir.name}.state").read_bytes())
        wrong = worker.differs(SOUND / worker.dir.name, names, nodes)
        assert wrong is None, f"after the remount: {worker.dir.name}: {wrong}"
    subprocess.run(["rm", "-r", *SOUND.iterdir()], check=True)
    os.statvfs(SOUND)
    daemon.umount()


main()
