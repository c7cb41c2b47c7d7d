"""``kleio plot``: which curves, drawn on a terminal and in files, once and while trials run."""

from __future__ import annotations

import html.parser
import json
import math
import os
import random
import re
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import KLEIO, kleio, printed, read
from hypothesis import given
from hypothesis import strategies as st
from processes import Terminal, until
from recorded import Recorded
from rich.cells import cell_len

from kleio.core import statistics
from kleio.core.errors import KleioError, UnknownTrial, UsageError
from kleio.core.journal.base import Segment, Summary
from kleio.core.plotting import axes, choosing, terminal
from kleio.core.plotting.chart import Chart, Wanted
from kleio.core.plotting.curves import NUMBER, TIME, Curve, labels, picture, smoothed
from kleio.core.plotting.points import Points
from kleio.core.plotting.thinning import lines, thinned
from kleio.core.reading.statistics import Statistics
from kleio.core.statistics import Record
from kleio.core.trial import Event

NAN, INF = math.nan, math.inf
SECOND = 1_000_000_000


@pytest.fixture
def book(workplace, tmp_path):
    """A journal to write trials into, of the project here."""
    made = Recorded(os.environ["KLEIO_JOURNAL"], str(tmp_path), project=str(workplace))
    yield made
    made.close()


def curve(x, y, label="a", key="loss", across="epoch"):
    return Curve("a" * 32, key, label, across, x, y)


def training(lr, epochs=20):
    return [{"epoch": n, "loss": math.exp(-lr * n), "val_loss": 1.2 * math.exp(-lr * n), "lr": lr} for n in range(epochs)]


# -- axes, lines, labels -------------------------------------------------------------------------------------------

finite = st.floats(-axes.LARGEST, axes.LARGEST)


@given(st.lists(finite, min_size=1, max_size=5), st.integers(1, 30), st.booleans())
def test_ticks_are_few_round_numbers_within_the_axis(values, most, whole):
    axis = axes.spanning(values, whole=whole)
    assert axis.low < axis.high
    assert all(-1e-9 <= axis.at(value) <= 1 + 1e-9 for value in values)
    ticks = axis.ticks(most)
    assert len(ticks) <= most
    assert ticks or most < 3 or whole
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-6 for tick in ticks)
    assert len(set(axes.shown(ticks))) == len(ticks)


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5), st.integers(3, 30))
def test_ticks_of_logarithmic_axes(values, most):
    axis = axes.spanning(values, log=True)
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= most
    assert all(axis.low * 0.999 <= tick <= axis.high * 1.001 for tick in ticks)
    assert axis.back(axis.at(values[0])) == pytest.approx(values[0], rel=1e-6)


def test_how_ticks_read():
    assert axes.shown(axes.Axis(0, 100).ticks(6)) == ["0", "20", "40", "60", "80", "100"]
    assert axes.shown(axes.Axis(0, 1).ticks(5)) == ["0", "0.25", "0.5", "0.75", "1"]
    assert axes.shown(axes.Axis(0, 3, whole=True).ticks(8)) == ["0", "1", "2", "3"]
    assert axes.shown(axes.Axis(1e-8, 1e-4, log=True).ticks(5)) == ["1e-08", "1e-07", "1e-06", "1e-05", "0.0001"]
    assert axes.shown(axes.Axis(123456, 123460).ticks(3)) == ["123456", "123458", "123460"]
    assert [axes.unit(seconds)[0] for seconds in (1, 179, 181, 3600 * 5, 3600 * 100)] == ["s", "s", "min", "h", "d"]


def test_gaps_split_a_curve():
    x, y = [0, 1, 2, 3, 4, 5], [1.0, NAN, 2.0, 3.0, INF, 5.0]
    assert [(list(a), list(b)) for a, b in lines(x, y)] == [([0], [1]), ([2, 3], [2, 3]), ([5], [5])]
    assert list(lines([0], [NAN])) == list(lines([], [])) == []
    assert len(list(lines([0, 1], [1e308, 1e308]))) == 1  # their sum is not finite, they are


