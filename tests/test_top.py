"""``kleio top``: the trials that run, on a terminal and elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import termios
import threading
import time
from dataclasses import replace

import pytest
from commands import KLEIO, PYTHON, kleio, printed, read, script, start, until
from emulator import Emulator
from processes import SECONDS, Terminal, line, started
from rich.cells import cell_len

from kleio.cli import render_top, watching, wording
from kleio.cli.render_live import LEAVE, Screen
from kleio.core.choosing import Chosen
from kleio.core.errors import UsageError
from kleio.core.journal import open_journal
from kleio.core.journal.base import Selection, Summary
from kleio.core.running import KEPT, Running, Watched
from kleio.core.spool import LAUNCHER
from kleio.core.trial import Entry, Event, Trial

WAITS = """
import sys
from kleio.client.logger import kleio_logger as k
k.log_statistic(epoch=3, loss=0.25)
k.flush()
open(sys.argv[-1]).read()
"""


# -- what is told of them ----------------------------------------------------------------------------------------


def a_trial(letter, command=("python", "train.py"), params=None, project="p"):
    return Trial(letter * 32, letter, project, tuple(command), ".", 1.0, params=params or {})


LEASE = 6000.0  # however slow the machine is, what is reserved stays so


def reserved(journal, letter, execution, lease=LEASE, started=1000.0, **more):
    data = {"host": "here", "user": "me", "pid": 7, "started": started, "lease": LEASE} | more
    assert journal.claim(letter * 32, execution, data, lease)


@pytest.fixture
def journal(journal_uri):
    opened = open_journal(journal_uri)
    yield opened
    opened.close()


def test_what_runs_and_what_has_just_ended(journal, tmp_path):
    for letter in "abcd":
        journal.create(a_trial(letter))
    reserved(journal, "a", "a1", started=1000.0)
    reserved(journal, "b", "b1", -1)
    reserved(journal, "b", "b2", 2000, started=1010.0)  # as if it had been renewed four thousand seconds ago
    reserved(journal, "d", "d1", -1)  # nobody is there any more
    journal.record("b" * 32, Event("running-b2", "running", 1010.0, 2, "b2"))
    for execution, end, when in (("b1", 99.0, 9), ("b2", 50.0, 5)):  # by clocks of two machines
        sample = {"count": 1, "time": when, "last": end}
        journal.summarise(Summary("b" * 32, execution, LAUNCHER, 10, {"system.cpu": sample, "system.memory": sample}))
    journal.summarise(Summary("b" * 32, "b2", "w", 10, {"loss": {"count": 1, "time": 5, "last": 0.5}}))
    now = [1100.0]
    watched = Watched(lambda: journal, Chosen(), str(tmp_path), lambda: now[0])
    (b, a), ended = watched.look()
    assert (b.entry.id[0], b.status.value, b.elapsed, b.last) == ("b", "running", 90.0, {"loss": 0.5})
    assert b.system == {"cpu": 50.0, "memory": 50.0}  # what an earlier execution took is past
    assert 4000 <= b.heartbeat < LEASE
    assert (a.entry.id[0], a.status.value, a.elapsed, a.last, a.system) == ("a", "reserved", 100.0, {}, {})
    assert 0 <= a.heartbeat < 2000
    assert ended == []
    journal.record("b" * 32, Event("end", "ended", 1105.0, 2, "b2", {"status": "broken"}))
    for now[0] in (1110.0, 1110.0 + KEPT - 1):
        running, ended = watched.look()
        assert [one.entry.id[0] for one in running] == ["a"]
        (one,) = ended
        assert (one.entry.id[0], one.status.value, one.elapsed, one.ended) == ("b", "broken", 95.0, True)
    reserved(journal, "b", "b3", started=1150.0)  # it goes on
    running, ended = watched.look()
    assert ([one.entry.id[0] for one in running], ended) == (["b", "a"], [])
    journal.record("b" * 32, Event("end3", "ended", 1165.0, 3, "b3", {"status": "completed"}))
    assert len(watched.look()[1]) == 1
    now[0] += KEPT
    assert watched.look()[1] == []


def test_which_are_meant(journal, tmp_path):
    for letter, project, user, lr in (("a", "p", "me", 0.1), ("b", "q", "me", 0.2), ("c", "q", "you", 0.3)):
        journal.create(a_trial(letter, params={"lr": lr}, project=project))
        reserved(journal, letter, f"{letter}1", user=user)
        journal.record(letter * 32, Event(letter, "annotated", 1.0, data={"tags": ["x"] if letter != "b" else []}))

    def found(**how):
        return "".join(sorted(one.entry.id[0] for one in Watched(lambda: journal, Chosen(**how), str(tmp_path)).look()[0]))

    assert (found(), found(project="q"), found(user="me"), found(tags=("x",))) == ("abc", "bc", "ab", "ac")
    assert (found(where=("params.lr > 0.15",)), found(where=("params.lr > 0.15",), user="you", tags=("x",))) == ("bc", "c")


def test_few_rows_are_read_of_many_trials(home, tmp_path):
    """Those that run are found by the index of those that somebody holds."""
    opened = open_journal(f"sqlite:///{home}/j.db")
    opened.create(a_trial("a"))
    plans = []
    opened._connection.set_trace_callback(plans.append)
    opened.entries(Selection(statuses=("reserved", "running")))
    opened._connection.set_trace_callback(None)
    (query,) = [one for one in plans if "FROM trials" in one]
    steps = [row[-1] for row in opened._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    opened.close()
    assert any("trials_held" in step for step in steps)
    assert not any(step.startswith("SCAN trials") and "trials_held" not in step for step in steps), steps


# -- a screen of it ----------------------------------------------------------------------------------------------


def running(letter="a", status="running", name=None, command="python train.py --lr 0.1", params=None, elapsed=12.0, **more):
    trial = a_trial(letter, command.split(" "), {"lr": 0.1} if params is None else params, more.pop("project", "p"))
    data = {"host": "here", "user": "me", "pid": 1, "started": 1.0, "lease": 60} | more
    events = [Event("r", "reserved", 1.0, 1, "e", data), Event("x", "running", 1.0, 1, "e")]
    events += [] if status == "running" else [Event("e", "ended", 5.0, 1, "e", {"status": status})]
    events += [Event("n", "annotated", 1.0, data={"name": name})] if name else []
    entry = Entry(trial, tuple(events), "e" if status == "running" else None, status == "running", 1, 40.0)
    system = {"cpu": 398.2, "memory": 13 << 30, "read_rate": 3 << 20, "write_rate": 100, "processes": 3}
    last = {"epoch": 3, "loss": 0.123456, "val/acc": 0.98}
    return Running(entry, entry.executions[-1], entry.status, elapsed, 12.2, last, system)


SEVERAL = [
    running("a"),
    running("b", params={"lr": 0.2}, elapsed=7300.0),
    running("c", host="gpu-node-17.cluster", user="jane", name="\x1b[31mred 日本語 🎉", project="github.com/x/y", elapsed=1e6),
    replace(running("d", command="./a.out " + "x" * 1000, params={"_1": "x" * 1000}), system={}, last={"wide": "y" * 500}),
]
ENDED = [running("e", "broken")]


def headings(columns):
    return render_top.screen(SEVERAL, ENDED, 0.0, columns, 24)[2].split()


@pytest.mark.parametrize("columns", [20, 39, 60, 79, 99, 119, 199, 399])
def test_it_fits(columns):
    found = render_top.screen(SEVERAL, ENDED, 0.0, columns, 24)
    assert all(cell_len(line) <= columns for line in found)
    assert all(line.isprintable() for line in found)
    assert [line[:7] for line in found[3:8]] == [letter * 7 for letter in "abcde"]


def test_what_says_least_gives_way_first():
    every = ["ID", "STATUS", "TIME", "BEAT", "CPU", "MEM", "I/O", "HOST", "USER", "PROJECT", "COMMAND", "LAST"]
    assert headings(199) == every
    assert headings(79) == [one for one in every if one not in ("HOST", "USER", "PROJECT")]
    assert headings(39)[:3] == ["ID", "STATUS", "TIME"]  # something has ended
    assert render_top.screen(SEVERAL[:2], [], 0.0, 39, 24)[2].split() == ["ID", "TIME", "CPU", "MEM", "COMMAND"]
    alike = render_top.screen([SEVERAL[0], SEVERAL[0]], [], 0.0, 199, 24)
    assert alike[2].split() == [one for one in every if one not in ("HOST", "USER", "PROJECT")]
    assert alike[3].split() == ["aaaaaaa", "running", "12s", "12s", "398%", "13G", "3.0M/s", "train.py", "--lr", "0.1",
                                "loss=0.1235", "val/acc=0.98", "epoch=3"]  # fmt: skip


def test_what_differs_is_shown():
    found = render_top.screen(SEVERAL, ENDED, 0.0, 199, 24)
    assert "2h01m   12s  398%  13G" in found[4]
    assert "train.py lr=0.2" in found[4]
    assert "␛[31mred 日本語 🎉 train.py lr=0.1" in found[5]
    assert "CPU 1195%" in found[0]
    assert "4 running on 2 hosts" in found[0]
    assert "398%" not in found[7]


def test_on_a_low_screen_one_goes_down():
    many = [running(f"{at:x}") for at in range(16)]
    assert [line[0] for line in render_top.screen(many, [], 0.0, 79, 8, first=4)[3:]] == list("45678")
    assert len(render_top.screen(many, [], 0.0, 79, 2)) == 2


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (10 << 10, "10K"), (1023 << 10, "1.0M"), (13 << 30, "13G")],
)
def test_brief_sizes(count, shown):
    assert wording.brief(count) == shown


# -- drawing -----------------------------------------------------------------------------------------------------


def resized(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def drawn():
    """A screen, and what draws on it and gives the bytes that were written for it."""
    master, slave = os.openpty()
    resized(slave, 5, 20)
    screen, emulator = Screen(slave, slave), Emulator(5, 20)
    screen.enter()

    def draw(*lines):
        screen.draw(lines, screen.size())
        os.write(slave, b"\x1b[m")
        data = b""
        while not data.endswith(b"\x1b[m"):
            data += os.read(master, 4096)
        emulator.feed(data)
        return data[:-3]

    yield screen, emulator, draw, slave
    os.close(master)
    os.close(slave)


def test_only_what_is_other_is_written(drawn):
    screen, emulator, draw, slave = drawn
    draw("one", "two", "three")
    assert str(emulator) == "one\ntwo\nthree"
    assert draw("one", "two", "three") == b""
    written = draw("one", "2", "three")
    assert (str(emulator), b"one" in written, b"three" in written) == ("one\n2\nthree", False, False)
    draw("one")
    assert str(emulator) == "one"
    draw("", "", "a", "b", "c", "d")
    assert emulator.lines == ["", "", "a", "b", "c"]
    screen.forget()
    assert draw("", "", "a", "b", "c", "d").startswith(b"\x1b[?2026h\x1b[2J")
    resized(slave, 3, 10)
    emulator.size = (3, 10)
    draw("new")
    assert (str(emulator), screen.size()) == ("new", (9, 3))


def test_keys():
    assert list(watching._keys(b"ab\x1b[A\x1b[6~q")) == ["a", "b", "up", "page down", "q"]
    assert list(watching._keys(b"")) == [""]
    assert list(watching._keys(b"\x1b[1;5Dq")) == []  # with Ctrl and an arrow nothing is meant


# -- on a terminal -----------------------------------------------------------------------------------------------


class Top(Terminal):
    """A command that draws on the other screen, and what is to be seen on it."""

    def __init__(self, *words, size=(24, 80), **options):
        super().__init__(*words, size=size, **options)
        self.screen = Emulator(*size)
        self._fed = 0

    def shows(self, *texts):
        """Read until all of these are to be seen together, on a screen that is drawn to its end."""
        deadline = time.monotonic() + SECONDS  # it draws again and again
        self._feed()
        while "2026" in self.screen.modes or not all(text in str(self.screen) for text in texts):
            assert time.monotonic() < deadline, f"waited in vain for {texts}:\n{self.screen}"
            assert self._read(), f"it ended without showing {texts}: {self.seen[-2000:]!r}"
            self._feed()
        return str(self.screen)

    def shrink(self, rows, columns):
        """Make the terminal as small as that; what was drawn before it was drawn anew is meant for the larger one."""
        self._feed()
        self.resize(rows, columns)
        while (at := self.seen.find(b"\x1b[2J", self._fed)) < 0:
            assert self._read(), f"it ended without drawing anew: {self.seen[-2000:]!r}"
        self._feed(at)
        self.screen.size = rows, columns

    def _feed(self, end=None):
        self.screen.feed(self.seen[self._fed : end])
        self._fed = len(self.seen) if end is None else end

    def over(self):
        """Its exit status; the terminal is as it was before."""
        self.finish()
        self._feed()
        assert self.screen.modes == {"25", "7"}
        return self.process.returncode


TOP = [*KLEIO, "top", "--every", "0.1"]


def test_trials_come_and_go(workplace):
    os.mkfifo("go")
    with Top(*TOP, size=(24, 120)) as top:
        top.shows("nothing runs", "q: quit", "0 running")
        process = start("--name", "first", PYTHON, script(workplace, WAITS).name, "go", KLEIO_SYSTEM_INTERVAL="0.05")
        shown = top.shows("running", "loss=0.25", "first train.py go", "%")
        assert "MEM" in shown
        (workplace / "go").write_text("")
        top.shows("completed", "0 running")
        process.communicate()
        top.shrink(10, 40)
        top.shows("0 running", "sort: NEWEST")
        top.type(b"m")
        top.shows("sort: [n]ewest")
        top.type(b"q")
        assert top.over() == 0


@pytest.mark.parametrize("how", [b"q", b"\x03", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, b"\x04q"], ids=repr)
def test_it_ends_and_leaves_the_terminal_as_it_was(workplace, how):
    with Top(*TOP) as top:
        top.shows("nothing runs")
        assert not termios.tcgetattr(top.master)[3] & termios.ECHO
        if isinstance(how, bytes):
            top.type(how)
        else:
            top.process.send_signal(how)
        assert top.over() == 0
        assert top.seen.count(b"\x1b[?1049l") == 1
        assert b"Traceback" not in top.seen
        assert termios.tcgetattr(top.master) == top.before


def test_a_terminal_that_goes_away(workplace):
    with Top(*TOP) as top:
        top.shows("nothing runs")
        top.hang_up()  # reading may end before SIGHUP comes, which then finds it on its way out
        assert top.process.wait(SECONDS) in (0, -signal.SIGHUP)


def test_it_is_stopped_and_goes_on(workplace):
    words = f"{' '.join(TOP)}; echo stopped; fg; echo over $?"
    with Top("sh", "-mc", words) as top:
        top.shows("nothing runs")
        top.type(b"\x1a")
        top.until(b"\x1b[?1049l")
        top.until(b"stopped")
        top.until(b"\x1b[?1049h")
        top.shows("nothing runs")
        top.type(b"q")
        top.until(b"over 0")
        top.over()


FAILS = """
import os, sys
from kleio.cli import watching
from kleio.core.errors import JournalUnreachable
def look():
    text = open("look").read()
    if text.startswith("no"):
        raise JournalUnreachable(text)
    return text
