"""Many processes do all sorts of things at once, in the same directories and files. Nothing hangs,
nothing fails that must not, and what is left is what each of them says it left."""
import random

from lib import *

SEED = int(os.environ.get("RFS_SEED", time.time_ns() % 1000000))
print("seed", SEED, flush=True)
daemon = Daemon("-o", "sync=standard,cache_size=2M")
SHARED = MNT / "shared"
SHARED.mkdir()
ALLOWED = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


def churn(rng, steps):
    """Namespace changes that collide with those of others."""
    for _ in range(steps):
        a, b = (SHARED / f"n{rng.randrange(12)}" for _ in range(2))
        try:
            rng.choice((lambda: a.touch(), lambda: a.mkdir(), lambda: a.unlink(), lambda: a.rmdir(),
                        lambda: os.rename(a, b), lambda: os.link(a, b), lambda: os.symlink(a, b),
                        lambda: renameat2(a, b, 2), lambda: os.listdir(SHARED), lambda: a.stat(),
                        lambda: a.write_bytes(b"x" * rng.randrange(9000)),
                        lambda: a.read_bytes(), lambda: os.setxattr(a, "user.x", b"y"),
                        lambda: os.chmod(a, 0o755)))()
        except OSError as error:
            if error.errno not in ALLOWED + (errno.EINVAL, errno.ELOOP, errno.EPERM):
                raise


def own_work(who, steps):
    rng = random.Random(SEED * 100 + who)
    own = MNT / f"own{who}"
    own.mkdir()
    files = {}
    for i in range(steps):
        churn(rng, 3)
        path = own / f"f{rng.randrange(6)}"
        if path not in files or rng.random() < 0.4:
            files[path] = rng.randbytes(rng.randrange(60000))
            path.write_bytes(files[path])
        elif rng.random() < 0.2:
            path.unlink()
            del files[path]
        else:
            same(True, files[path] == path.read_bytes(), path)
    same(sorted(files), sorted(own.iterdir()))
    for path, data in files.items():
        same(True, data == path.read_bytes(), path)
        same(True, data == stored(path.relative_to(MNT)), path)


def look():
    for _ in range(30):
        subprocess.run(["find", MNT, "-ls"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        daemon.stats()
        os.statvfs(MNT)


join(*[child(own_work, who, 1500 if LONG else 150) for who in range(6)], child(look))
wanted = {str(p.relative_to(MNT)): p.lstat().st_size for p in MNT.rglob("*") if not p.is_dir()}
daemon.umount()
daemon = Daemon()
same(wanted, {str(p.relative_to(MNT)): p.lstat().st_size for p in MNT.rglob("*") if not p.is_dir()})
done(daemon)
