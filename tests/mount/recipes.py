"""The recipes of docs/recipes.md work: the commands of each section are run, and say what it shows.
Those that only root can follow are left out for others."""
# timeout: 600
from session import *

# mount(8) looks for programs in the system's folders: the build's take the place of /usr/local/bin, in
# a mount namespace that ends with the shell.
INSTALLED = (pathlib.Path(__file__).with_name("apart"), "--", "sh", "-c",
             'mount --bind "$RFS_BUILD/fs" /usr/local/bin && exec bash')

done_something = False
for number, (title, text) in enumerate(sections("docs/recipes.md")):
    session = commands(text)
    as_root = "As root" in text
    if not session or as_root and os.getuid() != 0:
        continue
    print(f"== {title}", flush=True)
    play(session, T / f"recipe-{number}", INSTALLED if as_root else ("bash",))
    done_something = True
assert done_something, "docs/recipes.md has no recipes"
