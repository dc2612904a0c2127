"""The tour in README.md is true: its commands are run, and say what it shows.

The tour is the section whose heading has the word "tour" in it. Its blocks fenced with ```console
are one session, run in one bash, in a folder where ./records is a fresh mount of ./recordfs.db and
./tools and ./build are the project's. In a block

    $ COMMAND      is run; lines that begin with "> " continue it
    OUTPUT         the lines up to the next command are what it must print, on standard output and
                   standard error together; "..." in a line stands for anything, a line "..." alone for
                   any lines. A command that shows no output may print anything.

A command must succeed, unless it shows output whose last line says otherwise by itself (an error
message): then only the output counts. Lines of prose between the blocks are not looked at."""
import re

from lib import *

TOP = pathlib.Path(os.environ["RFS_TOP"])
END = "--end-of-command--"


def commands(text):
    """(command, lines of output) of the tour, in order."""
    section = re.search(r"^(#+)[^\n]*\btour\b[^\n]*\n(.*?)(?=^\1(?!#)|\Z)", text,
                        re.M | re.S | re.I)
    assert section, "README.md has no section with 'tour' in its heading"
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", section[2], re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif line.startswith("> ") and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
            else:
                found[-1][1].append(line)
    assert found, "the tour has no ```console block with commands"
    return found


def matches(wanted, got):
    pattern = "\n".join(r"(?:.*\n)*?.*" if line.strip() == "..." else
                        r".*".join(map(re.escape, line.split("..."))) for line in wanted)
    return re.fullmatch(pattern, got.rstrip("\n"))


readme = TOP / "README.md"
if not readme.exists():
    sys.exit(77)
session = commands(readme.read_text())
(T / "tools").symlink_to(TOP / "tools")
(T / "build").symlink_to(os.environ["RFS_BUILD"])
daemon = Daemon(store=T / "recordfs.db", mnt=(T / "records"))
shell = subprocess.Popen(["bash"], cwd=T, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
for command, wanted in session:
    print("$", command, flush=True)
    shell.stdin.write(f"{command}\necho; echo {END} $?\n")
    shell.stdin.flush()
    lines = []
    while not (line := shell.stdout.readline()).startswith(END):
        assert line, "the shell has ended"
        lines.append(line)
    got = "".join(lines)[:-1]
    print(got, end="", flush=True)
    if wanted:
        assert matches(wanted, got), f"README.md shows {wanted}"
    else:
        same("0", line.split()[1], f"exit status of {command}")
shell.stdin.close()
shell.wait()
if is_mounted(T / "records"):
    daemon.umount()
subprocess.run(["recordfsctl", "check", T / "recordfs.db"], check=True)
