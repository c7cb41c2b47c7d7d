"""A command under kleio compared with the same command without it: bytes, arguments, surroundings, exit status."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess

import pytest
from commands import KLEIO, PYTHON, trials
from processes import PLAIN, QUIET, SECONDS, both, children_of, gone, line, python, recorded, run, started, until

from kleio.core.channels import _write_to_one_place, channels

ALTERNATING = """
import os
for number in range(1000):
    os.write(1, b"out %d\\n" % number)
    os.write(2, b"err %d\\n" % number)
"""

# Which of the standard descriptors are open, told through a file.
OPEN = """
import os, sys
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
found = [is_open(fd) for fd in (0, 1, 2)]
with open(sys.argv[1], "w") as file:
    print(found, file=file)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The working directory of every command."""
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("PWD", str(directory))
    return directory


def shell(text, *words, **options):
    return run("bash", "-c", text, "bash", *words, **options)


# -- bytes -------------------------------------------------------------------------------------------------------


def test_three_megabytes_of_any_bytes_go_through_a_pipe_and_into_the_record(here):
    data = os.urandom(3_000_000)
    (here / "data").write_bytes(data)
    assert [done.stdout for done in both("cat", "data")] == [data, data]
    assert recorded() == data


def test_stdout_and_stderr_stay_apart(here):
    plain, ours = both(*python(ALTERNATING))
    assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)
    assert (recorded(), recorded("--stderr")) == (plain.stdout, plain.stderr)


def test_stdout_and_stderr_in_one_file_keep_their_order(here):
    logs = []
    for prefix in (PLAIN, QUIET):
        shell('"$@" > log 2>&1', *prefix, *python(ALTERNATING))
        logs.append((here / "log").read_bytes())
    assert logs[1] == logs[0]
    assert logs[0].count(b"\n") == 2000
    assert recorded() == logs[0]
    assert run(*KLEIO, "cat", "--stderr", "--raw", trials()[0]["id"]).stdout == b""


def test_one_pipe_for_both_keeps_the_order(here):
    plain, ours = both(*python(ALTERNATING), stderr=subprocess.STDOUT)
    assert ours.stdout == plain.stdout


def test_split_records_one_file_as_two_streams(here):
    shell('"$@" > log 2>&1', *KLEIO, "-q", "--split", *python(ALTERNATING))
    lines = (here / "log").read_bytes().splitlines(keepends=True)
    assert recorded() == b"".join(line for line in lines if line.startswith(b"out"))
    assert recorded("--stderr") == b"".join(line for line in lines if line.startswith(b"err"))


def test_one_file_opened_twice_is_two_streams(here):
    """Each goes its own way through the file, so that one channel would show what nobody would have seen."""
    shell('"$@" > log 2> log', *QUIET, "sh", "-c", "echo long line on stdout; echo err >&2")
    assert (recorded(), recorded("--stderr")) == (b"long line on stdout\n", b"err\n")


# Stops where it has said something of the file that others see.
HELD_UP = """
import fcntl, sys
from kleio.core import channels
asked = fcntl.fcntl
def held_up(*words):
    found = asked(*words)
    if words[1] in (fcntl.F_SETFL, fcntl.F_SETOWN):
        print("held up", flush=True)
        sys.stdin.readline()
    return found
