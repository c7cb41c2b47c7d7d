"""Golden vectors: a change here makes every trial of every user unfindable."""

from __future__ import annotations

import os

import pytest

from kleio.core.code import fingerprint
from kleio.core.identity import (
    Work,
    named,
    normalised_remote,
    notes,
    output_key,
    outputs_among,
    outputs_of,
    recorded_as,
    relative,
    trial_id,
    work,
)

PLAIN = Work("github.com/me/x", ".", ("python", "train.py", "--lr", "0.1"), {}, {})


def test_golden_work_keys():
    assert PLAIN.key == "4f050631df25de874349e4a6e0d94211"
    full = Work(
        "/home/me/proj", "sub/dir", ("./run", "a b", "ü\udcff", ""), {"conf/a.yaml": "0" * 64}, {"SLURM_ARRAY_TASK_ID": "7"}
    )
    assert full.key == "71ba48ea3128969f62fbec8f06a90752"


def test_golden_trial_ids():
    assert trial_id(PLAIN.key, "f" * 32) == "f10f884a58a353c6f6105599f01f292a"
    assert trial_id(PLAIN.key, "f" * 32, nonce="a" * 32) == "cbbeef524b7f2c448f8377ff4aa59dd4"
    assert trial_id(PLAIN.key, "f" * 32, parent="b" * 32, cut={"epoch": 10}) == "3817997f6a2cc396b5f7c34451c6f8a8"


def test_golden_fingerprint():
    entries = [(b"100644", b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b"a.py"), (b"120000", b"1" * 40, "ü".encode())]
    assert fingerprint(entries) == fingerprint(reversed(entries)) == "ba805b7ad9bc4f0d50009b15796c71c8"


def identify(argv, root, cwd=None, volatile=(), variables=None):
    return work(argv, project="p", root=str(root), cwd=str(cwd or root), volatile=volatile, variables=variables or {})


def test_absolute_paths_inside_the_project_are_as_typed_relative(tmp_path):
    (tmp_path / "sub").mkdir()
    inside = tmp_path / "sub" / "train.py"
    assert identify(["python", str(inside), f"--data={inside}"], tmp_path, tmp_path / "sub").argv == (
        "python", "train.py", "--data=train.py",
    )  # fmt: skip
    assert identify(["python", "/elsewhere/x"], tmp_path).argv == ("python", "/elsewhere/x")