@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "back and forth"])
def test_a_million_points_are_drawn_by_few_that_lose_no_spike(shuffled):
    generator = random.Random(3)
    x, y = list(range(1_000_000)), [0.0] * 1_000_000
    y[77_777], y[500_001], y[999_998] = 9.0, -9.0, 5.0
    if shuffled:
        generator.shuffle(x)
    a, b = thinned((x, y), axes.spanning((0, 999_999)), 200)
    assert len(a) == len(b) <= 800
    assert {9.0, -9.0, 5.0} <= set(b)
    assert {(x[77_777], 9.0), (x[0], y[0]), (x[-1], y[-1])} <= set(zip(a, b, strict=True))


def test_smoothing_is_that_of_tensorboard():
    y = [3.0, 1.0, NAN, 2.0, INF, 0.0]
    found = smoothed(curve(range(6), y), 0.6)
    last, count, expected = 0.0, 0, []
    for value in y:  # as its card does it
        if not math.isfinite(value):
            expected.append(value)
            continue
        last = last * 0.6 + 0.4 * value
        count += 1
        expected.append(last / (1 - 0.6**count))
    assert found.y == pytest.approx(expected, nan_ok=True)
    assert found.raw == y
    assert smoothed(curve([0, 1], [3.0, 4.0]), 0).y == smoothed(curve([0, 1], [3.0, 4.0]), 1).y == [3.0, 4.0]
    assert smoothed(curve([0, 1, 2], [1.0, 1.0, 1.0]), 1e6).y == pytest.approx([1, 1, 1])


def named(*params, names=None):
    found = labels([SimpleNamespace(id=f"{at}" * 32, params=own, name=(names or {}).get(at)) for at, own in enumerate(params)])
    return list(found.values())


def test_labels_are_the_parameters_that_differ():
    assert named({"lr": 0.1, "n": 3}, {"lr": 0.25, "n": 3}) == ["lr=0.1", "lr=0.25"]
    assert named({"lr": 0.1, "opt": "sgd"}, {"lr": 0.1}) == ["opt=sgd", "1111111"]
    assert named({"lr": 1}, {"lr": 1}) == ["0000000", "1111111"]
    assert named({"lr": 1}, {"lr": 1}, names={0: "base", 1: "wide"}) == ["base", "wide"]
    assert named({"lr": 1}, {"lr": 1}, {"lr": 2}) == ["lr=1 0000000", "lr=1 1111111", "lr=2"]
    many = named(*({"a": n % 2, "b": n % 2, "c": n % 2, "d": n, "e": 5} for n in range(4)))
    assert many == ["d=0", "d=1", "d=2", "d=3"]
    assert len(named({"text": "x" * 1000 + "1"}, {"text": "y" * 1000})[0]) < 40


# -- what is meant -------------------------------------------------------------------------------------------------


def test_ids_and_keys_are_told_apart(book):
    ids = [book.trial([{"face": 1.0, "loss": 2.0}], id=start.ljust(32, "0")) for start in ("face", "1234", "dead", "dea1")]
    journal = book.journal
    entries = {one: journal.entry(one) for one in ids}

    def told(*words, chosen=()):
        from kleio.core.lookup import resolve

        found, keys = choosing.told_apart(words, [entries[one] for one in chosen], journal, lambda word: resolve(journal, word))
        return [one.id[:4] for one in found], keys

    assert told("1234", "loss", "val") == (["1234"], ["loss", "val"])
    assert told("1234", "dead", "loss", "face") == (["1234", "dead"], ["loss", "face"])
    assert told("1234", "face") == (["1234"], ["face"])  # which that trial has logged: it is a key
    assert told("face", "1234", "1234") == (["face", "1234"], [])
    assert told("f", "1234") == (["face", "1234"], [])  # the first is a trial, however short
    assert told("1234", "f") == (["1234"], ["f"])
    assert told("1234", "abcdef") == (["1234"], ["abcdef"])  # no trial begins so
    assert told("loss", chosen=ids[:1]) == (["face"], ["loss"])
    assert told("1234", chosen=ids[:1]) == (["face", "1234"], [])
    assert told("last", "last") == (["dea1"], [])
    with pytest.raises(UnknownTrial, match="ambiguous"):
        told("dea")
    with pytest.raises(UnknownTrial, match="no trial id"):
        told("loss")


def summary(**counts):
    return {key.replace("__", "/"): {"last": 1, "min": 0, "max": moves, "count": 9} for key, moves in counts.items()}


