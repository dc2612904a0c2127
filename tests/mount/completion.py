"""What bash, zsh and fish complete: commands, options and values, typed at a terminal. All that
--help names is offered. A shell that is not there is left out, but not where all tests must run."""
import pty
import re
import shutil

from lib import *

INSTALL = pathlib.Path(os.environ["RFS_TOP"]) / "tools" / "install"


def shells(name):
    if shutil.which(name):
        return True
    assert os.environ.get("CI") != "true", f"no {name}"
    return False


class Terminal:
    """A shell at a terminal, wide enough that no line is broken."""

    def __init__(self, *command, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", PS1="", INPUTRC="/dev/null", COLUMNS="500")
            os.execvp(command[0], command)
        os.write(self.fd, f"{setup}\n".encode())

    def until(self, pattern):
        text = ""
        while not (found := re.search(pattern, text)):
            text += os.read(self.fd, 4096).decode()
        return found[1]

    def complete(self, line):
        """What becomes of the line when TAB is pressed at its end: made an argument of echo(1) after
        that, by what is typed at both of its ends."""
        os.write(self.fd, f"{line}\t\x01echo 'B''EGIN {{\x05}}END'\n".replace("{{", "{").replace(
            "}}", "}").encode())
        return self.until(r"BEGIN \{(.*?)\}END").rstrip()

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def completes(terminal):
    """The same of each shell."""
    for before, after in [
            ("recordfs --ver", "recordfs --version"),
            ("recordfs -o cache_s", "recordfs -o cache_size="),
            ("recordfs -o ro,on_c", "recordfs -o ro,on_cache_error="),
            ("recordfs -o ro,on_cache_error=d", "recordfs -o ro,on_cache_error=drop"),
            ("recordfs -o sync=st", "recordfs -o sync=standard"),
            ("recordfs -o ro,noat", "recordfs -o ro,noatime"),
            ("recordfs sto", "recordfs store.db"),
            ("recordfs -o ro store.db place/he", "recordfs -o ro store.db place/here"),
            ("recordfsctl stat", "recordfsctl stats"),
            ("recordfsctl stats --js", "recordfsctl stats --json"),
            ("recordfsctl check --rep", "recordfsctl check --repair"),
            (f"recordfsctl stats {T}/mn", f"recordfsctl stats {T}/mnt"),
            ("recordfsctl info place/he", "recordfsctl info place/here")]:
        got = terminal.complete(before)
        print(f"{before}|{got}", flush=True)
        # zsh takes back what it added to go on with.
        same(after.rstrip("/"), got.rstrip(",/"), before)


daemon = Daemon()
(T / "place" / "here").mkdir(parents=True)
helped = subprocess.check_output(["recordfs", "--help"], text=True)
mount_options = set(re.findall(r"^  -o ([a-z_]+=)", helped, re.M))
assert len(mount_options) >= 7
commands = re.findall(r"^recordfsctl ([a-z]+)", subprocess.check_output(
    ["recordfsctl", "--help"], text=True), re.M)
assert len(commands) >= 3

if shells("bash"):
    bash = Terminal("bash", "--norc", "--noprofile", "-i", setup="bind 'set bell-style none'; "
                    f". {INSTALL}/bash/recordfs; . {INSTALL}/bash/recordfsctl")
    completes(bash)
    bash.close()
    ask = """. "$1"; COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS= ; compopt() { :; }
             _$3; printf '%s\\n' "${COMPREPLY[@]}" """
    def candidates(line):
        program = line.split()[0]
        return subprocess.check_output(
            ["bash", "--norc", "-c", ask, "-", INSTALL / "bash" / program, line, program],
            text=True).split()
    same(set(), mount_options - set(candidates("recordfs -o ")))
    same(commands, candidates("recordfsctl ")[4:])
    for command in commands:
        options = re.findall(r"^ .*(--[a-z-]+=?)", subprocess.check_output(
            ["recordfsctl", command, "--help"], text=True), re.M)
        same(sorted(options), sorted(o for o in candidates(f"recordfsctl {command} -") if o[1] == "-"))

if shells("fish"):
    def offered(line):
        out = subprocess.check_output(
            ["fish", "--no-config", "-c", f'source {INSTALL}/fish/{line.split()[0]}.fish; '
             'complete -C "$argv[1]"', "--", line], text=True)
        return {candidate.split("\t")[0] for candidate in out.splitlines()}
    for before in ("", "ro,"):
        same(set(), {before + option for option in mount_options} -
             {o.partition("=")[0] + "=" for o in offered(f"recordfs -o {before}")})
    same({"ro,sync=standard"}, offered("recordfs -o ro,sync=st"))
    same({"store.db", "store.db-wal", "store.db-shm"}, offered("recordfs store"))
    same({"place/"}, offered("recordfs -o ro store.db pl"))
    same(set(commands), offered("recordfsctl "))
    same({"--json"}, offered("recordfsctl stats --js"))
    same({"--repair"}, offered("recordfsctl check --rep"))
    assert str(MNT) in offered(f"recordfsctl stats {T}/mn")
    same({"sync=standard"}, offered(f"recordfsctl set {MNT} sync=s"))

if shells("zsh"):
    zsh = Terminal("zsh", "-f", "-i", setup="unsetopt zle_bracketed_paste beep prompt_sp; bindkey -e; "
                   f"fpath=({INSTALL}/zsh $fpath); autoload -U compinit; compinit -D -u")
    completes(zsh)
    zsh.close()
done(daemon)
