"""Images, figures, tables, texts and plots: from real NumPy, PIL, matplotlib and pandas to artifacts, and what is refused."""

from __future__ import annotations

import csv
import datetime
import io
import os
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import PIL.Image
import pytest
from commands import PYTHON, info, kleio, printed, script, trials

from kleio.client import figures, media
from kleio.client.logger import Logger
from kleio.core import lineage, statistics
from kleio.core.journal import open_journal


@pytest.fixture(autouse=True)
def agg():
    mpl.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def project(tmp_path, tmp_path_factory, monkeypatch):
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))  # fonts are looked for once
    return directory


def logged():
    """The records of the newest trial's artifacts by name, and their contents."""
    journal = open_journal(f"sqlite:///{os.environ['KLEIO_HOME']}/journal.db", writing=False)
    try:
        trial = journal.entry(trials()[0]["id"]).trial
        records = [one.values for _, own in lineage.seen(journal, trial, ("artifacts",)) for one in statistics.records(own)]
        found = {}
        for one in records:
            with journal.blob(one["sha256"]) as file:
                found[one["name"]] = (one["meta"], file.read())
        return found
    finally:
        journal.close()


def pixels(content):
    return np.asarray(PIL.Image.open(io.BytesIO(content)))


def table(value, name="t"):
    name, content, meta = media._table(name, value)
    return name, list(csv.reader(io.StringIO(content.decode()))), meta


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4), (1, 1), (3, 3, 3), (300, 2)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, bool, np.float32, np.float64, np.float16, np.int64])
def test_arrays_become_png(shape, kind):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2 if kind is bool else 256, shape)
    given = (values / 255).astype(kind) if np.dtype(kind).kind == "f" else values.astype(kind)
    if kind is np.uint16:
        given *= 257
    name, content, meta = media._image("x", given)
    expected = values * 255 if kind is bool else values
    assert (name, meta) == ("x.png", {"media_type": "image/png", "width": shape[1], "height": shape[0]})
    seen = pixels(content)
    if kind is np.uint16:
        assert content[24] == 16
        if len(shape) == 2 or shape[2] == 1:
            assert np.array_equal(seen, expected.reshape(shape[:2]) * 257)
        return
    assert seen.shape == (shape if len(shape) == 2 or shape[2] > 1 else shape[:2])
    assert np.abs(seen.reshape(expected.shape).astype(int) - expected).max() <= (kind is np.float16)


class Tensor:
    """What a tensor of torch offers, which is not installed here."""

    def __init__(self, array, dtype="torch.float32"):
        self._array, self.shape, self.dtype = array, array.shape, dtype

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self._array, self.dtype)

    def float(self):
        return Tensor(self._array)

    def __array__(self, dtype=None, copy=None):
        if self.dtype == "torch.bfloat16":
            raise TypeError("got unsupported ScalarType BFloat16")
        return self._array


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tensors_have_their_channels_first(channels):
    values = np.random.default_rng(1).random((channels, 6, 3), dtype=np.float32)
    for given in (Tensor(values), Tensor(values, "torch.bfloat16")):
        _, content, meta = media._image("x.png", given)
        assert (meta["width"], meta["height"]) == (3, 6)
        assert np.abs(pixels(content).reshape(6, 3, channels) - values.transpose(1, 2, 0) * 255).max() <= 0.5
    assert media._image("x", np.zeros((3, 40, 50), np.uint8))[2]["width"] == 50


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16"])
def test_images_of_pil(mode):
    name, content, meta = media._image("a", PIL.Image.new(mode, (8, 5)))
    assert (name, meta["width"], meta["height"], pixels(content).shape[:2]) == ("a.png", 8, 5, (5, 8))


@pytest.mark.parametrize(("kind", "options"), [("png", {}), ("jpeg", {}), ("jpeg", {"exif": b"Exif\0\0" + b"x" * 5000}),
                                               ("gif", {}), ("webp", {}), ("webp", {"lossless": True})])  # fmt: skip