fcntl.fcntl = held_up
print(channels._write_to_one_place(int(sys.argv[1]), int(sys.argv[2])))
"""


def test_another_kleio_that_looks_at_the_same_file_is_held_up_in_the_middle(tmp_path, monkeypatch):
    others, ask = [], fcntl.fcntl

    def asked(*words):
        found = ask(*words)
        if words[1] in (fcntl.F_SETFL, fcntl.F_SETOWN) and not others:
            others.append(
                subprocess.Popen(
                    [PYTHON, "-c", HELD_UP, str(out), str(err)], pass_fds=(out, err), text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
            assert others[0].stdout.readline() == "held up\n"
        return found

    with open(tmp_path / "log", "wb") as file:
        out, err = file.fileno(), os.dup(file.fileno())
        monkeypatch.setattr(fcntl, "fcntl", asked)
        assert _write_to_one_place(out, err)
        assert others[0].communicate("\n" * 9)[0].splitlines()[-1] == "True"
        os.close(err)


def test_a_file_opened_twice_for_appending_is_one_stream(here):
    for prefix in (PLAIN, QUIET):
        shell('"$@" >> log 2>> log', *prefix, *python(ALTERNATING))
    data = (here / "log").read_bytes()
    assert data[: len(data) // 2] == data[len(data) // 2 :] == recorded()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_closed_for_the_child(here, closed):
    found = []
    for prefix in (PLAIN, QUIET):
        done = shell(f'exec "$@" {closed}', *prefix, *python(OPEN), "found")
        found.append((done.returncode, (here / "found").read_text()))
    assert found[1] == found[0]
    assert "False" in found[0][1]


def test_output_that_cannot_be_passed_on_is_said_to_be_lost():
    done = shell('"$@" > /dev/full', *KLEIO, "echo", "precious")
    assert b"output was lost on its way to stdout: No space left on device" in done.stderr
    assert recorded() == b"precious\n"


def test_piped_stdin_reaches_the_child(here):
    data = os.urandom(1_000_000)
    assert [done.stdout for done in both("cat", typed=data)] == [data, data]


def test_a_pipeline_ends_when_its_reader_does():
    outcomes = [shell('"$@" | head -1; echo ${PIPESTATUS[0]}', *prefix, "yes").stdout for prefix in (PLAIN, QUIET)]
    assert outcomes == [b"y\n141\n"] * 2


def test_a_sleeper_in_the_background_that_holds_the_pipe_does_not_hang_it():
    done = run(*QUIET, "sh", "-c", "sleep 1000 & head -c 3000000 /dev/zero; echo $! >&2")
    os.kill(int(done.stderr), signal.SIGKILL)
    assert done.stdout == recorded() == bytes(3_000_000)


# Takes everything so slowly that there is always more.
SLOW = """
import os, time
while os.read(0, 8192):
    time.sleep(0.001)
