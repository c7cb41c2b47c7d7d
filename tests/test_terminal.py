"""A command on a terminal, typed at and resized, stopped and resumed: with kleio as without."""

from __future__ import annotations

import json
import os
import signal

import pytest
from commands import PYTHON, trials
from processes import PLAIN, QUIET, SECONDS, Terminal, gone, python, recorded, until, with_and_without, written

COLOURS = b"\x1b[1;31mred\x1b[0m \x1b[38;5;201mpink\x1b[0m \x1b[2K\x1b[1A\rover\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def on_terminal(*words, **options):
    """What a command shows on a terminal of its own, and its return code."""
    with Terminal(*words, **options) as terminal:
        return terminal.finish(), terminal.process.returncode


# -- what it shows -----------------------------------------------------------------------------------------------


def test_three_megabytes_of_any_bytes_go_through_a_terminal_and_into_the_record(here):
    data = os.urandom(3_000_000)
    (here / "data").write_bytes(data)
    plain, ours = (on_terminal(*prefix, "cat", "data") for prefix in (PLAIN, QUIET))
    assert ours == plain == (data.replace(b"\n", b"\r\n"), 0)
    assert recorded() == data


def test_order_and_colours(here):
    (here / "colours").write_bytes(COLOURS)
    text = "cat colours; for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; cat colours >&2"
    plain, ours = (on_terminal(*prefix, "sh", "-c", text) for prefix in (PLAIN, QUIET))
    assert ours == plain
    assert recorded() == ours[0].replace(b"\r\n", b"\n")


def test_what_is_printed_last_is_not_lost():
    for _ in range(5):
        assert on_terminal(*QUIET, "sh", "-c", "head -c 20000 /dev/zero | tr '\\0' x; echo end")[0] == b"x" * 20000 + b"end\r\n"


def test_tqdm_shows_its_bar():
    text = 'import tqdm; [0 for _ in tqdm.tqdm(range(3), bar_format="{l_bar}{bar}|{n_fmt}/{total_fmt}", mininterval=0)]'
    plain, ours = (on_terminal(*prefix, PYTHON, "-c", text, size=(20, 50)) for prefix in (PLAIN, QUIET))
    assert ours == plain
    assert b"2/3\r100%" in ours[0]


def test_a_sleeper_in_the_background_does_not_hang_it():
    shown, status = on_terminal(*QUIET, "sh", "-c", "trap '' HUP; sleep 1000 & echo $!; head -c 50000 /dev/zero")
    os.kill(int(shown.split()[0]), signal.SIGKILL)
    assert (shown.count(b"\0"), status) == (50000, 0)


# -- what the command sees ---------------------------------------------------------------------------------------

SEEN = """
import json, os, sys, termios
def size(fd):
    try:
        return list(os.get_terminal_size(fd))
    except OSError:
        return None
seen = {
    "isatty": [os.isatty(fd) for fd in (0, 1, 2)],
    "size": [size(fd) for fd in (0, 1, 2)],
    "foreground": os.tcgetpgrp(0) == os.getpgrp(),
    "settings of stdin": str(termios.tcgetattr(0)),
    "speed of stdout": str(termios.tcgetattr(1)[3:]) if os.isatty(1) else None,
    "terminal": bool(os.open("/dev/tty", os.O_RDWR)),
    "TERM": os.environ["TERM"],
    "COLUMNS": os.environ.get("COLUMNS"),
}
with open(sys.argv[1], "w") as file:
    json.dump(seen, file)
print("to stdout")
print("to stderr", file=sys.stderr)
"""


@pytest.mark.parametrize("apart", [(), ("stdout",), ("stderr",), ("stdout", "stderr")], ids="+".join)
def test_terminals_and_their_size_are_as_without(here, apart):
    results = []
    for prefix in (PLAIN, QUIET):
        files = {name: (here / name).open("wb") for name in apart}
        shown = on_terminal(*prefix, *python(SEEN), "seen", **files)
        for file in files.values():
            file.close()
        results.append((shown, json.loads((here / "seen").read_text()), [(here / name).read_bytes() for name in apart]))
    assert results[1] == results[0]
    assert results[0][1]["isatty"] == [True, "stdout" not in apart, "stderr" not in apart]
    assert results[0][1]["size"][0] == [101, 33]


RESIZED = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("ready", flush=True)
while tuple(os.get_terminal_size(1)) != (77, 44):
    signal.sigwait([signal.SIGWINCH])
