"""What a logging call promises: one line, whole or absent, whatever happens to the process."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from commands import PYTHON

from kleio.core.errors import SpoolError
from kleio.core.spool import FORMAT, LineReader, Spool, Writer, header, hold, is_held, parse_line, spools


def lines(path):
    return [parse_line(line, False, 0) for line in path.read_bytes().splitlines(keepends=True)]


def values(path):
    return [one[1] for one in lines(path) if one]


def test_a_file_begins_with_its_version_and_holds_one_line_a_record(tmp_path):
    writer = Writer(str(tmp_path), "statistics")
    writer.append('{"a":1}')
    writer.append('{"a":2}')
    path = tmp_path / f"{writer.name}.statistics"
    assert path.read_bytes().startswith(f"kleio {FORMAT} statistics\n".encode())
    assert values(path) == [{"a": 1}, {"a": 2}]
    assert writer.end() == path.stat().st_size


def test_threads_share_a_writer(tmp_path):
    writer = Writer(str(tmp_path), "statistics")
    threads = [threading.Thread(target=lambda: [writer.append('{"a":1}') for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(tmp_path / f"{writer.name}.statistics") == [{"a": 1}] * 4000


def test_after_a_short_write_the_next_record_stands_on_a_line_of_its_own(tmp_path):
    """A real short write: the limit on the size of files cuts a record in two."""
    program = f"""
import resource, signal
from kleio.core.spool import Writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = Writer({str(tmp_path)!r}, "statistics", name="w")
writer.append('{{"n": 1}}')
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (writer.end() + 10, before[1]))
for n in (2, 3):
    try:
        writer.append('{{"n": %d}}' % n)
    except OSError as error:
        print("refused", n)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
writer.append('{{"n": 4}}')
"""
    done = subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused 2\nrefused 3\n"
    found = []
    for line in (tmp_path / "w.statistics").read_bytes().splitlines(keepends=True):
        try:
            found.append(parse_line(line, False, 0))
        except ValueError:
            found.append("unreadable")
    assert [one[1]["n"] if isinstance(one, tuple) else one for one in found if one] == [1, "unreadable", 4]


def test_a_line_without_its_newline_does_not_exist(tmp_path):
    path = tmp_path / "w.statistics"
    path.write_bytes(header("statistics") + b'1 {"a":1}\n2 {"a":')
    reader = LineReader(str(path))
    assert reader.read(0, 1 << 20) == header("statistics") + b'1 {"a":1}\n'
    with path.open("ab") as file:
        file.write(b'2}\n')
    assert reader.read(len(header("statistics")) + 10, 1 << 20) == b'2 {"a":2}\n'


def test_a_line_longer_than_a_piece_is_read_whole(tmp_path):
    path = tmp_path / "w.statistics"
    long = b'1 {"a":"' + b"x" * 3_000_000 + b'"}\n'
    path.write_bytes(long + b'2 {"b":1}\n')
    assert LineReader(str(path)).read(0, 1000) == long
    assert LineReader(str(path)).read(len(long), 1000) == b'2 {"b":1}\n'


@pytest.mark.parametrize("line", [b"1 {\n", b"x {}\n", b"1 []\n", b"1\n", b"\xff\n", b"1 {} x\n"])
def test_what_cannot_be_read_raises(line):
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        parse_line(line, False, 0)


def test_comments_versions_and_blank_lines_are_no_records():
    for line in (b"\n", b"# kleio 1 statistics\n", b"kleio 1 statistics\n"):
        assert parse_line(line, True, 5) is None
    assert parse_line(b'{"a": NaN}\n', True, 5)[0] == 5


def test_a_spool_appears_whole_and_locked(tmp_path):
    root = tmp_path / "spools"
    spool, lock, recorder = Spool.create(str(root), "a" * 32, {"x": 1})
    assert [one.path for one in spools(str(root))] == [spool.path]
    assert spool.read("launch") == {"x": 1}
    assert os.stat(spool.path).st_mode & 0o777 == 0o700
    assert spool.alive()
    assert hold(spool.file("lock")) is None
    os.close(lock)
    assert not spool.alive()
    assert is_held(spool.file("recorder.lock"))
    os.close(recorder)
    spool.delete()
    assert list(spools(str(root))) == []


def test_a_directory_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="KLEIO_SPOOL_DIR"):
        Spool.create(str(tmp_path / "file" / "x"), "a" * 32, {})
