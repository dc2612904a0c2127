"""The tour in README.md is true: its commands are run, and say what it shows.

The tour is the section "Five minutes". Its blocks fenced with ```console are one session, run in one
bash, in an empty folder, with the build's programs in $PATH. What the tour mounts it must unmount.
In a block

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
    section = re.search(r"^(#+) Five minutes\n(.*?)(?=^\1(?!#)|\Z)", text,
                        re.M | re.S)
    assert section, "README.md has no section 'Five minutes'"
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
place = T / "place"
place.mkdir()
shell = subprocess.Popen(["bash"], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
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
same(False, any(f" {T}/" in line for line in open("/proc/self/mountinfo")), "a mount is left")