def test_files_and_bytes_stay_as_they_are(tmp_path, kind, options):
    image = PIL.Image.new("RGB", (33, 21))
    image.save(tmp_path / "given", kind, **options)
    content = (tmp_path / "given").read_bytes()
    for given in (tmp_path / "given", str(tmp_path / "given"), content, bytearray(content), memoryview(content)):
        name, kept, meta = media._image("x", given)
        assert meta == {"media_type": f"image/{kind}", "width": 33, "height": 21}
        assert name == {"jpeg": "x.jpg"}.get(kind, f"x.{kind}")
        assert kept is given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 2, 5)), "shape (2, 2, 5)"), (np.zeros((0, 4)), "shape (0, 4)"), (np.zeros(4), "shape (4,)"),
        (np.full((2, 2), 3.0), "values from 3.0 to 3.0"), (np.full((2, 2), np.nan), "values from nan"),
        (np.full((2, 2), -1), "values from -1"), (np.full((2, 2), 1j), "complex"), (np.array([["a", "b"]]), "<U1"),
        (b"no image", "no PNG, JPEG, GIF or WebP"), (b"", "no PNG"),
        ("missing.png", "No such file"), (7, "not int"), (None, "NoneType"),
        (PIL.Image.new("F", (2, 2)), "mode F"), (PIL.Image.new("I", (2, 2), -1), "mode I"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_one_line(tmp_path, capsys, given, said):
    logger = Logger()
    logger._directory = str(tmp_path)
    logger.log_image("x", given)
    told = capsys.readouterr().err
    assert told.startswith("kleio: the image 'x' is not recorded: ")
    assert said in told
    assert told.count("\n") == 1
    logger._strict = True
    with pytest.raises((ValueError, TypeError, OSError)):
        logger.log_image("x", given)


# -- tables ------------------------------------------------------------------------------------------------------------

ROWS = [["a", "b"], ["1", "x,y"], ["2", ""]]


@pytest.mark.parametrize(
    "given",
    [
        [{"a": 1, "b": "x,y"}, {"a": 2}],
        {"a": [1, 2], "b": ("x,y", None)},
        {"a": np.array([1, 2]), "b": ["x,y", None]},
        pd.DataFrame({"a": [1, 2], "b": ["x,y", None]}).astype({"b": object}),
        ({"a": number, "b": text} for number, text in [(1, "x,y"), (2, None)]),
    ],
    ids=["rows", "columns", "arrays", "pandas", "generator"],
)
def test_tables_of_all_kinds_become_csv(given):
    name, rows, meta = table(given)
    assert (name, rows) == ("t.csv", ROWS)
    assert meta == {"media_type": "text/csv", "rows": 2, "columns": 2, "types": {"a": "int", "b": "str"}}


def test_numbers_of_a_table_come_back_exactly():
    values = np.random.default_rng(1).random((50, 3)) * 1e-7
    _, content, meta = media._table("t", values)
    assert np.array_equal(np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1), values)
    assert (meta["rows"], meta["columns"]) == (50, 3)
    days = pd.date_range("2026-01-01", periods=50)
    frame = pd.DataFrame({"x": values[:, 0], "when": days}, index=pd.Index(range(50), name="step"))
    _, content, meta = media._table("t", frame)
    read = pd.read_csv(io.BytesIO(content), index_col="step", parse_dates=["when"], converters={"x": float})
    assert read.equals(frame)
    assert meta["types"] == {"step": "int", "x": "float", "when": "Timestamp"}
    named = np.array([(1, 2.5)], dtype=[("n", int), ("v", float)])
    assert table(named)[1] == [["n", "v"], ["1", "2.5"]]
    assert table([[1, 2], [3, 4]])[1] == [["0", "1"], ["1", "2"], ["3", "4"]]
    assert table(np.arange(2))[1] == [["0"], ["0"], ["1"]]