"""


def test_a_writer_in_the_background_that_never_stops_does_not_hang_it(here):
    """Only what was written when the command ended is owed to the reader."""
    os.mkfifo(here / "begun")
    with subprocess.Popen(python(SLOW), stdin=subprocess.PIPE) as reader:
        run(*QUIET, "sh", "-c", "echo its own; (echo y; echo > begun; exec yes) & read x < begun", stdout=reader.stdin)
        reader.stdin.close()
        assert reader.wait(SECONDS) == 0
    assert recorded().startswith(b"its own\ny\n")


def test_what_is_written_in_the_background_soon_after_the_end_is_heard(here):
    """The writer goes on once it sees that the child is gone; where it is too slow to be soon, it has another chance."""
    code = "(until [ ! -e /proc/$0 ]; do :; done; echo afterwards) & echo first"

    def is_heard():
        done = run(*QUIET, "sh", "-c", f"exec sh -c '{code}' $$")
        assert recorded() == done.stdout
        return done.stdout == b"first\nafterwards\n"

    until(is_heard)


def test_however_much_is_printed_memory_stays_flat():
    peak = 'head -c "$0" /dev/zero; grep VmHWM /proc/$PPID/status >&2'
    used = []
    for size in ("1", "256M"):
        done = run(*QUIET, "sh", "-c", peak, size, stdout=subprocess.DEVNULL, env={"KLEIO_OUTPUT_LIMIT": "1M"})
        used.append(int(re.search(rb"(\d+) kB", done.stderr)[1]))
    assert used[1] - used[0] < 64 << 10  # kB


def test_over_the_limit_head_and_tail_are_kept_and_the_gap_is_named():
    lines = b"".join(b"line %07d\n" % number for number in range(400_000))
    done = run(*QUIET, "cat", typed=lines, env={"KLEIO_OUTPUT_LIMIT": "1M"})
    assert done.stdout == lines
    gap = re.compile(rb"\n\[kleio: ([\d,]+) bytes over the output limit were dropped\]\n")
    head, said, tail = gap.split(recorded())
    assert lines.startswith(head)
    assert lines.endswith(tail)
    assert len(head) + int(said.replace(b",", b"")) + len(tail) == len(lines)
    assert len(head) == 1 << 19
    assert 7 << 16 <= len(tail) <= 1 << 19


# -- arguments and surroundings ----------------------------------------------------------------------------------

ARGUMENTS = [
    "two words", "'single' \"double\"", "new\nline", "", "--", "--help", "--tag", "-q", "$HOME `x` \\", "é", b"\xff\xfe", "ls",
    "",
]  # fmt: skip


@pytest.mark.parametrize("entrance", [[*KLEIO, "-q"], [*KLEIO, "run", "-q"], QUIET], ids=["kleio", "run", "separated"])
def test_arguments_reach_the_child_untouched(entrance):
    expected, found = (run(*prefix, "sh", "-c", 'printf "%s\\0" "$@"', *ARGUMENTS) for prefix in (PLAIN, entrance))
    assert found.stdout == expected.stdout
    assert expected.stdout.count(b"\0") == len(ARGUMENTS) - 1


def test_argv_zero_is_the_word_that_was_typed():
    plain, ours = both("sleep", "--help")
    assert ours.stdout == plain.stdout
    plain, ours = both("head", "-z", "-n1", "/proc/self/cmdline")
    assert ours.stdout == plain.stdout == b"head\0"


@pytest.mark.parametrize("locale", [{}, {"LANG": "C.UTF-8"}, {"LC_ALL": "C"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}])
def test_the_environment_grows_by_kleios_variables_alone(locale):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "KLEIO_HOME", "PWD")}
    given = kept | locale | {"LINES_": "new\nline", "EMPTY": "", "BYTES": "\udcff"}
    found = []
    for prefix in (PLAIN, QUIET):
        done = subprocess.run([*prefix, "env", "-0"], stdin=subprocess.DEVNULL, capture_output=True, env=given, check=True)
        found.append(dict(entry.split(b"=", 1) for entry in done.stdout.split(b"\0") if entry))
    plain, ours = found
    added = {b"KLEIO_TRIAL_ID", b"KLEIO_EXECUTION", b"KLEIO_SPOOL", b"KLEIO_STATISTICS", b"KLEIO_OUTPUT_DIR", b"PYTHONPATH"}
    assert set(ours) - set(plain) == added
    assert {name: value for name, value in ours.items() if name not in added} == plain
    assert plain == {os.fsencode(name): os.fsencode(value) for name, value in given.items()}


def test_directory_umask_and_limits_are_inherited(here, tmp_path):
    (tmp_path / "link").symlink_to(here)
    text = 'cd "$0" && umask 027 && ulimit -Sn 300 && ulimit -Sc 0 && ulimit -t 1000 && "$@"'
    for words in (["sh", "-c", "pwd; pwd -P; umask"], ["cat", "/proc/self/limits"], ["cat", "/proc/self/oom_score_adj"]):
        plain, ours = (run("bash", "-c", text, tmp_path / "link", *prefix, *words) for prefix in (PLAIN, QUIET))
        assert (ours.stdout, ours.returncode) == (plain.stdout, 0)
    assert str(tmp_path / "link").encode() in run("bash", "-c", text, tmp_path / "link", *QUIET, "sh", "-c", "pwd").stdout


def test_a_directory_whose_name_is_no_text(tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff\n"
    os.mkdir(odd)
    plain, ours = both("pwd", cwd=odd, env={"PWD": os.fsdecode(odd)})
    assert (ours.stdout, ours.returncode) == (plain.stdout, 0)


def test_open_files_are_inherited_and_no_other_than_the_lock(here):
    (here / "three").write_text("from three")
    listing = 'exec "$@" 3< three 7> seven'
    plain, ours = (shell(listing, *prefix, "ls", "/proc/self/fd").stdout.split() for prefix in (PLAIN, QUIET))
    (lock,) = set(ours) - set(plain)
    assert int(lock) >= 20
    assert set(plain) <= set(ours)
    plain, ours = (shell(listing, *prefix, "sh", "-c", "cat <&3; echo seven >&7").stdout for prefix in (PLAIN, QUIET))
    assert plain == ours == b"from three"
    assert (here / "seven").read_text() == "seven\n"


def test_few_descriptors_are_enough(here):
    done = shell('ulimit -n 24; exec "$@"', *QUIET, "echo", "well")
    assert (done.stdout, done.returncode) == (b"well\n", 0)


# Becomes a command, with some signals blocked and others ignored.
WITH_SIGNALS = """
import os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
blocked, ignored = ([int(word) for word in words.split()] for words in sys.argv[1:3])
for number in ignored:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
os.execvp(sys.argv[3], sys.argv[3:])
"""


THREADS_OWN = 3 << 31  # signals 32 and 33, which the C library keeps to itself and ignores in what it spawns


@pytest.mark.parametrize("most", [10, 14])
def test_too_few_files_for_it_to_start_are_one_line(most):
    done = shell(f'ulimit -n {most}; exec "$@"', *KLEIO, "echo", "well")
    said = done.stderr.decode().splitlines()
    own = [line for line in said if "Too many open files" in line or not line.startswith("kleio: ")]
    assert len(own) == 1, own
    assert own[0].endswith("raise the limit with ulimit -n")
    assert (done.returncode, done.stdout) == (125, b"")


@pytest.mark.parametrize(("blocked", "ignored"), [("", ""), ("10 15 34", "1 2 3 20 40"), ("17", ""), ("", "17")])
def test_blocked_and_ignored_signals_are_inherited(blocked, ignored):
    plain, ours = (
        run(*python(WITH_SIGNALS), blocked, ignored, *prefix, "grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status")
        for prefix in (PLAIN, QUIET)
    )
    plain, ours = (
        {name: int(mask, 16) & ~THREADS_OWN for name, mask in re.findall(rb"(\w+):\s*(\w+)", one.stdout)}
        for one in (plain, ours)
    )
    assert ours == plain
    assert len(plain) == 3


def test_ignored_children_do_not_lose_the_exit_status():
    for _ in range(3):
        assert run(*python(WITH_SIGNALS), "", "17", *QUIET, "sh", "-c", "exit 7").returncode == 7


# -- how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 75, 125, 127, 128, 143, 255])
def test_the_exit_status_is_the_childs(status):
    assert run(*QUIET, "sh", "-c", f"exit {status}").returncode == status


DEADLY = ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGINT", "SIGPIPE", "SIGQUIT", "SIGRTMIN", 40]


@pytest.mark.parametrize("number", [getattr(signal, str(name), name) for name in DEADLY])
def test_death_by_a_signal_is_seen_as_such(number):
    plain, ours = both("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
    assert ours.returncode == plain.returncode == -number
    (trial,) = trials()
    assert trial["status"] == "broken"
    assert trial["executions"][0]["exit_code"] is None


def test_after_a_crash_there_is_one_core_file_at_most(here):
    """The child's own; kleio dies of the same signal without leaving another."""
    shell('ulimit -Sc hard; exec "$@"', *QUIET, "sh", "-c", "kill -SEGV $$")
    assert len(list(here.glob("core*"))) <= 1