def test_what_is_shown_where_nothing_is_named():
    assert choosing.sensible([summary(epoch=9, loss=1, val_loss=1, accuracy=1, lr=1)]) == ["loss", "val_loss"]
    assert choosing.sensible([summary(train__loss=1, loss2=0), summary(val__mean_loss=1)]) == ["train/loss", "val/mean_loss"]
    assert choosing.sensible([summary(epoch=9, accuracy=1, glossary=1)]) == ["accuracy"]
    assert choosing.sensible([summary(step=9, foo=1, bar=1, still=0)]) == ["bar", "foo"]
    assert choosing.sensible([summary(**{f"loss{n}_loss": 1 for n in range(9)})]) == [f"loss{n}_loss" for n in range(4)]
    assert choosing.sensible([summary(still=0)]) == ["still"]
    assert choosing.sensible([{"phase": {"last": "x", "count": 3}}, {}]) == []
    assert choosing.sensible([summary(**{"system.cpu": 9, "x": 1})]) == ["x"]


def chart(book, *trials, **wanted):
    entries = [book.journal.entry(one) for one in trials]
    made = Chart(book.journal, entries, Wanted(**wanted))
    made.read(entries)
    return made


def test_what_x_is(book):
    def across(said, **wanted):
        (found,) = chart(book, book.trial(said), keys=("loss",), **wanted).curves()
        return found.across, list(found.x)

    steps = [{"epoch": n // 10, "step": n, "loss": 1.0} for n in range(30)]
    assert across(steps) == ("step", list(range(30)))
    assert across([{"Epoch": n, "loss": 1.0} for n in range(3)]) == ("Epoch", [0, 1, 2])
    assert across([{"train": {"step": n}, "loss": 1.0} for n in range(3)])[0] == "train/step"
    assert across([{"epoch": n, "loss": 1.0} for n in range(3)] + [{"loss": 1.0}]) == (TIME, [0, 1, 2, 3])
    assert across([{"epoch": 1, "loss": 1.0} for n in range(3)])[0] == TIME
    assert across(steps, across="time")[0] == TIME
    assert across(steps, across="index") == (NUMBER, list(range(30)))
    assert across([{"time": 7, "loss": 1.0}], across="time") == ("time", [7])  # a statistic of this name comes first
    assert across([{"a": 5, "loss": 1.0}, {"loss": 2.0}, {"a": 6.5, "loss": 3.0}], across="a") == ("a", [5, 6.5])


def test_time_is_that_of_the_executions(book):
    """Pauses between them do not count, nor does what was given up."""
    trial = book.trial([{"loss": 1.0}] * 4)  # four seconds, and it ended after five
    first = book.journal.entry(trial).executions[0]
    for number, pause in ((2, 1000), (3, 9000)):
        execution, began = f"{number}" * 32, first.started + pause
        book.journal.record(trial, Event(f"running-{number}", "running", began, number, execution, {"started": began}))
        book.log(trial, execution, began, [{"loss": float(number)}] * 2)
        ended = Event(f"ended-{number}", "ended", began + 3, number, execution, {"status": "completed", "exit_code": 0})
        book.journal.record(trial, ended)
    (found,) = chart(book, trial, keys=("loss",)).curves()
    assert found.x == pytest.approx([0, 1, 2, 3, 5, 6, 8, 9])
    told = {"execution": first.id, "time": int((first.started + 1) * SECOND)}
    book.journal.record(trial, Event("resumed-3", "resumed", first.started + 9000, 3, "3" * 32, told))
    (found,) = chart(book, trial, keys=("loss",)).curves()
    assert (found.x, found.y) == (pytest.approx([0, 1, 1, 2]), [1, 1, 3, 3])
    (found,) = chart(book, trial, keys=("loss",), all_executions=True).curves()
    assert len(found.x) == 8


def test_a_branch_goes_on_from_what_it_inherits(book):
    parent = book.trial([{"loss": float(n), "epoch": n} for n in range(10)])
    execution = book.journal.entry(parent).executions[0].id
    cut = {"ends": [[parent, execution, "w0", "statistics", 30]], "criterion": "epoch=2"}
    branch = book.trial([{"loss": 7.0, "epoch": 3}, {"loss": 8.0, "epoch": 4}], parent=parent, cut=cut)
    (found,) = chart(book, branch, keys=("loss",)).curves()
    assert (list(found.x), list(found.y)) == ([0, 1, 2, 3, 4], [0, 1, 2, 7, 8])
    (found,) = chart(book, branch, keys=("loss",), across="time").curves()
    assert found.x == pytest.approx([0, 1, 2, 2, 3])  # it ran for two seconds up to the cut
    made = chart(book, branch, keys=("loss",))
    assert not made.read(made.entries)


def test_points_are_those_of_statistics(journal_uri, tmp_path):
    """Read in pieces as they come: nested names, scopes that learn late, and several writers, as trial.statistics has them."""
    book = Recorded(journal_uri, str(tmp_path))
    said = [
        ({"values": {"epoch": 1}}, "@+1"), ({"loss": 1.5}, "@1"), ({"loss": 2}, ""),
        ({"loss": {"a": 3.0, "b": {"c": True}}}, ""),
        ({"loss": "text"}, ""), ({"loss": NAN, "epoch": 3}, "@1"), ({"loss": None}, ""), ({"values": {"late": 7.5}}, "@=1"),
        ({"loss": 2**70}, ""), ({"loss/a": 8.0}, ""), ({"loss": 9.0}, "@1"), ({"other": 1}, ""),
    ]  # fmt: skip
    keys = ("loss", "epoch", "loss/a", "loss/b/c", "late")
    for piece in (1, 3, 100):
        trial = book.trial(ended=False)
        execution = book.journal.entry(trial).executions[0].id
        points = Points(book.journal, book.journal.entry(trial), keys)
        for upto in (2, 5, 12):
            book.log(trial, execution, 1000.0, said[:upto], piece=piece)
            assert points.read(book.journal.entry(trial))
            assert not points.read(book.journal.entry(trial))
        book.journal.append([Segment(trial, execution, "w1", "statistics", 0, 9,
                                     statistics.pack([Record(0, int(1001.5 * SECOND), {"loss": 0.25})]))])  # fmt: skip
        assert points.read(book.journal.entry(trial))
        expected = Statistics(SimpleNamespace(journal=book.journal), [book.journal.entry(trial)])
        for key in keys:
            values = [row[key] for row in expected.records() if key in row and isinstance(row[key], (int, float))]
            assert repr(list(points.line(key, NUMBER)[1])) == repr(values), (piece, key)
        assert list(points.line("loss", "epoch")[0]) == [1, 3, 1]
        assert list(points.line("loss", "late")[0]) == [7.5, 7.5, 7.5]
    book.close()


def test_what_lies_behind_a_gap_waits_while_the_trial_runs(book):
    trial = book.trial(ended=False)
    entry = book.journal.entry(trial)

    def segment(start, end):
        records = [Record(at, at * SECOND, {"loss": at}) for at in range(start, end)]
        return Segment(trial, entry.executions[0].id, "w", "statistics", start, end, statistics.pack(records))

    points = Points(book.journal, entry, ("loss",))
    book.journal.append([segment(0, 2), segment(4, 6)])
    assert points.read(entry, gaps=False)
    assert list(points.line("loss", NUMBER)[1]) == [0, 1]
    book.journal.append([segment(0, 4)])  # merged with what is known
    assert points.read(entry, gaps=False)
    assert list(points.line("loss", NUMBER)[1]) == [0, 1, 2, 3, 4, 5]
    assert not points.read(entry)


def test_samples_of_the_machine_are_plotted_when_they_are_named(book):
    trial = book.trial([{"loss": 1.0}])
    execution = book.journal.entry(trial).executions[0].id
    records = [Record(n, (1_700_001_000 + n) * SECOND, {"system.cpu": 50.0 + n}) for n in range(3)]
    book.journal.append([Segment(trial, execution, "launcher", "system", 0, 3, statistics.pack(records))])
    book.journal.summarise(Summary(trial, execution, "launcher.system", 3, {"system.cpu": {"count": 3, "time": 1}}))
    (found,) = chart(book, trial, keys=("system.cpu",)).curves()
    assert list(found.y) == [50, 51, 52]


# -- on a terminal -------------------------------------------------------------------------------------------------


def rows(*curves, width=60, height=12, **more):
    return terminal.draw(picture(list(curves), **more), width, height, colours=False)


def test_a_plot_keeps_to_its_size_whatever_is_drawn():
    wide = [curve([0, 1e9], [-1e-9, 1e300]), curve([5], [3.0]), curve([1, 2, 3], [7, 7, 7]), curve([0, 1], [-1.7e308, 1.7e308]),
            curve([0, 1, 2], [1.0, NAN, 2.0]), curve([1e-300, 1e300], [1e300, 1e-300])]  # fmt: skip
    for one in wide:
        for log in (False, True):
            for size in ((40, 8), (120, 40)):
                if (drawn := picture([one], log, log)) is not None:
                    found = terminal.draw(drawn, *size, colours=False).rows
                    assert len(found) == size[1]
                    assert max(map(len, found)) <= size[0]


def test_what_is_drawn():
    assert rows(curve([0, 1, 2, 3], [0, 1, 2, 3]), width=21, height=8).rows == [
        "3 ┤               ⣀⠔⠊",
        "  │            ⣀⠔⠊",
        "2 ┤         ⣀⠔⠊",
        "1 ┤      ⡠⠔⠉",
        "  │   ⡠⠔⠉",
        "0 ┤⡠⠔⠉",
        "  └┬─────┬────┬─────┬",
        "   0     1    2     3",
    ]
    single = rows(curve([5], [3.0]))
    assert sum(row.count("•") for row in single.rows) == 1
    gap = rows(curve([0, 1, 2, 3, 4], [1.0, 1.0, NAN, NAN, 1.0])).rows
    assert any("•" in row for row in gap)
    several = rows(curve([0, 9], [0, 9], "x"), curve([0, 9], [9, 0], "y"))
    assert several.marks == ["a", "b"]  # nothing but the marks tells them apart where there are no colours
    assert {"a", "b"} <= set("".join(several.rows))


def test_nothing_finite_is_no_picture():
    assert picture([curve([0, 1], [NAN, INF])]) is None
    assert picture([curve([0, 1], [0.0, -1.0])], log_y=True) is None
    assert picture([curve([0, 0], [1.0, 1.0])], log_x=True) is None
    assert picture([]) is None


def plot(*words):
    return printed("plot", *words)


def test_in_a_pipe(book):
    one, other = (book.trial(training(lr), params={"lr": lr}) for lr in (0.1, 0.5))
    shown = plot(one, other, "loss", "--height", "10", "--width", "50")
    assert "\x1b" not in shown
    found = shown.splitlines()
    assert found[0] == "loss"
    assert found[-2].strip() == "epoch"
    assert found[-1] == f"a━ lr=0.1  {one[:7]}   b━ lr=0.5  {other[:7]}"
    assert len(found) == 10
    assert plot(one, other, "--where", "params.lr > 0.2", "loss").splitlines()[-1].count("lr=") == 2
    assert "lr=0.5 val_loss" in plot("--where", "params.lr > 0", "loss", "val_loss")
    assert plot(one, "loss").splitlines()[0] == "loss"
    assert "lr=" not in plot(one, "loss", "val_loss")  # one trial: the keys say enough
    assert plot(one, "--", "loss") == plot(one, "loss")


def test_which_statistics_are_shown_is_said(book, capsys):
    trial = book.trial(training(0.1))
    plot(trial)
    assert capsys.readouterr().err == "kleio: this is loss, val_loss; there are also epoch, lr\n"
    other = book.trial([{"val_loss": 1.0}])
    plot(trial, other, "loss")
    assert capsys.readouterr().err == "kleio: loss: 1 of 2 trials have none\n"


def test_as_json(book):
    trial = book.trial([{"epoch": n, "loss": [1.0, NAN, INF][n]} for n in range(3)])
    (found,) = read("plot", trial, "loss", "--json")
    assert found == {
        "trial": trial, "key": "loss", "label": "loss", "x_name": "epoch", "x": [0, 1, 2], "y": [1, "NaN", "Infinity"],
    }  # fmt: skip
    (found,) = read("plot", trial, "loss", "--json", "--smooth", "2", "-x", "time")
    assert found["x_name"] == "time"
    assert found["x"] == [0, 1, 2]
    assert found["raw"] == [1, "NaN", "Infinity"]
    assert read("plot", "--smooth", trial, "loss", "--json")[0]["raw"]  # alone it takes no word away
    assert plot("--smooth", trial, "loss").startswith("loss (smoothed)\n")


def test_what_cannot_be_meant(book, tmp_path):
    trial = book.trial([{"epoch": 1, "loss": 1.0, "train": {"acc": 2.0}, "phase": "warmup", "bad": NAN}, {"apart": 1.0}])
    empty = book.trial()
    refused = [
        (UsageError, "no trial here has logged los; did you mean loss?", trial, "los"),
        (UsageError, "no trial here has logged acc; did you mean train/acc?", trial, "acc"),
        (UsageError, "and no trial has an id that begins so", trial, "feed"),
        (UsageError, "they have logged nothing", empty, "loss"),
        (UsageError, "no trial here has logged epoc; did you mean epoch?", trial, "loss", "-x", "epoc"),
        (KleioError, "no numbers were logged", empty),
        (KleioError, "phase has no numbers to plot: its last value is 'warmup'", trial, "phase"),
        (KleioError, "no record has both loss and apart", trial, "loss", "-x", "apart"),
        (KleioError, "nothing to draw of bad: no value is finite", trial, "bad"),
        (KleioError, "no point is greater than 0", trial, "loss", "--log-x", "-x", "index"),
        (UsageError, "which trial", ),
        (UnknownTrial, "no trial id", "loss"),
        (UsageError, "plots are written as .png, .svg, .pdf, .html", trial, "loss", "-o", "plot.txt"),
        (UsageError, "has no ending", trial, "loss", "-o", "plot"),
        (UsageError, "80 megapixels are too many", trial, "loss", "-o", "plot.png", "--width", "8000", "--height", "10000"),
        (KleioError, "no directory", trial, "loss", "-o", "nowhere/plot.png"),
    ]  # fmt: skip
    for kind, said, *words in refused:
        with pytest.raises(KleioError, match=re.escape(said)) as caught:
            plot(*words)
        assert isinstance(caught.value, kind), said
    assert kleio("plot", trial, "los").returncode == 2
    assert os.listdir() == []


# -- in files ------------------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>&\"' $x_1^ \\alpha \x1b[2J\x00 日本語 🎉 </svg>"


@pytest.fixture
def hostile(book):
    """Trials whose parameters are called and valued so."""
    return [book.trial(training(n), params={HOSTILE: f"{HOSTILE}{n}", "n": n}) for n in (0.1, 0.3)]


def test_png(book):
    from PIL import Image

    trials = [book.trial(training(lr), params={"lr": lr}) for lr in (0.1, 0.5)]
    plot(*trials, "loss", "-o", "plot.png", "--smooth", "--width", "640", "--height", "400", "--title", "Both $ of them")
    with Image.open("plot.png") as image:
        image.load()
        assert image.size == (640, 400)
        assert image.text["Kleio-Trial"] == " ".join(trials)
        assert image.text["Title"] == "Both $ of them"
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def test_svg_is_the_same_each_time_and_harmless(hostile):
    plot(*hostile, "loss", "-o", "plot.svg")
    first = Path("plot.svg").read_text("utf-8")
    plot(*hostile, "loss", "-o", "plot.svg")
    assert Path("plot.svg").read_text("utf-8") == first
    root = ET.fromstring(first)
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    text = " ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text"))
    assert "</svg>" in text
    assert all(trial in first for trial in hostile)