print("resized", flush=True)
"""


@with_and_without
@pytest.mark.parametrize("inside", [[], ["sh", "-c", '"$@"; exit 0', "sh"]], ids=["command", "its own child"])
def test_a_new_size_of_the_terminal_is_told(prefix, inside):
    with Terminal(*prefix, *inside, *python(RESIZED)) as terminal:
        terminal.until(b"ready")
        terminal.resize(44, 77)
        terminal.until(b"resized")
        terminal.finish()
        assert terminal.process.returncode == 0


# -- typing ------------------------------------------------------------------------------------------------------


def conversation(prefix, words, *turns):
    """Answer each of the prompts; all that the terminal showed."""
    with Terminal(*prefix, *words) as terminal:
        for prompt, answer in turns:
            terminal.until(prompt)
            terminal.type(answer)
        return terminal.finish(), terminal.process.returncode


def test_input():
    words = python("print('hello', input('name? '), input('again? '))")
    turns = (b"name? ", b"Ada\n"), (b"again? ", b"x\x7fyes\n")
    plain, ours = (conversation(prefix, words, *turns) for prefix in (PLAIN, QUIET))
    assert ours == plain
    assert b"hello Ada yes" in ours[0]


def test_end_of_input():
    turns = (b"", b"a line\n"), (b"a line\r\na line\r\n", b"\x04")
    plain, ours = (conversation(prefix, ["cat"], *turns) for prefix in (PLAIN, QUIET))
    assert ours == plain == (b"a line\r\na line\r\n", 0)


@with_and_without
def test_pdb(prefix, here):
    (here / "script.py").write_text("x = 41\nbreakpoint()\nprint('went on', x)\n")
    shown, status = conversation(
        prefix, [PYTHON, "script.py"], (b"(Pdb) ", b"p x + 1\n"), (b"42", b""), (b"(Pdb) ", b"x = 7\n"), (b"(Pdb) ", b"c\n")
    )
    assert b"went on 7" in shown
    assert status == 0


PAGER = """
import os, termios, tty
keys = os.open(os.ttyname(2), os.O_RDONLY)  # as less does
before = termios.tcgetattr(keys)
tty.setcbreak(keys)
os.write(1, b"one page:")
while (key := os.read(keys, 1)) != b"q":
    os.write(1, b" then %d:" % key[0])
termios.tcsetattr(keys, termios.TCSADRAIN, before)
os.close(keys)
print(" bye", input("name? "))
"""


@with_and_without
def test_a_pager_that_reads_from_the_terminal_it_writes_to(prefix):
    shown, status = conversation(
        prefix, python(PAGER), (b"one page:", b" "), (b"then 32:", b"x"), (b"then 120:", b"q"), (b"name? ", b"Ada\n")
    )
    assert shown == b"one page: then 32: then 120:name? Ada\r\n bye Ada\r\n"  # the keys were not echoed, the name was
    assert status == 0


CURSES = """
import curses
def main(screen):
    screen.addstr("press")
    screen.refresh()
    first = screen.getch()
    screen.addstr(1, 0, "again")
    screen.refresh()
    return first, screen.getch()
print("got", *curses.wrapper(main))
print("bye", input("name? "))
"""


@with_and_without
def test_a_full_screen_program_gets_keys_as_they_are_pressed(prefix):
    shown, status = conversation(
        prefix, [PYTHON, "-c", CURSES], (b"press", b"a"), (b"again", b"b"), (b"got 97 98", b""), (b"name? ", b"Ada\n")
    )
    assert shown.endswith(b"name? Ada\r\nbye Ada\r\n")
    assert status == 0


def test_getpass():
    words = [PYTHON, "-c", "import getpass; print('of', len(getpass.getpass('secret: ')))"]
    plain, ours = (conversation(prefix, words, (b"secret: ", b"sesame\n")) for prefix in (PLAIN, QUIET))
    assert ours == plain
    assert b"of 6" in ours[0]
    assert b"sesame" not in ours[0]
    assert b"sesame" not in recorded()


# -- keys that send signals ----------------------------------------------------------------------------------------

COUNTING = """
import os, signal, sys
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda *_: None)
os.write(1, b"ready\\n")
while (number := os.read(reading, 1)[0]) != signal.SIGUSR1:
    os.write(1, b"[" + signal.Signals(number).name.encode() + b"]")