def make(path, content, mode=0o755):
    path.write_bytes(content)
    path.chmod(mode)


def broken_programs(directory):
    make(directory / "plain-text", b"echo hello\n", 0o644)
    make(directory / "orphan", b"#!/nonexistent/interpreter -x\n")
    make(directory / "odd", b"#!/etc\n")
    make(directory / "foreign", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44))
    make(directory / "noise", b"\x00\x01\x02\x03")
    (directory / "directory").mkdir()


@pytest.mark.parametrize("word", ["./plain-text", "./orphan", "./odd", "./directory", "./noise", "./nothing", "nothing-at-all",
                                  "plain-text", "./directory/x", "./plain-text/x", "/"])  # fmt: skip
def test_what_cannot_be_executed_has_the_shells_status_and_leaves_no_trial(here, word, monkeypatch):
    broken_programs(here)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    ours = run(*KLEIO, word)
    assert ours.returncode == shell('"$1"', word).returncode
    assert ours.stderr.startswith(b"kleio: ")
    assert ours.stderr.count(b"\n") == 1
    assert trials() == []


def test_a_pipe_cannot_be_executed_and_nobody_waits_for_its_writer(here):
    os.mkfifo(here / "pipe")
    (here / "pipe").chmod(0o755)
    given = [run(*prefix, "./pipe").returncode for prefix in (["env"], KLEIO)]
    assert (given, trials()) == ([126, 126], [])