KEYS = ["</script><script>alert(1)//", "$x_1^ \\frac$", "</svg>\x1b[2J\u202e🎉", "plain"]


def test_hostile_names_of_statistics(book):
    trial = book.trial([{key: n * at for at, key in enumerate(KEYS, 1)} for n in range(4)])
    for kind in ("svg", "png", "html"):
        plot(trial, *KEYS, "-x", KEYS[0], "-o", f"several.{kind}", "--title", KEYS[1])
        plot(trial, KEYS[1], "-x", KEYS[1], "-o", f"one.{kind}")
    for name in ("one.svg", "several.svg"):
        ET.parse(name)
    text = Path("several.html").read_text("utf-8")
    assert [tag for tag, _ in Page(text).tags].count("script") == 2
    assert curves_in(text)[0]["label"] == KEYS[0]
    shown = plot(trial, *KEYS)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    wide = "日本" * 30
    shown = plot(book.trial([{wide: n, f"{wide}語": 2 * n} for n in range(4)]), wide, f"{wide}語", "-x", wide, "--width", "50")
    assert max(map(cell_len, shown.splitlines())) <= 50


def test_pdf_and_what_is_unusual(hostile, book):
    plot(*hostile, "loss", "-o", "plot.pdf", "--log-y", "-x", "time")
    assert Path("plot.pdf").read_bytes().startswith(b"%PDF-")
    many = [book.trial(training(n / 30, 3), params={"n": n}) for n in range(30)]
    plot(*many, "loss", "-o", "many.svg")
    assert "and 5 more" in Path("many.svg").read_text("utf-8")
    odd = book.trial([{"loss": value} for value in (NAN, 1e308, -1e308, INF, 5)])
    plot(odd, "loss", "-o", "odd.png")
    plot(book.trial([{"loss": 3}]), "loss", "-o", "single.png")