os.write(1, b"end\\n")
"""


@with_and_without
def test_keys_that_send_signals_send_one(prefix):
    with Terminal(*prefix, *python(COUNTING)) as terminal:
        terminal.until(b"ready")
        for _ in range(20):
            terminal.type(b"\x03")
            terminal.until(b"[SIGINT]")
            terminal.type(b"\x1c")
            terminal.until(b"[SIGQUIT]")
        os.kill(terminal.process.pid, signal.SIGUSR1)
        shown = terminal.finish()
    assert (shown.count(b"[SIGINT]"), shown.count(b"[SIGQUIT]")) == (20, 20)


@with_and_without
@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_keys_that_send_signals_kill(prefix, key, number):
    with Terminal(*prefix, "sh", "-c", "ulimit -c 0; echo ready; exec sleep 1000") as terminal:
        terminal.until(b"ready")
        terminal.type(key)
        terminal.finish()
        assert terminal.process.returncode == -number
    if prefix:
        assert trials()[0]["status"] == ("suspended" if number == signal.SIGINT else "broken")


@pytest.mark.parametrize(("exits", "status"), [(0, "completed"), (130, "suspended")])
def test_the_status_after_ctrl_c_that_was_handled(exits, status):
    # Naps: a signal that comes before the shell has begun one is looked at after it.
    with Terminal(*QUIET, "sh", "-c", f"trap 'exit {exits}' INT; echo ready; while :; do sleep 0.1; done") as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        terminal.finish()
        assert terminal.process.returncode == exits
    assert trials()[0]["status"] == status


@with_and_without
def test_a_hang_up_reaches_the_command(prefix, here):
    """The kernel tells only the leader of the session, which is kleio where a terminal was opened for it."""
    text = "trap 'echo hung up > told; exit 0' HUP; echo $$ ready; while :; do sleep 0.01; done"
    with Terminal(*prefix, "sh", "-c", text) as terminal:
        terminal.until(b"ready")
        terminal.hang_up()
        assert written(here / "told", 8) == b"hung up\n"
        terminal.process.wait(SECONDS)


# -- jobs ----------------------------------------------------------------------------------------------------------

PROMPT = b"bash-ready> "


@pytest.fixture
def bash(monkeypatch):
    """An interactive shell on a terminal."""
    monkeypatch.setenv("PS1", PROMPT.decode())
    monkeypatch.setenv("HISTFILE", "/dev/null")
    with Terminal("bash", "--norc", "--noprofile", "--noediting", "-i") as terminal:
        terminal.until(PROMPT)
        yield terminal


def command(terminal, text):
    """Type a command at the shell, whose echo ends the line."""
    terminal.type(text.encode() + b"\n")
    terminal.until(text.encode() + b"\r\n")


TALKING = """
import sys
print("rea" + "dy", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    print("heard " + line.strip().upper(), flush=True)
print("fin" + "ished", flush=True)
sys.exit(7)
"""


@with_and_without
def test_stopped_by_ctrl_z_and_resumed(prefix, bash, here):
    (here / "talking.py").write_text(TALKING)
    command(bash, " ".join([*prefix, PYTHON, "talking.py"]))
    bash.until(b"ready")
    for word in (b"once", b"twice"):
        bash.type(b"\x1a")
        bash.until(b"Stopped")
        bash.until(PROMPT)
        command(bash, "jobs -l")
        bash.until(b"Stopped")
        bash.until(PROMPT)
        command(bash, "fg")
        bash.type(word + b"\n")
        bash.until(b"heard " + word.upper())
    bash.type(b"end\n")
    bash.until(b"finished")
    bash.until(PROMPT)
    command(bash, 'echo "status $?"')
    bash.until(b"status 7")


@with_and_without
def test_in_the_background_reading_from_the_terminal_stops_it(prefix, bash, here):
    (here / "talking.py").write_text(TALKING)
    command(bash, " ".join([*prefix, PYTHON, "talking.py", "&"]))
    bash.until(b"ready")
    until(lambda: stopped(bash), "the job to stop")
    command(bash, "fg")
    bash.type(b"once\n")
    bash.until(b"heard ONCE")
    bash.type(b"end\n")
    bash.until(b"finished")


def stopped(terminal):
    """Whether the shell says that its job has stopped."""
    command(terminal, "jobs")
    seen = len(terminal.seen)
    terminal.until(PROMPT)
    return b"Stopped" in terminal.seen[seen - 200 :]


@with_and_without
def test_death_by_a_signal_is_reported_by_the_shell(prefix, bash):
    command(bash, " ".join([*prefix, "sh", "-c", "'kill -TERM $$'"]))
    bash.until(b"Terminated")
    bash.until(PROMPT)
    command(bash, 'echo "status $?"')
    bash.until(b"status 143")


@with_and_without
def test_a_script_of_the_shell_ends_with_ctrl_c(prefix, bash, here):
    """A shell goes on after a command that handled Ctrl-C, and ends if the command died of it."""
    words = " ".join([*prefix, "sh", "-c", "'echo rea''dy; exec sleep 1000'"])
    (here / "loop.sh").write_text(f"for i in 1 2 3; do {words}; done; echo looped\n")
    command(bash, "bash loop.sh")
    bash.until(b"ready")
    bash.type(b"\x03")
    bash.until(PROMPT)
    assert b"looped" not in bash.seen


def test_finished_but_not_read_it_can_still_be_stopped(bash, here):
    """What the command printed waits for a reader; Ctrl-Z stops kleio as it would have stopped the command."""
    command(bash, " ".join([*QUIET, "sh", "-c", "'echo $$ >child; exec head -c 100000 /dev/zero'", "|", "sleep 1000"]))
    child = int(written(here / "child", 2))
    until(lambda: gone(child), "the command to end")
    bash.type(b"\x1a")
    bash.until(b"Stopped")
    command(bash, "kill -CONT %1; kill %1; wait")
    bash.until(PROMPT)


def test_a_pseudo_terminal_that_cannot_be_had_is_no_reason_to_fail(monkeypatch):
    from kleio.core import channels

    def refuse():
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(os, "openpty", refuse)
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    monkeypatch.setattr(channels.termios, "tcgetattr", lambda fd: [0] * 7)
    for fd in channels.open_channel(channels.Channel("output", (1, 2), 1)):
        os.close(fd)


def test_nothing_is_recorded_of_what_is_typed():
    conversation(QUIET, ["head", "-n1"], (b"", b"typed\n"))
    assert recorded() == b"typed\n"  # printed once by head; the terminal's echo is not the command's output