watching.watch(look, lambda found, columns, rows: [found, f"{columns} {rows}"], 0.05)
"""


def test_an_outage_is_told_below_and_ends(workplace):
    def say(text):
        (workplace / "new").write_text(text)
        os.replace("new", "look")

    say("first")
    with Top(PYTHON, "-c", FAILS) as top:
        top.shows("first\n79 23", "q: quit")
        say("no journal \x1b[2J answers " + "x" * 200)
        shown = top.shows("no journal ␛[2J answers")
        assert shown.startswith("first\n")
        say("second")
        top.shows("second", "q: quit")
        top.type(b"q")
        assert top.over() == 0


def test_a_first_look_that_fails_leaves_the_terminal_alone(workplace):
    (workplace / "look").write_text("no")
    with Terminal(PYTHON, "-c", FAILS) as terminal:
        assert b"1049" not in terminal.finish()
        assert terminal.process.returncode == 1


def test_looking_takes_its_time_and_one_leaves_at_once(workplace):
    never = threading.Event()

    def look():
        if threading.current_thread().name == "kleio-looking":
            never.wait()

    looking = watching.Looking(look, 0.001, None)
    reading, writing = os.pipe()
    looking.begin(writing)
    looking.over.set()
    never.set()
    until(lambda: not any(one.name == "kleio-looking" for one in threading.enumerate()))
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


# -- elsewhere ---------------------------------------------------------------------------------------------------


def test_once_where_there_is_no_terminal(workplace):
    assert kleio("top", check=0).stdout.splitlines()[1:] == []
    assert read("top", "--json") == []
    os.mkfifo("go")
    began = time.time()
    process = start("--tag", "x", PYTHON, script(workplace, WAITS).name, "go", KLEIO_SYSTEM_INTERVAL="0.05")

    def sampled():
        found = read("top", "--json")  # a first sample may be of a program that is just being loaded
        return found if found and found[0]["last"] and found[0]["system"].get("memory", 0) > 1 << 20 else None

    (one,) = until(sampled)
    assert one["last"] == {"epoch": 3, "loss": 0.25}
    assert (one["status"], one["tags"], one["host"]) == ("running", ["x"], os.uname().nodename)
    assert 0 <= one["heartbeat"] <= time.time() - began
    heading, line = (row.split("\t") for row in kleio("top", check=0).stdout.splitlines())
    row = dict(zip(heading, line, strict=True))
    assert (row["ID"], row["STATUS"], row["TAGS"], row["LAST"]) == (one["short_id"], "running", "x", "epoch=3 loss=0.25")
    assert row["COMMAND"].endswith("train.py go")
    assert read("top", "--json", "--tag", "y") == read("top", "--json", "--where", "params._1 == 'stop'") == []
    (workplace / "go").write_text("")
    process.communicate()
    assert printed("top", "--json") == "[]\n"


def test_what_cannot_be_meant(workplace):
    with pytest.raises(UsageError, match="did you mean params"):
        printed("top", "--where", "param.lr > 1")
    with pytest.raises(UsageError, match="--sort"):
        printed("top", "--sort", "colour")


# -- kleio ls --watch --------------------------------------------------------------------------------------------


WATCH = [*KLEIO, "ls", "--watch", "0.1"]


def test_a_list_is_drawn_again_and_again(workplace):
    kleio("--name", "first", "true", check=0)
    with Top(*WATCH) as ls, Top(*WATCH, "--columns", "name,status", "--no-header", size=(10, 40)) as columns:
        ls.shows("first", "completed", "q: quit")
        columns.shows("first  completed")
        kleio("--name", "second", "false", check=1)
        assert ls.shows("second", "broken").startswith("ID")
        assert columns.shows("second  broken").startswith("second  broken\nfirst   completed\n")
        columns.shrink(2, 40)
        columns.shows("q: quit · 1 more line")
        ls.type(b"q")
        columns.type(b"\x03")
        assert (ls.over(), columns.over()) == (0, 0)
    *_, heading, second, first = left(ls)
    assert (heading[:2], "broken" in second, "completed" in first) == ("ID", True, True)
    assert left(columns) == ["second  broken", "… 1 more line"]


def left(quitted):
    """The lines that stay on the ordinary screen, without colours."""
    behind = re.sub(r"\x1b\[[\d;]*m", "", quitted.seen.rpartition(LEAVE.encode())[2].decode())
    return [line.rstrip() for line in behind.splitlines()]


def test_a_journal_that_comes_to_be_meanwhile(workplace):
    with Top(*WATCH) as ls:
        ls.shows("there is no journal")
        kleio("true", check=0)
        ls.shows("completed")
        ls.process.terminate()
        assert ls.over() == 0


@pytest.mark.parametrize("columns", [[], ["--columns", "name,status"]], ids=["", "columns"])
def test_a_journal_that_is_deleted_meanwhile(workplace, home, columns):
    kleio("--name", "first", "true", check=0)
    with Top(*WATCH, *columns) as ls:
        ls.shows("first", "completed")
        for path in home.glob("journal.db*"):
            path.unlink()
        assert "first" not in ls.shows("there is no journal")
        kleio("--name", "second", "true", check=0)
        ls.shows("second", "completed")
        (home / "journal.db").rename(home / "elsewhere.db")
        ls.shows("there is no journal")
        ls.type(b"q")
        assert ls.over() == 0
    assert [line[:19] for line in left(ls)] == ["there is no journal"]


def test_followed_by_a_program(workplace):
    kleio("--name", "first", "true", check=0)
    with started(*WATCH, "--json") as process:
        assert [one["name"] for one in json.loads(line(process))] == ["first"]
        kleio("--name", "second", "true", check=0)
        until(lambda: [one["name"] for one in json.loads(line(process))] == ["second", "first"])
    for wrong in (["--ids"], ["--export", "a.csv"]):
        assert "--watch" in kleio("ls", "--watch", *wrong, check=2).stderr
    assert "--watch" in kleio("ls", "--watch", "0", check=2).stderr


def test_a_journal_that_is_just_being_made_is_looked_at_again(home):
    home.mkdir(exist_ok=True)
    (home / "j.db").touch()  # as its first user does before there are tables
    with_ = open_journal(f"sqlite:///{home}/j.db", writing=False)
    assert with_.absent
    with_.close()
