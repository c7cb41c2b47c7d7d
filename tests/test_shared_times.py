"""Lines of ``$KLEIO_STATISTICS`` carry no time: they keep their order, and what is known of when they were written."""

from __future__ import annotations

import os
import random

from commands import PYTHON, info, kleio, script, trials

from kleio.core.journal import open_journal
from kleio.core.lineage import logged
from kleio.core.shared_times import _EMPTY, TICK, SharedTimes
from kleio.core.spool import SHARED, Spool, header
from kleio.core.streams import LineStream, Source

SECOND = 10**9
BEGAN = 1_700_000_000 * SECOND


def spool(tmp_path):
    (tmp_path / f"{SHARED}.statistics").write_bytes(b"# " + header("statistics"))
    return Spool(str(tmp_path))


def wrote(at, monkeypatch, here, text):
    """Lines were appended then, as the file tells, and it is looked at a second later."""
    path = here.file(f"{SHARED}.statistics")
    with open(path, "a") as file:
        file.write(text)
    os.utime(path, ns=(BEGAN + at * SECOND, BEGAN + at * SECOND))
    monkeypatch.setattr("time.time_ns", lambda: BEGAN + (at + 1) * SECOND)


def read(here):
    found = list(LineStream(Source(here, "t", "e"), SHARED, "statistics", 0).everything())
    return [(one.values["n"], (one.time - BEGAN) / SECOND) for one in found]


def test_lines_lie_between_the_looks_whoever_reads_them_later(tmp_path, monkeypatch):
    here = spool(tmp_path)
    looking = SharedTimes(here)
    for at in range(0, 40, 10):
        wrote(at, monkeypatch, here, "".join(f'{{"n":{at + n}}}\n' for n in range(3)))
        assert looking.look()
        assert not looking.look()
    times = read(here)
    assert [n for n, _ in times] == [at + n for at in range(0, 40, 10) for n in range(3)]
    assert [time for _, time in times] == sorted(time for _, time in times)
    began = sorted([*range(0, 40, 10)] * 3)
    assert all(at - 9 <= time <= at + TICK / SECOND for (_, time), at in zip(times, began, strict=True))
    assert read(here) == times


def test_a_file_that_is_begun_anew_and_looks_in_any_order_lose_no_line(tmp_path, monkeypatch):
    here = spool(tmp_path)
    wrote(0, monkeypatch, here, '{"n":1}\n{"n":2}\n')
    SharedTimes(here).look()
    (tmp_path / f"{SHARED}.statistics").write_text("")
    wrote(10, monkeypatch, here, '{"n":3}\n')
    SharedTimes(here).look()
    assert read(here) == [(3, 10.01)]
    with open(here.file(f"{SHARED}.times"), "a") as file:
        file.write("5 6\nx\n1 2 3 4 5\n")
    assert read(here) == [(3, 10.01)]


def test_a_look_that_takes_long_dates_no_line_back(tmp_path, monkeypatch):
    here, stat = spool(tmp_path), os.stat
    monkeypatch.setattr("time.time_ns", lambda: BEGAN)

    def meanwhile(path):
        monkeypatch.setattr(os, "stat", stat)
        wrote(10, monkeypatch, here, '{"n":1}\n')
        return stat(path)

    monkeypatch.setattr(os, "stat", meanwhile)
    SharedTimes(here).look()
    assert read(here) == [(1, 10.01)]


def test_times_never_go_back_within_the_file(tmp_path):
    here = spool(tmp_path)
    rng = random.Random(1)
    size = _EMPTY
    with open(here.file(f"{SHARED}.times"), "w") as file:
        for _ in range(200):
            size += rng.randrange(1, 50)
            file.write(f"{size} {rng.randrange(10**6)} {rng.randrange(10**6)} {rng.randrange(10**6)}\n")
    (tmp_path / f"{SHARED}.statistics").write_bytes(b"x" * size)
    times = SharedTimes(here)
    times.look()
    found = [times.written(end) for end in range(_EMPTY + 1, size + 1)]
    assert None not in found
    assert found == sorted(found)
    assert times.written(size + 1) is None


def test_what_is_echoed_before_kleio_log_is_earlier_whatever_is_echoed_behind(tmp_path, journal_uri):
    text = f"""
for n in 1 3 5; do
    echo "{{\\"n\\": $n}}" >> "$KLEIO_STATISTICS"
    {PYTHON} -m kleio log n=$((n + 1))
done
echo '{{"other": 1}}' >> "$KLEIO_STATISTICS"
"""
    kleio("sh", "-c", text, cwd=tmp_path, check=0)
    trial = trials()[0]["id"]
    assert info(trial)["summary"]["n"]["last"] == 6
    journal = open_journal(journal_uri, writing=False)
    found = [one.values.get("n") for one, _ in logged(journal, journal.entry(trial))[0]]
    journal.close()
    assert found == [1, 2, 3, 4, 5, 6, None]


def test_the_recorder_tells_them_from_what_a_script_logs_meanwhile(tmp_path):
    path = script(
        tmp_path,
        """
import os, time
from kleio.client.logger import kleio_logger as k
def looked():
    try:
        return int(open(os.environ["KLEIO_SPOOL"] + "/shared.times").read().split("\\n")[-2].split()[0])
    except (OSError, IndexError):
        return 0
for n in range(0, 10, 2):
    with open(os.environ["KLEIO_STATISTICS"], "a") as file: file.write('{"n": %d}\\n' % n)
    known = os.path.getsize(os.environ["KLEIO_STATISTICS"])
    while looked() < known:
        time.sleep(0.001)
    k.log_statistic(n=n + 1)
print([one["n"] for one in k.load_statistic("n")])
""",
    )
    assert kleio(PYTHON, path, cwd=tmp_path, check=0).stdout == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
