"""F8: kill -9 of one or both of two mounts of a store, under the load of workers that know every
answer, again and again. Whoever asks a dead mount gets ENOTCONN until it is mounted again; the other
mount goes on without an error, also when the dead one comes back while it is written to. After each
death all that was acknowledged is there, by any of the workers and by either mount; what was under
way is there as a whole or not at all, and for good; `recordfsctl check` finds nothing, before the
store is mounted again or while it is; and of what was deleted, or had lost its name and was still
open in the mount that died, nothing is left.

RFS_ROUNDS=N: so many rounds; RFS_SEED=N repeats what is drawn (not when what is drawn happens)."""
# timeout: 1700
from worker import *

ROUNDS = int(os.environ.get("RFS_ROUNDS", 1000 if LONG else 20))
WORKERS = 2  # of each mount
LOG_MAX = 300000
# With a delay before the commit, or between the commit and the answer, that is where it dies.
DELAYS = ("", "", ",fault=cache:delay=2", ",fault=commit:delay=2")


def mount(number):
    options = f"sync={rng.choice(('always', 'standard', 'disabled'))}" \
              f",cache_ttl={rng.choice((300, 0.3, 0))}{rng.choice(DELAYS)}"
    return Daemon("-o", options, mnt=tops[number])


def check():
    result = subprocess.run(["recordfsctl", "check", STORE], capture_output=True, text=True)
    same(0, result.returncode, f"{result.stdout}{result.stderr}")


def get_on(some, steps):
    goal = sum(w.steps for w in some) + steps
    poll("the workers get on", lambda: sum(w.steps for w in some) >= goal
         or not all(w.thread.is_alive() for w in some), HANGS)


def kill(victims):
    """Those mounts die; returns how many inodes were open there and had no name any more."""
    doomed = [w for v in victims for w in of[v]]
    for w in doomed:
        w.doomed = True
    for v in victims:
        daemons[v].process.kill()
    for v in victims:
        daemons[v].process.wait(HANGS)
    for w in doomed:
        w.end()
    open_only = sum(w.orphans() for w in doomed)
    for v in victims:
        fails(errno.ENOTCONN, os.listdir, tops[v])
    for w in doomed:
        w.lose_handles()
    for v in victims:
        daemons[v].clear()
    return open_only


def sees_all(top):
    """Does this mount, which goes on, see what the other one had done?"""
    try:
        judge_all(workers, top)
        return True
    except (AssertionError, OSError) as problem:
        unseen[:] = [problem]
        return False


print("seed", SEED, flush=True)
rng = random.Random(SEED)
tops = [T / "m0", T / "m1"]
daemons = [mount(0)]
of = [[Worker(2 * k + m, tops[m]) for k in range(WORKERS)] for m in range(2)]
workers = [w for some in of for w in some]
make_shared(tops[0], workers)
daemons.append(mount(1))
for w in workers:
    w.start()
both = open_only = 0
unseen = []
for round_ in range(ROUNDS):
    victims = rng.choice(([0], [1], [0, 1], [0, 1]))
    get_on([w for v in victims for w in of[v]], rng.randrange(1, 40))
    time.sleep(rng.random() * 0.005)
    open_only += kill(victims)
    both += len(victims) == 2
    offline = len(victims) == 2 and rng.random() < 0.5
    if offline:
        check()
    for v in victims:
        daemons[v] = mount(v)
    survivors = [w for w in workers if w.thread.is_alive()]
    if survivors:
        get_on(survivors, 4)
    for w in workers:
        w.end()
    judge_all(workers, tops[victims[0]])  # which has nothing in its caches yet
    if survivors and round_ % 4 == 0:
        try:
            poll("the mount that goes on sees all", lambda: sees_all(tops[1 - victims[0]]), HANGS)
        except AssertionError:
            raise unseen[0]
    judge_inodes(workers, but_directories=len(victims) == 1)
    if not offline:
        check()
    if os.stat(tops[victims[0]] / "log").st_size > LOG_MAX:
        os.truncate(tops[victims[0]] / "log", 0)
        for w in workers:
            w.lines.clear()
    for w in workers:
        w.start()
    if round_ % 100 == 99:
        print(f"{round_ + 1} rounds", flush=True)
for w in workers:
    w.end()
    w.lose_handles()
judge_inodes(workers)
for daemon in daemons:
    daemon.umount()
daemons = [mount(0)]
judge_all(workers, tops[0])
judge_inodes(workers)
print(f"{ROUNDS} rounds, {both} of them of both mounts; {sum(w.steps for w in workers)} steps,"
      f" {sum(w.landed for w in workers)} without an answer are there,"
      f" {open_only} inodes were open without a name", flush=True)
done(daemons[0])