class Page(html.parser.HTMLParser):
    """What a browser would make of it: tags, and the text in each."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def curves_in(text):
    return json.loads(re.search(r'id="curves">(.*?)</script>', text, re.DOTALL)[1])["curves"]


def test_html_needs_nothing_from_anywhere_and_runs_nothing_of_a_trials(hostile):
    plot(*hostile, "loss", "-o", "plot.html", "--smooth", "3")
    text = Path("plot.html").read_text("utf-8")
    page = Page(text)
    named = [attrs for tag, attrs in page.tags if tag == "script"]
    assert named == [{"type": "application/json", "id": "curves"}, {}]
    assert not [attrs for _, attrs in page.tags if {"src", "href"} & set(attrs) or any(name.startswith("on") for name in attrs)]
    assert {attrs["content"] for tag, attrs in page.tags if attrs.get("name") == "kleio-trial"} == {" ".join(hostile)}
    found = curves_in(text)
    expected = read("plot", *hostile, "loss", "--json", "--smooth", "3")
    assert [one["y"] for one in found] == [one["y"] for one in expected]
    assert "</script>" not in text.partition('id="curves">')[2].partition("</script>")[0]
    assert "</svg>" in found[0]["label"]
    (policy,) = [attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")
    root = ET.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL)[0])
    lines = [one for one in root.iter() if one.tag.endswith("polyline")]
    assert [one.get("class") for one in lines] == ["raw c0", "c0", "raw c1", "c1"]


def test_a_file_is_whole_or_as_it_was(book, monkeypatch):
    from matplotlib.figure import Figure

    trial = book.trial(training(0.1))
    with open("plot.png", "w") as file:
        file.write("before")

    def fails(self, path, **_):
        with open(path, "w") as file:
            file.write("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(KeyboardInterrupt):
        plot(trial, "loss", "-o", "plot.png")
    assert Path("plot.png").read_text() == "before"
    assert os.listdir() == ["plot.png"]


def test_without_matplotlib_and_numpy(book, monkeypatch):
    trial = book.trial(training(0.1))
    blocked = "import sys\nfor name in ('numpy', 'matplotlib', 'pandas'):\n    sys.modules[name] = None\n"
    place = os.path.join(os.getcwd(), "blocked")
    os.mkdir(place)
    with open(os.path.join(place, "sitecustomize.py"), "w") as file:
        file.write(blocked)
    path = os.pathsep.join(filter(None, [place, os.environ.get("PYTHONPATH")]))
    done = kleio("plot", trial, "loss", "--height", "8", check=0, PYTHONPATH=path, PYTHONIOENCODING="utf-8")
    assert done.stdout.startswith("loss\n")
    done = kleio("plot", trial, "loss", "-o", "plot.png", check=1, PYTHONPATH=path)
    assert done.stderr == "kleio: png plots need matplotlib: pip install 'kleio[plot]'\n"
    kleio("plot", trial, "loss", "-o", "plot.html", check=0, PYTHONPATH=path)
    done = kleio("plot", trial, "loss", check=1, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "PYTHONIOENCODING=utf-8" in done.stderr


# -- following -----------------------------------------------------------------------------------------------------

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
FRAME = b"\x1b[?2026l"


class Running:
    """A trial that runs for as long as the test says."""

    def __init__(self, book):
        self._book = book
        self.id = book.trial(ended=False)
        self._execution = book.journal.entry(self.id).executions[0].id
        self._said = []

    def log(self, *said):
        self._said += said
        self._book.log(self.id, self._execution, 1_700_001_000.0, self._said)

    def end(self):
        ended = {"status": "completed", "exit_code": 0}
        self._book.journal.record(self.id, Event("ended", "ended", 1_700_009_999.0, 1, self._execution, ended))


@pytest.fixture
def running(book):
    return Running(book)


def following(trial, *words, **options):
    return Terminal(*KLEIO, "plot", trial, *words, "--follow", **options)


def test_following_on_a_terminal(running):
    with following(running.id, "loss", size=(20, 60)) as shown:
        shown.until(ENTER)
        shown.until(b"waiting for loss")
        running.log({"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5})
        shown.until(b"epoch")
        shown.until(FRAME)
        shown.resize(14, 40)
        shown.until(b"\x1b[14H")  # the last line of the screen, which says what keys there are
        shown.until(b"q: quit")
        shown.until(FRAME)
        running.log({"epoch": 2, "loss": 0.25})
        shown.until(FRAME)
        running.end()
        shown.until(LEAVE)
        left = shown.finish().rpartition(LEAVE)[2].decode()
        assert shown.process.returncode == 0
    assert "epoch" in left  # it stands where the commands are
    assert "\x1b[38;5;32m" in left
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in left.splitlines()) <= 40


@pytest.mark.parametrize("way", ["Ctrl-C", "q", "SIGTERM"])
def test_leaving_gives_the_terminal_back(running, way):
    running.log({"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5})
    with following(running.id, "loss", env={"NO_COLOR": "1"}) as shown:
        shown.until(FRAME)
        if way == "SIGTERM":
            shown.process.send_signal(signal.SIGTERM)
        else:
            shown.type(b"\x03" if way == "Ctrl-C" else b"q")
        seen = shown.finish()
        assert shown.process.returncode == 0
    assert seen.count(ENTER) == seen.count(LEAVE) == 1
    assert b"38;5;" not in seen
    assert b"epoch" in seen.rpartition(LEAVE)[2]


def test_following_into_a_file_and_into_a_pipe(running, book):
    running.log({"epoch": 0, "loss": 1.0})
    words = [*KLEIO, "plot", running.id, "--follow", "loss"]
    with (
        subprocess.Popen([*words, "-o", "plot.html"], stderr=subprocess.PIPE) as file,
        subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pipe,
    ):
        followed(running, pipe)
        pipe.send_signal(signal.SIGINT)
        running.end()
        for process, told in ((file, "kleio: 1 curve → plot.html\n"), (pipe, "")):
            _, said = process.communicate()
            assert (process.returncode, said.decode()) == (0, told)
    assert os.listdir() == ["plot.html"]


def followed(running, pipe):
    assert len(json.loads(pipe.stdout.readline())[0]["y"]) == 1
    until(lambda: os.path.exists("plot.html"))
    running.log({"epoch": 1, "loss": 0.5})
    assert len(json.loads(pipe.stdout.readline())[0]["y"]) == 2
    until(lambda: len(curves_in(Path("plot.html").read_text("utf-8"))[0]["y"]) == 2)


def test_following_what_has_ended_shows_it_once(book, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # whatever the tests print on
    trial = book.trial(training(0.1))
    assert plot(trial, "loss", "--follow") == plot(trial, "loss")
    with pytest.raises(UsageError, match="did you mean"):
        plot(trial, "los", "--follow")


def test_following_what_never_comes(running):
    with following(running.id, "los") as shown:
        shown.until(b"waiting for los")
        running.log({"epoch": 0, "loss": 1.0})
        running.end()
        assert b"did you mean loss?" in shown.finish().rpartition(LEAVE)[2]
        assert shown.process.returncode == 2


def test_only_what_is_new_is_read(running, book, monkeypatch):
    opened, sent = [], []
    segments = book.journal.segments
    monkeypatch.setattr(book.journal, "segments", lambda *given: (sent.append(one) or one for one in segments(*given)))
    monkeypatch.setattr(statistics.Packed, "__init__", counting(statistics.Packed.__init__, opened))
    entry = book.journal.entry(running.id)
    made = Chart(book.journal, [entry], Wanted(("loss",)))
    for count in range(1, 4):
        running.log(*[{"epoch": count, "loss": 1.0}] * 1000)
        opened.clear()
        sent.clear()
        assert made.read([entry])
        assert len(opened) == len(sent) == 1
    assert len(made.curves()[0].y) == 3000


def counting(method, calls):
    def counted(self, *given):
        calls.append(given)
        method(self, *given)

    return counted