def test_odd_values_and_empty_tables():
    day = datetime.date(2026, 1, 2)
    nested = [{"a": [1, {"b": 2}], "b": day, "c": 'quo"te\nline', "d": True, "e": float("nan"), "f": np.float32(0.5)}]
    (_, cells), meta = table(nested)[1:]
    assert cells == ['[1,{"b":2}]', "2026-01-02", 'quo"te\nline', "True", "nan", "0.5"]
    assert meta["types"]["f"] == "float"
    assert table([])[2] | {"types": 0} == {"media_type": "text/csv", "rows": 0, "columns": 0, "types": 0}
    assert table({"a": []})[1] == [["a"]]
    name, content, meta = media._table("t.tsv", [{"a": 1, "b": 2}])
    assert (name, content, meta["media_type"]) == ("t.tsv", b"a\tb\n1\t2\n", "text/tab-separated-values")
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]), index=["row"])
    assert table(frame)[1] == [["index", "a x", "a y"], ["row", "1", "2"]]


@pytest.mark.parametrize(
    "given", [{"a": [1], "b": [1, 2]}, [[1, 2], [3]], "text", 5, {"a": 1}, np.zeros((2, 2, 2)), [{"a": 1}, 5], ["ab", "cd"]]
)
def test_what_is_no_table_is_refused(tmp_path, capsys, given):
    logger = Logger()
    logger._directory = str(tmp_path)
    logger.log_table("t", given)
    assert re.fullmatch(r"kleio: the table 't' is not recorded: .+\n", capsys.readouterr().err)


# -- figures and texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("f", "image/png"), ("f.svg", "image/svg+xml"), ("f.pdf", "application/pdf"),
                                            ("f.jpg", "image/jpeg"), ("epoch.3", "image/png")])  # fmt: skip
def test_figures_keep_their_dpi_and_are_left_as_they_are(agg, name, kind):
    figure, axes = agg.subplots(figsize=(4, 2), dpi=50)
    axes.plot([1, 2])
    for given in (figure, axes, None):
        kept, content, meta = media._figure(name, given)
        assert meta["media_type"] == kind
        assert meta["dpi"] == 50
        assert kept == {"f": "f.png", "epoch.3": "epoch.3.png"}.get(name, name)
        if "width" in meta:
            assert (meta["width"], meta["height"]) == (200, 100) == PIL.Image.open(io.BytesIO(content)).size
    assert axes.lines


def test_figures_of_plotly():
    shown = {"to_html": lambda self, include_plotlyjs: f"<p>{include_plotlyjs}"}
    figure = type("Figure", (), {"__module__": "plotly.graph_objs"} | shown)
    assert media._figure("f", figure()) == ("f.html", b"<p>cdn", {"media_type": "text/html"})


@pytest.mark.parametrize(
    ("name", "kept", "kind"),
    [("a", "a.txt", "text/plain"), ("a.md", "a.md", "text/markdown"), ("a.HTML", "a.HTML", "text/html"),
     ("a.json", "a.json", "application/json"), ("v1.5", "v1.5.txt", "text/plain"), ("a.log", "a.log", "text/plain")],
)  # fmt: skip
def test_texts(name, kept, kind):
    assert media._text(name, "é\nx") == (kept, "é\nx".encode(), {"media_type": kind, "lines": 2})


def test_what_is_no_figure_or_text_is_refused(tmp_path, capsys):
    logger = Logger()
    logger._directory = str(tmp_path)
    for log, given in ((logger.log_figure, None), (logger.log_figure, 5), (logger.log_text, b"x"), (logger.log_text, "\udcff")):
        log("x", given)
        assert re.fullmatch(r"kleio: the \w+ 'x' is not recorded: .+\n", capsys.readouterr().err)


# -- in a run ----------------------------------------------------------------------------------------------------------