def test_a_project_reached_through_a_link_is_the_same(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    word = str(tmp_path / "real" / "a.py")
    assert relative(word, str(tmp_path / "link"), str(tmp_path / "link")) == "a.py"


def test_config_files_count_by_content(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("lr: 1")
    first = identify(["train", "c.yaml"], tmp_path).key
    assert identify(["train", "c.yaml"], tmp_path).key == first
    config.write_text("lr: 2")
    assert identify(["train", "c.yaml"], tmp_path).key != first


@pytest.mark.parametrize("argv", [["train", "--out", "m.json"], ["train", "--metrics=m.json"], ["train", "results/m.json"]])
def test_what_a_run_writes_does_not_hide_it_from_the_next(tmp_path, argv):
    (tmp_path / "results").mkdir()
    before = identify(argv, tmp_path).key
    for path in (tmp_path / "m.json", tmp_path / "results" / "m.json"):
        path.write_text("{}")
    assert identify(argv, tmp_path).key == before


def test_any_small_file_that_is_named_counts_by_content(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    keys = {identify(["./run", "data.csv"], tmp_path).key, identify(["./run", str(data)], tmp_path).key}
    data.write_text("2")
    assert len(keys | {identify(["./run", "data.csv"], tmp_path).key}) == 2


def test_golden_output_key():
    assert PLAIN.bare == PLAIN.key
    assert output_key(PLAIN.bare, "out.csv") == "8f02dcde95bdc117c7649bb798ba75ea"


class Runs:
    """Runs of one command, as the launcher does them, with what a journal keeps of which files they wrote."""

    def __init__(self, root, argv):
        self.root, self.argv, self.journal = root, argv, {}

    def run(self, **writes):
        """The key that the run is recorded under; it writes the files (``s_json="1"``) while it runs."""
        here = identify(self.argv, self.root)
        names = named(self.argv, root=str(self.root), cwd=str(self.root))
        outputs = outputs_of(here, self.journal.get)
        key = recorded_as(here, outputs, self.journal.get, names)
        how = {}
        for name, text in writes.items():
            path = self.root / name.replace("_", ".")
            how[str(path)] = "changed" if path.exists() else "created"
            path.write_text(text)
        for digest, document in notes(here, key, outputs | outputs_among(names, how), list(names)).items():
            self.journal.setdefault(digest, document)
        return key


def test_a_run_that_writes_a_file_it_names_is_found_again(tmp_path):
    runs = Runs(tmp_path, ["python", "make.py", "out.csv", "--state=s.json"])
    first = runs.run(out_csv="1", s_json="1")
    assert runs.run(out_csv="2", s_json="2") == first
    assert runs.run(out_csv="3") == first
    (tmp_path / "out.csv").unlink()
    assert runs.run(out_csv="3", s_json="4") == first


def test_it_is_found_again_when_the_file_was_there_before_its_first_run(tmp_path):
    runs = Runs(tmp_path, ["python", "make.py", "s.json", "c.yaml"])
    (tmp_path / "s.json").write_text("old")
    (tmp_path / "c.yaml").write_text("lr: 1")
    first = runs.run(s_json="1")
    assert runs.run(s_json="2") == first
    (tmp_path / "c.yaml").write_text("lr: 2")
    other = runs.run(s_json="3")
    assert other != first
    assert runs.run(s_json="4") == other
    (tmp_path / "c.yaml").write_text("lr: 1")
    (tmp_path / "s.json").unlink()
    assert runs.run(s_json="5") == first


def test_outputs_that_show_one_after_another_do_not_hide_it(tmp_path):
    runs = Runs(tmp_path, ["./run", "a.csv", "b.csv"])
    (tmp_path / "b.csv").write_text("old")
    first = runs.run(a_csv="1")
    assert runs.run(a_csv="2", b_csv="1") == first
    assert runs.run(a_csv="3", b_csv="2") == first


def test_a_config_file_that_was_edited_during_a_run_still_counts(tmp_path):
    runs = Runs(tmp_path, ["./run", "c.yaml"])
    (tmp_path / "c.yaml").write_text("lr: 1")
    first = runs.run(c_yaml="lr: 2")
    assert runs.run() != first
    (tmp_path / "c.yaml").write_text("lr: 1")
    assert runs.run() == first


def test_volatile_arguments_and_secrets_are_not_identity(tmp_path):
    one = identify(["t", "--num-workers", "4", "--lr", "1", "--api-key", "AAA"], tmp_path, volatile=["--num-workers"])
    two = identify(["t", "--num-workers=8", "--lr", "1", "--api-key", "BBB"], tmp_path, volatile=["--num-workers"])
    assert one.key == two.key
    assert "AAA" not in str(one)
    assert identify(["t", "--lr", "2"], tmp_path).key != one.key


def test_array_indices_are_identity(tmp_path):
    keys = {identify(["t"], tmp_path, variables={"SLURM_ARRAY_TASK_ID": str(n)}).key for n in range(3)}
    assert len(keys) == 3


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:Me/X.git", "https://github.com/Me/X", "https://user:secret@GitHub.com/Me/X.git/",
        "ssh://git@github.com:22/Me/X.git", "git://github.com/Me/X/",
    ],
)  # fmt: skip
def test_a_remote_is_the_same_however_it_is_written(url):
    assert normalised_remote(url) == "github.com/Me/X"


def test_a_local_remote_is_its_path():
    assert normalised_remote("/srv/git/x.git") == normalised_remote("file:///srv/git/x.git") == "/srv/git/x"
