"""`report` is one page that needs nothing else: sound HTML, whatever the names are, with the numbers
of `stats`; and what it says of the cache is so."""
import html.parser
import re
import shutil
import tempfile

from lib import *

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = ["<script>alert(1)<", "q\"uo'te&amp;", "\u202eback", "new\nline\ttab", b"not \xff\xc3( utf", "<!--", "]]>"]
faults = Faults()
daemon = Daemon("-o", "cache_ttl=3600," + faults.spec("commit:EIO"))


class Page(html.parser.HTMLParser):
    """Every element is closed by its own end tag; collects what the test asks for."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.rows, self.row, self.ids = [], [], [], None, {}
        self.text, self.policy, self.section = [], "", None
        self.feed(text)
        self.close()
        same([], self.open, "all elements are closed")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        for name in attrs:
            assert name not in ("src", "href") and not name.startswith("on"), (tag, attrs)
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy = attrs["content"]
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "section":
            self.section = attrs.get("id")
        if tag == "tr":
            self.row = {"section": self.section, "id": attrs.get("id"), "cells": [], "values": []}
            self.rows.append(self.row)
        if tag in ("td", "th") and self.row is not None:
            self.row["cells"].append("")
            if "data-value" in attrs:
                self.row["values"].append(int(attrs["data-value"]))
        if attrs.get("id"):
            assert attrs["id"] not in self.ids, f"twice: {attrs['id']}"
            self.ids[attrs["id"]] = self.row

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        self.open.pop()
        if tag == "tr":
            self.row = None

    def handle_data(self, data):
        self.text.append(data)
        if self.row is not None and self.row["cells"]:
            self.row["cells"][-1] += data

    def of(self, section):
        """Rows of a section by their first cell: the numbers in them."""
        return {row["cells"][0]: row["values"] for row in self.rows
                if row["section"] == section and row["values"]}


def report():
    return subprocess.check_output(["recordfsctl", "report", MNT])


def text_of(name):
    """What a name is on the page."""
    raw = os.fsencode(name).decode(errors="replace")
    return "".join(chr(0x2400 + ord(c)) if c < " " else "\ufffd" if c == "\u202e" else c for c in raw)


def drop():
    subprocess.run(["recordfsctl", "drop", "--quiet", MNT], check=True)


# Sizes in blocks, by directory, of which two levels count.
drop()
for n, name in enumerate(EVIL):
    deep = os.path.join(os.fsencode(MNT), os.fsencode(name), b"x", b"y")
    os.makedirs(deep)
    with open(os.path.join(deep, b"f"), "wb") as f:
        f.write(b"%d" % n * 4096 * (n + 1))
(MNT / "many").mkdir()
for n in range(30):
    (MNT / f"many/d{n:02}").mkdir()
    (MNT / f"many/d{n:02}/file").write_bytes(b"m" * 4096)
read_direct(MNT / "many/d00/file")
for _ in range(3):
    fails(errno.ENOENT, os.stat, MNT / "absent")

before = daemon.stats()
text = report().decode()
after = daemon.stats()
page = Page(text)

# Nothing outside of it, nothing that runs
same("default-src 'none'; style-src 'unsafe-inline'", page.policy)
assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags), set(page.tags)
for part in ("http://", "https://", "url(", "@import", "src=", "<!--"):
    assert part not in text, part
for part in ("prefers-color-scheme:dark", "<svg ", "Time of requests", "The last hour", "polyline"):
    assert part in text, part

# The numbers of `stats`; those of what goes on by itself lie between two of its answers.
counters = [name for name in before if name in page.ids and isinstance(before[name], int)]
assert len(counters) >= 26, counters
for name in counters:
    value = page.ids[name]["values"][0]
    if before[name] == after[name]:
        same(before[name], value, name)
    elif name not in ("log_bytes", "store_bytes"):
        assert before[name] <= value <= after[name], (name, before[name], value, after[name])
for kind, title in (("latencies", "request"), ("store_latencies", "store")):
    for op, was in before[kind].items():
        row = page.ids.get(f"{title}-{op}")
        got = row["values"][0] if row else 0
        assert was["count"] <= got <= after[kind][op]["count"], (op, was, got)
assert page.ids["request-write"]["values"][0] >= 31
shown = "".join(page.text)
for part in (str(STORE), "healthy", "sync=always"):
    assert part in shown, part

# The cache, by directory
cached = page.of("cached")
for n, name in enumerate(EVIL):
    where = f"/{text_of(name)}/x"
    same(n + 1, cached[where][1], where)
    assert cached[where][0] in (1, 2), "the file, and what is known of the directory it is in"
    assert cached[where][2] >= (n + 1) * 4096, cached[where]
same(20, sum(name.startswith("/") for name in cached), "a line for each of the largest")
assert cached["other directories"][0] >= 10, cached
sums = [sum(v[i] for name, v in cached.items() if name != "all") for i in range(3)]
same(cached["all"], sums)
same(before["cache_blocks"], cached["all"][1])
assert 0 < cached["all"][2] <= before["cache_bytes"], cached["all"]

# The time that is left: all was cached just now, with an hour
ttl = page.of("ttl")
same(before["cache_blocks"], sum(v[0] for v in ttl.values()))
same(0, ttl["none"][0])
same("3300 s to 3600 s", [name for name in ttl][-1], "twelfths of an hour")
same(before["cache_blocks"], sum(v[0] for v in list(ttl.values())[-2:]), "nearly all of it left")
subprocess.run(["recordfsctl", "set", MNT, "cache_ttl=0.05"], check=True, stdout=subprocess.DEVNULL)
time.sleep(0.1)
ttl = Page(report().decode()).of("ttl")
same(ttl["none"][0], sum(v[0] for v in ttl.values()), "all is past its TTL")
drop()
same(0, Page(report().decode()).of("cached").get("all", [0, 0])[1])

# More records than are asked for
subprocess.run(["recordfsctl", "set", MNT, "cache_ttl=3600"], check=True, stdout=subprocess.DEVNULL)
(MNT / "small").mkdir()
for n in range(2100):
    (MNT / f"small/{n}").write_bytes(b"s")
cached = Page(report().decode()).of("cached")
rest = [v for name, v in cached.items() if name.startswith("other records")]
assert rest and rest[0][0] >= 100, cached
same(2100, cached["all"][1])

# What is wrong is said first
with faults:
    fails(errno.EIO, (MNT / "fails").write_bytes, b"x")
    os.stat(MNT)
wrong = report().decode()
Page(wrong)
assert 'class="warn"' in wrong and wrong.index("Faults are on") < wrong.index("The last hour"), "faults"
assert "EIO" in wrong[wrong.index("Last errors"):wrong.index("The last hour")], "the error is listed"

# The history grows by itself: a point for each time between two samples, of which there is one from the start.
page = report().decode()
same(0, page.count('class="hit"') % page.count('role="img"'), "as many points in each chart")
poll("the next sample", lambda: report().decode().count('class="hit"') > page.count('class="hit"'))

# Wrong use
for arguments, status in ((["report"], 2), (["report", MNT, MNT], 2), (["report", "/"], 1), (["report", "--no", MNT], 2)):
    done_so = subprocess.run(["recordfsctl", *arguments], capture_output=True)
    same((status, b""), (done_so.returncode, done_so.stdout), arguments)
    assert done_so.stderr, arguments
full = subprocess.run(["recordfsctl", "report", MNT], stdout=open("/dev/full", "w"), stderr=subprocess.DEVNULL)
same(1, full.returncode, "a page that cannot be written is a failure")

# In a browser: it makes the elements that it should, and no script runs.
browser = shutil.which("chromium")
if browser:
    (T / "page.html").write_text(text)
    with tempfile.TemporaryDirectory() as profile:
        dom = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom",
             f"file://{T}/page.html"], capture_output=True, text=True, timeout=240, check=True).stdout
    same(text.count("<tr"), dom.count("<tr"), "rows")
    same(text.count("<svg"), dom.count("<svg"), "pictures")
    assert "<script" not in dom, "a name became an element"
else:
    print("no chromium: the page was not shown in a browser")
done(daemon)