def test_a_script_logs_them_all(project):
    text = (
        "import sys, numpy as np, pandas as pd, PIL.Image, matplotlib.pyplot as plt\n"
        "from kleio.client import kleio_logger as log\n"
        "log.log_image('array', np.eye(4), epoch=1, width=99)\n"
        "log.log_image('pil', PIL.Image.new('RGB', (3, 2)))\n"
        "log.log_table('rows', [{'a': 1}], phase='test')\n"
        "log.log_table('frame', pd.DataFrame({'a': [1.5]}))\n"
        "log.log_text('notes.md', '# hi')\n"
        "plt.plot([1, 2]); log.log_figure('loss', epoch=2)\n"
        "log.log_image('bad', np.zeros(3)); log.log_text('ok', 'it goes on')\n"
    )
    script(project, text)
    done = kleio(PYTHON, "train.py", check=0)
    assert done.stderr.count("is not recorded") == 1
    found = logged()
    assert set(found) == {"array.png", "pil.png", "rows.csv", "frame.csv", "notes.md", "loss.png", "ok.txt"}
    assert found["array.png"][0] == {"media_type": "image/png", "width": 99, "height": 4, "epoch": 1}
    assert found["rows.csv"][0]["phase"] == "test"
    assert PIL.Image.open(io.BytesIO(found["loss.png"][1])).info["Kleio-Trial"] == trials()[0]["id"]
    assert "media_type=image/png" in printed("info", trials()[0]["id"])