def test_an_empty_command_is_not_found():
    done = run(*KLEIO, "")
    assert (done.returncode, trials()) == (127, [])


def test_a_command_that_is_not_found_suggests_a_near_by_one():
    assert b"did you mean: python3?" in run(*KLEIO, "pyhton3").stderr


def test_a_script_without_an_interpreter_runs_as_a_shell_would_run_it(here):
    make(here / "script", b'echo "$0" "$#" "$2"\nexit 5\n')
    make(here / "empty", b"")
    make(here / "payload", b"echo before the payload; exit 0\n\0\0\0")
    for words in (["./script", "a", "b c"], ["./empty"], ["./payload"]):
        plain, ours = shell('"$@"', *words), run(*QUIET, *words)
        assert (ours.stdout, ours.returncode) == (plain.stdout, plain.returncode)


def may_unshare():
    return run("unshare", "--pid", "--fork", "true").returncode == 0


def test_as_the_first_process_death_by_a_signal_is_a_status():
    if not may_unshare():
        pytest.skip("making a process namespace is not permitted here")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        assert run("unshare", "--pid", "--fork", *QUIET, "sh", "-c", f"kill -{int(number)} $$").returncode == 128 + number
    assert run("unshare", "--pid", "--fork", *QUIET, "sh", "-c", "exit 9").returncode == 9


def test_while_nobody_reads_a_signal_ends_it_as_it_would_have_ended_the_command():
    with started(*QUIET, "sh", "-c", "echo $$; exec head -c 120000 /dev/zero") as process:
        child = int(line(process))
        until(lambda: gone(child), "the child to end")  # while kleio holds what it printed
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(SECONDS) == -signal.SIGTERM
    assert trials()[0]["status"] == "interrupted"


# -- what kleio makes of the descriptors ---------------------------------------------------------------------------


def test_kleios_own_standard_descriptors_are_left_as_they_are(tmp_path):
    """Telling one file from two turns a flag of it for a moment."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            before = os.get_blocking(1)
            found = channels()
            after = os.get_blocking(1)
        finally:
            for fd, old in zip((1, 2), saved, strict=True):
                os.dup2(old, fd)
                os.close(old)
    assert [channel.stream for channel in found] == ["output"]
    assert before == after


def test_no_process_is_left_behind_by_a_kill():
    """A process of kleio's own that outlived it would keep the user's directory and terminal busy."""
    with started(*QUIET, "sh", "-c", "echo $$; exec sleep 1000") as process:
        child = int(line(process))
        others = set(children_of(process.pid)) - {child}
        process.kill()
        process.wait()
        os.kill(child, signal.SIGKILL)
        for pid in others:
            until(lambda pid=pid: gone(pid), f"process {pid} to end")
    assert others
