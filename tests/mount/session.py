"""Runs what a page of documentation shows, and compares.

A page's blocks fenced with ```console are one session, run in one bash, in an empty folder, with the
build's programs in $PATH. What it mounts it must unmount. In a block

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


def sections(page):
    """(title, text) of each "## " section of a page of the project."""
    text = (TOP / page).read_text()
    return re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.M)


def commands(text):
    """(command, lines of output) of a session, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif line.startswith("> ") and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
            else:
                found[-1][1].append(line)
    return found


def matches(wanted, got):
    pattern = "\n".join(r"(?:.*\n)*?.*" if line.strip() == "..." else
                        r".*".join(map(re.escape, line.split("..."))) for line in wanted)
    return re.fullmatch(pattern, got.rstrip("\n"))


def play(session, place, shell=("bash",)):
    """Runs a session in a new folder."""
    place.mkdir()
    shell = subprocess.Popen(shell, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    for command, wanted in session:
        print("$", command, flush=True)
        shell.stdin.write(f"{command}\nprintf '\\n%s %s\\n' {END} $?\n")
        shell.stdin.flush()
        lines = []
        while not (line := shell.stdout.readline()).startswith(END):
            assert line, "the shell has ended"
            lines.append(line)
        got = "".join(lines)[:-1]
        print(got, end="", flush=True)
        if wanted:
            assert matches(wanted, got), f"the page shows {wanted}"
        else:
            same("0", line.split()[1], f"exit status of {command}")
    shell.stdin.close()
    shell.wait()
    same(False, any(f" {T}/" in line for line in open("/proc/self/mountinfo")), "a mount is left")