def test_without_the_launcher_nothing_is_done(project):
    text = (
        "import sys\nfrom kleio.client import kleio_logger as log\n"
        "log.log_image('a', object()); log.log_table('a', 1); log.log_text('a', 1); log.log_figure('a')\n"
        "print({'kleio.client.media', 'numpy', 'matplotlib', 'csv'} & set(sys.modules) - {'kleio.client.media'})\n"
    )
    done = subprocess.run([PYTHON, script(project, text)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.jpg", "jpeg"), ("x.JPEG", "jpeg"), ("x.webp", "webp"), ("x.gif", "gif"), ("x.png", "png"), ("x", "png")],
)
@pytest.mark.parametrize("made", [np.asarray, PIL.Image.fromarray])
def test_an_image_is_encoded_as_its_name_ends(name, kind, made):
    array = np.full((6, 9, 3), 120, np.uint8)
    kept, content, meta = media._image(name, made(array))
    assert (kept, meta) == ("x.png" if name == "x" else name, {"media_type": f"image/{kind}", "width": 9, "height": 6})
    assert media.sniffed(content) == (kind, 9, 6)
    assert abs(np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB")).astype(int) - 120).max() <= 2


def test_what_a_name_ends_with_that_cannot_be_written_is_said(monkeypatch):
    array, said = np.zeros((2, 2), np.uint8), []
    assert media._image("a.tif", array, said.append)[0] == "a.png"
    assert media._image("epoch.3", array, said.append)[0] == "epoch.3.png"
    with pytest.raises(ValueError, match="no transparency"):
        media._image("a.jpg", np.zeros((2, 2, 4), np.uint8))
    with pytest.raises(ValueError, match="16 bits"):
        media._image("a.jpg", np.zeros((2, 2), np.uint16))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert media._image("a.jpg", array, said.append)[0] == "a.png"
    assert len(said) == 2
    assert said[1].startswith("the image 'a.jpg' is kept as 'a.png': a .jpg needs Pillow")


# -- plot --------------------------------------------------------------------------------------------------------------

PLOTS = (
    "import sys, matplotlib, matplotlib.pyplot as plt\n"
    "from kleio.client import plot, output_dir\n"
    "plt.plot([1, 2]); print(plot('loss').name); assert not plt.gcf().axes\n"
    "plt.plot([1, 2]); print(plot(name='loss').name)\n"
    "figure, axes = plt.subplots(); axes.plot([1]); plt.figure(); print(plot('a/b.svg', figure=figure, dpi=30).name)\n"
    "assert not figure.axes\n"
    "plt.plot([1]); print(plot('c', format='pdf', metadata={'Author': 'me'}).name); plt.plot([1]); print(plot().name)\n"
    "print(plot('empty')); plt.close('all'); print(plot('nothing')); print(matplotlib.get_backend().lower())\n"
    "sys.exit(1)\n"
)
NAMES = ["0001-loss.png", "0002-loss.png", "0003-a-b.svg", "0004-c.pdf", "0005.png"]


def test_plots_are_numbered_and_know_their_trial(project):
    script(project, PLOTS, "plots.py")
    words = (PYTHON, "plots.py", "--password", "s3cr3t-of-mine")
    done = kleio(*words, check=1)
    assert done.stdout.split() == [*NAMES, "None", "None", "agg"]
    assert done.stderr.count("kleio: the plot 'empty' is not saved: there is nothing to plot") == 1
    assert "kleio: the plot 'nothing' is not saved: there is no figure" in done.stderr
    again = kleio(*words, check=1)
    assert again.stdout.split()[:5] == [re.sub(r"^\d+", f"{number + 5:04d}", name) for number, name in enumerate(NAMES, 1)]
    assert len(trials()) == 1
    trial = trials()[0]["id"]
    place = project / info(trial)["executions"][0]["output"]
    told = PIL.Image.open(io.BytesIO((place / "0001-loss.png").read_bytes())).info
    assert told["Kleio-Trial"] == trial
    assert told["Title"] == "loss"
    assert told["Kleio-Command"].endswith("plots.py --password '<redacted>'")
    for name in NAMES[2:4]:
        content = (place / name).read_bytes()
        assert trial.encode() in content or trial.encode("utf-16-be") in content
        assert b"s3cr3t-of-mine" not in content
    assert b"(me)" in (place / "0004-c.pdf").read_bytes()
    assert {f"output/{name}" for name in NAMES} <= set(logged())
    shown = printed("info", trial)
    assert "12 files in results/" in shown


def test_plots_without_the_launcher(project):
    path = script(project, PLOTS, "plots.py")
    done = subprocess.run([PYTHON, path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout.split() == [*NAMES, "None", "None", "agg"], done.stderr
    told = PIL.Image.open(io.BytesIO((project / "results/plots/0001-loss.png").read_bytes())).info
    assert told["Kleio-Command"].endswith("plots.py")
    assert "Kleio-Trial" not in told


def test_ranks_that_plot_at_once_overwrite_nothing(project):
    text = (
        "import os, sys, matplotlib.pyplot as plt\nfrom kleio.client import plot\n"
        "if not sys.argv[1:]:\n"
        "    import subprocess\n"
        "    ranks = [subprocess.Popen([sys.executable, __file__, 'x'], stdin=subprocess.PIPE) for _ in range(3)]\n"
        "    for rank in ranks: rank.stdin.close()\n"
        "    sys.exit(max(rank.wait() for rank in ranks))\n"
        "else:\n"
        "    sys.stdin.read()\n"
        "    for _ in range(4): plt.plot([1]); plot('same')\n"
    )
    script(project, text, "ranks.py")
    kleio("--name", "r", PYTHON, "ranks.py", check=0)
    assert len(list((project / "results/r").glob("*-same.png"))) == 12


def test_without_matplotlib_it_says_so(project):
    text = (
        "import sys; sys.modules['matplotlib'] = None\nfrom kleio.client import plot\n"
        "try:\n    plot('x')\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, script(project, text)], capture_output=True, text=True, check=True)
    assert "pip install matplotlib" in done.stdout


def test_unusual_names_stand_in_the_metadata(agg):
    agg.plot([1])
    for kind in ("png", "svg", "pdf", "eps", "jpg", "tif"):
        assert figures.saved(agg.gcf(), kind, "ünï😀", {})[0]
