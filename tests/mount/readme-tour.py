"""The tour in README.md, its section "Five minutes", is true: its commands are run, and say what it
shows."""
from session import *

# The tour works in a folder that it makes, and leaves nothing where it begins.
os.environ["TMPDIR"] = str(T)

tour = [commands(text) for title, text in sections("README.md") if title == "Five minutes"]
assert tour and tour[0], "README.md has no section 'Five minutes' with commands"
play(tour[0], T / "place")
same([], os.listdir(T / "place"), "left where the tour began")
